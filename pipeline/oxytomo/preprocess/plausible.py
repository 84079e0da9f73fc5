"""Checks for values that a stated quantity cannot have."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import AnyArray
from oxytomo.errors import InputError

VOXEL_TOLERANCE = 0.02
"""A warning is given for a larger relative difference of the given and the recorded voxel size."""
LOOKED_AT = 5
"""Number of frames of each series whose values are checked."""
LARGEST_TRANSMISSION = 2.0
"""Phase fringes and noise lift single pixels above 1, but not one in twenty above twice the
incident intensity."""
LARGEST_DENSITY = 20.0
"""A ray of optical density 20 has two photons in a thousand million."""
_HIGH = 95.0


@dataclass(frozen=True)
class Problem:
    """Expected values, actual values, and the fix."""

    expected: str
    got: str
    fix: str


def looked_at(n_frame: int) -> list[int]:
    """Return frames for a check of their values: first, last, some in between."""
    return np.unique(np.linspace(0, n_frame - 1, LOOKED_AT).round().astype(int)).tolist()


def require_plausible(place: str, frames: Sequence[AnyArray], quantity: str) -> None:
    """Refuse values that the stated quantity cannot have."""
    problem = quantity_problem(frames, quantity)
    if problem is not None:
        raise InputError(place, expected=problem.expected, got=problem.got, fix=problem.fix)


def quantity_problem(frames: Sequence[AnyArray], quantity: str) -> Problem | None:
    """Return what is wrong with transmissions or optical densities, None if nothing is.

    Parameters
    ----------
    frames : some frames of a series, any shape; values that are not finite are ignored
    quantity : "counts", "transmission", "optical_density" or "signal"
    """
    if quantity not in ("transmission", "optical_density"):
        return None
    known = [np.asarray(frame, np.float64) for frame in frames]
    known = [frame[np.isfinite(frame)] for frame in known]
    known = [frame for frame in known if frame.size]
    if not known:
        return None
    high = float(np.median([np.percentile(frame, _HIGH) for frame in known]))
    middle = float(np.median([np.median(frame) for frame in known]))
    if quantity == "transmission" and high > LARGEST_TRANSMISSION:
        return Problem(
            f"transmission, below {LARGEST_TRANSMISSION:g} in nearly every pixel",
            f"values up to {high:.5g} (95th percentile)",
            "set 'quantity: counts' and give flat frames, or divide the frames by the flat field first",
        )
    if quantity == "transmission" and high <= 0:
        return Problem(
            "transmission above zero",
            f"values up to {high:.5g} (95th percentile)",
            "set 'quantity: optical_density' or 'counts', as the frames are",
        )
    if quantity == "optical_density" and middle > LARGEST_DENSITY:
        return Problem(
            f"optical density, below {LARGEST_DENSITY:g}",
            f"a median of {middle:.5g}",
            "set 'quantity: counts' and give flat frames",
        )
    return None
