"""Errors that all voxels share and counting noise does not show, in σ and in fractions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from oxytomo.measure.fractions import replicate_fractions
from oxytomo.slabs import Allocate, Field, fill, mapped

NORMAL = {0.68: 0.994, 0.95: 1.96}
"""Half widths of the central intervals of a normal distribution."""


def systematic_error(model: Mapping[str, Any] | None, *, own_reference: bool) -> float:
    """Return the standard deviation of a shift of TM/O that all voxels share, relative.

    Parameters
    ----------
    model : record of the decomposition, with ``systematic`` by source
    own_reference : deviations refer to the particle's own mode: a shift of all voxels drops out,
        and what the model leaves unexplained remains
    """
    sources = dict((model or {}).get("systematic") or {})
    if own_reference:
        sources = {name: value for name, value in sources.items() if name == "misfit"}
    return float(np.sqrt(sum(float(value) ** 2 for value in sources.values())))


def with_systematic(sigma: Field, error: float, allocate: Allocate) -> Field:
    """Add an error that all voxels share to a standard error, in quadrature.

    (n_z, n_y, n_x) float32.
    """
    if error == 0:
        return sigma
    whole = allocate(sigma.shape, np.float32)
    fill(whole, lambda part: np.hypot(part, np.float32(error)), sigma)
    return whole


def shifted_fractions(
    deviation: Field, particle: Field, *, threshold: float, shift: float
) -> dict[str, tuple[float, float]]:
    """Return by class its fraction if all deviations were larger by ``shift``, and smaller."""

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
    shifted : the fraction with deviations shifted by the half width of the shift's interval, up and
        down
    """
    if interval is None:
        return None
    low = max([value - f for f in shifted] + [0.0])
    high = max([f - value for f in shifted] + [0.0])
    return (
        max(0.0, value - float(np.hypot(value - interval[0], low))),
        min(1.0, value + float(np.hypot(interval[1] - value, high))),
    )
