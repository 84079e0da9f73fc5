"""Interfaces between two solids, distinguished from cracks by the void fraction across them."""

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array, IntArray
from oxytomo.segment.profiles import profiles
from oxytomo.segment.rims import Ridges
from oxytomo.slabs import Field

REACH_PX = 8
SKIN_PX = 2.0
"""Beyond this depth a profile shows the skin."""
FEWEST_SHARE = 0.2
"""A point of the profile counts if this share of the sheet has it."""
LEAST_DIP = 0.5


def without_steps(void: Field, depth_px: Field, ridges: Ridges) -> Ridges:
    """Drop sheets that are a step from one grey value of solid to another.

    A sheet of void stands out from the solid on both sides. At a step the void fraction falls to
    one side only; on the other side it is constant, except for the slow variation of the solid's
    level. A sheet counts if the fall to its higher side is at least LEAST_DIP of that to its lower
    side (0.2 to 0.4 for steps, 1 for cracks in one solid). A crack along an interface is therefore
    kept if it is stronger than the step.

    Parameters
    ----------
    void : (n_z, n_y, n_x) float32, void fraction
    depth_px : distance to the skin, positive inside
    ridges : the sheets found
    """
    if not ridges.index.size:
        return ridges
    across = profiles(void, ridges.index, ridges.normal, REACH_PX).astype(np.float64)
    across[profiles(depth_px, ridges.index, ridges.normal, REACH_PX) < SKIN_PX] = np.nan
    keep = np.ones(len(across), bool)
    order = np.argsort(ridges.sheet, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(ridges.sheet[order])) + 1):
        keep[rows] = dip_share(across[rows]) >= LEAST_DIP
    return ridges.only(keep)


def dip_share(across: Float64Array) -> float:
    """Return the fall from a sheet's middle to its higher side over that to its lower side.

    It is 0 if a side lies outside the skin.

    ``across`` are profiles of a sheet, (n, 2 REACH_PX + 1), NaN outside the particle. Their medians
    are compared, with the lowest point on each side.
    """
    enough: BoolArray = np.isfinite(across).mean(axis=0) >= FEWEST_SHARE
    place: IntArray = np.flatnonzero(enough)
    middle = np.full(across.shape[1], np.nan)
    middle[place] = np.nanmedian(across[:, place], axis=0)
    centre, sides = middle[REACH_PX - 1 : REACH_PX + 2], (middle[: REACH_PX - 1], middle[REACH_PX + 2 :])
    if np.isnan(centre).all() or any(np.isnan(side).all() for side in sides):
        return 0.0
    top = float(np.nanmax(centre))
    falls = [top - float(np.nanmin(side)) for side in sides]
    return float(min(falls) / max(max(falls), 1e-6))
