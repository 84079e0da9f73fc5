"""Readings without one model term: which classes hang on it, in warnings and on the page."""

import pytest

from oxytomo.results.readings import check_readings, chi_square_without, described, hanging
from oxytomo.view.readings_part import readings_table


def content(*, chi_without: float, poor_without: float) -> dict:
    return {
        "fractions": {
            "target": {"value": 0.80, "ci95": [0.75, 0.85]},
            "oxygen_poor": {"value": 0.18, "ci95": [0.13, 0.23]},
            "oxygen_rich": {"value": 0.02, "ci95": [0.01, 0.03]},
        },
        "model": {
            "chi_square_per_dof": 1.1,
            "steps": [{"term": "near_edge_spread_O", "chi_square_per_dof_without": chi_without}],
        },
        "readings": {
            "borders_at_half_height": {"target": 0.70, "oxygen_poor": 0.28, "oxygen_rich": 0.02},
            "without_near_edge_spread_O": {
                "target": 0.98 - poor_without,
                "oxygen_poor": poor_without,
                "oxygen_rich": 0.02,
            },
        },
    }


def test_a_class_that_hangs_on_a_term_that_is_not_needed_is_a_warning_with_both_readings():
    (one,) = hanging(content(chi_without=2.0, poor_without=0.30))
    assert (one.name, one.term, one.other, one.possible) == ("oxygen-poor", "near_edge_spread_O", 0.30, True)
    (line,) = check_readings(content(chi_without=2.0, poor_without=0.30))
    for word in (
        "differs within the sample",
        "18.0 % is oxygen-poor with it, 30.0 % without it",
        "2.00",
        "1.10",
    ):
        assert word in line


@pytest.mark.parametrize(("chi", "poor"), [(64.0, 0.30), (2.0, 0.20)])
def test_a_term_that_the_spectra_need_or_that_changes_little_is_no_warning(chi, poor):
    """Another reading that is no term (borders) is not asked, though it lies outside of the interval."""
    assert check_readings(content(chi_without=chi, poor_without=poor)) == []


def test_the_page_shows_all_readings_with_their_fit():
    table = readings_table(content(chi_without=64.0, poor_without=0.30))
    assert table is not None
    assert [list(row) for row in table.rows] == [
        ["as reported", "18.0 %", "2.0 %", "1.10"],
        [described("borders_at_half_height"), "28.0 %", "2.0 %", ""],
        [described("without_near_edge_spread_O"), "30.0 %", "2.0 %", "64.00"],
    ]
    assert "hangs on that term" in table.note
    assert "hangs" not in readings_table(content(chi_without=64.0, poor_without=0.19)).note
    assert (
        readings_table({"fractions": content(chi_without=2, poor_without=0)["fractions"], "readings": {}})
        is None
    )


def test_a_sample_that_is_not_measured_has_no_readings():
    assert readings_table({}) is None
    assert check_readings({}) == []


def test_without_a_record_of_the_fit_nothing_is_claimed():
    unknown = content(chi_without=2.0, poor_without=0.30) | {"model": None}
    assert chi_square_without(unknown, "near_edge_spread_O") is None
    assert not hanging(unknown)[0].possible
    assert check_readings(unknown) == []
