"""Charge balance: what the valences of the elements say of capacity, oxygen and density.

Valences are means over particles. Capacities are per gram of the formula unit in its first state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from oxytomo.electrochemistry.estimates import Estimate, combined

FARADAY = 96485.33212
"""Charge of one mole of electrons, coulomb (exact in the SI)."""
COULOMB_PER_MAH = 3.6
LITHIUM, OXYGEN = "Li", "O"
OXIDE = -2.0
"""Valence of oxygen where none was measured."""
METALS = "metals"


@dataclass(frozen=True)
class Material:
    """The formula unit in the first state.

    Attributes
    ----------
    atoms : element -> atoms per formula unit, with Li and O
    masses : element -> molar mass, g/mol
    fixed : element -> valence that does not change, for elements that were not measured (Al, Mg)
    """

    atoms: Mapping[str, float]
    masses: Mapping[str, float]
    fixed: Mapping[str, float]

    @property
    def molar_mass(self) -> float:
        """Mass of a mole of formula units, g/mol."""
        return molar_mass(self.atoms, self.masses)

    @property
    def metals(self) -> tuple[str, ...]:
        """Cations besides lithium, in the order of the formula."""
        return tuple(element for element in self.atoms if element not in (LITHIUM, OXYGEN))

    @property
    def metal_atoms(self) -> float:
        """Cations besides lithium per formula unit."""
        return sum(self.atoms[element] for element in self.metals)


@dataclass(frozen=True)
class State:
    """One state of charge.

    Attributes
    ----------
    name : name of the state
    valences : measured element -> mean valence
    lithium : per formula unit; None if unknown
    capacity_mah_g : charge that the cell has given since the first state; None if unknown
    discharged : True if the lithium that can return has returned
    """

    name: str
    valences: Mapping[str, Estimate]
    lithium: float | None = None
    capacity_mah_g: float | None = None
    discharged: bool = False


@dataclass(frozen=True)
class Row:
    """One number of the balance.

    Attributes
    ----------
    state, element : of the number; ``metals`` for all cations besides lithium, empty for the
        formula unit
    quantity, unit : see :data:`DEFINITIONS`
    value, interval : number and its 95 % interval
    """

    state: str
    element: str
    quantity: str
    unit: str
    value: float
    interval: tuple[float, float]


UNITS: Mapping[str, str] = {
    "valence": "1",
    "capacity": "mAh/g",
    "capacity_step": "mAh/g",
    "irreversible_capacity": "mAh/g",
    "cell_capacity": "mAh/g",
    "capacity_not_of_metals": "mAh/g",
    "lithium": "1",
    "oxygen_loss": "1",
    "oxygen_loss_share": "%",
    "holes_per_oxygen": "1",
    "li_tm_vacancies": "1",
    "li_tm_densified": "1",
    "density_vacancies": "%",
    "density_densified": "%",
    "density_difference": "%",
}
DEFINITIONS: Mapping[str, str] = {
    "valence": "mean valence of the element; of the metals: mean over all cations besides lithium",
    "capacity": "Δz n F / (3.6 M) since the first state, positive on charge; M is the mass of the formula unit",
    "capacity_step": "the same since the state before",
    "irreversible_capacity": "capacity since the first state that a discharged state has not given back; below 0: "
    "the element is more reduced than at first",
    "cell_capacity": "charge of the cell since the first state, as given",
    "capacity_not_of_metals": "cell capacity minus that of the metals: oxygen, and side reactions of the cell",
    "lithium": "lithium per formula unit: as given, or from the cell capacity",
    "oxygen_loss": "oxygen per formula unit that would be missing if all charge that lithium and metals have lost since "
    "the first state, and oxygen has not gained, were oxygen released at a valence of −2",
    "oxygen_loss_share": "the same in percent of the oxygen of the formula",
    "holes_per_oxygen": "electron holes per oxygen atom if no oxygen is missing: the other reading of the same charge",
    "li_tm_vacancies": "lithium per metal if the missing oxygen leaves vacancies",
    "li_tm_densified": "lithium per metal if all sites of cations and oxygen are filled and neutral at the measured mean "
    "valence: the lattice has become denser",
    "density_vacancies": "change of the density since the first state, with vacancies at constant volume per oxygen site",
    "density_densified": "the same with all sites filled",
    "density_difference": "density of the dense lattice over that with vacancies, minus 1",
}


def molar_mass(atoms: Mapping[str, float], masses: Mapping[str, float]) -> float:
    """Return the mass of a mole of formula units, g/mol."""
    return float(sum(count * masses[element] for element, count in atoms.items()))


def capacity(valence_change: float, atoms: float, molar_mass_g: float) -> float:
    """Return Δz n F / (3.6 M) in mAh/g.

    Parameters
    ----------
    valence_change : of one atom
    atoms : per formula unit
    molar_mass_g : of the formula unit, g/mol
    """
    return valence_change * atoms * FARADAY / (COULOMB_PER_MAH * molar_mass_g)


def neutral_valence(material: Material, lithium: float) -> float:
    """Return the mean valence of the metals that makes a full formula unit neutral."""
    return float((-OXIDE * material.atoms[OXYGEN] - lithium) / material.metal_atoms)


def densified(material: Material, mean_valence: float) -> dict[str, float]:
    """Return the formula with all sites filled that is neutral at a mean valence of the metals.

    Sites are those of the formula unit: s cations for c oxygen. With t metals and s − t lithium,
    s − t + t V = 2 c, so t = (2 c − s) / (V − 1). The metals keep their proportions.

    Returns
    -------
    element -> atoms per formula unit; NaN where no such lattice exists (t above s, V at most 1)
    """
    sites = material.atoms.get(LITHIUM, 0.0) + material.metal_atoms
    charge = -OXIDE * material.atoms[OXYGEN] - sites
    metals = charge / (mean_valence - 1) if mean_valence > 1 else float("nan")
    if not 0 < metals <= sites:
        metals = float("nan")
    share = metals / material.metal_atoms
    return {
        LITHIUM: sites - metals,
        OXYGEN: material.atoms[OXYGEN],
        **{element: material.atoms[element] * share for element in material.metals},
    }


def with_vacancies(material: Material, oxygen_loss: float, lithium: float) -> dict[str, float]:
    """Return the formula after a loss of oxygen that leaves vacancies; cations stay."""
    return {**material.atoms, OXYGEN: material.atoms[OXYGEN] - oxygen_loss, LITHIUM: lithium}


def density_change(atoms: Mapping[str, float], material: Material, base: Mapping[str, float]) -> float:
    """Return the density of one formula over that of another, minus 1, in percent.

    Both have the same number of oxygen sites, and the same volume per oxygen site.
    """
    return 100 * (molar_mass(atoms, material.masses) / molar_mass(base, material.masses) - 1)


def balance(material: Material, states: Sequence[State]) -> list[Row]:
    """Return the charge balance of several states; the first is the one that others refer to.

    Intervals follow from the errors of the valences; elements and states are independent. All
    metals of the formula need a valence in every state, or a fixed one.

    Parameters
    ----------
    material : formula unit of the first state
    states : in order of time
    """
    rows: list[Row] = []
    for place, state in enumerate(states):
        rows += valence_rows(material, state)
        rows += _capacities(material, states, place)
        rows += _oxygen(material, states[0], state)
        if state.discharged and place:
            rows += _lattices(material, states[0], state)
    return rows


def mean_valence(material: Material, state: State) -> Estimate:
    """Return the mean valence of the metals."""
    return combined(_charges(material, state)).times(1 / material.metal_atoms)


def lithium_of(material: Material, state: State) -> float | None:
    """Return the lithium of a state: as given, or from the charge of the cell; None if unknown."""
    if state.lithium is not None:
        return state.lithium
    if state.capacity_mah_g is None:
        return None
    return material.atoms.get(LITHIUM, 0.0) - state.capacity_mah_g / capacity(1.0, 1.0, material.molar_mass)


def _charges(material: Material, state: State) -> list[tuple[float, Estimate]]:
    """Return atoms and valence of each metal."""
    fixed = {element: Estimate(valence) for element, valence in material.fixed.items()}
    return [(material.atoms[e], (fixed | dict(state.valences))[e]) for e in material.metals]


def _row(state: State, element: str, quantity: str, found: Estimate) -> Row:
    return Row(state.name, element, quantity, UNITS[quantity], found.value, found.interval)


def valence_rows(material: Material, state: State) -> list[Row]:
    """Return the valences of a state: of each measured element, and the mean of the metals."""
    measured = [element for element in material.atoms if element in state.valences]
    rows = [_row(state, element, "valence", state.valences[element]) for element in measured]
    return [*rows, _row(state, METALS, "valence", mean_valence(material, state))]


def _capacities(material: Material, states: Sequence[State], place: int) -> list[Row]:
    """Return capacities since the first state and since the one before, of elements and metals."""
    state, first, before = states[place], states[0], states[max(place - 1, 0)]
    of_one = {
        e: capacity(1.0, material.atoms[e], material.molar_mass)
        for e in state.valences
        if e in material.atoms
    }
    rows = []
    wanted = [("capacity", first), ("capacity_step", before)]
    if state.discharged and place:
        wanted.append(("irreversible_capacity", first))
    for quantity, since in wanted:
        for element in (*[e for e in of_one if e != OXYGEN], METALS, *[e for e in of_one if e == OXYGEN]):
            parts = [e for e in of_one if e != OXYGEN] if element == METALS else [element]
            terms = [
                (sign * of_one[e], one.valences[e]) for e in parts for sign, one in ((1, state), (-1, since))
            ]
            # A state minus itself is 0 without an error.
            found = Estimate(0.0) if since is state else combined(terms)
            rows.append(_row(state, element, quantity, found))
    if state.capacity_mah_g is not None:
        metals = next(r for r in rows if r.element == METALS and r.quantity == "capacity")
        cell = state.capacity_mah_g
        rows.append(_row(state, "", "cell_capacity", Estimate(cell)))
        left = (cell - metals.interval[1], cell - metals.interval[0])
        rows.append(Row(state.name, "", "capacity_not_of_metals", "mAh/g", cell - metals.value, left))
    return rows


def oxygen_loss(material: Material, first: State, state: State) -> Estimate:
    """Return the oxygen that is missing per formula unit if oxygen has released the missing charge.

    Neutral: x + Σ nᵢ zᵢ = −z_O c. What lithium and metals have lost since the first state, and
    oxygen has not balanced with a measured valence, is divided by 2. NaN if the lithium of a state
    is unknown.
    """
    one, other = lithium_of(material, first), lithium_of(material, state)
    if one is None:
        one = material.atoms.get(LITHIUM, 0.0)
    if first is state or other is None:
        return Estimate(0.0) if first is state else Estimate(float("nan"), float("nan"))
    terms = [(-n, z) for n, z in _charges(material, state)] + _charges(material, first)
    if OXYGEN in state.valences and OXYGEN in first.valences:
        terms += [
            (material.atoms[OXYGEN], first.valences[OXYGEN]),
            (-material.atoms[OXYGEN], state.valences[OXYGEN]),
        ]
    return combined([(1.0, Estimate(one - other)), *terms]).times(-1 / OXIDE)


def _oxygen(material: Material, first: State, state: State) -> list[Row]:
    lithium, lost = lithium_of(material, state), oxygen_loss(material, first, state)
    if state is first and lithium is None:
        lithium = material.atoms.get(LITHIUM, 0.0)
    if lithium is None:
        return []
    oxygen = material.atoms[OXYGEN]
    return [
        _row(state, LITHIUM, "lithium", Estimate(lithium)),
        _row(state, OXYGEN, "oxygen_loss", lost),
        _row(state, OXYGEN, "oxygen_loss_share", lost.times(100 / oxygen)),
        _row(state, OXYGEN, "holes_per_oxygen", lost.times(-OXIDE / oxygen)),
    ]


def _lattices(material: Material, first: State, state: State) -> list[Row]:
    """Return lithium per metal and density for vacancies and for a denser lattice."""
    found = lithium_of(material, state)
    if found is None:
        return []
    lithium, valence = float(found), mean_valence(material, state)
    lost = oxygen_loss(material, first, state)

    def ratio(atoms: Mapping[str, float]) -> float:
        return atoms[LITHIUM] / sum(atoms[element] for element in material.metals)

    def numbers(mean: float, loss: float) -> dict[str, float]:
        open_lattice, dense = with_vacancies(material, loss, lithium), densified(material, mean)
        return {
            "li_tm_vacancies": ratio(open_lattice),
            "li_tm_densified": ratio(dense),
            "density_vacancies": density_change(open_lattice, material, material.atoms),
            "density_densified": density_change(dense, material, material.atoms),
            "density_difference": density_change(dense, material, open_lattice),
        }

    middle = numbers(valence.value, lost.value)
    # A higher valence goes with a smaller loss: both ends of the intervals in step.
    ends = [numbers(mean, loss) for mean, loss in zip(valence.interval, reversed(lost.interval), strict=True)]
    return [
        Row(
            state.name,
            "",
            key,
            UNITS[key],
            value,
            (float(np.min([end[key] for end in ends])), float(np.max([end[key] for end in ends]))),
        )
        for key, value in middle.items()
    ]
