"""``oxytomo inspect``: what is in a raw file or a result, and where it comes from."""

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

from pipeline.errors import InputError

DESCRIPTION = """\
Show what is in a raw file (shape, angles, energy, pixel size), a stage store, an OME-Zarr image, a table, or
a whole folder of results, and where it comes from: stage, settings, and the chain of inputs back to the raw
files, each with whether it is still what it was."""
EXAMPLES = """\
examples:
  oxytomo inspect data/O_K_pre.h5
  oxytomo inspect results/particle
  oxytomo inspect results/particle/stages/composition/align.zarr
  oxytomo inspect results/particle/composition.ome.zarr"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    parser.add_argument("path", type=Path, metavar="PATH", help="a file or folder")


def run(arguments: argparse.Namespace) -> int:
    """Write the description to standard output."""
    sys.stdout.write("\n".join(describe_path(arguments.path)) + "\n")
    return 0


def describe_path(path: Path) -> list[str]:
    """Return lines about a file or a folder."""
    if (path / "stages").is_dir():
        return _describe_sample(path)
    samples = sorted(stages.parent for stages in path.glob("*/stages"))
    if samples:
        return [line for sample in samples for line in _describe_sample(sample)]
    if path.is_file() and path.suffix == ".npz":
        return _describe_arrays(path)
    from pipeline.io.provenance import describe, describe_chain

    if path.is_file() and path.suffix == ".csv":
        return [*_describe_table(path), *describe_chain(path)]
    if path.is_file() and path.suffix == ".json":
        content = json.dumps(_read_json(path), indent=1, ensure_ascii=False).splitlines()
        return [f"{path}:", *content, *describe_chain(path)]
    return [*describe(path), *_describe_image(path)]


def _describe_sample(folder: Path) -> list[str]:
    """Return lines about the folder of a sample."""
    lines = [f"{folder}: results of a sample"]
    names = sorted(item.name for item in folder.iterdir() if not item.name.startswith("."))
    lines += [f"  {name}" for name in names if name != "stages"]
    for store in sorted((folder / "stages").glob("*/**/*.zarr")):
        record = (_read_json(store / "zarr.json").get("attributes") or {}).get("oxytomo") or {}
        made = f"version {record.get('version')}, {record.get('created')}" if record else "without record"
        lines.append(f"  {store.relative_to(folder)}: {made}")
    return lines


def _describe_image(path: Path) -> list[str]:
    """Return lines about the axes, levels, channels and labels of an OME-Zarr image, if it is one."""
    image = _ome(path)
    scales = (image.get("multiscales") or [None])[0]
    if scales is None:
        return []
    axes = ", ".join(f"{axis['name']} [{axis.get('unit', '1')}]" for axis in scales["axes"])
    lines = [f"  OME-Zarr {image.get('version') or scales.get('version')}: axes {axes}"]
    for level in scales["datasets"]:
        scale = " × ".join(f"{size:g}" for size in level["coordinateTransformations"][0]["scale"])
        lines.append(f"  level {level['path']}: scale {scale}")
    channels = [str(channel.get("label")) for channel in (image.get("omero") or {}).get("channels", [])]
    labels = _ome(path / "labels").get("labels", [])
    lines += [f"  channels: {', '.join(channels)}"] if channels else []
    lines += [f"  labels: {', '.join(labels)}"] if labels else []
    return lines


def _ome(path: Path) -> dict[str, Any]:
    """Return the OME metadata of a zarr group, of either version; empty for anything else."""
    if (path / "zarr.json").is_file():
        return dict((_read_json(path / "zarr.json").get("attributes") or {}).get("ome") or {})
    return _read_json(path / ".zattrs") if (path / ".zattrs").is_file() else {}


def _describe_table(path: Path) -> list[str]:
    """Return lines about a table."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row and not row[0].startswith("#")]
    return [
        f"{path}: table of {max(0, len(rows) - 1)} rows",
        *(f"  {name}" for name in (rows[0] if rows else [])),
    ]


def _describe_arrays(path: Path) -> list[str]:
    """Return lines about a file of named arrays, such as the truth of a simulation."""
    import numpy as np

    with np.load(path) as arrays:
        return [
            f"{path}: arrays",
            *(f"  {name}: {arrays[name].shape} {arrays[name].dtype}" for name in arrays),
        ]


def _read_json(path: Path) -> dict[str, Any]:
    """Return the mapping in a JSON file."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            str(path),
            expected="a JSON file",
            got="a missing or damaged one",
            fix="delete it and run the workflow again",
        ) from error
