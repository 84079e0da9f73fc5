"""Renders of a sample: what is drawn where, with which scale, and the files that others read."""

import base64
import itertools
import json
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, chromium, needs_chromium
from PIL import Image
from report_results import write_composition

from oxytomo.cli import main
from oxytomo.errors import InputError, MissingPackageError
from oxytomo.export.meshes import MeshPiece, write_mesh
from oxytomo.io.stores import NamedArray, Provenance, read_store, write_store
from oxytomo.view import render_sample as render
from oxytomo.view import renders
from oxytomo.view.scene_page import scene_page
from oxytomo.view.scenes import Body, Scene, label_surface, triangles

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pyvista.PyVistaDeprecationWarning"),
]
SIDE, VOXEL_NM, FRAMES = 320, 10.0, 3
RED, BLUE = "oxygen-poor", "oxygen-rich"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A particle with a red rim and a blue side, of voxels of 10 nm, and a structure with a pore."""
    folder = tmp_path_factory.mktemp("results") / "particle_a"
    folder.mkdir()
    write_composition(folder)
    grid = np.indices((24, 24, 24)) - 11.5
    particle = (np.hypot(np.hypot(*grid[:2]), grid[2]) < 10).astype(np.uint8)
    pore = np.hypot(np.hypot(grid[0], grid[1] - 3), grid[2] - 3) < 3
    provenance = Provenance("segment_voids", 1, {}, {}, "0.1.0", "2026-01-02T03:04:05Z")
    axes = ("z", "y", "x")
    arrays = {
        "particle": NamedArray(particle, axes, "1"),
        "voids": NamedArray(pore.astype(np.uint8), axes, "1"),
    }
    write_store(
        folder / "stages/structure/voids.zarr",
        arrays,
        provenance=provenance,
        attributes={"voxel_nm": VOXEL_NM},
    )
    (folder / "meshes").mkdir()
    numbers = {"pore": 7, "equivalent_diameter_nm": 60.0, "volume_nm3": 1.1e5, "open": 0}
    for name, inside, about in (("particle", particle > 0, {"particle": 1}), ("pores", pore, numbers)):
        points, faces, _ = triangles(label_surface(inside, voxel_nm=1.0))
        piece = MeshPiece(np.asarray(points, np.float64)[:, ::-1], faces, on_cells=about)
        write_mesh(folder / "meshes" / name, [piece], voxel_nm=VOXEL_NM, ends=None)
    return folder


@pytest.fixture(scope="module")
def drawn(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The renders of the sample, small."""
    try:
        render.require_drawing()
    except InputError as error:
        pytest.skip(str(error))
    out = tmp_path_factory.mktemp("renders")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(renders, "MOVIE_PX", 120)
        patch.setattr(renders, "FRAMES", FRAMES)
        names = [path.name for path in render.write_renders(sample, out, movie=True, size_px=SIDE)]
    ends = (".png", "_cut.png", ".gltf", ".html", ".gif")
    assert names == [f"{scene}{end}" for scene in ("composition", "structure") for end in ends]
    return out


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def hue(image: np.ndarray, kind: str) -> np.ndarray:
    """Return where an image is clearly red or clearly blue, whatever the light."""
    red, _, blue = np.moveaxis(image, -1, 0)
    return red - blue > 60 if kind == RED else blue - red > 15


def test_classes_are_drawn_in_their_colours_on_white(drawn: Path) -> None:
    image = picture(drawn / "composition.png")[:SIDE]
    assert image.shape == (SIDE, SIDE, 3)
    assert (image[:4, :4] == 255).all()
    assert hue(image, RED).mean() > 0.05
    assert hue(image, BLUE).mean() > 0.02
    # The blue side is that of high x, which this view has on the right.
    columns = np.flatnonzero(hue(image, BLUE).any(axis=0))
    assert columns.mean() > SIDE / 2


def test_the_cut_shows_the_target_inside(drawn: Path) -> None:
    whole, cut = (picture(drawn / f"composition{end}.png")[:SIDE] for end in ("", "_cut"))
    assert np.abs(whole - cut).max(axis=-1).mean() > 10
    middle = cut[SIDE // 2 + 10, SIDE // 2 - 10]
    assert np.abs(middle - [237, 230, 214]).max() < 30


def test_the_scale_bar_has_its_length(drawn: Path, sample: Path) -> None:
    """By hand: the height of the picture is 2.08 times the reach; the bar is a round number near a fifth of it."""
    strip = picture(drawn / "structure.png")[SIDE:]
    dark = (strip < 60).all(axis=-1)
    row = dark.sum(axis=1).argmax()
    bar = np.flatnonzero(dark[row])
    length_px = bar[np.flatnonzero(np.diff(bar, append=10**6) > 1)[0]] - bar[0] + 1
    pixel_nm = 2 * renders.MARGIN * 100.0 / SIDE
    # The reach of this ball of radius 10 voxels is within a voxel of 100 nm, the bar's ends within a pixel.
    assert length_px * pixel_nm == pytest.approx(20.0, rel=0.12)


def test_the_model_is_one_file_in_micrometres(drawn: Path) -> None:
    model = json.loads((drawn / "structure.gltf").read_text(encoding="utf-8"))
    assert all(entry["uri"].startswith("data:") for entry in model["buffers"])
    assert base64.b64decode(model["buffers"][0]["uri"].split(",")[1])
    positions = [
        model["accessors"][part["attributes"]["POSITION"]]
        for mesh in model["meshes"]
        for part in mesh["primitives"]
    ]
    extents = sorted((np.array(one["max"]) - one["min"]).max() for one in positions)
    assert extents == pytest.approx(
        [0.06, 0.2], abs=0.012
    )  # a pore of 6 voxels and a particle of 20; a voxel is 0.01
    colors = [np.array(m["pbrMetallicRoughness"]["baseColorFactor"]) for m in model["materials"]]
    assert sorted(color[3] for color in colors) == pytest.approx([0.22, 1.0])


def test_the_movie_turns(drawn: Path) -> None:
    frames = []
    with Image.open(drawn / "composition.gif") as movie:
        assert movie.n_frames == FRAMES
        for number in range(FRAMES):
            movie.seek(number)
            frames.append(np.asarray(movie.convert("RGB")).astype(int))
    assert min(np.abs(a - b).mean() for a, b in itertools.pairwise(frames)) > 1


SETTLED = "new Promise(done => setTimeout(() => requestAnimationFrame(() => done(1)), 300))"


def said_at(browser: Browser, left: float, top: float) -> str:
    """Return what the page says of a place of the canvas, given as fractions of its width and height."""
    return browser.value(
        "(() => { const b = canvas.getBoundingClientRect();"
        f" return told({left} * b.width, {top} * b.height); }})()"
    )


def choose(browser: Browser, name: str, value: str) -> None:
    """Set a control of the page as a hand would."""
    kind = "checked" if value in ("true", "false") else "value"
    text = value if kind == "checked" else repr(value)
    browser.value(
        f"(() => {{ const c = {name}; c.{kind} = {text};"
        " (c.oninput || c.onchange).call(c); if (c.oninput && c.onchange) c.onchange(); })()"
    )


@needs_chromium
def test_the_page_turns_without_a_network(drawn: Path, tmp_path: Path) -> None:
    with chromium(tmp_path) as browser:
        browser.call("Performance.enable", timeDomain="threadTicks")
        seen = browser.open(drawn / "structure.html")
        browser.value("ready")
        assert seen.requests == [(drawn / "structure.html").resolve().as_uri()]
        assert seen.errors == []
        # The promise is 3 s without a graphics card, which this machine has not; processor time of the page's thread,
        # since the tests share the processor with others.
        metrics = {one["name"]: one["value"] for one in browser.call("Performance.getMetrics")["metrics"]}
        assert metrics["TaskDuration"] < 3.0
        image = browser.picture("#scene").astype(int)
        assert hue(image, BLUE).mean() > 0.001
        assert browser.value("data.bodies.map(body => body.name)") == ["pores", "particle"]
        # The pore is 3 voxels from the centre towards high x and y; it is read through the skin.
        pore = [said_at(browser, 0.5 + dx, 0.5 + dy) for dx in (-0.04, 0, 0.04) for dy in (-0.04, 0, 0.04)]
        assert any("diameter (nm): 60" in text and "pore: 7" in text for text in pore)
        before = browser.picture("#scene").astype(int)
        browser.value("turn(2.2, 0.4), draw()")
        browser.value(SETTLED)
        assert np.abs(browser.picture("#scene").astype(int) - before).mean() > 0.3


@needs_chromium
def test_classes_are_toggled_and_cut_in_the_page(drawn: Path, tmp_path: Path) -> None:
    with chromium(tmp_path) as browser:
        browser.open(drawn / "composition.html")
        browser.value("ready")
        boxes = "[...document.querySelectorAll('#bodies input')]"
        names = browser.value("[...document.querySelectorAll('#bodies label')].map(e => e.textContent)")
        assert names == [RED, BLUE, "particle"]
        whole = browser.picture("#scene").astype(int)
        assert min(hue(whole, RED).mean(), hue(whole, BLUE).mean()) > 0.01
        choose(browser, f"{boxes}[0]", "false")
        without = browser.picture("#scene").astype(int)
        assert hue(without, RED).mean() < 0.1 * hue(whole, RED).mean()
        # What is behind the red rim is seen now, and there is no less of it.
        assert hue(without, BLUE).mean() >= hue(whole, BLUE).mean()
        choose(browser, f"{boxes}[0]", "true")
        choose(browser, "element('axis')", "1")
        assert browser.value("element('at').textContent").endswith(" nm")
        assert "target" in said_at(browser, 0.5, 0.5), "the middle of the slice is inside"
        cut = browser.picture("#scene").astype(int)
        middle = cut[cut.shape[0] // 2, cut.shape[1] // 2]
        assert np.abs(middle - [237, 230, 214]).max() < 60, "the slice, at most behind the skin"
        # The bar: its pixels times the nanometres of one are its number, a 1, 2 or 5.
        bar = browser.value("[frame.bar.nm, frame.bar.px, frame.pixel]")
        assert bar[1] * bar[2] == pytest.approx(bar[0], rel=1e-9)
        assert f"{bar[0]:g}"[0] in "125"
        # A ball of 10 voxels' radius fills what its reach says: by hand, its width on the canvas.
        row = np.abs(whole - 255).max(axis=-1) > 12
        width = np.flatnonzero(row[: whole.shape[0] - 130].any(axis=0))
        reach = browser.value("data.reach")
        assert (width[-1] - width[0] + 1) * bar[2] == pytest.approx(2 * reach, rel=0.15)


def test_a_sample_may_be_called_anything() -> None:
    inside = np.zeros((6, 6, 6), bool)
    inside[1:5, 1:5, 1:5] = True
    skin = Body("particle", "#ede6d6", label_surface(inside, voxel_nm=VOXEL_NM), 0.2)
    labels = inside.astype(np.uint8)
    scene = Scene("composition", "classes", skin, [], labels, {1: "#ede6d6"}, {1: "target"}, VOXEL_NM)
    page = scene_page(scene, sample='@script@ "</script><b>')
    assert page.count("</script>") == 2, "its own two"
    assert "<b>" not in page
    content = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert content["name"].startswith('@script@ "</script><b>')
    points = np.frombuffer(zlib.decompress(base64.b64decode(content["bodies"][0]["points"])), "<u2")
    places = points.reshape(-1, 3) * content["bodies"][0]["step"] + content["bodies"][0]["low"]
    # 16 bits over 40 nm are steps of less than a picometre.
    assert np.allclose(places, triangles(skin.mesh)[0], atol=1e-3)


def test_polygons_become_triangles_of_their_cells() -> None:
    import pyvista as pv

    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [2, 0, 0]], float)
    mesh = pv.PolyData(points, faces=[4, 0, 1, 2, 3, 3, 1, 4, 2], lines=[2, 0, 4])
    _, faces, cells = triangles(mesh)
    assert sorted(map(tuple, faces.tolist())) == [(0, 1, 2), (0, 2, 3), (1, 4, 2)]
    assert cells.tolist() == [2, 1, 1]  # the line is cell 0


def test_what_cannot_be_drawn_is_one_line(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty/stages").mkdir(parents=True)
    monkeypatch.setattr(render, "require_drawing", lambda: None)
    assert main(["render", str(tmp_path / "empty")]) == 2
    assert "expected a sample with classes (composition) or voids (structure)" in capsys.readouterr().err
    voids = read_store(sample / "stages/structure/voids.zarr")
    with pytest.raises(InputError, match=r"meshes: .* got none: .* run its configuration again"):
        render._structure(tmp_path, voids)
    monkeypatch.setitem(sys.modules, "pyvista", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'oxytomo\[view\]'"):
        render.write_renders(sample, tmp_path / "out", movie=False, size_px=SIDE)
    assert not (tmp_path / "out").exists()


def test_a_machine_that_cannot_draw_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(InputError, match="a machine that can draw without a display"):
        render.require_drawing()
