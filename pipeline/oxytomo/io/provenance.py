"""Origin of results: digests of inputs, records, the chain to the raw files."""

import hashlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from oxytomo import __version__
from oxytomo.errors import InputError, StoreError
from oxytomo.io.atomic import record_file as record_file
from oxytomo.io.finished import is_sample
from oxytomo.io.plain_files import foreign_kind, open_plain, printable, read_json_object, walk
from oxytomo.io.records import STORE_KEY, Provenance, checked_provenance, decode_json
from oxytomo.io.stores import read_head, read_store

_BLOCK_BYTES = 2**20
_TIME_STAMP = ".snakemake_timestamp"
MOST_FILES = 2 * 10**6
"""A folder with more entries is taken for a mistake."""
_STORE_DEPTH, _MOST_INDENT = 2, 40
"""Smallest depth of stores below ``stages``."""


def file_digest(path: Path, *, follow: bool = True) -> str:
    """Return the SHA-256 of a file's bytes.

    With ``follow`` also through links, for paths that the user gave directly.
    """
    try:
        digest = hashlib.sha256()
        with open_plain(path, follow=follow) as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        got = error.got if isinstance(error, StoreError) else error.strerror or str(error)
        raise InputError(
            printable(path), expected="a readable file", got=got, fix="correct the path or the permissions"
        ) from error
    return digest.hexdigest()


def folder_digest(path: Path, *, pattern: str = "*") -> str:
    """Return the SHA-256 of the names and digests of the files below a folder, sorted by name.

    The time stamps that Snakemake leaves in folders are ignored.
    """
    digest = hashlib.sha256()
    files = (file for file in path.rglob(pattern) if file.is_file() and file.name != _TIME_STAMP)
    found = list(islice(files, MOST_FILES + 1))
    if len(found) > MOST_FILES:
        got = f"more than {MOST_FILES} files"
        raise InputError(printable(path), expected="a folder of data", got=got, fix="correct the path")
    for file in sorted(found):
        digest.update(f"{file.relative_to(path).as_posix()}:{file_digest(file)};".encode())
    return digest.hexdigest()


def result_digest(path: Path) -> str:
    """Return the digest of a folder of results as ``folder_digest``.

    Links, pipes and devices in it are refused.
    """
    for entry in walk(path):
        kind = foreign_kind(entry)
        if kind:
            raise StoreError(
                printable(path),
                expected="plain files",
                got=f"{kind} ({printable(entry.name)})",
                fix="delete it and run the workflow again",
            )
    return folder_digest(path)


def input_digest(path: Path) -> str:
    """Return the digest of an input; a store has that of its content."""
    if store_record(path) is not None:
        return read_head(path).digest
    return folder_digest(path) if path.is_dir() else file_digest(path)


def input_record(path: Path) -> dict[str, str]:
    """Return path and digest of an input."""
    return {"path": str(path), "digest": input_digest(path)}


def make_provenance(
    stage: str, version: int, settings: Mapping[str, Any], inputs: Mapping[str, Path]
) -> Provenance:
    """Return the record of a run of a stage now, with the digests of its inputs."""
    return Provenance(
        stage=stage,
        version=version,
        settings=settings,
        inputs={name: input_record(path) for name, path in inputs.items()},
        package_version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def store_record(path: Path) -> dict[str, Any] | None:
    """Return the root attribute ``oxytomo`` of a stage store with its arrays, or None."""
    record = raw_record(path)
    return record if record is not None and "arrays" in record else None


def raw_record(path: Path) -> dict[str, Any] | None:
    """Return the record in a store or an image, or beside another product, as written."""
    root, beside = path / "zarr.json", record_file(path)
    older = path / ".zattrs"  # an image of format 0.4
    try:
        if root.is_file():
            record = decode_json(read_json_object(root))["attributes"][STORE_KEY]
        elif beside.is_file():
            record = decode_json(read_json_object(beside))
        else:
            record = decode_json(read_json_object(older))[STORE_KEY] if older.is_file() else None
    except (OSError, ValueError, KeyError, TypeError):
        # Not a result of this package; read_store describes the fault of a damaged one
        return None
    return record if isinstance(record, dict) else None


def checked_record(path: Path) -> Provenance | None:
    """Return the origin of a result; None if the path is not a result.

    Raises
    ------
    StoreError
        If its record lacks entries, or has entries of other types.
    """
    record = raw_record(path)
    if record is None:
        return None
    try:
        return checked_provenance(record)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise StoreError(
            printable(path),
            expected="a result with its record",
            got=f"a record that is incomplete ({printable(error)[:60]})",
            fix="run the workflow again, or ask for the results once more",
        ) from error


def results_root(path: Path) -> Path:
    """Return the folder of all samples that contains a result.

    Without one, the folder beside it.
    """
    place = Path(os.path.abspath(path))  # noqa: PTH100  - links are not followed
    for sample in place.parents:
        if is_sample(sample):
            return sample.parent
    return place.parent


def relocated(path: Path, root: Path) -> Path | None:
    """Return the path of a recorded input in a results folder, also after that was moved.

    None if the input is elsewhere.

    A store is identified by its place ``<sample>/stages/<branch>/…zarr``. Raw files may be in a
    folder of any name.
    """
    parts = path.parts
    for place in range(len(parts) - 1 - _STORE_DEPTH, 0, -1):
        if parts[place] == "stages" and path.suffix == ".zarr" and ".." not in parts:
            inside = root.joinpath(*parts[place - 1 :])
            if inside.is_dir() or is_sample(root / parts[place - 1]):
                return inside
            return None
    return path if path.is_relative_to(root) and ".." not in parts else None


def provenance_chain(path: Path, *, verify: bool = True, outside: bool = False) -> list[dict[str, Any]]:
    """Return the inputs of a store or result, nearest first, back to the raw files.

    Parameters
    ----------
    path : a store or an exported image
    verify : compare every input with its recorded digest
    outside : also read files that are not in the folder of results, such as raw files

    Returns
    -------
    List of ``{"depth", "name", "path", "digest", "state"}``. ``state`` is ``"unchanged"``,
    ``"changed"`` or ``"missing"``, or ``"unchecked"`` for files that were not read. ``stage`` is
    added if the input is itself a result
    """
    root = results_root(path)
    found: list[dict[str, Any]] = []
    seen: set[Path] = set()
    todo = [(path, 0, iter(_inputs(path)))]
    while todo:
        _, depth, inputs = todo[-1]
        item = next(inputs, None)
        if item is None:
            todo.pop()
            continue
        name, recorded, digest = item
        inside = relocated(recorded, root)
        link, source = _link(recorded, inside, digest, verify=verify, outside=outside)
        found.append({"depth": depth, "name": name, **link})
        if source is not None and source not in seen:
            seen.add(source)
            todo.append((source, depth + 1, iter(_inputs(source))))
    return found


def _inputs(path: Path) -> list[tuple[str, Path, str]]:
    record = checked_record(path)
    inputs = {} if record is None else record.inputs
    return [(name, Path(item["path"]), item["digest"]) for name, item in inputs.items()]


def _link(
    recorded: Path, inside: Path | None, digest: str, *, verify: bool, outside: bool
) -> tuple[dict[str, Any], Path | None]:
    """Return the facts of an input, and where to continue."""
    source = inside or (recorded if outside else None)
    link: dict[str, Any] = {"path": str(inside or recorded), "digest": digest, "state": "unchecked"}
    if source is None:
        return link, None
    try:
        if not os.path.lexists(source):
            return {**link, "state": "missing"}, None
        record = raw_record(source)
        if record is not None:
            link["stage"] = record.get("stage")
        if verify:
            link["state"] = "unchanged" if input_digest(source) == digest else "changed"
    except OSError:
        link["state"] = "changed"
    except InputError:
        link["state"] = "changed"
    return link, source


def describe(path: Path, *, outside: bool = False) -> list[str]:
    """Return lines on the content of a raw file, store or result, and on its origin."""
    if not path.exists():
        raise InputError(
            printable(path), expected="a file or folder", got="nothing there", fix="correct the path"
        )
    raw, record = raw_record(path), checked_record(path)
    if raw is None or record is None:
        return _describe_raw(path)
    lines = [
        f"{path}: result of stage {record.stage} version {record.version}, "
        f"oxytomo {record.package_version}, {record.created}"
    ]
    if "arrays" in raw:
        store = read_store(path)
        for name in store.names:
            sides = zip(store.axes(name), store.shape(name), strict=True)
            axes = ", ".join(f"{axis} {size}" for axis, size in sides)
            lines.append(f"  {name}: ({axes}) {store.dtype(name)} [{store.unit(name)}]")
    lines += [f"  setting {key} = {value}" for key, value in record.settings.items()]
    return [printable(line) for line in lines] + describe_chain(path, outside=outside)


def describe_chain(path: Path, *, outside: bool = False) -> list[str]:
    """Return a line for each input of a result, and for their inputs, back to the raw files."""
    lines = []
    for link in provenance_chain(path, outside=outside):
        stage = f"stage {link['stage']}, " if "stage" in link else ""
        indent = "  " * min(link["depth"], _MOST_INDENT)
        lines.append(
            printable(
                f"  {indent}from {link['name']}: {link['path']} ({stage}{link['state']}, "
                f"sha256 {link['digest'][:12]})"
            )
        )
    return lines


def _describe_raw(path: Path) -> list[str]:
    from oxytomo.io.readers import ReadRequest, declared, peek
    from oxytomo.io.readers.formats import format_of

    found = format_of(path) if path.is_file() else None
    if found is not None and found.name == declared.NAME:
        return declared.describe(path)
    summary = peek(ReadRequest(images=(path,)))
    n_frame, n_y, n_x = summary.shape
    return [
        f"{path}: {summary.format}",
        f"  {n_frame} frame{'s' if n_frame != 1 else ''} of {n_y} × {n_x} pixels, {summary.dtype}, {summary.quantity}",
        f"  {summary.n_flat} flat{'s' if summary.n_flat != 1 else ''}, "
        f"{summary.n_dark} dark{'s' if summary.n_dark != 1 else ''}",
        f"  tilt {_range(summary.tilt_deg, '°')}",
        f"  energy {_range(summary.energy_ev, ' eV')}",
        f"  pixel {_range(summary.pixel_nm, ' nm')}",
        *(f"  {key}: {value}" for key, value in summary.metadata.items()),
        *(f"  remark: {remark}" for remark in summary.remarks),
    ]


def _range(values: Any, unit: str) -> str:
    """Return the range of values of frames, and how many frames have none."""
    known = sorted(float(value) for value in values if value == value)
    if not known:
        return "not in the file"
    text = f"{known[0]:g}" if known[0] == known[-1] else f"{known[0]:g} to {known[-1]:g}"
    lost = len(values) - len(known)
    return text + unit + (f", none for {lost} of {len(values)} frames" if lost else "")
