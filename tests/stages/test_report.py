import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from report_results import (
    NULL,
    context,
    page_of,
    phases_json,
    pictures,
    titles,
    write_align,
    write_areal_density,
    write_composition,
    write_tomogram,
)

from oxytomo.errors import InputError, StoreError
from oxytomo.stages.shared import report
from oxytomo.stages.shared.report import Settings
from oxytomo.view.sample_page import write_report


class Balance(HTMLParser):
    """Collects tags that are opened and not closed."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img", "br", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def composition_page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "particle_a"
    folder.mkdir()
    write_composition(folder)
    return page_of(folder)


@pytest.fixture
def words_only(monkeypatch):
    """Leave the pictures of a page out: they take most of its time, and the test reads its words."""
    monkeypatch.setattr("oxytomo.view.report.to_png", lambda figure: b"\x89PNG")


def test_fractions_with_interval_and_null_stand_in_the_summary(composition_page):
    summary = composition_page.split('id="summary"')[1].split("</section>")[0]
    for text in (
        "71.2 % is target (95 % interval 70.1 to 72.3 %; null run 97.8 %)",
        "18.3 % is oxygen-poor (95 % interval 17.2 to 19.5 %; null run 1.1 %)",
        "10.4 % is oxygen-rich (95 % interval 9.9 to 11.0 %; null run 1.1 %)",
        "For 25.9 % of the volume the noise is too large to decide.",
        "10 nm",
    ):
        assert text in summary


def test_every_number_has_a_definition_beside_it(composition_page):
    rows = re.findall(r'<td class="definition">(.*?)</td>', composition_page)
    values = re.findall(r'<tr><td class="quantity">[^<]+</td><td class="value(?: long)?">', composition_page)
    assert len(rows) == len(values) >= 8
    assert all(len(text) > 4 for text in rows)


def test_tables_show_shells_domains_and_interconnection(composition_page):
    for text in (
        *("6.5 % ± 0.21 %", "−1.2 % ± 0.19 %", "4321", "620", "111, 222, 333", "17", "43.2 %"),
        # Mean deviations of domains; without replicates there is no error.
        *("−12.3 % ± 1.1 %", "9.9 %"),
        # Metals of the classes: the whole class, a shell, and one without an error.
        *("−20.1 % ± 3.1 %", "−18.0 %", "50–100 %"),
    ):
        assert f">{text}<" in composition_page


def test_every_picture_is_there_and_not_blank(composition_page, tmp_path):
    from matplotlib.image import imread

    assert titles(composition_page) == [
        "Classes in 3D and the most telling slice",
        "Class fractions",
        "Distribution of the deviation",
        "TM/O deviation",
        "Classes",
        "Classes that noise leaves certain",
        "From rim to centre",
        "O density",
        "Mn density",
        "Transition metals against oxygen",
        "Shifts",
        "Misfit of each frame",
        "Before and after",
        "Frames to look at",
    ]
    for number, content in enumerate(pictures(composition_page)):
        path = tmp_path / f"{number}.png"
        path.write_bytes(content)
        assert imread(path)[..., :3].std() > 0.05


def test_page_is_self_contained_and_well_formed(composition_page):
    without_pictures = re.sub(r"base64,[^\"]+|\"png\":\"[^\"]+", "", composition_page)
    assert not re.search(
        r"https?://|//[a-z]+\.|<script[^>]* src|<link|@import|url\(|fetch\(|XMLHttp", without_pictures
    )
    assert "prefers-color-scheme: dark" in composition_page
    assert "@media print" in composition_page
    parser = Balance()
    parser.feed(without_pictures)
    assert parser.open == []


@pytest.mark.usefixtures("words_only")
def test_rendered_scenes_are_linked_from_the_page_beside_them(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    write_composition(folder)
    (folder / "renders").mkdir()
    (folder / "renders" / "composition.html").write_text("<!doctype html>")
    write_report(folder, folder / "report.html")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert 'href="renders/composition.html"' in page
    assert "renders/structure.html" not in page, "not rendered"
    # From another place the address would lead nowhere.
    write_report(folder, tmp_path / "elsewhere.html")
    assert "renders/" not in (tmp_path / "elsewhere.html").read_text(encoding="utf-8")


def test_a_sound_sample_has_no_warnings(composition_page):
    assert "No warnings" in composition_page
    assert "class fractions against the null run" in composition_page


@pytest.mark.usefixtures("words_only")
def test_what_is_missing_is_no_clean_bill(tmp_path):
    """'No warnings. Checked: class fractions against the null run' would be false."""
    write_composition(tmp_path / "a")
    (tmp_path / "a" / "phases.json").unlink()
    page = page_of(tmp_path / "a")
    assert "No warnings" not in page
    assert "phases.json is missing: fractions against the null run" in page
    assert "The store of the alignment is missing" not in page
    write_composition(tmp_path / "b")
    for store in ("align", "uncertainty"):
        shutil.rmtree(tmp_path / "b" / "stages" / "composition" / f"{store}.zarr")
    page = page_of(tmp_path / "b")
    assert "There is no σ of the voxels" in page
    assert "The store of the alignment is missing: tilts and alignment were not tested" in page
    assert "phases.json is missing" not in page


def test_provenance_names_stage_settings_and_digests(composition_page):
    part = composition_page.split('id="provenance"')[1]
    for text in (
        "composition reconstruct",
        "&#34;iterations&#34;: 137",
        "/data/raw/O_K_pre.h5",
        "sha256-of-align",
    ):
        assert text in part
    assert composition_page.index('id="provenance"') > composition_page.rindex("<img")


@pytest.mark.usefixtures("words_only")
def test_warnings_come_first_and_name_the_numbers(tmp_path):
    folder = tmp_path / "a"
    write_composition(folder)
    loud = {**NULL, "oxygen_rich": {"value": 0.1011, "ci95": None}, "oxygen_poor": {"value": 0.11}}
    content = phases_json(
        null={"runs": 1, "fractions": loud},
        invalid_rays={"unsolved": 1077, "n_rays": 10_000},
    )
    (folder / "phases.json").write_text(json.dumps(content))
    page = page_of(folder)
    # The light and the number of warnings stand before the first number and the first picture.
    assert page.index("Read this first: 3 warnings") < page.index('class="verdict"') < page.index("<img")
    assert page.index('id="warnings"') < page.index('id="summary"')
    assert 'class="light amber"' in page
    for text in (
        "The oxygen-rich fraction (10.4 %) is no larger than in the null run (10.1 %): do not interpret it.",
        "More than half of the oxygen-poor fraction (18.3 %) may be noise",
        "10.8 % of pixels could not be used (dead, too dark or outside the field).",
        "18.3 % is oxygen-poor, more than noise can make; oxygen-rich regions are no more than noise can make.",
    ):
        assert text in page


@pytest.mark.usefixtures("words_only")
def test_few_tilts_and_a_poor_alignment_are_warned_of(tmp_path):
    folder = tmp_path / "a"
    write_composition(folder)
    write_align(
        folder / "stages/composition/align.zarr",
        (24, 30, 30),
        series=("O", "Mn"),
        quantity="signal",
        tilt_deg=np.linspace(-40, 35, 16),
        rng=np.random.default_rng(0),
        residual=0.45,
    )
    page = page_of(folder)
    for text in ("only 16 tilts", "span only 75°", "missing wedge of 105°", "by 45.0 % of their contrast"):
        assert text in page


@pytest.mark.usefixtures("words_only")
def test_without_null_run_and_tables_the_page_says_so(tmp_path):
    folder = tmp_path / "a"
    write_composition(folder, null=False, tables=False)
    (folder / "phases.json").write_text(
        json.dumps(phases_json(null={"runs": 0, "fractions": {}}, replicates=0))
    )
    page = page_of(folder)
    assert "There is no null run" in page
    assert "fewer than two noise replicates" in page
    assert "From rim to centre" not in titles(page)


@pytest.mark.usefixtures("words_only")
def test_missing_stores_are_left_out(tmp_path):
    folder = tmp_path / "a"
    write_composition(folder, tables=False)
    for name in ("uncertainty", "classify", "align", "decompose"):
        (folder / f"stages/composition/{name}.zarr").rename(tmp_path / name)
    page = page_of(folder)
    assert titles(page)[:2] == ["Distribution of the deviation", "TM/O deviation"]
    assert "Classes" not in titles(page)


@pytest.mark.usefixtures("words_only")
def test_all_branches_share_one_page(tmp_path):
    folder = tmp_path / "a"
    write_composition(folder)
    write_areal_density(folder)
    write_tomogram(folder)
    page = page_of(folder, ("composition", "areal_density", "tomogram"))
    assert {"Class fractions", "Areal density", "Optical density", "Volume"} <= set(titles(page))
    assert "24 × 30 × 30 voxels" in page
    assert "signal per length" in page
    assert "Composition, areal density, tomogram" in page


def test_single_stores_can_be_given_by_key(tmp_path):
    folder = tmp_path / "a"
    write_tomogram(folder)
    store = folder / "stages/tomogram/reconstruct.zarr"
    output = tmp_path / "report.html"
    settings = Settings(sample="b", branches=("tomogram",))
    report.run({"tomogram_reconstruct": store}, {"report": output}, settings, context())
    assert titles(output.read_text()) == ["Volume"]


@pytest.mark.usefixtures("words_only")
def test_report_can_be_written_from_the_folder_alone(tmp_path):
    folder = tmp_path / "grain_7"
    write_tomogram(folder, n_tilt=40)
    write_report(folder, folder / "report.html")
    page = (folder / "report.html").read_text()
    assert "<h1>grain_7</h1>" in page
    assert "only 40 tilts" in page


def test_text_from_files_is_escaped(tmp_path):
    folder = tmp_path / "a"
    write_areal_density(folder)
    write_align(
        folder / "stages/areal_density/align.zarr",
        (24, 30, 30),
        series=("<b>O</b>", "$x_{1}^2$"),
        quantity="signal",
        tilt_deg=np.zeros(1),
        rng=np.random.default_rng(0),
    )
    page = page_of(folder, ("areal_density",))
    assert "<b>O</b>" not in page
    assert "&lt;b&gt;O&lt;/b&gt;" in page


def test_an_empty_folder_is_one_line(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match=r"no results of composition in it\. Likely fix: give the folder"):
        page_of(tmp_path / "a")
    with pytest.raises(InputError, match="nothing there"):
        page_of(tmp_path / "absent")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("phases.json", "{"),
        ("phases.json", "[1]"),
        ("composition_shells.csv", "shell,mean_deviation\n1,0.1,5\n"),
        ("domains.csv", "class,volume_nm3\nx\n"),
    ],
)
def test_a_damaged_table_is_one_line_and_no_page(tmp_path, name, text):
    folder = tmp_path / "a"
    write_composition(folder)
    (folder / name).write_text(text)
    with pytest.raises(StoreError, match=rf"{name}: expected a (JSON|table)"):
        page_of(folder)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.usefixtures("words_only")
def test_with_several_branches_warnings_and_headings_name_theirs(tmp_path):
    folder = tmp_path / "a"
    write_areal_density(folder)
    write_tomogram(folder, n_tilt=40)
    page = page_of(folder, ("areal_density", "tomogram"))
    assert "<li>Tomogram: There are only 40 tilts" in page
    for heading in ("Areal density", "Areal density: Alignment and data quality", "Tomogram"):
        assert f"<h2>{heading}</h2>" in page


def test_the_alignment_says_its_verdict_and_its_numbers(composition_page):
    for text in (
        "A verdict; frame 3 looks bad.",
        "0.012 px (dy), 0.034 px (dx)",
        "(−0.310 ± 0.020)°, corrected",
    ):
        assert text in composition_page


def test_an_alignment_alone_has_a_page(tmp_path):
    folder = tmp_path / "a"
    write_align(
        folder / "stages/composition/align.zarr",
        (24, 30, 30),
        series=("O", "Mn"),
        quantity="signal",
        tilt_deg=np.linspace(-60, 60, 61),
        rng=np.random.default_rng(0),
        warnings=["Left out, blank: frame 1 (5°)."],
    )
    page = page_of(folder)
    assert titles(page) == ["Shifts", "Misfit of each frame", "Before and after", "Frames to look at"]
    assert "Left out, blank: frame 1" in page
