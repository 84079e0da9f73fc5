"""Sharpness of real tilt series after the project's alignment against centre-of-mass alignment and the frames as recorded.

    python benchmarks/alignment_sharpness.py TILT_SERIES.yaml [--sample NAME]

The configuration has a ``tomogram`` branch. Measure: Fourier shell correlation of two volumes made by filtered back-projection
from the odd and from the even tilts, within a soft mask of the object, all from the same normalised frames, moved by cubic
splines. Prints the half-bit resolution, the mean correlation below half the Nyquist frequency and that of the last quarter of
the shells (higher is sharper).
"""

import argparse
import statistics
from pathlib import Path

import numpy as np
import scipy.ndimage

from oxytomo.align.matching import misfit_of
from oxytomo.align.resample import turned
from oxytomo.align.series import mean_of_series
from oxytomo.align.starts import background_free, centre_of_mass_shifts, vertical_shifts
from oxytomo.align.tilts import AlignOptions, align_tilts
from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.config import load_config
from oxytomo.io.readers import read_tilt_series
from oxytomo.measure.resolution import fourier_shell_correlation
from oxytomo.preprocess.optical_density import density_of_transmission, optical_density, signal
from oxytomo.preprocess.tilt_series import transposed
from oxytomo.reconstruct.fbp import filtered_backprojection
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.stages.sources import read_request


def halves(frames: FloatArray, tilt_deg: Float64Array) -> list[FloatArray]:
    """Volumes from the odd and the even tilts."""
    volumes = []
    for start in (0, 1):
        geometry = TiltGeometry.square(tilt_deg[start::2], frames.shape[2])
        volumes.append(filtered_backprojection(np.ascontiguousarray(frames[start::2]), geometry))
    return volumes


def soft_mask(volume: FloatArray) -> FloatArray:
    """1 on the object and a little around it, falling off smoothly."""
    smooth = scipy.ndimage.gaussian_filter(volume, 2.0)
    inside = scipy.ndimage.binary_dilation(smooth > 0.15 * np.percentile(smooth, 99.9), iterations=4)
    return scipy.ndimage.gaussian_filter(inside.astype(np.float32), 2.0)


def main() -> None:
    """Print one row per alignment."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("--sample", default=None)
    options = parser.parse_args()
    project = load_config(options.config)
    name = options.sample or next(iter(project.samples))
    branch = project.samples[name].tomogram
    assert branch is not None, "the sample needs a tomogram branch"
    series = read_tilt_series(read_request(branch.source))
    if branch.source.tilt_axis == "horizontal":
        series = transposed(series)
    quantity = branch.source.quantity or series.quantity
    if quantity == "signal":
        value = signal(series).value
    elif quantity == "counts":
        value = optical_density(
            series,
            flat_field="mean",
            air_rescale=True,
            opaque_transmission=0.005,
            hot_pixel_sigma=8,
            saturation_counts=np.inf,
            illumination="none",
        ).value
    else:
        value = density_of_transmission(
            series, is_transmission=quantity == "transmission", opaque_transmission=0.005
        ).value
    order = np.argsort(series.tilt_deg, kind="stable")
    tilt_deg, frames = series.tilt_deg[order], background_free(value[order])
    choices = AlignOptions(True, False, branch.align.max_shift_px, branch.align.iterations, None, None, False)
    driver = mean_of_series([frames], np.zeros((1, tilt_deg.size, 2)), np.ones(1))
    found = align_tilts(driver, tilt_deg, order, choices, lambda _: lambda done, total: None)
    mass = np.zeros((tilt_deg.size, 2))
    mass[:, 0] = vertical_shifts(frames, max_shift_px=branch.align.max_shift_px, rounds=4)
    mass[:, 1] = centre_of_mass_shifts(turned(frames, 0.0, mass), tilt_deg)
    recorded = np.zeros_like(mass)
    recorded[:, 1] = np.median(mass[:, 1])
    print(
        f"{name}: {frames.shape}, lean {found.axis_tilt_deg:.3f} ± {found.axis_tilt_error_deg:.3f}°, start {found.start}\n"
    )
    columns = (
        "alignment",
        "half-bit resolution (px)",
        "mean FSC below half Nyquist",
        "of the last quarter",
        "misfit, median",
    )
    print(f"| {' | '.join(columns)} |\n|---|---|---|---|---|")
    for label, lean, shifts in (
        ("as recorded", 0.0, recorded),
        ("centre of mass", 0.0, mass),
        ("oxytomo", found.applied_axis_tilt_deg, found.alignment.shifts),
    ):
        moved = turned(frames, lean, shifts)
        a, b = halves(moved, tilt_deg)
        mask = soft_mask(a + b)
        shells = fourier_shell_correlation(a * mask, b * mask, voxel_nm=1.0)
        low = shells.correlation[shells.frequency_per_nm < 0.25]
        high = shells.correlation[shells.frequency_per_nm > 0.375]
        misfit = statistics.median(misfit_of(moved, tilt_deg, np.zeros_like(shifts), sigma_px=1.0)[0])
        print(
            f"| {label} | {shells.resolution_nm:.2f} | {np.nanmean(low):.4f} | {np.nanmean(high):.4f} | {100 * misfit:.2f} % |"
        )


if __name__ == "__main__":
    main()
