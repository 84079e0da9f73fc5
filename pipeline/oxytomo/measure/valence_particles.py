"""Particles and agglomerates in a valence map: shells, tables, and profiles from rim to centre."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from oxytomo.arrays import (
    AreaProfile,
    BoolArray,
    Float64Array,
    FloatArray,
    IntArray,
    LabelArray,
    ValenceMap,
)
from oxytomo.errors import InputError
from oxytomo.measure.particles import agglomerates, binned_means, particle_shells, split_particles

MIN_MODEL_PIXELS = 500
"""A profile model needs a particle of at least this many pixels."""

Rows = list[dict[str, Any]]
"""Rows of a table."""


@dataclass(frozen=True)
class ParticleOptions:
    """Criteria for particles and shells; see the settings of the same names."""

    min_particle_pixels: int
    split_touching: bool
    shells: int
    profile_bins: int


@dataclass(frozen=True)
class ParticleMap:
    """Positions of particles and the depth of each pixel in them.

    Attributes
    ----------
    clumps, parts : (n_y, n_x) int64, agglomerates and particles by decreasing size from 1
    shells : (n_y, n_x) uint8, 1 at the rim to n at the centre, 0 outside
    depth_nm : (n_y, n_x) float32, distance to the outer edge, NaN outside
    inside_share : (n_y, n_x) float32, share of the agglomerate's area that is deeper, NaN outside
    """

    clumps: IntArray
    parts: IntArray
    shells: LabelArray
    depth_nm: FloatArray
    inside_share: FloatArray

    def known(self, found: ValenceMap) -> BoolArray:
        """Return the pixels of particles that have a valence."""
        return (self.clumps > 0) & found.known

    def described(self, found: ValenceMap) -> str:
        """Return the numbers of particles and agglomerates and their mean valence in words."""
        n_parts, n_clumps = (int(labels.max(initial=0)) for labels in (self.parts, self.clumps))
        known, outside = self.known(found), int((found.known & (self.clumps == 0)).sum())
        n, mean = int(known.sum()), float(found.valence[known].mean()) if known.any() else 0.0
        return (
            f"{n_parts} particles in {n_clumps} agglomerates"
            + (f"; mean valence {mean:.3f} of their {n} pixels" if n else "")
            + (f", without {outside} pixels in parts that are too small to be particles" if outside else "")
        )


@dataclass(frozen=True)
class ParticleTables:
    """Rows of all tables, and the profile of the largest agglomerate."""

    shells: Rows
    particles: Rows
    profiles: Rows
    largest: AreaProfile | None


def find_particles(
    solid: BoolArray, options: ParticleOptions, *, element: str, step_nm: float
) -> ParticleMap:
    """Find agglomerates and particles, and cut the agglomerates into shells of equal area.

    Parameters
    ----------
    solid : (n_y, n_x) pixels with enough of the element, including those too thick for a fit
    options : criteria for particles and shells
    element : subject of error messages
    step_nm : edge of a pixel, nm

    Raises
    ------
    InputError
        When no object is large enough for a particle.
    """
    least = options.min_particle_pixels
    clumps = agglomerates(solid, min_pixels=least)
    if not clumps.any():
        raise InputError(
            f"particles of {element}",
            expected=f"connected pixels with a valence, at least {least}",
            got=f"{int(solid.sum())} pixels in smaller parts",
            fix="lower 'measure: {min_particle_pixels: ...}', or the limits thin_sigma and thin_share of the fit",
        )
    parts = split_particles(clumps, min_pixels=least) if options.split_touching else clumps
    return ParticleMap(clumps, parts, *particle_shells(clumps, n_shells=options.shells, pixel_nm=step_nm))


def particle_tables(found: ValenceMap, particles: ParticleMap, options: ParticleOptions) -> ParticleTables:
    """Measure shells, particles and profiles of a valence map."""
    return ParticleTables(
        shell_rows(found, particles, n_shells=options.shells),
        particle_rows(found, particles),
        profile_rows(found, particles, bins=options.profile_bins),
        largest_profile(found, particles, bins=options.profile_bins),
    )


def shell_rows(found: ValenceMap, particles: ParticleMap, *, n_shells: int) -> Rows:
    """Return a row per shell of equal area, from rim to centre; limits in percent."""
    by = np.where(particles.shells > 0, particles.shells, np.nan)
    mean, error, count = binned_means(found.valence, found.error, by, np.arange(0.5, n_shells + 1.5))
    rows = []
    for i in range(n_shells):
        inside = found.valence[(particles.shells == i + 1) & found.known]
        rows.append(
            {
                "element": found.element,
                "shell_inner": 100.0 * (i + 1) / n_shells,
                "shell_outer": 100.0 * i / n_shells,
                "mean_valence": mean[i],
                "standard_error": error[i] * found.shared_noise,
                "n_pixels": int(count[i]),
                "standard_deviation": float(inside.std(ddof=1)) if inside.size > 1 else float("nan"),
            }
        )
    return rows


def particle_rows(found: ValenceMap, particles: ParticleMap) -> Rows:
    """Return a row per agglomerate and per particle."""
    return [
        _particle_row(found, particles, kind, labels == label, label)
        for kind, labels in (("agglomerate", particles.clumps), ("particle", particles.parts))
        for label in range(1, int(labels.max(initial=0)) + 1)
    ]


def _particle_row(
    found: ValenceMap, particles: ParticleMap, kind: str, inside: BoolArray, label: int
) -> dict[str, Any]:
    """Return size, position and valence of the pixels of one particle."""
    known = inside & found.known
    values, weights = found.valence[known], found.edge_jump[known]
    y, x = np.nonzero(inside)
    n = int(known.sum())
    return {
        "element": found.element,
        "kind": kind,
        "label": label,
        "agglomerate": int(np.bincount(particles.clumps[inside]).argmax()),
        "n_pixels": n,
        "equivalent_diameter_nm": 2 * np.sqrt(inside.sum() / np.pi) * found.pixel_nm,
        "centroid_y_nm": y.mean() * found.pixel_nm,
        "centroid_x_nm": x.mean() * found.pixel_nm,
        "mean_valence": float(values.mean()) if n else float("nan"),
        "standard_error": found.mean_error(known),
        "standard_deviation": float(values.std(ddof=1)) if n > 1 else float("nan"),
        "weighted_valence": float(np.average(values, weights=weights)) if n else float("nan"),
        "mean_edge_jump": float(weights.mean()) if n else float("nan"),
    }


def profile_rows(found: ValenceMap, particles: ParticleMap, *, bins: int) -> Rows:
    """Return the valence by distance from the edge, the edge jump, and the area outside.

    The first two are left out where fewer pixels than bins are known.
    """
    rows: Rows = []
    inside = particles.clumps > 0
    for axis, by in (
        ("depth_nm", particles.depth_nm),
        ("edge_jump", np.where(inside, found.edge_jump, np.nan)),
    ):
        known = by[np.isfinite(by) & found.known]
        if known.size >= bins:
            edges = np.linspace(float(known.min()), float(known.max()), bins + 1)
            rows += _profile(found, axis, by, edges)
    return rows + _profile(found, "area_outside", 1 - particles.inside_share, np.linspace(0, 1, bins + 1))


def _profile(found: ValenceMap, axis: str, by: FloatArray, edges: Float64Array) -> Rows:
    mean, error, count = binned_means(found.valence, found.error, by, edges)
    return [
        {
            "element": found.element,
            "axis": axis,
            "low": edges[i],
            "high": edges[i + 1],
            "mean_valence": mean[i],
            "standard_error": error[i] * found.shared_noise,
            "n_pixels": int(count[i]),
        }
        for i in range(edges.size - 1)
    ]


def largest_profile(found: ValenceMap, particles: ParticleMap, *, bins: int) -> AreaProfile | None:
    """Return the profile of the largest agglomerate, None if it has too few pixels."""
    largest = particles.clumps == 1
    if int((largest & found.known).sum()) < MIN_MODEL_PIXELS:
        return None
    outside = np.where(largest, 1 - particles.inside_share, np.nan)
    edges = np.linspace(0, 1, bins + 1)
    mean, error, _ = binned_means(found.valence, found.error, outside, edges)
    return AreaProfile(mean, error * found.shared_noise, 1 - edges, int(largest.sum()))
