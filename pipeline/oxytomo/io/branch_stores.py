"""Stores of composition and structure, for the comparison of a particle's branches."""

from collections.abc import Mapping

import numpy as np

from oxytomo.align.branches import Segmented, composition_solid
from oxytomo.align.coarse import Solid
from oxytomo.io.stores import Store
from oxytomo.measure.branches import PlacedVoids
from oxytomo.slabs import Box, Field, plane, window


def solid_of_composition(store: Store) -> Solid:
    """Return the particle of a reconstructed composition."""
    densities = [store.field("total")] if "total" in store.names else _items(store.field("elements"))
    return composition_solid(store.field("particle"), densities, float(store.attributes["pixel_nm"]))


def segmented(store: Store) -> Segmented:
    """Return a segmented structure; its slices are read on access."""
    particle, void, zone, instances = map(store.field, ("particle", "void", "zone", "instances"))
    n_pores, voxel_nm = int(store.attributes["n_pores"]), float(store.attributes["voxel_nm"])
    return Segmented(particle, void, zone, instances, n_pores, voxel_nm)


def placed_voids(
    stores: Mapping[str, Store], placed: Mapping[str, Field], box: Box, n_pores: int
) -> PlacedVoids:
    """Return composition and voids in a box.

    ``stores`` are reconstruct, classify, uncertainty and voids by name.
    """
    composition, classified = stores["reconstruct"], stores["classify"]
    null = window(classified.field("null_phases"), box) if classified.attributes["n_null"] else None
    return PlacedVoids(
        box=box,
        placed=placed,
        deviation=window(composition.field("deviation"), box),
        replicates=[window(one, box) for one in _items(stores["uncertainty"].field("replicates"))],
        phases=window(classified.field("phases"), box),
        null_phases=null,
        n_voids=n_pores + int(np.max(stores["voids"]["sheet_sheet"], initial=0)),
        n_pores=n_pores,
        voxel_nm=float(composition.attributes["pixel_nm"]),
    )


def _items(field: Field) -> list[Field]:
    """Return the items along the first axis as fields."""
    return [plane(field, index) for index in range(field.shape[0])]
