"""Base of all settings models: frozen, no unknown keys, one-line errors with advice."""

import dataclasses
import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from oxytomo.errors import shows

LONGEST_NAME = 100
LONGEST_FILE_NAME = 255
LONGEST_PATH = 4000
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]")
_BRACKETED = re.compile(r"<[a-z][a-z0-9_]*>")


def setting(
    default: Any, description: str, *, unit: str | None = None, expert: bool = False, **bounds: Any
) -> Any:
    """One field of a settings model with its default, description, unit and bounds.

    Parameters
    ----------
    expert : True for a setting that few users need; the commented default configuration omits it
    """
    extra: dict[str, JsonValue] = {"unit": unit} if unit else {}
    if expert:
        extra["expert"] = True
    return Field(default=default, description=description, json_schema_extra=extra or None, **bounds)


def rejected(expected: str, got: str, fix: str, *, key: str | None = None) -> PydanticCustomError:
    """Return the error of a validator; ``key`` names the wrong entry of the model.

    Parameters
    ----------
    expected, got, fix : the three parts of a :class:`oxytomo.errors.ConfigError`
    key : dotted name relative to the model of the validator, or None for the model itself
    """
    context = {"expected": expected, "got": got, "fix": fix, "key": key or ""}
    return PydanticCustomError("rejected", "expected {expected}, got {got}", context)


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is closest to ``name``, or None."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None


_Options = TypeVar("_Options")


class Settings(BaseModel):
    """Base of every settings model."""

    model_config = ConfigDict(
        defer_build=True, frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=False
    )

    def options(self, kind: type[_Options]) -> _Options:
        """Return a data class for numerical code; each field is the setting of the same name."""
        names = (field.name for field in dataclasses.fields(kind))  # type: ignore[arg-type]
        return kind(**{name: getattr(self, name) for name in names})

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, data: Any) -> Any:
        """Refuse an unknown key and suggest the closest known one."""
        if not isinstance(data, dict):
            return data
        for key, value in data.items():
            if isinstance(value, str) and not shows(value):
                wanted = "text of characters that show"
                fix = "remove the others; a path of Windows goes into single quotes, or with / for \\"
                raise rejected(wanted, f"'{value}'", fix, key=str(key))
            if str(key) not in cls.model_fields:
                guess = closest(str(key), cls.model_fields)
                known = ", ".join(cls.model_fields)
                raise rejected(
                    f"one of {known}",
                    f"the unknown key '{key}'",
                    f"did you mean '{guess}'?" if guess else "remove it",
                    key=str(key),
                )
        return data


def below_configuration(path: str, info: ValidationInfo) -> str:
    """Return ``path`` relative to the folder of the configuration file, if this is known."""
    folder = (info.context or {}).get("folder")
    if os.name != "nt" and _WINDOWS.match(path):
        fix = "write it as this computer names it, e.g. /mnt/c/Users/... for C:\\Users\\... (Windows Subsystem for Linux)"
        raise rejected("a path of this computer", f"'{path}', a path of Windows", fix)
    expanded = checked_path(path)
    full = expanded if folder is None else str(Path(folder).joinpath(expanded))
    _require_short(full)
    problem = path_problem(full)
    if problem is not None:
        raise rejected(f"a path without {problem}", full, "rename it, or give a link with a plain name")
    return full


FilePath = Annotated[str, AfterValidator(below_configuration)]
"""Path of a file, relative to the folder of the configuration file."""


def path_problem(path: str) -> str | None:
    """Return characters in the path of a raw file that Snakemake would misread, or None.

    Snakemake treats text in braces as a wildcard, and replaces words in angle brackets.
    """
    if "{" in path or "}" in path:
        return "braces"
    return "a word in angle brackets" if _BRACKETED.search(path) else None


def checked_path(path: str) -> str:
    """Return a path with the home folder expanded; refuse an invalid path."""
    try:
        expanded = str(Path(path).expanduser())
    except RuntimeError:
        raise rejected("a path", f"{path}, a home folder that is not known", "write it out") from None
    _require_short(expanded)
    if _BRACKETED.search(expanded):
        wanted = "a path without a word in angle brackets"
        raise rejected(wanted, path, "rename it, or give a link with a plain name")
    return expanded


def _require_short(path: str) -> None:
    """Refuse a path that no file system accepts."""
    longest = max((len(part.encode(errors="replace")) for part in path.split("/")), default=0)
    if longest > LONGEST_FILE_NAME or len(path.encode(errors="replace")) > LONGEST_PATH:
        wanted = f"a path of at most {LONGEST_PATH} bytes with names of at most {LONGEST_FILE_NAME}"
        raise rejected(wanted, f"{path[:60]} …", "give the path of a file")


def checked_name(name: str, *, key: str = "") -> str:
    """Refuse names that pages or tables cannot show, such as a leading ``=`` (a formula)."""
    if not name[:1].isalnum() or len(name) > LONGEST_NAME or not shows(name):
        wanted = f"a name that begins with a letter or digit, of at most {LONGEST_NAME} characters that show"
        raise rejected(wanted, f"'{name}'", "rename it", key=key)
    return name
