"""The whole alignment on simulated acquisitions: jitter, magnification, an axis that is off and leans."""

from dataclasses import replace

import numpy as np
import pytest

from oxytomo.align.axis_tilt import axis_tilt
from oxytomo.align.frames import first_of_each_tilt, radiation_damage
from oxytomo.align.matching import coarse_binning, frame_weights, misfit_ratio
from oxytomo.align.series import Alignment, Solution, align_series, mean_of_series, require_better
from oxytomo.align.starts import walked_shifts
from oxytomo.align.tilts import AlignOptions, align_tilts
from oxytomo.arrays import Float64Array
from oxytomo.cli.simulate import DENSITY_G_CM3, EDGES, FORMULA
from oxytomo.errors import InputError
from oxytomo.preprocess.optical_density import optical_density
from oxytomo.simulate.acquisition import Acquisition, outward_tilts_deg, simulate_acquisition
from oxytomo.simulate.particles import cathode_particle

PIXEL_NM = 9.8
OPTIONS = AlignOptions(
    tilts=True,
    energies=True,
    max_shift_px=30.0,
    iterations=8,
    axis_column=None,
    axis_tilt_deg=None,
    estimate_magnification=False,
)


class Case:
    """A simulated acquisition, normalised and sorted by tilt."""

    def __init__(self, seed: int, *, size: tuple[int, int], step_deg: float, **recorded: float) -> None:
        rng = np.random.default_rng(seed)
        phantom = cathode_particle(
            rng=rng,
            formula=FORMULA,
            diameter_nm=0.6 * min(size) * PIXEL_NM,
            n_oxygen_poor=4,
            n_oxygen_rich=4,
            n_pores=6,
            n_cracks=1,
            rim_nm=20.0,
            void_radius_nm=40.0,
            deviation=(0.1, 0.25),
        )
        energies = {
            f"{e}_{side}": EDGES[e][1 + i] for e in ("O", "Mn") for i, side in enumerate(("pre", "post"))
        }
        settings: dict[str, float] = {
            "jitter_px": 0.0,
            "magnification_spread": 0.0,
            "drift_px": 0.0,
        } | recorded
        acquisition = Acquisition(
            energies_ev=energies,
            tilt_deg=outward_tilts_deg(65.0, step_deg),
            n_rows=size[0],
            n_cols=size[1],
            pixel_nm=PIXEL_NM,
            psf_px=0.8,
            subsamples=2,
            photons_per_pixel=1e4,
            dark_level=100.0,
            beam_structure=0.05,
            i0_drift=0.02,
            hot_fraction=2e-4,
            n_flat=10,
            n_dark=5,
            noise=True,
            truth_subsamples=1,
            **settings,  # type: ignore[arg-type]
        )
        series, truth = simulate_acquisition(
            phantom, acquisition, formula=FORMULA, density_g_cm3=DENSITY_G_CM3, rng=rng
        )
        normalized = [
            optical_density(
                one,
                flat_field="mean",
                air_rescale=True,
                opaque_transmission=0.005,
                hot_pixel_sigma=8.0,
                saturation_counts=np.inf,
                illumination="none",
            )
            for one in series.values()
        ]
        self.order = np.argsort(truth.tilt_deg)
        self.names = list(series)
        self.tilt_deg = truth.tilt_deg[self.order]
        self.values = [n.value[self.order] for n in normalized]
        self.noise = [float(np.sqrt(np.median(n.variance[np.isfinite(n.variance)]))) for n in normalized]
        self.shift = truth.shift_px[:, self.order]
        self.magnification = truth.series_pixel_nm.mean() / truth.series_pixel_nm

    def align(self, options: AlignOptions = OPTIONS) -> Alignment:
        """Align it."""
        return align_series(
            self.names,
            self.values,
            np.array([np.nanstd(v) / n for v, n in zip(self.values, self.noise, strict=True)]),
            tilt_deg=self.tilt_deg,
            acquisition_order=self.order,
            magnification=self.magnification,
            options=options,
            progress=lambda _: lambda done, total: None,
        )

    def errors(self, solution: Solution) -> tuple[float, float, float]:
        """Rms errors of dy, dx less one translation of the particle, and the largest of pre against post; px."""
        error = np.stack([solution.dy_px, solution.dx_px], axis=-1) - self.shift
        mean = error.mean(axis=0)
        theta = np.deg2rad(self.tilt_deg)
        basis = np.stack([np.cos(theta), np.sin(theta)], axis=1)
        dx = error[..., 1] - basis @ np.linalg.lstsq(basis, mean[:, 1], rcond=None)[0]
        dy = error[..., 0] - mean[:, 0].mean()
        within_edge = np.sqrt(((error[0::2] - error[1::2]) ** 2).mean(axis=1)).max()
        return float(np.sqrt((dy**2).mean())), float(np.sqrt((dx**2).mean())), float(within_edge)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "coarse_columns"), [((80, 96), 160), ((81, 97), 40)])
def test_strong_jitter_and_magnification_are_undone(
    size: tuple[int, int], coarse_columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where large frames are binned first, with a row and a column left over."""
    monkeypatch.setattr("oxytomo.align.matching.COARSE_COLUMNS", coarse_columns)
    case = Case(
        31,
        size=size,
        step_deg=2.0,
        jitter_px=4.6,  # the standard deviation of ±8 px
        magnification_spread=0.01,
        drift_px=2.0,
        axis_offset_px=3.7,
    )
    found = case.align()
    dy, dx, within_edge = case.errors(found.solution)
    # The figures of the project: 0.15, 0.25 and 0.10 px; the offset of the axis is part of dx.
    assert dy < 0.15
    assert dx < 0.25
    assert within_edge < 0.10
    assert found.tilts.start == "centre of mass"
    assert np.nanmedian(found.tilts.misfit_after) < np.nanmedian(found.tilts.misfit_before) / 2
    assert found.tilts.alignment.precision_px.max() < 0.1


@pytest.mark.slow
def test_large_series_are_aligned_in_groups_and_on_binned_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory has a bound: groups change nothing, binned frames keep the errors within the same figures."""
    case = Case(
        36, size=(96, 112), step_deg=2.0, jitter_px=3.0, magnification_spread=0.01, axis_offset_px=2.6
    )
    whole = case.align()
    monkeypatch.setattr("oxytomo.align.parallel.GROUP_PIXELS", 5 * 96 * 112)
    grouped = case.align()
    np.testing.assert_array_equal(grouped.solution.dx_px, whole.solution.dx_px)
    np.testing.assert_array_equal(grouped.solution.dy_px, whole.solution.dy_px)
    monkeypatch.setattr("oxytomo.align.series.DRIVER_VOXELS", 96 * 112 * 112 // 4)
    binned = case.align()
    assert (whole.driver.binning.factor, binned.driver.binning.factor) == (1, 2)
    assert binned.driver.frames.shape[1:] == (48, 56)
    dy, dx, within_edge = case.errors(binned.solution)
    assert dy < 0.15
    assert dx < 0.25
    assert within_edge < 0.10
    # A given column of the axis is one of the frames, not of the binned ones.
    given = case.align(replace(OPTIONS, axis_column=(112 - 1) / 2 + 2.6, tilts=False))
    np.testing.assert_allclose(given.tilts.alignment.shifts[:, 1], 2.6, atol=1e-9)


@pytest.mark.parametrize("n_tilt", [1, 5])
def test_frames_that_stay_where_they_are_stay_there_when_binned(
    n_tilt: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows and columns that no square holds move the middle of binned frames, not the frames."""
    monkeypatch.setattr("oxytomo.align.series.DRIVER_VOXELS", 41 * 41 * 41 // 60)
    frames = np.random.default_rng(0).random((n_tilt, 41, 41)).astype(np.float32)
    driver = mean_of_series([frames], np.zeros((1, n_tilt, 2)), np.ones(1))
    assert driver.binning.factor == 4
    options = replace(OPTIONS, tilts=False, axis_column=20.0)
    tilt_deg, order = np.linspace(0, 40, n_tilt), np.arange(n_tilt)
    found = align_tilts(driver, tilt_deg, order, options, lambda _: lambda done, total: None)
    np.testing.assert_allclose(found.alignment.shifts, 0, atol=1e-12)


def test_binned_shifts_and_back() -> None:
    """A spot in the middle of a binned pixel sits at the same shift from the middle, whatever is cut off."""
    frames = np.zeros((1, 2 * 4 * 20 + 3, 4 * 160 + 2), np.float32)
    frames[0, 84:88, 400:404] = 1
    binning = coarse_binning((163, 642))
    assert binning.factor == 4
    small = binning.of(frames)
    assert small.shape[1:] == binning.shape
    place = np.array([[85.5, 401.5]]) - (np.array(frames.shape[1:]) - 1) / 2
    (_, row, column) = np.argwhere(small == 1)[0]
    binned_place = np.array([[row, column]]) - (np.array(binning.shape) - 1) / 2
    np.testing.assert_allclose(binning.shifts(place), binned_place)
    np.testing.assert_allclose(binning.undone(binned_place), place)
    assert binning.column(401.5) == column
    assert binning.column_undone(column) == 401.5
    assert coarse_binning((163, 319)).factor == 1


@pytest.mark.slow
def test_lean_of_the_axis_is_found_and_its_error_is_honest() -> None:
    case = Case(32, size=(112, 128), step_deg=1.0, axis_tilt_deg=0.5)
    frames = np.nan_to_num(np.mean(case.values, axis=0)).astype(np.float32)
    still = np.zeros((case.tilt_deg.size, 2))
    lean, error = axis_tilt(frames, case.tilt_deg, still, np.ones(case.tilt_deg.size))
    assert error < 0.06
    assert abs(lean - 0.5) < max(0.05, 3 * error)
    # The same frames the other way up lean the other way.
    mirrored, _ = axis_tilt(frames[:, ::-1].copy(), case.tilt_deg, still, np.ones(case.tilt_deg.size))
    assert mirrored == pytest.approx(-lean, abs=1e-3)


@pytest.mark.slow
def test_estimated_magnification_recovers_a_wrong_record() -> None:
    case = Case(33, size=(80, 96), step_deg=5.0, magnification_spread=0.01)
    true = case.magnification.copy()
    case.magnification = np.ones_like(true)
    estimating = AlignOptions(**{**vars(OPTIONS), "estimate_magnification": True, "iterations": 1})
    found = case.align(estimating).solution.magnification
    # Composition differs between the energies, which looks like up to 0.4 % of magnification (docs/explanation/alignment.md).
    np.testing.assert_allclose(found / found.mean(), true / true.mean(), atol=0.005)


def test_a_bad_frame_is_found_and_pulls_nobody(rng: np.random.Generator) -> None:
    case = Case(34, size=(64, 80), step_deg=5.0, jitter_px=2.0)
    bad = 9
    for value in case.values:
        value[bad] = value[bad][::-1, ::-1]
    found = case.align()
    innovation = found.tilts.alignment.innovation
    assert int(misfit_ratio(innovation).argmax()) == bad
    good = np.arange(case.tilt_deg.size) != bad
    weights = frame_weights(innovation)
    assert weights[bad] < 0.5
    assert (weights[good] == 1).all()
    error = found.solution.dx_px[:, good] - case.shift[:, good, 1]
    theta = np.deg2rad(case.tilt_deg[good])
    basis = np.stack([np.cos(theta), np.sin(theta)], axis=1)
    error -= basis @ np.linalg.lstsq(basis, error.mean(axis=0), rcond=None)[0]
    assert np.sqrt((error**2).mean()) < 0.25


def test_walking_outwards_follows_the_order_of_acquisition() -> None:
    case = Case(35, size=(64, 80), step_deg=5.0, jitter_px=2.0)
    frames = np.nan_to_num(case.values[-1])
    order = np.argsort(case.order)  # when each frame, by ascending tilt, was recorded
    walked = walked_shifts(frames, case.tilt_deg, order, max_shift_px=20)
    true = case.shift[-1] - np.median(case.shift[-1], axis=0)
    # Whole pixels summed over up to 13 steps: errors of 0.3 px each grow to about 1 px.
    assert np.sqrt(((walked[:, 0] - np.median(walked[:, 0]) - true[:, 0]) ** 2).mean()) < 1.5


def test_an_alignment_that_makes_things_worse_is_refused() -> None:
    before, after = np.full(9, 0.05), np.full(9, 0.08)
    with pytest.raises(InputError, match=r"8.0 % of the contrast, 5.0 % without"):
        require_better(before, after, "particle")
    require_better(after, before, "particle")


def test_two_energies_of_different_particles_are_refused() -> None:
    case = Case(36, size=(64, 80), step_deg=10.0)
    blank = np.random.default_rng(1).normal(0, 0.01, case.values[0].shape).astype(np.float32)
    case.values[2] = blank
    with pytest.raises(InputError, match=r"Mn_pre.*same particle"):
        case.align()


def test_angles_of_the_wrong_sign_are_named() -> None:
    case = Case(37, size=(64, 80), step_deg=5.0)
    case.values[1] = case.values[1][::-1].copy()
    with pytest.raises(InputError, match=r"O_post.*same sign"):
        case.align()


def test_repeated_tilts_tell_of_radiation_damage(rng: np.random.Generator) -> None:
    tilts = np.array([-10.0, 0.0, 0.0, 10.0])
    order = np.array([1, 0, 3, 2])
    first, pairs = first_of_each_tilt(tilts, order)
    assert first.tolist() == [0, 1, 3]
    assert pairs == [(1, 2)]
    value = np.zeros((4, 40, 40), np.float32)
    value[:, 10:30, 10:30] = 1.0
    value[2] *= 0.97
    value += rng.normal(0, 0.02, value.shape).astype(np.float32)
    (repeat,) = radiation_damage(value, np.full_like(value, 0.02**2), tilts, order, pairs)
    # The error of a total over 40² pixels of 0.02, twice: 1.1 of 400.
    assert repeat.change_error == pytest.approx(np.sqrt(2) * 0.02 * 40 / 400, rel=0.02)
    assert repeat.change == pytest.approx(-0.03, abs=4 * repeat.change_error)
    assert repeat.after_frames == 3


def test_weights_fall_with_the_misfit_against_the_neighbours() -> None:
    residual: Float64Array = np.full(21, 0.1)
    residual[5], residual[15] = 0.3, 0.5
    weights = frame_weights(residual)
    assert weights[5] == pytest.approx((2 / 3) ** 2)
    assert weights[15] == 0
    assert (np.delete(weights, [5, 15]) == 1).all()
