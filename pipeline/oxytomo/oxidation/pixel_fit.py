"""The linear-combination fit of a block of pixels, compiled: weighted sums, solution, residuals.

Each thread takes a tile of neighbouring pixels, with the loop over the energies outside, so that
all arithmetic is on contiguous memory; the normal matrices of the tile stay in cache. All pixels of
a tile are solved together without the constraint. Only pixels with a negative amount go through the
sets of references one by one.
"""

import numpy as np
from numba import njit, prange

from oxytomo.oxidation.active_set import solve_constrained
from oxytomo.threads import parallel_kernel

TILE = 128
"""Number of pixels that one thread processes together."""

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
"""Output of the kernel per pixel beside amounts, fraction errors and background, in this order."""


@parallel_kernel(element_ns=10, nogil=True, error_model="numpy")
def fit_pixels(  # type: ignore[no-untyped-def]
    value, variance, columns, valences, sum_to_one, sum_error, amounts, fraction_errors, offsets, out
):
    """Fit every pixel of a block.

    Parameters
    ----------
    value, variance : (n_energy, n_pixel) float32; NaN or inf where invalid
    columns : (n_energy, n_reference + n_background) float64, references first, then columns of
        either sign
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
    """Return products of all pairs of columns, (n_energy, n_pair), upper triangle by rows."""
    n_energy, p = columns.shape
    products = np.empty((n_energy, p * (p + 1) // 2))
    q = 0
    for i in range(p):
        for j in range(i, p):
            products[:, q] = columns[:, i] * columns[:, j]
            q += 1
    return products


@njit(cache=True, nogil=True, error_model="numpy")
def _tile(value, variance, first, n):  # type: ignore[no-untyped-def]
    """Return values and weights of a tile, 0 where invalid, and the number of valid energies."""
    n_energy = value.shape[0]
    level, weight = np.zeros((n_energy, TILE)), np.zeros((n_energy, TILE))
    used = np.zeros(TILE)
    for e in range(n_energy):
        ys, vs = value[e, first : first + n], variance[e, first : first + n]
        for t in range(n):
            # A number minus itself is 0 unless it is infinite or NaN; without a branch this
            # vectorises.
            y, v = ys[t], vs[t]
            good = (y - y == 0) & (v > 0) & (v < np.inf)
            level[e, t] = np.float64(y) if good else 0.0
            weight[e, t] = 1.0 / np.float64(v if good else np.float32(1.0)) * (1.0 if good else 0.0)
            used[t] += 1.0 if good else 0.0
    return level, weight, used


@njit(cache=True, nogil=True, error_model="numpy")
def _weighted_sums(level, weight, columns, products):  # type: ignore[no-untyped-def]
    """Return the normal matrix (upper triangle) and its right-hand side of each pixel of a tile."""
    p = columns.shape[1]
    normal, right = np.zeros((products.shape[1], TILE)), np.zeros((p, TILE))
    product = np.empty(TILE)
    # Four energies at a time: the sums are loaded and stored once for four products.
    whole = level.shape[0] // 4 * 4
    for e in range(0, whole, 4):
        for q in range(products.shape[1]):
            c0, c1, c2, c3 = products[e, q], products[e + 1, q], products[e + 2, q], products[e + 3, q]
            for t in range(TILE):
                normal[q, t] += (
                    c0 * weight[e, t] + c1 * weight[e + 1, t] + c2 * weight[e + 2, t] + c3 * weight[e + 3, t]
                )
    for e in range(whole, level.shape[0]):
        for q in range(products.shape[1]):
            for t in range(TILE):
                normal[q, t] += products[e, q] * weight[e, t]
    for e in range(level.shape[0]):
        for t in range(TILE):
            product[t] = level[e, t] * weight[e, t]
        for q in range(p):
            c = columns[e, q]
            for t in range(TILE):
                right[q, t] += c * product[t]
    return normal, right


@njit(cache=True, nogil=True, error_model="numpy")
def _residual_sums(level, weight, columns, solution, k, first, n, out):  # type: ignore[no-untyped-def]
    """Write χ², Σ residual², Σ (value − background)², and Σ of neighbouring residuals' products."""
    p = columns.shape[1]
    chi, squares, lag, previous = np.zeros(TILE), np.zeros(TILE), np.zeros(TILE), np.zeros(TILE)
    signal = np.zeros(TILE)
    rest = np.empty(TILE)
    for e in range(level.shape[0]):
        for t in range(TILE):
            rest[t] = level[e, t]
        for i in range(k, p):
            c = columns[e, i]
            for t in range(TILE):
                rest[t] -= c * solution[i, t]
        for t in range(TILE):
            signal[t] += rest[t] * rest[t] if weight[e, t] > 0.0 else 0.0
        for i in range(k):
            c = columns[e, i]
            for t in range(TILE):
                rest[t] -= c * solution[i, t]
        for t in range(TILE):
            w = weight[e, t]
            z = rest[t] * np.sqrt(w)
            chi[t] += z * z
            squares[t] += rest[t] * rest[t] if w > 0.0 else 0.0
            lag[t] += z * previous[t]
            previous[t] = z if w > 0.0 else previous[t]
    for t in range(n):
        out[3, first + t], out[4, first + t] = chi[t], squares[t]
        out[5, first + t], out[6, first + t] = signal[t], lag[t]


@njit(cache=True, nogil=True, error_model="numpy")
def _solve_unconstrained(normal, right, valences, solution, errors):  # type: ignore[no-untyped-def]
    """Solve all pixels of a tile together without the constraint.

    The result is right for pixels without a negative amount.

    A Cholesky factor per pixel, all pixels side by side; the error of a quantity with gradient g is
    |L⁻¹ g|.
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
