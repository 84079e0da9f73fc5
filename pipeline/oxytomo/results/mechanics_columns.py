"""Columns of the tables of the branch mechanics."""

from collections.abc import Mapping

from oxytomo.measure.definitions import MECHANICS_DEFINITIONS as MEANS
from oxytomo.results.table_types import Column, TableType, count, number

MPA, NM = "megapascal", "nanometer"
STRESSES = ("first_principal", "von_mises", "hydrostatic", "hoop")
_PLACES = {
    f"{axis}_nm": number(NM, f"{axis} from the centre of the first voxel of the whole volume")
    for axis in "zyx"
}


def _stress(name: str, of: str, *, before: str = "") -> Column:
    return number(MPA, f"{before}{MEANS[name]}; {of}")


def _of_times() -> dict[str, Column]:
    """Return mean and 95th percentile beside the pores, and in the solid."""
    places = {
        "voids": f"beside the pores: {MEANS['beside_voids']}",
        "solid": "at least 1.5 voxels off every surface",
    }
    kinds = {"mean": "mean", "p95": "95th percentile"}
    return {
        f"{name}_{place}_{kind}_mpa": number(MPA, f"{MEANS[name]}; {words} {where}")
        for name in ("first_principal", "von_mises", "hoop")
        for place, where in places.items()
        for kind, words in kinds.items()
    }


MECHANICS_TABLES: Mapping[str, TableType] = {
    "stress_voids": TableType(
        "mechanics",
        ("void", "mean_first_principal_mpa", "p95_first_principal_mpa", "bridge_nm"),
        {
            "void": count("number of the pore; of a structure, as in pores.csv"),
            **_PLACES,
            "volume_nm3": number("nanometer^3", "of the voxels of the pore"),
            "equivalent_diameter_nm": number(NM, "of the sphere of the same volume"),
            "depth_nm": number(NM, "of the centre below the outer surface"),
            "n_voxels": count(MEANS["beside_voids"]),
            "mean_first_principal_mpa": _stress("first_principal", "mean beside the pore"),
            "p95_first_principal_mpa": _stress("first_principal", "95th percentile beside the pore"),
            "mean_hoop_mpa": _stress("hoop", "mean beside the pore"),
            "mean_von_mises_mpa": _stress("von_mises", "mean beside the pore"),
            "surface_hoop_mpa": number(MPA, MEANS["surface_hoop"]),
            "bridge_nm": number(NM, MEANS["bridge"]),
            "bridge_resolved": Column("flag", definition="the bridge has at least four voxels"),
        },
    ),
    "crack_fronts": TableType(
        "mechanics",
        ("crack", "k_mpa_sqrt_m"),
        {
            "crack": count("number of the connected crack"),
            **_PLACES,
            "k_mpa_sqrt_m": number("megapascal meter^(1/2)", MEANS["k_mpa_sqrt_m"]),
            "k_over_kc": number("1", MEANS["k_over_kc"]),
        },
    ),
    "stress_shells": TableType(
        "mechanics",
        ("shell", "outer_nm", "inner_nm", "lithium", "hoop_mpa"),
        {
            "shell": count("from the rim, of equal volume"),
            "outer_nm": number(NM, "smallest distance to the outer surface"),
            "inner_nm": number(NM, "largest distance to the outer surface"),
            "n_voxels": count("of full solid, at least 1.5 voxels off every surface"),
            "lithium": number("1", "mean lithium content"),
            **{f"{name}_mpa": _stress(name, "mean") for name in STRESSES},
            **{
                f"without_voids_{name}_mpa": _stress(name, f"mean; {MEANS['without_voids']}")
                for name in STRESSES
            },
            "ideal_hoop_mpa": _stress("hoop", f"mean; {MEANS['ideal']}"),
            "ideal_von_mises_mpa": _stress("von_mises", f"mean; {MEANS['ideal']}"),
        },
    ),
    "stress_time": TableType(
        "mechanics",
        ("c_rate", "depth", "first_principal_voids_p95_mpa", "hoop_voids_p95_mpa"),
        {
            "c_rate": number("1/hour", "current; 1 fills or empties the particle in an hour"),
            "depth": number("1", "of discharge or charge"),
            "time_s": number("second", "since the current was switched on"),
            "steady": Column("flag", definition="the shape of the lithium profile does not change any more"),
            "lithium_mean": number("1", "mean lithium content"),
            "lithium_low": number("1", "smallest lithium content"),
            "lithium_high": number("1", "largest lithium content"),
            "sustained": Column("flag", definition=MEANS["sustained"]),
            "potential_v": number("volt", "potential against lithium; only with kinetics: butler_volmer"),
            **_of_times(),
            "ideal_hoop_void_mpa": _stress("hoop", f"at the void; {MEANS['ideal']}"),
            "ideal_von_mises_void_mpa": _stress("von_mises", f"at the void; {MEANS['ideal']}"),
        },
    ),
}
"""Tables by key in :data:`oxytomo.results.places.TABLES`."""
