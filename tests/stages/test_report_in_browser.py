"""The pages as a browser shows them: on screen, in the dark, on paper, to colour-blind eyes, and without a network."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, chromium, needs_chromium
from compared_samples import write_composition_tables, write_structure_tables
from matplotlib.colors import to_rgb
from report_results import page_of, phases_json, write_composition
from skimage.color import deltaE_ciede2000, rgb2lab

from oxytomo.io.tables import write_json
from oxytomo.view.comparison_page import write_comparison
from oxytomo.view.style import CLASS_COLORS, CLASS_NAMES

pytestmark = [pytest.mark.slow, needs_chromium]
WIDTH = 1100
CERTAIN = 'img[alt="Classes that noise leaves certain"]'
LONGEST_LOAD_S, LARGEST_BYTES = 2.0, 5_000_000
APART = 10.0
"""CIEDE2000; about ten times what is just noticeable side by side."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results") / "particle_a"
    folder.mkdir()
    write_composition(folder)
    curve = {
        "resolution_nm": 26.7,
        "frequency_per_nm": [0.01, 0.02],
        "correlation": [1.0, 0.1],
        "half_bit": [0.3, 0.2],
    }
    # Its long value once pushed intervals and definitions off the page.
    content = phases_json(resolution=dict.fromkeys(("all", "tilt_axis", "across_beam", "along_beam"), curve))
    write_json(folder / "phases.json", content)
    page_of(folder)
    return folder.parent / "report.html"


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    groups: dict[str, list[Path]] = {"discharged": [], "charged": []}
    for group, number in itertools.product(groups, range(2)):
        sample = folder / f"{group}_{number}"
        (sample / "stages").mkdir(parents=True)
        write_composition_tables(sample, 0.05 + 0.1 * (group == "charged") + 0.01 * number)
        write_structure_tables(sample, 0.02 + 0.01 * number)
        groups[group].append(sample)
    write_comparison(groups, folder / "comparison.html")
    return folder / "comparison.html"


def near(image: np.ndarray, color: str) -> np.ndarray:
    """Return where an image has a colour, to two steps of 255."""
    return (np.abs(image.astype(int) - np.round(255 * np.array(to_rgb(color)))) <= 2).all(axis=-1)


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_page_is_quick_quiet_and_alone(name: str, browser: Browser, request: pytest.FixtureRequest) -> None:
    page: Path = request.getfixturevalue(name)
    assert page.stat().st_size <= LARGEST_BYTES
    seen = browser.open(page, width=WIDTH)
    assert [url for url in seen.requests if not url.startswith("data:")] == [page.resolve().as_uri()]
    assert seen.errors == []
    assert seen.load_s <= LONGEST_LOAD_S
    loaded = "[...document.images].every(image => image.complete && image.naturalWidth > 100)"
    assert browser.value(loaded)


@pytest.mark.parametrize("width", [WIDTH, 400])
@pytest.mark.parametrize("name", ["report", "comparison"])
def test_nothing_is_cut_at_the_side(
    name: str, width: int, browser: Browser, request: pytest.FixtureRequest
) -> None:
    browser.open(request.getfixturevalue(name), width=width)
    assert browser.value("document.documentElement.scrollWidth") == width
    if width == WIDTH:
        # Definitions stand beside their numbers without scrolling.
        assert browser.value(
            "[...document.querySelectorAll('td.definition')].every(e => e.getBoundingClientRect().right <= innerWidth)"
        )


def test_class_colours_stand_where_the_classes_are(report: Path, browser: Browser) -> None:
    browser.open(report, width=WIDTH)
    inside = browser.picture(CERTAIN)
    for label, name in CLASS_NAMES.items():
        assert near(inside, CLASS_COLORS[label]).mean() > 0.005, name
    assert near(browser.picture("#warnings"), "#eef6ef").mean() > 0.5


def test_dark_paper_when_the_system_is_dark(report: Path, browser: Browser) -> None:
    browser.open(report, width=WIDTH, dark=True)
    summary = browser.picture("#summary")
    assert near(summary, "#16181c").mean() > 0.6
    assert (summary.min(axis=-1) > 200).mean() > 0.01
    assert near(browser.picture('img[alt="Classes"]'), "#ffffff").mean() > 0.2


@pytest.mark.parametrize("deficiency", ["deuteranopia", "protanopia", "tritanopia"])
def test_classes_stay_apart_to_colour_blind_eyes(deficiency: str, report: Path, browser: Browser) -> None:
    browser.open(report, width=WIDTH)
    image = browser.picture(CERTAIN)
    where = {label: near(image, CLASS_COLORS[label]) for label in CLASS_NAMES}
    browser.open(report, width=WIDTH, deficiency=deficiency)
    seen = browser.picture(CERTAIN)
    assert not np.array_equal(seen, image)
    colors = {label: rgb2lab(np.median(seen[mask], axis=0) / 255) for label, mask in where.items()}
    for one, other in itertools.combinations(colors, 2):
        assert deltaE_ciede2000(colors[one], colors[other]) > APART, (CLASS_NAMES[one], CLASS_NAMES[other])


def test_numbers_have_their_definition_on_hover(report: Path, browser: Browser) -> None:
    browser.open(report, width=WIDTH)
    titles = browser.value("[...document.querySelectorAll('th abbr')].map(e => e.title.length)")
    assert len(titles) >= 5
    assert min(titles) > 20


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_page_prints_in_black_on_white_with_every_column(
    name: str, browser: Browser, request: pytest.FixtureRequest
) -> None:
    browser.open(request.getfixturevalue(name), width=WIDTH)
    printed = browser.pdf()
    assert printed.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 12
    browser.open(request.getfixturevalue(name), width=718, dark=True)
    browser.call("Emulation.setEmulatedMedia", media="print")
    summary = browser.picture("#summary")
    assert near(summary, "#ffffff").mean() > 0.6
    assert near(summary, "#000000").mean() > 0.005
    # 718 px is a page of 210 mm with margins of 10 mm.
    assert browser.value("document.documentElement.scrollWidth") == 718


def test_slices_are_moved_with_the_keyboard(report: Path, browser: Browser) -> None:
    """Three cuts, whose pictures and numbers follow the sliders and the choice of the layer."""
    browser.open(report, width=WIDTH)
    shown = "!document.querySelector('.explorer .interactive').hidden"
    assert browser.value(
        f"new Promise(done => {{const w = () => {shown} ? done(true) : setTimeout(w, 20); w()}})"
    )
    cut = '.explorer canvas[data-axis="z"]'
    reading = "document.querySelector('.explorer .reading').textContent"
    place = "document.querySelector('.explorer output[data-place=z]').textContent"
    before, said, at = browser.picture(cut), browser.value(reading), browser.value(place)
    assert np.unique(before.reshape(-1, 3), axis=0).shape[0] > 20
    browser.value("document.querySelector('.explorer [data-slider=z]').focus()")
    for kind in ("rawKeyDown", "keyUp"):
        browser.call(
            "Input.dispatchKeyEvent", type=kind, key="ArrowRight", code="ArrowRight", windowsVirtualKeyCode=39
        )
    # Voxels of 10 nm: the next slice is 0.01 µm further.
    assert float(browser.value(place)) == pytest.approx(float(at) + 0.01, abs=0.001)
    assert browser.value(reading) != said
    assert not np.array_equal(browser.picture(cut), before)
    for name in ("deviation", "σ", "null run", "classes"):
        assert name in browser.value(reading)
    browser.value("document.querySelector('.explorer input[value=classes]').click()")
    colors = browser.picture(cut)
    assert near(colors, CLASS_COLORS[1]).mean() > 0.1


def test_slices_do_not_print_and_their_pictures_do(report: Path, browser: Browser) -> None:
    browser.open(report, width=718)
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.value("document.querySelector('.explorer').offsetHeight") == 0
    still = """document.querySelector('img[alt="TM/O deviation"]').offsetHeight"""
    assert browser.value(still) > 200


def test_contents_lead_to_every_section(report: Path, browser: Browser) -> None:
    browser.open(report, width=WIDTH)
    assert browser.value(
        "[...document.querySelectorAll('.contents a')].every(a => document.querySelectorAll(a.getAttribute('href')).length === 1)"
    )
    assert browser.value("document.querySelectorAll('.contents a').length") >= 5
    # Tables are as wide as the page, and the cells of numbers are cells, not cards.
    assert browser.value(
        "[...document.querySelectorAll('.scroll')].every(e => e.scrollWidth <= e.clientWidth)"
    )
    assert browser.value("getComputedStyle(document.querySelector('td.number')).borderLeftWidth") == "0px"
    # Verdict, numbers and picture are on the first screen of a laptop.
    assert browser.value("document.querySelector('.verdict').getBoundingClientRect().bottom") < 300
    assert browser.value("document.querySelector('.numbers').getBoundingClientRect().bottom") < 450
