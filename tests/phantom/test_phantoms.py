"""Phantoms: chords and volumes of ellipsoids against geometry, and particles against their own promises."""

import itertools

import numpy as np
import pytest

from oxytomo.errors import ConfigError, ShapeError
from oxytomo.simulate.particles import apart, cathode_particle, inside, uniform_particle
from oxytomo.simulate.phantoms import (
    Ellipsoid,
    Phantom,
    class_fractions,
    is_transition_metal,
    line_integrals,
    true_deviation,
    voxel_means,
)

LRTMO = {"Li": 1.2, "Mn": 0.56, "Ni": 0.16, "Co": 0.08, "O": 2.0}
TILTS_DEG = np.array([-65.0, 0.0, 17.0, 45.0, 90.0])


def rotation(seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]


def ellipsoid(
    centre_nm: tuple[float, float, float] = (30.0, -50.0, 70.0),
    semi_axes_nm: tuple[float, float, float] = (200.0, 80.0, 120.0),
    amount: dict[str, float] | None = None,
    seed: int = 0,
) -> Ellipsoid:
    return Ellipsoid(centre_nm, semi_axes_nm, rotation(seed), amount or {"O": 1.0}, "particle")


def grid(n: int, step_nm: float) -> np.ndarray:
    return (np.arange(n) - (n - 1) / 2) * step_nm


def particle(seed: int) -> Phantom:
    return cathode_particle(
        rng=np.random.default_rng(seed),
        formula=LRTMO,
        diameter_nm=600.0,
        n_oxygen_poor=5,
        n_oxygen_rich=6,
        n_pores=8,
        n_cracks=2,
        rim_nm=25.0,
        void_radius_nm=50.0,
        deviation=(0.08, 0.25),
    )


def test_sphere_chords_at_any_tilt() -> None:
    radius, (z0, y0, x0) = 100.0, (10.0, -40.0, 25.0)
    ball = Phantom((ellipsoid((z0, y0, x0), (radius,) * 3, {"O": 0.8, "Mn": 1.1}),), ("O", "Mn"))
    z, s = grid(61, 5.3), grid(71, 5.1)
    result = line_integrals(ball, tilt_deg=TILTS_DEG, z_nm=z, s_nm=s)
    theta = np.deg2rad(TILTS_DEG)[:, None, None]
    s0 = x0 * np.cos(theta) + y0 * np.sin(theta)
    distance2 = (z[:, None] - z0) ** 2 + (s - s0) ** 2
    expected = 2e-3 * np.sqrt(np.clip(radius**2 - distance2, 0, None))
    np.testing.assert_allclose(result[0], 0.8 * expected, atol=1e-6)
    np.testing.assert_allclose(result[1], 1.1 * expected, atol=1e-6)
    assert result.dtype == np.float32


def test_rotated_ellipsoid_matches_sampled_rays() -> None:
    shape = ellipsoid()
    z, s = grid(9, 45.0), grid(11, 40.0)
    step_nm = 0.1
    along = np.arange(-300, 300, step_nm)
    result = line_integrals(Phantom((shape,), ("O",)), tilt_deg=TILTS_DEG, z_nm=z, s_nm=s)[0]
    to_unit = (shape.rotation / np.array(shape.semi_axes_nm)).T
    for t, theta in enumerate(np.deg2rad(TILTS_DEG)):
        # Points with x cosθ + y sinθ = s, walking along the beam, (z, y, x).
        zz, ss, tt = np.meshgrid(z, s, along, indexing="ij")
        points = np.stack(
            [zz, ss * np.sin(theta) + tt * np.cos(theta), ss * np.cos(theta) - tt * np.sin(theta)]
        )
        unit = np.einsum("ij,j...->i...", to_unit, points - np.reshape(shape.centre_nm, (3, 1, 1, 1)))
        sampled = ((unit**2).sum(axis=0) <= 1).sum(axis=-1) * step_nm * 1e-3
        np.testing.assert_allclose(result[t], sampled, atol=2 * step_nm * 1e-3)  # one sample at either end
    assert (result > 0).sum() > 60


def test_volume_is_conserved_at_every_tilt() -> None:
    shape = ellipsoid()
    step_nm = 4.0
    positions = grid(151, step_nm)
    result = line_integrals(Phantom((shape,), ("O",)), tilt_deg=TILTS_DEG, z_nm=positions, s_nm=positions)[0]
    volumes = result.sum(axis=(1, 2), dtype=np.float64) * 1e3 * step_nm**2
    # The chord ends as a square root at the rim; there the midpoint rule is good to (step / radius)^1.5.
    np.testing.assert_allclose(volumes, shape.volume_nm3, rtol=(step_nm / 80) ** 1.5)


def test_amounts_of_overlapping_ellipsoids_add() -> None:
    solid, pore = ellipsoid(), ellipsoid(semi_axes_nm=(20.0, 25.0, 30.0), amount={"O": -1.0})
    at = {"tilt_deg": TILTS_DEG, "z_nm": grid(40, 10.0), "s_nm": grid(40, 10.0)}
    both = line_integrals(Phantom((solid, pore), ("O",)), **at)
    apart_sum = sum(line_integrals(Phantom((e,), ("O",)), **at) for e in (solid, pore))
    np.testing.assert_allclose(both, apart_sum, atol=1e-6)


@pytest.mark.slow
def test_positions_may_differ_from_tilt_to_tilt() -> None:
    phantom = Phantom((ellipsoid(),), ("O",))
    z = np.stack([grid(30, 12.0) + 3 * t for t in range(TILTS_DEG.size)])
    s = np.stack([grid(32, 12.0) - 2 * t for t in range(TILTS_DEG.size)])
    together = line_integrals(phantom, tilt_deg=TILTS_DEG, z_nm=z, s_nm=s)
    for t in range(TILTS_DEG.size):
        alone = line_integrals(phantom, tilt_deg=TILTS_DEG[t : t + 1], z_nm=z[t], s_nm=s[t])
        np.testing.assert_array_equal(together[:, t], alone[:, 0])


def test_voxel_means_add_up_to_the_volume_and_sit_in_its_middle() -> None:
    shape, pixel_nm, size = ellipsoid(amount={"O": 0.5}), 10.0, (58, 56, 60)
    volume = voxel_means(Phantom((shape,), ("O",)), pixel_nm=pixel_nm, shape=size, subsamples=5)[0]
    # Some 2000 voxels touch the surface, each counted to 1/5 in one direction: 0.1 % is ten times that error.
    assert volume.sum(dtype=np.float64) * pixel_nm**3 == pytest.approx(0.5 * shape.volume_nm3, rel=1e-3)
    for axis, (index, n) in enumerate(zip(np.indices(size), size, strict=True)):
        middle = (volume * index).sum(dtype=np.float64) / volume.sum(dtype=np.float64) - (n - 1) / 2
        assert middle * pixel_nm == pytest.approx(shape.centre_nm[axis], abs=0.01 * pixel_nm)
    assert volume.max() == np.float32(0.5)


def test_voxel_means_match_counting_every_subsample() -> None:
    shape, pixel_nm, n, sub = ellipsoid((3.0, -4.0, 5.0), (60.0, 12.0, 35.0)), 10.0, 16, 3
    fast = voxel_means(Phantom((shape,), ("O",)), pixel_nm=pixel_nm, shape=(n, n, n), subsamples=sub)[0]
    fine = grid(n * sub, pixel_nm / sub)
    points = np.stack(np.meshgrid(fine, fine, fine, indexing="ij")) - np.reshape(
        shape.centre_nm, (3, 1, 1, 1)
    )
    unit = np.einsum("ij,j...->i...", (shape.rotation / np.array(shape.semi_axes_nm)).T, points)
    counted = ((unit**2).sum(axis=0) <= 1).reshape(n, sub, n, sub, n, sub).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(fast, counted, atol=1e-6)


def test_line_integrals_agree_with_the_voxels() -> None:
    phantom, pixel_nm, n = particle(1), 10.0, 72
    volume = voxel_means(phantom, pixel_nm=pixel_nm, shape=(n, n, n), subsamples=4)
    sub = grid(4 * n, pixel_nm / 4)
    rays = line_integrals(phantom, tilt_deg=np.array([0.0, 90.0]), z_nm=sub, s_nm=sub)
    binned = rays.reshape(5, 2, n, 4, n, 4).mean(axis=(3, 5))
    # At 0° the beam runs along y and s = x; at 90° it runs along x and s = y.
    for t, axis in ((0, 2), (1, 3)):
        np.testing.assert_allclose(binned[:, t], volume.sum(axis=axis) * pixel_nm * 1e-3, atol=0.004)


@pytest.mark.parametrize("seed", range(4))
def test_inclusions_stay_inside_and_apart(seed: int) -> None:
    phantom = particle(seed)
    outline, core, *inclusions = phantom.ellipsoids
    assert len(inclusions) == 1 + 2 + 5 + 6 + 8
    assert inside(core, outline)
    assert all(inside(e, core) for e in inclusions)
    assert all(apart(a, b) for a, b in itertools.combinations(inclusions, 2))
    volume = voxel_means(phantom, pixel_nm=12.5, shape=(56, 56, 56), subsamples=3)
    assert volume.min() > -1e-6
    assert volume.max() < 1.25 + 1e-6


def test_apart_refuses_ellipsoids_that_touch() -> None:
    flat = Ellipsoid((0.0, 0.0, 0.0), (100.0, 100.0, 5.0), np.eye(3), {"O": 1.0}, "crack")
    near = Ellipsoid((0.0, 0.0, 14.0), (100.0, 100.0, 8.0), np.eye(3), {"O": 1.0}, "crack")
    clash = Ellipsoid((0.0, 0.0, 12.0), (100.0, 100.0, 8.0), np.eye(3), {"O": 1.0}, "crack")
    assert apart(flat, near)
    assert not apart(flat, clash)
    assert not apart(flat, flat)


def test_deviation_is_that_of_the_domains_and_the_rim() -> None:
    phantom, size = particle(3), {"pixel_nm": 8.0, "shape": (84, 84, 84), "subsamples": 3}
    densities, shares = voxel_means(phantom, **size), class_fractions(phantom, **size)
    deviation = true_deviation(densities, shares["solid"], elements=phantom.elements, formula=LRTMO)
    plain = (shares["solid"] > 0.999) & (shares["rim"] < 0.001)
    poor, rich = shares["oxygen_poor"] > 0.999, shares["oxygen_rich"] > 0.999
    plain &= (shares["oxygen_poor"] < 0.001) & (shares["oxygen_rich"] < 0.001)
    rim = shares["rim"] > 0.999
    assert min(plain.sum(), poor.sum(), rich.sum(), rim.sum()) > 500
    np.testing.assert_allclose(deviation[plain], 0, atol=1e-6)
    np.testing.assert_allclose(deviation[rim], 0.165, atol=1e-5)
    assert 0.08 - 1e-6 <= deviation[poor].min() <= deviation[poor].max() <= 0.25 + 1e-6
    assert -0.25 - 1e-6 <= deviation[rich].min() <= deviation[rich].max() <= -0.08 + 1e-6
    assert np.isnan(deviation[shares["solid"] < 0.49]).all()
    np.testing.assert_allclose(densities[phantom.elements.index("Li")], shares["solid"], atol=1e-5)


def test_class_fractions_add_up_to_the_analytic_volumes() -> None:
    phantom, pixel_nm = particle(2), 8.0
    shares = class_fractions(phantom, pixel_nm=pixel_nm, shape=(84, 84, 84), subsamples=4)
    for kind in ("void", "pore", "crack", "oxygen_poor", "oxygen_rich"):
        expected = sum(e.volume_nm3 for e in phantom.ellipsoids if e.kind == kind)
        # The smallest bodies are a few pixels across, so their sampled volume is good to some percent.
        assert shares[kind].sum(dtype=np.float64) * pixel_nm**3 == pytest.approx(expected, rel=0.03)
    outline, core, *_ = phantom.ellipsoids
    rim = outline.volume_nm3 - core.volume_nm3
    assert shares["rim"].sum(dtype=np.float64) * pixel_nm**3 == pytest.approx(rim, rel=0.005)


def test_uniform_particle_has_no_deviation_anywhere() -> None:
    phantom = uniform_particle(
        rng=np.random.default_rng(0),
        formula=LRTMO,
        diameter_nm=500.0,
        n_pores=5,
        n_cracks=2,
        void_radius_nm=40.0,
    )
    size = {"pixel_nm": 10.0, "shape": (60, 60, 60), "subsamples": 3}
    densities, shares = voxel_means(phantom, **size), class_fractions(phantom, **size)
    deviation = true_deviation(densities, shares["solid"], elements=phantom.elements, formula=LRTMO)
    assert np.nanmax(np.abs(deviation)) < 1e-6
    assert (shares["solid"] > 0.5).sum() > 50_000
    assert not shares["rim"].any()


def test_equal_seeds_give_equal_particles() -> None:
    first, again, other = particle(5), particle(5), particle(6)
    assert [e.centre_nm for e in first.ellipsoids] == [e.centre_nm for e in again.ellipsoids]
    assert [e.centre_nm for e in first.ellipsoids] != [e.centre_nm for e in other.ellipsoids]


def test_transition_metals() -> None:
    assert [
        name for name in ("Li", "O", "Al", "Ti", "Mn", "Fe", "Ni", "Nb") if is_transition_metal(name)
    ] == [
        "Ti",
        "Mn",
        "Fe",
        "Ni",
        "Nb",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"formula": {"Li": 2, "O": 1}}, "expected a transition metal and oxygen"),
        ({"n_cracks": 200}, "room for one more crack inclusion"),
        ({"void_radius_nm": 300.0}, "a rim and a void that fit inside"),
        ({"deviation": (0.3, 0.1)}, "a range from low to high"),
        ({"diameter_nm": 0.0}, "a diameter above 0"),
    ],
)
def test_impossible_particles(change: dict[str, object], message: str) -> None:
    settings = {
        "rng": np.random.default_rng(0),
        "formula": LRTMO,
        "diameter_nm": 600.0,
        "n_oxygen_poor": 0,
        "n_oxygen_rich": 0,
        "n_pores": 0,
        "n_cracks": 0,
        "rim_nm": 0.0,
        "void_radius_nm": 0.0,
        "deviation": (0.1, 0.2),
    }
    with pytest.raises(ConfigError, match=message):
        cathode_particle(**(settings | change))


def test_wrong_shapes() -> None:
    with pytest.raises(ShapeError, match="an orthogonal 3 × 3 matrix"):
        Ellipsoid((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 2 * np.eye(3), {"O": 1.0}, "particle")
    with pytest.raises(ConfigError, match="three lengths above 0"):
        ellipsoid(semi_axes_nm=(0.0, 1.0, 1.0))
    with pytest.raises(ConfigError, match="expected amounts of Mn, got O"):
        Phantom((ellipsoid(),), ("Mn",))
    with pytest.raises(ShapeError, match="s_nm: expected ascending positions"):
        line_integrals(
            Phantom((ellipsoid(),), ("O",)), tilt_deg=TILTS_DEG, z_nm=grid(5, 1.0), s_nm=-grid(5, 1.0)
        )
