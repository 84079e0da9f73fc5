"""HTML summary of results for notebooks; all text from files is escaped."""

from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING

from oxytomo.errors import PipelineError
from oxytomo.io.plain_files import printable

if TYPE_CHECKING:
    from oxytomo.results.results import Results, ResultsFolder

MOST_VOXELS = 256**3
"""Warnings of larger volumes are not computed, because this reads the whole volumes."""
LONGEST_LIST = 40


def results_page(results: "Results") -> str:
    """Return the content of a sample: numbers with intervals, warnings, arrays, tables."""
    branches = ", ".join(results.branches).replace("_", " ") or "nothing finished"
    parts = [
        f"<h4>{_text(results.name)}</h4><p>Results of oxytomo: {_text(branches)}</p>",
        _part("Numbers", lambda: _numbers(results)),
        _part("Warnings", lambda: _warnings(results)),
        _part("Arrays", lambda: _list(_array_line(results, key) for key in _first(results.arrays))),
        _part("Tables", lambda: _list(_text(key) for key in _first(results.tables))),
    ]
    return f'<div class="oxytomo-results">{"".join(parts)}</div>'


def folder_page(folder: "ResultsFolder") -> str:
    """Return the samples of a folder with their numbers."""
    rows = []
    for name in list(folder)[:LONGEST_LIST]:
        try:
            said = "; ".join(f"{key.partition('/')[2]} {one}" for key, one in folder[name].numbers.items())
        except PipelineError as error:
            said = str(error)
        rows.append(f"<tr><td>{_text(name)}</td><td>{_text(said)}</td></tr>")
    heading = f"<h4>{len(folder)} samples</h4>"
    return f'<div class="oxytomo-results">{heading}<table>{"".join(rows)}</table></div>'


def _text(text: object) -> str:
    return escape(printable(text))


def _part(title: str, content: Callable[[], str]) -> str:
    """Return a part of the page; errors in the results are shown instead of its content."""
    try:
        inside = content()
    except PipelineError as error:
        inside = f"<p><strong>{_text(error)}</strong></p>"
    return f"<p><strong>{title}</strong></p>{inside}" if inside else ""


def _first(names: Mapping[str, object]) -> list[str]:
    return list(names)[:LONGEST_LIST]


def _list(lines: Iterable[str]) -> str:
    inside = "".join(f"<li>{line}</li>" for line in lines)
    return f"<ul>{inside}</ul>" if inside else ""


def _numbers(results: "Results") -> str:
    rows = []
    for key in _first(results.numbers):
        try:
            number, definition = str(results.numbers[key]), results.numbers[key].definition
        except PipelineError as error:
            number, definition = "cannot be read", str(error)
        cells = f'<td>{_text(number)}</td><td style="text-align:left">{_text(definition)}</td>'
        rows.append(f"<tr><td>{_text(key)}</td>{cells}</tr>")
    return f"<table>{''.join(rows)}</table>" if rows else ""


def _warnings(results: "Results") -> str:
    key = "composition/deviation"
    if key in results.arrays and results.arrays[key].size > MOST_VOXELS:
        return "<p>The volumes are large: <code>results.warnings</code> reads them.</p>"
    return _list(map(_text, results.warnings)) or "<p>none</p>"


def _array_line(results: "Results", key: str) -> str:
    found = results.arrays[key]
    sides = ", ".join(f"{axis} {size}" for axis, size in found.sizes.items())
    return f"{_text(key)}: {_text(sides)} [{_text(found.attrs['units'])}], {_text(found.attrs['definition'])}"
