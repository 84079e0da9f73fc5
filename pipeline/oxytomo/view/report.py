"""Self-contained HTML page: warnings, summary, figures, numbers, definitions, provenance."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jinja2
from matplotlib.figure import Figure

from oxytomo import __version__
from oxytomo.io.plain_files import printable
from oxytomo.io.stores import Provenance, encode_json
from oxytomo.results.severity import prefixed, severity_of
from oxytomo.view.light import traffic_light
from oxytomo.view.style import to_png

if TYPE_CHECKING:
    from oxytomo.view.explorer import Explorer
    from oxytomo.view.front import Front


@dataclass(frozen=True)
class Quantity:
    """One number with its definition.

    Attributes
    ----------
    name, value : name, and value with unit as text
    definition : exact definition
    interval : 95 % interval as text, empty if there is none
    null : the same quantity of the null run as text, empty if there is none
    """

    name: str
    value: str
    definition: str
    interval: str = ""
    null: str = ""


@dataclass(frozen=True)
class Picture:
    """One figure with title and caption; a wide figure has the full width of the page."""

    title: str
    figure: Figure
    caption: str
    wide: bool = False

    @cached_property
    def png(self) -> bytes:
        """The figure as PNG."""
        return to_png(self.figure)

    @property
    def base64(self) -> str:
        """The figure as PNG in base64."""
        return base64.b64encode(self.png).decode("ascii")

    @property
    def file_stem(self) -> str:
        """File name of the figure without its ending, from its title."""
        return re.sub(r"[^a-z0-9]+", "_", self.title.lower()).strip("_")


@dataclass(frozen=True)
class Table:
    """A table of texts; ``numeric`` lists number columns, ``hints`` defines columns by name."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[int] = frozenset()
    note: str = ""
    hints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """One section of the page."""

    title: str
    text: Sequence[str] = ()
    quantities: Sequence[Quantity] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()

    @property
    def anchor(self) -> str:
        """Name of the section in links."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-") or "section"

    @property
    def has_intervals(self) -> bool:
        """True if any quantity has an interval."""
        return any(quantity.interval for quantity in self.quantities)

    @property
    def has_null(self) -> bool:
        """True if any quantity has a value of the null run."""
        return any(quantity.null for quantity in self.quantities)


@dataclass(frozen=True)
class Record:
    """The provenance of one store, as text."""

    name: str
    stage: str
    version: int
    created: str
    package_version: str
    digest: str
    settings: str
    inputs: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Part:
    """The content of the page for one branch of a sample.

    Attributes
    ----------
    name : name of the branch as text
    warnings : warnings, which are shown before any number
    checked : checks that were made for the warnings
    summary : sentences with the main numbers
    sections : numbers, figures, tables
    front : the first screen, or None
    explorer : a small copy of the volumes for slices in the page, or None
    """

    name: str
    warnings: Sequence[str] = ()
    checked: Sequence[str] = ()
    summary: Sequence[str] = ()
    sections: Sequence[Section] = ()
    front: "Front | None" = None
    explorer: "Explorer | None" = None


def record_of(name: str, provenance: Provenance, digest: str) -> Record:
    """Return the provenance of a store as text."""
    settings = json.dumps(encode_json(provenance.settings), indent=1, ensure_ascii=False)
    inputs = [
        (key, str(entry.get("path", "")), str(entry.get("digest", "")))
        for key, entry in provenance.inputs.items()
    ]
    return Record(
        name,
        provenance.stage,
        provenance.version,
        provenance.created,
        provenance.package_version,
        digest,
        settings,
        inputs,
    )


def build_report(
    *,
    title: str,
    subtitle: str,
    parts: Sequence[Part],
    provenance: Sequence[Record],
    footer: str,
    wide: bool = False,
    links: Sequence[tuple[str, str]] = (),
) -> str:
    """Return a page as HTML that loads no other file and nothing from the network.

    Parameters
    ----------
    title, subtitle : heading of the page
    parts : one per branch; all warnings and summaries are at the top. With several parts, warnings
        and headings include the branch
    provenance : one record per store
    footer : last line of the page
    wide : use a wide layout for wide tables
    links : text and address of files beside the page
    """

    def prefix(part: Part, text: str) -> str:
        named = len(parts) > 1 and not text.lower().startswith(part.name)
        return prefixed(f"{part.name.capitalize()}: ", text) if named else text

    warnings = [prefix(part, warning) for part in parts for warning in part.warnings]
    several = sum(part.front is not None for part in parts) > 1
    return _render(
        {
            "title": title,
            "subtitle": subtitle,
            "warnings": [one for one in warnings if severity_of(one) != "remark"],
            "remarks": [one for one in warnings if severity_of(one) == "remark"],
            "severity_of": severity_of,
            "light": traffic_light(warnings),
            "fronts": [
                (part.name.capitalize() if several else "", part.front) for part in parts if part.front
            ],
            "explorers": [part.explorer for part in parts if part.explorer],
            "checked": list(dict.fromkeys(check for part in parts for check in part.checked)),
            "summary": [
                (part.name.capitalize() if len(parts) > 1 else "", part.summary)
                for part in parts
                if part.summary
            ],
            "sections": [
                replace(section, title=prefix(part, section.title))
                for part in parts
                for section in part.sections
            ],
            "provenance": provenance,
            "footer": footer,
            "wide": wide,
            "links": links,
        }
    )


_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Characters that control a terminal, or turn the direction of text around."""


def _render(values: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("oxytomo.view", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("report.html.j2").render(values)
    return _UNSEEN.sub(lambda found: printable(found[0]), page)


def footer() -> str:
    """Return the last line of a page."""
    return f"Written by oxytomo {__version__} on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
