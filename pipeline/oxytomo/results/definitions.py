"""Definitions of the quantities of a sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from oxytomo.config import Branch
from oxytomo.measure.definitions import MECHANICS_DEFINITIONS

ENERGY_SCALE_EV = 0.1
"""Assumed agreement of the energy scales of two stacks; part of the error of a mean valence."""

CLASS_DEFINITIONS: Mapping[str, str] = {
    "target": "TM/O within the threshold of the reference",
    "oxygen_poor": "TM/O above the reference by more than the threshold",
    "oxygen_rich": "TM/O below the reference by more than the threshold",
}
COLUMN_DEFINITIONS: Mapping[str, str] = {
    "n_voxels": "voxels of the solid in the shell",
    "mean_deviation": "mean of (TM/O) / reference − 1",
    "standard_error": "the error is from the noise replicates, with their bias; without replicates it is not known",
    "volume_nm3": "void fraction summed over the pore and what blur spreads of it",
    "equivalent_diameter_nm": "of a sphere with the pore's volume",
    "sphericity": "surface of the sphere with the same volume / surface of the pore; 1 is a sphere",
    "depth_nm": "distance of the pore's centre to the skin",
    "open": "its network of pores and cracks reaches the skin",
    "area_nm2": "area of the crack's middle surface",
    "aperture_nm": "void fraction summed across the crack, area-weighted median",
    "extent_nm": "length along the longest principal axis",
    "angle_to_radius_deg": "between the crack and the radius of the particle: 0 radial, 90 along the skin",
}


@dataclass(frozen=True)
class Quantity:
    """A quantity of a sample, with its interval.

    Attributes
    ----------
    key : its name among the numbers
    branch : branch it comes from
    name, unit : in text
    definition : exact definition
    """

    key: str
    branch: Branch
    name: str
    unit: str
    definition: str


_FRACTION = "voxels with {} / voxels of the solid particle; interval from noise replicates"
COMPOSITION = tuple(
    Quantity(key, "composition", name, "%", _FRACTION.format(text))
    for key, name, text in (
        ("target", "target", "TM/O within the threshold"),
        ("oxygen_poor", "oxygen-poor", CLASS_DEFINITIONS["oxygen_poor"]),
        ("oxygen_rich", "oxygen-rich", CLASS_DEFINITIONS["oxygen_rich"]),
    )
)
STRUCTURE = tuple(
    Quantity(key, "structure", name, unit, definition)
    for key, name, unit, definition in (
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
        (
            "mean_aperture",
            "mean crack aperture",
            "nm",
            "area-weighted mean of the local aperture, without rims",
        ),
    )
)
MECHANICS = tuple(
    Quantity(key, "mechanics", name, unit, definition)
    for key, name, unit, definition in (
        (
            "stress_beside_voids",
            "first principal stress beside the pores",
            "MPa",
            "95th percentile one to two voxels off the pores, at the largest current and the last depth; interval from noise "
            "replicates of the voids and the change at half the resolution; the constants of the material are not in it",
        ),
        ("raised_by_voids", "stress raised by the voids", "", MECHANICS_DEFINITIONS["raised_by_voids"]),
        ("k_over_kc", "K_I / K_Ic, 95th percentile", "", MECHANICS_DEFINITIONS["k_over_kc"]),
    )
)
VALENCE = (
    "mean over the pixels; the interval holds photon noise and an uncertainty of the energy scale of "
    f"{ENERGY_SCALE_EV:g} eV (standard deviation), which is nearly all of it"
)
VALENCE_STEP = (
    "mean valence of the innermost shell − that of the outermost; an error of the energy scale moves both alike "
    "and is not counted; interval from photon noise"
)


STATE = (
    "mean over the voxels of the particle; the interval holds noise and an uncertainty of the energy scale of "
    f"{ENERGY_SCALE_EV:g} eV (standard deviation), which is nearly all of it"
)


def state_quantities(elements: Sequence[str]) -> tuple[Quantity, ...]:
    """Return the quantities of the chemical-state branch."""
    return tuple(
        quantity
        for element in elements
        for quantity in (
            Quantity(f"valence_{element}", "chemical_state", f"{element}, mean valence", "", STATE),
            *(
                Quantity(
                    f"{name}_{element}",
                    "chemical_state",
                    f"{element}, {name} valence",
                    "%",
                    _FRACTION.format(f"a valence {side} the reference by more than the threshold"),
                )
                for name, side in (("high", "above"), ("low", "below"))
            ),
        )
    )


LINE = (
    "mean over the voxels or pixels that have one, on the energy scale of the series; the interval holds noise and an "
    f"uncertainty of this scale of {ENERGY_SCALE_EV:g} eV (standard deviation), which is nearly all of it"
)


def line_quantities(elements: Sequence[str], branch: Branch = "chemical_state") -> tuple[Quantity, ...]:
    """Return the quantities of elements without references, of volumes or maps."""
    return tuple(
        Quantity(f"{name}_{element}", branch, f"{element}, {text}", "eV", LINE)
        for element in elements
        for name, text in (("white_line", "mean white line"), ("edge", "mean edge at half step"))
    )


def valence_quantities(elements: Sequence[str]) -> tuple[Quantity, ...]:
    """Return the quantities of the oxidation branch."""
    return tuple(
        quantity
        for element in elements
        for quantity in (
            Quantity(f"valence_{element}", "oxidation", f"{element}, mean valence", "", VALENCE),
            Quantity(
                f"valence_step_{element}", "oxidation", f"{element}, valence centre − rim", "", VALENCE_STEP
            ),
        )
    )
