"""Columns of the tables of a sample: types, units and definitions."""

from collections.abc import Mapping

from oxytomo.measure.definitions import NEIGHBOURHOOD_DEFINITIONS as NEAR
from oxytomo.measure.definitions import OXIDATION_DEFINITIONS
from oxytomo.measure.stress_domains import STRESS_DEFINITIONS as IN_DOMAINS
from oxytomo.results.definitions import CLASS_DEFINITIONS, COLUMN_DEFINITIONS
from oxytomo.results.mechanics_columns import MECHANICS_TABLES
from oxytomo.results.scattering_columns import SCATTERING_COLUMNS
from oxytomo.results.table_types import Column as Column
from oxytomo.results.table_types import TableType as TableType
from oxytomo.results.table_types import count as _count
from oxytomo.results.table_types import number as _number

OPEN = ("True", "False", "unknown")
CLASSES = tuple(CLASS_DEFINITIONS)


_OXIDATION = OXIDATION_DEFINITIONS
_HINT = COLUMN_DEFINITIONS
_CENTROIDS = {
    f"centroid_{axis}_nm": _number("nanometer", f"{axis} of the centroid, from the centre of the first voxel")
    for axis in "zyx"
}
_VOID_ENDS = {
    "least_depth_nm": _number("nanometer", "smallest distance to the skin"),
    "touches_surface": Column("flag", definition="reaches the skin"),
    "network": _count("number of its network of pores and cracks"),
    "open": Column("choice", definition=_HINT["open"], choices=OPEN),
    "contacts": _count("voids that it touches"),
}

_STATE_CLASSES = {
    "reference": "voxels with a valence within the threshold of the reference",
    "high": "voxels with a valence above it",
    "low": "voxels with a valence below it",
}

_LINE_ENERGIES = {
    "white_line_ev": _number("electronvolt", "mean energy of the maximum of the spectra"),
    "white_line_error_ev": _number("electronvolt", "its standard error from noise"),
    "edge_ev": _number("electronvolt", "mean energy at half of the step of the spectra"),
    "edge_error_ev": _number("electronvolt", "its standard error from noise"),
}

TABLE_TYPES: Mapping[str, TableType] = {
    "shells": TableType(
        "composition",
        (
            "shell",
            "shell_outer",
            "shell_inner",
            "mean_deviation",
            "standard_error",
        ),
        {
            "shell": _count("number from the rim"),
            "shell_outer": _number("percent", "share of the volume outside its outer limit"),
            "shell_inner": _number("percent", "share of the volume outside its inner limit"),
            "depth_mean_nm": _number("nanometer", "mean depth of its voxels"),
            "n_voxels": _count(_HINT["n_voxels"]),
            "mean_deviation": _number("1", _HINT["mean_deviation"]),
            "standard_error": _number("1", _HINT["standard_error"]),
            "standard_error_from": Column("text", definition="replicates, or none"),
            "standard_deviation": _number("1", "of the deviations of its voxels"),
            **{
                key: _number("1", f"voxels with {text} / voxels of the shell")
                for key, text in CLASS_DEFINITIONS.items()
            },
        },
    ),
    "domains": TableType(
        "composition",
        (
            "class",
            "volume_nm3",
            "equivalent_diameter_nm",
            "centroid_z_nm",
            "centroid_y_nm",
            "centroid_x_nm",
            "depth_nm",
        ),
        {
            "domain": _count("number"),
            "class": Column("choice", definition="class of its voxels", choices=CLASSES),
            "n_voxels": _count("voxels that are connected through faces"),
            "volume_nm3": _number("nanometer^3"),
            "equivalent_diameter_nm": _number("nanometer", "of the sphere of the same volume"),
            **_CENTROIDS,
            "depth_nm": _number("nanometer", "mean distance of its voxels to the outer surface"),
            "depth_min_nm": _number("nanometer", "smallest of these distances"),
            "touches_surface": Column("flag", definition="a voxel shares a face with the outside"),
            "mean_deviation": _number("1", "mean of (TM/O) / reference − 1 over the domain"),
            "mean_deviation_error": _number("1", _HINT["standard_error"]),
        },
    ),
    "alignment": TableType(
        "composition",
        (
            "energy_ev",
            "tilt_deg",
            "dy_px",
            "dx_px",
        ),
        {
            "energy_ev": _number("electronvolt", "photon energy of the series"),
            "tilt_deg": _number("degree"),
            "dy_px": _number("pixel", "shift of the raw frame that was corrected, along its rows"),
            "dx_px": _number("pixel", "the same along its columns"),
            "series": Column("text"),
            "frame": _count("number in the order of acquisition"),
            "magnification": _number("1", "raw pixels per pixel of the common grid"),
            "axis_tilt_deg": _number("degree", "lean of the tilt axis in the detector"),
            "misfit": _number("1", "difference to the re-projection / standard deviation"),
            "used": _count("0 for a frame that was left out"),
            "note": Column("text", definition="why it was left out"),
        },
    ),
    "chemical_state_shells": TableType(
        "chemical_state",
        ("element", "shell", "shell_outer", "shell_inner", "mean_valence", "standard_error"),
        {
            "element": Column("text"),
            "shell": _count("number from the rim"),
            "shell_outer": _number("percent", "share of the volume outside its outer limit"),
            "shell_inner": _number("percent", "share of the volume outside its inner limit"),
            "depth_mean_nm": _number("nanometer", "mean depth of its voxels"),
            "n_voxels": _count(_HINT["n_voxels"]),
            "mean_valence": _number("1", "mean valence of its voxels"),
            "standard_error": _number("1", _HINT["standard_error"]),
            "standard_error_from": Column("text", definition="replicates, or none"),
            "standard_deviation": _number("1", "of the valences of its voxels"),
            **{name: _number("1", f"{text} / voxels of the shell") for name, text in _STATE_CLASSES.items()},
        },
    ),
    "chemical_state_profiles": TableType(
        "chemical_state",
        ("element", "volume_outside", "volume_outside_end", "mean_valence", "standard_error"),
        {
            "element": Column("text"),
            "volume_outside": _number("percent", "share of the volume outside its outer limit"),
            "volume_outside_end": _number("percent", "share of the volume outside its inner limit"),
            "depth_mean_nm": _number("nanometer", "mean depth of its voxels"),
            "n_voxels": _count("of the shell"),
            "mean_valence": _number("1", "mean valence of its voxels"),
            "standard_error": _number("1", _HINT["standard_error"]),
            **{
                name: _number("1", f"valence of the fitted model {name.replace('_', '-')}")
                for name in ("uniform", "diffusion", "core_shell")
            },
        },
    ),
    "chemical_state_white_lines": TableType(
        "chemical_state",
        ("element", "shell", "shell_outer", "shell_inner", "white_line_ev", "white_line_error_ev"),
        {
            "element": Column("text"),
            "shell": _count("number from the rim"),
            "shell_outer": _number("percent", "share of the volume outside its outer limit"),
            "shell_inner": _number("percent", "share of the volume outside its inner limit"),
            "depth_mean_nm": _number("nanometer", "mean depth of its voxels"),
            "n_voxels": _count("of the shell"),
            "white_line_ev": _number(
                "electronvolt", "mean energy of the maximum of the spectra of its voxels"
            ),
            "white_line_error_ev": _number("electronvolt", "its standard error from the noise replicates"),
            "edge_ev": _number(
                "electronvolt", "mean energy at half of the step of the spectra of its voxels"
            ),
            "edge_error_ev": _number("electronvolt", "its standard error from the noise replicates"),
        },
    ),
    "chemical_state_domains": TableType(
        "chemical_state",
        ("element", "class", "volume_nm3", "equivalent_diameter_nm", "depth_nm"),
        {
            "element": Column("text"),
            "domain": _count("number"),
            "class": Column("choice", definition="class of its voxels", choices=tuple(_STATE_CLASSES)),
            "n_voxels": _count("voxels that are connected through faces"),
            "volume_nm3": _number("nanometer^3"),
            "equivalent_diameter_nm": _number("nanometer", "of the sphere of the same volume"),
            **_CENTROIDS,
            "depth_nm": _number("nanometer", "mean distance of its voxels to the outer surface"),
            "depth_min_nm": _number("nanometer", "smallest of these distances"),
            "touches_surface": Column("flag", definition="a voxel shares a face with the outside"),
        },
    ),
    "oxidation_shells": TableType(
        "oxidation",
        (
            "element",
            "shell_inner",
            "shell_outer",
            "mean_valence",
            "standard_error",
        ),
        {
            "element": Column("text"),
            "shell_inner": _number("percent", "share of the area outside its inner limit"),
            "shell_outer": _number("percent", "share of the area outside its outer limit"),
            "mean_valence": _number("1", _OXIDATION["mean_valence"]),
            "standard_error": _number("1", _OXIDATION["standard_error"]),
            "n_pixels": _count("of the shell that have a valence"),
            "standard_deviation": _number("1", _OXIDATION["standard_deviation"]),
            "spectrum_valence": _number("1", _OXIDATION["spectrum_valence"]),
            "spectrum_error": _number("1", "standard error of that fit"),
            "structured_residual": _number("1", _OXIDATION["structured_residual"]),
        },
    ),
    "oxidation_profiles": TableType(
        "oxidation",
        (
            "element",
            "axis",
            "low",
            "high",
            "mean_valence",
            "standard_error",
        ),
        {
            "element": Column("text"),
            "axis": Column("text", definition="what the steps are in: depth_nm, edge_jump, area_outside"),
            "low": _number("1", "lower limit of the step"),
            "high": _number("1", "upper limit of the step"),
            "mean_valence": _number("1", _OXIDATION["mean_valence"]),
            "standard_error": _number("1", _OXIDATION["standard_error"]),
            "n_pixels": _count("of the step that have a valence"),
        },
    ),
    "oxidation_white_lines": TableType(
        "oxidation",
        ("element", "shell_outer", "shell_inner", "white_line_ev", "white_line_error_ev"),
        {
            "element": Column("text"),
            "shell_outer": _number("percent", "share of the area outside its outer limit"),
            "shell_inner": _number("percent", "share of the area outside its inner limit"),
            "n_pixels": _count("of the shell that have a white line"),
            **_LINE_ENERGIES,
        },
    ),
    "oxidation_particles": TableType(
        "oxidation",
        (
            "element",
            "kind",
            "label",
            "mean_valence",
            "standard_error",
        ),
        {
            "element": Column("text"),
            "kind": Column("text", definition="agglomerate, or particle in one"),
            "label": _count("number"),
            "agglomerate": _count("number of the agglomerate that it is in"),
            "n_pixels": _count("that have a valence"),
            "equivalent_diameter_nm": _number("nanometer", "of the circle of the same area"),
            "centroid_y_nm": _CENTROIDS["centroid_y_nm"],
            "centroid_x_nm": _CENTROIDS["centroid_x_nm"],
            "mean_valence": _number("1", _OXIDATION["mean_valence"]),
            "standard_error": _number("1", _OXIDATION["standard_error"]),
            "standard_deviation": _number("1", _OXIDATION["standard_deviation"]),
            "weighted_valence": _number("1", _OXIDATION["weighted_valence"]),
            "mean_edge_jump": _number("1", _OXIDATION["edge_jump"]),
        },
    ),
    "pores": TableType(
        "structure",
        (
            "pore",
            "equivalent_diameter_nm",
        ),
        {
            "pore": _count("number; label in the void instances"),
            "particle": _count("number of the particle"),
            "volume_nm3": _number("nanometer^3", _HINT["volume_nm3"]),
            "equivalent_diameter_nm": _number("nanometer", _HINT["equivalent_diameter_nm"]),
            **_CENTROIDS,
            "depth_nm": _number("nanometer", _HINT["depth_nm"]),
            **{
                f"half_axis_{k}_nm": _number("nanometer", "of the ellipsoid of equal moments")
                for k in (1, 2, 3)
            },
            "surface_nm2": _number("nanometer^2", "of the void fraction at one half"),
            "sphericity": _number("1", _HINT["sphericity"]),
            "nearest_neighbour_nm": _number("nanometer", "between centroids"),
            **_VOID_ENDS,
        },
    ),
    "cracks": TableType(
        "structure",
        ("crack",),
        {
            "crack": _count("number; label in the void instances less the number of pores"),
            "particle": _count("number of the particle"),
            "area_nm2": _number("nanometer^2", _HINT["area_nm2"]),
            "aperture_nm": _number("nanometer", _HINT["aperture_nm"]),
            "aperture_p10_nm": _number("nanometer", "10th percentile by area"),
            "aperture_p90_nm": _number("nanometer", "90th percentile by area"),
            "volume_nm3": _number("nanometer^3", "area × mean aperture"),
            "extent_nm": _number("nanometer", _HINT["extent_nm"]),
            **_CENTROIDS,
            "angle_to_radius_deg": _number("degree", _HINT["angle_to_radius_deg"]),
            "greatest_depth_nm": _number("nanometer", "largest distance to the skin"),
            **_VOID_ENDS,
        },
    ),
    "void_distances": TableType(
        "branches",
        (
            "class",
            "feature",
            "mean_distance_nm",
            "expected_nm",
            "chance_low_nm",
            "chance_high_nm",
            "p_value",
            "null_run_nm",
        ),
        {
            "class": Column("choice", definition="class of the composition", choices=CLASSES),
            "feature": Column("choice", choices=("pore", "crack", "void", "surface")),
            "volume_nm3": _number("nanometer^3", "of the class"),
            "mean_distance_nm": _number("nanometer", NEAR["mean_distance_nm"]),
            "expected_nm": _number("nanometer", NEAR["expected"]),
            "chance_low_nm": _number("nanometer", NEAR["chance95"]),
            "chance_high_nm": _number("nanometer", NEAR["chance95"]),
            "p_value": _number("1", NEAR["p_value"]),
            "null_run_nm": _number("nanometer", NEAR["null_run"]),
        },
    ),
    "stress_domains": TableType(
        "branches",
        ("class", "stress", "mean_mpa", "expected_mpa", "chance_low_mpa", "chance_high_mpa", "p_value"),
        {
            "class": Column("choice", definition="class of the composition", choices=CLASSES),
            "stress": Column("text", definition=IN_DOMAINS["stress"]),
            "volume_nm3": _number("nanometer^3", "of the voxels of the class with a stress"),
            "mean_mpa": _number("megapascal", IN_DOMAINS["mean_mpa"]),
            "expected_mpa": _number("megapascal", IN_DOMAINS["expected_mpa"]),
            "chance_low_mpa": _number("megapascal", IN_DOMAINS["chance95_mpa"]),
            "chance_high_mpa": _number("megapascal", IN_DOMAINS["chance95_mpa"]),
            "p_value": _number("1", NEAR["p_value"]),
            "null_run_mpa": _number("megapascal", NEAR["null_run"]),
        },
    ),
    "void_neighbourhoods": TableType(
        "branches",
        (
            "kind",
            "number",
            "n_voxels",
            "mean_deviation",
            "standard_error",
            "expected_deviation",
        ),
        {
            "kind": Column("choice", choices=("pore", "crack")),
            "number": _count("in pores.csv or cracks.csv"),
            **_CENTROIDS,
            "n_voxels": _count(NEAR["neighbourhood"]),
            "mean_deviation": _number("1", _HINT["mean_deviation"]),
            "standard_error": _number("1", NEAR["standard_error"]),
            "expected_deviation": _number("1", NEAR["expected_deviation"]),
            **{
                key: _number("1", f"voxels with {text} / voxels beside the void")
                for key, text in CLASS_DEFINITIONS.items()
            },
        },
    ),
    **MECHANICS_TABLES,
    **SCATTERING_COLUMNS,
}
"""Tables by key in :data:`oxytomo.results.places.TABLES`."""
