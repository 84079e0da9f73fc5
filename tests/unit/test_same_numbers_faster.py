"""Compiled loops give the numbers of the plain functions of SciPy and NumPy that they stand for."""

import numpy as np
import pytest
import scipy.ndimage

from oxytomo.align.energies import FixedFrames
from oxytomo.align.matching import _median
from oxytomo.align.resample import resample
from oxytomo.align.splines import PAD, read_at
from oxytomo.preprocess.neighbours import second_highest_and_lowest
from oxytomo.segment.smoothing import gaussian


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, -1.7), (-2.5, 6.0), (14.2, -31.4), (40.0, 3.1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_frame_read_at_a_shift_is_that_of_scipy(
    shift: tuple[float, float], dtype: type, rng: np.random.Generator
) -> None:
    frame = rng.standard_normal((23, 31)).astype(dtype)
    expected = scipy.ndimage.shift(frame, np.negative(shift), order=3, mode="nearest")
    # The same terms in another order: a few roundings of double precision, then of the type. Beyond
    # the extended frame the spline itself holds its value to 1e-6 only.
    roundings = 4 * float(np.finfo(dtype).eps * np.abs(frame).max())
    tolerance = roundings if np.abs(shift).max() < PAD else 1e-6
    np.testing.assert_allclose(read_at(frame, np.array(shift)), expected, rtol=0, atol=tolerance)


def test_frames_are_smoothed_each_by_itself(rng: np.random.Generator) -> None:
    frames = rng.standard_normal((3, 20, 17)).astype(np.float32)
    expected = np.stack([scipy.ndimage.gaussian_filter(one, 2.5, mode="nearest") for one in frames])
    np.testing.assert_array_equal(gaussian(frames, 2.5, axes=(1, 2)), expected)


@pytest.mark.parametrize("shape", [(9, 14), (1, 6), (5, 1)])
def test_ranks_of_neighbours_are_those_of_scipy(shape: tuple[int, int], rng: np.random.Generator) -> None:
    frame = rng.integers(0, 9, shape).astype(np.float32)  # many ties
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    high, low = second_highest_and_lowest(frame)
    for found, rank in ((high, -2), (low, 1)):
        np.testing.assert_array_equal(
            found, scipy.ndimage.rank_filter(frame, rank, footprint=ring, mode="reflect")
        )


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_median_of_a_few_frames_is_that_of_numpy(count: int, rng: np.random.Generator) -> None:
    frames = rng.standard_normal((count, 5, 6)).astype(np.float32)
    np.testing.assert_array_equal(_median(frames), np.median(frames, axis=0))


@pytest.mark.parametrize("magnification", [1.0, 0.93, 1.21])
def test_frames_resampled_row_by_row_are_those_resampled_pixel_by_pixel(
    magnification: float, rng: np.random.Generator
) -> None:
    value = rng.standard_normal((3, 26, 33)).astype(np.float32)
    variance = rng.random(value.shape).astype(np.float32)
    value[1, 12, 7:9], variance[1, 12, 7:9] = np.nan, np.inf
    where = {
        "dy_px": np.array([0.0, 0.4, -3.3]),
        "dx_px": np.array([0.0, -1.2, 2.6]),
        "magnification": magnification,
        "shape": (24, 30),
    }
    found = resample(value, variance, rotation_deg=0.0, **where)
    # An angle that moves no place by more than a rounding takes the way of single pixels.
    single = resample(value, variance, rotation_deg=1e-12, **where)
    for one, other in zip(found, single, strict=True):
        np.testing.assert_array_equal(np.isfinite(one), np.isfinite(other))
        known = np.isfinite(one)
        np.testing.assert_allclose(one[known], other[known], rtol=1e-5, atol=1e-6)
    assert np.isfinite(found[0]).mean() > 0.7
    assert not np.isfinite(found[0][1]).all()


def test_a_reference_of_one_group_is_smoothed_once(rng: np.random.Generator) -> None:
    fixed = FixedFrames(rng.standard_normal((4, 20, 20)).astype(np.float32), 1.5)
    assert fixed.group(slice(0, 4)) is fixed.group(slice(0, 4))
    assert fixed.group(slice(0, 4)).sharp.shape == (4, 20, 20)
