"""From hologram files through normalize, retrieve_phase and reconstruct_structure to a volume."""

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from scipy.ndimage import binary_erosion

from oxytomo.cli import main
from oxytomo.config import load_config
from oxytomo.config.plan import branch_series, branch_stores, stage_settings
from oxytomo.config.stage_settings import ReconstructStructureStage, RetrievePhaseStage
from oxytomo.errors import ConfigError, InputError
from oxytomo.io.stores import NamedArray, Store, read_store, write_store
from oxytomo.phase import retrieval
from oxytomo.stages.context import StageContext
from oxytomo.stages.shared import normalize
from oxytomo.stages.structure import reconstruct_structure, retrieve_phase

pytestmark = pytest.mark.slow

SIZE, TILTS, PIXEL_NM = 64, 100, 120.0


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small simulated scan in its folder."""
    folder = tmp_path_factory.mktemp("holograms") / "scan"
    arguments = [
        "--size",
        SIZE,
        "--tilts",
        TILTS,
        "--pixel-nm",
        PIXEL_NM,
        "--photons",
        4000,
        "--jitter-px",
        0,
    ]
    options = [str(argument) for argument in arguments]
    assert main(["simulate", str(folder), "--kind", "holotomography", "--seed", "5", *options]) == 0
    return folder


@pytest.fixture(scope="module")
def normalized(scan: Path) -> Path:
    """The normalised stores of the scan."""
    folder = scan.parent / "normalize"
    for name in branch_series(_structure(scan / "config.yaml")):
        _normalize(scan / "config.yaml", name, folder)
    return folder


def _structure(config: Path) -> Any:
    return load_config(config).samples["particle"].structure


def _normalize(config: Path, name: str, folder: Path) -> Path:
    spec = stage_settings(load_config(config), "particle", "structure", "normalize", name)
    normalize.run({}, {"store": folder / f"{name}.zarr"}, normalize.Settings(**spec), _context("normalize"))
    return folder / f"{name}.zarr"


def _context(stage: str) -> StageContext:
    return StageContext(stage, 1, 1, {})


def _inputs(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.zarr"))}


def _retrieve(config: Path, inputs: dict[str, Path], out: Path, **changes: Any) -> Store:
    spec = stage_settings(load_config(config), "particle", "structure", "retrieve_phase") | changes
    retrieve_phase.run(inputs, {"store": out}, RetrievePhaseStage(**spec), _context("retrieve_phase"))
    return read_store(out)


def _reconstruct(retrieved: Path, out: Path, **settings: Any) -> Store:
    chosen = ReconstructStructureStage(**settings)
    reconstruct_structure.run(
        {"retrieve_phase": retrieved}, {"store": out}, chosen, _context("reconstruct_structure")
    )
    return read_store(out)


def _changed(scan: Path, folder: Path, **changes: Any) -> Path:
    """The configuration of the scan with other settings of the branch, beside the same raw files."""
    data = yaml.safe_load((scan / "config.yaml").read_text())
    data["samples"]["particle"]["structure"] |= changes
    (folder / "raw").symlink_to(scan / "raw")
    (folder / "config.yaml").write_text(yaml.safe_dump(data))
    return folder / "config.yaml"


def test_delta_and_axis_come_back(scan: Path, normalized: Path, tmp_path: Path) -> None:
    store = _retrieve(scan / "config.yaml", _inputs(normalized), tmp_path / "retrieve_phase.zarr")
    assert store.attributes["method"] == "ctf"
    assert store.attributes["warnings"] == []
    assert store.unit("value") == "radian"
    assert np.abs(store["dy_px"]).max() < 0.3  # nothing moves between the distances
    volume = _reconstruct(tmp_path / "retrieve_phase.zarr", tmp_path / "volume.zarr")
    with np.load(scan / "truth.npz") as truth:
        solid, delta = truth["solid"], float(truth["delta"])
    assert volume.attributes["voxel_nm"] == PIXEL_NM
    assert volume.unit("volume") == "1"
    # Simulated 2.5 px beside the middle; one pair of frames, which is one step of 1.8° short of half a turn.
    assert volume.attributes["axis_column"] == pytest.approx((SIZE - 1) / 2 + 2.5, abs=0.25)
    core = binary_erosion(solid > 0.99, iterations=2)
    assert volume["volume"][core].mean() / delta == pytest.approx(1, abs=0.02)
    given = _reconstruct(tmp_path / "retrieve_phase.zarr", tmp_path / "again.zarr", axis_column=34.0)
    assert given.attributes["axis_from"] == "given"
    assert given["volume"][core].mean() / delta == pytest.approx(1, abs=0.03)


def test_blocks_do_not_change_the_answer(
    scan: Path, normalized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _retrieve(scan / "config.yaml", _inputs(normalized), tmp_path / "a.zarr", iterations=2)
    monkeypatch.setattr(retrieval, "BLOCK_BYTES", 4e6)
    parts = _retrieve(scan / "config.yaml", _inputs(normalized), tmp_path / "b.zarr", iterations=2)
    np.testing.assert_allclose(parts["value"], whole["value"], atol=1e-5)
    assert not list(tmp_path.glob(".*"))


def test_one_distance_by_paganin(scan: Path, normalized: Path, tmp_path: Path) -> None:
    first = yaml.safe_load((scan / "config.yaml").read_text())["samples"]["particle"]["structure"][
        "projections"
    ]
    config = _changed(scan, tmp_path, projections=first[:1])
    inputs = {"distance_1": normalized / "distance_1.zarr"}
    store = _retrieve(config, inputs, tmp_path / "retrieve_phase.zarr")
    assert store.attributes["method"] == "paganin"
    with np.load(scan / "truth.npz") as truth:
        lag, dx = truth["phase_lag"], truth["shift_px"][0, :, 1]
    # Sums over the frame do not depend on the shift. At this distance (pixels at the diffraction limit) the method itself
    # is good to some percent only.
    assert dx[0] == pytest.approx(2.5)
    assert store["value"].sum() / lag.sum() == pytest.approx(1, abs=0.08)
    none = _changed(scan, _folder(tmp_path / "none"), projections=first[:1], formula=None, density_g_cm3=None)
    with pytest.raises(ConfigError, match="δ/β of the sample"):
        _retrieve(none, inputs, tmp_path / "no.zarr")
    assert not (tmp_path / "no.zarr").exists()


def test_given_phase_maps_of_either_sign(scan: Path, tmp_path: Path) -> None:
    with np.load(scan / "truth.npz") as truth:
        lag, tilt_deg, solid = truth["phase_lag"], truth["tilt_deg"], truth["solid"]
        delta, energy_ev = float(truth["delta"]), float(truth["energy_ev"])
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        file["exchange/data"] = -lag
        file["exchange/theta"] = tilt_deg
        file["exchange/theta"].attrs["units"] = "deg"
    structure = {"phase_maps": {"images": "maps.h5", "energy_ev": energy_ev}, "voxel_nm": PIXEL_NM}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"samples": {"particle": {"structure": structure}}}))
    inputs = {"phase_maps": _normalize(config, "phase_maps", tmp_path)}
    _retrieve(config, inputs, tmp_path / "retrieve_phase.zarr")
    volume = _reconstruct(
        tmp_path / "retrieve_phase.zarr", tmp_path / "volume.zarr", axis_column=(SIZE - 1) / 2
    )["volume"]
    core = binary_erosion(solid > 0.99, iterations=2)
    assert volume[core].mean() / delta == pytest.approx(1, abs=0.01)


def test_a_cut_particle_is_flagged(scan: Path, tmp_path: Path) -> None:
    with h5py.File(scan / "raw" / "distance_1.h5") as file:
        frames, flat, dark = (file[f"exchange/{name}"][...] for name in ("data", "data_white", "data_dark"))
    raw = tmp_path / "cut.h5"
    with h5py.File(raw, "w") as file:
        for name, part in (("data", frames), ("data_white", flat), ("data_dark", dark)):
            file[f"exchange/{name}"] = part[..., 18:46]
        file["exchange/theta"] = np.arange(TILTS) * 180 / TILTS
        file["exchange/theta"].attrs["units"] = "deg"
    entry = {"images": "cut.h5", "energy_ev": 17050.0, "sample_detector_mm": 13.0}
    structure = {"projections": [entry], "voxel_nm": PIXEL_NM, "retrieve": {"delta_beta": 58.0}}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"samples": {"particle": {"structure": structure}}}))
    inputs = {"distance_1": _normalize(config, "distance_1", tmp_path)}
    store = _retrieve(config, inputs, tmp_path / "retrieve_phase.zarr")
    assert any("leaves the field of view at the sides" in line for line in store.attributes["warnings"])
    volume = _reconstruct(tmp_path / "retrieve_phase.zarr", tmp_path / "v.zarr", axis_column=14.0)
    assert any("leaves the field of view" in line for line in volume.attributes["warnings"])


def test_a_wrong_distance_is_flagged(scan: Path, normalized: Path, tmp_path: Path) -> None:
    projections = _projections(scan)
    # The detector of the third distance is not where it is said to be; pixel sizes then contradict the file as well.
    projections[2]["sample_detector_mm"] *= 0.97
    with pytest.raises(InputError, match="from voxel_nm and the magnification"):
        _retrieve(
            _changed(scan, tmp_path, projections=projections), _inputs(normalized), tmp_path / "no.zarr"
        )
    # An energy that is wrong everywhere changes no pixel size; the holograms tell.
    inputs = {}
    for name in branch_series(_structure(scan / "config.yaml")):
        copy = tmp_path / f"{name}.zarr"
        shutil.copytree(normalized / f"{name}.zarr", copy)
        _overwrite_energy(copy, 12_500.0)
        inputs[name] = copy
    store = _retrieve(tmp_path / "config.yaml", inputs, tmp_path / "wrong.zarr", **_stated(scan))
    assert any("may be wrong" in line for line in store.attributes["warnings"])


def _stated(scan: Path) -> dict[str, Any]:
    spec = stage_settings(load_config(scan / "config.yaml"), "particle", "structure", "retrieve_phase")
    return {"distances": spec["distances"], "delta_beta": 58.0}


def _projections(scan: Path) -> list[dict[str, Any]]:
    data = yaml.safe_load((scan / "config.yaml").read_text())
    return list(data["samples"]["particle"]["structure"]["projections"])


def _overwrite_energy(path: Path, energy_ev: float) -> None:
    """Write a store once more with another energy, as its stage would have."""
    store = read_store(path)
    arrays = {name: NamedArray(store[name], store.axes(name), store.unit(name)) for name in store.names}
    energy = np.full_like(store["energy_ev"], energy_ev)
    arrays["energy_ev"] = NamedArray(energy, store.axes("energy_ev"), store.unit("energy_ev"))
    attributes = dict(store.attributes)
    shutil.rmtree(path)
    write_store(path, arrays, provenance=store.provenance, attributes=attributes)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_two_copies_of_one_scan_are_refused(scan: Path, normalized: Path, tmp_path: Path) -> None:
    inputs = _inputs(normalized)
    inputs["distance_2"] = inputs["distance_1"]
    with pytest.raises(InputError, match="one scan was given twice"):
        _retrieve(scan / "config.yaml", inputs, tmp_path / "no.zarr")


def test_an_unknown_energy_is_refused(scan: Path, normalized: Path, tmp_path: Path) -> None:
    shutil.copytree(normalized, tmp_path / "n")
    for path in (tmp_path / "n").glob("*.zarr"):
        _overwrite_energy(path, float("nan"))
    with pytest.raises(InputError, match="give 'energy_ev:'"):
        _retrieve(scan / "config.yaml", _inputs(tmp_path / "n"), tmp_path / "no.zarr")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p[1].pop("sample_detector_mm"), "sample_detector_mm for every entry"),
        (lambda p: p[1].pop("source_sample_mm"), "source_sample_mm for all entries or for none"),
        (lambda p: p[1].update(images=p[0]["images"]), "the same files in entries 1 and 2"),
        (
            lambda p: p[3].update(
                sample_detector_mm=p[0]["sample_detector_mm"], source_sample_mm=p[0]["source_sample_mm"]
            ),
            "the same distance in entries 1 and 4",
        ),
    ],
)
def test_distances_given_wrong_are_one_line(scan: Path, tmp_path: Path, change: Any, message: str) -> None:
    projections = _projections(scan)
    change(projections)
    with pytest.raises(ConfigError, match=message):
        load_config(_changed(scan, tmp_path, projections=projections))


def test_a_voxel_size_is_required(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _changed(scan, tmp_path)
    text = path.read_text().replace(f"      voxel_nm: {PIXEL_NM}\n", "")
    assert "voxel_nm" not in text
    path.write_text(text)
    assert main(["check", str(path)]) == 2
    assert "voxel_nm" in capsys.readouterr().err


def test_the_plan_of_both_routes(scan: Path) -> None:
    stores = [store for _, _, store in branch_stores(_structure(scan / "config.yaml"), "structure")]
    assert stores[:4] == [f"normalize/distance_{number}.zarr" for number in range(1, 5)]
    assert stores[4:6] == ["retrieve_phase.zarr", "volume.zarr"]
    spec = stage_settings(load_config(scan / "config.yaml"), "particle", "structure", "retrieve_phase")
    assert json.loads(json.dumps(spec))["distances"]["distance_1"]["source_sample_mm"] > 0
