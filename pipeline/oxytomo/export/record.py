"""Provenance of an exported image as root attributes."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from oxytomo.io.stores import STORE_KEY, Provenance, encode_json


def provenance_attributes(provenance: Provenance, **facts: Any) -> Mapping[str, Any]:
    """Return the root attribute ``oxytomo``: stage, version, settings, inputs and image facts."""
    return {STORE_KEY: encode_json({**dataclasses.asdict(provenance), **facts})}
