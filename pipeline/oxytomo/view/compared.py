"""What a comparison of samples is made of: the quantities that are compared and the numbers of each sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.config import Branch
from oxytomo.measure.comparability import Rule

NORMAL_95 = 1.959964
ENERGY_SCALE_EV = 0.1
"""How well the energies of two stacks are taken to agree; counted into the error of a mean valence."""


@dataclass(frozen=True)
class Compared:
    """A quantity that is compared.

    Attributes
    ----------
    key : name in the tables
    branch : branch it comes from
    name, unit : in text
    definition : what exactly was computed
    """

    key: str
    branch: Branch
    name: str
    unit: str
    definition: str


@dataclass(frozen=True)
class Number:
    """A number of one sample in the unit of its quantity: value, 95 % interval from noise, and the error it stands for."""

    value: float
    interval: tuple[float, float] | None

    @property
    def error(self) -> float:
        """Standard deviation from noise: the wider side of the interval / 1.96; NaN without an interval."""
        if self.interval is None:
            return float("nan")
        return max(self.value - self.interval[0], self.interval[1] - self.value, 0.0) / NORMAL_95


@dataclass(frozen=True)
class Profile:
    """A quantity in shells from rim to centre.

    Attributes
    ----------
    outer, inner : limits of each shell, percent of the volume (area) outside
    value, error : in each shell; errors from noise, NaN where unknown
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
    name, group, folder : its name, its group, where it lies
    branches : what it has
    numbers : key of the quantity -> number
    settings : per branch the settings that have to agree
    profiles : key (``tm_o_deviation``, ``valence_Mn``, ``porosity``) -> shells
    pores : equivalent diameters in nm; None without structure
    cracks : area in nm² and angle to the radius in degrees of each crack
    volume_um3 : volume inside the skin, for densities
    remarks : what a reader must know
    made_by : version of the package that made it, and when
    digests : name of each table that was read -> its SHA-256
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
    made_by: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)


_FRACTION = "voxels with {} / voxels of the solid particle; interval from noise replicates"
_STRUCTURE: tuple[tuple[str, str, str, str], ...] = (
    ("porosity", "porosity", "%", "void volume / volume inside the skin"),
    ("porosity_pores", "porosity of pores", "%", "volume of the pores / volume inside the skin"),
    ("porosity_cracks", "porosity of cracks", "%", "volume of the cracks / volume inside the skin"),
    ("open_fraction", "open share of the voids", "%", "void volume with a way to the skin / void volume"),
    ("pore_density", "pores per volume", "1/µm³", "number of pores / volume inside the skin"),
    (
        "crack_area",
        "crack area per volume",
        "1/µm",
        "area of the cracks' middle surfaces / volume inside the skin",
    ),
    ("mean_aperture", "mean crack aperture", "nm", "area-weighted mean of the local aperture, without rims"),
)

COMPOSITION = (
    Compared("target", "composition", "target", "%", _FRACTION.format("TM/O within the threshold")),
    Compared(
        "oxygen_poor",
        "composition",
        "oxygen-poor",
        "%",
        _FRACTION.format("TM/O above the reference by more than the threshold"),
    ),
    Compared(
        "oxygen_rich",
        "composition",
        "oxygen-rich",
        "%",
        _FRACTION.format("TM/O below the reference by more than the threshold"),
    ),
)
STRUCTURE = tuple(
    Compared(key, "structure", name, unit, definition) for key, name, unit, definition in _STRUCTURE
)


def valence_quantities(elements: Sequence[str]) -> tuple[Compared, ...]:
    """Return the quantities of the oxidation branch."""
    return tuple(
        quantity
        for element in elements
        for quantity in (
            Compared(
                f"valence_{element}",
                "oxidation",
                f"{element}, mean valence",
                "",
                "mean over the pixels; the interval holds photon noise and an uncertainty of the energy scale of "
                f"{ENERGY_SCALE_EV:g} eV (standard deviation), which is nearly all of it",
            ),
            Compared(
                f"valence_step_{element}",
                "oxidation",
                f"{element}, valence centre − rim",
                "",
                "mean valence of the innermost shell − that of the outermost; an error of the energy scale moves both alike "
                "and is not counted; interval from photon noise",
            ),
        )
    )


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
    "oxidation": (
        Rule("references", "reference spectra", forbids=True),
        Rule("window_ev", "window of the fit in eV"),
        Rule("fractions_sum", "sum of the fractions"),
        Rule("pixel_nm", "pixel size in nm", tolerance=0.1),
    ),
    "structure": (
        Rule("segment", "settings of the segmentation"),
        Rule("voxel_nm", "voxel size in nm", tolerance=0.1),
        Rule("smallest_aperture_nm", "smallest aperture that can be claimed in nm", tolerance=0.25),
        Rule("blur_px", "blur in voxels", tolerance=0.25),
    ),
}
"""What has to agree between samples. Where a difference forbids it, values are shown and no difference is stated."""


def formula_per_oxygen(elements: Sequence[str], atoms: Sequence[float]) -> dict[str, float]:
    """Return atoms per oxygen, rounded to what a formula is given with."""
    by_element = dict(zip(elements, atoms, strict=True))
    oxygen = by_element.get("O", 1.0)
    return {
        element: float(np.round(count / oxygen, 4)) for element, count in by_element.items() if element != "O"
    }
