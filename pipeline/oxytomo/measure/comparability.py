"""Whether numbers of several samples are comparable: which settings differ between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rule:
    """One setting that samples should share.

    Attributes
    ----------
    key, name : key of the setting, and its name in text
    tolerance : numbers may differ by this share of the largest one
    forbids : a difference changes the meaning of the numbers, so that their differences are not
        reported
    """

    key: str
    name: str
    tolerance: float = 0.0
    forbids: bool = False


@dataclass(frozen=True)
class Disagreement:
    """A setting that differs, with the samples that have each value."""

    rule: Rule
    samples: Mapping[str, Sequence[str]]


def disagreements(settings: Mapping[str, Mapping[str, Any]], rules: Sequence[Rule]) -> list[Disagreement]:
    """Return the settings in which samples differ.

    Parameters
    ----------
    settings : sample -> key -> value; a setting that a sample does not have is not compared
    rules : settings to compare
    """
    found = []
    for rule in rules:
        values = {sample: own[rule.key] for sample, own in settings.items() if own.get(rule.key) is not None}
        if _differ(list(values.values()), rule.tolerance):
            grouped: dict[str, list[str]] = {}
            for sample, value in values.items():
                grouped.setdefault(_text(value), []).append(sample)
            found.append(Disagreement(rule, grouped))
    return found


def _differ(values: Sequence[Any], tolerance: float) -> bool:
    if not values:
        return False
    if all(isinstance(value, int | float) for value in values):
        return bool(max(values) - min(values) > tolerance * max(abs(value) for value in values))
    return any(value != values[0] for value in values)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return " to ".join(_text(one) for one in value)
    return str(value)
