import base64
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest

from oxytomo import palette
from oxytomo.errors import InputError, StoreError
from oxytomo.io.stores import NamedArray, Provenance, write_store
from oxytomo.results import checks
from oxytomo.results.fractions import Fraction
from oxytomo.results.records import Alignment
from oxytomo.stages.context import StageContext
from oxytomo.stages.shared import report
from oxytomo.stages.shared.report import Settings
from oxytomo.view import curves, slices, style
from oxytomo.view.sample_page import write_report
from oxytomo.view.slices import centre_cuts

VOLUME = ("z", "y", "x")
FRACTIONS = {
    "target": {"value": 0.7123, "ci95": [0.7011, 0.7233]},
    "oxygen_poor": {"value": 0.1834, "ci95": [0.1722, 0.1948]},
    "oxygen_rich": {"value": 0.1043, "ci95": [0.0987, 0.1099]},
}
NULL = {
    "target": {"value": 0.9777, "ci95": None},
    "oxygen_poor": {"value": 0.0113, "ci95": None},
    "oxygen_rich": {"value": 0.0108, "ci95": None},
}
CONFIDENT = {
    "target": {"value": 0.5012},
    "oxygen_poor": {"value": 0.1501},
    "oxygen_rich": {"value": 0.0902},
    "undecided": {"value": 0.2587},
}


def provenance(stage, **settings):
    inputs = {"raw": {"path": "/data/raw/O_K_pre.h5", "digest": f"sha256-of-{stage}"}}
    return Provenance(stage, 1, settings, inputs, "0.1.0", "2026-01-02T03:04:05Z")


def phases_json(**changes):
    content = {
        "threshold": 0.05,
        "voxel_nm": 10.0,
        "reference_tm_o": 1.0,
        "particle_volume_nm3": 2.5e9,
        "fractions": FRACTIONS,
        "null": {"runs": 1, "fractions": NULL},
        "confident": {"confidence": 0.95, "fractions": CONFIDENT},
        "domains": {"oxygen_rich": {"n_domains": 17, "largest_share": 0.4321, "spanning": True}},
        "invalid_rays": {"unsolved": 10, "n_rays": 10_000, "by_series": {}},
        "replicates": 4,
        "association": {
            "oxygen_rich": {
                "Mn": {
                    "value": -0.2012,
                    "standard_error": 0.0312,
                    "shells": [
                        {"value": None, "standard_error": None},
                        {"value": -0.18, "standard_error": None},
                    ],
                }
            }
        },
    }
    return content | changes


def make_particle(shape, rng):
    grid = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    radius = np.sqrt(sum((axis / size) ** 2 for axis, size in zip(grid, (0.8, 0.7, 0.75), strict=True)))
    particle = radius < 1
    deviation = 0.11 * (radius > 0.9) - 0.1 * (grid[2] > 0.35) + rng.normal(0, 0.015, shape)
    return particle, np.where(particle, deviation, np.nan).astype(np.float32)


def write_align(path, shape, *, series, quantity, tilt_deg, rng, residual=0.05, warnings=()):
    n_series, n_tilt, (n_z, _, n_x) = len(series), tilt_deg.size, shape
    value = rng.random((n_series, n_tilt, n_z, n_x)).astype(np.float32)
    value[:, 0, :, :3] = np.nan
    write_store(
        path,
        {
            "value": NamedArray(value, ("series", "tilt", "y", "x"), "1"),
            "variance": NamedArray(np.abs(value) * 0.01, ("series", "tilt", "y", "x"), "1"),
            "tilt_deg": NamedArray(tilt_deg, ("tilt",), "degree"),
            "dy_px": NamedArray(rng.normal(size=(n_series, n_tilt)), ("series", "tilt"), "pixel"),
            "dx_px": NamedArray(rng.normal(size=(n_series, n_tilt)), ("series", "tilt"), "pixel"),
            "frame": NamedArray(np.arange(n_tilt), ("tilt",), "1"),
            "residual": NamedArray(np.full(n_tilt, residual), ("tilt",), "1"),
            "residual_as_recorded": NamedArray(np.full(n_tilt, 2 * residual), ("tilt",), "1"),
            "row": NamedArray(rng.random((2, n_tilt, n_x)).astype(np.float32), ("state", "tilt", "x"), "1"),
            "slice": NamedArray(rng.random((2, n_x, n_x)).astype(np.float32), ("state", "y", "x"), "1/pixel"),
            "shown_frames": NamedArray(
                rng.random((2, n_z, n_x)).astype(np.float32), ("shown", "y", "x"), "1"
            ),
            "shown_frame_numbers": NamedArray(np.array([3, 1]), ("shown",), "1"),
        },
        provenance=provenance("align", max_shift_px=20.0),
        attributes={
            "series": list(series),
            "energies_ev": [530.0] * n_series,
            "pixel_nm": 10.0,
            "quantity": quantity,
            "invalid": {name: {"hot": 5, "opaque": 7} for name in series},
            "n_pixels": dict.fromkeys(series, 1000),
            "quality": {
                "last_move_px": 0.01,
                "precision_px": [0.012, 0.034],
                "axis_tilt_deg": -0.31,
                "axis_tilt_error_deg": 0.02,
                "applied_axis_tilt_deg": -0.31,
                "verdict": "A verdict; frame 3 looks bad.",
                "warnings": list(warnings),
                "suspicious_frames": [3],
            },
        },
    )


def write_decompose(path, shape, *, tilt_deg, rng):
    n_z, _, n_x = shape
    areal = rng.random((2, tilt_deg.size, n_z, n_x)).astype(np.float32)
    covariance = np.stack([areal[0] * 0.01 + 0.01, areal[0] * 0, areal[1] * 0.04 + 0.01])
    covariance[:, :, 0, 0] = np.inf
    write_store(
        path,
        {
            "areal": NamedArray(areal, ("element", "tilt", "y", "x"), "micrometer"),
            "covariance": NamedArray(covariance, ("pair", "tilt", "y", "x"), "micrometer^2"),
            "tilt_deg": NamedArray(tilt_deg, ("tilt",), "degree"),
        },
        provenance=provenance("decompose", method="weighted"),
        attributes={"elements": ["O", "Mn"], "atoms": [2.0, 1.0], "pixel_nm": 10.0},
    )


def write_composition(folder, shape=(24, 30, 30), *, null=True, tables=True):
    rng = np.random.default_rng(5)
    stages = folder / "stages/composition"
    tilt_deg = np.linspace(-65, 65, 66)
    particle, deviation = make_particle(shape, rng)
    oxygen = np.where(particle, 1 + 0.05 * rng.normal(size=shape), 0)
    metal = np.where(particle, oxygen * (1 + deviation), 0)
    series = ("O_pre", "O_post", "Mn_pre", "Mn_post")
    write_align(
        stages / "align.zarr", shape, series=series, quantity="optical_density", tilt_deg=tilt_deg, rng=rng
    )
    write_decompose(stages / "decompose.zarr", shape, tilt_deg=tilt_deg, rng=rng)
    write_store(
        stages / "reconstruct.zarr",
        {
            "elements": NamedArray(np.stack([oxygen, metal]).astype(np.float32), ("element", *VOLUME), "1"),
            "deviation": NamedArray(deviation, VOLUME, "1"),
            "particle": NamedArray(particle, VOLUME, "1"),
        },
        provenance=provenance("reconstruct", solver={"method": "deviation", "iterations": 137}),
        attributes={
            "elements": ["O", "Mn"],
            "atoms": [2.0, 1.0],
            "pixel_nm": 10.0,
            "reference_tm_o": 1.0,
            "solver": {"method": "deviation"},
        },
    )
    runs = rng.normal(0, 0.02, (1 if null else 0, *shape)).astype(np.float16)
    sigma = np.where(particle, 0.02, np.nan).astype(np.float32)
    write_store(
        stages / "uncertainty.zarr",
        {
            "deviation_sigma": NamedArray(sigma, VOLUME, "1"),
            "null": NamedArray(runs, ("replicate", *VOLUME), "1"),
        },
        provenance=provenance("uncertainty"),
        attributes={"pixel_nm": 10.0},
    )
    phases = np.where(particle, 1 + (deviation > 0.05) + 2 * (deviation < -0.05), 0).astype(np.uint8)
    confident = np.where(np.abs(np.abs(deviation) - 0.05) < 0.02, 4, phases).astype(np.uint8)
    write_store(
        stages / "classify.zarr",
        {"phases": NamedArray(phases, VOLUME, "1"), "phases_confident": NamedArray(confident, VOLUME, "1")},
        provenance=provenance("classify"),
        attributes={"threshold": 0.05, "pixel_nm": 10.0},
    )
    if tables:
        (folder / "phases.json").write_text(json.dumps(phases_json()))
        (folder / "composition_shells.csv").write_text(
            "shell,shell_outer,shell_inner,mean_deviation,standard_error,n_voxels,target,oxygen_poor,oxygen_rich\n"
            "1,0,50,0.0654,0.0021,4321,0.3,0.6,0.1\n"
            "2,50,100,-0.0123,0.0019,4322,0.8,0.05,0.15\n"
        )
        (folder / "domains.csv").write_text(
            "class,volume_nm3,equivalent_diameter_nm,centroid_z_nm,centroid_y_nm,centroid_x_nm,depth_nm,"
            "mean_deviation,mean_deviation_error\n"
            "target,9e8,1197.9,120,150,150,300,0.001,0.0005\n"
            "oxygen_rich,1.25e8,620.35,111,222,333,44.4,-0.1234,0.0112\n"
            "oxygen_poor,1e8,576,1011,2022,3033,144.4,0.0987,\n"
        )


def write_areal_density(folder, shape=(24, 30, 30)):
    rng = np.random.default_rng(6)
    stages = folder / "stages/areal_density"
    one = np.zeros(1)
    series = ("O_pre", "O_post")
    write_align(
        stages / "align.zarr", shape, series=series, quantity="optical_density", tilt_deg=one, rng=rng
    )
    write_decompose(stages / "decompose.zarr", shape, tilt_deg=one, rng=rng)


def write_tomogram(folder, shape=(24, 30, 30), *, n_tilt=91):
    rng = np.random.default_rng(7)
    stages = folder / "stages/tomogram"
    tilt_deg = np.linspace(-90, 90, n_tilt)
    write_align(
        stages / "align.zarr", shape, series=("signal",), quantity="signal", tilt_deg=tilt_deg, rng=rng
    )
    write_store(
        stages / "reconstruct.zarr",
        {"volume": NamedArray(rng.random(shape).astype(np.float32), VOLUME, "signal/micrometer")},
        provenance=provenance("reconstruct_tomogram"),
        attributes={"pixel_nm": 10.0, "algorithm": "fbp"},
    )


def context():
    return StageContext(stage="report", version=1, threads=1, settings_json={})


def page_of(folder, branches=("composition",), **inputs):
    output = folder.parent / "report.html"
    report.run(
        {"results": folder, **inputs},
        {"report": output},
        Settings(sample="particle_a", branches=branches),
        context(),
    )
    return output.read_text(encoding="utf-8")


def pictures(page):
    return [base64.b64decode(code) for code in re.findall(r'src="data:image/png;base64,([^"]+)"', page)]


def titles(page):
    return re.findall(r'<img [^>]*alt="([^"]+)"', page)


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


def test_missing_stores_are_left_out(tmp_path):
    folder = tmp_path / "a"
    write_composition(folder, tables=False)
    for name in ("uncertainty", "classify", "align", "decompose"):
        (folder / f"stages/composition/{name}.zarr").rename(tmp_path / name)
    page = page_of(folder)
    assert titles(page)[:2] == ["Distribution of the deviation", "TM/O deviation"]
    assert "Classes" not in titles(page)


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


def test_with_several_branches_warnings_and_headings_name_theirs(tmp_path):
    folder = tmp_path / "a"
    write_areal_density(folder)
    write_tomogram(folder, n_tilt=40)
    page = page_of(folder, ("areal_density", "tomogram"))
    assert "<li>Tomogram: There are only 40 tilts" in page
    for heading in ("Areal density", "Areal density: Alignment and data quality", "Tomogram"):
        assert f"<h2>{heading}</h2>" in page


# The pieces


def test_exported_labels_and_figures_share_names_and_colours():
    for value, name in palette.CONFIDENT_NAMES.items():
        if value:
            assert style.CLASS_NAMES[value] == name
    for value in (1, 2, 3):
        red, green, blue, _ = palette.PHASE_COLORS[value]
        assert style.CLASS_COLORS[value] == f"#{red:02x}{green:02x}{blue:02x}"


@pytest.mark.parametrize(
    ("width_nm", "bar_nm"), [(1000, 200), (1500, 200), (2600, 500), (90, 10), (60_000, 10_000)]
)
def test_scale_bar_is_a_round_length_near_a_fifth_of_the_width(width_nm, bar_nm):
    assert style.scale_bar_length_nm(width_nm) == pytest.approx(bar_nm)


def test_lengths_and_fractions_as_text():
    assert style.format_length(2000) == "2 µm"
    assert style.format_length(500) == "500 nm"
    assert style.percent(0.12345) == "12.3 %"
    assert style.percent(-0.00123) == "−0.12 %"
    assert style.percent(float("nan")) == "unknown"
    assert style.percent_setting(0.05) == "5 %"


def test_cuts_go_through_the_centre_and_are_cropped_to_the_particle():
    volume = np.arange(20 * 30 * 40, dtype=np.float32).reshape(20, 30, 40)
    particle = np.zeros(volume.shape, bool)
    particle[4:11, 10:21, 25:36] = True
    along_z, along_y, along_x = centre_cuts(volume, particle, voxel_nm=100.0)
    np.testing.assert_array_equal(along_z.image, volume[7, 6:25, 21:40])
    np.testing.assert_array_equal(along_y.image, volume[0:15, 15, 21:40])
    np.testing.assert_array_equal(along_x.image, volume[0:15, 6:25, 30])
    assert (along_z.across, along_z.down, along_z.title) == ("x", "y", "z = 0.70 µm")
    assert (along_x.across, along_x.down) == ("y", "z")


def alignment(**changes):
    common = {
        "tilt_deg": np.linspace(-65, 65, 131),
        "dy_px": np.zeros((2, 131)),
        "dx_px": np.zeros((2, 131)),
        "residual": np.full(131, 0.05),
        "series": ("O", "Mn"),
        "pixel_nm": 10.0,
        "max_shift_px": 20.0,
    }
    return Alignment(**(common | changes))


def test_a_good_alignment_passes_whatever_the_offset_of_the_axis():
    assert checks.check_alignment(alignment(dx_px=np.full((2, 131), 60.0))) == []


def test_shifts_at_the_limit_of_the_search_are_warned_of():
    dx = np.zeros((2, 131))
    dx[1, 7] = -19.9
    assert "Shifts reach 19.9 px" in checks.check_alignment(alignment(dx_px=dx))[0]


def test_what_the_alignment_itself_warns_of_comes_first():
    quality = {"warnings": ["Left out, blank: frame 7 (3°)."], "last_move_px": 0.7}
    assert checks.check_alignment(alignment(quality=quality))[0] == "Left out, blank: frame 7 (3°)."


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


def test_an_alignment_that_has_not_settled_is_warned_of():
    (warning,) = checks.check_alignment(alignment(quality={"last_move_px": 0.7}))
    assert "still moving by 0.70 px" in warning


def test_many_invalid_pixels_are_named_with_their_reason():
    found = checks.check_invalid(
        alignment(
            invalid={"O": {"hot": 10, "opaque": 190}, "Mn": {"hot": 10}}, n_pixels={"O": 1000, "Mn": 1000}
        ),
        None,
    )
    assert found == ["20.0 % of the pixels of O could not be used, most of them: opaque."]


def test_a_particle_at_the_edge_is_warned_of():
    particle = np.zeros((5, 5, 5), bool)
    particle[2:, 2, 2] = True
    found = checks.check_particle(particle, np.zeros((5, 5, 5), np.float32))
    assert len(found) == 1
    assert "edge of the volume (high z)" in found[0]


def test_an_empty_particle_and_unknown_deviations_are_warned_of():
    nothing = np.zeros((5, 5, 5), bool)
    unknown = np.full((5, 5, 5), np.nan, np.float32)
    assert checks.check_particle(nothing, unknown) == ["No particle was found."]
    nothing[2, 2, 2] = True
    assert checks.check_particle(nothing, unknown) == [
        "100.0 % of the particle's voxels have no TM/O deviation."
    ]


def test_noise_above_the_threshold_and_undecided_particles_are_warned_of():
    particle = np.ones((3, 3, 3), bool)
    loud, quiet = (np.full((3, 3, 3), value, np.float32) for value in (0.08, 0.02))
    assert "median 8.0 %" in checks.check_noise(loud, particle, 0.05)[0]
    assert checks.check_noise(quiet, particle, 0.05) == []
    assert checks.check_undecided(0.61) == ["For 61.0 % of the volume the noise is too large to decide."]
    assert checks.check_undecided(0.2) == []


def test_a_solver_that_did_not_arrive_is_warned_of():
    def warnings(residual: float, misfit: float) -> list[str]:
        return checks.check_solver({"solver": {"iterations": 9, "residual": residual, "misfit": misfit}})

    assert warnings(0.029, 1.003) == []
    assert "after 9 iterations the residual is 0.31" in warnings(0.31, 1.0)[0]
    assert "leaves 4.0 times the variance" in warnings(0.01, 4.0)[0]
    assert checks.check_solver({"solver": None}) == checks.check_solver(None) == []


def test_a_bias_from_noise_is_warned_of():
    content = {"replicates": 4, "fractions": {"oxygen_rich": {"value": 0.1, "replicate_bias": 0.06}}}
    (warning,) = checks.check_bias([Fraction("oxygen_rich", 0.1)], content)
    assert "shift the oxygen-rich fraction by about 6.0 %" in warning


@pytest.mark.parametrize(
    "figure",
    [
        lambda: curves.deviation_histogram(np.full(5, np.nan, np.float32), None, threshold=0.05),
        lambda: curves.joint_histogram(
            np.zeros(0, np.float32), np.zeros(0, np.float32), reference_tm_o=1.0, threshold=0.05
        ),
        lambda: curves.fraction_bars([Fraction("target", 1.0)]),
        lambda: slices.class_slices(np.zeros((4, 5, 6), np.uint8), None, voxel_nm=10.0),
        lambda: slices.tomogram_slices(np.full((4, 5, 6), np.nan, np.float32), voxel_nm=10.0, label="1/µm"),
        lambda: slices.areal_density_maps(np.ones((4, 5, 6), np.float32), "abcd", pixel_nm=10.0, label="µm"),
        lambda: slices.before_and_after(
            np.ones((2, 1, 6), np.float32), np.ones((2, 6, 6), np.float32), np.zeros(1), pixel_nm=10.0
        ),
        lambda: slices.thumbnails(np.zeros((5, 4, 4), np.float32), list("abcde")),
    ],
)
def test_figures_of_nothing_are_drawn_without_a_warning(figure):
    assert style.to_png(figure()).startswith(b"\x89PNG")
