"""The three export stages on small stores: channels, labels, units, provenance."""

import numpy as np
import ome_zarr_models
import pytest
import zarr

from oxytomo.config.stage_settings import ExportStage
from oxytomo.errors import StoreError
from oxytomo.io.stores import NamedArray, Provenance, write_store
from oxytomo.stages.composition import export_areal_density, export_composition
from oxytomo.stages.context import StageContext
from oxytomo.stages.shared import export_tomogram

SHAPE = (20, 24, 24)
VOLUME = ("z", "y", "x")


class Context(StageContext):
    """A context whose provenance needs no files."""

    def provenance(self, inputs):
        """Name the inputs without digests of their content."""
        records = {key: {"path": str(path), "digest": "d"} for key, path in inputs.items()}
        return Provenance(self.stage, 3, {"ngff": "0.5"}, records, "0.1.0", "2026-01-02T03:04:05Z")


def context(stage):
    return Context(stage=stage, version=3, threads=1, settings_json={})


def settings(**changes):
    return ExportStage(sample="particle_a", chunk=8, shard=16, **changes)


def store(path, arrays, **attributes):
    named = {name: NamedArray(data, axes, unit) for name, (data, axes, unit) in arrays.items()}
    write_store(
        path,
        named,
        provenance=Provenance("x", 1, {}, {}, "0.1.0", "2026-01-02T03:04:05Z"),
        attributes=attributes,
    )
    return path


def composition_inputs(folder):
    rng = np.random.default_rng(0)
    particle = np.zeros(SHAPE, bool)
    particle[4:16, 4:20, 4:20] = True
    elements = rng.random((3, *SHAPE)).astype(np.float32)
    deviation = np.where(particle, rng.normal(0, 0.05, SHAPE), np.nan).astype(np.float32)
    sigma = np.where(particle, 0.02, np.nan).astype(np.float32)
    phases = np.where(particle, rng.integers(1, 4, SHAPE), 0).astype(np.uint8)
    confident = np.where(phases == 3, 4, phases).astype(np.uint8)
    arrays = {
        "elements": elements,
        "deviation": deviation,
        "sigma": sigma,
        "phases": phases,
        "confident": confident,
        "particle": particle,
    }
    paths = {
        "reconstruct": store(
            folder / "reconstruct.zarr",
            {
                "elements": (elements, ("element", *VOLUME), "1"),
                "deviation": (deviation, VOLUME, "1"),
                "particle": (particle, VOLUME, "1"),
            },
            elements=["O", "Mn", "Ni"],
            pixel_nm=9.8,
            reference_tm_o=1.02,
        ),
        "uncertainty": store(
            folder / "uncertainty.zarr", {"deviation_sigma": (sigma, VOLUME, "1")}, pixel_nm=9.8
        ),
        "classify": store(
            folder / "classify.zarr",
            {
                "phases": (phases, VOLUME, "1"),
                "phases_confident": (confident, VOLUME, "1"),
                "particle": (particle.astype(np.uint8), VOLUME, "1"),
            },
            threshold=0.05,
            pixel_nm=9.8,
        ),
    }
    return paths, arrays


@pytest.mark.parametrize("ngff", ["0.5", "0.4"])
def test_composition_has_its_channels_labels_and_provenance(tmp_path, ngff):
    inputs, arrays = composition_inputs(tmp_path)
    path = tmp_path / "composition.ome.zarr"
    export_composition.run(inputs, {"store": path}, settings(ngff=ngff), context("export_composition"))
    ome_zarr_models.open_ome_zarr(str(path), version=ngff)
    group = zarr.open_group(str(path), mode="r")
    attributes = dict(group.attrs)
    ome = attributes.get("ome", attributes)
    names = [channel["label"] for channel in ome["omero"]["channels"]]
    assert names == ["O", "Mn", "Ni", "tm_o_deviation", "tm_o_deviation_sigma"]
    window = ome["omero"]["channels"][3]["window"]
    assert (window["start"], window["end"]) == (-0.15, 0.15)
    expected = np.stack([*arrays["elements"], arrays["deviation"], arrays["sigma"]])
    np.testing.assert_array_equal(group["0"][...], expected)
    for name, key in (("phases", "phases"), ("phases_confident", "confident"), ("particle", "particle")):
        np.testing.assert_array_equal(group[f"labels/{name}/0"][...], arrays[key])
    scale = ome["multiscales"][0]["datasets"][1]["coordinateTransformations"][0]["scale"]
    assert scale == pytest.approx([1, 19.6, 19.6, 19.6])
    assert ome["multiscales"][0]["name"] == "particle_a"
    record = attributes["oxytomo"]
    assert record["stage"] == "export_composition"
    assert set(record["inputs"]) == {"reconstruct", "uncertainty", "classify"}
    assert (record["threshold"], record["reference_tm_o"]) == (0.05, 1.02)


def test_label_values_have_names_and_colours_that_differ(tmp_path):
    inputs, _ = composition_inputs(tmp_path)
    path = tmp_path / "composition.ome.zarr"
    export_composition.run(inputs, {"store": path}, settings(), context("export_composition"))
    group = zarr.open_group(str(path), mode="r")
    expected = {0: "outside", 1: "target", 2: "oxygen-poor", 3: "oxygen-rich"}
    for name, names in (("phases", expected), ("phases_confident", expected | {4: "undecided"})):
        label = group[f"labels/{name}"].attrs["ome"]["image-label"]
        assert {entry["label-value"]: entry["name"] for entry in label["properties"]} == names
        colors = {entry["label-value"]: tuple(entry["rgba"]) for entry in label["colors"]}
        assert set(colors) == set(names)
        assert len(set(colors.values())) == len(names)
    assert colors[0][3] == 0
    assert 0 < colors[4][3] < 255


def areal_inputs(folder, n_tilt=1):
    rng = np.random.default_rng(1)
    areal = rng.random((2, n_tilt, 30, 40)).astype(np.float32)
    covariance = np.full((3, n_tilt, 30, 40), 0.5, np.float32)
    covariance[0], covariance[2] = 0.04, 0.09
    covariance[:, :, 0, 0] = np.inf
    optical_density = rng.random((4, n_tilt, 30, 40)).astype(np.float32)
    frames = ("tilt", "y", "x")
    return {
        "decompose": store(
            folder / "decompose.zarr",
            {
                "areal": (areal, ("element", *frames), "micrometer"),
                "covariance": (covariance, ("pair", *frames), "micrometer^2"),
            },
            elements=["O", "Ni"],
            pixel_nm=31.2,
        ),
        "align": store(
            folder / "align.zarr",
            {"value": (optical_density, ("series", *frames), "1")},
            series=["O_pre", "O_post", "Ni_pre", "Ni_post"],
            pixel_nm=31.2,
        ),
    }, (areal, optical_density)


def test_areal_density_has_maps_their_deviations_and_optical_densities(tmp_path):
    inputs, (areal, optical_density) = areal_inputs(tmp_path)
    path = tmp_path / "areal_density.ome.zarr"
    export_areal_density.run(inputs, {"store": path}, settings(), context("export_areal_density"))
    ome_zarr_models.open_ome_zarr(str(path), version="0.5")
    group = zarr.open_group(str(path), mode="r")
    names = [channel["label"] for channel in group.attrs["ome"]["omero"]["channels"]]
    assert names == ["O", "Ni", "O_sigma", "Ni_sigma", "O_pre", "O_post", "Ni_pre", "Ni_post"]
    assert [axis["name"] for axis in group.attrs["ome"]["multiscales"][0]["axes"]] == ["c", "y", "x"]
    image = group["0"][...]
    np.testing.assert_array_equal(image[:2], areal[:, 0])
    np.testing.assert_allclose(image[2:4, 5, 5], [0.2, 0.3], rtol=1e-6)
    assert np.isnan(image[2:4, 0, 0]).all()
    np.testing.assert_array_equal(image[4:], optical_density[:, 0])
    units = group.attrs["oxytomo"]["units"]
    assert (units["Ni"], units["Ni_sigma"], units["Ni_pre"]) == ("micrometer", "micrometer", "1")


def test_areal_density_of_a_tilt_series_is_refused(tmp_path):
    inputs, _ = areal_inputs(tmp_path, n_tilt=2)
    path = tmp_path / "areal_density.ome.zarr"
    with pytest.raises(StoreError, match=r"expected one tilt in 'areal', got 2 tilts"):
        export_areal_density.run(inputs, {"store": path}, settings(), context("export_areal_density"))
    assert not path.exists()


def test_tomogram_is_a_plain_volume_with_its_unit(tmp_path):
    volume = np.random.default_rng(2).random(SHAPE).astype(np.float32)
    path = tmp_path / "tomogram.ome.zarr"
    inputs = {
        "reconstruct": store(
            tmp_path / "reconstruct.zarr", {"volume": (volume, VOLUME, "1/micrometer")}, pixel_nm=3.36
        )
    }
    export_tomogram.run(inputs, {"store": path}, settings(levels=2), context("export_tomogram"))
    ome_zarr_models.open_ome_zarr(str(path), version="0.5")
    group = zarr.open_group(str(path), mode="r")
    scales = group.attrs["ome"]["multiscales"][0]
    assert [axis["name"] for axis in scales["axes"]] == ["z", "y", "x"]
    assert len(scales["datasets"]) == 2
    np.testing.assert_array_equal(group["0"][...], volume)
    assert group.attrs["oxytomo"]["units"] == {"volume": "1/micrometer"}


def test_a_missing_store_is_one_line_and_leaves_nothing(tmp_path):
    inputs, _ = composition_inputs(tmp_path)
    inputs["classify"] = tmp_path / "absent.zarr"
    path = tmp_path / "composition.ome.zarr"
    with pytest.raises(StoreError, match=r"absent\.zarr: expected a store of this package"):
        export_composition.run(inputs, {"store": path}, settings(), context("export_composition"))
    assert not path.exists()
