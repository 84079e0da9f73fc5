"""Geometry, energy and pixel size common to all series of a phase-contrast scan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from oxytomo.arrays import Field, Float64Array
from oxytomo.errors import ConfigError, InputError, ShapeError
from oxytomo.phase.optics import (
    Distance,
    diffraction_limit_nm,
    equivalent_distance,
    refractive_index,
    wavelength_nm,
)
from oxytomo.phase.propagation import margin_px

PIXEL_TOLERANCE = 0.02
"""A larger relative difference of recorded and expected pixel sizes is a mistake."""
ANGLE_TOLERANCE_DEG = 0.01


class Place(Protocol):
    """Position at which a series was taken."""

    @property
    def sample_detector_mm(self) -> float | None:
        """Distance from sample to detector, mm."""

    @property
    def source_sample_mm(self) -> float | None:
        """Distance from source to sample, mm; None for a parallel beam."""


@dataclass(frozen=True)
class ScanSeries:
    """One normalised series of a scan.

    Attributes
    ----------
    name : name of the series
    digest : digest of its content; copies have the same one
    frames : (n_tilt, n_y, n_x) optical density or phase, read on access
    tilt_deg, energy_ev, pixel_nm : (n_tilt,); NaN where the file does not give them
    """

    name: str
    digest: str
    frames: Field
    tilt_deg: Float64Array
    energy_ev: Float64Array
    pixel_nm: Float64Array


@dataclass(frozen=True)
class ScanOptions:
    """Information on a scan from the user; see the settings of the same names."""

    method: str | None
    voxel_nm: float
    delta_beta: float | None
    formula: Mapping[str, float] | None
    density_g_cm3: float | None


@dataclass(frozen=True)
class PhaseScan:
    """Facts of a scan.

    Attributes
    ----------
    names : series, in the order of the stores
    method : none, paganin, ctf, or given (phase maps)
    quantity : what the maps hold: phase_lag or optical_density
    sign : −1 where given phase maps are negative for matter
    tilt_deg : (n_tilt,) degrees
    shape : (n_y, n_x) of the frames
    pixel_nm : pixel size of the common grid, the finest one, nm
    energy_ev : photon energy, eV; NaN where it is not needed and unknown
    distances : equivalent parallel beams; empty without distances
    source_sample_mm : distance of the series with the finest pixels, mm; None for a parallel beam
    scales : common pixel size over that of each series
    delta_beta : δ/β, None: unknown
    margin_px : padding, pixels
    """

    names: tuple[str, ...]
    method: str
    quantity: str
    sign: int
    tilt_deg: Float64Array
    shape: tuple[int, int]
    pixel_nm: float
    energy_ev: float
    distances: tuple[Distance, ...]
    source_sample_mm: float | None
    scales: tuple[float, ...]
    delta_beta: float | None
    margin_px: int

    @property
    def wavelength(self) -> float:
        """Wavelength in nm."""
        return wavelength_nm(self.energy_ev)

    @property
    def diffraction_limit_nm(self) -> float:
        """Finest detail that the shortest distance's frame holds; 0 where no distance is used."""
        if not self.uses_propagation:
            return 0.0
        return diffraction_limit_nm(
            wavelength=self.wavelength,
            distance_nm=min(one.effective_nm for one in self.distances),
            width_nm=min(self.shape) * self.pixel_nm,
        )

    @property
    def reference(self) -> int:
        """Number of the series with the finest pixels."""
        return int(np.argmin([1 / scale for scale in self.scales]))

    @property
    def distances_nm(self) -> list[float]:
        """Effective distance of each series, nm."""
        return [one.effective_nm for one in self.distances]

    @property
    def uses_propagation(self) -> bool:
        """Whether the phase is retrieved from fringes; otherwise frames are used as they are."""
        return self.method in ("paganin", "ctf")


def phase_scan(
    series: Sequence[ScanSeries], places: Sequence[Place] | None, options: ScanOptions
) -> PhaseScan:
    """Check that the series belong together and return the facts of the scan.

    Parameters
    ----------
    series : in the order of the store
    places : position of each series; None for phase maps that are already retrieved
    options : information from the user

    Raises
    ------
    PipelineError
        When series differ in angles or shape, are copies of each other, or energy, pixel size or
        δ/β is missing or contradicts the geometry.
    """
    _check_common(series)
    distances = _equivalent(places or ())
    method = _method(options, None if places is None else len(places), len(distances))
    scales = _scales(distances) or (1.0,) * len(series)
    for one, scale in zip(series, scales, strict=True):
        check_pixel(one.name, one.pixel_nm, options.voxel_nm / scale)
    energy_ev = _energy(series)
    shape = (int(series[0].frames.shape[1]), int(series[0].frames.shape[2]))
    return PhaseScan(
        names=tuple(one.name for one in series),
        method=method,
        quantity="optical_density" if method == "none" else "phase_lag",
        sign=_sign(series[0]) if method == "given" else 1,
        tilt_deg=np.asarray(series[0].tilt_deg, np.float64),
        shape=shape,
        pixel_nm=options.voxel_nm,
        energy_ev=energy_ev,
        distances=distances,
        source_sample_mm=min(
            (p.source_sample_mm for p in places or () if p.source_sample_mm is not None), default=None
        ),
        scales=scales,
        delta_beta=_needed_delta_beta(options, series[0].name, method, energy_ev, len(distances)),
        margin_px=_margin(distances, energy_ev, options.voxel_nm, shape),
    )


def _margin(
    distances: tuple[Distance, ...], energy_ev: float, pixel_nm: float, shape: tuple[int, int]
) -> int:
    """Return the padding that the longest distance needs, 0 without distances."""
    if not distances or not np.isfinite(energy_ev):
        return 0
    longest = max(one.effective_nm for one in distances)
    return margin_px(wavelength=wavelength_nm(energy_ev), longest_nm=longest, pixel_nm=pixel_nm, shape=shape)


def _needed_delta_beta(
    options: ScanOptions, name: str, method: str, energy_ev: float, n_distance: int
) -> float | None:
    """Return δ/β where known; refuse a method that needs it, or the energy, without it."""
    if method in ("paganin", "ctf") and not np.isfinite(energy_ev):
        raise InputError(
            name,
            expected="a photon energy",
            got="none in the file",
            fix="give 'energy_ev:' beside the images",
        )
    delta_beta = _delta_beta(options, energy_ev)
    if delta_beta is None and (method == "paganin" or (method == "ctf" and n_distance < 2)):
        raise ConfigError(
            "structure.retrieve",
            expected="δ/β of the sample, for a single distance",
            got="neither delta_beta nor formula and density_g_cm3",
            fix="give one of them, or method: none for absorption",
        )
    return delta_beta


def _method(options: ScanOptions, n_place: int | None, n_distance: int) -> str:
    """Return the chosen method, or the one that fits the number of distances."""
    if n_place is None:
        return "given"
    fitting = "none" if n_distance == 0 else "paganin" if n_distance == 1 else "ctf"
    method = options.method or fitting
    if (method != "none" and n_distance == 0) or (method != "ctf" and n_place > 1):
        raise ConfigError(
            "structure.retrieve.method",
            expected=f"a method for {n_distance} distances ({fitting})",
            got=method,
            fix="give sample_detector_mm for each entry of projections; several distances need method: ctf",
        )
    return method


def _check_common(series: Sequence[ScanSeries]) -> None:
    """Refuse series that differ in angles or shape, or are copies of each other."""
    first = series[0]
    digests = [one.digest for one in series]
    for index, one in enumerate(series):
        copied = digests.index(one.digest)
        if copied < index:
            raise InputError(
                one.name,
                expected="frames of its own at every distance",
                got=f"the same frames as in {series[copied].name}",
                fix="correct the paths: one scan was given twice",
            )
        if one.frames.shape[1:] != first.frames.shape[1:]:
            raise ShapeError(
                one.name,
                expected=f"frames of {first.frames.shape[1:]} pixels as in {first.name}",
                got=str(one.frames.shape[1:]),
                fix="give frames of one camera region and binning",
            )
        same = one.tilt_deg.size == first.tilt_deg.size
        if not same or np.abs(one.tilt_deg - first.tilt_deg).max() > ANGLE_TOLERANCE_DEG:
            raise InputError(
                one.name,
                expected=f"the {first.tilt_deg.size} angles of {first.name}",
                got=f"{one.tilt_deg.size} others",
                fix="give scans of the same angles",
            )


def expected_pixels_nm(places: Sequence[Place], voxel_nm: float) -> tuple[float, ...]:
    """Object-plane pixel size of each series of a scan whose finest pixels are the voxels, nm."""
    distances = _equivalent(places)
    return tuple(voxel_nm / scale for scale in _scales(distances)) or (voxel_nm,) * len(places)


def _equivalent(places: Sequence[Place]) -> tuple[Distance, ...]:
    return tuple(
        equivalent_distance(sample_detector_mm=one.sample_detector_mm, source_sample_mm=one.source_sample_mm)
        for one in places
        if one.sample_detector_mm is not None
    )


def _scales(distances: tuple[Distance, ...]) -> tuple[float, ...]:
    """Finest pixel size over that of each distance."""
    largest = max((one.magnification for one in distances), default=1.0)
    return tuple(one.magnification / largest for one in distances)


def check_pixel(name: str, recorded: Float64Array, expected_nm: float) -> None:
    """Refuse a recorded pixel size that contradicts voxel size and magnification."""
    recorded = recorded[np.isfinite(recorded)]
    if recorded.size and abs(float(recorded.mean()) / expected_nm - 1) > PIXEL_TOLERANCE:
        raise InputError(
            name,
            expected=f"pixels of {expected_nm:.4g} nm, from voxel_nm and the magnification",
            got=f"{float(recorded.mean()):.4g} nm in the file",
            fix="correct voxel_nm (the object-plane pixel at the largest magnification) or the distances",
        )


def _energy(series: Sequence[ScanSeries]) -> float:
    """Energy common to all series, NaN where none is given."""
    known = [(one.name, e) for one in series for e in one.energy_ev if np.isfinite(e)]
    if not known:
        return float("nan")
    (low_name, low), (high_name, high) = (pick(known, key=lambda item: item[1]) for pick in (min, max))
    if high / low > 1.01:
        raise InputError(
            high_name,
            expected=f"the energy of {low_name} ({low:g} eV)",
            got=f"{high:g} eV",
            fix="give scans of one energy",
        )
    return float(np.mean([energy for _, energy in known]))


def _delta_beta(options: ScanOptions, energy_ev: float) -> float | None:
    """Return δ/β as given, or of the given material."""
    if options.delta_beta is not None:
        return options.delta_beta
    if options.formula is None or options.density_g_cm3 is None or not np.isfinite(energy_ev):
        return None
    delta, beta = refractive_index(options.formula, density_g_cm3=options.density_g_cm3, energy_ev=energy_ev)
    return delta / beta


def _sign(series: ScanSeries) -> int:
    """Sign of given phase maps: matter delays hard X-rays, so its phase lag is positive."""
    frame = np.asarray(series.frames[0])
    border = np.concatenate([frame[:, :2], frame[:, -2:]], axis=1)
    return 1 if np.nanmean(frame) >= np.nanmedian(border) else -1
