import json

import numpy as np
import ome_zarr_models
import pytest
import zarr
from ngff_zarr.validate import validate

from oxytomo.errors import ShapeError, StoreError
from oxytomo.export import ome_zarr
from oxytomo.export.ngff import Channel, Label
from oxytomo.export.ome_zarr import write_image
from oxytomo.export.pyramid import halve_by_mean, halve_by_mode, level_factors, level_shapes
from oxytomo.palette import display_window, element_color
from oxytomo.slabs import mapped

NGFF = pytest.mark.parametrize("ngff", ["0.5", "0.4"])
COLORS = {0: (0, 0, 0, 0), 1: (10, 20, 30, 255), 2: (200, 100, 50, 255)}
NAMES = {0: "outside", 1: "a", 2: "b"}


def options(**changes):
    common = {
        "name": "sample",
        "axes": ("c", "z", "y", "x"),
        "voxel_nm": 9.8,
        "labels": [],
        "ngff": "0.5",
        "chunk": 8,
        "shard": 16,
        "levels": None,
        "attributes": {},
        "threads": 2,
    }
    return common | changes


def volume(shape=(21, 18, 9), seed=1):
    data = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    data[:3] = np.nan
    return data


def label_image(shape=(21, 18, 9)):
    data = np.random.default_rng(2).integers(0, 3, shape).astype(np.uint8)
    return Label("phases", data, COLORS, NAMES)


def ome(group):
    attributes = dict(group.attrs)
    return attributes.get("ome", attributes)


# Pyramid


def test_mean_of_a_block_ignores_nan():
    image = np.array([[1, 2, np.nan, np.nan], [3, np.nan, np.nan, np.nan]], np.float32)
    np.testing.assert_array_equal(halve_by_mean(image), np.array([[2, np.nan]], np.float32))


def test_mean_at_an_odd_end_averages_the_voxels_that_are_there():
    image = np.array([[1, 3, 10], [5, 7, 20], [100, 200, 6]], np.float32)
    np.testing.assert_array_equal(halve_by_mean(image), np.array([[4, 15], [150, 6]], np.float32))


def test_mean_in_3d_is_the_block_average_in_every_slab():
    image = np.random.default_rng(0).random((70, 6, 4)).astype(np.float32)
    expected = image.reshape(35, 2, 3, 2, 2, 2).mean(axis=(1, 3, 5))
    result = halve_by_mean(image)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_mean_of_opposite_infinities_is_nan_without_a_warning():
    image = np.array([[np.inf, -np.inf]], np.float32)
    assert np.isnan(halve_by_mean(image)[0, 0])


def test_mode_takes_the_most_frequent_label():
    labels = np.array([[[1, 1], [2, 3]], [[3, 3], [0, 0]]], np.uint8)
    assert halve_by_mode(labels)[0, 0, 0] == 3


def test_mode_gives_a_tie_to_the_largest_label():
    assert halve_by_mode(np.array([[0, 2], [2, 0]], np.uint8))[0, 0] == 2


def test_mode_at_an_odd_end_counts_each_voxel_alike():
    labels = np.array([[0, 0, 2], [0, 0, 1], [1, 2, 0]], np.uint8)
    np.testing.assert_array_equal(halve_by_mode(labels), np.array([[0, 2], [2, 0]], np.uint8))


def test_mode_keeps_the_type_and_large_values():
    labels = np.full((2, 2, 2), 70_000, np.int32)
    result = halve_by_mode(labels)
    assert result.dtype == np.int32
    assert result[0, 0, 0] == 70_000


def test_inputs_stay_as_they_are():
    image, labels = volume(), label_image().data
    before = image.copy(), labels.copy()
    halve_by_mean(image)
    halve_by_mode(labels)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(labels, before[1])


def test_levels_end_when_the_largest_side_is_small():
    assert level_shapes((128, 160, 160), levels=None, largest_side=64) == [
        (128, 160, 160),
        (64, 80, 80),
        (32, 40, 40),
    ]
    assert level_shapes((50, 3, 64), levels=None, largest_side=64) == [(50, 3, 64)]


def test_levels_can_be_chosen_but_not_beyond_one_voxel():
    assert len(level_shapes((128, 160, 160), levels=2, largest_side=64)) == 2
    assert level_shapes((3, 2), levels=9, largest_side=64) == [(3, 2), (2, 1), (1, 1)]


def test_a_side_of_one_voxel_keeps_its_size():
    shapes = level_shapes((1, 8, 8), levels=3, largest_side=64)
    assert level_factors(shapes) == [(1, 1, 1), (1, 2, 2), (1, 4, 4)]


# Images on disk


@NGFF
def test_values_and_labels_come_back(tmp_path, ngff):
    path = tmp_path / "x.ome.zarr"
    first, second, label = volume(seed=1), volume(seed=2), label_image()
    channels = [Channel("O", first, "FF0000", (0, 1)), Channel("Mn", second, "00FF00", (0, 1))]
    write_image(path, channels, **options(ngff=ngff, labels=[label]))
    group = zarr.open_group(str(path), mode="r")
    np.testing.assert_array_equal(group["0"][...], np.stack([first, second]))
    np.testing.assert_array_equal(group["1"][1], halve_by_mean(second))
    np.testing.assert_array_equal(group["labels/phases/0"][...], label.data)
    np.testing.assert_array_equal(group["labels/phases/1"][...], halve_by_mode(label.data))
    assert np.isnan(group["0"].fill_value)
    assert group["0"].dtype == np.float32


@NGFF
@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        (("c", "z", "y", "x"), (21, 18, 9)),
        (("z", "y", "x"), (21, 18, 9)),
        (("c", "y", "x"), (33, 17)),
        (("y", "x"), (33, 17)),
    ],
)
def test_both_validators_accept_image_and_labels(tmp_path, ngff, axes, shape):
    path = tmp_path / "x.ome.zarr"
    channels = [Channel("O", volume(shape), "FF0000", (0, 1))]
    write_image(path, channels, **options(ngff=ngff, axes=axes, labels=[label_image(shape)]))
    kinds = {"": "Image", "labels": "Labels", "labels/phases": "ImageLabel"}
    for part, kind in kinds.items():
        found = ome_zarr_models.open_ome_zarr(str(path / part), version=ngff)
        assert type(found).__name__ == kind
    group = zarr.open_group(str(path), mode="r")
    for strict in (False, True):
        validate(dict(group.attrs), version=ngff, model="image", strict=strict)
        validate(dict(group["labels/phases"].attrs), version=ngff, model="label", strict=strict)


@NGFF
def test_a_voxel_lies_at_the_same_place_on_every_level(tmp_path, ngff):
    """Each channel holds a coordinate in nanometre; on every level it equals the place the metadata gives."""
    path = tmp_path / "x.ome.zarr"
    place = 9.8 * np.stack(np.indices((40, 24, 32)))
    channels = [
        Channel(name, data.astype(np.float32), "FF0000", (0, 1))
        for name, data in zip("zyx", place, strict=True)
    ]
    labels = [Label("phases", np.ones((40, 24, 32), np.uint8), COLORS, NAMES)]
    write_image(path, channels, **options(ngff=ngff, levels=4, labels=labels))
    group = zarr.open_group(str(path), mode="r")
    datasets = ome(group)["multiscales"][0]["datasets"]
    of_labels = ome(group["labels/phases"])["multiscales"][0]["datasets"]
    assert len(datasets) == len(of_labels) == 4
    for dataset, of_label in zip(datasets, of_labels, strict=True):
        values = group[dataset["path"]][...]
        scale, offset = (np.array(step[step["type"]]) for step in dataset["coordinateTransformations"])
        assert (scale[0], offset[0]) == (1.0, 0.0)
        index = np.stack(np.indices(values.shape[1:]))
        expected = index * scale[1:, None, None, None] + offset[1:, None, None, None]
        np.testing.assert_allclose(values, expected, rtol=1e-6)
        scale_of_label, offset_of_label = (
            step[step["type"]] for step in of_label["coordinateTransformations"]
        )
        assert scale_of_label == list(scale[1:])
        assert offset_of_label == list(offset[1:])


@NGFF
def test_axes_name_type_and_unit(tmp_path, ngff):
    write_image(tmp_path / "x", [Channel("a", volume(), "FF0000", (0, 1))], **options(ngff=ngff))
    axes = ome(zarr.open_group(str(tmp_path / "x"), mode="r"))["multiscales"][0]["axes"]
    assert axes[0] == {"name": "c", "type": "channel"}
    assert axes[1:] == [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]


@NGFF
def test_channels_have_names_colours_and_windows(tmp_path, ngff):
    data = volume()
    write_image(tmp_path / "x", [Channel("O", data, "56B4E9", (-0.5, 0.5))], **options(ngff=ngff))
    channel = ome(zarr.open_group(str(tmp_path / "x"), mode="r"))["omero"]["channels"][0]
    assert (channel["label"], channel["color"], channel["active"]) == ("O", "56B4E9", True)
    assert channel["window"]["start"] == -0.5
    assert channel["window"]["end"] == 0.5
    assert channel["window"]["min"] == pytest.approx(float(np.nanmin(data)))
    assert channel["window"]["max"] == pytest.approx(float(np.nanmax(data)))


@NGFF
def test_label_colours_and_names_list_the_same_values(tmp_path, ngff):
    write_image(
        tmp_path / "x",
        [Channel("a", volume(), "FF0000", (0, 1))],
        **options(ngff=ngff, labels=[label_image()]),
    )
    described = ome(zarr.open_group(str(tmp_path / "x"), mode="r")["labels/phases"])["image-label"]
    assert {entry["label-value"]: tuple(entry["rgba"]) for entry in described["colors"]} == COLORS
    assert {entry["label-value"]: entry["name"] for entry in described["properties"]} == NAMES


def test_format_0_5_is_sharded_and_0_4_is_not(tmp_path):
    data = volume((40, 20, 5))
    for ngff in ("0.5", "0.4"):
        write_image(tmp_path / ngff, [Channel("a", data, "FF0000", (0, 1))], **options(ngff=ngff, levels=1))
    new, old = (zarr.open_group(str(tmp_path / ngff), mode="r")["0"] for ngff in ("0.5", "0.4"))
    assert (new.metadata.zarr_format, new.chunks, new.shards) == (3, (1, 8, 8, 5), (1, 16, 16, 5))
    assert (old.metadata.zarr_format, old.chunks, old.shards) == (2, (1, 8, 8, 5), None)
    assert new.metadata.dimension_names == ("c", "z", "y", "x")
    assert json.loads((tmp_path / "0.4/0/.zarray").read_text())["dimension_separator"] == "/"
    assert len([file for file in (tmp_path / "0.5/0").rglob("*") if file.is_file()]) == 3 * 2 + 1


def test_provenance_is_a_root_attribute(tmp_path):
    write_image(
        tmp_path / "x",
        [Channel("a", volume(), "FF0000", (0, 1))],
        **options(attributes={"oxytomo": {"stage": "export", "threshold": np.float64(0.05)}}),
    )
    attributes = zarr.open_group(str(tmp_path / "x"), mode="r").attrs
    assert attributes["oxytomo"] == {"stage": "export", "threshold": 0.05}


def test_an_older_image_is_replaced(tmp_path):
    path = tmp_path / "x.ome.zarr"
    channels = [Channel("a", volume(), "FF0000", (0, 1))]
    write_image(path, channels, **options(labels=[label_image()]))
    write_image(path, channels, **options(ngff="0.4"))
    assert not (path / "labels").exists()
    assert not (path / "zarr.json").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.ome.zarr"]


def test_a_failed_write_leaves_the_older_image_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "x.ome.zarr"
    first = volume(seed=3)
    write_image(path, [Channel("a", first, "FF0000", (0, 1))], **options())

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ome_zarr, "_regions", full_disk)
    with pytest.raises(StoreError, match=r"x\.ome\.zarr: .*No space left on device.*Likely fix"):
        write_image(path, [Channel("a", volume(seed=4), "FF0000", (0, 1))], **options())
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.ome.zarr"]
    np.testing.assert_array_equal(zarr.open_group(str(path), mode="r")["0"][0], first)


def test_a_folder_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match=r"expected to write it"):
        write_image(tmp_path / "file" / "x", [Channel("a", volume(), "FF0000", (0, 1))], **options())


def test_labels_on_another_grid_are_refused(tmp_path):
    with pytest.raises(ShapeError, match=r"x/phases: .*\(21, 18, 9\).*got \(21, 18, 8\)"):
        write_image(
            tmp_path / "x",
            [Channel("a", volume(), "FF0000", (0, 1))],
            **options(labels=[label_image((21, 18, 8))]),
        )
    assert not (tmp_path / "x").exists()


def test_a_label_value_without_a_name_is_refused(tmp_path):
    label = Label("phases", np.zeros((21, 18, 9), np.uint8), COLORS, {0: "outside"})
    with pytest.raises(ShapeError, match="colours and names for the same label values"):
        write_image(tmp_path / "x", [Channel("a", volume(), "FF0000", (0, 1))], **options(labels=[label]))


def test_several_channels_need_a_channel_axis(tmp_path):
    channels = [Channel(name, volume(), "FF0000", (0, 1)) for name in "ab"]
    with pytest.raises(ShapeError, match="one channel, or an axis c"):
        write_image(tmp_path / "x", channels, **options(axes=("z", "y", "x")))


def test_axes_in_another_order_are_refused(tmp_path):
    with pytest.raises(ShapeError, match="axes"):
        write_image(
            tmp_path / "x", [Channel("a", volume(), "FF0000", (0, 1))], **options(axes=("x", "y", "z"))
        )


def test_a_channel_without_any_value_can_be_written(tmp_path):
    empty = np.full((9, 9, 9), np.nan, np.float32)
    write_image(tmp_path / "x", [Channel("a", empty, "FF0000", (0, 1))], **options())
    assert np.isnan(zarr.open_group(str(tmp_path / "x"), mode="r")["1"][...]).all()
    ome_zarr_models.open_ome_zarr(str(tmp_path / "x"), version="0.5")


def test_window_covers_the_values_but_not_a_single_outlier():
    data = np.append(np.linspace(0, 1, 10_000), [np.nan, 1e6]).astype(np.float32)
    low, high = display_window(data, percent=0.5, from_zero=True)
    assert low == 0.0
    assert high == pytest.approx(0.995, abs=0.001)


def test_window_of_nothing_or_a_constant_is_not_empty():
    assert display_window(np.full(3, np.nan, np.float32), percent=1.0, from_zero=True) == (0.0, 1.0)
    low, high = display_window(np.zeros(3, np.float32), percent=1.0, from_zero=True)
    assert high > low


def test_element_colours_differ():
    elements = ["O", "Mn", "Co", "Ni", "Fe", "Ti", "V"]
    assert len({element_color(element, place) for place, element in enumerate(elements)}) == len(elements)


def test_volumes_on_disk_are_exported_in_slabs(tmp_path):
    """A field of which only slices can be read gives the same image, for odd sides and several shards."""
    data = volume((37, 35, 21))
    label = label_image((37, 35, 21))
    fields = Channel("O", mapped(data, np.asarray, np.float32), "FF0000", (0, 1))
    label_field = Label(label.name, mapped(label.data, np.asarray, np.uint8), label.colors, label.names)
    write_image(tmp_path / "a", [Channel("O", data, "FF0000", (0, 1))], **options(labels=[label], threads=1))
    write_image(tmp_path / "b", [fields], **options(labels=[label_field]))
    whole, parts = (zarr.open_group(str(tmp_path / name), mode="r") for name in "ab")
    level, expected = 0, data
    for level in range(4):
        np.testing.assert_array_equal(parts[str(level)][0], expected)
        np.testing.assert_array_equal(whole[str(level)][0], expected)
        np.testing.assert_array_equal(
            parts[f"labels/phases/{level}"][...], whole[f"labels/phases/{level}"][...]
        )
        expected = halve_by_mean(expected)
    assert dict(parts.attrs) == dict(whole.attrs)
