"""What the napari plugin adds to the exported images: null run, registered voids, surfaces, cuts, readings."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from plugin_results import POOR, PORE, RICH, SIDE, VOXEL_NM, composition_volume, cube

from oxytomo.io.provenance import make_provenance
from oxytomo.io.stores import NamedArray, write_store
from oxytomo.results.images import Levels, OpenedImage, open_image
from oxytomo.view.napari_plugin.cuts import EMPTY, Volume, cut
from oxytomo.view.napari_plugin.layers import grid_note, sample_layers, see_through_colors
from oxytomo.view.napari_plugin.object_table import load_objects
from oxytomo.view.napari_plugin.overlays import Drawn
from oxytomo.view.napari_plugin.reading import PlaceReader
from oxytomo.view.napari_plugin.results import find_samples
from oxytomo.view.napari_plugin.surfaces import chosen_level, class_surfaces, surface

MOVED = (24, 12, 20)
"""Where the registration puts the pore, in voxels of the composition."""


@pytest.fixture(scope="module")
def image(plugin_results: Path) -> OpenedImage:
    return open_image(plugin_results / "composition.ome.zarr")


def register(folder: Path, verdict: str) -> None:
    """Write a registration that moves the pore; the other axes of the structure stay as they are."""
    voids, instances = np.zeros((SIDE,) * 3, np.uint8), np.zeros((SIDE,) * 3, np.int32)
    voids[cube(MOVED, 1)], instances[cube(MOVED, 1)] = 1, 1
    shift = np.asarray(MOVED) * VOXEL_NM - np.asarray(PORE) * 8.0
    axes = ("z", "y", "x")
    write_store(
        folder / "stages" / "branches" / "register_branches.zarr",
        {"voids": NamedArray(voids, axes, "1"), "instances": NamedArray(instances, axes, "1")},
        provenance=make_provenance("register_branches", 3, {}, {"raw_0": folder / "raw.h5"}),
        attributes={
            "pixel_nm": VOXEL_NM,
            "verdict": verdict,
            "structure_to_composition": np.column_stack([np.eye(3), shift]).tolist(),
            "n_pores": 1,
        },
    )


def by_name(folder: Path) -> dict:
    return {a["name"]: (data, a, kind) for data, a, kind in sample_layers(find_samples(folder))}


def test_the_null_run_is_a_layer_in_the_colours_of_the_deviation(plugin_results: Path) -> None:
    layers = by_name(plugin_results)
    data, arguments, kind = layers["null run (noise alone)"]
    assert kind == "image"
    assert not arguments["visible"]
    own = layers["TM/O deviation"][1]
    assert arguments["contrast_limits"] == own["contrast_limits"]
    assert arguments["scale"] == own["scale"] == (VOXEL_NM,) * 3
    values = np.asarray(data.raw)
    _, particle = composition_volume()
    assert np.array_equal(np.isfinite(values), particle)
    # Noise of 2 % was written; 17 000 voxels give its spread to a per cent, float16 as well.
    assert np.nanstd(values) == pytest.approx(0.02, rel=0.03)


def test_without_stage_stores_the_other_layers_are_still_there(plugin_results: Path, tmp_path: Path) -> None:
    shutil.copytree(plugin_results, tmp_path / "grain", ignore=shutil.ignore_patterns("stages"))
    assert "null run (noise alone)" not in (layers := by_name(tmp_path / "grain"))
    assert "TM/O deviation" in layers


def test_registered_voids_are_drawn_where_they_belong(plugin_results: Path, tmp_path: Path) -> None:
    shutil.copytree(plugin_results, tmp_path / "grain")
    register(tmp_path / "grain", "same_particle")
    layers = by_name(tmp_path / "grain")
    data, arguments, _ = layers["pores and cracks"]
    assert arguments["scale"] == (VOXEL_NM,) * 3
    assert arguments["visible"]
    assert np.argwhere(np.asarray(data)).mean(axis=0) == pytest.approx(MOVED)
    assert not layers["pores and cracks (own grid, not registered)"][1]["visible"]
    assert "where the registration puts them" in grid_note(find_samples(tmp_path / "grain"))
    images = {
        name: open_image(tmp_path / "grain" / f"{name}.ome.zarr") for name in ("composition", "structure")
    }
    objects = load_objects(tmp_path / "grain", images)
    pore = next(row for row in objects.rows if row.kind == "pore")
    assert pore.centroid_nm == pytest.approx(np.asarray(MOVED) * VOXEL_NM)
    assert objects.sources["voids"].labels_at(np.asarray([pore.centroid_nm])).tolist() == [1]
    domains = {row.centroid_nm for row in objects.rows if row.kind == "domain"}
    assert tuple(VOXEL_NM * i for i in RICH) in domains, "not moved"


@pytest.mark.parametrize("verdict", ["mirrored", "unclear"])
def test_voids_of_another_particle_stay_on_their_grid(
    plugin_results: Path, tmp_path: Path, verdict: str
) -> None:
    shutil.copytree(plugin_results, tmp_path / "grain")
    register(tmp_path / "grain", verdict)
    layers = by_name(tmp_path / "grain")
    assert layers["pores and cracks"][1]["scale"] == (8.0,) * 3
    assert "not registered to each other" in grid_note(find_samples(tmp_path / "grain"))


def test_a_volume_is_drawn_without_nan_and_slices_with_it() -> None:
    raw = np.full((4, 5, 6), np.nan, np.float32)
    raw[1, 2, 3] = -0.2
    drawn = Drawn(raw)
    assert np.asarray(drawn).min() == np.float32(-0.2)
    assert np.asarray(drawn)[0, 0, 0] == 0.0
    assert np.isnan(np.asarray(drawn[0])).all()
    assert np.isnan(np.asarray(drawn[0:1])).all(), "a slice may come one voxel thick"
    assert drawn[1, 2, 3] == np.float32(-0.2)


def test_colours_in_3d_are_empty_on_target_and_signed() -> None:
    colors = see_through_colors()
    assert colors[128, 3] == 0.0
    assert colors[128 - 42, 3] == 0.0, "a third of the range is the threshold"
    assert colors[-1, 3] == colors[0, 3] > 0.2
    assert colors[-1, 0] > colors[-1, 2]
    assert colors[0, 2] > colors[0, 0]


def test_surfaces_have_the_place_and_size_of_their_classes(image: OpenedImage) -> None:
    found = {one["name"]: one for one in class_surfaces(image, most_side=256)}
    assert list(found) == ["oxygen-poor (surface)", "oxygen-rich (surface)", "particle (surface)"]
    points = found["oxygen-rich (surface)"]["data"][0] * VOXEL_NM
    assert (points.max(axis=0) + points.min(axis=0)) / 2 == pytest.approx(np.asarray(RICH) * VOXEL_NM)
    # A cube of 5 voxels; the blur of 0.6 voxel moves its faces by less than half a voxel.
    assert np.ptp(points, axis=0) == pytest.approx(5 * VOXEL_NM, abs=0.5 * VOXEL_NM)
    assert found["particle (surface)"]["opacity"] < 0.5, "what is inside is seen"
    red, _, blue, _ = found["oxygen-poor (surface)"]["vertex_colors"][0]
    assert red > 2 * blue
    assert surface(np.zeros((4, 4, 4), bool)) is None


def test_a_coarser_level_lies_where_the_finer_one_does(image: OpenedImage) -> None:
    fine = np.zeros((8, 8, 8), np.float32)
    fine[4:6, 2:4, 6:8] = 1
    levels = Levels([fine, fine[::2, ::2, ::2]], (10.0,) * 3, (5.0,) * 3)
    values, scale, origin = chosen_level(levels, most_side=4)
    middle = np.argwhere(values)[0] * scale + origin
    assert middle == pytest.approx(np.array([4.5, 2.5, 6.5]) * 10 + 5)


def test_readings_say_deviation_sigma_class_and_depth(image: OpenedImage) -> None:
    reader = PlaceReader(image)
    at_poor = reader.at(tuple(VOXEL_NM * i for i in POOR)).splitlines()
    assert at_poor[0].startswith("TM/O deviation +20.0 % ± ")
    assert at_poor[1] == "oxygen-poor (certain)"
    # By hand: from the voxel to the nearest one outside the ball of 16 voxels, less half a voxel.
    z, y, x = np.indices((SIDE,) * 3)
    _, particle = composition_volume()
    away = np.sqrt((z - POOR[0]) ** 2 + (y - POOR[1]) ** 2 + (x - POOR[2]) ** 2)[~particle].min()
    assert at_poor[2] == f"depth {(away - 0.5) * VOXEL_NM:.0f} nm"
    assert "−20.0 %" in reader.at(tuple(VOXEL_NM * i for i in RICH))
    assert reader.at((0.0, 0.0, 0.0)) == ""
    assert reader.at((-1e4, 0.0, 0.0)) == ""


def test_a_line_of_sight_ends_at_the_first_region(image: OpenedImage) -> None:
    reader = PlaceReader(image)
    z, y, x = (VOXEL_NM * i for i in POOR)
    seen = reader.first((z, -500.0, x), (0.0, 1.0, 0.0))
    assert seen is not None
    assert seen[1] == pytest.approx((POOR[1] - 2.5) * VOXEL_NM, abs=VOXEL_NM / 2)
    behind = reader.first((z, -500.0, x), (0.0, -1.0, 0.0))
    assert behind is not None
    assert behind[1] == pytest.approx((POOR[1] + 2.5) * VOXEL_NM, abs=VOXEL_NM / 2)
    assert reader.first((0.0, 0.0, 0.0), (0.0, 1.0, 0.0)) is None
    assert y == 200.0


def test_cuts_show_the_plane_of_a_place() -> None:
    values = np.full((3, 4, 5), np.nan, np.float32)
    values[1, 2, 3] = 1.0
    volume = Volume(values, np.array([10.0, 10.0, 10.0]), np.zeros(3))

    def white(numbers: np.ndarray) -> np.ndarray:
        return np.ones((*numbers.shape, 4))

    shapes = {0: (4, 5), 1: (3, 5), 2: (3, 4)}
    places = {0: (2, 3), 1: (1, 3), 2: (1, 2)}
    for across, shape in shapes.items():
        picture = cut(volume, across, np.array([12.0, 19.0, 31.0]), white)
        assert picture.shape == (*shape, 3)
        assert picture[places[across]].tolist() == [255, 255, 255]
        assert (picture == EMPTY).all(axis=-1).sum() == shape[0] * shape[1] - 1
