"""Fractions and tables of a composition: shells from rim to centre, domains of each class."""

import math
from typing import TYPE_CHECKING

from oxytomo.results.definitions import CLASS_DEFINITIONS, COLUMN_DEFINITIONS
from oxytomo.results.fractions import Fraction
from oxytomo.results.names import CLASS_NAMES, percent
from oxytomo.results.records import Composition
from oxytomo.view.report import Table

if TYPE_CHECKING:
    import pandas as pd

LISTED_DOMAINS = 12


def interval_text(fraction: Fraction) -> str:
    """Return a 95 % interval as text, empty without one."""
    if fraction.interval is None:
        return ""
    low, high = fraction.interval
    decimals = 2 if 100 * (high - low) < 1 else 1
    return f"{100 * low:.{decimals}f} to {100 * high:.{decimals}f} %"


def shell_table_of(result: Composition) -> Table | None:
    """Return the shells from rim to centre, None if they were not measured."""
    shells = result.shells
    if shells is None or not len(shells):
        return None
    rows = [
        [
            f"{number:g}",
            f"{outer:g}–{inner:g} %",
            f"{percent(mean)} ± {percent(error)}",
            *(percent(shells[key][row]) for key in CLASS_DEFINITIONS),
            f"{n_voxels:.0f}",
        ]
        for row, (number, outer, inner, mean, error, n_voxels) in enumerate(
            zip(
                *(
                    shells[name]
                    for name in (
                        "shell",
                        "shell_outer",
                        "shell_inner",
                        "mean_deviation",
                        "standard_error",
                        "n_voxels",
                    )
                ),
                strict=True,
            )
        )
    ]
    columns = ("shell", "volume from the rim", "mean deviation ± standard error", *_names(), "voxels")
    hints = {
        "volume from the rim": "shells of equal volume by distance to the outer surface; closed voids make no surface",
        "mean deviation ± standard error": f"{COLUMN_DEFINITIONS['mean_deviation']} over the shell; "
        f"{COLUMN_DEFINITIONS['standard_error']}",
        "voxels": COLUMN_DEFINITIONS["n_voxels"],
        **dict(
            zip(
                _names(),
                (f"voxels with {text} / voxels of the shell" for text in CLASS_DEFINITIONS.values()),
                strict=True,
            )
        ),
    }
    return Table("Shells", columns, rows, frozenset(range(2, 7)), hints=hints)


def _names() -> list[str]:
    return [fraction.name for fraction in (Fraction(key, 0.0) for key in CLASS_DEFINITIONS)]


def domain_tables_of(result: Composition) -> list[Table]:
    """Return the connectivity of each class, and the largest domains."""
    tables = []
    connected = (result.phases_json or {}).get("domains") or {}
    rows = []
    for key, name in zip(CLASS_DEFINITIONS, _names(), strict=True):
        entry = connected.get(key)
        if entry:
            share = entry.get("largest_share")
            rows.append(
                [
                    name,
                    f"{entry.get('n_domains', '')}",
                    "" if share is None else percent(share),
                    "yes" if entry.get("spanning") else "no",
                ]
            )
    if rows:
        note = (
            "Domains are connected through faces of voxels. Share of the largest: its voxels / "
            "voxels of its class. "
            "Spanning: it reaches over at least 90 % of the particle's length in one direction."
        )
        columns = ("class", "domains", "share of the largest", "spanning")
        tables.append(Table("Interconnection", columns, rows, frozenset({1, 2}), note))
    largest = _largest_domains(result)
    return tables if largest is None else [*tables, largest]


def _largest_domains(result: Composition) -> Table | None:
    """Return the largest domains of the departing classes, None without any."""
    domains = result.domains
    if domains is None or not len(domains):
        return None
    departing = [row for row, name in enumerate(domains["class"]) if name != "target"]
    measured = "mean_deviation" in domains  # tables of older versions have no mean
    departing.sort(key=lambda row: -float(domains["volume_nm3"][row]))
    listed = [
        [
            CLASS_NAMES.get(Fraction(domains["class"][row], 0.0).label, ""),
            f"{domains['volume_nm3'][row] / 1e9:.3g}",
            f"{domains['equivalent_diameter_nm'][row]:.0f}",
            f"{domains['depth_nm'][row]:.0f}",
            *([_mean(domains, row)] if measured else []),
            ", ".join(f"{domains[f'centroid_{axis}_nm'][row]:.0f}" for axis in "zyx"),
        ]
        for row in departing[:LISTED_DOMAINS]
    ]
    if not listed:
        return None
    headings = (
        "class",
        "volume (µm³)",
        "diameter (nm)",
        "depth (nm)",
        *(["mean deviation ± standard error"] if measured else []),
        "centroid z, y, x (nm)",
    )
    note = (
        f"The largest {len(listed)} of {len(departing)}; all are in domains.csv. Depth: mean "
        "distance of its voxels to the outer surface. Diameter: that of the sphere of the same "
        "volume. The error of a mean does not say whether a domain exists: compare with what is certain."
    )
    hints = {
        "mean deviation ± standard error": f"{COLUMN_DEFINITIONS['mean_deviation']} over the domain; "
        f"{COLUMN_DEFINITIONS['standard_error']}"
    }
    return Table("Largest domains", headings, listed, frozenset(range(1, len(headings))), note, hints)


def _mean(domains: "pd.DataFrame", row: int) -> str:
    """Return the mean deviation of a domain with its error, if the error is known."""
    mean, error = float(domains["mean_deviation"][row]), float(domains["mean_deviation_error"][row])
    return percent(mean) if math.isnan(error) else f"{percent(mean)} ± {percent(error)}"
