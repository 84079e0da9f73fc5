"""Stage ``align``: bring all series of a branch to one pixel grid and one tilt axis."""

from pathlib import Path

from oxytomo.align.applied import align_inputs, pictures_of, resample_inputs
from oxytomo.align.inputs import common_tilts, single_tilt
from oxytomo.align.tilts import AlignOptions
from oxytomo.config.stage_settings import AlignStage as Settings
from oxytomo.io.aligned_store import air_was_levelled, normalized_series, series_facts, write_aligned
from oxytomo.io.alignment import read_alignment, write_alignment
from oxytomo.io.scratch import FIELD_BYTES, scratch_fields
from oxytomo.io.stores import read_store
from oxytomo.stages.context import StageContext
from oxytomo.view.refused_alignment import shown_when_refused


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Estimate or load magnification and shifts, combine them, resample once, and write."""
    named = {name: inputs[name] for name in settings.series}
    picture = outputs["table"].with_name("alignment_problem.png")
    with shown_when_refused(picture, named), scratch_fields(outputs["store"]):
        stores = {name: read_store(path) for name, path in named.items()}
        series = normalized_series(stores)
        excluded = settings.exclude_frames, settings.exclude_tilts_deg
        start = single_tilt(series) if settings.branch == "areal_density" else None
        start = start or common_tilts(series, *excluded, in_memory_bytes=FIELD_BYTES)
        facts = series_facts(stores, one_magnification=settings.magnification == "none")
        given = None if settings.shifts is None else read_alignment(inputs["shifts"], start, facts)
        spectra = given is None and facts.quantity == "optical_density" and settings.energies is not False
        air = facts.quantity == "optical_density" and air_was_levelled(stores)
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
        judged, resampled = resample_inputs(judged, context.progress, by_spectra=spectra, one_air=air)
        if resampled.moved:
            context.log(f"moved so that the spectra agree, px rms over the tilts: {resampled.moved}")
        if resampled.levelled:
            context.log(f"air that all energies see, taken off, optical density rms: {resampled.levelled}")
        provenance = context.provenance(inputs)
        write_aligned(outputs["store"], judged, resampled, pictures_of(judged), facts, provenance)
        write_alignment(outputs["table"], judged, facts)
