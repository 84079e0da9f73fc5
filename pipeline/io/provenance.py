"""Where a result comes from: digests of inputs, the record of a store, the chain back to the raw files."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.errors import InputError
from pipeline.io.atomic import record_file as record_file
from pipeline.io.stores import STORE_KEY, Provenance, decode_json, read_store

_BLOCK_BYTES = 2**20
_TIME_STAMP = ".snakemake_timestamp"


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    try:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise InputError(
            str(path),
            expected="a readable file",
            got=error.strerror or str(error),
            fix="correct the path or the permissions",
        ) from error
    return digest.hexdigest()


def folder_digest(path: Path, *, pattern: str = "*") -> str:
    """Return the SHA-256 of the names and digests of the files below a folder, sorted by name.

    The time stamps that Snakemake leaves in folders play no part.
    """
    digest = hashlib.sha256()
    files = (file for file in path.rglob(pattern) if file.is_file() and file.name != _TIME_STAMP)
    for file in sorted(files):
        digest.update(f"{file.relative_to(path).as_posix()}:{file_digest(file)};".encode())
    return digest.hexdigest()


def input_digest(path: Path) -> str:
    """Return the digest of an input; a store brings that of its content."""
    if store_record(path) is not None:
        return read_store(path).digest
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
    """Return the root attribute ``oxytomo`` of a stage store (with its arrays), or None for anything else."""
    record = _record(path)
    return record if record is not None and "arrays" in record else None


def provenance_chain(path: Path, *, verify: bool = True) -> list[dict[str, Any]]:
    """Return what went into a store or result, nearest first, back to the raw files.

    Parameters
    ----------
    path : a store or an exported image
    verify : compare every input with its recorded digest, which reads all raw files

    Returns
    -------
    list of ``{"depth", "name", "path", "digest", "state"}``; ``state`` is ``"unchanged"``, ``"changed"`` or
    ``"missing"``, without ``verify`` ``"unchecked"`` for what is there, and ``stage`` is added where the input is a
    result itself
    """
    return list(_chain(path, 0, set(), verify))


def describe(path: Path) -> list[str]:
    """Return lines that say what is in a raw file, a stage store or a result, and where it comes from."""
    if not path.exists():
        raise InputError(str(path), expected="a file or folder", got="nothing there", fix="correct the path")
    record = _record(path)
    if record is None:
        return _describe_raw(path)
    if "arrays" in record:
        read_store(path)
    lines = [
        f"{path}: result of stage {record.get('stage')} version {record.get('version')}, "
        f"oxytomo {record.get('package_version')}, {record.get('created')}"
    ]
    for name, array in record.get("arrays", {}).items():
        axes = ", ".join(f"{axis} {size}" for axis, size in zip(array["axes"], array["shape"], strict=True))
        lines.append(f"  {name}: ({axes}) {array['dtype']} [{array['unit']}]")
    lines += [f"  setting {key} = {value}" for key, value in record.get("settings", {}).items()]
    return lines + describe_chain(path)


def describe_chain(path: Path) -> list[str]:
    """Return a line for each input of a result, and for theirs, back to the raw files."""
    lines = []
    for link in provenance_chain(path):
        stage = f"stage {link['stage']}, " if "stage" in link else ""
        lines.append(
            f"  {'  ' * link['depth']}from {link['name']}: {link['path']} ({stage}{link['state']}, "
            f"sha256 {link['digest'][:12]})"
        )
    return lines


def _record(path: Path) -> dict[str, Any] | None:
    """Return the record within a store or an image, or beside another product."""
    root, beside = path / "zarr.json", record_file(path)
    if not root.is_file() and not beside.is_file():
        return None
    try:
        if root.is_file():
            record = decode_json(json.loads(root.read_text(encoding="utf-8")))["attributes"][STORE_KEY]
        else:
            record = decode_json(json.loads(beside.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not a result of this package; read_store says what is wrong with a damaged one
    return record if isinstance(record, dict) else None


def _chain(path: Path, depth: int, seen: set[Path], verify: bool) -> Iterator[dict[str, Any]]:
    """Walk the inputs depth first; what several stages share is followed once."""
    for name, item in (_record(path) or {}).get("inputs", {}).items():
        source = Path(item["path"])
        link = {
            "depth": depth,
            "name": name,
            "path": str(source),
            "digest": item["digest"],
            "state": "missing",
        }
        record = _record(source)
        if record is not None:
            link["stage"] = record.get("stage")
        if source.exists() and not verify:
            link["state"] = "unchecked"
        elif source.exists():
            link["state"] = "unchanged" if input_record(source)["digest"] == item["digest"] else "changed"
        yield link
        if source not in seen:
            seen.add(source)
            yield from _chain(source, depth + 1, seen, verify)


def _describe_raw(path: Path) -> list[str]:
    from pipeline.io.readers import ReadRequest, declared, peek
    from pipeline.io.readers.formats import format_of

    found = format_of(path) if path.is_file() else None
    if found is not None and found.name == declared.NAME:
        return declared.describe(path)
    summary = peek(ReadRequest(images=(path,)))
    n_frame, n_y, n_x = summary.shape
    return [
        f"{path}: {summary.format}",
        f"  {n_frame} frames of {n_y} × {n_x} pixels, {summary.dtype}, {summary.quantity}",
        f"  {summary.n_flat} flats, {summary.n_dark} darks",
        f"  tilt {_range(summary.tilt_deg)}°",
        f"  energy {_range(summary.energy_ev)} eV",
        f"  pixel {_range(summary.pixel_nm)} nm",
        *(f"  {key}: {value}" for key, value in summary.metadata.items()),
    ]


def _range(values: Any) -> str:
    low, high = min(values), max(values)
    if low != low:
        return "not in the file:"
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
