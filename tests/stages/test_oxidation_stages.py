"""The stages of the oxidation branch: products, bad input that is one line or a marked region, bounded memory."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
import zarr
from notebook import run_notebook

from oxytomo.cli import main
from oxytomo.config import load_config
from oxytomo.config.plan import STAGES, stage_settings
from oxytomo.errors import InputError, PipelineError
from oxytomo.io.readers.data_exchange import write_energy_stack
from oxytomo.io.stores import read_store
from oxytomo.oxidation import valence_maps
from oxytomo.oxidation.status import THICK
from oxytomo.simulate.energy_stack import StackAcquisition, simulate_stack
from oxytomo.stages.context import StageContext
from oxytomo.stages.oxidation import (
    export_oxidation,
    fit_valence,
    measure_oxidation,
    normalize_stack,
    register_stack,
)
from oxytomo.view.sample_page import write_report

pytestmark = pytest.mark.slow

ACQUISITION = StackAcquisition(
    element="Mn",
    n_energies=50,
    n_rows=64,
    n_cols=64,
    pixel_nm=10.0,
    n_particles=1,
    law="core_shell",
    law_parameter=0.2,
    core_valence=3.6,
    surface_valence=2.8,
    largest_od=1.2,
    photons_per_pixel=2e4,
    drift_px=0.0,
    i0_drift=0.01,
    dark_level=50.0,
    n_flat=1,
)
MODULES = {
    module.__name__.rpartition(".")[2]: module
    for module in (normalize_stack, register_stack, fit_valence, measure_oxidation, export_oxidation)
}
Change = Callable[[dict[str, Any]], None]


def project(folder: Path, acquisition: StackAcquisition = ACQUISITION, change: Change | None = None) -> Path:
    """Write a simulated stack, its references and a configuration, perhaps changed."""
    stack = simulate_stack(acquisition, rng=np.random.default_rng(3))
    write_energy_stack(
        folder / "Mn.h5",
        stack.frames,
        stack.energy_ev,
        pixel_nm=10.0,
        quantity="counts",
        flat=stack.flat,
        dark=stack.dark,
    )
    references = {}
    for valence, spectrum in stack.references.items():
        path = folder / f"ref_{valence:g}.csv"
        rows = zip(spectrum.energy_ev, spectrum.absorption, strict=True)
        path.write_text("\n".join(f"{e:.3f},{mu:.8f}" for e, mu in rows))
        references[f"{valence:g}"] = path.name
    oxidation: dict[str, Any] = {"stacks": {"Mn": "Mn.h5"}, "references": {"Mn": references}}
    if change is not None:
        change(oxidation)
    config = folder / "x.yaml"
    content = {"results": str(folder / "results"), "samples": {"a": {"oxidation": oxidation}}}
    config.write_text(yaml.safe_dump(content, sort_keys=False))
    return config


def run_stages(config: Path, last: str = "export_oxidation") -> Path:
    """Run the stages of the branch up to one of them as the rules do; returns the folder of the sample."""
    loaded = load_config(config)
    folder = config.parent / "results" / "a"
    stages = folder / "stages" / "oxidation"
    stores = {name: stages / name / "Mn.zarr" for name in ("normalize", "register", "fit")}
    places: dict[str, tuple[dict[str, Path], dict[str, Path]]] = {
        "normalize_stack": ({}, {"store": stores["normalize"]}),
        "register_stack": ({"normalize": stores["normalize"]}, {"store": stores["register"]}),
        "fit_valence": ({"register": stores["register"]}, {"store": stores["fit"]}),
        "measure_oxidation": (
            {"fit_Mn": stores["fit"], "register_Mn": stores["register"]},
            {
                "store": stages / "measure.zarr",
                "shells": folder / "oxidation_shells.csv",
                "particles": folder / "oxidation_particles.csv",
                "profiles": folder / "oxidation_profiles.csv",
                "white_lines": folder / "oxidation_white_lines.csv",
                "summary": folder / "oxidation.json",
            },
        ),
        "export_oxidation": (
            {"fit_Mn": stores["fit"], "measure": stages / "measure.zarr"},
            {"store": folder / "oxidation.ome.zarr"},
        ),
    }
    for stage in STAGES["oxidation"]:
        spec = stage_settings(loaded, "a", "oxidation", stage, "Mn")
        settings = MODULES[stage].Settings.model_validate(spec)
        MODULES[stage].run(*places[stage], settings, StageContext(stage, 1, 1, spec))
        if stage == last:
            break
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_stages(project(tmp_path_factory.mktemp("oxidation")))


def test_shells_table(results: Path) -> None:
    with (results / "oxidation_shells.csv").open() as file:
        rows = list(csv.DictReader(file))
    fixed = ["element", "shell_inner", "shell_outer", "mean_valence", "standard_error", "n_pixels"]
    assert list(rows[0])[:6] == fixed
    assert [(float(r["shell_outer"]), float(r["shell_inner"])) for r in rows] == [
        (20 * i, 20 * (i + 1)) for i in range(5)
    ]
    means = [float(row["mean_valence"]) for row in rows]
    assert means == sorted(means)
    # At a distance r the beam sees √(0.8² − r²) / √(1 − r²) of the core's 3.6; the inner fifth of the area is r² < 0.2.
    r_squared = np.linspace(0, 0.2, 1001)
    core = float(np.mean(np.sqrt((0.64 - r_squared) / (1 - r_squared))))
    assert means[-1] == pytest.approx(core * 3.6 + (1 - core) * 2.8, abs=0.01)
    assert 2.8 < means[0] < 2.9


def test_the_front_is_recognised(results: Path) -> None:
    summary = json.loads((results / "oxidation.json").read_text())["elements"]["Mn"]
    best = min(summary["models"], key=lambda model: model["bic"])
    assert best["name"] == "core_shell"
    radius_nm = 0.36 * 64 * 10
    assert best["parameters"]["shell_nm"] == pytest.approx(0.2 * radius_nm, rel=0.1)
    assert best["parameters"]["surface_valence"] == pytest.approx(2.8, abs=0.05)
    assert summary["structured_shells"] == []
    assert summary["valence_per_0_1_ev"] == pytest.approx(0.06, abs=0.03)
    assert len(summary["leave_one_out"]) == 3


def test_image_has_valence_then_residual(results: Path) -> None:
    group = zarr.open_group(str(results / "oxidation.ome.zarr"), mode="r")
    image = dict(group.attrs)["ome"]
    names = [channel["label"] for channel in image["omero"]["channels"]]
    assert names[:2] == ["Mn", "Mn_residual"]
    assert [axis["name"] for axis in image["multiscales"][0]["axes"]] == ["c", "y", "x"]
    data = np.asarray(group["0"])
    fitted = np.isfinite(data[0])
    particle = np.asarray(group["labels/particle/0"])
    assert 2.7 < np.nanmin(data[0]) < np.nanmax(data[0]) < 3.8
    assert particle[fitted].all()
    scale = image["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"]
    assert scale[1:] == [10.0, 10.0]


def test_particles_and_profiles(results: Path) -> None:
    with (results / "oxidation_particles.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["kind"] for row in rows] == ["agglomerate", "particle"]
    assert float(rows[0]["equivalent_diameter_nm"]) == pytest.approx(2 * 0.36 * 640, rel=0.05)
    with (results / "oxidation_profiles.csv").open() as file:
        axes = {row["axis"] for row in csv.DictReader(file)}
    assert axes == {"depth_nm", "edge_jump", "area_outside"}


def test_the_notebook_shows_the_maps(results: Path) -> None:
    run_notebook(
        "first_look",
        result=results,
        check="assert 2.8 < float(results.arrays['oxidation/Mn_valence'].mean()) < 3.6\n"
        "assert shown == ['oxidation/Mn_valence']",
    )


def test_report_has_the_branch(results: Path, tmp_path: Path) -> None:
    write_report(results, tmp_path / "report.html", figures=tmp_path / "figures")
    page = (tmp_path / "report.html").read_text()
    for text in ("Oxidation states", "Shells", "best explained by core–shell", "Leaving one reference out"):
        assert text in page
    names = {path.name for path in (tmp_path / "figures" / "oxidation").glob("*.png")}
    assert {"valence_maps.png", "valence_from_rim_to_centre.png", "mn_spectra_of_the_shells.png"} <= names


def test_blocks_give_what_the_whole_gives(
    results: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(valence_maps, "BLOCK_BYTES", 7 * 8 * 64 * 40)
    fit = read_store(results / "stages/oxidation/fit/Mn.zarr")
    spec = fit.provenance.settings
    settings = fit_valence.Settings.model_validate(spec)
    inputs = {"register": results / "stages/oxidation/register/Mn.zarr"}
    fit_valence.run(inputs, {"store": tmp_path / "b.zarr"}, settings, StageContext("fit_valence", 1, 1, spec))
    assert read_store(tmp_path / "b.zarr").digest == fit.digest


def test_large_stacks_are_filled_on_disk(
    results: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With arrays in files instead of memory the stores are the same, and the files are gone afterwards."""
    monkeypatch.setattr("oxytomo.io.scratch.IN_MEMORY_BYTES", 0)
    stages = run_stages(project(tmp_path), last="register_stack") / "stages/oxidation"
    for stage in ("normalize", "register"):
        one, other = (
            read_store(folder / f"{stage}/Mn.zarr") for folder in (stages, results / "stages/oxidation")
        )
        assert one.digest == other.digest
        assert [path.name for path in (stages / stage).iterdir()] == ["Mn.zarr"]


def test_particles_smaller_than_asked_for_are_one_line(tmp_path: Path) -> None:
    config = project(tmp_path, change=lambda o: o.update(measure={"min_particle_pixels": 4000}))
    with pytest.raises(
        InputError, match=r"with a valence, at least 4000, got 1\d{3} pixels in smaller parts"
    ):
        run_stages(config)
    assert not (tmp_path / "results/a/oxidation_shells.csv").exists()


def test_a_saturated_white_line_is_marked(tmp_path: Path) -> None:
    thick = replace(ACQUISITION, largest_od=5.0)
    folder = run_stages(project(tmp_path, thick), last="fit_valence")
    fit = read_store(folder / "stages/oxidation/fit/Mn.zarr")
    status, valence = fit["status"], fit["valence"]
    middle = (slice(24, 40), slice(24, 40))
    assert (status[middle] == THICK).all()
    assert np.isnan(valence[middle]).all()
    assert (status == 0).any()


def test_a_foreign_rim_is_not_explained(tmp_path: Path) -> None:
    """A species at the rim that no reference has: the shell is named, in the summary and in the report."""
    stack = simulate_stack(ACQUISITION, rng=np.random.default_rng(3))
    config = project(tmp_path)
    rows, columns = np.mgrid[:64, :64]
    away = np.hypot(rows - 31.5, columns - 31.5) / (0.36 * 64)
    rim = ((away > 0.85) & (away < 1.0)) * 0.15
    peak = np.exp(-(((stack.energy_ev - 645.0) / 0.7) ** 2))
    frames = (stack.frames - 50.0) * np.exp(-peak[:, None, None] * rim) + 50.0
    write_energy_stack(
        tmp_path / "Mn.h5",
        frames.astype(np.uint16),
        stack.energy_ev,
        pixel_nm=10.0,
        quantity="counts",
        flat=stack.flat,
        dark=stack.dark,
    )
    folder = run_stages(config)
    shells = json.loads((folder / "oxidation.json").read_text())["elements"]["Mn"]["structured_shells"]
    assert 1 in shells
    assert 5 not in shells
    write_report(folder, tmp_path / "report.html")
    assert "the references do not explain the spectra of the shell" in (tmp_path / "report.html").read_text()


def test_a_stack_that_drifted_out_of_the_field_is_refused(tmp_path: Path) -> None:
    config = project(tmp_path, change=lambda o: o.update(align={"min_field": 0.9, "max_shift_px": 20}))
    stack = simulate_stack(ACQUISITION, rng=np.random.default_rng(3))
    frames = np.stack([np.roll(frame, i // 4, axis=1) for i, frame in enumerate(stack.frames)])
    write_energy_stack(
        tmp_path / "Mn.h5",
        frames,
        stack.energy_ev,
        pixel_nm=10.0,
        quantity="counts",
        flat=None,
        dark=stack.dark,
    )
    with pytest.raises(
        InputError, match=r"share at least 90 % of the field, got .* the sample drifted by \d+ px"
    ):
        run_stages(config, last="register_stack")


def drifting(shift_of: Callable[[int], int], folder: Path) -> Path:
    """A stack in a wide field whose frames are moved by whole pixels; the margin is empty."""
    config = project(folder)
    steady = replace(ACQUISITION, n_flat=0, i0_drift=0.0, dark_level=0.0)
    stack = simulate_stack(steady, rng=np.random.default_rng(3))
    wide = np.random.default_rng(4).poisson(2e4, (50, 64, 400)).astype(np.uint16)
    for i, frame in enumerate(stack.frames):
        wide[i, :, 48 + shift_of(i) :][:, :64] = frame
    write_energy_stack(
        folder / "Mn.h5", wide[:, :, :160], stack.energy_ev, pixel_nm=10.0, quantity="counts", dark=None
    )
    return config


@pytest.mark.parametrize("total", [100, 200])
def test_a_sample_that_left_the_search_or_the_field_is_refused(tmp_path: Path, total: int) -> None:
    config = drifting(lambda i: max(i - 25, 0) * total // 24, tmp_path)
    with pytest.raises(
        InputError, match=r"frames that can be registered within 30 px, got \d+ of 50 that cannot"
    ):
        run_stages(config, last="register_stack")


def test_a_stray_frame_is_left_out_and_said(tmp_path: Path) -> None:
    folder = run_stages(drifting(lambda i: 60 if i == 14 else 0, tmp_path))
    registered = read_store(folder / "stages/oxidation/register/Mn.zarr")
    np.testing.assert_array_equal(np.flatnonzero(registered["lost"]), [14])
    fit = read_store(folder / "stages/oxidation/fit/Mn.zarr")
    assert (fit["status"] == THICK).sum() == 0
    assert float(fit.attributes["error_scale"]) == pytest.approx(1.0, abs=0.05)
    write_report(folder, tmp_path / "report.html")
    assert "could not be registered and were left out" in (tmp_path / "report.html").read_text()


def rewrite_reference(folder: Path, name: str, low: float, high: float, factor: float = 1.0) -> None:
    rows = np.loadtxt(folder / name, delimiter=",")
    kept = rows[(rows[:, 0] >= low) & (rows[:, 0] <= high)] * [factor, 1.0]
    np.savetxt(folder / name, kept, delimiter=",", fmt="%.8f")


def short_reference(folder: Path) -> None:
    rewrite_reference(folder, "ref_3.csv", 630, 646)


def reference_in_another_place(folder: Path) -> None:
    rewrite_reference(folder, "ref_3.csv", 0, 1e4, 1.2)


def with_references(folder: Path, **files: str) -> None:
    content = yaml.safe_load((folder / "x.yaml").read_text())
    content["samples"]["a"]["oxidation"]["references"]["Mn"] = files
    (folder / "x.yaml").write_text(yaml.safe_dump(content))


def swapped(folder: Path) -> None:
    with_references(folder, **{"4": "ref_2.csv", "2": "ref_4.csv"})


def two_of_three_swapped(folder: Path) -> None:
    with_references(folder, **{"2": "ref_3.csv", "3": "ref_2.csv", "4": "ref_4.csv"})


def air_outside(folder: Path) -> None:
    content = yaml.safe_load((folder / "x.yaml").read_text())
    content["samples"]["a"]["oxidation"]["normalize"] = {"air": [0, 70, 0, 9]}
    (folder / "x.yaml").write_text(yaml.safe_dump(content))


def collinear(folder: Path) -> None:
    two, four = (np.loadtxt(folder / f"ref_{v}.csv", delimiter=",") for v in (2, 4))
    mixed = np.stack([two[:, 0], (two[:, 1] + four[:, 1]) / 2], axis=1)
    np.savetxt(folder / "ref_3.csv", mixed, delimiter=",", fmt="%.8f")


def wrong_unit(folder: Path) -> None:
    stack = simulate_stack(ACQUISITION, rng=np.random.default_rng(3))
    write_energy_stack(
        folder / "Mn.h5",
        stack.frames,
        stack.energy_ev / 1e3,
        pixel_nm=10.0,
        quantity="counts",
        flat=stack.flat,
    )


def wrong_element(folder: Path) -> None:
    content = yaml.safe_load((folder / "x.yaml").read_text())
    branch = content["samples"]["a"]["oxidation"]
    for key in ("stacks", "references"):
        branch[key] = {"Ni": branch[key]["Mn"]}
    (folder / "x.yaml").write_text(yaml.safe_dump(content))


def missing_reference(folder: Path) -> None:
    (folder / "ref_2.csv").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (short_reference, "reference ref_3 (3) of Mn: expected energies above the white lines"),
        (reference_in_another_place, "reference ref_3 (3) of Mn: expected energies below the edge"),
        (swapped, "the valences are probably swapped"),
        (two_of_three_swapped, "the valences are probably swapped"),
        (air_outside, "normalize.air of Mn: expected rows within 0 to 63"),
        (collinear, "a condition number of at most 100, got"),
        (
            wrong_unit,
            "expected a photon energy of 10 to 1000000 eV, got 0.665",
        ),
        (wrong_element, "expected energies on both sides of an edge of Ni"),
        (missing_reference, "samples.a.oxidation.references.Mn: expected an existing file"),
    ],
)
def test_bad_input_is_one_line_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None], message: str
) -> None:
    config = project(tmp_path)
    spoil(tmp_path)
    assert main(["check", str(config)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(lines) == 1
    assert message in lines[0]
    if spoil is not wrong_element:  # the stages of this test are those of Mn
        with pytest.raises(PipelineError):
            run_stages(config, last="fit_valence")
    assert not (tmp_path / "results/a/stages/oxidation/fit").exists()


def test_an_energy_scale_that_is_off_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0.4 eV between stack and references look like a valence; the spectra fit better elsewhere, and that is told."""
    config = project(tmp_path)
    stack = simulate_stack(ACQUISITION, rng=np.random.default_rng(3))
    write_energy_stack(
        tmp_path / "Mn.h5",
        stack.frames,
        stack.energy_ev + 0.4,
        pixel_nm=10.0,
        quantity="counts",
        flat=stack.flat,
        dark=stack.dark,
    )
    folder = run_stages(config, last="fit_valence")
    (remark,) = read_store(folder / "stages/oxidation/fit/Mn.zarr").attributes["remarks"]
    assert "fit much better with the energies moved by −0.4" in remark.replace("-", "−")
    assert f"warning: {remark}" in capsys.readouterr().err


def test_energies_in_kev_are_read_as_such(tmp_path: Path) -> None:
    config = project(
        tmp_path, change=lambda o: o.update(stacks={"Mn": {"images": "Mn.h5", "energy_unit": "keV"}})
    )
    wrong_unit(tmp_path)
    assert main(["check", str(config)]) == 0


def test_a_gap_in_the_energies_is_remarked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = project(tmp_path)
    stack = simulate_stack(ACQUISITION, rng=np.random.default_rng(3))
    kept = (stack.energy_ev < 641) | (stack.energy_ev > 643.5)
    write_energy_stack(
        tmp_path / "Mn.h5",
        stack.frames[kept],
        stack.energy_ev[kept],
        pixel_nm=10.0,
        quantity="counts",
        flat=None,
    )
    assert main(["check", str(config)]) == 0
    assert "no energies between 64" in capsys.readouterr().err


def test_check_says_what_would_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(project(tmp_path))]) == 0
    out = capsys.readouterr().out
    assert "50 frames of 64 × 64, 635 to 665 eV, 10 nm pixels, counts" in out
    assert "normalize_stack, register_stack, fit_valence, measure_oxidation, export_oxidation, report" in out
