"""How long the napari plugin takes: opening 1024³, moving the threshold at 256³, selecting an object at 256³.

``xvfb-run -a python benchmarks/napari_speed.py FOLDER`` (or on a desktop). Generates its data in FOLDER (300 MB; all shards of
the large store are links to one file, so disks and caches are spared but decoding is not). Wall and processor time; the window
is drawn by software where there is no graphics card.
"""

import argparse
import itertools
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from oxytomo.export.ngff import Channel, Label, image_metadata, label_metadata, labels_metadata
from oxytomo.export.ome_zarr import write_image
from oxytomo.export.record import provenance_attributes
from oxytomo.io.stores import NamedArray, Provenance, encode_json, write_store
from oxytomo.io.tables import write_csv
from oxytomo.measure.domains import domain_table, find_domains
from oxytomo.measure.shells import depth_below_surface
from oxytomo.palette import PARTICLE_COLORS, PARTICLE_NAMES, PHASE_COLORS, PHASE_NAMES
from oxytomo.segment.classes import classify_deviation

PROVENANCE = Provenance("export_composition", 1, {}, {}, "0", "2024-01-01T00:00:00+00:00")
VOXEL_NM, CHUNK, SHARD = 10.0, 64, 256
REPEATS = 15


def channels(deviation: np.ndarray, sigma: np.ndarray) -> list[Channel]:
    names = (("tm_o_deviation", deviation, (-0.15, 0.15)), ("tm_o_deviation_sigma", sigma, (0.0, 0.05)))
    return [Channel(name, data, "FFFFFF", window) for name, data, window in names]


def attributes() -> dict[str, Any]:
    return dict(provenance_attributes(PROVENANCE, kind="composition", sample="large", threshold=0.05))


def particle_with_domains(side: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a deviation with some 200 cubic domains, NaN outside a ball, and the ball."""
    middle = (side - 1) / 2
    squares = [(np.arange(side) - middle) ** 2 for _ in range(3)]
    particle = sum(np.ix_(*squares)) <= (0.45 * side) ** 2  # type: ignore[arg-type]
    deviation = rng.normal(0, 0.01, (side,) * 3).astype(np.float32)
    width = side // 32
    for number in range(200):
        corner = rng.integers(0, side - width, 3)
        deviation[tuple(slice(c, c + width) for c in corner)] += 0.2 if number % 2 else -0.2
    deviation[~particle] = np.nan
    return deviation, particle


def write_large(folder: Path, side: int) -> Path:
    """Write a store of side³ voxels of which all full shards are one file."""
    path = folder / "large" / "composition.ome.zarr"
    shutil.rmtree(path.parent, ignore_errors=True)
    deviation, particle = particle_with_domains(SHARD, np.random.default_rng(0))
    phases = classify_deviation(deviation, particle, threshold=0.05)
    factors = [(2**level,) * 3 for level in range(int(np.log2(side // CHUNK)) + 1)]
    image = image_metadata(
        channels(deviation, deviation),
        name="large",
        axes=("c", "z", "y", "x"),
        voxel_nm=VOXEL_NM,
        factors=factors,
        ngff="0.5",
        ranges=[(-1.0, 1.0)] * 2,
    )
    group = zarr.create_group(str(path), attributes={**image, **encode_json(attributes())})
    fill_levels(group, path, [deviation, np.abs(deviation)], side, len(factors))
    labels = {
        "phases": (phases, PHASE_COLORS, PHASE_NAMES),
        "particle": (particle.view(np.uint8), PARTICLE_COLORS, PARTICLE_NAMES),
    }
    parent = group.create_group("labels", attributes=labels_metadata(list(labels), ngff="0.5"))
    for name, (data, colors, names) in labels.items():
        described = label_metadata(
            Label(name, data, colors, names),
            axes=("z", "y", "x"),
            voxel_nm=VOXEL_NM,
            factors=factors,
            ngff="0.5",
        )
        own = parent.create_group(name, attributes=described)
        fill_levels(own, path / "labels" / name, [data], side, len(factors))
    return path


def fill_levels(group: Any, path: Path, blocks: list[np.ndarray], side: int, n_levels: int) -> None:
    """Write all levels; of each array one shard is written and the others are links to it."""
    lead = (len(blocks),) if len(blocks) > 1 else ()
    for level in range(n_levels):
        edge = side >> level
        shard = min(SHARD, edge)
        ones = (1,) * len(lead)
        array = group.create_array(
            str(level),
            shape=(*lead, edge, edge, edge),
            dtype=blocks[0].dtype,
            chunks=(*ones, CHUNK, CHUNK, CHUNK),
            shards=(*ones, shard, shard, shard),
            compressors=BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"),  # as the exports are
        )
        for number, block in enumerate(blocks):
            index = (number,) if lead else ()
            part = block[:: SHARD // shard, :: SHARD // shard, :: SHARD // shard]
            array[(*index, *(slice(shard),) * 3)] = part
            root = path / str(level) / "c" / "/".join(map(str, index))
            first = root / "0" / "0" / "0"
            for place in itertools.product(range(edge // shard), repeat=3):
                target = root.joinpath(*map(str, place))
                if target != first:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.link(first, target)


def write_sample(folder: Path, side: int) -> Path:
    """Write a sample of side³ voxels with four noise replicates, two null runs and its table of domains."""
    sample = folder / "sample"
    shutil.rmtree(sample, ignore_errors=True)
    rng = np.random.default_rng(1)
    deviation, particle = particle_with_domains(side, rng)
    phases = classify_deviation(deviation, particle, threshold=0.05)
    sigma = np.where(particle, np.float32(0.01), np.float32(np.nan))
    write_image(
        sample / "composition.ome.zarr",
        channels(deviation, sigma),
        name="sample",
        axes=("c", "z", "y", "x"),
        voxel_nm=VOXEL_NM,
        labels=[
            Label("phases", phases, PHASE_COLORS, PHASE_NAMES),
            Label("particle", particle.view(np.uint8), PARTICLE_COLORS, PARTICLE_NAMES),
        ],
        ngff="0.5",
        chunk=CHUNK,
        shard=SHARD,
        levels=None,
        threads=1,
        attributes=attributes(),
    )
    noisy = np.stack(
        [(deviation + rng.normal(0, 0.01, deviation.shape)).astype(np.float16) for _ in range(4)]
    )
    axes = ("replicate", "z", "y", "x")
    stacks = {"replicates": NamedArray(noisy, axes, "1"), "null": NamedArray(noisy[:2], axes, "1")}
    store = sample / "stages" / "composition" / "uncertainty.zarr"
    write_store(store, stacks, provenance=PROVENANCE, attributes={"pixel_nm": VOXEL_NM})
    depth = depth_below_surface(particle, voxel_nm=VOXEL_NM)
    table = domain_table(find_domains(phases, depth), voxel_nm=VOXEL_NM, min_voxels=27)
    write_csv(sample / "domains.csv", {name: list(column) for name, column in table.items()})
    return sample


def timed(action: Callable[[], object]) -> tuple[float, float]:
    """Return wall and processor seconds of an action and of drawing what it changed."""
    from qtpy.QtWidgets import QApplication

    wall, processor = time.perf_counter(), time.process_time()
    action()
    QApplication.processEvents()
    return time.perf_counter() - wall, time.process_time() - processor


def report(name: str, times: list[tuple[float, float]]) -> None:
    wall, processor = np.array(times).T
    print(
        f"{name:46s} {1e3 * np.median(wall):8.0f} ms wall (least {1e3 * wall.min():.0f}), "
        f"{1e3 * np.median(processor):6.0f} ms processor (least {1e3 * processor.min():.0f}), n = {len(times)}",
        flush=True,
    )


def settle(until: Callable[[], bool]) -> None:
    from qtpy.QtWidgets import QApplication

    while not until():
        QApplication.processEvents()
        time.sleep(0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    large, sample = write_large(folder, 1024), write_sample(folder, 256)
    import napari

    warm = napari.Viewer(show=True)
    warm.window.resize(1300, 900)
    timed(lambda: warm.open(str(sample / "composition.ome.zarr"), plugin="oxytomo"))
    warm.layers.clear()
    report(
        "open 1024³ (2 channels, 2 labels), drawn", [timed(lambda: warm.open(str(large), plugin="oxytomo"))]
    )
    steps = [
        timed(lambda z=z: setattr(warm.dims, "point", (z * VOXEL_NM, 0.0, 0.0))) for z in range(100, 900, 53)
    ]
    report("another slice of 1024³", steps)
    warm.layers.clear()
    warm.open(str(sample), plugin="oxytomo")
    threshold = warm.window.add_plugin_dock_widget("oxytomo", "Threshold")[1]
    start = time.perf_counter()
    settle(lambda: threshold.model is not None)
    print(f"reading 256³, four replicates and two null runs: {time.perf_counter() - start:.1f} s", flush=True)
    report(
        "threshold at 256³, classes and table",
        [timed(lambda k=k: threshold.slider.setValue(20 + 7 * k)) for k in range(REPEATS)],
    )
    objects = warm.window.add_plugin_dock_widget("oxytomo", "Objects")[1]
    print(f"{len(objects.objects.rows)} objects", flush=True)
    timed(lambda: objects.select_row(1))
    report(
        "object at 256³, centred and outlined",
        [timed(lambda i=i: objects.select_row(5 + 3 * i)) for i in range(REPEATS)],
    )
    report("the largest object", [timed(lambda: objects.select_row(0))])
    warm.close()


if __name__ == "__main__":
    main()
