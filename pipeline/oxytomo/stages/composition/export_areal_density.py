"""Stage ``export_areal_density``: maps of areal density with standard deviations, and optical densities."""

from pathlib import Path

import numpy as np

from oxytomo.arrays import FloatArray
from oxytomo.config import ExportStage as Settings
from oxytomo.errors import StoreError
from oxytomo.export.ngff import Channel
from oxytomo.export.ome_zarr import write_image
from oxytomo.export.record import provenance_attributes
from oxytomo.io.stores import Store, read_store
from oxytomo.palette import GREY, display_window, element_color
from oxytomo.stages.context import StageContext

INPUTS = ("decompose", "align")


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``decompose`` and ``align``, write ``store``.

    Channels: ``<El>`` and then ``<El>_sigma``, areal densities in µm of the reference density, and the
    aligned optical density of each series under the name of the series.
    """
    decomposed, aligned = read_store(inputs["decompose"]), read_store(inputs["align"])
    elements = [str(element) for element in decomposed.attributes["elements"]]
    areal, sigma = _only_tilt(decomposed, "areal"), _sigma(decomposed, len(elements))
    series = [str(name) for name in aligned.attributes["series"]]
    channels = [
        Channel(
            element,
            areal[index],
            element_color(element, index),
            display_window(areal[index], percent=0.5, from_zero=True),
        )
        for index, element in enumerate(elements)
    ]
    for name, maps in (
        *((f"{element}_sigma", sigma[index]) for index, element in enumerate(elements)),
        *zip(series, _only_tilt(aligned, "value"), strict=True),
    ):
        window = display_window(maps, percent=0.5, from_zero=True)
        channels.append(Channel(name, maps, GREY, window, active=False))
    units = {channel.name: "micrometer" for channel in channels[: 2 * len(elements)]}
    write_image(
        outputs["store"],
        channels,
        name=settings.sample,
        axes=("c", "y", "x"),
        voxel_nm=float(decomposed.attributes["pixel_nm"]),
        labels=[],
        ngff=settings.ngff,
        chunk=settings.chunk,
        shard=settings.shard,
        levels=settings.levels,
        threads=context.threads,
        attributes=provenance_attributes(
            context.provenance(inputs),
            kind="areal_density",
            sample=settings.sample,
            units=units | dict.fromkeys(series, "1"),
        ),
    )
    context.log(f"{len(channels)} channels of {areal.shape[1:]} pixels")


def _only_tilt(store: Store, name: str) -> FloatArray:
    """Return the maps of an array that has one tilt, without the axis of tilts."""
    stored = store[name]
    if stored.shape[1] != 1:
        raise StoreError(
            str(store.path),
            expected=f"one tilt in {name!r}",
            got=f"{stored.shape[1]} tilts",
            fix="use the branch composition or tomogram for tilt series",
        )
    maps: FloatArray = stored[:, 0].astype(np.float32, copy=False)
    return maps


def _sigma(store: Store, n_elements: int) -> FloatArray:
    """Return the standard deviation of each element from the diagonal of the covariance; NaN without data."""
    rows, columns = np.triu_indices(n_elements)
    variance = _only_tilt(store, "covariance")[rows == columns]
    return np.sqrt(np.where(np.isfinite(variance), variance, np.nan)).astype(np.float32)
