"""The compiled core of the linear-combination fit: weighted sums per pixel, then the exact best support.

Each thread takes a tile of neighbouring pixels and walks the energies on the outside, so that all arithmetic is on
contiguous memory; the normal matrices of the tile stay in cache. A pixel of K references has at most 2^K − 1 sets of
references with positive amounts; the one that fulfils the Karush–Kuhn–Tucker conditions is the minimum.
"""

import math

import numpy as np
from numba import njit, prange

TILE = 128
"""Pixels that one thread takes at once."""

OUTPUTS = ("amount_error", "valence", "valence_error", "chi_square", "squares", "lag_product", "n_used")
"""What the kernel writes per pixel beside amounts, fraction errors and background, in this order."""


@njit(parallel=True, cache=True, nogil=True)
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
        normal, right, used = _weighted_sums(value, variance, columns, products, first, n)
        solution = np.full((p, TILE), np.nan)
        matrix, vector = np.empty((p, p)), np.empty(p)
        found, covariance, pull = np.zeros(p), np.zeros((k, k)), np.zeros(k)
        for t in range(n):
            q = 0
            for i in range(p):
                vector[i] = right[i, t]
                for j in range(i, p):
                    matrix[i, j] = matrix[j, i] = normal[q, t]
                    q += 1
            if used[t] > p and _solve(matrix, vector, k, sum_to_one, found, covariance, pull):
                for i in range(p):
                    solution[i, t] = found[i]
                errors = _errors(found, covariance, pull, valences, sum_to_one, sum_error[first + t])
                fraction_errors[:, first + t] = errors[3:]
                out[0, first + t], out[1, first + t], out[2, first + t] = errors[0], errors[1], errors[2]
            else:
                fraction_errors[:, first + t] = np.nan
                out[:3, first + t] = np.nan
            amounts[:, first + t] = solution[:k, t]
            offsets[:, first + t] = solution[k:, t]
            out[6, first + t] = used[t]
        _residual_sums(value, variance, columns, solution, first, n, out)


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _weighted_sums(value, variance, columns, products, first, n):  # type: ignore[no-untyped-def]
    """Return the normal matrix, its right-hand side and the number of valid energies of each pixel of a tile."""
    normal = np.zeros((products.shape[1], TILE))
    right = np.zeros((columns.shape[1], TILE))
    used, weight, product = np.zeros(TILE), np.empty(TILE), np.empty(TILE)
    for e in range(value.shape[0]):
        for t in range(n):
            y, v = value[e, first + t], variance[e, first + t]
            good = np.isfinite(y) and v > 0 and v < np.inf
            weight[t] = 1.0 / v if good else 0.0
            product[t] = y / v if good else 0.0
            used[t] += 1.0 if good else 0.0
        for q in range(products.shape[1]):
            c = products[e, q]
            for t in range(TILE):
                normal[q, t] += c * weight[t]
        for q in range(columns.shape[1]):
            c = columns[e, q]
            for t in range(TILE):
                right[q, t] += c * product[t]
    return normal, right, used


@njit(cache=True, nogil=True)
def _residual_sums(value, variance, columns, solution, first, n, out):  # type: ignore[no-untyped-def]
    """Write χ², the sum of squared residuals, and the sum of products of neighbouring weighted residuals."""
    p = columns.shape[1]
    chi, squares, lag, previous = np.zeros(TILE), np.zeros(TILE), np.zeros(TILE), np.zeros(TILE)
    model = np.empty(TILE)
    for e in range(value.shape[0]):
        model[:] = 0.0
        for i in range(p):
            c = columns[e, i]
            for t in range(TILE):
                model[t] += c * solution[i, t]
        for t in range(n):
            y, v = value[e, first + t], variance[e, first + t]
            if np.isfinite(y) and v > 0 and v < np.inf:
                difference = y - model[t]
                z = difference / np.sqrt(v)
                chi[t] += z * z
                squares[t] += difference * difference
                lag[t] += z * previous[t]
                previous[t] = z
    for t in range(n):
        out[3, first + t], out[4, first + t], out[5, first + t] = chi[t], squares[t], lag[t]


@njit(cache=True, nogil=True)
def _solve(matrix, vector, k, sum_to_one, found, covariance, pull):  # type: ignore[no-untyped-def]
    """Find the amounts of one pixel, their covariance and the background; False where there is no solution.

    ``pull`` is the part of the solution that comes from the sum rule alone.
    """
    p = vector.size
    b = p - k
    # The background is free: it is eliminated first, which leaves a small problem in the references.
    inner = np.zeros((b, b))
    if b > 0 and not _invert(matrix[k:, k:], b, inner):
        return False
    reduced, rest = matrix[:k, :k].copy(), vector[:k].copy()
    for i in range(k):
        for m in range(b):
            coupling = 0.0
            for n in range(b):
                coupling += matrix[i, k + n] * inner[n, m]
            rest[i] -= coupling * vector[k + m]
            for j in range(k):
                reduced[i, j] -= coupling * matrix[k + m, j]
    if not _best_support(reduced, rest, sum_to_one, found, covariance, pull):
        return False
    for m in range(b):
        total = 0.0
        for n in range(b):
            open_part = vector[k + n]
            for j in range(k):
                open_part -= matrix[k + n, j] * found[j]
            total += inner[m, n] * open_part
        found[k + m] = total
    return True


@njit(cache=True, nogil=True)
def _with_support(mask, matrix, vector, sum_to_one, a, covariance, pull):  # type: ignore[no-untyped-def]
    """Solve for the references of one set, of either sign; returns whether it worked and the sum rule's multiplier."""
    k = vector.size
    members = np.empty(k, np.int64)
    n = 0
    for i in range(k):
        if mask >> i & 1:
            members[n] = i
            n += 1
    part, inverse = np.empty((n, n)), np.empty((n, n))
    for i in range(n):
        for j in range(n):
            part[i, j] = matrix[members[i], members[j]]
    a[:] = 0.0
    covariance[:] = 0.0
    pull[:] = 0.0
    if not _invert(part, n, inverse):
        return False, 0.0
    ones, total = 0.0, 0.0
    for i in range(n):
        for j in range(n):
            covariance[members[i], members[j]] = inverse[i, j]
            a[members[i]] += inverse[i, j] * vector[members[j]]
            pull[members[i]] += inverse[i, j]
            ones += inverse[i, j]
        total += a[members[i]]
    if not sum_to_one:
        return True, 0.0
    multiplier = (total - 1.0) / ones
    for i in range(k):
        a[i] -= multiplier * pull[i]
        pull[i] /= ones
    for i in range(k):
        for j in range(k):
            covariance[i, j] -= pull[i] * pull[j] * ones
    return True, multiplier


@njit(cache=True, nogil=True)
def _best_support(matrix, vector, sum_to_one, found, covariance, pull):  # type: ignore[no-untyped-def]
    """Try the sets of references, the full one first; stop at the one that fulfils the optimality conditions."""
    k = vector.size
    a, own, own_pull = np.zeros(k), np.zeros((k, k)), np.zeros(k)
    best, best_mask = np.inf if sum_to_one else 0.0, 0
    found[:k] = 0.0
    covariance[:] = 0.0
    pull[:] = 0.0
    for mask in range((1 << k) - 1, 0, -1):
        solved, multiplier = _with_support(mask, matrix, vector, sum_to_one, a, own, own_pull)
        if not solved or a.min() < 0:
            continue
        cost, optimal = 0.0, True
        for i in range(k):
            slope = -vector[i]
            for j in range(k):
                slope += matrix[i, j] * a[j]
            cost += 0.5 * a[i] * (slope - vector[i])
            tolerance = 1e-10 * (abs(vector[i]) + abs(multiplier))
            optimal = optimal and (a[i] > 0 or slope + multiplier >= -tolerance)
        if cost < best or optimal:
            best, best_mask = cost, mask
            found[:k] = a
            covariance[:] = own
            pull[:] = own_pull
        if optimal:
            break
    if best_mask == 0:
        return not sum_to_one
    for j in range(k):
        if best_mask >> j & 1:
            continue
        solved, _ = _with_support(best_mask | 1 << j, matrix, vector, sum_to_one, a, own, own_pull)
        if solved and own[j, j] > 0:
            # What a reference at 0 may still hold: the variance of its normal law cut off below 0.
            held = _cut_off_variance(max(-a[j], 0.0) / np.sqrt(own[j, j])) / own[j, j]
            for i in range(k):
                for m in range(k):
                    covariance[i, m] += own[i, j] * own[m, j] * held
    return True


@njit(cache=True, nogil=True)
def _cut_off_variance(limit):  # type: ignore[no-untyped-def]
    """Variance of a standard normal law that is cut off below ``limit`` >= 0."""
    if limit > 6.0:
        return 1.0 / (limit * limit)
    hazard = math.exp(-0.5 * limit * limit) / (math.sqrt(0.5 * math.pi) * math.erfc(limit / math.sqrt(2.0)))
    return max(1.0 + limit * hazard - hazard * hazard, 0.0)


@njit(cache=True, nogil=True)
def _errors(found, covariance, pull, valences, sum_to_one, sum_error):  # type: ignore[no-untyped-def]
    """Return amount error, valence, valence error, and one error per fraction; errors by the delta method."""
    k = valences.size
    errors = np.full(3 + k, np.nan)
    total, weighted, variance = 0.0, 0.0, 0.0
    for i in range(k):
        total += found[i]
        weighted += found[i] * valences[i]
        for j in range(k):
            variance += covariance[i, j]
    errors[0] = np.sqrt(max(variance, 0.0))
    if not total > 0:
        return errors
    valence = weighted / total
    spread, scaled = 0.0, 0.0
    for i in range(k):
        scaled += valences[i] * (found[i] - pull[i])
        own = 0.0
        for j in range(k):
            spread += (valences[i] - valence) * (valences[j] - valence) * covariance[i, j]
            for m in range(k):
                left = (1.0 if j == i else 0.0) - found[i] / total
                right = (1.0 if m == i else 0.0) - found[i] / total
                own += left * right * covariance[j, m]
        if sum_to_one:
            own += ((found[i] - pull[i]) * sum_error) ** 2
        errors[3 + i] = np.sqrt(max(own, 0.0)) / total
    if sum_to_one:
        spread += (scaled * sum_error) ** 2
    errors[1], errors[2] = valence, np.sqrt(max(spread, 0.0)) / total
    return errors


@njit(cache=True, nogil=True)
def _invert(matrix, n, inverse):  # type: ignore[no-untyped-def]
    """Invert the leading n × n block of a symmetric positive matrix by Cholesky; False where it is singular."""
    lower = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j]
            for m in range(j):
                total -= lower[i, m] * lower[j, m]
            if i == j:
                if not total > 1e-12 * matrix[i, i]:
                    return False
                lower[i, i] = np.sqrt(total)
            else:
                lower[i, j] = total / lower[j, j]
    for c in range(n):
        for i in range(n):
            total = 1.0 if i == c else 0.0
            for m in range(i):
                total -= lower[i, m] * inverse[m, c]
            inverse[i, c] = total / lower[i, i]
        for i in range(n - 1, -1, -1):
            total = inverse[i, c]
            for m in range(i + 1, n):
                total -= lower[m, i] * inverse[m, c]
            inverse[i, c] = total / lower[i, i]
    return True
