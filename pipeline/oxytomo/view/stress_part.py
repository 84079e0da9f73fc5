"""Section of a report about stress in the measured particle."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from oxytomo.results.numbers import mechanics_numbers
from oxytomo.results.records import Mechanics
from oxytomo.results.warnings import mechanics_warnings
from oxytomo.view.report import Part, Picture, Quantity, Section, Table
from oxytomo.view.stress_figures import depth_curves, radial_curves, stress_maps, void_curves

ROWS = 12
WETTED = {
    "skin": "the outer surface",
    "open": "the outer surface, and voids and cracks open to it",
    "all": "every surface",
}
_CONSTANTS = {
    "youngs_gpa": ("Young's modulus", "GPa"),
    "poisson": ("Poisson's ratio", ""),
    "volume_strain": ("volume strain, lithium 0 to 1", ""),
    "diffusivity_m2_s": ("diffusivity of lithium", "m²/s"),
    "toughness_mpa_sqrt_m": ("fracture toughness K_Ic", "MPa √m"),
}


def stress_part(result: Mechanics) -> Part:
    """Return the section about stress."""
    facts, shown = result.facts, result.facts["shown"]
    when = f"{shown['c_rate']:g} C at a depth of {shown['depth']:g}"
    below = " Below: the same solid without voids and cracks." if result.without_voids else ""
    pictures = [
        Picture(
            "Hoop stress",
            stress_maps(result, "hoop"),
            f"Cuts through the centre of the particle at {when}; tension is positive.{below}",
            wide=True,
        ),
        Picture(
            "Von Mises stress",
            stress_maps(result, "von_mises"),
            f"Cuts through the centre of the particle at {when}.{below}",
            wide=True,
        ),
        Picture(
            "Stress over depth of discharge",
            depth_curves(result.times),
            "95th percentile beside the pores at each current. Dotted: an idealised sphere of the same volume with a central "
            "void of a sixteenth of its radius, at the surface of that void.",
            wide=True,
        ),
        Picture(
            "Stress from rim to centre",
            radial_curves(result.shells),
            f"Means over shells of equal volume at {when}, without voxels nearer than 1.5 voxels to a surface.",
            wide=True,
        ),
        Picture(
            "Pores and crack fronts",
            void_curves(result.voids, result.fronts),
            f"Left: stress beside each pore at {when}. Right: stress intensity along the crack fronts.",
            wide=True,
        ),
    ]
    sections = [
        Section("Stress", quantities=_quantities(facts), pictures=pictures, tables=[_voids(result)]),
        Section("Material and assumptions", text=_assumed(facts), tables=[_constants(facts), _range(facts)]),
    ]
    checked = (
        "solvers",
        "pieces that are cut off",
        "width of bridges",
        "resolution of the pores",
        "currents",
    )
    return Part("mechanics", mechanics_warnings(result), checked, _summary(facts), sections)


def _mpa(value: float | None) -> str:
    return "unknown" if value is None or not np.isfinite(value) else f"{value:.3g} MPa".replace("-", "−")


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{100 * value:+.0f} %".replace("-", "−")


def _quantities(facts: Mapping[str, Any]) -> list[Quantity]:
    means, stress, cracks = facts["definitions"], facts["stress"], facts["cracks"]
    number, errors = mechanics_numbers(facts)["stress_beside_voids"], stress["geometry_error"]
    limits = number.interval
    found = [
        Quantity(
            "first principal stress beside the pores",
            _mpa(stress["first_principal_p95_mpa"]),
            f"95th percentile; {means['beside_voids']}",
            "" if limits is None else f"{_mpa(limits[0])} to {_mpa(limits[1])}",
        ),
        Quantity(
            "hoop stress beside the pores", _mpa(stress["hoop_p95_mpa"]), f"95th percentile; {means['hoop']}"
        ),
        Quantity(
            "von Mises stress beside the pores",
            _mpa(stress["von_mises_p95_mpa"]),
            f"95th percentile; {means['von_mises']}",
        ),
        Quantity("change at half the resolution", _share(errors["half_resolution"]), means["geometry_error"]),
        Quantity("spread by noise of the voids", _share(errors["noise"]), means["geometry_error"]),
    ]
    raised = stress["raised_by_voids"]
    if raised is not None:
        found.append(Quantity("raised by the voids", f"× {raised:.2f}", means["raised_by_voids"]))
    for name, change in stress["other_wetted"].items():
        found.append(Quantity(f"change if wetted is {name}", _share(change), means["other_wetted"]))
    if cracks["k_p95_mpa_sqrt_m"] is not None:
        value = f"{cracks['k_p95_mpa_sqrt_m']:.3g} MPa √m"
        found.append(Quantity("K_I, 95th percentile", value, means["k_mpa_sqrt_m"]))
    if cracks["k_over_kc_p95"] is not None:
        found.append(
            Quantity("K_I / K_Ic, 95th percentile", f"{cracks['k_over_kc_p95']:.3g}", means["k_over_kc"])
        )
    return found


def _constants(facts: Mapping[str, Any]) -> Table:
    material = facts["material"]
    rows = [
        [
            title,
            "unknown" if material[key] is None else f"{material[key]:.4g} {unit}".strip(),
            _source(material, key),
        ]
        for key, (title, unit) in _CONSTANTS.items()
    ]
    return Table("Constants", ("constant", "value", "source"), rows)


def _source(material: Mapping[str, Any], key: str) -> str:
    return str(material["sources"].get(key, "none"))


def _range(facts: Mapping[str, Any]) -> Table:
    rows = [
        [
            _CONSTANTS[key][0],
            f"{one['factor'][0]:.3g} to {one['factor'][1]:.3g}",
            f"{_mpa(one['mpa'][0])} to {_mpa(one['mpa'][1])}",
        ]
        for key, one in facts["material"]["range"].items()
    ]
    note = "All stresses share these factors; the shape of the stress does not depend on them."
    return Table(
        "Range of the constants in the literature",
        ("constant", "factor", "stress beside the pores"),
        rows,
        note=note,
    )


def _voids(result: Mechanics) -> Table:
    table = result.voids.sort_values("p95_first_principal_mpa", ascending=False).head(ROWS)
    rows = [
        [
            str(int(row.void)),
            f"{row.equivalent_diameter_nm:.3g}",
            f"{row.depth_nm:.3g}",
            f"{row.p95_first_principal_mpa:.3g}".replace("nan", "unknown"),
            f"{row.bridge_nm:.3g}".replace("nan", "none"),
            "yes" if row.bridge_resolved else "no",
        ]
        for row in table.itertuples()
    ]
    columns = ("pore", "diameter (nm)", "depth (nm)", "first principal (MPa)", "bridge (nm)", "resolved")
    total = len(result.voids)
    note = f"{len(rows)} of {total}; all are in the table beside this page." if total > len(rows) else ""
    return Table("Pores with most stress", columns, rows, frozenset(range(5)), note)


def _summary(facts: Mapping[str, Any]) -> list[str]:
    stress, shown, errors = facts["stress"], facts["shown"], facts["stress"]["geometry_error"]
    text = f"At {shown['c_rate']:g} C and a depth of {facts['direction']} of {shown['depth']:g} "
    if facts["pores"]:
        text += (
            f"the first principal stress beside the pores reaches {_mpa(stress['first_principal_p95_mpa'])} "
            f"(95th percentile; {_share(errors['half_resolution'])} with voxels twice as large)."
        )
    else:
        solid = _mpa(stress["solid_first_principal_p95_mpa"])
        text += f"the first principal stress in the solid reaches {solid} (95th percentile)."
    found = [text]
    ratio = facts["cracks"]["k_over_kc_p95"]
    if ratio is not None:
        found.append(f"Along the crack fronts K_I is up to {ratio:.2g} K_Ic (95th percentile).")
    found.append(
        "These are stresses of a linear elastic, isotropic solid without plasticity, grain boundaries or other particles. The "
        "diffusivity and the other constants shift all of them together; see the table of their range."
    )
    return found


def _assumed(facts: Mapping[str, Any]) -> list[str]:
    low, high = facts["lithium"]
    rates = "; ".join(f"{one['c_rate']:g} C: {one['a']:.2g}" for one in facts["rates"])
    timed = "in time steps" if facts["in_time"] else "once, and scaled to each current"
    return [
        f"Lithium between {low:g} and {high:g} moves through {WETTED[facts['wetted']]}; the profile was solved {timed}.",
        f"R²ẋ/6D by current: {rates}. Above 1 a dry sphere cannot sustain the current.",
        f"Voxels of {facts['voxel_nm']:.4g} nm"
        + (f", averages of {facts['averaged']}³ measured ones." if facts["averaged"] > 1 else "."),
    ]
