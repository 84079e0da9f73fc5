"""Arrays of a sample and their readers, from stage stores or exported images."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from oxytomo.io.chemical_state_stores import is_white_line
from oxytomo.io.oxidation_stores import is_line_map
from oxytomo.results.arrays import (
    ARRAY_TYPES,
    ELEMENT_ARRAYS,
    LINE_ARRAYS,
    LINE_MAP_ARRAYS,
    STATE_ARRAYS,
    ArrayType,
    image_array,
    stored_array,
)
from oxytomo.results.errors import numbers_of
from oxytomo.results.images import ImageChannel, Levels, OpenedImage

if TYPE_CHECKING:
    import xarray as xr

    from oxytomo.results.results import Results

Readers = dict[str, "Callable[[], xr.DataArray]"]
_CHANNELS: Mapping[str, str] = {"tm_o_deviation": "deviation", "tm_o_deviation_sigma": "deviation_sigma"}
"""Names of image channels that differ from the names of the arrays."""


def array_readers(results: "Results") -> Readers:
    """Return the reader of each array of a sample, by ``<branch>/<name>``."""
    found: Readers = {
        key: _from_store(results, key, kind)
        for key, kind in ARRAY_TYPES.items()
        if kind.store in results.files
    }
    for key in results.files.paths:
        if key.startswith("oxidation_fit_"):
            element = key.removeprefix("oxidation_fit_")
            fit = results.files.store(key)
            lines = fit is not None and is_line_map(fit)
            for name, (array, definition) in (LINE_MAP_ARRAYS if lines else ELEMENT_ARRAYS).items():
                place = f"oxidation/{element}_{name}"
                found[place] = _from_store(results, place, ArrayType(key, array, f"{element}: {definition}"))
        elif key.startswith("scattering_calibrate_"):
            name = key.removeprefix("scattering_calibrate_")
            said = "photons per mean incident flux in each bin"
            found[f"scattering/{name}"] = _from_store(
                results, f"scattering/{name}", ArrayType(key, "intensity", said)
            )
    for key in results.files.paths:
        if key.startswith("chemical_state_reconstruct_"):
            found |= _of_state(results, key.removeprefix("chemical_state_reconstruct_"))
    if "areal_density/areal_density" in found:
        found["areal_density/areal_density_sigma"] = lambda: _sigma(results)
    stored = {key.partition("/")[0] for key in found}
    for branch in results.images:
        if branch not in stored:
            found |= _from_image(results.images[branch])
    return found


def _of_state(results: "Results", element: str) -> Readers:
    """Return the arrays of one element of the chemical-state branch."""
    found: Readers = {}
    reconstructed = results.files.store(f"chemical_state_reconstruct_{element}")
    lines = reconstructed is not None and is_white_line(reconstructed)
    for name, (store, array, definition, labels) in (LINE_ARRAYS if lines else STATE_ARRAYS).items():
        key = f"chemical_state_{store.format(element)}"
        if key in results.files:
            kind = ArrayType(key, array.format(element), f"{element}: {definition}", labels)
            place = f"chemical_state/{element}_{name}"
            found[place] = _from_store(results, place, kind)
    return found


def _from_store(results: "Results", key: str, kind: ArrayType) -> "Callable[[], xr.DataArray]":
    def read() -> "xr.DataArray":
        branch, _, name = key.partition("/")
        store = results.files.store(kind.store)
        assert store is not None  # only existing stores have a reader
        with numbers_of(results.files.paths, branch):
            found = stored_array(store, kind, name)
            return found.isel(tilt=0, drop=True) if branch == "areal_density" else found

    return read


def _sigma(results: "Results") -> "xr.DataArray":
    """Return the standard deviation of the areal density, on the grid of its maps."""
    maps, record = results.arrays["areal_density/areal_density"], results.areal_density
    assert record is not None  # its store exists
    found = maps.copy(data=np.asarray(record.sigma))
    found.name = "areal_density_sigma"
    found.attrs["definition"] = "standard deviation of the areal density, from counting statistics"
    return found


def _from_image(image: OpenedImage) -> Readers:
    """Return the readers of the channels and labels of an exported image, at its finest level."""
    found: Readers = {}
    densities = [channel for channel in image.channels if _is_density(image, channel)]
    for channel in image.channels:
        if channel not in densities:
            name = _CHANNELS.get(channel.name, channel.name)
            found[f"{image.kind}/{name}"] = _of_channel(image, channel, name)
    if densities:
        found[f"{image.kind}/density"] = lambda: _densities(image, densities)
    for label, levels in image.labels.items():
        found[f"{image.kind}/{label}"] = _of_label(image, label, levels)
    return found


def _of_label(image: OpenedImage, label: str, levels: Levels) -> "Callable[[], xr.DataArray]":
    kind = ARRAY_TYPES.get(f"{image.kind}/{label}", ArrayType("", "", f"labels {label} of the image"))
    return lambda: image_array(levels, name=label, kind=kind, unit="1", path=image.path)


def _is_density(image: OpenedImage, channel: ImageChannel) -> bool:
    return image.kind == "composition" and channel.name not in _CHANNELS


def _of_channel(image: OpenedImage, channel: ImageChannel, name: str) -> "Callable[[], xr.DataArray]":
    kind = ARRAY_TYPES.get(f"{image.kind}/{name}", ArrayType("", "", f"channel {channel.name} of the image"))
    return lambda: image_array(channel.levels, name=name, kind=kind, unit=channel.unit, path=image.path)


def _densities(image: OpenedImage, channels: list[ImageChannel]) -> "xr.DataArray":
    """Return the densities of all elements as one array."""
    import xarray as xr

    parts = [_of_channel(image, channel, "density")() for channel in channels]
    names = xr.Variable(("element",), [channel.name for channel in channels])
    return xr.concat(parts, dim=names, combine_attrs="override").rename("density")
