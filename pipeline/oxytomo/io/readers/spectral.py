"""One stack of images through an edge from raw files: join, check, read on demand."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from oxytomo.arrays import AnyArray, Float64Array, FloatArray, Quantity
from oxytomo.errors import InputError
from oxytomo.io.readers.base import PIXEL_TOLERANCE, FrameStack, RawFile, ReadRequest
from oxytomo.io.readers.columns import is_number, table_rows
from oxytomo.io.readers.formats import library_errors, open_raw, raw_files
from oxytomo.units import KEV_BELOW, to_ev

MIN_ENERGIES = 5
_FLAT_TOLERANCE_EV = 1.0


@dataclass(frozen=True)
class SpectralStack:
    """One raw stack in acquisition order; frames are read one at a time.

    Attributes
    ----------
    format : name of the raw format
    shape : (n_energy, n_y, n_x)
    dtype : type of the stored pixels
    energy_ev : (n_energy,) float64, in any order, perhaps repeated
    pixel_nm : object-plane pixel size, nm, NaN where unknown
    quantity : quantity in the pixels
    metadata : free text from the file
    """

    format: str
    shape: tuple[int, int, int]
    dtype: np.dtype[np.generic]
    energy_ev: Float64Array
    pixel_nm: float
    quantity: Quantity
    metadata: dict[str, str]
    _files: Sequence[RawFile] = field(repr=False)
    _flats: Sequence[RawFile] = field(repr=False)
    _darks: Sequence[RawFile] = field(repr=False)
    _offset: float = 0.0

    @property
    def n_flat(self) -> int:
        """Number of flat frames, over all energies."""
        return sum(stack.shape[0] for _, stack in self._flat_stacks())

    @property
    def n_dark(self) -> int:
        """Number of dark frames."""
        own = [file.dark.shape[0] for file in self._files if file.dark is not None]
        return sum(file.frames.shape[0] for file in self._darks) or sum(own)

    @property
    def files(self) -> tuple[tuple[str, int], ...]:
        """Name and number of frames of each file, in the order of the frames."""
        return tuple((file.path.name, file.frames.shape[0]) for file in self._files)

    def frame(self, index: int) -> AnyArray:
        """Read one frame, (n_y, n_x)."""
        for file in self._files:
            if index < file.frames.shape[0]:
                return self._shifted(_one(file.frames, index, file.path))
            index -= file.frames.shape[0]
        raise IndexError(index)

    def flat(self, index: int) -> FloatArray | None:
        """Read the flat frames that belong to one frame, (n, n_y, n_x) float32.

        None if there are none.

        They are those of the frame's own file or energy if each has its own, and all of them
        otherwise.
        """
        stacks = self._flat_stacks()
        total = sum(stack.shape[0] for _, stack in stacks)
        if total == 0:
            return None
        if self._flats:
            energies = [file.energy_ev for file in self._flats]
            if all(energy is not None and np.isfinite(energy).all() for energy in energies):
                joined = np.concatenate([energy for energy in energies if energy is not None])
                nearest = np.abs(joined - self.energy_ev[index]).min()
                if nearest > _FLAT_TOLERANCE_EV:
                    raise InputError(
                        str(self._flats[0].path),
                        expected=f"flat frames at {self.energy_ev[index]:g} eV",
                        got=f"the nearest is {nearest:.3g} eV away",
                        fix="give the flat frames of every energy, or flats without energies for all",
                    )
                chosen = np.flatnonzero(np.abs(joined - self.energy_ev[index]) <= nearest + 1e-6)
                return np.stack([self._nth_flat(stacks, int(i)) for i in chosen])
        elif len(self._files) == self.shape[0] == len(stacks):
            return np.stack([self._nth_flat([stacks[index]], i) for i in range(stacks[index][1].shape[0])])
        if total == self.shape[0]:
            return self._nth_flat(stacks, index)[None]
        return self._all_flats()

    def dark(self) -> FloatArray | None:
        """Read and average all dark frames, (n_y, n_x) float32; None if there are none."""
        stacks = [(file.path, file.frames) for file in self._darks] or [
            (file.path, file.dark) for file in self._files if file.dark is not None
        ]
        if not stacks:
            return None
        total = sum(stack.shape[0] for _, stack in stacks)
        means = (
            self._shifted(_one(stack, i, path)).astype(np.float64)
            for path, stack in stacks
            for i in range(stack.shape[0])
        )
        return (sum(means) / total).astype(np.float32)  # type: ignore[union-attr]

    def _flat_stacks(self) -> list[tuple[Path, FrameStack]]:
        if self._flats:
            return [(file.path, file.frames) for file in self._flats]
        return [(file.path, file.flat) for file in self._files if file.flat is not None]

    def _all_flats(self) -> FloatArray:
        return _cached_flats(self)

    def _nth_flat(self, stacks: Sequence[tuple[Path, FrameStack]], index: int) -> FloatArray:
        for path, stack in stacks:
            if index < stack.shape[0]:
                return self._shifted(_one(stack, index, path)).astype(np.float32)
            index -= stack.shape[0]
        raise IndexError(index)

    def _shifted(self, frame: AnyArray) -> AnyArray:
        return (
            frame if self._offset == 0.0 else np.add(frame, self._offset, dtype=np.float64).astype(np.float32)
        )

    def __hash__(self) -> int:
        """Stacks are what they are: no two are equal."""
        return id(self)


@lru_cache(maxsize=2)
def _cached_flats(stack: SpectralStack) -> FloatArray:
    """Average all flats to a stack of one frame.

    They are read once for all energies.
    """
    stacks = stack._flat_stacks()
    count = sum(one.shape[0] for _, one in stacks)
    return np.stack([stack._nth_flat(stacks, i) for i in range(count)])


def read_spectral_stack(
    request: ReadRequest, *, energies: Path | None, energy_unit: str | None
) -> SpectralStack:
    """Describe one raw stack; frames are read on access.

    Parameters
    ----------
    request : files of images, flats and darks; values given here override those of the file
    energies : table with one energy per frame, in the order of the frames
    energy_unit : ``eV`` or ``keV``, if neither the file nor the size of the numbers shows it

    Raises
    ------
    InputError
        If the files do not give the requested stack; always one line.
    """
    name, files = _open_all(request.images, request, "images")
    flats, darks = (
        _open_all(paths, ReadRequest(images=paths, pixel_nm=request.pixel_nm, dataset=place), role)[1]
        if paths
        else []
        for paths, place, role in (
            (request.flat, request.flat_dataset, "flat frames"),
            (request.dark, request.dark_dataset, "dark frames"),
        )
    )
    n = sum(file.frames.shape[0] for file in files)
    _check_frame_sizes(files, flats, darks)
    pixels = (
        [request.pixel_nm]
        if request.pixel_nm
        else [float(np.nanmean(file.pixel_nm)) for file in files if file.pixel_nm is not None]
    )
    _check_pixel_sizes(files, request)
    has_flat = bool(flats) or any(file.flat is not None for file in files)
    quantity = (
        request.quantity
        or files[0].quantity
        or ("counts" if has_flat or files[0].frames.dtype.kind in "iu" else None)
    )
    if quantity is None or quantity == "signal":
        raise InputError(
            str(files[0].path),
            expected="counts, transmission or optical density",
            got="pixels of unknown meaning",
            fix="give 'quantity: counts', 'transmission' or 'optical_density' beside the images",
        )
    return SpectralStack(
        format=name,
        shape=(n, *files[0].frames.shape[1:]),
        dtype=np.result_type(*(file.frames.dtype for file in files)),
        energy_ev=_energies(files, energies, energy_unit, n),
        pixel_nm=float(np.nanmean(pixels)) if pixels else float("nan"),
        quantity=quantity,
        metadata={"format": name, "file": files[0].path.name, **files[0].metadata},
        _files=tuple(files),
        _flats=tuple(flats),
        _darks=tuple(darks),
        _offset=request.offset,
    )


def _open_all(paths: tuple[Path, ...], request: ReadRequest, role: str) -> tuple[str, list[RawFile]]:
    raw_format, places = raw_files(paths, role)
    return raw_format.name, [open_raw(raw_format, place, request) for place in places]


def _check_frame_sizes(files: list[RawFile], flats: list[RawFile], darks: list[RawFile]) -> None:
    """Require frames, flats and darks of one size, in one file or in several."""
    size = files[0].frames.shape[1:]
    stacks = [(file.path, "frames", file.frames) for file in (*files, *flats, *darks)]
    stacks += [(file.path, "flat frames", file.flat) for file in files if file.flat is not None]
    stacks += [(file.path, "dark frames", file.dark) for file in files if file.dark is not None]
    for path, what, stack in stacks:
        if stack.shape[1:] != size:
            raise InputError(
                str(path),
                expected=f"{what} of {size[0]} × {size[1]} pixels as in {files[0].path.name}",
                got=" × ".join(str(n) for n in stack.shape[1:]),
                fix="give files of one stack and camera region only",
            )


def _check_pixel_sizes(files: list[RawFile], request: ReadRequest) -> None:
    """Refuse complex images whose pixel size depends on the wavelength: they do not overlap."""
    sizes = _joined([file.pixel_nm for file in files])
    if files[0].quantity != "complex" or request.pixel_nm is not None or sizes is None:
        return
    if np.ptp(sizes) > PIXEL_TOLERANCE * sizes.min():
        raise InputError(
            str(files[0].path),
            expected="images of one pixel size",
            got=f"{sizes.min():.4g} to {sizes.max():.4g} nm",
            fix="resample the reconstructions to one pixel size",
        )


def _one(stack: FrameStack, index: int, path: Path) -> AnyArray:
    with library_errors(path):
        return stack.load()[index] if stack.load_one is None else stack.load_one(index)


def _joined(parts: Sequence[Float64Array | None]) -> Float64Array | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None


def _energies(files: list[RawFile], table: Path | None, unit: str | None, n: int) -> Float64Array:
    """Return one energy per frame in eV: the table's, else the files'."""
    place = str(table or files[0].path)
    if table is not None:
        energy = read_energies(table, unit)
    else:
        joined = _joined([file.energy_ev for file in files])
        if joined is None:
            raise InputError(
                place,
                expected="a photon energy for every frame",
                got="none in the file",
                fix="give 'energies:', a table with one energy per frame",
            )
        energy = joined if unit is None or (joined >= KEV_BELOW).all() else joined * to_ev(1.0, unit)
    if energy.size != n:
        raise InputError(
            place,
            expected=f"{n} energies, one per frame",
            got=str(energy.size),
            fix="correct the table, or remove the frame without an energy",
        )
    bad = np.flatnonzero(~(np.isfinite(energy) & (energy > 0)))
    if bad.size:
        raise InputError(
            place,
            expected="a positive energy for every frame",
            got=f"{energy[bad[0]]:g} for frame {bad[0]}",
            fix="correct the file, or give 'energies:'",
        )
    if np.unique(energy).size < MIN_ENERGIES:
        raise InputError(
            place,
            expected=f"at least {MIN_ENERGIES} different energies",
            got=str(np.unique(energy).size),
            fix="give all its files: their folder, or a pattern (Mn_*.xrm); two energies of an edge belong to areal_density",
        )
    return energy


def read_energies(path: Path, unit: str | None) -> Float64Array:
    """Read one energy per line, in eV, or from a named column.

    Names: ``energy``, ``energy_ev`` or ``energy_kev``.

    Parameters
    ----------
    path : a text file; lines that start with ``#`` are skipped
    unit : ``eV`` or ``keV``; None: from the column's name, and otherwise numbers below 100 are keV
    """
    rows = table_rows(path, "a table of energies", "energies")
    body = rows if is_number(rows[0][0]) else rows[1:]
    odd = next((row for row in body if len(row) != len(body[0])), None)
    if odd is not None:
        raise InputError(
            str(path), expected=f"{len(body[0])} columns in every row", got=str(odd), fix="correct that row"
        )
    column = 0
    if not is_number(rows[0][0]):
        header = [cell.strip().lower() for cell in rows[0]]
        names = [name for name in header if name.startswith(("energy", "photon energy", "ev"))]
        if not names:
            raise InputError(
                str(path),
                expected="a column 'energy'",
                got=", ".join(header),
                fix="name the column of energies",
            )
        column, rows = header.index(names[0]), rows[1:]
        unit = unit or (
            "keV" if "kev" in names[0] else "eV" if "ev" in names[0].removeprefix("energy") else None
        )
    try:
        values = np.array([float(row[column]) for row in rows], np.float64)
    except (ValueError, IndexError) as error:
        raise InputError(
            str(path), expected="a number in every row", got=str(error), fix="correct that row"
        ) from error
    if unit is None:
        return values * np.where(values < KEV_BELOW, 1e3, 1.0)
    return values * to_ev(1.0, unit)
