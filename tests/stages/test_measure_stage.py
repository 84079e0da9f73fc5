"""The stages ``classify`` and ``measure`` on a tiny particle whose answers are known."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from oxytomo.arrays import OXYGEN_POOR, OXYGEN_RICH, TARGET, UNDECIDED
from oxytomo.composition.noise import project
from oxytomo.config.stage_settings import ClassifyStage, MeasureStage
from oxytomo.errors import StoreError
from oxytomo.io.stores import NamedArray, Provenance, read_store, write_store
from oxytomo.measure.fractions import BORDER_PX, MISSED_VOXELS, QUANTILES, border_share
from oxytomo.stages.composition import classify, measure
from oxytomo.stages.context import StageContext

VOLUME = ("z", "y", "x")
RAYS = ("tilt", "y", "x")
SHAPE = (10, 14, 14)
CLASSIFY = ClassifyStage(threshold=0.05, confidence=0.95)
NO_SHARED_ERROR = {"systematic": 0.0, "skin_oxygen_px": 0.0}
PIXEL_NM = 10.0


def store(path: Path, arrays: dict[str, NamedArray], attributes: dict) -> Path:
    provenance = Provenance("made", 1, {}, {}, "0", "2024-01-01T00:00:00+00:00")
    write_store(path, arrays, provenance=provenance, attributes=attributes)
    return path


def context(stage: str, settings: object) -> StageContext:
    return StageContext(stage=stage, version=1, threads=1, settings_json=settings.model_dump(mode="json"))


def deviation_of_known_classes() -> tuple[np.ndarray, np.ndarray]:
    """Return 8 × 10 × 12 = 960 voxels: 24 oxygen-poor in a box, 96 oxygen-rich in a bar, one NaN."""
    particle = np.zeros(SHAPE, bool)
    particle[1:-1, 1:11, 1:-1] = True
    deviation = np.where(particle, 0.0, np.nan).astype(np.float32)
    deviation[3:5, 3:6, 3:7] = 0.2
    deviation[1:-1, 8, 1:-1] = -0.2
    deviation[6, 6, 6] = np.nan
    return deviation, particle


@pytest.fixture
def inputs(tmp_path) -> dict[str, Path]:
    deviation, particle = deviation_of_known_classes()
    reconstruct = store(
        tmp_path / "reconstruct.zarr",
        {"deviation": NamedArray(deviation, VOLUME, "1"), "particle": NamedArray(particle, VOLUME, "1")},
        {"pixel_nm": PIXEL_NM, "reference_tm_o": 0.98},
    )
    # Two replicates: the box of 24 is on target in one of them.
    replicates = np.stack([deviation, deviation]).astype(np.float16)
    replicates[1, 3:5, 3:6, 3:7] = 0.0
    null = np.where(particle, 0.0, np.nan).astype(np.float16)[None]
    null[0, 2, 2, 2] = 0.3
    sigma = np.where(particle, 0.01, np.nan).astype(np.float32)
    sigma[3, 3, 3] = 1.0
    uncertainty = store(
        tmp_path / "uncertainty.zarr",
        {
            "deviation_sigma": NamedArray(sigma, VOLUME, "1"),
            "replicates": NamedArray(replicates, ("replicate", *VOLUME), "1"),
            "null": NamedArray(null, ("replicate", *VOLUME), "1"),
        },
        {"pixel_nm": PIXEL_NM, "noise": 0.01, **NO_SHARED_ERROR},
    )
    # A dense particle with the noise of nothing: TM and O alike, on every ray.
    tilt_deg = np.arange(-60.0, 61.0, 10.0)
    areal = np.stack([PIXEL_NM / 1e3 * project(particle.astype(np.float32), tilt_deg)] * 2)
    decompose = store(
        tmp_path / "decompose.zarr",
        {
            "areal": NamedArray(areal, ("element", *RAYS), "um"),
            "covariance": NamedArray(
                np.full((3, *areal.shape[1:]), 1e-4, np.float32), ("pair", *RAYS), "um2"
            ),
            "tilt_deg": NamedArray(tilt_deg, ("tilt",), "degree"),
        },
        {
            "elements": ["O", "Ni"],
            "atoms": [2.0, 1.0],
            "pixel_nm": PIXEL_NM,
            "unsolved_rays": 7,
            "n_rays": 1000,
            "invalid": {"O_pre": {"opaque": 3}},
        },
    )
    return {"reconstruct": reconstruct, "uncertainty": uncertainty, "decompose": decompose}


def run_both(
    inputs: dict[str, Path], folder: Path, classify_settings: ClassifyStage = CLASSIFY, **changes: object
) -> dict[str, Path]:
    """Run both stages and return the paths of what they wrote."""
    seed = {"seed": 0} if "seed" in MeasureStage.model_fields else {}
    settings = MeasureStage.model_validate({"shells": 2, "min_domain_voxels": 8} | seed | changes)
    outputs = {
        "store": folder / "classify.zarr",
        "phases": folder / "phases.json",
        "domains": folder / "domains.csv",
        "shells": folder / "composition_shells.csv",
    }
    first = {name: path for name, path in inputs.items() if name in ("reconstruct", "uncertainty")}
    classify.run(
        first, {"store": outputs["store"]}, classify_settings, context("classify", classify_settings)
    )
    measure.run(
        inputs | {"classify": outputs["store"]},
        {name: outputs[name] for name in ("phases", "domains", "shells")},
        settings,
        context("measure", settings),
    )
    return outputs


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_classify_writes_the_label_images(inputs, tmp_path, capsys):
    written = read_store(run_both(inputs, tmp_path)["store"])
    _, particle = deviation_of_known_classes()
    phases, confident, null = (written[name] for name in ("phases", "phases_confident", "null_phases"))
    assert {written[name].dtype for name in written.names} == {np.dtype(np.uint8)}
    assert np.bincount(phases.ravel(), minlength=5).tolist() == [
        int((~particle).sum()) + 1,
        959 - 24 - 96,
        24,
        96,
        0,
    ]
    assert (phases[3:5, 3:6, 3:7] == OXYGEN_POOR).all()
    assert (phases[1:-1, 8, 1:-1] == OXYGEN_RICH).all()
    assert confident[6, 6, 6] == confident[3, 3, 3] == UNDECIDED
    assert (confident == UNDECIDED).sum() == 2
    assert null[2, 2, 2] == OXYGEN_POOR
    assert (null == TARGET).sum() == 959
    np.testing.assert_array_equal(written["particle"], particle)
    assert written.axes("phases") == VOLUME
    assert written.attributes == {
        "threshold": 0.05,
        "confidence": 0.95,
        "pixel_nm": PIXEL_NM,
        "voxel_nm": PIXEL_NM,
        "n_null": 1,
        "voxels_without_deviation": 1,
    }
    assert written.provenance.stage == "classify"
    assert set(written.provenance.inputs) == {"reconstruct", "uncertainty"}
    assert "1 of 960 voxels of the particle have no value" in capsys.readouterr().err


def outline_of(phases: dict, name: str) -> float:
    """How much a fraction grows by the error of the outline; by hand in ``test_every_number.py``."""
    return max(
        phases["readings"][f"outline_further_{way}"][name] - phases["fractions"][name]["value"]
        for way in ("out", "in")
    )


def test_phases_json_has_the_known_fractions(inputs, tmp_path):
    outputs = run_both(inputs, tmp_path)
    phases = json.loads(outputs["phases"].read_text())
    assert phases["threshold"] == 0.05
    assert phases["voxel_nm"] == PIXEL_NM
    assert phases["reference_tm_o"] == 0.98
    assert phases["particle_volume_nm3"] == 960_000.0
    fractions = phases["fractions"]
    assert fractions["oxygen_poor"]["value"] == pytest.approx(24 / 959)
    assert fractions["oxygen_rich"]["value"] == pytest.approx(96 / 959)
    assert fractions["target"]["value"] == pytest.approx(839 / 959)
    # Replicates 24/959 and 0: s = 24/959/√2, b = −12/959.
    written = read_store(outputs["store"])["phases"]
    border, missed = BORDER_PX * border_share(written, OXYGEN_POOR), MISSED_VOXELS / 959
    half = QUANTILES[0.95] * np.sqrt((24 / 959) ** 2 / 2 + (12 / 959) ** 2 + border**2 + missed**2)
    low, high = fractions["oxygen_poor"]["ci95"]
    assert low == 0.0
    assert high == pytest.approx(24 / 959 + np.hypot(half, outline_of(phases, "oxygen_poor")), rel=1e-5)
    assert fractions["oxygen_poor"]["replicate_bias"] == pytest.approx(-12 / 959)
    border = BORDER_PX * border_share(written, OXYGEN_RICH)
    half = QUANTILES[0.95] * np.hypot(border, missed)
    low, high = fractions["oxygen_rich"]["ci95"]
    assert low == 0.0
    assert high == pytest.approx(96 / 959 + np.hypot(half, outline_of(phases, "oxygen_rich")))
    assert phases["null"]["runs"] == 1
    assert phases["null"]["fractions"]["oxygen_poor"] == {"value": pytest.approx(1 / 960), "ci95": None}
    assert phases["confident"]["fractions"]["undecided"]["value"] == pytest.approx(2 / 960)
    assert phases["domains"]["oxygen_poor"] == {"n_domains": 1, "largest_share": 1.0, "spanning": False}
    assert phases["domains"]["oxygen_rich"]["spanning"] is True
    assert phases["invalid_rays"] == {
        "unsolved": 7,
        "n_rays": 1000,
        "by_series": {"O_pre": {"opaque": 3}},
    }
    assert set(phases["fractions"]) <= set(phases["definitions"])
    # Both halves show the same particle; beyond the coarsest shells seven views each are too few for its detail.
    assert set(phases["resolution"]) == {"all", "tilt_axis", "across_beam", "along_beam"}
    assert min(phases["resolution"]["across_beam"]["correlation"][:2]) > 0.9


def test_classes_can_be_counted_on_larger_voxels(inputs, tmp_path):
    counted = CLASSIFY.model_copy(update={"voxel_nm": 3 * PIXEL_NM})
    phases = json.loads(run_both(inputs, tmp_path, classify_settings=counted)["phases"].read_text())
    assert phases["counted_voxel_nm"] == 3 * PIXEL_NM
    # A bar of one voxel at -0.2 is a slab of three at -0.067; its ends and the NaN change nothing else.
    assert phases["fractions"]["oxygen_rich"]["value"] == pytest.approx(3 * 96 / 959)
    assert phases["null"]["fractions"]["target"]["value"] == 1.0


def test_domains_csv_has_one_row_per_domain(inputs, tmp_path):
    table = rows(run_both(inputs, tmp_path)["domains"])
    # The bar cuts the target in two.
    assert [row["class"] for row in table] == ["target", "target", "oxygen_poor", "oxygen_rich"]
    poor = table[2]
    assert float(poor["volume_nm3"]) == 24_000.0
    assert [float(poor[f"centroid_{axis}_nm"]) for axis in "zyx"] == [35.0, 40.0, 45.0]
    assert float(poor["depth_min_nm"]) == 25.0


def test_composition_shells_csv_goes_from_rim_to_centre(inputs, tmp_path):
    table = rows(run_both(inputs, tmp_path)["shells"])
    assert [(float(row["shell_outer"]), float(row["shell_inner"])) for row in table] == [(0, 50), (50, 100)]
    assert sum(int(row["n_voxels"]) for row in table) == 959
    assert float(table[0]["depth_mean_nm"]) < float(table[1]["depth_mean_nm"])
    assert {row["standard_error_from"] for row in table} == {"replicates"}
    weighted = sum(int(row["n_voxels"]) * float(row["mean_deviation"]) for row in table)
    assert weighted == pytest.approx(0.2 * 24 - 0.2 * 96, rel=1e-5)


def test_settings_reach_the_tables(inputs, tmp_path):
    outputs = run_both(inputs, tmp_path, shells=3, min_domain_voxels=25)
    assert len(rows(outputs["shells"])) == 3
    assert "oxygen_poor" not in [row["class"] for row in rows(outputs["domains"])]


def test_without_replicates_nothing_is_certain_and_intervals_are_null(inputs, tmp_path):
    del inputs["uncertainty"]
    outputs = run_both(inputs, tmp_path)
    written = read_store(outputs["store"])
    assert set(np.unique(written["phases_confident"])) == {0, UNDECIDED}
    assert not written["null_phases"].any()
    phases = json.loads(outputs["phases"].read_text())
    assert phases["fractions"]["target"]["ci95"] is None
    assert phases["fractions"]["target"]["replicate_bias"] is None
    assert phases["null"] == {
        "runs": 0,
        "fractions": {name: {"value": None, "ci95": None} for name in phases["fractions"]},
    }
    assert {row["standard_error_from"] for row in rows(outputs["shells"])} == {"none"}
    assert {row["standard_error"] for row in rows(outputs["shells"])} == {"nan"}


def test_empty_stacks_of_replicates_count_as_none(inputs, tmp_path):
    _, particle = deviation_of_known_classes()
    empty = NamedArray(np.zeros((0, *SHAPE), np.float16), ("replicate", *VOLUME), "1")
    inputs["uncertainty"] = store(
        tmp_path / "empty.zarr",
        {
            "deviation_sigma": NamedArray(np.full(SHAPE, np.nan, np.float32), VOLUME, "1"),
            "replicates": empty,
            "null": empty,
        },
        {"pixel_nm": PIXEL_NM, "noise": None, **NO_SHARED_ERROR},
    )
    outputs = run_both(inputs, tmp_path)
    assert (read_store(outputs["store"])["phases_confident"][particle] == UNDECIDED).all()
    assert json.loads(outputs["phases"].read_text())["fractions"]["target"]["ci95"] is None


def test_a_rerun_gives_the_same_content(inputs, tmp_path):
    first = run_both(inputs, tmp_path / "first")
    second = run_both(inputs, tmp_path / "second")
    assert read_store(first["store"]).digest == read_store(second["store"]).digest
    for name in ("phases", "domains", "shells"):
        assert first[name].read_bytes() == second[name].read_bytes()


def test_a_missing_input_store_is_one_clear_line(inputs, tmp_path):
    inputs["reconstruct"] = tmp_path / "nowhere.zarr"
    with pytest.raises(
        StoreError, match=r"nowhere\.zarr: expected a store of this package.*got nothing there"
    ):
        classify.run(inputs, {"store": tmp_path / "classify.zarr"}, CLASSIFY, context("classify", CLASSIFY))
    assert not (tmp_path / "classify.zarr").exists()


def test_without_the_decomposed_store_invalid_rays_are_null(inputs, tmp_path):
    del inputs["decompose"]
    assert json.loads(run_both(inputs, tmp_path)["phases"].read_text())["invalid_rays"] is None


def test_a_damaged_input_leaves_no_table_behind(inputs, tmp_path):
    inputs["decompose"] = tmp_path / "nowhere.zarr"
    with pytest.raises(StoreError, match="got nothing there"):
        run_both(inputs, tmp_path)
    assert not list(tmp_path.glob("*.csv"))


def test_a_single_voxel_at_the_surface_is_undecided_and_counted_as_the_threshold_says(inputs, tmp_path):
    deviation, particle = deviation_of_known_classes()
    deviation[1, 2, 3] = 0.3  # alone, on the face z = 1
    deviation[4, 10, 9] = deviation[5, 10, 9] = 0.3  # two that share a face, on the face y = 10
    inputs["reconstruct"] = store(
        tmp_path / "skin.zarr",
        {"deviation": NamedArray(deviation, VOLUME, "1"), "particle": NamedArray(particle, VOLUME, "1")},
        {"pixel_nm": PIXEL_NM, "reference_tm_o": 0.98},
    )
    outputs = run_both(inputs, tmp_path)
    written = read_store(outputs["store"])
    assert written["phases_confident"][1, 2, 3] == UNDECIDED
    assert written["phases"][1, 2, 3] == OXYGEN_POOR
    assert (written["phases_confident"][4:6, 10, 9] == OXYGEN_POOR).all()
    phases = json.loads(outputs["phases"].read_text())
    assert phases["fractions"]["oxygen_poor"]["value"] == pytest.approx(27 / 959)
    assert phases["confident"]["fractions"]["oxygen_poor"]["value"] == pytest.approx(25 / 960)
    assert phases["confident"]["fractions"]["undecided"]["value"] == pytest.approx(3 / 960)


def test_a_skin_that_may_be_carbonate_gives_a_second_reading_within_the_interval(inputs, tmp_path):
    made = read_store(inputs["uncertainty"])
    attributes = dict(made.attributes) | {"skin_oxygen_px": 0.8}
    arrays = {
        "deviation_sigma": NamedArray(made["deviation_sigma"], VOLUME, "1"),
        "replicates": NamedArray(made["replicates"], ("replicate", *VOLUME), "1"),
        "null": NamedArray(made["null"], ("replicate", *VOLUME), "1"),
    }
    keep = {name: attributes[name] for name in ("pixel_nm", "systematic", "skin_oxygen_px", "noise")}
    path = store(tmp_path / "skinned.zarr", arrays, keep)
    outputs = run_both(inputs | {"uncertainty": path}, tmp_path)
    content = json.loads(outputs["phases"].read_text(encoding="utf-8"))
    other = content["readings"]["carbonate_skin"]
    # A voxel on target at the surface, depth 0.5 or 1 voxel, is oxygen-poor without the skin's oxygen: 11 % more metal per O.
    assert other["oxygen_poor"] > content["fractions"]["oxygen_poor"]["value"] + 0.3
    low, high = content["fractions"]["oxygen_poor"]["ci95"]
    assert low <= content["fractions"]["oxygen_poor"]["value"] < other["oxygen_poor"] <= high


def test_a_loss_of_oxygen_during_the_scan_is_in_the_numbers(inputs, tmp_path):
    made = read_store(inputs["decompose"])
    n_tilt = made["tilt_deg"].size
    # From 0 to one end and then to the other; 10 % of the oxygen is lost on the way.
    frame = np.concatenate([np.arange(n_tilt // 2, n_tilt), np.arange(n_tilt // 2)[::-1]]).argsort()
    areal = np.array(made["areal"])
    areal[0] *= 1 - 0.1 * frame[:, None, None] / frame.max()
    arrays = {name: NamedArray(made[name], made.axes(name), "1") for name in ("covariance", "tilt_deg")}
    arrays |= {
        "areal": NamedArray(areal, ("element", *RAYS), "um"),
        "frame": NamedArray(frame, ("tilt",), "1"),
    }
    path = store(tmp_path / "damaged.zarr", arrays, dict(made.attributes))
    content = json.loads(
        run_both(inputs | {"decompose": path}, tmp_path)["phases"].read_text(encoding="utf-8")
    )
    found = content["damage"]["tm_o"]
    # By hand: 1/0.9 − 1 over the mean of 1.053; the noise of 1e-2 µm in rays of 0.1 µm leaves a few percent.
    assert found["change"] == pytest.approx(0.105, abs=4 * found["standard_error"])
    assert content["damage"]["by_frame"]["frame"] == list(range(n_tilt))
    assert content["damage"]["series"] == 1


def test_a_wrong_formula_is_in_the_numbers_with_its_cause(inputs, tmp_path):
    made = read_store(inputs["reconstruct"])
    inside = np.asarray(made["particle"]) > 0
    # Twice as much Ni per O as the formula has, at 0.9 of the stated density; the bar and the box are 20 % off that.
    deviation = np.where(inside, (1 + np.nan_to_num(made["deviation"])) * 2 - 1, np.nan).astype(np.float32)
    dense = np.stack([np.where(inside, amount, 7.0) for amount in (0.6, 1.2)]).astype(np.float32)
    arrays = {
        "deviation": NamedArray(deviation, VOLUME, "1"),
        "particle": NamedArray(inside, VOLUME, "1"),
        "elements": NamedArray(dense, ("element", *VOLUME), "1"),
        "total": NamedArray(dense.mean(axis=0), VOLUME, "1"),
    }
    path = store(tmp_path / "off.zarr", arrays, {"pixel_nm": PIXEL_NM, "reference_tm_o": 1.0})
    outputs = run_both(inputs | {"reconstruct": path}, tmp_path)
    whole = json.loads(outputs["phases"].read_text(encoding="utf-8"))["whole_particle"]
    assert whole["off_target"]
    assert whole["median_deviation"] == pytest.approx(1.0)
    assert whole["tm_per_o"] == pytest.approx(1.0)  # the formula: one Ni for two O
    assert whole["relative_density"] == pytest.approx(0.9)
    assert whole["metal_per_oxygen"] == {"Ni": pytest.approx(2.0)}
    assert whole["likely_cause"] == "oxygen"  # of a single metal, the metal or the oxygen
    own = whole["fractions_against_own_mode"]
    assert own == pytest.approx({"target": 840 / 960, "oxygen_poor": 24 / 960, "oxygen_rich": 96 / 960})
