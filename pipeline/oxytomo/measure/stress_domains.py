"""Stress in oxygen-poor and oxygen-rich domains, against chance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from oxytomo.measure.branches import CONFIDENCE, PlacedVoids, compared_levels
from oxytomo.measure.chance import against_chance
from oxytomo.measure.tables import table
from oxytomo.measure.void_neighbourhoods import mean_of, of_class
from oxytomo.segment.classes import CLASS_LABELS
from oxytomo.slabs import Field, count_set, mapped

if TYPE_CHECKING:
    import pandas as pd

STRESS_COLUMNS = (
    "class",
    "stress",
    "volume_nm3",
    "mean_mpa",
    "expected_mpa",
    "chance_low_mpa",
    "chance_high_mpa",
    "p_value",
    "null_run_mpa",
)
STRESS_DEFINITIONS = {
    "stress": "of the shown state of mechanics.json, averaged over each voxel of the composition; voxels with less than half "
    "of their volume farther than 1.5 voxels of the mechanics grid from a surface are left out",
    "mean_mpa": "mean over the voxels of a class",
    "expected_mpa": "mean of all voxels of the particle as deep (layers of one voxel)",
    "chance95_mpa": "where 95 % of random placements lie: the pattern of the class turned as a whole at random about the "
    "particle's centre, less the mean of each depth",
}


def no_stress() -> pd.DataFrame:
    """Return a table without rows."""
    return table(dict.fromkeys(STRESS_COLUMNS, ()))


def stress_in_domains(
    stress: Mapping[str, Field], of: PlacedVoids, *, placements: int, seed: int
) -> pd.DataFrame:
    """Compare the stress in the classes of the composition with chance.

    Stress and composition both depend on depth, so that a class is compared with voxels as deep.
    The interval is that of its pattern turned at random, as for distances to voids.

    Parameters
    ----------
    stress : name -> (n_z, n_y, n_x) field in MPa on the grid of the composition, NaN where unknown
    of : composition and voids
    placements : number of random placements
    seed : seed of their random numbers

    Returns
    -------
    table : one row per class and stress: ``class``, ``stress`` (text), ``volume_nm3`` of the voxels
        with a stress, ``mean_mpa``, ``expected_mpa``, ``chance_low_mpa``, ``chance_high_mpa``,
        ``p_value``, ``null_run_mpa`` (float64)
    """
    _, _, levels = compared_levels(of)
    rng = np.random.default_rng(seed)
    rotations = Rotation.random(placements, random_state=rng).as_matrix()
    rows = []
    for name, label in CLASS_LABELS.items():
        member = of_class(of.phases, label, levels)
        for kind, values in stress.items():
            known = mapped(member, lambda one, part: one & np.isfinite(part), np.bool_, values)
            found = against_chance(
                values, member, levels, rotations=rotations, confidence=CONFIDENCE, rng=rng
            )
            null = np.nan
            if of.null_phases is not None:
                null = mean_of(values, of_class(of.null_phases, label, levels))
            volume = count_set(known) * of.voxel_nm**3
            rows.append(
                (name, kind, volume, found.value, found.expected, found.low, found.high, found.p_value, null)
            )
    return table(dict(zip(STRESS_COLUMNS, zip(*rows, strict=True), strict=True)))
