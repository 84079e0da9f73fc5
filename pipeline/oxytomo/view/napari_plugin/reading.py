"""What is at a place of a composition, in words: deviation ± σ, class, depth."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from oxytomo.arrays import OXYGEN_POOR, OXYGEN_RICH, Float64Array, FloatArray
from oxytomo.measure.shells import depth_below_surface
from oxytomo.palette import CONFIDENT_NAMES, PHASE_NAMES
from oxytomo.results.images import Levels, OpenedImage
from oxytomo.view.napari_plugin.surfaces import chosen_level

MOST_SIDE = 256
"""Depths are taken from the finest level with at most so many voxels along a side."""


@dataclass(frozen=True)
class PlaceReader:
    """Reads a composition voxel by voxel; depths are computed once, when first asked for."""

    image: OpenedImage

    def at(self, place_nm: Sequence[float]) -> str:
        """Return lines about the voxel at a place (z, y, x, in nm), nothing outside the particle."""
        phases = self.image.labels["phases"]
        index = _voxel(phases, place_nm)
        if index is None or not (label := int(phases.arrays[0][index])):
            return ""
        value, sigma = (self._value(name, index) for name in ("tm_o_deviation", "tm_o_deviation_sigma"))
        words = f"{100 * value:+.1f} %".replace("-", "−") if np.isfinite(value) else "no value"
        words += f" ± {100 * sigma:.1f} % (σ)" if np.isfinite(value) and np.isfinite(sigma) else ""
        lines = [
            f"TM/O deviation {words}",
            f"{PHASE_NAMES[label]}{self._certain(index)}",
            f"depth {self._depth(place_nm):.0f} nm",
        ]
        return "\n".join(lines)

    def first(self, place_nm: Sequence[float], direction: Sequence[float]) -> Float64Array | None:
        """Return the first place on a line of sight that is oxygen-poor or oxygen-rich.

        Parameters
        ----------
        place_nm : any point of the line, z y x
        direction : into which one looks
        """
        labels, scale, origin = self._coarse
        unit = np.asarray(direction, float) / np.linalg.norm(direction)
        centre = origin + scale * (np.asarray(labels.shape) - 1) / 2
        reach = float(np.linalg.norm(scale * labels.shape)) / 2
        middle = float((centre - np.asarray(place_nm, float)) @ unit)
        along = np.arange(middle - reach, middle + reach, float(scale.min()) / 2)
        points = np.asarray(place_nm, float) + along[:, None] * unit
        index = np.rint((points - origin) / scale).astype(np.int64)
        inside = np.all((index >= 0) & (index < labels.shape), axis=1)
        seen = np.zeros(len(points), np.uint8)
        seen[inside] = labels[tuple(index[inside].T)]
        hits = np.flatnonzero((seen == OXYGEN_POOR) | (seen == OXYGEN_RICH))
        return points[hits[0]] if hits.size else None

    @cached_property
    def _coarse(self) -> tuple[np.ndarray, Float64Array, Float64Array]:
        return chosen_level(self.image.labels["phases"], most_side=MOST_SIDE)

    @cached_property
    def _depths(self) -> FloatArray:
        labels, scale, _ = self._coarse
        found: FloatArray = np.asarray(depth_below_surface(labels > 0, voxel_nm=float(scale[0]))[...])
        return found

    def _depth(self, place_nm: Sequence[float]) -> float:
        labels, scale, origin = self._coarse
        index = np.rint((np.asarray(place_nm, float) - origin) / scale).astype(int)
        return float(self._depths[tuple(np.clip(index, 0, np.asarray(labels.shape) - 1))])

    def _value(self, name: str, index: tuple[int, ...]) -> float:
        array: Any = next((c.levels.arrays[0] for c in self.image.channels if c.name == name), None)
        return float("nan") if array is None else float(array[index])

    def _certain(self, index: tuple[int, ...]) -> str:
        levels = self.image.labels.get("phases_confident")
        label = 0 if levels is None else int(levels.arrays[0][index])
        if not label:
            return ""
        name = CONFIDENT_NAMES[label]
        return " (noise is too large to decide)" if name == "undecided" else " (certain)"


def _voxel(levels: Levels, place_nm: Sequence[float]) -> tuple[int, ...] | None:
    """Return the voxel at a place; None outside the volume."""
    index = np.rint((np.asarray(place_nm, float) - levels.translate_nm) / np.asarray(levels.scale_nm))
    if not np.isfinite(index).all() or (index < 0).any() or (index >= levels.arrays[0].shape).any():
        return None
    return tuple(int(one) for one in index)
