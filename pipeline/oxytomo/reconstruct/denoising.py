"""Proximal map of total variation and L1 norm on blocks of slices.

The dual problem is solved by projected gradients.

Each iteration computes the image of the dual (:func:`oxytomo.reconstruct.lines.shrink_line`) and
moves the dual along the differences of the image (:func:`~oxytomo.reconstruct.lines.ascend_line`).
Both are done in one sweep, with the image one row ahead of the dual, so that the image is never
written to memory. Only lines of slices inside the support are processed.

Reference: Beck & Teboulle, IEEE Trans. Image Process. 18, 2419 (2009).
"""

from typing import Any, Final

import numpy as np
from numba import prange

from oxytomo.arrays import FloatArray
from oxytomo.reconstruct.blocks import LINE, extents, zero_blocks
from oxytomo.reconstruct.lines import ascend_line, shrink_line
from oxytomo.threads import parallel_kernel

ROWS: Final = 16
"""Rows that one thread sweeps; the image of the first row of each is computed before."""
_STEP: Final = np.float32(1.5 / 12.0)
"""Step of the dual, 1.5 / ‖D‖² in three dimensions. Projected gradients converge below 2 / ‖D‖²
(Bertsekas, Nonlinear programming, § 2.3); eight steps of this size reach what twelve of 1 / ‖D‖² do
(deviations of a particle of 128 × 160² differ by 2·10⁻⁶, rms)."""
_COMPILED: Final[dict[str, Any]] = {"nogil": True, "error_model": "numpy"}


class Denoiser:
    """Proximal maps of λ TV + μ L1 (+ x ≥ 0) inside a support.

    The dual of one call is the start of the next.

    Parameters
    ----------
    inside : (block, y, x, slice) float32, 1 inside and 0 outside
    """

    def __init__(self, inside: FloatArray) -> None:
        n_block, n_y, n_x, n_k = inside.shape
        chunks = -(-n_y // ROWS)
        self._inside, self._extents = inside, extents(inside)
        self._dual = zero_blocks((3, *inside.shape))
        self._first_rows = zero_blocks((chunks, n_block, n_x, n_k))
        self._rows = zero_blocks((chunks, 2, n_x, n_k))

    def denoise(
        self,
        noisy: FloatArray,
        result: FloatArray,
        *,
        tv_weight: float,
        l1_weight: float,
        nonnegative: bool,
        iterations: int,
    ) -> None:
        """Write the proximal map of ``noisy`` into ``result``, which is 0 outside.

        Both are (block, y, x, slice) float32.
        """
        l1, least = np.float32(l1_weight), np.float32(0 if nonnegative else -np.inf)
        image = (noisy, self._inside, self._extents, self._dual, l1, least)
        for _ in range(iterations if tv_weight > 0 else 0):
            _image_rows(*image, ROWS, self._first_rows)
            _sweep(*image, _STEP, np.float32(tv_weight), self._first_rows, self._rows)
        _image_rows(*image, 1, result)


@parallel_kernel(**_COMPILED)
def _image_rows(noisy, inside, extents, dual, l1, least, every, rows):  # type: ignore[no-untyped-def]
    """Image of the dual at each ``every``-th row.

    All rows go into (block, y, …), some rows into (row, block, …).
    """
    n_block, n_y, n_x, n_k = noisy.shape
    n_row = (n_y + every - 1) // every
    image, out, mask = noisy.reshape(-1), rows.reshape(-1), inside.reshape(-1)
    dz, dy, dx = dual[0].reshape(-1), dual[1].reshape(-1), dual[2].reshape(-1)
    for job in prange(n_block * n_row):
        block, row = job // n_row, job % n_row
        y = row * every
        for x in range(n_x):
            at = ((block * n_y + y) * n_x + x) * n_k
            to = at if every == 1 else ((row * n_block + block) * n_x + x) * n_k
            up = at - n_x * n_k if y > 0 else at
            left = at - n_k if x > 0 else at
            below = dz[at - n_y * n_x * n_k + n_k - 1] if block > 0 else np.float32(0)
            first, stop = extents[block, y, x, 0], extents[block, y, x, 1]
            has_up, has_left = np.float32(y > 0), np.float32(x > 0)
            shrink_line(
                *(out, to, image, mask, dz, dy, dx, at, up, left),
                *(below, has_up, has_left, first, stop, l1, least),
            )


@parallel_kernel(**_COMPILED)
def _sweep(noisy, inside, extents, dual, l1, least, step, limit, first_rows, rows):  # type: ignore[no-untyped-def]
    """One iteration: the image row by row, and the dual one row behind it.

    Blocks are processed from the top down. The lowest image slice of the block above is kept; the
    last dual slice of the block below is still that of the previous iteration.
    """
    n_block, n_y, n_x, n_k = noisy.shape
    image, mask = noisy.reshape(-1), inside.reshape(-1)
    dz, dy, dx = dual[0].reshape(-1), dual[1].reshape(-1), dual[2].reshape(-1)
    row_size, block_size = n_x * n_k, n_y * n_x * n_k
    for chunk in prange(first_rows.shape[0]):
        two_rows = rows[chunk].reshape(-1)
        lowest = np.zeros((ROWS, n_x), np.float32)
        y0, y1 = chunk * ROWS, min((chunk + 1) * ROWS, n_y)
        for block in range(n_block - 1, -1, -1):
            over = block + 1 < n_block
            rows[chunk, 0] = first_rows[chunk, block]
            for y in range(y0, y1):
                here = (y - y0) % 2
                there = 1 - here
                if y + 1 == y1 and y1 < n_y:
                    rows[chunk, there] = first_rows[chunk + 1, block]
                for x in range(n_x):
                    at = ((block * n_y + y) * n_x + x) * n_k
                    own, next_row = here * row_size + x * n_k, there * row_size + x * n_k
                    down = at + row_size if y + 1 < n_y else at
                    has_left = np.float32(x > 0)
                    if y + 1 < y1:
                        left = down - n_k if x > 0 else down
                        below = dz[down - block_size + n_k - 1] if block > 0 else np.float32(0)
                        first, stop = extents[block, y + 1, x, 0], extents[block, y + 1, x, 1]
                        shrink_line(
                            *(two_rows, next_row, image, mask, dz, dy, dx, down, at, left),
                            *(below, np.float32(1), has_left, first, stop, l1, least),
                        )
                    above = lowest[y - y0, x] if over else np.float32(0)
                    lowest[y - y0, x] = two_rows[own]
                    first, stop = extents[block, y, x, 0], extents[block, y, x, 1]
                    if stop > first:
                        has_down, has_right = np.float32(y + 1 < n_y), np.float32(x + 1 < n_x)
                        right = n_k if x + 1 < n_x else 0
                        mask_above = mask[at + block_size] if over else np.float32(0)
                        ascend_line(
                            *(dz, dy, dx, at, two_rows, own, next_row, own + right, mask, down, at + right),
                            *(has_down, has_right, above, mask_above, first, stop, n_k // LINE, step, limit),
                        )
