"""Measurements of a classified particle: fractions with intervals, domains and shells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from oxytomo.measure.domains import (
    Domains,
    domain_table,
    find_domains,
    interconnection,
    number_domains,
)
from oxytomo.measure.fractions import (
    border_share,
    class_fractions,
    interval_of_share,
    n_classified,
    replicate_bias,
    replicate_fractions,
    scatter_interval,
)
from oxytomo.measure.resolution import ShellCorrelation
from oxytomo.measure.shells import (
    depth_below_surface,
    mean_deviations,
    shell_labels,
    shell_table,
)
from oxytomo.measure.systematic import NORMAL, shifted_fractions, widened, without_skin
from oxytomo.measure.wedge import (
    Wedge,
    half_height_fractions,
    outline_moved,
    rim_counts,
    rim_like_the_seen,
    unseen_normals,
)
from oxytomo.reconstruct.total_variation import bounding_box
from oxytomo.segment.classes import CLASS_LABELS, CONFIDENT_LABELS
from oxytomo.slabs import Box, Field, count_set, mapped, new_field

if TYPE_CHECKING:
    import pandas as pd


SOURCES = (
    ("outline_further_out", "outline_further_in"),
    ("borders_at_half_height",),
    ("rim_in_the_wedge_like_elsewhere",),
)
"""Readings that are independent sources of error of a fraction: they add in quadrature."""
WITHOUT = "without_"
"""Start of the name of a reading without one model term, which is no error of the result."""


@dataclass(frozen=True)
class ClassifiedParticle:
    """A classified particle in its box.

    Attributes
    ----------
    box : position of the box in the volume, z, y, x
    particle : (n_z, n_y, n_x) bool
    deviation : float32, as classified
    phases, confident : uint8, classes by the deviation alone, and where they exceed the noise
    replicates, null : deviations of noise replicates and of null runs
    voxel_nm : edge of a voxel, nm
    threshold : deviation above which a voxel is oxygen-poor or oxygen-rich
    systematic : standard error of the deviation that all voxels share
    skin_oxygen_px : thickness, at the particle's density, of the oxygen in a possible carbonate
        skin, voxels; 0 for none
    noise : median standard error of the deviation from counting noise, None without replicates
    wedge : directions that no projection holds, None for (nearly) a half turn
    without : by model term, the deviation without this term
    """

    box: Box
    particle: Field
    deviation: Field
    phases: Field
    confident: Field
    replicates: Sequence[Field]
    null: Sequence[Field]
    voxel_nm: float
    threshold: float
    systematic: float
    skin_oxygen_px: float
    noise: float | None
    wedge: Wedge | None
    without: Mapping[str, Field] = field(default_factory=dict)


@dataclass(frozen=True)
class CompositionMeasures:
    """Tables of domains and shells, and the numbers of a particle as plain values.

    Attributes
    ----------
    domains, shells : columns by name
    fractions : share of each class with intervals
    null : the same for the null runs
    confident : share of each class that exceeds the noise
    connected : connectivity of the domains of each class
    volume_nm3 : volume of the particle, nm³
    readings : share of each class under other assumptions, by assumption
    layers : labels of the shells in the box, 1 at the rim, 0 outside
    """

    domains: pd.DataFrame
    shells: pd.DataFrame
    fractions: dict[str, dict[str, Any]]
    null: dict[str, Any]
    confident: dict[str, dict[str, float]]
    connected: dict[str, Any]
    volume_nm3: float
    readings: dict[str, dict[str, float]]
    layers: Field


def measure_composition(of: ClassifiedParticle, n_shells: int, min_domain_voxels: int) -> CompositionMeasures:
    """Measure a classified particle slab by slab.

    Parameters
    ----------
    of : the particle
    n_shells : number of shells of equal volume
    min_domain_voxels : smaller domains are not in the table
    """
    fractions = class_fractions(of.phases, labels=CLASS_LABELS)
    of_replicates = replicate_fractions(of.replicates, of.particle, threshold=of.threshold)
    sure = class_fractions(of.confident, labels=CONFIDENT_LABELS)
    shifted = {
        confidence: shifted_fractions(
            of.deviation, of.particle, threshold=of.threshold, shift=width * of.systematic
        )
        for confidence, width in NORMAL.items()
    }
    depth = depth_below_surface(of.particle, voxel_nm=of.voxel_nm)
    layers = shell_labels(depth, n_shells=n_shells)
    shells = shell_table(
        of.deviation,
        of.phases,
        layers,
        of.replicates,
        n_shells=n_shells,
        depth_nm=depth,
    )
    found = find_domains(of.phases, depth)
    readings = _readings(of, depth)
    return CompositionMeasures(
        domains=_domains(found, of, min_domain_voxels),
        shells=shells,
        fractions=_with_interval(fractions, of_replicates, of.phases, shifted, readings),
        null=_null(of),
        confident={name: {"value": value} for name, value in sure.items()},
        connected={name: interconnection(found, name, min_voxels=min_domain_voxels) for name in found},
        volume_nm3=count_set(of.particle) * of.voxel_nm**3,
        readings=readings,
        layers=layers,
    )


def particle_box(particle: Field) -> Box:
    """Return the box around the particle with up to two voxels of margin; z, y, x."""
    rows, columns, planes = bounding_box(particle)
    return tuple(
        slice(max(0, s.start - 2), min(n, s.stop + 2))
        for s, n in zip((planes, rows, columns), particle.shape, strict=True)
    )


def resolution_record(curves: Mapping[str, ShellCorrelation]) -> dict[str, Any]:
    """Return correlation curves by direction as plain values."""
    return {
        name: {
            "resolution_nm": curve.resolution_nm,
            "frequency_per_nm": curve.frequency_per_nm.tolist(),
            "correlation": curve.correlation.tolist(),
            "half_bit": curve.half_bit.tolist(),
        }
        for name, curve in curves.items()
    }


def solver_record(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Describe how the deviation was obtained; None for methods that do not iterate."""
    names = ("iterations", "misfit", "residual")
    return {name: record[f"difference_{name}"] for name in names} if "difference_residual" in record else None


def _domains(found: Mapping[str, Domains], of: ClassifiedParticle, min_voxels: int) -> pd.DataFrame:
    """Return the table of domains, with positions in the volume and their mean deviations."""
    domains = domain_table(found, voxel_nm=of.voxel_nm, min_voxels=min_voxels)
    numbers = new_field(of.phases.shape, np.int32)
    number_domains(of.phases, numbers, min_voxels=min_voxels)
    mean, error = mean_deviations(of.deviation, numbers, of.replicates, n=len(domains))
    domains["mean_deviation"], domains["mean_deviation_error"] = mean, error
    for axis, extent in zip("zyx", of.box, strict=True):
        centroid = f"centroid_{axis}_nm"
        domains[centroid] = np.asarray(domains[centroid]) + extent.start * of.voxel_nm
    return domains


def _null(of: ClassifiedParticle) -> dict[str, Any]:
    """Return the fractions of the null runs: their mean and interval."""
    found = replicate_fractions(of.null, of.particle, threshold=of.threshold)
    mean = {name: float(np.mean(found[name])) if len(of.null) else float("nan") for name in CLASS_LABELS}
    return {
        "runs": len(of.null),
        "fractions": {
            name: {"value": value, "ci95": scatter_interval(found[name], confidence=0.95)}
            for name, value in mean.items()
        },
    }


def _readings(of: ClassifiedParticle, depth_nm: Field) -> dict[str, dict[str, float]]:
    """Return the class fractions under other assumptions, by assumption."""
    if not of.replicates:
        return {}
    depth_px = mapped(depth_nm, lambda part: part / np.float32(of.voxel_nm), np.float32)
    hidden: Field = (
        mapped(of.particle, lambda part: np.zeros(part.shape, bool), bool)
        if of.wedge is None
        else unseen_normals(of.particle, of.wedge)
    )
    counts = rim_counts(of.phases, depth_px, hidden)
    further, nearer = outline_moved(counts)
    found = {
        "outline_further_out": further,
        "outline_further_in": nearer,
        "borders_at_half_height": half_height_fractions(of.deviation, of.particle, threshold=of.threshold),
    }
    if of.wedge is not None:
        found["rim_in_the_wedge_like_elsewhere"] = rim_like_the_seen(counts)
    if of.skin_oxygen_px:
        other = without_skin(of.deviation, depth_px, of.skin_oxygen_px)
        shares = replicate_fractions([other], of.particle, threshold=of.threshold)
        found["carbonate_skin"] = {name: values[0] for name, values in shares.items()}
    if of.without:
        shares = replicate_fractions(of.without.values(), of.particle, threshold=of.threshold)
        for place, term in enumerate(of.without):
            found[f"{WITHOUT}{term}"] = {name: values[place] for name, values in shares.items()}
    return found


def _with_interval(
    values: Mapping[str, float],
    replicate_values: Mapping[str, Sequence[float]],
    phases: Field,
    shifted: Mapping[float, Mapping[str, Sequence[float]]],
    readings: Mapping[str, Mapping[str, float]],
) -> dict[str, dict[str, Any]]:
    entries, total = {}, n_classified(phases)
    for name, value in values.items():
        each, border = replicate_values[name], border_share(phases, CLASS_LABELS[name])
        low_high = {}
        for percent in (95, 68):
            interval = interval_of_share(
                value, each, border=border, n_classified=total, confidence=percent / 100
            )
            skin = [readings[key][name] for key in ("carbonate_skin",) if key in readings]
            sources = [[*shifted[percent / 100][name], *skin]]
            sources += [[readings[key][name] for key in group if key in readings] for group in SOURCES]
            for source in sources:
                interval = widened(interval, value, source)
            low_high[f"ci{percent}"] = interval
        entries[name] = {"value": value, **low_high, "replicate_bias": replicate_bias(value, each)}
    return entries
