"""Records of the origin of results, in stores and beside products, and their check."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

STORE_KEY = "oxytomo"
"""Root attribute of a store or an image that holds its record."""
SEAL = "chunks"
"""Key of the seal in the layout of an array."""
NAME = r"\w[\w.-]*"
"""Allowed names of an array."""
MOST_VERSION, LONGEST_PATH = 10**6, 4096


@dataclass(frozen=True)
class Provenance:
    """Origin of the content of a store.

    Attributes
    ----------
    stage, version : the stage and its version
    settings : the complete settings of the stage
    inputs : name of the input -> ``{"path": ..., "digest": ...}``
    package_version : version of this package
    created : time of writing, ISO 8601, UTC
    """

    stage: str
    version: int
    settings: Mapping[str, Any]
    inputs: Mapping[str, Mapping[str, str]]
    package_version: str
    created: str


def encode_json(value: Any) -> Any:
    """Return ``value`` as plain JSON types: also numpy values, paths, NaN and infinity."""
    if isinstance(value, Mapping):
        return {str(key): encode_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [
            encode_json(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)
        ]
    if isinstance(value, np.ndarray):
        return encode_json(value.tolist())
    if isinstance(value, np.generic):
        return encode_json(value.item())
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    message = f"{type(value).__name__} cannot be stored as an attribute"
    raise TypeError(message)


def decode_json(value: Any) -> Any:
    """Undo :func:`encode_json` for numbers that are not finite."""
    if isinstance(value, dict):
        if set(value) == {"float"} and value["float"] in ("nan", "inf", "-inf"):
            return float(value["float"])
        return {key: decode_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode_json(item) for item in value]
    return value


def checked_provenance(record: Any) -> Provenance:
    """Return the provenance in a record that may come from elsewhere.

    Raises ``ValueError`` and the like for an invalid record.

    Paths of inputs contain only characters that are valid in a path.
    """
    inputs = {str(key): _checked_input(item) for key, item in dict(record["inputs"]).items()}
    version = record["version"]
    if type(version) is not int or abs(version) > MOST_VERSION:
        raise ValueError(f"version {version!r:.20}")
    return Provenance(
        stage=text_of(record["stage"]),
        version=version,
        settings=dict(record["settings"]),
        inputs=inputs,
        package_version=text_of(record["package_version"]),
        created=text_of(record["created"]),
    )


def _checked_input(item: Any) -> dict[str, str]:
    path = text_of(item["path"])
    if not path or "\0" in path or len(path) > LONGEST_PATH:
        raise ValueError("a path that cannot be")
    return {"path": path, "digest": text_of(item["digest"])}


def checked_layout(name: str, item: Any) -> dict[str, Any]:
    """Return the layout of an array after a check that it is one of this package."""
    axes, shape = item["axes"], item["shape"]
    plain = isinstance(axes, list) and isinstance(shape, list) and len(axes) == len(shape)
    if not plain or not re.fullmatch(NAME, name) or any(type(side) is not int or side < 0 for side in shape):
        raise ValueError(f"an array {name!r:.40}")
    kept = {
        "axes": [text_of(axis) for axis in axes],
        "unit": text_of(item["unit"]),
        "dtype": text_of(item["dtype"]),
    }
    return {**kept, "shape": shape, **({SEAL: text_of(item[SEAL])} if SEAL in item else {})}


def text_of(value: Any) -> str:
    """Return a value if it is text; raise ``TypeError`` otherwise."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.20} is no text")
    return value
