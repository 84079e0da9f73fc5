"""The projector pair: Joseph's line integrals and their exact adjoint, slice index innermost.

All slices of a parallel-beam scan share one geometry, so the slice index is the innermost, contiguous axis: volumes are
``(block, y, x, slice)`` and sinograms ``(block, tilt, s, slice)``. Index and weight arithmetic is done once per
(pixel, tilt) and the inner loop is a multiply-add over slices without gathers.

Joseph's method (Joseph 1982, IEEE Trans. Med. Imaging 1, 192) interpolates linearly along the axis that the ray crosses
more steeply. Seen from a pixel it is a triangle of half width ``c = max(|cosθ|, |sinθ|)`` around the pixel's detector
position, with unit area: two detector columns at most. Forward projection gathers along rays and back-projection gathers
over tilts with the same weights, so the two are adjoint to float precision, no output element is written by two threads,
and the result does not depend on the number of threads.
"""

from typing import Final

import numpy as np
from numba import get_num_threads, njit, prange

from pipeline.arrays import FloatArray
from pipeline.errors import ShapeError
from pipeline.reconstruct.geometry import TiltGeometry
from pipeline.reconstruct.projector_kernels import GROUP, forward_kernel, gather_kernel

SLICES: Final = 128
"""Slices per block, at most: 512 bytes of float32, eight cache lines."""
LINE: Final = 16
"""The slices of a block are a multiple of a cache line's."""
_PROJECT = {SLICES: forward_kernel(SLICES), None: forward_kernel(None)}
_GATHER = {SLICES: gather_kernel(SLICES), None: gather_kernel(None)}
"""The kernels compiled for full blocks and for any; numba compiles those that are called."""


def to_blocks(array: FloatArray) -> FloatArray:
    """Move the slice axis innermost: (n_z, a, b) → (block, a, b, slice), the last block padded with zeros.

    Slices are spread evenly over as few blocks as hold them, so that little is padded.
    """
    n_z, n_a, n_b = array.shape
    n_k = slices_per_block(n_z)
    blocks = np.zeros((-(-n_z // n_k), n_a, n_b, n_k), np.float32)
    _to_blocks(np.ascontiguousarray(array, np.float32), blocks)
    return blocks


def slices_per_block(n_z: int) -> int:
    """Width of the blocks that ``n_z`` slices are kept in."""
    fewest = max(1, -(-n_z // SLICES))
    return LINE * max(1, -(-n_z // (fewest * LINE)))


def from_blocks(blocks: FloatArray, n_z: int) -> FloatArray:
    """Undo :func:`to_blocks`: (block, a, b, slice) → (n_z, a, b)."""
    array = np.empty((n_z, blocks.shape[1], blocks.shape[2]), np.float32)
    _from_blocks(blocks, array)
    return array


def sinogram_blocks(projections: FloatArray) -> FloatArray:
    """Projections (n_tilt, n_z, n_s) → sinogram blocks (block, tilt, s, slice)."""
    return to_blocks(projections.transpose(1, 0, 2))


def projections_from_blocks(blocks: FloatArray, n_z: int) -> FloatArray:
    """Sinogram blocks (block, tilt, s, slice) → projections (n_tilt, n_z, n_s)."""
    return np.ascontiguousarray(from_blocks(blocks, n_z).transpose(1, 0, 2))


def forward(volume: FloatArray, geometry: TiltGeometry) -> FloatArray:
    """Line integrals of a volume, in pixels times the volume's unit.

    Parameters
    ----------
    volume : (block, n_y, n_x, slice) float32
    geometry : the scan

    Returns
    -------
    (block, n_tilt, n_columns, slice) float32
    """
    _check(volume, (geometry.n_y, geometry.n_x), "volume")
    sinogram = np.zeros((volume.shape[0], geometry.n_tilt, geometry.n_columns, volume.shape[3]), np.float32)
    theta = np.deg2rad(geometry.tilt_deg)
    cos, sin = np.cos(theta), np.sin(theta)
    _PROJECT[_compiled(volume)](
        volume,
        cos,
        sin,
        _tilt_groups(cos, sin, volume.shape[0]),
        geometry.axis_column,
        geometry.centre_y,
        geometry.centre_x,
        sinogram,
    )
    return sinogram


def adjoint(sinogram: FloatArray, geometry: TiltGeometry) -> FloatArray:
    """Exact transpose of :func:`forward`: (block, n_tilt, n_columns, slice) → (block, n_y, n_x, slice)."""
    _check(sinogram, (geometry.n_tilt, geometry.n_columns), "sinogram")
    theta = np.deg2rad(geometry.tilt_deg)
    cos, sin = np.cos(theta), np.sin(theta)
    return _backproject(sinogram, geometry, cos, sin, 1 / np.maximum(np.abs(cos), np.abs(sin)))


def backproject_linear(sinogram: FloatArray, geometry: TiltGeometry) -> FloatArray:
    """Back-projection with linear interpolation on the detector, as filtered back-projection wants it (not the adjoint)."""
    _check(sinogram, (geometry.n_tilt, geometry.n_columns), "sinogram")
    theta = np.deg2rad(geometry.tilt_deg)
    return _backproject(sinogram, geometry, np.cos(theta), np.sin(theta), np.ones(geometry.n_tilt))


def _backproject(
    sinogram: FloatArray, geometry: TiltGeometry, cos: np.ndarray, sin: np.ndarray, narrow: np.ndarray
) -> FloatArray:
    """Gather over tilts with triangles of half width 1 / ``narrow`` columns and unit area."""
    volume = np.empty((sinogram.shape[0], geometry.n_y, geometry.n_x, sinogram.shape[3]), np.float32)
    _GATHER[_compiled(sinogram)](
        sinogram, cos, sin, narrow, geometry.axis_column, geometry.centre_y, geometry.centre_x, volume
    )
    return volume


def _compiled(blocks: FloatArray) -> int | None:
    """Which kernel these blocks are for."""
    return SLICES if blocks.shape[3] == SLICES else None


def _tilt_groups(cos: np.ndarray, sin: np.ndarray, n_block: int) -> np.ndarray:
    """First tilt of each group that is projected together, and the end: neighbours whose rays march along the same axis.

    Smaller groups where there are many threads to keep busy. The grouping does not change the result.
    """
    largest = min(GROUP, max(4, n_block * cos.size // (4 * get_num_threads())))
    turns = np.flatnonzero(np.diff(np.abs(cos) >= np.abs(sin))) + 1
    runs = np.split(np.arange(cos.size), turns)
    groups = [part for run in runs for part in np.array_split(run, -(-run.size // largest))]
    return np.array([*(part[0] for part in groups), cos.size])


def _check(array: FloatArray, shape: tuple[int, int], name: str) -> None:
    if array.ndim != 4 or array.shape[1:3] != shape or array.dtype != np.float32:
        raise ShapeError(
            name,
            expected=f"float32 blocks (n, {shape[0]}, {shape[1]}, slices)",
            got=f"{array.dtype} {array.shape}",
            fix="use to_blocks or sinogram_blocks, and the geometry that the data were made with",
        )


@njit(parallel=True, cache=True, nogil=True)
def _to_blocks(array, blocks):  # type: ignore[no-untyped-def]
    n_z, n_a, n_b = array.shape
    n_k = blocks.shape[3]
    for a in prange(n_a):
        for z in range(n_z):
            block, k = z // n_k, z % n_k
            for b in range(n_b):
                blocks[block, a, b, k] = array[z, a, b]


@njit(parallel=True, cache=True, nogil=True)
def _from_blocks(blocks, array):  # type: ignore[no-untyped-def]
    n_z, n_a, n_b = array.shape
    n_k = blocks.shape[3]
    for a in prange(n_a):
        for z in range(n_z):
            block, k = z // n_k, z % n_k
            for b in range(n_b):
                array[z, a, b] = blocks[block, a, b, k]
