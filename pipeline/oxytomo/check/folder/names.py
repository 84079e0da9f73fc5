"""Metadata in file names: element, side of the edge, energy, distance, flat or dark, sample."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from oxytomo.config.elements import SYMBOLS, TRANSITION_METALS

Role = Literal["images", "flat", "dark"]

_ENERGY = re.compile(r"(?<![0-9A-Za-z])(\d{2,6}(?:[.p]\d+)?)[ _]?(k?)ev(?![a-z])", re.IGNORECASE)
_COUNTER = re.compile(r"\d+of\d+", re.IGNORECASE)
_EDGE_WORD = re.compile(r"(K|[LM](?:\d|2,?3)?)(?:[-_ ]?edge)?", re.IGNORECASE)
_JOINED = re.compile(r"([A-Z][a-z]?)(?:K|L(?:[123]|23)?|M(?:[1-5]|45)?)")
_VALENCE = re.compile(r"([A-Z][a-z]?)[_-]?([0-8])\+?")
_DISTANCE = re.compile(r"(?:distance|dist|d|z)(\d+)", re.IGNORECASE)
_PRE = {"pre", "below", "off", "preedge"}
_POST = {"post", "on", "above", "peak", "postedge"}
_FLAT = {
    "flat",
    "flats",
    "ref",
    "refs",
    "reference",
    "white",
    "bright",
    "ff",
    "empty",
    "air",
    "i0",
    "openbeam",
}
_DARK = {"dark", "darks", "bias"}
_DETECTORS = {"haadf", "adf", "bf", "laadf", "maadf"}
_GENERIC = {
    "raw", "data", "proj", "projs", "projection", "projections", "tilt", "tilts", "series", "scan", "scans",
    "frame", "frames", "img", "image", "images", "stack", "stacks", "energy", "xanes", "edge", "tiff", "tiffs",
    "tif", "aligned", "volume", "vol", "rec", "recon", "slices",
}  # fmt: skip
_PROJECTIONS = {"raw", "proj", "projs", "projection", "projections", "tilt", "tilts", "scan"}
_SLICES = {"slice", "slices", "rec", "recon", "volume", "vol", "reconstruction"}
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, kw_only=True)
class NameHints:
    """Metadata in a name; None or empty if absent.

    ``rest`` are the words left over: those of the sample, with numbers.
    """

    element: str | None = None
    side: Literal["pre", "post"] | None = None
    role: Role = "images"
    energy_ev: float | None = None
    distance: int | None = None
    detector: str | None = None
    rest: tuple[str, ...] = ()
    words: frozenset[str] = frozenset()

    @property
    def sample(self) -> str:
        """Words of the sample."""
        return "_".join(self.rest)


def read_name(path: Path) -> NameHints:
    """Return the metadata in the name of a file, and in that of a folder of flats or darks."""
    stem = path.name if path.is_dir() else path.stem
    energy = _ENERGY.search(stem)
    plain = _COUNTER.sub(" ", _ENERGY.sub(" ", stem))
    words = [word for word in re.split(r"[_\-\s.,()+]+", plain) if word]
    element = _element(words)
    rest: list[str] = []
    side, role, distance, detector = None, _folder_role(path), None, None
    seen_element = False
    for word in words:
        low = word.lower()
        joined = _JOINED.fullmatch(word)
        at = _DISTANCE.fullmatch(word)
        if word == element or (joined and joined.group(1) == element):
            seen_element = True
        elif seen_element and _EDGE_WORD.fullmatch(word):
            continue
        elif low in _PRE or low in _POST:
            side = "pre" if low in _PRE else "post"
        elif low in _FLAT or low in _DARK:
            role = "flat" if low in _FLAT else "dark"
        elif at:
            distance = int(at.group(1))
        elif low in ("distance", "dist"):
            distance = -1  # its number is the next word
        elif distance == -1 and word.isdigit():
            distance = int(word)
        elif low in _DETECTORS:
            detector = word
        elif low not in _GENERIC:
            rest.append(word)
    return NameHints(
        element=element,
        side="pre" if side == "pre" else "post" if side == "post" else None,
        role=role,
        energy_ev=None if energy is None else _number(energy.group(1)) * (1e3 if energy.group(2) else 1.0),
        distance=None if distance == -1 else distance,
        detector=detector,
        rest=tuple(rest),
        words=frozenset(word.lower() for word in words) | ({path.parent.name.lower()} - {"raw"}),
    )


def looks_like_projections(hints: NameHints) -> bool | None:
    """Return True for a name of projections, False for a name of slices, None for neither."""
    if hints.words & _SLICES:
        return False
    return True if hints.words & _PROJECTIONS else None


def reference_of(path: Path) -> tuple[str, float] | None:
    """Return element and valence of a reference spectrum from its name.

        Examples are ``Mn_2``, ``Ni3+``, or an oxide, ``Mn2O3``.

    In an oxide oxygen is −2 and what has one valence only has that; the metal that is left takes
    what is missing.
    """
    words = [word for word in re.split(r"[_\s.]+", path.stem) if word]
    if len(words) >= 2 and words[0] in SYMBOLS and words[1].isdigit() and int(words[1]) <= 8:
        return words[0], float(words[1])
    for word in words:
        match = _VALENCE.fullmatch(word)
        if match and match.group(1) in TRANSITION_METALS and "+" in word:
            return match.group(1), float(match.group(2))
        found = _oxide(word)
        if found is not None:
            return found
    return None


_ONE_VALENCE = {
    "Li": 1,
    "Na": 1,
    "K": 1,
    "Mg": 2,
    "Ca": 2,
    "Sr": 2,
    "Ba": 2,
    "Al": 3,
    "Y": 3,
    "La": 3,
    "F": -1,
}


def _oxide(word: str) -> tuple[str, float] | None:
    """Return the transition metal of an oxide and its mean valence."""
    from oxytomo.config.elements import parse_formula

    atoms = parse_formula(word)
    metals = [symbol for symbol in atoms or () if symbol in TRANSITION_METALS and symbol not in _ONE_VALENCE]
    if atoms is None or "O" not in atoms or len(metals) != 1:
        return None
    others = [symbol for symbol in atoms if symbol not in ("O", metals[0])]
    if any(symbol not in _ONE_VALENCE for symbol in others):
        return None
    charge = 2 * atoms["O"] - sum(_ONE_VALENCE[symbol] * atoms[symbol] for symbol in others)
    return metals[0], round(charge / atoms[metals[0]], 3)


def sample_name(words: str, folder: Path, top: Path) -> str:
    """Return a name for a sample, from its files or its folder (except raw or data).

    Parameters
    ----------
    words : words of the names of files
    folder : folder of these files
    top : the folder that the user named
    """
    name, place, above = words, folder.resolve(), top.resolve()
    while not name and place.is_relative_to(above) and place.name:
        if place.name.lower() not in _GENERIC | _FLAT | _DARK:
            name = place.name
        place = place.parent
    if not name:  # the folder is called raw or similar: use its parent, or its own name
        name = above.parent.name if above.name.lower() in ("raw", "data") else above.name
    clean = _NOT_IN_A_NAME.sub("_", name).strip("_-")[:100]
    return clean if clean and clean not in ("logs", "benchmarks") else "sample"


def _element(words: list[str]) -> str | None:
    """Return the element in a name; O and transition metals, and two letters, have priority."""
    found = [word for word in words if word in SYMBOLS]
    found += [
        match.group(1) for word in words if (match := _JOINED.fullmatch(word)) and match.group(1) in SYMBOLS
    ]
    likely = [symbol for symbol in found if symbol == "O" or symbol in TRANSITION_METALS]
    return next(iter([*likely, *sorted(found, key=len, reverse=True)]), None)


def _folder_role(path: Path) -> Role:
    name = path.parent.name.lower()
    return "flat" if name in _FLAT else "dark" if name in _DARK else "images"


def _number(text: str) -> float:
    return float(text.replace("p", "."))
