"""Stage ``normalize`` on small files: transposed frames, order of tilts, provenance."""

from pathlib import Path

import numpy as np
import pytest

from oxytomo.arrays import TiltSeries
from oxytomo.config import Source
from oxytomo.config.stage_settings import NormalizeStage
from oxytomo.io import scratch
from oxytomo.io.readers import series as raw_series
from oxytomo.io.readers.data_exchange import write_data_exchange
from oxytomo.io.stores import read_store
from oxytomo.slabs import View
from oxytomo.stages.context import StageContext
from oxytomo.stages.shared.normalize import run
from oxytomo.stages.sources import read_request


def test_a_horizontal_tilt_axis_is_made_vertical_and_tilts_are_sorted(tmp_path: Path) -> None:
    frames = np.arange(3 * 4 * 6, dtype=np.float32).reshape(3, 4, 6)
    raw = tmp_path / "raw.h5"
    write_data_exchange(
        raw,
        TiltSeries(
            frames=frames,
            tilt_deg=np.array([0.0, 10.0, -10.0]),
            energy_ev=np.full(3, np.nan),
            pixel_nm=np.full(3, 5.0),
            quantity="signal",
        ),
    )
    source = Source(images=(str(raw),), tilt_axis="horizontal")
    settings = NormalizeStage(series="signal", source=source, default_quantity="signal")
    context = StageContext("normalize", 1, 1, settings.model_dump(mode="json"))
    run({}, {"store": tmp_path / "out.zarr"}, settings, context)
    store = read_store(tmp_path / "out.zarr")
    np.testing.assert_array_equal(store["tilt_deg"], [-10, 0, 10])
    np.testing.assert_array_equal(store["value"], frames[[2, 0, 1]].swapaxes(1, 2))
    np.testing.assert_array_equal(store["acquisition_index"], [2, 0, 1])
    assert store.provenance.inputs["raw_0"]["path"] == str(raw)


@pytest.mark.parametrize("tilt_axis", ["vertical", "horizontal"])
@pytest.mark.parametrize("kind", ["counts", "signal", "transmission"])
def test_frames_of_a_large_series_are_read_one_at_a_time(
    kind: str, tilt_axis: str, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From files, and with fields in files, to the same numbers as in memory."""
    n = 7
    frames = rng.poisson(500, (n, 20, 24)).astype(np.uint16)
    if kind == "transmission":
        frames = (frames / np.float32(1000)).astype(np.float32)
    raw = tmp_path / "raw.h5"
    series = TiltSeries(
        frames=frames,
        tilt_deg=rng.permutation(n) * 10.0,
        energy_ev=np.full(n, 850.0),
        pixel_nm=np.full(n, 5.0),
        quantity=kind,  # type: ignore[arg-type]
        flat=np.full((2, 20, 24), 1000, np.float32) if kind == "counts" else None,
    )
    write_data_exchange(raw, series)
    source = Source(images=(str(raw),), tilt_axis=tilt_axis, quantity=kind)  # type: ignore[arg-type]
    settings = NormalizeStage(series="one", source=source, default_quantity="counts")
    context = StageContext("normalize", 1, 1, settings.model_dump(mode="json"))
    digests = []
    for name in ("memory", "files"):
        if name == "files":
            monkeypatch.setattr(raw_series, "IN_MEMORY_BYTES", 0)
            monkeypatch.setattr(scratch, "FIELD_BYTES", 0)
            assert isinstance(raw_series.read_tilt_series(read_request(source)).frames, View)
        run({}, {"store": tmp_path / f"{name}.zarr"}, settings, context)
        digests.append(read_store(tmp_path / f"{name}.zarr").digest)
    assert digests[0] == digests[1]
