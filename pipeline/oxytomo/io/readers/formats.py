"""Recognition of file formats, and the raw files behind a path."""

import importlib
import pkgutil
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import tifffile

from oxytomo.errors import InputError, PipelineError, limit_reached
from oxytomo.file_order import natural_order
from oxytomo.io.readers.base import RawFile, ReadRequest

LIBRARY_ERRORS = (
    OSError,
    ValueError,
    LookupError,
    RuntimeError,
    TypeError,
    AttributeError,
    NameError,
    AssertionError,
    ArithmeticError,
    EOFError,
    struct.error,
    zlib.error,
    tifffile.TiffFileError,
)
"""Exceptions that the libraries behind the formats raise for damaged files."""


@dataclass(frozen=True)
class Format:
    """One raw format."""

    name: str
    recognises: Callable[[Path], bool]
    open_file: Callable[[Path, ReadRequest], RawFile]
    last: bool = False
    own_names: bool = False
    """``dataset`` is not a path in an HDF5 file."""
    """Tried after all others, and in a folder only if no other format was found."""


@cache
def formats() -> tuple[Format, ...]:
    """Return every format module of this package."""
    package = __name__.rpartition(".")[0]
    folder = [str(Path(__file__).parent)]
    modules = [importlib.import_module(f"{package}.{info.name}") for info in pkgutil.iter_modules(folder)]
    found = [
        Format(
            module.NAME,
            module.recognises,
            module.open_file,
            getattr(module, "LAST", False),
            getattr(module, "OWN_NAMES", False),
        )
        for module in modules
        if hasattr(module, "recognises") and hasattr(module, "open_file")
    ]
    return tuple(sorted(found, key=lambda one: one.last))


@contextmanager
def library_errors(path: Path) -> Iterator[None]:
    """Convert an exception of a library for a damaged file to one :class:`InputError`."""
    try:
        yield
    except PipelineError:
        raise
    except MemoryError as error:
        raise InputError(
            str(path),
            expected="a file whose values fit in memory",
            got=" ".join(str(error).split()) or "more than there is",
            fix="use a machine with more memory; if the file is small it is damaged: copy it again from its source",
        ) from error
    except LIBRARY_ERRORS as error:
        limit = limit_reached(error, str(path))
        if limit is not None:
            raise limit from error
        reason = (error.strerror if isinstance(error, OSError) else None) or " ".join(str(error).split())
        raise InputError(
            str(path),
            expected="a readable raw file",
            got=f"{type(error).__name__}: {reason[:200]}",
            fix="copy the file again from its source; it is truncated, damaged or not readable for you",
        ) from error


def format_of(path: Path) -> Format | None:
    """Return the format of a file, recognised by its content."""
    with library_errors(path):
        if path.stat().st_size == 0:
            raise InputError(
                str(path),
                expected="a raw file",
                got="an empty file",
                fix="copy the file again from its source",
            )
        return next((one for one in formats() if one.recognises(path)), None)


def open_raw(raw_format: Format, path: Path, request: ReadRequest) -> RawFile:
    """Describe one raw file by its format and the declared datasets."""
    from oxytomo.io.readers.declared import check_declared_places, with_declared

    with library_errors(path):
        if raw_format.own_names:
            return _complex_as_said(raw_format.open_file(path, request), request)
        check_declared_places(path, request)
        if request.spectrum is not None:
            raise InputError(
                str(path),
                expected="a spectrum image of an electron microscope, since 'spectrum' is given",
                got=raw_format.name,
                fix="remove 'spectrum'",
            )
        return _complex_as_said(with_declared(raw_format.open_file(path, request), request), request)


def _complex_as_said(raw: RawFile, request: ReadRequest) -> RawFile:
    """Mark complex images as such; refuse images that contradict the request."""
    is_complex = raw.frames.dtype.kind == "c"
    wanted = request.quantity or ("complex" if is_complex else "counts")
    if is_complex != (wanted == "complex"):
        raise InputError(
            str(raw.path),
            expected=f"pixels that are {'complex transmission' if wanted == 'complex' else wanted}",
            got=f"type {raw.frames.dtype}",
            fix="remove 'quantity'" if is_complex else "name the complex images with 'dataset:'",
        )
    if is_complex and request.offset != 0.0:
        raise InputError(
            str(raw.path), expected="complex images as they are", got="an offset", fix="remove 'offset'"
        )
    return replace(raw, quantity="complex") if is_complex else raw


def raw_files(paths: tuple[Path, ...], role: str) -> tuple[Format, list[Path]]:
    """Return the format and the files behind paths.

    Files are in the given order, folders in natural order.

    In a folder, files of unknown format are skipped; a file given by name must have a format.
    """
    found: list[tuple[Format, Path]] = []
    for path in paths:
        if not path.exists():
            raise InputError(
                str(path), expected=f"{role} to read", got="no such file", fix="correct the path"
            )
        if not path.is_dir():
            one = format_of(path)
            if one is None and path.name.startswith("._"):
                raise InputError(
                    str(path),
                    expected="a raw file",
                    got="what macOS keeps about a file on other disks",
                    fix=f"give {path.name.removeprefix('._')} instead",
                )
            if one is None:
                raise InputError(
                    str(path),
                    expected="one of " + ", ".join(known.name for known in formats()),
                    got="a file of no known format",
                    fix="give a raw file; angle tables go under 'angles'",
                )
            found.append((one, path))
            continue
        inside = [file for file in path.iterdir() if file.is_file() and not file.name.startswith(".")]
        known_files = [(one, file) for file in natural_order(inside) if (one := _known(file)) is not None]
        if not known_files:
            raise InputError(
                str(path), expected=f"a folder with {role}", got="no raw files in it", fix="correct the path"
            )
        first_choice = [one for one in known_files if not one[0].last]
        found += first_choice or known_files
    if not found:
        raise InputError(role, expected="at least one file", got="none", fix="give the path of the raw file")
    names = sorted({one.name for one, _ in found})
    if len(names) > 1:
        raise InputError(
            str(found[0][1].parent),
            expected=f"{role} of one format",
            got=" and ".join(names),
            fix="name the files of this series, for example with a pattern",
        )
    return found[0][0], [file for _, file in found]


def _known(path: Path) -> Format | None:
    """Return the format of a file in a folder, None for an unknown format or an empty file."""
    return None if path.stat().st_size == 0 else format_of(path)
