"""A small copy of the volumes in the report: three linked cuts to move through, without a network."""

import base64
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image

from oxytomo.arrays import OUTSIDE, FloatArray
from oxytomo.results.records import Composition
from oxytomo.slabs import Field, read, slabs
from oxytomo.view.style import CLASS_COLORS, CLASS_NAMES, DIVERGING, EMPTY, SEQUENTIAL

MOST_BYTES = 2_000_000
"""Largest size of the copy in the page."""
EDGES = (96, 80, 64, 48, 32, 24)
"""Largest edge in voxels; the first whose copy is small enough is taken."""
ROWS_AT_ONCE = 64
UNKNOWN = 0
"""Value of a voxel without a number, or outside the particle."""


@dataclass(frozen=True)
class Explorer:
    """What the page needs to show cuts.

    Attributes
    ----------
    data : JSON text with the layers, safe inside a ``script`` element
    shape : (n_z, n_y, n_x) of the copy
    start : slices that are shown first, z, y, x
    names : layer key -> name
    note : what the copy is
    """

    data: str
    shape: tuple[int, int, int]
    start: tuple[int, int, int]
    names: Mapping[str, str]
    note: str


@dataclass(frozen=True)
class _Layer:
    """One volume as bytes, with what they mean."""

    name: str
    values: NDArray[np.uint8]
    low: float
    high: float
    colors: list[list[int]]
    labels: list[str]


def composition_explorer(result: Composition) -> Explorer | None:
    """Return the small copy of deviation, σ, classes and null run; None for an empty particle."""
    box = _box(result.particle)
    if box is None:
        return None
    for edge in EDGES:
        step = max(1, -(-max(s.stop - s.start for s in box) // edge))
        layers = _layers(result, box, step)
        text = _json(layers, box, step, result.voxel_nm)
        if len(text) <= MOST_BYTES:
            break
    shape = next(iter(layers.values())).values.shape
    coarse = f", averaged over {step} × {step} × {step} voxels" if step > 1 else ""
    note = f"A copy of the volumes{coarse}; voxels of {step * result.voxel_nm:.4g} nm."
    return Explorer(
        text,
        shape,
        _start(layers["deviation"].values),
        {key: layer.name for key, layer in layers.items()},
        note,
    )


def _start(deviation: NDArray[np.uint8]) -> tuple[int, int, int]:
    """Return the voxel to begin with: the middle of the plane with most departure, along each axis."""
    far = np.where(deviation == UNKNOWN, 0, np.abs(deviation.astype(np.float64) - 128))
    far[far < 64] = 0
    place = [int(far.sum(axis=tuple(a for a in range(3) if a != axis)).argmax()) for axis in range(3)]
    if not far.any():
        place = [side // 2 for side in deviation.shape]
    return place[0], place[1], place[2]


def _box(particle: Field) -> tuple[slice, slice, slice] | None:
    """Return the box of the particle with two voxels around it."""
    along = [np.zeros(side, bool) for side in particle.shape]
    for slab in slabs(particle.shape):
        inside = read(particle, slab.rows) > 0
        along[0][slab.rows] = inside.any(axis=(1, 2))
        along[1] |= inside.any(axis=(0, 2))
        along[2] |= inside.any(axis=(0, 1))
    if not along[0].any():
        return None
    found = [np.flatnonzero(one) for one in along]
    z, y, x = (
        slice(max(0, int(one[0]) - 2), min(side, int(one[-1]) + 3))
        for one, side in zip(found, particle.shape, strict=True)
    )
    return z, y, x


def _layers(result: Composition, box: tuple[slice, ...], step: int) -> dict[str, _Layer]:
    """Return the layers that there are, the deviation first."""
    reach = 3 * result.threshold
    found = {}
    for key, name, volume, low, high, colors in (
        ("deviation", "deviation", result.deviation, -reach, reach, DIVERGING),
        ("sigma", "error σ", result.sigma, 0.0, reach / 3, SEQUENTIAL),
        ("null", "null run", result.null, -reach, reach, DIVERGING),
    ):
        if volume is not None:
            mean = _coarse(volume, result.particle, box, step, _mean)
            found[key] = _Layer(name, _as_bytes(mean, low, high), low, high, _table(colors), [])
    if result.phases is not None:
        values = _coarse(result.phases, result.particle, box, step, _middle).astype(np.uint8)
        colors_of = [EMPTY if k == OUTSIDE else CLASS_COLORS[k] for k in sorted(CLASS_COLORS)]
        table = [[round(255 * part) for part in to_rgb(color)] for color in colors_of]
        labels = ["outside", *(CLASS_NAMES[k] for k in sorted(CLASS_NAMES))]
        found["classes"] = _Layer("classes", values, 0, len(table) - 1, table, labels)
    return found


def _coarse(
    volume: Field,
    particle: Field,
    box: tuple[slice, ...],
    step: int,
    function: Callable[[FloatArray, NDArray[np.bool_]], FloatArray],
) -> FloatArray:
    """Return blocks of step³ voxels as one value each, NaN outside the particle."""
    n_z, found = box[0].stop - box[0].start, []
    at_once = step * max(1, ROWS_AT_ONCE // step)
    for start in range(0, n_z, at_once):
        rows = slice(box[0].start + start, min(box[0].start + start + at_once, box[0].stop))
        values = np.asarray(volume[rows, box[1], box[2]], np.float32)
        inside = np.asarray(particle[rows, box[1], box[2]]) > 0
        inside &= np.isfinite(values)
        padded = [(0, -side % step) for side in values.shape]
        values, inside = np.pad(values, padded), np.pad(inside, padded)
        n = [side // step for side in values.shape]
        blocks, order = (n[0], step, n[1], step, n[2], step), (0, 2, 4, 1, 3, 5)
        shape = (*n, step**3)
        found.append(
            function(
                values.reshape(blocks).transpose(order).reshape(shape),
                inside.reshape(blocks).transpose(order).reshape(shape),
            )
        )
    return np.concatenate(found)


def _mean(values: FloatArray, inside: NDArray[np.bool_]) -> FloatArray:
    """Return the mean of the known voxels of a block, NaN where less than half are known."""
    count = inside.sum(axis=-1)
    total = np.where(inside, values, 0).sum(axis=-1)
    enough = 2 * count >= values.shape[-1]
    mean: FloatArray = np.where(enough, total / np.maximum(count, 1), np.nan).astype(np.float32)
    return mean


def _middle(values: FloatArray, inside: NDArray[np.bool_]) -> FloatArray:
    """Return the label that most known voxels of a block have, 0 where less than half are known."""
    labels = sorted(CLASS_NAMES)
    counts = np.stack([((values == label) & inside).sum(axis=-1) for label in labels])
    most = np.array(labels, np.float32)[counts.argmax(axis=0)]
    enough = 2 * counts.sum(axis=0) >= values.shape[-1]
    found: FloatArray = np.where(enough, most, 0).astype(np.float32)
    return found


def _as_bytes(values: FloatArray, low: float, high: float) -> NDArray[np.uint8]:
    """Return values as 1 to 255 between two limits, and :data:`UNKNOWN` for NaN."""
    share = np.clip((np.nan_to_num(values) - low) / (high - low), 0, 1)
    found: NDArray[np.uint8] = np.where(np.isfinite(values), 1 + np.round(254 * share), UNKNOWN).astype(
        np.uint8
    )
    return found


def _table(colors: str) -> list[list[int]]:
    """Return the colours of the bytes 0 to 255."""
    shades = matplotlib.colormaps[colors](np.linspace(0, 1, 255))[:, :3]
    empty = [round(255 * part) for part in to_rgb(EMPTY)]
    return [empty, *np.round(255 * shades).astype(int).tolist()]


def _json(layers: Mapping[str, _Layer], box: tuple[slice, ...], step: int, voxel_nm: float) -> str:
    """Return the layers as JSON; each volume is one grey PNG with its slices below each other."""
    content: dict[str, Any] = {
        "voxel_um": step * voxel_nm / 1000,
        "origin_um": [(s.start + (step - 1) / 2) * voxel_nm / 1000 for s in box],
        "layers": {},
    }
    for key, layer in layers.items():
        content["shape"] = list(layer.values.shape)
        content["layers"][key] = {
            "name": layer.name,
            "low": layer.low,
            "high": layer.high,
            "colors": layer.colors,
            "labels": layer.labels,
            "png": _png(layer.values),
        }
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")


def _png(values: NDArray[np.uint8]) -> str:
    """Return a volume as a PNG in base64: its slices side by side in rows of a square sheet."""
    n_z, n_y, n_x = values.shape
    columns = max(1, round(np.sqrt(n_z * n_y / n_x)))
    rows = -(-n_z // columns)
    sheet = np.zeros((rows * columns, n_y, n_x), np.uint8)
    sheet[:n_z] = values
    image = sheet.reshape(rows, columns, n_y, n_x).swapaxes(1, 2).reshape(rows * n_y, columns * n_x)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
