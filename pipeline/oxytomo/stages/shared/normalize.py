"""Stage ``normalize``: optical density (or signal) with variance from one raw series."""

from pathlib import Path

import numpy as np

from oxytomo.config import source_files
from oxytomo.config.stage_settings import NormalizeStage as Settings
from oxytomo.errors import errors_about
from oxytomo.io.normalized_store import write_normalized
from oxytomo.io.readers import read_tilt_series
from oxytomo.io.scratch import scratch_fields
from oxytomo.preprocess import tilt_series
from oxytomo.preprocess.optical_density import check_same_shape, normalization_lines
from oxytomo.preprocess.plausible import looked_at, require_plausible
from oxytomo.preprocess.stripes import without_stripes
from oxytomo.slabs import Field, reordered
from oxytomo.stages.context import StageContext
from oxytomo.stages.sources import normalization, read_request


def run(
    _inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext
) -> None:
    """Read the raw files of the settings, normalise, sort by tilt angle, and write."""
    source, name = settings.source, settings.series
    raw = {f"raw_{i}": path for i, path in enumerate(source_files(source))}
    series = read_tilt_series(read_request(source))
    if source.only_energy_ev is not None:
        series = tilt_series.at_energy(series, source.only_energy_ev, name=name)
    if source.tilt_axis == "horizontal":
        series = tilt_series.transposed(series)
    check_same_shape(f"{name}: flat field", series.frames, series.flat)
    check_same_shape(f"{name}: dark field", series.frames, series.dark)
    with errors_about(f"{name} ({source.images[0]})"):
        meaning = tilt_series.meaning_of(
            series,
            name=name,
            given=source.quantity,
            default=settings.default_quantity,
            complex_part=source.complex_part,
        )
    frames = [series.frames[i] for i in looked_at(series.n_frames)]
    require_plausible(name, frames, meaning.quantity)
    with scratch_fields(outputs["store"]):
        how = normalization(settings)
        with errors_about(f"{name} ({source.images[0]})"):
            normalized = tilt_series.normalize_series(series, meaning, how, name=name)
        tilt_series.require_valid_pixels(normalized, name)
        order = np.argsort(series.tilt_deg, kind="stable")
        value: Field = reordered(normalized.value, order)
        change = 0.0
        if settings.stripe_removal != "none":
            value, change = without_stripes(value, method=settings.stripe_removal)
            context.log(f"{name}: stripe removal changed the total by {100 * change:+.3f} %")
        for line in normalization_lines(normalized, int(np.prod(series.frames.shape))):
            context.log(f"{name}: {line}")
        ordered = tilt_series.Ordered(series, normalized, value, order)
        provenance, unit = context.provenance(raw), meaning.unit
        write_normalized(outputs["store"], ordered, unit=unit, stripe_change=change, provenance=provenance)
