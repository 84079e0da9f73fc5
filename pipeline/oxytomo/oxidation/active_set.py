"""Exact non-negative solution of single pixels, with errors that respect the constraint.

A pixel with K references has at most 2^K − 1 sets of references with positive amounts. The set that
fulfils the Karush–Kuhn–Tucker conditions is the minimum.
"""

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def solve_constrained(  # type: ignore[no-untyped-def]
    normal, right, used, valences, sum_to_one, sum_error, solution, errors
):
    """Solve the pixels of a tile that have no solution yet or a negative amount, one by one."""
    p, k = right.shape[0], valences.size
    matrix, vector = np.empty((p, p)), np.empty(p)
    found, covariance, pull = np.zeros(p), np.zeros((k, k)), np.zeros(k)
    own, work = np.empty(3 + k), _scratch(k, p)
    for t in range(sum_error.size):
        good = used[t] > p
        for i in range(k):
            good = good and solution[i, t] >= 0.0
        if good:
            continue
        q = 0
        for i in range(p):
            vector[i] = right[i, t]
            for j in range(i, p):
                matrix[i, j] = matrix[j, i] = normal[q, t]
                q += 1
        if used[t] > p and _solve(matrix, vector, k, sum_to_one, found, covariance, pull, work):
            _errors(found, covariance, pull, valences, sum_to_one, sum_error[t], own)
            for i in range(p):
                solution[i, t] = found[i]
            for i in range(3 + k):
                errors[i, t] = own[i]
        else:
            for i in range(p):
                solution[i, t] = np.nan
            for i in range(3 + k):
                errors[i, t] = np.nan


@njit(cache=True, nogil=True, error_model="numpy")
def _scratch(k, p):  # type: ignore[no-untyped-def]
    """Return the small work arrays that are reused for every pixel of a tile."""
    background = np.empty((p - k, p - k)), np.empty((p - k, p - k))
    reduced = np.empty((k, k)), np.empty(k)
    solved = np.empty((k, k)), np.empty((k, k)), np.empty((p, p))
    trial = np.zeros(k), np.empty((k, k)), np.empty(k)
    return background, reduced, solved, trial


@njit(cache=True, nogil=True, error_model="numpy")
def _solve(matrix, vector, k, sum_to_one, found, covariance, pull, work):  # type: ignore[no-untyped-def]
    """Find the amounts of one pixel, their covariance and the background.

    Returns False if there is no solution.

    ``pull`` is the part of the solution from the sum rule alone; ``work`` is from :func:`_scratch`.
    """
    p = vector.size
    b = p - k
    # The background is free: it is eliminated first, which leaves a small problem in the
    # references.
    (block, inner), (reduced, rest), (_, _, lower), _ = work
    for i in range(b):
        for j in range(b):
            block[i, j] = matrix[k + i, k + j]
    if b > 0 and not _invert(block, b, inner, lower):
        return False
    for i in range(k):
        rest[i] = vector[i]
        for j in range(k):
            reduced[i, j] = matrix[i, j]
        for m in range(b):
            coupling = 0.0
            for n in range(b):
                coupling += matrix[i, k + n] * inner[n, m]
            rest[i] -= coupling * vector[k + m]
            for j in range(k):
                reduced[i, j] -= coupling * matrix[k + m, j]
    if not _best_support(reduced, rest, sum_to_one, found, covariance, pull, work):
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


@njit(cache=True, nogil=True, error_model="numpy")
def _with_support(mask, matrix, vector, sum_to_one, a, covariance, pull, work):  # type: ignore[no-untyped-def]
    """Solve for the references of one set, of either sign.

    Returns success and the multiplier of the sum rule.
    """
    k = vector.size
    part, inverse, lower = work[2]
    # References outside the set are held by a unit row and column: the block keeps its size.
    for i in range(k):
        a[i], pull[i] = 0.0, 0.0
        for j in range(k):
            both = mask >> i & 1 and mask >> j & 1
            part[i, j] = matrix[i, j] if both else (1.0 if i == j else 0.0)
    if not _invert(part, k, inverse, lower):
        return False, 0.0
    ones, total = 0.0, 0.0
    for i in range(k):
        for j in range(k):
            covariance[i, j] = 0.0
            if mask >> i & 1 and mask >> j & 1:
                covariance[i, j] = inverse[i, j]
                a[i] += inverse[i, j] * vector[j]
                pull[i] += inverse[i, j]
                ones += inverse[i, j]
        total += a[i]
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


@njit(cache=True, nogil=True, error_model="numpy")
def _best_support(matrix, vector, sum_to_one, found, covariance, pull, work):  # type: ignore[no-untyped-def]
    """Try the sets of references, the full one first.

    Stops at the set that fulfils the optimality conditions.
    """
    k = vector.size
    a, own, own_pull = work[3]
    best, best_mask = np.inf if sum_to_one else 0.0, 0
    for i in range(k):
        found[i], pull[i] = 0.0, 0.0
        for j in range(k):
            covariance[i, j] = 0.0
    for mask in range((1 << k) - 1, 0, -1):
        solved, multiplier = _with_support(mask, matrix, vector, sum_to_one, a, own, own_pull, work)
        lowest = 0.0
        for i in range(k):
            lowest = min(lowest, a[i])
        if not solved or lowest < 0:
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
            for i in range(k):
                found[i], pull[i] = a[i], own_pull[i]
                for j in range(k):
                    covariance[i, j] = own[i, j]
        if optimal:
            break
    if best_mask == 0:
        return not sum_to_one
    for j in range(k):
        if best_mask >> j & 1:
            continue
        solved, _ = _with_support(best_mask | 1 << j, matrix, vector, sum_to_one, a, own, own_pull, work)
        if solved and own[j, j] > 0:
            # Variance left for a reference at 0: that of its normal distribution truncated below 0.
            held = _cut_off_variance(max(-a[j], 0.0) / np.sqrt(own[j, j])) / own[j, j]
            for i in range(k):
                for m in range(k):
                    covariance[i, m] += own[i, j] * own[m, j] * held
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _cut_off_variance(limit):  # type: ignore[no-untyped-def]
    """Variance of a standard normal distribution truncated below ``limit`` >= 0."""
    if limit > 6.0:
        return 1.0 / (limit * limit)
    hazard = math.exp(-0.5 * limit * limit) / (math.sqrt(0.5 * math.pi) * math.erfc(limit / math.sqrt(2.0)))
    return max(1.0 + limit * hazard - hazard * hazard, 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _errors(found, covariance, pull, valences, sum_to_one, sum_error, errors):  # type: ignore[no-untyped-def]
    """Write amount error, valence, valence error, and one error per fraction.

    Errors are from the delta method.
    """
    k = valences.size
    for i in range(3 + k):
        errors[i] = np.nan
    total, weighted, variance = 0.0, 0.0, 0.0
    for i in range(k):
        total += found[i]
        weighted += found[i] * valences[i]
        for j in range(k):
            variance += covariance[i, j]
    errors[0] = np.sqrt(max(variance, 0.0))
    if not total > 0:
        return
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


@njit(cache=True, nogil=True, error_model="numpy")
def _invert(matrix, n, inverse, lower):  # type: ignore[no-untyped-def]
    """Invert the leading n × n block of a symmetric positive matrix by Cholesky.

    Returns False if it is singular.

    ``lower`` is work space; only the parts written here are read.
    """
    for i in range(n):
        for j in range(i):
            total = matrix[i, j]
            for m in range(j):
                total -= lower[i, m] * lower[j, m]
            lower[i, j] = total * lower[j, j]
        total = matrix[i, i]
        for m in range(i):
            total -= lower[i, m] * lower[i, m]
        if not total > 1e-12 * matrix[i, i]:
            return False
        lower[i, i] = 1.0 / np.sqrt(total)  # the diagonal holds reciprocals
    for c in range(n):
        for i in range(c, n):
            total = 1.0 if i == c else 0.0
            for m in range(c, i):
                total -= lower[i, m] * inverse[m, c]
            inverse[i, c] = total * lower[i, i]
        for i in range(n - 1, c - 1, -1):
            total = inverse[i, c]
            for m in range(i + 1, n):
                total -= lower[m, i] * inverse[m, c]
            inverse[i, c] = total * lower[i, i]
        for i in range(c + 1, n):
            inverse[c, i] = inverse[i, c]
    return True
