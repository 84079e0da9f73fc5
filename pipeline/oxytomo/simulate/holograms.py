"""Simulated phase-contrast scans: exit wave, propagated to each detector, and truth."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import AnyArray, Float64Array, FloatArray, TiltSeries
from oxytomo.errors import ConfigError
from oxytomo.phase.optics import Distance, equivalent_distance, refractive_index, wavelength_nm
from oxytomo.phase.propagation import Frame, margin_px, propagated_intensity, wave_spectrum
from oxytomo.simulate.phantoms import Phantom, class_fractions, projected
from oxytomo.units import NM_PER_UM


@dataclass(frozen=True, eq=False)
class HologramScan:
    """How a phantom is recorded in a phase-contrast beam.

    Attributes
    ----------
    energy_ev : photon energy, eV
    source_sample_mm : distance from source to sample for each series, mm; None for a parallel beam
    sample_detector_mm : distance from sample to detector for each series, mm
    tilt_deg : (n_frame,) degrees, the same for every distance, in acquisition order
    n_rows, n_cols : detector pixels
    pixel_nm : object-plane pixel size at the largest magnification
    axis_offset_px : offset of the rotation axis from the middle column, pixels of the first
        distance in the object plane
    jitter_px : standard deviation of every frame's own shift, pixels, in each direction
    beam_drift : standard deviation of each frame's beam intensity, relative
    subsamples : points per pixel edge on which the wave is computed
    photons_per_pixel : mean counts without sample; None records the mean, without noise
    n_flat, n_dark : frames without sample and without beam
    """

    energy_ev: float
    source_sample_mm: tuple[float, ...] | None
    sample_detector_mm: tuple[float, ...]
    tilt_deg: Float64Array
    n_rows: int
    n_cols: int
    pixel_nm: float
    axis_offset_px: float
    jitter_px: float
    beam_drift: float
    subsamples: int
    photons_per_pixel: float | None
    n_flat: int
    n_dark: int

    @property
    def distances(self) -> tuple[Distance, ...]:
        """Equivalent parallel beam of each detector position."""
        sources = self.source_sample_mm or (None,) * len(self.sample_detector_mm)
        return tuple(
            equivalent_distance(sample_detector_mm=z2, source_sample_mm=z1)
            for z1, z2 in zip(sources, self.sample_detector_mm, strict=True)
        )

    @property
    def pixels_nm(self) -> tuple[float, ...]:
        """Object-plane pixel size at each distance."""
        largest = max(one.magnification for one in self.distances)
        return tuple(self.pixel_nm * largest / one.magnification for one in self.distances)


def simulate_holograms(
    phantom: Phantom,
    scan: HologramScan,
    *,
    formula: Mapping[str, float],
    density_g_cm3: float,
    rng: np.random.Generator,
) -> tuple[dict[str, TiltSeries], dict[str, np.ndarray]]:
    """Record a phantom at every distance.

    The wave behind the (thin) sample is computed and propagated on a finer grid than the
    detector's, and the intensity is averaged over the detector's pixels. The solid is the phantom's
    outline without void, pores and cracks, and of one material.

    Parameters
    ----------
    phantom : the object; its amounts are not used
    scan : how it is recorded
    formula, density_g_cm3 : the material
    rng : random numbers

    Returns
    -------
    series : ``distance_1`` … → raw series
    truth : ``solid`` (z, y, x) share of solid of each voxel, ``phase_lag`` (n_frame, n_rows,
        n_cols) rad on the grid of the largest magnification without shifts, ``shift_px``
        (n_distance, n_frame, 2), ``delta``, ``beta``, and the geometry
    """
    _check(scan)
    delta, beta = refractive_index(formula, density_g_cm3=density_g_cm3, energy_ev=scan.energy_ev)
    shifts = scan.jitter_px * rng.normal(size=(len(scan.distances), scan.tilt_deg.size, 2))
    shifts[..., 1] += scan.axis_offset_px * scan.pixel_nm / np.asarray(scan.pixels_nm)[:, None]
    series = {}
    for index, distance in enumerate(scan.distances):
        intensity = holograms(phantom, scan, index, delta=delta, beta=beta, shift_px=shifts[index])
        intensity *= (1 + scan.beam_drift * rng.normal(size=(len(intensity), 1, 1))).astype(np.float32)
        series[f"distance_{index + 1}"] = _recorded(intensity, scan, distance, scan.pixels_nm[index], rng)
    shape = (scan.n_rows, scan.n_cols, scan.n_cols)
    solid = class_fractions(phantom, pixel_nm=scan.pixel_nm, shape=shape, subsamples=3)["solid"]
    truth: dict[str, np.ndarray] = {
        "solid": solid,
        "phase_lag": true_phase_lag(phantom, scan, delta=delta),
        "shift_px": shifts,
        "delta": np.array(delta),
        "beta": np.array(beta),
        "energy_ev": np.array(scan.energy_ev),
        "pixel_nm": np.array(scan.pixels_nm),
        "effective_nm": np.array([one.effective_nm for one in scan.distances]),
        "tilt_deg": scan.tilt_deg.copy(),
    }
    return series, truth


def holograms(
    phantom: Phantom, scan: HologramScan, index: int, *, delta: float, beta: float, shift_px: Float64Array
) -> FloatArray:
    """Intensity at one distance relative to the beam, without noise.

    (n_frame, n_rows, n_cols) float32.
    """
    distance, pixel_nm = scan.distances[index], scan.pixels_nm[index]
    wavelength = wavelength_nm(scan.energy_ev)
    shape = (scan.n_rows, scan.n_cols)
    margin = margin_px(
        wavelength=wavelength, longest_nm=distance.effective_nm, pixel_nm=pixel_nm, shape=shape
    )
    coarse = Frame.around(shape, margin_px=margin)
    fine = Frame(
        *((rows * scan.subsamples, columns * scan.subsamples) for rows, columns in (shape, coarse.padded))
    )
    squared = fine.squared_frequency(pixel_nm / scan.subsamples, real=False)
    chi = (np.pi * wavelength * distance.effective_nm * squared).astype(np.float32)
    wavenumber = 2 * np.pi / wavelength
    result = np.empty((scan.tilt_deg.size, *shape), np.float32)
    for frame, tilt in enumerate(scan.tilt_deg):
        path = _path_nm(phantom, tilt, shift_px[frame], coarse.padded, pixel_nm, scan.subsamples)
        spectrum = wave_spectrum(wavenumber * delta * path, wavenumber * beta * path, workers=1)
        intensity = propagated_intensity(spectrum[None], chi, workers=1)[0]
        result[frame] = coarse.crop(_binned(intensity, scan.subsamples))
    return result


def true_phase_lag(phantom: Phantom, scan: HologramScan, *, delta: float) -> FloatArray:
    """Phase lag on the grid of the largest magnification, rad, averaged over pixels.

    (n_frame, n_rows, n_cols).
    """
    wavenumber = 2 * np.pi / wavelength_nm(scan.energy_ev)
    shape, none = (scan.n_rows, scan.n_cols), np.zeros(2)
    paths = [
        _binned(_path_nm(phantom, tilt, none, shape, scan.pixel_nm, scan.subsamples), scan.subsamples)
        for tilt in scan.tilt_deg
    ]
    return (wavenumber * delta * np.stack(paths)).astype(np.float32)


def _path_nm(
    phantom: Phantom,
    tilt_deg: float,
    shift_px: Float64Array,
    shape: tuple[int, int],
    pixel_nm: float,
    subsamples: int,
) -> FloatArray:
    """Length of solid along each ray of a fine grid, nm."""
    solid = phantom.selected("particle") - phantom.selected("void", "pore", "crack")
    z, s = (
        ((np.arange(n * subsamples) + 0.5) / subsamples - n / 2 - shift) * pixel_nm
        for n, shift in zip(shape, shift_px, strict=True)
    )
    return NM_PER_UM * projected(phantom, solid[:, None], tilt_deg=np.array([tilt_deg]), z_nm=z, s_nm=s)[0, 0]


def _binned(fine: FloatArray, factor: int) -> FloatArray:
    """Mean over ``factor`` × ``factor`` points."""
    rows, columns = fine.shape
    return fine.reshape(rows // factor, factor, columns // factor, factor).mean(axis=(1, 3))


def _recorded(
    intensity: FloatArray,
    scan: HologramScan,
    distance: Distance,
    pixel_nm: float,
    rng: np.random.Generator,
) -> TiltSeries:
    """Return counts, with flats and darks.

    The beam is uniform, because structure in it cancels in the flat field.
    """
    n_frame, shape = scan.tilt_deg.size, (scan.n_rows, scan.n_cols)
    level = scan.photons_per_pixel or 1e4
    dark = 10.0

    def counts(mean: FloatArray) -> AnyArray:
        if scan.photons_per_pixel is None:
            return mean.astype(np.float32)
        return rng.poisson(mean).astype(np.uint32)

    return TiltSeries(
        frames=counts(level * intensity + dark),
        tilt_deg=scan.tilt_deg.copy(),
        energy_ev=np.full(n_frame, scan.energy_ev),
        pixel_nm=np.full(n_frame, pixel_nm),
        quantity="counts",
        flat=counts(np.full((scan.n_flat, *shape), level + dark)).astype(np.float32),
        dark=counts(np.full((scan.n_dark, *shape), dark)).astype(np.float32),
        metadata={"description": f"simulated hologram, magnification {distance.magnification:.4g}"},
    )


def _check(scan: HologramScan) -> None:
    sources = scan.source_sample_mm
    if sources is not None and len(sources) != len(scan.sample_detector_mm):
        raise ConfigError(
            "distances",
            expected="one source distance per detector distance",
            got=f"{len(sources)} and {len(scan.sample_detector_mm)}",
            fix="give as many of both",
        )
