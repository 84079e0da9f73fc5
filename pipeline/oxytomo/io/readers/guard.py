"""Protection against files from elsewhere that hang the HDF5 library, link away, or fake sizes."""

import atexit
import math
import os
import selectors
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, cast

import h5py
import hdf5plugin  # noqa: F401  (registers the filters of bitshuffle, LZ4, Blosc, Zstandard and others)
import numpy as np

from oxytomo.errors import InputError
from oxytomo.io.readers.walk_hdf5 import HUGE_BYTES, TOO_LARGE, WALKED

GUARD_CPU_S = 1.0
"""The structure of a valid file is walked in milliseconds; a damaged one can keep the library busy
for ever."""
GUARD_WALL_S = 60.0
PROGRAM = Path(__file__).with_name("walk_hdf5.py")
MOST_FILES = 1000
"""Number of files that one process walks, which limits the memory that the library leaks."""
MOST_CHUNK_BYTES = 2**30
"""Largest unpacked chunk that a reader accepts."""
LARGEST_RATIO = 1100
"""Deflate compresses by a factor of at most 1032."""
MOST_TEXT_BYTES = 64 * 2**20
OUT_OF_MEMORY = -1


def check_structure(path: Path) -> None:
    """Let a separate process walk an HDF5 file before this process opens it.

    It may take a second of CPU time.

    Raises
    ------
    InputError
        If the library hangs or crashes on it.
    """
    state = path.stat()
    how = _walk_guarded(str(path), state.st_mtime_ns, state.st_size)
    if how:
        raise InputError(
            str(path),
            expected="a readable HDF5 file",
            got=how,
            fix="copy the file again from its source; its structure is damaged",
        )


@lru_cache(maxsize=4096)
def _walk_guarded(path: str, _modified_ns: int, _size: int) -> str:
    """Return how the library failed on a file, empty if it did not.

    A file is walked once per process.
    """
    with _WALKING:
        failed, fresh = _walker().walk(path)
        if failed and not fresh:  # an earlier file may have left the library in disorder
            failed, _ = _walker().walk(path)
    if failed == OUT_OF_MEMORY:
        return "a small dataset whose stored size claims more than 1 GB"
    if failed == signal.SIGPROF:
        return f"a file that keeps the HDF5 library busy without end ({GUARD_CPU_S:g} s)"
    return f"a file on which the HDF5 library crashes ({signal.Signals(failed).name})" if failed else ""


class _Walker:
    """A process that walks HDF5 files in sequence for this process.

    It imports h5py only (``walk_hdf5.py``).

    It is started as a new program, not forked, so threads of this process do not interfere.
    """

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.walked = 0
        self.ended = False
        places = dict.fromkeys(str(Path(str(one.__file__)).parents[1]) for one in (h5py, np))
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-S",
                str(PROGRAM),
                str(GUARD_CPU_S),
                *places,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        )

    def walk(self, path: str) -> tuple[int, bool]:
        """Walk a file: the signal that ended the process, else 0, and whether it was its first."""
        fresh = self.walked == 0
        self.walked += 1
        answer = self._answer(os.fsencode(os.path.abspath(path)))  # noqa: PTH100 - links stay as they are
        if not answer:
            return max(0, -self.end()), fresh
        return OUT_OF_MEMORY if answer == TOO_LARGE else 0, fresh

    def _answer(self, name: bytes) -> bytes:
        """Send a name and wait; a slow file system is not the fault of the file."""
        to, back = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        with suppress(BrokenPipeError), selectors.DefaultSelector() as selector:
            to.write(len(name).to_bytes(8, "big") + name)
            to.flush()
            selector.register(back, selectors.EVENT_READ)
            if selector.select(GUARD_WALL_S):
                return os.read(back.fileno(), 1)
            self.end(kill=True)
            return WALKED
        return b""

    def end(self, *, kill: bool = False) -> int:
        """Let the process end.

        Returns its exit code, the negative of the number of the signal that ended it.
        """
        self.ended = True
        if kill:
            self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        try:
            return self._process.wait(GUARD_WALL_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return 0


_WALKING = threading.Lock()
_STARTED: list[_Walker] = []


def _walker() -> _Walker:
    """Return this process's walker; a new one if there is none, it ended or walked many files."""
    if _STARTED:
        last = _STARTED[0]
        if last.owner == os.getpid() and not last.ended and last.walked < MOST_FILES:
            return last
        _STARTED.clear()
        if last.owner == os.getpid() and not last.ended:
            last.end()
    if not _STARTED:
        _STARTED.append(_Walker())
    return _STARTED[0]


@atexit.register
def _end_walker() -> None:
    """End the walker with this process; an inherited walker belongs to another process."""
    if _STARTED and _STARTED[0].owner == os.getpid() and not _STARTED[0].ended:
        _STARTED[0].end()


def check_links(file: h5py.File, path: Path, seen: set[Path]) -> None:
    """Refuse links to files not beside or below this one, also in the files it links to."""
    targets: set[str] = set()

    def collect(name: bytes, info: object) -> None:
        if info.type == h5py.h5l.TYPE_EXTERNAL:  # type: ignore[attr-defined]
            targets.add(os.fsdecode(file.id.links.get_val(name)[0]))

    file.id.links.visit(collect, info=True)
    for target in sorted(targets):
        check_target(path, target, "external link")
        linked = linked_file(path, target)
        if linked is not None and linked not in seen:
            seen.add(linked)
            check_structure(linked)
            with suppress(OSError, RuntimeError), h5py.File(linked, "r") as opened:
                check_links(opened, linked, seen)


def check_sources(item: h5py.Dataset) -> None:
    """Refuse a dataset whose values are in files that are not beside or below its own."""
    path = Path(item.file.filename)
    if item.external:
        for name, _offset, _size in item.external:
            target = os.fsdecode(name)
            check_within(path, target, item.name)
            here = Path.cwd() / target  # where the library looks for plain values, and nowhere else
            if here.is_file() and not (
                (path.parent / target).is_file() and here.samefile(path.parent / target)
            ):
                raise _only_here(path, item.name, path.parent / target, here)
    if item.is_virtual:
        for source in item.virtual_sources():
            if source.file_name != ".":
                check_target(path, source.file_name, item.name)


def linked_file(path: Path, target: str) -> Path | None:
    """Return the file that a link or virtual dataset points to, None if it is missing.

    As in the HDF5 library: beside the file as it was named, else beside the file behind a symbolic
    link. For an absolute path that no longer exists, only the name is used.
    """
    inside = Path(target)
    if inside.is_absolute():
        if inside.is_file():
            return inside
        inside = Path(inside.name)
    places = (folder / inside for folder in (path.parent, path.resolve().parent))
    return next((place for place in places if place.is_file()), None)


def check_target(path: Path, target: str, name: str) -> None:
    """Refuse a target outside the folder of the file, or found in the working folder.

    The library searches the working folder before the folder behind a symbolic link, and also if a
    linked file is missing. A file that happens to be there is not the intended one.
    """
    gone = Path(target).is_absolute() and not Path(target).exists()
    inside = Path(target).name if gone else target
    check_within(path, inside, name)
    beside, here, meant = path.parent / inside, Path.cwd() / inside, linked_file(path, target)
    if beside.is_file() or not here.is_file() or (meant is not None and here.samefile(meant)):
        return
    raise _only_here(path, name, beside, here)


def _only_here(path: Path, name: str, beside: Path, here: Path) -> InputError:
    return InputError(
        f"{path} [{name}]",
        expected=f"the linked file {beside}",
        got=f"{here}, in the working folder",
        fix="copy the linked files beside this file, or start from another folder",
    )


def check_within(path: Path, target: str, name: str) -> None:
    """Refuse a target of a link, virtual dataset or header outside the folder of its file.

    If the user placed a symbolic link there, its target and the files beside or below the target
    may be read.
    """
    folders = {Path(os.path.normpath(path.parent.absolute())), path.resolve().parent}
    if not any(Path(os.path.normpath(folder / target)).is_relative_to(folder) for folder in folders):
        raise InputError(
            f"{path} [{name}]" if name else str(path),
            expected="data in this file, or in files beside it",
            got=f"a reference to {target}",
            fix="copy or link that file beside this one and point to it there, if you trust both",
        )


def check_declared(path: Path, declared_bytes: int, stored_bytes: int, what: str) -> None:
    """Refuse a declared size that no compression explains, before memory is allocated."""
    if declared_bytes > max(HUGE_BYTES, LARGEST_RATIO * stored_bytes):
        raise InputError(
            str(path),
            expected=f"{what} of the declared size ({declared_bytes / 1e9:.1f} GB)",
            got=f"{stored_bytes} bytes that hold them",
            fix="copy the file again from its source; it is damaged, or made to exhaust the memory",
        )


def check_chunk(item: h5py.Dataset, path: Path) -> None:
    """Refuse a packed chunk that is too large: HDF5 unpacks all of it to read one value."""
    size = math.prod(item.chunks or ()) * item.dtype.itemsize
    if item.id.get_create_plist().get_nfilters() and size > MOST_CHUNK_BYTES:
        raise InputError(
            f"{path} [{item.name}]",
            expected=f"packed chunks of at most {MOST_CHUNK_BYTES / 1e9:.1f} GB",
            got=f"chunks of {size / 1e9:.1f} GB",
            fix="write the file again with a chunk for every frame (h5repack -l CHUNK=1x…)",
        )


def read_text(path: Path, what: str) -> bytes:
    """Return the bytes of a text file.

    Devices, pipes and files too large for a table are refused.
    """
    if path.exists() and not path.is_file():
        raise InputError(str(path), expected=what, got="no plain file", fix="correct the path")
    if path.is_file() and path.stat().st_size > MOST_TEXT_BYTES:
        got = f"{path.stat().st_size / 1e6:.0f} MB"
        raise InputError(
            str(path), expected=f"{what} below {MOST_TEXT_BYTES // 2**20} MB", got=got, fix="correct the path"
        )
    return path.read_bytes()
