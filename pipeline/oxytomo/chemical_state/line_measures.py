"""Numbers of white lines and edges in three dimensions: means and shells, with errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from oxytomo.arrays import BoolArray, FloatArray
from oxytomo.chemical_state.own_spectra import energies_at
from oxytomo.measure.shells import depth_below_surface, mean_deviations, shell_labels
from oxytomo.measure.tables import table as table_of
from oxytomo.slabs import Field, in_parts, mapped, sampled

if TYPE_CHECKING:
    import pandas as pd

LINES: Final = ("white_line", "edge")
"""What is measured: the maximum, and half of the step on the rising side."""

DEFINITIONS: Mapping[str, str] = {
    "white_line": "energy of the maximum of the spectrum of a voxel, from a polynomial around it",
    "edge": "energy at which the rising side of the spectrum of a voxel crosses half of its step",
    "mean_ev": "mean over the voxels of the particle that have one, on the energy scale of the series; standard_error_ev is "
    "that of noise: replicates with their bias, and the mean spectrum",
    "median_error_ev": "median standard error of a voxel",
    "varies": "the spectra of the rays vary beyond noise; otherwise only shifts of the mean spectrum are seen",
}

Table = tuple[Sequence[float], Sequence[float]]
"""Places in the plane of the spectra, and the energies there."""


@dataclass(frozen=True)
class LineParticle:
    """A particle with places in the plane of its spectra, in its box.

    Attributes
    ----------
    particle : (n_z, n_y, n_x) bool
    place : place of each voxel, NaN outside
    replicates : places of noise replicates
    energies, errors : by line, energy of each voxel and its standard error, eV; NaN where none
    tables : by line
    voxel_nm : edge of a voxel
    error_of_mean_ev : standard error of the white line of the mean spectrum, None if unknown
    """

    particle: Field
    place: Field
    replicates: Sequence[Field]
    energies: Mapping[str, Field]
    errors: Mapping[str, Field]
    tables: Mapping[str, Table]
    voxel_nm: float
    error_of_mean_ev: float | None


def measure_lines(of: LineParticle, *, shells: int) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return means over the particle as plain values, and a table with a row per shell."""
    depth = depth_below_surface(of.particle, voxel_nm=of.voxel_nm)
    layers = shell_labels(depth, n_shells=shells)
    whole = mapped(of.particle, lambda inside: inside.astype(np.uint8), np.uint8)
    number = np.arange(1, shells + 1)
    columns: dict[str, Any] = {
        "shell": number,
        "shell_outer": 100.0 * (number - 1) / shells,
        "shell_inner": 100.0 * number / shells,
        "depth_mean_nm": mean_deviations(depth, layers, (), n=shells)[0],
        "n_voxels": _counts(layers, shells),
    }
    summary: dict[str, Any] = {"voxels": int(_counts(whole, 1)[0]), "replicates": len(of.replicates)}
    for name in LINES:
        energies = of.energies[name]
        repeats = [mapped(one, _energy(of.tables[name]), np.float32) for one in of.replicates]
        mean, error = mean_deviations(energies, whole, repeats, n=1)
        summary[name] = _plain(of, name, float(mean[0]), float(error[0]))
        means, errors = mean_deviations(energies, layers, repeats, n=shells)
        columns |= {f"{name}_ev": means, f"{name}_error_ev": errors}
    return summary, table_of(columns)


def _energy(table: Table) -> Callable[[FloatArray], FloatArray]:
    return lambda places: energies_at(places.astype(np.float32), table)


def _plain(of: LineParticle, name: str, mean: float, error: float) -> dict[str, Any] | None:
    """Return the numbers of one line; None if no voxel has one."""
    if not np.isfinite(mean):
        return None
    values = sampled(of.energies[name], of.particle)
    errors = sampled(of.errors[name], of.particle)
    known = errors[np.isfinite(errors)]
    common = of.error_of_mean_ev or 0.0
    return {
        "mean_ev": mean,
        "standard_error_ev": float(np.hypot(error, common)) if np.isfinite(error) else None,
        "standard_deviation_ev": float(np.nanstd(values.astype(np.float64))),
        "median_error_ev": float(np.median(known)) if known.size else None,
        "voxels": _known(of.energies[name], of.particle),
    }


def _known(energies: Field, particle: Field) -> int:
    total = 0
    for values, inside in in_parts(energies, particle):
        good: BoolArray = inside.astype(bool) & np.isfinite(values)
        total += int(np.count_nonzero(good))
    return total


def _counts(labels: Field, n: int) -> Any:
    found = np.zeros(n + 1, np.int64)
    for (part,) in in_parts(labels):
        found += np.bincount(np.asarray(part).ravel(), minlength=n + 1)
    return found[1:]
