"""Connected domains of each composition class: size, place, depth and interconnection."""

from dataclasses import dataclass
from typing import TypedDict

import cc3d
import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import BoolArray, Float64Array, FloatArray, IntArray, LabelArray
from pipeline.errors import ShapeError
from pipeline.measure.shells import Column
from pipeline.segment.classes import CLASS_LABELS

SPANNING_SHARE = 0.9
"""A domain spans the particle when it reaches over this share of the particle's length along z, y or x."""


class Interconnection(TypedDict):
    """How connected a class is."""

    n_domains: int
    largest_share: float | None
    spanning: bool


def domain_table(
    phases: LabelArray, depth_nm: FloatArray, *, voxel_nm: float, min_voxels: int
) -> dict[str, Column]:
    """List the connected domains of each class, largest first within a class.

    A domain is a set of voxels of one class that are connected through faces (6-connectivity).

    Parameters
    ----------
    phases : (n_z, n_y, n_x) labels; only target, oxygen-poor and oxygen-rich form domains
    depth_nm : (n_z, n_y, n_x) array from :func:`pipeline.measure.shells.depth_below_surface`
    voxel_nm : edge of a voxel
    min_voxels : smaller domains are not listed

    Returns
    -------
    table : columns ``domain`` (number), ``class``, ``n_voxels``, ``volume_nm3``,
        ``equivalent_diameter_nm`` (of the sphere of the same volume), ``centroid_z_nm``,
        ``centroid_y_nm``, ``centroid_x_nm`` (from the centre of the volume's first voxel), ``depth_nm``
        and ``depth_min_nm`` (mean and smallest depth of its voxels' centres below the outer surface),
        ``touches_surface`` (some voxel shares a face with the outside)
    """
    if phases.ndim != 3 or phases.shape != depth_nm.shape:
        raise ShapeError(
            "phases and depth",
            expected="two volumes (z, y, x) of one shape",
            got=f"{phases.shape} and {depth_nm.shape}",
            fix="take both from the same reconstruction",
        )
    found = _components(phases)
    domains, n_voxels, label = found.domains, found.n_voxels, found.label
    n_domains = n_voxels.size - 1
    inside = domains > 0
    of_voxel = domains[inside].astype(np.int64)
    depth = depth_nm[inside]
    depth_sum = np.bincount(of_voxel, weights=depth, minlength=n_domains + 1)
    depth_min = np.full(n_domains + 1, np.inf, dtype=np.float32)
    np.minimum.at(depth_min, of_voxel, depth)

    listed = found.listed(min_voxels)
    volume_nm3 = n_voxels[listed] * float(voxel_nm) ** 3
    centroids_nm = found.centroids_px[listed] * voxel_nm
    name_of = {value: name for name, value in CLASS_LABELS.items()}
    return {
        "domain": np.arange(1, listed.size + 1),
        "class": [name_of[int(value)] for value in label[listed]],
        "n_voxels": n_voxels[listed],
        "volume_nm3": volume_nm3,
        "equivalent_diameter_nm": np.cbrt(6.0 / np.pi * volume_nm3),
        "centroid_z_nm": centroids_nm[:, 0],
        "centroid_y_nm": centroids_nm[:, 1],
        "centroid_x_nm": centroids_nm[:, 2],
        "depth_nm": depth_sum[listed] / n_voxels[listed],
        "depth_min_nm": depth_min[listed].astype(np.float64),
        "touches_surface": depth_min[listed] < 0.75 * voxel_nm,
    }


def domain_labels(phases: LabelArray, *, min_voxels: int) -> NDArray[np.int32]:
    """Return the number of each voxel's domain in :func:`domain_table`, int32; 0 outside and in smaller domains.

    Parameters
    ----------
    phases : (n_z, n_y, n_x) labels
    min_voxels : smaller domains are not numbered
    """
    found = _components(phases)
    listed = found.listed(min_voxels)
    numbers = np.zeros(found.n_voxels.size, np.int32)
    numbers[listed] = np.arange(1, listed.size + 1)
    labels: NDArray[np.int32] = numbers[found.domains]
    return labels


@dataclass(frozen=True)
class _Components:
    """Connected domains in the order they were found: voxels' numbers, and per number (0: none) its facts."""

    domains: LabelArray
    n_voxels: IntArray
    label: IntArray
    centroids_px: Float64Array

    def listed(self, min_voxels: int) -> IntArray:
        """Return the numbers of the domains that are listed, by class, then largest first."""
        listed = np.flatnonzero(self.n_voxels >= min_voxels)
        listed = listed[listed > 0]
        order: IntArray = np.lexsort((listed, -self.n_voxels[listed], self.label[listed]))
        return listed[order]


def _components(phases: LabelArray) -> _Components:
    """Find the domains of all classes (6-connectivity)."""
    classed = np.where(np.isin(phases, list(CLASS_LABELS.values())), phases, 0).astype(np.uint8)
    domains, n_domains = cc3d.connected_components(classed, connectivity=6, return_N=True)
    statistics = cc3d.statistics(domains, no_slice_conversion=True)
    label = np.zeros(n_domains + 1, dtype=np.int64)
    inside = domains > 0
    label[domains[inside]] = classed[inside]
    n_voxels = statistics["voxel_counts"].astype(np.int64)
    return _Components(domains, n_voxels, label, statistics["centroids"])


def interconnection(phases: LabelArray, label: int, *, min_voxels: int) -> Interconnection:
    """Say whether a class is one network or many islands.

    Parameters
    ----------
    phases : (n_z, n_y, n_x) labels
    label : the class
    min_voxels : smaller domains are not counted in ``n_domains``

    Returns
    -------
    n_domains : number of domains (6-connectivity)
    largest_share : voxels of the largest domain / voxels of the class; None for an empty class
    spanning : the largest domain reaches over at least 90 % of the particle's length along z, y or x
    """
    member: BoolArray = phases == label
    n_member = int(np.count_nonzero(member))
    if n_member == 0:
        return {"n_domains": 0, "largest_share": None, "spanning": False}
    domains = cc3d.connected_components(member, connectivity=6)
    statistics = cc3d.statistics(domains, no_slice_conversion=True)
    n_voxels = statistics["voxel_counts"][1:].astype(np.int64)
    largest = int(np.argmax(n_voxels))
    reach = _lengths(domains == largest + 1) / _lengths(phases > 0)
    return {
        "n_domains": int(np.count_nonzero(n_voxels >= min_voxels)),
        "largest_share": float(n_voxels[largest] / n_member),
        "spanning": bool((reach >= SPANNING_SHARE).any()),
    }


def _lengths(mask: BoolArray) -> FloatArray:
    """Return the number of planes along each axis from the first to the last voxel of a mask."""
    lengths = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        planes = np.flatnonzero(mask.any(axis=others))
        lengths.append(planes[-1] - planes[0] + 1)
    return np.array(lengths, dtype=np.float32)
