"""Small configurations, validated as if their file were in /data."""

from pathlib import Path
from typing import Any

import pytest

from oxytomo.config import parse_config
from oxytomo.config.project import ProjectConfig
from oxytomo.errors import ConfigError

FORMULA = {"Mn": 0.6, "Ni": 0.2, "O": 2.0}


def composition(**changes: Any) -> dict[str, Any]:
    """A small valid composition branch."""
    edges = {element: {"pre": f"{element}1.h5", "post": f"{element}2.h5"} for element in ("Mn", "O")}
    return {"edges": edges, "formula": FORMULA} | changes


def project(branch: dict[str, Any] | None = None, *, name: str = "composition") -> dict[str, Any]:
    """A configuration with one sample."""
    return {"samples": {"a": {name: composition() if branch is None else branch}}}


def parsed(data: dict[str, Any]) -> ProjectConfig:
    """Validate as if the file were in /data."""
    return parse_config(data, folder=Path("/data"), name="x.yaml")


def refused(data: dict[str, Any]) -> str:
    """Return the error, which is one line."""
    with pytest.raises(ConfigError, match="expected") as caught:
        parsed(data)
    text = str(caught.value)
    assert "\n" not in text
    return text
