"""Noise replicates of a composition, and null runs on a uniform particle.

Both are reconstructed in the same way as the result.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import ReplicateKind
from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.composition.deviation_problems import DeviationSolver
from oxytomo.composition.noise import replicate, replicate_rng, uniform_composition
from oxytomo.composition.progress import OnProgress
from oxytomo.composition.result import Composition
from oxytomo.composition.solving import Solver, reconstruct_composition
from oxytomo.slabs import Field, fill, new_field, plane

SIGMA_SMOOTHING_PX = 2.0
"""Gaussian over which the scatter of replicates is averaged."""


@dataclass(frozen=True)
class Draw:
    """One replicate: of the result with new noise, or of a uniform particle (null run).

    It has a number, from 1, and the seed.
    """

    kind: ReplicateKind
    number: int
    seed: int

    @property
    def key(self) -> str:
        """Name among the replicates of a result."""
        return f"{self.kind}_{self.number}"


def draws_of(*, replicates: int, null_replicates: int, seed: int) -> list[Draw]:
    """Return the replicates and null runs of a result."""
    counts: dict[ReplicateKind, int] = {"noise": replicates, "null": null_replicates}
    return [Draw(kind, number, seed) for kind, count in counts.items() for number in range(1, 1 + count)]


@dataclass(frozen=True)
class Chain:
    """How a result was reconstructed from its sinograms.

    Attributes
    ----------
    data : element sinograms
    composition : the result
    solver : how it was reconstructed
    own_reference : deviations refer to the particle's own mode, which every replicate finds again
    threads : for the solver
    """

    data: ColumnDensities
    composition: Composition
    solver: Solver
    own_reference: bool
    threads: int


def fill_replicate(target: Field, draw: Draw, chain: Chain, on_progress: OnProgress) -> None:
    """Fill a field (n_z, n_y, n_x), float16, with the deviation of one replicate."""
    own, solver = chain.composition, chain.solver
    source = own if draw.kind == "noise" else uniform_composition(own)

    def again(noisy: ColumnDensities, start: Composition) -> Composition:
        return reconstruct_composition(
            noisy,
            solver=solver,
            reference_tm_o=None if chain.own_reference else source.reference_tm_o,
            start=start,
            with_metals=False,
            threads=chain.threads,
            on_progress=on_progress,
        )

    deviation = replicate(
        source,
        chain.data,
        psf_px=solver.psf_px if isinstance(solver, DeviationSolver) else 0.0,
        solve=again,
        rng=replicate_rng(draw.seed, draw.kind, draw.number),
    )
    # The range of float16 ends at 65504; a deviation of 100 is far beyond any threshold.
    fill(target, lambda part: np.clip(part, -100, 100).astype(np.float16), deviation)


def replicates_of(
    chain: Chain,
    counts: Mapping[ReplicateKind, int],
    stored: Mapping[str, Field],
    progress: Callable[[str], OnProgress],
    *,
    seed: int,
) -> dict[ReplicateKind, Field]:
    """Return the deviations of all replicates and null runs of a result, by kind.

    Each is (n, n_z, n_y, n_x) float16.

    Parameters
    ----------
    counts : number of each kind
    stored : replicates that other jobs have solved, by :attr:`Draw.key`
    progress : gives a function of ``(done, total)`` for a name
    seed : seed of the random numbers
    """
    shape = chain.composition.deviation.shape
    found = {kind: new_field((count, *shape), np.float16) for kind, count in counts.items()}
    for draw in draws_of(replicates=counts["noise"], null_replicates=counts["null"], seed=seed):
        target = plane(found[draw.kind], draw.number - 1)
        if draw.key in stored:
            fill(target, np.asarray, stored[draw.key])
        else:
            name = "noise replicate" if draw.kind == "noise" else "null run"
            on_progress = progress(f"{name} {draw.number} of {counts[draw.kind]}")
            fill_replicate(target, draw, chain, on_progress)
    return found
