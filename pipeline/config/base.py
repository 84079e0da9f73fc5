"""What all settings models share: frozen, strict about unknown keys, one-line errors with a suggestion."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError


def setting(default: Any, description: str, *, unit: str | None = None, **bounds: Any) -> Any:
    """One field of a settings model with its default, description, unit and bounds."""
    extra: dict[str, JsonValue] | None = {"unit": unit} if unit else None
    return Field(default=default, description=description, json_schema_extra=extra, **bounds)


def rejected(expected: str, got: str, fix: str, *, key: str | None = None) -> PydanticCustomError:
    """Return the error a validator raises; ``key`` names the entry below the model that is wrong.

    Parameters
    ----------
    expected, got, fix : the three parts of a :class:`pipeline.errors.ConfigError`
    key : dotted name below the place where the validator sits, or None for that place itself
    """
    context = {"expected": expected, "got": got, "fix": fix, "key": key or ""}
    return PydanticCustomError("rejected", "expected {expected}, got {got}", context)


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that ``name`` was probably meant to be, or None."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None


class Settings(BaseModel):
    """Base of every settings model."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=False
    )

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, data: Any) -> Any:
        """Refuse an unknown key and suggest the one that was probably meant."""
        if not isinstance(data, dict):
            return data
        for key in data:
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
    """Return ``path`` below the folder of the configuration file where the validation knows it."""
    folder = (info.context or {}).get("folder")
    expanded = Path(path).expanduser()
    full = str(expanded) if folder is None else str(Path(folder).joinpath(expanded))
    if "{" in full or "}" in full:
        # The workflow would take what is between them for a wildcard.
        raise rejected("a path without braces", full, "rename it, or give a link without braces")
    return full
