"""What a report warns of, and the pieces of its figures."""

import numpy as np
import pytest

from oxytomo import palette
from oxytomo.results import checks
from oxytomo.results.fractions import Fraction
from oxytomo.results.records import Alignment
from oxytomo.view import curves, slices, style
from oxytomo.view.slices import centre_cuts


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
