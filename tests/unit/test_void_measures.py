"""Measures of pores, cracks and their network against bodies whose answers are known."""

from types import SimpleNamespace

import edt
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from oxytomo.measure.cracks import crack_table
from oxytomo.measure.level_surface import level_surface
from oxytomo.measure.networks import void_network
from oxytomo.measure.pores import nearest_neighbour, pore_table
from oxytomo.measure.structure import (
    bridged_farther,
    central_void,
    interval,
    porosity,
    void_shells,
    widened,
)
from oxytomo.measure.thickness import local_thickness
from oxytomo.measure.topology import euler_sweep, tortuosity
from oxytomo.measure.totals import particle_totals, void_totals
from oxytomo.measure.void_numbers import cut_by_faces
from oxytomo.segment.regions import contacts, grow, paint_sheets
from oxytomo.segment.sheets import Sheets
from oxytomo.segment.steps import dip_share


def grid(shape: tuple[int, int, int], centre: tuple[float, float, float]) -> list[np.ndarray]:
    return [axis - c for axis, c in zip(np.mgrid[tuple(slice(n) for n in shape)], centre, strict=True)]


def share(distance: np.ndarray) -> np.ndarray:
    """Share of a voxel behind a surface at this signed distance (negative inside)."""
    return np.clip(0.5 - distance, 0, 1).astype(np.float32)


def ball(size: int, radius: float, shift: float = 0.3) -> np.ndarray:
    """Share of each voxel in a ball, from 4³ points in it."""
    fine = [(np.arange(4 * size) - 1.5) / 4 - c for c in (size / 2 + shift, size / 2 - shift, size / 2)]
    z, y, x = np.meshgrid(*fine, indexing="ij", sparse=True)
    inside = (z * z + y * y + x * x <= radius**2).reshape(size, 4, size, 4, size, 4)
    return inside.mean(axis=(1, 3, 5), dtype=np.float32)


def table_of(void: np.ndarray, reach: int = 5) -> dict[str, np.ndarray]:
    instances = (void > 0.5).astype(np.int32)
    everywhere = np.ones(void.shape, bool)
    depth = np.full(void.shape, 20, np.float32)
    voids = SimpleNamespace(
        void=void,
        instances=instances,
        zone=grow(instances, everywhere, reach),
        particle=everywhere.astype(np.uint8),
        depth_px=depth,
        n_pores=1,
    )
    return pore_table(voids, voxel_nm=10.0)


@pytest.mark.parametrize("radius", [4.0, 6.0, 10.0])
@pytest.mark.parametrize("blur", [0.0, 1.0])
def test_a_sphere_in_any_blur(radius: float, blur: float) -> None:
    void = ball(36, radius)
    row = table_of(gaussian_filter(void, blur) if blur else void)
    volume = 4 / 3 * np.pi * radius**3
    # The phantom's own voxels hold its volume to half a percent; 2 % of the surface is what the issue asks for.
    assert row["volume_nm3"][0] / 1e3 == pytest.approx(volume, rel=0.006)
    assert row["equivalent_diameter_nm"][0] == pytest.approx(20 * radius, rel=0.002)
    assert row["surface_nm2"][0] / 1e2 == pytest.approx(4 * np.pi * radius**2, rel=0.02)
    assert row["sphericity"][0] == pytest.approx(1, abs=0.02)
    # The half level of a blurred sphere lies σ²/R too far inside; voxels add 4 %.
    np.testing.assert_allclose(
        [row[f"half_axis_{k}_nm"][0] for k in (1, 2, 3)], 10 * radius, rtol=(blur / radius) ** 2 + 0.04
    )
    assert row["centroid_z_nm"][0] == pytest.approx(10 * (18 + 0.3), abs=2)
    assert row["depth_nm"][0] == pytest.approx(200)
    assert np.isnan(row["nearest_neighbour_nm"][0])


def torus(size: int, large: float, small: float) -> np.ndarray:
    z, y, x = grid((size,) * 3, (size / 2,) * 3)
    return share(np.hypot(np.hypot(y, x) - large, z) - small)


def test_a_torus() -> None:
    large, small = 10.0, 4.0
    void = torus(36, large, small)
    row = table_of(void)
    volume, surface = 2 * np.pi**2 * large * small**2, 4 * np.pi**2 * large * small
    assert row["volume_nm3"][0] / 1e3 == pytest.approx(volume, rel=0.01)
    assert row["surface_nm2"][0] / 1e2 == pytest.approx(surface, rel=0.02)
    assert row["sphericity"][0] == pytest.approx(
        np.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / surface, abs=0.02
    )


def test_euler_numbers_are_exact() -> None:
    sphere, ring = ball(36, 8.0), torus(36, 10.0, 4.0)
    shell = ball(36, 12.0) - ball(36, 6.0)
    pair = np.zeros((36, 36, 72), np.float32)
    pair[:, :, :36], pair[:, :, 36:] = sphere, sphere
    for void, wanted in ((sphere, 1), (ring, 0), (shell, 2), (pair, 2)):
        found = euler_sweep(void, np.ones(void.shape, bool), (0.3, 0.5, 0.7))
        assert found == {"0.3": wanted, "0.5": wanted, "0.7": wanted}
    # A slice: a ring has a hole.
    flat = ring[18:19]
    assert euler_sweep(flat, np.ones(flat.shape, bool), (0.5,)) == {"0.5": 0}


@pytest.mark.parametrize("radius", [4.0, 5.5, 8.0])
def test_local_thickness_of_a_ball(radius: float) -> None:
    z, y, x = grid((25, 25, 25), (12.0, 12.0, 12.0))
    thickness = local_thickness(z * z + y * y + x * x <= radius**2)
    assert np.median(thickness[thickness > 0]) == pytest.approx(2 * radius, abs=0.3)
    assert (local_thickness(np.zeros((4, 4, 4), bool)) == 0).all()


def test_local_thickness_is_of_the_widest_ball_that_covers() -> None:
    z, y, x = grid((24, 24, 60), (12.0, 12.0, 0.0))
    wide, narrow = np.hypot(z, y) - 8, np.hypot(z, y) - 4
    thickness = local_thickness(np.where(x < 30, wide, narrow) < 0)
    assert thickness[12, 12, 10] == pytest.approx(16, abs=0.6)
    assert thickness[12, 12, 50] == pytest.approx(8, abs=0.6)


def test_who_touches_whom() -> None:
    # Pores 1 and 2, cracks 3 and 4: 1–3–4 hang together and 4 is open; 2 is alone.
    pairs = np.array([[1, 3, 9], [2, 3, 2], [3, 4, 40]])
    network = void_network(
        pairs, np.array([5.0, 1, 10, 20]), np.array([False, False, False, True]), n_pores=2
    )
    assert network.network.tolist() == [1, 2, 1, 1]
    assert network.open.tolist() == [True, False, True, True]
    assert network.n_contacts.tolist() == [1, 0, 2, 1]
    assert (network.count, network.junctions) == (2, 1)
    assert network.largest_share == pytest.approx(35 / 36)
    # What the edge of the volume cuts may be open beyond it, unless it is open inside.
    cut = void_network(
        pairs,
        np.array([5.0, 1, 10, 20]),
        np.array([False, False, False, True]),
        np.array([True, True, False, False]),
        n_pores=2,
    )
    assert cut.open.tolist() == [True, False, True, True]
    assert cut.unknown.tolist() == [False, True, False, False]
    none = void_network(np.zeros((0, 3), np.int64), np.zeros(0), np.zeros(0, bool), n_pores=0)
    assert none.count == 0
    assert np.isnan(none.largest_share)


def test_contacts_within_two_voxels() -> None:
    labels = np.zeros((3, 3, 9), np.int32)
    labels[:, :, 1], labels[:, :, 3], labels[:, :, 6] = 1, 2, 3
    # Each of the nine voxels of the one side reaches each of the nine of the other.
    assert contacts(labels, 2).tolist() == [[1, 2, 81]]


def test_tortuosity_of_straight_and_bent_ways() -> None:
    depth = np.broadcast_to(np.arange(40, dtype=np.float32)[:, None, None], (40, 8, 40))
    straight = np.zeros(depth.shape, bool)
    straight[:, 4, 20] = True
    assert tortuosity(straight, depth, surface_px=2, deep_px=5) == pytest.approx(1, abs=0.01)
    bent = np.zeros(depth.shape, bool)
    bent[:11, 4, 5] = bent[10, 4, 5:36] = bent[10:, 4, 35] = True
    deepest = np.zeros(depth.shape, bool)
    deepest[39] = True
    # 10 down, 30 across, 29 down, corners cut (two diagonal steps): the mean over the way lies between 1 and its end.
    assert 1.5 < tortuosity(bent, depth, surface_px=2, deep_px=5) < 3.5
    closed = straight.copy()
    closed[:10] = False
    assert np.isnan(tortuosity(closed, depth, surface_px=2, deep_px=5))


def plane_rows(tilt: float, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Ridge voxels of a disc about (40, 40, 40), its normal tilted from z towards x."""
    n = np.array([np.cos(tilt), 0.0, np.sin(tilt)])
    y, x = np.mgrid[-30:31, -30:31]
    height = -x * n[2] / n[0]
    own = height**2 + y**2 + x**2 <= radius**2
    z = np.round(height)
    index = np.stack([z[own], y[own], x[own]], axis=1).astype(np.int64) + 40
    offset = (height[own] - z[own]) * n[0]
    return index, np.concatenate([np.tile(n, (len(index), 1)), offset[:, None]], axis=1).astype(np.float32)


def one_sheet(index: np.ndarray, normal: np.ndarray, area_px: np.ndarray, aperture_px: float) -> Sheets:
    n = len(index)
    ones = np.ones(n, np.int64), area_px, np.full(n, aperture_px, np.float32), np.ones(n, bool)
    return Sheets(index, normal, *ones, 0.0, 0.0, 0.0, 0)


@pytest.mark.parametrize("tilt", [0.0, 0.35, 0.7])
def test_area_and_direction_of_a_crack(tilt: float) -> None:
    index, normal = plane_rows(tilt, 20.0)
    area = (1 / np.abs(normal[:, :3]).max(axis=1)).astype(np.float32)
    particle = np.ones((81, 81, 81), np.uint8)
    depth = np.full(particle.shape, 10, np.float32)
    row = crack_table(one_sheet(index, normal, area, 0.7), particle, depth, voxel_nm=10.0)
    assert row["area_nm2"][0] / 100 == pytest.approx(np.pi * 400, rel=0.03)  # a pixelated circle
    assert row["aperture_nm"][0] == pytest.approx(7)
    assert row["volume_nm3"][0] / 1e3 == pytest.approx(0.7 * np.pi * 400, rel=0.03)
    assert row["extent_nm"][0] == pytest.approx(400, rel=0.05)
    assert row["angle_to_radius_deg"][0] == pytest.approx(0, abs=1.5)  # it contains the centre: radial
    assert not row["touches_surface"][0]


def test_a_tangential_crack_is_at_right_angles_to_the_radius() -> None:
    index, normal = plane_rows(0.0, 5.0)
    n = len(index)
    particle = np.zeros((121, 81, 81), np.uint8)
    particle[1:] = 1
    index[:, 0] += 60
    depth = np.full(particle.shape, 1.5, np.float32)
    row = crack_table(one_sheet(index, normal, np.ones(n, np.float32), 1.0), particle, depth, voxel_nm=1.0)
    assert row["angle_to_radius_deg"][0] > 80
    assert row["touches_surface"][0]


def test_painted_sheets_are_as_thick_as_asked() -> None:
    index, normal = plane_rows(0.0, 20.0)
    painted = paint_sheets(
        (81, 81, 81), index, normal, np.ones(len(index), np.int64), np.full(len(index), 1.0, np.float32)
    )
    assert painted[38:43, 40, 40].tolist() == [0, 1, 1, 1, 0]


def test_porosity_by_kind_and_by_shell() -> None:
    n = 41
    z, y, x = grid((n, n, n), (20.0,) * 3)
    radius = np.sqrt(z * z + y * y + x * x)
    particle = (radius <= 18).astype(np.uint8)
    depth = (18 - radius).astype(np.float32)
    zone = np.zeros(particle.shape, np.int32)
    zone[(radius < 6)], zone[(radius > 14) & (particle > 0)] = 1, 2
    void = np.where(zone > 0, 0.5, 0).astype(np.float32)
    total = particle.sum()
    inner, outer = (zone == 1).sum() / 2 / total, (zone == 2).sum() / 2 / total
    sums = void_totals(void, zone, particle, n_voids=2)
    volume = particle_totals(particle).volume_px
    parts = porosity(sums, volume, np.array([False, True]), n_pores=1, label=None)
    wanted = {"total": inner + outer, "open": outer, "closed": inner, "pores": inner, "cracks": outer}
    assert parts == pytest.approx(wanted)
    parts = porosity(sums, volume, np.array([False, True]), np.array([True, False]), n_pores=1, label=None)
    assert parts == pytest.approx(wanted | {"closed": 0.0, "unknown": inner})
    rows = void_shells(void, zone, particle, depth, n_pores=1, n_shells=5)
    # Depths are rounded to a tenth of a voxel, so that shells are equal to a few percent here.
    np.testing.assert_allclose([row["n_voxels"] for row in rows], total / 5, rtol=0.06)
    assert rows[0]["cracks"] == pytest.approx(0.5, abs=0.01)
    assert rows[0]["pores"] == 0
    assert sum(row["porosity"] * row["n_voxels"] for row in rows) == pytest.approx(
        (inner + outer) * total, rel=1e-4
    )


def test_a_second_bridging_length_adds_open_pores() -> None:
    parts = {"total": 0.2, "open": 0.15, "closed": 0.05, "pores": 0.12, "cracks": 0.08}
    # 1000 voxels with 200 of void; 250 of void more make 450 of 1250.
    found = bridged_farther(parts, 1000, 250)
    assert found == pytest.approx(
        {
            "total": 450 / 1250,
            "open": 400 / 1250,
            "closed": 50 / 1250,
            "pores": 370 / 1250,
            "cracks": 80 / 1250,
        }
    )
    # The interval reaches three times as far as the number moves, to that side only, and stays within its limits.
    assert widened((0.18, 0.22), 0.2, 0.36, most=1.0) == pytest.approx((0.18, 0.70))
    assert widened((0.04, 0.06), 0.05, 0.04, most=1.0) == pytest.approx((0.01, 0.06))
    assert widened((0.18, 0.22), 0.2, 0.9, most=1.0) == pytest.approx((0.18, 1.0))
    assert widened(None, 0.2, 0.36, most=1.0) is None


def test_voids_on_faces_are_cut() -> None:
    instances = np.zeros((6, 7, 8), np.int32)
    instances[2, 3, 4], instances[0, 3, 4], instances[3, 6, 2], instances[3, 3, 0] = 1, 2, 3, 4
    assert cut_by_faces(instances, n_voids=5).tolist() == [False, True, True, True, False]
    # The only slice of an image is no face.
    assert cut_by_faces(instances[2:3], n_voids=1).tolist() == [False]


def test_a_step_falls_to_one_side() -> None:
    place = np.arange(-8, 9)
    step = np.where(place < 2, 0.05, -0.05)
    plate = 0.2 * np.exp(-(place**2) / 4)
    assert dip_share(np.tile(step, (5, 1))) == pytest.approx(0, abs=1e-9)
    assert dip_share(np.tile(plate, (5, 1))) == pytest.approx(1, abs=0.01)
    # A crack of 0.2 at a step of 0.1: it stands 0.2 above one side and 0.3 above the other, less where the step is.
    assert dip_share(np.tile(plate + np.where(place < 0, 0.05, -0.05), (5, 1))) == pytest.approx(
        1 / 2, abs=0.25
    )
    # A sheet with the skin on one side cannot be told from a step.
    hidden = np.tile(plate, (5, 1))
    hidden[:, 9:] = np.nan
    assert dip_share(hidden) == 0


def test_the_central_void_is_big_and_central() -> None:
    totals = particle_totals((ball(60, 25.0, shift=0.0) > 0.5).astype(np.uint8))
    pores = {
        "pore": np.array([1, 2, 3]),
        "particle": np.array([1, 1, 1]),
        "volume_nm3": np.array([900.0, 9000.0, 5.0]),
        "equivalent_diameter_nm": np.array([12.0, 26.0, 2.0]),
        "centroid_z_nm": np.array([31.0, 47.0, 30.0]),
        "centroid_y_nm": np.array([30.0, 47.0, 30.0]),
        "centroid_x_nm": np.array([30.0, 30.0, 30.0]),
    }
    found = central_void(pores, totals, 1, voxel_nm=1.0)
    assert found is not None
    assert found["pore"] == 1
    assert found["off_centre_nm"] == pytest.approx(1, abs=0.1)
    nothing = {name: column[2:] for name, column in pores.items()}
    assert central_void(nothing, totals, 1, voxel_nm=1.0) is None


def test_small_helpers() -> None:
    points = np.array([[0.0, 0, 0], [0, 0, 3], [0, 4, 3]])
    assert nearest_neighbour(points).tolist() == [3, 3, 4]


def test_intervals_reach_to_where_noise_came_from() -> None:
    t = 3.1824 * 0.02
    for bias, wanted in ((0.0, (-t, t)), (0.01, (-t - 0.01, t)), (-0.01, (-t, t + 0.01))):
        found = interval(0.5, 0.02, bias, 4, confidence=0.95, most=1.0)
        assert found == pytest.approx((0.5 + wanted[0], 0.5 + wanted[1]), rel=1e-4)
    assert interval(0.01, 0.02, 0.0, 4, confidence=0.95, most=1.0)[0] == 0
    assert interval(0.99, 0.02, 0.0, 4, confidence=0.95, most=1.0)[1] == 1
    # Seven pores, and an eighth in every repetition: noise may have made one of the seven.
    assert interval(7, 0.0, 1.0, 4, confidence=0.95, most=np.inf) == (6, 7)
    # The method's own error counts in quadrature: t(3) · 0.02 = 0.0636 and 1.96 · 0.03 · 0.5 = 0.0294 make 0.0701.
    low, high = interval(0.5, 0.02, 0.0, 4, confidence=0.95, most=1.0, method_share=0.03)
    assert (high - low) / 2 == pytest.approx(0.0701, abs=1e-4)


def test_level_surface_of_known_bodies() -> None:
    z, y, x = (np.arange(40) - c for c in (19.3, 20.1, 18.4))
    away = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
    # Linear in the distance, so that only the facets depart from the ball: a chord of one voxel at radius 12 by 1/96 voxel.
    area, volume = level_surface((12 - away).astype(np.float32), 0.0, 0)
    assert area == pytest.approx(4 * np.pi * 144, rel=0.005)
    assert volume == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.005)
    # Cut in two at a row that both pieces have, the sums are the same.
    parts = [
        level_surface((12 - away[rows]).astype(np.float32), 0.0, rows.start)
        for rows in (slice(0, 21), slice(20, 40))
    ]
    assert sum(part[0] for part in parts) == pytest.approx(area)
    assert sum(part[1] for part in parts) == pytest.approx(volume)
    # A plane on the half of a cube's height, tilted by 45°: values are linear, so it is exact.
    tilted = np.broadcast_to(np.arange(9)[:, None] - np.arange(9), (9, 9, 9)).astype(np.float32)
    assert level_surface(tilted, 0.25, 0)[0] == pytest.approx(8 * np.sqrt(2) * (8 - 0.25), rel=1e-5)


def test_local_thickness_is_that_of_the_definition() -> None:
    mask = gaussian_filter(np.random.default_rng(0).standard_normal((20, 20, 20)), 2.0) > 0.02
    square = np.round(edt.edtsq(mask, black_border=False)).astype(int)
    places = np.indices(mask.shape).reshape(3, -1).T
    wanted = np.zeros(mask.shape, np.float32)
    for place in np.argwhere(mask):
        ball = (((places - place) ** 2).sum(axis=1) < square[tuple(place)]).reshape(mask.shape)
        wanted[ball] = np.maximum(wanted[ball], np.float32(2 * np.sqrt(square[tuple(place)] - 0.5)))
    np.testing.assert_array_equal(local_thickness(mask), wanted)
