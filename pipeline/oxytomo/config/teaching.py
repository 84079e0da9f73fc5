"""Advice for common errors in a configuration: percent, decimal comma, wrong level."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from oxytomo.config.elements import SYMBOLS

_NUMBER_WITH_MORE = re.compile(r"\s*([-+]?[0-9]+(?:[.,][0-9]+)?(?:[eE][-+]?[0-9]+)?)\s*(\S*)\s*")
_BY_ELEMENT = ("edges", "elements", "stacks", "references")
_DEEPEST = 6
_MOST_PLACES = 3
_NAME = "*"
"""Placeholder for a name that the user chooses, such as a sample or an element."""


def number_advice(given: Any, *, bounds: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the expected form of a number that is written in another form, and the fix.

    None without advice.

    Parameters
    ----------
    given : value in the file
    bounds : violated bounds by the names of the validator (``lt``, ``le``); empty if the value is
        not a number
    """
    upper = bounds.get("lt", bounds.get("le"))
    if isinstance(given, int | float) and not isinstance(given, bool):
        if upper == 1.0 and 1.0 <= given <= 100.0:
            return "a fraction between 0 and 1", f"{given / 100:g} for {given:g} %?"
        return None
    match = _NUMBER_WITH_MORE.fullmatch(given) if isinstance(given, str) else None
    if match is None:
        return None
    number, more = match.group(1).replace(",", "."), match.group(2)
    if more == "%":
        return "a number", f"write {float(number) / 100:g} for {number} %, if it is a fraction"
    if more:
        return (
            "a number without a unit, as the name of the setting says it",
            f"write {number}, in the unit of the name",
        )
    return ("a number with a decimal point", f"write {number}") if "," in given else None


def place_advice(key: str, location: Sequence[str], data: Any, model: type[BaseModel]) -> str | None:
    """Return the right place of a key that is at a wrong place.

    None if no place has this key.

    Parameters
    ----------
    key : the unknown key
    location : place of the key, without the key
    data : the whole configuration as loaded from YAML
    model : the model of the whole configuration
    """
    if key in SYMBOLS:
        known = _model_at(model, location)
        fields = [name for name in _BY_ELEMENT if known is not None and name in known.model_fields]
        given = [
            name for name in fields if isinstance(_at(data, location), dict) and name in _at(data, location)
        ]
        return f"put it one level deeper, below '{(given or fields)[0]}:'" if fields else None
    found = [place for place in _places(model, key) if not _same(place, location)]
    if not found:
        return None
    found = list(dict.fromkeys(found))
    scores = [(_is_there(place, location, data), _shared(place, location), -len(place)) for place in found]
    best = [place for place, score in zip(found, scores, strict=True) if score == max(scores)]
    if () in best:
        return "put it at the left margin, beside 'samples:'"
    if _shared(best[0], location) < min(len(location), 2) and len(location) > len(best[0]):
        return None
    return f"put it below {' or '.join(_shown(place, location) for place in best[:_MOST_PLACES])}"


def _shown(place: Sequence[str], location: Sequence[str]) -> str:
    """Return a place as written in the file, with the names of the location."""
    named = [location[at] if part == _NAME and at < len(location) else part for at, part in enumerate(place)]
    return "'" + ".".join("NAME" if part == _NAME else part for part in named) + ":'"


def _places(model: type[BaseModel], key: str, depth: int = 0) -> Iterator[tuple[str, ...]]:
    """Yield the places below a model that have a key."""
    if key in model.model_fields:
        yield ()
    if depth > _DEEPEST:
        return
    for name, field in model.model_fields.items():
        for inner, named in _models(field.annotation):
            for place in _places(inner, key, depth + 1):
                yield (name, *((_NAME,) if named else ()), *place)


def _models(annotation: Any, named: bool = False) -> Iterator[tuple[type[BaseModel], bool]]:
    """Yield the models in an annotation, and for each whether it is a value of a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, named
    arguments = get_args(annotation)
    if get_origin(annotation) is dict:
        yield from _models(arguments[1], True)
        return
    for argument in arguments:
        yield from _models(argument, named)


def _model_at(model: type[BaseModel], location: Sequence[str]) -> type[BaseModel] | None:
    """Return the model at a place."""
    if not location:
        return model
    field = model.model_fields.get(location[0])
    for inner, named in _models(field.annotation) if field is not None else ():
        rest = location[2:] if named else location[1:]
        found = _model_at(inner, rest) if len(location) >= (2 if named else 1) else None
        if found is not None:
            return found
    return None


def _same(place: Sequence[str], location: Sequence[str]) -> bool:
    return len(place) == len(location) == _shared(place, location)


def _shared(place: Sequence[str], location: Sequence[str]) -> int:
    """Return the number of leading parts that two places have in common."""
    count = 0
    for part, other in zip(place, location, strict=False):
        if part not in (other, _NAME):
            break
        count += 1
    return count


def _is_there(place: Sequence[str], location: Sequence[str], data: Any) -> int:
    """Return the number of parts of a place that exist in the configuration."""
    here, count = data, 0
    for at, part in enumerate(place):
        if not isinstance(here, dict):
            break
        name = part
        if part == _NAME:
            name = location[at] if at < len(location) and location[at] in here else next(iter(here), "")
        if name not in here:
            break
        here, count = here[name], count + 1
    return count


def _at(data: Any, location: Sequence[str]) -> Any:
    for part in location:
        data = data.get(part) if isinstance(data, dict) else None
    return data


def yaml_advice(line: str) -> tuple[str, str, str] | None:
    """Return expected and found text and the fix for a line that YAML refuses.

    None without advice.
    """
    indentation = line[: len(line) - len(line.lstrip())]
    if "\t" in indentation:
        return "blanks before what is indented", "a tab", "replace each tab by two blanks"
    if re.search(r'"[^"]*\\', line):
        fix = "put paths of Windows into single quotes: 'C:\\data\\O_pre.h5', or write / for \\"
        return "a path without backslashes in double quotes", "a backslash in double quotes", fix
    if "\t" in line:
        return "blanks", "a tab", "replace the tabs by blanks"
    return None
