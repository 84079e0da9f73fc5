"""Results of a small made-up sample with three branches on two grids, for the tests of the napari plugin."""

import json
from pathlib import Path

import numpy as np
import pytest

from oxytomo.config.stage_settings import ClassifyStage, ExportStage, MeasureStage
from oxytomo.export.ngff import Channel, Label
from oxytomo.export.ome_zarr import write_image
from oxytomo.export.record import provenance_attributes
from oxytomo.io.provenance import make_provenance
from oxytomo.io.stores import NamedArray, write_store
from oxytomo.io.tables import write_csv
from oxytomo.palette import (
    EXCLUDED_COLORS,
    PARTICLE_COLORS,
    PARTICLE_NAMES,
    VOID_COLORS,
    VOID_NAMES,
    instance_colors,
)
from oxytomo.stages.composition import classify, export_composition, measure
from oxytomo.stages.context import StageContext

VOLUME = ("z", "y", "x")
SIDE, VOXEL_NM = 40, 10.0
FINE_SIDE, FINE_NM = 50, 8.0
"""Grid of the composition and of the finer structure."""

POOR, WEAK, RICH = (12, 20, 12), (20, 20, 28), (28, 20, 14)
"""Centres (voxels) of cubes of 5 voxels: deviation +0.2, +0.07 and −0.2."""

PORE, CRACK_Z = (14, 25, 34), 38
"""Centre of a cubic pore of 5 voxels, and the slice of a flat crack, on the fine grid."""


def cube(centre: tuple[int, int, int], half: int = 2) -> tuple[slice, ...]:
    return tuple(slice(middle - half, middle + half + 1) for middle in centre)


def composition_volume() -> tuple[np.ndarray, np.ndarray]:
    """Return the deviation (NaN outside) and the particle, a ball of 16 voxels radius."""
    middle = (SIDE - 1) / 2
    z, y, x = np.indices((SIDE,) * 3) - middle
    particle = z**2 + y**2 + x**2 <= 16**2
    deviation = np.where(particle, 0.0, np.nan).astype(np.float32)
    for centre, value in ((POOR, 0.2), (WEAK, 0.07), (RICH, -0.2)):
        deviation[cube(centre)] = value
    return deviation, particle


def make_sample(folder: Path) -> Path:
    """Write the results of a sample; the composition by its own stages."""
    folder.mkdir(parents=True)
    _composition(folder)
    _structure(folder)
    _oxidation(folder)
    return folder


def composition_only(folder: Path) -> Path:
    """Write the results of a sample with one branch, the composition."""
    folder.mkdir(parents=True)
    _composition(folder)
    return folder


def _context(stage: str) -> StageContext:
    return StageContext(stage, 1, 1, {})


def _store(path: Path, arrays: dict[str, NamedArray], raw: Path, **attributes: object) -> Path:
    provenance = make_provenance("made", 1, {}, {"raw_0": raw})
    write_store(path, arrays, provenance=provenance, attributes=attributes)
    return path


def _composition(folder: Path) -> None:
    stages, rng = folder / "stages" / "composition", np.random.default_rng(5)
    raw = folder / "raw.h5"
    raw.write_bytes(b"raw frames")
    deviation, particle = composition_volume()
    noise = rng.normal(0, 0.02, (3, *deviation.shape)).astype(np.float32)
    densities = np.stack([particle, particle * 0.9]).astype(np.float32)
    inputs = {
        "reconstruct": _store(
            stages / "reconstruct.zarr",
            {
                "elements": NamedArray(densities, ("element", *VOLUME), "1"),
                "deviation": NamedArray(deviation, VOLUME, "1"),
                "particle": NamedArray(particle, VOLUME, "1"),
            },
            raw,
            elements=["O", "Ni"],
            pixel_nm=VOXEL_NM,
            reference_tm_o=1.0,
        ),
        "uncertainty": _store(
            stages / "uncertainty.zarr",
            {
                "deviation_sigma": NamedArray(
                    np.where(particle, 0.02, np.nan).astype(np.float32), VOLUME, "1"
                ),
                "replicates": NamedArray((deviation + noise).astype(np.float16), ("replicate", *VOLUME), "1"),
                "null": NamedArray(
                    np.where(particle, noise[:2], np.nan).astype(np.float16), ("replicate", *VOLUME), "1"
                ),
            },
            raw,
            pixel_nm=VOXEL_NM,
            systematic=0.0,
            skin_oxygen_px=0.0,
            noise=0.02,
        ),
    }
    settings = ClassifyStage(threshold=0.05, confidence=0.95)
    classify.run(inputs, {"store": stages / "classify.zarr"}, settings, _context("classify"))
    inputs["classify"] = stages / "classify.zarr"
    tables = {
        "phases": folder / "phases.json",
        "domains": folder / "domains.csv",
        "shells": folder / "composition_shells.csv",
    }
    measure.run(inputs, tables, MeasureStage(shells=4, min_domain_voxels=8), _context("measure"))
    export_composition.run(
        inputs,
        {"store": folder / "composition.ome.zarr"},
        ExportStage(sample=folder.name, chunk=16, shard=16),
        _context("export_composition"),
    )


def _structure(folder: Path) -> None:
    shape = (FINE_SIDE,) * 3
    voids, instances = np.zeros(shape, np.uint8), np.zeros(shape, np.int32)
    voids[cube(PORE)], instances[cube(PORE)] = 1, 1
    voids[CRACK_Z, 15:35, 15:35], instances[CRACK_Z, 15:35, 15:35] = 2, 2
    particle = np.zeros(shape, np.uint8)
    particle[5:-5, 5:-5, 5:-5] = 1
    volume = np.where(voids > 0, 0.0, particle).astype(np.float32)
    colors = instance_colors(2)
    labels = [
        Label("particle", particle, PARTICLE_COLORS, PARTICLE_NAMES),
        Label("voids", voids, VOID_COLORS, VOID_NAMES),
        Label("void_instances", instances, colors, {label: f"void {label}" for label in colors}),
    ]
    _image(folder, "structure", [Channel("volume", volume, "FFFFFF", (0.0, 1.0))], VOLUME, FINE_NM, labels)
    place = {f"centroid_{axis}_nm": [PORE[i] * FINE_NM] for i, axis in enumerate("zyx")}
    common = {"volume_nm3": [125 * FINE_NM**3], "touches_surface": [False], "open": [False]}
    size = {"pore": [1], "equivalent_diameter_nm": [49.6], "depth_nm": [72.0]}
    write_csv(folder / "pores.csv", size | common | place)
    middle = {"centroid_z_nm": [CRACK_Z * FINE_NM], "centroid_y_nm": [196.0], "centroid_x_nm": [196.0]}
    size = {"crack": [1], "extent_nm": [226.0], "least_depth_nm": [50.0]}
    write_csv(folder / "cracks.csv", size | common | middle)
    shells = [
        {
            "shell_outer": 50.0 * i,
            "shell_inner": 50.0 * (i + 1),
            "porosity": 0.02,
            "pores": 0.01,
            "cracks": 0.01,
        }
        for i in range(2)
    ]
    (folder / "structure.json").write_text(json.dumps({"shells": shells}))


def _oxidation(folder: Path) -> None:
    valence = np.full((SIDE, SIDE), np.nan, np.float32)
    valence[8:32, 8:32] = np.linspace(3.0, 4.0, 24)[:, None]
    names = {"Mn": valence, "Mn_residual": valence / 100, "Mn_fraction_Mn_3": 4 - valence}
    channels = [Channel(name, data, "FFFFFF", (3.0, 4.0)) for name, data in names.items()]
    label = Label(
        "excluded", np.zeros((SIDE, SIDE), np.uint8), EXCLUDED_COLORS, dict.fromkeys(EXCLUDED_COLORS, "x")
    )
    _image(folder, "oxidation", channels, ("c", "y", "x"), VOXEL_NM, [label])
    write_csv(
        folder / "oxidation_shells.csv",
        {
            "element": ["Mn", "Mn"],
            "shell_inner": [50, 100],
            "shell_outer": [0, 50],
            "mean_valence": [3.2, 3.6],
            "standard_error": [0.01, 0.02],
        },
    )


def _image(
    folder: Path,
    kind: str,
    channels: list[Channel],
    axes: tuple[str, ...],
    voxel_nm: float,
    labels: list[Label],
) -> None:
    provenance = make_provenance(f"export_{kind}", 1, {}, {"raw_0": folder / "raw.h5"})
    facts = {"n_pores": 1} if kind == "structure" else {}
    write_image(
        folder / f"{kind}.ome.zarr",
        channels,
        name=folder.name,
        axes=axes,
        voxel_nm=voxel_nm,
        labels=labels,
        ngff="0.5",
        chunk=16,
        shard=16,
        levels=None,
        threads=1,
        attributes=provenance_attributes(
            provenance, kind=kind, sample=folder.name, units={channels[0].name: "1"}, **facts
        ),
    )


@pytest.fixture(scope="session")
def plugin_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sample with composition, oxidation and structure; not to be changed."""
    return make_sample(tmp_path_factory.mktemp("results") / "grain")
