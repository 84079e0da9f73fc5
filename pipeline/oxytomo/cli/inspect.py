"""``oxytomo inspect``: content and provenance of a raw file or a result."""

import argparse
import json
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

from oxytomo.errors import InputError, PipelineError, StoreError
from oxytomo.io.finished import is_sample
from oxytomo.io.plain_files import open_plain, printable, read_json_object, walk

DESCRIPTION = """\
Show the content of a raw file (shape, angles, energy, pixel size), a folder of raw files (one row each), a
stage store, an OME-Zarr image, a table, or a results folder. For results the command also shows the stage, the
settings, and all inputs back to the raw files, and whether any of these has changed."""
EXAMPLES = """\
examples:
  oxytomo inspect data/O_K_pre.h5
  oxytomo inspect data                          one row per file
  oxytomo inspect results/particle
  oxytomo inspect results/particle/stages/composition/align.zarr
  oxytomo inspect results/particle/composition.ome.zarr"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    parser.add_argument("path", type=Path, metavar="PATH", help="file or folder")
    parser.add_argument(
        "--inputs",
        action="store_true",
        help="also read raw files outside the results folder, to check that they are unchanged",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the description to standard output."""
    lines = describe_path(arguments.path, outside=arguments.inputs)
    sys.stdout.write("\n".join(map(printable, lines)) + "\n")
    return 0


def describe_path(path: Path, *, outside: bool = False) -> list[str]:
    """Return lines about a file or a folder; ``outside`` also reads raw files elsewhere."""
    from oxytomo.io.provenance import describe, describe_chain, raw_record, record_file
    from oxytomo.results.images import describe_image

    if is_sample(path):
        return _describe_sample(path)
    samples = sorted(
        stages.parent
        for stages in path.glob("*/stages")
        if is_sample(stages.parent) and not stages.parent.is_symlink()
    )
    if samples:
        return [line for sample in samples for line in _describe_sample(sample)]
    if path.is_dir() and raw_record(path) is None and not record_file(path).is_file() and _is_plain(path):
        from oxytomo.check.folder.look import describe_files, look_at

        return describe_files(look_at([path]), path)
    if path.is_file() and path.suffix == ".npz":
        return _describe_arrays(path)
    if path.is_file() and path.suffix == ".csv":
        return [*_describe_table(path), *describe_chain(path, outside=outside)]
    if path.is_file() and path.suffix == ".json":
        content = json.dumps(_read_json(path), indent=1, ensure_ascii=False).splitlines()
        return [f"{path}:", *content, *describe_chain(path, outside=outside)]
    if (path.is_dir() or path.suffix == ".html") and raw_record(path) is None and record_file(path).is_file():
        raise _damaged(record_file(path))
    if path.suffix == ".html" and raw_record(path) is not None:
        return describe(path, outside=outside)
    return [*describe(path, outside=outside), *describe_image(path)]


def _is_plain(folder: Path) -> bool:
    """Return True if a folder contains files and is not itself a store or an image."""
    return not any((folder / name).exists() for name in ("zarr.json", ".zgroup", ".zarray", ".zattrs"))


def _describe_sample(folder: Path) -> list[str]:
    """Return lines about the folder of a sample."""
    from oxytomo.io.provenance import checked_record

    lines = [f"{folder}: results of a sample"]
    names = sorted(item.name for item in folder.iterdir() if not item.name.startswith("."))
    lines += [f"  {name}" for name in names if name != "stages"]
    stores = (Path(e.path) for e in walk(folder / "stages", into=".zarr") if e.name.endswith(".zarr"))
    for store in sorted(stores):
        record = checked_record(store)
        made = f"version {record.version}, {record.created}" if record else "without record"
        lines.append(f"  {store.relative_to(folder)}: {made}")
    return lines + _describe_numbers(folder)


def _describe_numbers(folder: Path) -> list[str]:
    """Return the main numbers of a sample with their intervals."""
    from oxytomo.results import Results

    results, lines = Results.of_folder(folder), []
    for key in results.numbers:
        try:
            lines.append(f"  {key}: {results.numbers[key]}")
        except PipelineError as error:
            lines.append(f"  {key}: cannot be read ({error})")
    return lines


def _describe_table(path: Path) -> list[str]:
    """Return lines about a table, with units and definitions of known columns."""
    from oxytomo.io.tables import csv_rows
    from oxytomo.results.places import TABLE_KEYS
    from oxytomo.results.tables import TABLE_TYPES, read_table

    if path.name in TABLE_KEYS:
        table = read_table(path, TABLE_TYPES[TABLE_KEYS[path.name]])
        units, about = table.attrs["units"], table.attrs["definitions"]
        own = (f"  {name} [{units.get(name, '')}] {about.get(name, '')}".rstrip() for name in table)
        return [f"{path}: table of {len(table)} rows", *own]
    rows = [row for row in csv_rows(path) if not row[0].startswith("#")]
    return [
        f"{path}: table of {max(0, len(rows) - 1)} rows",
        *(f"  {name}" for name in (rows[0] if rows else [])),
    ]


def _describe_arrays(path: Path) -> list[str]:
    """Return lines about a file of named arrays (NPZ); only their headers are read."""
    from numpy.lib import format as npy

    lines = [f"{path}: arrays"]
    try:
        with open_plain(path, follow=True) as file, zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    version = npy.read_magic(member)
                    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
                    shape, _, dtype = read(member)
                lines.append(f"  {name.removesuffix('.npy')}: {shape} {dtype}")
    except (
        zipfile.BadZipFile,
        ValueError,
        KeyError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        zlib.error,
    ) as error:
        raise _damaged(path, "arrays as NumPy writes them") from error
    return lines


def _read_json(path: Path) -> dict[str, Any]:
    """Return the mapping of a JSON file."""
    try:
        return read_json_object(path)
    except StoreError as error:
        raise _damaged(path, "a JSON file") from error


def _damaged(path: Path, expected: str = "what oxytomo writes") -> InputError:
    return InputError(
        printable(path), expected=expected, got="a missing or damaged one", fix="run the workflow again"
    )
