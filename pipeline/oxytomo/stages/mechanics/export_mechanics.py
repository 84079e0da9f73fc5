"""Stage ``export_mechanics``: lithium and stress of the shown state as an OME-Zarr image."""

from pathlib import Path

from oxytomo.config.stage_settings import ExportStage as Settings
from oxytomo.export.ngff import Label
from oxytomo.export.stress_images import LABEL_COLORS, LABEL_NAMES, stress_channels
from oxytomo.io.mechanics_stores import in_whole, read_shown
from oxytomo.io.stores import read_store
from oxytomo.stages.context import StageContext
from oxytomo.stages.image_product import write_image_product


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``lithiate`` and ``solve_stress``, write ``store`` on the grid of the whole volume."""
    lithium, stress = read_store(inputs["lithiate"]), read_store(inputs["solve_stress"])
    shown = read_shown(lithium, stress)
    shape = [int(side) for side in lithium.attributes["whole_shape"]]
    channels, units = stress_channels(shown, shape, in_time=lithium.attributes["in_time"])
    parts = in_whole(shown.parts.labels, shown.parts.start, shape)
    write_image_product(
        outputs["store"],
        channels,
        [Label("parts", parts, LABEL_COLORS, LABEL_NAMES)],
        context=context,
        inputs=inputs,
        settings=settings,
        axes=("c", "z", "y", "x"),
        voxel_nm=1e3 * shown.parts.voxel_um,
        kind="mechanics",
        c_rate=shown.state["c_rate"],
        depth=shown.state["depth"],
        amplitude_mpa=shown.amplitude_mpa,
        units=units,
    )
