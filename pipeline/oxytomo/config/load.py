"""Read a configuration file; each error is one line with the place in the file."""

import math
import os
import reprlib
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from oxytomo.config.project import ProjectConfig
from oxytomo.config.ranges import DESCRIPTIONS
from oxytomo.config.teaching import number_advice, place_advice, yaml_advice
from oxytomo.errors import ConfigError

MOST_BYTES = 64 * 2**20
MOST_NODES = 2_000_000
"""Limit on the number of values; a configuration of ten thousand samples has fewer."""
DEEPEST = 40
LONGEST_TEXT = 5_000
LONGEST_NUMBER = 100
"""Longest accepted number, in characters: Python needs minutes to read a million digits."""

# libyaml is ten times faster. Without it the parser of PyYAML does the same.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_TOO_DEEP = f"more than {DEEPEST} levels of nesting"
_TEXT = reprlib.Repr()
_TEXT.maxstring = _TEXT.maxother = _TEXT.maxlong = 80


class _UniqueKeyLoader(_SafeLoader):
    """Safe YAML loader that refuses repeated keys and aliases that expand without limit."""

    def get_single_node(self) -> yaml.Node | None:
        """Return the root after checking its size with all aliases expanded."""
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            count, depth = _unfolded(node, {})
            if count > MOST_NODES:
                raise _refused(node, f"more than {MOST_NODES} values, with aliases written out")
            if depth > DEEPEST:
                raise _refused(node, _TOO_DEEP)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping; refuse repeated keys."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key_node.tag != "tag:yaml.org,2002:merge" and key in seen:
                raise _refused(key_node, f"the key '{key}' twice")
            seen.add(key)
        built: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return built


def _refused(node: yaml.Node, problem: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)


def _unfolded(node: yaml.Node, known: dict[int, tuple[float, float]]) -> tuple[float, float]:
    """Return the number of values in a node and their depth, with all aliases expanded.

    Both are infinite for a node that contains itself.
    """
    if isinstance(node, yaml.ScalarNode):
        is_number = node.tag in _NUMBERS
        if len(node.value) > (LONGEST_NUMBER if is_number else LONGEST_TEXT):
            kind = "number" if is_number else "text"
            raise _refused(node, f"a {kind} of {len(node.value)} characters")
        return 1, 0
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = (math.inf, math.inf)
    below: list[yaml.Node] = node.value
    if isinstance(node, yaml.MappingNode):
        below = [part for pair in node.value for part in pair]
    count, depth = 1.0, 0.0
    for part in below:
        more, levels = _unfolded(part, known)
        count, depth = count + more, max(depth, levels)
    known[id(node)] = (count, 1 + depth)
    return known[id(node)]


def _refuse_deep_nesting(text: str) -> None:
    """Check the nesting of brackets and indentation first, because the loader is recursive."""
    depth = 0
    for event in yaml.parse(text, Loader=_SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise yaml.constructor.ConstructorError(problem=f"{_TOO_DEEP}, in line {line}")


def load_config(path: Path) -> ProjectConfig:
    """Read and validate a configuration file.

    All paths, including the results folder, are relative to the file.

    Raises
    ------
    ConfigError
        One line naming the place in the file: ``samples.a.composition.edges.Mn.pre``.
    """
    folder = path.resolve().parent
    return results_below(parse_config(read_yaml(path), folder=folder, name=path.name), folder)


def results_below(project: ProjectConfig, folder: Path) -> ProjectConfig:
    """Return a project with its results folder resolved relative to the file."""
    return project.model_copy(update={"results": Path(os.path.normpath(folder / project.results))})


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping from a file."""
    try:
        if path.is_file() and path.stat().st_size > MOST_BYTES:
            raise ConfigError(
                str(path),
                expected="a configuration file",
                got=f"{path.stat().st_size / 1e6:.0f} MB",
                fix="give the YAML file, not a raw file",
            )
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = "a folder" if path.is_dir() else (error.strerror or "an unreadable file").lower()
        raise ConfigError(
            str(path), expected="a configuration file", got=reason, fix="correct the path"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            str(path),
            expected="a YAML text file",
            got="bytes that are not UTF-8 text",
            fix="give a configuration file",
        ) from error
    try:
        _refuse_deep_nesting(text)
        data = yaml.load(text, Loader=_UniqueKeyLoader)  # a subclass of the safe loader
    except (RecursionError, ValueError, TypeError, OverflowError, AttributeError) as error:
        reason = _TOO_DEEP if isinstance(error, RecursionError) else str(error)
        raise ConfigError(
            str(path), expected="valid YAML", got=" ".join(reason.split())[:200], fix="correct the file"
        ) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        line = (text.splitlines()[mark.line : mark.line + 1] or [""])[0] if mark else ""
        advice = yaml_advice(line)
        if advice is not None:
            raise ConfigError(place, expected=advice[0], got=advice[1], fix=advice[2]) from error
        raise ConfigError(
            place, expected="valid YAML", got=problem, fix="correct indentation or quotes there"
        ) from error
    if not isinstance(data, dict):
        got = "an empty file" if data is None else type(data).__name__
        raise ConfigError(
            str(path), expected="a mapping with 'samples'", got=got, fix="start from configs/default.yaml"
        )
    return data


def parse_config(data: Mapping[str, Any], *, folder: Path, name: str = "the configuration") -> ProjectConfig:
    """Validate a configuration given as a mapping.

    Parameters
    ----------
    data : the configuration as loaded from YAML
    folder : folder that relative paths of raw files start from
    name : name of the configuration in error messages
    """
    try:
        return ProjectConfig.model_validate(dict(data), context={"folder": folder})
    except ValidationError as error:
        raise config_error(error, data, name=name) from None


def config_error(error: ValidationError, data: Any, *, name: str) -> ConfigError:
    """Convert a validation error to one line about its most informative problem."""
    problems = error.errors(include_url=False)
    first = next((problem for problem in problems if problem["type"] == "rejected"), problems[0])
    if isinstance(first.get("input"), Mapping) and first["type"] == "literal_error":
        # A mapping where a word is possible, too: the problem lies within the mapping.
        within = [p for p in problems if p["loc"][: len(first["loc"]) - 1] == first["loc"][:-1]]
        first = next((p for p in within if not isinstance(p["input"], Mapping)), first)
    context = first.get("ctx", {})
    where = _place(first["loc"], data, missing=first["type"] == "missing")
    more = f" ({len(problems) - 1} more after this one)" if len(problems) > 1 else ""
    if first["type"] == "rejected":
        fix = _fix_of(context, where, data)
        where = ".".join(part for part in (where, context["key"]) if part)
        return ConfigError(where or name, expected=context["expected"], got=context["got"], fix=fix + more)
    if first["type"] == "missing":
        return ConfigError(where, expected="a value", got="nothing", fix=f"add it to {name}{more}")
    expected = first["msg"].removeprefix("Input should be ").removeprefix("Value should ").rstrip(".")
    if first["type"].startswith(("greater", "less")):
        expected = DESCRIPTIONS.get(str(first["loc"][-1]), expected)
    got = " ".join(_TEXT.repr(first["input"]).split())
    got = got if len(got) <= 80 else got[:77] + "..."
    advice = number_advice(first["input"], bounds=context)
    if advice is not None:
        return ConfigError(where or name, expected=advice[0], got=got, fix=advice[1] + more)
    return ConfigError(where or name, expected=expected, got=got, fix=f"correct it in {name}{more}")


def _fix_of(context: Mapping[str, str], where: str, data: Any) -> str:
    """Return advice for a value that a validator refuses.

    An unknown key may belong somewhere else in the file.
    """
    if not context["got"].startswith("the unknown key"):
        return context["fix"]
    advice = place_advice(context["key"], where.split(".") if where else [], data, ProjectConfig)
    if advice is None or context["fix"].startswith("did you mean"):
        return context["fix"]
    return advice


def _place(location: tuple[int | str, ...], data: Any, *, missing: bool) -> str:
    """Return the dotted place of a problem, without names of alternatives that are not keys."""
    parts: list[str] = []
    current = data
    for index, part in enumerate(location):
        absent = missing and index == len(location) - 1
        if isinstance(current, Mapping) and part in current:
            current = current[part]
        elif isinstance(current, list | tuple) and isinstance(part, int):
            current = current[part] if part < len(current) else None
        elif not (isinstance(current, Mapping) and absent):
            continue
        parts.append(str(part))
    return ".".join(parts)
