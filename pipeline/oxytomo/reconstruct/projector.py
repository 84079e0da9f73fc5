"""Projector pair: Joseph's line integrals and their exact adjoint, slice index innermost.

Index and weight arithmetic is done once per (pixel, tilt) for all slices of a block
(:mod:`oxytomo.reconstruct.blocks`). The inner loop is a multiply-add over slices without gathers.

Joseph's method (Joseph 1982, IEEE Trans. Med. Imaging 1, 192) interpolates linearly along the axis
that the ray crosses more steeply. Seen from a pixel, the weight is a triangle of half width ``c =
max(|cosθ|, |sinθ|)`` around the pixel's detector position, with unit area, so it covers at most two
detector columns. Forward projection gathers along rays, and back-projection gathers over tilts with
the same weights. The two are therefore adjoint to float precision, no output element is written by
two threads, and the result does not depend on the number of threads.
"""

import numpy as np
from numba import get_num_threads

from oxytomo.arrays import BoolArray, Float64Array, FloatArray
from oxytomo.errors import ShapeError
from oxytomo.reconstruct.blocks import LINE, SLICES, empty_blocks
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.reconstruct.projector_kernels import GROUP, forward_kernel, gather_kernel

_PROJECT = {SLICES: forward_kernel(SLICES), None: forward_kernel(None)}
_GATHER = {SLICES: gather_kernel(SLICES), None: gather_kernel(None)}
"""Kernels compiled for full blocks and for any width; numba compiles only those that are called."""


def forward(
    volume: FloatArray,
    geometry: TiltGeometry,
    *,
    lines: BoolArray | None = None,
    out: FloatArray | None = None,
) -> FloatArray:
    """Line integrals of a volume, in pixels times the volume's unit.

    Parameters
    ----------
    volume : (block, n_y, n_x, slice) float32
    geometry : the scan
    lines : (block, n_y, n_x) bool, lines of slices that are not 0; the others are skipped. None:
        all lines
    out : blocks of the result's shape to write to; new ones if None

    Returns
    -------
    (block, n_tilt, n_columns, slice) float32
    """
    _check(volume, (geometry.n_y, geometry.n_x), "volume")
    shape = (volume.shape[0], geometry.n_tilt, geometry.n_columns, volume.shape[3])
    sinogram = empty_blocks(shape) if out is None else out
    theta = np.deg2rad(geometry.tilt_deg)
    cos, sin = np.cos(theta), np.sin(theta)
    _PROJECT[_compiled(volume)](
        np.ascontiguousarray(volume),
        _all_lines(volume.shape[0], geometry) if lines is None else lines,
        cos,
        sin,
        _tilt_groups(cos, sin, volume.shape[0]),
        geometry.axis_column,
        geometry.centre_y,
        geometry.centre_x,
        sinogram,
    )
    return sinogram


def adjoint(
    sinogram: FloatArray,
    geometry: TiltGeometry,
    *,
    lines: BoolArray | None = None,
    out: FloatArray | None = None,
) -> FloatArray:
    """Exact transpose of :func:`forward`.

    (block, n_tilt, n_columns, slice) → (block, n_y, n_x, slice).

    Lines of slices that ``lines`` (block, n_y, n_x) does not mark stay 0. ``out`` as in
    :func:`forward`.
    """
    _check(sinogram, (geometry.n_tilt, geometry.n_columns), "sinogram")
    theta = np.deg2rad(geometry.tilt_deg)
    narrow = 1 / np.maximum(np.abs(np.cos(theta)), np.abs(np.sin(theta)))
    return _backproject(sinogram, geometry, narrow, lines, out)


def backproject_linear(sinogram: FloatArray, geometry: TiltGeometry) -> FloatArray:
    """Back-projection with linear interpolation on the detector; not the adjoint.

    It is used for filtered back-projection.
    """
    _check(sinogram, (geometry.n_tilt, geometry.n_columns), "sinogram")
    return _backproject(sinogram, geometry, np.ones(geometry.n_tilt))


def _backproject(
    sinogram: FloatArray,
    geometry: TiltGeometry,
    narrow: Float64Array,
    lines: BoolArray | None = None,
    out: FloatArray | None = None,
) -> FloatArray:
    """Gather over tilts with triangles of half width 1 / ``narrow`` columns and unit area."""
    shape = (sinogram.shape[0], geometry.n_y, geometry.n_x, sinogram.shape[3])
    volume = empty_blocks(shape) if out is None else out
    theta = np.deg2rad(geometry.tilt_deg)
    _GATHER[_compiled(sinogram)](
        np.ascontiguousarray(sinogram),
        _all_lines(sinogram.shape[0], geometry) if lines is None else lines,
        np.cos(theta),
        np.sin(theta),
        narrow,
        geometry.axis_column,
        geometry.centre_y,
        geometry.centre_x,
        volume,
    )
    return volume


def _all_lines(n_block: int, geometry: TiltGeometry) -> BoolArray:
    return np.ones((n_block, geometry.n_y, geometry.n_x), bool)


def _compiled(blocks: FloatArray) -> int | None:
    """Kernel for these blocks."""
    return SLICES if blocks.shape[3] == SLICES else None


def _tilt_groups(cos: np.ndarray, sin: np.ndarray, n_block: int) -> np.ndarray:
    """First tilt of each group that is projected together, and the end of the last.

    The rays of a group advance along the same axis.

    Groups are smaller if there are many threads. The grouping does not change the result.
    """
    largest = min(GROUP, max(4, n_block * cos.size // (4 * get_num_threads())))
    turns = np.flatnonzero(np.diff(np.abs(cos) >= np.abs(sin))) + 1
    runs = np.split(np.arange(cos.size), turns)
    groups = [part for run in runs for part in np.array_split(run, -(-run.size // largest))]
    return np.array([*(part[0] for part in groups), cos.size])


def _check(array: FloatArray, shape: tuple[int, int], name: str) -> None:
    if array.ndim != 4 or array.shape[1:3] != shape or array.shape[3] % LINE or array.dtype != np.float32:
        raise ShapeError(
            name,
            expected=f"float32 blocks (n, {shape[0]}, {shape[1]}, slices)",
            got=f"{array.dtype} {array.shape}",
            fix="use to_blocks or sinogram_blocks, and the geometry that the data were made with",
        )
