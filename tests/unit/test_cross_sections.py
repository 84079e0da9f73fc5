"""Cross-sections: hand-computed mass fractions, the edges of the tables, and the errors."""

import numpy as np
import pytest
import xraydb

from oxytomo.composition.cross_sections import (
    attenuation_per_um,
    check_formula,
    edge_between,
    edge_energy_ev,
    mass_fractions,
    table_energies_ev,
)
from oxytomo.errors import ConfigError, InputError

LRTMO = {"Li": 1.2, "Mn": 0.56, "Ni": 0.16, "Co": 0.08, "O": 2.0}
PAIRS = {"O": (525.0, 540.0), "Mn": (636.0, 645.0), "Co": (772.0, 788.0), "Ni": (846.0, 866.0)}
ENERGIES_EV = np.array([energy for pair in PAIRS.values() for energy in pair])


def lrtmo_attenuation(elements: tuple[str, ...]) -> np.ndarray:
    return attenuation_per_um(LRTMO, density_g_cm3=4.2, energies_ev=ENERGIES_EV, elements=elements)


def test_attenuation_is_density_times_mass_fraction_times_the_table() -> None:
    # NiO: 58.693 and 15.999 g/mol, so 58.693/74.692 of the mass is Ni; 6.67 g/cm³ and 1e4 µm per cm.
    result = attenuation_per_um(
        {"Ni": 1, "O": 1}, density_g_cm3=6.67, energies_ev=np.array([846.0, 866.0]), elements=["O", "Ni"]
    )
    table = np.stack([xraydb.mu_chantler(k, np.array([846.0, 866.0])) for k in ("O", "Ni")], axis=1)
    expected = 6.67 * np.array([15.999, 58.693]) / 74.692 * table / 1e4
    np.testing.assert_allclose(result, expected, rtol=1e-4)  # the masses above have five digits
    assert result.dtype == np.float64


def test_mass_fractions_add_up_to_one_and_ignore_the_size_of_the_formula_unit() -> None:
    single = mass_fractions(LRTMO)
    double = mass_fractions({name: 2 * atoms for name, atoms in LRTMO.items()})
    assert sum(single.values()) == pytest.approx(1)
    assert double == pytest.approx(single)


def test_one_energy_and_no_element_keep_two_axes() -> None:
    energy = np.array([525.0])
    arguments = {"density_g_cm3": 4.2, "energies_ev": energy}
    assert attenuation_per_um(LRTMO, elements=["O", "Mn"], **arguments).shape == (1, 2)
    assert attenuation_per_um(LRTMO, elements=[], **arguments).shape == (1, 0)


def test_each_element_steps_up_at_its_own_edge_and_falls_at_all_others() -> None:
    steps = np.diff(lrtmo_attenuation(tuple(PAIRS)).reshape(4, 2, 4), axis=1)[:, 0]
    assert (np.diag(steps) > 0).all()
    assert (steps[~np.eye(4, dtype=bool)] < 0).all()


def test_plain_differences_lose_the_published_share_of_the_signal() -> None:
    # The total step of the reference composition over the step of the element alone, weighted by its atoms:
    # 17.7 % of the TM signal and 1.6 % of the O signal are lost to the falling continua of the others.
    steps = np.diff(lrtmo_attenuation((*PAIRS, "Li")).reshape(4, 2, 5), axis=1)[:, 0]
    apparent = steps.sum(axis=1) / np.diag(steps[:, :4])
    atoms = np.array([LRTMO[name] for name in ("Mn", "Co", "Ni")])
    assert 1 - atoms @ apparent[1:] / atoms.sum() == pytest.approx(0.177, abs=0.001)
    assert 1 - apparent[0] == pytest.approx(0.016, abs=0.001)


@pytest.mark.parametrize(
    ("element", "edge", "energy_ev"),
    [("O", "K", 531.9), ("Mn", "L3", 640.0), ("Co", "L3", 778.4), ("Ni", "L3", 854.3), ("Ni", "K", 8332.8)],
)
def test_edges_lie_where_the_tables_step_up(element: str, edge: str, energy_ev: float) -> None:
    energy = edge_energy_ev(element, edge)
    assert energy == pytest.approx(energy_ev, abs=0.3)
    low, high = xraydb.mu_chantler(element, np.array([energy - 3, energy + 3]))
    assert high > 3 * low


@pytest.mark.parametrize(
    ("element", "pre_ev", "post_ev", "edge"),
    [
        *((name, *pair, "K" if name == "O" else "L3") for name, pair in PAIRS.items()),
        ("Ni", 8324.0, 8354.0, "K"),
        ("Ni", 846.0, 880.0, "L3"),  # L3 and L2 both lie between
        ("O", 525.0, 530.0, "K"),  # white line, 2 eV below the tabulated step
        ("Ni", 846.0, 853.0, "L3"),
    ],
)
def test_edge_between_two_energies(element: str, pre_ev: float, post_ev: float, edge: str) -> None:
    assert edge_between(element, pre_ev, post_ev) == edge


@pytest.mark.parametrize(
    ("element", "pre_ev", "post_ev", "message"),
    [
        ("O", 540.0, 525.0, r"O K edge at 531\.9 eV, got the two swapped"),
        ("O", 500.0, 520.0, r"O K edge at 531\.9 eV, got both below it"),
        ("Mn", 641.0, 645.0, r"Mn L3 edge at 640\.0 eV, got both above it"),
        ("Ni", 8340.0, 8354.0, r"Ni K edge at 8332\.8 eV, got both above it"),
        ("Ni", 846.0, 846.0, "no energy pair"),
        ("Ni", float("nan"), 866.0, "no energy pair"),
        ("Li", 500.0, 510.0, "an element with an edge above 100 eV"),
    ],
)
def test_wrong_pairs_name_the_edge(element: str, pre_ev: float, post_ev: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        edge_between(element, pre_ev, post_ev)


def test_tables_are_read_beyond_the_step_only_for_energies_on_it() -> None:
    for element, pair in PAIRS.items():
        assert table_energies_ev(element, *pair) == pair
    pre, post = table_energies_ev("O", 525.0, 530.0)
    assert pre == 525.0
    assert post == pytest.approx(534.9)
    low, high = xraydb.mu_chantler("O", np.array([pre, post]))
    assert high > 10 * low


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ({}, "formula: expected atoms per formula unit"),
        ({"Xx": 1, "O": 1}, "expected element symbols, got 'Xx'"),
        ({"ni": 1, "O": 1}, "expected element symbols, got 'ni'"),
        ({"28": 1, "O": 1}, "expected element symbols, got '28'"),
        ({"Ni": -1, "O": 1}, r"formula\.Ni: expected a number of atoms above 0, got -1"),
        ({"Ni": float("nan"), "O": 1}, "got nan"),
        ({"Ni": 1}, "expected an oxide, got Ni without O"),
    ],
)
def test_wrong_formulas(formula: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_formula(formula)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"energies_ev": np.array([0.525, 540.0])}, "expected 100 to 400000 eV, got 0.525"),
        ({"energies_ev": np.array([np.nan])}, "got nan"),
        ({"elements": ["O", "Fe"]}, r"elements of the formula \(Li, Mn, Ni, Co, O\), got Fe"),
        ({"density_g_cm3": 0.0}, "expected a density above 0"),
        ({"formula": {"Ni": 1}}, "expected an oxide"),
    ],
)
def test_wrong_settings(change: dict[str, object], message: str) -> None:
    arguments = {"density_g_cm3": 4.2, "energies_ev": ENERGIES_EV, "elements": ["O"]} | change
    with pytest.raises(ConfigError, match=message):
        attenuation_per_um(arguments.pop("formula", LRTMO), **arguments)


def test_unknown_edge_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="use one of K"):
        edge_energy_ev("O", "L3")
