"""What lies beside the exported images of a sample: the null run, and voids that were registered."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oxytomo.errors import PipelineError
from oxytomo.results.errors import UNFIT
from oxytomo.results.files import Files
from oxytomo.results.images import LazyArray, Levels, OpenedImage


class Drawn:
    """A volume as a viewer draws it: whole volumes get ``nothing`` for NaN, slices stay NaN.

    A graphics card may draw NaN in a volume as any value.

    Parameters
    ----------
    raw : the volume, or a part of it; read when NumPy needs its values
    nothing : value that is drawn where there is none
    """

    def __init__(self, raw: Any, nothing: float = 0.0) -> None:
        self.raw, self.nothing = raw, nothing
        self.shape, self.dtype, self.ndim, self.size = tuple(raw.shape), raw.dtype, raw.ndim, raw.size

    def __getitem__(self, key: Any) -> Any:
        part = self.raw[key]
        return Drawn(part, self.nothing) if getattr(part, "ndim", 0) else part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        values = np.asarray(self.raw)
        if values.ndim == 3 and min(values.shape) > 1:  # a slice may come as a volume one voxel thick
            values = np.nan_to_num(values, nan=self.nothing)
        return np.array(values, dtype=dtype, copy=copy)


class Scaled:
    """A volume times a factor that can change; values are multiplied when NumPy needs them.

    Parameters
    ----------
    stored : the volume, or a part of it
    scale : the factor, shared by all parts and levels of a layer
    """

    def __init__(self, stored: Any, scale: "Scale") -> None:
        self.stored, self.scale = stored, scale
        self.shape, self.dtype, self.ndim = tuple(stored.shape), stored.dtype, stored.ndim
        self.size = stored.size

    def __getitem__(self, key: Any) -> Any:
        part = self.stored[key]
        return Scaled(part, self.scale) if getattr(part, "ndim", 0) else part * self.scale.factor

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        values = np.asarray(self.stored) * np.float32(self.scale.factor)
        return np.array(values, dtype=dtype, copy=copy)


@dataclass
class Scale:
    """The factor of a layer."""

    factor: float = 1.0


def raw_arrays(layer: Any) -> list[Any]:
    """Return the arrays of an image layer, finest first, with NaN where there is no value."""
    arrays = list(layer.data) if layer.multiscale else [layer.data]
    return [getattr(array, "raw", array) for array in arrays]


@dataclass(frozen=True)
class Registered:
    """Voids of the structure on the grid of the composition, where the registration puts them.

    Attributes
    ----------
    voids : (n_z, n_y, n_x), 0 solid, 1 pore, 2 crack
    instances : (n_z, n_y, n_x), number of the void, pores first
    matrix : (3, 4), from places in the structure to places in the composition, z y x in nm
    """

    voids: Levels
    instances: Levels
    matrix: np.ndarray

    def placed(self, place_nm: Sequence[float]) -> tuple[float, float, float]:
        """Return where a place of the structure (z, y, x, in nm) lies in the composition."""
        z, y, x = self.matrix[:, :3] @ np.asarray(place_nm, float) + self.matrix[:, 3]
        return float(z), float(y), float(x)


def null_run(files: Files, images: Sequence[OpenedImage]) -> Levels | None:
    """Return the deviation that noise makes in a uniform particle, on the grid of the composition.

    None if there is none that fits: the other layers do not depend on it.
    """
    return _on_composition(files, "composition_uncertainty", "null", images, channel=0)


def registered_voids(files: Files, images: Sequence[OpenedImage]) -> Registered | None:
    """Return the registered voids; None unless both branches show the same particle."""
    try:
        store = files.store("branches_register")
        if store is None or store.attributes.get("verdict") != "same_particle":
            return None
        matrix = np.asarray(store.attributes["structure_to_composition"], float)
    except (PipelineError, *UNFIT):
        return None
    voids, instances = (
        _on_composition(files, "branches_register", name, images, channel=None)
        for name in ("voids", "instances")
    )
    if voids is None or instances is None or matrix.shape != (3, 4) or not np.isfinite(matrix).all():
        return None
    return Registered(voids, instances, matrix)


def _on_composition(
    files: Files, key: str, name: str, images: Sequence[OpenedImage], *, channel: int | None
) -> Levels | None:
    """Return an array of a stage store as the levels of the composition; None if it does not fit."""
    grid = next((image.grid for image in images if image.kind == "composition"), None)
    try:
        store = files.store(key)
        if store is None or grid is None:
            return None
        array: Any = store.array(name)
        if channel is not None and array.shape[0] <= channel:
            return None
        lazy = LazyArray.whole(array, channel)
    except (PipelineError, *UNFIT):
        return None
    if lazy.shape != tuple(grid.arrays[0].shape):
        return None
    return Levels([lazy], grid.scale_nm, grid.translate_nm)
