"""Stage ``align``: all series of a branch → one pixel grid, one tilt axis, resampled once."""

from pathlib import Path

<<<<<<< HEAD
import numpy as np

from oxytomo.align.air_level import common_air_levels
from oxytomo.align.energies import EnergyRegistration
from oxytomo.align.frames import cut_frames
from oxytomo.align.matching import TRUSTED, TiltAlignment, misfit_of, misfit_ratio
from oxytomo.align.parallel import frame_groups
from oxytomo.align.resample import resample, turned, turned_shifts
from oxytomo.align.series import (
    TILT_SMOOTHING_PX,
    Alignment,
    AlignOptions,
    Solution,
    TiltSolution,
    align_series,
    look,
    mean_of_series,
    require_better,
    shifted,
)
from oxytomo.align.spectral_shifts import EnergyShifts, shifts_between_energies
from oxytomo.align.starts import background_free
from oxytomo.arrays import BoolArray, Float64Array
=======
from oxytomo.align.applied import align_inputs, pictures_of, resample_inputs
from oxytomo.align.inputs import common_tilts, single_tilt
from oxytomo.align.series import AlignOptions
>>>>>>> d23b5f3da681ae7f2bcdfd8345c6e69e5d11255a
from oxytomo.config import AlignStage as Settings
from oxytomo.io.aligned_store import normalized_series, series_facts, write_aligned
from oxytomo.io.alignment import read_alignment, write_alignment
from oxytomo.io.scratch import FIELD_BYTES, scratch_fields
from oxytomo.io.stores import read_store
from oxytomo.stages.context import StageContext
from oxytomo.view.refused_alignment import shown_when_refused


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Estimate or load magnification and shifts, compose them, resample once, write."""
<<<<<<< HEAD
    with shown_when_refused(outputs["table"].with_name("alignment_problem.png"), inputs, settings):
        _run(inputs, outputs, settings, context)


def _run(
    inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext
) -> None:
    single = settings.branch == "areal_density"
    series = read_single(inputs, settings) if single else read_inputs(inputs, settings)
    pixel_nm = np.array([_pixel_nm(name, s) for name, s in zip(series.names, series.stores, strict=True)])
    common_nm = float(pixel_nm.mean())
    recorded = np.ones(len(series.names)) if settings.magnification == "none" else common_nm / pixel_nm
    energies_ev = np.array([float(np.mean(store["energy_ev"])) for store in series.stores])
    if settings.shifts is None:
        found = _estimate(series, recorded, settings, context)
        kept = np.ones(series.tilt_deg.size, bool)
    else:
        given, kept = read_alignment(inputs["shifts"], series.names, energies_ev, series.tilt_deg, recorded)
        found = _given(series, given, context)
    frames = _judge_frames(series, found, kept, settings)
    warnings = _warnings(series, found, frames, recorded, settings)
    verdict = _verdict(series, found, frames)
    for line in (*warnings, verdict):
        context.log(line)
    with scratch_fields(outputs["store"]) as allocate:
        value, variance = _resampled(series, found.solution, frames.used, allocate, context)
        moved = _moved_by_spectra(series, value, variance, settings, context)
        if moved is not None:
            solution = shifted(found.solution, moved.shift_px, frames.used)
            found = replace(found, solution=solution)
            value, variance = _resampled(series, solution, frames.used, allocate, context)
        _level(series, value, variance, settings, context)
        _write(
            outputs["store"],
            series,
            found,
            frames,
            value,
            variance,
            warnings,
            verdict,
            common_nm,
            energies_ev,
            inputs,
            context,
        )
    write_alignment(
        outputs["table"],
        series.names,
        energies_ev,
        series.tilt_deg[frames.used],
        series.acquisition_order[frames.used],
        _of_used(found.solution, frames.used),
        found.tilts.misfit_after[frames.used],
        frames.left_out,
    )


def _estimate(
    series: AlignInputs, recorded: Float64Array, settings: Settings, context: StageContext
) -> Alignment:
    """Find the alignment, and refuse one that makes things worse."""
    signal = series.stores[0].attributes["quantity"] == "signal"
    options = AlignOptions(
        tilts=settings.tilts,
        energies=not signal if settings.energies is None else settings.energies,
        max_shift_px=settings.max_shift_px,
        iterations=settings.iterations,
        axis_column=settings.axis_column,
        axis_tilt_deg=settings.axis_tilt_deg,
        estimate_magnification=settings.magnification == "estimated",
    )
    if series.tilt_deg.size > 1:
        require_structure(series.values[series.best], series.noise[series.best], series.acquisition_order)
    found = align_series(
        series.names,
        series.values,
        series.signal_to_noise,
        series.tilt_deg,
        series.acquisition_order,
        recorded,
        options,
        context.progress,
    )
    if settings.tilts and series.tilt_deg.size > 1:
        require_better(found.tilts.misfit_before, found.tilts.misfit_after, context.label or context.stage)
    return found


def _given(series: AlignInputs, given: Solution, context: StageContext) -> Alignment:
    """Judge shifts that were loaded as if they had been estimated."""
    best, n_tilt = series.best, series.tilt_deg.size
    own = look(series.values[best], float(given.magnification[best]))
    driver = mean_of_series([own], np.zeros((1, n_tilt, 2)), np.ones(1))
    shifts = np.stack([given.dy_px[best], given.dx_px[best]], axis=1) / given.magnification[best]
    shifts = turned_shifts(shifts, -given.axis_tilt_deg)
    unknown = np.full(n_tilt, np.nan)
    if n_tilt > 1:
        clean = turned(background_free(driver.frames), given.axis_tilt_deg, np.zeros((n_tilt, 2)))
        progress = context.progress("judge the shifts given")
        as_recorded = np.zeros_like(shifts)
        as_recorded[:, 1] = np.median(shifts[:, 1])
        moved = [driver.binning.shifts(one) for one in (as_recorded, shifts)]
        before, _ = misfit_of(clean, series.tilt_deg, moved[0], sigma_px=TILT_SMOOTHING_PX)
        progress(1, 2)
        after, innovation = misfit_of(clean, series.tilt_deg, moved[1], sigma_px=TILT_SMOOTHING_PX)
        progress(2, 2)
    else:
        before = after = innovation = unknown
    tilts = TiltSolution(
        replace(TiltAlignment.still(shifts), innovation=innovation),
        given.axis_tilt_deg,
        np.nan,
        np.nan,
        before,
        after,
        "given",
        {},
    )
    return Alignment(given, best, [None] * len(series.names), tilts, driver)


def _judge_frames(series: AlignInputs, found: Alignment, kept: BoolArray, settings: Settings) -> Frames:
    """Leave out copies and gross misfits, point at frames that look bad."""
    left_out, used = list(series.left_out), kept.copy()

    def leave_out(tilt: int, reason: str) -> None:
        if used[tilt]:
            used[tilt] = False
            left_out.append((int(series.acquisition_order[tilt]), float(series.tilt_deg[tilt]), reason))

    for tilt in np.flatnonzero(~kept):
        left_out.append(
            (int(series.acquisition_order[tilt]), float(series.tilt_deg[tilt]), "not used in the table given")
        )
    misfit = found.tilts.alignment.innovation
    for a, b in series.copies:
        worse, other = (a, b) if not misfit[a] < misfit[b] else (b, a)
        leave_out(worse, f"a copy of frame {series.acquisition_order[other]}")
    suspicious = np.zeros(used.size, bool)
    if used.size > 1 and np.isfinite(misfit).any():
        ratio = misfit_ratio(misfit)
        if settings.bad_frames == "exclude":
            for tilt in np.flatnonzero(used & (ratio > 2 * TRUSTED)):
                leave_out(int(tilt), f"misfit {ratio[tilt]:.1f} times that of its neighbours")
        suspicious = used & (ratio > TRUSTED)
    if used.size > 1 and used.sum() < max(3, used.size / 2):
        raise InputError(
            f"frames {frame_list([n for n, _, _ in left_out])}",
            expected="at least half of the frames to be usable",
            got=f"{int(used.sum())} of {used.size}",
            fix="look at the raw frames, or set align.bad_frames: keep",
        )
    return Frames(used, left_out, suspicious)


def _warnings(
    series: AlignInputs, found: Alignment, frames: Frames, recorded: Float64Array, settings: Settings
) -> list[str]:
    """What a user must know of the frames, as sentences."""
    lines = []
    for reason in dict.fromkeys(reason for _, _, reason in frames.left_out):
        which = [(n, tilt) for n, tilt, why in frames.left_out if why == reason]
        lines.append(f"Left out, {reason}: frame{'s' * (len(which) > 1)} {_with_tilts(which)}.")
    if frames.suspicious.any():
        which = [
            (int(series.acquisition_order[t]), float(series.tilt_deg[t]))
            for t in np.flatnonzero(frames.suspicious)
        ]
        lines.append(
            f"These frames fit the others badly: {_with_tilts(which)}; exclude them if they look wrong."
        )
    if series.tilt_deg.size > 1:
        cut = cut_frames(background_free(found.driver.frames)) & frames.used
        if cut.any():
            which = [
                (int(series.acquisition_order[t]), float(series.tilt_deg[t])) for t in np.flatnonzero(cut)
            ]
            lines.append(
                f"Something reaches the left or right margin of the field in {len(which)} of {cut.size} frames "
                f"({_with_tilts(which)}): a particle that leaves the field biases its volume."
            )
    for name, registered, scale in zip(
        series.names, found.energies, found.solution.magnification / recorded, strict=True
    ):
        if registered is None:
            continue
        off = scale * registered.magnification - 1
        if abs(off) > MAGNIFICATION_DOUBT and settings.magnification != "estimated":
            lines.append(
                f"{name} seems magnified by {100 * off:+.2f} % against the recorded pixel size: check the record, "
                "or set align.magnification: estimated."
            )
    for name, repeats in series.repeats.items():
        for repeat in repeats:
            if abs(repeat.change) > DAMAGE_SIGMA * repeat.change_error:
                lines.append(
                    f"{name}: the optical density at {repeat.tilt_deg:g}° changed by {100 * repeat.change:+.2f} ± "
                    f"{100 * repeat.change_error:.2f} % within {repeat.after_frames} frames: radiation damage?"
                )
    return lines


def _verdict(series: AlignInputs, found: Alignment, frames: Frames) -> str:
    """One sentence that says whether to trust the alignment."""
    if series.tilt_deg.size == 1:
        return "Energies registered; a single tilt has nothing else to align."
    tilts = found.tilts
    was, now = (100 * float(np.nanmedian(m)) for m in (tilts.misfit_before, tilts.misfit_after))
    text = f"Frames differ from one common volume by {now:.1f} % of their contrast ({was:.1f} % as recorded)"
    precision = tilts.alignment.precision_px
    if np.isfinite(precision).all():
        text += f"; shifts from two halves of the rows agree within {precision[0]:.3f} px (dy) and {precision[1]:.3f} px (dx) rms"
    if (size := found.driver.binning.factor) > 1:
        text += f"; so large a series is aligned on {size} × {size} pixels averaged"
    bad = series.acquisition_order[frames.suspicious]
    verb = "looks" if bad.size == 1 else "look"
    text += (
        f"; frame{'s' * (bad.size > 1)} {frame_list(bad)} {verb} bad."
        if bad.size
        else "; no frame looks bad."
    )
    return text


def _moved_by_spectra(
    series: AlignInputs, value: Field, variance: Field, settings: Settings, context: StageContext
) -> EnergyShifts | None:
    """Shifts that the spectra show between the aligned energies, beyond their errors; None where there are none."""
    spectra = series.stores[0].attributes["quantity"] == "optical_density"
    if not spectra or settings.energies is False or settings.shifts is not None:
        return None
    moved = shifts_between_energies(value, variance, context.progress("compare spectra"))
    if moved is None:
        return None
    rms = np.sqrt(np.mean(np.sum(moved.shift_px**2, axis=2), axis=1))
    named = [f"{name} {size:.3f}" for name, size in zip(series.names, rms, strict=True) if size > 0]
    context.log(f"moved so that the spectra agree, px rms over the tilts: {', '.join(named)}")
    return moved


def _level(
    series: AlignInputs, value: Field, variance: Field, settings: Settings, context: StageContext
) -> None:
    """Bring the air that all energies see to an optical density of 0, where it is not there within its error."""
    levelled = all(bool(np.any(np.asarray(store["air_level"]) != 1)) for store in series.stores)
    spectra = series.stores[0].attributes["quantity"] == "optical_density"
    if not (spectra and levelled) or settings.branch == "areal_density":
        return  # levels as recorded are kept where nobody asked for another
    levels = common_air_levels(value, variance)
    if levels is None:
        return
    for t in range(value.shape[1]):
        for e in range(value.shape[0]):
            value[e, t] = np.asarray(value[e, t]) - np.float32(levels[e, t])
    rms = np.sqrt(np.mean(levels**2, axis=1))
    named = ", ".join(f"{name} {size:.4f}" for name, size in zip(series.names, rms, strict=True))
    context.log(
        f"air levelled over the pixels that all energies see, optical density rms over the tilts: {named}"
    )


def _resampled(
    series: AlignInputs, solution: Solution, used: BoolArray, allocate: Allocate, context: StageContext
) -> tuple[Field, Field]:
    """Resample the raw pixels of the frames in use, once, with everything composed."""
    shape = (len(series.names), int(used.sum()), *series.shape)
    value, variance = allocate(shape, np.float32), allocate(shape, np.float32)
    progress = context.progress("resample")
    for e in range(shape[0]):
        raw, noise = series.frames(e, used)
        for group in frame_groups(shape[1:]):
            value[e, group], variance[e, group] = resample(
                np.asarray(raw[group]),
                np.asarray(noise[group]),
                dy_px=solution.dy_px[e, used][group],
                dx_px=solution.dx_px[e, used][group],
                magnification=float(solution.magnification[e]),
                rotation_deg=solution.axis_tilt_deg,
                shape=series.shape,
            )
            progress(e * shape[1] + group.stop, shape[0] * shape[1])
    return value, variance


def _of_used(solution: Solution, used: BoolArray) -> Solution:
    return Solution(
        solution.dy_px[:, used], solution.dx_px[:, used], solution.magnification, solution.axis_tilt_deg
    )


def _write(
    path: Path,
    series: AlignInputs,
    found: Alignment,
    frames: Frames,
    value: Field,
    variance: Field,
    warnings: list[str],
    verdict: str,
    common_nm: float,
    energies_ev: Float64Array,
    inputs: dict[str, Path],
    context: StageContext,
) -> None:
    """Write the aligned store."""
    axes = ("series", "tilt", "y", "x")
    quantity = series.stores[0].attributes["quantity"]
    unit = "signal" if quantity == "signal" else "1"
    used, tilts, solution = frames.used, found.tilts, found.solution
    scale = solution.magnification[:, None]
    named = list(zip(series.names, series.stores, strict=True))
    write_store(
        path,
        {
            "value": NamedArray(value, axes, unit),
            "variance": NamedArray(variance, axes, f"{unit}^2"),
            "tilt_deg": NamedArray(series.tilt_deg[used], ("tilt",), "degree"),
            "frame": NamedArray(series.acquisition_order[used], ("tilt",), "1"),
            "dy_px": NamedArray((solution.dy_px / scale)[:, used], ("series", "tilt"), "pixel"),
            "dx_px": NamedArray((solution.dx_px / scale)[:, used], ("series", "tilt"), "pixel"),
            "magnification": NamedArray(solution.magnification, ("series",), "1"),
            "residual": NamedArray(tilts.misfit_after[used], ("tilt",), "1"),
            "residual_as_recorded": NamedArray(tilts.misfit_before[used], ("tilt",), "1"),
            **_pictures(series, found, frames, unit),
        },
        provenance=context.provenance(inputs),
        attributes={
            "series": list(series.names),
            "energies_ev": energies_ev.tolist(),
            "pixel_nm": common_nm,
            "quantity": quantity,
            "invalid": {n: s.attributes["invalid"] for n, s in named},
            "n_pixels": {n: s.attributes["n_pixels"] for n, s in named},
            "stripe_change": {n: s.attributes.get("stripe_change", 0.0) for n, s in named},
            "quality": {
                "verdict": verdict,
                "warnings": warnings,
                "left_out": [{"frame": n, "tilt_deg": t, "reason": why} for n, t, why in frames.left_out],
                "suspicious_frames": series.acquisition_order[frames.suspicious].tolist(),
                "reference_series": series.names[found.reference],
                "driver_binning": found.driver.binning.factor,
                "start": tilts.start,
                "misfit_of_starts": tilts.starts,
                "misfit_by_round": tilts.alignment.misfit.tolist(),
                "last_move_px": tilts.alignment.last_move_px,
                "precision_px": tilts.alignment.precision_px.tolist(),
                "axis_tilt_deg": tilts.axis_tilt_deg,
                "axis_tilt_error_deg": tilts.axis_tilt_error_deg,
                "applied_axis_tilt_deg": tilts.applied_axis_tilt_deg,
                "energy_residual": _of_energies(series, found, lambda r: float(np.nanmedian(r.residual))),
                "energy_magnification": _of_energies(series, found, lambda r: r.magnification),
                "repeats": {
                    name: [vars(repeat) for repeat in repeats] for name, repeats in series.repeats.items()
                },
            },
        },
    )


def _of_energies(series: AlignInputs, found: Alignment, measure) -> dict[str, float]:  # type: ignore[no-untyped-def]
    """A number of each energy's registration by the name of the series."""
    return {
        name: measure(registered)
        for name, registered in zip(series.names, found.energies, strict=True)
        if isinstance(registered, EnergyRegistration)
    }


def _pictures(series: AlignInputs, found: Alignment, frames: Frames, unit: str) -> dict[str, NamedArray]:
    """One detector row at all tilts and its slice, before and after; and the frames that are left out or look bad."""
    if series.tilt_deg.size == 1:
        return {}
    tilts, used = found.tilts, frames.used
    clean = background_free(found.driver.frames)
    lean, shifts = tilts.applied_axis_tilt_deg, found.driver.binning.shifts(tilts.alignment.shifts)
    after = turned(clean, lean, shifts)
    before = turned(clean, 0.0, np.broadcast_to(np.median(shifts, axis=0), shifts.shape))
    row = int(after.std(axis=2).mean(axis=0).argmax())
    rows = np.stack([before[used, row], after[used, row]])
    geometry = TiltGeometry.square(series.tilt_deg[used], rows.shape[2])
    slices = np.stack([filtered_backprojection(r[:, None, :].copy(), geometry)[0] for r in rows])
    arrays = {
        "row": NamedArray(rows, ("state", "tilt", "x"), unit),
        "slice": NamedArray(slices.astype(np.float32), ("state", "y", "x"), f"{unit}/pixel"),
    }
    shown = np.flatnonzero(~used | frames.suspicious)[:MAX_PICTURES]
    if shown.size:
        arrays["shown_frames"] = NamedArray(clean[shown], ("shown", "y", "x"), unit)
        arrays["shown_frame_numbers"] = NamedArray(series.acquisition_order[shown], ("shown",), "1")
    return arrays


def _with_tilts(which: list[tuple[int, float]], most: int = 6) -> str:
    shown = ", ".join(f"{n} ({tilt:g}°)" for n, tilt in which[:most])
    return shown + (f" and {len(which) - most} more" if len(which) > most else "")


def _pixel_nm(name: str, store: Store) -> float:
    pixel = store["pixel_nm"]
    if not np.isfinite(pixel).all():
        raise InputError(
            name,
            expected="a pixel size",
            got="none in the file",
            fix="give `pixel_nm:` (object-plane pixel in nm) beside the images",
=======
    named = {name: inputs[name] for name in settings.series}
    picture = outputs["table"].with_name("alignment_problem.png")
    with shown_when_refused(picture, named), scratch_fields(outputs["store"]) as allocate:
        stores = {name: read_store(path) for name, path in named.items()}
        series = normalized_series(stores)
        start = (
            single_tilt(series)
            if settings.branch == "areal_density"
            else common_tilts(
                series, settings.exclude_frames, settings.exclude_tilts_deg, in_memory_bytes=FIELD_BYTES
            )
>>>>>>> d23b5f3da681ae7f2bcdfd8345c6e69e5d11255a
        )
        facts = series_facts(stores, one_magnification=settings.magnification == "none")
        given = None if settings.shifts is None else read_alignment(inputs["shifts"], start, facts)
        spectra = given is None and facts.quantity == "optical_density" and settings.energies is not False
        options = AlignOptions(
            tilts=settings.tilts,
            energies=facts.quantity != "signal" if settings.energies is None else settings.energies,
            max_shift_px=settings.max_shift_px,
            iterations=settings.iterations,
            axis_column=settings.axis_column,
            axis_tilt_deg=settings.axis_tilt_deg,
            estimate_magnification=settings.magnification == "estimated",
        )
        judged = align_inputs(
            start,
            facts.magnification,
            given,
            options=options,
            exclude_misfits=settings.bad_frames == "exclude",
            name=context.label or context.stage,
            progress=context.progress,
        )
        for line in (*judged.warnings, judged.verdict):
            context.log(line)
        judged, resampled = resample_inputs(judged, allocate, context.progress, by_spectra=spectra)
        if resampled.moved:
            context.log(f"moved so that the spectra agree, px rms over the tilts: {resampled.moved}")
        provenance = context.provenance(inputs)
        write_aligned(outputs["store"], judged, resampled, pictures_of(judged), facts, provenance)
        write_alignment(outputs["table"], judged, facts)
