"""Noise replicates of a composition, and null runs on a uniform particle.

Both are reconstructed in the same way as the result.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from oxytomo.arrays import ReplicateKind
from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.composition.deviation_problems import DeviationSolver
from oxytomo.composition.deviation_steps import Ground, prepare
from oxytomo.composition.first_look import FIRST_ITERATIONS
from oxytomo.composition.noise import draw as drawn
from oxytomo.composition.noise import expected_sinograms, replicate_rng, uniform_composition
from oxytomo.composition.progress import OnProgress, Progress
from oxytomo.composition.result import Composition
from oxytomo.composition.solving import Solver, reconstruct_composition
from oxytomo.slabs import Field, fill, new_field, plane

SIGMA_SMOOTHING_PX = 2.0
"""Gaussian over which the scatter of replicates is averaged."""
FEWER = 2
"""Replicates start from the result: the oxygen of a replicate gets this many times fewer iterations
than that of the result. The scatter of the deviation is then smaller by less than 1 %, which is far
below the error of a scatter of a few replicates."""


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


@dataclass(frozen=True)
class Source:
    """What replicates of one kind are drawn from, and its projections.

    Replicates of a kind share it, and with it what follows from its total alone.

    Attributes
    ----------
    composition : the result, or the same particle without deviations
    expected : (n_tilt, n_z, n_s) float32, µm: of oxygen, and of every metal
    shared : input of the deviation method that all replicates have in common
    """

    composition: Composition
    expected: tuple[Field, Field]
    shared: Ground | None


def source_of(kind: ReplicateKind, chain: Chain) -> Source:
    """Return what replicates of a kind are drawn from."""
    own, solver = chain.composition, chain.solver
    source = own if kind == "noise" else uniform_composition(own)
    psf_px = solver.psf_px if isinstance(solver, DeviationSolver) else 0.0
    shared = None
    if isinstance(solver, DeviationSolver):
        shared = prepare(
            chain.data,
            solver=solver,
            reference_tm_o=source.reference_tm_o,
            start=source,
            n_metals=0,
            progress=Progress(None, FIRST_ITERATIONS),
        )
    return Source(source, expected_sinograms(source, chain.data, psf_px=psf_px), shared)


def fill_replicate(
    target: Field, draw: Draw, chain: Chain, on_progress: OnProgress, source: Source | None = None
) -> None:
    """Fill a field (n_z, n_y, n_x), float16, with the deviation of one replicate.

    ``source`` is that of its kind; found if not given.
    """
    source, solver = source or source_of(draw.kind, chain), chain.solver
    if isinstance(solver, DeviationSolver):
        solver = replace(solver, element_iterations=-(-solver.element_iterations // FEWER))
    rng = replicate_rng(draw.seed, draw.kind, draw.number)
    deviation = reconstruct_composition(
        drawn(*source.expected, chain.data, rng=rng),
        solver=solver,
        reference_tm_o=None if chain.own_reference else source.composition.reference_tm_o,
        start=source.composition,
        with_metals=False,
        threads=chain.threads,
        on_progress=on_progress,
        ground=source.shared,
    ).deviation
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
    shape, sources = chain.composition.deviation.shape, dict[ReplicateKind, Source]()
    found = {kind: new_field((count, *shape), np.float16) for kind, count in counts.items()}
    for draw in draws_of(replicates=counts["noise"], null_replicates=counts["null"], seed=seed):
        target = plane(found[draw.kind], draw.number - 1)
        if draw.key in stored:
            fill(target, np.asarray, stored[draw.key])
        else:
            name = "noise replicate" if draw.kind == "noise" else "null run"
            on_progress = progress(f"{name} {draw.number} of {counts[draw.kind]}")
            if draw.kind not in sources:
                sources = {draw.kind: source_of(draw.kind, chain)}  # only one kind in memory
            fill_replicate(target, draw, chain, on_progress, sources[draw.kind])
    return found
