"""Read the results of the chemical-state branch."""

from typing import TYPE_CHECKING

from oxytomo.io.chemical_state_stores import is_white_line
from oxytomo.io.stores import Store
from oxytomo.results.files import Files
from oxytomo.results.line_records import ElementLines
from oxytomo.results.read import read_alignment
from oxytomo.results.records import ChemicalStates, ElementState

if TYPE_CHECKING:
    import pandas as pd

PREFIX = "chemical_state_reconstruct_"


def read_chemical_state(files: Files) -> ChemicalStates | None:
    """Return the results of the chemical-state branch, None before a volume is reconstructed."""
    elements = [key.removeprefix(PREFIX) for key in files.paths if key.startswith(PREFIX)]
    if not elements:
        return None
    states, lines = [], []
    for element in elements:
        reconstructed = files.store(f"{PREFIX}{element}")
        assert reconstructed is not None  # the key is in the files
        if is_white_line(reconstructed):
            lines.append(_lines(files, element, reconstructed))
        else:
            states.append(_element(files, element, reconstructed))
    # Without series of its own the branch has the alignment of the composition branch.
    own = read_alignment(files, "chemical_state")
    alignment = own or read_alignment(files, "composition")
    shared = own is None and alignment is not None
    return ChemicalStates(states, lines, alignment, aligned_with_composition=shared)


def _element(files: Files, element: str, reconstructed: Store) -> ElementState:
    uncertainty = files.store(f"chemical_state_uncertainty_{element}")
    measured = files.store("chemical_state_measure")
    content = files.json("chemical_state_summary")
    return ElementState(
        element=element,
        voxel_nm=float(reconstructed.attributes["pixel_nm"]),
        density=reconstructed.field("density"),
        valence=reconstructed.field("valence"),
        particle=reconstructed.field("particle"),
        sigma=None if uncertainty is None else uncertainty.field("deviation_sigma"),
        classes=None if measured is None else measured.field(f"{element}_classes"),
        confident=None if measured is None else measured.field(f"{element}_confident"),
        summary=None if content is None else content["elements"][element],
        shells=_rows(files, "chemical_state_shells", element),
        profile=_rows(files, "chemical_state_profiles", element),
    )


def _lines(files: Files, element: str, reconstructed: Store) -> ElementLines:
    uncertainty = files.store(f"chemical_state_uncertainty_{element}")
    content = files.json("chemical_state_summary")
    return ElementLines(
        element=element,
        voxel_nm=float(reconstructed.attributes["pixel_nm"]),
        density=reconstructed.field("density"),
        particle=reconstructed.field("particle"),
        white_line_ev=reconstructed.field("white_line_ev"),
        edge_ev=reconstructed.field("edge_ev"),
        white_line_error_ev=None if uncertainty is None else uncertainty.field("white_line_error_ev"),
        edge_error_ev=None if uncertainty is None else uncertainty.field("edge_error_ev"),
        summary=None if content is None else content["white_lines"][element],
        shells=_rows(files, "chemical_state_white_lines", element),
    )


def _rows(files: Files, table: str, element: str) -> "pd.DataFrame | None":
    """Return the rows of one element; None before the table is written."""
    rows = files.table(table)
    return None if rows is None else rows[rows["element"] == element]
