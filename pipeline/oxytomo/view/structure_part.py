"""Section of a report about pores and cracks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from oxytomo.results.definitions import COLUMN_DEFINITIONS
from oxytomo.results.records import Structure
from oxytomo.results.warnings import structure_warnings
from oxytomo.view.front import structure_front
from oxytomo.view.report import Part, Picture, Quantity, Section, Table
from oxytomo.view.style import percent
from oxytomo.view.telling import telling_voids
from oxytomo.view.void_figures import (
    labelled_voids,
    orientation_figure,
    size_figure,
    void_shell_figure,
    void_slices,
)

ROWS = 12
_PARTS = {
    "total": ("porosity", "porosity"),
    "closed": ("closed porosity", "closed_porosity"),
    "open": ("open porosity", "open_porosity"),
    "unknown": ("porosity of voids that may be open or closed", "unknown"),
    "pores": ("porosity of pores", "porosity"),
    "cracks": ("porosity of cracks", "porosity"),
}
"""Names and definitions of the parts of the porosity."""


def structure_part(result: Structure) -> Part:
    """Return the section about pores and cracks."""
    facts = result.facts
    pictures = [
        Picture(
            "Pores and cracks",
            void_slices(result.volume, result.particle, result.voids, voxel_nm=result.voxel_nm),
            "Cuts through the centre of the particle; pores cyan, cracks dark cyan, the particle's skin white.",
            wide=True,
        ),
        Picture(
            "Sizes",
            size_figure(
                result.pores,
                facts["cracks"].get("aperture_distribution"),
                facts["calibration"]["smallest_aperture_nm"],
            ),
            "Left: equivalent diameters of the pores. Right: crack area by local aperture; the dashed line is the smallest "
            "aperture that can be claimed at this noise and blur.",
        ),
    ]
    if facts["shells"]:
        caption = "Shells of equal volume from rim to centre."
        pictures.append(Picture("Porosity by depth", void_shell_figure(facts["shells"]), caption))
    if result.cracks is not None:
        pictures.append(
            Picture(
                "Orientation of cracks",
                orientation_figure(result.cracks),
                "Crack area by the angle between a crack and the radius of the particle: 0° is radial, 90° follows the skin.",
            )
        )
    definitions = facts["definitions"]
    sections = [
        Section("Pores and cracks", quantities=_quantities(facts), pictures=pictures, tables=_tables(result)),
        Section("How it was measured", text=_method(facts, definitions)),
    ]
    checked = ("field of view", "width of openings", "contrast and noise", "smallest aperture", "noise bias")
    warnings, front = structure_warnings(result), structure_front(facts, _telling(result))
    return Part("structure", warnings, checked, _summary(facts), sections, front)


def _telling(result: Structure) -> Picture:
    """Return the picture of the first screen."""
    labels = labelled_voids(result.particle, result.voids)
    return Picture(
        "Pores and cracks in 3D and the most telling slice",
        telling_voids(result.volume, labels, voxel_nm=result.voxel_nm),
        "Left: pores and cracks in the particle. Right: the slice with most of both.",
        wide=True,
    )


def _length(value: Any) -> str:
    return "unknown" if value is None or not np.isfinite(value) else f"{value:.3g} nm"


def _share(value: float | None) -> str:
    return "unknown" if value is None else percent(value)


def _bounded(facts: Mapping[str, Any]) -> bool:
    """Return True if the volume contains the particle surface."""
    return (facts.get("skin") or {}).get("from") != "no skin in the volume"


def _interval(entry: Mapping[str, Any]) -> str:
    if not entry.get("ci95"):
        return ""
    low, high = entry["ci95"]
    return f"{percent(low)} to {percent(high)}"


def _range(limits: Sequence[float] | None, form: str, unit: str = "") -> str:
    return f"{limits[0]:{form}} to {limits[1]:{form}}{unit}" if limits else ""


def _quantities(facts: Mapping[str, Any]) -> list[Quantity]:
    definitions = facts["definitions"]
    found = []
    for key, (name, about) in _PARTS.items():
        entry = facts["porosity"].get(key, {"value": 0.0})
        if key != "unknown" or entry["value"]:
            text = definitions.get(about) or definitions["open"]
            found.append(Quantity(name, _share(entry["value"]), text, _interval(entry)))
    second = (facts.get("skin") or {}).get("second_bridging")
    if second is not None:
        about = definitions["second_bridging"]
        found.append(Quantity("porosity, bridged twice as far", percent(second["porosity"]), about))
    if facts["open_fraction"] is not None or not _bounded(facts):
        entry = {"ci95": facts.get("open_fraction_ci95")}
        about = definitions.get("open_fraction", definitions["open"])
        found.append(
            Quantity("open share of the voids", _share(facts["open_fraction"]), about, _interval(entry))
        )
    return found + _voids(facts) + _networks(facts)


def _voids(facts: Mapping[str, Any]) -> list[Quantity]:
    """Return numbers and sizes of pores and cracks."""
    definitions, pores, cracks = facts["definitions"], facts["pores"], facts["cracks"]
    area, aperture = cracks["area_nm2"], cracks.get("mean_aperture_nm", {})
    limits = area.get("ci95")
    return [
        Quantity(
            "pores",
            str(pores["count"]),
            "bodies of voxels that share a face, an edge or a corner",
            _range(pores.get("count_ci95"), ".1f"),
        ),
        Quantity(
            "median pore diameter",
            _length(pores["median_equivalent_diameter_nm"]),
            "of a sphere with the pore's volume",
        ),
        Quantity(
            "cracks",
            str(cracks["count"]),
            "smooth sheets that noise alone does not make",
            _range(cracks.get("count_ci95"), ".1f"),
        ),
        Quantity(
            "crack area",
            f"{area['value'] / 1e6:.3g} µm²",
            "area of the cracks' middle surfaces",
            f"{limits[0] / 1e6:.3g} to {limits[1] / 1e6:.3g} µm²" if limits else "",
        ),
        Quantity(
            "mean aperture",
            _length(aperture.get("value")),
            definitions.get("mean_aperture", ""),
            _range(aperture.get("ci95"), ".3g", " nm"),
        ),
        Quantity("median aperture", _length(cracks["aperture_nm"]["median"]), definitions["aperture"]),
        Quantity(
            "smallest aperture that can be claimed",
            _length(facts["calibration"]["smallest_aperture_nm"]),
            definitions["smallest_aperture_nm"],
        ),
    ]


def _networks(facts: Mapping[str, Any]) -> list[Quantity]:
    definitions, network = facts["definitions"], facts["network"]
    found = [
        Quantity("networks", str(network["networks"]), definitions["networks"]),
        Quantity("junctions", str(network["junctions"]), definitions["junctions"]),
    ]
    if network["largest_share"] is not None:
        share = percent(network["largest_share"])
        found.append(Quantity("share of the largest network", share, "of the volume of all voids"))
    if network["tortuosity"] is not None:
        found.append(Quantity("tortuosity", f"{network['tortuosity']:.2f}", definitions["tortuosity"]))
    return found


def _tables(result: Structure) -> list[Table]:
    tables = []
    if result.pores is not None:
        tables.append(_largest(result.pores, "volume_nm3", "Largest pores", _PORE_COLUMNS))
    if result.cracks is not None:
        tables.append(_largest(result.cracks, "area_nm2", "Largest cracks", _CRACK_COLUMNS))
    sweep = result.facts["network"]["euler_number"]
    rows = [[level, str(number)] for level, number in sweep.items()]
    note = "One value alone says nothing: it depends on the threshold."
    tables.append(Table("Euler number", ("threshold", "Euler number"), rows, frozenset({0, 1}), note))
    return tables


_PORE_COLUMNS = {
    "pore": "pore",
    "volume_nm3": "volume (nm³)",
    "equivalent_diameter_nm": "diameter (nm)",
    "sphericity": "sphericity",
    "depth_nm": "depth (nm)",
    "open": "open",
}
_CRACK_COLUMNS = {
    "crack": "crack",
    "area_nm2": "area (nm²)",
    "aperture_nm": "aperture (nm)",
    "extent_nm": "extent (nm)",
    "angle_to_radius_deg": "angle to radius (°)",
    "open": "open",
}


_HINTS = {
    name: COLUMN_DEFINITIONS[key]
    for names in (_PORE_COLUMNS, _CRACK_COLUMNS)
    for key, name in names.items()
    if key in COLUMN_DEFINITIONS
}


def _largest(columns: Any, key: str, title: str, names: Mapping[str, str]) -> Table:
    order = np.argsort(-np.asarray(columns[key], float))[:ROWS]
    rows = [[_cell(columns[name][i]) for name in names] for i in order]
    total = len(columns[key])
    note = f"{len(order)} of {total}; all are in the table beside this page." if total > len(order) else ""
    return Table(title, tuple(names.values()), rows, frozenset(range(len(names))), note, _HINTS)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _summary(facts: Mapping[str, Any]) -> list[str]:
    total = facts["porosity"]["total"]
    interval = _interval(total)
    open_part = facts["open_fraction"]
    sentence = f"Voids fill {percent(total['value'])} of the particle" + (
        f" ({interval})" if interval else ""
    )
    if open_part is not None:
        limits = _interval({"ci95": facts.get("open_fraction_ci95")})
        sentence += (
            f"; {percent(open_part)} of them{f' ({limits})' if limits else ''} are open to the outside"
        )
    elif not _bounded(facts):
        sentence += "; how much of them is open is unknown, because the volume holds no skin"
    return [
        sentence + ".",
        f"{_counted(facts['pores'], 'pore')} and {_counted(facts['cracks'], 'crack')} were found; a crack thinner than "
        f"{_length(facts['calibration']['smallest_aperture_nm'])} cannot be claimed in this volume. Intervals are 95 %: "
        "noise, of the porosity also the method's own error and how far openings are bridged.",
    ]


def _counted(entry: Mapping[str, Any], name: str) -> str:
    """Return a count with its interval, if the interval has a width."""
    count, limits = entry["count"], entry.get("count_ci95")
    text = f"{count} {name}{'' if count == 1 else 's'}"
    return text if not limits or limits[0] == limits[1] else f"{text} ({limits[0]:.0f} to {limits[1]:.0f})"


def _method(facts: Mapping[str, Any], definitions: Mapping[str, str]) -> list[str]:
    calibration = facts["calibration"]
    return [
        f"Grey values became void fractions with the solid's local level and the level of the void "
        f"({calibration['void_level_from']}); noise {calibration['noise']:.3f} of the contrast, blur "
        f"{calibration['blur_px']:.2f} voxels (standard deviation).",
        f"Skin: {definitions['skin']}. Intervals: {definitions['ci95']}.",
    ]
