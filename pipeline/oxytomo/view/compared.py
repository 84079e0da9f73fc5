"""Data of a comparison of samples: compared quantities, and the numbers of each sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.config import Branch
from oxytomo.measure.comparability import Rule
from oxytomo.results.numbers import Number
from oxytomo.view.compared_maps import MapNumbers


@dataclass(frozen=True)
class Profile:
    """A quantity in shells from rim to centre.

    Attributes
    ----------
    outer, inner : limits of each shell, percent of the volume (area) outside
    value, error : in each shell; errors from noise, NaN if unknown
    """

    outer: Float64Array
    inner: Float64Array
    value: Float64Array
    error: Float64Array


@dataclass(frozen=True)
class ComparedSample:
    """The numbers of one sample.

    Attributes
    ----------
    name, group, folder : name, group and folder of the sample
    branches : its branches
    numbers : key of the quantity -> number
    settings : per branch, the settings that must agree
    profiles : key (``tm_o_deviation``, ``valence_Mn``, ``chemical_state_valence_Mn``, ``porosity``)
        -> shells
    pores : equivalent diameters in nm; None without structure
    cracks : area in nm² and angle to the radius in degrees of each crack
    volume_um3 : volume inside the particle surface, for densities
    remarks : important remarks for the reader
    unexplained : elements whose spectra the references do not explain in most shells
    maps : yields and valences of its scattering maps; None without
    made_by : version of the package, and date
    digests : SHA-256 of each table, by name
    """

    name: str
    group: str
    folder: str
    branches: Sequence[Branch]
    numbers: Mapping[str, Number]
    settings: Mapping[Branch, Mapping[str, Any]]
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    pores: Float64Array | None = None
    cracks: tuple[Float64Array, Float64Array] | None = None
    volume_um3: float = float("nan")
    remarks: Sequence[str] = ()
    unexplained: Sequence[str] = ()
    maps: MapNumbers | None = None
    made_by: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)


RULES: Mapping[Branch, tuple[Rule, ...]] = {
    "composition": (
        Rule("threshold", "threshold of the classes", forbids=True),
        Rule("elements", "measured elements", forbids=True),
        Rule("formula", "reference composition (atoms per O)", forbids=True),
        Rule("reference", "reference of the deviation", forbids=True),
        Rule("method", "method of reconstruction", forbids=True),
        Rule("counted_voxel_nm", "edge of the counted voxel in nm", tolerance=0.1),
        Rule("voxel_nm", "voxel size in nm", tolerance=0.1),
    ),
    "chemical_state": (
        Rule("references", "reference spectra", forbids=True),
        Rule("threshold", "threshold of the classes", forbids=True),
        Rule("reference", "reference valence", forbids=True),
        Rule("method", "method", forbids=True),
        Rule("white_line", "fit of the white line", forbids=True),
        Rule("background", "background"),
        Rule("voxel_nm", "voxel size in nm", tolerance=0.1),
    ),
    "oxidation": (
        Rule("references", "reference spectra", forbids=True),
        Rule("window_ev", "window of the fit in eV"),
        Rule("fractions_sum", "sum of the fractions"),
        Rule("white_line", "fit of the white line", forbids=True),
        Rule("pixel_nm", "pixel size in nm", tolerance=0.1),
    ),
    "structure": (
        Rule("segment", "settings of the segmentation"),
        Rule("voxel_nm", "voxel size in nm", tolerance=0.1),
        Rule("smallest_aperture_nm", "smallest aperture that can be claimed in nm", tolerance=0.25),
        Rule("blur_px", "blur in voxels", tolerance=0.25),
    ),
    "mechanics": (
        Rule("constants", "constants of the material", forbids=True),
        Rule("direction", "direction of the current", forbids=True),
        Rule("kinetics", "kinetics", forbids=True),
        Rule("wetted", "wetted surface", forbids=True),
        Rule("c_rate", "shown current in 1/h", tolerance=1e-6, forbids=True),
        Rule("depth", "shown depth of discharge", tolerance=1e-6, forbids=True),
        Rule("lithium", "lithium contents at the ends", forbids=True),
        Rule("voxel_nm", "voxel size in nm", tolerance=0.1),
    ),
    "scattering": (
        Rule("references", "reference spectra of the yields", forbids=True),
        Rule("windows_ev", "emission windows of the yields in eV"),
        Rule("ranges_ev", "range of the maps in eV, which the share of the feature depends on"),
    ),
}
"""Settings that must agree between samples. Otherwise values are shown without differences."""


STATE_KEY = "chemical_state_"
"""Begins the keys of the chemical-state branch, whose quantities have the names of those of maps."""


def formula_per_oxygen(elements: Sequence[str], atoms: Sequence[float]) -> dict[str, float]:
    """Return atoms per oxygen, rounded to the precision of formulas."""
    by_element = dict(zip(elements, atoms, strict=True))
    oxygen = by_element.get("O", 1.0)
    return {
        element: float(np.round(count / oxygen, 4)) for element, count in by_element.items() if element != "O"
    }
