"""Walk HDF5 files in a separate process, which a damaged file may end.

``python -I -S walk_hdf5.py SECONDS FOLDER…`` reads names of files (8 bytes of length, then the
name) from standard input. After each walk it answers with one byte: ``.``, or ``m`` if a small
dataset claims more memory than a valid one can. It imports only h5py, from the given folders.
"""

import math
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

WALKED = b"."
TOO_LARGE = b"m"
"""A small dataset needed more memory than the walk may use: its sizes are damaged."""
MOST_OBJECTS = 3000
SMALL_ELEMENTS = 10**5
HUGE_BYTES = 2**30
WALKED_CHUNK_BYTES = 64 * 2**20
"""Largest unpacked chunk of which the walk reads a value."""


def main() -> None:
    """Walk one file after the other until the input ends."""
    seconds = float(sys.argv[1])
    sys.path.extend(sys.argv[2:])
    import h5py

    with suppress(ImportError):
        import hdf5plugin  # noqa: F401 - filters of compressed files, where they are installed
    _limit_memory()
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with the process that it serves
    source, answers = sys.stdin.buffer, sys.stdout.buffer
    while len(head := source.read(8)) == 8:
        name = source.read(int.from_bytes(head, "big"))
        signal.setitimer(signal.ITIMER_PROF, seconds)
        answer = WALKED
        try:
            walk(os.fsdecode(name), h5py)
        except MemoryError:
            answer = TOO_LARGE
        except Exception:  # the reader meets it again and reports it
            pass
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(answer)
        answers.flush()


def _limit_memory() -> None:
    """Limit the memory to a gigabyte more than the libraries need, and disable core files."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + HUGE_BYTES
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        if soft == resource.RLIM_INFINITY or soft > most:
            resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def walk(path: str, h5py: Any) -> None:
    """Visit all that readers use: links, types, chunk indices, attributes, small datasets."""
    with h5py.File(path, "r") as file:
        names: list[str] = []

        def keep(name: bytes, _info: object = None) -> None:
            if len(names) < MOST_OBJECTS:
                names.append(name.decode("utf-8", errors="surrogateescape"))

        file.id.links.visit(keep, info=True)
        for name in ["/", *names]:
            try:
                _touch(file, name, h5py)
            except MemoryError:
                raise
            except Exception as error:
                if "allocat" in str(error):  # the library's message: "memory allocation failed"
                    raise MemoryError from error


def _touch(file: Any, name: str, h5py: Any) -> None:
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
            return  # a valid one would take longer than a walk may
    if item.size is not None and item.size <= SMALL_ELEMENTS:
        _ = item[()]
    elif item.shape:
        _ = item[(0,) * item.ndim]


if __name__ == "__main__":
    main()
