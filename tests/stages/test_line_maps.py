"""The oxidation branch without references: maps of the white line from raw frames to the report."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_oxidation_stages import ACQUISITION, project, run_stages

from oxytomo.cli import main
from oxytomo.config import load_config
from oxytomo.errors import InputError, PipelineError
from oxytomo.io.stores import read_store
from oxytomo.measure.line_particles import LineMaps, line_shells, line_summary
from oxytomo.oxidation.white_line import FOUND, OUT_OF_RANGE, TOO_THICK
from oxytomo.oxidation.white_line_maps import solid_pixels
from oxytomo.results import open_results
from oxytomo.simulate.energy_stack import simulate_stack
from oxytomo.view.sample_page import write_report

DENSE = replace(ACQUISITION, n_energies=90, law="uniform", core_valence=2.0, surface_valence=2.0)
"""A uniform particle with a single white line, steps of 0.25 eV around it."""


def without_references(oxidation: dict[str, Any]) -> None:
    del oxidation["references"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_stages(project(tmp_path_factory.mktemp("lines"), DENSE, without_references))


def test_energy_of_a_uniform_particle(folder: Path) -> None:
    """Every pixel has the energy of the maximum of the spectrum, within its error."""
    spectrum = simulate_stack(DENSE, rng=np.random.default_rng(3)).references[2.0]
    fine = np.arange(638.0, 648.0, 0.01)
    true = fine[np.argmax(np.interp(fine, spectrum.energy_ev, spectrum.absorption))]
    facts = json.loads((folder / "oxidation.json").read_text())
    assert facts["elements"] == {}
    one = facts["white_lines"]["Mn"]
    assert one["white_line"]["mean_ev"] == pytest.approx(true, abs=0.05)
    fit = read_store(folder / "stages/oxidation/fit/Mn.zarr")
    position, error = fit["white_line_position_ev"], fit["white_line_error_ev"]
    inside = (read_store(folder / "stages/oxidation/measure.zarr")["Mn_agglomerates"] > 0) & np.isfinite(
        position
    )
    assert inside.sum() > 1000
    pull = (position - one["white_line"]["mean_ev"])[inside] / error[inside]
    # σ of 1000 pixels is known to 3 %; the noise of the flat frames is shared.
    assert 0.8 < np.std(pull) < 1.3
    assert one["white_line"]["standard_error_ev"] < one["white_line"]["median_error_ev"] / 10


def test_products_agree(folder: Path, tmp_path: Path) -> None:
    """Table, numbers, arrays, image and report say what the JSON file says."""
    one = json.loads((folder / "oxidation.json").read_text())["white_lines"]["Mn"]
    results = open_results(folder)
    number = results.numbers["oxidation/white_line_Mn"]
    assert number.value == pytest.approx(one["white_line"]["mean_ev"])
    assert number.unit == "eV"
    shells = results.tables["oxidation/oxidation_white_lines"]
    mean = np.average(shells["white_line_ev"], weights=shells["n_pixels"])
    assert mean == pytest.approx(one["white_line"]["mean_ev"], abs=0.005)
    assert len(results.tables["oxidation/oxidation_shells"]) == 0
    line = np.asarray(results.arrays["oxidation/Mn_white_line"])
    assert np.nanmedian(line) == pytest.approx(one["white_line"]["mean_ev"], abs=0.05)
    image = results.images["oxidation"]
    names = [channel.name for channel in image.channels]
    assert names[:4] == ["Mn_white_line_ev", "Mn_white_line_error_ev", "Mn_edge_ev", "Mn_edge_error_ev"]
    assert image.record["units"]["Mn_edge_ev"] == "electronvolt"
    write_report(folder, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"{one['white_line']['mean_ev']:.3f}" in text
    assert "White line of Mn" in text


def test_groups_of_maps(folder: Path, tmp_path: Path) -> None:
    """A comparison shows the energies of two groups."""
    page, other = tmp_path / "c.html", tmp_path / "other"
    shutil.copytree(folder, other)
    call = ["report", "--group", "a", str(folder), "--group", "b", str(other), "--output", str(page)]
    assert main(call) == 0
    assert "Mn, mean white line" in page.read_text(encoding="utf-8")


def test_scale_without_references_is_refused(tmp_path: Path) -> None:
    """An offset cannot be fitted without references."""

    def fitted(oxidation: dict[str, Any]) -> None:
        without_references(oxidation)
        oxidation["fit"] = {"energy_offset_ev": "fit"}

    with pytest.raises(InputError, match="expected an offset in eV, got energy_offset_ev: fit"):
        run_stages(project(tmp_path, replace(DENSE, n_energies=30), fitted))
    with pytest.raises(PipelineError, match="2 to 5 reference spectra"):
        load_config(project(tmp_path, DENSE, lambda o: o.update(references={"Mn": {"3": "a.csv"}})))


def test_means_by_hand() -> None:
    """Two shells of two pixels; a pixel out of range and one that is too thick do not count."""
    status = np.array([[FOUND, FOUND, FOUND], [FOUND, OUT_OF_RANGE, TOO_THICK]], np.uint8)
    good = status == FOUND
    maps = {
        "position_ev": np.where(good, [[640.0, 640.2, 641.0], [641.2, 0, 0]], np.nan).astype(np.float32),
        "error_ev": np.where(good, 0.1, np.nan).astype(np.float32),
        "edge_ev": np.full((2, 3), np.nan, np.float32),
        "edge_error_ev": np.full((2, 3), np.nan, np.float32),
        "height": np.array([[1.0, 1.0, 1.0], [0.05, 1.0, 3.0]], np.float32),
        "status": status,
    }
    solid = solid_pixels(maps["height"], status, 0.1)
    of = LineMaps(maps, solid, 10.0, 1.0)
    # The last found pixel is thinner than a tenth of the thickest.
    assert solid.tolist() == [[True, True, True], [False, False, True]]
    rows = line_shells(of, np.array([[1, 1, 2], [2, 2, 2]], np.uint8), element="Mn", n_shells=2)
    assert [row["n_pixels"] for row in rows] == [2, 2]
    assert [row["white_line_ev"] for row in rows] == pytest.approx([640.1, 641.1], abs=1e-3)
    assert rows[0]["white_line_error_ev"] == pytest.approx(0.1 / np.sqrt(2), rel=1e-4)
    found = line_summary(of, np.ones((2, 3), bool))
    assert found["white_line"]["pixels"] == 4
    assert found["white_line"]["mean_ev"] == pytest.approx(640.6, abs=1e-3)
    assert found["edge"] is None
