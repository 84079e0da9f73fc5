"""The public library and the stages of ``oxytomo run`` give the same numbers, to the last bit."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import oxytomo as ox
from oxytomo.cli import main
from oxytomo.cli.simulate import configuration, raw_name
from oxytomo.config import load_config
from oxytomo.config.plan import stage_settings
from oxytomo.io.readers.data_exchange import write_data_exchange
from oxytomo.io.rounding import in_fewer_bits, with_variances
from oxytomo.io.stores import read_store
from oxytomo.io.tables import read_csv
from oxytomo.run.chain import run_composition
from oxytomo.simulate.demonstration import DENSITY_G_CM3, FORMULA
from oxytomo.stages.context import StageContext
from oxytomo.stages.registry import STAGES

pytestmark = pytest.mark.slow

ELEMENTS = ["O", "Ni"]
FEW = {"iterations": 6, "element_iterations": 6}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw files of a small particle, and the stores that the stages make of them."""
    folder = tmp_path_factory.mktemp("measured")
    (folder / "raw").mkdir()
    recorded = ox.simulate_tilt_series(elements=ELEMENTS, size=32, n_tilts=15, seed=3)
    for name, series in recorded.series.items():
        write_data_exchange(folder / "raw" / raw_name(name), series)
    config = yaml.safe_load(configuration(ELEMENTS))
    config["samples"]["particle"]["composition"]["reconstruct"] = FEW
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    project = load_config(folder / "config.yaml")
    run_composition(project, "particle", folder, threads=1, stages=("align", "decompose", "reconstruct"))
    return folder


def as_stored(data: Any) -> Any:
    """Stages keep optical densities in fewer bits; the library hands them on as they are."""
    small = in_fewer_bits(data.value, data.variance)
    return replace(data, value=np.asarray(small.value[...]), variance=np.asarray(small.variance[...]))


def test_a_composition_of_the_library_is_that_of_the_stages(measured: Path) -> None:
    names = [f"{element}_{side}" for element in ELEMENTS for side in ("pre", "post")]
    series = {name: ox.normalize(ox.read_series(measured / "raw" / raw_name(name))) for name in names}
    for name, one in series.items():
        store = read_store(measured / f"normalize_{name}.zarr")
        series[name] = one = as_stored(one)
        for array in ("value", "variance", "tilt_deg", "pixel_nm", "acquisition_index", "air_level"):
            np.testing.assert_array_equal(getattr(one, array), store[array], err_msg=f"{name} {array}")
        assert one.invalid == store.attributes["invalid"]

    aligned = as_stored(ox.align_series(series))
    store = read_store(measured / "align.zarr")
    for array in ("value", "variance", "tilt_deg", "dy_px", "dx_px", "magnification", "frame"):
        np.testing.assert_array_equal(getattr(aligned, array), store[array], err_msg=array)
    assert aligned.verdict == store.attributes["quality"]["verdict"]

    found = ox.decompose(aligned, formula=FORMULA, density_g_cm3=DENSITY_G_CM3)
    found = replace(found, areal=np.asarray(with_variances(found.areal, found.covariance).value[...]))
    store = read_store(measured / "decompose.zarr")
    for array in ("areal", "covariance", "tilt_deg"):
        np.testing.assert_array_equal(getattr(found, array), store[array], err_msg=array)
    assert list(found.elements) == store.attributes["elements"]

    composition = ox.reconstruct_deviation(found, **FEW)
    store = read_store(measured / "reconstruct.zarr")
    for array in ("deviation", "difference", "elements", "total", "particle"):
        np.testing.assert_array_equal(getattr(composition, array), store[array], err_msg=array)
    assert composition.reference_tm_o == store.attributes["reference_tm_o"]


@pytest.mark.parametrize("algorithm", ["fbp", "sirt", "tv"])
def test_a_tomogram_of_the_library_is_that_of_the_stage(
    measured: Path, tmp_path: Path, algorithm: str
) -> None:
    stage = STAGES["reconstruct_tomogram"].load()
    settings = stage.Settings(algorithm=algorithm, iterations=5)
    context = StageContext("reconstruct_tomogram", 1, 1, settings.model_dump(mode="json"))
    stage.run({"align": measured / "align.zarr"}, {"store": tmp_path / "volume.zarr"}, settings, context)
    aligned = read_store(measured / "align.zarr")
    value, variance = aligned["value"][0], aligned["variance"][0]
    pixel_nm = aligned.attributes["pixel_nm"]
    more = {"fbp": {}, "sirt": {"iterations": 5}, "tv": {"iterations": 5, "variance": variance}}
    volume = getattr(ox, algorithm)(value, aligned["tilt_deg"], pixel_nm=pixel_nm, **more[algorithm])
    np.testing.assert_array_equal(volume, read_store(tmp_path / "volume.zarr")["volume"])


def run_stage(stage: str, spec: dict, inputs: dict[str, Path], outputs: dict[str, Path]) -> None:
    """Run a stage on stores."""
    module = STAGES[stage].load()
    module.run(inputs, outputs, module.Settings.model_validate(spec), StageContext(stage, 1, 1, spec))


def test_a_valence_map_of_the_library_is_that_of_the_stages(tmp_path: Path) -> None:
    arguments = ["--kind", "xanes", "--elements", "Ni", "--size", "32", "--energies", "40"]
    assert main(["simulate", str(tmp_path), *arguments]) == 0
    project = load_config(tmp_path / "config.yaml")
    store = {name: tmp_path / f"{name}.zarr" for name in ("normalize", "register", "fit")}
    for stage, source, output in (
        ("normalize_stack", None, "normalize"),
        ("register_stack", "normalize", "register"),
        ("fit_valence", "register", "fit"),
    ):
        spec = stage_settings(project, "particle", "oxidation", stage, "Ni")
        run_stage(stage, spec, {} if source is None else {source: store[source]}, {"store": store[output]})

    images = ox.normalize_stack(ox.read_stack(tmp_path / "raw" / "Ni_stack.h5"), "Ni")
    registered = ox.register_stack(images)
    references = {v: ox.read_spectrum(tmp_path / "refs" / f"Ni_{v:g}.csv") for v in (2.0, 3.0, 4.0)}
    found = ox.fit_valence(registered, references)
    for one, name, arrays in (
        (images, "normalize", ("value", "variance", "energy_ev", "acquisition_index")),
        (registered, "register", ("value", "variance", "shift_px", "applied_px", "lost")),
        (found, "fit", ("valence", "valence_error", "fractions", "fraction_errors", "status")),
    ):
        stored = read_store(store[name])
        for array in arrays:
            np.testing.assert_array_equal(getattr(one, array), stored[array], err_msg=f"{name} {array}")
    np.testing.assert_array_equal(found.edge_jump, read_store(store["fit"])["amount"])


def test_voids_of_the_library_are_those_of_the_stages(tmp_path: Path) -> None:
    assert main(["simulate", str(tmp_path), "--kind", "volume", "--size", "64", "--pixel-nm", "20"]) == 0
    project = load_config(tmp_path / "config.yaml")
    store = {name: tmp_path / f"{name}.zarr" for name in ("volume", "voids")}
    tables = {name: tmp_path / f"{name}.csv" for name in ("pores", "cracks")}
    tables["structure"] = tmp_path / "structure.json"
    for stage, inputs, outputs in (
        ("read_volume", {}, {"store": store["volume"]}),
        ("segment_voids", {"volume": store["volume"]}, {"store": store["voids"]}),
        ("measure_voids", {"voids": store["voids"]}, tables),
    ):
        run_stage(stage, stage_settings(project, "particle", "structure", stage), inputs, outputs)

    voids = ox.segment_voids(ox.read_volume(tmp_path / "raw" / "volume.tif").values)
    stored = read_store(store["voids"])
    for array in ("particle", "void", "voids", "instances", "depth_px"):
        np.testing.assert_array_equal(getattr(voids, array), stored[array], err_msg=array)
    measures = ox.measure_voids(voids, 20.0)
    written = json.loads(tables["structure"].read_text(encoding="utf-8"))
    assert json.loads(json.dumps(measures.numbers["porosity"], default=float)) == written["porosity"]
    pores = read_csv(tables["pores"])
    assert len(measures.pores) == len(pores["pore"]) > 0
    np.testing.assert_allclose(measures.pores.volume_nm3, np.float64(pores["volume_nm3"]), rtol=1e-5)


def test_simulations_of_the_library_are_those_of_the_command(tmp_path: Path) -> None:
    assert main(["simulate", str(tmp_path), "--elements", *ELEMENTS, "--size", "32", "--tilts", "5"]) == 0
    recorded = ox.simulate_tilt_series(elements=ELEMENTS, size=32, n_tilts=5)
    written = ox.read_series(tmp_path / "raw" / raw_name("Ni_post"))
    np.testing.assert_array_equal(recorded.series["Ni_post"].frames, written.frames)
    with np.load(tmp_path / "truth.npz") as truth:
        np.testing.assert_array_equal(recorded.truth.deviation, truth["deviation"])

    assert main(["simulate", str(tmp_path / "voids"), "--kind", "volume", "--size", "64"]) == 0
    written_voids = ox.read_volume(tmp_path / "voids" / "raw" / "volume.tif")
    np.testing.assert_array_equal(ox.simulate_voids(64).volume, written_voids.values)

    arguments = ["--kind", "xanes", "--elements", "Ni", "--size", "24", "--energies", "20"]
    assert main(["simulate", str(tmp_path / "stack"), *arguments]) == 0
    stack = ox.simulate_stack("Ni", size=24, n_energies=20)
    written_stack = ox.read_stack(tmp_path / "stack" / "raw" / "Ni_stack.h5")
    np.testing.assert_array_equal(stack.frames[7], written_stack.frame(7))
    np.testing.assert_array_equal(stack.energy_ev, written_stack.energy_ev)
