"""Runs a notebook of the checkout on the results of a sample."""

import runpy
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def run_notebook(name: str, result: Path) -> dict[str, Any]:
    """Return the variables of a notebook that has run; its figures can be drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OXYTOMO_RESULT", str(result))
        seen = runpy.run_path(str(NOTEBOOKS / f"{name}.py"))
    seen["figure"].draw_without_rendering()
    return seen
