"""The chemical-state branch from raw files to the report, and bad input that is one line."""

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.ndimage
import yaml
from state_runs import run_branch

from oxytomo.check.sample import check_project
from oxytomo.cli import main
from oxytomo.config import load_config
from oxytomo.config.plan import stage_settings
from oxytomo.errors import InputError, PipelineError
from oxytomo.io.stores import NamedArray, Store, read_store, write_store
from oxytomo.results import open_results
from oxytomo.stages.context import StageContext
from oxytomo.stages.registry import STAGES
from oxytomo.view.napari_plugin.layers import sample_layers
from oxytomo.view.napari_plugin.results import find_samples
from oxytomo.view.sample_page import write_report

CALL = [
    "--kind",
    "chemical-state",
    "--size",
    "36",
    "--tilts",
    "25",
    "--energies",
    "5",
    "--photons",
    "2e4",
    "--seed",
    "7",
]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("states") / "sim"
    assert main(["simulate", str(folder), *CALL]) == 0
    return folder


@pytest.fixture(scope="module")
def finished(simulated: Path) -> Path:
    text = (simulated / "config.yaml").read_text()
    content = yaml.safe_load(text)
    content["samples"]["particle"]["chemical_state"]["uncertainty"] = {"replicates": 2}
    (simulated / "config.yaml").write_text(yaml.safe_dump(content))
    run_branch(simulated / "config.yaml", "chemical_state")
    return simulated


def changed(simulated: Path, folder: Path, **changes: Any) -> Path:
    """Return a configuration of the same raw files with other settings of the branch."""
    content = yaml.safe_load((simulated / "config.yaml").read_text())
    branch = content["samples"]["particle"]["chemical_state"]
    branch["series"] = {"Ni": [str(simulated / path) for path in branch["series"]["Ni"]]}
    branch["references"] = {
        "Ni": {key: str(simulated / path) for key, path in branch["references"]["Ni"].items()}
    }
    branch.update(changes)
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def problems(configuration: Path) -> list[PipelineError]:
    return list(check_project(load_config(configuration), read_flats=False).problems)


def test_valence_of_jittering_series(finished: Path) -> None:
    """Frames with shifts of a pixel, drift and other magnifications: rms of 0.04, no bias."""
    truth = np.load(finished / "truth.npz")
    arrays = open_results(finished / "results" / "particle").arrays
    valence = np.asarray(arrays["chemical_state/Ni_valence"])
    particle = np.asarray(arrays["chemical_state/Ni_particle"]) > 0
    known = np.isfinite(truth["valence"])
    # The place of the particle in the volume is not measured: the tilt axis is.
    centre = [np.array(scipy.ndimage.center_of_mass(mask)) for mask in (particle, known)]
    moved = scipy.ndimage.shift(np.where(known, truth["valence"], 3.2), centre[0] - centre[1], order=1)
    inside = particle & (scipy.ndimage.shift(known.astype(float), centre[0] - centre[1], order=1) > 0.99)
    error = (valence - moved)[inside]
    assert np.sqrt(np.mean(error**2)) < 0.04
    assert abs(error.mean()) < 0.01
    assert np.isnan(valence[~particle]).all()
    sigma = np.asarray(arrays["chemical_state/Ni_valence_sigma"])
    assert 0.005 <= np.nanmedian(sigma) < 0.05


def test_products(finished: Path) -> None:
    """Tables, numbers, image and report say the same."""
    folder = finished / "results" / "particle"
    facts = json.loads((folder / "chemical_state.json").read_text())["elements"]["Ni"]
    results = open_results(folder)
    assert results.numbers["chemical_state/valence_Ni"].value == pytest.approx(facts["mean_valence"])
    shells = results.tables["chemical_state/chemical_state_shells"]
    weighted = np.average(shells["mean_valence"], weights=shells["n_voxels"])
    assert weighted == pytest.approx(facts["mean_valence"], abs=1e-4)
    profile = results.tables["chemical_state/chemical_state_profiles"]
    weighted = np.average(profile["mean_valence"], weights=profile["n_voxels"])
    assert weighted == pytest.approx(facts["mean_valence"], abs=1e-4)
    assert {model["name"] for model in facts["models"]} == {"uniform", "diffusion", "core_shell"}
    domains = results.tables["chemical_state/chemical_state_domains"]
    assert set(domains["class"]) <= {"reference", "high", "low"}
    assert facts["null"]["fractions"]["high"]["value"] == 0
    assert facts["valence_of_sums"] == pytest.approx(facts["mean_valence"], abs=0.02)
    image = results.images["chemical_state"]
    assert [channel.name for channel in image.channels][:3] == [
        "Ni_valence",
        "Ni_density",
        "Ni_valence_sigma",
    ]
    page = finished / "report.html"
    write_report(folder, page)
    text = page.read_text(encoding="utf-8")
    assert f"{facts['mean_valence']:.3f}" in text
    assert "Valence of Ni" in text
    assert "Ni from surface to centre" in text


def run_again(finished: Path, folder: Path, **changes: Any) -> Path:
    """Run the branch with other settings from the aligned series on; the results."""
    path = changed(finished, folder, uncertainty={"replicates": 2}, **changes)
    branch = Path("results") / "particle" / "stages" / "chemical_state"
    (folder / branch).mkdir(parents=True)
    shutil.copytree(finished / branch / "align.zarr", folder / branch / "align.zarr")
    run_branch(path, "chemical_state", first="decompose_states")
    return folder / "results" / "particle"


def test_fits_of_every_voxel_as_a_setting(finished: Path, tmp_path: Path) -> None:
    """``method: voxels`` gives the same products from the same aligned series, and says so."""
    own, other = run_again(finished, tmp_path, method="voxels"), finished / "results" / "particle"
    facts, rays = (
        json.loads((one / "chemical_state.json").read_text())["elements"]["Ni"] for one in (own, other)
    )
    assert facts["model"]["method"] == "voxels"
    assert rays["model"]["method"] == "rays"
    assert facts["noise"] > 2 * rays["noise"]
    assert facts["mean_valence"] == pytest.approx(rays["mean_valence"], abs=0.05)
    images = [open_results(one).images["chemical_state"] for one in (own, other)]
    assert [one.name for one in images[0].channels] == [one.name for one in images[1].channels]
    write_report(own, tmp_path / "report.html")
    assert "fits of every voxel" in (tmp_path / "report.html").read_text(encoding="utf-8")


def ball_series(finished: Path, folder: Path, rng: np.random.Generator) -> Path:
    """Write an aligned store of a ball with a white line at 855.3 eV at 16 energies; a configuration."""
    energies = np.concatenate([[848.0, 850.0], np.arange(852.0, 858.6, 0.5)])
    spectrum = np.exp(-0.5 * ((energies - 855.3) / 1.2) ** 2) + 0.2 / (1 + np.exp((854.0 - energies) / 0.3))
    aligned = read_store(finished / "results" / "particle" / "stages" / "chemical_state" / "align.zarr")
    n_tilt, names = aligned["tilt_deg"].size, [f"Ni_{k}" for k in range(1, 1 + energies.size)]
    z, s = np.mgrid[:36, :36] - 17.5
    chord = 2 * np.sqrt(np.maximum(12.0**2 - z**2 - s**2, 0))
    density = np.broadcast_to(
        (spectrum[:, None, None, None] + 0.1) * chord / 24, (energies.size, n_tilt, 36, 36)
    )
    counts = np.maximum(rng.poisson(1e4 * np.exp(-1.5 * density)), 1).astype(np.float32)
    axes = ("series", "tilt", "y", "x")
    path = folder / "results" / "particle" / "stages" / "chemical_state" / "align.zarr"
    path.parent.mkdir(parents=True)
    write_store(
        path,
        {
            "value": NamedArray(-np.log(counts / np.float32(1e4)), axes, "1"),
            "variance": NamedArray(1 / counts, axes, "1"),
            "tilt_deg": NamedArray(aligned["tilt_deg"], ("tilt",), "degree"),
        },
        provenance=aligned.provenance,
        attributes={
            **aligned.attributes,
            "series": names,
            "energies_ev": energies.tolist(),
            "invalid": dict.fromkeys(names, aligned.attributes["invalid"]["Ni_1"]),
        },
    )
    raw = [str(raw_files(finished)[0])] * energies.size
    return changed(finished, folder, series={"Ni": raw}, references={}, uncertainty={"replicates": 2})


def test_white_lines_without_references(finished: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    """Without references the same chain gives energies: image, table, numbers, arrays, report, layers."""
    run_branch(ball_series(finished, tmp_path, rng), "chemical_state", first="decompose_states")
    folder = tmp_path / "results" / "particle"
    shutil.rmtree(folder / "stages" / "chemical_state" / "align.zarr")  # it has no shifts for a report
    content = json.loads((folder / "chemical_state.json").read_text())
    assert content["elements"] == {}
    facts = content["white_lines"]["Ni"]
    # The polynomial is 0.005 eV off a Gaussian on a step.
    assert facts["white_line"]["mean_ev"] == pytest.approx(855.3, abs=0.03)
    assert 0 < facts["white_line"]["standard_error_ev"] < 0.05
    assert facts["white_line"]["voxels"] == facts["voxels"]
    results = open_results(folder)
    assert results.numbers["chemical_state/white_line_Ni"].value == pytest.approx(
        facts["white_line"]["mean_ev"]
    )
    assert results.numbers["chemical_state/white_line_Ni"].unit == "eV"
    table = results.tables["chemical_state/chemical_state_white_lines"]
    weighted = np.average(table["white_line_ev"], weights=table["n_voxels"])
    assert weighted == pytest.approx(facts["white_line"]["mean_ev"], abs=0.001)
    assert len(results.tables["chemical_state/chemical_state_shells"]) == 0
    line = np.asarray(results.arrays["chemical_state/Ni_white_line_ev"])
    particle = np.asarray(results.arrays["chemical_state/Ni_particle"]) > 0
    assert np.isnan(line[~particle]).all()
    assert np.nanmean(line) == pytest.approx(facts["white_line"]["mean_ev"], abs=0.01)
    error = np.asarray(results.arrays["chemical_state/Ni_white_line_error_ev"])
    assert np.nanmedian(error) == pytest.approx(facts["white_line"]["median_error_ev"], rel=0.2)
    image = results.images["chemical_state"]
    assert [one.name for one in image.channels][:2] == ["Ni_white_line_ev", "Ni_white_line_error_ev"]
    assert image.record["units"]["Ni_white_line_ev"] == "electronvolt"
    write_report(folder, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"{facts['white_line']['mean_ev']:.3f}" in text
    layers = sample_layers(find_samples(folder))
    assert layers[0][1]["name"] == "Ni white line (eV)"
    few = changed(finished, tmp_path, references={})
    assert any("6 or more of them within" in str(one) for one in problems(few))
    for change, words in (
        ({"method": "voxels"}, "fits of every voxel"),
        ({"decompose": {"energy_offset_ev": "fit"}}, "the fit of an offset"),
        ({"reference": 3.2}, "a reference valence"),
        ({"reference": {"Ni": 3.2}}, "a reference valence"),
    ):
        with pytest.raises(PipelineError, match=f"references of Ni for {words}, got none"):
            load_config(changed(finished, tmp_path, references={}, **change))


def test_comparison_over_states(finished: Path, tmp_path: Path) -> None:
    """Groups of particles: mean valence, shares of the classes and shells side by side, with their rules."""
    one = finished / "results" / "particle"
    other, third = tmp_path / "other", tmp_path / "third"
    for folder in (other, third):
        shutil.copytree(one, folder)
    content = json.loads((other / "chemical_state.json").read_text())
    content["elements"]["Ni"]["mean_valence"] += 0.5
    (other / "chemical_state.json").write_text(json.dumps(content))
    page = tmp_path / "c.html"
    call = ["report", "--group", "fresh", str(one), "--group", "aged", str(other), "--output", str(page)]
    assert main(call) == 0
    text = page.read_text(encoding="utf-8")
    for words in ("Chemical states in three dimensions", "Ni, mean valence", "Ni, high valence", "0.1 eV"):
        assert words in text
    table = pd.read_csv(tmp_path / "c_differences.csv")
    row = table[table["quantity"] == "chemical_state_valence_Ni"].iloc[0]
    assert float(row["second_minus_first"]) == pytest.approx(0.5)
    # Other references forbid a difference.
    content = json.loads((third / "chemical_state.json").read_text())
    content["elements"]["Ni"]["model"]["references"] = ["Ni_2", "other"]
    (third / "chemical_state.json").write_text(json.dumps(content))
    assert main([*call[:5], "aged", str(third), *call[6:]]) == 0
    assert "reference spectra" in page.read_text(encoding="utf-8")
    left = pd.read_csv(tmp_path / "c_differences.csv")
    assert not (left["quantity"] == "chemical_state_valence_Ni").any()


def test_layers_of_napari(finished: Path) -> None:
    """The valence alone is shown, about its reference; names, units and colours say what is what."""
    layers = sample_layers(find_samples(finished / "results" / "particle"))
    assert [arguments["name"] for _, arguments, _ in layers] == [
        "Ni valence",
        "Ni relative density",
        "Ni valence σ",
        "Ni density of Ni_2",
        "Ni density of Ni_4",
        "Ni valence classes",
        "Ni certain valence classes",
        "Ni particle",
    ]
    assert [arguments["name"] for _, arguments, _ in layers if arguments["visible"]] == ["Ni valence"]
    data, valence, _ = layers[0]
    facts = json.loads((finished / "results" / "particle" / "chemical_state.json").read_text())
    base = facts["elements"]["Ni"]["reference_valence"]
    assert valence["contrast_limits"] == pytest.approx((base - 0.45, base + 0.45))
    assert valence["colormap"]["name"] == "valence"
    assert valence["units"] == ("nm",) * 3
    # A volume is drawn with the reference where there is nothing: the middle of the colours.
    assert np.asarray(data)[0, 0, 0] == pytest.approx(base)
    assert np.isnan(data.raw[0, 0, 0])
    classes = next(arguments for _, arguments, _ in layers if arguments["name"] == "Ni valence classes")
    assert set(classes["colormap"]) >= {1, 2, 3}


def test_ready_to_run(simulated: Path, tmp_path: Path) -> None:
    """A simulated folder passes the check."""
    assert problems(changed(simulated, tmp_path)) == []


def joined_file(files: list[Path], joined: Path) -> list[float]:
    """Write the frames of all files into one, in turn by energy and tilt; return the energies.

    It has the flats and darks of the first file.
    """
    shutil.copy(files[0], joined)
    parts: dict[str, list[np.ndarray]] = {"frames": [], "theta": [], "energy": []}
    for path in files:
        with h5py.File(path) as file:
            parts["frames"].append(file["exchange/data"][:])
            parts["theta"].append(file["exchange/theta"][:])
            energy = file["measurement/instrument/monochromator/energy"][()]
            parts["energy"].append(np.full(len(parts["theta"][-1]), energy))
    with h5py.File(joined, "a") as file:
        for name, key in (("exchange/data", "frames"), ("exchange/theta", "theta")):
            units = dict(file[name].attrs)
            del file[name]
            file[name] = np.stack(parts[key], axis=1).reshape(-1, *parts[key][0].shape[1:])
            file[name].attrs.update(units)
        del file["measurement/instrument/monochromator/energy"]
        file["energies"] = np.stack(parts["energy"], axis=1).ravel()
        file["energies"].attrs["units"] = "eV"
    return [float(one[0]) for one in parts["energy"]]


def raw_files(simulated: Path) -> list[Path]:
    """Return the raw files of the simulated series, in the order of the energies."""
    content = yaml.safe_load((simulated / "config.yaml").read_text())
    return [simulated / name for name in content["samples"]["particle"]["chemical_state"]["series"]["Ni"]]


def test_one_file_of_all_energies(simulated: Path, tmp_path: Path) -> None:
    """Frames of all energies in one file are taken apart by ``energies_ev``."""
    joined = tmp_path / "all.h5"
    energies = joined_file(raw_files(simulated), joined)
    source = {"images": str(joined), "energy_dataset": "energies", "energies_ev": energies}
    path = changed(simulated, tmp_path, series={"Ni": source})
    found = check_project(load_config(path), read_flats=False)
    assert list(found.problems) == []
    facts = found.branches[0].series
    assert [facts[f"Ni_{k}"].energy_ev for k in range(1, 6)] == pytest.approx(energies)
    assert {fact.shape[0] for fact in facts.values()} == {25}
    wrong = changed(simulated, tmp_path, series={"Ni": {**source, "energies_ev": [700.0, 710.0]}})
    assert "expected frames at 700 eV, got 850.7" in str(problems(wrong)[0])
    with pytest.raises(PipelineError, match=r"normalize\.air_rescale: expected air_rescale: true"):
        load_config(changed(simulated, tmp_path, series={"Ni": source}, normalize={"air_rescale": False}))


def normalized(configuration: Path, job: str) -> Store:
    """Run the stage ``normalize`` on one series."""
    spec = stage_settings(load_config(configuration), "particle", "chemical_state", "normalize", job)
    row, path = STAGES["normalize"], configuration.parent / f"{job}.zarr"
    context = StageContext("normalize", row.version, 1, spec)
    row.load().run({}, {"store": path}, row.settings_model().model_validate(spec), context)
    return read_store(path)


def test_normalize_one_file_of_all_energies(simulated: Path, tmp_path: Path) -> None:
    """The frames of an energy are the same to the last bit as from a file of their own.

    Flats of a file per energy are found by their energy, and flats of mixed energies are refused.
    """
    files = raw_files(simulated)
    energies = joined_file(files, tmp_path / "all.h5")
    folders = [tmp_path / name for name in ("one", "shared", "chosen")]
    for folder in folders:
        folder.mkdir()
    flats, white = [str(tmp_path / f"flat_{k}.h5") for k in range(len(files))], "exchange/data_white"
    for path, own in zip(files, flats, strict=True):
        with h5py.File(path) as file, h5py.File(own, "w") as other:
            other["exchange/data"] = file[white][:]
            for name in ("exchange/data_dark", "measurement/instrument/monochromator/energy"):
                file.copy(name, other, name)
    one = {
        "images": str(tmp_path / "all.h5"),
        "energy_dataset": "energies",
        "energies_ev": energies,
        "quantity": "counts",
    }
    # A file of its own, with the flats of the joined file, or with its own flats
    single = tmp_path / "Ni_3.h5"
    shutil.copy(files[2], single)
    with h5py.File(single, "a") as file, h5py.File(files[0]) as first:
        for name in (white, "exchange/data_dark"):
            file[name][...] = first[name][:]
    series = {"Ni": [*map(str, files[:2]), str(single), *map(str, files[3:])]}
    expected = normalized(changed(simulated, folders[0], series=series), "Ni_3")
    found = normalized(changed(simulated, folders[1], series={"Ni": one}), "Ni_3")
    for name in ("value", "variance", "tilt_deg"):
        assert np.array_equal(found[name], expected[name], equal_nan=True)
    assert float(found["energy_ev"][0]) == energies[2]
    chosen = normalized(changed(simulated, folders[2], series={"Ni": {**one, "flat": flats}}), "Ni_3")
    with h5py.File(single, "a") as file, h5py.File(files[2]) as own:
        file[white][...] = own[white][:]
    again = tmp_path / "again"
    again.mkdir()
    expected = normalized(changed(simulated, again, series=series), "Ni_3")
    assert np.array_equal(chosen["value"], expected["value"], equal_nan=True)
    with h5py.File(flats[0], "a") as file:
        del file["measurement/instrument/monochromator/energy"]
        n = len(file["exchange/data"])
        file["measurement/instrument/monochromator/energy"] = np.linspace(853, 855, n)
    mixed = problems(changed(simulated, again, series={"Ni": {**one, "flat": flats}}))
    assert "expected flat frames of one energy in each file, got 853 to 855 eV" in str(mixed[0])


def test_bad_configurations(simulated: Path, tmp_path: Path) -> None:
    """One file, one reference, a formula without the element, and unknown elements are refused."""
    series = yaml.safe_load((simulated / "config.yaml").read_text())["samples"]["particle"]
    files = [str(simulated / one) for one in series["chemical_state"]["series"]["Ni"]]
    for change, words in (
        ({"series": {"Ni": files[:1]}}, "tilt series at two or more energies, got 1"),
        ({"series": {"Ni": files[0]}}, "tilt series at two or more energies, got one file"),
        ({"references": {"Ni": {"2": "a.csv"}}}, "2 to 5 reference spectra of at least two valences"),
        ({"formula": {"Mn": 1, "O": 2}}, "a formula with Ni"),
        ({"reference": {"Mn": 3.5}}, "elements with series"),
    ):
        with pytest.raises(PipelineError, match=words):
            load_config(changed(simulated, tmp_path, **change))


def test_energies_are_checked_before_a_run(simulated: Path, tmp_path: Path) -> None:
    """Equal energies, and references that cannot be told apart, stop a run with one line."""
    series = yaml.safe_load((simulated / "config.yaml").read_text())["samples"]["particle"]
    files = [str(simulated / one) for one in series["chemical_state"]["series"]["Ni"]]
    twice = [files[0], files[1], {"images": files[2], "energy_ev": 853.0}]
    found = [str(one) for one in problems(changed(simulated, tmp_path, series={"Ni": twice}))]
    assert any("expected an energy of its own, got 853 eV" in one for one in found)
    same = str(simulated / "refs" / "Ni_2.csv")
    found = [
        str(one) for one in problems(changed(simulated, tmp_path, references={"Ni": {"2": same, "4": same}}))
    ]
    assert any("condition number of at most 100" in one for one in found)
    keep = changed(simulated, tmp_path, series={"Ni": files[1:3]})
    assert any("one below the edge" in str(one) for one in problems(keep))


def test_forgotten_references_are_noticed_before_a_run(
    simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The volume of an element without references is no valence; with references nothing is said."""
    wide = {"white_line_order": 2, "white_line_half_width_ev": 5.0}  # five energies are enough
    said = "samples.particle.chemical_state.references.Ni: none are given, so the volume will be the energy"
    assert main(["check", str(changed(simulated, tmp_path, references={}, decompose=wide))]) == 0
    assert said in " ".join("".join(capsys.readouterr()).split())
    assert main(["check", str(changed(simulated, tmp_path, decompose=wide))]) == 0
    assert "none are given" not in " ".join("".join(capsys.readouterr()).split())


def test_tilts_missing_at_some_energies(simulated: Path, tmp_path: Path) -> None:
    """Series of other tilts are refused and named."""
    content = yaml.safe_load((simulated / "config.yaml").read_text())
    files = [str(simulated / one) for one in content["samples"]["particle"]["chemical_state"]["series"]["Ni"]]
    short = tmp_path / "short.h5"
    shutil.copy(files[-1], short)
    with h5py.File(short, "a") as file:
        for name in ("exchange/data", "exchange/theta"):
            values, units = file[name][:-2], dict(file[name].attrs)
            del file[name]
            file[name] = values
            file[name].attrs.update(units)
    found = problems(changed(simulated, tmp_path, series={"Ni": [*files[:-1], str(short)]}))
    assert isinstance(found[0], InputError)
    assert "23" in str(found[0])
