"""Symbols of the chemical elements by atomic number, and formulas made of them."""

from typing import Any

from oxytomo.config.base import closest, rejected
from oxytomo.config.ranges import ATOMS

_IN_ORDER = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr "
    "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu "
    "Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U"
)
SYMBOLS: tuple[str, ...] = tuple(_IN_ORDER.split())

_ROWS = (("Sc", "Zn"), ("Y", "Cd"), ("Hf", "Hg"))
TRANSITION_METALS: frozenset[str] = frozenset(
    symbol for first, last in _ROWS for symbol in SYMBOLS[SYMBOLS.index(first) : SYMBOLS.index(last) + 1]
)
"""Elements that count as TM in TM/O (groups 3 to 12)."""


def known_elements(value: Any, *, what: str) -> Any:
    """Refuse keys that are no element symbols."""
    for symbol in value if isinstance(value, dict) else ():
        if symbol not in SYMBOLS:
            guess = closest(str(symbol), SYMBOLS)
            fix = f"did you mean '{guess}'?" if guess else "correct the symbol"
            raise rejected(f"chemical elements as keys of {what}", f"'{symbol}'", fix, key=str(symbol))
    return value


def checked_formula(formula: dict[str, float] | None) -> dict[str, float] | None:
    """Atoms per formula unit must be positive."""
    known_elements(formula, what="the formula")
    for symbol, atoms in (formula or {}).items():
        if not ATOMS[0] <= atoms <= ATOMS[1]:
            wanted = f"a positive number of atoms, {ATOMS[0]:g} to {ATOMS[1]:g}"
            raise rejected(wanted, f"{atoms:g}", "leave out elements that are absent", key=symbol)
    return formula


def ordered(elements: Any) -> tuple[str, ...]:
    """Return elements in the order of every store and image: O first, then by atomic number."""
    return tuple(sorted(elements, key=lambda symbol: (symbol != "O", SYMBOLS.index(symbol))))
