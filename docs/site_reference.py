"""Reference pages of the site, made from the code: commands, settings, output files and their columns, the library."""

import argparse
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

UNBOUNDED = 1e9
"""Bounds beyond this only keep out numbers that no file can hold; the page does not name them."""
GENERATED = "*This page is generated from the code.*\n\n"


def commands() -> str:
    """Return a section for each command of ``oxytomo``, from its parser."""
    os.environ["COLUMNS"] = "100"  # the width that argparse breaks its lines at
    from oxytomo.cli import build_parser

    parser = build_parser()
    parts = ["# Commands\n\n", GENERATED, f"```text\n{parser.format_help()}```\n"]
    (choices,) = (a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    for name, command in choices.items():
        parts.append(f"\n## oxytomo {name}\n\n```text\n{command.format_help()}```\n")
    return "".join(parts)


def settings() -> str:
    """Return every setting of a configuration with type, default, bounds, unit and description."""
    from oxytomo.config.schema import schema

    described = schema()
    models: Mapping[str, Any] = described["$defs"]
    parts = [
        "# Settings\n\n",
        GENERATED,
        "A configuration is a YAML file. Only the paths of the raw files and, for a composition, the formula are needed.\n"
        "`oxytomo schema` prints the schema that editors understand, `oxytomo schema --defaults` a file with the\n"
        "defaults, and `oxytomo schema --expert` the settings that few users need. Paths are relative to the\n"
        "configuration file.\n\n",
        "## The file\n\n",
        _properties(described),
    ]
    for name in _in_order(described, models):
        model = models[name]
        parts.append(f"\n## {name} {{#{name.lower()}}}\n\n")
        if "description" in model:
            parts.append(f"{_one_line(model['description'])}\n\n")
        parts.append(_properties(model))
    return "".join(parts)


def _in_order(described: Mapping[str, Any], models: Mapping[str, Any]) -> list[str]:
    """Return the names of the models as a reader meets them: each after the one that refers to it."""
    found: list[str] = []

    def follow(part: Any) -> None:
        if isinstance(part, dict):
            name = part.get("$ref", "").rpartition("/")[2]
            if name and name not in found:
                found.append(name)
                follow(models[name])
            for value in part.values():
                follow(value)
        elif isinstance(part, list):
            for value in part:
                follow(value)

    follow(described["properties"])
    return found


def _properties(model: Mapping[str, Any]) -> str:
    """Return the tables of the settings of one model: the usual ones, then those for experts."""
    for option in model.get("anyOf", ()):  # a path, or a mapping
        model = option if "properties" in option else model
    needed, fields = model.get("required", []), model.get("properties", {})
    text = ""
    for expert in (False, True):
        rows = [
            f"| `{name}` | {_kind(field)} | {'**needed**' if name in needed else _default(field)} "
            f"| {field.get('unit', '')} | {_one_line(field.get('description', ''))} |\n"
            for name, field in fields.items()
            if bool(field.get("expert")) == expert
        ]
        if rows:
            text += "\nExpert settings:\n\n" if expert else ""
            text += "".join(
                ("| setting | value | default | unit | what it is |\n|---|---|---|---|---|\n", *rows)
            )
    return text


def _default(field: Mapping[str, Any]) -> str:
    """Return the default of a setting; that of a model is on the lines of the model."""
    value = field.get("default")
    return "its defaults" if isinstance(value, dict) and value else f"`{_yaml(value)}`"


def _kind(field: Mapping[str, Any]) -> str:
    """Return what may be written: a type with bounds, a choice, or a link to another model."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in field:
        return f"`{_yaml(field['const'])}`"
    if "enum" in field:
        return ", ".join(f"`{_yaml(value)}`" for value in field["enum"])
    for key in ("anyOf", "oneOf", "allOf"):
        if key in field:
            kinds = [_kind(option) for option in field[key] if option.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds))
    return _plain_kind(field)


def _plain_kind(field: Mapping[str, Any]) -> str:
    """Return the name of a type with its bounds."""
    kind = field.get("type", "any")
    if kind == "array":
        if "prefixItems" in field:
            return f"list of {', '.join(_kind(item) for item in field['prefixItems'])}"
        return f"list of {_kind(field.get('items', {}))}"
    if kind == "object":
        inner = field.get("additionalProperties")
        return f"name: {_kind(inner)}" if isinstance(inner, dict) else "mapping"
    if field.get("format") == "path":
        return "path"
    return f"{_KINDS.get(kind, kind)}{_bounds(field)}"


_KINDS = {"string": "text", "boolean": "true or false", "integer": "whole number", "null": "empty"}


def _bounds(field: Mapping[str, Any]) -> str:
    """Return the bounds of a number as text."""
    low = field.get("minimum", field.get("exclusiveMinimum"))
    high = field.get("maximum", field.get("exclusiveMaximum"))
    low, high = (None if bound is None or abs(bound) >= UNBOUNDED else bound for bound in (low, high))
    if low is None and high is None:
        return ""
    if high is None:
        return f", {low:g} or more"
    return f", {low:g} to {high:g}" if low is not None else f", up to {high:g}"


def _yaml(value: Any) -> str:
    return "empty" if value is None else json.dumps(value, ensure_ascii=False).strip('"').replace("|", "\\|")


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


COMPARISON: Mapping[str, Mapping[str, str]] = {
    "values": {
        "sample": "name of the sample",
        "group": "its group",
        "branch": "branch of the quantity",
        "quantity": "key of the quantity",
        "unit": "its unit",
        "value": "the number of this particle",
        "low_95": "lower end of its 95 % interval: what another measurement of this particle would show",
        "high_95": "upper end",
    },
    "groups": {
        "group": "name of the group",
        "branch": "branch of the quantity",
        "quantity": "key of the quantity",
        "unit": "its unit",
        "n": "particles that have the number",
        "mean": "mean over the particles, unweighted",
        "low_95": "lower end of the 95 % interval of the mean (Student)",
        "high_95": "upper end",
        "standard_deviation": "between the particles",
    },
    "differences": {
        "branch": "branch of the quantity",
        "quantity": "key of the quantity",
        "unit": "its unit",
        "first": "first group",
        "second": "second group",
        "n_first": "particles of the first group",
        "n_second": "particles of the second group",
        "second_minus_first": "difference of the means",
        "low_95": "lower end of its 95 % interval, not corrected for several tests",
        "high_95": "upper end",
        "test": "test that so few particles allow",
        "statistic": "value of its statistic",
        "degrees_of_freedom": "of the test",
        "p": "probability of such a difference without any between the kinds",
        "p_holm": "the same, corrected for all tests of the branch (Holm 1979)",
        "says": "what may be said",
    },
    "shells": {
        "sample": "name of the sample",
        "group": "its group",
        "quantity": "key of the quantity",
        "shell_outer_percent": "share outside of the outer limit of the shell",
        "shell_inner_percent": "share outside of its inner limit",
        "value": "the number of the shell",
        "standard_error": "its standard error",
    },
}
"""What the columns of the tables of a comparison are."""

CHARGE_BALANCE: Mapping[str, str] = {
    "state": "state of charge: a group",
    "element": "element; `metals` for all cations besides lithium, empty for the formula unit",
    "quantity": "key of the quantity (see below)",
    "unit": "its unit",
    "value": "the number",
    "low_95": "lower end of its 95 % interval",
    "high_95": "upper end",
    "n_particles": "particles of the state",
    "refused": "why there are only valences; empty if nothing is wrong",
    **{
        f"{depth}{end}": text
        for depth in ("bulk", "surface")
        for end, text in {
            "": f"the number from valences of {depth} yields; this column and the next ones only if scattering maps of the "
            "states have valences",
            "_low_95": "lower end of its 95 % interval",
            "_high_95": "upper end",
            "_yield": "yields that its valences are from",
            "_n_maps": "maps of the state, of the element that has fewest",
            "_refused": "why elements have no capacity; empty if nothing is wrong",
        }.items()
    },
}
"""What the columns of the charge balance of a comparison are."""


def outputs() -> str:
    """Return the files of a result with their columns and definitions."""
    from oxytomo.config.plan import JOINT_PRODUCTS, PRODUCTS

    files: dict[str, tuple[str, ...]] = {
        **PRODUCTS,
        "register_branches": JOINT_PRODUCTS,
        "every sample": ("report.html",),
    }
    parts = [
        "# Output files and columns\n\n",
        GENERATED,
        "Everything is in `<results>/<sample>/`, but the files of a comparison, which are in `<results>/`. A cell of a\n"
        "table without a value is empty. `oxytomo inspect FILE` shows what a file was made from. In Python,\n"
        "`oxytomo.open_results` gives all of it with units and definitions.\n\n",
        "| branch | files |\n|---|---|\n",
    ]
    parts += [
        f"| {branch} | {', '.join(f'`{name}`' for name in names)} |\n" for branch, names in files.items()
    ]
    parts += _arrays()
    parts += _columns()
    parts.append(
        "\n## Numbers\n\nEach JSON file holds these sentences under `definitions`; those of the charge balance are on its page.\n"
    )
    for name, definitions in _definitions().items():
        parts.append(f"\n### {name}\n\n| number | what it means |\n|---|---|\n")
        parts += [f"| `{key}` | {_one_line(text)} |\n" for key, text in definitions.items()]
    return "".join(parts)


def _arrays() -> Iterator[str]:
    """Yield the arrays of a result."""
    from oxytomo.results.arrays import ARRAY_TYPES, ELEMENT_ARRAYS, STATE_ARRAYS

    yield "\n## Arrays\n\nNames are those of `oxytomo.open_results(folder).arrays`.\n\n"
    yield "| array | what is in it |\n|---|---|\n"
    for name, array in ARRAY_TYPES.items():
        classes = ", ".join(f"{number} {text}" for number, text in array.classes.items())
        yield f"| `{name}` | {_one_line(array.definition)}{f' ({classes})' if classes else ''} |\n"
    for name, (_, definition) in ELEMENT_ARRAYS.items():
        yield f"| `oxidation/<element>_{name}` | {_one_line(definition)} |\n"
    for name, (_, _, definition, _) in STATE_ARRAYS.items():
        yield f"| `chemical_state/<element>_{name}` | {_one_line(definition)} |\n"


def _columns() -> Iterator[str]:
    """Yield the columns of every table."""
    from oxytomo.results.columns import TABLE_TYPES
    from oxytomo.results.places import TABLE_KEYS

    yield "\n## Tables\n"
    for name, key in TABLE_KEYS.items():
        yield f"\n### {name}\n\n| column | unit | what it is |\n|---|---|---|\n"
        for column, kind in TABLE_TYPES[key].columns.items():
            text = kind.definition or re.sub(r"_(nm\d?|deg|ev|px)$", "", column).replace("_", " ")
            choices = f" ({', '.join(kind.choices)})" if kind.choices else ""
            yield f"| `{column}` | {UNITS.get(kind.unit, kind.unit)} | {_one_line(text)}{choices} |\n"
    for name, columns in COMPARISON.items():
        yield f"\n### comparison_{name}.csv\n\n| column | what it is |\n|---|---|\n"
        yield from (f"| `{column}` | {_one_line(text)} |\n" for column, text in columns.items())
    yield "\n### charge_balance.csv\n\n| column | what it is |\n|---|---|\n"
    yield from (f"| `{column}` | {_one_line(text)} |\n" for column, text in CHARGE_BALANCE.items())


UNITS = {
    "1": "",
    "nanometer": "nm",
    "nanometer^2": "nm²",
    "nanometer^3": "nm³",
    "percent": "%",
    "degree": "°",
    "electronvolt": "eV",
    "pixel": "px",
}
"""How units are written on the page."""


def _definitions() -> Mapping[str, Mapping[str, str]]:
    """Return the definitions of each JSON file."""
    from oxytomo.chemical_state import line_measures, measures
    from oxytomo.electrochemistry import charge
    from oxytomo.measure import definitions, structure

    return {
        "phases.json": definitions.DEFINITIONS,
        "chemical_state.json": {**measures.DEFINITIONS, **line_measures.DEFINITIONS},
        "oxidation.json": definitions.OXIDATION_DEFINITIONS,
        "structure.json": structure.DEFINITIONS,
        "branches.json": definitions.NEIGHBOURHOOD_DEFINITIONS | definitions.STRESS_DEFINITIONS,
        "charge balance": charge.DEFINITIONS,
    }


ROOMS = {
    "results": "Results",
    "reading": "Reading files",
    "projections": "Normalisation",
    "alignment": "Alignment",
    "composition": "Composition",
    "reconstruction": "Reconstruction",
    "oxidation": "Oxidation",
    "structure": "Pores and cracks",
    "simulation": "Simulation",
}
"""Headings of the library, by the module that a name comes from; all others are at the end."""


def library() -> str:
    """Return a section for each public name of the package, by topic."""
    import oxytomo

    topics: dict[str, list[str]] = {heading: [] for heading in (*ROOMS.values(), "Types and errors")}
    for name in oxytomo.__all__:
        if not name.startswith("_"):
            parts = getattr(oxytomo, name).__module__.split(".")
            heading = next((ROOMS[part] for part in reversed(parts) if part in ROOMS), "Types and errors")
            topics[heading].append(name)
    text = "# Library\n\n`import oxytomo` gives these names. Examples: [use oxytomo from Python](../how-to/library.md).\n"
    for heading, names in topics.items():
        if names:
            text += f"\n## {heading}\n\n" + "".join(f"::: oxytomo.{name}\n\n" for name in names)
    return text
