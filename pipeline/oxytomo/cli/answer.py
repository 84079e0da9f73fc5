"""The last lines of a run: main results, their certainty, the page to open; plan of a dry run."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oxytomo.config import ProjectConfig
from oxytomo.errors import PipelineError, printable
from oxytomo.io.plain_files import open_plain
from oxytomo.run.needs import total_needs

if TYPE_CHECKING:
    from oxytomo.check.sample import ProjectCheck

CLASSES = {"target": "on target", "oxygen_poor": "oxygen-poor", "oxygen_rich": "oxygen-rich"}
_WARNINGS = re.compile(rb"Read this first: (\d{1,4})")
_LOOKED_AT_BYTES = 2**18
_MOST_REASONS = 2
_LONGEST_REASON = 90
_MOST_SAMPLES = 20


def answer_lines(project: ProjectConfig, folder: Path) -> list[str]:
    """Return the results of each sample, a verdict, warnings, and the page to open."""
    lines: list[str] = []
    for sample in list(project.samples)[:_MOST_SAMPLES]:
        tables = _tables(folder / sample)
        found = [*_composition(tables), *_oxidation(tables), *_structure(tables)]
        lines.append(f"{sample}: {found[0] if found else 'done'}")
        lines += [f"  {line}" for line in found[1:]]
        report = folder / sample / "report.html"
        warnings = _warnings(report)
        if warnings:
            lines.append(
                f"  {warnings} warning{'s' if warnings > 1 else ''}: read {'them' if warnings > 1 else 'it'} first in the report"
            )
        lines.append(f"  report {report}")
    if len(project.samples) > _MOST_SAMPLES:
        lines.append(f"and {len(project.samples) - _MOST_SAMPLES} samples more in {folder}")
    if project.groups:
        lines.append(f"comparison {folder / 'comparison.html'}")
    return [printable(line) for line in lines]


def _tables(sample: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return the JSON tables of a sample by branch; those that are missing or damaged are empty."""
    from oxytomo.results import Results
    from oxytomo.results.places import JSON_TABLES

    found: dict[str, Mapping[str, Any]] = {}
    for branch, key in JSON_TABLES.items():
        with suppress(PipelineError, OSError):
            found[branch] = Results.of_folder(sample).files.json(key) or {}
    return found


def _composition(tables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the class fractions with their intervals, and the certain part of each."""
    phases = tables.get("composition", {})
    try:
        shares = [
            f"{name} {_share(phases['fractions'][key])}"
            for key, name in CLASSES.items()
            if key in phases["fractions"]
        ]
        return [
            f"{', '.join(shares)} (95 % intervals; TM/O within ± {100 * phases['threshold']:g} % is on target)",
            *_verdict(phases),
        ]
    except (KeyError, TypeError, ValueError, IndexError):
        return []


def _share(fraction: Mapping[str, Any]) -> str:
    """Return a fraction in percent with its interval."""
    value = f"{100 * float(fraction['value']):.1f} %"
    interval = fraction.get("ci95")
    return value if interval is None else f"{value} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"


def _verdict(phases: Mapping[str, Any]) -> Iterator[str]:
    """Yield the classes above noise, the undecided fraction, and whether the model fails."""
    null = (phases.get("null") or {}).get("fractions") or {}
    certain: list[str] = []
    doubtful: list[str] = []
    for key, name in list(CLASSES.items())[1:]:
        fraction = phases["fractions"][key]
        interval = fraction.get("ci95")
        if interval is None:
            continue
        by_noise = (null.get(key) or {}).get("value")
        limit = max(0.0, float(by_noise) if by_noise is not None else 0.0)
        (certain if interval[0] > limit else doubtful).append(name)
    if certain:
        yield f"{' and '.join(certain)} regions take up more of the volume than noise can make"
    if doubtful:
        yield f"{' and '.join(doubtful)}: no more than in the null run (noise alone); do not interpret"
    undecided = ((phases.get("confident") or {}).get("fractions") or {}).get("undecided")
    if undecided is not None and undecided["value"] > 0:
        yield f"for {100 * undecided['value']:.1f} % of the volume the noise is too large to decide"
    if (phases.get("model") or {}).get("fails"):
        yield "the model does not describe the measurement: see the report before you use these numbers"


def _oxidation(tables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the mean valence of each element with its error, and the error from the energies."""
    elements = tables.get("oxidation", {}).get("elements")
    lines = []
    for element, found in elements.items() if isinstance(elements, dict) else ():
        try:
            line = f"mean valence of {element} {float(found['mean_valence']):.2f}"
            if found.get("standard_error") is not None:
                line += f" ± {float(found['standard_error']):.2g} (standard error of the noise)"
            if found.get("valence_per_0_1_ev") is not None:
                line += f"; an energy scale off by 0.1 eV moves it by {abs(float(found['valence_per_0_1_ev'])):.2g}"
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
        lines.append(line)
    return lines


def _counted(number: int, what: str) -> str:
    return f"{number} {what if number != 1 else what[:-1]}"


def _structure(tables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the porosity with its interval, and the numbers of pores and cracks."""
    structure = tables.get("structure", {})
    try:
        counts = [_counted(int(structure[what]["count"]), what) for what in ("pores", "cracks")]
        return [f"porosity {_share(structure['porosity']['total'])} (95 % interval), {', '.join(counts)}"]
    except (KeyError, TypeError, ValueError, IndexError):
        return []


def _warnings(report: Path) -> int:
    """Return the number of warnings in the first lines of a report."""
    try:
        with open_plain(report) as file:
            found = _WARNINGS.search(file.read(_LOOKED_AT_BYTES))
    except (OSError, ValueError):
        return 0
    return int(found.group(1)) if found else 0


def describe_plan(
    planned: Sequence[Mapping[str, str]], checked: "ProjectCheck", folder: Path, cores: int
) -> list[str]:
    """Return what a run would do and why, in at most five lines.

    Parameters
    ----------
    planned : jobs planned by Snakemake: rule, sample, reason
    checked : result of the check of the project, with its needs
    folder : the results folder
    cores : number of cores
    """
    jobs = [job for job in planned if job["rule"] != "all"]
    if not jobs:
        return [f"nothing to do: everything in {folder} is there and up to date"]
    samples = list(dict.fromkeys(job["sample"] for job in jobs if job["sample"]))
    counts = Counter(job["rule"] for job in jobs)
    stages = ", ".join(f"{rule} ({count})" if count > 1 else rule for rule, count in counts.items())
    named = ", ".join(samples[:_MOST_SAMPLES]) + (" …" if len(samples) > _MOST_SAMPLES else "")
    lines = [
        f"would run {len(jobs)} jobs for {len(samples)} sample{'s' if len(samples) != 1 else ''} ({named})",
        f"stages: {stages}",
        f"why: {_reasons(jobs)}",
    ]
    needs = [total_needs(branch.needs, list(counts)) for branch in checked.branches if branch.needs]
    if needs:
        minutes = sum(need.usual_seconds for need in needs) / cores / 60
        memory = max(need.memory_bytes for need in needs)
        time = f"{minutes:.0f} min" if minutes >= 2 else "2 min or less"
        lines.append(
            f"needs: about {time} on {cores} core{'s' if cores > 1 else ''}, {memory / 1e9:.1f} GB of memory"
        )
    return [printable(line) for line in [*lines, f"results: {folder}"]]


def _reasons(jobs: Sequence[Mapping[str, str]]) -> str:
    """Return the reasons of the jobs that start first, the most frequent first, in plain words."""
    first = [
        job for job in jobs if not job["reason"].startswith("Input files updated by another job")
    ] or jobs
    counts = Counter((_in_words(job["reason"]), job["rule"]) for job in first)
    by_reason: dict[str, list[str]] = {}
    for (reason, rule), _ in counts.most_common():
        by_reason.setdefault(reason, []).append(rule)
    said = [
        f"{reason} ({', '.join(rules[:6])}{' …' if len(rules) > 6 else ''})"
        for reason, rules in by_reason.items()
    ]
    return "; ".join(said[:_MOST_REASONS])


def _in_words(reason: str) -> str:
    """Return a reason given by Snakemake in the terms of this program."""
    for mark, words in (
        ("Missing output files", "not there yet"),
        ("Params have changed", "settings or version have changed"),
        ("Forced execution", "made with other settings or another version, or without its record"),
        ("Updated input files", "raw files or results before it are newer"),
        ("Set of input files has changed", "it is made from other files"),
        ("Input files updated by another job", "what it is made from is made again"),
    ):
        if mark in reason:
            return words
    return reason[:_LONGEST_REASON] or "asked for"
