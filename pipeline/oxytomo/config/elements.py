"""Symbols of the chemical elements by atomic number, and chemical formulas."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

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
    """Refuse keys that are not element symbols."""
    for symbol in value if isinstance(value, dict) else ():
        if symbol not in SYMBOLS:
            guess = closest(str(symbol), SYMBOLS)
            fix = f"did you mean '{guess}'?" if guess else "correct the symbol"
            raise rejected(f"chemical elements as keys of {what}", f"'{symbol}'", fix, key=str(symbol))
    return value


def checked_formula(formula: dict[str, float] | None) -> dict[str, float] | None:
    """Require positive numbers of atoms per formula unit."""
    known_elements(formula, what="the formula")
    for symbol, atoms in (formula or {}).items():
        if not ATOMS[0] <= atoms <= ATOMS[1]:
            wanted = f"a positive number of atoms, {ATOMS[0]:g} to {ATOMS[1]:g}"
            raise rejected(wanted, f"{atoms:g}", "leave out elements that are absent", key=symbol)
    return formula


_PIECE = re.compile(r"([A-Z][a-z]?|[()])|(\d+(?:[.,]\d+)?|[.,]\d+)")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
LONGEST_FORMULA = 200
EXAMPLE = "Li1.2Mn0.56Ni0.16Co0.08O2, or {Li: 1.2, Mn: 0.56, Ni: 0.16, Co: 0.08, O: 2.0}"


def parse_formula(text: str) -> dict[str, float] | None:
    """Return the atoms of a formula such as ``Li1.2Mn0.56O2`` or ``Li(Ni0.8Co0.2)O2``.

    None if the text is not a formula.

    The atoms of an element that occurs twice are added.
    """
    plain = "".join(text.translate(_SUBSCRIPTS).split())
    pieces = _PIECE.findall(plain)
    if not plain or len(plain) > LONGEST_FORMULA or "".join(a + b for a, b in pieces) != plain:
        return None
    levels: list[dict[str, float]] = [{}]
    last: dict[str, float] = {}
    for symbol, number in pieces:
        if number and not last:
            return None  # a number without an element before it
        if number or symbol == ")":
            factor = float(number.replace(",", ".")) if number else 1.0
            if symbol and len(levels) == 1:
                return None
            closed = levels.pop() if symbol else {}
            last = closed if symbol else last
            for name, atoms in last.items():
                more = atoms * factor if number else atoms
                levels[-1][name] = levels[-1].get(name, 0.0) + more - (atoms if number else 0.0)
            last = {} if number else last
        elif symbol == "(":
            levels.append({})
            last = {}
        elif symbol not in SYMBOLS:
            return None
        else:
            levels[-1][symbol] = levels[-1].get(symbol, 0.0) + 1.0
            last = {symbol: 1.0}
    if len(levels) != 1 or not levels[0]:
        return None
    return {symbol: round(atoms, 9) for symbol, atoms in levels[0].items()}


def written_formula(value: Any) -> Any:
    """Return the atoms of a formula given as text; return other values unchanged."""
    if isinstance(value, list | tuple | bool | int | float):
        raise rejected("a formula", repr(value), f"write {EXAMPLE}")
    if not isinstance(value, str):
        return value
    atoms = parse_formula(value)
    if atoms is None:
        got = f"'{value[:LONGEST_FORMULA]}'"
        raise rejected("chemical symbols, each with its number of atoms", got, f"write {EXAMPLE}")
    return atoms


Formula = Annotated[
    dict[str, float], BeforeValidator(written_formula, json_schema_input_type=str | dict[str, float])
]
"""Atoms per formula unit, as a mapping or as text."""


def ordered(elements: Any) -> tuple[str, ...]:
    """Return elements in the order of every store and image: O first, then by atomic number."""
    return tuple(sorted(elements, key=lambda symbol: (symbol != "O", SYMBOLS.index(symbol))))
