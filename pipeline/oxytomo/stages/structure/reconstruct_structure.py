"""Stage ``reconstruct_structure``: phase maps at all angles → a volume, by filtered back-projection in slabs."""

from pathlib import Path

import numpy as np

from oxytomo.align.axis import axis_from_pairs, find_axis, opposite_pairs
from oxytomo.align.binning import Binning
from oxytomo.align.inputs import require_whole_field
from oxytomo.align.parallel import frame_groups
from oxytomo.align.register import fill_invalid
from oxytomo.align.resample import resample
from oxytomo.align.series import compose, mean_of_series
from oxytomo.align.tilts import AlignOptions, align_tilts
from oxytomo.arrays import Float64Array
from oxytomo.config import ReconstructStructureStage as Settings
from oxytomo.errors import InputError
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import NamedArray, Store, read_store, write_store
from oxytomo.phase.optics import wavelength_nm
from oxytomo.reconstruct.backends import reconstruct
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.slabs import Allocate, Field, Mapped
from oxytomo.stages.context import StageContext
from oxytomo.units import NM_PER_UM

PAIRS = 32
"""At most so many pairs of opposite frames are compared for the axis."""
AXIS_TILTS, AXIS_COLUMNS, AXIS_ITERATIONS = 180, 256, 12
"""Without pairs the axis is sought on so many angles, frames binned to so many columns, with so many iterations."""
SMOOTHING_PX = 1.5
MIN_TILTS = 3
AXIS_SPREAD_PX = 0.5
"""Pairs that disagree by more (median absolute deviation) are reported."""


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Find the axis, reconstruct slab by slab, write."""
    store = read_store(inputs["retrieve_phase"])
    tilt_deg = store["tilt_deg"]
    n_tilt, _, n_x = store.array("value").shape
    if n_tilt < MIN_TILTS:
        raise InputError(
            str(store.path),
            expected=f"at least {MIN_TILTS} angles for a volume",
            got=str(n_tilt),
            fix="give the whole scan",
        )
    require_whole_field(str(store.path), store.field("value"), tilt_deg)
    warnings = list(store.attributes["warnings"])
    frames: Field = store.field("value")
    middle = (n_x - 1) / 2
    factor, unit = _scale(store)
    with scratch_fields(outputs["store"]) as allocate:
        if settings.align_tilts:
            frames = _aligned(frames, tilt_deg, settings, allocate, context)
            axis_column, how = middle, "projection matching"
        else:
            axis_column, how, remark = _axis(store, tilt_deg, settings, context)
            warnings += remark
        context.log(f"rotation axis at column {axis_column:.2f} of {n_x} ({how})")
        for line in warnings[len(store.attributes["warnings"]) :]:
            context.log(f"warning: {line}")
        geometry = TiltGeometry(tilt_deg, n_x, axis_column, n_x, n_x, middle, middle)
        volume = reconstruct(
            Mapped(frames, lambda part: np.nan_to_num(part, nan=0.0), np.float32),
            None,
            geometry,
            algorithm="fbp",
            backend="oxytomo",
            iterations=1,
            nonnegative=False,
            tv_weight=None,
            threads=context.threads,
            allocate=allocate,
            on_iteration=context.progress("filtered back-projection"),
        )
        volume = Mapped(volume, lambda part: factor * part, np.float32)
        write_store(
            outputs["store"],
            {"volume": NamedArray(volume, ("z", "y", "x"), unit)},
            provenance=context.provenance(inputs),
            attributes={
                "voxel_nm": store.attributes["pixel_nm"],
                "quantity": "delta" if unit == "1" else store.attributes["quantity"],
                "unit": unit,
                "method": store.attributes["method"],
                "axis_column": axis_column,
                "axis_from": how,
                "n_tilt": n_tilt,
                "tilt_range_deg": [float(tilt_deg.min()), float(tilt_deg.max())],
                "warnings": warnings,
            },
        )


def _scale(store: Store) -> tuple[np.float32, str]:
    """From line integrals per pixel to δ (phase lag of known energy), rad/µm or 1/µm, and its unit."""
    pixel_nm, energy_ev = float(store.attributes["pixel_nm"]), float(store.attributes["energy_ev"])
    if store.attributes["quantity"] == "phase_lag":
        if np.isfinite(energy_ev):
            return np.float32(wavelength_nm(energy_ev) / (2 * np.pi * pixel_nm)), "1"
        return np.float32(NM_PER_UM / pixel_nm), "radian/micrometer"
    return np.float32(NM_PER_UM / pixel_nm), "1/micrometer"


def _axis(
    store: Store, tilt_deg: Float64Array, settings: Settings, context: StageContext
) -> tuple[float, str, list[str]]:
    """Column of the rotation axis, how it was found, and what to say about it."""
    if settings.axis_column is not None:
        return settings.axis_column, "given", []
    value = store.array("value")
    pairs = opposite_pairs(tilt_deg)
    if len(pairs):
        chosen = pairs[np.unique(np.linspace(0, len(pairs) - 1, min(len(pairs), PAIRS)).astype(int))]
        first, opposite = (np.stack([np.asarray(value[int(t)]) for t in part]) for part in chosen.T)
        columns, residual = axis_from_pairs(
            first, opposite, max_shift_px=settings.max_shift_px, sigma_px=SMOOTHING_PX
        )
        axis = float(np.median(columns))
        spread = float(np.median(np.abs(columns - axis)))
        how = f"{len(chosen)} pair{'s' if len(chosen) > 1 else ''} of opposite frames, residual {np.median(residual):.3f}"
        text = (
            f"pairs of opposite frames disagree about the rotation axis by {spread:.2f} px: the frames move"
        )
        return axis, how, [text] if spread > AXIS_SPREAD_PX else []
    tilts = np.unique(np.linspace(0, tilt_deg.size - 1, min(tilt_deg.size, AXIS_TILTS)).astype(int))
    binning = Binning(value.shape[1:], max(1, int(value.shape[2]) // AXIS_COLUMNS))
    frames = np.concatenate([binning.of(np.asarray(value[int(t)])[None]) for t in tilts])
    column, _, misfit = find_axis(
        frames,
        tilt_deg[tilts],
        max_shift_px=settings.max_shift_px / binning.factor,
        iterations=AXIS_ITERATIONS,
        on_iteration=context.progress("find the rotation axis"),
    )
    return (
        binning.column_undone(column),
        f"no pair of opposite frames; misfit {misfit.min():.4f} of the data",
        [],
    )


def _aligned(
    frames: Field, tilt_deg: Float64Array, settings: Settings, allocate: Allocate, context: StageContext
) -> Field:
    """Frames moved onto a perfect rotation about the middle column."""
    options = AlignOptions(
        tilts=True,
        energies=False,
        max_shift_px=settings.max_shift_px,
        iterations=settings.iterations,
        axis_column=settings.axis_column,
        axis_tilt_deg=None,
        estimate_magnification=False,
    )
    still = np.zeros((1, tilt_deg.size, 2))
    driver = mean_of_series([frames], still, np.ones(1))
    found = align_tilts(driver, tilt_deg, np.arange(tilt_deg.size), options, context.progress)
    place = compose(still, found.alignment.shifts, found.applied_axis_tilt_deg, np.ones(1))
    context.log(
        f"frames moved by {np.std(found.alignment.shifts, axis=0).round(2).tolist()} px rms (y, x), axis leans by "
        f"{found.applied_axis_tilt_deg:.2f} degrees; misfit {np.nanmedian(found.misfit_before):.4f} of the contrast before, "
        f"{np.nanmedian(found.misfit_after):.4f} after"
    )
    moved = allocate(frames.shape, np.float32)
    for group in frame_groups(frames.shape):
        clean = fill_invalid(np.asarray(frames[group]))
        part, _ = resample(
            clean,
            np.ones_like(clean),
            dy_px=place.dy_px[0, group],
            dx_px=place.dx_px[0, group],
            magnification=1.0,
            rotation_deg=place.axis_tilt_deg,
            shape=(frames.shape[1], frames.shape[2]),
        )
        moved[group] = fill_invalid(part)
    return moved
