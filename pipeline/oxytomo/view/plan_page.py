"""Page of a plan for a beam time: detection limits, dose and effects of faults."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from oxytomo.view.report import Part, Picture, Section, Table, build_report
from oxytomo.view.style import NULL_COLOR, SAMPLE_COLOR, SERIES_COLORS, SOFT_INK, house_style, new_figure

WIDTH_IN = 9.4
LEAST_LIMIT = 2e-3
"""Smallest noise limit that is shown."""
LEAST_SHOWN = 1e-4
"""Value for a fraction of zero on the logarithmic axis."""


def plan_page(facts: Mapping[str, Any], *, title: str, footer: str) -> tuple[str, bytes]:
    """Return the page as HTML and its figure as PNG."""
    picture = Picture(
        "What can be told",
        plan_figure(facts),
        "Left: the least deviation that counting noise allows for a domain at the centre (line), and simulated domains: "
        "filled where at least half of them were found. Right: share of the target material that each fault puts into another "
        "class.",
        wide=True,
    )
    sections = [Section("What can be told", pictures=[picture], tables=[_domains(facts), _photons(facts)])]
    sections.append(Section("What counting noise allows", tables=[_limits(facts), _energies(facts)]))
    sections.append(Section("What faults would do", tables=[_faults(facts)]))
    sections.append(Section("What is assumed", text=[*facts["assumptions"], *simulation_text(facts)]))
    part = Part("plan", facts["warnings"], ("optical density",), summary(facts), sections)
    planned = facts["plan"]
    subtitle = (
        f"{planned['particle_nm']:g} nm particle, {planned['pixel_nm']:g} nm pixels, {planned['tilts']} tilts to "
        f"±{planned['tilt_limit_deg']:g}°, {planned['photons_per_pixel']:g} counts per pixel"
    )
    html = build_report(title=title, subtitle=subtitle, parts=[part], provenance=[], footer=footer, wide=True)
    return html, picture.png


def summary(facts: Mapping[str, Any]) -> list[str]:
    """Return the answers as sentences."""
    sentences = []
    for row in facts["domains"]:
        deviation = f"{100 * row['deviation']:.3g} %"
        if row["smallest_nm"] is None:
            largest = max(row["diameter_nm"], default=0.0)
            sentences.append(
                f"Domains that deviate by {deviation} were not found up to a diameter of {largest:.0f} nm."
            )
        else:
            least = row["smallest_nm"] <= min(row["diameter_nm"])
            note = " (the smallest that was tried)" if least else ""
            sentences.append(
                f"Domains that deviate by {deviation} were found from a diameter of {row['smallest_nm']:.0f} nm on{note}."
            )
    planned = [
        row for row in facts["photons"] if row["photons_per_pixel"] == facts["plan"]["photons_per_pixel"]
    ]
    if planned:
        sentences.append(f"The scan deposits about {planned[0]['dose_mgy']:.3g} MGy.")
    bad = [row["name"] for row in facts["faults"] if row.get("verdict", "harmless") != "harmless"]
    if bad:
        sentences.append(f"Faults that would harm this measurement: {'; '.join(bad)}.")
    return sentences


def simulation_text(facts: Mapping[str, Any]) -> list[str]:
    """Return differences between simulations and plan, and missing simulations."""
    made = facts["simulated"]
    text = [
        f"Simulated with pixels of {made['pixel_nm']:.3g} nm and {made['tilts']} tilts, with as many photons in all as planned. "
        "Domains below three of these pixels were not tried.",
        f"{made['runs']} of {made['of']} simulations were made.",
    ]
    if made["not_simulated"]:
        text.append(f"There was no time for: {'; '.join(made['not_simulated'])}.")
    if made["failed"]:
        text.append(f"Failed: {'; '.join(made['failed'])}.")
    return text


@house_style
def plan_figure(facts: Mapping[str, Any]) -> Figure:
    """Draw the noise limit with the simulated domains, and the misclassified fraction by fault."""
    figure = new_figure(WIDTH_IN, 3.9)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.1])
    limit = facts["noise_limit"]
    shown = [row for row in limit if row["deviation"] > LEAST_LIMIT]
    left.loglog(
        [row["diameter_nm"] for row in shown],
        [100 * row["deviation"] for row in shown],
        color=SOFT_INK,
        label="noise limit (3 σ)",
    )
    for row in facts["domains"]:
        for size, seen, tried in zip(row["diameter_nm"], row["found"], row["of"], strict=True):
            color = SAMPLE_COLOR if seen >= tried / 2 else "none"
            left.plot(size, 100 * row["deviation"], "o", mfc=color, mec=SAMPLE_COLOR, ms=6)
    left.axhline(100 * facts["threshold"], color=NULL_COLOR, lw=1, ls="--", label="threshold")
    for axis in (left.xaxis, left.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    left.set_xlabel("diameter of the domain (nm)")
    left.set_ylabel("deviation of TM/O (%)")
    left.plot([], [], "o", mfc=SAMPLE_COLOR, mec=SAMPLE_COLOR, label="simulated, found")
    left.plot([], [], "o", mfc="none", mec=SAMPLE_COLOR, label="simulated, not found")
    left.grid(visible=True)
    left.legend(loc="best")
    rows = list(reversed(facts["faults"]))
    places = np.arange(len(rows))
    for shift, key, color in ((0.2, "false", SERIES_COLORS[5]), (-0.2, "false_certain", SERIES_COLORS[1])):
        values = [100 * np.maximum(row[key], LEAST_SHOWN) for row in rows]
        label = "off target" if key == "false" else "certainly off"
        right.barh(places + shift, values, height=0.4, color=color, label=label)
    right.set_xscale("log")
    right.set_xlim(100 * LEAST_SHOWN, 200)
    right.set_yticks(places, [row["name"] for row in rows], fontsize=7.5)
    right.set_xlabel("target material in another class (%)")
    right.legend(loc="lower right")
    return figure


def _domains(facts: Mapping[str, Any]) -> Table:
    sizes = sorted({size for row in facts["domains"] for size in row["diameter_nm"]})
    return Table(
        "Simulated domains that were found",
        ("deviation", *(f"{size:.0f} nm" for size in sizes)),
        [
            (
                f"{100 * row['deviation']:.3g} %",
                *(f"{row['found'][i]} of {row['of'][i]}" for i in range(len(row["diameter_nm"]))),
            )
            for row in facts["domains"]
        ],
        numeric=frozenset(range(1, 1 + len(sizes))),
    )


def _photons(facts: Mapping[str, Any]) -> Table:
    return Table(
        "The same with other exposures",
        ("counts per pixel and frame", "dose (MGy)", "deviation", "smallest domain (nm)", "false"),
        [
            (
                f"{row['photons_per_pixel']:.3g}",
                f"{row['dose_mgy']:.3g}",
                f"{100 * row['deviation']:.3g} %",
                "none" if row["smallest_nm"] is None else f"{row['smallest_nm']:.0f}",
                f"{100 * row['false']:.2f} %",
            )
            for row in facts["photons"]
        ],
        numeric=frozenset(range(5)),
    )


def _limits(facts: Mapping[str, Any]) -> Table:
    percent = f"{100 * facts['threshold']:.3g} %"
    return Table(
        "Noise limit for one domain at the centre (3 σ)",
        ("diameter (nm)", "least deviation", f"counts for {percent}", f"dose for {percent} (MGy)"),
        [
            (
                f"{row['diameter_nm']:.0f}",
                f"{100 * row['deviation']:.2g} %",
                f"{row['photons_for_threshold']:.2g}",
                f"{row['dose_for_threshold_mgy']:.2g}",
            )
            for row in facts["noise_limit"]
        ],
        numeric=frozenset(range(4)),
        note="No reconstruction reaches this limit: a domain below it cannot be told, one above it perhaps. Fewer counts "
        "than 100 are given as 100.",
    )


def _energies(facts: Mapping[str, Any]) -> Table:
    return Table(
        "Through the middle of the particle",
        ("series", "energy (eV)", "optical density", "transmission"),
        [
            (
                row["series"],
                f"{row['energy_ev']:g}",
                f"{row['optical_density']:.2f}",
                f"{100 * row['transmission']:.2g} %",
            )
            for row in facts["energies"]
        ],
        numeric=frozenset((1, 2, 3)),
    )


def _faults(facts: Mapping[str, Any]) -> Table:
    return Table(
        "Faults, each alone",
        ("fault", "off target", "certainly off", "domains found", "verdict"),
        [
            (
                row["name"],
                f"{100 * row['false']:.2f} %",
                f"{100 * row['false_certain']:.2f} %",
                f"{row['found']} of {row['of']}",
                row.get("verdict", ""),
            )
            for row in facts["faults"]
        ],
        numeric=frozenset((1, 2, 3)),
        note="Share of the target material, away from domains, that is put into another class; and domains that were found.",
    )
