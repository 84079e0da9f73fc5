"""Composition and valence from one solution: raw files to the report, and bad input that is one line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import yaml
from state_runs import run_branch

from oxytomo.check.sample import check_project
from oxytomo.cli import main
from oxytomo.config import load_config
from oxytomo.io.stores import read_store
from oxytomo.results import open_results
from oxytomo.view.sample_page import write_report

CALL = [
    "--kind",
    "joint",
    "--size",
    "36",
    "--tilts",
    "25",
    "--energies",
    "3",
    "--photons",
    "2e4",
    "--seed",
    "7",
]
CALL += ["--elements", "O", "Mn", "Ni"]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("joint") / "sim"
    assert main(["simulate", str(folder), *CALL]) == 0
    return folder


@pytest.fixture(scope="module")
def finished(simulated: Path) -> Path:
    content = yaml.safe_load((simulated / "config.yaml").read_text())
    for branch in content["samples"]["particle"].values():
        branch["uncertainty"] = {"replicates": 2}
    (simulated / "config.yaml").write_text(yaml.safe_dump(content))
    for branch in ("composition", "chemical_state"):
        run_branch(simulated / "config.yaml", branch)  # type: ignore[arg-type]
    return simulated


def changed(simulated: Path, folder: Path, **changes: Any) -> Path:
    """Return a configuration of the same raw files with other settings of the composition."""
    content = yaml.safe_load((simulated / "config.yaml").read_text())
    branch = content["samples"]["particle"]["composition"]
    for edge in branch["edges"].values():
        for side in ("pre", "post"):
            edge[side] = str(simulated / edge[side])
        if "more" in edge:
            edge["more"] = [str(simulated / path) for path in edge["more"]]
    own = branch["references"]["Mn"]
    branch["references"] = {"Mn": {valence: str(simulated / path) for valence, path in own.items()}}
    branch.update(changes)
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def problems(configuration: Path) -> list[str]:
    return [str(one) for one in check_project(load_config(configuration), read_flats=False).problems]


def test_both_volumes_of_jittering_series(finished: Path) -> None:
    """Frames with shifts, drift and magnifications: valence and TM/O against the truth, on one grid."""
    truth = np.load(finished / "truth.npz")
    arrays = open_results(finished / "results" / "particle").arrays
    valence, deviation = (
        np.asarray(arrays[name]) for name in ("chemical_state/Mn_valence", "composition/deviation")
    )
    assert valence.shape == deviation.shape
    particle = np.isfinite(valence) & np.isfinite(deviation)
    known = np.isfinite(truth["valence"])
    # The place of the particle in the volume is not measured: the tilt axis is.
    centre = [np.array(scipy.ndimage.center_of_mass(mask)) for mask in (particle, known)]
    there = scipy.ndimage.shift(known.astype(float), centre[0] - centre[1], order=1) > 0.99

    def moved(name: str, outside: float) -> np.ndarray:
        filled = np.where(known, truth[name], outside)
        return scipy.ndimage.shift(filled, centre[0] - centre[1], order=1)

    inside = particle & there
    error = (valence - moved("valence", 3.2))[inside]
    assert np.sqrt(np.mean(error**2)) < 0.05
    assert abs(error.mean()) < 0.01
    poor = inside & (moved("deviation", 0.0) > 0.1)
    rest = inside & (np.abs(moved("deviation", 0.0)) < 0.01)
    assert deviation[poor].mean() > 0.08
    assert abs(deviation[rest].mean()) < 0.02


def test_products(finished: Path) -> None:
    """Both branches have their products; the model says what was measured, and so does the report."""
    folder = finished / "results" / "particle"
    phases = json.loads((folder / "phases.json").read_text())
    assert phases["model"]["near_edge_measured"] == ["Mn"]
    assert not any(name.startswith("near_edge") and "Mn" in name for name in phases["model"]["terms"])
    states = json.loads((folder / "chemical_state.json").read_text())["elements"]["Mn"]
    assert states["model"]["references"] == ["Mn_2", "Mn_4"]
    assert set(states["invalid_rays"]["by_series"]) == {"Mn_pre", "Mn_post", "Mn_3", "Mn_4", "Mn_5"}
    results = open_results(folder)
    assert results.numbers["chemical_state/valence_Mn"].value == pytest.approx(states["mean_valence"])
    assert results.chemical_state.alignment is not None
    assert {"composition", "chemical_state"} <= set(results.images)
    page = finished / "report.html"
    write_report(folder, page)
    text = page.read_text(encoding="utf-8")
    assert "Near-edge absorption of Mn: measured" in text
    assert "Valence of Mn" in text
    # One alignment is shown once (caption and alternative text), and warned of once.
    assert text.count("Misfit of each frame") == 2
    assert text.count("There are only 25 tilts") == 1


def test_states_of_the_solution_are_taken(finished: Path) -> None:
    """The amounts of the chemical-state branch are those of the composition branch, to the bit."""
    stages = finished / "results" / "particle" / "stages"
    joint = read_store(stages / "composition" / "decompose.zarr")
    taken = read_store(stages / "chemical_state" / "decompose" / "Mn.zarr")
    np.testing.assert_array_equal(taken["areal"], joint["Mn_states"])
    np.testing.assert_array_equal(taken["covariance"], joint["Mn_states_covariance"])
    assert not (stages / "chemical_state" / "align.zarr").exists()
    total = joint["Mn_states"].sum(axis=0)
    known = np.isfinite(total)
    # Each stored amount is rounded to 11 significant bits, states as well as their sum.
    rounding = 2.0**-11 * (np.abs(total) + np.abs(joint["Mn_states"]).sum(axis=0))
    assert (np.abs(joint["areal"][1] - total)[known] <= rounding[known]).all()


def test_check_accepts_and_refuses(simulated: Path, tmp_path: Path) -> None:
    """Ready to run; a series that is given twice and references that are too short are named."""
    assert problems(changed(simulated, tmp_path)) == []
    content = yaml.safe_load(changed(simulated, tmp_path).read_text())
    edge = content["samples"]["particle"]["composition"]["edges"]["Mn"]
    edge["more"] = [edge["more"][0], edge["more"][0]]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    assert any("edges.Mn.more 2" in one for one in problems(tmp_path / "config.yaml"))
    short = tmp_path / "short.csv"
    lines = (simulated / "refs" / "Mn_2.csv").read_text().splitlines()
    short.write_text("\n".join(lines[:80]) + "\n")
    found = problems(
        changed(
            simulated,
            tmp_path,
            references={"Mn": {"2": str(short), "4": str(simulated / "refs" / "Mn_4.csv")}},
        )
    )
    assert len(found) == 1
    assert "reference" in found[0]
    assert "(2) of Mn" in found[0]


def scaled(simulated: Path, folder: Path, factor: float) -> dict[str, dict[str, str]]:
    """Return references of Mn with another edge jump."""
    found = {}
    for valence in ("2", "4"):
        table = np.loadtxt(simulated / "refs" / f"Mn_{valence}.csv", delimiter=",", skiprows=1)
        path = folder / f"Mn_{valence}.csv"
        np.savetxt(path, table * [1, factor], delimiter=",", header="energy,mu", comments="")
        found[valence] = str(path)
    return {"Mn": found}


def test_references_that_are_called_normalised_and_are_not(simulated: Path, tmp_path: Path) -> None:
    """Amounts are absolute: twice the references would be half of the metal."""
    for factor, wrong in ((1.0, False), (2.0, True)):
        given = scaled(simulated, tmp_path, factor)
        said = problems(changed(simulated, tmp_path, references=given, references_normalized=True))
        assert bool(said) is wrong
        assert all("expected a normalised spectrum, with a mean of 1" in one for one in said)
    assert problems(changed(simulated, tmp_path, references=scaled(simulated, tmp_path, 2.0))) == []


def test_a_further_energy_on_another_edge(simulated: Path, tmp_path: Path) -> None:
    """Oxygen is tabulated there, without its white lines."""
    path = changed(simulated, tmp_path)
    content = yaml.safe_load(path.read_text())
    more = content["samples"]["particle"]["composition"]["edges"]["Mn"]["more"]
    more[0] = {"images": more[0], "energy_ev": 531.0}
    path.write_text(yaml.safe_dump(content))
    (said,) = problems(path)
    assert "Mn_3: expected an energy of the Mn edge, got 531 eV, on the edge of O" in said


def test_check_reads_the_spectra_of_near_edge_factors(simulated: Path, tmp_path: Path) -> None:
    """Before, a missing file was met after normalisation and alignment."""
    for spectrum, words in (
        (tmp_path / "none.csv", "near_edge.Ni.spectrum: expected an existing file"),
        (simulated / "refs" / "Mn_4.csv", "energies of Ni: expected energies on both sides"),
    ):
        terms = {"instrument": {"near_edge": {"Ni": {"spectrum": str(spectrum)}}}}
        (said,) = problems(changed(simulated, tmp_path, decompose=terms))
        assert words in said
