"""Main numbers of the scattering branch."""

from collections.abc import Mapping
from typing import Any

from oxytomo.results.definitions import Quantity
from oxytomo.scattering.definitions import SCATTERING_DEFINITIONS as SAID


def scattering_quantities(content: Mapping[str, Any]) -> tuple[Quantity, ...]:
    """Return the quantities of ``scattering.json``."""
    return tuple(quantity for quantity, *_ in _entries(content))


def scattering_values(content: Mapping[str, Any]) -> list[tuple[Quantity, float, float]]:
    """Return each quantity with its value and standard error, NaN where unknown."""
    return _entries(content)


def _entries(content: Mapping[str, Any]) -> list[tuple[Quantity, float, float]]:
    found = []
    for name, facts in (content.get("maps") or {}).items():
        if facts["elastic"]:
            key, said = f"resolution_{name}", SAID["fwhm_ev"]
            quantity = Quantity(key, "scattering", f"{name}, resolution", "eV", said)
            found.append((quantity, _number(facts["fwhm_ev"]), _number(facts["fwhm_error_ev"])))
    for pair in content.get("pairs") or ():
        feature = pair["feature"]
        if feature is not None:
            key = f"feature_change_{pair['first']}_{pair['second']}"
            quantity = Quantity(key, "scattering", "change of the feature", "%", SAID["change"])
            error = _number(feature["standard_error"])
            found.append((quantity, 100 * _number(feature["change"]), 100 * error))
    for row in content.get("valences") or ():
        key = f"valence_{row['map']}_{str(row['yield']).replace(' ', '_')}"
        quantity = Quantity(
            key, "scattering", f"{row['map']}, valence from {row['yield']}", "", SAID["mean_valence"]
        )
        found.append((quantity, _number(row["mean_valence"]), _number(row["standard_error"])))
    return found


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
