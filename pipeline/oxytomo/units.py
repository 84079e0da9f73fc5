"""Unit conversions of inputs and outputs: nm, eV, degrees, and µm for areal amounts."""

OF_ENERGY_EV = 0.05
"""Frames whose energies differ by at most this are of the same energy of a series."""
NM_PER = {
    "m": 1e9,
    "meter": 1e9,
    "cm": 1e7,
    "centimeter": 1e7,
    "mm": 1e6,
    "millimeter": 1e6,
    "um": 1e3,
    "µm": 1e3,
    "μm": 1e3,
    "micron": 1e3,
    "micrometer": 1e3,
    "nm": 1.0,
    "nanometer": 1.0,
    "å": 0.1,
    "ang": 0.1,
    "angstrom": 0.1,
    "ångström": 0.1,
    "pm": 1e-3,
    "picometer": 1e-3,
}
EV_PER = {
    "ev": 1.0,
    "electronvolt": 1.0,
    "electron_volt": 1.0,
    "electron volt": 1.0,
    "kev": 1e3,
    "kiloelectronvolt": 1e3,
    "mev": 1e6,
    "megaelectronvolt": 1e6,
}
NM_PER_UM = 1e3
KEV_BELOW = 100.0
"""An energy without a unit below this number is in keV, otherwise in eV."""


def singular(unit: str) -> str:
    """Return a unit in lower case, singular, American spelling: ``Microns`` → ``micron``."""
    plain = unit.strip().lower().replace("metre", "meter")
    return plain[:-1] if len(plain) > 3 and plain.endswith("s") else plain


def is_length(unit: str) -> bool:
    """Return whether a unit of length is known."""
    return singular(unit) in NM_PER and unit.strip() != "M"


def to_nm(value: float, unit: str) -> float:
    """Convert a length to nanometre; raises ``KeyError`` for an unknown unit."""
    if not is_length(unit):
        raise KeyError(unit)
    return value * NM_PER[singular(unit)]


def to_ev(value: float, unit: str) -> float:
    """Convert an energy to electronvolt; raises ``KeyError`` for an unknown unit."""
    return value * EV_PER[singular(unit)]
