"""Figures for a paper: chosen panels and slices, fonts that are in the file, figures over states of charge."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from report_results import write_composition

from oxytomo.cli import main
from oxytomo.errors import ConfigError
from oxytomo.results.records import Structure
from oxytomo.view.paper import slice_at, write_panels
from oxytomo.view.paper_comparison import valence_states, write_state_figures
from oxytomo.view.paper_panels import panels_of
from oxytomo.view.style import new_figure, to_png
from oxytomo.view.telling import cut_at


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "charged"
    write_composition(folder)
    return folder


def test_a_panel_is_written_three_times_at_the_chosen_slice(sample, tmp_path):
    written = write_panels(sample, tmp_path, panels=["deviation"], at=slice_at("y=0.12"))
    assert [path.name for path in written] == [f"deviation_y_0.12um.{end}" for end in ("png", "pdf", "svg")]
    png, pdf, svg = written
    with Image.open(png) as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert image.size[0] == pytest.approx(3.5 * 300, abs=1)
    content = pdf.read_bytes()
    assert b"/FontFile2" in content, "TrueType fonts are in the file"
    assert b"/Type3" not in content
    text = svg.read_text(encoding="utf-8")
    assert "<text" not in text, "glyphs are outlines"
    assert not re.search(r'href="https?:', text)


def test_the_slice_is_the_one_that_was_asked_for():
    volume = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    particle = np.ones((4, 5, 6), bool)
    cut = cut_at(volume, particle, axis=1, index=2, voxel_nm=10.0)
    np.testing.assert_array_equal(cut.image, volume[:, 2])
    assert (cut.across, cut.down, cut.title) == ("x", "z", "y = 0.02 µm")


@pytest.mark.parametrize("text", ["", "z", "z=", "w=1", "z=nan", "zy=1", "0.5"])
def test_a_slice_that_is_none_is_one_line(text):
    with pytest.raises(ConfigError, match="an axis and a place in µm"):
        slice_at(text)


def test_unknown_panels_and_slices_outside_are_one_line(sample, tmp_path):
    with pytest.raises(ConfigError, match="one of 3d, deviation, null, sigma, classes, certain, density-O"):
        write_panels(sample, tmp_path, panels=["deviations"], at=None)
    with pytest.raises(ConfigError, match=r"z from 0 to 0\.23 µm, got 7 µm"):
        write_panels(sample, tmp_path, panels=["deviation"], at=slice_at("z=7"))
    assert not list(tmp_path.iterdir())


def test_the_command_wants_a_folder_for_panels(sample, capsys):
    assert main(["report", str(sample), "--panel", "classes"]) == 2
    assert "--figures DIR" in capsys.readouterr().err


@pytest.mark.slow
def test_states_of_charge_stand_side_by_side(sample, tmp_path):
    other = tmp_path / "pristine"
    write_composition(other, shape=(20, 26, 26))
    written = write_state_figures({"pristine": [other], "charged": [sample]}, tmp_path / "out")
    assert [path.name for path in written] == [f"classes_over_states.{end}" for end in ("png", "pdf", "svg")]
    with Image.open(written[0]) as image:
        assert image.size[0] == pytest.approx(7.2 * 300, abs=1)
        assert np.asarray(image.convert("L")).std() > 20
    assert write_state_figures({"alone": [sample]}, tmp_path / "none") == []


def oxidation_of(valence: float, elements: tuple[str, ...] = ("Mn", "Ni")) -> SimpleNamespace:
    """Return what the figure reads of oxidation states: maps, and a step of 0.4 from rim to centre."""
    outer = np.arange(0.0, 100.0, 20.0)
    own = [
        SimpleNamespace(
            element=name,
            pixel_nm=10.0,
            valence=np.where(np.hypot(*(np.indices((20, 24)) - 10)) < 9, valence, np.nan),
            shell_outer=outer,
            shell_inner=outer + 20,
            shell_valence=valence + np.linspace(-0.4, 0.0, 5),
            shell_error=np.full(5, 0.02),
        )
        for name in elements
    ]
    return SimpleNamespace(elements=own)


def structure_of():
    """Return a ball with a pore above its middle and a crack below it."""
    z, y, x = np.indices((20, 22, 24)) - np.array([10, 11, 12])[:, None, None, None]
    particle = (z**2 + y**2 + x**2 < 81).astype(np.uint8)
    voids = np.zeros_like(particle)
    voids[5:8, 9:12, 11:14], voids[14, 8:14, 9:15] = 1, 2
    facts = {"cracks": {}, "calibration": {"smallest_aperture_nm": 5.0}, "shells": []}
    volume = np.where(voids > 0, 0.1, particle).astype(np.float32)
    return Structure(10.0, volume, particle, voids, facts, None, None)


def test_pores_and_cracks_have_panels():
    results = SimpleNamespace(composition=None, structure=structure_of(), oxidation=None)
    panels = panels_of(results)
    assert list(panels) == ["voids-3d", "volume", "voids", "void-sizes"]
    figure = panels["voids"].draw(0, 14)
    grey, over = figure.axes[0].images
    assert set(np.unique(over.get_array().compressed())) == {2}, "the crack of this slice, not the pore"
    assert grey.get_array().shape == over.get_array().shape
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["pores", "cracks"]
    assert len(panels["volume"].draw(0, 14).axes[0].images) == 1
    axis, index = panels["voids"].grid.telling()
    assert results.structure.voids.take(index, axis).any(), "the slice without a choice shows voids"
    assert np.asarray(panels["voids-3d"].draw(0, 0).axes[0].images[0].get_array()).std() > 0.05


def test_oxidation_states_have_panels_of_each_element():
    found = oxidation_of(3.5)
    for one in found.elements:
        one.error = np.where(np.isfinite(one.valence), 0.02, 9.0)
    panels = panels_of(SimpleNamespace(composition=None, structure=None, oxidation=found))
    assert list(panels)[:4] == ["valence-Mn", "valence-error-Mn", "valence-shells-Mn", "spectra-Mn"]
    figure = panels["valence-error-Mn"].draw(0, 0)
    shown = figure.axes[0].images[0]
    assert np.nanmax(shown.get_array().filled(np.nan)) == pytest.approx(0.02), (
        "pixels without a valence are empty"
    )
    assert figure.get_size_inches()[0] == pytest.approx(3.5)
    assert figure.axes[1].get_ylabel() == "Mn valence, standard error"


def test_panels_over_states_are_chosen_by_name(sample, tmp_path, capsys):
    other = tmp_path / "pristine"
    write_composition(other, shape=(20, 26, 26))
    groups = ["--group", "fresh", str(other), "--group", "4.8V", str(sample)]
    words = ["report", *groups, "--figures", str(tmp_path / "out"), "--panel", "classes-over-states"]
    assert main(words) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"classes_over_states.{end}" for end in ("pdf", "png", "svg")
    ]
    capsys.readouterr()
    assert (
        main(["report", str(sample), "--figures", str(tmp_path / "one"), "--panel", "classes-over-states"])
        == 2
    )
    assert "two groups or more" in capsys.readouterr().err
    assert main([*words[:-1], "valence-over-states"]) == 2
    assert "none that have it" in capsys.readouterr().err


def test_labels_of_logarithmic_axes_are_text():
    figure = new_figure(2, 2)
    axes = figure.add_subplot()
    axes.plot([1, 2], [1e-16, 3e-13])
    axes.set_yscale("log")
    to_png(figure)
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert "10⁻¹⁵" in shown
    assert not any("$" in label for label in shown)


def test_valence_over_states_shows_maps_and_profiles():
    states = {"pristine": [oxidation_of(3.9)], "4.8 V": [oxidation_of(3.2, ("Mn",)), oxidation_of(3.3)]}
    figure = valence_states(states)
    images = [axes for axes in figure.axes if axes.images and axes.get_ylabel().startswith("y")]
    assert len(images) == 3, "Mn of both states, Ni of the first particles only"
    limits = {axes.images[0].get_clim() for axes in images[:2]}
    assert len(limits) == 1, "one scale for all states of an element"
    profiles = [
        axes for axes in figure.axes if axes.get_ylabel() in ("Mn valence", "Ni valence") and axes.lines
    ]
    drawn = [line.get_ydata() for line in profiles[0].lines if len(line.get_ydata()) == 5]
    assert {round(float(values[0]), 2) for values in drawn} >= {3.5, 2.8, 2.9}
