"""What the napari plugin makes of results, without napari: layers, places, colours, and what it refuses."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zarr
from plugin_results import CRACK_Z, FINE_NM, POOR, SIDE, VOXEL_NM, WEAK

from oxytomo.errors import InputError, MissingPackageError, ShapeError, StoreError
from oxytomo.palette import CONFIDENT_COLORS, OXYGEN_POOR, PHASE_COLORS, TARGET, UNDECIDED, VOID_COLORS
from oxytomo.results.images import LazyArray, image_record, open_image
from oxytomo.view.napari_plugin import launch, threshold_model
from oxytomo.view.napari_plugin.layers import (
    INFO,
    _channel_visible,
    channel_name,
    deviation_limit,
    diverging_colors,
    grid_note,
    label_colors,
    sample_layers,
)
from oxytomo.view.napari_plugin.placing import shown_levels
from oxytomo.view.napari_plugin.results import find_samples, is_ours
from oxytomo.view.napari_plugin.threshold_model import load_threshold_model, threshold_choices


@pytest.fixture
def layers(plugin_results: Path) -> dict:
    return {
        arguments["name"]: (data, arguments, kind)
        for data, arguments, kind in sample_layers(find_samples(plugin_results))
    }


def test_layers_have_names_places_and_what_is_seen_at_first(layers):
    visible = [name for name, (_, arguments, _) in layers.items() if arguments["visible"]]
    assert visible == ["TM/O deviation", "classes", "pores and cracks"]
    assert {
        "O",
        "Ni",
        "TM/O deviation σ",
        "Mn valence",
        "structure volume",
        "certain classes",
        "single voids",
    } <= set(layers)
    assert "Mn fraction of Mn 3" not in layers
    _, arguments, kind = layers["pores and cracks"]
    assert kind == "labels"
    assert arguments["scale"] == (FINE_NM,) * 3
    assert arguments["units"] == ("nm",) * 3
    assert arguments["metadata"][INFO]["part"] == "voids"
    assert all(arguments["axis_labels"] == ("z", "y", "x") for _, arguments, _ in layers.values())


def test_a_map_beside_volumes_is_one_voxel_deep_along_the_beam(layers):
    data, arguments, _ = layers["Mn valence"]
    assert data.shape == (SIDE, 1, SIDE)
    # The volumes reach from half a voxel before 0 to 395 nm (composition) and 396 nm (structure).
    assert arguments["scale"] == (VOXEL_NM, 401.0, VOXEL_NM)
    assert arguments["translate"] == (0.0, 195.5, 0.0)


def test_deviation_is_centred_on_zero_with_limits_from_threshold_and_noise(layers):
    _, arguments, _ = layers["TM/O deviation"]
    assert arguments["contrast_limits"] == (-0.15000000000000002, 0.15000000000000002)
    assert deviation_limit(0.05, float("nan")) == pytest.approx(0.15)
    assert deviation_limit(0.05, 0.1) == pytest.approx(0.3)
    middle = diverging_colors()[128, :3]
    assert np.ptp(middle) < 0.01
    assert middle.min() > 0.95
    assert diverging_colors()[-1, 0] > 2 * diverging_colors()[-1, 2], "too much metal is red"


def test_colours_are_those_of_the_palette_and_undecided_is_translucent(layers):
    assert layers["classes"][1]["colormap"] == label_colors(PHASE_COLORS)
    assert layers["pores and cracks"][1]["colormap"] == label_colors(VOID_COLORS)
    assert CONFIDENT_COLORS[UNDECIDED][3] < 128
    red, green, blue, _ = VOID_COLORS[1]
    assert blue > 200 > 100 > red, "pores are cyan"
    assert green > 200
    assert np.ptp(PHASE_COLORS[3][:3]) <= 45, "oxygen-rich is slate grey"
    assert label_colors(PHASE_COLORS)[None] == (0.0, 0.0, 0.0, 0.0)


def test_an_image_alone_is_shown_as_it_is(plugin_results: Path):
    layers = sample_layers(find_samples(plugin_results / "oxidation.ome.zarr"))
    names = [arguments["name"] for _, arguments, _ in layers]
    assert "Mn fraction of Mn 3" in names
    assert layers[0][1]["visible"]
    assert layers[0][1]["scale"] == (VOXEL_NM, VOXEL_NM)


def test_only_what_is_shown_is_read(plugin_results: Path):
    path = plugin_results / "composition.ome.zarr"
    array = zarr.open_group(str(path), mode="r")["0"]
    asked = []

    class Watched:
        shape, dtype, chunks = array.shape, array.dtype, array.chunks

        def __getitem__(self, key):
            asked.append(key)
            return array[key]

    lazy = LazyArray.whole(Watched(), 2)
    assert lazy.shape == (SIDE,) * 3
    tile = lazy[:, :, 5:35]
    assert asked == [], "a tile of the volume is not read"
    assert tile.shape == (SIDE, SIDE, 30)
    for _ in range(2):
        assert np.array_equal(np.asarray(tile[:, 20, -25:]), array[2, :, 20, 10:35], equal_nan=True)
    assert asked == [(2, slice(0, SIDE), 20, slice(10, 35))], "a slice of it is, once"
    assert np.array_equal(np.asarray(lazy), array[2], equal_nan=True)
    assert np.array_equal(lazy[::2, 3], array[2, ::2, 3], equal_nan=True)
    assert lazy[12, 20, -28] == pytest.approx(0.2)
    with pytest.raises(IndexError):
        lazy[SIDE]
    assert isinstance(open_image(path).channels[2].levels.arrays[0], LazyArray)


@pytest.mark.parametrize(
    ("kind", "names", "seen"),
    [
        ("chemical_state", ["Ni_valence", "Ni_density", "Ni_valence_sigma"], "Ni_valence"),
        ("mechanics", ["lithium", "first_principal", "von_mises", "hoop"], "first_principal"),
        ("structure", ["volume"], "volume"),
    ],
)
def test_one_volume_of_a_branch_is_seen_at_first(kind: str, names: list[str], seen: str):
    """All would lie on each other; beside a composition none is seen."""
    channels = [SimpleNamespace(name=name) for name in names]
    image: Any = SimpleNamespace(kind=kind, channels=channels, grid=SimpleNamespace(scale_nm=(9.0,) * 3))
    for covered, wanted in ((False, [seen]), (True, [])):
        assert [n for n in names if _channel_visible(image, n, covered=covered, alone=True)] == wanted


def test_differing_grids_are_said(plugin_results: Path):
    note = grid_note(find_samples(plugin_results))
    assert "not registered" in note
    assert "composition: 40 × 40 × 40 at 10 nm" in note
    assert "structure: 50 × 50 × 50 at 8 nm" in note
    assert grid_note(find_samples(plugin_results / "composition.ome.zarr")) == ""


def test_several_samples_are_told_apart_and_one_is_seen(plugin_results: Path, tmp_path: Path):
    for name in ("a", "b"):
        shutil.copytree(plugin_results, tmp_path / name)
    layers = sample_layers(find_samples(tmp_path))
    names = {arguments["name"]: arguments["visible"] for _, arguments, _ in layers}
    assert names["a: classes"]
    assert not names["b: classes"]


def test_files_beside_the_images_stand_for_the_sample(plugin_results: Path):
    assert is_ours(plugin_results / "domains.csv")
    assert find_samples(plugin_results / "domains.csv")[0].name == "grain"
    assert not is_ours(plugin_results / "raw.h5")
    assert is_ours(plugin_results.parent)


def test_levels_end_where_3d_is_smooth():
    def shapes(*sides):
        return [np.empty((side, 1)) for side in sides]

    assert [a.shape[0] for a in shown_levels(shapes(1024, 512, 256, 128))] == [1024, 512, 256]
    assert [a.shape[0] for a in shown_levels(shapes(96, 48))] == [96]
    assert [a.shape[0] for a in shown_levels(shapes(1024, 512))] == [1024, 512]


@pytest.mark.parametrize(
    ("kind", "channel", "name"),
    [
        ("areal_density", "Ni_sigma", "Ni areal density σ"),
        ("areal_density", "Ni_pre", "Ni pre optical density"),
        ("areal_density", "Ni", "Ni areal density"),
        ("oxidation", "Mn_edge_jump", "Mn edge jump"),
        ("chemical_state", "Ni_valence_sigma", "Ni valence σ"),
        ("tomogram", "volume", "tomogram volume"),
    ],
)
def test_names(kind, channel, name):
    assert channel_name(kind, channel) == name


# What is refused


def test_a_store_of_another_program(tmp_path: Path):
    zarr.create_group(store=str(tmp_path / "x.zarr"), attributes={"ome": {"multiscales": []}})
    assert not is_ours(tmp_path / "x.zarr")
    with pytest.raises(InputError, match="another program"):
        find_samples(tmp_path / "x.zarr")


def test_the_store_of_a_stage_is_no_image(plugin_results: Path):
    with pytest.raises(InputError, match=r"store of a stage.*give <results>/<sample>"):
        find_samples(plugin_results / "stages" / "composition" / "classify.zarr")


def test_nothing_and_unfinished_results(plugin_results: Path, tmp_path: Path):
    with pytest.raises(InputError, match="nothing there"):
        find_samples(tmp_path / "no")
    with pytest.raises(InputError, match="no results of oxytomo"):
        find_samples(tmp_path)
    (tmp_path / "p" / "stages" / "composition").mkdir(parents=True)
    with pytest.raises(InputError, match=r"composition is not finished.*oxytomo run"):
        find_samples(tmp_path / "p")
    shutil.copytree(plugin_results / "structure.ome.zarr", tmp_path / "p" / "structure.ome.zarr")
    assert find_samples(tmp_path / "p")[0].unfinished == ["composition"]


def test_a_damaged_image(plugin_results: Path, tmp_path: Path):
    broken = tmp_path / "structure.ome.zarr"
    shutil.copytree(plugin_results / "structure.ome.zarr", broken)
    shutil.rmtree(broken / "labels" / "voids")
    with pytest.raises(StoreError, match="run the workflow again"):
        open_image(broken)
    (broken / "zarr.json").write_text("{")
    assert image_record(broken) is None


def test_what_is_missing_for_a_window(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match=r"DISPLAY is not set.*xvfb-run"):
        launch.check_display({}, "linux")
    with pytest.raises(InputError, match="where nothing answers"):
        launch.check_display({"DISPLAY": ":1234567"}, "linux")
    launch.check_display({"WAYLAND_DISPLAY": "wayland-0"}, "linux")
    launch.check_display({}, "darwin")
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"napari and Qt not installed.*oxytomo\[view\]"):
        launch.check_packages()


# The threshold


def test_the_threshold_of_the_results_gives_their_numbers(plugin_results: Path):
    image = open_image(plugin_results / "composition.ome.zarr")
    # A notebook shows this: 4000 characters of nested classes say nothing.
    assert repr(image).startswith("composition image of ")
    assert "tm_o_deviation" in repr(image)
    assert len(repr(image)) < 200
    model = load_threshold_model(image)
    facts = json.loads((plugin_results / "phases.json").read_text(encoding="utf-8"))
    for name, (value, interval) in model.fractions(model.start).items():
        assert value == facts["fractions"][name]["value"]
        assert list(interval) == facts["fractions"][name]["ci95"]
    for name, (value, _) in model.counts.null_fractions(model.start, confidence=0.95).items():
        assert value == pytest.approx(facts["null"]["fractions"][name]["value"], rel=1e-12)
    out = np.empty(model.ranks.shape, np.uint8)
    model.classes(model.start, out)
    assert np.array_equal(out, np.asarray(image.labels["phases"].arrays[0]))
    model.classes(int(np.searchsorted(model.counts.thresholds, 0.1)), out)
    assert out[POOR] == OXYGEN_POOR
    assert out[WEAK] == TARGET, "0.07 is on target at 10 %"
    assert model.missing == []


def test_without_stage_stores_there_are_fractions_and_a_reason(plugin_results: Path, tmp_path: Path):
    shutil.copytree(plugin_results / "composition.ome.zarr", tmp_path / "composition.ome.zarr")
    model = load_threshold_model(open_image(tmp_path / "composition.ome.zarr"))
    value, interval = model.counts.fractions(model.start, confidence=0.95)["oxygen_poor"]
    assert value > 0
    assert interval is None
    assert any("uncertainty.zarr is not there" in line for line in model.missing)
    assert model.rows(model.start)[0][2] == "—"


def test_volumes_that_are_too_large_for_a_window(plugin_results: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threshold_model, "LARGEST_VOXELS", 1000)
    with pytest.raises(ShapeError, match="threshold: "):
        load_threshold_model(open_image(plugin_results / "composition.ome.zarr"))


def test_a_threshold_between_the_steps_is_kept():
    thresholds, start = threshold_choices(0.0333)
    assert thresholds[start] == 0.0333
    assert np.all(np.diff(thresholds) > 0)
    thresholds, start = threshold_choices(0.05)
    assert thresholds[start] == 0.05
    assert thresholds.size == 500


def test_the_crack_is_on_the_fine_grid(plugin_results: Path):
    voids = open_image(plugin_results / "structure.ome.zarr").labels["voids"].arrays[0]
    assert int(voids[CRACK_Z, 20, 20]) == 2
