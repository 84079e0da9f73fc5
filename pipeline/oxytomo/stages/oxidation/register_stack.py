"""Stage ``register_stack``: register the frames of the stack of one element."""

from pathlib import Path

from oxytomo.align.stack_frames import StackOptions, move_frames, place_frames
from oxytomo.config.stage_settings import RegisterStackStage as Settings
from oxytomo.io.oxidation_stores import recorded_stack, registered_arrays, registered_facts
from oxytomo.io.scratch import scratch_arrays
from oxytomo.io.stores import read_store, write_store
from oxytomo.oxidation.edges import default_windows
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``normalize``, write ``store``."""
    normalized = read_store(inputs["normalize"])
    stack, options = recorded_stack(normalized), settings.options(StackOptions)
    place = place_frames(
        stack,
        options,
        edge_ev=default_windows(stack.element, stack.energy_ev).edge_ev if settings.enabled else None,
        progress=context.progress("register"),
    )
    with scratch_arrays(outputs["store"], {"value": stack.shape, "variance": stack.shape}) as arrays:
        move_frames(stack, place, arrays["value"], arrays["variance"])
        write_store(
            outputs["store"],
            registered_arrays(arrays, stack.energy_ev, place),
            provenance=context.provenance(inputs),
            attributes=registered_facts(normalized, place, max_shift_px=settings.max_shift_px),
        )
    for line in place.remarks(stack.energy_ev):
        context.log(f"warning: {line}")
    context.log(place.described())
