"""Compare groups of samples: means, significance of differences, invalid comparisons."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from oxytomo.config import Branch
from oxytomo.measure.comparability import Disagreement, disagreements
from oxytomo.measure.differences import Difference, GroupMean, difference, group_mean, holm
from oxytomo.results.definitions import (
    COMPOSITION,
    MECHANICS,
    STRUCTURE,
    Quantity,
    line_quantities,
    state_quantities,
    valence_quantities,
)
from oxytomo.results.numbers import Number
from oxytomo.view.compared import RULES, STATE_KEY, ComparedSample

LEVEL = 0.05
WHOLE = 100.0
"""All of a share, in the unit of the numbers."""


@dataclass(frozen=True)
class Contrast:
    """The difference of one quantity between two groups.

    Attributes
    ----------
    quantity : compared quantity
    first, second : groups; the difference is second − first
    n : number of particles with this quantity in each group
    found : difference and result of the test
    p_holm : p-value, corrected for all tests of the branch; NaN without a test
    """

    quantity: Quantity
    first: str
    second: str
    n: tuple[int, int]
    found: Difference
    p_holm: float = float("nan")

    @property
    def significant(self) -> bool:
        """True if the corrected p-value is below 5 %."""
        return self.p_holm < LEVEL

    @property
    def says(self) -> str:
        """Conclusion as text."""
        if self.found.test == "none":
            lacking = [group for group, n in zip((self.first, self.second), self.n, strict=True) if n == 0]
            why = f"no number in {' and '.join(lacking)}" if lacking else "its noise is not known"
            return f"nothing: {why}"
        if self.found.test == "noise of two particles":
            verb = "differ beyond" if self.significant else "do not differ beyond"
            return f"these two particles {verb} their noise; one each says nothing of what they stand for"
        if self.significant:
            return "differs"
        return "no difference found" + (
            ", a hint: p < 0.05 before correction" if self.found.p < LEVEL else ""
        )


@dataclass(frozen=True)
class Comparison:
    """Samples, their groups and the differences.

    Attributes
    ----------
    samples : in order of their groups
    groups : names, in the order given
    quantities : quantities of any sample
    means : (key of the quantity, group) -> mean
    contrasts : differences of all pairs of groups, except for refused branches
    refused, flagged : per branch, the settings that make a comparison invalid, and those that may
        cause differences
    missing : per branch, the samples that do not have it although others do
    """

    samples: Sequence[ComparedSample]
    groups: Sequence[str]
    quantities: Sequence[Quantity]
    means: Mapping[tuple[str, str], GroupMean]
    contrasts: Sequence[Contrast]
    refused: Mapping[Branch, Sequence[Disagreement]]
    flagged: Mapping[Branch, Sequence[Disagreement]]
    missing: Mapping[Branch, Sequence[str]]

    def members(self, group: str) -> list[ComparedSample]:
        """Return the samples of a group."""
        return [sample for sample in self.samples if sample.group == group]

    def quantities_of(self, branch: Branch) -> list[Quantity]:
        """Return the quantities of a branch."""
        return [quantity for quantity in self.quantities if quantity.branch == branch]

    @property
    def branches(self) -> list[Branch]:
        """Branches of any sample."""
        found = list(dict.fromkeys(quantity.branch for quantity in self.quantities))
        maps = "scattering" not in found and any(sample.maps is not None for sample in self.samples)
        return [*found, "scattering"] if maps else found


def compare(samples: Sequence[ComparedSample]) -> Comparison:
    """Compare samples; groups are in the order of their first samples."""
    groups = list(dict.fromkeys(sample.group for sample in samples))
    elements = [
        key.removeprefix("valence_step_") for key in _keys(samples) if key.startswith("valence_step_")
    ]
    map_lines = [key.removeprefix("white_line_") for key in _keys(samples) if key.startswith("white_line_")]
    present = set(_keys(samples))
    quantities = [
        quantity
        for quantity in (
            *COMPOSITION,
            *_of_states(samples),
            *valence_quantities(elements),
            *line_quantities(map_lines, "oxidation"),
            *STRUCTURE,
            *MECHANICS,
        )
        if quantity.key in present
    ]
    of_maps = {one.key: one for s in samples if s.maps is not None for one in s.maps.quantities}
    quantities += of_maps.values()
    branches: list[Branch] = list(dict.fromkeys(quantity.branch for quantity in quantities))
    refused, flagged, missing = {}, {}, {}
    for branch in branches:
        settings = {s.name: s.settings[branch] for s in samples if branch in s.settings}
        differing = disagreements(settings, RULES[branch])
        refused[branch] = [one for one in differing if one.rule.forbids]
        flagged[branch] = [one for one in differing if not one.rule.forbids]
        missing[branch] = [s.name for s in samples if branch not in s.branches]
    means = {
        (q.key, g): group_mean(*_numbers(samples, g, q.key), whole=WHOLE if q.unit == "%" else None)
        for q in quantities
        for g in groups
    }
    contrasts = [
        contrast
        for branch in branches
        if not refused[branch]
        for contrast in _contrasts(samples, groups, [q for q in quantities if q.branch == branch])
    ]
    return Comparison(samples, groups, quantities, means, contrasts, refused, flagged, missing)


def _of_states(samples: Sequence[ComparedSample]) -> list[Quantity]:
    """Return the quantities of the chemical-state branch under their keys in a comparison."""
    states, lines = (
        [key.removeprefix(start) for key in _keys(samples) if key.startswith(start)]
        for start in (f"{STATE_KEY}valence_", f"{STATE_KEY}white_line_")
    )
    own = (*state_quantities(states), *line_quantities(lines))
    return [replace(one, key=f"{STATE_KEY}{one.key}") for one in own]


def _contrasts(
    samples: Sequence[ComparedSample], groups: Sequence[str], quantities: Sequence[Quantity]
) -> list[Contrast]:
    """Return the differences of all pairs of groups with p-values corrected for their number."""
    found = []
    for quantity in quantities:
        for first, second in itertools.combinations(groups, 2):
            one, other = _numbers(samples, first, quantity.key), _numbers(samples, second, quantity.key)
            n = tuple(sum(value == value for value in values) for values, _ in (one, other))
            found.append(Contrast(quantity, first, second, (n[0], n[1]), _difference(quantity, one, other)))
    corrected = holm([contrast.found.p for contrast in found])
    return [replace(contrast, p_holm=float(p)) for contrast, p in zip(found, corrected, strict=True)]


def _difference(
    quantity: Quantity, one: tuple[list[float], list[float]], other: tuple[list[float], list[float]]
) -> Difference:
    """Return the difference of two groups; that of two shares is between minus all and all."""
    found = difference(*one, *other)
    if quantity.unit != "%" or found.interval is None:
        return found
    low, high = found.interval
    return replace(found, interval=(max(-WHOLE, low), min(WHOLE, high)))


def _numbers(samples: Sequence[ComparedSample], group: str, key: str) -> tuple[list[float], list[float]]:
    """Return the values of a group and their errors from noise."""
    absent = Number(float("nan"))
    numbers = [sample.numbers.get(key, absent) for sample in samples if sample.group == group]
    return [number.value for number in numbers], [number.error for number in numbers]


def _keys(samples: Sequence[ComparedSample]) -> list[str]:
    return list(dict.fromkeys(key for sample in samples for key in sample.numbers))
