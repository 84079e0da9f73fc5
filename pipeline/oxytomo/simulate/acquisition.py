"""Simulated dual-energy acquisitions: a series of frames per energy, and the truth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from scipy.ndimage import gaussian_filter

from oxytomo.arrays import AnyArray, BoolArray, Float64Array, FloatArray, TiltSeries
from oxytomo.errors import ConfigError
from oxytomo.simulate.instrument import IDEAL, RealInstrument
from oxytomo.simulate.phantoms import Phantom, class_fractions, true_deviation, voxel_means
from oxytomo.simulate.real_acquisition import RealScan, real_scan

HOT_LEVEL: Final = 3.0
"""A hot pixel reads this many times the flat field's counts, for any illumination."""
PIXEL_PATTERN: Final = 0.2
"""The detector's own pixel-to-pixel pattern, as a share of the beam's structure."""


@dataclass(frozen=True, eq=False)
class Acquisition:
    """How a phantom is recorded.

    Attributes
    ----------
    energies_ev : photon energy of each series by its name, for example ``{"O_pre": 525.0, "O_post":
        540.0}``
    tilt_deg : (n_frame,) tilt of each frame in acquisition order, degrees
    n_rows, n_cols : detector pixels
    pixel_nm : mean pixel size in the object plane
    magnification_spread : the pixel sizes of the series run evenly from ``pixel_nm × (1 − spread)``
        to ``pixel_nm × (1 + spread)``, in the order of the series
    jitter_px : standard deviation of every frame's own shift, pixels, in each direction
    drift_px : length of the steady drift from the first to the last frame, pixels, in a random
        direction per series
    axis_offset_px : column of the tilt axis less the middle of the detector, pixels
    axis_tilt_deg : in-plane tilt of the rotation axis, degrees, positive towards +x for increasing
        row
    psf_px : standard deviation of the Gaussian point-spread function of the intensity, pixels; 0
        for none
    subsamples : rays per pixel edge; the transmission is their mean
    photons_per_pixel : mean counts of the beam without the sample
    dark_level : mean counts without beam
    beam_structure : standard deviation of the beam over the detector, relative
    i0_drift : standard deviation of each frame's beam intensity, relative
    hot_fraction : share of pixels that read a high value for any illumination
    n_flat, n_dark : frames without sample, half of them before the series and half after, and
        without beam
    noise : False records the mean counts: no photon noise and no rounding
    truth_subsamples : points per voxel edge of the true volumes at surfaces
    """

    energies_ev: Mapping[str, float]
    tilt_deg: Float64Array
    n_rows: int
    n_cols: int
    pixel_nm: float
    magnification_spread: float
    jitter_px: float
    drift_px: float
    psf_px: float
    subsamples: int
    photons_per_pixel: float
    dark_level: float
    beam_structure: float
    i0_drift: float
    hot_fraction: float
    n_flat: int
    n_dark: int
    noise: bool
    truth_subsamples: int
    axis_offset_px: float = 0.0
    axis_tilt_deg: float = 0.0


@dataclass(frozen=True, eq=False)
class Truth:
    """True input of a simulated acquisition.

    Attributes
    ----------
    elements : order of the element axis of ``densities``
    series, energies_ev : (n_series,) names and energies
    tilt_deg : (n_frame,) degrees, in acquisition order
    pixel_nm : voxel size of the volumes, nm
    series_pixel_nm : (n_series,) pixel size of each series in the object plane
    shift_px : (n_series, n_frame, 2) shift of each raw frame in its own pixels: content sits at
        (+dy, +dx)
    beam_intensity : (n_series, n_frame) relative intensity of the beam in each frame
    densities : (n_element, n_z, n_y, n_x) relative densities, means over voxels
    deviation : (n_z, n_y, n_x) TM/O over the reference, minus 1; NaN where less than half of a
        voxel is solid
    fractions : share of each voxel by class: solid, rim, void, pore, crack, oxygen_poor,
        oxygen_rich
    """

    elements: tuple[str, ...]
    series: tuple[str, ...]
    energies_ev: Float64Array
    tilt_deg: Float64Array
    pixel_nm: float
    series_pixel_nm: Float64Array
    shift_px: Float64Array
    beam_intensity: Float64Array
    densities: FloatArray
    deviation: FloatArray
    fractions: Mapping[str, FloatArray]


class Scan(Protocol):
    """Object and beam of an acquisition."""

    def transmissions(self, series: int, *, shift_px: Float64Array, pixel_nm: float) -> FloatArray:
        """Transmission of each pixel in each frame of a series."""

    def beams(self, series: int, beam: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean counts without sample in the flats and in the frames of a series."""


@dataclass(frozen=True, eq=False)
class Recorded:
    """Raw series of an acquisition by name, and what is random about them; see :class:`Truth`."""

    series: dict[str, TiltSeries]
    pixel_nm: Float64Array
    shift_px: Float64Array
    beam_intensity: Float64Array


def outward_tilts_deg(limit_deg: float, step_deg: float) -> Float64Array:
    """Tilts in the order of a series that starts at 0 and proceeds to one end, then to the other.

    ``outward_tilts_deg(2, 1)`` is 0, 1, 2, −1, −2.
    """
    side = np.arange(1, int(limit_deg / step_deg + 1e-9) + 1) * step_deg
    return np.concatenate([[0.0], side, -side])


def simulate_acquisition(
    phantom: Phantom,
    acquisition: Acquisition,
    *,
    formula: Mapping[str, float],
    density_g_cm3: float,
    rng: np.random.Generator,
    instrument: RealInstrument = IDEAL,
) -> tuple[dict[str, TiltSeries], Truth]:
    """Record a tilt series of a phantom at each energy.

    The rays are exact line integrals at the shifted and magnified detector positions, so no frame
    is interpolated. Counts are ``Poisson(beam · PSF(mean exp(−OD)) + dark)``.

    Parameters
    ----------
    phantom : the object; all its elements must be in the formula
    acquisition : how it is recorded
    formula, density_g_cm3 : the reference composition, atoms per formula unit and g/cm³
    rng : random numbers; the same state gives the same frames
    instrument : departures of the instrument and the sample from the ideal ones

    Returns
    -------
    series : by the names of ``acquisition.energies_ev``, in acquisition order
    truth : true input of the simulation
    """
    check_acquisition(acquisition)
    # Drawn first, with separate random numbers: the ideal frames do not change.
    scan = real_scan(
        phantom, acquisition, instrument, formula=formula, density_g_cm3=density_g_cm3, rng=rng.spawn(1)[0]
    )
    recorded = recorded_series(acquisition, scan, rng=rng)
    return recorded.series, _truth(scan, formula, recorded)


def recorded_series(acquisition: Acquisition, scan: Scan, *, rng: np.random.Generator) -> Recorded:
    """Record the frames, flats and darks of every series of an acquisition.

    Parameters
    ----------
    acquisition : how an object is recorded
    scan : transmissions of the object and the beam
    rng : random numbers of shifts, beam and counts
    """
    names = tuple(acquisition.energies_ev)
    n_series, n_frame = len(names), len(acquisition.tilt_deg)
    spread = acquisition.magnification_spread * (
        np.linspace(-1, 1, n_series) if n_series > 1 else np.zeros(1)
    )
    pixels_nm = acquisition.pixel_nm * (1 + spread)
    shifts_px = frame_shifts_px(
        n_series, n_frame, jitter_px=acquisition.jitter_px, drift_px=acquisition.drift_px, rng=rng
    )
    shifts_px[..., 1] += acquisition.axis_offset_px
    intensity = 1 + acquisition.i0_drift * rng.normal(size=(n_series, n_frame))
    pattern = rng.normal(size=(acquisition.n_rows, acquisition.n_cols))
    hot = rng.uniform(size=pattern.shape) < acquisition.hot_fraction
    series = {}
    for i, name in enumerate(names):
        transmission = scan.transmissions(i, shift_px=shifts_px[i], pixel_nm=float(pixels_nm[i]))
        at_rest, during = scan.beams(i, _beam(acquisition, pattern, rng))
        shape = (acquisition.n_flat, *at_rest.shape)
        flat = _counts(np.broadcast_to(at_rest, shape), hot, acquisition, rng)
        dark = _counts(np.zeros((acquisition.n_dark, *pattern.shape), np.float32), hot, acquisition, rng)
        frames = _counts(transmission * (during * intensity[i][:, None, None]), hot, acquisition, rng)
        series[name] = _recorded(acquisition, name, float(pixels_nm[i]), frames, flat, dark)
    return Recorded(series, pixels_nm, shifts_px, intensity)


def _recorded(
    acquisition: Acquisition, name: str, pixel_nm: float, frames: AnyArray, flat: AnyArray, dark: AnyArray
) -> TiltSeries:
    """Return one series as in a file: with recorded tilts and energy, not the true ones."""
    n_frame = len(frames)
    before = (np.arange(acquisition.n_flat) < acquisition.n_flat / 2).astype(np.float64)
    return TiltSeries(
        frames=frames,
        tilt_deg=np.array(acquisition.tilt_deg, np.float64),
        energy_ev=np.full(n_frame, float(acquisition.energies_ev[name])),
        pixel_nm=np.full(n_frame, pixel_nm),
        quantity="counts",
        flat=flat.astype(np.float32) if acquisition.n_flat else None,
        dark=dark.astype(np.float32) if acquisition.n_dark else None,
        flat_position=np.where(before == 1, -1.0, float(n_frame)) if acquisition.n_flat else None,
        metadata={"series": name, "origin": "simulated"},
    )


def _truth(scan: RealScan, formula: Mapping[str, float], recorded: Recorded) -> Truth:
    """Return the object of an acquisition: the particle before damage, and its neighbours."""
    acquisition, phantom = scan.acquisition, scan.phantom
    shape = (acquisition.n_rows, acquisition.n_cols, acquisition.n_cols)
    pixel_nm, subsamples = acquisition.pixel_nm, acquisition.truth_subsamples
    densities = voxel_means(phantom, pixel_nm=pixel_nm, shape=shape, subsamples=subsamples)
    fractions = class_fractions(phantom, pixel_nm=pixel_nm, shape=shape, subsamples=subsamples)
    return Truth(
        elements=phantom.elements,
        series=tuple(acquisition.energies_ev),
        energies_ev=np.array([*acquisition.energies_ev.values()], np.float64),
        tilt_deg=np.array(acquisition.tilt_deg, np.float64),
        pixel_nm=acquisition.pixel_nm,
        series_pixel_nm=recorded.pixel_nm,
        shift_px=recorded.shift_px,
        beam_intensity=recorded.beam_intensity,
        densities=densities,
        deviation=true_deviation(densities, fractions["solid"], elements=phantom.elements, formula=formula),
        fractions=fractions,
    )


def frame_shifts_px(
    n_series: int, n_frame: int, *, jitter_px: float, drift_px: float, rng: np.random.Generator
) -> Float64Array:
    """Shifts of the frames: independent jitter and a steady drift in a random direction per series.

    Returns
    -------
    (n_series, n_frame, 2) float64, pixels (dy, dx)
    """
    angle = rng.uniform(0, 2 * np.pi, n_series)
    direction = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    progress = np.linspace(0, 1, n_frame) if n_frame > 1 else np.zeros(1)
    drift = drift_px * progress[None, :, None] * direction[:, None, :]
    return drift + jitter_px * rng.normal(size=(n_series, n_frame, 2))


def truth_arrays(truth: Truth) -> dict[str, np.ndarray]:
    """Return all of a truth as named arrays, for one file.

    The shares of a class are ``fraction_<class>``.
    """
    arrays: dict[str, np.ndarray] = {
        "elements": np.array(truth.elements),
        "series": np.array(truth.series),
        "energies_ev": truth.energies_ev,
        "tilt_deg": truth.tilt_deg,
        "pixel_nm": np.array(truth.pixel_nm),
        "series_pixel_nm": truth.series_pixel_nm,
        "shift_px": truth.shift_px,
        "beam_intensity": truth.beam_intensity,
        "densities": truth.densities,
        "deviation": truth.deviation,
    }
    return arrays | {f"fraction_{name}": share for name, share in truth.fractions.items()}


def _beam(acquisition: Acquisition, pattern: Float64Array, rng: np.random.Generator) -> FloatArray:
    """Mean counts of one energy's beam: a smooth profile times the detector's pattern."""
    shape = pattern.shape
    smooth = gaussian_filter(rng.normal(size=shape), 0.15 * min(shape), mode="wrap")
    smooth = (smooth - smooth.mean()) / max(float(smooth.std()), 1e-12)
    relative = 1 + acquisition.beam_structure * (smooth + PIXEL_PATTERN * pattern)
    return (acquisition.photons_per_pixel * np.clip(relative, 0.1, None)).astype(np.float32)


def _counts(mean: FloatArray, hot: BoolArray, acquisition: Acquisition, rng: np.random.Generator) -> AnyArray:
    """Detector counts (n, n_rows, n_cols) for mean counts: integers, float32 without noise."""
    expected = mean + np.float32(acquisition.dark_level)
    expected[:, hot] = HOT_LEVEL * acquisition.photons_per_pixel + acquisition.dark_level
    if not acquisition.noise:
        return expected.astype(np.float32)
    counts = rng.poisson(expected)
    return counts.astype(np.uint16 if counts.max(initial=0) <= np.iinfo(np.uint16).max else np.uint32)


def check_acquisition(acquisition: Acquisition) -> None:
    """Refuse settings that do not make an acquisition."""
    tilts = np.asarray(acquisition.tilt_deg)
    positive = {
        "n_rows": acquisition.n_rows,
        "n_cols": acquisition.n_cols,
        "pixel_nm": acquisition.pixel_nm,
        "subsamples": acquisition.subsamples,
        "photons_per_pixel": acquisition.photons_per_pixel,
        "truth_subsamples": acquisition.truth_subsamples,
        "number of energies": len(acquisition.energies_ev),
        "number of tilts": tilts.size,
    }
    not_negative = {
        name: getattr(acquisition, name)
        for name in (
            "jitter_px",
            "drift_px",
            "psf_px",
            "dark_level",
            "beam_structure",
            "i0_drift",
            "n_flat",
            "n_dark",
        )
    }
    wrong = [name for name, value in positive.items() if not value > 0]
    wrong += [name for name, value in not_negative.items() if not value >= 0]
    wrong += [] if 0 <= acquisition.hot_fraction < 1 else ["hot_fraction"]
    wrong += [] if 0 <= acquisition.magnification_spread < 0.5 else ["magnification_spread"]
    wrong += [] if tilts.ndim == 1 and np.isfinite(tilts).all() else ["tilt_deg"]
    if wrong:
        raise ConfigError(
            "acquisition",
            expected="sizes, numbers and counts above 0, shares and spreads of 0 or more",
            got=f"{', '.join(wrong)} outside that",
            fix="correct these settings",
        )
