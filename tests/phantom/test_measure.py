"""Fractions, domains and shells of bodies whose answers are known."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from oxytomo.arrays import OUTSIDE, OXYGEN_POOR, OXYGEN_RICH, TARGET, UNDECIDED
from oxytomo.composition.noise import SIGMA_SCALE
from oxytomo.errors import InputError, ShapeError
from oxytomo.measure.domains import domain_table, find_domains, interconnection
from oxytomo.measure.fractions import (
    MISSED_VOXELS,
    QUANTILES,
    border_share,
    class_fractions,
    fraction_interval,
    joint_histogram,
    replicate_bias,
    replicate_fractions,
    scatter_interval,
)
from oxytomo.measure.shells import (
    REPLICATE_SCALE,
    depth_below_surface,
    replicate_errors,
    shell_labels,
    shell_table,
)
from oxytomo.segment.classes import CLASS_LABELS, CONFIDENT_LABELS
from oxytomo.segment.components import filled_bodies

VOXEL_NM = 10.0


def ball(shape: tuple[int, ...], centre: tuple[float, ...], radius: float) -> np.ndarray:
    grid = np.indices(shape)
    return sum((axis - place) ** 2 for axis, place in zip(grid, centre, strict=True)) <= radius**2


def domains_of(phases: np.ndarray, *, min_voxels: int = 1) -> dict[str, list]:
    depth = depth_below_surface(phases > 0, voxel_nm=VOXEL_NM)
    table = domain_table(find_domains(phases, depth), voxel_nm=VOXEL_NM, min_voxels=min_voxels)
    return {name: list(column) for name, column in table.items()}


def block() -> np.ndarray:
    """Return a particle of 10 × 12 × 14 voxels on target, two voxels from every edge of the volume."""
    phases = np.zeros((14, 16, 18), np.uint8)
    phases[2:-2, 2:-2, 2:-2] = TARGET
    return phases


# --- fractions ---------------------------------------------------------------------------------


def test_fractions_of_a_row_by_hand():
    phases = np.array([0, 0, TARGET, TARGET, OXYGEN_POOR, OXYGEN_RICH, OXYGEN_RICH, OXYGEN_RICH], np.uint8)
    fractions = class_fractions(phases, labels=CLASS_LABELS)
    assert fractions == {"target": 2 / 6, "oxygen_poor": 1 / 6, "oxygen_rich": 3 / 6}


def test_an_empty_class_has_fraction_zero_and_an_empty_volume_none():
    assert class_fractions(np.full(4, TARGET, np.uint8), labels=CLASS_LABELS)["oxygen_rich"] == 0.0
    assert all(math.isnan(f) for f in class_fractions(np.zeros(4, np.uint8), labels=CLASS_LABELS).values())


def test_undecided_voxels_count_in_the_confident_fractions_only():
    phases = np.array([TARGET, UNDECIDED, UNDECIDED, OXYGEN_POOR], np.uint8)
    assert class_fractions(phases, labels=CONFIDENT_LABELS)["undecided"] == 0.5
    assert class_fractions(phases, labels=CLASS_LABELS) == {
        "target": 0.5,
        "oxygen_poor": 0.5,
        "oxygen_rich": 0.0,
    }


def test_fractions_of_replicates_by_hand():
    particle = np.array([[[True, True, True, True, False]]])
    deviations = np.array([[[[0.0, 0.1, 0.1, -0.1, 9.0]]], [[[0.0, 0.0, 0.0, -0.1, 9.0]]]], np.float16)
    assert replicate_fractions(deviations, particle, threshold=0.05) == {
        "target": [0.25, 0.75],
        "oxygen_poor": [0.5, 0.0],
        "oxygen_rich": [0.25, 0.25],
    }
    none = replicate_fractions(deviations[:0], particle, threshold=0.05)
    assert none == {"target": [], "oxygen_poor": [], "oxygen_rich": []}


def halves(n_poor: int = 4) -> np.ndarray:
    """8 × 10 × 10 voxels on target, oxygen-poor in the first columns."""
    phases = np.full((8, 10, 10), TARGET, np.uint8)
    phases[:, :, :n_poor] = OXYGEN_POOR
    return phases


def test_the_interval_holds_noise_bias_border_and_what_is_missed():
    # s of (0.28, 0.30, 0.30, 0.32) is sqrt(0.0008 / 3) = 0.016330, b is 0.05; a border of 80 faces moves by 0.1 voxel.
    low, high = fraction_interval(0.25, [0.28, 0.30, 0.30, 0.32], halves(), OXYGEN_POOR, confidence=0.95)
    half = QUANTILES[0.95] * math.sqrt(
        0.0008 / 3 + 0.05**2 + (0.1 * 80 / 800) ** 2 + (MISSED_VOXELS / 800) ** 2
    )
    assert (low, high) == (pytest.approx(0.25 - half), pytest.approx(0.25 + half))
    assert replicate_bias(0.25, [0.28, 0.30, 0.30, 0.32]) == pytest.approx(0.05)
    narrow = fraction_interval(0.25, [0.28, 0.30, 0.30, 0.32], halves(), OXYGEN_POOR, confidence=0.68)
    assert low < narrow[0] < narrow[1] < high


def test_the_interval_stays_between_zero_and_one():
    assert fraction_interval(0.01, [0.0, 0.1], halves(), OXYGEN_POOR, confidence=0.95)[0] == 0.0
    assert fraction_interval(0.99, [0.9, 1.0], halves(), OXYGEN_POOR, confidence=0.95)[1] == 1.0


def test_a_class_that_was_never_found_has_an_upper_limit():
    low, high = fraction_interval(0.0, [0.0, 0.0], halves(0), OXYGEN_POOR, confidence=0.95)
    assert (low, high) == (0.0, pytest.approx(QUANTILES[0.95] * MISSED_VOXELS / 800))


@pytest.mark.parametrize("replicates", [[], [0.31], [0.31, math.nan]])
def test_without_two_replicates_there_is_no_interval(replicates):
    assert fraction_interval(0.3, replicates, halves(), OXYGEN_POOR, confidence=0.95) is None
    assert fraction_interval(math.nan, [0.3, 0.31], halves(), OXYGEN_POOR, confidence=0.95) is None
    assert replicate_bias(0.3, []) is None


def test_runs_of_the_null_scatter_by_students_t():
    # s of (0.28, 0.30, 0.30, 0.32) is sqrt(0.0008 / 3) = 0.016330; t(3 degrees, 97.5 %) = 3.1824.
    low, high = scatter_interval([0.28, 0.30, 0.30, 0.32], confidence=0.95)
    assert (low, high) == pytest.approx((0.3 - 3.1824 * 0.016330, 0.3 + 3.1824 * 0.016330), abs=1e-5)
    assert scatter_interval([0.3], confidence=0.95) is None


def test_border_share_is_the_change_of_a_fraction_when_its_border_moves():
    phases = np.full((8, 10, 10), TARGET, np.uint8)
    phases[:, :, :4] = OXYGEN_POOR
    grown = phases.copy()
    grown[:, :, 4] = OXYGEN_POOR
    change = (np.count_nonzero(grown == OXYGEN_POOR) - np.count_nonzero(phases == OXYGEN_POOR)) / phases.size
    assert border_share(phases, OXYGEN_POOR) == pytest.approx(change)
    assert border_share(phases, TARGET) == pytest.approx(change)
    assert border_share(phases, OXYGEN_RICH) == 0
    phases[:, :, 4:] = OUTSIDE  # the outline of the particle is no border of a class
    assert border_share(phases, OXYGEN_POOR) == 0


def test_joint_histogram_by_hand():
    tm = np.array([0.1, 0.9, 0.9, 0.9, np.nan, 5.0], np.float32)
    o = np.array([0.1, 0.1, 0.9, 0.9, 0.5, 0.5], np.float32)
    particle = np.array([True, True, True, False, True, True])
    counts, edges = joint_histogram(tm, o, particle, bins=2, limits=(0.0, 1.0))
    assert counts.tolist() == [[1, 0], [1, 1]]
    assert edges.tolist() == [0.0, 0.5, 1.0]


# --- domains -----------------------------------------------------------------------------------


def test_boxes_have_exact_volume_place_and_depth():
    phases = block()
    phases[5:7, 6:9, 7:11] = OXYGEN_POOR  # 2 × 3 × 4 voxels, inside
    phases[2:3, 4:6, 4:6] = OXYGEN_RICH  # 1 × 2 × 2 voxels, at the surface
    table = domains_of(phases)
    assert table["class"] == ["target", "oxygen_poor", "oxygen_rich"]
    assert table["domain"] == [1, 2, 3]
    assert table["n_voxels"] == [10 * 12 * 14 - 24 - 4, 24, 4]
    assert table["volume_nm3"][1] == 24_000.0
    assert table["equivalent_diameter_nm"][1] == pytest.approx((6 * 24_000 / math.pi) ** (1 / 3))
    assert [table[f"centroid_{axis}_nm"][1] for axis in "zyx"] == pytest.approx([55.0, 70.0, 85.0])
    assert table["touches_surface"] == [True, False, True]
    # Plane z = 5 is the fourth plane (35 nm deep), z = 6 the fifth (45 nm); other faces are not nearer.
    assert table["depth_nm"][1] == pytest.approx(40.0)
    assert table["depth_min_nm"][1] == pytest.approx(35.0)
    assert table["depth_nm"][2] == pytest.approx(5.0)


def test_touching_spheres_are_one_domain_and_spheres_of_two_classes_are_two():
    shape = (24, 24, 44)
    inside = ball(shape, (12, 12, 11), 8) | ball(shape, (12, 12, 27), 8)
    phases = np.zeros(shape, np.uint8)
    phases[1:-1, 1:-1, 1:-1] = TARGET
    phases[inside] = OXYGEN_RICH
    table = domains_of(phases)
    assert table["class"].count("oxygen_rich") == 1
    assert table["n_voxels"][table["class"].index("oxygen_rich")] == inside.sum()
    phases[ball(shape, (12, 12, 27), 8)] = OXYGEN_POOR
    split = domains_of(phases)
    assert split["n_voxels"][split["class"].index("oxygen_poor")] == ball(shape, (12, 12, 27), 8).sum()


def test_the_equivalent_diameter_of_a_sphere_is_its_diameter():
    phases = np.zeros((45, 45, 45), np.uint8)
    phases[1:-1, 1:-1, 1:-1] = TARGET
    phases[ball(phases.shape, (22.2, 21.9, 22.4), 15.0)] = OXYGEN_POOR
    table = domains_of(phases)
    # Counting voxels places the surface to about 0.02 voxel.
    assert table["equivalent_diameter_nm"][1] == pytest.approx(300.0, abs=0.5)


def test_voxels_that_meet_at_an_edge_are_two_domains_largest_first():
    phases = block()
    phases[5, 5, 5:7] = OXYGEN_POOR
    phases[5, 6, 7:10] = OXYGEN_POOR
    assert domains_of(phases)["n_voxels"][1:] == [3, 2]
    assert domains_of(phases, min_voxels=3)["n_voxels"][1:] == [3]


def test_without_any_class_the_table_is_empty():
    phases = block()
    depth = depth_below_surface(phases > 0, voxel_nm=VOXEL_NM)
    for empty in (np.zeros_like(phases), np.full_like(phases, UNDECIDED)):
        table = domain_table(find_domains(empty, depth), voxel_nm=VOXEL_NM, min_voxels=1)
        assert len(table) == 0


def test_domains_want_two_volumes():
    with pytest.raises(ShapeError, match=r"expected two volumes \(z, y, x\) of one shape, got \(3, 3\) and"):
        find_domains(np.zeros((3, 3), np.uint8), np.zeros((3, 3), np.float32))


def connected(phases: np.ndarray, name: str, *, min_voxels: int) -> dict:
    return interconnection(
        find_domains(phases, np.ones(phases.shape, np.float32)), name, min_voxels=min_voxels
    )


def test_interconnection_of_islands_and_of_a_network():
    phases = block()
    phases[4, 4, 4:7] = OXYGEN_POOR
    phases[8, 8, 8] = OXYGEN_POOR
    assert connected(phases, "oxygen_poor", min_voxels=1) == {
        "n_domains": 2,
        "largest_share": 0.75,
        "spanning": False,
    }
    assert connected(phases, "oxygen_poor", min_voxels=2)["n_domains"] == 1
    phases[6, 6, 2:-2] = OXYGEN_RICH
    assert connected(phases, "oxygen_rich", min_voxels=1) == {
        "n_domains": 1,
        "largest_share": 1.0,
        "spanning": True,
    }


def test_spanning_needs_nine_tenths_of_the_length():
    phases = block()
    phases[2:11, 6, 6] = OXYGEN_RICH  # 9 of 10 planes
    assert connected(phases, "oxygen_rich", min_voxels=1)["spanning"]
    phases[10, 6, 6] = TARGET  # 8 of 10
    assert not connected(phases, "oxygen_rich", min_voxels=1)["spanning"]


def test_an_empty_class_has_no_domains():
    assert connected(block(), "oxygen_rich", min_voxels=1) == {
        "n_domains": 0,
        "largest_share": None,
        "spanning": False,
    }


# --- depth and shells --------------------------------------------------------------------------


def test_depth_of_a_slab_by_hand():
    particle = np.zeros((3, 3, 9), bool)
    particle[:, :, 2:7] = True  # cut by the edges in z and y: these are no surface
    depth = depth_below_surface(particle, voxel_nm=VOXEL_NM)
    assert depth.dtype == np.float32
    assert depth[1, 1, 2:7].tolist() == [5.0, 15.0, 25.0, 15.0, 5.0]
    assert np.isnan(depth[~particle]).all()
    np.testing.assert_array_equal(depth[0], depth[1])


def test_a_closed_void_makes_no_surface_and_an_open_one_does():
    particle = np.zeros((13, 13, 13), bool)
    particle[1:12, 1:12, 1:12] = True
    solid_depth = depth_below_surface(particle, voxel_nm=1.0)
    particle[6, 6, 6] = False
    closed = depth_below_surface(particle, voxel_nm=1.0)
    assert closed[6, 6, 7] == solid_depth[6, 6, 7] == 4.5
    assert np.isnan(closed[6, 6, 6])
    assert filled_bodies(particle)[6, 6, 6]
    particle[6, 6, 6:] = False  # now a channel to the outside
    assert depth_below_surface(particle, voxel_nm=1.0)[6, 7, 6] == 0.5
    assert not filled_bodies(particle)[6, 6, 6]


def test_a_void_that_opens_only_across_an_edge_is_closed():
    particle = np.ones((5, 5, 5), bool)
    particle[0] = particle[-1] = particle[:, 0] = particle[:, -1] = False
    particle[:, :, 0] = particle[:, :, -1] = False
    particle[1, 1, 2] = False  # open to the outside; meets the void at an edge
    particle[2, 2, 2] = False
    assert filled_bodies(particle)[2, 2, 2]


def test_a_particle_without_outside_is_refused():
    particle = np.ones((5, 5, 5), bool)
    particle[2, 2, 2] = False
    with pytest.raises(InputError, match=r"^particle: expected background around the particle, got none"):
        depth_below_surface(particle, voxel_nm=1.0)


def test_shells_of_a_sphere_are_equal_and_lie_at_the_right_radii():
    shape, centre, radius = (71, 71, 71), (35.2, 34.9, 35.1), 32.0
    particle = ball(shape, centre, radius)
    shells = shell_labels(depth_below_surface(particle, voxel_nm=VOXEL_NM), n_shells=5)
    counts = np.bincount(shells.ravel())[1:]
    assert counts.sum() == particle.sum()
    # One layer of voxels at the surface is 3/R of the volume; limits lie within half of a layer.
    np.testing.assert_allclose(counts / particle.sum(), 0.2, atol=1.5 / radius)
    distance = np.sqrt(sum((axis - c) ** 2 for axis, c in zip(np.indices(shape), centre, strict=True)))
    for shell in range(1, 6):
        # Shell k of five of a ball: between R (1 − k/5)^(1/3) and R (1 − (k−1)/5)^(1/3), to within one voxel.
        outer, inner = (radius * (1 - share / 5) ** (1 / 3) for share in (shell - 1, shell))
        assert distance[shells == shell].max() <= outer + 1
        assert distance[shells == shell].min() >= inner - 1


def test_shells_of_a_disc_have_equal_area():
    particle = ball((101, 101), (50.1, 49.8), 45.0)
    counts = np.bincount(shell_labels(depth_below_surface(particle, voxel_nm=1.0), n_shells=4).ravel())[1:]
    np.testing.assert_allclose(counts / particle.sum(), 0.25, atol=1.0 / 45)


def test_one_shell_is_the_particle_and_a_tiny_particle_has_empty_shells():
    phases = block()
    depth = depth_below_surface(phases > 0, voxel_nm=1.0)
    np.testing.assert_array_equal(shell_labels(depth, n_shells=1) == 1, phases > 0)
    tiny = np.zeros((4, 4, 4), bool)
    tiny[1:3, 1:3, 1:3] = True
    shells = shell_labels(depth_below_surface(tiny, voxel_nm=1.0), n_shells=5)
    assert np.bincount(shells[tiny], minlength=6).tolist() == [0, 0, 0, 8, 0, 0]


def test_a_shell_table_by_hand():
    shells = np.array([[0, 1, 1, 1, 2, 2]], np.uint8)
    deviation = np.array([[9.0, 0.1, 0.2, 0.3, 0.0, np.nan]], np.float32)
    phases = np.array([[0, TARGET, OXYGEN_POOR, OXYGEN_POOR, TARGET, 0]], np.uint8)
    depth = np.array([[np.nan, 5.0, 5.0, 8.0, 15.0, 25.0]], np.float32)
    table = shell_table(deviation, phases, shells, None, n_shells=2, depth_nm=depth)
    assert list(table["shell"]) == [1, 2]
    assert list(table["shell_outer"]) == [0.0, 50.0]
    assert list(table["shell_inner"]) == [50.0, 100.0]
    assert list(table["depth_mean_nm"]) == pytest.approx([6.0, 20.0])
    assert list(table["n_voxels"]) == [3, 1]
    assert list(table["mean_deviation"]) == pytest.approx([0.2, 0.0])
    assert table["standard_deviation"][0] == pytest.approx(0.1)
    assert np.isnan(table["standard_error"]).all()  # not 0.1 / √3, as if voxels were independent
    assert list(table["standard_error_from"]) == ["none"] * 2
    assert list(table["oxygen_poor"]) == pytest.approx([2 / 3, 0.0])
    assert list(table["target"]) == pytest.approx([1 / 3, 1.0])
    assert list(table["oxygen_rich"]) == [0.0, 0.0]


def test_replicates_give_the_standard_error_by_hand():
    shells = np.array([1, 1, 2, 2], np.uint8)
    replicates = np.array([[0.0, 0.5, 1.0, 1.0], [0.5, 1.0, 1.0, np.nan]], np.float16)
    # Means 0.25 and 0.75 in shell 1, 1 and 1 in shell 2. Student's quantile of Φ(1) for one degree of freedom is that of
    # the Cauchy distribution: tan(π (Φ(1) − 1/2)).
    one_of_two = math.tan(math.pi * (NormalDist().cdf(1) - 0.5))
    scatter = 2.3 * one_of_two * 0.5 / math.sqrt(2)
    assert REPLICATE_SCALE == SIGMA_SCALE == 2.3
    unbiased = replicate_errors(replicates, shells, np.array([0.5, 1.0]), n_shells=2)
    assert unbiased == pytest.approx([scatter, 0.0])
    table = shell_table(
        np.zeros(4, np.float32),
        np.full(4, TARGET, np.uint8),
        shells,
        replicates,
        n_shells=2,
        depth_nm=np.ones(4, np.float32),
    )
    # The measured means are 0: the replicates are off by 0.5 and by 1.
    assert list(table["standard_error"]) == pytest.approx([math.hypot(scatter, 2.3 * 0.5), 2.3])
    assert list(table["standard_error_from"]) == ["replicates"] * 2


def test_replicates_know_that_neighbours_share_their_noise(rng):
    # The noise is the same in all voxels of a shell: its mean is as noisy as one voxel, not √n times less.
    shells = np.repeat(np.array([1, 2], np.uint8), 500)
    replicates = np.repeat(0.03 * rng.standard_normal((50, 2)), 500, axis=1).astype(np.float32)
    # The standard deviation of 50 is known to 10 %; their mean adds 1 %.
    found = replicate_errors(replicates, shells, np.zeros(2), n_shells=2) / REPLICATE_SCALE
    assert found == pytest.approx([0.03, 0.03], rel=0.35)


@pytest.mark.parametrize("n", [2, 4])
def test_few_replicates_state_an_error_that_holds(rng, n):
    """4000 particles of one shell whose mean errs by 1: ± one stated error covers 68 % of them or more."""
    truth, particles = 0.0, 4000
    measured = truth + rng.standard_normal(particles)
    replicates = (measured + rng.standard_normal((n, particles))).astype(np.float32)
    # These are of no regularised estimate: the factor for such has to be taken out.
    stated = replicate_errors(replicates, np.arange(1, particles + 1), measured, n_shells=particles) / 2.3
    covered = np.mean(np.abs(measured - truth) <= stated)
    # √(0.68 · 0.32 / 4000) = 0.007; their own mean is off by 1/√n, which is taken for a bias and makes the error larger.
    assert 0.66 < covered < 0.82
    # As it was, from their standard deviation alone:
    assert np.mean(np.abs(measured - truth) <= replicates.std(axis=0, ddof=1)) < 0.65


def test_an_empty_shell_is_not_a_number():
    shells = np.array([3, 3], np.uint8)
    table = shell_table(
        np.zeros(2, np.float32),
        np.full(2, TARGET, np.uint8),
        shells,
        None,
        n_shells=3,
        depth_nm=np.ones(2, np.float32),
    )
    assert list(table["n_voxels"]) == [0, 0, 2]
    assert np.isnan(table["mean_deviation"][:2]).all()
    assert np.isnan(table["target"][:2]).all()


def test_shell_table_wants_one_shape():
    with pytest.raises(ShapeError, match=r"expected one shape, got \(2,\), \(3,\), \(2,\)"):
        shell_table(
            np.zeros(2, np.float32),
            np.zeros(3, np.uint8),
            np.zeros(2, np.uint8),
            None,
            n_shells=1,
            depth_nm=np.zeros(2, np.float32),
        )
