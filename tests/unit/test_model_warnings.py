"""What a report says of a model that fails, of shared errors, and of a particle that is off as a whole."""

import numpy as np
import pytest

from oxytomo.composition.model_choice import describe
from oxytomo.composition.solving import solver_in_words
from oxytomo.measure.systematic import skin_oxygen_nm, systematic_error, widened
from oxytomo.results.warnings import check_model
from oxytomo.results.whole_checks import check_damage, check_density, check_reference
from oxytomo.view.model_part import _text

FITS = {"chi_square_per_dof": 1.2, "likely_causes": [], "systematic": {"misfit": 0.001}}


def test_a_model_that_fits_is_no_warning():
    assert check_model(FITS, 0.05) == []
    assert check_model(None, 0.05) == []
    assert check_model({"chi_square_per_dof": None}, 0.05) == []


def test_a_model_that_fails_names_the_cause_and_the_remedy():
    (line,) = check_model(FITS | {"chi_square_per_dof": 64.0, "likely_causes": ["stray"]}, 0.05)
    assert "64.0" in line
    assert "stray light" in line
    assert "decompose.instrument.stray" in line


def test_shared_errors_beside_the_threshold_are_a_warning():
    (line,) = check_model(FITS | {"systematic": {"stray": 0.03, "misfit": 0.04}}, 0.05)
    assert "5" in line  # √(3² + 4²) per cent
    assert "error budget" in line


@pytest.mark.parametrize(("median", "word"), [(0.06, "more"), (-0.06, "less")])
def test_a_particle_that_is_off_as_a_whole_is_a_warning(median, word):
    (line,) = check_reference(None, median, 0.05)
    assert f"{word} metal" in line
    assert "reference: mode" in line
    assert check_reference(None, 0.04, 0.05) == []


def test_the_warning_of_a_whole_particle_names_numbers_cause_and_the_other_reading():
    whole = {
        "off_target": True,
        "median_deviation": -0.2,
        "tm_per_o_of_formula": 0.5,
        "tm_per_o": 0.4,
        "likely_cause": "oxygen",
        "metal_per_oxygen": {"Mn": 0.81, "Ni": 0.8},
        "fractions_against_own_mode": {"target": 0.97, "oxygen_poor": 0.01, "oxygen_rich": 0.02},
    }
    (line,) = check_reference(whole, -0.2, 0.05)
    for part in (
        "20.0 % less",
        "0.500",
        "0.400",
        "lithium",
        "Mn 0.81, Ni 0.80",
        "1.0 % oxygen-poor, 2.0 % oxygen-rich",
    ):
        assert part in line
    assert "share of Co" in check_reference(whole | {"likely_cause": "metal:Co"}, -0.2, 0.05)[0]
    assert "do not fit" in check_reference(whole | {"likely_cause": "spectra"}, -0.2, 0.05)[0]
    # The record is the judge: against another sample, a particle may be off.
    assert check_reference(whole | {"off_target": False}, -0.2, 0.05) == []


def test_a_density_that_pores_do_not_explain_is_a_warning():
    assert "1.35 times" in check_density({"relative_density": 1.35})[0]
    assert "0.30 times" in check_density({"relative_density": 0.3})[0]
    assert check_density({"relative_density": 0.8}) == check_density(None) == []


DAMAGE = {
    "told_from_path_length": True,
    "series": 8,
    "tm_o": {"change": 0.06, "standard_error": 0.01, "found": True},
    "size": {"change": -0.02, "standard_error": 0.001, "found": True},
}


def test_damage_is_a_warning_and_so_is_a_scan_that_cannot_tell():
    composition, size = check_damage(DAMAGE, 0.05)
    assert "rises by 6.0 % ± 1.0 %" in composition
    assert "cannot be told from composition" in composition
    assert "shrinks by 2.0 % ± 0.10 %" in size
    assert "cannot be told" in check_damage(DAMAGE | {"told_from_path_length": False}, 0.05)[0]
    vague = {"change": 0.02, "standard_error": 0.03, "found": False}
    (line,) = check_damage(DAMAGE | {"tm_o": vague, "size": None}, 0.05)
    assert "± 3.0 %" in line
    sharp = {"change": 0.002, "standard_error": 0.003, "found": False}
    assert check_damage(DAMAGE | {"tm_o": sharp, "size": sharp}, 0.05) == check_damage(None, 0.05) == []


def test_shared_errors_add_in_squares_and_shifts_drop_out_of_an_own_reference():
    model = {"systematic": {"stray": 0.03, "misfit": 0.04}}
    assert systematic_error(model, own_reference=False) == pytest.approx(0.05)
    assert systematic_error(model, own_reference=True) == pytest.approx(0.04)
    assert systematic_error(None, own_reference=False) == 0


def test_an_interval_is_widened_on_the_side_to_which_a_shift_moves_it():
    # 0.3 down from noise and 0.4 from the shift: √(0.3² + 0.4²) = 0.5; nothing is added above
    assert widened((0.3, 0.7), 0.6, (0.6, 0.2)) == pytest.approx((0.1, 0.7))
    assert widened(None, 0.6, (0.6, 0.2)) is None


def test_a_skin_is_a_warning_that_names_both_readings():
    skin = {"carbon_nm": 1.9, "standard_error_nm": 0.1, "carbonate_nm": 10.0, "oxygen_nm": 8.7}
    (line,) = check_model(FITS | {"skin": skin}, 0.05)
    for word in ("1.9 ± 0.1 nm", "Li2CO3", "10 nm", "coat of carbon", "decompose.components"):
        assert word in line
    assert skin_oxygen_nm({"skin": skin}) == 8.7
    assert skin_oxygen_nm(FITS) == skin_oxygen_nm(None) == 0


@pytest.mark.parametrize(
    ("terms", "words"), [(("stray",), "Without it"), (("stray", "carbon"), "Without any one")]
)
def test_a_single_term_is_one(terms, words):
    model = FITS | {"steps": [{"term": name} for name in terms], "terms": {name: {} for name in terms}}
    (sentence,) = _text(model)
    assert words in sentence


def test_a_misfit_of_single_rays_stays_where_the_reference_is_the_particles_own():
    model = {"systematic": {"stray": 0.03, "misfit": 0.001, "misfit_of_single_rays": 0.02}}
    assert systematic_error(model, own_reference=True) == pytest.approx(np.hypot(0.001, 0.02))


def test_the_log_says_terms_in_words() -> None:
    term = {"value": 1.4, "standard_error": 0.0004, "kind": "near_edge", "at_limit": False}
    stray = {"value": 0.016, "standard_error": 0.0002, "kind": "stray", "at_limit": False}
    record = {
        "chi_square_per_dof": 1.73,
        "chi_square_per_dof_of_elements_alone": 524.7,
        "terms": {"near_edge_Mn": term, "stray": stray},
        "likely_causes": [],
    }
    assert describe(record) == (
        "χ² per degree of freedom is 1.73 (524.70 with the elements alone); found: the near-edge absorption of Mn "
        "1.4000 ± 0.0004, stray light 1.6 % ± 0.02 %"
    )
    assert describe(record | {"terms": {}}).endswith("no term is needed beside the elements")


def test_the_log_of_the_solver_is_short() -> None:
    record = {"first_tv_weight": 46.4, "first_iterations": 20, "first_residual": 6.334, "first_misfit": 3.5}
    assert solver_in_words(record) == "iterations (gradient that is left, noise 1): first 20 (6.3)"
    assert solver_in_words({}) == "solved directly"
