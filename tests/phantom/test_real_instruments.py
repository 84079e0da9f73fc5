"""Effects of real instruments and samples in simulated acquisitions: each against its known answer."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import xraydb

from oxytomo.arrays import TiltSeries
from oxytomo.composition.cross_sections import attenuation_per_um
from oxytomo.config import InstrumentSettings
from oxytomo.errors import ConfigError
from oxytomo.simulate.acquisition import (
    Acquisition,
    Truth,
    frame_shifts_px,
    outward_tilts_deg,
    simulate_acquisition,
)
from oxytomo.simulate.illumination import beam_structure, moved
from oxytomo.simulate.instrument import IDEAL, RealInstrument, dose_shares
from oxytomo.simulate.particles import apart, cathode_particle
from oxytomo.simulate.phantoms import Ellipsoid, Phantom, projected
from oxytomo.simulate.rays import cone_directions, numerical_aperture, ray_integrals
from oxytomo.simulate.surroundings import film_below, outline_of, surroundings, with_neighbours

LRTMO = {"Li": 1.2, "Mn": 0.56, "Ni": 0.16, "Co": 0.08, "O": 2.0}
ENERGIES = {"O_pre": 525.0, "O_post": 540.0, "Mn_pre": 636.0, "Mn_post": 645.0}
SCAN = Acquisition(
    energies_ev=ENERGIES,
    tilt_deg=outward_tilts_deg(60.0, 30.0),
    n_rows=41,
    n_cols=45,
    pixel_nm=10.0,
    magnification_spread=0.0,
    jitter_px=0.0,
    drift_px=0.0,
    psf_px=0.0,
    subsamples=1,
    photons_per_pixel=1.0,
    dark_level=0.0,
    beam_structure=0.0,
    i0_drift=0.0,
    hot_fraction=0.0,
    n_flat=1,
    n_dark=0,
    noise=False,
    truth_subsamples=2,
)
RADIUS_NM = 150.0
MIDDLE = (20, 22)


def instrument(**switches: Any) -> RealInstrument:
    return RealInstrument(**dict(InstrumentSettings(**switches)))


def ball(radius_nm: float = RADIUS_NM, centre_nm: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Phantom:
    everything = dict.fromkeys(LRTMO, 1.0)
    return Phantom((Ellipsoid(centre_nm, (radius_nm,) * 3, np.eye(3), everything, "particle"),), tuple(LRTMO))


def record(
    phantom: Phantom, scan: Acquisition = SCAN, seed: int = 0, **switches: Any
) -> tuple[dict[str, TiltSeries], Truth]:
    return simulate_acquisition(
        phantom,
        scan,
        formula=LRTMO,
        density_g_cm3=4.2,
        rng=np.random.default_rng(seed),
        instrument=instrument(**switches),
    )


def densities(phantom: Phantom, scan: Acquisition = SCAN, **switches: Any) -> dict[str, np.ndarray]:
    series, _ = record(phantom, scan, **switches)
    return {
        name: -np.log(np.asarray(one.frames, np.float64) / np.asarray(one.flat, np.float64)[0])
        for name, one in series.items()
    }


def attenuation(element: str, energy_ev: float) -> float:
    found = attenuation_per_um(
        LRTMO, density_g_cm3=4.2, energies_ev=np.array([energy_ev]), elements=[element]
    )
    return float(found[0, 0])


def substance(masses: dict[str, float], density_g_cm3: float, energy_ev: float) -> float:
    """Attenuation in 1/µm from mass fractions worked out by hand."""
    per_mass = sum(share * float(xraydb.mu_chantler(name, energy_ev)) for name, share in masses.items())
    return density_g_cm3 * per_mass * 1e-4


# --- off


def test_switched_off_nothing_is_drawn_and_nothing_changes() -> None:
    scan = dataclasses.replace(
        SCAN, noise=True, photons_per_pixel=1e4, jitter_px=1.0, beam_structure=0.1, i0_drift=0.01, psf_px=0.7
    )
    off, truth = record(ball(), scan, seed=5)
    ideal, _ = simulate_acquisition(
        ball(), scan, formula=LRTMO, density_g_cm3=4.2, rng=np.random.default_rng(5), instrument=IDEAL
    )
    for name in ENERGIES:
        np.testing.assert_array_equal(off[name].frames, ideal[name].frames)
    # The shifts are the first that a fresh generator draws: the instrument has its own random numbers.
    first = frame_shifts_px(4, 5, jitter_px=1.0, drift_px=0.0, rng=np.random.default_rng(5))
    np.testing.assert_array_equal(truth.shift_px, first)


def test_rays_one_by_one_agree_with_the_grid_of_chords() -> None:
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
    z, s = np.linspace(-180, 180, 31), np.linspace(-190, 190, 33)
    grid = projected(phantom, phantom.amounts, tilt_deg=np.array([0.0, 37.0]), z_nm=z, s_nm=s)
    for k, tilt in enumerate(np.deg2rad([0.0, 37.0])):
        zz, ss = (a.ravel() for a in np.meshgrid(z, s, indexing="ij"))
        points = np.stack([zz, ss * np.sin(tilt), ss * np.cos(tilt)], axis=1)
        beam = np.array([0.0, np.cos(tilt), -np.sin(tilt)])
        whole, within = ray_integrals(
            phantom, phantom.amounts, points_nm=points, direction=beam, core=outline_of(phantom)
        )
        # float32 sums of up to some tens of chords below 1 µm
        np.testing.assert_allclose(whole.T.reshape(5, 31, 33), grid[:, k], atol=3e-6)
        np.testing.assert_allclose(within, whole, atol=1e-12)  # nothing lies outside of the outline


def test_the_general_rays_record_what_the_ideal_ones_do() -> None:
    scan = dataclasses.replace(SCAN, psf_px=0.8, subsamples=2, axis_tilt_deg=1.5, jitter_px=1.0)
    plain = densities(ball(), scan)
    # A shrinkage too small to see makes the frames come from the general kernel.
    general = densities(ball(), scan, shrinkage=1e-12)
    for name in ENERGIES:
        np.testing.assert_allclose(general[name], plain[name], atol=2e-6)  # float32 transmissions


# --- the instrument


def test_stray_light_adds_its_share_to_the_transmission() -> None:
    clean, stray = densities(ball()), densities(ball(), stray=0.02, stray_edges={"Mn": 0.05})
    for name, share in (("O_pre", 0.02), ("O_post", 0.02), ("Mn_pre", 0.05), ("Mn_post", 0.05)):
        expected = -np.log((1 - share) * np.exp(-clean[name]) + share)
        np.testing.assert_allclose(stray[name], expected, atol=1e-6)
        air = clean[name] == 0
        np.testing.assert_allclose(stray[name][air], 0, atol=1e-6)  # as much in flats as in frames


def test_a_white_line_scales_the_elements_own_image_only() -> None:
    clean, scaled = densities(ball()), densities(ball(), post_edge={"O": 1.1})
    chord_um = 2 * RADIUS_NM / 1e3
    extra = scaled["O_post"][0][MIDDLE] - clean["O_post"][0][MIDDLE]
    assert extra == pytest.approx(0.1 * attenuation("O", 540.0) * chord_um, rel=1e-5)
    for name in ("O_pre", "Mn_pre", "Mn_post"):
        np.testing.assert_array_equal(scaled[name], clean[name])


@pytest.mark.parametrize("rim_nm", [60.0, 150.0])
def test_a_rim_of_other_valence_counts_where_the_rim_is(rim_nm: float) -> None:
    hollow = Ellipsoid((0.0, 0.0, 0.0), (100.0,) * 3, np.eye(3), dict.fromkeys(LRTMO, -1.0), "void")
    phantom = Phantom((*ball().ellipsoids, hollow), tuple(LRTMO))
    clean = densities(phantom)
    changed = densities(phantom, rim_change={"O": 0.1}, rim_nm=rim_nm)
    extra = changed["O_post"][0][MIDDLE] - clean["O_post"][0][MIDDLE]
    # The middle ray crosses 50 nm of shell on either side, all of it in both rims: the void reaches into the rim.
    assert extra == pytest.approx(0.1 * attenuation("O", 540.0) * 0.1, rel=1e-4)
    np.testing.assert_allclose(changed["O_pre"], clean["O_pre"], atol=2e-6)


def test_a_rim_stops_at_its_depth() -> None:
    clean, changed = densities(ball()), densities(ball(), rim_change={"O": -0.2}, rim_nm=40.0)
    extra = changed["O_post"][0][MIDDLE] - clean["O_post"][0][MIDDLE]
    assert extra == pytest.approx(-0.2 * attenuation("O", 540.0) * 2 * 0.04, rel=1e-4)


def test_illumination_that_moves_leaves_its_gradient_in_air() -> None:
    empty = Phantom((), tuple(LRTMO))
    series, _ = record(
        empty, dataclasses.replace(SCAN, n_rows=96, n_cols=96), beam_shift_px=0.1, beam_length_px=4.0
    )
    shifts = []
    for one in series.values():
        flat = np.asarray(one.flat, np.float64)[0]
        gradient = np.stack([g.ravel() for g in np.gradient(np.log(flat))])
        for frame in np.asarray(one.frames, np.float64):
            seen = -np.log(frame / flat).ravel()
            shift, *_ = np.linalg.lstsq(gradient.T, seen, rcond=None)
            # d · grad ln flat; the rest is the second order in 0.1 px over 4 px, and the finite differences
            assert np.std(seen - gradient.T @ shift) < 0.1 * np.std(seen)
            shifts.append(shift)
    assert np.log(np.asarray(series["O_pre"].flat)[0]).std() == pytest.approx(0.06, rel=0.1)
    # 20 frames in two directions: the rms is known to 1/sqrt(80).
    assert np.sqrt(np.mean(np.square(shifts))) == pytest.approx(0.1, rel=4 / np.sqrt(80))


def test_whole_pixels_move_the_illumination_exactly() -> None:
    structure = beam_structure((20, 30), contrast=0.05, length_px=2.0, rng=np.random.default_rng(0))
    assert structure.std() == pytest.approx(0.05)
    frames = moved(structure, np.array([[0.0, 0.0], [3.0, -2.0]]))
    np.testing.assert_allclose(frames[1], np.roll(frames[0], (3, -2), (0, 1)), atol=1e-6)


def test_what_is_out_of_focus_is_blurred_by_the_aperture() -> None:
    assert numerical_aperture(25.0, 525.0) == pytest.approx(2.3616 / 50, rel=1e-4)  # λ = 2.3616 nm
    aperture = numerical_aperture(25.0, 525.0)
    slopes = np.array(cone_directions(aperture))
    np.testing.assert_allclose(slopes.mean(axis=0), 0, atol=1e-15)
    # A filled disc of radius NA has the mean square NA²/4 in each direction.
    np.testing.assert_allclose(np.mean(slopes**2, axis=0), aperture**2 / 4, rtol=1e-12)
    scan = dataclasses.replace(
        SCAN, tilt_deg=np.array([0.0]), n_rows=91, n_cols=91, pixel_nm=4.0, energies_ev={"O_pre": 525.0}
    )
    faint = dict.fromkeys(LRTMO, 0.001)
    axis = (np.arange(91) - 45) * 4.0
    spread = {}
    for y_nm in (0.0, 2000.0):
        one = Ellipsoid((0.0, y_nm, 0.0), (80.0,) * 3, np.eye(3), faint, "particle")
        for zone_nm in (0.0, 25.0):
            seen = densities(Phantom((one,), tuple(LRTMO)), scan, zone_nm=zone_nm)["O_pre"][0]
            spread[y_nm, zone_nm] = [(seen.sum(axis=other) * axis**2).sum() / seen.sum() for other in (1, 0)]
    np.testing.assert_allclose(spread[0.0, 25.0], spread[0.0, 0.0], rtol=0.01)
    wider = np.subtract(spread[2000.0, 25.0], spread[2000.0, 0.0])
    # Small angles and sampling at 4 nm leave about a percent.
    np.testing.assert_allclose(wider, (2000.0 * aperture) ** 2 / 4, rtol=0.03)


def test_recorded_tilts_differ_from_the_true_ones_by_their_error() -> None:
    scan = dataclasses.replace(SCAN, tilt_deg=np.linspace(-60, 60, 41), n_cols=95, subsamples=2)
    series, truth = record(ball(60.0, (0.0, 0.0, 300.0)), scan, angle_rms_deg=1.0)
    errors = []
    for one in series.values():
        areal = -np.log(np.asarray(one.frames, np.float64))
        columns = (np.arange(95) - 47) * 10.0
        s_nm = (areal.sum(axis=1) @ columns) / areal.sum(axis=(1, 2))
        seen_deg = np.rad2deg(np.arccos(np.clip(s_nm / 300.0, -1, 1)))
        steep = np.abs(one.tilt_deg) > 20  # near 0 the column does not tell the tilt
        errors.append(seen_deg[steep] - np.abs(one.tilt_deg[steep]))
        np.testing.assert_array_equal(one.tilt_deg, scan.tilt_deg)
    found = np.concatenate(errors)
    assert np.sqrt(np.mean(found**2)) == pytest.approx(1.0, rel=4 / np.sqrt(2 * found.size))
    np.testing.assert_array_equal(truth.tilt_deg, scan.tilt_deg)


def test_a_distorted_field_draws_the_corners_in() -> None:
    scan = dataclasses.replace(SCAN, tilt_deg=np.array([0.0]), n_rows=80, n_cols=80, subsamples=3)
    corner = 300.0
    small = ball(40.0, (corner, 0.0, corner))
    seen = densities(small, scan, distortion=0.1)["O_pre"][0]
    axis = (np.arange(80) - 39.5) * 10.0
    at_nm = np.array([seen.sum(axis=1) @ axis, seen.sum(axis=0) @ axis]) / seen.sum()
    # The pixel at r sees the point r (1 + 0.1 r²/c²), c to the corner of the field: solved for its centre.
    r2 = (2 * at_nm**2) / (2 * 400.0**2)
    # The ball's own size within the distortion moves its centre by a fraction of a nanometre.
    np.testing.assert_allclose(at_nm * (1 + 0.1 * r2), corner, atol=1.5)
    assert at_nm.max() < corner - 10


def test_another_point_spread_and_energy_than_recorded() -> None:
    blurred, same = densities(ball(), psf_px=1.5), densities(ball(), dataclasses.replace(SCAN, psf_px=1.5))
    np.testing.assert_array_equal(blurred["O_pre"], same["O_pre"])
    shifted = dataclasses.replace(SCAN, energies_ev={name: e + 2 for name, e in ENERGIES.items()})
    series, _ = record(ball(), energy_offset_ev=2.0)
    np.testing.assert_array_equal(series["Mn_post"].frames, record(ball(), shifted)[0]["Mn_post"].frames)
    assert set(series["Mn_post"].energy_ev) == {645.0}


# --- the sample


def test_a_skin_of_carbonate_has_its_thickness_on_both_sides() -> None:
    clean, coated = densities(ball()), densities(ball(), skin_nm=10.0)
    extra = coated["Mn_pre"][0][MIDDLE] - clean["Mn_pre"][0][MIDDLE]
    # Li2CO3: 2 × 6.94 + 12.011 + 3 × 15.999 = 73.888 g/mol
    shares = {"Li": 0.18785, "C": 0.16256, "O": 0.64959}
    assert extra == pytest.approx(0.02 * substance(shares, 2.11, 636.0), rel=1e-3)
    outside = clean["Mn_pre"][0] == 0
    assert (coated["Mn_pre"][0][outside] > 0).any()


def test_carbon_clumps_touch_the_particle_and_do_not_enter_it() -> None:
    chosen = instrument(carbon_clumps=6, clump_nm=80.0, skin_nm=5.0)
    around = surroundings(ball(), chosen, np.random.default_rng(2))
    clumps = [e for e in around.ellipsoids if "carbon" in e.amount]
    assert len(clumps) == 6
    coat = ball(RADIUS_NM + 5.0).ellipsoids[0]
    nearer = ball(RADIUS_NM + 10.0).ellipsoids[0]
    for clump in clumps:
        assert apart(clump, coat)
        assert not apart(clump, nearer)  # no gap of 5 nm
        assert 0.7**3 <= clump.volume_nm3 / (4 / 3 * np.pi * 40.0**3) <= 1.3**3
    # Their mass is in the frames: the sum over the pixels is that of the volumes.
    points = np.stack(
        [g.ravel() for g in np.meshgrid(np.arange(-300, 300, 4.0), np.arange(-300, 300, 4.0))], 1
    )
    rays = np.insert(points, 1, 0.0, axis=1)
    carbon = Phantom(tuple(clumps), ("carbon",))
    whole, _ = ray_integrals(
        carbon, carbon.amounts, points_nm=rays, direction=np.array([0.0, 1.0, 0.0]), core=None
    )
    assert whole.sum() * 4.0**2 * 1e3 == pytest.approx(sum(e.volume_nm3 for e in clumps), rel=0.01)
    dusty, clean = densities(ball(), carbon_clumps=6, clump_nm=80.0), densities(ball())
    assert (dusty["O_pre"] - clean["O_pre"]).max() < substance({"C": 1.0}, 1.0, 525.0) * 6 * 2 * 0.052


def test_a_film_is_as_thick_as_its_path_through_it() -> None:
    seen = densities(ball(20.0), film_nm=30.0)["Mn_pre"]
    mu = substance({"C": 1.0}, 2.0, 636.0)
    for frame, tilt in zip(seen, SCAN.tilt_deg, strict=True):
        assert frame[2, 2] == pytest.approx(0.03 * mu / np.cos(np.deg2rad(tilt)), rel=1e-5)


def test_holes_take_their_share_of_the_film() -> None:
    layers = film_below(ball(), instrument(film_nm=30.0, film_hole_nm=50.0), np.random.default_rng(0))
    assert layers is not None
    z, x = np.meshgrid(np.arange(0, 800, 1.0), np.arange(0, 800, 1.0))  # ten pitches of 80 nm
    film = layers.thickness_nm(z, x)
    assert set(np.unique(film)) == {0.0, 30.0}
    assert (film == 0).mean() == pytest.approx(np.pi / 4 / 1.6**2, rel=0.01)
    assert layers.y_nm == pytest.approx(-RADIUS_NM)


def test_binder_varies_between_nothing_and_its_thickness() -> None:
    around = surroundings(ball(), instrument(binder_nm=100.0), np.random.default_rng(0))
    coat, hole = around.ellipsoids
    assert (coat.amount, hole.amount) == ({"binder": 1.0}, {"binder": -1.0})
    # A ball of 200 nm, 50 nm beside one of 150 nm: they touch on one side and are 100 nm apart on the other.
    assert coat.semi_axes_nm == pytest.approx((200.0,) * 3)
    assert np.linalg.norm(coat.centre_nm) == pytest.approx(50.0)
    clean, coated = densities(ball()), densities(ball(), binder_nm=100.0)
    # (CH2CF2)n: 2 × 12.011 + 2 × 1.008 + 2 × 18.998 = 64.034 g/mol
    mu = substance({"C": 0.37514, "H": 0.03148, "F": 0.59338}, 1.78, 636.0)
    sums = (coated["Mn_pre"] - clean["Mn_pre"])[0].sum() * 100.0 / mu * 1e3
    # The volume of the coat, summed over pixels of 10 nm
    assert sums == pytest.approx(4 / 3 * np.pi * (200.0**3 - 150.0**3), rel=0.02)


def test_neighbours_touch_count_as_solid_and_are_on_target() -> None:
    phantom = with_neighbours(ball(), 2, np.random.default_rng(3))
    first, *others = phantom.ellipsoids
    assert [e.kind for e in others] == ["neighbour", "neighbour"]
    for other in others:
        gap = np.linalg.norm(other.centre_nm) - other.semi_axes_nm[0] - first.semi_axes_nm[0]
        assert gap == pytest.approx(0, abs=1e-3) or gap > 0  # apart from each other first
        assert apart(other, first)
    wide = dataclasses.replace(SCAN, n_rows=81, n_cols=81)
    _, truth = record(ball(), wide, neighbours=2)
    alone = record(ball(), wide)[1]
    assert truth.fractions["solid"].sum() > 1.01 * alone.fractions["solid"].sum()
    np.testing.assert_allclose(truth.deviation[np.isfinite(truth.deviation)], 0, atol=1e-6)


def test_oxygen_is_lost_with_the_dose() -> None:
    np.testing.assert_allclose(dose_shares(2, 2, "tilt"), [[0.125, 0.625], [0.375, 0.875]])
    np.testing.assert_allclose(dose_shares(2, 2, "series"), [[0.125, 0.375], [0.625, 0.875]])
    clean, damaged = densities(ball()), densities(ball(), oxygen_loss=0.2, dose_order="series")
    dose = dose_shares(4, 5, "series")
    for series, (name, energy) in enumerate(ENERGIES.items()):
        lost = clean[name][:, *MIDDLE] - damaged[name][:, *MIDDLE]
        expected = 0.2 * dose[series] * attenuation("O", energy) * 2 * RADIUS_NM / 1e3
        np.testing.assert_allclose(lost, expected, rtol=1e-3)


def test_a_particle_that_shrinks_keeps_its_mass() -> None:
    scan = dataclasses.replace(SCAN, tilt_deg=np.zeros(3), subsamples=2, energies_ev={"Mn_pre": 636.0})
    clean, smaller = densities(ball(), scan)["Mn_pre"], densities(ball(), scan, shrinkage=0.3)["Mn_pre"]
    dose = dose_shares(1, 3, "tilt")[0]
    # Chords shrink by the factor, densities grow by its third power.
    np.testing.assert_allclose(smaller[:, *MIDDLE], clean[:, *MIDDLE] / (1 - 0.3 * dose) ** 2, rtol=2e-3)
    assert (smaller[2] > 0).sum() == pytest.approx((clean[2] > 0).sum() * (1 - 0.25) ** 2, rel=0.1)


# --- refusals


@pytest.mark.parametrize(
    ("switches", "part"),
    [
        ({"post_edge": {"Fe": 1.1}}, "got Fe"),
        ({"post_edge": {"Ni": 1.1}}, "got Ni"),
        ({"stray_edges": {"Co": 0.1}}, "got Co"),
    ],
)
def test_elements_without_images_are_refused(switches: dict[str, Any], part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        record(ball(), **switches)


def test_a_film_seen_edge_on_is_refused() -> None:
    with pytest.raises(ConfigError, match="tilts up to 85°"):
        record(ball(), dataclasses.replace(SCAN, tilt_deg=np.array([0.0, 88.0])), film_nm=10.0)


def test_a_sample_without_a_particle_has_no_skin() -> None:
    with pytest.raises(ConfigError, match="a particle with an outline"):
        record(Phantom((), tuple(LRTMO)), skin_nm=10.0)
