"""The notebooks run from the first cell to the last, and show what they say."""

from pathlib import Path

import nbformat
import pytest
from notebook import NOTEBOOKS, run_notebook

NAMES = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_short_and_holds_no_output(name: str) -> None:
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    lines = sum(cell.source.count("\n") + 1 for cell in notebook.cells)
    assert lines < 100
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
            assert "import re" not in cell.source


@pytest.mark.slow
def test_a_tilt_series_becomes_three_volumes() -> None:
    run_notebook(
        "tilt_series_to_volume",
        check="inside = slices['tv'] > 0.5 * np.percentile(slices['tv'], 99)\n"
        "means = {name: float(one[inside].mean()) for name, one in slices.items()}\n"
        # The same particle in the same unit; the missing wedge takes a different share from each.
        "assert max(means.values()) < 1.5 * min(means.values()), means",
    )


@pytest.mark.slow
def test_a_valence_map_is_near_the_truth() -> None:
    run_notebook(
        "valence_map",
        # Noise of a pixel is some 0.05; the median over hundreds of pixels is ten times better.
        check="assert abs(np.nanmedian(found.valence - stack.valence)) < 0.03",
    )


@pytest.mark.slow
def test_the_voids_that_were_made_are_found() -> None:
    run_notebook(
        "voids",
        check="assert len(measures.pores) == 4, len(measures.pores)\nassert len(measures.cracks) >= 1",
    )


@pytest.mark.slow
def test_the_composition_notebooks_make_their_own_result() -> None:
    notebook = run_notebook("is_it_real")
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "oxygen_poor" in printed
    assert "null run" in printed


def test_notebooks_are_listed_in_the_docs(repository: Path) -> None:
    text = (repository / "docs" / "how-to" / "library.md").read_text(encoding="utf-8")
    assert all(f"{name}.ipynb" in text for name in NAMES)
