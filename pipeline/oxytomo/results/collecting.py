"""One table of many samples: a row each, with all main numbers, warnings and a digest of settings."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oxytomo.errors import InputError, PipelineError
from oxytomo.io.plain_files import printable
from oxytomo.io.records import Provenance
from oxytomo.results.errors import numbers_of
from oxytomo.results.fractions import fractions_of, undecided_of
from oxytomo.results.numbers import Number
from oxytomo.results.opening import open_results
from oxytomo.results.places import JSON_TABLES
from oxytomo.results.results import Results
from oxytomo.results.severity import severity_of

if TYPE_CHECKING:
    import pandas as pd

UNITS: Mapping[str, str] = {
    "%": "_percent",
    "nm": "_nm",
    "MPa": "_mpa",
    "1/µm³": "_per_um3",
    "1/µm": "_per_um",
    "": "",
}
"""How a unit is written at the end of the name of a column."""
FIRST = (
    "sample",
    "folder",
    "branches",
    "settings_digest",
    "oxytomo_version",
    "n_warnings",
    "warnings",
    "problem",
)
"""The first columns, which every sample has."""
DIGITS = 12
"""Digits of a digest of settings, as many as a person compares."""

PathLike = str | os.PathLike[str]


def collect(paths: PathLike | Sequence[PathLike], *, warnings: bool = True) -> "pd.DataFrame":
    """Return one row per sample, with every main number of its branches.

    Parameters
    ----------
    paths : one or several results: ``<results>/<sample>``, or ``<results>`` for all its samples
    warnings : include the warnings of the report, for which the volumes are read once

    Returns
    -------
    table : first ``sample``, ``folder``, ``branches``, ``settings_digest``, ``oxytomo_version``,
        ``n_warnings``, ``warnings`` (with ``|`` between them) and ``problem`` (empty if all could be read).
        Then a column ``<branch>_<number>_<unit>`` for each number that a sample has, with the ends
        of its 95 % interval in ``…_low`` and ``…_high``; NaN where a sample does not have it.
        ``attrs["definitions"]`` defines them by column. Two samples with the same settings digest
        were processed with the same settings and stages, apart from the names of their raw files

    Raises
    ------
    InputError
        If none of the paths holds results. A sample that cannot be read has a row with its
        ``problem``.

    Examples
    --------
    >>> import json, tempfile
    >>> from pathlib import Path
    >>> from oxytomo import collect
    >>> results = Path(tempfile.mkdtemp())
    >>> for name, poor in (("charged", 0.12), ("pristine", 0.02)):
    ...     shares = {"target": 0.9 - poor, "oxygen_poor": poor, "oxygen_rich": 0.1}
    ...     entries = {key: {"value": one, "ci95": [one, one + 0.01]} for key, one in shares.items()}
    ...     (results / name).mkdir()
    ...     text = json.dumps({"threshold": 0.05, "fractions": entries})
    ...     _ = (results / name / "phases.json").write_text(text)
    >>> table = collect(results)
    >>> table.set_index("sample")["composition_oxygen_poor_percent_high"].to_dict()
    {'charged': 13.0, 'pristine': 3.0}
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    definitions: dict[str, str] = {}
    for result in each_sample(paths):
        if isinstance(result, PipelineError):
            rows.append(dict.fromkeys(FIRST, "") | {"problem": printable(result)})
        else:
            row, defined = sample_row(result, warnings=warnings)
            rows.append(row)
            definitions |= defined
    if not any(row["sample"] for row in rows):
        raise InputError(
            "oxytomo collect",
            expected="the results of at least one sample",
            got=rows[0]["problem"] if rows else "no folder",
            fix="give <results>/<sample> or <results>",
        )
    known = [name for branch in JSON_TABLES for name in definitions if name.startswith(f"{branch}_")]
    order = dict.fromkeys([*known, *definitions])
    table = pd.DataFrame(rows, columns=[*FIRST, *order])
    table["n_warnings"] = pd.to_numeric(table["n_warnings"], errors="coerce")
    table.attrs["definitions"] = definitions
    return table


def each_sample(paths: PathLike | Sequence[PathLike]) -> Iterator[Results | PipelineError]:
    """Yield the results of every sample once, one at a time, or why a path has none."""
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    seen: set[Path] = set()
    for path in given:
        try:
            found = open_results(path)
        except (PipelineError, OSError, ValueError) as error:
            yield _problem(path, error)
            continue
        names: Sequence[str | None] = [None] if isinstance(found, Results) else list(found)
        for name in names:
            try:
                # Opened anew, so that what it has read is freed with it.
                one = open_results(path if name is None else Path(path) / name)
            except (PipelineError, OSError, ValueError) as error:
                yield _problem(path if name is None else Path(path) / name, error)
                continue
            if isinstance(one, Results) and one.folder is not None and one.folder.resolve() not in seen:
                seen.add(one.folder.resolve())
                yield one


def _problem(path: PathLike, error: Exception) -> PipelineError:
    if isinstance(error, PipelineError):
        return error
    return InputError(
        printable(path), expected="readable results", got=printable(error)[:200], fix="leave them out"
    )


def sample_row(results: Results, *, warnings: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the row of a sample, and the definitions of its columns of numbers."""
    problems: list[str] = []

    def read(what: Any) -> Any:
        try:
            return what()
        except (PipelineError, OSError) as error:
            problems.append(printable(error))
            return None

    row: dict[str, Any] = {"sample": printable(results.name), "folder": printable(results.folder)}
    row["branches"] = " ".join(read(lambda: results.branches) or ())
    origin = read(lambda: results.provenance) or {}
    row["settings_digest"] = settings_digest(origin)
    row["oxytomo_version"] = " ".join(sorted({printable(one.package_version) for one in origin.values()}))
    found = read(lambda: results.warnings) if warnings else None
    counted = [one for one in found or () if severity_of(one) != "remark"]
    row["n_warnings"] = None if found is None else len(counted)
    row["warnings"] = " | ".join(printable(line) for line in counted)
    definitions: dict[str, str] = {}
    for key in read(lambda: list(results.numbers)) or ():
        number = read(lambda key=key: results.numbers[key])
        if number is not None:
            _add(row, definitions, key, number)
    for key, number in (read(lambda: composition_extras(results)) or {}).items():
        _add(row, definitions, f"composition/{key}", number)
    row["problem"] = "; ".join(dict.fromkeys(problems))
    return row, definitions


def _add(row: dict[str, Any], definitions: dict[str, str], key: str, number: Number) -> None:
    """Add a number and the ends of its interval to a row."""
    unit = UNITS.get(number.unit, "_" + re.sub(r"\W+", "_", number.unit))
    column = key.replace("/", "_") + unit
    row[column] = number.value
    definitions[column] = number.definition
    if number.interval is not None or number.definition.partition("interval")[1]:
        row[f"{column}_low"], row[f"{column}_high"] = number.low, number.high
        definitions[f"{column}_low"] = f"lower end of the 95 % interval of {column}"
        definitions[f"{column}_high"] = f"upper end of the 95 % interval of {column}"


def composition_extras(results: Results) -> dict[str, Number]:
    """Return what belongs beside the fractions: threshold, null run, what noise leaves undecided."""
    content = results.files.json(JSON_TABLES["composition"])
    with numbers_of(results.files.paths, "composition"):
        if content is None:
            return {}
        threshold = 100.0 * float(content["threshold"])
        found = {"threshold": Number(threshold, unit="%", definition="largest deviation of TM/O on target")}
        undecided = undecided_of(content)
        if undecided is not None:
            text = "voxels whose class is within the noise / voxels of the solid particle"
            found["undecided"] = Number(100.0 * undecided, unit="%", definition=text)
        for one in fractions_of(content):
            if one.null is not None:
                text = f"the fraction {one.key} that noise alone makes, from a uniform particle"
                found[f"{one.key}_null"] = Number(100.0 * float(one.null), unit="%", definition=text)
    return found


def settings_digest(provenance: Mapping[str, Provenance]) -> str:
    """Return a digest of the settings and versions of all stages; empty without stage stores.

    Raw files enter by their names at most, because every sample has others.
    """
    if not provenance:
        return ""
    stages = {
        key: [one.stage, one.version, _without_places(dict(one.settings))] for key, one in provenance.items()
    }
    text = json.dumps(stages, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:DIGITS]


def _without_places(settings: Any) -> Any:
    """Return settings without raw files, and without the folders of other files."""
    if isinstance(settings, Mapping):
        return {
            str(key): _without_places(value)
            for key, value in settings.items()
            if key not in ("source", "sample")
        }
    if isinstance(settings, list | tuple):
        return [_without_places(value) for value in settings]
    return Path(settings).name if isinstance(settings, str) and Path(settings).is_absolute() else settings
