"""Section of a report about voids and composition of the same particle."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from oxytomo.results.records import Joint
from oxytomo.results.warnings import joint_warnings
from oxytomo.view.report import Part, Picture, Quantity, Section, Table
from oxytomo.view.slices import centre_cuts, cut_row, row_height, show_cut
from oxytomo.view.style import (
    CLASS_KEYS,
    CLASS_NAMES,
    DIVERGING,
    color_map,
    house_style,
    new_figure,
    percent,
)
from oxytomo.view.void_figures import CRACK_COLOR, PORE_COLOR

WIDTH_IN = 9.4
SHOWN_DEVIATION = 0.15
ROWS = 12
_FEATURES = {"pore": "pores", "crack": "cracks", "void": "voids", "surface": "surface"}


def branches_part(result: Joint) -> Part:
    """Return the section about voids and composition domains."""
    facts = result.facts
    checked = ("same particle", "mirror image", "overlap of the branches")
    method = Section("How the branches were registered", quantities=_registration(facts))
    if facts["verdict"] != "same_particle":
        return Part("branches", joint_warnings(result), checked, [], [method])
    picture = Picture(
        "Deviation with voids",
        deviation_with_voids(result),
        "TM/O deviation through the centre of the particle; outlines of the pores (cyan) and cracks (dark cyan) of the structure "
        "branch.",
        wide=True,
    )
    tables = [_distances(result.distances), _neighbourhoods(result.neighbourhoods)]
    if result.stress is not None and len(result.stress):
        tables.insert(0, _stress(result.stress))
    section = Section("Voids and composition", quantities=_near(facts), pictures=[picture], tables=tables)
    return Part("branches", joint_warnings(result), checked, _summary(facts), [section, method])


@house_style
def deviation_with_voids(result: Joint) -> Figure:
    """Show slices of the deviation with outlines of pores and cracks."""
    deviation, voids = (
        centre_cuts(array, result.particle, voxel_nm=result.voxel_nm)
        for array in (result.deviation, result.voids)
    )
    figure = new_figure(WIDTH_IN, row_height(deviation) + 0.3)
    panels = cut_row(figure, deviation)
    for axes, cut, labels in zip(panels, deviation, voids, strict=True):
        limits = {"vmin": -SHOWN_DEVIATION, "vmax": SHOWN_DEVIATION}
        shown = show_cut(axes, cut, pixel_nm=result.voxel_nm, cmap=color_map(DIVERGING), **limits)
        for label, color in ((1, PORE_COLOR), (2, CRACK_COLOR)):
            inside = labels.image == label
            if inside.any() and not inside.all():
                axes.contour(inside, levels=[0.5], colors=color, linewidths=1.2)
    bar = figure.colorbar(shown, ax=panels, shrink=0.85, pad=0.015, extend="both")
    bar.set_label("TM/O deviation")
    bar.outline.set_visible(False)
    handles = [
        Patch(facecolor="none", edgecolor=c, label=n)
        for n, c in (("pore", PORE_COLOR), ("crack", CRACK_COLOR))
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _registration(facts: Mapping[str, Any]) -> list[Quantity]:
    definitions, quality = facts["definitions"], facts["quality"]
    turn, shift = facts["rotation"], facts["translation"]
    # Older results do not define it
    error = definitions.get("registration_error", "standard error")
    z, y, x = shift["nm_zyx"]
    found = [
        Quantity("verdict", facts["verdict"].replace("_", " "), facts["meaning"]),
        Quantity(
            "rotation",
            f"{turn['angle_deg']:.2f} ± {turn['standard_error_deg']:.2f}°",
            f"structure to composition; {error}",
        ),
        Quantity(
            "translation",
            f"{z:.0f}, {y:.0f}, {x:.0f} ± {shift['standard_error_nm']:.1f} nm",
            "z, y, x of the first voxel of the structure, in the composition; ± of the particle's centre; "
            f"{definitions['structure_to_composition']}",
        ),
        Quantity(
            "correlation", f"{quality['correlation']:.3f}", "of both densities in and around the particle"
        ),
        Quantity("likeness", f"{quality['likeness']:.3f}", definitions["likeness"]),
        Quantity(
            "likeness of the next orientation", f"{quality['likeness_of_second']:.3f}", "0: there is none"
        ),
        Quantity(
            "likeness of the mirror image", f"{quality['likeness_of_mirror_image']:.3f}", "best orientation"
        ),
        Quantity("stands out by", f"{quality['margin']:.1f}", definitions["margin"]),
    ]
    if quality["outside"] is not None:
        found.append(Quantity("outside", percent(quality["outside"]), definitions["outside"]))
    return found


def _near(facts: Mapping[str, Any]) -> list[Quantity]:
    definitions, near_nm = facts["definitions"], facts["near_nm"]
    found = []
    for key, entry in facts["near_share"].items():
        name = CLASS_NAMES[CLASS_KEYS[key]]
        null = entry.get("null_run")
        found.append(
            Quantity(
                f"share of {name} within {near_nm:.3g} nm of a void",
                _share(entry["value"]),
                f"{definitions['near_share']}; by chance {_chance(entry, _share)}",
                null="" if null is None else _share(null),
            )
        )
    entry = facts["near_mean_deviation"]
    found.append(
        Quantity(
            f"mean deviation within {near_nm:.3g} nm of a void",
            _signed(entry["value"]),
            f"{definitions['near_mean_deviation']}; by chance {_chance(entry, _signed)}",
        )
    )
    return found


def _chance(entry: Mapping[str, Any], text: Any) -> str:
    low, high = entry["chance95"]
    return f"{text(entry['expected'])} (95 %: {text(low)} to {text(high)})"


def _share(value: float | None) -> str:
    return "unknown" if value is None else percent(value)


def _signed(value: float | None) -> str:
    return "unknown" if value is None else f"{100 * value:+.2f} %"


def _distances(columns: Any) -> Table:
    names = ("class", "to the nearest", "mean distance (nm)", "by chance (nm)", "95 % by chance (nm)", "p")
    rows = []
    for i, key in enumerate(columns["class"]):
        value, expected, low, high, p_value, null = (
            columns[name][i]
            for name in (
                "mean_distance_nm",
                "expected_nm",
                "chance_low_nm",
                "chance_high_nm",
                "p_value",
                "null_run_nm",
            )
        )
        limits = f"{low:.0f} to {high:.0f}" if np.isfinite(low) else ""
        what = [CLASS_NAMES[CLASS_KEYS[key]], _FEATURES[columns["feature"][i]]]
        rows.append(
            [*what, _number(value), _number(expected), limits, _number(p_value, ".3f"), _number(null)]
        )
    note = "By chance: voxels as deep; for the surface all voxels. Null run: classes that noise alone makes."
    return Table(
        "Distance to voids and surface",
        (*names, "null run (nm)"),
        rows,
        frozenset(range(2, 7)),
        note,
    )


def _stress(columns: Any) -> Table:
    """Return the stress in each class with what chance gives."""
    names = (
        "class",
        "stress",
        "mean (MPa)",
        "as deep elsewhere (MPa)",
        "95 % by chance (MPa)",
        "p",
        "null run (MPa)",
    )
    rows = []
    for i, key in enumerate(columns["class"]):
        value, expected, low, high, p_value, null = (
            columns[name][i]
            for name in (
                "mean_mpa",
                "expected_mpa",
                "chance_low_mpa",
                "chance_high_mpa",
                "p_value",
                "null_run_mpa",
            )
        )
        limits = f"{low:.3g} to {high:.3g}" if np.isfinite(low) else ""
        what = [CLASS_NAMES[CLASS_KEYS[key]], str(columns["stress"][i]).replace("_", " ")]
        numbers = [_number(one, ".3g").replace("-", "−") for one in (value, expected)]
        end = [limits.replace("-", "−"), _number(p_value, ".3f"), _number(null, ".3g").replace("-", "−")]
        rows.append([*what, *numbers, *end])
    note = (
        "By chance: voxels as deep; interval of the pattern of the class turned at random. Null run: classes that noise alone "
        "makes. Stress near a surface is left out. The stress is calculated from the voids, with the same constants everywhere: "
        "an association says where oxygen is missing relative to voids and shape, not that stress has done it."
    )
    return Table("Stress in the domains", names, rows, frozenset(range(2, 7)), note)


def _neighbourhoods(columns: Any) -> Table:
    order = np.argsort(-np.asarray(columns["n_voxels"], float), kind="stable")[:ROWS]
    rows = [
        [
            columns["kind"][i],
            f"{columns['number'][i]:.0f}",
            f"{columns['n_voxels'][i]:.0f}",
            f"{_number(100 * columns['mean_deviation'][i], '+.2f')} ± {_number(100 * columns['standard_error'][i], '.2f')}",
            _number(100 * columns["expected_deviation"][i], "+.2f"),
        ]
        for i in order
    ]
    names = ("void", "number", "voxels beside it", "mean deviation (%)", "as deep elsewhere (%)")
    note = "The largest neighbourhoods; all are in the table beside this page. ±: standard error, noise only."
    return Table("Composition beside each void", names, rows, frozenset(range(1, 5)), note)


def _number(value: float, form: str = ".0f") -> str:
    return f"{value:{form}}" if np.isfinite(value) else "–"


def _summary(facts: Mapping[str, Any]) -> list[str]:
    entry = facts["near_share"]["oxygen_poor"]
    if entry["value"] is None:
        return ["There are no oxygen-poor voxels or no voids to compare."]
    return [
        f"{percent(entry['value'])} of the oxygen-poor volume is within {facts['near_nm']:.3g} nm of a void; by chance "
        f"{_chance(entry, _share)}."
    ]
