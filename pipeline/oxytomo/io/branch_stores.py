"""Stores of composition and structure, for the comparison of a particle's branches."""

from collections.abc import Mapping

import numpy as np

from oxytomo.align.branches import Segmented, composition_solid
from oxytomo.align.coarse import Solid
from oxytomo.align.placing import Placement, placed_mean
from oxytomo.arrays import FloatArray
from oxytomo.io.mechanics_stores import read_parts
from oxytomo.io.stores import Store
from oxytomo.measure.branches import PlacedVoids
from oxytomo.mechanics.geometry import interior
from oxytomo.mechanics.solving import NAMES
from oxytomo.slabs import Box, Field, plane, window

LEAST_SHARE = 0.5
"""Least share of a voxel of the composition with a trusted stress."""


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


def placed_stress(
    lithium: Store, stress: Store, structure_nm: float, placement: Placement
) -> dict[str, FloatArray]:
    """Return the stress of the shown state on the grid of the composition, MPa; NaN where unknown.

    Parameters
    ----------
    lithium, stress : stores of ``lithiate`` and ``solve_stress``
    structure_nm : voxel size of the segmentation that they were calculated for
    placement : of that segmentation on the grid of the composition
    """
    parts, facts = read_parts(lithium), lithium.attributes
    solid = parts.solid()
    trusted = interior(parts, solid)[solid.inside].astype(np.float32)
    amplitude = np.float32(facts["states"][int(facts["shown"])]["amplitude_mpa"])
    factor = int(facts["factor"])
    # The first voxel is a block of factor³ voxels of the segmentation.
    first_nm = (np.array(parts.start) * factor + (factor - 1) / 2) * structure_nm
    here = placement.of_part(first_nm, structure_nm * factor)
    return {name: placed_mean(amplitude * stress[name], trusted, here, least=LEAST_SHARE) for name in NAMES}


def _items(field: Field) -> list[Field]:
    """Return the items along the first axis as fields."""
    return [plane(field, index) for index in range(field.shape[0])]
