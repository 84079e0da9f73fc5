"""What a file from elsewhere may not do: hang the HDF5 library, lead to other files, or declare more than it holds."""

import faulthandler
import math
import os
import resource
import signal
import time
import warnings
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import h5py
import psutil

from pipeline.errors import InputError

GUARD_CPU_S = 1.0
"""The structure of an honest file is walked in milliseconds; a damaged one can keep the library busy for ever."""
GUARD_WALL_S = 60.0
MOST_OBJECTS = 3000
SMALL_ELEMENTS = 10**5
HUGE_BYTES = 2**30
WALKED_CHUNK_BYTES, MOST_CHUNK_BYTES = 64 * 2**20, 2**30
"""Largest chunk, as it unpacks, that the walk reads a value of; largest one that a reader takes."""
LARGEST_RATIO = 1100
"""Deflate makes nothing more than 1032 times smaller."""
MOST_TEXT_BYTES = 64 * 2**20


def check_structure(path: Path) -> None:
    """Walk an HDF5 file in a child process that may take a second of computing, before this process opens it.

    Raises
    ------
    InputError
        When the library hangs or crashes on it.
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
    """Return how the library failed on a file, empty where it did not; a file is walked once per process."""
    if not hasattr(os, "fork"):
        return ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: the child calls HDF5 and ends
        child = os.fork()
    if child == 0:
        with suppress(BaseException):
            _limit_child()
            _walk(path)
        os._exit(0)
    until = time.monotonic() + GUARD_WALL_S
    pause = 0.0005
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > until:  # a slow file system is no fault of the file
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return ""
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if number == signal.SIGPROF:
        return f"a file that keeps the HDF5 library busy without end ({GUARD_CPU_S:g} s)"
    return f"a file on which the HDF5 library crashes ({signal.Signals(number).name})" if number else ""


def _limit_child() -> None:
    """Let the timer end this process, without a core file and without a word."""
    faulthandler.disable()  # a crash of the child is an answer, not a report
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, GUARD_CPU_S)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    used = psutil.Process().memory_info().vms
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = used + HUGE_BYTES
    if soft == resource.RLIM_INFINITY or soft > most:
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)


def _walk(path: str) -> None:
    """Touch what readers touch: links, types, chunk indices, attributes, and small datasets whole."""
    with h5py.File(path, "r") as file:
        names: list[str] = []

        def keep(name: bytes, _info: object = None) -> None:
            if len(names) < MOST_OBJECTS:
                names.append(name.decode("utf-8", errors="surrogateescape"))

        file.id.links.visit(keep, info=True)
        for name in ["/", *names]:
            with suppress(Exception):
                _touch(file, name)


def _touch(file: h5py.File, name: str) -> None:
    link = file.get(name, getlink=True) if name != "/" else None
    if isinstance(link, h5py.ExternalLink):
        return
    item = file[name]
    with suppress(Exception):
        for key in item.attrs:
            with suppress(Exception):
                _ = item.attrs[key]
    if not isinstance(item, h5py.Dataset) or item.is_virtual or item.external:
        return
    if item.chunks is not None:
        item.id.get_num_chunks()
        if math.prod(item.chunks) * item.dtype.itemsize > WALKED_CHUNK_BYTES:
            return  # an honest one would take longer than a walk may
    if item.size is not None and item.size <= SMALL_ELEMENTS:
        _ = item[()]
    elif item.shape:
        _ = item[(0,) * item.ndim]


def check_links(file: h5py.File, path: Path, seen: set[Path]) -> None:
    """Refuse links to files that are not beside or below this one, also in the files that it links to."""
    targets: set[str] = set()

    def collect(name: bytes, info: object) -> None:
        if info.type == h5py.h5l.TYPE_EXTERNAL:  # type: ignore[attr-defined]
            targets.add(os.fsdecode(file.id.links.get_val(name)[0]))

    file.id.links.visit(collect, info=True)
    for target in sorted(targets):
        check_within(path, target, "external link")
        linked = path.parent / target
        if linked.is_file() and linked not in seen:
            seen.add(linked)
            check_structure(linked)
            with suppress(OSError, RuntimeError), h5py.File(linked, "r") as opened:
                check_links(opened, linked, seen)


def check_sources(item: h5py.Dataset) -> None:
    """Refuse a dataset whose values are in files that are not beside or below its own."""
    path = Path(item.file.filename)
    if item.external:
        for name, _offset, _size in item.external:
            check_within(path, os.fsdecode(name), item.name)
    if item.is_virtual:
        for source in item.virtual_sources():
            if source.file_name != ".":
                check_within(path, source.file_name, item.name)


def check_within(path: Path, target: str, name: str) -> None:
    """Refuse a target of a link, a virtual dataset or a header that is not in the folder of its file or below.

    A link of the file system that the user put there is the user's word that its target may be read.
    """
    place = Path(os.path.normpath(path.parent.absolute() / target))
    if not place.is_relative_to(Path(os.path.normpath(path.parent.absolute()))):
        raise InputError(
            f"{path} [{name}]" if name else str(path),
            expected="data in this file, or in files beside it",
            got=f"a reference to {target}",
            fix="copy or link that file beside this one and point to it there, if you trust both",
        )


def check_declared(path: Path, declared_bytes: int, stored_bytes: int, what: str) -> None:
    """Refuse a declared size that no compression explains, before memory is asked for."""
    if declared_bytes > max(HUGE_BYTES, LARGEST_RATIO * stored_bytes):
        raise InputError(
            str(path),
            expected=f"{what} of the declared size ({declared_bytes / 1e9:.1f} GB)",
            got=f"{stored_bytes} bytes that hold them",
            fix="copy the file again from its source; it is damaged, or made to exhaust the memory",
        )


def check_chunk(item: h5py.Dataset, path: Path) -> None:
    """Refuse a packed chunk that is too large: to read any value of it, HDF5 unpacks all of it in memory."""
    size = math.prod(item.chunks or ()) * item.dtype.itemsize
    if item.id.get_create_plist().get_nfilters() and size > MOST_CHUNK_BYTES:
        raise InputError(
            f"{path} [{item.name}]",
            expected=f"packed chunks of at most {MOST_CHUNK_BYTES / 1e9:.1f} GB",
            got=f"chunks of {size / 1e9:.1f} GB",
            fix="write the file again with a chunk for every frame (h5repack -l CHUNK=1x…)",
        )


def read_text(path: Path, what: str) -> bytes:
    """Return the bytes of a text file; devices, pipes and files that are no tables by their size are refused."""
    if path.exists() and not path.is_file():
        raise InputError(str(path), expected=what, got="no plain file", fix="correct the path")
    if path.is_file() and path.stat().st_size > MOST_TEXT_BYTES:
        got = f"{path.stat().st_size / 1e6:.0f} MB"
        raise InputError(
            str(path), expected=f"{what} below {MOST_TEXT_BYTES // 2**20} MB", got=got, fix="correct the path"
        )
    return path.read_bytes()
