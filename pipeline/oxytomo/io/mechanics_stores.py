"""Stores of the mechanics branch, and tables of material constants over lithium content."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import AnyArray, Float64Array, FloatArray
from oxytomo.errors import InputError
from oxytomo.io.readers.columns import is_number, table_rows
from oxytomo.io.records import Provenance
from oxytomo.io.stores import NamedArray, Store, write_store
from oxytomo.mechanics.geometry import Parts
from oxytomo.mechanics.schedule import sign_of
from oxytomo.mechanics.solving import NAMES, Stressed
from oxytomo.mechanics.states import Scalars
from oxytomo.mechanics.summary import Shown
from oxytomo.mechanics.trials import Trials

_AXES = ("z", "y", "x")


def parts_arrays(parts: Parts) -> dict[str, NamedArray]:
    """Return the volumes of a particle for a store."""
    arrays = {
        "labels": NamedArray(parts.labels, _AXES, "1"),
        "voids": NamedArray(parts.voids.astype(np.int32), _AXES, "1"),
    }
    if parts.void_share is not None:
        arrays["void_share"] = NamedArray(parts.void_share, _AXES, "1")
    return arrays


def write_lithium(
    path: Path,
    parts: Parts,
    replicates: Sequence[Parts],
    profiles: FloatArray,
    *,
    attributes: Mapping[str, Any],
    provenance: Provenance,
) -> None:
    """Write a particle, its noise replicates and its lithium profiles, (state, z, y, x)."""
    arrays = parts_arrays(parts) | {"profiles": NamedArray(profiles, ("state", *_AXES), "1")}
    for name in ("labels", "voids", "void_share"):
        values = [getattr(one, name) for one in replicates]
        if values and all(value is not None for value in values):
            arrays[f"replicate_{name}"] = NamedArray(np.stack(values), ("replicate", *_AXES), "1")
    facts = {"voxel_um": parts.voxel_um, "start": list(parts.start), **attributes}
    write_store(path, arrays, provenance=provenance, attributes=facts)


def read_parts(store: Store) -> Parts:
    """Return the particle in a store."""
    share = store["void_share"] if "void_share" in store.names else None
    return Parts(store["labels"], share, store["voids"], float(store.attributes["voxel_um"]), _start(store))


def read_replicates(store: Store) -> list[Parts]:
    """Return the noise replicates in a store."""
    if "replicate_labels" not in store.names:
        return []
    labels, voids = store["replicate_labels"], store["replicate_voids"]
    shares = store["replicate_void_share"]
    factor = int(store.attributes["replicate_factor"])
    z, y, x = (one // factor for one in _start(store))
    voxel_um = factor * float(store.attributes["voxel_um"])
    return [
        Parts(one, share, numbers, voxel_um, (z, y, x))
        for one, share, numbers in zip(labels, shares, voids, strict=True)
    ]


def _start(store: Store) -> tuple[int, int, int]:
    z, y, x = (int(one) for one in store.attributes["start"])
    return z, y, x


@dataclass(frozen=True)
class Curve:
    """A constant over lithium content.

    Attributes
    ----------
    lithium : (n,) growing
    value : (n,)
    """

    lithium: Float64Array
    value: Float64Array

    def at(self, lithium: Float64Array | FloatArray) -> Float64Array:
        """Return the value at a lithium content, by linear interpolation."""
        return np.interp(lithium, self.lithium, self.value)

    def within(self, low: float, high: float) -> "Curve":
        """Return the part of the table between two contents that it covers."""
        inside = self.lithium[(self.lithium > low) & (self.lithium < high)]
        contents = np.concatenate([[low], inside, [high]])
        return Curve(contents, self.at(contents))

    @property
    def mean(self) -> float:
        """Mean over the contents of the table."""
        return float(np.trapezoid(self.value, self.lithium) / np.ptp(self.lithium))


def read_curve(path: str, name: str, *, lithium: tuple[float, float], limits: tuple[float, float]) -> Curve:
    """Read a table of two columns, lithium content and value, with or without a header.

    Parameters
    ----------
    path, name : of the table, and of the setting that names it
    lithium : range of contents that it must cover
    limits : smallest and largest value

    Raises
    ------
    InputError
        If it is no such table, has impossible values, or does not cover the range of lithium.
    """
    rows = table_rows(Path(path), "a table of lithium content and value", name, two_columns=True)
    if not is_number(rows[0][0]):
        rows = rows[1:]
    try:
        values = np.array([[float(cell) for cell in row[:2]] for row in rows], np.float64)
        if values.shape[0] < 2 or values.shape[1] != 2 or not np.isfinite(values).all():
            raise ValueError
    except ValueError:
        raise InputError(
            f"{name} ({path})",
            expected="at least two rows of lithium content and value",
            got="text or too few numbers",
            fix="write a CSV table with these two columns",
        ) from None
    low, high = limits
    strange = values[(values[:, 1] < low) | (values[:, 1] > high)]
    if strange.size:
        raise InputError(
            f"{name} ({path})",
            expected=f"values from {low:g} to {high:g} in the second column",
            got=f"{strange[0, 1]:g} at a lithium content of {strange[0, 0]:g}",
            fix="correct the unit, or the order of the columns",
        )
    values = values[np.argsort(values[:, 0])]
    known = (float(values[0, 0]), float(values[-1, 0]))
    if (np.diff(values[:, 0]) <= 0).any():
        raise InputError(
            f"{name} ({path})",
            expected="each lithium content once",
            got="one twice",
            fix="keep one row of each",
        )
    if known[0] > lithium[0] + 1e-9 or known[1] < lithium[1] - 1e-9:
        raise InputError(
            f"{name} ({path})",
            expected=f"lithium contents from {lithium[0]:g} to {lithium[1]:g}",
            got=f"{known[0]:g} to {known[1]:g}",
            fix="extend the table, or give the range that it covers with lithium:",
        )
    return Curve(values[:, 0], values[:, 1])


def write_stress(path: Path, found: Stressed, trials: Mapping[str, Any], *, provenance: Provenance) -> None:
    """Write the stress of a particle, and the numbers of all profiles and trials."""
    arrays = {name: NamedArray(getattr(found.shown, name), _AXES, "1") for name in NAMES}
    arrays["displacement"] = NamedArray(found.displacement, ("component", *_AXES), "voxel")
    if found.filled is not None and found.filled_u is not None:
        arrays |= {f"filled_{name}": NamedArray(getattr(found.filled, name), _AXES, "1") for name in NAMES}
        arrays["filled_u"] = NamedArray(found.filled_u, _AXES, "1")
    facts = {"numbers": found.numbers, "solver": found.solver, "trials": dict(trials)}
    write_store(path, arrays, provenance=provenance, attributes=facts)


def read_scalars(store: Store, *, filled: bool = False) -> Scalars | None:
    """Return the stored scalars; those without voids are missing in time steps."""
    before = "filled_" if filled else ""
    if f"{before}{NAMES[0]}" not in store.names:
        return None
    return Scalars(*(store[f"{before}{name}"] for name in NAMES))


def in_whole(part: AnyArray, start: Sequence[int], shape: Sequence[int]) -> Any:
    """Return a volume that is 0 outside a part."""
    whole = np.zeros(tuple(shape), part.dtype)
    whole[tuple(slice(one, one + size) for one, size in zip(start, part.shape, strict=True))] = part
    return whole


def read_shown(lithium: Store, stress: Store) -> Shown:
    """Return the shown state from the stores of ``lithiate`` and ``solve_stress``."""
    parts, facts = read_parts(lithium), lithium.attributes
    state = facts["states"][int(facts["shown"])]
    profile = lithium.field("profiles")[int(state["profile"])]
    plain, filled = read_scalars(stress), read_scalars(stress, filled=True)
    if plain is None:
        raise KeyError(NAMES[0])
    solid = parts.solid()
    there = solid.share[solid.inside] > 0
    mean, scale = np.float32(state["lithium_mean"]), np.float32(state["lithium_scale"])
    content = profile if facts["in_time"] else (mean + scale * profile) * there
    return Shown(
        parts,
        solid,
        plain,
        filled,
        content.astype(np.float32),
        None if filled is None else mean + scale * stress["filled_u"],
        state,
        sign_of(facts["direction"]),
    )


def read_trials(store: Store) -> Trials:
    """Return the numbers of the variants of the particle."""
    return Trials(**store.attributes["trials"])
