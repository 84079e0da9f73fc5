"""Slabs, fields on disk, and what is computed slab by slab, against the whole volume at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cc3d
import edt
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from oxytomo import slabs as slabs_module
from oxytomo.arrays import OXYGEN_POOR
from oxytomo.io.scratch import ScratchField, scratch_fields
from oxytomo.measure.domains import domain_labels, domain_table, find_domains
from oxytomo.measure.fractions import border_share, class_fractions, n_classified, replicate_fractions
from oxytomo.measure.shells import depth_below_surface, shell_labels, shell_table
from oxytomo.measure.thickness import local_thickness, thickness_quantiles
from oxytomo.segment.classes import CLASS_LABELS, classify_deviation
from oxytomo.segment.components import Components, filled_bodies
from oxytomo.segment.distances import distance_inside
from oxytomo.segment.particle import particle_mask
from oxytomo.simulate.voids import photograph, photographed_rows, random_scene
from oxytomo.slabs import (
    fill,
    gather,
    in_memory,
    new_field,
    on_grid,
    read_ahead,
    slabs,
    window,
    workspace,
)


@pytest.fixture
def thin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slabs of eight rows."""
    monkeypatch.setattr(slabs_module, "SLAB_VOXELS", 1)
    monkeypatch.setattr(slabs_module, "FEWEST_ROWS", 8)


def clouds(seed: int, shape: tuple[int, int, int] = (45, 30, 25)) -> np.ndarray:
    return gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 2.0).astype(np.float32)


@pytest.mark.usefixtures("thin")
def test_slabs_cover_every_row_once_with_their_halo() -> None:
    found = list(slabs((45, 30, 25), halo=3))
    assert [slab.rows for slab in found][:2] == [slice(0, 8), slice(8, 16)]
    assert np.concatenate([np.arange(45)[slab.rows] for slab in found]).tolist() == list(range(45))
    for slab in found:
        assert np.arange(45)[slab.wide][slab.core].tolist() == np.arange(45)[slab.rows].tolist()
    assert (found[0].wide, found[2].wide, found[-1].wide) == (slice(0, 11), slice(13, 27), slice(37, 45))


@pytest.mark.usefixtures("thin")
def test_a_filter_in_slabs_is_the_filter_of_the_whole(tmp_path: Path) -> None:
    values = clouds(0)
    on_disk = ScratchField(tmp_path / "values", values.shape, np.float32)
    on_disk[:] = values
    out = np.zeros(values.shape, np.float32)
    fill(out, lambda v: gaussian_filter(v, 1.0, mode="nearest"), on_disk, halo=4)
    np.testing.assert_array_equal(out, gaussian_filter(values, 1.0, mode="nearest"))


@pytest.mark.usefixtures("thin")
def test_fields_on_disk_read_and_write_as_arrays_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oxytomo.io.scratch.FIELD_BYTES", 0)
    values = clouds(1)
    index = np.argwhere(values > 0.1)
    box = (slice(5, 40), slice(3, 20), slice(0, 25))

    def checked() -> None:
        field = new_field(values.shape, np.float32)
        assert isinstance(field, ScratchField)
        assert not field[0:45].any()
        part = window(field, box)
        part[2:30] = values[box][2:30]
        wanted = np.zeros_like(values)
        window(wanted, box)[2:30] = values[box][2:30]
        np.testing.assert_array_equal(field[0:45], wanted)
        np.testing.assert_array_equal(part[1:9, 2:4], wanted[box][1:9, 2:4])
        np.testing.assert_array_equal(gather(field, index), wanted[tuple(index.T)])
        ahead = read_ahead(field)
        for low in (0, 2, 3, 20, 1):
            one = (slice(low, low + 9), slice(1, 5), slice(2, 8))
            np.testing.assert_array_equal(ahead[one], wanted[one])

    with scratch_fields(tmp_path / "store.zarr"):
        checked()
        # The room on the disk is free again when nobody needs a field.
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not list(tmp_path.iterdir())


def test_boxes_of_a_field_on_disk_are_those_of_an_array(tmp_path: Path, rng: np.random.Generator) -> None:
    wanted = rng.random((2, 6, 5, 7)).astype(np.float32)
    field = ScratchField(tmp_path / "field", wanted.shape, np.float32)
    field[:] = wanted
    full = slice(None)
    keys = [
        (1, slice(2, 5)),
        (slice(0, 2), slice(1, 4), slice(2, 3)),
        (full, full, slice(1, 4), slice(2, 6)),
        (0, 3, full, slice(-3, None)),
        (-1, 2, 4),
        (1, slice(4, 4)),
        (1, slice(5, 2), full, slice(1, 3)),
        (0, 1, 2, 3),
    ]
    for number, key in enumerate(keys):
        np.testing.assert_array_equal(field[key], wanted[key], err_msg=str(key))
        value = np.float32(number) + rng.random(wanted[key].shape).astype(np.float32)
        field[key] = value
        wanted[key] = value
        np.testing.assert_array_equal(field[:], wanted, err_msg=str(key))
    field[:, 2:4, :, 1:2] = 7
    wanted[:, 2:4, :, 1:2] = 7
    np.testing.assert_array_equal(field[:], wanted)
    with pytest.raises(IndexError):
        field[0, ::2]
    line = ScratchField(tmp_path / "line", (5,), np.int32)
    line[1:3] = [4, 5]
    assert line[:4].tolist() == [0, 4, 5, 0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_under_a_field_is_an_error_that_says_so(tmp_path: Path) -> None:
    field = ScratchField(tmp_path / "field", (4, 50, 60), np.float32)
    field.path.unlink()
    field.path.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        field[1:3] = 1.0


@pytest.mark.usefixtures("thin")
def test_one_sampling_grid_for_all_slabs() -> None:
    values = clouds(2)
    found = np.concatenate([on_grid(values[s.rows], s.rows, 3) for s in slabs(values.shape)])
    np.testing.assert_array_equal(found, values[::3, ::3, ::3])


@pytest.mark.usefixtures("thin")
@pytest.mark.parametrize(("connectivity", "level"), [(6, 0.55), (26, 1.4), (26, 0.0)])
def test_components_are_those_of_the_whole(connectivity: int, level: float) -> None:
    rng = np.random.default_rng(3)
    mask = rng.standard_normal((45, 30, 25)) > level
    found = Components(lambda rows: mask[rows], mask.shape, connectivity=connectivity)
    labels = np.concatenate([part for _, part in found])
    wanted = cc3d.connected_components(mask, connectivity=connectivity)
    np.testing.assert_array_equal(labels, wanted)
    assert found.count == wanted.max()
    np.testing.assert_array_equal(found.sizes()[1:], np.bincount(wanted.ravel())[1:])


@pytest.mark.usefixtures("thin")
def test_bodies_are_filled_and_distances_reach_through_slabs() -> None:
    mask = clouds(4) > -0.05
    filled = filled_bodies(mask)
    assert filled.sum() > mask.sum()
    background = cc3d.connected_components(~mask, connectivity=6)
    sides = [
        background[0],
        background[-1],
        background[:, 0],
        background[:, -1],
        background[..., 0],
        background[..., -1],
    ]
    open_to_the_outside = np.unique(np.concatenate([side.ravel() for side in sides]))
    np.testing.assert_array_equal(filled, mask | ~np.isin(background, open_to_the_outside))
    found = np.zeros(mask.shape, np.float32)
    distance_inside(filled, found)
    np.testing.assert_array_equal(found, edt.edt(filled, black_border=False))
    distance_inside(np.ones(mask.shape, bool), found)
    assert np.isinf(found).all()


@pytest.mark.usefixtures("thin")
def test_thickness_in_slabs_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oxytomo.measure.thickness.HALO_PX", 2)
    z, y, x = np.mgrid[:45, :30, :25]
    ball = (z - 20) ** 2 + (y - 14) ** 2 + (x - 12) ** 2 < 10.5**2
    labels = (ball | (clouds(5) > 0.1)).astype(np.uint8)
    whole = local_thickness(labels > 0)
    shares = (0.1, 0.5, 0.9)
    found = thickness_quantiles(labels, 1, shares)
    # Squares are whole numbers in the one and rounded to float32 in the other.
    np.testing.assert_allclose(found, np.quantile(whole[whole > 0], shares), rtol=1e-6)
    assert thickness_quantiles(labels, 2, shares) is None


@pytest.mark.usefixtures("thin")
def test_a_volume_photographed_row_by_row_is_the_same() -> None:
    def scene(rng: np.random.Generator):
        return random_scene(48, apertures_px=(0.75,), pore_radii_px=(3.0,), rng=rng)

    look = {"blur_px": 1.0, "contrast_to_noise": 5.0, "shading": 0.05}
    rng = np.random.default_rng(6)
    whole = photograph(scene(rng).rows(slice(0, 48)), **look, structure=0.0, rng=rng)
    rng = np.random.default_rng(6)
    rows = [values for _, values in photographed_rows(scene(rng), **look, rng=rng)]
    np.testing.assert_array_equal(np.concatenate(rows), whole)


def in_slabs_and_whole(function, monkeypatch: pytest.MonkeyPatch):
    """Return what a function gives in slabs of eight rows, and in one."""
    whole = function()
    monkeypatch.setattr(slabs_module, "SLAB_VOXELS", 1)
    monkeypatch.setattr(slabs_module, "FEWEST_ROWS", 8)
    return function(), whole


def test_the_particle_in_slabs_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    z, y, x = np.mgrid[:45, :30, :25]
    density = ((z - 21) ** 2 / 2.5 + (y - 14) ** 2 + (x - 12) ** 2 < 100) + 0.1 * clouds(7)
    density[40:44, 2:5, 2:5] = 1.0  # another body, in the last slab
    sliced, whole = in_slabs_and_whole(lambda: particle_mask(density.astype(np.float32)), monkeypatch)
    assert 1000 < whole.sum() < density.size / 2
    np.testing.assert_array_equal(sliced, whole)


def test_measures_of_classes_in_slabs_are_those_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    z, y, x = np.mgrid[:45, :30, :25]
    particle = ((z - 21) ** 2 / 2.5 + (y - 14) ** 2 + (x - 12) ** 2 < 100) & (clouds(8) < 0.25)
    deviation = np.where(particle, 0.6 * clouds(9), np.nan).astype(np.float32)
    replicates = (deviation + 0.1 * np.stack([clouds(10), clouds(11), clouds(12)])).astype(np.float16)
    phases = classify_deviation(deviation, particle, threshold=0.05)

    def measured():
        depth = depth_below_surface(particle, voxel_nm=7.0)
        shells = shell_labels(depth, n_shells=4)
        found = find_domains(phases, depth)
        numbers = [
            class_fractions(phases, labels=CLASS_LABELS),
            replicate_fractions(replicates, particle, threshold=0.05),
            border_share(phases, OXYGEN_POOR),
            n_classified(phases),
            domain_table(found, voxel_nm=7.0, min_voxels=3).to_dict("list"),
            {name: (one.low.tolist(), one.high.tolist()) for name, one in found.items()},
        ]
        table = shell_table(deviation, phases, shells, replicates, n_shells=4, depth_nm=depth)
        return depth, shells, domain_labels(phases, min_voxels=3), numbers, table

    sliced, whole = in_slabs_and_whole(measured, monkeypatch)
    for one, other in zip(sliced[:3], whole[:3], strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_equal(sliced[3], whole[3])
    assert len(whole[3][4]["domain"]) > 10
    # Sums over slabs are added up in another order.
    for name, column in whole[4].items():
        if name != "standard_error_from":
            np.testing.assert_allclose(sliced[4][name], column, rtol=1e-12, err_msg=name)


def test_new_fields_are_where_the_workspace_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oxytomo.io.scratch.FIELD_BYTES", 100)
    assert isinstance(new_field((10, 10), np.float32), np.ndarray)
    with scratch_fields(tmp_path / "store.zarr"):
        large, small = new_field((10, 10), np.float32), new_field((5, 5), np.float32)
        assert isinstance(large, ScratchField)
        assert isinstance(small, np.ndarray)
        assert not np.asarray(large[0:10]).any()
        with workspace(in_memory):
            assert isinstance(new_field((10, 10), np.float32), np.ndarray)
        assert isinstance(new_field((10, 10), np.float32), ScratchField)
        with ThreadPoolExecutor(1) as pool:
            # A thread has no workspace: what it makes does not end with the block.
            assert isinstance(pool.submit(new_field, (10, 10), np.float32).result(), np.ndarray)
    assert isinstance(new_field((10, 10), np.float32), np.ndarray)
