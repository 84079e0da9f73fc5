"""What the stage ``reconstruct`` takes as its reference."""

from pathlib import Path

import numpy as np
import pytest

from oxytomo.io.composition_store import reference_of
from oxytomo.io.stores import NamedArray, Provenance, write_store


def test_the_reference_of_a_pristine_sample_is_its_most_frequent_tm_o(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    # A pristine particle measured 3 % too rich in TM, with a tenth of it in another phase.
    deviation = rng.normal(0.03, 0.004, (12, 12, 12)).astype(np.float32)
    deviation[:, :, 0] += 0.2
    volume = ("z", "y", "x")
    store = tmp_path / "reconstruct.zarr"
    write_store(
        store,
        {
            "deviation": NamedArray(deviation, volume, "1"),
            "particle": NamedArray(np.ones(deviation.shape, bool), volume, "1"),
        },
        provenance=Provenance("made", 1, {}, {}, "0", "2024-01-01T00:00:00+00:00"),
        attributes={"reference_tm_o": 0.98},
    )
    # The mode of 1584 values with a spread of 0.004 is known to better than 0.001.
    assert reference_of("pristine", {"pristine": store}) == pytest.approx(0.98 * 1.03, abs=0.001)
    assert reference_of("nominal", {}) == 1.0
    assert reference_of("mode", {}) is None
