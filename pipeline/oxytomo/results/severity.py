"""How serious a warning is: a remark, a reason for care, or numbers that cannot be used."""

from collections.abc import Iterable
from typing import Literal, Self

Severity = Literal["remark", "caution", "severe"]
ORDER: tuple[Severity, ...] = ("remark", "caution", "severe")


class Warned(str):
    """The text of a warning, and how serious it is.

    Attributes
    ----------
    severity : ``remark`` (good to know, changes no conclusion), ``caution`` (look at it before you
        use the numbers), or ``severe`` (do not use the numbers)
    """

    __slots__ = ("severity",)
    severity: Severity

    def __new__(cls, text: str, severity: Severity) -> Self:
        """Make the text of a warning."""
        made = super().__new__(cls, text)
        made.severity = severity
        return made

    def __getnewargs__(self) -> tuple[str, Severity]:  # type: ignore[override]
        """Keep the severity in copies and pickles."""
        return str(self), self.severity


def severe(text: str) -> Warned:
    """Return a warning of numbers that cannot be used."""
    return Warned(text, "severe")


def remark(text: str) -> Warned:
    """Return a remark that changes no conclusion."""
    return Warned(text, "remark")


def severity_of(warning: str) -> Severity:
    """Return how serious a warning is; a plain text is a reason for care."""
    return warning.severity if isinstance(warning, Warned) else "caution"


def prefixed(prefix: str, warning: str) -> Warned:
    """Return a warning of the same severity with a text before it."""
    return Warned(f"{prefix}{warning}", severity_of(warning))


def worst(warnings: Iterable[str]) -> Severity:
    """Return the severity of the most serious warning, ``remark`` without any."""
    return max((severity_of(one) for one in warnings), key=ORDER.index, default="remark")
