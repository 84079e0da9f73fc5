"""Registration is blind to chemistry: what does not move stays, whatever its spectra do, and drifts are found all the same."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, rotate, shift

from oxytomo.align.energies import FixedFrames, register_energies
from oxytomo.align.local import local_shift
from oxytomo.align.register import coarse_shifts, smooth
from oxytomo.align.series import align_series
from oxytomo.align.stack import NEGLIGIBLE_PX, SIGNIFICANT, StackShifts, register_stack
from oxytomo.align.tilts import AlignOptions

N, RADIUS, N_ENERGY = 64, 22.0, 48
Y, X = np.mgrid[:N, :N] - (N - 1) / 2.0
CHEMISTRIES = {
    "the same everywhere": np.full((N, N), 0.5),
    "from left to right": np.clip(0.5 + 0.45 * X / RADIUS, 0, 1),
    "two halves": np.where(X > 3, 0.9, 0.1),
    "spots": np.where(
        (np.hypot(Y + 8, X - 12) < 4) | (np.hypot(Y - 5, X + 14) < 3) | (np.hypot(Y - 14, X - 6) < 5),
        0.9,
        0.2,
    ),
}


def spectra() -> tuple[np.ndarray, np.ndarray]:
    """Two K-like edges with white lines, one later than the other by a tenth of the range."""
    energy = np.linspace(0, 1, N_ENERGY)

    def one(edge: float) -> np.ndarray:
        return 1 / (1 + np.exp(-(energy - edge) / 0.02)) + np.exp(-(((energy - edge - 0.03) / 0.03) ** 2))

    return one(0.40), one(0.47)


def stack(
    chemistry: str, drift: np.ndarray, rng: np.random.Generator, counts: float = 2e4
) -> list[np.ndarray]:
    """Optical densities of a flat-topped grain of two states and a background that is there at all energies."""
    away = np.hypot(Y, X)
    thickness = gaussian_filter(
        np.where(away < RADIUS, 0.4 + 0.6 * np.sqrt(np.maximum(0, 1 - (away / RADIUS) ** 2)), 0), 0.7
    )
    first, second = spectra()
    share = CHEMISTRIES[chemistry]
    frames = []
    for a, b, moved in zip(first, second, drift, strict=True):
        density = thickness * (share * a + (1 - share) * b + 0.15)
        if np.any(moved):
            density = np.maximum(shift(density, moved, order=3, mode="nearest"), 0)
        frames.append(-np.log(rng.poisson(counts * np.exp(-density)) / counts).astype(np.float32))
    return frames


def registered(frames: list[np.ndarray], order: np.ndarray | None = None) -> StackShifts:
    return register_stack(
        lambda i: frames[i],
        np.arange(len(frames)) if order is None else order,
        shows_sample=np.linspace(0, 1, len(frames)) > 0.5,
        max_shift_px=12.0,
        progress=lambda *_: None,
    )


@pytest.mark.parametrize("chemistry", list(CHEMISTRIES))
def test_a_stack_that_does_not_move_is_left_as_it_is(chemistry: str, rng: np.random.Generator) -> None:
    found = registered(stack(chemistry, np.zeros((N_ENERGY, 2)), rng))
    assert not found.applied_px().any()
    assert not found.replaced.any()
    # Frames below the edge have a contrast of 0.15 and noise of 0.007: the Cramér-Rao bound is 0.015 px for them. Frames
    # within the edge, where spots show and their surroundings do not, tell less, and say so.
    away = np.abs(found.shift_px) - SIGNIFICANT * np.where(np.isfinite(found.error_px), found.error_px, 0)
    assert float(away.max()) < 0.05
    known = np.arange(N_ENERGY) != found.reference
    z = found.shift_px[known] / found.error_px[known]
    assert float(np.sqrt(np.mean(z**2))) < 1.5
    assert np.mean(np.abs(z) > SIGNIFICANT) < 0.03


@pytest.mark.parametrize("chemistry", ["the same everywhere", "from left to right", "two halves"])
@pytest.mark.parametrize("kind", ["random walk", "in step with the energy"])
def test_drifts_are_found_whatever_the_chemistry(chemistry: str, kind: str, rng: np.random.Generator) -> None:
    true = (
        np.cumsum(rng.normal(scale=0.3, size=(N_ENERGY, 2)), axis=0)
        if kind == "random walk"
        else np.linspace(0, 1, N_ENERGY)[:, None] * np.array([2.0, -3.0])
    )
    found = registered(stack(chemistry, true, rng))
    miss = found.shift_px - (true - true[found.reference])
    # 0.015 px of noise below the edge, and 0.04 px that follow the spectra and are stated in the error.
    assert float(np.sqrt(np.mean(miss**2))) < 0.05
    known = (np.arange(N_ENERGY) != found.reference) & ~found.replaced
    assert float(np.sqrt(np.mean((miss[known] / found.error_px[known]) ** 2))) < 1.6
    np.testing.assert_array_equal(found.applied_px(), found.shift_px)


def test_a_jump_at_the_edge_is_no_chemistry(rng: np.random.Generator) -> None:
    """All frames from the edge on sit 0.8 px away: steps alone would call that a spectrum, outlines do not."""
    true = np.zeros((N_ENERGY, 2))
    true[N_ENERGY * 4 // 10 :, 1] = 0.8
    found = registered(stack("from left to right", true, rng))
    miss = found.applied_px() - (true - true[found.reference])
    assert float(np.sqrt(np.mean(miss**2))) < 0.1


def test_frames_without_contrast_have_the_shift_of_their_neighbours(rng: np.random.Generator) -> None:
    """Nothing shows below the edge: no huge shift, but that of the frames before and after, and it is said."""
    true = np.linspace(0, 1, N_ENERGY)[:, None] * np.array([1.0, 2.0])
    frames = stack("the same everywhere", true, rng)
    blank = [0, 1, 2, 10]
    for i in blank:
        frames[i] = rng.normal(0, 0.007, (N, N)).astype(np.float32)
    found = registered(frames)
    np.testing.assert_array_equal(np.flatnonzero(found.replaced), blank)
    assert not found.lost.any()
    assert np.isinf(found.error_px[blank]).all()
    miss = found.shift_px - (true - true[found.reference])
    # Frame 10 lies between known ones; the first three hold the shift of frame 3, a drift of 0.13 px away from frame 0.
    assert float(np.abs(miss[10]).max()) < 0.1
    assert float(np.abs(miss[:3]).max()) < 0.25


def test_a_dead_frame_is_lost_and_changes_nothing_else(rng: np.random.Generator) -> None:
    true = np.cumsum(rng.normal(scale=0.2, size=(N_ENERGY, 2)), axis=0)
    frames = stack("from left to right", true, rng)
    frames[30] = np.full((N, N), np.nan, np.float32)
    found = registered(frames)
    np.testing.assert_array_equal(np.flatnonzero(found.lost), [30])
    kept = np.arange(N_ENERGY) != 30
    miss = (found.shift_px - (true - true[found.reference]))[kept]
    assert float(np.sqrt(np.mean(miss**2))) < 0.05


def test_half_a_dead_frame_is_registered_by_its_other_half(rng: np.random.Generator) -> None:
    true = np.linspace(0, 1, N_ENERGY)[:, None] * np.array([0.0, 2.0])
    frames = stack("the same everywhere", true, rng)
    frames[30][:30] = np.nan
    found = registered(frames)
    assert not found.lost.any()
    miss = found.shift_px - (true - true[found.reference])
    assert float(np.abs(miss[30]).max()) < 0.1


@pytest.mark.parametrize("n_rows", [1, 2, 5])
def test_stacks_of_few_rows_do_not_crash_and_claim_no_more_than_they_tell(
    n_rows: int, rng: np.random.Generator
) -> None:
    """A few pixels tell little: no shift across the rows is made up, and one along them is known or marked as not."""
    true = np.linspace(0, 1, N_ENERGY)[:, None] * np.array([0.0, 3.0])
    frames = [f[30 : 30 + n_rows] for f in stack("the same everywhere", true, rng)]
    found = registered(frames)
    assert (found.shift_px[:, 0] == 0).all()
    known = ~found.replaced & np.isfinite(found.error_px[:, 1])
    miss = (found.shift_px - (true - true[found.reference]))[known, 1]
    assert (np.abs(miss) < 4 * found.error_px[known, 1] + 0.2).all()
    assert np.isinf(found.error_px[found.replaced]).all()


def test_coarse_shifts_of_two_rows(rng: np.random.Generator) -> None:
    row = gaussian_filter(rng.normal(size=(2, 80)), (0, 2)).astype(np.float32)
    found = coarse_shifts(np.roll(row, 4, axis=1)[None], row[None], max_shift_px=10)
    np.testing.assert_array_equal(found[0, 1], 4)


def test_negligible_shifts_are_not_undone() -> None:
    shift_px = np.array([[0.0, 0.0], [0.9 * NEGLIGIBLE_PX, 0.0], [0.0, 0.02]])
    no = np.zeros(3, bool)
    found = StackShifts(shift_px, np.full((3, 2), 1e-4), np.zeros(3), no, no, 0)
    assert not found.applied_px().any()
    one = StackShifts(
        np.array([[0, 0], [0.5, 0], [0.5, 0.0]]), np.array([[0, 0], [0.1, 0.1], [0.2, 0.2]]), *found_rest()
    )
    np.testing.assert_array_equal(one.applied_px(), [[0, 0], [0.5, 0], [0, 0]])


def found_rest() -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    return np.zeros(3), np.zeros(3, bool), np.zeros(3, bool), 0


def test_the_error_of_a_local_shift_is_that_of_repeats(rng: np.random.Generator) -> None:
    clean = np.maximum(0, 1 - (np.hypot(Y, X) / RADIUS) ** 4) * (1 + 0.3 * np.sin(X / 3) * np.sin(Y / 4))
    fixed = smooth(clean[None].astype(np.float32), sigma_px=1.0)[0]
    weights = np.ones((N, N), bool)
    moved = shift(clean, (0.3, -0.6), order=3)
    fits = []
    for _ in range(40):
        noisy = (0.5 * moved + rng.normal(0, 0.02, moved.shape)).astype(np.float32)
        frame = smooth(noisy[None], sigma_px=1.0)[0]
        fits.append(local_shift(frame, fixed, weights, np.zeros(2), iterations=10, tile_px=8))
    found, stated = np.array([f.shift_px for f in fits]), np.array([f.error_px for f in fits])
    np.testing.assert_allclose(found.mean(axis=0), (0.3, -0.6), atol=0.02)
    # 40 repeats tell their scatter to 11 %.
    assert 0.7 < float(stated.mean() / found.std(axis=0).mean()) < 1.4


def tilt_series(chemistry: str, jitter_px: float, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Two energies of a grainy ball of two states at 15 tilts, 10⁴ counts; the first is moved by jitter."""
    n, radius = 56, 18.0
    z, y, x = np.mgrid[:n, :n, :n] - (n - 1) / 2.0
    solid = np.clip(radius - np.sqrt(x**2 + y**2 + z**2) + 0.5, 0, 1)
    grain = gaussian_filter(rng.normal(size=solid.shape), 2)
    solid *= np.clip(1 + 0.25 * grain / grain.std(), 0.2, None)
    share = {
        "the same everywhere": np.full_like(x, 0.5),
        "from left to right": np.clip(0.5 + 0.5 * (x + 0.5 * z + 0.3 * y) / radius, 0, 1),
        "two halves": np.where(x + 0.2 * y > 3, 0.9, 0.1),
    }[chemistry]
    pre, post, true = [], [], rng.normal(scale=jitter_px, size=(15, 2))
    for tilt, moved in zip(np.linspace(-60, 60, 15), true, strict=True):
        poor, rich = (
            gaussian_filter(
                rotate(part.astype(np.float32), tilt, axes=(0, 2), reshape=False, order=1).sum(0), 0.7
            )
            for part in (solid * (1 - share), solid * share)
        )
        pre.append(shift(poor + rich, moved, order=3))
        post.append(poor + 2 * rich)
    scale = 1.2 / np.max(post)
    noisy = (
        -np.log(rng.poisson(1e4 * np.exp(-np.maximum(scale * np.array(frames), 0))) / 1e4).astype(np.float32)
        for frames in (pre, post)
    )
    return *noisy, true


@pytest.mark.parametrize(
    ("chemistry", "limit_px"),
    # With one gain the two last are moved by 1.3 to 1.6 px. What is left is the part of their bias that is no smooth function
    # of the tilt; where there are four energies or more, their spectra take it off (test_spectral_shifts).
    [("the same everywhere", 0.03), ("from left to right", 0.25), ("two halves", 0.4)],
)
def test_energies_of_a_tilt_series_are_not_moved_by_chemistry(
    chemistry: str, limit_px: float, rng: np.random.Generator
) -> None:
    pre, post, true = tilt_series(chemistry, 1.0, rng)
    found = register_energies(pre, FixedFrames(post, 1.5), max_shift_px=10, chemistry=True)
    rms = float(np.sqrt(np.mean((found.shifts - true) ** 2)))
    assert rms < limit_px
    pretended = float(np.abs(found.chemical_bias_px).max())
    if chemistry == "the same everywhere":
        assert pretended == 0
    else:
        assert pretended > 0.5


@pytest.mark.parametrize("n_rows", [1, 2])
def test_a_tilt_series_of_few_rows_is_aligned_along_them(n_rows: int, rng: np.random.Generator) -> None:
    """Detector lines and cropped series: no shift across the rows is made up, that along them is found."""
    tilt_deg = np.linspace(-60, 60, 25)
    theta = np.deg2rad(tilt_deg)
    column = np.arange(64) - 31.5
    true = rng.uniform(-2, 2, 25)
    line = np.zeros((25, 64))
    for x, z, radius, amount in ((-8.0, 4.0, 9.0, 1.0), (7.0, -6.0, 6.0, 0.8), (2.0, 10.0, 4.0, 0.7)):
        away = column[None] - (x * np.cos(theta) + z * np.sin(theta) + true)[:, None]
        line += amount * np.sqrt(np.maximum(0, 1 - (away / radius) ** 2))
    frames = np.repeat(line[:, None], n_rows, axis=1)
    values = [(s * frames + rng.normal(0, 0.01, frames.shape)).astype(np.float32) for s in (0.5, 1.0)]
    options = AlignOptions(True, True, 6.0, 4, None, 0.0, False)
    found = align_series(
        ("pre", "post"),
        values,
        np.array([20.0, 40.0]),
        tilt_deg=tilt_deg,
        acquisition_order=np.arange(25),
        magnification=np.ones(2),
        options=options,
        progress=lambda _: lambda *__: None,
    ).solution
    assert not found.dy_px.any()
    # A translation of the object, a cos θ + b sin θ, and where the axis is cannot be told from shifts.
    basis = np.stack([np.cos(theta), np.sin(theta), np.ones_like(theta)], axis=1)
    for dx in found.dx_px:
        away = dx - true
        rest = away - basis @ np.linalg.lstsq(basis, away, rcond=None)[0]
        assert float(np.sqrt(np.mean(rest**2))) < 0.3
