"""Emitted vector code and the plain loops do the same to lines of slices."""

import logging
import sys
import types

import numpy as np
import pytest
from numba import njit

from oxytomo.reconstruct import lines, plain_lines, vector_lines

BOTH = (vector_lines, plain_lines)
W = plain_lines.WIDTH


def whole_numbers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Sums and products of small whole numbers are exact, in any order and with or without fused steps."""
    return rng.integers(-8, 9, shape).astype(np.float32)


@pytest.mark.parametrize("terms", [2, 8])
def test_weighted_lines_are_added_alike(rng: np.random.Generator, terms: int) -> None:
    source, start = whole_numbers(rng, 20 * W), whole_numbers(rng, 6 * W)
    offsets = tuple(int(o) for o in rng.integers(0, 16 * W, terms))
    weights = tuple(np.float32(w) for w in rng.integers(-3, 4, terms))
    expected = start.copy()
    expected[W : 4 * W] += sum(w * source[o : o + 3 * W] for w, o in zip(weights, offsets, strict=True))
    for module in BOTH:
        add = module.add_lines

        @njit
        def call(out, source, offsets, weights, add=add):
            add(out, W, source, offsets, weights, 3 * W)

        out = start.copy()
        call(out, source, offsets, weights)
        np.testing.assert_array_equal(out, expected, err_msg=module.__name__)


@pytest.mark.parametrize(("first", "stop"), [(0, 1), (0, 3), (1, 3), (2, 2)])
@pytest.mark.parametrize("least", [0.0, -np.inf])
def test_a_primal_step_is_alike(rng: np.random.Generator, first: int, stop: int, least: float) -> None:
    noisy, dz, dy, dx = (whole_numbers(rng, 9 * W) for _ in range(4))
    inside = rng.integers(0, 2, 9 * W).astype(np.float32)
    at, up, left, below, l1 = 3 * W, 0, 6 * W, np.float32(5), np.float32(2)
    results = []
    for module in BOTH:
        shrink = module.shrink_line

        @njit
        def call(out, noisy, inside, dz, dy, dx, first, stop, l1, least, shrink=shrink):
            one, none = np.float32(1), np.float32(0)
            shrink(out, W, noisy, inside, dz, dy, dx, at, up, left, below, one, none, first, stop, l1, least)

        out = np.full(5 * W, 99, np.float32)
        call(out, noisy, inside, dz, dy, dx, first, stop, l1, np.float32(least))
        results.append(out)
    k = np.arange(first * W, stop * W)
    before = np.concatenate([[below], dz[at : at + 3 * W]])[k]
    value = noisy[at + k] + dz[at + k] - before + dy[at + k] - dy[up + k] + dx[at + k]
    shrunk = np.maximum(value - l1, 0) + np.maximum(np.minimum(value + l1, 0), least)
    expected = np.full(5 * W, 99, np.float32)
    expected[W + k] = inside[at + k] * shrunk
    for module, out in zip(BOTH, results, strict=True):
        np.testing.assert_array_equal(out, expected, err_msg=module.__name__)


@pytest.mark.parametrize(("first", "stop"), [(0, 1), (0, 3), (1, 3), (2, 2)])
def test_a_dual_step_is_alike(rng: np.random.Generator, first: int, stop: int) -> None:
    duals = [whole_numbers(rng, 9 * W) for _ in range(3)]
    values, inside = whole_numbers(rng, 9 * W), rng.integers(0, 2, 9 * W).astype(np.float32)
    results = []
    for module in BOTH:
        ascend = module.ascend_line

        @njit
        def call(dz, dy, dx, values, inside, first, stop, ascend=ascend):
            one = np.float32(1)
            ascend(
                *(dz, dy, dx, 0, values, 3 * W, 0, 6 * W, inside, 3 * W, 6 * W, one, one),
                *(np.float32(4), one, first, stop, 3, np.float32(2), np.float32(3)),
            )

        own = [dual.copy() for dual in duals]
        call(*own, values, inside, first, stop)
        results.append(np.stack(own))
    # Square root and quotient are rounded as the standard says: to the last bit.
    np.testing.assert_array_equal(results[0], results[1])
    moved = slice(first * W, stop * W)
    lengths = np.sqrt((results[0][:, moved] ** 2).sum(axis=0))
    # On or in the ball of radius 3, to the rounding of float32.
    assert lengths.max(initial=0) <= 3 * (1 + 1e-6)
    assert stop == first or not np.array_equal(results[0][:, moved], np.stack(duals)[:, moved])
    np.testing.assert_array_equal(results[0][:, stop * W :], np.stack(duals)[:, stop * W :])


def test_the_kernels_take_vector_code_where_it_works() -> None:
    assert lines.chosen(vector_lines.__name__) is vector_lines
    assert lines.add_lines is vector_lines.add_lines


@pytest.mark.parametrize("trouble", ["refuses", "wrong", "missing"])
def test_where_vector_code_fails_plain_loops_are_taken(
    trouble: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = types.ModuleType("broken_lines")

    def refuses(a: np.ndarray, b: np.ndarray) -> None:
        msg = "cannot select: fma"
        raise RuntimeError(msg)

    broken.probe = refuses if trouble == "refuses" else lambda a, b: None
    if trouble != "missing":
        monkeypatch.setitem(sys.modules, "broken_lines", broken)
    with caplog.at_level(logging.WARNING):
        assert lines.chosen("broken_lines") is plain_lines
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().startswith("kernels use plain loops, which are slower")
