"""The scattering branch from simulated files to tables, image and report."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
import zarr

from oxytomo.check.sample import check_project
from oxytomo.cli import main
from oxytomo.config import ProjectConfig, load_config
from oxytomo.config.plan import branch_config, branch_stages, stage_jobs, stage_settings
from oxytomo.config.stage_files import stage_inputs, stage_outputs
from oxytomo.errors import PipelineError
from oxytomo.results.opening import open_results
from oxytomo.stages.context import StageContext
from oxytomo.stages.registry import STAGES
from oxytomo.view.sample_page import write_report


def run_branch(project: ProjectConfig, results: Path, sample: str = "electrode") -> Path:
    """Run the stages of the branch in this process."""
    config = branch_config(project, sample, "scattering")
    for name in branch_stages(config, "scattering"):
        stage = STAGES[name]
        for job in stage_jobs(config, name) if stage.jobs else ("",):
            settings = stage_settings(project, sample, "scattering", name, job or None)
            inputs = stage_inputs(project, sample, "scattering", name, job)
            outputs = {
                key: results / sample / path.format(job=job)
                for key, path in stage_outputs(name, "scattering").items()
            }
            for path in outputs.values():
                path.parent.mkdir(parents=True, exist_ok=True)
            stage.load().run(
                {key: results / path for key, path in inputs.items()},
                outputs,
                stage.settings_model().model_validate(settings),
                StageContext(stage=name, version=stage.version, threads=1, settings_json=settings),
            )
    return results / sample


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """Return the folders of simulated maps and of their results, and the truth."""
    folder = tmp_path_factory.mktemp("scattering")
    assert main(["simulate", str(folder), "--kind", "scattering", "--photons", "30000"]) == 0
    text = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    scattering = text["samples"]["electrode"]["scattering"]
    scattering["self_absorption"] = {"formula": "Li1.2Mn0.56Ni0.16Co0.08O2", "density_g_cm3": 4.2}
    scattering["yields"] = {"ipfy_ev": [521.0, 525.0], "cuts_ev": [531.0, 545.0]}
    (folder / "config.yaml").write_text(yaml.safe_dump(text, sort_keys=False), encoding="utf-8")
    with np.load(folder / "truth.npz") as truth:
        facts = {name: truth[name] for name in truth}
    return folder, run_branch(load_config(folder / "config.yaml"), folder / "results"), facts


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_numbers_of_the_maps(made: tuple[Path, Path, dict[str, Any]]) -> None:
    _, results, truth = made
    found = json.loads((results / "scattering.json").read_text(encoding="utf-8"))
    for name in ("O_before", "O_after"):
        facts = found["maps"][name]
        assert facts["emission_offset_ev"] == pytest.approx(float(truth[f"{name}_offset_ev"]), abs=0.02)
        assert facts["fwhm_ev"] == pytest.approx(1.4, abs=0.05)
        assert facts["photons"] == pytest.approx(truth[f"{name}_expected"].sum(), rel=0.01)
    (pair,) = found["pairs"]
    assert pair["feature"]["detected"]
    assert pair["feature"]["change"] > 0.3
    assert pair["factor"] == pytest.approx(1 / 0.9, rel=0.05)


def test_valences_of_bulk_and_surface(made: tuple[Path, Path, dict[str, Any]]) -> None:
    _, results, truth = made
    found = {(row["map"], row["yield"]): row for row in rows(results / "scattering_valences.csv")}
    for name in ("O_before", "O_after"):
        for label, depth in (("PFY", "bulk"), ("TEY", "surface")):
            row = found[name, label]
            assert row["depth"] == depth
            # 0.02: the elastic line at the edge, beside a noise of 0.002
            assert float(row["mean_valence"]) == pytest.approx(
                float(truth[f"{name}_valence_{depth}"]), abs=0.02
            )
    assert ("O_after", "sPFY") not in found


def test_tables_hold_every_yield(made: tuple[Path, Path, dict[str, Any]]) -> None:
    _, results, truth = made
    table = rows(results / "scattering_yields.csv")
    assert {row["yield"] for row in table} == {"TFY", "PFY", "PFY corrected", "sPFY", "iPFY", "TEY"}
    total = [float(row["value"]) for row in table if row["map"] == "O_after" and row["yield"] == "TFY"]
    assert len(total) == truth["O_after_excitation_ev"].size
    cuts = rows(results / "scattering_cuts.csv")
    assert {row["excitation_ev"] for row in cuts} == {"531", "545"}


def test_image_and_results(made: tuple[Path, Path, dict[str, Any]]) -> None:
    _, results, _ = made
    image = zarr.open_group(results / "scattering.ome.zarr", mode="r")
    names = [channel["label"] for channel in image.attrs["ome"]["omero"]["channels"]]
    assert names[:2] == ["O_before", "O_before_standard_error"]
    facts = image.attrs["oxytomo"]["axes_of_energy"]
    opened = open_results(results)
    whole = opened.arrays["scattering/O_before"]
    at = (
        round((531.0 - facts["y"]["first"]) / facts["step"]),
        round((525.0 - facts["x"]["first"]) / facts["step"]),
    )
    near = whole.sel(
        excitation=facts["y"]["first"] + at[0] * facts["step"],
        emission=facts["x"]["first"] + at[1] * facts["step"],
        method="nearest",
    )
    # The image is per eV; emission bins are 0.25 eV
    assert float(image["0"][0, *at]) == pytest.approx(float(near) / 0.25, rel=1e-4)
    change = opened.numbers["feature_change_O_before_O_after"]
    assert change.low < change.value < change.high
    assert opened.branches == ("scattering",)


@pytest.mark.slow
def test_report(made: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    _, results, _ = made
    write_report(results, tmp_path / "report.html", figures=tmp_path / "figures")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "From O_before to O_after the feature" in text
    assert "iPFY" in text
    names = {path.stem for path in (tmp_path / "figures" / "scattering").glob("*.png")}
    wanted = {"emission_maps", "o_yields", "o_emission_cuts", "difference_o_after_o_before"}
    assert names == wanted


def test_repeated_scans_reach_the_test(made: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    """The photons of both maps, split at random into three scans each, give the same change."""
    folder, results, _ = made
    text = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    scattering, rng = text["samples"]["electrode"]["scattering"], np.random.default_rng(0)
    for name in ("O_before", "O_after"):
        with h5py.File(folder / "raw" / f"{name}.h5") as whole:
            parts = rng.multinomial(whole["entry/map/counts"][...].astype(int), [1 / 3] * 3)
        files = [f"raw/{name}_{number}.h5" for number in range(3)]
        for number, file in enumerate(files):
            shutil.copyfile(folder / "raw" / f"{name}.h5", folder / file)
            with h5py.File(folder / file, "r+") as scan:
                scan["entry/map/counts"][...] = parts[..., number]
                scan["entry/map/flux"][...] /= 3
        scattering["maps"][name]["images"] = files
    path = folder / "scans.yaml"
    path.write_text(yaml.safe_dump(text), encoding="utf-8")
    found = json.loads(
        (run_branch(load_config(path), tmp_path) / "scattering.json").read_text(encoding="utf-8")
    )
    (alone,) = json.loads((results / "scattering.json").read_text(encoding="utf-8"))["pairs"]
    feature = found["pairs"][0]["feature"]
    assert (feature["scans"], feature["test"]) == ([3, 3], "scans, Welch")
    assert feature["change"] == pytest.approx(alone["feature"]["change"], rel=1e-9)
    # Split photons scatter as counting says: scans make the error no smaller, and chance twice as large at most
    assert 1 <= feature["scan_error"] / feature["counting_error"] < 3
    assert feature["detected"]
    assert found["maps"]["O_after"]["scans"] == 3


def test_check_passes_what_runs_and_refuses_what_does_not(
    made: tuple[Path, Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, _, _ = made
    assert check_project(load_config(folder / "config.yaml"), read_flats=True).problems == ()
    text = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    scattering = text["samples"]["electrode"]["scattering"]
    scattering["maps"]["O_after"]["images"] = "raw/O_before.h5"
    scattering["feature"] = {"excitation_ev": [430.0, 431.0]}
    path = folder / "wrong.yaml"
    path.write_text(yaml.safe_dump(text), encoding="utf-8")
    wrong = load_config(path)
    said = " ".join(str(problem) for problem in check_project(wrong, read_flats=True).problems)
    assert "feature.excitation_ev" in said
    with pytest.raises(PipelineError, match=r"feature\.excitation_ev"):
        run_branch(wrong, tmp_path)


def test_references_of_the_oxidation_branch_are_used(made: tuple[Path, Path, dict[str, Any]]) -> None:
    folder, _, _ = made
    text = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    sample = text["samples"]["electrode"]
    references = sample["scattering"].pop("references")
    more = {"Mn": {"3": "refs/a.csv", "4": "refs/b.csv"}}
    sample["oxidation"] = {"stacks": {"O": "raw/stack.h5", "Mn": "raw/m.h5"}, "references": references | more}
    path = folder / "both.yaml"
    path.write_text(yaml.safe_dump(text), encoding="utf-8")
    found = load_config(path).samples["electrode"].scattering
    assert found is not None
    assert set(found.references) == {"O"}
    assert [valence for valence, _ in found.spectra_of("O")] == [-2.0, -1.0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"maps": {"before": "a.h5"}}, "such as O_before"),
        ({"compare": [["O_before", "O_gone"]]}, "names of maps"),
        ({"yields": {"pfy_ev": [530.0, 520.0]}}, "low < high"),
        ({"self_absorption": {"formula": "MnNi", "density_g_cm3": 4.0}}, "an oxide"),
        ({"references": {"O": {"-2": "a.csv"}}}, "two valences"),
    ],
)
def test_wrong_settings(made: tuple[Path, Path, dict[str, Any]], change: dict[str, Any], said: str) -> None:
    folder, _, _ = made
    text = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    text["samples"]["electrode"]["scattering"] |= change
    path = folder / "changed.yaml"
    path.write_text(yaml.safe_dump(text), encoding="utf-8")
    with pytest.raises(PipelineError, match=said):
        load_config(path)
