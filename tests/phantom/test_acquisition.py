"""Simulated acquisitions: photon statistics, exact optical densities, shifts and magnification."""

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.ndimage import affine_transform

from oxytomo.arrays import TiltSeries
from oxytomo.composition.cross_sections import attenuation_per_um
from oxytomo.errors import ConfigError
from oxytomo.simulate.acquisition import (
    Acquisition,
    Truth,
    frame_shifts_px,
    outward_tilts_deg,
    simulate_acquisition,
    truth_arrays,
)
from oxytomo.simulate.particles import cathode_particle
from oxytomo.simulate.phantoms import Ellipsoid, Phantom, line_integrals
from oxytomo.simulate.transmission import transmissions

LRTMO = {"Li": 1.2, "Mn": 0.56, "Ni": 0.16, "Co": 0.08, "O": 2.0}
EMPTY = Phantom((), tuple(LRTMO))
QUIET = Acquisition(
    energies_ev={"O_pre": 525.0, "O_post": 540.0},
    tilt_deg=outward_tilts_deg(60.0, 20.0),
    n_rows=40,
    n_cols=48,
    pixel_nm=10.0,
    magnification_spread=0.0,
    jitter_px=0.0,
    drift_px=0.0,
    psf_px=0.0,
    subsamples=1,
    photons_per_pixel=1e4,
    dark_level=0.0,
    beam_structure=0.0,
    i0_drift=0.0,
    hot_fraction=0.0,
    n_flat=0,
    n_dark=0,
    noise=False,
    truth_subsamples=2,
)
FULL = dataclasses.replace(
    QUIET,
    magnification_spread=0.004,
    jitter_px=0.7,
    drift_px=2.0,
    psf_px=0.8,
    subsamples=2,
    dark_level=100.0,
    beam_structure=0.1,
    i0_drift=0.01,
    hot_fraction=0.01,
    n_flat=6,
    n_dark=4,
    noise=True,
)


def ball(radius_nm: float = 90.0, centre_nm: tuple[float, float, float] = (15.0, -30.0, 20.0)) -> Phantom:
    everything = dict.fromkeys(LRTMO, 1.0)
    return Phantom((Ellipsoid(centre_nm, (radius_nm,) * 3, np.eye(3), everything, "particle"),), tuple(LRTMO))


def record(phantom: Phantom, acquisition: Acquisition, seed: int = 0) -> tuple[dict[str, TiltSeries], Truth]:
    rng = np.random.default_rng(seed)
    return simulate_acquisition(phantom, acquisition, formula=LRTMO, density_g_cm3=4.2, rng=rng)


def positions(n: int, pixel_nm: float) -> np.ndarray:
    return (np.arange(n) - (n - 1) / 2) * pixel_nm


def test_tilts_start_at_zero_and_walk_out() -> None:
    np.testing.assert_allclose(outward_tilts_deg(2, 1), [0, 1, 2, -1, -2])
    tilts = outward_tilts_deg(65.0, 1.0)
    assert tilts.size == 131
    np.testing.assert_allclose(np.sort(tilts), np.arange(-65, 66))
    np.testing.assert_allclose(outward_tilts_deg(0.3, 0.1), [0, 0.1, 0.2, 0.3, -0.1, -0.2, -0.3])


def test_empty_frames_have_the_mean_and_the_variance_of_photon_counting() -> None:
    counting = dataclasses.replace(QUIET, noise=True, dark_level=50.0, n_flat=5, n_dark=5)
    series, _ = record(EMPTY, counting)
    for one in series.values():
        for counts, expected in ((one.frames, 10_050.0), (one.flat, 10_050.0), (one.dark, 50.0)):
            values = np.asarray(counts, np.float64)
            # Standard errors: of the mean sqrt(N / n), of the variance N sqrt(2 / n).
            assert values.mean() == pytest.approx(expected, abs=5 * np.sqrt(expected / values.size))
            assert values.var() == pytest.approx(expected, abs=5 * expected * np.sqrt(2 / values.size))
        assert one.frames.dtype == np.uint16


def test_counts_beyond_16_bit_are_kept() -> None:
    series, _ = record(EMPTY, dataclasses.replace(QUIET, noise=True, photons_per_pixel=1e6))
    assert series["O_pre"].frames.dtype == np.uint32
    assert series["O_pre"].frames.mean() == pytest.approx(1e6, rel=1e-3)


def test_without_noise_the_optical_density_is_the_sum_over_elements() -> None:
    phantom = cathode_particle(
        rng=np.random.default_rng(1),
        formula=LRTMO,
        diameter_nm=320.0,
        n_oxygen_poor=2,
        n_oxygen_rich=2,
        n_pores=2,
        n_cracks=1,
        rim_nm=15.0,
        void_radius_nm=30.0,
        deviation=(0.1, 0.2),
    )
    series, truth = record(phantom, QUIET)
    areal = line_integrals(
        phantom, tilt_deg=QUIET.tilt_deg, z_nm=positions(40, 10.0), s_nm=positions(48, 10.0)
    )
    attenuation = attenuation_per_um(
        LRTMO, density_g_cm3=4.2, energies_ev=np.array([525.0, 540.0]), elements=phantom.elements
    )
    for mu, name in zip(attenuation, truth.series, strict=True):
        measured = -np.log(series[name].frames / QUIET.photons_per_pixel)
        np.testing.assert_allclose(measured, np.tensordot(mu, areal, 1), atol=3e-6)  # float32 counts
    assert not truth.shift_px.any()


def test_shifts_move_the_content_by_exactly_that_much() -> None:
    moved = dataclasses.replace(QUIET, jitter_px=1.3, drift_px=3.0, pixel_nm=4.0, n_rows=80, n_cols=84)
    z0, y0, x0 = 15.0, -30.0, 20.0
    series, truth = record(ball(90.0, (z0, y0, x0)), moved)
    theta = np.deg2rad(truth.tilt_deg)
    true_nm = np.stack([np.full(theta.size, z0), x0 * np.cos(theta) + y0 * np.sin(theta)], axis=1)
    for i, name in enumerate(truth.series):
        areal = -np.log(series[name].frames / 1e4).astype(np.float64)
        middle = [areal.sum(axis=2) @ positions(80, 1.0), areal.sum(axis=1) @ positions(84, 1.0)]
        centres_px = np.stack(middle, axis=1) / areal.sum(axis=(1, 2))[:, None]
        # The centre of a ball sampled once per pixel, 22 px in radius, is good to some thousandths of one.
        np.testing.assert_allclose(centres_px, true_nm / 4.0 + truth.shift_px[i], atol=0.01)
    assert np.abs(truth.shift_px).max() > 1


def test_whole_pixels_of_shift_move_the_frame_and_nothing_else() -> None:
    settings = {"pixel_nm": 10.0, "n_rows": 40, "n_cols": 48, "psf_px": 0.7, "subsamples": 2}
    tilts = np.array([20.0, -35.0])
    still = transmissions(ball(), np.ones(1), tilt_deg=tilts, shift_px=np.zeros((2, 2)), **settings)
    shift = np.array([[3.0, -2.0], [-4.0, 5.0]])
    moved = transmissions(ball(), np.ones(1), tilt_deg=tilts, shift_px=shift, **settings)
    for before, after, (dy, dx) in zip(still, moved, shift.astype(int), strict=True):
        np.testing.assert_allclose(after, np.roll(before, (dy, dx), axis=(0, 1)), atol=1e-6)


def test_drift_is_steady_and_jitter_is_as_wide_as_asked() -> None:
    rng = np.random.default_rng(0)
    drift = frame_shifts_px(3, 11, jitter_px=0.0, drift_px=4.0, rng=rng)
    np.testing.assert_allclose(np.hypot(*drift[:, -1].T), 4.0)
    np.testing.assert_allclose(drift, np.linspace(0, 1, 11)[:, None] * drift[:, -1:], atol=1e-12)
    jitter = frame_shifts_px(4, 500, jitter_px=0.6, drift_px=0.0, rng=rng)
    assert jitter.std() == pytest.approx(0.6, rel=5 / np.sqrt(2 * jitter.size))


def test_a_larger_pixel_shows_a_smaller_particle_of_the_same_optical_density() -> None:
    series, truth = record(ball(), dataclasses.replace(QUIET, magnification_spread=0.1))
    np.testing.assert_allclose(truth.series_pixel_nm, [9.0, 11.0])
    expected = 4 / 3 * np.pi * 0.09**3  # µm³
    attenuation = attenuation_per_um(
        LRTMO, density_g_cm3=4.2, energies_ev=truth.energies_ev, elements=truth.elements
    ).sum(axis=1)
    for i, name in enumerate(truth.series):
        np.testing.assert_array_equal(series[name].pixel_nm, truth.series_pixel_nm[i])
        areal = -np.log(series[name].frames / 1e4) / attenuation[i]
        volume_um3 = areal.sum(axis=(1, 2), dtype=np.float64) * (truth.series_pixel_nm[i] * 1e-3) ** 2
        np.testing.assert_allclose(volume_um3, expected, rtol=(11 / 90) ** 1.5)


def test_bins_average_the_transmission_not_the_optical_density() -> None:
    coarse, _ = record(ball(), dataclasses.replace(QUIET, subsamples=3))
    fine, _ = record(ball(), dataclasses.replace(QUIET, n_rows=120, n_cols=144, pixel_nm=10 / 3))
    binned = fine["O_post"].frames.reshape(-1, 40, 3, 48, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(coarse["O_post"].frames, binned, rtol=1e-5)


def test_blur_keeps_the_total_intensity() -> None:
    sharp, _ = record(ball(), QUIET)
    blurred, _ = record(ball(), dataclasses.replace(QUIET, psf_px=1.0))
    lost = [(1e4 - s["O_post"].frames.astype(np.float64)).sum(axis=(1, 2)) for s in (sharp, blurred)]
    np.testing.assert_allclose(lost[1], lost[0], rtol=1e-4)  # the kernel is cut at 4 standard deviations
    assert blurred["O_post"].frames.min() > sharp["O_post"].frames.min()


def test_flats_carry_the_beam_and_frames_their_intensity() -> None:
    uneven = dataclasses.replace(
        QUIET, beam_structure=0.1, i0_drift=0.02, n_flat=3, n_dark=1, dark_level=20.0
    )
    series, truth = record(EMPTY, uneven)
    for i, name in enumerate(truth.series):
        one = series[name]
        assert one.flat is not None
        assert one.dark is not None
        np.testing.assert_allclose(one.dark, 20.0)
        ratio = (one.frames - 20.0) / (one.flat[0] - 20.0)
        np.testing.assert_allclose(
            ratio, np.broadcast_to(truth.beam_intensity[i][:, None, None], ratio.shape), rtol=1e-5
        )
        assert 0.05 < one.flat[0].std() / one.flat[0].mean() < 0.2
        np.testing.assert_array_equal(one.flat_position, [-1, -1, one.n_frames])


def test_hot_pixels_read_the_same_with_and_without_beam() -> None:
    hot = dataclasses.replace(QUIET, hot_fraction=0.02, n_flat=2, n_dark=2, dark_level=10.0)
    one = record(ball(), hot)[0]["O_pre"]
    stuck = np.asarray(one.dark)[0] > 1000
    assert 0.005 < stuck.mean() < 0.05
    for counts in (one.frames, one.flat, one.dark):
        np.testing.assert_allclose(np.asarray(counts)[:, stuck], 30_010.0)


def test_equal_seeds_give_equal_counts() -> None:
    first, again, other = (record(ball(), FULL, seed)[0]["O_post"].frames for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.9


def test_truth_arrays_survive_a_file(tmp_path: Path) -> None:
    _, truth = record(ball(), FULL)
    np.savez_compressed(tmp_path / "truth.npz", **truth_arrays(truth))
    with np.load(tmp_path / "truth.npz", allow_pickle=False) as stored:
        assert stored["densities"].shape == (5, 40, 48, 48)
        assert list(stored["elements"]) == list(LRTMO)
        assert list(stored["series"]) == ["O_pre", "O_post"]
        np.testing.assert_array_equal(stored["shift_px"], truth.shift_px)
        assert stored["shift_px"].shape == (2, 7, 2)
        volume = stored["fraction_solid"].sum(dtype=np.float64) * 1e3
        assert volume == pytest.approx(4 / 3 * np.pi * 90**3, rel=0.005)
        inside = np.isfinite(stored["deviation"])
        assert inside.sum() * 1e3 == pytest.approx(volume, rel=0.03)  # shares come in eighths, a half counts
        np.testing.assert_allclose(stored["deviation"][inside], 0, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"photons_per_pixel": 0.0}, "photons_per_pixel"),
        ({"tilt_deg": np.array([0.0, np.nan])}, "tilt_deg"),
        ({"hot_fraction": 1.0}, "hot_fraction"),
        ({"energies_ev": {}}, "number of energies"),
        ({"psf_px": -1.0}, "psf_px"),
    ],
)
def test_wrong_settings_are_named(change: dict[str, object], wrong: str) -> None:
    with pytest.raises(ConfigError, match=f"acquisition: expected .* got {wrong} outside that"):
        record(EMPTY, dataclasses.replace(QUIET, **change))


def test_phantoms_with_other_elements_are_refused() -> None:
    iron = Phantom((), ("Fe", "O"))
    with pytest.raises(ConfigError, match=r"elements of the formula .* got Fe"):
        record(iron, QUIET)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "energy_ev"),
    [
        ("O_K_pre", 525.0),
        ("O_K_post", 540.0),
        ("Mn_L_post", 645.0),
        ("Co_L_pre", 772.0),
        ("Ni_L_post", 866.0),
    ],
)
def test_independent_simulation_has_the_same_optical_density(
    shared_data: Path, name: str, energy_ev: float
) -> None:
    folder = shared_data / "dual_energy_dev_a"
    with np.load(folder / "truth.npz") as truth:
        index = [
            "O_K_pre",
            "O_K_post",
            "Mn_L_pre",
            "Mn_L_post",
            "Co_L_pre",
            "Co_L_post",
            "Ni_L_pre",
            "Ni_L_post",
        ]
        frame = int(np.flatnonzero(truth["theta"] == 0)[0])
        shift, scale = truth["shift"][index.index(name), frame], truth["scale"][index.index(name)]
        elements = [str(element) for element in truth["elements"]]
        areal = truth["density"].sum(axis=2, dtype=np.float32) * np.float32(9.8e-3)
    mu = attenuation_per_um(LRTMO, density_g_cm3=4.2, energies_ev=np.array([energy_ev]), elements=elements)[0]
    with h5py.File(folder / "raw" / f"{name}.h5") as file:
        dark = file["exchange/data_dark"][()].mean(axis=0)
        flat = np.clip(file["exchange/data_white"][()].mean(axis=0) - dark, 1.0, None)  # hot: 0
        counts = np.clip(file["exchange/data"][frame] - dark, 1.0, None)
    measured = -np.log(counts / flat)
    measured -= np.median(measured[:12])  # the beam's drift, from rows above the particle
    middle = (np.array(measured.shape) - 1) / 2
    predicted = affine_transform(
        np.tensordot(mu, areal, 1), np.full(2, scale), offset=middle - scale * (middle + shift), order=1
    )
    thick = predicted > 0.5 * predicted.max()
    # Averaging the transmission over a blurred pixel lowers the optical density a little: 0.2 % is seen.
    assert np.median(measured[thick] / predicted[thick]) == pytest.approx(1, abs=0.004)
