"""Provenance of a layer as a tree: result, stages, raw files, each with hash and state."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oxytomo.io.provenance import provenance_chain

STATES = {
    "unchanged": "unchanged",
    "changed": "changed since",
    "missing": "not there",
    "unchecked": "not checked",
}


@dataclass(frozen=True)
class Link:
    """One row: ``depth`` 0 is an input of the result itself; ``stage`` is empty for a raw file."""

    depth: int
    name: str
    path: str
    stage: str
    digest: str
    state: str


def provenance_links(path: Path, *, verify: bool) -> list[Link]:
    """Return the inputs of a result, nearest first, each followed by its own.

    Parameters
    ----------
    path : an exported image or stage store
    verify : compare every file with its hash; reads all raw files, wherever the results say that
        they are
    """
    return [
        Link(
            int(link["depth"]),
            str(link["name"]),
            str(link["path"]),
            str(link.get("stage") or ""),
            str(link["digest"]),
            STATES[link["state"]],
        )
        for link in provenance_chain(path, verify=verify, outside=verify)
    ]


def record_lines(record: Mapping[str, Any]) -> list[str]:
    """Return lines about the result itself: stage, version, program, time and settings."""
    lines = [
        f"stage {record.get('stage')}, version {record.get('version')}",
        f"oxytomo {record.get('package_version')}, {record.get('created')}",
    ]
    facts = {key: record[key] for key in ("threshold", "reference_tm_o", "n_pores") if key in record}
    return lines + [f"{key} = {value}" for key, value in {**facts, **(record.get("settings") or {})}.items()]
