"""One tilt series from raw files: join them, apply the request, check, load."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import AnyArray, Field, Float64Array, FloatArray, Quantity, TiltSeries
from oxytomo.errors import InputError
from oxytomo.io.readers.angles import read_angles
from oxytomo.io.readers.base import FrameStack, RawFile, ReadRequest, SeriesSummary
from oxytomo.io.readers.formats import library_errors, open_raw, raw_files
from oxytomo.slabs import View

IN_MEMORY_BYTES = 2**30
"""Larger series are read frame by frame, if the format allows it."""

ENERGY_TOLERANCE_EV = 1.0
"""Largest energy difference of flats and frames; monochromators repeat better than this."""
SAME_ENERGY_EV = 0.05


def frames_on_disk(stacks: Sequence[FrameStack], paths: Sequence[Path], offset: float) -> View:
    """Return the frames of one or several files, each read by its number on access."""
    first = np.cumsum([0, *(stack.shape[0] for stack in stacks)])
    shape, dtype = (int(first[-1]), *stacks[0].shape[1:]), _joint_dtype(stacks, offset)

    def load(key: Any) -> AnyArray:
        number = range(shape[0])[key]
        which = int(np.searchsorted(first, number, side="right")) - 1
        load_one = stacks[which].load_one
        assert load_one is not None
        with library_errors(paths[which]):
            frame = load_one(number - int(first[which]))
        return _moved(frame, offset).astype(dtype, copy=False)

    return View(shape, dtype, load)


def read_tilt_series(request: ReadRequest) -> TiltSeries:
    """Read one raw series: frames in acquisition order, with their metadata.

    Large series are read later, frame by frame.

    Raises
    ------
    InputError
        If the files do not give the requested series; always one line.
    """
    name, files = _open_all(request.images, request, "images")
    flats, darks = _extra(request.flat, request, "flat frames"), _extra(request.dark, request, "dark frames")
    summary = _summary(name, files, flats, darks, request)
    check_angles(summary.tilt_deg, files[0].path)
    _check_flat_energy(summary.energy_ev, flats)
    flat = _load_float(_flat_stacks(files, flats), request)
    joined_flats = flats or [file for file in files if file.flat is not None]
    own = not flats
    return TiltSeries(
        frames=_frames([file.frames for file in files], [file.path for file in files], request.offset),
        tilt_deg=summary.tilt_deg,
        energy_ev=summary.energy_ev,
        pixel_nm=summary.pixel_nm,
        quantity=summary.quantity,
        flat=flat,
        dark=_load_float(_dark_stacks(files, darks), request),
        exposure_s=_joined(files, lambda file: file.exposure_s),
        ring_current_ma=_joined(files, lambda file: file.ring_current_ma),
        flat_exposure_s=_joined(joined_flats, lambda f: f.flat_exposure_s if own else f.exposure_s),
        flat_ring_current_ma=_joined(
            joined_flats, lambda f: f.flat_ring_current_ma if own else f.ring_current_ma
        ),
        flat_position=_flat_position(files) if own else None,
        variance=_variance(files),
        metadata=summary.metadata,
    )


def peek(request: ReadRequest) -> SeriesSummary:
    """Return the facts of a series without reading its frames.

    Angles are NaN where unknown.
    """
    return look(request)[0]


def look(request: ReadRequest) -> tuple[SeriesSummary, Callable[[Sequence[int]], list[AnyArray]]]:
    """Return the facts of a series, and a function that reads single frames of it by number.

    Each file is opened once for both. The function is as :func:`read_some`.
    """
    name, files = _open_all(request.images, request, "images")
    flats, darks = _extra(request.flat, request, "flat frames"), _extra(request.dark, request, "dark frames")
    _check_flat_energy(_energies(files, request), flats)
    counts = [file.frames.shape[0] for file in files]
    return _summary(name, files, flats, darks, request), partial(
        _some, files.__getitem__, counts, offset=request.offset
    )


def read_flat(request: ReadRequest) -> FloatArray | None:
    """Read only the flat frames of a series, (n_flat, n_y, n_x) float32.

    None if there are none.
    """
    files = _open_all(request.images, request, "images")[1]
    return _load_float(_flat_stacks(files, _extra(request.flat, request, "flat frames")), request)


def read_some(
    request: ReadRequest, numbers: Sequence[int], counts: Sequence[int] | None = None
) -> list[AnyArray]:
    """Read single frames of a series by number, (n_y, n_x) each, with the offset added.

    Parameters
    ----------
    request : what to read
    numbers : numbers of the frames in the whole series
    counts : number of frames of each file if known, so that only the needed files are opened
    """
    raw_format, places = raw_files(request.images, "images")
    opened: dict[int, RawFile] = {}

    def file(which: int) -> RawFile:
        if which not in opened:
            opened[which] = open_raw(raw_format, places[which], request)
        return opened[which]

    if counts is None or len(counts) != len(places):
        counts = [file(which).frames.shape[0] for which in range(len(places))]
    return _some(file, counts, numbers, offset=request.offset)


def _some(
    file: Callable[[int], RawFile], counts: Sequence[int], numbers: Sequence[int], *, offset: float
) -> list[AnyArray]:
    """Read single frames of a series; ``file`` returns one of its files by number."""
    firsts = np.cumsum([0, *counts])
    frames = []
    for number in numbers:
        which = int(np.searchsorted(firsts, number, side="right")) - 1
        stack, inside = file(which).frames, number - int(firsts[which])
        with library_errors(file(which).path):
            frame = stack.load()[inside] if stack.load_one is None else stack.load_one(inside)
        frames.append(_moved(frame, offset))
    return frames


def _open_all(paths: tuple[Path, ...], request: ReadRequest, role: str) -> tuple[str, list[RawFile]]:
    raw_format, places = raw_files(paths, role)
    files = [open_raw(raw_format, place, request) for place in places]
    first = files[0]
    for file in files:
        if file.frames.shape[1:] != first.frames.shape[1:]:
            raise InputError(
                str(file.path),
                expected=f"frames of {first.frames.shape[1:]} pixels as in {first.path.name}",
                got=f"{file.frames.shape[1:]}",
                fix="give files of one series only",
            )
    return raw_format.name, files


def _extra(paths: tuple[Path, ...], request: ReadRequest, role: str) -> list[RawFile]:
    """Open files of flats or darks; ``dataset`` names the images of the series only."""
    dataset = request.flat_dataset if role == "flat frames" else request.dark_dataset
    plain = ReadRequest(images=paths, angles=(0.0, 0.0), pixel_nm=request.pixel_nm, dataset=dataset)
    files = _open_all(paths, plain, role)[1] if paths else []
    wanted = request.only_energy_ev
    return files if wanted is None or role != "flat frames" else _flats_of_energy(files, wanted)


def _flats_of_energy(files: list[RawFile], energy_ev: float) -> list[RawFile]:
    """Return the flats that are nearest to an energy; all where their energies are unknown."""
    known: list[float] = []
    for file in files:
        if file.energy_ev is None or not np.isfinite(file.energy_ev).all():
            return files
        if np.ptp(file.energy_ev) > SAME_ENERGY_EV:
            raise InputError(
                str(file.path),
                expected="flat frames of one energy in each file",
                got=f"{file.energy_ev.min():g} to {file.energy_ev.max():g} eV",
                fix="write one file of flat frames per energy, and list them as 'flat:'",
            )
        known.append(float(np.abs(file.energy_ev - energy_ev).max()))
    nearest = min(known, default=0.0)
    return [file for file, far in zip(files, known, strict=True) if far <= nearest + SAME_ENERGY_EV]


def _summary(
    name: str, files: list[RawFile], flats: list[RawFile], darks: list[RawFile], request: ReadRequest
) -> SeriesSummary:
    shape = (sum(file.frames.shape[0] for file in files), *files[0].frames.shape[1:])
    pixel = _joined(files, lambda file: file.pixel_nm, fill=True)
    n_flat = sum(stack.shape[0] for _, stack in _flat_stacks(files, flats))
    n_dark = sum(stack.shape[0] for _, stack in _dark_stacks(files, darks))
    default: Quantity = "counts" if n_flat else "signal"
    return SeriesSummary(
        format=name,
        shape=shape,
        dtype=np.result_type(*(file.frames.dtype for file in files)).name,
        tilt_deg=_tilts(files, request),
        energy_ev=_energies(files, request),
        pixel_nm=_known(request.pixel_nm, pixel, shape[0]),
        quantity=request.quantity or files[0].quantity or default,
        n_flat=n_flat,
        n_dark=n_dark,
        metadata={"format": name, "file": files[0].path.name, **files[0].metadata},
        files=tuple((file.path.name, file.frames.shape[0]) for file in files),
        remarks=tuple(f"{file.path.name}: {remark}" for file in files for remark in file.remarks),
        stated=files[0].quantity,
    )


def _tilts(files: list[RawFile], request: ReadRequest) -> Float64Array:
    """Return one angle per frame, NaN where unknown."""
    n_frame = sum(file.frames.shape[0] for file in files)
    if isinstance(request.angles, tuple):
        start, step = request.angles
        return np.float64(start) + np.float64(step) * np.arange(n_frame)
    if request.angles is not None:
        first, last = request.angles_range or (0, None)
        tilts, source = read_angles(request.angles).tilt_deg[first:last], request.angles
    else:
        parts = [np.full(f.frames.shape[0], np.nan) if f.tilt_deg is None else f.tilt_deg for f in files]
        tilts, source = np.concatenate(parts), files[0].path
        if tilts.size == 1 and np.isnan(tilts[0]):
            tilts = np.zeros(1)  # a single projection defines tilt 0
    if tilts.size != n_frame:
        raise InputError(
            str(source),
            expected=f"{n_frame} tilt angles, one per frame",
            got=f"{tilts.size}",
            fix="correct the table, or choose its rows with 'angles_range'",
        )
    return tilts


def _energies(files: list[RawFile], request: ReadRequest) -> Float64Array:
    """Return one energy per frame: the request's, else the angle table's, else the files'."""
    energies = _joined(files, lambda file: file.energy_ev, fill=True)
    if request.energy_ev is None and isinstance(request.angles, Path):
        table = read_angles(request.angles).energy_ev
        if table is not None:
            first, last = request.angles_range or (0, None)
            energies = table[first:last]
    return _known(request.energy_ev, energies, sum(file.frames.shape[0] for file in files))


def _known(wanted: float | None, values: Float64Array | None, n_frame: int) -> Float64Array:
    if wanted is not None:
        return np.full(n_frame, wanted, np.float64)
    return np.full(n_frame, np.nan) if values is None else values


def _joined(
    files: Sequence[RawFile], part: Callable[[RawFile], Float64Array | None], *, fill: bool = False
) -> Float64Array | None:
    """Join values per frame from all files.

    None if one of the files does not have them, or NaN there with ``fill``.
    """
    parts = [part(file) for file in files]
    said = [one for one in parts if one is not None]
    if not said or (len(said) < len(parts) and not fill):
        return None
    return np.concatenate(
        [
            np.full(file.frames.shape[0], np.nan) if one is None else one
            for one, file in zip(parts, files, strict=True)
        ]
    )


def _flat_stacks(files: list[RawFile], flats: list[RawFile]) -> list[tuple[Path, FrameStack]]:
    if flats:
        return [(file.path, file.frames) for file in flats]
    return [(file.path, file.flat) for file in files if file.flat is not None]


def _dark_stacks(files: list[RawFile], darks: list[RawFile]) -> list[tuple[Path, FrameStack]]:
    if darks:
        return [(file.path, file.frames) for file in darks]
    return [(file.path, file.dark) for file in files if file.dark is not None]


def _flat_position(files: list[RawFile]) -> Float64Array | None:
    """Join the times of the flats, counted in frames of the whole series."""
    starts = np.cumsum([0, *(file.frames.shape[0] for file in files)])
    holders = [(file, start) for file, start in zip(files, starts, strict=False) if file.flat is not None]
    positions = [file.flat_position + start for file, start in holders if file.flat_position is not None]
    return np.concatenate(positions) if positions and len(positions) == len(holders) else None


def _frames(stacks: list[FrameStack], paths: list[Path], offset: float) -> Field:
    """Return the frames of stacks, in memory unless they are many and can be read one at a time."""
    large = sum(int(np.prod(stack.shape)) for stack in stacks) * _joint_dtype(stacks, offset).itemsize
    if large > IN_MEMORY_BYTES and all(stack.load_one is not None for stack in stacks):
        return frames_on_disk(stacks, paths, offset)
    return _load(stacks, paths, offset)


def _variance(files: list[RawFile]) -> FloatArray | None:
    """Return the variance of all frames, None unless every file has it."""
    stacks = [file.variance for file in files if file.variance is not None]
    if len(stacks) < len(files):
        return None
    return _load(stacks, [file.path for file in files], 0.0).astype(np.float32)


def _joint_dtype(stacks: Sequence[FrameStack], offset: float) -> np.dtype[Any]:
    """Return the type of frames of several stacks; an offset makes it float32."""
    return np.result_type(*(stack.dtype for stack in stacks)) if offset == 0.0 else np.dtype(np.float32)


def _moved(frames: AnyArray, offset: float) -> AnyArray:
    return frames if offset == 0.0 else np.add(frames, offset, dtype=np.float64).astype(np.float32)


def _load(stacks: list[FrameStack], paths: list[Path], offset: float) -> AnyArray:
    """Load stacks into one array; an offset makes it float32."""
    dtype = _joint_dtype(stacks, offset)
    if len(stacks) == 1:
        with library_errors(paths[0]):
            return _moved(stacks[0].load(), offset)
    with library_errors(paths[0]):
        out = np.empty((sum(stack.shape[0] for stack in stacks), *stacks[0].shape[1:]), dtype)
    start = 0
    for stack, path in zip(stacks, paths, strict=True):
        with library_errors(path):
            part = stack.load()
            out[start : start + part.shape[0]] = (
                part if offset == 0.0 else np.add(part, offset, dtype=np.float64)
            )
        start += stack.shape[0]
    return out


def _load_float(stacks: list[tuple[Path, FrameStack]], request: ReadRequest) -> FloatArray | None:
    if not stacks:
        return None
    return _load([stack for _, stack in stacks], [path for path, _ in stacks], request.offset).astype(
        np.float32
    )


def check_angles(tilts: Float64Array, path: Path) -> None:
    """Refuse frames without a tilt angle."""
    bad = np.flatnonzero(~np.isfinite(tilts))
    if bad.size == tilts.size:
        raise InputError(
            str(path),
            expected="tilt angles in the file or beside it",
            got="none",
            fix="give 'angles': a table with one angle per frame, or start and step",
        )
    if bad.size:
        raise InputError(
            str(path),
            expected="a finite tilt angle for every frame",
            got=f"{tilts[bad[0]]} for frame {bad[0]}",
            fix="correct the file, or give 'angles'",
        )


def _check_flat_energy(energy_ev: Float64Array, flats: list[RawFile]) -> None:
    known = energy_ev[np.isfinite(energy_ev)]
    for file in flats:
        if file.energy_ev is None or known.size == 0 or not np.isfinite(file.energy_ev).all():
            continue
        if np.abs(file.energy_ev[:, None] - known).min(axis=1).max() > ENERGY_TOLERANCE_EV:
            raise InputError(
                str(file.path),
                expected=f"flat frames at {known[0]:g} eV, the energy of the frames",
                got=f"{file.energy_ev[0]:g} eV",
                fix="give the flat frames of this energy",
            )
