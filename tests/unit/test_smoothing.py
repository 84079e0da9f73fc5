"""Smoothing with threads."""

from typing import Any

import numpy as np
import pytest
import scipy.ndimage

from oxytomo.segment.smoothing import gaussian


@pytest.mark.parametrize("shape", [(30, 41, 17), (1, 20, 30), (2, 5, 6), (25, 9)])
@pytest.mark.parametrize("how", [{"mode": "nearest"}, {"mode": "constant", "truncate": 6.0}])
def test_it_is_scipys_filter_to_the_last_bit(
    shape: tuple[int, ...], how: dict[str, Any], rng: np.random.Generator
) -> None:
    values = rng.standard_normal(shape).astype(np.float32)
    np.testing.assert_array_equal(
        gaussian(values, 1.3, **how), scipy.ndimage.gaussian_filter(values, 1.3, **how)
    )
