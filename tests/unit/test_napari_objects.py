"""Tables of objects, profiles and provenance of the napari plugin, without napari."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from plugin_results import FINE_NM, POOR, PORE, VOXEL_NM

from oxytomo.errors import InputError
from oxytomo.io.tables import read_csv
from oxytomo.measure.domains import domain_labels, domain_table, find_domains
from oxytomo.measure.shells import depth_below_surface
from oxytomo.results.images import Levels
from oxytomo.view.napari_plugin import object_table
from oxytomo.view.napari_plugin.object_table import (
    Filter,
    Objects,
    centre_of,
    label_source,
    load_objects,
    source_of,
)
from oxytomo.view.napari_plugin.profiles import (
    Place,
    draw_profile,
    line_positions,
    line_profile,
    sample_line,
    shell_choices,
    write_profile,
)
from oxytomo.view.napari_plugin.provenance_tree import provenance_links, record_lines
from oxytomo.view.napari_plugin.results import find_samples


def images(folder: Path) -> dict:
    return {image.kind: image for image in find_samples(folder)[0].images}


@pytest.fixture
def objects(plugin_results: Path) -> Objects:
    return load_objects(plugin_results, images(plugin_results))


def place(index: tuple[int, int, int], voxel_nm: float) -> tuple[float, ...]:
    return tuple(i * voxel_nm for i in index)


def row_number(objects: Objects, kind: str, class_name: str) -> int:
    return next(i for i, row in enumerate(objects.rows) if (row.kind, row.class_name) == (kind, class_name))


def test_every_row_is_the_voxels_its_table_measured(objects):
    assert [row.kind for row in objects.rows] == ["domain"] * 4 + ["pore", "crack"]
    for row in objects.rows[:5]:
        source = objects.sources[source_of(row)]
        box = source.box(row.label)
        mask = source.labels[box] == row.label
        assert mask.sum() * np.prod(source.scale_nm) == pytest.approx(row.volume_nm3, rel=1e-6)
        low = np.array([side.start for side in box])
        centroid = source.translate_nm + (low + np.argwhere(mask).mean(axis=0)) * source.scale_nm
        assert centroid == pytest.approx(np.array(row.centroid_nm), rel=1e-6)


def test_domain_labels_number_the_table(rng):
    phases = rng.integers(0, 4, (12, 12, 12)).astype(np.uint8)
    depth = depth_below_surface(phases > 0, voxel_nm=2.0)
    table = domain_table(find_domains(phases, depth), voxel_nm=2.0, min_voxels=3)
    labels = domain_labels(phases, min_voxels=3)
    assert labels.max() == len(table["domain"]) > 5
    assert list(np.bincount(labels.ravel())[1:]) == list(table["n_voxels"])


def test_what_lies_at_a_place_and_along_a_line_of_sight(objects):
    everything = np.ones(len(objects.rows), bool)
    poor = next(
        i
        for i, r in enumerate(objects.rows)
        if r.class_name == "oxygen_poor" and r.centroid_nm == place(POOR, VOXEL_NM)
    )
    pore, crack = row_number(objects, "pore", "closed"), row_number(objects, "crack", "closed")
    assert objects.at(place(POOR, VOXEL_NM), everything) == poor
    assert objects.at(place(PORE, FINE_NM), everything) == pore, "a void goes before the domain around it"
    assert objects.at((0.0, 0.0, 0.0), everything) is None
    only = np.array([row.class_name == "oxygen_poor" for row in objects.rows])
    assert objects.at(place(PORE, FINE_NM), only) is None, "what the filter hides is not picked"
    assert objects.along((0.0, 196.0, 160.0), (1.0, 0.0, 0.0), np.arange(len(everything)) == crack) == crack
    # Looking down x through the oxygen-poor cube, the target is met first, the cube when the target is hidden.
    beside = (POOR[0] * VOXEL_NM, POOR[1] * VOXEL_NM, 195.0)
    assert objects.along(beside, (0.0, 0.0, 1.0), everything) == row_number(objects, "domain", "target")
    assert objects.along(beside, (0.0, 0.0, 1.0), only) == poor


def test_the_outline_of_a_cube_is_its_faces():
    labels = np.zeros((6, 6, 6), np.int32)
    labels[1:5, 1:5, 1:5] = 2
    source = label_source(Levels([labels], (1.0,) * 3, (0.0,) * 3))
    shell = source.outline(2, source.box(2))
    assert shell.shape == (4, 4, 4)
    assert shell.sum() == 4**3 - 2**3
    assert not shell[1:3, 1:3, 1:3].any()
    labels[3, 3, 3] = 1
    assert source.outline(2, source.box(2)).sum() == 4**3 - 2**3 + 3, "also around what is in it"
    assert source.box(3) is None


def test_filters(objects):
    def kinds(wanted: Filter) -> list[str]:
        return [row.kind for row in objects.rows if wanted.accepts(row)]

    assert kinds(Filter(kinds=frozenset(["crack"]))) == ["crack"]
    assert kinds(Filter(classes=frozenset(["target"]))) == ["domain"]
    assert "pore" not in kinds(Filter(size_nm=(50.0, 1e9)))
    assert kinds(Filter(depth_nm=(70.0, 75.0))).count("pore") == 1


def test_a_hollow_object_is_centred_on_one_of_its_voxels(objects):
    row = objects.rows[row_number(objects, "domain", "target")]
    labels = np.zeros((40, 40, 40), np.int32)
    z, y, x = (round(place / VOXEL_NM) for place in row.centroid_nm)
    labels[z - 2 : z + 3, y - 4, x - 6 : x + 7] = row.label
    levels = Levels([labels], (VOXEL_NM,) * 3, (0.0,) * 3)
    assert centre_of(row, label_source(levels)) == pytest.approx(
        [VOXEL_NM * z, VOXEL_NM * (y - 4), VOXEL_NM * x]
    )
    assert centre_of(row, None) == pytest.approx(row.centroid_nm)


def test_missing_branches_and_tables(plugin_results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    copy = tmp_path / "grain"
    shutil.copytree(plugin_results, copy)
    shutil.rmtree(copy / "structure.ome.zarr")
    found = load_objects(copy, images(copy))
    assert {row.kind for row in found.rows} == {"domain"}
    reason = "the branch 'structure' is not in these results."
    assert found.missing == [f"No pores: {reason}", f"No cracks: {reason}"]
    (copy / "domains.csv").write_text("domain,class\n1,target\n")
    with pytest.raises(InputError, match="lacks a column"):
        load_objects(copy, images(copy))
    monkeypatch.setattr(object_table, "LARGEST_VOXELS", 1000)
    coarse = load_objects(plugin_results, images(plugin_results))
    assert any("too large" in line for line in coarse.missing)
    pore = next(row for row in coarse.rows if row.kind == "pore")
    source = coarse.sources["voids"]
    assert source.scale_nm[0] > FINE_NM
    assert source.labels_at(np.array([pore.centroid_nm]))[0] == 1, (
        "a coarse level lies where the fine one does"
    )


# Profiles


def test_a_line_through_a_ramp_has_its_slope():
    ramp = np.arange(20.0)[None, None, :] * np.ones((5, 5, 1))
    points, distance = line_positions(np.array([[4.0, 4.0, 10.0], [4.0, 4.0, 30.0]]), 0.5)
    values = sample_line(Place([ramp], (2.0, 2.0, 2.0), (0.0, 0.0, 0.0)), points)
    assert distance[-1] == 20.0
    assert values == pytest.approx((10.0 + distance) / 2)
    outside = sample_line(Place([ramp], (2.0,) * 3, (0.0,) * 3), np.array([[4.0, 4.0, 100.0]]))
    assert np.isnan(outside).all()


def test_coarser_levels_give_the_same_profile_of_a_ramp(monkeypatch: pytest.MonkeyPatch):
    from oxytomo.view.napari_plugin import profiles

    fine = np.arange(32.0) * np.ones((32, 32, 1))
    coarse = fine.reshape(16, 2, 16, 2, 16, 2).mean(axis=(1, 3, 5))
    points = np.array([[3.0, 3.0, 4.0], [20.0, 20.0, 24.0]])
    monkeypatch.setattr(profiles, "LARGEST_BOX", 5000)
    values = sample_line(Place([fine, coarse], (1.0,) * 3, (0.0,) * 3), points)
    assert values == pytest.approx([4.0, 24.0])


def test_a_map_beside_volumes_holds_all_along_the_beam():
    flat = np.arange(10.0)[None, None, :] * np.ones((10, 1, 1))
    values = sample_line(
        Place([flat], (1.0, 100.0, 1.0), (0.0, 50.0, 0.0)), np.array([[2.0, 7.0, 3.0], [2.0, 93.0, 5.0]])
    )
    assert values == pytest.approx([3.0, 5.0])


def test_profile_of_the_deviation_with_its_noise_as_table_and_plot(plugin_results: Path, tmp_path: Path):
    channels = {c.name: c.levels for c in images(plugin_results)["composition"].channels}
    deviation, sigma = (
        Place(channels[name].arrays, channels[name].scale_nm, channels[name].translate_nm)
        for name in ("tm_o_deviation", "tm_o_deviation_sigma")
    )
    z, y, x = place(POOR, VOXEL_NM)
    line = np.array([[z, y, x], [z, y, x + 100.0]])
    profile = line_profile(line, {"TM/O deviation": deviation}, quantity="TM/O deviation (1)", sigma=sigma)
    series = profile.series[0]
    assert series.values[0] == pytest.approx(0.2, abs=1e-6)
    assert series.values[-1] == pytest.approx(0.0, abs=1e-6)
    assert series.errors == pytest.approx(np.full(series.values.size, 0.02), abs=1e-3)
    write_profile(tmp_path / "p.csv", profile)
    columns = read_csv(tmp_path / "p.csv")
    assert list(columns) == [
        "distance along the line (nm)",
        "TM/O deviation: TM/O deviation (1)",
        "TM/O deviation: σ of a voxel",
    ]
    figure = Figure()
    draw_profile(figure, profile)
    assert figure.axes[0].get_xlabel() == "distance along the line (nm)"
    assert figure.axes[0].get_ylabel() == "TM/O deviation (1)"
    with pytest.raises(InputError, match="through the particle"):
        line_profile(np.array([[0.0, 0, 0], [0, 0, 20.0]]), {"d": deviation}, quantity="d", sigma=None)
    with pytest.raises(InputError, match="got a point"):
        line_positions(np.zeros((2, 3)), 1.0)


def test_profiles_over_shells(plugin_results: Path, tmp_path: Path):
    choices = shell_choices(plugin_results)
    assert set(choices) == {"TM/O deviation", "class fractions", "valence", "porosity"}
    valence = choices["valence"]()
    assert list(valence.series[0].values) == [3.2, 3.6]
    assert list(valence.position) == [25.0, 75.0]
    classes = choices["class fractions"]()
    assert sum(series.values for series in classes.series) == pytest.approx(np.full(4, 100.0))
    assert choices["porosity"]().quantity.endswith("(%)")
    assert shell_choices(tmp_path) == {}
    (tmp_path / "oxidation_shells.csv").write_text("element\nMn\n")
    with pytest.raises(InputError, match="run the workflow again"):
        shell_choices(tmp_path)["valence"]()


# Provenance


def test_the_chain_ends_at_the_raw_file(plugin_results: Path, tmp_path: Path):
    image = plugin_results / "composition.ome.zarr"
    links = provenance_links(image, verify=False)
    assert [link.name for link in links if link.depth == 0] == ["reconstruct", "uncertainty", "classify"]
    raw = next(link for link in links if link.path.endswith("raw.h5"))
    assert (raw.stage, raw.state, len(raw.digest)) == ("", "not checked", 64)
    assert all(link.state == "unchanged" for link in provenance_links(image, verify=True))
    lines = record_lines(images(plugin_results)["composition"].record)
    assert lines[0].startswith("stage export_composition, version 1")
    assert "threshold = 0.05" in lines


def test_a_change_of_a_raw_file_is_seen(plugin_results: Path, tmp_path: Path):
    from plugin_results import make_sample

    copy = make_sample(tmp_path / "grain")
    (copy / "raw.h5").write_bytes(b"other frames")
    links = provenance_links(copy / "composition.ome.zarr", verify=True)
    assert next(link for link in links if link.path.endswith("raw.h5")).state == "changed since"
