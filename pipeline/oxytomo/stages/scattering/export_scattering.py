"""Stage ``export_scattering``: maps and differences as one image."""

from pathlib import Path

from oxytomo.config import ExportStage as Settings
from oxytomo.export.emission_image import emission_image
from oxytomo.export.ome_zarr import write_image
from oxytomo.export.record import provenance_attributes
from oxytomo.io.stores import read_store
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``measure`` and ``calibrate_<map>``, write ``store``."""
    measured = read_store(inputs["measure"])
    names = [str(name) for name in measured.attributes["maps"]]
    image = emission_image({name: read_store(inputs[f"calibrate_{name}"]) for name in names}, measured)
    write_image(
        outputs["store"],
        image.channels,
        name=settings.sample,
        axes=("c", "y", "x"),
        voxel_nm=image.step_ev,
        labels=[],
        ngff=settings.ngff,
        chunk=settings.chunk,
        shard=settings.shard,
        levels=settings.levels,
        threads=context.threads,
        attributes=provenance_attributes(
            context.provenance(inputs),
            kind="scattering",
            sample=settings.sample,
            units=dict.fromkeys((channel.name for channel in image.channels), "1/electronvolt"),
            axes_of_energy={
                "y": {"name": "excitation", "unit": "electronvolt", "first": image.excitation_ev},
                "x": {"name": "emission", "unit": "electronvolt", "first": image.emission_ev},
                "step": image.step_ev,
                "note": "1 nm of the image stands for 1 eV",
            },
        ),
    )
    n_y, n_x = image.channels[0].data.shape
    context.log(f"{len(image.channels)} channels of {n_y} × {n_x} pixels of {image.step_ev:.3g} eV")
