"""Stage ``measure``: classes and deviation → fractions with intervals, domains, shells."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage

from oxytomo.arrays import FloatArray
from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.config import MeasureStage as Settings
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import Store, read_store
from oxytomo.io.tables import write_csv, write_json
from oxytomo.measure.definitions import DEFINITIONS
from oxytomo.measure.domains import Domains, domain_table, find_domains, interconnection
from oxytomo.measure.fractions import (
    border_share,
    class_fractions,
    interval_of_share,
    n_classified,
    replicate_bias,
    replicate_fractions,
    scatter_interval,
)
from oxytomo.measure.resolution import ShellCorrelation, tilt_series_resolution
from oxytomo.measure.shells import depth_below_surface, shell_labels, shell_table
from oxytomo.measure.systematic import NORMAL, shifted_fractions, widened
from oxytomo.reconstruct.fbp import filtered_backprojection
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.reconstruct.total_variation import bounding_box
from oxytomo.segment.classes import CLASS_LABELS, CONFIDENT_LABELS
from oxytomo.slabs import Allocate, Box, Field, Mapped, count_set, plane, window
from oxytomo.stages.composition.classify import averaged
from oxytomo.stages.composition.reconstruct import column_densities
from oxytomo.stages.context import StageContext

CORRELATED_VOXELS = 64_000_000
"""Half volumes of so many voxels at most are correlated."""
CORRELATED_MARGIN = 10
"""Voxels around the particle's box within which its soft mask falls to 0."""


class Repeats(Sequence[Field]):
    """Deviations of noise replicates in the particle's box, each averaged when it is asked for."""

    def __init__(self, stack: Field, box: Box, averaged_in_particle: Callable[[Field], Field]) -> None:
        self._stack, self._box, self._averaged = stack, box, averaged_in_particle

    def __len__(self) -> int:
        return int(self._stack.shape[0])

    def __getitem__(self, number: Any) -> Any:
        return self._averaged(window(plane(self._stack, range(len(self))[number]), self._box))


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Measure, write the tables."""
    with scratch_fields(outputs["phases"]) as allocate:
        _measure(inputs, outputs, settings, context, allocate)


def _measure(
    inputs: dict[str, Path],
    outputs: dict[str, Path],
    settings: Settings,
    context: StageContext,
    allocate: Allocate,
) -> None:
    """Measure slab by slab, write the tables."""
    reconstructed, classified = read_store(inputs["reconstruct"]), read_store(inputs["classify"])
    box = _box_around(reconstructed.field("particle"))
    particle = Mapped(window(reconstructed.field("particle"), box), np.asarray, np.bool_)
    phases, confident = (window(classified.field(name), box) for name in ("phases", "phases_confident"))
    voxel_nm = float(reconstructed.attributes["pixel_nm"])
    threshold = float(classified.attributes["threshold"])
    counted_px = float(classified.attributes["voxel_nm"]) / voxel_nm

    def counted(deviation: Field) -> Field:
        return deviation if counted_px <= 1 else averaged(deviation, particle, counted_px, allocate)

    deviation = counted(window(reconstructed.field("deviation"), box))
    replicates: Sequence[Field] = ()
    null: Sequence[Field] = ()
    if "uncertainty" in inputs:
        uncertainty = read_store(inputs["uncertainty"])
        replicates, null = (Repeats(uncertainty.field(name), box, counted) for name in ("replicates", "null"))

    invalid_rays, resolution, model = None, None, None
    if "decompose" in inputs:
        decomposed = read_store(inputs["decompose"])
        model = decomposed.attributes.get("model") or None
        invalid_rays = _invalid_rays(decomposed)
        resolution = _resolution(decomposed, particle, box)

    fractions = class_fractions(phases, labels=CLASS_LABELS)
    of_replicates = replicate_fractions(replicates, particle, threshold=threshold)
    of_null = replicate_fractions(null, particle, threshold=threshold)
    null_mean = {name: float(np.mean(of_null[name])) if len(null) else float("nan") for name in CLASS_LABELS}
    sure = class_fractions(confident, labels=CONFIDENT_LABELS)
    error, noise = (
        (0.0, None) if not len(replicates) else (uncertainty.attributes[n] for n in ("systematic", "noise"))
    )
    shifted = {
        confidence: shifted_fractions(deviation, particle, threshold=threshold, shift=width * error)
        for confidence, width in NORMAL.items()
    }

    depth = depth_below_surface(particle, voxel_nm=voxel_nm, allocate=allocate)
    shells = shell_table(
        deviation,
        phases,
        shell_labels(depth, n_shells=settings.shells, allocate=allocate),
        replicates,
        n_shells=settings.shells,
        depth_nm=depth,
    )
    found = find_domains(phases, depth)
    domains = domain_table(found, voxel_nm=voxel_nm, min_voxels=settings.min_domain_voxels)
    for axis, extent in zip("zyx", box, strict=True):
        domains[f"centroid_{axis}_nm"] = np.asarray(domains[f"centroid_{axis}_nm"]) + extent.start * voxel_nm

    write_csv(outputs["domains"], {name: list(column) for name, column in domains.items()})
    write_csv(outputs["shells"], {name: list(column) for name, column in shells.items()})
    write_json(
        outputs["phases"],
        {
            "threshold": threshold,
            "voxel_nm": voxel_nm,
            "counted_voxel_nm": classified.attributes["voxel_nm"],
            "reference_tm_o": float(reconstructed.attributes["reference_tm_o"]),
            "particle_volume_nm3": count_set(particle) * voxel_nm**3,
            "fractions": _with_interval(fractions, of_replicates, phases, shifted),
            "null": {
                "runs": len(null),
                "fractions": {
                    name: {"value": value, "ci95": scatter_interval(of_null[name], confidence=0.95)}
                    for name, value in null_mean.items()
                },
            },
            "confident": {
                "confidence": float(classified.attributes["confidence"]),
                "fractions": {name: {"value": value} for name, value in sure.items()},
            },
            "domains": _connected(found, settings.min_domain_voxels),
            "resolution": resolution,
            "model": model,
            "error_budget": {"noise_and_reconstruction": noise, **((model or {}).get("systematic") or {})},
            "solver": _solver(reconstructed),
            "invalid_rays": invalid_rays,
            "voxels_without_deviation": classified.attributes["voxels_without_deviation"],
            "replicates": len(replicates),
            "definitions": DEFINITIONS,
        },
    )
    context.log(", ".join(f"{name} {100 * value:.2f} %" for name, value in fractions.items()))


def _box_around(particle: Field) -> Box:
    """Smallest box with the particle and two voxels of what is around it, where there are any; z, y, x."""
    rows, columns, planes = bounding_box(particle)
    return tuple(
        slice(max(0, s.start - 2), min(n, s.stop + 2))
        for s, n in zip((planes, rows, columns), particle.shape, strict=True)
    )


def _with_interval(
    values: Mapping[str, float],
    replicate_values: Mapping[str, Sequence[float]],
    phases: Field,
    shifted: Mapping[float, Mapping[str, Sequence[float]]],
) -> dict[str, dict[str, Any]]:
    entries, total = {}, n_classified(phases)
    for name, value in values.items():
        each, border = replicate_values[name], border_share(phases, CLASS_LABELS[name])
        low_high = {
            f"ci{percent}": widened(
                interval_of_share(value, each, border=border, n_classified=total, confidence=percent / 100),
                value,
                shifted[percent / 100][name],
            )
            for percent in (95, 68)
        }
        entries[name] = {"value": value, **low_high, "replicate_bias": replicate_bias(value, each)}
    return entries


def _solver(reconstructed: Store) -> dict[str, Any] | None:
    """Say how the deviation was reached; None for methods that do not iterate."""
    record = reconstructed.attributes.get("solver") or {}
    names = {"iterations", "residual", "misfit"}
    return (
        {name: record[f"difference_{name}"] for name in sorted(names)}
        if "difference_residual" in record
        else None
    )


def _connected(found: Mapping[str, Domains], min_voxels: int) -> dict[str, Any]:
    return {name: interconnection(found, name, min_voxels=min_voxels) for name in found}


def _resolution(decomposed: Store, particle: Field, box: Box) -> dict[str, Any] | None:
    """Correlate the mean density of two half volumes, of the odd and of the even tilts; None for fewer than four.

    The half volumes are those of the particle's box, of large ones the slices around the middle: they are transformed whole.
    """
    data = column_densities(decomposed)
    if data.tilt_deg.size < 4:
        return None
    shape = (data.areal.shape[2], data.areal.shape[3], data.areal.shape[3])
    near = tuple(
        slice(max(0, s.start - CORRELATED_MARGIN), min(n, s.stop + CORRELATED_MARGIN))
        for s, n in zip(box, shape, strict=True)
    )
    rows = _middle(near[0], max(8, CORRELATED_VOXELS // max(1, _size(near[1]) * _size(near[2]))))
    mask = np.zeros((_size(rows), _size(near[1]), _size(near[2])), bool)
    inner = [slice(b.start - n.start, b.stop - n.start) for b, n in zip(box[1:], near[1:], strict=True)]
    low, high = max(rows.start, box[0].start), min(rows.stop, box[0].stop)
    mask[(slice(low - rows.start, high - rows.start), *inner)] = particle[
        low - box[0].start : high - box[0].start
    ]
    soft = scipy.ndimage.gaussian_filter(
        scipy.ndimage.binary_dilation(mask, iterations=4).astype(np.float32), 2.0
    )
    mean_density = _mean_density(data, rows)
    halves = []
    for start in (0, 1):
        geometry = TiltGeometry.square(data.tilt_deg[start::2], shape[2]).cropped(near[1], near[2])
        half = filtered_backprojection(np.ascontiguousarray(mean_density[start::2]), geometry)
        half *= soft
        halves.append(half)
    found = tilt_series_resolution(
        halves[0],
        halves[1],
        data.tilt_deg,
        voxel_nm=float(decomposed.attributes["pixel_nm"]),
        object_share=float(np.prod([_size(extent) for extent in bounding_box(mask)])) / mask.size,
    )
    return {name: _curve(correlation) for name, correlation in found.items()}


def _mean_density(data: ColumnDensities, rows: slice) -> FloatArray:
    """Return the line integrals of the mean density of TM and O in some rows, (n_tilt, n_z, n_s)."""
    found = np.empty((data.tilt_deg.size, _size(rows), data.areal.shape[3]), np.float32)
    for tilts in data.parts:
        areal, covariance = (np.asarray(each[:, tilts, rows]) for each in (data.areal, data.covariance))
        part = replace(data, areal=areal, covariance=covariance, tilt_deg=data.tilt_deg[tilts])
        found[tilts] = np.asarray(part.sinogram(0.5 * (data.oxygen + data.metal))[0])
    return found


def _middle(span: slice, most: int) -> slice:
    """Return the middle of a range, so many at most."""
    cut = max(0, _size(span) - most)
    return slice(span.start + cut // 2, span.stop - (cut - cut // 2))


def _size(span: slice) -> int:
    return int(span.stop - span.start)


def _curve(correlation: ShellCorrelation) -> dict[str, Any]:
    return {
        "resolution_nm": correlation.resolution_nm,
        "frequency_per_nm": correlation.frequency_per_nm.tolist(),
        "correlation": correlation.correlation.tolist(),
        "half_bit": correlation.half_bit.tolist(),
    }


def _invalid_rays(decomposed: Store) -> dict[str, Any]:
    attributes = decomposed.attributes
    return {
        "unsolved": attributes["unsolved_rays"],
        "n_rays": attributes["n_rays"],
        "by_series": attributes["invalid"],
    }
