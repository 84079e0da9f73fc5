"""All numbers and tables of the elements of a particle: valences, or white lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from oxytomo.chemical_state import line_measures, measures
from oxytomo.chemical_state.columns import StateColumns, mean_valence
from oxytomo.chemical_state.line_measures import LineParticle, measure_lines
from oxytomo.chemical_state.measures import StateParticle, measure_state
from oxytomo.chemical_state.profiles import depth_profile
from oxytomo.measure.tables import stacked
from oxytomo.slabs import Field

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class MeasureOptions:
    """What is measured; see the settings of the same names."""

    threshold: float
    confidence: float
    shells: int
    min_domain_voxels: int
    profile_bins: int
    time_s: float | None


@dataclass(frozen=True)
class MeasuredElement:
    """What was measured of one element.

    Attributes
    ----------
    kind : ``elements`` with references, ``white_lines`` without; the part of the JSON file
    numbers : as plain values
    tables : by name
    labels : by name, uint8 in the box of the particle; none without references
    """

    kind: str
    numbers: dict[str, Any]
    tables: dict[str, pd.DataFrame]
    labels: dict[str, Field]

    def with_record(self, record: Mapping[str, Any]) -> MeasuredElement:
        """Return the same with more among its numbers."""
        return replace(self, numbers={**self.numbers, **record})

    def described(self) -> str:
        """Return the most important numbers in words."""
        if self.kind == "white_lines":
            line = self.numbers["white_line"]
            return (
                "no voxel has a white line" if line is None else f"mean white line {line['mean_ev']:.3f} eV"
            )
        fractions = self.numbers["fractions"].items()
        shares = (f"{name} {100 * one['value']:.2f} %" for name, one in fractions)
        return f"mean valence {self.numbers['mean_valence']:.3f}, " + ", ".join(shares)


def measure_valence(
    of: StateParticle, data: StateColumns, options: MeasureOptions, *, solver: Mapping[str, Any]
) -> MeasuredElement:
    """Measure the valence of one element.

    Parameters
    ----------
    of : the particle
    data : component sinograms, for the mean without a reconstruction
    options : what is measured
    solver : record of the reconstruction
    """
    measured = measure_state(
        of,
        threshold=options.threshold,
        confidence=options.confidence,
        shells=options.shells,
        min_domain_voxels=options.min_domain_voxels,
    )
    profile, models = depth_profile(
        of.deviation,
        of.particle,
        of.replicates,
        voxel_nm=of.voxel_nm,
        reference_valence=of.reference_valence,
        bins=options.profile_bins,
        time_s=options.time_s,
    )
    numbers = {
        **measured.summary,
        "valence_of_sums": mean_valence(data),
        "solver": solver,
        "models": models,
    }
    tables = {"shells": measured.shells, "domains": measured.domains, "profiles": profile}
    labels = {"classes": measured.classes.phases, "confident": measured.classes.confident}
    return MeasuredElement("elements", numbers, tables, labels)


def measure_white_line(of: LineParticle, *, shells: int, solver: Mapping[str, Any]) -> MeasuredElement:
    """Measure the white line and the edge of one element without references.

    Parameters
    ----------
    of : the particle
    shells : number of shells of equal volume
    solver : record of the reconstruction
    """
    summary, table = measure_lines(of, shells=shells)
    return MeasuredElement("white_lines", {**summary, "solver": solver}, {"white_lines": table}, {})


def numbers_of(found: Mapping[str, MeasuredElement]) -> dict[str, Any]:
    """Return the numbers of all elements by kind, with their definitions."""
    numbers: dict[str, dict[str, Any]] = {"elements": {}, "white_lines": {}}
    for element, one in found.items():
        numbers[one.kind][element] = one.numbers
    lines = line_measures.DEFINITIONS if numbers["white_lines"] else {}
    return {**numbers, "definitions": {**measures.DEFINITIONS, **lines}}


def table_of(found: Mapping[str, MeasuredElement], name: str, columns: Sequence[str]) -> pd.DataFrame:
    """Return the rows of one table of all elements, with a column ``element``.

    Where no element has this table, it has these columns and no rows.
    """
    parts = {element: one.tables[name] for element, one in found.items() if name in one.tables}
    return stacked(parts, "element", columns)
