"""Numbers of small simulated samples, kept in the repository: every table, every label.

``python tests/stages/kept_numbers.py`` writes ``kept_numbers.json`` again. Do so only when numbers
are meant to change, raise the version of the stage in ``stages/registry.py``, and say in the
changelog what moved and by how much: the command prints the largest changes.
"""

import csv
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from state_runs import run_branch

from oxytomo.cli import main
from oxytomo.io.stores import read_store

KEPT = Path(__file__).with_name("kept_numbers.json")

SAMPLES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "composition": (
        ("--size", "32", "--tilts", "21", "--elements", "O", "Mn", "--photons", "1e5", "--seed", "5"),
        {
            "align": {"iterations": 3},
            "reconstruct": {"iterations": 40, "element_iterations": 20},
            "uncertainty": {"replicates": 2, "null_replicates": 1},
        },
    ),
    "structure": (("--kind", "volume", "--size", "48", "--pixel-nm", "20", "--seed", "5"), {}),
    "oxidation": (("--kind", "xanes", "--elements", "Ni", "--size", "32", "--energies", "30"), {}),
}
"""Arguments of ``oxytomo simulate`` and settings of each branch; small, so that all take seconds."""

LABELS = {
    "composition": {
        "classify.zarr": ("phases", "phases_confident", "null_phases"),
        "reconstruct.zarr": ("particle",),
    },
    "structure": {"voids.zarr": ("particle", "void", "voids", "instances")},
    "oxidation": {"fit/Ni.zarr": ("status",)},
}
"""Labels of voxels or pixels, by store below ``stages/<branch>/``."""

OF_THE_RUN = {"version", "path", "created", "seconds", "sha256"}
"""Facts about the run, not about the sample."""


def numbers_of(branch: str, folder: Path) -> dict[str, Any]:
    """Simulate a sample, run its branch in this process, and return its numbers by name."""
    arguments, settings = SAMPLES[branch]
    assert main(["simulate", str(folder), *arguments]) == 0
    configuration = folder / "config.yaml"
    config = yaml.safe_load(configuration.read_text(encoding="utf-8"))
    config["results"] = "results"
    config["samples"]["particle"][branch].update(settings)
    configuration.write_text(yaml.safe_dump(config), encoding="utf-8")
    run_branch(configuration, branch)  # type: ignore[arg-type]
    results = folder / "results" / "particle"
    found: dict[str, Any] = {}
    for table in sorted(results.glob("*.csv")):
        found |= {f"{table.name} {name}": values for name, values in _columns(table)}
    for summary in sorted(results.glob("*.json")):
        content = json.loads(summary.read_text(encoding="utf-8"))
        found |= {f"{summary.name} {name}": value for name, value in _leaves(content)}
    for store, names in LABELS[branch].items():
        arrays = read_store(results / "stages" / branch / store)
        found |= {f"{store} {name}": _labels(np.asarray(arrays[name])) for name in names}
    return found


def _columns(table: Path) -> Iterator[tuple[str, list[float | str]]]:
    """Yield the columns of a table; what is no number stays a text."""
    lines = [line for line in table.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    rows = list(csv.DictReader(lines))
    for name in rows[0] if rows else ():
        yield name, [_number(row[name]) for row in rows]


def _leaves(content: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the numbers and lists of numbers in nested mappings and lists."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key not in OF_THE_RUN:
                yield from _leaves(value, f"{name}.{key}" if name else key)
    elif isinstance(content, list) and any(isinstance(one, dict | list) for one in content):
        for place, value in enumerate(content):
            yield from _leaves(value, f"{name}.{place}")
    elif isinstance(content, list):
        if all(isinstance(one, int | float) and not isinstance(one, bool) for one in content):
            yield name, [_number(one) for one in content]
    elif isinstance(content, int | float) and not isinstance(content, bool):
        yield name, _number(content)


def _labels(labels: np.ndarray) -> list[list[float]]:
    """Return value, number of voxels and mean place of every label but 0 (of the 20 largest)."""
    values, counts = np.unique(labels[labels != 0], return_counts=True)
    found = []
    for at in np.argsort(-counts, kind="stable")[:20]:
        places = np.argwhere(labels == values[at]).mean(axis=0)
        found.append([float(values[at]), float(counts[at]), *(_number(one) for one in places)])
    return found


def _number(value: Any) -> Any:
    """Return a number to six digits, anything else as text."""
    try:
        return float(f"{float(value):.6g}")
    except ValueError:
        return str(value)


def all_numbers() -> dict[str, dict[str, Any]]:
    """Return the numbers of all samples."""
    found = {}
    for branch in SAMPLES:
        with tempfile.TemporaryDirectory() as folder:
            found[branch] = numbers_of(branch, Path(folder) / "sample")
    return found


def largest_changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return a line for each quantity that changed, the largest relative change first."""
    lines = []
    for name in sorted(before.keys() | after.keys()):
        if name not in before or name not in after:
            lines.append((np.inf, f"{name}: {'new' if name in after else 'gone'}"))
            continue
        old, new = (np.array(one[name], object).ravel() for one in (before, after))
        if old.size != new.size:
            lines.append((np.inf, f"{name}: {old.size} values before, {new.size} now"))
            continue
        changes = [
            abs(b - a) / max(abs(a), abs(b), 1e-12)
            if isinstance(a, float) and isinstance(b, float)
            else np.inf
            for a, b in zip(old, new, strict=True)
            if a != b and not (a != a and b != b)
        ]
        if changes:
            lines.append((max(changes), f"{name}: up to {100 * max(changes):.3g} %"))
    return [line for _, line in sorted(lines, key=lambda one: -one[0])]


if __name__ == "__main__":
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {}
    now = all_numbers()
    for name, values in now.items():
        for line in largest_changes(kept.get(name, {}), values)[:25]:
            sys.stdout.write(f"{name}: {line}\n")
    if "--compare" not in sys.argv:
        KEPT.write_text(
            json.dumps(now, separators=(",", ":")).replace('],"', '],\n"') + "\n", encoding="utf-8"
        )
