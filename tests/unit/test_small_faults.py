"""What a user stumbles over: names that do not exist, numbers for files, edited files, moved files."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

import oxytomo
from oxytomo.arrays import TiltSeries
from oxytomo.check.plausible import shadowed_flats
from oxytomo.check.sample import check_project
from oxytomo.cli import main
from oxytomo.config import load_config
from oxytomo.errors import ConfigError, PipelineError, StoreError
from oxytomo.io.provenance import input_record
from oxytomo.io.readers import ReadRequest, peek
from oxytomo.io.readers.data_exchange import write_data_exchange
from oxytomo.run.results_folder import check_same_sources, claim
from tests.stages.compared_samples import write_composition_tables


def a_series(n: int = 5, **changes: Any) -> TiltSeries:
    rng = np.random.default_rng(3)
    values: dict[str, Any] = {
        "frames": rng.poisson(900, (n, 16, 16)).astype(np.uint16),
        "tilt_deg": np.linspace(-60, 60, n),
        "energy_ev": np.full(n, 700.0),
        "pixel_nm": np.full(n, 20.0),
        "quantity": "counts",
        "flat": rng.poisson(1000, (3, 16, 16)).astype(np.float32),
    }
    return TiltSeries(**(values | changes))


def test_an_unknown_name_of_the_provenance_is_one_line(tmp_path: Path) -> None:
    write_composition_tables(tmp_path, 0.1)
    with pytest.raises(
        PipelineError, match=r"bad: expected one of the provenance.*list\(results\.provenance\)"
    ):
        oxytomo.open_results(tmp_path).provenance["bad"]


@pytest.mark.parametrize("read", ["read_series", "read_stack", "read_volume", "read_spectrum"])
def test_a_number_is_no_file(read: str) -> None:
    for given in (3, None, [1, 2]):
        with pytest.raises(ConfigError, match=r"files: expected a path.*got"):
            getattr(oxytomo, read)(given)


def test_the_text_of_a_result_is_a_line() -> None:
    """It names the fields; arrays are shapes, and no value is pages long."""
    text = repr(a_series(metadata={"note": "x" * 500}))
    assert text.startswith("TiltSeries(frames=<5 × 16 × 16 uint16>, tilt_deg=<5 float64>")
    assert "flat=<3 × 16 × 16 float32>, dark=None" in text
    assert len(text) < 600
    from oxytomo.composition.result import Composition

    volume = np.zeros((4, 4, 4), np.float32)
    made = Composition(np.zeros((2, 4, 4, 4), np.float32), volume, volume, volume > 0, volume, 1.02)
    assert repr(made).startswith("Composition(elements=<2 × 4 × 4 × 4 float32>")
    assert "reference_tm_o=1.02" in repr(made)
    assert "\n" not in repr(made)


def test_simulate_keeps_a_configuration_that_was_edited(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["simulate", str(tmp_path / "s"), "--size", "16", "--tilts", "3", "--elements", "O", "Ni"]
    assert main(call) == 0
    assert main([*call, "--seed", "1"]) == 0  # as it was written
    config = tmp_path / "s" / "config.yaml"
    config.write_text(config.read_text(encoding="utf-8") + "# my note\n", encoding="utf-8")
    capsys.readouterr()
    assert main(call) == 2
    assert "got one that was edited" in capsys.readouterr().err
    assert config.read_text(encoding="utf-8").endswith("# my note\n")


def a_project(folder: Path, raw: str) -> Path:
    path = folder / "x.yaml"
    path.write_text(yaml.safe_dump({"samples": {"s": {"tomogram": {"source": raw}}}}), encoding="utf-8")
    return path


def test_moved_raw_files_are_known_by_their_content(tmp_path: Path) -> None:
    write_data_exchange(tmp_path / "a.h5", a_series())
    project = load_config(a_project(tmp_path, "a.h5"))
    results = tmp_path / "results"
    claim(results, project)
    store = results / "s/stages/tomogram/normalize/signal.zarr"
    store.mkdir(parents=True)
    record = {
        "stage": "normalize",
        "version": 1,
        "settings": {},
        "inputs": {"raw_0": input_record(tmp_path / "a.h5")},
    }
    (store / "zarr.json").write_text(json.dumps({"attributes": {"oxytomo": record}}), encoding="utf-8")
    (tmp_path / "moved").mkdir()
    (tmp_path / "a.h5").rename(tmp_path / "moved" / "b.h5")
    moved = load_config(a_project(tmp_path, "moved/b.h5"))
    claim(results, moved)
    assert check_same_sources(results, moved)["s"]["tomogram/signal"] == [str(tmp_path / "moved/b.h5")]
    write_data_exchange(tmp_path / "other.h5", a_series(n=6))
    with pytest.raises(StoreError, match="made from"):
        check_same_sources(results, load_config(a_project(tmp_path, "other.h5")))


def checked(folder: Path, source: Any, *, read_flats: bool = False) -> tuple[str, ...]:
    path = folder / "x.yaml"
    content = {"samples": {"s": {"tomogram": {"source": source}}}}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return check_project(load_config(path), read_flats=read_flats).warnings


def test_a_quantity_that_the_file_denies_is_warned_of_by_name(tmp_path: Path) -> None:
    write_data_exchange(
        tmp_path / "a.h5", a_series(quantity="transmission", frames=np.full((5, 16, 16), 0.5))
    )
    other = checked(tmp_path, {"images": "a.h5", "quantity": "optical_density"})
    assert any("quantity optical_density is used; the file says transmission" in line for line in other)
    same = checked(tmp_path, {"images": "a.h5", "quantity": "transmission"})
    assert not any("quantity" in line for line in same)


def test_dropped_frames_of_a_nexus_file_are_mentioned(tmp_path: Path) -> None:
    path = tmp_path / "a.nxs"
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        entry["definition"] = "NXtomo"
        detector = entry.create_group("instrument/detector")
        entry["instrument"].attrs["NX_class"], detector.attrs["NX_class"] = "NXinstrument", "NXdetector"
        detector["data"] = np.ones((9, 8, 8), np.uint16)
        detector["image_key"] = [1, 0, 0, 0, 0, 0, 0, 3, 0]
        detector["image_key_control"] = [1, 0, 0, 0, 0, 0, 0, 3, -1]
        sample = entry.create_group("sample")
        sample.attrs["NX_class"] = "NXsample"
        sample["rotation_angle"] = np.arange(9.0)
        sample["rotation_angle"].attrs["units"] = "deg"
    summary = peek(ReadRequest(images=(path,)))
    assert summary.shape[0] == 6
    assert any("2 of 9 frames were left out" in remark for remark in summary.remarks)


def test_a_flat_with_a_shadow_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    flat = rng.poisson(10_000, (6, 32, 32)).astype(np.float32) * np.linspace(1.0, 0.9, 6)[:, None, None]
    assert shadowed_flats(flat) == []
    flat[3, 8:24, 8:24] *= 0.8
    assert shadowed_flats(flat.astype(np.float32)) == [4]
    frames = rng.poisson(5000, (5, 32, 32)).astype(np.uint16)
    write_data_exchange(tmp_path / "a.h5", a_series(frames=frames, flat=flat.astype(np.float32)))
    warnings = checked(tmp_path, "a.h5", read_flats=True)
    assert any("flat frame 4 of 6 differs from the others in places" in line for line in warnings)


def test_two_flats_and_a_moving_beam_accuse_nobody() -> None:
    rng = np.random.default_rng(0)
    flat = rng.poisson(10_000, (6, 32, 32)).astype(np.float32)
    assert shadowed_flats(flat[:2]) == []
    ramp = np.linspace(-0.3, 0.3, 32, dtype=np.float32)
    moving = flat * (1 + np.linspace(-1, 1, 6)[:, None, None] * ramp)
    assert shadowed_flats(moving.astype(np.float32)) == []


def test_one_frame_is_one_frame(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_data_exchange(tmp_path / "a.h5", a_series(n=1))
    assert main(["inspect", str(tmp_path / "a.h5")]) == 0
    text = capsys.readouterr().out
    assert "1 frame of 16 × 16 pixels" in text
    assert "1 frames" not in text
