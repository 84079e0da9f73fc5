"""The numbers of a sample with their intervals, from its JSON tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from oxytomo.config import Branch
from oxytomo.results.definitions import (
    COMPOSITION,
    ENERGY_SCALE_EV,
    MECHANICS,
    STRUCTURE,
    Quantity,
    line_quantities,
    state_quantities,
    valence_quantities,
)
from oxytomo.results.files import Files
from oxytomo.results.places import JSON_TABLES
from oxytomo.results.scattering_numbers import scattering_values

if TYPE_CHECKING:
    import pandas as pd

NORMAL_95 = 1.959964
"""Half width of a 95 % interval in standard deviations of a normal distribution."""


@dataclass(frozen=True)
class Number:
    """A number with its unit and its 95 % confidence interval.

    Attributes
    ----------
    value : NaN if unknown
    low, high : limits of the interval, NaN if unknown
    unit : unit as text, empty for a pure number
    definition : exact definition of the number and of its interval

    Examples
    --------
    >>> print(Number(12.3, 10.9, 13.8, "%"))
    12.3 % (10.9 to 13.8 %)
    """

    value: float
    low: float = float("nan")
    high: float = float("nan")
    unit: str = ""
    definition: str = ""

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the limits of the interval, None without one."""
        return (self.low, self.high) if self.low == self.low and self.high == self.high else None

    @property
    def error(self) -> float:
        """Return the wider side of the interval / 1.96 as standard deviation; NaN without one."""
        if self.interval is None:
            return float("nan")
        return max(self.value - self.low, self.high - self.value, 0.0) / NORMAL_95

    def __str__(self) -> str:
        if self.value != self.value:
            return "unknown"
        unit = f" {self.unit}" if self.unit else ""
        limits = "" if self.interval is None else f" ({self.low:.4g} to {self.high:.4g}{unit})"
        return f"{self.value:.4g}{unit}{limits}".replace("-", "−")


def branch_numbers(files: Files, branch: str) -> dict[str, Number]:
    """Return the numbers of a branch by name; empty if they are not measured yet.

    Raises
    ------
    KeyError, TypeError, ValueError, IndexError
        If its tables have the format of another version; see
        :func:`oxytomo.results.errors.numbers_of`.
    """
    content = files.json(JSON_TABLES[branch])
    if content is None:
        return {}
    if branch == "composition":
        return composition_numbers(content)
    if branch == "structure":
        return structure_numbers(content)
    if branch == "chemical_state":
        return state_numbers(content["elements"]) | line_numbers(content.get("white_lines", {}))
    if branch == "mechanics":
        return mechanics_numbers(content)
    if branch == "scattering":
        return {one.key: _normal(one, *values) for one, *values in scattering_values(content)}
    shells = files.table("oxidation_shells")
    found = {} if shells is None else oxidation_numbers(content["elements"], shells)
    return found | line_numbers(content.get("white_lines", {}), "oxidation")


def composition_numbers(content: Mapping[str, Any]) -> dict[str, Number]:
    """Return the class fractions in ``phases.json``."""
    fractions = content["fractions"]
    return {one.key: _stored(one, fractions[one.key], 100.0) for one in COMPOSITION}


def state_numbers(summary: Mapping[str, Any]) -> dict[str, Number]:
    """Return mean valences and shares of the classes in ``chemical_state.json``."""
    found = {}
    for element, facts in summary.items():
        mean, *shares = state_quantities([element])
        of_energy = float_of(facts["model"]["valence_per_0_1_ev"]) / 0.1 * ENERGY_SCALE_EV
        error = float(np.hypot(float_of(facts["standard_error"]), of_energy))
        found[mean.key] = _normal(mean, float_of(facts["mean_valence"]), error)
        for one in shares:
            found[one.key] = _stored(one, facts["fractions"][one.key.partition("_")[0]], 100.0)
    return found


def line_numbers(summary: Mapping[str, Any], branch: Branch = "chemical_state") -> dict[str, Number]:
    """Return mean energies of the white lines and edges of elements without references."""
    found = {}
    for element, facts in summary.items():
        for one, name in zip(line_quantities([element], branch), ("white_line", "edge"), strict=True):
            line = facts[name] or {"mean_ev": None, "standard_error_ev": None}
            error = float(np.hypot(float_of(line["standard_error_ev"]), ENERGY_SCALE_EV))
            found[one.key] = _normal(one, float_of(line["mean_ev"]), error)
    return found


def structure_numbers(facts: Mapping[str, Any]) -> dict[str, Number]:
    """Return the numbers of pores and cracks in ``structure.json``."""
    volume = volume_um3(facts)
    porosity, network = facts["porosity"], facts["cracks"]
    counted = {"value": facts["pores"]["count"], "ci95": facts["pores"].get("count_ci95")}
    entries = {
        "porosity": (porosity["total"], 100.0),
        "porosity_pores": (porosity["pores"], 100.0),
        "porosity_cracks": (porosity["cracks"], 100.0),
        "open_fraction": (
            {"value": facts["open_fraction"], "ci95": facts.get("open_fraction_ci95")},
            100.0,
        ),
        "pore_density": (counted, 1.0 / volume),
        "crack_area": (network["area_nm2"], 1e-6 / volume),
        "mean_aperture": (network.get("mean_aperture_nm") or {"value": None}, 1.0),
    }
    return {one.key: _stored(one, *entries[one.key]) for one in STRUCTURE}


def mechanics_numbers(facts: Mapping[str, Any]) -> dict[str, Number]:
    """Return the numbers of stress in ``mechanics.json``."""
    stress, cracks = facts["stress"], facts["cracks"]
    value = float_of(stress["first_principal_p95_mpa"])
    beside, raised, fronts = MECHANICS
    error = abs(value) * stress_error(stress["geometry_error"])
    return {
        beside.key: _normal(beside, value, error),
        raised.key: Number(float_of(stress["raised_by_voids"]), definition=raised.definition),
        fronts.key: Number(float_of(cracks["k_over_kc_p95"]), definition=fronts.definition),
    }


def stress_error(errors: Mapping[str, Any]) -> float:
    """Return the relative standard error of the stress beside the pores from the geometry.

    It adds the change at half the resolution, noise and the bias of noise in squares. Without
    replicates it is the change at half the resolution alone; NaN if that is unknown.
    """
    half = float_of(errors["half_resolution"])
    noise = [errors[name] or 0.0 for name in ("noise", "noise_bias")]
    return float(np.sqrt(half**2 + sum(one**2 for one in noise)))


def volume_um3(facts: Mapping[str, Any]) -> float:
    """Return the volume inside the particle surface, NaN if it is 0."""
    return float(facts["particle_volume_nm3"]) / 1e9 or float("nan")


def oxidation_numbers(summary: Mapping[str, Any], shells: "pd.DataFrame") -> dict[str, Number]:
    """Return mean valences and their differences between rim and centre."""
    found = {}
    for element, facts in summary.items():
        mean, step = valence_quantities([element])
        of_energy = float_of(facts["valence_per_0_1_ev"]) / 0.1 * ENERGY_SCALE_EV
        error = float(np.hypot(float_of(facts["standard_error"]), of_energy))
        found[mean.key] = _normal(mean, float_of(facts["mean_valence"]), error)
        own = shells[shells["element"] == element]
        values, errors = own["mean_valence"].to_numpy(), own["standard_error"].to_numpy()
        error = float(np.hypot(errors[0], errors[-1]))
        found[step.key] = _normal(step, values[-1] - values[0], error)
    return found


def float_of(value: Any) -> float:
    """Return a number of a JSON file; NaN for null."""
    return float("nan") if value is None else float(value)


def _stored(quantity: Quantity, entry: Mapping[str, Any], scale: float) -> Number:
    """Return a stored number with its interval; NaN for null."""
    limits = entry.get("ci95")
    low, high = (np.nan, np.nan) if not limits or None in limits else map(float, limits)
    value = scale * float_of(entry["value"])
    return Number(value, scale * low, scale * high, quantity.unit, quantity.definition)


def _normal(quantity: Quantity, value: float, error: float) -> Number:
    reach = NORMAL_95 * error if np.isfinite(error) else float("nan")
    return Number(
        float(value), float(value - reach), float(value + reach), quantity.unit, quantity.definition
    )
