"""What a report says of the whole particle: formula at the top, and damage against dose."""

import numpy as np
import pytest

from oxytomo.results.fractions import Fraction
from oxytomo.view.front import composition_front
from oxytomo.view.report import Part, build_report
from oxytomo.view.whole_part import damage_curves, damage_section, damage_sentence, formula_line

FORMULA = {"Co": 0.08, "Li": 1.2, "Mn": 0.56, "Ni": 0.16, "O": 2.0}
WHOLE = {
    "formula": FORMULA,
    "density_g_cm3": 4.2,
    "tm_per_o_of_formula": 0.4,
    "tm_per_o": 0.32,
    "relative_density": 0.97,
}
BUDGET = {"noise_and_reconstruction": 0.3, "stray": 0.03, "misfit": 0.04}
TARGETS = Fraction("target", 0.90, (0.88, 0.92), 0.99)


def test_the_formula_and_what_was_measured_stand_above_the_verdict():
    line = formula_line(WHOLE, BUDGET)
    # The errors that all voxels share: √(3² + 4²) = 5 % of 0.32.
    assert line == (
        "Formula Li1.2Co0.08Mn0.56Ni0.16O2 at 4.2 g/cm³: 0.400 metal atoms per oxygen. Measured in the whole particle: "
        "0.320 ± 0.016 (−20.0 %), 0.97 times as dense as stated."
    )
    front = composition_front([TARGETS], None, 0.05, None, line)
    page = build_report(
        title="t", subtitle="", parts=[Part("composition", front=front)], provenance=[], footer=""
    )
    assert 0 < page.index("Li1.2Co0.08Mn0.56Ni0.16O2") < page.index('class="verdict"')


def test_without_a_scale_only_the_formula_is_said():
    signals = WHOLE | {"tm_per_o": None, "tm_per_o_of_formula": None}
    assert formula_line(signals, {}) == "Formula Li1.2Co0.08Mn0.56Ni0.16O2 at 4.2 g/cm³."
    assert formula_line(WHOLE | {"formula": None}, {}) == ""
    assert formula_line(None, None) == ""
    assert "±" not in formula_line(WHOLE, {"noise_and_reconstruction": 0.1})


def damage(change: float, error: float, *, found: bool = False, told: bool = True) -> dict:
    frame = np.arange(20)
    rising = 1 + change * frame / 19
    of_path = np.where(frame % 2, 0.2, -0.2)
    values = rising + rising[2:].mean() * of_path
    return {
        "tm_o": {"change": change, "standard_error": error, "found": found},
        "size": None,
        "told_from_path_length": told,
        "series": 8,
        "by_frame": {
            "frame": frame.tolist(),
            "tm_o": [None, None, *values[2:].tolist()],
            "tm_o_standard_error": [None, None, *[0.001] * 18],
            "tm_o_of_geometry": of_path.tolist(),
            "size_px": [10.0] * 20,
            "size_standard_error_px": [0.1] * 20,
        },
    }


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (damage(0.1, 0.01, found=True), ("changed by +10.0 % ± 1.0 %", "8 series", "80.0 %, more than")),
        (damage(0.001, 0.001), ("no more than 0.30 %", "2.4 %, less than the threshold")),
        (damage(0.01, 0.03), ("cannot tell damage from composition", "± 3.0 % only")),
        (damage(0.01, 0.001, told=False), ("cannot tell damage from composition", "follows the path length")),
    ],
)
def test_the_page_says_whether_damage_can_be_told(record, words):
    said = damage_sentence(record, 0.05)
    for word in words:
        assert word in said
    section = damage_section(record, 0.05)
    assert section is not None
    assert section.text == [said]


def test_the_picture_shows_the_change_without_what_the_geometry_explains():
    picture = damage_curves(damage(0.1, 0.01, found=True))
    metal, size = picture.axes
    points = metal.lines[0].get_ydata()
    # What alternates with the path length is gone. Every step is that of the rise: 10 % over 19
    # frames, relative to the mean of frames 2 to 19.
    np.testing.assert_allclose(np.diff(points)[2:], 10 / 19 / (1 + 0.1 * 10.5 / 19), rtol=1e-6)
    # The line rises by 10 % from the first known frame to the last.
    lines = [np.asarray(line.get_ydata()) for line in metal.lines[1:]]
    assert any(line.size == 20 and np.ptp(line[2:]) == pytest.approx(10) for line in lines)
    assert size.get_ylabel().startswith("size")
    assert damage_section(None, 0.05) is None
