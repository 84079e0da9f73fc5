"""What a volume cannot say is said to be unknown, and what is no crack or no outside is not taken for one."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from oxytomo.config.stage_settings import MeasureVoidsStage, SegmentVoidsStage
from oxytomo.io.stores import NamedArray, write_store
from oxytomo.measure.void_warnings import structure_warnings
from oxytomo.segment.voids import Voids, segment_voids
from oxytomo.simulate.voids import Crack, Pore, draw, photograph
from oxytomo.stages.context import StageContext
from oxytomo.stages.structure import measure_voids
from oxytomo.stages.structure import segment_voids as segment_stage


def segment(volume: np.ndarray, mask: np.ndarray | None = None) -> Voids:
    return segment_voids(
        volume.astype(np.float32),
        mask,
        blur_px=None,
        bridge_px=6.0,
        false_cracks=0.02,
        false_discovery=0.01,
        smallest_share=0.05,
        separate=False,
    )


def measured(folder: Path, volume: np.ndarray, mask: np.ndarray | None = None) -> dict[str, Any]:
    """Return the content of structure.json; tables lie beside it."""
    context, store = StageContext("segment_voids", 1, 1, {}), folder / "volume.zarr"
    write_store(
        store,
        {"volume": NamedArray(volume.astype(np.float32), ("z", "y", "x"), "1")},
        provenance=context.provenance({}),
        attributes={"voxel_nm": 1.0},
    )
    given: dict[str, Any] = {"mask": None}
    if mask is not None:
        tifffile.imwrite(folder / "mask.tif", mask)
        given = {"mask": {"images": str(folder / "mask.tif")}}
    settings = SegmentVoidsStage(**given)
    segment_stage.run({"volume": store}, {"store": folder / "voids.zarr"}, settings, context)
    out = {name: folder / f"{name}.csv" for name in ("pores", "cracks")} | {"structure": folder / "s.json"}
    inputs = {"volume": store, "voids": folder / "voids.zarr"}
    measure_voids.run(inputs, out, MeasureVoidsStage(segment=settings), context)
    found: dict[str, Any] = json.loads(out["structure"].read_text())
    return found


def radius_in(size: int) -> list[np.ndarray]:
    z, y, x = np.indices((size,) * 3) - (size - 1) / 2
    return [z, y, x, np.sqrt(z * z + y * y + x * x)]


@pytest.mark.slow
def test_wide_openings_are_in_the_interval_and_in_a_warning(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    *_, radius = radius_in(80)
    ball = radius <= 30
    waves = gaussian_filter(rng.standard_normal(radius.shape), 5)
    void = ball & (waves > np.quantile(waves[ball], 0.62))
    grey = gaussian_filter((ball & ~void).astype(np.float32), 1.0) + rng.standard_normal(void.shape) / 8
    facts = measured(tmp_path, grey)
    true = void.sum() / ball.sum()
    total, second = facts["porosity"]["total"], facts["skin"]["second_bridging"]
    # Pores of about 16 voxels open to the outside: closed with a ball of 8, much of them is outside.
    assert total["value"] < 0.9 * true
    assert total["value"] < second["porosity"] <= true * 1.03
    assert total["ci95"][0] < true < total["ci95"][1]
    assert any("openings wider than 16 nm count as outside" in line for line in structure_warnings(facts))


def test_a_mask_that_fills_the_volume(tmp_path: Path) -> None:
    middle, rng = np.full(3, 39.5), np.random.default_rng(2)
    # One pore in the middle of the field, one that a face cuts in half.
    pores = tuple(
        Pore(middle + np.array(place), np.full(3, 6.0), np.eye(3)) for place in ((0, 0, 0), (0, 12, -20))
    )
    drawn = draw((80,) * 3, radius_px=38.0, roughness=0.0, pores=pores, cracks=(), rng=rng)
    grey = photograph(drawn, blur_px=1.0, contrast_to_noise=8.0, shading=0.0, structure=0.0, rng=rng)
    box = (slice(20, 60),) * 3
    facts = measured(tmp_path, grey[box], np.ones((40,) * 3, np.uint8))
    true, volume = drawn.void[box], 40**3
    parts = facts["porosity"]
    # Two pores in noise of an eighth: the levels of solid and void are known to a percent each.
    assert parts["total"]["value"] == pytest.approx(true.sum() / volume, rel=0.04)
    assert parts["closed"]["value"] == pytest.approx(pores[0].volume_px / volume, rel=0.05)
    assert parts["unknown"]["value"] == pytest.approx((true.sum() - pores[0].volume_px) / volume, rel=0.08)
    assert parts["open"]["value"] is None
    assert facts["open_fraction"] is None
    assert facts["skin"]["from"] == "no skin in the volume"
    assert facts["shells"] == []
    assert facts["pores"]["cut"] == 1
    # The half pore has no size: only the whole one counts.
    assert facts["pores"]["median_equivalent_diameter_nm"] == pytest.approx(12.0, rel=0.02)
    with (tmp_path / "pores.csv").open(newline="") as file:
        rows = {row["cut"]: row for row in csv.DictReader(file)}
    assert (rows["True"]["open"], rows["False"]["open"]) == ("unknown", "False")
    assert {row["depth_nm"] for row in rows.values()} == {"nan"}
    said = " ".join(structure_warnings(facts))
    assert "depth and the open share of the voids are unknown" in said
    assert "1 of 2 pores" in said


def test_a_mask_inside_solid_takes_no_solid_for_air() -> None:
    *_, radius = radius_in(64)
    rng = np.random.default_rng(1)
    grey = gaussian_filter(((radius < 28) & (radius > 6)).astype(np.float32), 1.0)
    grey += 0.1 * rng.standard_normal(grey.shape)
    mask = np.zeros(grey.shape, np.uint8)
    mask[18:46, 18:46, 18:46] = 1
    voids = segment(grey, mask)
    # Solid around the mask was taken for air; what is void then has no contrast at all.
    assert voids.void_level == pytest.approx(0.0, abs=0.1)
    assert voids.blur_px == 1.0


@pytest.mark.parametrize("blur_px", [0.0, 0.5])
@pytest.mark.parametrize("bright", [False, True])
def test_an_interface_between_two_solids_is_no_crack(bright: bool, blur_px: float) -> None:
    _, _, x, radius = radius_in(72)
    rng = np.random.default_rng(1)
    solid = np.where((x > 0.2) == bright, 1.0, 0.9) * np.clip(30.5 - radius, 0, 1)
    grey = gaussian_filter(solid, blur_px) + 0.05 * rng.standard_normal(solid.shape)
    assert segment(grey).sheets.count == 0


def test_a_crack_along_an_interface_stays_one() -> None:
    middle, rng = np.full(3, 35.5), np.random.default_rng(3)
    crack = Crack(middle, np.array([0, 0, 1.0]), 17.0, 1.0)
    drawn = draw((72,) * 3, radius_px=29.0, roughness=0.0, pores=(), cracks=(crack,), rng=rng)
    x = radius_in(72)[2]
    grey = gaussian_filter((drawn.envelope - drawn.void) * np.where(x > 0, 1, 0.9), 1.0)
    voids = segment(grey + 0.1 * rng.standard_normal(grey.shape))
    assert voids.sheets.count == 1
    assert voids.sheets.area_px.sum() == pytest.approx(np.pi * 17**2, rel=0.2)


@pytest.mark.parametrize("away_px", [3.2, 4.2, 5.2])
def test_a_pore_that_touches_a_crack_is_a_pore(away_px: float) -> None:
    middle, radius = np.full(3, 31.5), 3.2
    crack = Crack(middle, np.array([1.0, 0, 0]), 16.0, 1.0)
    pore = Pore(middle + np.array([away_px, 3, 4]), np.full(3, radius), np.eye(3))
    rng = np.random.default_rng(3)
    drawn = draw((64,) * 3, radius_px=27.0, roughness=0.0, pores=(pore,), cracks=(crack,), rng=rng)
    voids = segment(
        photograph(drawn, blur_px=1.0, contrast_to_noise=10.0, shading=0.0, structure=0.0, rng=rng)
    )
    assert (voids.n_pores, voids.sheets.count) == (1, 1)
    assert voids.instances[tuple(np.round(pore.centre_px).astype(int))] == 1
    own = drawn.pore_index == 1
    # At half of the contrast of a ball of 3.2 voxels in a blur of 1.4 its outermost half voxel is missing.
    assert (voids.voids[own] > 0).mean() > 0.6
    porosity = voids.void[voids.zone > 0].sum() / (voids.particle > 0).sum()
    # None of it is lost: the pore is a sixth of the void.
    assert porosity == pytest.approx(drawn.porosity, rel=0.04)
