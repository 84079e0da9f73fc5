"""Aligned stores as input of the amounts, and the store of amounts in every ray."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.composition.amounts import AlignedSeries, Amounts
from oxytomo.io.rounding import with_variances
from oxytomo.io.scratch import FIELD_BYTES
from oxytomo.io.stores import NamedArray, Provenance, Store, write_store


def aligned_series(store: Store, *, in_memory: bool) -> AlignedSeries:
    """Return the series of an aligned store for the computation of amounts.

    They are read at once, or on access where they are large and ``in_memory`` is False. Chunks of a
    store hold many tilts, so that reading tilt by tilt would decode each chunk again and again.
    """
    n_bytes = np.dtype(store.dtype("value")).itemsize * int(np.prod(store.shape("value")))
    at_once = in_memory or n_bytes <= FIELD_BYTES
    names = [str(name) for name in store.attributes["series"]]
    change = store.attributes.get("stripe_change", {})
    return AlignedSeries(
        names,
        store["value"] if at_once else store.field("value"),
        store["variance"] if at_once else store.field("variance"),
        np.array(store.attributes.get("energies_ev", []), np.float64),
        float(store.attributes["pixel_nm"]),
        store["tilt_deg"],
        np.array([change.get(name, 0.0) for name in names]),
    )


def write_amounts(
    path: Path, found: Amounts, aligned: Store, *, attributes: Mapping[str, Any], provenance: Provenance
) -> None:
    """Write the amounts in every ray, and the parts of the aligned store that are kept."""
    rays = ("tilt", "y", "x")
    small = with_variances(found.areal, found.covariance)
    arrays = {
        "areal": NamedArray(small.value, ("element", *rays), "micrometer"),
        "covariance": NamedArray(found.covariance, ("pair", *rays), "micrometer^2"),
        "tilt_deg": NamedArray(aligned["tilt_deg"], ("tilt",), "degree"),
    }
    if "frame" in aligned.names:
        arrays["frame"] = NamedArray(np.asarray(aligned["frame"]), ("tilt",), "1")
    for element, one in found.states.items():
        arrays[f"{element}_states"] = NamedArray(one.areal, (f"{element}_state", *rays), "micrometer")
        arrays[f"{element}_states_covariance"] = NamedArray(
            one.covariance, (f"{element}_pair", *rays), "micrometer^2"
        )
    if found.chi_square is not None:
        arrays["chi_square"] = NamedArray(found.chi_square, rays, "1")
    if found.changes is not None:
        arrays["without_term"] = NamedArray(found.changes, ("term", "oxygen_metal", *rays), "micrometer")
    write_store(
        path,
        arrays,
        provenance=provenance,
        attributes={
            **attributes,
            "atoms": found.atoms.tolist(),
            "pixel_nm": float(aligned.attributes["pixel_nm"]),
            "invalid": aligned.attributes["invalid"],
            "n_pixels": aligned.attributes["n_pixels"],
            "model": found.record,
            "rounding": small.record,
            "states": {
                element: {"valences": one.valences.tolist(), "names": list(one.names), "model": one.record}
                for element, one in found.states.items()
            },
            "terms_left_out": list(found.without),
        },
    )
