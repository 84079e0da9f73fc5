"""Currents and depths: times, amplitudes, and what the material can sustain."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from oxytomo.errors import InputError
from oxytomo.mechanics.materials import Material, amplitude_mpa, sustained
from oxytomo.mechanics.states import STEADY

HOUR_S = 3600.0


@dataclass(frozen=True)
class State:
    """One current at one depth.

    Attributes
    ----------
    c_rate, depth : current, 1/h, and depth of discharge or charge
    time_s : time since the current was switched on
    tau : D t / R²; infinite from the steady state on
    lithium_mean : mean lithium content x̄
    lithium_scale : |ẋ| R² / D: x − x̄ is this times u, and u has the sign of the current
    amplitude_mpa : stress is this times the shape factor
    """

    c_rate: float
    depth: float
    time_s: float
    tau: float
    lithium_mean: float
    lithium_scale: float
    amplitude_mpa: float

    def as_dict(self) -> dict[str, Any]:
        """Return the values by name."""
        return asdict(self)


def rate_per_s(c_rate: float, lithium: tuple[float, float]) -> float:
    """Return the growth of the mean lithium content per second, without a sign."""
    return c_rate * (lithium[1] - lithium[0]) / HOUR_S


def sign_of(direction: Literal["discharge", "charge"]) -> float:
    """Return 1 where lithium enters, −1 where it leaves."""
    return 1.0 if direction == "discharge" else -1.0


def states_of(
    material: Material,
    *,
    c_rates: Sequence[float],
    depths: Sequence[float],
    direction: Literal["discharge", "charge"],
    lithium: tuple[float, float],
    radius_um: float,
) -> list[State]:
    """Return all currents at all depths, for one diffusivity and a linear strain."""
    sign = sign_of(direction)
    start, found = lithium[0] if direction == "discharge" else lithium[1], []
    for c_rate in c_rates:
        rate = rate_per_s(c_rate, lithium)
        for depth in depths:
            time_s = depth * HOUR_S / c_rate
            tau = material.diffusivity_um2_s * time_s / radius_um**2
            found.append(
                State(
                    c_rate,
                    depth,
                    time_s,
                    tau if tau < STEADY else np.inf,
                    start + sign * depth * (lithium[1] - lithium[0]),
                    rate * radius_um**2 / material.diffusivity_um2_s,
                    amplitude_mpa(material, radius_um, rate),
                )
            )
    return found


def refuse_unsustained(
    radius_um: float, diffusivity_um2_s: float, *, c_rates: Sequence[float], lithium: tuple[float, float]
) -> None:
    """Refuse a current that empties the surface of a dry sphere before its middle changes.

    Raises
    ------
    InputError
        If A = R² ẋ / 6 D, relative to the range of lithium, is above 1.
    """
    width = lithium[1] - lithium[0]
    worst = max(c_rates)
    share = sustained(radius_um, rate_per_s(worst, lithium), diffusivity_um2_s) / width
    if share > 1:
        raise InputError(
            "c_rates",
            expected=f"at most {worst / share:.3g} C, which a sphere of {radius_um:.3g} µm with "
            f"D = {diffusivity_um2_s * 1e-12:.3g} m²/s and a dry inside can sustain",
            got=f"{worst:g} C, for which R²ẋ/6D is {share:.3g}",
            fix="lower the current, correct diffusivity_m2_s, or wetted: open or all if electrolyte "
            "reaches the voids",
        )
