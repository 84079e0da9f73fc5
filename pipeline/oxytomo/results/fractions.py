"""Class fractions in ``phases.json``, with those that noise alone gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from oxytomo.results.definitions import CLASS_DEFINITIONS
from oxytomo.results.names import CLASS_KEYS, CLASS_NAMES


@dataclass(frozen=True)
class Fraction:
    """A class fraction with its 95 % interval and the fraction that noise alone gives.

    Attributes
    ----------
    key : ``target``, ``oxygen_poor``, ``oxygen_rich`` or ``undecided``
    value : fraction of the particle's volume
    interval : (low, high), or None if unknown
    null : the fraction of a uniform particle, or None without a null run
    confident : fraction that is certain despite the noise, or None
    """

    key: str
    value: float
    interval: tuple[float, float] | None = None
    null: float | None = None
    confident: float | None = None

    @property
    def label(self) -> int:
        """Label value of the class."""
        return CLASS_KEYS[self.key]

    @property
    def name(self) -> str:
        """Name of the class in text."""
        return CLASS_NAMES[self.label]


def fractions_of(phases_json: Mapping[str, Any] | None) -> list[Fraction]:
    """Return the class fractions in ``phases.json``; empty if the file does not exist.

    Fractions that are null are left out.

    Raises
    ------
    KeyError, TypeError, ValueError
        If the file contains no fractions.
    """
    if phases_json is None:
        return []
    content, own = phases_json, phases_json["fractions"]
    null = (content.get("null") or {}).get("fractions") or {}
    sure = (content.get("confident") or {}).get("fractions") or {}
    found = []
    for key in CLASS_DEFINITIONS:
        value = own[key]["value"]
        if value is None:
            continue
        interval = own[key].get("ci95")
        found.append(
            Fraction(
                key,
                float(value),
                None if interval is None else (float(interval[0]), float(interval[1])),
                (null.get(key) or {}).get("value"),
                (sure.get(key) or {}).get("value"),
            )
        )
    return found


def undecided_of(phases_json: Mapping[str, Any] | None) -> float | None:
    """Return the fraction that is undecided because of noise, None if unknown."""
    confident = ((phases_json or {}).get("confident") or {}).get("fractions") or {}
    value = (confident.get("undecided") or {}).get("value")
    return None if value is None else float(value)
