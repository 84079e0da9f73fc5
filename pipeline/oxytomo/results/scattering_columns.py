"""Columns of the tables of the scattering branch."""

from collections.abc import Mapping

from oxytomo.results.table_types import Column, TableType, count, number
from oxytomo.scattering.definitions import SCATTERING_DEFINITIONS as SAID

_MAP = {"map": Column("text", definition="name of the map"), "element": Column("text")}
_DEPTH = Column("choice", definition=SAID["depth"], choices=("bulk", "surface"))

SCATTERING_COLUMNS: Mapping[str, TableType] = {
    "scattering_yields": TableType(
        "scattering",
        ("map", "element", "yield", "excitation_ev", "value", "standard_error"),
        {
            **_MAP,
            "yield": Column("text", definition="TFY, PFY, sPFY, iPFY, PFY corrected, or a column"),
            "depth": _DEPTH,
            "excitation_ev": number("electronvolt"),
            "value": number("1", SAID["value"]),
            "standard_error": number("1", SAID["standard_error"]),
        },
    ),
    "scattering_cuts": TableType(
        "scattering",
        ("map", "element", "excitation_ev", "emission_ev", "value", "standard_error"),
        {
            **_MAP,
            "excitation_ev": number("electronvolt", "chosen excitation energy"),
            "n_excitations": count("excitations of the mean"),
            "emission_ev": number("electronvolt", "calibrated emission energy"),
            "value": number("1", "photons per mean incident flux in the emission bin"),
            "standard_error": number("1", "from the number of photons and the error of the flux"),
        },
    ),
    "scattering_valences": TableType(
        "scattering",
        ("map", "element", "yield", "depth", "mean_valence", "standard_error"),
        {
            **_MAP,
            "state": Column("text", definition="state in the name of the map"),
            "yield": Column("text", definition="the yield that was fitted"),
            "depth": _DEPTH,
            "mean_valence": number("1", SAID["mean_valence"]),
            "standard_error": number("1", "from the errors of the yield, times √χ² where χ² is above 1"),
            "valence_per_0_1_ev": number("1", SAID["valence_per_0_1_ev"]),
            "chi_square": number("1", "of the fit, per degree of freedom"),
            "r_factor": number("1", "Σ residual² / Σ (yield − background)²"),
            "condition_number": number("1", "how many times relative errors can grow"),
        },
    ),
}
