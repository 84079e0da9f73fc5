"""Porosity and its parts, shells, the central void: the main numbers of a structure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri, stdtrit

from oxytomo.arrays import BoolArray, Float64Array, FloatArray, IntArray, NumberArray
from oxytomo.measure.totals import ParticleTotals
from oxytomo.slabs import Field, read, slabs

if TYPE_CHECKING:
    import pandas as pd

STEPS_PER_PX = 10
DEEPEST_OUTSIDE_PX = 25
"""Largest distance of voxels of a particle outside its smoothed skin."""
AS_FAR_AGAIN = 3.0
"""Factor on the change by the second bridging length in the interval of a porosity. Balls of open
foam with known porosity need 1.7 to 2.7."""
CENTRAL_SHARE = 0.25
CENTRAL_DIAMETER = 0.08
"""The central void contains the centre, or is within a quarter of the particle's radius of it, and
has at least 8 % of the particle's diameter."""


METHOD_SHARE: Mapping[str, float] = {
    "total": 0.03,
    "open": 0.03,
    "closed": 0.03,
    "unknown": 0.03,
    "pores": 0.03,
    "cracks": 0.03,
    "mean_aperture": 0.04,
    "open_fraction": 0.04,
}
"""Relative error of the method itself, without noise: about the rms error in twelve simulated
particles of 96³ voxels (``benchmarks/void_intervals.py``, seeds 700–711; open share: 900–905)."""


def porosity(
    sums: Float64Array,
    volume_px: IntArray,
    is_open: BoolArray,
    unknown: BoolArray | None = None,
    *,
    n_pores: int,
    label: int | None,
) -> dict[str, float]:
    """Return porosity, total and by kind, as fractions of the volume inside the skin.

    Parameters
    ----------
    sums : void fraction by particle and void, from :func:`oxytomo.measure.totals.void_totals`;
        voids outside every particle count for each of them
    volume_px : voxels by particle, from :func:`oxytomo.measure.totals.particle_totals`
    is_open, unknown : (n,) bool, per void: its network reaches the surface; it may do so beyond the
        edge of the volume (None: no void is cut, and the result has no ``unknown``)
    n_pores : voids up to this number are pores, later ones cracks
    label : one particle, or None for all
    """
    own = sums.sum(axis=0) if label is None else sums[label] + sums[0]
    volume = max(int(volume_px[1:].sum() if label is None else volume_px[label]), 1)
    own, kind = own[1:], np.arange(len(is_open)) < n_pores
    rest = {} if unknown is None else {"unknown": float(own[unknown].sum() / volume)}
    closed = ~is_open if unknown is None else ~(is_open | unknown)
    return {
        "total": float(own.sum() / volume),
        "open": float(own[is_open].sum() / volume),
        "closed": float(own[closed].sum() / volume),
        **rest,
        "pores": float(own[kind].sum() / volume),
        "cracks": float(own[~kind].sum() / volume),
    }


def interval(
    value: float,
    spread: float,
    bias: float,
    replicates: int,
    *,
    confidence: float,
    most: float,
    method_share: float = 0.0,
) -> tuple[float, float]:
    """Return value ± t(n − 1) spread, extended towards the value without noise.

    It is clipped to 0 … ``most``.

    ``method_share`` is the method's own standard error relative to the value
    (:data:`METHOD_SHARE`), added in quadrature. The same amount of noise again shifts a number by
    ``bias``, so the noise already in it has shifted it by about as much (Cook and Stefanski 1994).
    Counts need this most, because every repetition may find the same false pore.
    """
    noise = float(stdtrit(replicates - 1, (1 + confidence) / 2)) * spread
    half = float(np.hypot(noise, ndtri((1 + confidence) / 2) * method_share * value))
    return max(0.0, value - half - max(bias, 0.0)), min(most, value + half + max(-bias, 0.0))


def bridged_farther(parts: Mapping[str, float], volume_px: int, more_px: int) -> dict[str, float]:
    """Return porosity and its parts for a skin that includes wide openings as open pores.

    Parameters
    ----------
    parts : from :func:`porosity`
    volume_px : volume inside the skin
    more_px : additional volume inside a skin that is bridged twice as far; it holds no solid
    """
    more = {"total": more_px, "open": more_px, "pores": more_px}
    return {
        name: (value * volume_px + more.get(name, 0)) / max(volume_px + more_px, 1)
        for name, value in parts.items()
    }


def widened(
    limits: tuple[float, float] | None, value: float, at_second: float, *, most: float
) -> tuple[float, float] | None:
    """Return an interval that includes the value allowed by the uncertainty of the skin.

    All still wider openings together are assumed to change twice as much as doubling the bridging
    length does.
    """
    if limits is None:
        return None
    reach = AS_FAR_AGAIN * (at_second - value)
    return max(0.0, limits[0] + min(reach, 0.0)), min(most, limits[1] + max(reach, 0.0))


def void_shells(
    void: Field, zone: Field, particle: Field, depth_px: Field, *, n_pores: int, n_shells: int
) -> list[dict[str, float]]:
    """Return porosity, of pores and of cracks, in shells of equal volume from rim to centre.

    Depths are rounded to a tenth of a voxel; the limits are those of
    :func:`oxytomo.measure.shells.shell_labels`.
    """
    counts, sums = np.zeros(0, np.int64), np.zeros((2, 0))
    for slab in slabs(void.shape):
        inside, depth = read(particle, slab.rows) > 0, read(depth_px, slab.rows)
        inside &= np.isfinite(depth)
        place = np.rint(depth[inside] * STEPS_PER_PX).astype(np.int64) + DEEPEST_OUTSIDE_PX * STEPS_PER_PX
        owner, fraction = read(zone, slab.rows)[inside], read(void, slab.rows)[inside]
        counts = _grown(counts, np.bincount(place))
        kinds = ((owner > 0) & (owner <= n_pores), owner > n_pores)
        sums = np.stack(
            [
                _grown(total, _sums_at(place[kind], fraction[kind], counts.size))
                for total, kind in zip(sums, kinds, strict=True)
            ]
        )
    if not counts.sum():
        return []
    middle_share = (np.cumsum(counts) - counts / 2) / counts.sum()
    shell = np.minimum((middle_share * n_shells).astype(int), n_shells - 1)
    n_voxels = np.bincount(shell, counts, minlength=n_shells).astype(np.int64)
    of_pores, of_cracks = (np.bincount(shell, part, minlength=n_shells) for part in sums)
    return [
        {
            "shell": i + 1,
            "shell_outer": 100.0 * i / n_shells,
            "shell_inner": 100.0 * (i + 1) / n_shells,
            "porosity": float((of_pores[i] + of_cracks[i]) / own),
            "pores": float(of_pores[i] / own),
            "cracks": float(of_cracks[i] / own),
            "n_voxels": int(n_voxels[i]),
        }
        for i, own in enumerate(np.maximum(n_voxels, 1))
    ]


def _sums_at(place: IntArray, values: FloatArray, size: int) -> Float64Array:
    # Without values bincount counts instead of summing.
    return np.bincount(place, values, minlength=size).astype(np.float64)


def _grown(total: NumberArray, part: NumberArray) -> NumberArray:
    """Add two lists of which one may be shorter."""
    short, long = sorted((total, part), key=len)
    result: NumberArray = long.copy()
    result[: len(short)] += short
    return result


def central_void(
    pores: pd.DataFrame, totals: ParticleTotals, label: int, *, voxel_nm: float
) -> dict[str, Any] | None:
    """Return number, volume and distance from the centre of a particle's central void, or None."""
    centre = totals.centre[label] * voxel_nm
    diameter = float(np.cbrt(6 / np.pi * totals.volume_px[label])) * voxel_nm
    column = {name: np.asarray(values) for name, values in pores.items()}
    offset = np.sqrt(
        sum((column[f"centroid_{axis}_nm"] - c) ** 2 for axis, c in zip("zyx", centre, strict=True))
    )
    near = offset - column["equivalent_diameter_nm"] / 2 < CENTRAL_SHARE * diameter / 2
    big = column["equivalent_diameter_nm"] >= CENTRAL_DIAMETER * diameter
    candidates = np.flatnonzero(near & big & (column["particle"] == label))
    if not candidates.size:
        return None
    best = candidates[np.argmax(column["volume_nm3"][candidates])]
    return {
        "pore": int(column["pore"][best]),
        "volume_nm3": float(column["volume_nm3"][best]),
        "off_centre_nm": float(offset[best]),
    }


DEFINITIONS = {
    "porosity": "sum of the void fraction over voids and what blur spreads of them / volume inside the skin",
    "skin": "closing of the solid with a ball, holes filled: cracks that are open to the outside belong to it, openings wider "
    "than twice the bridging length do not",
    "second_bridging": "the same with a ball of twice the radius: what it encloses besides is taken for open pores",
    "open_porosity": "volume of the voids whose network of pores and cracks reaches the skin of the particle: electrolyte can "
    "get into them / volume inside the skin",
    "closed_porosity": "volume of the voids whose network ends inside the particle: no way leads to the skin / volume inside the "
    "skin",
    "open": "voids whose network reaches the skin; closed: those of which neither skin nor edge of the volume is reached; null "
    "where the volume holds no skin",
    "unknown": "voids whose network the edge of the volume cuts and that do not reach the skin inside it",
    "cut": "voids with a voxel on a face of the volume: what is seen of them is not all; sizes and medians leave them out",
    "open_fraction": "volume of the open voids / volume of the open and the closed ones; its interval holds noise, the shares "
    "that contacts and skin one voxel nearer or farther would give, those with all unknown voids closed or open, and the skin",
    "count": "pores: bodies of voxels that share a face, an edge or a corner; cracks: smooth sheets that noise does not make",
    "ci95": "value ± t s, s the standard deviation over searches with as much noise added, and by noise_bias further to "
    "the side from which noise moved the value; of porosities, open_fraction and the mean aperture with the method's own error "
    "on simulated particles (3 % of a porosity, else 4 %, in quadrature), of all others noise only; those of porosities and "
    "open_fraction reach besides three times as far as the second bridging length moves them",
    "noise_bias": "mean over these searches - value: how far as much noise again shifts the number",
    "networks": "voids that touch: pores (26-connected bodies) and crack sheets are the nodes, contacts the edges",
    "junctions": "contacts of two crack sheets",
    "tortuosity": "way to the surface through voids / straight way, mean over open voids",
    "euler_number": "objects - tunnels + cavities of the voids, per threshold of the void fraction",
    "shells": "shells of equal volume by distance to the skin, from rim to centre, in percent of the volume",
    "smallest_aperture_nm": "aperture whose plate response reaches the detection level at this noise and blur",
    "aperture": "void fraction summed across the crack, area-weighted median",
    "aperture_distribution": "area of the cracks, without their rims, by local aperture (mean within three voxels)",
    "mean_aperture": "area-weighted mean of the local aperture away from the rims of the cracks",
    "local_thickness": "diameter of the largest ball inside the pores that covers a voxel; quantiles over their voxels",
    "central_void": "largest pore within a quarter of the radius of the particle's centre",
}
"""Definitions of the numbers of ``structure.json``, one sentence each."""
