"""White lines of particles in a map, where no references are given: shells and numbers."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from oxytomo.arrays import BoolArray, FloatArray, LabelArray
from oxytomo.measure.particles import binned_means
from oxytomo.measure.valence_particles import ParticleMap, ParticleOptions, find_particles

LINES: Final = {"white_line": ("position_ev", "error_ev"), "edge": ("edge_ev", "edge_error_ev")}
"""What is measured, with the names of its map and of the error of that."""


@dataclass(frozen=True)
class LineMaps:
    """White lines of the pixels of one element.

    Attributes
    ----------
    maps : ``position_ev``, ``error_ev``, ``edge_ev``, ``edge_error_ev``, ``height``, ``status``,
        each (n_y, n_x)
    solid : (n_y, n_x) pixels with enough of the element, those that are too thick included
    pixel_nm : pixel size, NaN if unknown
    shared_noise : factor from the error of a mean over independent pixels to that over real ones
    """

    maps: dict[str, FloatArray]
    solid: BoolArray
    pixel_nm: float
    shared_noise: float

    @property
    def step_nm(self) -> float:
        """Pixel size, nm; 1 where unknown."""
        return self.pixel_nm if np.isfinite(self.pixel_nm) else 1.0


@dataclass(frozen=True)
class MeasuredLines:
    """Particles in maps of white lines, rows of their shells, and the numbers as plain values."""

    particles: ParticleMap
    shells: list[dict[str, Any]]
    summary: dict[str, Any]

    def described(self) -> str:
        """Return the number of agglomerates and their mean white line in words."""
        line, n = self.summary["white_line"], int(self.particles.clumps.max())
        said = "no white line" if line is None else f"mean white line {line['mean_ev']:.3f} eV"
        return f"{n} agglomerates, {said}"


def measure_lines(of: LineMaps, options: ParticleOptions, *, element: str) -> MeasuredLines:
    """Find particles, and measure the white line and the edge in them.

    Parameters
    ----------
    of : the maps
    options : criteria for particles and shells
    element : of the rows, and subject of error messages
    """
    particles = find_particles(of.solid, options, element=element, step_nm=of.step_nm)
    rows = line_shells(of, particles.shells, element=element, n_shells=options.shells)
    return MeasuredLines(particles, rows, line_summary(of, particles.clumps > 0))


def line_shells(of: LineMaps, shells: LabelArray, *, element: str, n_shells: int) -> list[dict[str, Any]]:
    """Return a row per shell of equal area, from rim to centre; limits in percent.

    Parameters
    ----------
    of : the maps
    shells : (n_y, n_x) 1 at the rim to n at the centre, 0 outside
    """
    by = np.where(shells > 0, shells, np.nan).astype(np.float32)
    edges = np.arange(0.5, n_shells + 1.5)
    found = {
        name: binned_means(of.maps[key], of.maps[error], by, edges) for name, (key, error) in LINES.items()
    }
    return [
        {
            "element": element,
            "shell_outer": 100.0 * i / n_shells,
            "shell_inner": 100.0 * (i + 1) / n_shells,
            "n_pixels": int(found["white_line"][2][i]),
            **{
                key: value
                for name, (mean, error, _) in found.items()
                for key, value in (
                    (f"{name}_ev", mean[i]),
                    (f"{name}_error_ev", error[i] * of.shared_noise),
                )
            },
        }
        for i in range(n_shells)
    ]


def line_summary(of: LineMaps, inside: BoolArray) -> dict[str, Any]:
    """Return the means of each line over the pixels of particles as plain values, or None."""
    summary: dict[str, Any] = {"n_pixels": int(inside.sum())}
    for name, (key, error_key) in LINES.items():
        values, errors = of.maps[key], of.maps[error_key]
        known = inside & np.isfinite(values) & np.isfinite(errors)
        n = int(known.sum())
        summary[name] = (
            {
                "mean_ev": float(np.mean(values[known], dtype=np.float64)),
                "standard_error_ev": float(
                    np.sqrt(np.sum(errors[known].astype(np.float64) ** 2)) / n * of.shared_noise
                ),
                "standard_deviation_ev": float(np.std(values[known], dtype=np.float64)),
                "median_error_ev": float(np.median(errors[known])),
                "pixels": n,
            }
            if n
            else None
        )
    return summary
