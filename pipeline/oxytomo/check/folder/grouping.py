"""Group files: frames of one series, series of one sample, their flats, darks and tables."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from oxytomo.check.folder.look import FileFacts
from oxytomo.check.folder.names import NameHints, sample_name

SAME_EV = 0.5
"""Frames whose energies differ by less are of one energy."""
LEAST_ENERGIES = 5
LEAST_TILTS = 3


@dataclass(frozen=True, kw_only=True)
class RawSeries:
    """One raw series: its files in order, with the flats, darks and tables that belong to it.

    ``guesses`` are conclusions from names, numbers of frames or energies, as text.
    """

    files: tuple[FileFacts, ...]
    hints: NameHints
    flat: tuple[Path, ...] = ()
    dark: tuple[Path, ...] = ()
    angles: Path | None = None
    angles_range: tuple[int, int] | None = None
    energies: Path | None = None
    guesses: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of the frames."""
        return tuple(file.path for file in self.files)

    @property
    def n_frame(self) -> int:
        """Number of frames."""
        return sum(file.shape[0] for file in self.files if file.shape is not None)

    @property
    def frame(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        shape = self.files[0].shape or (0, 0, 0)
        return shape[1], shape[2]

    @property
    def energy_ev(self) -> tuple[float, ...]:
        """Distinct energies in increasing order; empty if a file has none."""
        return _distinct(self.files, "energy_ev", SAME_EV)

    @property
    def tilt_deg(self) -> tuple[float, ...]:
        """Distinct tilts in increasing order; empty if a file has none."""
        return _distinct(self.files, "tilt_deg", 1e-3)

    @property
    def energy_range_ev(self) -> tuple[float, float]:
        """Smallest and largest energy; NaN if a file has none."""
        energies = [energy for file in self.files for energy in file.energy_ev]
        return (min(energies), max(energies)) if energies else (float("nan"), float("nan"))

    @property
    def is_stack(self) -> bool:
        """Whether its frames go through energies."""
        n = len(self.energy_ev) if self.energies is None else self.n_frame
        return n >= LEAST_ENERGIES and len(self.tilt_deg) <= 1

    @property
    def is_tilted(self) -> bool:
        """Whether its frames go through tilts."""
        return self.angles is not None or len(self.tilt_deg) >= LEAST_TILTS

    @property
    def n_flat(self) -> int:
        """Flats in its files."""
        return sum(file.n_flat for file in self.files)

    @property
    def pixel_nm(self) -> float | None:
        """Pixel size of the first file."""
        return self.files[0].pixel_nm

    @property
    def label(self) -> str:
        """Name of the first file, and how many there are."""
        more = f" and {len(self.files) - 1} more" if len(self.files) > 1 else ""
        return f"{self.files[0].path.name}{more}"


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Content of a folder: series of each sample, reference spectra, volumes, other files."""

    samples: dict[str, tuple[RawSeries, ...]]
    folder: Path
    spectra: tuple[FileFacts, ...] = ()
    volumes: tuple[FileFacts, ...] = ()
    unused: tuple[FileFacts, ...] = ()


def group(files: Sequence[FileFacts], folder: Path) -> Survey:
    """Return files as samples with their series.

    Single-frame files belong to one series if their names differ only in numbers.
    The remaining words in the names identify samples; where each of these would have a single
    series of several that complete each other (pre and post, elements, distances), they are one
    sample.
    """
    series = [one for run in _runs(files) for one in _by_energy(run)]
    named = [_tables(_flats(one, files, len(series)), files) for one in series]
    taken = {path for one in named for path in (*one.paths, *one.flat, *one.dark, one.angles, one.energies)}
    idle = ("other", "part", "spectrum", "volume")
    return Survey(
        samples=_samples(named, folder),
        folder=folder,
        spectra=tuple(file for file in files if file.role == "spectrum"),
        volumes=tuple(file for file in files if file.role == "volume"),
        unused=tuple(file for file in files if file.path not in taken and file.role not in idle),
    )


def _distinct(files: Iterable[FileFacts], name: str, apart: float) -> tuple[float, ...]:
    found: list[float] = []
    for file in files:
        values = getattr(file, name)
        if not values:
            return ()
        found += values
    kept: list[float] = []
    for value in sorted(found):
        if not kept or value - kept[-1] > apart:
            kept.append(value)
    return tuple(kept)


def _runs(files: Sequence[FileFacts]) -> list[list[FileFacts]]:
    """Return the image files of each run: frames whose names differ in numbers, or one file."""
    runs: dict[tuple[object, ...], list[FileFacts]] = defaultdict(list)
    for file in files:
        if file.role != "images" or file.shape is None:
            continue
        key: tuple[object, ...] = (file.path,)
        if file.shape[0] == 1:
            pattern = re.sub(r"[-+]?[0-9]+", "#", file.path.name)
            hints = file.hints
            key = (
                file.path.parent,
                file.format,
                file.shape,
                pattern,
                hints.element,
                hints.side,
                hints.distance,
            )
        runs[key].append(file)
    return list(runs.values())


def _by_energy(files: list[FileFacts]) -> list[RawSeries]:
    """Return one series of a run, or one per energy if it is not a stack through an edge."""
    whole = RawSeries(files=tuple(files), hints=_common(files))
    energies = whole.energy_ev
    if len(energies) < 2 or whole.is_stack or len(files) == 1:
        return [whole]
    split = []
    for energy in energies:
        part = [file for file in files if abs(file.energy_ev[0] - energy) <= SAME_EV]
        said = f"frames of {energy:g} eV among those of {len(energies)} energies"
        split.append(RawSeries(files=tuple(part), hints=_common(part), guesses=(said,)))
    return split


def _common(files: Sequence[FileFacts]) -> NameHints:
    """Return the hints of the first file, without the numbers that count frames."""
    hints = files[0].hints
    if len(files) == 1 and (files[0].shape or (2,))[0] > 1:
        return hints
    return replace(hints, rest=tuple(word for word in hints.rest if not word.isdigit()))


def _flats(series: RawSeries, files: Sequence[FileFacts], n_series: int) -> RawSeries:
    """Return a series with its separate flats and darks, by frame size, energy and name."""
    found: dict[str, tuple[Path, ...]] = {}
    guesses = list(series.guesses)
    for role in ("flat", "dark"):
        fitting = [
            file
            for file in files
            if file.role == role
            and file.shape is not None
            and file.shape[1:] == series.frame
            and _same_energy(file, series)
        ]
        own = [file for file in fitting if _akin(file, series)]
        chosen = own or (fitting if n_series == 1 or role == "dark" else [])
        if not own and not chosen:
            near = [file for file in fitting if file.path.parent == series.files[0].path.parent]
            chosen = near if not any(file.hints.rest for file in near) else []
        if chosen and not (role == "flat" and series.n_flat):
            found[role] = tuple(file.path for file in chosen)
            guesses.append(f"{_counted(len(chosen), role)} by name, frame size and energy")
    return replace(series, flat=found.get("flat", ()), dark=found.get("dark", ()), guesses=tuple(guesses))


def _counted(number: int, role: str) -> str:
    return f"{number} file{'s' if number != 1 else ''} of {role} frames"


def _same_energy(file: FileFacts, series: RawSeries) -> bool:
    energies = series.energy_ev
    if not file.energy_ev or not energies:
        return True
    return min(abs(file.energy_ev[0] - energy) for energy in energies) <= SAME_EV


def _akin(file: FileFacts, series: RawSeries) -> bool:
    """Return True if two names agree in their words, element, side of the edge and distance."""
    mine = [word for word in series.hints.rest if not word.isdigit()]
    its = [word for word in file.hints.rest if not word.isdigit()]
    agree = all(
        getattr(file.hints, name) in (None, getattr(series.hints, name))
        for name in ("element", "side", "distance")
    )
    said = bool(its) or any(getattr(file.hints, name) is not None for name in ("element", "side", "distance"))
    return agree and said and (mine == its or not its)


def _tables(series: RawSeries, files: Sequence[FileFacts]) -> RawSeries:
    """Return a series with the table of angles or energies that fits its number of frames."""
    n = series.n_frame
    tables = [file for file in files if file.role in ("angles", "energies")]
    if not series.tilt_deg and n > 1 and not series.is_stack:
        for file in _nearest_first(tables, series, "angles"):
            rows = _rows_that_fit(file.tilt_deg, n)
            if rows is None:
                continue
            said = f"angles from {file.path.name}, {len(file.tilt_deg)} rows for {n} frames"
            part = None if rows == (0, len(file.tilt_deg)) else rows
            if part is not None:
                said += f": rows {part[0]} to {part[1] - 1}, the only {n} in a row that go one way without repeats"
            return replace(series, angles=file.path, angles_range=part, guesses=(*series.guesses, said))
    by_names = [file.energy_ev[0] for file in series.files if file.energy_named]
    if (
        (not series.energy_ev or (by_names and series.is_stack))
        and n >= LEAST_ENERGIES
        and not series.is_tilted
    ):
        for file in _nearest_first(tables, series, "energies"):
            if len(file.energy_ev) == n and _agree(file.energy_ev, by_names):
                said = f"energies from {file.path.name}, as many rows as frames"
                return replace(series, energies=file.path, guesses=(*series.guesses, said))
    return series


def _agree(table: Sequence[float], names: Sequence[float]) -> bool:
    """Return True if the energies of a table match those of the names, frame by frame.

    Missing metadata count as agreement.
    """
    return not names or all(abs(a - b) <= 1.0 for a, b in zip(table, names, strict=False))


def _nearest_first(tables: Iterable[FileFacts], series: RawSeries, role: str) -> list[FileFacts]:
    """Return the tables of a role, those beside the series first, then those of its element."""
    folder = series.files[0].path.parent
    element = series.hints.element
    fitting = [file for file in tables if file.role == role and file.hints.element in (None, element)]
    return sorted(fitting, key=lambda file: (file.hints.element != element, file.path.parent != folder))


def _rows_that_fit(tilts: Sequence[float], n: int) -> tuple[int, int] | None:
    """Return the rows [first, last) of a table for n frames: all, or the one monotonic run of n."""
    if len(tilts) == n:
        return 0, n
    if len(tilts) < n or n < LEAST_TILTS:
        return None
    steps = [b - a for a, b in pairwise(tilts)]
    typical = sorted(abs(step) for step in steps)[len(steps) // 2]
    runs: list[tuple[int, int]] = []
    start = 0
    for at in range(1, len(tilts) + 1):
        goes_on = at < len(tilts) and abs(steps[at - 1]) > typical / 2
        if goes_on and at - start >= 2:
            goes_on = (steps[at - 1] > 0) == (steps[at - 2] > 0)
        if not goes_on:
            runs.append((start, at))
            start = at
    fitting = [(first, last) for first, last in runs if last - first == n]
    return fitting[0] if len(fitting) == 1 else None


def _samples(series: list[RawSeries], folder: Path) -> dict[str, tuple[RawSeries, ...]]:
    """Return series by the name of their sample."""
    groups: dict[tuple[Path, str], list[RawSeries]] = defaultdict(list)
    for one in series:
        groups[_place(one, folder), one.hints.sample].append(one)
    if (
        len(groups) > 1
        and all(len(members) == 1 for members in groups.values())
        and _complete_each_other(series)
    ):
        place = folder if len({place for place, _ in groups}) > 1 else _place(series[0], folder)
        groups = {(place, ""): series}
    found: dict[str, tuple[RawSeries, ...]] = {}
    for (place, words), members in groups.items():
        name = plain = sample_name(words, place, folder)
        number = 2
        while name in found:
            name, number = f"{plain}_{number}", number + 1
        found[name] = tuple(members)
    return found


def _place(series: RawSeries, folder: Path) -> Path:
    """Return the folder of a sample, not of one series, element or distance."""
    place = series.files[0].path.parent
    return place if place.is_relative_to(folder) else folder


def _complete_each_other(series: Sequence[RawSeries]) -> bool:
    """Return True if series differ in element, side of the edge or distance in their names."""
    said = [(one.hints.element, one.hints.side, one.hints.distance) for one in series]
    return len(set(said)) == len(said) and all(any(part is not None for part in one) for one in said)
