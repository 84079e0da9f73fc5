"""Stores of a particle that is solved in several jobs: shared input, parts, and the whole."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.composition.deviation import chain_record, composed, difference_record
from oxytomo.composition.deviation_problems import DeviationSolver, FoundBySlab
from oxytomo.composition.deviation_steps import Ground, Solutions, slabs_of
from oxytomo.composition.result import Composition
from oxytomo.io.composition_store import VOLUME as VOLUME
from oxytomo.io.stores import NamedArray, Provenance, Store, read_store, write_store
from oxytomo.reconstruct.total_variation import Reached
from oxytomo.segment.particle import particle_mask
from oxytomo.slabs import Field, new_field, plane, slabs


def ground_attributes(ground: Ground) -> dict[str, object]:
    """Return the numbers that all parts share."""
    return {"noise": ground.noise, "reference_tm_o": ground.reference_tm_o, "record": ground.record}


def read_ground(inputs: Mapping[str, Path], data: ColumnDensities, solver: DeviationSolver) -> Ground:
    """Return the shared input, from ``prepare`` and, with the mode as reference, ``join``."""
    store = read_store(inputs["prepare"])
    support = store.field("support")
    box, cut = slabs_of(data, support, solver.parts)
    ground = Ground(
        support=support,
        total=store.field("total"),
        noise=dict(store.attributes["noise"]),
        reference_tm_o=float(store.attributes["reference_tm_o"]),
        record=dict(store.attributes["record"]),
        box=box,
        slabs=cut,
    )
    if "join" not in inputs:
        return ground
    joined = read_store(inputs["join"]).attributes
    return replace(ground, noise=dict(joined["noise"]), reference_tm_o=float(joined["reference_tm_o"]))


def rows_of_part(ground: Ground, part: int, parts: int) -> slice:
    """Return the slices of one part."""
    own = ground.of_part(part, parts)
    return slice(own[0][0].start, own[-1][0].stop)


def write_part(
    path: Path,
    arrays: Mapping[str, NamedArray],
    first_row: int,
    found: FoundBySlab,
    provenance: Provenance,
) -> None:
    """Write the slices of a part and their convergence."""
    reached = [
        {"thickness": thickness, "problems": {name: asdict(one) for name, one in each.items()}}
        for each, thickness in found
    ]
    write_store(
        path,
        arrays,
        provenance=provenance,
        attributes={"first_row": first_row, "slabs": reached},
    )


def stores_of(inputs: Mapping[str, Path], name: str, parts: int) -> list[Store]:
    """Return the stores of all parts in their order."""
    return [read_store(inputs[f"{name}_{part}"]) for part in range(1, 1 + parts)]


def found_in(stores: list[Store]) -> FoundBySlab:
    """Return the convergence of the slabs of all parts."""
    return [
        ({name: Reached(**one) for name, one in slab["problems"].items()}, int(slab["thickness"]))
        for store in stores
        for slab in store.attributes["slabs"]
    ]


def gathered_parts(stores: list[Store], shape: tuple[int, ...], n_elements: int) -> Solutions:
    """Join the solutions of parts; of the elements only the first ones, as many as given."""
    gathered = Solutions.empty(shape, n_elements)
    for store in stores:
        _copy(store, store.field("total"), gathered.total)
        _copy(store, store.field("difference"), gathered.difference)
        for k in range(n_elements):
            _copy(store, plane(store.field("elements"), k), plane(gathered.elements, k))
    return gathered


def composition_of_parts(
    inputs: Mapping[str, Path], data: ColumnDensities, solver: DeviationSolver
) -> Composition:
    """Return the composition made of all parts."""
    n = len(data.atoms)
    first = read_ground({"prepare": inputs["prepare"]}, data, solver)
    stores = stores_of(inputs, "part", solver.parts)
    gathered = gathered_parts(stores, first.support.shape, n)
    record = chain_record(data, first, solver, n - 1, found_in(stores))
    if "join" not in inputs:
        particle = particle_mask(gathered.total)
        return composed(gathered, particle, first.reference_tm_o, record)
    ground = read_ground(inputs, data, solver)
    refined = stores_of(inputs, "refine", solver.parts)
    difference = new_field(first.support.shape, np.float32)
    for store in refined:
        _copy(store, store.field("difference"), difference)
    record |= difference_record(data, ground, solver, found_in(refined))
    gathered = replace(gathered, difference=difference)
    particle = read_store(inputs["join"]).field("particle")
    return composed(gathered, particle, ground.reference_tm_o, record)


def _copy(store: Store, source: Field, target: Field) -> None:
    """Copy the slices of a part to their position in the whole."""
    first = int(store.attributes["first_row"])
    for slab in slabs(source.shape):
        target[first + slab.rows.start : first + slab.rows.stop] = source[slab.rows]
