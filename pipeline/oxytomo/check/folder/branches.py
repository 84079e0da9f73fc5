"""Branches of a sample from its series: edges, element maps, stacks, distances, volumes."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from oxytomo.check.folder.grouping import LEAST_TILTS, RawSeries
from oxytomo.check.folder.look import FileFacts
from oxytomo.check.folder.names import looks_like_projections, reference_of
from oxytomo.config import Branch
from oxytomo.config.elements import SYMBOLS, TRANSITION_METALS
from oxytomo.config.oxidation import MAX_REFERENCES
from oxytomo.errors import PipelineError

Route = Literal["edges", "elements", "source", "stacks", "projections", "volume"]
_LIKELY = ("O", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn")
"""Elements that are identified by their edges if the names do not give them."""
_WIDEST_PAIR = 0.06
"""Two energies of an edge differ by less, in parts of the energy."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One branch of a sample.

    Attributes
    ----------
    branch, route : the branch, and which way into it
    entries : its series by their place below the route: ``Mn.pre``, ``Mn``, ``1``
    volume : the file of a volume in a volume format
    spectra : per element reference spectra by valence
    guesses : conclusions as text
    """

    branch: Branch
    route: Route
    entries: tuple[tuple[str, RawSeries], ...] = ()
    volume: Path | None = None
    spectra: dict[str, tuple[tuple[float, Path], ...]] | None = None
    guesses: tuple[str, ...] = ()


def choose(
    series: Sequence[RawSeries], spectra: Sequence[FileFacts], wanted: Branch | None
) -> tuple[list[Choice], list[RawSeries]]:
    """Return the branches for the series of one sample, and the series without a branch.

    Parameters
    ----------
    series : the series of one sample
    spectra : reference spectra in the same folders
    wanted : branch of a series without tilts or energies, given by the user
    """
    stacks = [one for one in series if one.is_stack]
    left = [one for one in series if not one.is_stack]
    found = _oxidation(stacks, spectra) if stacks else []
    for step in (_projections, _pairs, _elements):
        more, left = step(left)
        found += more
    if not found and left:
        found.append(_alone(left[0], wanted))
        left = left[1:]
    return found, left


def _oxidation(stacks: Sequence[RawSeries], spectra: Sequence[FileFacts]) -> list[Choice]:
    """Return the branch of stacks with the reference spectra of their elements."""
    entries: list[tuple[str, RawSeries]] = []
    guesses: list[str] = []
    for stack in stacks:
        element = stack.hints.element
        low, high = stack.energy_range_ev
        if element is None:
            fitting = [symbol for symbol in _LIKELY if _edge(symbol, low, high)]
            element = fitting[0] if len(fitting) == 1 else None
            if element is not None:
                said = f"{stack.label} is of {element}: the only edge within {low:g} to {high:g} eV of {', '.join(_LIKELY)}"
                guesses.append(said)
        if element is None or element in [name for name, _ in entries]:
            guesses.append(f"{stack.label}: no element of its own found; it is left out")
            continue
        entries.append((element, stack))
    if not entries:
        return []
    references = {element: _references(element, stack, spectra) for element, stack in entries}
    for element, chosen in references.items():
        if chosen:
            names = ", ".join(f"{path.name} ({valence:g})" for valence, path in chosen)
            guesses.append(f"valences of the references of {element} by their names: {names}")
    return [
        Choice(
            branch="oxidation",
            route="stacks",
            entries=tuple(entries),
            spectra=references,
            guesses=tuple(guesses),
        )
    ]


def _references(
    element: str, stack: RawSeries, spectra: Sequence[FileFacts]
) -> tuple[tuple[float, Path], ...]:
    """Return a reference spectrum per valence of an element, from the folder with most of them.

    The result is empty with fewer than two valences.
    """
    folders: dict[Path, dict[float, Path]] = defaultdict(dict)
    for spectrum in spectra:
        known = reference_of(spectrum.path)
        low, high = min(spectrum.energy_ev), max(spectrum.energy_ev)
        overlaps = not stack.energy_ev or (low < stack.energy_ev[-1] and high > stack.energy_ev[0])
        if known is not None and known[0] == element and overlaps:
            folders[spectrum.path.parent].setdefault(known[1], spectrum.path)
    best = max(folders.values(), key=len, default={})
    return tuple(sorted(best.items()))[:MAX_REFERENCES] if len(best) > 1 else ()


def _projections(series: list[RawSeries]) -> tuple[list[Choice], list[RawSeries]]:
    """Return the branch of a scan at several distances, by names or by different pixel sizes."""
    chosen = [
        one
        for one in series
        if one.is_tilted and one.hints.distance is not None and one.hints.element is None
    ]
    why = "distances by the names of the files"
    if len(chosen) < 2:
        alike = [
            one for one in series if one.is_tilted and one.hints.element is None and one.hints.side is None
        ]
        energies = {one.energy_ev for one in alike}
        pixels = {round(one.pixel_nm, 3) for one in alike if one.pixel_nm is not None}
        same = len(energies) == 1 and len({one.n_frame for one in alike}) == 1
        chosen = alike if len(alike) > 1 and same and len(pixels) == len(alike) else []
        why = "a scan at several distances: the same energy and number of frames, other pixel sizes"
    if len(chosen) < 2:
        return [], series
    ordered = sorted(chosen, key=lambda one: (one.hints.distance or 0, one.pixel_nm or 0.0))
    entries = tuple((str(number), one) for number, one in enumerate(ordered, start=1))
    choice = Choice(branch="structure", route="projections", entries=entries, guesses=(why,))
    return [choice], [one for one in series if one not in chosen]


def _pairs(series: list[RawSeries]) -> tuple[list[Choice], list[RawSeries]]:
    """Return the branches of edge pairs: composition (tilt series), areal density (one angle)."""
    pairs: dict[str, tuple[RawSeries, RawSeries]] = {}
    guesses: list[str] = []
    named: dict[str, list[RawSeries]] = defaultdict(list)
    for one in series:
        if one.hints.element is not None and (one.energy_ev or one.hints.side):
            named[one.hints.element].append(one)
    for element, members in named.items():
        pair = _pair(element, members, guesses)
        if pair is not None:
            pairs[element] = pair
    rest = sorted(
        (one for one in series if one.hints.element is None and one.energy_ev), key=lambda s: s.energy_ev
    )
    for low, high in pairwise(rest):
        between = _element_between(low, high)
        taken = [one for pair in pairs.values() for one in pair]
        if between is not None and between not in pairs and low not in taken and high not in taken:
            pairs[between] = (low, high)
            energies = f"{low.energy_ev[0]:g} and {high.energy_ev[0]:g} eV"
            guesses.append(f"{energies} are below and on an edge of {between}")
    tilted = {e: pair for e, pair in pairs.items() if all(one.is_tilted for one in pair)}
    single = {
        e: pair
        for e, pair in pairs.items()
        if all(len(one.tilt_deg) <= 1 for one in pair) and e not in tilted
    }
    found: list[Choice] = []
    if "O" in tilted and any(element in TRANSITION_METALS for element in tilted):
        kept = {
            element: pair
            for element, pair in tilted.items()
            if element == "O" or element in TRANSITION_METALS
        }
        found.append(
            Choice(branch="composition", route="edges", entries=_edges(kept), guesses=tuple(guesses))
        )
    elif single:
        kept = single
        found.append(
            Choice(branch="areal_density", route="edges", entries=_edges(kept), guesses=tuple(guesses))
        )
    used = [one for choice in found for _, one in choice.entries]
    return found, [one for one in series if one not in used]


def _edges(pairs: dict[str, tuple[RawSeries, RawSeries]]) -> tuple[tuple[str, RawSeries], ...]:
    ordered = sorted(pairs, key=lambda element: (element != "O", SYMBOLS.index(element)))
    return tuple(
        (f"{element}.{side}", pairs[element][at])
        for element in ordered
        for at, side in enumerate(("pre", "post"))
    )


def _pair(element: str, members: list[RawSeries], guesses: list[str]) -> tuple[RawSeries, RawSeries] | None:
    """Return the two series of an edge, by name or by the closest energies around the edge."""
    by_side = {side: [one for one in members if one.hints.side == side] for side in ("pre", "post")}
    if len(by_side["pre"]) == len(by_side["post"]) == 1:
        guesses.append(
            f"{element}: {by_side['pre'][0].label} is below the edge, {by_side['post'][0].label} on it (by their names)"
        )
        return by_side["pre"][0], by_side["post"][0]
    ordered = sorted((one for one in members if one.energy_ev), key=lambda one: one.energy_ev)
    for low, high in pairwise(ordered):
        if _edge(element, low.energy_ev[-1], high.energy_ev[0]):
            more = "" if len(members) == 2 else f", chosen of {len(members)} energies"
            said = (
                f"{element}: {low.energy_ev[0]:g} eV is below the edge, {high.energy_ev[0]:g} eV on it{more}"
            )
            guesses.append(said)
            return low, high
    return None


def _element_between(low: RawSeries, high: RawSeries) -> str | None:
    """Return the only likely element with an edge between two close energies."""
    first, last = low.energy_ev[-1], high.energy_ev[0]
    if not first < last < first * (1 + _WIDEST_PAIR) or len(low.energy_ev) > 1 or len(high.energy_ev) > 1:
        return None
    fitting = [symbol for symbol in _LIKELY if _edge(symbol, first, last)]
    return fitting[0] if len(fitting) == 1 else None


def _edge(element: str, low_ev: float, high_ev: float) -> bool:
    """Return True if an edge of an element is between two energies."""
    from oxytomo.composition.cross_sections import edge_between

    try:
        edge_between(element, low_ev, high_ev)
    except PipelineError:
        return False
    return True


def _elements(series: list[RawSeries]) -> tuple[list[Choice], list[RawSeries]]:
    """Return the branch of element maps: tilt series named by elements, including oxygen."""
    chosen: dict[str, RawSeries] = {}
    for one in series:
        if one.is_tilted and one.hints.element is not None and not one.energy_ev and one.hints.side is None:
            chosen.setdefault(one.hints.element, one)
    if "O" not in chosen or len(chosen) < 2:
        return [], series
    ordered = sorted(chosen, key=lambda element: (element != "O", SYMBOLS.index(element)))
    entries = tuple((element, chosen[element]) for element in ordered)
    said = "maps of elements: files called by an element, without energies; their counts are not calibrated"
    choice = Choice(branch="composition", route="elements", entries=entries, guesses=(said,))
    return [choice], [one for one in series if one not in chosen.values()]


def _alone(series: RawSeries, wanted: Branch | None) -> Choice:
    """Return the branch of a single series: tomogram if it has tilts, else by its frames."""
    as_volume, said = _is_volume(series, wanted)
    if as_volume:
        return Choice(branch="structure", route="volume", entries=(("volume", series),), guesses=said)
    if wanted == "structure":
        return Choice(branch="structure", route="projections", entries=(("1", series),), guesses=said)
    return Choice(branch="tomogram", route="source", entries=(("source", series),), guesses=said)


def _is_volume(series: RawSeries, wanted: Branch | None) -> tuple[bool, tuple[str, ...]]:
    """Return whether frames are slices of a volume, and the reason."""
    if series.is_tilted or wanted == "tomogram":
        return False, ()
    n, size = series.n_frame, max(series.frame)
    ask = "say --branch structure or --branch tomogram where this is wrong"
    if wanted == "structure":
        return series.n_flat == 0 and not series.flat, ()
    if series.n_flat or series.flat:
        return False, ("projections, as there are flat frames",)
    if n < LEAST_TILTS:
        return True, (f"a slice of a volume, as it is a single image without energy; {ask}",)
    by_name = looks_like_projections(series.hints)
    if by_name is not None:
        return not by_name, (f"{'projections' if by_name else 'slices of a volume'}, by the names; {ask}",)
    if n > 2 * size:
        return False, (f"projections: {n} frames are more than twice the {size} pixels of a side; {ask}",)
    return True, (
        f"slices of a volume: {n} frames of {series.frame[0]} × {series.frame[1]} without angles; {ask}",
    )
