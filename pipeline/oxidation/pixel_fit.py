"""The linear-combination fit of a block of pixels, compiled: weighted sums, solution, residuals.

Each thread takes a tile of neighbouring pixels and walks the energies on the outside, so that all arithmetic is on
contiguous memory; the normal matrices of the tile stay in cache. All pixels of a tile are solved side by side as if
amounts could be negative; only those where one is go through the sets of references one by one.
"""

import numpy as np
from numba import njit, prange

from pipeline.oxidation.active_set import solve_constrained

TILE = 128
"""Pixels that one thread takes at once."""

OUTPUTS = (
    "amount_error",
    "valence",
    "valence_error",
    "chi_square",
    "squares",
    "signal",
    "lag_product",
    "n_used",
)
"""What the kernel writes per pixel beside amounts, fraction errors and background, in this order."""


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def fit_pixels(  # type: ignore[no-untyped-def]
    value, variance, columns, valences, sum_to_one, sum_error, amounts, fraction_errors, offsets, out
):
    """Fit every pixel of a block.

    Parameters
    ----------
    value, variance : (n_energy, n_pixel) float32; NaN or inf where invalid
    columns : (n_energy, n_reference + n_background) float64, references first, then columns of either sign
    valences : (n_reference,) float64
    sum_to_one : whether the amounts of a pixel must add up to 1
    sum_error : (n_pixel,) float64, relative standard deviation of what the spectra were divided by
    amounts, fraction_errors : (n_reference, n_pixel) float32, changed in place
    offsets : (n_background, n_pixel) float32, changed in place
    out : (len(OUTPUTS), n_pixel) float32, changed in place
    """
    n_pixel = value.shape[1]
    k, p = valences.size, columns.shape[1]
    products = _column_products(columns)
    for tile in prange((n_pixel + TILE - 1) // TILE):
        first = tile * TILE
        n = min(TILE, n_pixel - first)
        level, weight, used = _tile(value, variance, first, n)
        normal, right = _weighted_sums(level, weight, columns, products)
        solution, errors = np.full((p, TILE), np.nan), np.full((3 + k, TILE), np.nan)
        if not sum_to_one:
            _solve_unconstrained(normal, right, valences, solution, errors)
        solve_constrained(
            normal, right, used, valences, sum_to_one, sum_error[first : first + n], solution, errors
        )
        for t in range(n):
            for i in range(k):
                fraction_errors[i, first + t] = errors[3 + i, t]
                amounts[i, first + t] = solution[i, t]
            for i in range(p - k):
                offsets[i, first + t] = solution[k + i, t]
            for i in range(3):
                out[i, first + t] = errors[i, t]
            out[7, first + t] = used[t]
        _residual_sums(level, weight, columns, solution, k, first, n, out)


@njit(cache=True, nogil=True, error_model="numpy")
def _column_products(columns):  # type: ignore[no-untyped-def]
    """Return the products of all pairs of columns, (n_energy, n_pair), upper triangle row by row."""
    n_energy, p = columns.shape
    products = np.empty((n_energy, p * (p + 1) // 2))
    q = 0
    for i in range(p):
        for j in range(i, p):
            products[:, q] = columns[:, i] * columns[:, j]
            q += 1
    return products


@njit(cache=True, nogil=True, error_model="numpy")
def _solve_unconstrained(normal, right, valences, solution, errors):  # type: ignore[no-untyped-def]
    """Solve all pixels of a tile at once as if amounts could be negative; right for those where none is.

    A Cholesky factor per pixel, all pixels side by side; the error of a quantity with gradient g is |L⁻¹ g|.
    """
    p, k = right.shape[0], valences.size
    lower, part, total = np.empty((p, p, TILE)), np.empty((p, TILE)), np.empty(TILE)
    for i in range(p):
        for j in range(i + 1):
            q = j * p - j * (j - 1) // 2 + i - j
            for t in range(TILE):
                total[t] = normal[q, t]
            for m in range(j):
                for t in range(TILE):
                    total[t] -= lower[i, m, t] * lower[j, m, t]
            if i == j:
                for t in range(TILE):
                    lower[i, i, t] = 1.0 / np.sqrt(total[t]) if total[t] > 1e-12 * normal[q, t] else np.nan
            else:
                for t in range(TILE):
                    lower[i, j, t] = total[t] * lower[j, j, t]
    for t in range(TILE):
        total[t] = 0.0
    _forward(lower, right, part)
    for i in range(p - 1, -1, -1):
        for m in range(i + 1, p):
            for t in range(TILE):
                part[i, t] -= lower[m, i, t] * solution[m, t]
        for t in range(TILE):
            solution[i, t] = part[i, t] * lower[i, i, t]
            total[t] += solution[i, t] if i < k else 0.0
    gradient, scale = np.zeros((p, TILE)), np.empty(TILE)
    for t in range(TILE):
        errors[1, t] = 0.0
    for i in range(k):
        for t in range(TILE):
            errors[1, t] += valences[i] * solution[i, t] / total[t]
    for row in range(2 + k):  # the sum of amounts, the valence, each fraction
        for i in range(k):
            for t in range(TILE):
                if row == 0:
                    gradient[i, t] = 1.0
                elif row == 1:
                    gradient[i, t] = (valences[i] - errors[1, t]) / total[t]
                else:
                    gradient[i, t] = (
                        (1.0 if i == row - 2 else 0.0) - solution[row - 2, t] / total[t]
                    ) / total[t]
        _forward(lower, gradient, part)
        for t in range(TILE):
            scale[t] = 0.0
        for i in range(p):
            for t in range(TILE):
                scale[t] += part[i, t] * part[i, t]
        for t in range(TILE):
            errors[0 if row == 0 else row + 1, t] = np.sqrt(scale[t])


@njit(cache=True, nogil=True, error_model="numpy")
def _forward(lower, right, part):  # type: ignore[no-untyped-def]
    """Solve L part = right for each pixel; the diagonal of L holds reciprocals."""
    for i in range(right.shape[0]):
        for t in range(TILE):
            part[i, t] = right[i, t]
        for m in range(i):
            for t in range(TILE):
                part[i, t] -= lower[i, m, t] * part[m, t]
        for t in range(TILE):
            part[i, t] *= lower[i, i, t]
