"""Stage ``reconstruct_structure``: volume from phase maps at all angles."""

from pathlib import Path

from oxytomo.align.inputs import require_whole_field
from oxytomo.align.rotation import RotationAxis, RotationOptions, on_rotation, rotation_axis
from oxytomo.config.stage_settings import ReconstructStructureStage as Settings
from oxytomo.io.phase_stores import write_phase_volume
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import read_store
from oxytomo.phase.optics import wavelength_nm
from oxytomo.reconstruct.phase_volume import back_projected, require_angles, voxel_unit
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Find the rotation axis, reconstruct slab by slab, and write."""
    store = read_store(inputs["retrieve_phase"])
    facts, tilt_deg, frames = store.attributes, store["tilt_deg"], store.field("value")
    require_angles(str(store.path), tilt_deg)
    require_whole_field(str(store.path), frames, tilt_deg)
    options = settings.options(RotationOptions)
    unit = voxel_unit(
        facts["quantity"],
        pixel_nm=float(facts["pixel_nm"]),
        wavelength_nm=wavelength_nm(float(facts["energy_ev"])),
    )
    with scratch_fields(outputs["store"]):
        if settings.align_tilts:
            frames, text = on_rotation(frames, tilt_deg, options, progress=context.progress)
            context.log(text)
            axis = RotationAxis.in_the_middle(frames.shape[2], "projection matching")
        else:
            axis = rotation_axis(frames, tilt_deg, options, context.progress)
        context.log(f"rotation axis at column {axis.column:.2f} of {frames.shape[2]} ({axis.how})")
        for line in axis.remarks:
            context.log(f"warning: {line}")
        volume = back_projected(
            frames,
            tilt_deg,
            axis_column=axis.column,
            factor=unit.factor,
            threads=context.threads,
            on_iteration=context.progress("filtered back-projection"),
        )
        write_phase_volume(outputs["store"], volume, store, axis, unit.unit, context.provenance(inputs))
