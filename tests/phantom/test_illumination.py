"""An illumination that moves between flats and frames: found in the air, corrected, and left alone where it stays."""

import numpy as np
import pytest
import scipy.ndimage

from oxytomo.preprocess.illumination import (
    AIR_MARGINS,
    ROUNDS,
    IlluminationPattern,
    generous_air,
    illumination_shift,
    illumination_shifts,
)

COUNTS = 2e4
N_FLATS = 10


def pattern(rng: np.random.Generator, contrast: float, shape=(100, 120), size_px=3.0):  # type: ignore[no-untyped-def]
    """Smooth uneven illumination with features of some pixels, on a wider field so that it can be moved."""
    wide = scipy.ndimage.gaussian_filter(rng.standard_normal((shape[0] + 40, shape[1] + 40)), size_px)
    return np.exp(contrast * wide / wide.std())


def part(wide: np.ndarray, shift, shape=(100, 120)) -> np.ndarray:  # type: ignore[no-untyped-def]
    moved = scipy.ndimage.shift(wide, shift, order=5, mode="wrap")
    return moved[20 : 20 + shape[0], 20 : 20 + shape[1]]


def frame_of(rng, wide, shift, sample):  # type: ignore[no-untyped-def]
    """Optical density and variance of a frame whose illumination moved by ``shift`` against its flats."""
    flat = rng.poisson(N_FLATS * COUNTS * part(wide, (0, 0))) / N_FLATS
    counts = rng.poisson(COUNTS * part(wide, shift) * np.exp(-sample))
    density = -np.log(counts / flat)
    variance = 1 / counts + 1 / (N_FLATS * flat)
    return flat.astype(np.float32), density.astype(np.float32), variance.astype(np.float32)


def ball(shape=(100, 120), radius=28) -> np.ndarray:  # type: ignore[no-untyped-def]
    y, x = np.indices(shape)
    square = radius**2 - (y - 50) ** 2 - (x - 60) ** 2
    return 2.0 * np.sqrt(np.maximum(square, 0)) / radius


@pytest.mark.parametrize("shift", [(0.3, -0.2), (-1.7, 1.1)])
def test_a_shift_of_the_illumination_is_found_and_corrected(rng, shift):
    wide, sample = pattern(rng, 0.06), ball()
    flat, density, variance = frame_of(rng, wide, shift, sample)
    seen = IlluminationPattern(flat, np.zeros(flat.shape, bool))
    found = None
    start = np.zeros(2)
    for margin in AIR_MARGINS:
        air = generous_air(density + seen.correction(start), margin)
        found = illumination_shift(density, variance, air, seen, rounds=ROUNDS, start=start)
        start = found.shift_px
    # Noise is some 0.01 px; smoothing the pattern by 0.6 px flattens features of 3 px by (0.6/3)² = 4 %, and the shift grows.
    np.testing.assert_allclose(found.shift_px, shift, atol=0.02 + 0.05 * np.abs(shift).max())
    inside = np.abs(sample) > 0.5
    before = density - sample
    after = before + seen.correction(found.shift_px)
    scaled = [float(np.mean(d[inside] ** 2 / variance[inside])) for d in (before, after)]
    # 2,300 pixels know their mean square to 3 %
    assert scaled[0] > 1.1
    assert scaled[1] < 1.07


def test_a_still_illumination_is_left_alone(rng):
    wide, sample = pattern(rng, 0.06), ball()
    frames = [frame_of(rng, wide, (0, 0), sample) for _ in range(5)]
    pattern_of_flat = IlluminationPattern(frames[0][0], np.zeros(sample.shape, bool))
    value, variance = (np.stack([f[k] for f in frames]) for k in (1, 2))
    assert illumination_shifts(value, variance, lambda _i: pattern_of_flat) is None


def test_a_uniform_illumination_tells_no_shift(rng):
    sample = ball()
    frames = [frame_of(rng, np.ones((140, 160)), (0, 0), sample) for _ in range(3)]
    flat = IlluminationPattern(np.full(sample.shape, COUNTS, np.float32), np.zeros(sample.shape, bool))
    value, variance = (np.stack([f[k] for f in frames]) for k in (1, 2))
    assert illumination_shifts(value, variance, lambda _i: flat) is None


def test_a_film_with_holes_is_no_moving_illumination(rng):
    # With errors of independent pixels the shifts were ten times their errors.
    wide, frames = pattern(rng, 0.06, size_px=8.0), []
    for _ in range(8):  # the film is another one in every frame: it turns and drifts with the sample
        holes = scipy.ndimage.gaussian_filter(rng.standard_normal((100, 120)), 12) > 0
        frames.append(frame_of(rng, wide, (0, 0), ball() + np.where(holes, 0.0, 0.05)))
    pattern_of_flat = IlluminationPattern(frames[0][0], np.zeros((100, 120), bool))
    value, variance = (np.stack([f[k] for f in frames]) for k in (1, 2))
    assert illumination_shifts(value, variance, lambda _i: pattern_of_flat) is None


def test_errors_are_those_of_the_noise(rng):
    wide, sample = pattern(rng, 0.06), ball()
    found = []
    for _ in range(30):
        flat, density, variance = frame_of(rng, wide, (0.2, 0.1), sample)
        seen = IlluminationPattern(flat, np.zeros(flat.shape, bool))
        air = generous_air(density, 0.25)
        found.append(illumination_shift(density, variance, air, seen, rounds=ROUNDS, start=np.zeros(2)))
    scatter = np.std([f.shift_px for f in found], axis=0)
    stated = np.mean([f.error_px for f in found], axis=0)
    # 30 values know their scatter to 13 %; the noise of the flats is correlated over the smoothing.
    assert np.all(scatter < 1.6 * stated)
    assert np.all(scatter > 0.5 * stated)


def test_a_frame_without_air_tells_nothing(rng):
    flat = IlluminationPattern(
        (COUNTS * pattern(rng, 0.06, (60, 60))[:60, :60]).astype(np.float32), np.zeros((60, 60), bool)
    )
    density = np.full((60, 60), 1.0, np.float32)
    nothing = illumination_shift(
        density, np.full_like(density, 1e-4), np.zeros((60, 60), bool), flat, rounds=2, start=np.zeros(2)
    )
    assert not nothing.shift_px.any()
    assert np.isinf(nothing.error_px).all()
