"""Errors common to all voxels and not part of counting noise, in σ and in fractions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from oxytomo.arrays import FloatArray
from oxytomo.measure.fractions import replicate_fractions
from oxytomo.slabs import Field, fill, mapped, new_field

NORMAL = {0.68: 0.994, 0.95: 1.96}
"""Half widths of the central intervals of a normal distribution."""


MISFITS = ("misfit", "misfit_of_single_rays")
"""Sources that do not cancel where deviations refer to the particle's own mode."""
SKIN_REACH_PX = 1.5
"""The oxygen of a skin appears in the rim of the particle to this depth (standard deviation of a
half Gaussian)."""


def systematic_error(model: Mapping[str, Any] | None, *, own_reference: bool) -> float:
    """Return the relative standard deviation of a shift of TM/O common to all voxels.

    Parameters
    ----------
    model : record of the decomposition, with ``systematic`` by source
    own_reference : deviations refer to the particle's own mode: a common shift cancels, and only
        the part that the model leaves unexplained remains
    """
    sources = dict((model or {}).get("systematic") or {})
    if own_reference:
        sources = {name: value for name, value in sources.items() if name in MISFITS}
    return float(np.sqrt(sum(float(value) ** 2 for value in sources.values())))


def skin_oxygen_nm(model: Mapping[str, Any] | None) -> float:
    """Return the thickness of oxygen in a carbonate skin, at the particle's density; 0: no skin."""
    return float(((model or {}).get("skin") or {}).get("oxygen_nm", 0.0))


def with_systematic(sigma: Field, error: float) -> Field:
    """Add an error common to all voxels to a standard error, in quadrature.

    (n_z, n_y, n_x) float32.
    """
    if error == 0:
        return sigma
    whole = new_field(sigma.shape, np.float32)
    fill(whole, lambda part: np.hypot(part, np.float32(error)), sigma)
    return whole


def with_skin(sigma: Field, depth_px: Field, oxygen_px: float) -> Field:
    """Add the error due to the oxygen of a possible skin, in quadrature; float32.

    See :func:`share_of_skin`.

    Parameters
    ----------
    sigma : (n_z, n_y, n_x) standard error of the deviation
    depth_px : depth below the surface of the particle, voxels
    oxygen_px : thickness of the skin's oxygen at the particle's density, voxels; 0 for none
    """
    if oxygen_px == 0:
        return sigma
    whole = new_field(sigma.shape, np.float32)
    fill(whole, lambda part, depth: np.hypot(part, share_of_skin(depth, oxygen_px)), sigma, depth_px)
    return whole


def share_of_skin(depth_px: FloatArray, oxygen_px: float) -> FloatArray:
    """Share of a voxel's oxygen that belongs to a skin, by depth below the surface.

    Parameters
    ----------
    depth_px : depth below the surface, voxels
    oxygen_px : thickness of the skin's oxygen at the particle's density, voxels; the skin is
        blurred into the rim
    """
    steps = np.arange(0.5, 12)
    excess = oxygen_px * np.exp(-0.5 * (depth_px / SKIN_REACH_PX) ** 2)
    # The skin lies at the surface: half of it is blurred out of the particle, half into it.
    excess = excess / (2 * np.exp(-0.5 * (steps / SKIN_REACH_PX) ** 2).sum())
    return np.asarray(excess / (1 + excess), np.float32)


def without_skin(deviation: Field, depth_px: Field, oxygen_px: float) -> Field:
    """Return the deviation without a skin's oxygen: TM/O is larger by 1/(1 − share)."""
    without = new_field(deviation.shape, np.float32)
    fill(
        without,
        lambda value, depth: (1 + value) / (1 - share_of_skin(depth, oxygen_px)) - 1,
        deviation,
        depth_px,
    )
    return without


def shifted_fractions(
    deviation: Field, particle: Field, *, threshold: float, shift: float
) -> dict[str, tuple[float, float]]:
    """Return the fraction of each class for deviations larger, and smaller, by ``shift``."""

    def moved(by: float) -> Field:
        return mapped(deviation, lambda part: np.asarray(part, np.float32) + np.float32(by), np.float32)

    found = replicate_fractions([moved(shift), moved(-shift)], particle, threshold=threshold)
    return {name: (values[0], values[1]) for name, values in found.items()}


def widened(
    interval: Sequence[float] | None, value: float, shifted: Sequence[float]
) -> tuple[float, float] | None:
    """Widen the interval of a fraction by the effect of a shift of all deviations.

    The shift's effect is added in quadrature on each side.

    Parameters
    ----------
    interval : (low, high) from noise and method
    value : the fraction
    shifted : the fraction with deviations shifted up and down by the half width of the shift's
        interval
    """
    if interval is None:
        return None
    low = max([value - f for f in shifted] + [0.0])
    high = max([f - value for f in shifted] + [0.0])
    return (
        max(0.0, value - float(np.hypot(value - interval[0], low))),
        min(1.0, value + float(np.hypot(interval[1] - value, high))),
    )
