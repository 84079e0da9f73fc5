"""Problems of the deviation method: densities, and the difference from the reference."""

from collections.abc import Sequence
from dataclasses import dataclass

from oxytomo.arrays import Float64Array
from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.reconstruct.backends import TV_PER_NOISE
from oxytomo.reconstruct.total_variation import Reached, gradient_noise, together
from oxytomo.slabs import Field

DIFFERENCE_TV_PER_NOISE = 0.8
DIFFERENCE_L1_PER_NOISE = 0.1
"""Default weights of the deviation reconstruction, in units of the gradient's noise."""

MODEL_ERROR_PX = 0.15
"""Error of the path length of a ray on a voxel grid, pixels; it is added in quadrature to the noise
of the densities. Without it bright data are fitted more precisely than the model allows, which
slows convergence and gains nothing."""


FoundBySlab = Sequence[tuple[dict[str, Reached], int]]
"""Per slab: how each of its problems was solved, and its thickness."""


@dataclass(frozen=True)
class DeviationSolver:
    """Settings of the deviation method; weights of None are chosen from the noise."""

    iterations: int
    tv_weight: float | None
    l1_weight: float | None
    element_iterations: int
    element_tv_weight: float | None
    psf_px: float
    parts: int = 1


@dataclass(frozen=True)
class Problem:
    """One weighted least-squares problem of the chain.

    Attributes
    ----------
    name : total, oxygen, metal_1 … or difference
    coefficients : coefficients of the elements
    model_error_px : see :data:`MODEL_ERROR_PX`
    tv, l1 : weights, either given or (where None) this multiple of the gradient's noise
    nonnegative : true for a density, false for a difference
    iterations : largest number of iterations
    """

    name: str
    coefficients: Float64Array
    model_error_px: float
    tv: tuple[float | None, float]
    l1: tuple[float | None, float]
    nonnegative: bool
    iterations: int

    def weights(self, noise: float) -> tuple[float, float]:
        """Return the weights of total variation and sparsity for a gradient's noise."""
        tv, l1 = (share * noise if given is None else given for given, share in (self.tv, self.l1))
        return tv, l1

    def sinogram(self, data: ColumnDensities) -> tuple[Field, Field]:
        """Return the line integrals in pixels and their inverse variance."""
        return data.sinogram(self.coefficients, model_error_px=self.model_error_px)


def chain(data: ColumnDensities, solver: DeviationSolver, n_metals: int) -> list[Problem]:
    """Return the densities that every slab solves for: total, oxygen, and metals if wanted."""
    named = {"total": data.total, "oxygen": data.oxygen}
    named |= {f"metal_{k}": data.single[k - 1] for k in range(1, 1 + n_metals)}
    return [
        Problem(
            name=name,
            coefficients=coefficients,
            model_error_px=MODEL_ERROR_PX,
            tv=(solver.element_tv_weight, TV_PER_NOISE),
            l1=(None, 0.0),
            nonnegative=True,
            iterations=solver.element_iterations,
        )
        for name, coefficients in named.items()
    ]


def difference_problem(data: ColumnDensities, solver: DeviationSolver, reference_tm_o: float) -> Problem:
    """Return the sparse difference of either sign, TM − reference · O."""
    return Problem(
        name="difference",
        coefficients=data.metal - reference_tm_o * data.oxygen,
        model_error_px=0.0,
        tv=(solver.tv_weight, DIFFERENCE_TV_PER_NOISE),
        l1=(solver.l1_weight, DIFFERENCE_L1_PER_NOISE),
        nonnegative=False,
        iterations=solver.iterations,
    )


def noise_of(data: ColumnDensities, problem: Problem, support: Field) -> float:
    """Return the noise of the gradient of a problem."""
    weights = problem.sinogram(data)[1]
    return gradient_noise(weights, data.geometry, support)


def record_of(problems: Sequence[Problem], noise: dict[str, float], found: FoundBySlab) -> dict[str, float]:
    """Return weights, iterations, residual and misfit of each problem solved in slabs.

    The residual is in units of the noise.
    """
    record: dict[str, float] = {}
    for problem in problems:
        name = problem.name
        tv_weight, l1_weight = problem.weights(noise[name])
        reached = together([(each[name], slices) for each, slices in found])
        record |= {
            f"{name}_tv_weight": tv_weight,
            f"{name}_l1_weight": l1_weight,
            f"{name}_iterations": reached.iterations,
            f"{name}_residual": reached.residual / noise[name],
            f"{name}_misfit": reached.misfit,
        }
    return record
