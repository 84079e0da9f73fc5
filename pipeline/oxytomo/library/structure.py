"""Pores and cracks of a reconstructed volume."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from oxytomo.arrays import Brief
from oxytomo.config import MeasureVoidsSettings, SegmentVoidsSettings
from oxytomo.errors import ConfigError, ShapeError
from oxytomo.library.defaults import checked, require_made, table, volume_of
from oxytomo.measure.void_facts import MeasuredVoids, void_facts
from oxytomo.measure.void_tables import trial_numbers, void_tables
from oxytomo.measure.void_warnings import structure_warnings
from oxytomo.segment.void_noise import noise_spread
from oxytomo.segment.voids import Voids
from oxytomo.segment.voids import segment_voids as found_voids
from oxytomo.slabs import Field

if TYPE_CHECKING:
    from pandas import DataFrame

SEGMENT = SegmentVoidsSettings()
MEASURE = MeasureVoidsSettings()


@dataclass(frozen=True, eq=False, repr=False)
class VoidMeasures(Brief):
    """Pores and cracks in numbers.

    Attributes
    ----------
    pores : one row per pore; lengths in nm, volumes in nm³
    cracks : one row per crack; apertures in nm, areas in nm²
    numbers : the content of ``structure.json``: porosity, pores, cracks, network, shells,
        particles, calibration, with 95 % intervals (``ci95``) and definitions
    warnings : warnings, as sentences
    """

    pores: "DataFrame"
    cracks: "DataFrame"
    numbers: Mapping[str, Any]
    warnings: tuple[str, ...]


def segment_voids(
    volume: ArrayLike | Field,
    *,
    mask: ArrayLike | None = None,
    blur_px: float | None = SEGMENT.blur_px,
    bridge_px: float = SEGMENT.bridge_px,
    false_cracks: float = SEGMENT.false_cracks,
    false_discovery: float = SEGMENT.false_discovery,
    largest_share: float = SEGMENT.largest_share,
    separate: bool = SEGMENT.separate,
) -> Voids:
    """Find the particles of a volume, their pores and their cracks.

    Cracks are ridges of a plate filter at several widths. They are kept if noise alone would give
    fewer than the allowed number (Benjamini and Hochberg, J. R. Stat. Soc. B 57, 289, 1995).
    Apertures follow from the missing grey value across a crack, so that cracks thinner than a voxel
    are measured too.

    Parameters
    ----------
    volume : (n_z, n_y, n_x) array, bright solid in dark air; NaN counts as air. A slice may be
        (n_y, n_x)
    mask : your own mask of the particles, 0 outside and 1, 2 … inside; None: segmented from the
        volume
    blur_px : standard deviation of the blur, voxels; None: measured at the edge of the particle
    bridge_px : radius of the ball that closes cracks open to the outside, voxels
    false_cracks : mean number of false cracks in the whole volume that noise alone may cause
    false_discovery : fraction of the detected cracks that may be false
    largest_share : particles smaller than this fraction of the largest one are left out
    separate : split particles that touch each other, at the necks between them

    Returns
    -------
    Voids with ``particle``, ``void`` (void fraction), ``voids`` (1 pore, 2 crack), ``instances``,
    ``depth_px``, all (n_z, n_y, n_x), ``n_pores``, ``sheets`` (the cracks) and the calibration

    Raises
    ------
    InputError
        For a volume without a particle, with inverted contrast, or with only void.
    ShapeError
        For a mask with another shape than the volume.
    ConfigError
        For a setting out of range.

    Examples
    --------
    >>> from oxytomo import segment_voids, simulate_voids
    >>> volume = simulate_voids(64, apertures_px=[], pore_radii_px=[5.0]).volume
    >>> voids = segment_voids(volume)
    >>> voids.n_pores, voids.sheets.count
    (1, 0)
    """
    settings = checked(
        SegmentVoidsSettings,
        "segment_voids",
        blur_px=blur_px,
        bridge_px=bridge_px,
        false_cracks=false_cracks,
        false_discovery=false_discovery,
        largest_share=largest_share,
        separate=separate,
    )
    values, _ = volume_of(volume)
    return found_voids(
        values,
        None if mask is None else _particles(mask, values.shape),
        blur_px=settings.blur_px,
        bridge_px=settings.bridge_px,
        false_cracks=settings.false_cracks,
        false_discovery=settings.false_discovery,
        smallest_share=settings.largest_share,
        separate=settings.separate,
    )


def measure_voids(
    voids: Voids,
    voxel_nm: float,
    *,
    shells: int = MEASURE.shells,
    replicates: int = MEASURE.replicates,
    seed: int = MEASURE.seed,
    bridge_px: float = SEGMENT.bridge_px,
    false_cracks: float = SEGMENT.false_cracks,
    false_discovery: float = SEGMENT.false_discovery,
) -> VoidMeasures:
    """Measure pores, cracks and their network, with intervals from resampled noise.

    Volumes are sums of the void fraction; apertures are area-weighted. For the intervals the
    segmentation is repeated on the segmented volume with resampled noise.

    Parameters
    ----------
    voids : result of :func:`segment_voids`
    voxel_nm : voxel size, nm
    shells : number of shells of equal volume from rim to centre
    replicates : number of segmentations with resampled noise, for the intervals; 0 for none
    seed : seed of the random numbers
    bridge_px, false_cracks, false_discovery : as given to :func:`segment_voids`

    Returns
    -------
    VoidMeasures

    Raises
    ------
    ConfigError
        For a setting out of range, or an invalid voxel size.

    Examples
    --------
    >>> from oxytomo import measure_voids, segment_voids, simulate_voids
    >>> volume = simulate_voids(64, apertures_px=[], pore_radii_px=[5.0]).volume
    >>> found = measure_voids(segment_voids(volume), voxel_nm=20, replicates=0)
    >>> diameter_nm = found.pores.equivalent_diameter_nm
    >>> len(diameter_nm), bool(abs(diameter_nm[0] - 200) < 10)
    (1, True)
    """
    require_made(voids, Voids, "voids", "segment_voids")
    settings = checked(MeasureVoidsSettings, "measure_voids", shells=shells, replicates=replicates, seed=seed)
    segment = checked(
        SegmentVoidsSettings,
        "measure_voids",
        bridge_px=bridge_px,
        false_cracks=false_cracks,
        false_discovery=false_discovery,
    )
    if not (np.isfinite(voxel_nm) and voxel_nm > 0):
        raise ConfigError(
            "voxel_nm", expected="a number above 0 in nm", got=f"{voxel_nm:g}", fix="correct it"
        )
    tables = void_tables(voids, voxel_nm=voxel_nm)
    spread = noise_spread(
        voids,
        partial(trial_numbers, voids, tables.network),
        replicates=settings.replicates,
        rng=np.random.default_rng(settings.seed),
        false_cracks=segment.false_cracks,
        false_discovery=segment.false_discovery,
    )
    found = MeasuredVoids.of(voids, tables, spread, bridge_px=segment.bridge_px, voxel_nm=voxel_nm)
    numbers = void_facts(found, shells=settings.shells)
    return VoidMeasures(
        table(tables.pores), table(tables.cracks), numbers, tuple(structure_warnings(numbers))
    )


def _particles(mask: ArrayLike, shape: tuple[int, ...]) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """Return a mask as labels, like the volume."""
    labels, _ = volume_of(mask, "mask")
    if labels.shape != shape:
        raise ShapeError(
            "mask", expected=f"{shape}, as the volume", got=f"{labels.shape}", fix="give one of its shape"
        )
    return np.clip(np.round(labels), 0, 255).astype(np.uint8)
