"""Check one raw series, and several series of one branch, before a run."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from oxytomo.arrays import AnyArray, Float64Array, IntArray
from oxytomo.config import ImageSource, ProjectConfig, Source, expand
from oxytomo.config.plan import branch_config, branch_sources, sample_branches
from oxytomo.errors import InputError, PipelineError
from oxytomo.preprocess.plausible import require_plausible
from oxytomo.units import OF_ENERGY_EV

if TYPE_CHECKING:  # the command line does not import the readers
    from oxytomo.io.readers.base import ReadRequest, SeriesSummary

SILENT_FORMATS = ("TIFF", "EDF")
"""Formats whose files contain neither energy nor pixel size nor angles."""
_MOST_FILES = 4
ENERGY_TOLERANCE_EV, ENERGY_TOLERANCE = 1.0, 1e-3
PIXEL_TOLERANCE = 0.01
ANGLE_TOLERANCE_DEG = 0.01


@dataclass(frozen=True)
class SeriesFacts:
    """Facts of one raw series from its header and some of its frames.

    Attributes
    ----------
    place : place in the configuration, e.g. ``samples.a.composition.edges.Mn.pre``
    shape : (n_frame, n_y, n_x)
    tilt_deg : (n_frame,) degrees, in acquisition order
    energy_ev, pixel_nm : NaN if neither file nor configuration contains them
    quantity : quantity of the pixels
    n_flat, n_dark : number of flat and dark frames
    energy_range_ev : lowest and highest energy of a stack, None for a tilt series
    ends : first and last frame: file, angle or energy
    values : smallest and largest value in the frames that were read, None if none was
    n_looked : number of frames that were read
    prints : digest of each of these frames, empty for constant frames
    content : what a labelled volume contains, in words
    """

    place: str
    shape: tuple[int, int, int]
    tilt_deg: tuple[float, ...]
    energy_ev: float
    pixel_nm: float
    quantity: str
    n_flat: int
    energy_range_ev: tuple[float, float] | None = None
    n_dark: int = 0
    ends: tuple[str, str] | None = None
    values: tuple[float, float] | None = None
    n_looked: int = 0
    prints: tuple[str, ...] = ()
    content: str = ""


def describe(series: SeriesFacts) -> str:
    """Return one line about a series."""
    n, rows, columns = series.shape
    if series.quantity in ("volume", "labels"):
        return f"{n} × {rows} × {columns} voxels of {series.pixel_nm:.4g} nm"
    if series.quantity == "map" and series.energy_range_ev is not None:
        low, high = series.energy_range_ev
        return f"map of {rows} excitations, {low:g} to {high:g} eV, × {columns} emission energies"
    tilts = np.sort(series.tilt_deg)
    energy = f", {series.energy_ev:g} eV" if np.isfinite(series.energy_ev) else ""
    if series.energy_range_ev is not None:
        energy = f", {series.energy_range_ev[0]:g} to {series.energy_range_ev[1]:g} eV"
    pixel = f", {series.pixel_nm:.4g} nm pixels" if np.isfinite(series.pixel_nm) else ""
    span = f", {tilts[0]:g}° to {tilts[-1]:g}°" if tilts.size and np.isfinite(tilts).all() else ""
    return f"{n} frame{'s' * (n != 1)} of {rows} × {columns}{span}{energy}{pixel}, {series.quantity}"


def describe_frames(series: SeriesFacts) -> str:
    """Return a second line: flats and darks, first and last frame, values."""
    if series.content:
        return series.content
    if series.quantity == "volume":
        low, high = series.values or (float("nan"), float("nan"))
        return f"values {low:.5g} to {high:.5g} in {_counted(series.n_looked, 'slice')}"
    if series.quantity == "map" and series.values is not None:
        return f"values {series.values[0]:.5g} to {series.values[1]:.5g}"
    parts = [f"{_counted(series.n_flat, 'flat')}, {_counted(series.n_dark, 'dark')}"]
    if series.ends is not None:
        first, last = series.ends
        parts.append(f"first frame {first}, last {last}" if first != last else f"frame {first}")
    if series.values is not None:
        low, high = series.values
        parts.append(f"values {low:.5g} to {high:.5g} in {_counted(series.n_looked, 'frame')}")
    return "; ".join(parts)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def ends_of(files: Sequence[tuple[str, int]], values: Float64Array, unit: str) -> tuple[str, str] | None:
    """Return first and last frame as text: the file, if there are several, and angle or energy.

    Parameters
    ----------
    files : name and number of frames of each file
    values : (n_frame,) angles or energies in the order of the frames, NaN if unknown
    unit : text after the number
    """
    if not files or values.size == 0:
        return None
    texts = []
    for name, value in ((files[0][0], values[0]), (files[-1][0], values[-1])):
        at = f" at {value:.6g}{unit}" if np.isfinite(value) else ""
        texts.append(f"{name}{at}" if len(files) > 1 else f"{at.strip() or 'of ' + name}")
    return texts[0], texts[1]


def files_of_one_energy(summary: "SeriesSummary") -> str:
    """Return advice for a series with several energies: its files with their energies."""
    listed, at = [], 0
    for name, count in summary.files:
        energies = summary.energy_ev[at : at + count]
        at += count
        if count and np.ptp(energies) <= ENERGY_TOLERANCE_EV:
            listed.append(f"{name} ({energies[0]:g} eV)")
    stack = "a stack through an edge belongs to the branch oxidation"
    if len(listed) < 2:
        return f"give the files of one energy; {stack}"
    more = f" … {len(listed) - _MOST_FILES} more" if len(listed) > _MOST_FILES else ""
    return f"give the files of one energy, of {', '.join(listed[:_MOST_FILES])}{more}; {stack}"


def of_energy(
    summary: "SeriesSummary", energy_ev: float | None, place: str
) -> tuple["SeriesSummary", IntArray]:
    """Return the facts of the frames of one energy, and their numbers; without one, of all."""
    numbers: IntArray = np.arange(summary.shape[0])
    if energy_ev is None:
        return summary, numbers
    own = numbers[np.abs(summary.energy_ev - energy_ev) <= OF_ENERGY_EV]
    if own.size == 0:
        known = np.unique(np.round(summary.energy_ev[np.isfinite(summary.energy_ev)], 2))
        raise InputError(
            place,
            expected=f"frames at {energy_ev:g} eV",
            got=", ".join(f"{energy:g}" for energy in known[:8]) or "no energies in the file",
            fix="correct 'energies_ev', or give 'energy_dataset' if the file has them elsewhere",
        )
    chosen = replace(
        summary,
        shape=(own.size, *summary.shape[1:]),
        tilt_deg=summary.tilt_deg[own],
        energy_ev=summary.energy_ev[own],
        pixel_nm=summary.pixel_nm[own],
    )
    return chosen, own


def with_values(facts: SeriesFacts, frames: Sequence[AnyArray]) -> SeriesFacts:
    """Return the facts, completed with values and digests of some frames.

    Raises
    ------
    InputError
        For values that the stated quantity cannot have.
    """
    frames = [np.abs(frame) if np.iscomplexobj(frame) else np.asarray(frame) for frame in frames]
    known = [frame[np.isfinite(frame)] for frame in frames]
    known = [frame for frame in known if frame.size]
    require_plausible(facts.place, known, facts.quantity)
    if not known:
        return replace(facts, n_looked=len(frames))
    values = float(min(frame.min() for frame in known)), float(max(frame.max() for frame in known))
    constant = any(np.ptp(frame) == 0 for frame in known)
    prints = () if constant else tuple(_digest(frame) for frame in frames)
    return replace(facts, values=values, n_looked=len(frames), prints=prints)


def _digest(frame: AnyArray) -> str:
    plain = np.ascontiguousarray(frame, np.float64)
    return hashlib.sha256(plain.tobytes()).hexdigest()


def copied_series(facts: Mapping[str, SeriesFacts]) -> Iterator[PipelineError]:
    """Yield pairs of series with identical frames; noise differs, so one is a copy of the other."""
    for one, other in combinations(facts.values(), 2):
        if one.prints and one.prints == other.prints and one.shape == other.shape:
            yield InputError(
                other.place,
                expected="frames of its own",
                got=f"the frames of {one.place}, value for value",
                fix="give the files of both measurements; one may have been copied under the name of the other",
            )


def shared_files(sources: Mapping[str, ImageSource]) -> Iterator[PipelineError]:
    """Yield series with the same files, and flats or darks that are files of other frames.

    Parameters
    ----------
    sources : sources by place in the configuration
    """
    seen: dict[tuple[object, ...], str] = {}
    for place, source in sources.items():
        key = source_key(source)
        if key in seen:
            yield InputError(
                place,
                expected="files of its own",
                got=f"the files of {seen[key]}",
                fix="give the files of this measurement, or the dataset in the file with 'dataset:'",
            )
        seen.setdefault(key, place)
        if isinstance(source, Source):
            yield from _roles(place, source)


def _roles(place: str, source: Source) -> Iterator[PipelineError]:
    files = {
        role: {os.path.realpath(path) for path in expand(paths)}
        for role, paths in (("images", source.images), ("flat", source.flat), ("dark", source.dark))
    }
    for one, other in (("images", "flat"), ("images", "dark"), ("flat", "dark")):
        common = sorted(files[one] & files[other])
        named = source.dataset, source.flat_dataset, source.dark_dataset
        if common and all(name is None for name in named):
            yield InputError(
                f"{place}.{other}",
                expected=f"other files than for '{one}'",
                got=common[0],
                fix="give the frames without the sample under 'flat', those without light under 'dark'",
            )


def source_key(source: ImageSource) -> tuple[object, ...]:
    """Return the identity of a source: its files, with links resolved, and the part it reads."""
    files = tuple(os.path.realpath(path) for path in expand(source.images))
    return (
        files,
        source.dataset,
        *(getattr(source, name, None) for name in ("angles_range", "spectrum", "only_energy_ev")),
    )


def shared_between_samples(project: ProjectConfig) -> list[str]:
    """Return a line for each series that has the same files as a series of another sample."""
    seen: dict[tuple[object, ...], str] = {}
    lines = []
    for sample, settings in project.samples.items():
        for branch in sample_branches(settings):
            config = branch_config(project, sample, branch)
            for name, source in branch_sources(config).items():
                place = f"samples.{sample}.{branch}"
                key = (branch, *source_key(source))
                if key in seen and not seen[key].startswith(f"{place}:"):
                    lines.append(
                        f"{place}: {name} is read from the same files as {seen[key].replace(':', ' ')}"
                    )
                seen.setdefault(key, f"{place}:{name}")
    return lines


def overridden(place: str, request: "ReadRequest", used: "SeriesSummary") -> list[str]:
    """Return a line for each value of the configuration that differs from the files."""
    from oxytomo.io.readers import peek

    remarks = []
    if request.quantity is not None and used.stated not in (None, request.quantity):
        said = str(used.stated).replace("_", " ")
        remarks.append(f"{place}: quantity {request.quantity} is used; the file says {said}")
    given = (request.energy_ev, request.pixel_nm, request.angles)
    if all(value is None for value in given) or used.format in SILENT_FORMATS:
        return remarks
    plain = replace(request, energy_ev=None, pixel_nm=None, quantity=None, angles=None, angles_range=None)
    with suppress(PipelineError):
        remarks += _differences(place, request, peek(plain), used)
    return remarks  # without the others: these files cannot be read without values of the configuration


def _differences(
    place: str, request: "ReadRequest", said: "SeriesSummary", used: "SeriesSummary"
) -> Iterator[str]:
    for name, wanted, stored, unit, far in (
        ("energy_ev", request.energy_ev, said.energy_ev, "eV", ENERGY_TOLERANCE_EV),
        ("pixel_nm", request.pixel_nm, said.pixel_nm, "nm", PIXEL_TOLERANCE * (request.pixel_nm or 0)),
    ):
        known = stored[np.isfinite(stored)]
        if wanted is not None and known.size and np.abs(known - wanted).max() > far:
            yield f"{place}: {name} {wanted:g} {unit} is used; the file says {known.mean():g} {unit}"
    ours, theirs = used.tilt_deg, said.tilt_deg
    # NaN where unknown
    if request.angles is not None and np.abs(theirs - ours).max() > ANGLE_TOLERANCE_DEG:
        yield (
            f"{place}: the angles given ({ours[0]:g}° for the first frame, {ours[-1]:g}° for the last) are used; "
            f"the file says {theirs[0]:g}° and {theirs[-1]:g}°"
        )


def missing_pixels(facts: SeriesFacts) -> list[PipelineError]:
    """Return the error for a series without a pixel size, which every volume and map needs."""
    if np.isfinite(facts.pixel_nm):
        return []
    return [
        InputError(
            facts.place,
            expected="a pixel size",
            got="none in the file",
            fix="give 'pixel_nm:' (object-plane pixel in nm) beside the images",
        )
    ]


def missing_file(place: str, path: Path) -> InputError:
    """Return the error for a missing file."""
    return InputError(place, expected="an existing file", got=str(path), fix="correct the path")


def fix_of_flats(mean: Float64Array, facts: SeriesFacts) -> str:
    """Return advice for flats without light; unsigned counts read as signed are negative."""
    if facts.values is not None and facts.values[0] < 0 and (mean < 0).mean() > 0.5:
        return "give 'offset: 32768' where 16-bit counts were stored as signed numbers, or replace the flat frames"
    return "replace the flat frames, or crop the detector region without light"
