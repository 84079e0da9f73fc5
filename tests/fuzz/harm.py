"""One kind of harm to a folder of results, and the means to do it."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oxytomo.io.integrity import record_output
from oxytomo.io.provenance import make_provenance, record_file

STORE, ARRAY = "stages/composition/reconstruct.zarr", "deviation"
IMAGE, TABLE, COLUMNS = "composition.ome.zarr", "phases.json", "domains.csv"
NESTED = "[" * 100_000

Harm = Callable[[Path, Path], None]
"""Does something to a sample's folder; the second path is a folder outside that must stay as it is."""


@dataclass(frozen=True)
class Hostile:
    """One kind of harm.

    Attributes
    ----------
    name : says what and where
    harm : does it
    refused_by : commands that must not end with 0 (``verify`` says what is wrong, the others do not use it)
    """

    name: str
    harm: Harm
    refused_by: frozenset[str] = frozenset(("verify",))


class Exploit:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def record_everything(sample: Path) -> None:
    """Give the stores and products of a made-up sample the records that a run gives them."""
    provenance = make_provenance("made", 1, {}, {})
    for path in (*sample.glob("stages/*/*.zarr"), *sample.iterdir()):
        if path.name != "stages" and not path.name.startswith("."):
            record_output(path, provenance)


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change JSON in place, and forget the record beside it: only the content itself can tell."""
    content = json.loads(path.read_text(encoding="utf-8"))
    changed = change(content)
    path.write_text(json.dumps(content if changed is None else changed), encoding="utf-8")


def forget(sample: Path, name: str) -> Path:
    """Return a product after its record is deleted, as if there had never been one."""
    record_file(sample / name).unlink(missing_ok=True)
    return sample / name


ALL = frozenset(("verify", "report", "compare", "view", "render", "inspect"))


def replace_path(path: Path, kind: str, outside: Path) -> None:
    """Put a pipe, a link to a device, a folder or a link in the place of a file."""
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"device": "/dev/tty", "endless device": "/dev/zero"}.get(kind, outside / "precious"))
