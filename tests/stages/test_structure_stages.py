"""A simulated volume through the stages of the structure branch, and what is refused."""

import csv
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml
from notebook import run_notebook
from scipy.ndimage import gaussian_filter

from oxytomo.cli import main
from oxytomo.config import load_config
from oxytomo.config.plan import branch_products, stage_settings
from oxytomo.config.stage_settings import ExportStage, MeasureVoidsStage, ReadVolumeStage, SegmentVoidsStage
from oxytomo.errors import InputError, MissingPackageError
from oxytomo.export.meshes import MeshPiece, write_mesh
from oxytomo.io.stores import read_store
from oxytomo.io.volumes import VolumeRequest, read_volume
from oxytomo.stages.context import StageContext
from oxytomo.stages.structure import export_meshes, export_structure, measure_voids, segment_voids
from oxytomo.stages.structure import read_volume as read_stage

pytestmark = pytest.mark.slow

VOXEL_NM = 25.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("structure")
    command = [
        "simulate",
        str(folder),
        "--kind",
        "volume",
        "--size",
        "80",
        "--pixel-nm",
        str(VOXEL_NM),
        "--seed",
        "4",
    ]
    assert main(command) == 0
    return folder


def settings(folder: Path, stage: str) -> dict[str, Any]:
    return stage_settings(load_config(folder / "config.yaml"), "particle", "structure", stage)


def context(stage: str) -> StageContext:
    return StageContext(stage, 1, 1, {})


@pytest.fixture(scope="module")
def stores(folder: Path) -> dict[str, Path]:
    out = {
        name: folder / name
        for name in ("volume.zarr", "voids.zarr", "pores.csv", "cracks.csv", "structure.json")
    }
    read_stage.run(
        {},
        {"store": out["volume.zarr"]},
        ReadVolumeStage(**settings(folder, "read_volume")),
        context("read_volume"),
    )
    volume = {"volume": out["volume.zarr"]}
    segment_voids.run(
        volume,
        {"store": out["voids.zarr"]},
        SegmentVoidsStage(**settings(folder, "segment_voids")),
        context("segment_voids"),
    )
    measure = {
        key: out[f"{key}.{end}"] for key, end in (("pores", "csv"), ("cracks", "csv"), ("structure", "json"))
    }
    both = volume | {"voids": out["voids.zarr"]}
    measure_voids.run(
        both, measure, MeasureVoidsStage(**settings(folder, "measure_voids")), context("measure_voids")
    )
    image = {"store": folder / "structure.ome.zarr"}
    export_structure.run(
        both, image, ExportStage(**settings(folder, "export_structure")), context("export_structure")
    )
    tables = {name: out[f"{name}.csv"] for name in ("pores", "cracks")}
    meshes = {"meshes": folder / "meshes"}
    export_meshes.run(
        {"voids": out["voids.zarr"]} | tables,
        meshes,
        ExportStage(**settings(folder, "export_meshes")),
        context("export_meshes"),
    )
    return out | {"image": image["store"]} | meshes


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_notebook_shows_voids_and_porosity(folder: Path, stores: dict[str, Path]) -> None:
    run_notebook(
        "first_look",
        result=folder,
        check="porosity = results.numbers['structure/porosity']\n"
        "assert porosity.low < porosity.value < porosity.high\n"
        f"assert len(results.tables['structure/pores']) == {len(rows(stores['pores.csv']))}\n"
        "assert bool((results.arrays['structure/voids'] > 0).any())",
    )


def test_numbers_agree_with_the_truth_and_with_each_other(folder: Path, stores: dict[str, Path]) -> None:
    facts = json.loads(stores["structure.json"].read_text())
    with np.load(folder / "truth.npz") as truth:
        wanted = truth["void"].sum() / truth["envelope"].sum()
        volume = truth["envelope"].sum() * VOXEL_NM**3
    parts = facts["porosity"]
    # A particle of 33 voxels radius with cracks that cross: what the skin's error of 0.1 voxel makes of it.
    assert parts["total"]["value"] == pytest.approx(wanted, rel=0.1)
    assert facts["particle_volume_nm3"] == pytest.approx(volume, rel=0.03)
    assert parts["open"]["value"] + parts["closed"]["value"] == pytest.approx(parts["total"]["value"])
    assert parts["pores"]["value"] + parts["cracks"]["value"] == pytest.approx(parts["total"]["value"])
    low, high = parts["total"]["ci95"]
    assert low < parts["total"]["value"] < high
    mean = facts["cracks"]["mean_aperture_nm"]
    headline = [(facts["open_fraction"], facts["open_fraction_ci95"]), (mean["value"], mean["ci95"])]
    headline += [(facts[kind]["count"], facts[kind]["count_ci95"]) for kind in ("pores", "cracks")]
    headline += [(parts[name]["value"], parts[name]["ci95"]) for name in parts]
    for value, (low, high) in headline:
        assert 0 <= low <= value <= high
    assert facts["open_fraction_ci95"][1] <= 1
    # Apertures of 0.75 to 3 voxels, of noise a twentieth of the contrast: known to a few percent.
    assert 0 < mean["ci95"][1] - mean["ci95"][0] < 0.3 * mean["value"]
    assert facts["open_fraction"] == pytest.approx(parts["open"]["value"] / parts["total"]["value"])
    pores, cracks = rows(stores["pores.csv"]), rows(stores["cracks.csv"])
    assert (len(pores), len(cracks)) == (facts["pores"]["count"], facts["cracks"]["count"])
    assert len(cracks) >= 2
    area = sum(float(row["area_nm2"]) for row in cracks)
    assert facts["cracks"]["area_nm2"]["value"] == pytest.approx(area)
    pore_volume = sum(float(row["volume_nm3"]) for row in pores)
    assert parts["pores"]["value"] * facts["particle_volume_nm3"] == pytest.approx(pore_volume, rel=1e-4)
    assert len(facts["shells"]) == 5
    assert facts["calibration"]["contrast_to_noise"] == pytest.approx(5, rel=0.05)
    assert facts["calibration"]["blur_px"] == pytest.approx(1, abs=0.1)


def test_every_network_fact_is_there(stores: dict[str, Path]) -> None:
    network = json.loads(stores["structure.json"].read_text())["network"]
    assert 0 < network["largest_share"] <= 1
    assert network["networks"] >= 1
    assert set(network["euler_number"]) == {"0.2", "0.3", "0.4", "0.5", "0.6"}


def test_the_image_reads_back_with_its_voxel_size(stores: dict[str, Path]) -> None:
    volume, stored = read_volume(VolumeRequest(images=(stores["image"],))), read_store(stores["volume.zarr"])
    assert volume.voxel_nm == pytest.approx(VOXEL_NM)
    np.testing.assert_allclose(volume.values, stored["volume"], atol=1e-6)


def test_meshes_have_the_volumes_and_places_of_the_tables(stores: dict[str, Path]) -> None:
    pyvista = pytest.importorskip("pyvista")
    particle, pores, cracks = (
        pyvista.read(stores["meshes"] / f"{name}.vtp") for name in ("particle", "pores", "cracks")
    )
    facts = json.loads(stores["structure.json"].read_text())
    said = json.loads((stores["meshes"] / "meshes.json").read_text())["meshes"]
    assert particle.is_manifold
    assert enclosed(particle) == pytest.approx(facts["particle_volume_nm3"], rel=1e-4)
    assert said["particle"]["written"]["volume_nm3"] == pytest.approx(enclosed(particle), rel=1e-4)
    for row in rows(stores["pores.csv"]):
        one = pores.extract_cells(pores.cell_data["pore"] == int(row["pore"])).extract_surface(algorithm=None)
        # Clean-up joins vertices within a thousandth of a voxel.
        assert enclosed(one) == pytest.approx(float(row["volume_nm3"]), rel=2e-3)
        centroid = [float(row[f"centroid_{axis}_nm"]) for axis in "xyz"]
        assert np.abs(np.array(one.center) - centroid).max() < VOXEL_NM
    # The table adds up the planes of ridge voxels, which overlap by about a tenth where a sheet is uneven.
    for row in rows(stores["cracks.csv"]):
        one = cracks.extract_cells(cracks.cell_data["crack"] == int(row["crack"]))
        assert one.area == pytest.approx(float(row["area_nm2"]), rel=0.15)
        # At the rim, which the table leaves out, apertures fall off.
        low, high = 0.5 * float(row["aperture_nm"]), float(row["aperture_p90_nm"])
        assert low < np.median(one.point_data["aperture_nm"]) < high
    for name, mesh in (("particle", particle), ("pores", pores), ("cracks", cracks)):
        shape = pyvista.read(stores["meshes"] / f"{name}.stl")
        assert shape.area == pytest.approx(mesh.area, rel=1e-3)
        assert list(mesh.field_data["length_unit"]) == ["nm"]


def enclosed(mesh: Any) -> float:
    corners = np.asarray(mesh.points - mesh.points.mean(axis=0), float)[mesh.regular_faces]
    return float(np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))) / 6


def test_without_pyvista_the_run_goes_on_without_meshes(
    folder: Path, stores: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pyvista" else find(name))
    assert main(["check", str(folder / "config.yaml")]) == 0
    said = capsys.readouterr()
    assert "no meshes without the package pyvista: pip install 'oxytomo[view]'" in said.err
    assert "export_meshes" not in said.out
    files = {"structure.ome.zarr", "pores.csv", "cracks.csv", "structure.json"}
    assert set(branch_products("structure")) == files
    monkeypatch.setitem(sys.modules, "pyvista", None)
    with pytest.raises(MissingPackageError, match=r"oxytomo\[view\]"):
        write_mesh(
            folder / "mesh", [MeshPiece(np.zeros((3, 3)), np.arange(3)[None])], voxel_nm=1.0, ends=None
        )


def test_a_second_run_gives_the_same(folder: Path, stores: dict[str, Path], tmp_path: Path) -> None:
    out = {key: tmp_path / key for key in ("pores", "cracks", "structure")}
    inputs = {"volume": stores["volume.zarr"], "voids": stores["voids.zarr"]}
    measure_voids.run(
        inputs, out, MeasureVoidsStage(**settings(folder, "measure_voids")), context("measure_voids")
    )
    assert out["structure"].read_bytes() == stores["structure.json"].read_bytes()
    assert out["pores"].read_bytes() == stores["pores.csv"].read_bytes()


def changed(folder: Path, to: Path, values: np.ndarray | None, **changes: Any) -> Path:
    """The configuration with other settings, and another volume where one is given."""
    data = yaml.safe_load((folder / "config.yaml").read_text())
    structure = data["samples"]["particle"]["structure"]
    structure["volume"] = str(folder / "raw" / "volume.tif")
    if values is not None:
        tifffile.imwrite(to / "volume.tif", values.astype(np.float32))
        structure["volume"] = str(to / "volume.tif")
    structure |= changes
    data["samples"]["particle"]["structure"] = {k: v for k, v in structure.items() if v is not None}
    (to / "config.yaml").write_text(yaml.safe_dump(data))
    return to


def volume_of(folder: Path) -> np.ndarray:
    return tifffile.imread(folder / "raw" / "volume.tif")


def segmented(place: Path) -> Any:
    store = place / "volume.zarr"
    read_stage.run(
        {}, {"store": store}, ReadVolumeStage(**settings(place, "read_volume")), context("read_volume")
    )
    chosen = SegmentVoidsStage(**settings(place, "segment_voids"))
    segment_voids.run({"volume": store}, {"store": place / "voids.zarr"}, chosen, context("segment_voids"))
    return read_store(place / "voids.zarr")


def test_a_particle_without_voids_has_tables_without_rows(folder: Path, tmp_path: Path) -> None:
    z, y, x = np.mgrid[:48, :48, :48] - 23.5
    ball = np.clip(18 - np.sqrt(z * z + y * y + x * x), 0, 1)
    noise = 0.2 * np.random.default_rng(0).standard_normal(ball.shape)
    place = changed(folder, tmp_path, gaussian_filter(ball, 1.0) + noise)
    segmented(place)
    inputs = {"volume": place / "volume.zarr", "voids": place / "voids.zarr"}
    out = {"pores": place / "pores.csv", "cracks": place / "cracks.csv", "structure": place / "facts.json"}
    measure_voids.run(
        inputs, out, MeasureVoidsStage(**settings(place, "measure_voids")), context("measure_voids")
    )
    facts = json.loads(out["structure"].read_text())
    assert (facts["pores"]["count"], facts["cracks"]["count"]) == (0, 0)
    assert facts["open_fraction"] is None
    assert facts["cracks"]["aperture_distribution"] is None
    assert facts["cracks"]["mean_aperture_nm"]["ci95"] is None
    tables = {name: out[name] for name in ("pores", "cracks")}
    export_meshes.run(
        {"voids": inputs["voids"]} | tables,
        {"meshes": place / "meshes"},
        ExportStage(**settings(place, "export_meshes")),
        context("export_meshes"),
    )
    assert sorted(path.name for path in (place / "meshes").iterdir()) == [
        "meshes.json",
        "particle.stl",
        "particle.vtp",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: 1 - v, "invert the contrast"),
        (lambda v: np.zeros_like(v), "grey values of one kind"),
        (lambda v: np.random.default_rng(0).standard_normal(v.shape), "grey values of one kind"),
    ],
)
def test_a_volume_without_particle_is_one_line_and_writes_nothing(
    folder: Path, tmp_path: Path, change: Any, message: str
) -> None:
    place = changed(folder, tmp_path, change(volume_of(folder)))
    with pytest.raises(InputError, match=message) as caught:
        segmented(place)
    assert "\n" not in str(caught.value)
    assert not (place / "voids.zarr").exists()


def test_a_cut_particle_is_flagged(folder: Path, tmp_path: Path) -> None:
    store = segmented(changed(folder, tmp_path, volume_of(folder)[24:]))
    assert store.attributes["cut"] == [1]


def test_a_mask_of_the_users_own(folder: Path, tmp_path: Path) -> None:
    mask = np.zeros(volume_of(folder).shape, np.uint8)
    mask[24:56, 24:56, 24:56] = 1
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    store = segmented(changed(folder, tmp_path, None, mask=str(tmp_path / "mask.tif")))
    np.testing.assert_array_equal(store["particle"], mask)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"voxel_nm": None}, "voxel_nm"),
        ({"volume": None}, "exactly one of projections, phase_maps, volume"),
        ({"volume": "absent.tif"}, "absent.tif"),
    ],
)
def test_what_a_check_refuses(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: Any, message: str
) -> None:
    place = changed(folder, tmp_path, None, **changes)
    assert main(["check", str(place / "config.yaml")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
