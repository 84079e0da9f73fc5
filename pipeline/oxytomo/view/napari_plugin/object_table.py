"""Domains, pores and cracks of a sample as one table, and which voxels belong to a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numba
import numpy as np

from oxytomo.arrays import BoolArray, Float64Array, IntArray, LabelArray
from oxytomo.errors import InputError, PipelineError
from oxytomo.measure.domains import domain_labels
from oxytomo.results.errors import UNFIT
from oxytomo.results.files import Files
from oxytomo.results.images import Levels, OpenedImage
from oxytomo.results.results import Results
from oxytomo.view.napari_plugin.overlays import registered_voids

LARGEST_VOXELS = 256**3
"""Objects are sought and drawn on the finest level that has no more voxels than this."""

COLUMNS = ("kind", "number", "class", "size_nm", "volume_nm3", "depth_nm", "touches_surface")
"""Columns of the table. ``size_nm``: equivalent diameter of a domain or pore, extent of a crack.
``depth_nm``: mean depth, of a crack that of its shallowest voxel. ``class`` of a void: open or
closed."""


@dataclass(frozen=True)
class ObjectRow:
    """One object: ``kind`` is ``domain``, ``pore`` or ``crack``.

    ``label`` its number among the voxels of its source.
    """

    kind: str
    number: int
    class_name: str
    size_nm: float
    volume_nm3: float
    depth_nm: float
    touches_surface: bool
    centroid_nm: tuple[float, float, float]
    label: int

    def cells(self) -> tuple[Any, ...]:
        """Return the values of :data:`COLUMNS`."""
        return (
            self.kind,
            self.number,
            self.class_name,
            self.size_nm,
            self.volume_nm3,
            self.depth_nm,
            self.touches_surface,
        )


@dataclass(frozen=True)
class Filter:
    """Which rows are shown: kinds and classes (empty: all), and ranges of size and depth in nm."""

    kinds: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()
    size_nm: tuple[float, float] = (0.0, np.inf)
    depth_nm: tuple[float, float] = (0.0, np.inf)

    def accepts(self, row: ObjectRow) -> bool:
        """Return True if a row is shown."""
        return (
            (not self.kinds or row.kind in self.kinds)
            and (not self.classes or row.class_name in self.classes)
            and self.size_nm[0] <= row.size_nm <= self.size_nm[1]
            and self.depth_nm[0] <= row.depth_nm <= self.depth_nm[1]
        )


@dataclass(frozen=True)
class LabelSource:
    """The voxels of the objects of a branch, on one level of its image.

    Attributes
    ----------
    labels : (n_z, n_y, n_x) numbers of objects
    scale_nm, translate_nm : voxel size, and centre of the first voxel
    boxes : per number its corners, (n + 1, 6): first voxel and one past the last along z, y, x;
        zeros if there is none
    """

    labels: LabelArray
    scale_nm: Float64Array
    translate_nm: Float64Array
    boxes: IntArray

    def labels_at(self, points_nm: Float64Array) -> IntArray:
        """Return the objects at points (n, 3), 0 for none."""
        index = np.rint((points_nm - self.translate_nm) / self.scale_nm).astype(np.int64)
        inside = np.all((index >= 0) & (index < self.labels.shape), axis=1)
        found = np.zeros(len(index), np.int64)
        found[inside] = self.labels[tuple(index[inside].T)]
        return found

    def box(self, label: int) -> tuple[slice, ...] | None:
        """Return the box of an object as slices of ``labels``; None if it has no voxels."""
        if label >= len(self.boxes) or not self.boxes[label].any():
            return None
        return tuple(slice(low, high) for low, high in zip(*self.boxes[label].reshape(2, 3), strict=True))

    def outline(self, label: int, box: tuple[slice, ...]) -> LabelArray:
        """Return 1 for voxels of an object that share a face with other voxels, else 0."""
        return _outline(self.labels[box], label)


@dataclass(frozen=True)
class Objects:
    """All rows of a sample, their voxels by source, and missing tables."""

    rows: Sequence[ObjectRow]
    sources: Mapping[str, LabelSource]
    missing: Sequence[str]

    def at(self, place_nm: Sequence[float], shown: BoolArray) -> int | None:
        """Return the row of the shown object at a place.

        A void goes before the domain around it.
        """
        return self._first(np.asarray(place_nm, float)[None], shown)

    def along(self, place_nm: Sequence[float], direction: Sequence[float], shown: BoolArray) -> int | None:
        """Return the row of the first shown object on the line of sight through a place.

        Parameters
        ----------
        place_nm : any point of the line
        direction : into which one looks
        shown : (n_rows,) rows that count
        """
        if not self.sources:
            return None
        start, unit = np.asarray(place_nm, float), np.asarray(direction, float) / np.linalg.norm(direction)
        corners = np.stack([source.translate_nm for source in self.sources.values()])
        far = np.stack([s.translate_nm + s.scale_nm * s.labels.shape for s in self.sources.values()])
        reach = float(np.linalg.norm(far.max(axis=0) - corners.min(axis=0)))
        reach += float(np.linalg.norm(start - (far.max(axis=0) + corners.min(axis=0)) / 2))
        step = min(float(source.scale_nm.min()) for source in self.sources.values()) / 2
        return self._first(start + np.arange(-reach, reach, step)[:, None] * unit, shown)

    def _first(self, points_nm: Float64Array, shown: BoolArray) -> int | None:
        """Return the row of the first displayed object at the points; voids before domains."""
        best: tuple[int, int] | None = None
        for key in ("voids", "domains"):
            if key not in self.sources:
                continue
            rows = self._rows_of(key)[self.sources[key].labels_at(points_nm)]
            hits = np.flatnonzero((rows >= 0) & shown[rows])
            if hits.size and (best is None or hits[0] < best[0]):
                best = int(hits[0]), int(rows[hits[0]])
        return None if best is None else best[1]

    def _rows_of(self, key: str) -> IntArray:
        """Return the row of every number of a source, −1 for none."""
        rows = np.full(len(self.sources[key].boxes), -1, np.int64)
        for index, row in enumerate(self.rows):
            if source_of(row) == key and row.label < rows.size:
                rows[row.label] = index
        return rows


def centre_of(row: ObjectRow, source: LabelSource | None) -> Float64Array:
    """Return the centroid of an object, or its nearest voxel in the plane of the centroid.

    Parameters
    ----------
    row : the object
    source : its voxels, or None
    """
    centre = np.asarray(row.centroid_nm)
    box = None if source is None else source.box(row.label)
    if source is None or box is None:
        return centre
    low = np.array([side.start for side in box])
    high = np.array([side.stop for side in box])
    index = np.rint((centre - source.translate_nm) / source.scale_nm).astype(int)
    inside = bool(np.all((index >= low) & (index < high)))
    if inside and source.labels[tuple(index)] == row.label:
        return centre
    index = np.clip(index, low, high - 1)
    plane = source.labels[index[0], box[1], box[2]] == row.label
    if not plane.any():
        return centre
    own = np.argwhere(plane) + low[1:]
    nearest = own[np.argmin(((own - index[1:]) ** 2).sum(axis=1))]
    return np.asarray(source.translate_nm + np.array([index[0], *nearest]) * source.scale_nm)


def source_of(row: ObjectRow) -> str:
    """Return the key in :attr:`Objects.sources` of a row."""
    return "domains" if row.kind == "domain" else "voids"


def load_objects(folder: Path, images: Mapping[str, OpenedImage]) -> Objects:
    """Read the tables of a sample and find the voxels of their rows.

    Voids are on the grid of the composition if the branches are registered.

    Parameters
    ----------
    folder : of the sample
    images : its opened images by branch
    """
    files = Results.of_folder(folder).files
    rows: list[ObjectRow] = []
    sources: dict[str, LabelSource] = {}
    missing = []
    for kind, branch in (("domain", "composition"), ("pore", "structure"), ("crack", "structure")):
        name = f"{kind}s.csv"
        if branch not in images:
            missing.append(f"No {kind}s: the branch '{branch}' is not in these results.")
            continue
        try:
            rows += _rows(kind, _table(files, f"{kind}s"), int(images[branch].record.get("n_pores", 0)))
        except PipelineError as error:
            missing.append(f"No {kind}s: {error}")
        except UNFIT as error:
            missing.append(
                f"No {kind}s: {name} lacks a column or holds no number ({error}). Run the workflow again."
            )
    if "composition" in images and any(row.kind == "domain" for row in rows):
        sources["domains"], note = _domain_source(images["composition"], rows, files)
        missing += note
    if "structure" in images and any(row.kind != "domain" for row in rows):
        registered = registered_voids(files, list(images.values()))
        voids = images["structure"].labels["void_instances"] if registered is None else registered.instances
        sources["voids"] = label_source(_chosen(voids))
        if registered is not None:
            rows = [
                row if row.kind == "domain" else replace(row, centroid_nm=registered.placed(row.centroid_nm))
                for row in rows
            ]
    if not rows and missing:
        raise InputError(
            str(folder),
            expected="domains.csv, pores.csv or cracks.csv",
            got="; ".join(missing),
            fix="run the branch composition or structure",
        )
    return Objects(rows, sources, missing)


def label_source(levels: Levels) -> LabelSource:
    """Return labels with the boxes of all numbers; the first level is read whole."""
    import scipy.ndimage

    labels = np.asarray(levels.arrays[0])
    found = scipy.ndimage.find_objects(labels)
    boxes = np.zeros((len(found) + 1, 6), np.int64)
    for number, box in enumerate(found, start=1):
        if box is not None:
            boxes[number] = [side.start for side in box] + [side.stop for side in box]
    return LabelSource(labels, np.asarray(levels.scale_nm), np.asarray(levels.translate_nm), boxes)


def _chosen(levels: Levels) -> Levels:
    """Return the levels from the finest with at most :data:`LARGEST_VOXELS` on."""
    first = next((i for i, a in enumerate(levels.arrays) if a.size <= LARGEST_VOXELS), len(levels.arrays) - 1)
    full, chosen = np.asarray(levels.arrays[0].shape), np.asarray(levels.arrays[first].shape)
    # A coarser voxel spans f fine voxels; its centre is shifted by (f − 1)/2 fine voxels.
    spans = 2.0 ** np.round(np.log2(full / chosen))
    scale = np.asarray(levels.scale_nm) * spans
    place = np.asarray(levels.translate_nm) + (spans - 1) / 2 * np.asarray(levels.scale_nm)
    return Levels(levels.arrays[first:], tuple(scale.tolist()), tuple(place.tolist()))


def _domain_source(
    image: OpenedImage, rows: Sequence[ObjectRow], files: Files
) -> tuple[LabelSource, list[str]]:
    """Number the domains again as the table does.

    The smallest listed one says what was left out.
    """
    levels = _chosen(image.labels["phases"])
    coarse = levels.arrays[0].shape != image.labels["phases"].arrays[0].shape
    smallest = int(_table(files, "domains")["n_voxels"].min())
    if coarse:
        empty = np.zeros(levels.arrays[0].shape, np.int32)
        note = [
            "Domains are not highlighted: the volume is too large to label it in the window; rows are centred only."
        ]
    else:
        empty, note = domain_labels(np.asarray(levels.arrays[0]), min_voxels=smallest), []
        if int(empty.max()) != sum(row.kind == "domain" for row in rows):
            empty = np.zeros_like(empty)
            note = [
                "Domains are not highlighted: domains.csv does not fit the image. Run the workflow again."
            ]
    return label_source(Levels([empty], levels.scale_nm, levels.translate_nm)), note


def _table(files: Files, key: str) -> Any:
    """Return a table; raise an error if it is missing."""
    found = files.table(key)
    if found is None:
        raise InputError(
            f"{key}.csv", expected="a table of this sample", got="none", fix="run the workflow again"
        )
    return found


_OPEN = {"True": "open", "False": "closed"}


def _rows(kind: str, table: Any, n_pores: int) -> list[ObjectRow]:
    """Return the rows of one table; voxels of cracks are numbered after the pores."""
    size, depth = (
        ("extent_nm", "least_depth_nm") if kind == "crack" else ("equivalent_diameter_nm", "depth_nm")
    )
    return [
        ObjectRow(
            kind,
            int(row[kind]),
            str(row["class"]) if kind == "domain" else _OPEN.get(str(row["open"]), "unknown"),
            float(row[size]),
            float(row["volume_nm3"]),
            float(row[depth]),
            bool(row["touches_surface"]),
            (float(row["centroid_z_nm"]), float(row["centroid_y_nm"]), float(row["centroid_x_nm"])),
            int(row[kind]) + (n_pores if kind == "crack" else 0),
        )
        for row in table.to_dict("records")
    ]


@numba.njit(cache=True)
def _outline(labels: LabelArray, label: int) -> LabelArray:
    shell = np.zeros(labels.shape, np.uint8)
    last = (labels.shape[0] - 1, labels.shape[1] - 1, labels.shape[2] - 1)
    for z in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            for x in range(labels.shape[2]):
                if labels[z, y, x] != label:
                    continue
                at_end = z == 0 or y == 0 or x == 0 or z == last[0] or y == last[1] or x == last[2]
                if (
                    at_end
                    or labels[z - 1, y, x] != label
                    or labels[z + 1, y, x] != label
                    or labels[z, y - 1, x] != label
                    or labels[z, y + 1, x] != label
                    or labels[z, y, x - 1] != label
                    or labels[z, y, x + 1] != label
                ):
                    shell[z, y, x] = 1
    return shell
