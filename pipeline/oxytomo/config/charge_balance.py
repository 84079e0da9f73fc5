"""Settings of the charge balance: what the valences of several states say of charge and oxygen."""

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from oxytomo.config.base import Settings, rejected, setting
from oxytomo.config.elements import TRANSITION_METALS, Formula, checked_formula, known_elements

Valence = Annotated[float, Field(ge=-4.0, le=8.0)]


class ChargeStateSettings(Settings):
    """What is known of one state besides its valences."""

    lithium: float | None = setting(
        None,
        "lithium per formula unit; empty: from capacity_mah_g, or unknown (no oxygen loss then)",
        unit="atoms",
        ge=0.0,
        le=10.0,
    )
    capacity_mah_g: float | None = setting(
        None,
        "charge of the cell since the first state, per mass of active material, positive on charge",
        unit="mAh/g",
        ge=-2000.0,
        le=2000.0,
    )
    maps: str | None = setting(
        None,
        "state in the names of its scattering maps, such as after of Mn_after, for the columns of bulk and surface; "
        "empty: the name of the group",
    )
    discharged: bool = setting(
        False, "the lithium that can return has returned: what is left is the irreversible part"
    )


class ChargeBalanceSettings(Settings):
    """Charge balance of groups that are states of charge; the first is the state of the formula."""

    formula: Formula = setting(
        ..., "atoms per formula unit in the first state, with Li, O and a transition metal", unit="atoms"
    )
    fixed_valences: dict[str, Valence] = setting(
        {}, "valences of cations that were not measured and do not change, for example {Al: 3}"
    )
    states: dict[str, ChargeStateSettings] = setting(
        {}, "the groups that are states, in order of time; empty: all groups in their order"
    )

    _atoms = field_validator("formula")(checked_formula)
    _symbols = field_validator("fixed_valences", mode="before")(
        lambda value: known_elements(value, what="the fixed valences")
    )

    @model_validator(mode="after")
    def _an_oxide_of_lithium(self) -> "ChargeBalanceSettings":
        """Require lithium, oxygen and a transition metal, and fixed valences of other elements."""
        missing = [element for element in ("Li", "O") if element not in self.formula]
        if missing or not TRANSITION_METALS & set(self.formula):
            got = f"no {' and no '.join(missing)}" if missing else "no transition metal"
            fix = "write the whole formula, e.g. Li1.2Mn0.56Ni0.16Co0.08O2"
            raise rejected("a formula with Li, O and a transition metal", got, fix, key="formula")
        for element in self.fixed_valences:
            if element not in self.formula or element in ("Li", "O"):
                wanted, fix = f"cations of the formula ({', '.join(self.to_measure)})", "correct it"
                raise rejected(wanted, element, fix, key="fixed_valences")
        first = next(iter(self.states.values()), None)
        if first is not None and first.capacity_mah_g:
            raise rejected(
                "no charge in the first state, from which it is counted",
                f"{first.capacity_mah_g:g} mAh/g",
                "count the charge of the other states from the first, or put the state of charge 0 first",
                key="states",
            )
        return self

    @property
    def to_measure(self) -> tuple[str, ...]:
        """Cations of the formula whose valence has to be measured."""
        return tuple(e for e in self.formula if e not in ("Li", "O") and e not in self.fixed_valences)
