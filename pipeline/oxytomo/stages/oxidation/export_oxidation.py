"""Stage ``export_oxidation``: valence maps of all elements with residuals and errors as one image."""

from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.align.energies import register_energies
from oxytomo.align.resample import resample
from oxytomo.arrays import FloatArray, LabelArray
from oxytomo.config import ExportStage as Settings
from oxytomo.export.ngff import Channel, Label
from oxytomo.export.ome_zarr import write_image
from oxytomo.export.record import provenance_attributes
from oxytomo.io.stores import Store, read_store
from oxytomo.oxidation.status import STATUS_NAMES
from oxytomo.palette import (
    EXCLUDED_COLORS,
    GREY,
    PARTICLE_COLORS,
    PARTICLE_NAMES,
    display_window,
    element_color,
)
from oxytomo.stages.context import StageContext

UNKNOWN_PIXEL_NM = 1.0
MAX_SHIFT_PX = 30.0


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``measure`` and ``fit_<El>``, write ``store``.

    Channels: per element ``<El>`` (valence) and ``<El>_residual`` (root mean square residual over that of the
    spectrum); then per element ``<El>_standard_error``, ``<El>_edge_jump`` and a fraction of each reference. Maps of
    further elements are brought to the grid of the first by pixel size and shift.
    """
    measured = read_store(inputs["measure"])
    elements = [str(element) for element in measured.attributes["elements"]]
    fits = {element: read_store(inputs[f"fit_{element}"]) for element in elements}
    first = fits[elements[0]]
    maps, grid = {elements[0]: _maps(first)}, first["amount"].shape
    shifts = {elements[0]: (0.0, 0.0)}
    for element in elements[1:]:
        maps[element], shifts[element] = _on_grid(fits[element], first)
    channels, more = [], []
    for index, element in enumerate(elements):
        color = element_color(element, index)
        own = maps[element]
        channels += [
            _channel(element, own["valence"], color),
            _channel(f"{element}_residual", own["residual"], GREY, active=False),
        ]
        more += [
            _channel(f"{element}_{name}", array, GREY, active=False)
            for name, array in own.items()
            if name not in ("valence", "residual")
        ]
    pixel_nm = float(first.attributes["pixel_nm"])
    if not np.isfinite(pixel_nm):
        pixel_nm = UNKNOWN_PIXEL_NM
        context.log("warning: the pixel size is not known; the image has 1 nm per pixel (give 'pixel_nm:')")
    particle = (measured[f"{elements[0]}_agglomerates"] > 0).astype(np.uint8)
    status: LabelArray = first["status"]
    write_image(
        outputs["store"],
        [*channels, *more],
        name=settings.sample,
        axes=("c", "y", "x"),
        voxel_nm=pixel_nm,
        labels=[
            Label("particle", particle, PARTICLE_COLORS, PARTICLE_NAMES),
            Label("excluded", status, EXCLUDED_COLORS, STATUS_NAMES),
        ],
        ngff=settings.ngff,
        chunk=settings.chunk,
        shard=settings.shard,
        levels=settings.levels,
        threads=context.threads,
        attributes=provenance_attributes(
            context.provenance(inputs),
            kind="oxidation",
            sample=settings.sample,
            units=dict.fromkeys((channel.name for channel in [*channels, *more]), "1"),
            shifts_px=shifts,
        ),
    )
    context.log(f"{len(channels) + len(more)} channels of {grid[0]} × {grid[1]} pixels")


def _maps(fit: Store) -> dict[str, FloatArray]:
    """Return the maps of one element on its own grid, NaN where no valence was fitted."""
    good = np.isfinite(fit["valence"])

    def shown(array: FloatArray) -> FloatArray:
        return np.where(good, array, np.nan).astype(np.float32)

    fractions = fit["fractions"]
    return {
        "valence": fit["valence"].astype(np.float32),
        "residual": shown(np.sqrt(fit["r_factor"])),
        "standard_error": shown(fit["valence_error"]),
        "edge_jump": np.nan_to_num(fit["amount"]).astype(np.float32),
        **{
            f"fraction_{name}": shown(fractions[i])
            for i, name in enumerate(str(n) for n in fit.attributes["names"])
        },
    }


def _on_grid(fit: Store, first: Store) -> tuple[dict[str, FloatArray], tuple[float, float]]:
    """Bring the maps of one element to the grid of the first, by pixel size and a shift found on their edge jumps."""
    sizes = [float(store.attributes["pixel_nm"]) for store in (first, fit)]
    magnification = sizes[0] / sizes[1] if np.isfinite(sizes).all() else 1.0
    shape = first["amount"].shape
    same = shape == fit["amount"].shape and abs(magnification - 1) < 1e-3

    def moved(array: FloatArray, dy: float, dx: float) -> FloatArray:
        out, _ = resample(
            array[None].astype(np.float32),
            np.ones((1, *array.shape), np.float32),
            dy_px=np.array([dy]),
            dx_px=np.array([dx]),
            magnification=magnification,
            rotation_deg=0.0,
            shape=shape,
        )
        return out[0]

    scaled = moved(np.nan_to_num(fit["amount"]), 0.0, 0.0)
    found = register_energies(
        scaled[None],
        np.nan_to_num(first["amount"]).astype(np.float32)[None],
        max_shift_px=MAX_SHIFT_PX,
        sigma_px=1.0,
        chemistry=True,
    )
    dy, dx = (float(value) * magnification for value in found.shifts[0])
    if same and max(abs(dy), abs(dx)) < 0.05:
        return _maps(fit), (0.0, 0.0)
    return {name: moved(array, dy, dx) for name, array in _maps(fit).items()}, (dy, dx)


def _channel(name: str, data: FloatArray, color: str, **options: Any) -> Channel:
    return Channel(name, data, color, display_window(data, percent=1.0, from_zero=False), **options)
