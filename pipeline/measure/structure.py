"""Porosity and its parts, shells, the central void: the headline numbers of a structure."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import stdtrit

from pipeline.arrays import BoolArray, Float64Array, FloatArray, LabelArray, NumberArray
from pipeline.measure.shells import shell_labels

Labels = np.ndarray[tuple[int, ...], np.dtype[np.int32]]

CENTRAL_SHARE = 0.25
CENTRAL_DIAMETER = 0.08
"""The central void holds the centre or comes within a quarter of the particle's radius of it, and has at least
8 % of the particle's diameter."""


def porosity(
    void: FloatArray,
    zone: Labels,
    particle: LabelArray,
    is_open: BoolArray,
    *,
    n_pores: int,
    label: int | None,
) -> dict[str, float]:
    """Return porosity, total and by kind, as fractions of the volume inside the skin.

    Parameters
    ----------
    void : (n_z, n_y, n_x) float32, void fraction
    zone : int32, the void (1 …) whose volume each voxel may hold a part of
    particle : uint8, particle of each voxel
    is_open : (n,) bool, per void: its network reaches the surface
    n_pores : voids up to this number are pores, those after it cracks
    label : one particle, or None for all
    """
    inside = particle > 0 if label is None else particle == label
    owner = zone if label is None else np.where(inside | (particle == 0), zone, 0)
    sums = np.bincount(owner.ravel(), void.ravel(), minlength=len(is_open) + 1)[1:]
    volume = max(int(inside.sum()), 1)
    kind = np.arange(len(sums)) < n_pores
    return {
        "total": float(sums.sum() / volume),
        "open": float(sums[is_open].sum() / volume),
        "closed": float(sums[~is_open].sum() / volume),
        "pores": float(sums[kind].sum() / volume),
        "cracks": float(sums[~kind].sum() / volume),
    }


def interval(
    value: float, spread: float, bias: float, replicates: int, *, confidence: float, most: float
) -> tuple[float, float]:
    """Return value ± t(n − 1) spread, reaching further to where the number was before noise; within 0 and ``most``.

    As much noise again moves a number by ``bias``, so the noise that is in it has moved it by about as much (Cook and
    Stefanski 1994). Counts need this most: every repetition may find the same false pore.
    """
    half = float(stdtrit(replicates - 1, (1 + confidence) / 2)) * spread
    return max(0.0, value - half - max(bias, 0.0)), min(most, value + half + max(-bias, 0.0))


def void_shells(
    void: FloatArray, zone: Labels, particle: LabelArray, depth_px: FloatArray, *, n_pores: int, n_shells: int
) -> list[dict[str, float]]:
    """Return porosity, of pores and of cracks, in shells of equal volume from rim to centre."""
    depth = np.where((particle > 0) & np.isfinite(depth_px), depth_px, np.nan).astype(np.float32)
    if not np.isfinite(depth).any():
        return []
    shells = shell_labels(np.round(depth, 1), n_shells=n_shells)
    count = np.bincount(shells.ravel(), minlength=n_shells + 1)[1:]
    rows = []
    in_pore, in_crack = (zone > 0) & (zone <= n_pores), zone > n_pores
    of_pores, of_cracks = (_by_shell(void, shells, which, n_shells) for which in (in_pore, in_crack))
    for i in range(n_shells):
        own = max(int(count[i]), 1)
        rows.append(
            {
                "shell": i + 1,
                "shell_outer": 100.0 * i / n_shells,
                "shell_inner": 100.0 * (i + 1) / n_shells,
                "porosity": float((of_pores[i] + of_cracks[i]) / own),
                "pores": float(of_pores[i] / own),
                "cracks": float(of_cracks[i] / own),
                "n_voxels": int(count[i]),
            }
        )
    return rows


def _by_shell(void: FloatArray, shells: LabelArray, which: BoolArray, n_shells: int) -> Float64Array:
    sums = np.bincount(shells[which], void[which], minlength=n_shells + 1)
    return sums[1:].astype(np.float64)


def central_void(
    pores: Mapping[str, NumberArray], particle: LabelArray, label: int, *, voxel_nm: float
) -> dict[str, Any] | None:
    """Return number, volume and off-centre distance of the central void of a particle, None without one."""
    place = np.argwhere(particle == label)
    centre = place.mean(axis=0) * voxel_nm
    diameter = float(np.cbrt(6 / np.pi * len(place))) * voxel_nm
    offset = np.sqrt(
        sum((pores[f"centroid_{axis}_nm"] - c) ** 2 for axis, c in zip("zyx", centre, strict=True))
    )
    near = offset - pores["equivalent_diameter_nm"] / 2 < CENTRAL_SHARE * diameter / 2
    big = pores["equivalent_diameter_nm"] >= CENTRAL_DIAMETER * diameter
    candidates = np.flatnonzero(near & big & (pores["particle"] == label))
    if not candidates.size:
        return None
    best = candidates[np.argmax(pores["volume_nm3"][candidates])]
    return {
        "pore": int(pores["pore"][best]),
        "volume_nm3": float(pores["volume_nm3"][best]),
        "off_centre_nm": float(offset[best]),
    }


DEFINITIONS = {
    "porosity": "sum of the void fraction over voids and what blur spreads of them / volume inside the skin",
    "skin": "closing of the solid with a ball, holes filled: cracks that are open to the outside belong to it",
    "open": "voids whose network reaches the skin; closed: all others",
    "open_fraction": "volume of the open voids / volume of all voids",
    "count": "pores: bodies of voxels that share a face, an edge or a corner; cracks: smooth sheets that noise does not make",
    "ci95": "value ± t s, s the standard deviation over searches with as much noise added, and by noise_bias further to "
    "the side from which noise moved the value; noise only",
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
"""What the numbers of ``structure.json`` mean, in one sentence each."""
