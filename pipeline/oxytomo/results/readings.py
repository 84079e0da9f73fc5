"""Class fractions by other readings of the data, and classes that hang on one term of the model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from oxytomo.composition.model_choice import POOR_FIT, named
from oxytomo.measure.composition import WITHOUT
from oxytomo.results.fractions import fractions_of
from oxytomo.results.names import percent

LEAST_CHANGE = 0.005
"""A fraction that changes by less does not hang on a term."""
NAMES = {
    "carbonate_skin": "the skin is carbonate, its oxygen is not counted",
    "borders_at_half_height": "borders of classes are sharp, at half of the deviation beside them",
    "rim_in_the_wedge_like_elsewhere": "the rim in the missing wedge is as the rim elsewhere",
    "outline_further_out": "the outline lies 0.15 voxels further out",
    "outline_further_in": "the outline lies 0.15 voxels further in",
}


@dataclass(frozen=True)
class Hanging:
    """A class fraction that lies outside of its interval without one model term.

    Attributes
    ----------
    name, term : of the class, and of the term in the model
    value, other : the fraction with the term and without it
    chi_square : per degree of freedom without the term, None where unknown
    possible : the spectra would be explained without the term, too
    """

    name: str
    term: str
    value: float
    other: float
    chi_square: float | None
    possible: bool


def described(reading: str) -> str:
    """Describe a reading in words."""
    if reading.startswith(WITHOUT):
        return f"without {named(reading.removeprefix(WITHOUT))}"
    return NAMES.get(reading, reading.replace("_", " "))


def chi_square_without(content: Mapping[str, Any], term: str) -> float | None:
    """Return χ² per degree of freedom without a term of the model; None where unknown."""
    steps = (content.get("model") or {}).get("steps") or ()
    found = [float(one["chi_square_per_dof_without"]) for one in steps if one["term"] == term]
    return found[0] if found else None


def hanging(content: Mapping[str, Any]) -> list[Hanging]:
    """Return the oxygen-poor and oxygen-rich fractions that hang on one term.

    Parameters
    ----------
    content : ``phases.json``
    """
    found = []
    for reading, shares in (content.get("readings") or {}).items():
        if not reading.startswith(WITHOUT):
            continue
        term = reading.removeprefix(WITHOUT)
        chi = chi_square_without(content, term)
        for one in fractions_of(content):
            other = shares.get(one.key)
            if one.key == "target" or one.interval is None or other is None:
                continue
            low, high = one.interval
            if low <= other <= high or abs(other - one.value) < LEAST_CHANGE:
                continue
            possible = chi is not None and chi <= POOR_FIT
            found.append(Hanging(one.name, term, one.value, other, chi, possible))
    return found


def check_readings(content: Mapping[str, Any]) -> list[str]:
    """Warn of classes that hang on a term without which the spectra would fit, too."""
    before = (content.get("model") or {}).get("chi_square_per_dof")
    found = []
    for term in dict.fromkeys(one.term for one in hanging(content) if one.possible):
        mine = [one for one in hanging(content) if one.term == term]
        shares = " and ".join(
            f"{percent(one.value)} is {one.name} with it, {percent(one.other)} without it" for one in mine
        )
        found.append(
            f"The classes hang on one term of the model, {named(term)}: {shares}. The spectra fit without it, too (χ² per "
            f"degree of freedom {mine[0].chi_square:.2f}, with it {before:.2f}): both readings are possible."
        )
    return found
