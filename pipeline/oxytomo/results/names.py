"""Names of classes, and text for numbers."""

from collections.abc import Mapping

import numpy as np

from oxytomo.arrays import OXYGEN_POOR, OXYGEN_RICH, TARGET, UNDECIDED

CLASS_NAMES: Mapping[int, str] = {
    TARGET: "target",
    OXYGEN_POOR: "oxygen-poor",
    OXYGEN_RICH: "oxygen-rich",
    UNDECIDED: "undecided",
}
CLASS_KEYS: Mapping[str, int] = {
    "target": TARGET,
    "oxygen_poor": OXYGEN_POOR,
    "oxygen_rich": OXYGEN_RICH,
    "undecided": UNDECIDED,
}
"""Keys of fractions in ``phases.json`` and their labels."""


def percent(fraction: float) -> str:
    """Return a fraction in percent with three significant digits, at most two decimals."""
    value = 100 * fraction
    if not np.isfinite(value):
        return "unknown"
    decimals = 2 if abs(value) < 1 else 1
    return f"{value:.{decimals}f}".replace("-", "−") + " %"


def percent_setting(fraction: float) -> str:
    """Return a chosen fraction, such as a threshold, in percent without needless digits."""
    return f"{100 * fraction:.4g} %"
