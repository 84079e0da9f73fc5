"""Stripes go, the sample stays nearly as it is, and what changed is told."""

import numpy as np
import pytest

from oxytomo.errors import ConfigError
from oxytomo.preprocess.stripes import without_stripes

pytest.importorskip("algotom", reason="the optional package algotom is not installed")


def sinogram(rng: np.random.Generator) -> np.ndarray:
    """A disc off the axis, (90, 4, 80), with noise of 0.01."""
    theta = np.deg2rad(np.linspace(-65, 65, 90))
    s = np.arange(80) - 39.5
    distance = s[None, :] - 6 * np.cos(theta)[:, None]
    chord = 2 * np.sqrt(np.maximum(0, 20.0**2 - distance**2)) / 40
    return (np.repeat(chord[:, None], 4, axis=1) + rng.normal(0, 0.01, (90, 4, 80))).astype(np.float32)


@pytest.mark.parametrize("method", ["sorting", "filtering", "fitting"])
def test_a_stripe_is_weakened_and_the_change_reported(method: str, rng: np.random.Generator) -> None:
    clean = sinogram(rng)
    striped = clean.copy()
    striped[:, :, 37] += 0.1
    striped[3, 0, 50] = np.nan
    found, change = without_stripes(striped, method=method)  # type: ignore[arg-type]
    before = np.abs(np.nanmean(striped - clean, axis=0)[:, 37]).mean()
    after = np.abs(np.nanmean(found - clean, axis=0)[:, 37]).mean()
    # The stripe is ten times the noise: each method takes at least half of it away.
    assert after < before / 2
    assert np.isnan(found[3, 0, 50])
    assert np.isnan(found).sum() == 1
    expected = (np.nansum(found) - np.nansum(striped)) / np.nansum(striped)
    assert change == pytest.approx(expected, rel=1e-3)


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(ConfigError, match="magic"):
        without_stripes(np.zeros((4, 2, 8), np.float32), method="magic")  # type: ignore[arg-type]
