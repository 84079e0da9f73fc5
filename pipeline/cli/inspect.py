"""``oxytomo inspect``: what is in a raw file or a result, and where it comes from."""

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import InputError

DESCRIPTION = """\
Show what is in a raw file (shape, angles, energy, pixel size), a stage store, an OME-Zarr image, a table, or
a whole folder of results, and where it comes from: stage, settings, hashes of the inputs, version, time."""
EXAMPLES = """\
examples:
  oxytomo inspect data/O_K_pre.h5
  oxytomo inspect results/particle
  oxytomo inspect results/particle/stages/composition/align.zarr
  oxytomo inspect results/particle/composition.ome.zarr --json"""

_LONG = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    parser.add_argument("path", type=Path, metavar="PATH", help="a file or folder")
    parser.add_argument("--json", action="store_true", help="everything that is known, as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Write the description to standard output."""
    facts = describe(arguments.path)
    if arguments.json:
        sys.stdout.write(json.dumps(facts, indent=1, ensure_ascii=False, default=str) + "\n")
    else:
        sys.stdout.write("\n".join(_as_lines(facts, 0)) + "\n")
    return 0


def describe(path: Path) -> dict[str, Any]:
    """Return what is known about a file or a folder."""
    if not path.exists():
        raise InputError(str(path), expected="a file or folder", got="nothing there", fix="correct the path")
    if (path / "stages").is_dir():
        return _sample(path)
    if list(path.glob("*/stages")):
        return {
            "samples": {
                sample.parent.name: _sample(sample.parent) for sample in sorted(path.glob("*/stages"))
            }
        }
    attributes = zarr_attributes(path)
    if attributes is not None:
        return _store(path, attributes)
    if path.suffix == ".json":
        return {"file": str(path), "content": json.loads(path.read_text(encoding="utf-8"))}
    if path.suffix == ".csv":
        return _table(path)
    if path.suffix == ".npz":
        return _arrays(path)
    return _raw(path)


def zarr_attributes(path: Path) -> dict[str, Any] | None:
    """Return the root attributes of a zarr group (versions 3 and 2), None for anything else."""
    for name, key in (("zarr.json", "attributes"), (".zattrs", None)):
        if (path / name).is_file():
            try:
                content = json.loads((path / name).read_text(encoding="utf-8"))
                return dict(content.get(key, {}) if key else content)
            except (ValueError, AttributeError, TypeError) as error:
                raise InputError(
                    str(path / name),
                    expected="zarr metadata",
                    got="a damaged file",
                    fix="run the workflow again",
                ) from error
    return None


def _store(path: Path, attributes: dict[str, Any]) -> dict[str, Any]:
    """Describe a stage store or an OME-Zarr image."""
    record = dict(attributes.pop("oxytomo", {}))
    if "arrays" in record:
        from pipeline.io.stores import read_store

        read_store(path)  # refuses a store that is incomplete
    facts: dict[str, Any] = {"store": str(path)}
    ome = attributes.pop("ome", None) or {
        key: attributes.pop(key) for key in ("multiscales", "omero") if key in attributes
    }
    if ome:
        facts["image"] = _image(path, ome)
    arrays = record.pop("arrays", {})
    if arrays:
        facts["arrays"] = {
            name: f"({', '.join(map(str, a['axes']))}) = {tuple(a['shape'])}, {a['dtype']}, unit {a['unit']}"
            for name, a in arrays.items()
        }
    facts["attributes"] = attributes.get("attributes", attributes)
    facts["provenance"] = record
    return facts


def _image(path: Path, ome: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the multiscale image of an OME-Zarr."""
    scales = (ome.get("multiscales") or [{}])[0]
    channels = (ome.get("omero") or {}).get("channels") or []
    labels = zarr_attributes(path / "labels") or {}
    names = (labels.get("ome") or labels).get("labels", [])
    return {
        "format": f"OME-Zarr {ome.get('version') or scales.get('version', '')}",
        "axes": " ".join(f"{axis['name']} [{axis.get('unit', '1')}]" for axis in scales.get("axes", [])),
        "levels": {
            str(level["path"]): level["coordinateTransformations"][0].get("scale")
            for level in scales.get("datasets", [])
        },
        "channels": [channel.get("label") for channel in channels],
        "labels": names,
    }


def _sample(path: Path) -> dict[str, Any]:
    """Describe the folder of a sample."""
    stores = sorted((path / "stages").glob("*/**/*.zarr"))
    stages = {}
    for store in stores:
        record = (zarr_attributes(store) or {}).get("oxytomo", {})
        stages[str(store.relative_to(path / "stages"))] = (
            f"{record.get('stage')} version {record.get('version')}, {record.get('created')}"
        )
    products = sorted(p.name for p in path.iterdir() if p.name != "stages" and not p.name.startswith("."))
    return {"folder": str(path), "products": products, "stages": stages}


def _table(path: Path) -> dict[str, Any]:
    """Describe a table."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row and not row[0].startswith("#")]
    return {"table": str(path), "rows": max(0, len(rows) - 1), "columns": rows[0] if rows else []}


def _arrays(path: Path) -> dict[str, Any]:
    """Describe a file of named arrays, such as the truth of a simulation."""
    import numpy as np

    with np.load(path) as arrays:
        return {
            "file": str(path),
            "arrays": {name: f"{arrays[name].shape}, {arrays[name].dtype}" for name in arrays},
        }


def _raw(path: Path) -> dict[str, Any]:
    """Describe a raw file through its reader."""
    import dataclasses

    from pipeline.config import Source
    from pipeline.io.readers import peek
    from pipeline.stages.sources import read_request

    summary = peek(read_request(Source(images=(str(path),))))
    return {"raw": str(path), **{f.name: getattr(summary, f.name) for f in dataclasses.fields(summary)}}


def _as_lines(value: Any, depth: int) -> Iterator[str]:
    """Yield indented lines; long values are cut."""
    pad = "  " * depth
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            yield f"{pad}{key}:"
            yield from _as_lines(item, depth + 1)
        elif isinstance(item, list | tuple) and item and isinstance(item[0], Mapping):
            yield f"{pad}{key}: {len(item)} entries"
        else:
            text = ", ".join(map(str, item)) if isinstance(item, list | tuple) else str(item)
            text = " ".join(text.split())
            yield f"{pad}{key}: {text if len(text) <= _LONG else text[: _LONG - 1] + '…'}"
