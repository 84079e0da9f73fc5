"""The projector pair against geometry that can be worked out by hand, and against an independent implementation."""

import numba
import numpy as np
import pytest

from oxytomo.errors import ShapeError
from oxytomo.reconstruct.blocks import (
    SLICES,
    from_blocks,
    projections_from_blocks,
    sinogram_blocks,
    slices_per_block,
    to_blocks,
)
from oxytomo.reconstruct.blur import blur, gaussian_taps
from oxytomo.reconstruct.geometry import TiltGeometry, tilt_weights_rad
from oxytomo.reconstruct.projector import adjoint, forward

TILTS = np.linspace(-65, 65, 27)


def geometries() -> list[TiltGeometry]:
    square = TiltGeometry.square(TILTS, 40)
    return [
        square,
        square.cropped(slice(5, 31), slice(9, 38)),
        TiltGeometry(np.arange(-90.0, 90.0, 7.0), 33, 20.3, 21, 47, 3.7, 25.2),
    ]


@pytest.mark.parametrize("case", range(3))
def test_forward_and_adjoint_are_transposed_to_float_precision(case: int, rng: np.random.Generator) -> None:
    geometry = geometries()[case]
    n_z = SLICES + 6
    volume = to_blocks(rng.standard_normal((n_z, geometry.n_y, geometry.n_x), dtype=np.float32))
    sinogram = sinogram_blocks(
        rng.standard_normal((geometry.n_tilt, n_z, geometry.n_columns), dtype=np.float32)
    )
    left = np.vdot(forward(volume, geometry).astype(np.float64), sinogram)
    right = np.vdot(adjoint(sinogram, geometry).astype(np.float64), volume)
    scale = np.linalg.norm(forward(volume, geometry)) * np.linalg.norm(sinogram)
    # float32 sums of about a hundred terms each: relative error of an inner product near 1e-7.
    assert abs(left - right) < 3e-7 * scale


def test_a_small_blob_projects_where_the_convention_says() -> None:
    geometry = TiltGeometry.square(np.array([0.0, 30.0, -50.0, 90.0]), 41)
    y, x = np.mgrid[:41, :41]
    # Centred at (26, 11), that is (y, x) − centre = (6, −9).
    volume = np.exp(-((y - 26) ** 2 + (x - 11) ** 2) / (2 * 1.5**2)).astype(np.float32)[None]
    sinogram = projections_from_blocks(forward(to_blocks(volume), geometry), 1)[:, 0]
    columns = np.arange(41)
    centroid = (sinogram * columns).sum(axis=1) / sinogram.sum(axis=1)
    theta = np.deg2rad(geometry.tilt_deg)
    expected = -9 * np.cos(theta) + 6 * np.sin(theta) + 20
    # Sampling a Gaussian of 1.5 px leaves the centroid right to a few thousandths.
    np.testing.assert_allclose(centroid, expected, atol=5e-3)


def test_mass_is_the_same_in_every_projection() -> None:
    y, x = np.mgrid[:64, :64] - 31.5
    disc = np.exp(-(x**2 + y**2) / (2 * 8.0**2)).astype(np.float32)[None]
    geometry = TiltGeometry.square(TILTS, 64)
    mass = projections_from_blocks(forward(to_blocks(disc), geometry), 1).sum(axis=(1, 2))
    np.testing.assert_allclose(mass, disc.sum(), rtol=1e-4)


def test_a_block_of_ones_has_the_length_of_the_box() -> None:
    geometry = TiltGeometry.square(np.array([0.0, 45.0]), 32)
    ones = to_blocks(np.ones((1, 32, 32), np.float32))
    sinogram = projections_from_blocks(forward(ones, geometry), 1)[:, 0]
    np.testing.assert_allclose(sinogram[0], 32, rtol=1e-6)
    # Two columns at ± half a pixel from the axis see the box's diagonal less that half pixel on either side.
    assert sinogram[1, 15] == pytest.approx(32 * np.sqrt(2) - 1, abs=1.0)


def test_crop_of_the_volume_changes_nothing_in_the_projection(rng: np.random.Generator) -> None:
    geometry = TiltGeometry.square(TILTS, 40)
    rows, columns = slice(6, 30), slice(11, 33)
    small = rng.random((3, 24, 22), dtype=np.float32)
    full = np.zeros((3, 40, 40), np.float32)
    full[:, rows, columns] = small
    np.testing.assert_allclose(
        forward(to_blocks(small), geometry.cropped(rows, columns)),
        forward(to_blocks(full), geometry),
        atol=2e-5,
    )


def test_slices_do_not_talk_to_each_other(rng: np.random.Generator) -> None:
    geometry = TiltGeometry.square(TILTS, 24)
    volume = rng.random((SLICES + 2, 24, 24), dtype=np.float32)
    together = projections_from_blocks(forward(to_blocks(volume), geometry), SLICES + 2)
    for z in (0, SLICES - 1, SLICES, SLICES + 1):
        alone = projections_from_blocks(forward(to_blocks(volume[z : z + 1]), geometry), 1)
        np.testing.assert_array_equal(together[:, z], alone[:, 0])


def test_slices_are_spread_evenly_over_few_blocks() -> None:
    for n_z in (1, 16, 17, 70, SLICES, SLICES + 1, 160, 300, 512):
        n_block, _, _, width = to_blocks(np.zeros((n_z, 1, 1), np.float32)).shape
        assert width == slices_per_block(n_z) <= SLICES
        assert n_block == -(-n_z // SLICES)
        assert n_z <= n_block * width < n_z + 16 * n_block


@pytest.mark.parametrize("n_z", [1, SLICES, SLICES + 3])
def test_blocks_round_trip(n_z: int, rng: np.random.Generator) -> None:
    volume = rng.random((n_z, 7, 9), dtype=np.float32)
    np.testing.assert_array_equal(from_blocks(to_blocks(volume), n_z), volume)


def test_agrees_with_astra_linear_projector(rng: np.random.Generator) -> None:
    astra = pytest.importorskip("astra", reason="astra-toolbox is not installed")
    n = 32
    geometry = TiltGeometry.square(TILTS, n)
    volume = rng.random((1, n, n), dtype=np.float32)
    projector = astra.create_projector(
        "linear",
        astra.create_proj_geom("parallel", 1.0, n, -np.deg2rad(TILTS)),
        astra.create_vol_geom(n, n),
    )
    try:
        matrix = astra.matrix.get(astra.projector.matrix(projector))
    finally:
        astra.projector.delete(projector)
    reference = (matrix @ volume[0].ravel()).reshape(TILTS.size, n)
    ours = projections_from_blocks(forward(to_blocks(volume), geometry), 1)[:, 0]
    # Both are Joseph's method; ASTRA treats the last half pixel at the border of the volume differently.
    middle = slice(n // 4, 3 * n // 4)
    np.testing.assert_allclose(ours[:, middle], reference[:, middle], rtol=0.02)


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ShapeError, match=r"volume: expected float32 blocks"):
        forward(np.zeros((1, 8, 9, SLICES), np.float32), TiltGeometry.square(TILTS, 8))
    with pytest.raises(ShapeError, match="tilt angles: expected a list of finite angles"):
        TiltGeometry.square(np.array([0.0, np.nan]), 8)


def test_tilt_weights_add_up_to_the_measured_range() -> None:
    assert tilt_weights_rad(np.arange(-65.0, 66.0)).sum() == pytest.approx(np.deg2rad(131))
    assert tilt_weights_rad(np.arange(180.0)).sum() == pytest.approx(np.pi)
    assert tilt_weights_rad(np.arange(0.0, 181.0)).sum() == pytest.approx(np.pi)
    uneven = tilt_weights_rad(np.array([10.0, 0.0, 1.0]))
    np.testing.assert_allclose(np.rad2deg(uneven), [9.0, 1.0, 5.0])


def test_blur_keeps_the_mass_and_has_the_width_asked_for() -> None:
    sinogram = np.zeros((2, 1, 31, SLICES), np.float32)
    sinogram[0, 0, 15, SLICES - 1] = 1  # at the seam of two blocks
    blurred = blur(sinogram, gaussian_taps(1.2))
    assert blurred.sum() == pytest.approx(1, abs=1e-5)
    s = np.arange(31) - 15
    z = np.arange(2 * SLICES) - (SLICES - 1)
    flat = np.concatenate([blurred[0, 0], blurred[1, 0]], axis=1)
    # A Gaussian integrated over a pixel has variance σ² + 1/12; the cut at 3 σ takes less than 3 %.
    for profile, offset in ((flat.sum(axis=1), s), (flat.sum(axis=0), z)):
        assert (profile * offset**2).sum() == pytest.approx(1.2**2 + 1 / 12, rel=0.03)
        assert (profile * offset).sum() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "geometry",
    [
        TiltGeometry(np.arange(-170.0, 180.0, 11.0), 45, 21.3, 19, 37, 7.7, 20.2),
        TiltGeometry(np.array([0.0, 60.0, 45.0, -45.0, 135.0, 30.0, 90.0]), 33, 16.0, 24, 24, 11.5, 11.5),
    ],
)
def test_every_ray_meets_every_line_once(
    geometry: TiltGeometry, threads: int, rng: np.random.Generator
) -> None:
    volume = rng.random((geometry.n_y, geometry.n_x), dtype=np.float32)
    expected = np.array([joseph(volume, geometry, t) for t in range(geometry.n_tilt)])
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, before))
    try:
        found = projections_from_blocks(forward(to_blocks(volume[None]), geometry), 1)[:, 0]
    finally:
        numba.set_num_threads(before)
    # float32 weights and sums of some forty terms; a line met twice or not at all would be off by about 1.
    np.testing.assert_allclose(found, expected, atol=2e-4)


def joseph(volume: np.ndarray, geometry: TiltGeometry, t: int) -> np.ndarray:
    """Joseph's line integrals of one tilt, ray by ray in double precision."""
    cos, sin = np.cos(np.deg2rad(geometry.tilt_deg[t])), np.sin(np.deg2rad(geometry.tilt_deg[t]))
    s = np.arange(geometry.n_columns) - geometry.axis_column
    if abs(cos) >= abs(sin):
        lines, march, across = volume, np.arange(geometry.n_y) - geometry.centre_y, geometry.centre_x
        along, over = sin, cos
    else:
        lines, march, across = volume.T, np.arange(geometry.n_x) - geometry.centre_x, geometry.centre_y
        along, over = cos, sin
    total = np.zeros(s.size)
    for line, m in zip(lines, march, strict=True):
        position = (s - m * along) / over + across
        total += np.interp(position, np.arange(-1, line.size + 1), np.pad(line, 1), left=0, right=0)
    return total / abs(over)
