"""Conjugate gradients for the large symmetric systems of mechanics."""

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np

from oxytomo.arrays import FloatArray
from oxytomo.threads import parallel_kernel


@dataclass(frozen=True)
class Solved:
    """Result of conjugate gradients: the solution, the number of iterations and the residual.

    The residual is relative to the norm of the right-hand side.
    """

    solution: FloatArray
    iterations: int
    residual: float


def conjugate_gradients(
    apply: Callable[[FloatArray, FloatArray], None],
    precondition: Callable[[FloatArray, FloatArray], None],
    right: FloatArray,
    *,
    start: FloatArray | None,
    tolerance: float,
    most_iterations: int,
) -> Solved:
    """Solve a symmetric, positive semi-definite system by preconditioned conjugate gradients.

    The right-hand side must lie in the range of the matrix (Hestenes and Stiefel, J. Res. Natl.
    Bur. Stand. 49, 409, 1952).

    Parameters
    ----------
    apply : writes the product of the matrix with its first argument into the second
    precondition : writes the product of an approximate inverse in the same way
    right : float32 array of any shape, the right-hand side; it is overwritten by the residual, so
        that large systems need one array less
    start : first guess, or None for zero
    tolerance : residual relative to the right-hand side at which the iteration ends
    most_iterations : largest number of iterations
    """
    residual, norm = right, np.sqrt(inner(right, right))
    if norm == 0.0:
        return Solved(np.zeros_like(right), 0, 0.0)
    solution = np.zeros_like(right) if start is None else start.astype(np.float32, copy=True)
    product = np.zeros_like(right)
    if start is not None:
        apply(solution, product)
        residual -= product
    # The preconditioned residual is added to the direction before the product takes its place.
    direction, conditioned = np.zeros_like(right), product
    before, relative, iteration = 0.0, np.sqrt(inner(residual, residual)) / norm, 0
    while relative > tolerance and iteration < most_iterations:
        precondition(residual, conditioned)
        now = inner(residual, conditioned)
        _turn(conditioned.reshape(-1), np.float32(now / before if before else 0.0), direction.reshape(-1))
        before = now
        apply(direction, product)
        step = np.float32(now / inner(direction, product))
        squared = _advance(*(one.reshape(-1) for one in (solution, residual, direction, product)), step)
        relative, iteration = float(np.sqrt(squared)) / norm, iteration + 1
    return Solved(solution, iteration, float(relative))


def inner(one: FloatArray, other: FloatArray) -> float:
    """Return the inner product of two arrays in double precision."""
    return float(_inner(one.reshape(-1), other.reshape(-1)))


# The loops take flat views: Numba 0.68 loses what a parallel loop writes to ``array.ravel()`` of an
# argument.
@parallel_kernel(element_ns=1, fastmath=True)
def _inner(a: FloatArray, b: FloatArray) -> float:
    total = 0.0
    for i in numba.prange(a.size):
        total += np.float64(a[i]) * np.float64(b[i])
    return total


@parallel_kernel(element_ns=1, fastmath=True)
def _turn(conditioned: FloatArray, share: float, direction: FloatArray) -> None:
    """Set ``direction`` to the preconditioned residual plus a multiple of itself."""
    for i in numba.prange(direction.size):
        direction[i] = conditioned[i] + share * direction[i]


@parallel_kernel(element_ns=1, fastmath=True)
def _advance(x: FloatArray, r: FloatArray, direction: FloatArray, product: FloatArray, step: float) -> float:
    """Take a step; returns the squared norm of the new residual."""
    total = 0.0
    for i in numba.prange(x.size):
        x[i] += step * direction[i]
        left = r[i] - step * product[i]
        r[i] = left
        total += np.float64(left) * np.float64(left)
    return total
