"""Read the results of the chemical-state branch."""

from oxytomo.results.files import Files
from oxytomo.results.read import read_alignment
from oxytomo.results.records import ChemicalStates, ElementState

PREFIX = "chemical_state_reconstruct_"


def read_chemical_state(files: Files) -> ChemicalStates | None:
    """Return the results of the chemical-state branch, None before a valence is reconstructed."""
    elements = [key.removeprefix(PREFIX) for key in files.paths if key.startswith(PREFIX)]
    if not elements:
        return None
    found = [_element(files, element) for element in elements]
    # Without series of its own the branch has the alignment of the composition branch.
    alignment = read_alignment(files, "chemical_state") or read_alignment(files, "composition")
    return ChemicalStates(found, alignment)


def _element(files: Files, element: str) -> ElementState:
    reconstructed = files.store(f"{PREFIX}{element}")
    assert reconstructed is not None  # the key is in the files
    uncertainty = files.store(f"chemical_state_uncertainty_{element}")
    measured = files.store("chemical_state_measure")
    content, shells = files.json("chemical_state_summary"), files.table("chemical_state_shells")
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
        shells=None if shells is None else shells[shells["element"] == element],
    )
