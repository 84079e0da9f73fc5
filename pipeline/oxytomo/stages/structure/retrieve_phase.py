"""Stage ``retrieve_phase``: one phase map per angle from one or several distances."""

from functools import partial
from pathlib import Path

from oxytomo.align.distances import DistanceGrid, read_frames
from oxytomo.align.starts import background_free
from oxytomo.config.stage_settings import RetrievePhaseStage as Settings
from oxytomo.io.phase_stores import scan_series, write_phase_maps
from oxytomo.io.scratch import scratch_arrays
from oxytomo.io.stores import read_store
from oxytomo.phase.retrieval import (
    RetrievalOptions,
    first_look,
    leaves_frame,
    retrieve,
    single_distance,
    some_frames,
)
from oxytomo.phase.scan import ScanOptions, phase_scan
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read blocks of frames, register them, retrieve the phase, and write."""
    series = [scan_series(name, read_store(inputs[name])) for name in settings.distances or inputs]
    places = None if settings.distances is None else list(settings.distances.values())
    scan = phase_scan(series, places, settings.options(ScanOptions))
    frames = [one.frames for one in series]
    some = read_frames(frames[scan.reference], some_frames(scan.tilt_deg.size))
    grid = DistanceGrid(
        frames,
        scan.scales,
        partial(single_distance, scan),
        settings.max_shift_px if settings.register_distances else None,
    )
    with scratch_arrays(outputs["store"], {"value": (scan.tilt_deg.size, *scan.shape)}) as arrays:
        maps = retrieve(
            scan,
            grid.frames,
            arrays["value"],
            settings.options(RetrievalOptions),
            cut=leaves_frame(background_free(first_look(scan, some))),
            without_background=background_free,
            workers=context.threads,
            progress=context.progress(scan.method),
        )
        for line in maps.warnings:
            context.log(f"warning: {line}")
        write_phase_maps(outputs["store"], maps, scan, context.provenance(inputs))
