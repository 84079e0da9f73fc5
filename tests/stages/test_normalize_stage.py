"""Stage ``normalize`` on small files: transposed frames, order of tilts, provenance."""

from pathlib import Path

import numpy as np

from pipeline.arrays import TiltSeries
from pipeline.config import NormalizeStage, Source
from pipeline.io.readers.data_exchange import write_data_exchange
from pipeline.io.stores import read_store
from pipeline.stages.context import StageContext
from pipeline.stages.normalize import run


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
