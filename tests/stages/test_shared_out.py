"""One particle in several jobs: the same numbers as in one job, no seams, and one line where it cannot be cut."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oxytomo.arrays import BoolArray, FloatArray, NumberArray, ReplicateKind
from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.composition.deviation import reconstruct_deviation
from oxytomo.composition.deviation_problems import DeviationSolver
from oxytomo.composition.deviation_steps import slabs_of
from oxytomo.composition.noise import project, replicate_rng
from oxytomo.config import parse_config
from oxytomo.config.composition import CompositionConfig
from oxytomo.config.plan import stage_jobs, stage_settings
from oxytomo.errors import InputError
from oxytomo.io.stores import NamedArray, Provenance, Store, read_store, write_store
from oxytomo.reconstruct import total_variation
from oxytomo.reconstruct.total_variation import HALO
from oxytomo.stages.context import StageContext
from oxytomo.stages.registry import STAGES

N, PIXEL_UM, PARTS = 48, 0.01, 3
TILTS = np.arange(-65.0, 66.0, 5.0)
NOISE_UM = 0.03 * 30 * PIXEL_UM
"""3 % of the particle's thickness per ray."""


def particle() -> tuple[FloatArray, FloatArray]:
    """Oxygen and metal (N, N, N) of a ball with a sheet of 10 % less oxygen that lies across all slices."""
    z, y, x = np.mgrid[:N, :N, :N] - (N - 1) / 2
    solid = np.clip((1 - np.sqrt((z / 20) ** 2 + (y / 15) ** 2 + (x / 16) ** 2)) * 12 + 0.5, 0, 1)
    oxygen = solid * np.where(np.abs(x - 3) < 3, 0.9, 1.0)
    return oxygen.astype(np.float32), (1.02 * solid).astype(np.float32)


def measured() -> ColumnDensities:
    """Sinograms of oxygen and one metal with noise."""
    rng = np.random.default_rng(11)
    volumes = [np.asarray(project(volume, TILTS, psf_px=0.8)) for volume in particle()]
    areal = np.float32(PIXEL_UM) * np.stack(volumes)
    areal = areal + rng.normal(0, NOISE_UM, areal.shape).astype(np.float32)
    covariance = np.zeros((3, *areal.shape[1:]), np.float32)
    covariance[[0, 2]] = NOISE_UM**2
    return ColumnDensities(areal, covariance, TILTS, np.array([2.0, 1.0]), PIXEL_UM)


@pytest.fixture(scope="module")
def decomposed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the stage ``decompose``."""
    path, data = tmp_path_factory.mktemp("shared") / "decompose.zarr", measured()
    frames = ("tilt", "y", "x")
    write_store(
        path,
        {
            "areal": NamedArray(np.asarray(data.areal), ("element", *frames), "µm"),
            "covariance": NamedArray(np.asarray(data.covariance), ("pair", *frames), "µm²"),
            "tilt_deg": NamedArray(TILTS, ("tilt",), "deg"),
        },
        provenance=Provenance("made", 1, {}, {}, "0", "2024-01-01T00:00:00+00:00"),
        attributes={"elements": ["O", "Ni"], "atoms": [2.0, 1.0], "pixel_nm": 1000 * PIXEL_UM},
    )
    return path


def job(stage: str, settings: dict[str, Any], inputs: dict[str, Path], store: Path) -> Path:
    """Run a stage as the workflow does."""
    module = STAGES[stage].load()
    store.parent.mkdir(parents=True, exist_ok=True)
    context = StageContext(stage=stage, version=1, threads=1, settings_json=settings)
    module.run(inputs, {"store": store}, module.Settings.model_validate(settings), context)
    return store


def same(one: Store, other: Store) -> None:
    """Compare two stores to the last bit."""
    assert one.names == other.names
    for name in one.names:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    assert one.attributes == other.attributes


@pytest.mark.parametrize("reference", ["mode", "nominal"])
def test_jobs_of_parts_and_one_job_give_the_same_to_the_last_bit(
    reference: str, decomposed: Path, tmp_path: Path
) -> None:
    pair = {"pre": "a.h5", "post": "b.h5"}
    composition = {
        "edges": {"O": pair, "Ni": pair},
        "formula": {"Ni": 1, "O": 2},
        "reference": reference,
        # Few iterations: that each job does the same does not need them to converge.
        "reconstruct": {"parts": PARTS, "iterations": 8, "element_iterations": 6},
        "uncertainty": {"replicates": 2, "null_replicates": 1},
    }
    config = parse_config({"samples": {"a": {"composition": composition}}}, folder=tmp_path, name="x")
    branch = config.samples["a"].composition
    assert isinstance(branch, CompositionConfig)

    def settings(stage: str, name: str | None = None) -> dict[str, Any]:
        return stage_settings(config, "a", "composition", stage, name)

    def jobs(stage: str, inputs: dict[str, Path], prefix: str) -> dict[str, Path]:
        return {
            f"{prefix}{name}": job(stage, settings(stage, name), inputs, tmp_path / stage / f"{name}.zarr")
            for name in stage_jobs(branch, stage)
        }

    inputs = {"decompose": decomposed}
    whole = job("reconstruct", settings("reconstruct"), inputs, tmp_path / "whole.zarr")
    shared = inputs | {
        "prepare": job(
            "reconstruct_prepare", settings("reconstruct_prepare"), inputs, tmp_path / "prepare.zarr"
        )
    }
    parts = jobs("reconstruct_part", shared, "part_")
    if reference == "mode":
        join = job("reconstruct_join", settings("reconstruct_join"), shared | parts, tmp_path / "join.zarr")
        shared["join"] = join
        parts |= jobs("reconstruct_refine", shared, "refine_")
    gathered = job("reconstruct", settings("reconstruct"), shared | parts, tmp_path / "gathered.zarr")
    same(read_store(gathered), read_store(whole))
    assert np.isfinite(read_store(whole)["deviation"]).sum() > 5000

    if reference == "mode":  # replicates take the same way whatever the reference
        return
    inputs["reconstruct"] = whole
    one_job = job("uncertainty", settings("uncertainty"), inputs, tmp_path / "one.zarr")
    repeats = jobs("replicate", inputs, "")
    many = job("uncertainty", settings("uncertainty"), inputs | repeats, tmp_path / "many.zarr")
    same(read_store(many), read_store(one_job))
    first, second = read_store(many)["replicates"].astype(np.float32)
    assert np.nanstd(first - second) > 0  # replicates are drawn independently


def test_parts_and_whole_agree_without_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the seams parts depart from the whole by no more than a converged solve may (0.1 percentage points, ``CONVERGED``).

    Without halos they depart by ten times as much: the test can fail.
    """
    solver = DeviationSolver(
        iterations=150,
        tv_weight=None,
        l1_weight=None,
        element_iterations=40,
        element_tv_weight=None,
        psf_px=0.8,
        parts=PARTS,
    )
    data = measured()
    oxygen, metal = particle()

    def deviation(chosen: DeviationSolver) -> tuple[FloatArray, BoolArray]:
        found = reconstruct_deviation(data, solver=chosen, reference_tm_o=1.02, start=None, with_metals=False)
        return np.asarray(found.deviation), np.asarray(found.particle)

    whole, solid = deviation(replace(solver, parts=1))
    parts, also = deviation(solver)
    monkeypatch.setattr(total_variation, "HALO", 0)
    bare, third = deviation(solver)
    inside = (oxygen > 0.85) & solid & also & third
    seams = [core.start for core, _ in slabs_of(data, third, PARTS)[1][1:]]
    near = np.zeros_like(inside)
    for seam in seams:
        near[seam - 2 : seam + 2] = inside[seam - 2 : seam + 2]

    def rms(values: NumberArray) -> float:
        return float(np.sqrt((values[near] ** 2).mean()))

    truth = metal / (1.02 * np.maximum(oxygen, 0.1)) - 1
    assert rms(parts - whole) < 0.001
    assert rms(parts - whole) < 0.05 * rms(whole - truth)  # noise and bias are far larger
    assert rms(bare - whole) > 0.005
    for seam in seams:  # no step that the whole does not have
        both = inside[seam] & inside[seam - 1]
        steps = [np.std((one[seam] - one[seam - 1])[both]) for one in (parts, whole)]
        assert steps[0] < 1.1 * steps[1]
    assert np.count_nonzero(solid ^ also) < 0.001 * np.count_nonzero(solid)


def test_a_particle_too_thin_for_so_many_parts_is_one_line() -> None:
    solver = DeviationSolver(1, None, None, 1, None, 0.0, parts=30)
    with pytest.raises(InputError, match=f"parts of {HALO} slices or more.*set parts to"):
        reconstruct_deviation(measured(), solver=solver, reference_tm_o=1.0, start=None, with_metals=False)


def test_replicates_have_random_numbers_of_their_own() -> None:
    """Streams are those that SeedSequence spawns: independent, and the same however many are drawn."""
    kinds: tuple[ReplicateKind, ...] = ("noise", "null")
    draws = {(kind, n): replicate_rng(5, kind, n).standard_normal(1000) for kind in kinds for n in (1, 2)}
    np.testing.assert_array_equal(draws["noise", 2], replicate_rng(5, "noise", 2).standard_normal(1000))
    matrix = np.corrcoef(list(draws.values())) - np.eye(4)
    assert np.abs(matrix).max() < 0.15  # 5 standard errors of a correlation of 1000 draws
