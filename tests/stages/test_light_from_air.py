"""Light from the empty region: single images without flat frames in ``areal_density``, and what ``check`` says of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from oxytomo.arrays import TiltSeries
from oxytomo.check.sample import check_project
from oxytomo.config import Source, load_config
from oxytomo.config.stage_settings import NormalizeStage
from oxytomo.errors import ConfigError, PipelineError
from oxytomo.io.readers.data_exchange import write_data_exchange
from oxytomo.io.stores import read_store
from oxytomo.stages.context import StageContext
from oxytomo.stages.shared import normalize

SIZE = 64
Y, X = np.indices((SIZE, SIZE)) - SIZE / 2
BALL = np.sqrt(np.maximum(18.0**2 - Y**2 - X**2, 0)) / 18
LIGHT = 4000.0


def counts(od: float, n: int = 1, dark: float = 0.0, seed: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    light = LIGHT * np.linspace(1.0, 0.8, n)[:, None, None]  # the source drifts
    return rng.poisson(light * np.exp(-od * BALL) + dark).astype(np.uint16)


def raw(path: Path, frames: np.ndarray, energy_ev: float = 640.0, **more: Any) -> Path:
    n = len(frames)
    write_data_exchange(
        path,
        TiltSeries(
            frames=frames,
            tilt_deg=np.arange(float(n)),
            energy_ev=np.full(n, energy_ev),
            pixel_nm=np.full(n, 20.0),
            quantity="counts",
            **more,
        ),
    )
    return path


def normalized(folder: Path, path: Path, **settings: Any) -> Any:
    stage = NormalizeStage(
        series="Mn_pre", source=Source(images=(str(path),)), default_quantity="counts", **settings
    )
    context = StageContext("normalize", 1, 1, stage.model_dump(mode="json"))
    normalize.run({}, {"store": folder / "o.zarr"}, stage, context)
    return read_store(folder / "o.zarr")


@pytest.mark.parametrize("dark", [0.0, 100.0])
def test_the_light_is_that_of_the_empty_region_of_each_frame(dark: float, tmp_path: Path) -> None:
    more = {"dark": np.full((1, SIZE, SIZE), dark, np.float32)} if dark else {}
    path = raw(tmp_path / "a.h5", counts(1.2, n=3, dark=dark), **more)
    store = normalized(tmp_path, path, light_from_air=True)
    value = np.asarray(store["value"])
    thick = BALL > 0.8
    # Frames of 250 pixels behind an OD of about 1.1: 0.03 per pixel, 0.002 on average; the light to 0.02 %.
    np.testing.assert_allclose(value[:, thick].mean(1), 1.2 * BALL[thick].mean(), atol=0.008)
    np.testing.assert_allclose(np.asarray(store["air_level"]), LIGHT * np.linspace(1.0, 0.8, 3), rtol=0.01)
    pull = (value - 1.2 * BALL) / np.sqrt(np.asarray(store["variance"]))
    assert np.nanstd(pull) == pytest.approx(1.0, abs=0.1)


def test_a_given_region_is_used_with_and_without_flat_frames(tmp_path: Path) -> None:
    frames = counts(1.2)
    frames[0, :6] = LIGHT / 2  # a shadow at the edge, which could be taken for anything
    region = (50, 62, 2, 61)
    without = normalized(tmp_path, raw(tmp_path / "a.h5", frames), light_from_air=True, air=region)
    flat = np.full((2, SIZE, SIZE), 2 * LIGHT, np.float32)
    with_flat = normalized(tmp_path, raw(tmp_path / "b.h5", frames, flat=flat), air=region)
    for store in (without, with_flat):
        inside = np.asarray(store["value"])[0, 50:63, 2:62]
        assert np.median(inside) == pytest.approx(0.0, abs=0.002)
        assert np.nanmedian(np.asarray(store["value"])[0, 2:5]) == pytest.approx(np.log(2), abs=0.01)


def test_a_region_outside_the_frame_and_a_full_frame_are_refused(tmp_path: Path) -> None:
    path = raw(tmp_path / "a.h5", counts(1.2))
    with pytest.raises((ConfigError, PipelineError), match=r"normalize\.air of Mn_pre"):
        normalized(tmp_path, path, light_from_air=True, air=(0, 10, 0, 64))
    full = (5000 * np.exp(-(X**2 + 2 * Y**2) / 900))[None].astype(np.uint16)
    with pytest.raises(PipelineError, match="an empty region beside the sample"):
        normalized(tmp_path, raw(tmp_path / "b.h5", full), light_from_air=True)


def project(folder: Path, branch: str, **normalize_settings: Any) -> Any:
    raw(folder / "pre.h5", counts(0.3), 630.0)
    raw(folder / "post.h5", counts(1.2), 645.0)
    edges = {"Mn": {"pre": "pre.h5", "post": "post.h5"}}
    if branch == "composition":
        for name, od, energy in (("pre", 0.3, 630.0), ("post", 1.2, 645.0)):
            raw(folder / f"{name}.h5", counts(od, n=5), energy)
            raw(folder / f"O_{name}.h5", counts(od, n=5, seed=4), 520.0 if name == "pre" else 535.0)
        edges["O"] = {"pre": "O_pre.h5", "post": "O_post.h5"}
    settings = {"edges": edges, "formula": {"Mn": 1, "O": 2}, "normalize": normalize_settings}
    path = folder / "x.yaml"
    path.write_text(yaml.safe_dump({"results": str(folder / "r"), "samples": {"a": {branch: settings}}}))
    return check_project(load_config(path), read_flats=True)


def test_check_wants_flat_frames_of_tilt_series_but_not_of_single_images(tmp_path: Path) -> None:
    assert not project(tmp_path, "areal_density").problems
    problems = project(tmp_path, "composition").problems
    assert len(problems) == 4
    assert all("expected flat frames" in str(problem) for problem in problems)
    assert not project(tmp_path, "composition", air=[50, 62, 2, 61]).problems
