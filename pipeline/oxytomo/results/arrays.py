"""Arrays of results as lazy xarray DataArrays whose coordinates are in nanometres."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from oxytomo.io.stores import Store, require_memory
from oxytomo.palette import CONFIDENT_NAMES, PARTICLE_NAMES, PHASE_NAMES, VOID_NAMES
from oxytomo.results.images import Levels

if TYPE_CHECKING:
    import xarray as xr

SPACE = ("z", "y", "x")
Names = Mapping[int, str]


@dataclass(frozen=True)
class ArrayType:
    """An array of a branch.

    Attributes
    ----------
    store, array : its stage store and the array in it
    definition : exact definition of its values
    classes : names of the labels; empty for other images and for images of object numbers
    """

    store: str
    array: str
    definition: str
    classes: Names = field(default_factory=dict)


_VOIDS = "1 pore, 2 crack; 0 the rest"
ARRAY_TYPES: Mapping[str, ArrayType] = {
    "composition/density": ArrayType(
        "composition_reconstruct", "elements", "density of the element / that in the reference composition"
    ),
    "composition/deviation": ArrayType(
        "composition_reconstruct", "deviation", "(TM/O) / reference − 1; NaN outside the particle"
    ),
    "composition/particle": ArrayType(
        "composition_reconstruct", "particle", "the solid particle", PARTICLE_NAMES
    ),
    "composition/deviation_sigma": ArrayType(
        "composition_uncertainty",
        "deviation_sigma",
        "standard deviation of the deviation of a voxel, from reconstructions with resampled noise",
    ),
    "composition/replicates": ArrayType(
        "composition_uncertainty", "replicates", "deviation of reconstructions with resampled noise"
    ),
    "composition/null": ArrayType(
        "composition_uncertainty",
        "null",
        "deviation that noise and reconstruction make of a uniform particle of the same shape",
    ),
    "composition/phases": ArrayType(
        "composition_classify", "phases", "class of each voxel by its side of the threshold", PHASE_NAMES
    ),
    "composition/phases_confident": ArrayType(
        "composition_classify", "phases_confident", "classes that noise leaves certain", CONFIDENT_NAMES
    ),
    "composition/optical_density": ArrayType(
        "composition_align", "value", "aligned projections; NaN where not valid"
    ),
    "areal_density/areal_density": ArrayType(
        "areal_density_decompose",
        "areal",
        "path length through the reference composition that holds as much of the element",
    ),
    "areal_density/optical_density": ArrayType(
        "areal_density_align", "value", "aligned images; NaN where not valid"
    ),
    "tomogram/volume": ArrayType("tomogram_reconstruct", "volume", "reconstructed volume"),
    "tomogram/projections": ArrayType("tomogram_align", "value", "aligned projections; NaN where not valid"),
    "structure/volume": ArrayType("structure_volume", "volume", "grey values"),
    "structure/particle": ArrayType(
        "structure_voids", "particle", "number of the particle, with its voids; 0 outside"
    ),
    "structure/voids": ArrayType("structure_voids", "voids", _VOIDS, VOID_NAMES),
    "structure/void_instances": ArrayType(
        "structure_voids", "instances", "number of the void, pores first; 0 the rest"
    ),
    "structure/void_fraction": ArrayType("structure_voids", "void", "share of the voxel that is void"),
    "branches/voids": ArrayType(
        "branches_register",
        "voids",
        f"voids of the structure on the grid of the composition: {_VOIDS}",
        VOID_NAMES,
    ),
    "branches/void_instances": ArrayType(
        "branches_register", "instances", "number of the void, pores first; 0 the rest"
    ),
    "branches/void_fraction": ArrayType("branches_register", "void", "share of the voxel that is void"),
}
"""Arrays by ``<branch>/<name>``; arrays of missing stores are left out."""

_LINES = {"white_line": "energy of the white line", "edge": "energy of the edge at half of its step"}
STATE_NAMES = {0: "outside", 1: "reference", 2: "high", 3: "low"}
STATE_ARRAYS: Mapping[str, tuple[str, str, str, Names]] = {
    "density": ("reconstruct_{}", "density", "relative density of the element", {}),
    "valence": ("reconstruct_{}", "valence", "valence; NaN outside the particle", {}),
    "components": ("reconstruct_{}", "components", "density of each reference component", {}),
    "particle": ("reconstruct_{}", "particle", "the solid particle", PARTICLE_NAMES),
    "valence_sigma": (
        "uncertainty_{}",
        "deviation_sigma",
        "standard error of the valence of a voxel, from reconstructions with resampled noise",
        {},
    ),
    "classes": ("measure", "{}_classes", "class of each voxel by its valence", STATE_NAMES),
    "confident": (
        "measure",
        "{}_confident",
        "classes that noise leaves certain",
        {**STATE_NAMES, 4: "undecided"},
    ),
}
"""Arrays of the chemical-state branch of an element: name -> store, array, definition, labels."""
LINE_ARRAYS: Mapping[str, tuple[str, str, str, Names]] = {
    "density": STATE_ARRAYS["density"],
    "particle": STATE_ARRAYS["particle"],
    **{
        f"{name}_ev": ("reconstruct_{}", f"{name}_ev", f"{text}; NaN where there is none", {})
        for name, text in _LINES.items()
    },
    **{
        f"{name}_error_ev": ("uncertainty_{}", f"{name}_error_ev", f"standard error of the {text}", {})
        for name, text in _LINES.items()
    },
}
"""The same of an element without references."""

ELEMENT_ARRAYS: Mapping[str, tuple[str, str]] = {
    "valence": ("valence", "sum of fraction × valence of the references; NaN where there is none"),
    "valence_error": ("valence_error", "standard error of the valence from photon noise"),
    "fractions": ("fractions", "fraction of each reference in the spectrum of the pixel"),
    "edge_jump": ("amount", "optical density by which the spectrum rises through the edge"),
    "chi_square": ("chi_square", "of the fit, per degree of freedom"),
    "white_line": (
        "white_line_position_ev",
        "energy of the white line, from a polynomial around its maximum",
    ),
    "white_line_error": ("white_line_error_ev", "standard error of that energy from photon noise"),
    "edge_energy": ("white_line_edge_ev", "energy of the rising side at half of the edge step"),
    "status": ("status", "whether the pixel has a valence, and why not"),
}
"""Arrays of the store ``fit`` of an element: name -> array and definition."""
LINE_MAP_ARRAYS: Mapping[str, tuple[str, str]] = {
    **{name: ELEMENT_ARRAYS[name] for name in ("white_line", "white_line_error", "edge_energy")},
    "edge_energy_error": ("white_line_edge_error_ev", "standard error of that energy from photon noise"),
    "line_status": ("white_line_status", "whether the pixel has a white line, and why not"),
}
"""The same of an element without references."""


class _Source:
    """A stored field with the attributes that Dask needs to read blocks."""

    def __init__(self, field: Any) -> None:
        self._field = field
        self.shape: tuple[int, ...] = tuple(field.shape)
        self.dtype, self.ndim = np.dtype(field.dtype), len(self.shape)

    def __getitem__(self, key: Any) -> Any:
        return np.asarray(self._field[key])


def stored_array(store: Store, kind: ArrayType, name: str) -> "xr.DataArray":
    """Return an array of a stage store without reading it.

    Parameters
    ----------
    store, kind : the store and the description of the array
    name : name of the result
    """
    array = store.array(kind.array)
    dims = store.axes(kind.array)
    token = hashlib.sha256(f"{store.path}:{store.digest}:{kind.array}".encode()).hexdigest()[:16]
    data = _lazy(store.field(kind.array), array.chunks, f"{name}-{token}")
    facts = store.attributes
    # Maps over energies have no pixel size
    pixel_nm = float(facts.get("voxel_nm") or facts["pixel_nm"]) if set(SPACE) & set(dims) else 1.0
    return _labelled(
        data,
        dims,
        {**_space(dims, array.shape, [pixel_nm] * 3), **_others(store, dims, array.shape)},
        name=name,
        unit=store.unit(kind.array),
        definition=kind.definition,
        classes=_classes(kind, facts),
        source=f"{store.path.name}/{kind.array}",
    )


def image_array(levels: Levels, *, name: str, kind: ArrayType, unit: str, path: Path) -> "xr.DataArray":
    """Return the finest level of an exported image without reading it."""
    finest = levels.arrays[0]
    dims = SPACE[-len(finest.shape) :]
    token = hashlib.sha256(f"{path}:{name}:{path.stat().st_mtime_ns}".encode()).hexdigest()[:16]
    return _labelled(
        _lazy(finest, finest.chunks, f"{name}-{token}"),
        dims,
        _space(dims, finest.shape, levels.scale_nm, levels.translate_nm),
        name=name,
        unit=unit,
        definition=kind.definition,
        classes=kind.classes,
        source=path.name,
    )


def _lazy(field: Any, chunks: Sequence[int], name: str) -> Any:
    """Return a field as a Dask array with its stored chunks."""
    import dask.array as da

    source = _Source(field)
    return da.from_array(
        source, chunks=tuple(chunks), name=name, asarray=False, meta=np.empty(0, source.dtype)
    )


def _labelled(
    data: Any,
    dims: Sequence[str],
    coordinates: Mapping[str, Any],
    *,
    name: str,
    unit: str,
    definition: str,
    classes: Names,
    source: str,
) -> "xr.DataArray":
    import xarray as xr

    attributes: dict[str, Any] = {"units": unit, "definition": definition, "source": source}
    if classes:
        attributes["class_names"] = dict(classes)
    found = xr.DataArray(data, dims=tuple(dims), coords=dict(coordinates), name=name, attrs=attributes)
    for axis in SPACE:
        if axis in found.coords:
            found.coords[axis].attrs["units"] = "nanometer"
    if "z" not in dims:  # a detector image, whose rows are slices of a volume
        for axis, side in (("y", "detector row"), ("x", "detector column")):
            if axis in found.coords:
                found.coords[axis].attrs["long_name"] = side
    if "tilt" in found.coords:
        found.coords["tilt"].attrs["units"] = "degree"
    for axis in ("excitation", "emission"):
        if axis in found.coords:
            found.coords[axis].attrs["units"] = "electronvolt"
    return found


def _space(
    dims: Sequence[str], shape: Sequence[int], steps_nm: Sequence[float], starts_nm: Sequence[float] = ()
) -> dict[str, Any]:
    """Return the voxel centres along z, y and x; the first is at 0 without a start."""
    sides = [(axis, size) for axis, size in zip(dims, shape, strict=True) if axis in SPACE]
    require_memory(8 * sum(size for _, size in sides))
    starts = starts_nm or [0.0] * len(sides)
    return {
        axis: (axis, start + step * np.arange(size))
        for (axis, size), step, start in zip(sides, steps_nm, starts, strict=False)
    }


def _others(store: Store, dims: Sequence[str], shape: Sequence[int]) -> dict[str, Any]:
    """Return the coordinates: names of elements, series and references, and tilt angles."""
    facts = store.attributes
    found: dict[str, Any] = {}
    for axis, key in (("element", "elements"), ("series", "series"), ("reference", "names")):
        if axis in dims and len(facts.get(key) or ()) == shape[dims.index(axis)]:
            found[axis] = (axis, [str(name) for name in facts[key]])
    if "tilt" in dims and "tilt_deg" in store.names:
        found["tilt"] = ("tilt", store["tilt_deg"])
    for axis in ("excitation", "emission"):
        if axis in dims and f"{axis}_ev" in store.names:
            found[axis] = (axis, store[f"{axis}_ev"])
    return found


def _classes(kind: ArrayType, facts: Mapping[str, Any]) -> Names:
    """Return the names of labels; for the pixels of a valence map they are in the store."""
    if kind.array == "status":
        return {int(label): str(name) for label, name in facts["status"].items()}
    return kind.classes
