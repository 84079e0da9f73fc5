"""Spectra in EMSA/MAS text (ISO 22029, ``.msa``), through RosettaSciIO (the extra ``em``)."""

import re
from pathlib import Path

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.errors import InputError
from oxytomo.io.optional import any_error_of, optional_package

_FIRST_LINE = re.compile(r"\s*#FORMAT\s*:\s*EMSA/MAS", re.IGNORECASE)


def is_msa(text: str) -> bool:
    """Return whether a text starts as EMSA/MAS does."""
    return _FIRST_LINE.match(text) is not None


def read_msa(path: Path) -> tuple[Float64Array, Float64Array, dict[str, str], str | None]:
    """Return energies, intensities, metadata and the unit of the energies of one spectrum.

    Raises
    ------
    MissingPackageError
        If RosettaSciIO is not installed.
    InputError
        If the file does not hold a single spectrum.
    """
    optional_package("rsciio", what=f"{path} (msa)", extra="em")
    from rsciio.msa import file_reader

    with any_error_of("RosettaSciIO", path):
        signals = file_reader(str(path))
        data = np.asarray(signals[0]["data"], np.float64) if len(signals) == 1 else np.empty(0)
        axis = signals[0]["axes"][-1] if len(signals) == 1 else {}
        if data.ndim != 1 or data.size < 2:
            raise InputError(
                str(path),
                expected="one spectrum",
                got=f"{len(signals)} signals, shape {data.shape}",
                fix="export a single spectrum",
            )
        steps = np.arange(data.size, dtype=np.float64)
        energy = np.float64(axis.get("offset") or 0.0) + np.float64(axis.get("scale") or 1.0) * steps
        unit = str(axis.get("units") or "").strip()
        known = unit if unit.lower() in ("ev", "kev") else None
    return energy, data, {"format": "EMSA/MAS"}, known
