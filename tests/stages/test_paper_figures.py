"""Figures for a paper: chosen panels and slices, fonts that are in the file, figures over states of charge."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from report_results import write_composition

from oxytomo.cli import main
from oxytomo.errors import ConfigError
from oxytomo.view.paper import slice_at, write_panels
from oxytomo.view.paper_comparison import valence_states, write_state_figures
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
