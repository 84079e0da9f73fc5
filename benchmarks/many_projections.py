"""Filtered back-projection of many projections: gridding with finufft, our back-projection, and other packages, in one run.

    python benchmarks/many_projections.py [--threads 2]

CPU time over voxels × tilts, and the rms error against an analytic phantom of ellipses inside the reconstruction circle.
Slow packages are run on fewer slices. Prints a Markdown table.
"""

import argparse
from collections.abc import Callable

import numba
import numpy as np
from reconstruction_speed import measure, phantom, sinogram, skimage_fbp

from oxytomo.reconstruct.backends import reconstruct
from oxytomo.reconstruct.blocks import from_blocks, sinogram_blocks
from oxytomo.reconstruct.fbp import filter_projections, padded_length, ramp_response
from oxytomo.reconstruct.geometry import TiltGeometry, tilt_weights_rad
from oxytomo.reconstruct.gridding import gridded_backprojection
from oxytomo.reconstruct.projector import backproject_linear

CASES = ((131, 256, 128), (181, 256, 128), (451, 512, 128), (901, 1024, 128))


def by_gridding(projections: np.ndarray, geometry: TiltGeometry) -> np.ndarray:
    """Sum in Fourier space."""
    return gridded_backprojection(
        projections,
        geometry,
        response=ramp_response(padded_length(geometry.n_columns)),
        weights_rad=tilt_weights_rad(geometry.tilt_deg),
    )


def by_backprojection(projections: np.ndarray, geometry: TiltGeometry) -> np.ndarray:
    """Filter, then interpolate on the detector."""
    filtered = filter_projections(projections, tilt_weights_rad(geometry.tilt_deg))
    return from_blocks(backproject_linear(sinogram_blocks(filtered), geometry), projections.shape[1])


def astra(projections: np.ndarray, geometry: TiltGeometry) -> np.ndarray:
    """ASTRA on the CPU, linear projector."""
    return reconstruct(
        projections,
        np.ones_like(projections),
        geometry,
        algorithm="fbp",
        backend="astra",
        iterations=1,
        nonnegative=False,
        tv_weight=None,
        threads=numba.get_num_threads(),
    )


def main() -> None:
    """Run the comparison and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    numba.set_num_threads(options.threads)
    packages: dict[str, Callable[[np.ndarray, TiltGeometry], np.ndarray]] = {
        "gridding (finufft)": by_gridding,
        "back-projection (Numba)": by_backprojection,
        "ASTRA FBP linear": astra,
        "scikit-image iradon": lambda p, g: skimage_fbp(p, g.tilt_deg),
    }
    print("| tilts × slices × width² | package | slices | CPU ns per update | wall s | rms error |")
    print("|---|---|---|---|---|---|")
    for n_tilt, n, slices in CASES:
        tilt_deg = np.arange(n_tilt) * 180 / n_tilt
        geometry = TiltGeometry.square(tilt_deg, n)
        one, truth = sinogram(tilt_deg, n), phantom(n)
        y, x = np.mgrid[:n, :n] - (n - 1) / 2
        circle = np.hypot(x, y) < 0.47 * n
        for label, run in packages.items():
            used = slices if label.startswith(("gridding", "back")) else 1
            projections = np.repeat(one[:, None], used, axis=1)
            cpu, wall, volume = measure(lambda r=run, p=projections, g=geometry: r(p, g), 1)
            error = float(np.sqrt(np.mean((volume[0] - truth)[circle] ** 2)))
            nanoseconds = cpu / (n_tilt * n * n * used) * 1e9
            case = f"{n_tilt} × {slices} × {n}²"
            print(f"| {case} | {label} | {used} | {nanoseconds:.3f} | {wall:.2f} | {error:.4f} |", flush=True)


if __name__ == "__main__":
    main()
