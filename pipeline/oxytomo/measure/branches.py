"""Position of voids relative to oxygen-poor domains: a structure on the grid of its composition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.transform import Rotation

from oxytomo.measure.chance import Against, against_chance, depth_levels
from oxytomo.measure.shells import depth_below_surface
from oxytomo.measure.tables import table
from oxytomo.measure.void_neighbourhoods import (
    DISTANCE_COLUMNS,
    NEIGHBOURHOOD_COLUMNS,
    Neighbourhoods,
    distance_table,
    distances_nm,
    near_shares,
    neighbourhood_table,
    neighbourhoods,
)
from oxytomo.segment.components import filled_bodies
from oxytomo.segment.voids import CRACK, PORE
from oxytomo.slabs import Box, Field, mapped

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95
NEAR_VOXELS = 3


@dataclass(frozen=True)
class PlacedVoids:
    """Composition and voids of one particle in a box of the composition.

    Attributes
    ----------
    box : box in the composition's volume, z, y, x
    placed : ``particle``, ``voids`` (kinds) and ``instances`` (numbers) of the structure
    deviation, replicates : deviation of the composition and of its noise replicates
    phases, null_phases : its classes, and those of the null run if there is one
    n_voids, n_pores : number of voids and of pores; the pores come first
    voxel_nm : edge of a voxel, nm
    """

    box: Box
    placed: Mapping[str, Field]
    deviation: Field
    replicates: Sequence[Field]
    phases: Field
    null_phases: Field | None
    n_voids: int
    n_pores: int
    voxel_nm: float


@dataclass(frozen=True)
class VoidsAndDomains:
    """Numbers as plain values, the table of distances and that of neighbourhoods.

    Empty where nothing is compared.
    """

    numbers: dict[str, Any] = field(default_factory=dict)
    distances: pd.DataFrame = field(default_factory=lambda: table(dict.fromkeys(DISTANCE_COLUMNS, ())))
    beside: pd.DataFrame = field(default_factory=lambda: table(dict.fromkeys(NEIGHBOURHOOD_COLUMNS, ())))


def compare_voids_and_domains(
    of: PlacedVoids, *, near_nm: float | None, placements: int, seed: int
) -> VoidsAndDomains:
    """Compare the neighbourhood of voids with chance.

    Parameters
    ----------
    of : composition and voids
    near_nm : largest distance that is near a void, nm; None for three voxels
    placements : number of random placements for the comparison with chance
    seed : seed of their random numbers
    """
    voxel_nm, placed = of.voxel_nm, of.placed
    depth, inside, levels = compared_levels(of)
    near_nm = near_nm if near_nm is not None else NEAR_VOXELS * voxel_nm
    rng = np.random.default_rng(seed)
    chance: dict[str, Any] = {
        "rotations": Rotation.random(placements, random_state=rng).as_matrix(),
        "confidence": CONFIDENCE,
        "rng": rng,
    }
    distances = distances_nm(placed["voids"], depth, pore=PORE, crack=CRACK, voxel_nm=voxel_nm)
    of_classes = distance_table(distances, of.phases, of.null_phases, levels, voxel_nm=voxel_nm, **chance)
    shares = near_shares(distances["void"], of.phases, of.null_phases, levels, near_nm=near_nm, **chance)
    labels = neighbourhoods(placed["instances"], inside, near_nm=near_nm, voxel_nm=voxel_nm)
    beside = neighbourhood_table(
        Neighbourhoods(labels, placed["instances"], of.n_voids, of.n_pores),
        of.deviation,
        of.replicates,
        of.phases,
        levels,
        voxel_nm=voxel_nm,
    )
    for axis, extent in zip("zyx", of.box, strict=True):
        centroid = f"centroid_{axis}_nm"
        beside[centroid] = np.asarray(beside[centroid]) + voxel_nm * extent.start
    beside_any = mapped(labels, lambda part: part > 0, np.bool_)
    near = against_chance(of.deviation, beside_any, levels, **chance)
    numbers = {
        "near_nm": near_nm,
        "placements": placements,
        "near_share": {name: _plain(found) | {"null_run": null} for name, (found, null) in shares.items()},
        "near_mean_deviation": _plain(near),
    }
    return VoidsAndDomains(numbers, of_classes, beside)


def compared_levels(of: PlacedVoids) -> tuple[Field, Field, Field]:
    """Return depth (nm), the voxels that both branches have, and their depth levels."""
    solid = mapped(of.placed["particle"], lambda part: part > 0, np.bool_)
    depth = depth_below_surface(filled_bodies(solid), voxel_nm=of.voxel_nm)
    inside = mapped(depth, lambda part, phase: (phase > 0) & np.isfinite(part), np.bool_, of.phases)
    return depth, inside, depth_levels(depth, inside, voxel_nm=of.voxel_nm)


def _plain(found: Against) -> dict[str, Any]:
    return {
        "value": found.value,
        "expected": found.expected,
        "chance95": [found.low, found.high],
        "p_value": found.p_value,
    }
