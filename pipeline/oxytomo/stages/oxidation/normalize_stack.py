"""Stage ``normalize_stack``: optical density from the raw stack of one element."""

from pathlib import Path

from oxytomo.config import source_files
from oxytomo.config.stage_settings import NormalizeStackStage as Settings
from oxytomo.io.oxidation_stores import write_density
from oxytomo.io.scratch import scratch_arrays
from oxytomo.preprocess.plausible import looked_at, require_plausible
from oxytomo.preprocess.stack_density import DensityOptions, stack_density
from oxytomo.stages.context import StageContext
from oxytomo.stages.sources import open_stack


def run(
    _inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext
) -> None:
    """Read the raw files of the settings frame by frame, normalise and write."""
    raw = {f"raw_{i}": path for i, path in enumerate(source_files(settings.source))}
    stack, element = open_stack(settings.source), settings.element
    require_plausible(element, [stack.frame(i) for i in looked_at(stack.shape[0])], stack.quantity)
    progress, options = context.progress("normalize"), settings.options(DensityOptions)
    with scratch_arrays(outputs["store"], {"value": stack.shape, "variance": stack.shape}) as arrays:
        found = stack_density(stack, options, arrays["value"], arrays["variance"], progress=progress)
        write_density(outputs["store"], arrays, found, stack, element, context.provenance(raw))
    context.log(found.described(stack.energy_ev))
