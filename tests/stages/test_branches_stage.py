"""Stores of one particle through the stage that registers its branches, and what becomes of two particles."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial.transform import Rotation

from oxytomo.config import parse_config
from oxytomo.config.plan import stage_settings
from oxytomo.config.stage_files import stage_inputs
from oxytomo.config.stage_settings import RegisterBranchesStage
from oxytomo.errors import ConfigError
from oxytomo.io.mechanics_stores import write_lithium
from oxytomo.io.provenance import make_provenance
from oxytomo.io.stores import NamedArray, read_store, write_store
from oxytomo.io.void_stores import write_voids
from oxytomo.mechanics.geometry import Parts
from oxytomo.segment.classes import CLASS_LABELS, classify_deviation
from oxytomo.segment.voids import segment_voids
from oxytomo.simulate.voids import Scene, random_scene, turned
from oxytomo.stages.context import StageContext
from oxytomo.stages.shared import register_branches
from oxytomo.view.sample_page import write_report

pytestmark = pytest.mark.slow

FINE, COARSE, FINE_NM, COARSE_NM = 76, 52, 15.0, 22.5
NEAR_NM = 60.0


def scene(seed: int) -> Scene:
    rng = np.random.default_rng(seed)
    found = random_scene(FINE, apertures_px=(2.5,), pore_radii_px=(4, 5, 6), rng=rng)
    return replace(found, cracks=tuple(replace(crack, bend=0.0) for crack in found.cracks))


def composition(folder: Path, shown: Scene, rng: np.random.Generator) -> dict[str, Path]:
    """Write a composition whose oxygen-poor places are within 60 nm of the pores."""
    drawn = shown.rows(slice(0, COARSE))
    solid = gaussian_filter(drawn.envelope - drawn.void, 0.8)
    particle = drawn.envelope > 0.5
    z, y, x = np.indices(particle.shape)
    poor = np.zeros(particle.shape, bool)
    for pore in shown.pores:
        away = np.sqrt(sum((axis - c) ** 2 for axis, c in zip((z, y, x), pore.centre_px, strict=True)))
        poor |= away * COARSE_NM < pore.half_axes_px.mean() * COARSE_NM + NEAR_NM
    deviation = np.where(particle, 0.1 * poor, np.nan).astype(np.float32)
    noise = [0.02 * gaussian_filter(rng.standard_normal(particle.shape), 1) / 0.21 for _ in range(4)]
    measured = (deviation + noise[0]).astype(np.float32)
    null = np.where(particle, 3 * noise[1], np.nan).astype(np.float32)
    content = {
        "reconstruct": {
            "total": (solid + 0.1 * rng.standard_normal(solid.shape)).astype(np.float32),
            "elements": np.stack([solid, solid]).astype(np.float32),
            "deviation": measured,
            "particle": particle,
        },
        "uncertainty": {
            "deviation_sigma": np.where(particle, 0.02, np.nan).astype(np.float32),
            "replicates": np.stack([deviation + one for one in noise]).astype(np.float16),
            "null": null[None].astype(np.float16),
        },
        "classify": {
            "phases": classify_deviation(measured, particle, threshold=0.05),
            "phases_confident": classify_deviation(measured, particle, threshold=0.05),
            "null_phases": classify_deviation(null, particle, threshold=0.05),
            "particle": particle.astype(np.uint8),
        },
    }
    facts = {
        "pixel_nm": COARSE_NM,
        "n_null": 1,
        "threshold": 0.05,
        "reference_tm_o": 0.4,
        "elements": ["O", "Mn"],
    }
    paths = {}
    for name, arrays in content.items():
        paths[name] = folder / "stages" / "composition" / f"{name}.zarr"
        named = {key: NamedArray(a, ("n", "z", "y", "x")[-a.ndim :], "1") for key, a in arrays.items()}
        provenance = make_provenance(stage=name, version=1, settings={}, inputs={})
        paths[name].parent.mkdir(parents=True, exist_ok=True)
        write_store(paths[name], named, provenance=provenance, attributes=facts)
    return paths


def structure(folder: Path, shown: Scene, rng: np.random.Generator) -> Path:
    """Write the segmentation of a volume of a particle."""
    drawn = shown.rows(slice(0, FINE))
    grey = gaussian_filter(drawn.envelope - drawn.void, 1.0)
    grey += 0.1 * rng.standard_normal(grey.shape).astype(np.float32)
    options = {"bridge_px": 8.0, "false_cracks": 0.02, "false_discovery": 0.01, "smallest_share": 0.05}
    voids = segment_voids(grey, None, blur_px=1.0, separate=False, **options)
    path = folder / "stages" / "structure" / "voids.zarr"
    path.parent.mkdir(parents=True, exist_ok=True)
    provenance = StageContext("segment_voids", 1, 1, {}).provenance({})
    write_voids(path, voids, voxel_nm=FINE_NM, provenance=provenance)
    return path


FIRST = 4
"""First voxel of the particle of mechanics in the structure, along each axis."""


def mechanics(folder: Path, voids: Path) -> dict[str, Path]:
    """Write a stress that is high beside pores, one of depth alone, one of noise, and a linear one."""
    store, rng = read_store(voids), np.random.default_rng(3)
    instances, n_pores = store["instances"], int(store.attributes["n_pores"])
    whole = np.where(store["particle"] > 0, 1, 0)
    labels = np.where(instances > n_pores, 3, np.where(instances > 0, 2, whole)).astype(np.uint8)
    beside = distance_transform_edt(~((instances > 0) & (instances <= n_pores))) * FINE_NM <= NEAR_NM
    depth = distance_transform_edt(labels > 0)
    place = np.indices(labels.shape) * FINE_NM
    stress = {
        "first_principal": 20.0 + depth + 100.0 * beside,
        "hoop": -50.0 + 5.0 * depth,
        "von_mises": 30.0 * gaussian_filter(rng.standard_normal(labels.shape), 3) / 0.02,
        "hydrostatic": 0.05 * place[0] - 0.02 * place[1] + 0.01 * place[2],
    }
    box = (slice(FIRST, -FIRST),) * 3
    pores = np.where(instances <= n_pores, instances, 0).astype(np.int32)
    parts = Parts(labels[box], None, pores[box], FINE_NM / 1e3, (FIRST,) * 3)
    paths = {name: folder / "stages" / "mechanics" / f"{name}.zarr" for name in ("lithiate", "solve_stress")}
    paths["lithiate"].parent.mkdir(parents=True, exist_ok=True)
    provenance = make_provenance(stage="lithiate", version=1, settings={}, inputs={})
    # Stored are shape factors: half the stress, and an amplitude of 2 MPa.
    facts = {"states": [{"amplitude_mpa": 2.0}], "shown": 0, "factor": 1}
    profiles = np.zeros((1, *parts.labels.shape), np.float32)
    write_lithium(paths["lithiate"], parts, [], profiles, attributes=facts, provenance=provenance)
    arrays = {
        key: NamedArray((one[box] / 2).astype(np.float32), ("z", "y", "x"), "1")
        for key, one in stress.items()
    }
    write_store(paths["solve_stress"], arrays, provenance=provenance, attributes={})
    return paths


def registered(folder: Path, voids: Path, stores: dict[str, Path]) -> dict[str, Path]:
    outputs = {
        "store": folder / "stages" / "branches" / "register_branches.zarr",
        "branches": folder / "branches.json",
        "distances": folder / "voids_and_domains.csv",
        "neighbourhoods": folder / "void_neighbourhoods.csv",
        "stress": folder / "stress_and_domains.csv",
    }
    outputs["store"].parent.mkdir(parents=True, exist_ok=True)
    settings = RegisterBranchesStage(near_nm=NEAR_NM, placements=60)
    register_branches.run(
        stores | {"voids": voids}, outputs, settings, StageContext("register_branches", 1, 1, {})
    )
    return outputs


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path], Scene]:
    folder = tmp_path_factory.mktemp("both")
    rng = np.random.default_rng(5)
    one = scene(8)
    shown = turned(one, np.eye(3), scale=FINE_NM / COARSE_NM, size=COARSE)
    stores = composition(folder, shown, rng)
    rotation = Rotation.from_rotvec([1.3, -0.9, 1.7]).as_matrix()
    voids = structure(folder, turned(one, rotation, scale=1.0, size=FINE), rng)
    stores |= mechanics(folder / "aside", voids)
    return folder, registered(folder, voids, stores), shown


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_transform_brings_the_voids_to_their_place(sample: tuple[Path, dict[str, Path], Scene]) -> None:
    _, out, shown = sample
    facts = json.loads(out["branches"].read_text())
    assert facts["verdict"] == "same_particle"
    wanted = Rotation.from_rotvec([1.3, -0.9, 1.7]).as_matrix().T
    matrix = np.array(facts["structure_to_composition"]["matrix_zyx_nm"])
    off = Rotation.from_matrix(matrix[:, :3] @ wanted.T).magnitude()
    assert np.rad2deg(off) < 1.0
    angles = facts["rotation"]["about_x_y_z_deg"]
    in_xyz = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    np.testing.assert_allclose(in_xyz[::-1, ::-1], matrix[:, :3], atol=1e-6)
    store = read_store(out["store"])
    truth = shown.rows(slice(0, COARSE)).void
    placed = store["void"]
    # The same volume to a tenth, most of it where it is: half of these voids is within a voxel of a wall.
    assert placed.sum() == pytest.approx(truth.sum(), rel=0.1)
    assert np.corrcoef(gaussian_filter(placed, 1).ravel(), gaussian_filter(truth, 1).ravel())[0, 1] > 0.95
    assert facts["quality"]["outside"] < 0.05


def test_slabs_and_files_change_no_number(
    sample: tuple[Path, dict[str, Path], Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large particle only slabs are in memory; here slabs of 8 rows, with all fields in files."""
    folder, out, _ = sample
    for name, value in {"slabs.SLAB_VOXELS": 1, "slabs.FEWEST_ROWS": 8, "io.scratch.FIELD_BYTES": 0}.items():
        monkeypatch.setattr(f"oxytomo.{name}", value)
    stores = {
        name: folder / "stages" / "composition" / f"{name}.zarr"
        for name in ("reconstruct", "uncertainty", "classify")
    }
    found = registered(tmp_path, folder / "stages" / "structure" / "voids.zarr", stores)
    for name in ("particle", "voids", "instances", "void"):
        np.testing.assert_array_equal(read_store(found["store"])[name], read_store(out["store"])[name])
    for table in ("distances", "neighbourhoods"):
        for mine, theirs in zip(rows(found[table]), rows(out[table]), strict=True):
            for key, value in theirs.items():
                if key in ("class", "feature", "kind"):
                    assert mine[key] == value
                else:  # sums over slabs differ from those of the whole by rounding
                    assert float(mine[key]) == pytest.approx(float(value), rel=1e-5, nan_ok=True)


def test_air_around_the_particle_changes_no_number(
    sample: tuple[Path, dict[str, Path], Scene], tmp_path: Path
) -> None:
    """Only the box of the particle is looked at: what is around it costs no memory and says nothing."""
    folder, out, _ = sample
    air = 12
    stores = {}
    for name in ("reconstruct", "uncertainty", "classify"):
        store = read_store(folder / "stages" / "composition" / f"{name}.zarr")
        wider = {}
        for key in store.names:
            array, edges = store[key], [(0, 0)] * (store[key].ndim - 3) + [(air, air)] * 3
            empty = np.nan if array.dtype.kind == "f" and key != "total" and key != "elements" else 0
            wider[key] = NamedArray(np.pad(array, edges, constant_values=empty), store.axes(key), "1")
        stores[name] = tmp_path / f"{name}.zarr"
        write_store(stores[name], wider, provenance=store.provenance, attributes=store.attributes)
    found = registered(tmp_path, folder / "stages" / "structure" / "voids.zarr", stores)
    inner = (slice(air, -air),) * 3
    for name in ("particle", "instances"):
        both = read_store(found["store"])[name][inner] > 0, read_store(out["store"])[name] > 0
        assert (both[0] ^ both[1]).sum() < 0.01 * both[1].sum()
    for mine, theirs in zip(rows(found["neighbourhoods"]), rows(out["neighbourhoods"]), strict=True):
        if mine["kind"] == "pore":
            assert float(mine["mean_deviation"]) == pytest.approx(float(theirs["mean_deviation"]), abs=0.01)
            away = [float(mine[f"centroid_{a}_nm"]) - float(theirs[f"centroid_{a}_nm"]) for a in "zyx"]
            np.testing.assert_allclose(away, air * COARSE_NM, atol=0.5 * COARSE_NM)


def test_oxygen_poor_places_beside_pores_are_more_than_chance(
    sample: tuple[Path, dict[str, Path], Scene],
) -> None:
    _, out, shown = sample
    facts = json.loads(out["branches"].read_text())
    poor = facts["near_share"]["oxygen_poor"]
    assert poor["value"] > poor["chance95"][1]
    # Classes of the null run are noise without any relation to voids.
    assert poor["null_run"] < poor["chance95"][1]
    table = {(row["class"], row["feature"]): row for row in rows(out["distances"])}
    distance = table["oxygen_poor", "pore"]
    assert float(distance["mean_distance_nm"]) < float(distance["chance_low_nm"])
    assert float(table["target", "pore"]["mean_distance_nm"]) > float(distance["mean_distance_nm"])
    assert table["oxygen_poor", "surface"]["chance_low_nm"] == "nan"
    beside = [row for row in rows(out["neighbourhoods"]) if row["kind"] == "pore"]
    assert len(beside) == len(shown.pores)
    for row in beside:
        # 0.1 was planted; the outer shell of some neighbourhoods reaches beyond what was planted.
        assert float(row["mean_deviation"]) == pytest.approx(0.1, abs=0.03)
        # Noise of 0.02 over a few independent places, times 2.3 and Student's 1.2: no more than that of one place.
        assert 0 < float(row["standard_error"]) < 0.02 * 2.3 * 1.2


def test_stress_in_domains_against_chance(sample: tuple[Path, dict[str, Path], Scene]) -> None:
    """A stress beside the pores, where oxygen is missing, is more than chance; others are not."""
    folder, out, _ = sample
    table = {(row["class"], row["stress"]): row for row in rows(out["stress"])}
    assert len(table) == 12
    poor = {key: float(value) for key, value in table["oxygen_poor", "first_principal"].items() if "_" in key}
    assert poor["mean_mpa"] > poor["chance_high_mpa"]
    assert poor["p_value"] == pytest.approx(1 / 61)
    # Nearly all of the class is where 100 MPa were added; as deep there are other places, too
    assert poor["mean_mpa"] - poor["expected_mpa"] > 50
    assert poor["null_run_mpa"] < poor["chance_high_mpa"]
    for kind in ("hoop", "von_mises"):
        other = {key: float(value) for key, value in table["oxygen_poor", kind].items() if "_" in key}
        assert other["p_value"] > 0.05, kind
    # 40 MPa apart from the mean of the particle, and nearly all of it is depth
    of_depth = {key: float(table["oxygen_poor", "hoop"][key]) for key in ("mean_mpa", "expected_mpa")}
    assert of_depth["mean_mpa"] == pytest.approx(of_depth["expected_mpa"], abs=1.0)
    # The linear stress of the structure at the voxels of the class, by the transform that was planted
    phases = read_store(folder / "stages" / "composition" / "classify.zarr")["phases"]
    turn = Rotation.from_rotvec([1.3, -0.9, 1.7]).as_matrix()
    middles = [(n - 1) / 2 * nm for n, nm in ((COARSE, COARSE_NM), (FINE, FINE_NM))]
    place = (np.argwhere(phases == CLASS_LABELS["target"]) * COARSE_NM - middles[0]) @ turn.T + middles[1]
    # Voxels near surfaces are left out, on all sides alike: 3 MPa of the 50 MPa across the particle
    wanted = float((place @ [0.05, -0.02, 0.01]).mean())
    assert float(table["target", "hydrostatic"]["mean_mpa"]) == pytest.approx(wanted, abs=3.0)


def test_the_report_shows_both_branches(sample: tuple[Path, dict[str, Path], Scene], tmp_path: Path) -> None:
    folder, _, _ = sample
    write_report(folder, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "Voids and composition" in page
    assert "within 60 nm of a void" in page
    assert "Stress in the domains" in page


def test_two_particles_are_not_compared(sample: tuple[Path, dict[str, Path], Scene], tmp_path: Path) -> None:
    folder, _, _ = sample
    stores = {
        name: folder / "stages" / "composition" / f"{name}.zarr"
        for name in ("reconstruct", "uncertainty", "classify")
    }
    voids = structure(tmp_path, turned(scene(9), np.eye(3), scale=1.0, size=FINE), np.random.default_rng(6))
    out = registered(tmp_path, voids, stores)
    facts = json.loads(out["branches"].read_text())
    assert facts["verdict"] == "unclear"
    assert "near_share" not in facts
    assert rows(out["distances"]) == []
    for key in ("distances", "neighbourhoods", "stress"):
        header = (folder / out[key].name).read_text().splitlines()[0]
        assert out[key].read_text() == header + "\n"
    assert not read_store(out["store"])["voids"].any()


def test_both_branches_are_needed(tmp_path: Path) -> None:
    volume = {"volume": "v.tif", "voxel_nm": 20}
    data = {"samples": {"a": {"structure": volume, "register_branches": True}}}
    with pytest.raises(ConfigError, match=r"samples\.a\.register_branches.*no composition"):
        parse_config(data, folder=tmp_path, name="x.yaml")
    edges = {element: {"pre": "a.h5", "post": "b.h5"} for element in ("O", "Mn")}
    data["samples"]["a"]["composition"] = {"edges": edges, "formula": {"Mn": 1, "O": 2}}
    project = parse_config(yaml.safe_load(yaml.safe_dump(data)), folder=tmp_path, name="x.yaml")
    given = stage_settings(project, "a", None, "register_branches")
    assert given == {"near_nm": None, "placements": 200, "seed": 0}


def test_stress_of_the_structure_is_read_and_of_other_labels_not(tmp_path: Path) -> None:
    edges = {element: {"pre": "a.h5", "post": "b.h5"} for element in ("O", "Mn")}
    branches = {
        "structure": {"volume": "v.tif", "voxel_nm": 20},
        "composition": {"edges": edges, "formula": {"Mn": 1, "O": 2}},
        "register_branches": True,
    }
    of_labels = {"labels": "parts.tif", "voxel_nm": 20}
    kinds = {"none": None, "labels": of_labels, "structure": {}}
    found = {}
    for kind, more in kinds.items():
        mechanics = {} if more is None else {"mechanics": {"material": {"preset": "nmc811"}} | more}
        project = parse_config({"samples": {"a": branches | mechanics}}, folder=tmp_path, name="x.yaml")
        found[kind] = set(stage_inputs(project, "a", None, "register_branches"))
    plain = {"reconstruct", "uncertainty", "classify", "voids"}
    assert found == {"none": plain, "labels": plain, "structure": plain | {"lithiate", "solve_stress"}}
