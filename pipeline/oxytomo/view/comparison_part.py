"""Page of a comparison: warnings, conclusions, figures and tables, columns of CSV files."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from oxytomo.config import Branch
from oxytomo.measure.comparability import Disagreement
from oxytomo.results.definitions import ENERGY_SCALE_EV
from oxytomo.results.definitions import Quantity as Compared
from oxytomo.view.compare import LEVEL, Comparison, Contrast
from oxytomo.view.compared import STATE_KEY
from oxytomo.view.comparison_figures import number_panels, pore_and_crack_figure, profile_panels
from oxytomo.view.comparison_map_figures import scattering_pictures, scattering_tables
from oxytomo.view.report import Part, Picture, Section, Table

CHECKED = (
    "thresholds, formulas and references of the samples",
    "voxel sizes, blur and settings of the segmentation",
    "missing branches",
    "particles cut by the field of view",
)
HEADINGS: Mapping[Branch, str] = {
    "composition": "Composition",
    "chemical_state": "Chemical states in three dimensions",
    "oxidation": "Oxidation states",
    "structure": "Pores and cracks",
    "mechanics": "Stress",
    "scattering": "Scattering maps",
}
TESTS = (
    "The particle is the unit of replication: its voxels say nothing of how other particles of its kind scatter. Two or more "
    "particles in both groups: Welch's test. One against several: test of a single case (Crawford & Howell 1998), "
    "which assumes that both kinds scatter alike. One against one: only the noise of these two particles. The variance "
    "between particles is taken no smaller than that of their noise. p (Holm) is corrected for all tests of its table, "
    f"the intervals are not; below {LEVEL:g} a difference is stated. “No difference found” is no proof of equality: the "
    "interval of the difference says how large it may still be."
)
DOTS = (
    "Points: particles, with 95 % intervals from noise. Line and band: mean of the group and the 95 % interval of that mean "
    "(Student, over particles; of shares on the logit scale, so it stays between 0 and 100 %); no band with one particle."
)


def comparison_part(comparison: Comparison) -> Part:
    """Return the content of the page of a comparison."""
    sections = [_samples(comparison)]
    sections += [_section(comparison, branch) for branch in comparison.branches]
    sections.append(_provenance(comparison))
    return Part("comparison", _warnings(comparison), CHECKED, _summary(comparison), sections)


def comparison_tables(comparison: Comparison) -> dict[str, Mapping[str, Sequence[Any]]]:
    """Return the columns of the CSV files by their suffix."""
    values = [
        (s.name, s.group, q.branch, q.key, q.unit, n.value, *(n.interval or (math.nan, math.nan)))
        for q in comparison.quantities
        for s in comparison.samples
        if (n := s.numbers.get(q.key)) is not None
    ]
    groups = [
        (g, q.branch, q.key, q.unit, m.n, m.mean, *(m.interval or (math.nan, math.nan)), m.scatter)
        for q in comparison.quantities
        for g in comparison.groups
        if (m := comparison.means[q.key, g]).n
    ]
    differences = [
        (
            c.quantity.branch,
            c.quantity.key,
            c.quantity.unit,
            c.first,
            c.second,
            *c.n,
            c.found.value,
            *(c.found.interval or (math.nan, math.nan)),
            c.found.test,
            c.found.statistic,
            c.found.freedom,
            c.found.p,
            c.p_holm,
            c.says,
        )
        for c in comparison.contrasts
    ]
    shells = [
        (s.name, s.group, key, *row)
        for s in comparison.samples
        for key, p in s.profiles.items()
        for row in zip(p.outer, p.inner, p.value, p.error, strict=True)
    ]
    return {
        "values": _columns("sample,group,branch,quantity,unit,value,low_95,high_95", values),
        "groups": _columns("group,branch,quantity,unit,n,mean,low_95,high_95,standard_deviation", groups),
        "differences": _columns(
            "branch,quantity,unit,first,second,n_first,n_second,second_minus_first,low_95,high_95,test,statistic,"
            "degrees_of_freedom,p,p_holm,says",
            differences,
        ),
        "shells": _columns(
            "sample,group,quantity,shell_outer_percent,shell_inner_percent,value,standard_error", shells
        ),
    }


def _columns(names: str, rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    return {name: [row[place] for row in rows] for place, name in enumerate(names.split(","))}


def _warnings(comparison: Comparison) -> list[str]:
    found = []
    for branch, differing in comparison.refused.items():
        found += [
            f"{HEADINGS[branch]}: no difference is stated, the {_disagreement(one)}. The numbers mean different "
            "things; run the samples with the same settings."
            for one in differing
        ]
    for branch, differing in comparison.flagged.items():
        found += [
            f"{HEADINGS[branch]}: the {_disagreement(one)}; a difference between samples can come from that."
            for one in differing
        ]
    for branch, names in comparison.missing.items():
        if names:
            verb = "has" if len(names) == 1 else "have"
            found.append(f"{HEADINGS[branch]}: {_listed(names)} {verb} no results of this branch.")
    found += [f"{sample.name}: {remark}." for sample in comparison.samples for remark in sample.remarks]
    single = [group for group in comparison.groups if len(comparison.members(group)) == 1]
    if single:
        found.append(
            f"There is only one particle of {_listed(single)}: its interval is noise alone, and how particles of its "
            "kind scatter is not known."
        )
    return found


def _disagreement(one: Disagreement) -> str:
    values = "; ".join(f"{value} in {_listed(samples)}" for value, samples in one.samples.items())
    if len(values) > 160:
        values = "; ".join(_listed(samples) for samples in one.samples.values())
        return f"{one.rule.name} differs between {values}"
    return f"{one.rule.name} differs ({values})"


def _summary(comparison: Comparison) -> list[str]:
    groups = [f"{group} ({_count(len(comparison.members(group)))})" for group in comparison.groups]
    sentences = [f"Compared: {_listed(groups)}."]
    for branch in comparison.branches:
        tested = [c for c in comparison.contrasts if c.quantity.branch == branch and c.found.test != "none"]
        if not tested:
            continue
        found = [c for c in tested if c.significant]
        rest = len(tested) - len(found)
        words = [_sentence(contrast) for contrast in found]
        if rest:
            words.append(
                f"{'no' if not found else 'no other'} difference found in {rest} of {len(tested)} tests"
            )
        sentences.append(f"{HEADINGS[branch]}: {'; '.join(words)}.")
    if any(c.found.test == "noise of two particles" and c.significant for c in comparison.contrasts):
        sentences.append(
            "Where both have one particle, “beyond noise” is about these two particles; it says nothing of what they stand for."
        )
    return sentences


def _sentence(contrast: Contrast) -> str:
    found, quantity = contrast.found, contrast.quantity
    about = "beyond noise" if found.test == "noise of two particles" else found.test
    p = _p(contrast.p_holm)
    return (
        f"{quantity.name} is {_amount(abs(found.value), _points(quantity))} "
        f"{'higher' if found.value > 0 else 'lower'} in {contrast.second} than in {contrast.first} "
        f"(95 % interval of the difference {_interval(found.interval)}; {about}, "
        f"p {p if p.startswith('<') else f'= {p}'})"
    )


def _samples(comparison: Comparison) -> Section:
    rows = [[sample.group, sample.name, ", ".join(sample.branches)] for sample in comparison.samples]
    columns = ("group", "sample", "results")
    return Section("Samples", text=[TESTS], tables=[Table("What was compared", columns, rows)])


def _provenance(comparison: Comparison) -> Section:
    rows = [
        [sample.name, sample.folder, sample.made_by, name, digest]
        for sample in comparison.samples
        for name, digest in sample.digests.items()
    ]
    columns = ("sample", "folder", "made by", "table", "SHA-256")
    note = "The report of each sample goes on from here to its settings and raw files."
    return Section("Provenance", tables=[Table("What was read", columns, rows, note=note)])


def _section(comparison: Comparison, branch: Branch) -> Section:
    quantities = comparison.quantities_of(branch)
    pictures = []
    if quantities:
        pictures.append(Picture(HEADINGS[branch], number_panels(comparison, quantities), DOTS, wide=True))
    profiles = _profiles(comparison, branch)
    if profiles:
        shells = "area (seen along the beam)" if branch == "oxidation" else "volume"
        caption = (
            f"Shells of equal {shells} from rim to centre; one line per particle. Bars: 95 %, from noise."
        )
        title = f"{HEADINGS[branch]} from rim to centre"
        pictures.append(Picture(title, profile_panels(comparison, profiles), caption, wide=len(profiles) > 1))
    if branch == "structure":
        caption = (
            "Left: number of pores larger than a diameter, per volume. Right: crack area by its angle to the radius. One line "
            "per particle; further particles of a group are dashed."
        )
        pictures.append(
            Picture("Pore sizes and crack orientation", pore_and_crack_figure(comparison), caption, wide=True)
        )
    tables = (
        [_group_table(comparison, quantities), _sample_table(comparison, quantities)] if quantities else []
    )
    if branch == "scattering":
        pictures = [*scattering_pictures(comparison), *pictures]
        tables += scattering_tables(comparison)
    contrasts = [c for c in comparison.contrasts if c.quantity.branch == branch]
    if contrasts:
        tables.insert(0, _difference_table(contrasts))
    return Section(HEADINGS[branch], pictures=pictures, tables=tables)


def _profiles(comparison: Comparison, branch: Branch) -> list[tuple[str, str]]:
    keys = list(dict.fromkeys(key for sample in comparison.samples for key in sample.profiles))
    if branch == "composition":
        return [(key, "mean TM/O deviation (%)") for key in keys if key == "tm_o_deviation"]
    if branch == "structure":
        return [(key, "porosity (%)") for key in keys if key == "porosity"]
    if branch == "chemical_state":
        return [(key, _said(key.removeprefix(STATE_KEY))) for key in keys if key.startswith(STATE_KEY)]
    if branch == "mechanics":
        return [(key, "mean hoop stress (MPa)") for key in keys if key == "hoop_mpa"]
    if branch == "scattering":
        return []
    own = ("valence_", "white_line_", "edge_")
    return [(key, _said(key)) for key in keys if key.startswith(own)]


def _said(key: str) -> str:
    """Return ``Mn valence`` for ``valence_Mn``, and ``Mn white line (eV)`` for ``white_line_Mn``."""
    name, _, element = key.rpartition("_")
    return f"{element} valence" if name == "valence" else f"{element} {name.replace('_', ' ')} (eV)"


def _difference_table(contrasts: Sequence[Contrast]) -> Table:
    rows = [
        [
            c.quantity.name,
            f"{c.second} − {c.first}",
            f"{c.n[1]}, {c.n[0]}",
            _amount(c.found.value, _points(c.quantity)),
            _interval(c.found.interval),
            c.found.test,
            _p(c.found.p),
            _p(c.p_holm),
            c.says,
        ]
        for c in contrasts
    ]
    columns = (
        "quantity",
        "groups",
        "n",
        "difference",
        "95 % interval",
        "test",
        "p",
        "p (Holm)",
        "what can be said",
    )
    note = ""
    if any("valence_" in c.quantity.key for c in contrasts):
        note = (
            f"Means of valence count an uncertainty of {ENERGY_SCALE_EV:g} eV (standard deviation) between the energy scales of "
            "two samples, and nothing for the choice of references."
        )
    return Table("Differences", columns, rows, frozenset({3, 4, 6, 7}), note)


def _group_table(comparison: Comparison, quantities: Sequence[Compared]) -> Table:
    rows = []
    for quantity in quantities:
        cells = []
        for group in comparison.groups:
            mean = comparison.means[quantity.key, group]
            interval = f" ({_interval(mean.interval)})" if mean.interval else ""
            cells.append(f"{_amount(mean.mean, quantity.unit)}{interval}" if mean.n else "–")
        rows.append([quantity.name, *cells, quantity.definition])
    columns = (
        "quantity",
        *(f"{g}, n = {len(comparison.members(g))}" for g in comparison.groups),
        "definition",
    )
    note = "Mean over particles with its 95 % interval (Student); of a single particle its value with the interval from noise."
    return Table("Groups", columns, rows, frozenset(range(1, len(comparison.groups) + 1)), note)


def _sample_table(comparison: Comparison, quantities: Sequence[Compared]) -> Table:
    rows = []
    for sample in comparison.samples:
        cells = []
        for quantity in quantities:
            number = sample.numbers.get(quantity.key)
            if number is None or math.isnan(number.value):
                cells.append("–")
                continue
            interval = f" ({_interval(number.interval)})" if number.interval else ""
            cells.append(f"{_amount(number.value, quantity.unit)}{interval}")
        rows.append([sample.name, *cells])
    columns = ("sample", *(quantity.name for quantity in quantities))
    note = "95 % intervals in parentheses are from noise alone."
    return Table("Particles", columns, rows, frozenset(range(1, len(columns))), note)


def _points(quantity: Compared) -> str:
    """Return the unit of a difference; percentage points for percentages."""
    return "points" if quantity.unit == "%" else quantity.unit


def _amount(value: float, unit: str) -> str:
    if math.isnan(value):
        return "–"
    return f"{_plain(value)} {unit}".strip()


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{_plain(interval[0])} to {_plain(interval[1])}"


def _plain(value: float) -> str:
    """Return a number with about three significant digits and a minus sign (−)."""
    size = abs(value)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:.{decimals}f}".replace("-", "−")


def _p(p: float) -> str:
    if math.isnan(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.4f}" if p < 0.1 else f"{p:.2f}"


def _count(n: int) -> str:
    return f"{n} particle{'' if n == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
