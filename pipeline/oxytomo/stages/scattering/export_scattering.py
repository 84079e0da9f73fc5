"""Stage ``export_scattering``: maps and differences as one image."""

from pathlib import Path

from oxytomo.config.stage_settings import ExportStage as Settings
from oxytomo.export.emission_image import emission_image
from oxytomo.io.stores import read_store
from oxytomo.stages.context import StageContext
from oxytomo.stages.image_product import write_image_product


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``measure`` and ``calibrate_<map>``, write ``store``."""
    measured = read_store(inputs["measure"])
    names = [str(name) for name in measured.attributes["maps"]]
    image = emission_image({name: read_store(inputs[f"calibrate_{name}"]) for name in names}, measured)
    write_image_product(
        outputs["store"],
        image.channels,
        [],
        context=context,
        inputs=inputs,
        settings=settings,
        axes=("c", "y", "x"),
        voxel_nm=image.step_ev,
        kind="scattering",
        units=dict.fromkeys((channel.name for channel in image.channels), "1/electronvolt"),
        axes_of_energy={
            "y": {"name": "excitation", "unit": "electronvolt", "first": image.excitation_ev},
            "x": {"name": "emission", "unit": "electronvolt", "first": image.emission_ev},
            "step": image.step_ev,
            "note": "1 nm of the image stands for 1 eV",
        },
    )
