"""Surface and sphericity of a pore from a mesh of its void fraction, in pieces if large."""

from collections.abc import Iterator

import numpy as np
from skimage.measure import marching_cubes

from oxytomo.arrays import Float64Array, FloatArray, IntArray
from oxytomo.measure.level_surface import blurred, level_surface
from oxytomo.slabs import Box, Field

SMOOTHING_PX = 0.7
"""Gaussian that reduces the noise of the void fraction before its surface at one half is drawn."""
SMOOTHING_REACH = 3
_BELL = np.exp(-((np.arange(SMOOTHING_REACH + 1) / SMOOTHING_PX) ** 2) / 2)
WEIGHTS = (_BELL / (2 * _BELL.sum() - _BELL[0])).astype(np.float32)
MARGIN_PX = 4
PIECE_VOXELS = 8_000_000
FEWEST_ROWS = 16


def pore_surface(
    void: Field, zone: Field, low: IntArray, high: IntArray, label: int, *, volume_px: float
) -> tuple[float, float]:
    """Return surface (in voxel faces) and sphericity, NaN for a pore without volume.

    The mesh is the level surface at half of the void fraction (in small pores, at half of its
    largest value), scaled to the pore's volume, which blur does not change.

    Parameters
    ----------
    void, zone : void fraction, and number of the pore of each voxel
    low, high : (3,) first and last voxels of the pore
    label : number of the pore
    volume_px : volume of the pore, voxels
    """
    area, enclosed = 0.0, 0.0
    for start, smooth, level in _fields(void, zone, pore_box(low, high), label):
        sums = level_surface(smooth, level, start)
        area, enclosed = area + sums[0], enclosed + sums[1]
    if enclosed <= 0 or volume_px <= 0:
        return float("nan"), float("nan")
    sphericity = np.pi ** (1 / 3) * (6 * enclosed) ** (2 / 3) / area
    return area * (volume_px / enclosed) ** (2 / 3), min(float(sphericity), 1.0)


def pore_mesh(
    void: Field, zone: Field, low: IntArray, high: IntArray, label: int
) -> Iterator[tuple[Float64Array, IntArray]]:
    """Yield the mesh in pieces: vertices and triangles.

    Vertices are z y x in voxels, from one voxel before the box's first one.

    Parameters as in :func:`pore_surface`.
    """
    for start, smooth, level in _fields(void, zone, pore_box(low, high), label):
        vertices, faces, _, _ = marching_cubes(smooth, level, allow_degenerate=False)
        yield vertices.astype(np.float64) + np.array([start, 0, 0]), faces.astype(np.int64)


def _fields(void: Field, zone: Field, box: Box, label: int) -> Iterator[tuple[int, FloatArray, float]]:
    """Yield pieces that contain surface: first row, smoothed void fraction, level."""
    pieces = list(_pieces(box, void.shape))
    alone = _smoothed(void, zone, box, label, *pieces[0]) if len(pieces) == 1 else None
    largest = max(
        float((_smoothed(void, zone, box, label, *p) if alone is None else alone).max()) for p in pieces
    )
    level = min(0.5, 0.5 * largest)
    for start, stop in pieces:
        smooth = _smoothed(void, zone, box, label, start, stop) if alone is None else alone
        if smooth.min() < level < smooth.max():
            yield start, smooth, level


def pore_box(low: IntArray, high: IntArray) -> Box:
    """Return the box that contains a pore's surface."""
    return tuple(
        slice(max(0, int(a) - MARGIN_PX), int(b) + MARGIN_PX + 1) for a, b in zip(low, high, strict=True)
    )


def _pieces(box: Box, shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Divide the box and a margin of one empty voxel into rows that share one row with the next."""
    n = min(box[0].stop, shape[0]) - box[0].start + 2
    area = int(np.prod([s.stop - s.start + 2 for s in box[1:]]))
    thick = max(FEWEST_ROWS, PIECE_VOXELS // area)
    for start in range(0, n - 1, thick):
        yield start, min(start + thick + 1, n)


def _smoothed(void: Field, zone: Field, box: Box, label: int, start: int, stop: int) -> FloatArray:
    """Return some rows of the pore's smoothed void fraction; row 0 is the one before the box."""
    n = min(box[0].stop, void.shape[0]) - box[0].start
    low, high = max(start - SMOOTHING_REACH, 0), min(stop + SMOOTHING_REACH, n + 2)
    rows = slice(box[0].start + max(low - 1, 0), box[0].start + min(high - 1, n))
    part = (rows, *box[1:])
    void_part, zone_part = void[part], zone[part]
    own = np.zeros(tuple(n + 2 for n in void_part.shape), np.float32)
    own[1:-1, 1:-1, 1:-1] = np.where(zone_part == label, void_part, np.float32(0))
    own = own[int(low > 0) : len(own) - int(high < n + 2)]
    smooth: FloatArray = blurred(own, WEIGHTS)[start - low : stop - low]
    return smooth
