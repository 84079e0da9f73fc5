"""Parts of a particle for mechanics, by hand."""

import cc3d
import numpy as np
import pytest

from oxytomo.config import MaterialSettings
from oxytomo.config.mechanics import Preset
from oxytomo.mechanics.elasticity import Elastic
from oxytomo.mechanics.geometry import Parts, averaged, averaging, beside_voids, one_particle, six_connected
from oxytomo.mechanics.ideal import ideal_sphere
from oxytomo.mechanics.in_time import Kinetics, lithium_in_time
from oxytomo.mechanics.known import hollow_sphere_hoop_mpa
from oxytomo.mechanics.lithium import wetted_area
from oxytomo.mechanics.materials import PRESETS, literature_range
from oxytomo.mechanics.states import Solver
from oxytomo.mechanics.tables import bridges_um


def ball(n: int, radius: float) -> np.ndarray:
    grid = np.arange(n) - n / 2 + 0.5
    return (grid[:, None, None] ** 2 + grid[:, None] ** 2 + grid**2 < radius**2).astype(np.uint8)


@pytest.mark.parametrize("normal", [(0, 1, 1), (1, 1, 1), (1, 2, 3), (3, -1, 2)])
def test_a_thickened_sheet_lets_nothing_through(normal: tuple[int, int, int]) -> None:
    grid = np.arange(15) - 7
    z, y, x = np.meshgrid(grid, grid, grid, indexing="ij")
    off = z * normal[0] + y * normal[1] + x * normal[2]
    sheet = np.abs(off) * 2 <= max(map(abs, normal))  # thin: one voxel along its main axis
    thick = six_connected(sheet, None)
    assert thick[sheet].all()
    # Every link of the sheet is a face, so the two sides do not even touch at an edge.
    assert cc3d.connected_components(~thick, connectivity=18, return_N=True)[1] == 2
    assert cc3d.connected_components(~sheet, connectivity=18, return_N=True)[1] == 1


def test_averaging_keeps_the_solid_and_the_cut() -> None:
    labels = ball(24, 10.0)
    labels[:, :, 13][labels[:, :, 13] > 0] = 3
    parts = one_particle(labels, wanted=None, voxel_um=0.1)
    assert averaging(parts.labels.shape, max_voxels=1100) == 2
    half = averaged(parts, 2)
    assert half.voxel_um == pytest.approx(0.2)
    bodies = cc3d.connected_components(half.labels == 1, connectivity=6)
    sizes = np.sort(np.bincount(bodies.ravel())[1:])
    assert len(sizes) == 2
    whole = averaged(one_particle(ball(24, 10.0), wanted=None, voxel_um=0.1), 2).solid().volume_um3
    assert whole == pytest.approx(ball(24, 10.0).sum() * 1e-3, rel=1e-3)  # partial volumes are kept


def test_the_larger_particle_is_taken_and_loses_nothing() -> None:
    labels = np.zeros((30, 30, 60), np.uint8)
    labels[3:27, 3:27, 2:26] = ball(24, 6.0)
    labels[3:27, 3:27, 30:54] = ball(24, 9.0)
    first, second = (one_particle(labels, wanted=number, voxel_um=1.0) for number in (None, 2))
    assert (first.labels > 0).sum() == ball(24, 9.0).sum()
    assert (second.labels > 0).sum() == ball(24, 6.0).sum()
    assert first.start[2] == 30 + 3


def test_bridges_are_the_solid_between_two_voids() -> None:
    labels = np.zeros((20, 20, 40), np.uint8)
    labels[1:-1, 1:-1, 1:-1] = 1
    labels[8:12, 8:12, 5:9], labels[8:12, 8:12, 15:19], labels[8:12, 8:12, 30] = 2, 2, 3
    parts = one_particle(labels, wanted=None, voxel_um=0.5)
    assert bridges_um(parts) == pytest.approx({1: 6 * 0.5, 2: 6 * 0.5})
    beside = beside_voids(parts, parts.solid())[parts.solid().inside]
    assert not beside[7:11, 7:11, 28].any()  # as near to the crack
    assert beside[9, 9, 9] == 1  # second voxel off the first pore


def test_the_ideal_sphere_is_timoshenkos() -> None:
    ideal = ideal_sphere(np.inf, void_share=0.02)
    known = hollow_sphere_hoop_mpa(
        ideal.radius, inner_um=0.02, outer_um=1.0, eigenstrain_at_rim=1 / 6, elastic=Elastic(0.7e-3, 0.3)
    )
    assert ideal.hoop == pytest.approx(known, abs=4e-4)  # the flux stops at the void: its radius squared
    r = (wide := ideal_sphere(np.inf, void_share=0.25)).radius
    flux = np.gradient(wide.u, r, edge_order=2) * r**2  # into the sphere of radius r
    assert flux == pytest.approx((r**3 - 0.25**3) / 3, abs=2e-4)  # all solid fills at the same rate
    early = ideal_sphere(0.299, void_share=1 / 16)
    assert early.hoop == pytest.approx(ideal_sphere(np.inf, void_share=1 / 16).hoop, abs=2e-3)
    assert ideal_sphere(0.02).hoop[0] < 0.5 * early.hoop[0]


def test_presets_are_those_of_the_settings() -> None:
    assert set(PRESETS) == set(Preset.__args__)
    for preset in PRESETS.values():
        assert {"youngs_gpa", "poisson", "volume_strain", "diffusivity_m2_s"} <= set(preset.sources)
    assert (
        MaterialSettings(preset="nmc811", diffusivity_m2_s="5e-13").diffusivity_m2_s == 5e-13
    )  # as YAML reads it
    stiff = literature_range(PRESETS["nmc811"])["youngs_gpa"]
    assert stiff == pytest.approx((1.0, 375 / 0.8 / (140 / 0.7)))


def small_ball() -> Parts:
    return one_particle(np.pad(ball(16, 7.0), 1), wanted=None, voxel_um=0.5)


def test_butler_volmer_conserves_lithium_and_ends_at_the_open_circuit_voltage() -> None:
    parts = small_ball()
    solid = parts.solid()
    area = wetted_area(solid, parts.labels, "skin")
    kinetics = Kinetics(rate_um_s=2e-3, ocv=lambda x: 4.3 - 0.8 * np.asarray(x, np.float64))
    rate = 1 / 3600
    reached = list(
        lithium_in_time(
            solid,
            area,
            (0.1, 0.3),
            start=0.0,
            rate_per_s=rate,
            width=1.0,
            diffusivity_um2_s=lambda x: np.full(np.shape(x), 0.5),
            kinetics=kinetics,
            solver=Solver(1e-6, 300, 1),
        )
    )
    for one in reached:
        mean = float((solid.share * one.x).sum(dtype=np.float64) / solid.share.sum(dtype=np.float64))
        assert mean == pytest.approx(one.depth, rel=1e-5)
        # The mean flux over the voxelised surface, and the overpotential that drives it.
        flux = rate * solid.volume_um3 / (float(area.sum(dtype=np.float64)) * solid.voxel_um**2)
        wet = area > 0
        level = float(np.average(kinetics.ocv(one.x[wet]), weights=area[wet]))
        drop = 2 / 38.92 * np.arcsinh(flux / kinetics.rate_um_s)
        assert level - one.potential_v == pytest.approx(drop, rel=0.02)
