"""The deviation without one of the chosen model terms.

The change of the amounts of oxygen and metal (:mod:`oxytomo.composition.term_changes`) goes through
the same reconstruction, which starts from the result.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.composition.progress import OnProgress
from oxytomo.composition.replicates import Chain
from oxytomo.composition.solving import reconstruct_composition
from oxytomo.slabs import Field, fill, new_field, plane


def changed(data: ColumnDensities, change: Field) -> ColumnDensities:
    """Return sinograms with the change of oxygen and metal, (2, n_tilt, n_z, n_s), added."""
    areal = new_field(data.areal.shape, np.float32)
    for tilts in data.parts:
        oxygen, metal = (np.asarray(change[k, tilts], np.float32) for k in range(2))
        for k in range(areal.shape[0]):
            areal[k, tilts] = np.asarray(data.areal[k, tilts]) + (metal if k else oxygen)
    return replace(data, areal=areal)


def deviations_without(
    names: Sequence[str], changes: Field, chain: Chain, progress: Callable[[str], OnProgress]
) -> Field:
    """Return the deviation without each term, (n_term, n_z, n_y, n_x) float16.

    Parameters
    ----------
    names : of the terms
    changes : from :func:`oxytomo.composition.term_changes.changes_without`
    chain : how the result was reconstructed
    progress : gives a function of ``(done, total)`` for a name
    """
    found = new_field((len(names), *chain.composition.deviation.shape), np.float16)
    for place, name in enumerate(names):
        other = reconstruct_composition(
            changed(chain.data, plane(changes, place)),
            solver=chain.solver,
            reference_tm_o=None if chain.own_reference else chain.composition.reference_tm_o,
            start=chain.composition,
            with_metals=False,
            threads=chain.threads,
            on_progress=progress(f"reading without {name}"),
        )
        fill(plane(found, place), lambda part: np.clip(part, -100, 100).astype(np.float16), other.deviation)
    return found
