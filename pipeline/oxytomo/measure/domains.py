"""Connected domains of each composition class: size, position, depth and connectivity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import numba
import numpy as np
from numpy.typing import NDArray

from oxytomo.arrays import Float64Array, IntArray
from oxytomo.errors import ShapeError
from oxytomo.measure.tables import table
from oxytomo.segment.classes import CLASS_LABELS
from oxytomo.segment.components import FACES, Components
from oxytomo.slabs import Field, read

if TYPE_CHECKING:
    import pandas as pd

SPANNING_SHARE = 0.9
"""A domain spans the particle if it extends over this share of the particle's length along z, y or
x."""


class Interconnection(TypedDict):
    """How connected a class is."""

    n_domains: int
    largest_share: float | None
    spanning: bool


@dataclass(frozen=True)
class Domains:
    """Connected domains of one class, in the order of their first voxels.

    Attributes
    ----------
    n_voxels : (n,) int64
    centroid_px : (n, 3) float64, z y x
    low, high : (n, 3) int64, first and last plane of each along z, y and x
    depth_sum_nm, depth_min_nm : (n,) float64, sum and minimum of the depths of its voxel centres,
        nm
    """

    n_voxels: IntArray
    centroid_px: Float64Array
    low: IntArray
    high: IntArray
    depth_sum_nm: Float64Array
    depth_min_nm: Float64Array

    def listed(self, min_voxels: int) -> IntArray:
        """Return the rows of the domains that are listed, largest first."""
        return _largest_first(self.n_voxels, min_voxels)


def find_domains(phases: Field, depth_nm: Field) -> dict[str, Domains]:
    """Find the connected domains of each class.

    A domain is a set of voxels of one class that are connected through faces (6-connectivity).

    Parameters
    ----------
    phases : (n_z, n_y, n_x) labels; only target, oxygen-poor and oxygen-rich form domains
    depth_nm : (n_z, n_y, n_x) field from :func:`oxytomo.measure.shells.depth_below_surface`

    Returns
    -------
    domains : by name of the class
    """
    if len(phases.shape) != 3 or phases.shape != depth_nm.shape:
        raise ShapeError(
            "phases and depth",
            expected="two volumes (z, y, x) of one shape",
            got=f"{phases.shape} and {depth_nm.shape}",
            fix="take both from the same reconstruction",
        )
    return {name: _measured(_members(phases, label), depth_nm) for name, label in CLASS_LABELS.items()}


def domain_table(domains: Mapping[str, Domains], *, voxel_nm: float, min_voxels: int) -> pd.DataFrame:
    """List the connected domains of each class, largest first within a class.

    Parameters
    ----------
    domains : from :func:`find_domains`
    voxel_nm : edge of a voxel, nm
    min_voxels : smaller domains are not listed

    Returns
    -------
    table : one row per domain: ``domain`` (number, int64), ``class`` (text), ``n_voxels`` (int64),
        ``volume_nm3``, ``equivalent_diameter_nm`` (of the sphere of the same volume),
        ``centroid_z_nm``, ``centroid_y_nm``, ``centroid_x_nm`` (from the centre of the volume's
        first voxel), ``depth_nm`` and ``depth_min_nm`` (mean and smallest depth of its voxels'
        centres below the outer surface; float64), ``touches_surface`` (some voxel shares a face
        with the outside; bool)
    """
    listed = {name: found.listed(min_voxels) for name, found in domains.items()}

    def column(attribute: str) -> Any:
        return np.concatenate([getattr(found, attribute)[listed[name]] for name, found in domains.items()])

    n_voxels, centroids_nm = column("n_voxels"), column("centroid_px") * voxel_nm
    volume_nm3, depth_min_nm = n_voxels * float(voxel_nm) ** 3, column("depth_min_nm")
    return table(
        {
            "domain": np.arange(1, n_voxels.size + 1),
            "class": [name for name, rows in listed.items() for _ in rows],
            "n_voxels": n_voxels,
            "volume_nm3": volume_nm3,
            "equivalent_diameter_nm": np.cbrt(6.0 / np.pi * volume_nm3),
            "centroid_z_nm": centroids_nm[:, 0],
            "centroid_y_nm": centroids_nm[:, 1],
            "centroid_x_nm": centroids_nm[:, 2],
            "depth_nm": column("depth_sum_nm") / n_voxels,
            "depth_min_nm": depth_min_nm,
            "touches_surface": depth_min_nm < 0.75 * voxel_nm,
        }
    )


def domain_labels(phases: Field, *, min_voxels: int) -> NDArray[np.int32]:
    """Return the number of each voxel's domain in :func:`domain_table`, int32.

    0 outside and in smaller domains.

    Parameters
    ----------
    phases : (n_z, n_y, n_x) labels
    min_voxels : smaller domains are not numbered
    """
    numbers: NDArray[np.int32] = np.zeros(phases.shape, np.int32)
    number_domains(phases, numbers, min_voxels=min_voxels)
    return numbers


def number_domains(phases: Field, numbers: Field, *, min_voxels: int) -> None:
    """Write the number of each voxel's domain (:func:`domain_labels`) into a field of zeros.

    Parameters
    ----------
    phases : (n_z, n_y, n_x) labels
    numbers : int32 field of the same shape, from :func:`oxytomo.slabs.new_field`
    min_voxels : smaller domains are not numbered
    """
    before = 0
    for label in CLASS_LABELS.values():
        found = _members(phases, label)
        listed = _largest_first(found.sizes()[1:], min_voxels)
        number = np.zeros(found.count + 1, np.int32)
        number[listed + 1] = before + 1 + np.arange(listed.size)
        for rows, labels in found:
            numbers[rows] = read(numbers, rows) + number[labels]
        before += listed.size


def interconnection(domains: Mapping[str, Domains], name: str, *, min_voxels: int) -> Interconnection:
    """Return whether a class is one network or many separate domains.

    Parameters
    ----------
    domains : domains of all classes, from :func:`find_domains`
    name : the class
    min_voxels : smaller domains are not counted in ``n_domains``

    Returns
    -------
    n_domains : number of domains (6-connectivity)
    largest_share : voxels of the largest domain / voxels of the class; None for an empty class
    spanning : the largest domain reaches over at least 90 % of the particle's length along z, y or
        x
    """
    found = domains[name]
    if not found.n_voxels.size:
        return {"n_domains": 0, "largest_share": None, "spanning": False}
    largest = int(np.argmax(found.n_voxels))
    low = np.concatenate([one.low for one in domains.values()]).min(axis=0)
    high = np.concatenate([one.high for one in domains.values()]).max(axis=0)
    reach = (found.high[largest] - found.low[largest] + 1) / (high - low + 1)
    return {
        "n_domains": int(np.count_nonzero(found.n_voxels >= min_voxels)),
        "largest_share": float(found.n_voxels[largest] / found.n_voxels.sum()),
        "spanning": bool((reach >= SPANNING_SHARE).any()),
    }


def _members(phases: Field, label: int) -> Components:
    return Components(lambda rows: read(phases, rows) == label, phases.shape, connectivity=FACES)


def _largest_first(n_voxels: IntArray, min_voxels: int) -> IntArray:
    """Return the indices of large enough sizes, by decreasing size; ties keep their order."""
    listed = np.flatnonzero(n_voxels >= min_voxels)
    order: IntArray = listed[np.argsort(-n_voxels[listed], kind="stable")]
    return order


def _measured(found: Components, depth_nm: Field) -> Domains:
    n = found.count + 1
    size, low, high = (
        np.zeros(n, np.int64),
        np.full((n, 3), np.iinfo(np.int64).max),
        np.zeros((n, 3), np.int64),
    )
    place, depth_sum, depth_min = np.zeros((n, 3), np.int64), np.zeros(n), np.full(n, np.inf)
    for rows, labels in found:
        _add_up(labels, read(depth_nm, rows), rows.start, size, place, low, high, depth_sum, depth_min)
    return Domains(size[1:], place[1:] / size[1:, None], low[1:], high[1:], depth_sum[1:], depth_min[1:])


@numba.njit(cache=True)
def _add_up(labels, depth, first, size, place, low, high, depth_sum, depth_min):  # type: ignore[no-untyped-def]
    """Add the voxels of some rows, from ``first`` on, to the numbers of their domains."""
    n_z, n_y, n_x = labels.shape
    for z in range(n_z):
        for y in range(n_y):
            for x in range(n_x):
                i = labels[z, y, x]
                if i == 0:
                    continue
                size[i] += 1
                depth_sum[i] += depth[z, y, x]
                depth_min[i] = min(depth_min[i], depth[z, y, x])
                here = (z + first, y, x)
                for axis in range(3):
                    place[i, axis] += here[axis]
                    low[i, axis] = min(low[i, axis], here[axis])
                    high[i, axis] = max(high[i, axis], here[axis])
