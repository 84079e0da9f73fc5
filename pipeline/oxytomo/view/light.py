"""The traffic light of a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from oxytomo.results.severity import Severity, severity_of, worst

LIGHTS: Mapping[Severity, tuple[str, str]] = {
    "remark": ("green", "No warnings."),
    "caution": ("amber", "Use with care."),
    "severe": ("red", "Do not use these numbers yet."),
}
"""Colour of the traffic light and what it says."""


@dataclass(frozen=True)
class Light:
    """The traffic light of some warnings.

    Attributes
    ----------
    color : ``green``, ``amber`` or ``red``
    says : what it means
    n_warnings : number of warnings; remarks do not count
    severe : the most serious warnings
    """

    color: str
    says: str
    n_warnings: int
    severe: Sequence[str]


def traffic_light(warnings: Sequence[str]) -> Light:
    """Return the traffic light of all warnings."""
    color, says = LIGHTS[worst(warnings)]
    counted = [one for one in warnings if severity_of(one) != "remark"]
    return Light(color, says, len(counted), [one for one in counted if severity_of(one) == "severe"])
