"""Records of white lines: elements whose spectra have no references, in volumes and maps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from oxytomo.arrays import Brief, FloatArray
from oxytomo.slabs import Field

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class ElementLines(Brief):
    """White line and edge of an element without references, in three dimensions.

    Attributes
    ----------
    element, voxel_nm : symbol, voxel size
    density : relative density of the element
    particle : not 0 inside
    white_line_ev, edge_ev : energies, NaN where there is none
    white_line_error_ev, edge_error_ev : standard errors; None before they are known
    summary : its part of ``chemical_state.json``, None before it is measured
    shells : its rows of ``chemical_state_white_lines.csv``
    """

    element: str
    voxel_nm: float
    density: Field
    particle: Field
    white_line_ev: Field
    edge_ev: Field
    white_line_error_ev: Field | None = None
    edge_error_ev: Field | None = None
    summary: Mapping[str, Any] | None = None
    shells: "pd.DataFrame | None" = None


@dataclass(frozen=True, repr=False)
class ElementLineMaps(Brief):
    """White line and edge of an element without references, (n_y, n_x) each.

    Attributes
    ----------
    element, pixel_nm : symbol, and pixel size (NaN if unknown)
    energies, errors : by line, ``white_line`` and ``edge``, eV; NaN where there is none
    summary : its part of ``oxidation.json``
    shells : its rows of ``oxidation_white_lines.csv``
    """

    element: str
    pixel_nm: float
    energies: Mapping[str, FloatArray]
    errors: Mapping[str, FloatArray]
    summary: Mapping[str, Any]
    shells: "pd.DataFrame"
