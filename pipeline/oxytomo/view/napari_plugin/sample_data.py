"""Sample data of the plugin: a simulated particle, and results of a simulated measurement."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from oxytomo.errors import StoreError
from oxytomo.palette import PHASE_COLORS, element_color
from oxytomo.segment.classes import classify_deviation
from oxytomo.simulate.particles import cathode_particle
from oxytomo.simulate.phantoms import class_fractions, true_deviation, voxel_means
from oxytomo.view.napari_plugin.layers import LayerTuple, deviation_limit, diverging_colors, label_colors
from oxytomo.view.napari_plugin.reader import read_results

FORMULA = {"Li": 1.2, "Mn": 0.56, "Ni": 0.16, "Co": 0.08, "O": 2.0}
SIDE, VOXEL_NM, THRESHOLD = 96, 12.0, 0.05
DIAMETER_NM = 800.0
COMMANDS = (
    ("simulate", "{folder}", "--size", "48", "--tilts", "33", "--photons", "1e5", "--elements", "O", "Ni"),
    ("simulate", "{folder}/voids", "--kind", "volume", "--size", "64"),
)


def simulated_particle() -> list[LayerTuple]:
    """Return the exact composition of a simulated particle: densities, deviation and classes."""
    phantom = cathode_particle(
        rng=np.random.default_rng(1),
        formula=FORMULA,
        diameter_nm=DIAMETER_NM,
        n_oxygen_poor=8,
        n_oxygen_rich=8,
        n_pores=6,
        n_cracks=1,
        rim_nm=0.0,
        void_radius_nm=0.06 * DIAMETER_NM,
        deviation=(0.1, 0.25),
    )
    grid: dict[str, Any] = {"pixel_nm": VOXEL_NM, "shape": (SIDE,) * 3, "subsamples": 3}
    densities = voxel_means(phantom, **grid)
    solid = class_fractions(phantom, **grid)["solid"]
    deviation = true_deviation(densities, solid, elements=phantom.elements, formula=FORMULA)
    classes = classify_deviation(deviation, np.isfinite(deviation), threshold=THRESHOLD)
    placed = {"scale": (VOXEL_NM,) * 3, "units": ("nm",) * 3, "axis_labels": ("z", "y", "x")}
    layers: list[LayerTuple] = [
        (
            density,
            {
                "name": f"{name} (truth)",
                "visible": False,
                "blending": "additive",
                "contrast_limits": (0.0, 1.2),
                **placed,
            }
            | {"colormap": f"#{element_color(name, index)}"},
            "image",
        )
        for index, (name, density) in enumerate(zip(phantom.elements, densities, strict=True))
    ]
    limit = deviation_limit(THRESHOLD, 0.0)
    colors = {"colors": diverging_colors(), "name": "TM/O deviation"}
    shown = {
        "name": "TM/O deviation (truth)",
        "colormap": colors,
        "contrast_limits": (-limit, limit),
        **placed,
    }
    labels = {"name": "classes (truth)", "colormap": label_colors(PHASE_COLORS), "opacity": 0.75, **placed}
    return [*layers, (deviation, shown, "image"), (classes, labels, "labels")]


def simulated_results() -> list[LayerTuple]:
    """Return the results of a small simulated measurement.

    The first time they are computed and open when ready.
    """
    import napari
    from napari.qt.threading import create_worker
    from napari.utils.notifications import show_error, show_info

    folder = cache_folder()
    if (folder / "results" / "particle" / "report.html").is_file():
        return read_results(str(folder / "results" / "particle"))
    viewer = napari.current_viewer()
    worker: Any = create_worker(compute_results, folder, _start_thread=False)
    worker.returned.connect(lambda done: viewer.open(str(done), plugin="oxytomo"))
    worker.errored.connect(lambda error: show_error(str(error)))
    worker.start()
    show_info(f"Simulating and computing in {folder}: a few minutes, once. The results open by themselves.")
    return []


def cache_folder() -> Path:
    """Return the folder of computed samples in the cache of the user."""
    from platformdirs import user_cache_path

    return user_cache_path("oxytomo") / "napari-sample"


def compute_results(folder: Path) -> Path:
    """Simulate a measurement and a phase-contrast volume, run the workflow.

    Returns the sample's folder.
    """
    for command in COMMANDS:
        _oxytomo(*(part.format(folder=folder) for part in command))
    config = folder / "config.yaml"
    project = yaml.safe_load(config.read_text(encoding="utf-8"))
    project["results"] = str(folder / "results")
    structure = {"volume": "voids/raw/volume.tif", "voxel_nm": 9.0}
    project["samples"]["particle"]["structure"] = structure
    config.write_text(yaml.safe_dump(project, sort_keys=False), encoding="utf-8")
    _oxytomo("run", str(config))
    return folder / "results" / "particle"


def _oxytomo(*arguments: str) -> None:
    """Run a command of this package in a separate process."""
    done = subprocess.run(
        [sys.executable, "-m", "oxytomo", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise StoreError(
            "sample data",
            expected=f"oxytomo {arguments[0]} to succeed",
            got=lines[-1],
            fix="see the message; free disk space",
        )
