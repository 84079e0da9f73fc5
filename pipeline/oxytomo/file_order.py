"""Natural order of files for patterns, folders and slices: by the value of their numbers.

``frame_2`` comes before ``frame_10``, ``Mn_635.25`` before ``Mn_635.5``, ``tilt_-66`` before
``tilt_-3`` and ``tilt_3``. All names together decide whether a mark is a sign, a decimal mark or
only a separator.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

_INTEGER = r"[0-9]+"
_NUMBER = re.compile(
    rf"(?P<sign>[-+−])?(?<![0-9])(?P<whole>{_INTEGER})"
    rf"(?:(?P<mark>[.,p])(?P<part>{_INTEGER})(?![.,p]?[0-9]))?"
    r"(?:[eE](?P<power>[-+]?[0-9]{1,3})(?!\.?[0-9]))?"
)
_MINUS = "-−"
_Key = tuple[str, Decimal]


def natural_order(paths: Iterable[Path]) -> list[Path]:
    """Return paths sorted by the texts and numbers of their names.

    Each rule applies to all names that are the same before the mark:

    * ``-`` or ``+`` before a digit is a sign after ``_``, a blank and the like, and after a letter
      or digit where others have no mark, or the other one, in its place (``a-5``, ``a5``). It is a
      separator where every name has ``-`` before a whole number and these numbers count up from 0
      or 1 (``scan_-001``, ``scan_-002``).
    * ``.``, ``,`` and ``p`` between digits are decimal marks, unless digits behind them end in
      zeros although their number differs (``1.9``, ``1.10``: two whole numbers), or a third group
      of digits follows (``2024.01.03``).
    * ``1e-05`` and ``6.4e2`` are one number.
    """
    unsorted = list(paths)
    names = [_without_suffix(path) for path in unsorted]
    found = [_matches(name) for name in names]
    signs, decimals = _signs(names, found), _decimals(names, found)
    keys = [_key(name, matches, signs, decimals) for name, matches in zip(names, found, strict=True)]
    return [unsorted[i] for i in sorted(range(len(names)), key=lambda i: (keys[i], str(unsorted[i])))]


def _without_suffix(path: Path) -> str:
    """Return a path without the text after its last point, unless that starts with a digit."""
    suffix = path.suffix
    return str(path) if suffix[1:2].isdigit() else str(path)[: len(str(path)) - len(suffix)]


def _matches(name: str) -> list[re.Match[str]]:
    return list(_NUMBER.finditer(name))


def _before(name: str, match: re.Match[str]) -> str:
    """Return the text before a match's number and sign, with # for every number in it."""
    return re.sub(r"[-+−]?[0-9]+(?:[.,p][0-9]+)?", "#", name[: match.start()])


def _signs(names: list[str], found: list[list[re.Match[str]]]) -> dict[str, bool]:
    """Return, for each text before a number, whether the mark there is a sign."""
    marks: dict[str, set[str]] = defaultdict(set)
    counted: dict[str, list[str]] = defaultdict(list)
    for name, matches in zip(names, found, strict=True):
        for match in matches:
            before = _before(name, match)
            sign = match["sign"] or ""
            marks[before].add("-" if sign and sign in _MINUS else sign)
            counted[before].append("." if match["part"] or match["power"] else match["whole"])
    return {before: _is_sign(before, seen, counted[before]) for before, seen in marks.items()}


def _is_sign(before: str, seen: set[str], numbers: list[str]) -> bool:
    if seen == {"-"} and len(numbers) > 1 and "." not in numbers:
        values = sorted(int(number) for number in numbers)
        if values[0] in (0, 1) and values == list(range(values[0], values[0] + len(values))):
            return False
    last = before[-1:]
    if last == "#":  # a number precedes it, as in a date
        return {"-", "+"} <= seen
    return len(seen) > 1 if last.isalpha() else True


def _decimals(names: list[str], found: list[list[re.Match[str]]]) -> dict[tuple[str, str], bool]:
    """Return whether digits after a mark are decimals, from the text before number and mark."""
    parts: dict[tuple[str, str], set[str]] = defaultdict(set)
    for name, matches in zip(names, found, strict=True):
        for match in matches:
            if match["mark"]:
                parts[_before(name, match), match["mark"]].add(match["part"])
    return {
        place: len({len(part) for part in seen}) == 1
        or not any(len(part) > 1 and part.endswith("0") for part in seen)
        for place, seen in parts.items()
    }


def _key(
    name: str, matches: list[re.Match[str]], signs: dict[str, bool], decimals: dict[tuple[str, str], bool]
) -> list[_Key]:
    """Return texts and the numbers behind them, one after the other."""
    key: list[_Key] = []
    at = 0
    for match in matches:
        before = _before(name, match)
        signed = bool(match["sign"]) and signs[before]
        start = match.start() if signed or not match["sign"] else match.start("whole")
        minus = "-" if signed and match["sign"] in _MINUS else ""
        power = f"e{match['power']}" if match["power"] and _scientific(match) else ""
        if match["mark"] is None:
            key.append((name[at:start], Decimal(f"{minus}{match['whole']}{power}")))
        elif decimals[before, match["mark"]] and not _third(name, match):
            key.append((name[at:start], Decimal(f"{minus}{match['whole']}.{match['part']}{power}")))
        else:
            key.append((name[at:start], Decimal(f"{minus}{match['whole']}")))
            key.append((match["mark"], Decimal(match["part"])))
        at = match.end() if power or not match["power"] else match.start("power") - 1
        if at < match.end():  # digits after an e that is not an exponent
            rest = name[at : match.end()]
            key.append((rest[:1], Decimal(rest[1:])))
            at = match.end()
    return [*key, (name[at:], Decimal(0))]


def _third(name: str, match: re.Match[str]) -> bool:
    """Return whether digits and a mark precede a number: then it is not a decimal number."""
    start = match.start("whole")
    return (
        not match["sign"] and name[start - 1 : start] in (".", ",", "p") and name[: start - 1][-1:].isdigit()
    )


def _scientific(match: re.Match[str]) -> bool:
    """An exponent has a sign (``1e-05``) or decimals before it (``6.4e2``).

    ``3e2`` is a word of letters and digits.
    """
    return bool(match["part"]) or match["power"][0] in "-+"
