"""Stage ``retrieve_phase``: transmissions at one or several distances → one phase map per angle."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from oxytomo.align.energies import register_energies
from oxytomo.align.register import fill_invalid
from oxytomo.align.resample import resample
from oxytomo.align.starts import background_free
from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.config import RetrievePhaseStage as Settings
from oxytomo.io.scratch import scratch_arrays
from oxytomo.io.stores import NamedArray, Store, read_store, write_store
from oxytomo.phase.beam import border_level
from oxytomo.phase.checks import border_share, fit_distances
from oxytomo.phase.ctf import Transfer, ctf, transfer
from oxytomo.phase.optics import cone_displacement_px
from oxytomo.phase.paganin import paganin
from oxytomo.phase.propagation import Frame
from oxytomo.stages.context import StageContext
from oxytomo.stages.structure.phase_scan import PhaseScan, phase_scan

BLOCK_BYTES = 3e8
"""Memory of one block of frames with all that is computed from it."""
COPIES = 12
"""Arrays of a padded frame that are alive at a time, for each distance."""
LOOK_DELTA_BETA = 200.0
"""δ/β of the images that distances are registered by, where the sample's is not known: they only have to look alike."""
SMOOTHING_PX = 1.5
CUT = 0.5
"""A border level above this share of the particle's says that the particle leaves the frame; fringes alone reach 0.35."""
COARSE = 1.5
"""A diffraction limit above so many pixels is reported."""
CHECK_FRAMES, CHECK_SIZE = 2, 256
"""Number of frames, and their size after binning, on which distances are checked."""
CHECK_GAIN = 1.1
"""Another distance must fit so much better before it is reported."""


@dataclass(frozen=True)
class Look:
    """What a first look at some frames says.

    Attributes
    ----------
    cut_rows, cut_columns : the particle leaves the frame at top or bottom, at the sides
    """

    cut_rows: bool
    cut_columns: bool


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read in blocks of frames, register, retrieve, write."""
    names = list(settings.distances or inputs)
    stores = [read_store(inputs[name]) for name in names]
    scan = phase_scan(names, stores, settings)
    look = _first_look(scan, stores)
    isolated = settings.isolated if settings.isolated is not None else not (look.cut_rows or look.cut_columns)
    warnings = _warnings(scan, look, settings)
    n_tilt, shape = scan.tilt_deg.size, scan.shape
    shifts = np.zeros((len(stores), n_tilt, 2))
    misfit = np.full((len(stores), n_tilt), np.nan)
    setup = _setup(scan, settings) if scan.method == "ctf" else None
    progress = context.progress(scan.method)
    with scratch_arrays(outputs["store"], {"value": (n_tilt, *shape)}) as arrays:
        value = arrays["value"]
        for part in _blocks(scan):
            density, shifts[:, part] = _registered(scan, stores, part, settings)
            value[part], misfit[:, part] = _retrieved(
                scan, density, setup, settings, isolated, context.threads
            )
            if scan.sign < 0:
                value[part] *= -1
            if scan.method in ("none", "given") and not look.cut_columns:
                value[part] = background_free(value[part])
            progress(part.stop, n_tilt)
        if scan.method == "ctf" and len(stores) > 1:
            warnings += _check_distances(scan, stores, settings, shifts, isolated, context)
        for line in warnings:
            context.log(f"warning: {line}")
        _write(outputs["store"], value, shifts, misfit, scan, warnings, context, inputs)


def _write(
    path: Path,
    value: FloatArray,
    shifts: Float64Array,
    misfit: Float64Array,
    scan: PhaseScan,
    warnings: list[str],
    context: StageContext,
    inputs: dict[str, Path],
) -> None:
    unit = "radian" if scan.quantity == "phase_lag" else "1"
    per_frame = ("series", "tilt")
    write_store(
        path,
        {
            "value": NamedArray(value, ("tilt", "y", "x"), unit),
            "tilt_deg": NamedArray(scan.tilt_deg, ("tilt",), "degree"),
            "dy_px": NamedArray(shifts[..., 0], per_frame, "pixel"),
            "dx_px": NamedArray(shifts[..., 1], per_frame, "pixel"),
            "misfit": NamedArray(misfit, per_frame, "1"),
        },
        provenance=context.provenance(inputs),
        attributes={
            "series": list(scan.names),
            "quantity": scan.quantity,
            "method": scan.method,
            "pixel_nm": scan.pixel_nm,
            "energy_ev": scan.energy_ev,
            "delta_beta": scan.delta_beta,
            "magnification": [one.magnification for one in scan.distances],
            "effective_distance_nm": [one.effective_nm for one in scan.distances],
            "source_sample_mm": scan.source_sample_mm,
            "diffraction_limit_nm": scan.diffraction_limit_nm,
            "warnings": warnings,
            "quality": {"mean_misfit": float(np.nanmean(misfit)) if np.isfinite(misfit).any() else None},
        },
    )


def _blocks(scan: PhaseScan) -> Iterator[slice]:
    """Yield slices of frames that fit in the memory set aside for a block."""
    rows, columns = (n + 2 * scan.margin_px for n in scan.shape)
    size = max(1, int(BLOCK_BYTES / (4 * COPIES * len(scan.names) * rows * columns)))
    for start in range(0, scan.tilt_deg.size, size):
        yield slice(start, min(start + size, scan.tilt_deg.size))


def _read(store: Store, part: slice | list[int]) -> tuple[FloatArray, FloatArray]:
    """Optical density (or signal) of some frames and its variance, gaps filled."""
    rows = list(range(part.start, part.stop)) if isinstance(part, slice) else part
    value = np.stack([np.asarray(store.array("value")[t]) for t in rows])
    return fill_invalid(value), np.ones_like(value)


def _registered(
    scan: PhaseScan, stores: list[Store], part: slice | list[int], settings: Settings
) -> tuple[FloatArray, Float64Array]:
    """Frames of all distances on the grid of the largest magnification, and the shifts that were corrected.

    Distances are compared by their single-distance phase images: fringes differ from distance to distance, these do not.
    """
    raw = [_read(store, part) for store in stores]
    n = len(raw[0][0])
    still = np.zeros(n)

    def on_grid(index: int, dy: Float64Array, dx: Float64Array) -> FloatArray:
        scale = scan.scales[index]
        if scale == 1 and not dy.any() and not dx.any():
            return raw[index][0]
        moved, _ = resample(
            *raw[index], dy_px=dy, dx_px=dx, magnification=scale, rotation_deg=0.0, shape=scan.shape
        )
        return fill_invalid(moved)

    shifts = np.zeros((len(stores), n, 2))
    if len(stores) == 1 or not settings.register_distances:
        return np.stack([on_grid(i, still, still) for i in range(len(stores))]), shifts
    reference = int(np.argmin(scan.scales_inverse))
    fixed = _look(scan, on_grid(reference, still, still), reference)
    for index in range(len(stores)):
        if index != reference:
            moving = _look(scan, on_grid(index, still, still), index)
            shifts[index] = register_energies(
                moving, fixed, max_shift_px=settings.max_shift_px, sigma_px=SMOOTHING_PX, chemistry=False
            ).shifts
    raw_px = shifts * np.asarray(scan.scales)[:, None, None]
    frames = [on_grid(i, raw_px[i, :, 0], raw_px[i, :, 1]) for i in range(len(stores))]
    return np.stack(frames), raw_px


def _look(scan: PhaseScan, density: FloatArray, index: int) -> FloatArray:
    """Single-distance phase image, or the density itself where there is no distance."""
    if scan.method in ("none", "given"):
        return density
    frame = Frame.around((density.shape[1], density.shape[2]), margin_px=scan.margin_px)
    return paganin(
        np.exp(-density),
        frame,
        wavelength=scan.wavelength,
        distance_nm=scan.distances[index].effective_nm,
        pixel_nm=scan.pixel_nm,
        delta_beta=scan.delta_beta or LOOK_DELTA_BETA,
        workers=1,
    )


def _retrieved(
    scan: PhaseScan,
    density: FloatArray,
    setup: Transfer | None,
    settings: Settings,
    isolated: bool,
    threads: int,
) -> tuple[FloatArray, Float64Array]:
    """Phase lag (or density) of a block of frames and the misfit of each hologram."""
    none = np.full(density.shape[:2], np.nan)
    if setup is None:
        level = np.log(border_level(np.exp(-density[0]))) if isolated and scan.method == "paganin" else 0.0
        level_free = density[0] + np.reshape(level, (-1, 1, 1)).astype(np.float32)
        return _look(scan, level_free, 0), none
    found = ctf(np.exp(-density), setup, isolated=isolated, iterations=settings.iterations, workers=threads)
    return found.lag, found.misfit


def _setup(scan: PhaseScan, settings: Settings) -> Transfer:
    return transfer(
        Frame.around(scan.shape, margin_px=scan.margin_px),
        wavelength=scan.wavelength,
        distances_nm=[one.effective_nm for one in scan.distances],
        pixel_nm=scan.pixel_nm,
        delta_beta=scan.delta_beta,
        low_weight=settings.low_weight,
        high_weight=settings.high_weight,
    )


def _some(scan: PhaseScan) -> list[int]:
    """A few frames spread over the scan."""
    n = scan.tilt_deg.size
    return sorted({int(t) for t in np.linspace(0, n - 1, min(n, CHECK_FRAMES))})


def _first_look(scan: PhaseScan, stores: list[Store]) -> Look:
    """Say whether the particle leaves the field of view of the largest magnification."""
    reference = int(np.argmin(scan.scales_inverse))
    image = _look(scan, _read(stores[reference], _some(scan))[0], reference) * scan.sign
    rows, columns = border_share(background_free(image))
    return Look(bool(np.median(rows) > CUT), bool(np.median(columns) > CUT))


def _warnings(scan: PhaseScan, look: Look, settings: Settings) -> list[str]:
    """What the reader of the result must know."""
    found = []
    if look.cut_columns:
        found.append(
            "the particle leaves the field of view at the sides: grey values are relative, edges are wrong"
        )
    elif look.cut_rows:
        found.append("the particle leaves the field of view at top or bottom: it is measured in part")
    if scan.source_sample_mm is not None:
        moved = cone_displacement_px(
            n_rows=scan.shape[0],
            n_columns=scan.shape[1],
            pixel_nm=scan.pixel_nm,
            source_sample_mm=scan.source_sample_mm,
        )
        if moved > 0.5:
            found.append(
                f"the cone beam is taken as parallel: voxels at the corner of the field move by {moved:.2f} px"
            )
    if scan.diffraction_limit_nm > COARSE * scan.pixel_nm:
        found.append(
            f"detail finer than {scan.diffraction_limit_nm:.0f} nm diffracts out of the frame at the shortest distance: "
            f"pixels of {scan.pixel_nm:g} nm do not resolve it"
        )
    if scan.method == "ctf" and scan.delta_beta is None and not settings.iterations:
        found.append("without delta_beta and iterations the lowest frequencies of the phase are not known")
    return found


def _check_distances(
    scan: PhaseScan,
    stores: list[Store],
    settings: Settings,
    shifts: Float64Array,
    isolated: bool,
    context: StageContext,
) -> list[str]:
    """Say which stated distance does not explain the holograms."""
    density, _ = _registered(scan, stores, _some(scan), settings)
    factor = max(1, min(scan.shape) // CHECK_SIZE)
    rows, columns = (n // factor for n in scan.shape)
    cut = np.exp(-density)[..., : rows * factor, : columns * factor]
    binned = cut.reshape(*cut.shape[:2], rows, factor, columns, factor).mean(axis=(3, 5))
    fits = fit_distances(
        binned,
        wavelength=scan.wavelength,
        distances_nm=[one.effective_nm for one in scan.distances],
        pixel_nm=scan.pixel_nm * factor,
        delta_beta=scan.delta_beta,
        low_weight=settings.low_weight,
        high_weight=settings.high_weight,
        isolated=isolated,
        margin=-(-scan.margin_px // factor),
        workers=context.threads,
    )
    best = max(range(len(fits)), key=lambda index: fits[index].gain)
    if fits[best].gain < CHECK_GAIN:
        return []
    what = (
        "all distances (or the energy)" if best == len(scan.names) else f"the distance of {scan.names[best]}"
    )
    return [
        f"{what} may be wrong: {fits[best].best_scale:g} times the stated effective distance explains the holograms "
        f"{fits[best].gain:.2f} times better"
    ]
