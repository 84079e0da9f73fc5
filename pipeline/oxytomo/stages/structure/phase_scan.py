"""What the series of a phase-contrast scan say together: one geometry, one energy, one pixel size."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.config import RetrievePhaseStage
from oxytomo.errors import ConfigError, InputError, ShapeError
from oxytomo.io.stores import Store
from oxytomo.phase.optics import (
    Distance,
    diffraction_limit_nm,
    equivalent_distance,
    refractive_index,
    wavelength_nm,
)
from oxytomo.phase.propagation import margin_px

PIXEL_TOLERANCE = 0.02
"""Relative difference of recorded and expected pixel sizes that is taken for a mistake."""
ANGLE_TOLERANCE_DEG = 0.01


class Place(Protocol):
    """Where a series was taken."""

    @property
    def sample_detector_mm(self) -> float | None:
        """Distance from sample to detector."""

    @property
    def source_sample_mm(self) -> float | None:
        """Distance from source to sample, None for a parallel beam."""


@dataclass(frozen=True)
class PhaseScan:
    """The facts of a scan.

    Attributes
    ----------
    names : series, in the order of the stores
    method : none, paganin, ctf, or given (phase maps)
    quantity : what the maps hold: phase_lag or optical_density
    sign : −1 where given phase maps are negative for matter
    tilt_deg : (n_tilt,)
    shape : (n_y, n_x) of the frames
    pixel_nm : of the common grid, the finest
    energy_ev : NaN where it is not needed and not known
    distances : equivalent parallel beams; empty without distances
    source_sample_mm : of the finest pixels, None for a parallel beam
    scales : common pixel size over that of each series
    delta_beta : δ/β, None: not known
    margin_px : padding
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
        if self.method not in ("paganin", "ctf"):
            return 0.0
        return diffraction_limit_nm(
            wavelength=self.wavelength,
            distance_nm=min(one.effective_nm for one in self.distances),
            width_nm=min(self.shape) * self.pixel_nm,
        )

    @property
    def scales_inverse(self) -> tuple[float, ...]:
        """Pixel size of each series over the common one."""
        return tuple(1 / scale for scale in self.scales)


def phase_scan(names: list[str], stores: list[Store], settings: RetrievePhaseStage) -> PhaseScan:
    """Check that the series belong together and return what they say.

    Raises
    ------
    PipelineError
        When series differ in angles or shape, are copies of each other, or energy, pixel size or δ/β is missing or
        contradicts the geometry.
    """
    tilt_deg, shape = _common(names, stores)
    places = list((settings.distances or {}).values())
    distances = _equivalent(places)
    method = _method(settings, len(distances))
    scales = _scales(distances) or (1.0,) * len(stores)
    for name, store, scale in zip(names, stores, scales, strict=True):
        check_pixel(name, store["pixel_nm"], settings.voxel_nm / scale)
    energy_ev = _energy(names, stores)
    if method in ("paganin", "ctf") and not np.isfinite(energy_ev):
        raise InputError(
            names[0],
            expected="a photon energy",
            got="none in the file",
            fix="give 'energy_ev:' beside the images",
        )
    delta_beta = _delta_beta(settings, energy_ev)
    if delta_beta is None and (method == "paganin" or (method == "ctf" and len(distances) < 2)):
        raise ConfigError(
            "structure.retrieve",
            expected="δ/β of the sample, for a single distance",
            got="neither delta_beta nor formula and density_g_cm3",
            fix="give one of them, or method: none for absorption",
        )
    nearest = min((p.source_sample_mm for p in places if p.source_sample_mm is not None), default=None)
    margin = 0
    if distances and np.isfinite(energy_ev):
        longest = max(one.effective_nm for one in distances)
        margin = margin_px(
            wavelength=wavelength_nm(energy_ev), longest_nm=longest, pixel_nm=settings.voxel_nm, shape=shape
        )
    return PhaseScan(
        names=tuple(names),
        method=method,
        quantity="optical_density" if method == "none" else "phase_lag",
        sign=_sign(stores[0]) if method == "given" else 1,
        tilt_deg=tilt_deg,
        shape=shape,
        pixel_nm=settings.voxel_nm,
        energy_ev=energy_ev,
        distances=distances,
        source_sample_mm=nearest,
        scales=scales,
        delta_beta=delta_beta,
        margin_px=margin,
    )


def _method(settings: RetrievePhaseStage, n_distance: int) -> str:
    """Return the chosen method, or the one that fits the number of distances."""
    if settings.distances is None:
        return "given"
    fitting = "none" if n_distance == 0 else "paganin" if n_distance == 1 else "ctf"
    method = settings.method or fitting
    if (method != "none" and n_distance == 0) or (method != "ctf" and len(settings.distances) > 1):
        raise ConfigError(
            "structure.retrieve.method",
            expected=f"a method for {n_distance} distances ({fitting})",
            got=method,
            fix="give sample_detector_mm for each entry of projections; several distances need method: ctf",
        )
    return method


def _common(names: list[str], stores: list[Store]) -> tuple[Float64Array, tuple[int, int]]:
    """Angles and shape that all series share."""
    digests = [store.digest for store in stores]
    shapes = [store.array("value").shape for store in stores]
    tilts = [store["tilt_deg"] for store in stores]
    for index, name in enumerate(names):
        first = digests.index(digests[index])
        if first < index:
            raise InputError(
                name,
                expected="frames of its own at every distance",
                got=f"the same frames as in {names[first]}",
                fix="correct the paths: one scan was given twice",
            )
        if shapes[index][1:] != shapes[0][1:]:
            raise ShapeError(
                name,
                expected=f"frames of {shapes[0][1:]} pixels as in {names[0]}",
                got=str(shapes[index][1:]),
                fix="give frames of one camera region and binning",
            )
        same = tilts[index].size == tilts[0].size
        if not same or np.abs(tilts[index] - tilts[0]).max() > ANGLE_TOLERANCE_DEG:
            raise InputError(
                name,
                expected=f"the {tilts[0].size} angles of {names[0]}",
                got=f"{tilts[index].size} others",
                fix="give scans of the same angles",
            )
    return np.asarray(tilts[0], np.float64), (int(shapes[0][1]), int(shapes[0][2]))


def expected_pixels_nm(places: Sequence[Place], voxel_nm: float) -> tuple[float, ...]:
    """Object-plane pixel size of each series of a scan whose finest pixels are the voxels."""
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


def _energy(names: list[str], stores: list[Store]) -> float:
    """Energy that all series share, NaN where none says it."""
    known = [(n, e) for n, s in zip(names, stores, strict=True) for e in s["energy_ev"] if np.isfinite(e)]
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


def _delta_beta(settings: RetrievePhaseStage, energy_ev: float) -> float | None:
    """δ/β as given, or of the given material."""
    if settings.delta_beta is not None:
        return settings.delta_beta
    if settings.formula is None or settings.density_g_cm3 is None or not np.isfinite(energy_ev):
        return None
    delta, beta = refractive_index(
        settings.formula, density_g_cm3=settings.density_g_cm3, energy_ev=energy_ev
    )
    return delta / beta


def _sign(store: Store) -> int:
    """Sign of given phase maps: matter always delays hard X-rays, so the particle's side is the positive one."""
    frame = np.asarray(store.array("value")[0])
    border = np.concatenate([frame[:, :2], frame[:, -2:]], axis=1)
    return 1 if np.nanmean(frame) >= np.nanmedian(border) else -1
