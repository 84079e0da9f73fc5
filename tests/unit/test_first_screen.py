"""The first screen of a report: the light, the sentence, and the pictures, against cases with a known answer."""

import pickle

import numpy as np
import pytest

from oxytomo.arrays import OXYGEN_POOR, OXYGEN_RICH, TARGET
from oxytomo.results.fractions import Fraction
from oxytomo.results.severity import prefixed, remark, severe, severity_of
from oxytomo.view.explorer import MOST_BYTES, composition_explorer
from oxytomo.view.front import beyond_noise, composition_front
from oxytomo.view.light import traffic_light
from oxytomo.view.solid_view import solid_view
from oxytomo.view.telling import telling_slice

TARGETS = Fraction("target", 0.90, (0.88, 0.92), 0.99)
POOR = Fraction("oxygen_poor", 0.06, (0.05, 0.07), 0.01)


def verdict(*fractions: Fraction, undecided: float | None = None) -> str:
    front = composition_front(fractions, undecided, 0.05, None)
    assert front is not None
    return front.verdict


def test_the_light_is_that_of_the_most_serious_warning():
    assert traffic_light([]).color == "green"
    assert traffic_light([remark("stripes were removed")]).color == "green"
    assert traffic_light([remark("a"), "few tilts"]).color == "amber"
    light = traffic_light(["few tilts", severe("no particle"), remark("a")])
    assert (light.color, light.n_warnings, list(light.severe)) == ("red", 2, ["no particle"])


def test_a_text_before_a_warning_keeps_its_severity():
    assert severity_of(prefixed("composition: ", severe("no particle"))) == "severe"
    assert severity_of("plain") == "caution"
    again = pickle.loads(pickle.dumps(remark("a")))
    assert (str(again), severity_of(again)) == ("a", "remark")


def test_the_sentence_claims_only_what_is_more_than_noise():
    rich = Fraction("oxygen_rich", 0.04, (0.03, 0.05), 0.035)
    said = verdict(TARGETS, POOR, rich)
    assert said == (
        "90.0 % of the particle has the composition of the reference (TM/O within 5 %); 6.0 % is oxygen-poor, more than "
        "noise can make; oxygen-rich regions are no more than noise can make."
    )
    nothing = Fraction("oxygen_poor", 0.06, (0.0, 0.12), 0.0)
    assert "no oxygen-poor or oxygen-rich regions beyond what noise can make" in verdict(
        TARGETS, nothing, rich
    )
    unknown = [Fraction(key, 0.1) for key in ("oxygen_poor", "oxygen_rich")]
    assert "how much of the rest is noise is not known" in verdict(Fraction("target", 0.8), *unknown)
    assert "for most of the volume the noise is too large to decide" in verdict(TARGETS, POOR, undecided=0.6)


@pytest.mark.parametrize(
    ("interval", "null", "expected"),
    [((0.05, 0.07), 0.01, True), ((0.05, 0.07), 0.05, False), ((0.0, 0.07), 0.0, False), (None, 0.0, False)],
)
def test_a_class_is_beyond_noise_above_zero_and_above_the_null_run(interval, null, expected):
    assert beyond_noise(Fraction("oxygen_poor", 0.06, interval, null)) is expected


def particle(shape: tuple[int, int, int] = (30, 30, 30)) -> np.ndarray:
    grid = np.indices(shape) - np.array(shape).reshape(3, 1, 1, 1) / 2 + 0.5
    return np.where((grid**2).sum(axis=0) <= 12**2, TARGET, 0).astype(np.uint8)


def test_the_telling_slice_has_both_classes():
    phases = particle()
    phases[5:9, 10:14, 10:14] = OXYGEN_POOR
    phases[12:15, 13:16, 8:14] = OXYGEN_POOR
    phases[12:15, 13:16, 16:20] = OXYGEN_RICH
    # Along z, slices 12 to 14 have 18 and 12 voxels: √18 + √12; along y, 13 has 16 + 18 and 12: √34 + √12.
    assert telling_slice(phases) == (1, 13)
    assert telling_slice(particle()) == (0, 15)


@pytest.mark.parametrize(
    ("place", "side"),
    [
        ((slice(3, 9), slice(12, 18), slice(12, 18)), "up"),
        ((slice(21, 27), slice(12, 18), slice(12, 18)), "down"),
        # From where the viewer stands (x 1, y −1.7), y runs away and to the right, x to the left.
        ((slice(12, 18), slice(21, 27), slice(12, 18)), "left"),
        ((slice(12, 18), slice(12, 18), slice(21, 27)), "left"),
    ],
)
def test_bodies_are_drawn_where_they_are(place, side):
    phases = particle()
    phases[place] = OXYGEN_POOR
    drawn = solid_view(phases, [(OXYGEN_POOR, "#ff0000")], skin="#ffffff", size_px=60)
    assert drawn is not None
    red = drawn.image[..., 0] - drawn.image[..., 1] > 0.2
    rows, columns = np.nonzero(red)
    assert rows.size > 20
    off = {"up": 29.5 - rows.mean(), "down": rows.mean() - 29.5}
    off |= {"left": 29.5 - columns.mean(), "right": columns.mean() - 29.5}
    assert max(off, key=lambda name: off[name]) == side
    # The particle is 24 voxels wide.
    outline = (drawn.image < 0.999).any(axis=-1)
    assert np.ptp(np.nonzero(outline)[1]) * drawn.pixel_voxels == pytest.approx(24, abs=2.5)


def test_nothing_is_drawn_of_nothing():
    assert solid_view(np.zeros((5, 5, 5), np.uint8), [], skin="#ffffff", size_px=20) is None


def test_the_copy_in_the_page_is_small_and_true(monkeypatch):
    """A particle of 120 voxels is averaged until its copy fits; values come back to one step of 254."""
    import base64
    import io
    import json

    from PIL import Image

    from oxytomo.results.records import Composition

    rng = np.random.default_rng(0)
    shape = (90, 100, 120)
    inside = np.ones(shape, bool)
    inside[:, :, :20] = False
    monkeypatch.setattr("oxytomo.view.explorer.MOST_BYTES", 400_000)
    value = np.full(shape, 0.06, np.float32)
    value[:, :50] = -0.12
    # Noise does not compress: the largest copy that can be.
    noisy = rng.normal(0.02, 0.01, shape).astype(np.float32)
    result = Composition(
        voxel_nm=10.0,
        threshold=0.05,
        reference_tm_o=1.0,
        method="",
        elements=(),
        atoms=(),
        densities=np.zeros((0, *shape), np.float32),
        deviation=value,
        particle=inside,
        sigma=noisy,
        null=noisy,
        phases=np.where(value > 0.05, OXYGEN_POOR, OXYGEN_RICH).astype(np.uint8) * inside,
    )
    explorer = composition_explorer(result)
    assert explorer is not None
    assert 40_000 < len(explorer.data) <= 400_000 < MOST_BYTES
    assert list(explorer.names) == ["deviation", "sigma", "null", "classes"]
    content = json.loads(explorer.data)
    layer = content["layers"]["deviation"]
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(layer["png"]))))
    n_z, n_y, n_x = content["shape"]
    columns = sheet.shape[1] // n_x
    first = sheet[:n_y, :n_x]
    assert columns * (sheet.shape[0] // n_y) >= n_z
    assert (first[:, 0] == 0).all(), "two voxels of margin: outside has no value"
    number = layer["low"] + (first[n_y // 4, -3] - 1) / 254 * (layer["high"] - layer["low"])
    assert number == pytest.approx(-0.12, abs=0.3 / 254)
    # The first voxel of the copy lies in the middle of the voxels that it stands for.
    step = round(content["voxel_um"] / 0.01)
    assert content["origin_um"][2] == pytest.approx((18 + (step - 1) / 2) * 0.01)


def test_an_empty_particle_has_no_copy():
    from oxytomo.results.records import Composition

    empty = np.zeros((4, 4, 4), np.float32)
    result = Composition(10.0, 0.05, 1.0, "", (), (), empty[None], empty, empty > 0)
    assert composition_explorer(result) is None


@pytest.mark.parametrize("rim", [False, True])
def test_a_rim_that_hides_the_inside_is_cut_open(rim: bool) -> None:
    z, y, x = np.indices((40, 40, 40)) - 20
    radius = np.sqrt(z**2 + y**2 + x**2)
    labels = (radius < 18).astype(np.uint8)
    labels[radius < 6] = 3
    if rim:
        labels[(radius >= 15) & (radius < 18)] = 2
    drawn = solid_view(labels, [(2, "red"), (3, "blue")], skin="white", size_px=80)
    assert drawn is not None
    assert drawn.cut is rim
    blue = (drawn.image[..., 2] > drawn.image[..., 0] + 0.15).sum()
    assert blue > 50, "the core is seen in both"
