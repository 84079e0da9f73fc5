"""Unit conversions at the boundaries: lengths in nm, energies in eV, angles in degrees, areal amounts in µm."""

NM_PER = {
    "m": 1e9,
    "mm": 1e6,
    "um": 1e3,
    "µm": 1e3,
    "μm": 1e3,
    "micron": 1e3,
    "micrometer": 1e3,
    "nm": 1.0,
    "nanometer": 1.0,
}
EV_PER = {"ev": 1.0, "kev": 1e3, "mev": 1e6}
NM_PER_UM = 1e3
KEV_BELOW = 100.0
"""An energy without a unit below this number is in keV, otherwise in eV."""


def to_nm(value: float, unit: str) -> float:
    """Convert a length to nanometre; raises ``KeyError`` for an unknown unit."""
    return value * NM_PER[unit.strip().lower() if unit.strip() != "M" else unit]


def to_ev(value: float, unit: str) -> float:
    """Convert an energy to electronvolt; raises ``KeyError`` for an unknown unit."""
    return value * EV_PER[unit.strip().lower()]
