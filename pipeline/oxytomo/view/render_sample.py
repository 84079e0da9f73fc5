"""Renders of a sample: pictures, models, interactive pages, movies (``oxytomo render``)."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import OXYGEN_POOR, OXYGEN_RICH, TARGET, LabelArray
from oxytomo.errors import InputError, StoreError
from oxytomo.io.atomic import complete_or_absent
from oxytomo.io.integrity import check_unaltered
from oxytomo.io.optional import optional_package
from oxytomo.io.plain_files import check_no_links, printable, read_plain
from oxytomo.io.stores import Store
from oxytomo.io.tables import write_text
from oxytomo.results.errors import numbers_of
from oxytomo.results.results import Results
from oxytomo.view.renders import write_gltf, write_movie, write_picture
from oxytomo.view.scene_page import scene_page
from oxytomo.view.scenes import SKIN_OPACITY, Body, Scene, label_surface
from oxytomo.view.style import CLASS_COLORS, CLASS_NAMES
from oxytomo.view.void_figures import CRACK_COLOR, PORE_COLOR

MOST_MESH_BYTES, MOST_RATIO = 2**31, 1000
MOST_VOXELS = 320
"""Largest edge in voxels; larger volumes are drawn from every second, third … voxel."""
SOLID_COLOR = "#d9d4c8"
PORE_NUMBERS = {
    "pore": "pore",
    "diameter (nm)": "equivalent_diameter_nm",
    "volume (nm³)": "volume_nm3",
    "open": "open",
}
CRACK_NUMBERS = {
    "crack": "crack",
    "area (nm²)": "area_nm2",
    "angle to radius (°)": "angle_to_radius_deg",
    "open": "open",
}


def write_renders(folder: Path, out: Path, *, movie: bool, size_px: int) -> list[Path]:
    """Render a sample and return the files: two pictures, a model, a page, and a movie per scene.

    Parameters
    ----------
    folder : results folder of the sample
    out : output folder
    movie : also write a movie of a full turn, which is the slowest part
    size_px : width of the pictures

    Raises
    ------
    MissingPackageError
        If PyVista is not installed.
    InputError
        If the sample has neither classes nor voids.
    """
    optional_package("pyvista", what="oxytomo render", extra="view")
    require_drawing()
    written: list[Path] = []
    check_no_links(folder, out) if out.is_relative_to(folder) else None
    for scene in _scenes(folder):
        for cut, end in ((False, ""), (True, "_cut")):
            with _file(out / f"{scene.name}{end}.png", written) as partial:
                write_picture(scene, partial, cut=cut, size_px=size_px)
        with _file(out / f"{scene.name}.gltf", written) as partial:
            write_gltf(scene, partial)
        write_text(out / f"{scene.name}.html", scene_page(scene, sample=folder.resolve().name))
        written.append(out / f"{scene.name}.html")
        if movie:
            with _file(out / f"{scene.name}.gif", written) as partial:
                write_movie(scene, partial)
    if not written:
        raise InputError(
            str(folder),
            expected="a sample with classes (composition) or voids (structure)",
            got="no such folder" if not folder.is_dir() else "none of them in it",
            fix="give the folder <results>/<sample>, or run the sample to the end first",
        )
    return written


def require_drawing() -> None:
    """Refuse a machine on which VTK cannot draw. The test runs in another process: VTK may crash.

    Raises
    ------
    InputError
        If there is neither EGL nor OSMesa.
    """
    drawn = (
        "import pyvista; p = pyvista.Plotter(off_screen=True); p.add_mesh(pyvista.Sphere()); p.screenshot()"
    )
    tried = subprocess.run([sys.executable, "-c", drawn], check=False, capture_output=True)
    if tried.returncode != 0:
        raise InputError(
            "oxytomo render",
            expected="a machine that can draw without a display (OpenGL through EGL or OSMesa)",
            got="none of these libraries",
            fix="install libegl1 and libgl1-mesa-dri (Debian), or run it where they are",
        )


def _file(path: Path, written: list[Path]) -> Any:
    written.append(path)
    return complete_or_absent(path)


def _scenes(folder: Path) -> Iterator[Scene]:
    files = Results.of_folder(folder, more=False).files
    for key, read in (("composition_classify", _composition), ("structure_voids", _structure)):
        store = files.store(key)
        if store is not None:
            with numbers_of(files.paths, key):
                scene = read(folder, store)
            yield scene


def _composition(_folder: Path, store: Store) -> Scene:
    phases, voxel_nm = _labels(store, "phases")
    skin = label_surface(phases > 0, voxel_nm=voxel_nm)
    if skin is None:
        raise _nothing(store.path)
    classes = (TARGET, OXYGEN_POOR, OXYGEN_RICH)
    surfaces = {label: label_surface(phases == label, voxel_nm=voxel_nm) for label in classes[1:]}
    return Scene(
        name="composition",
        title="classes of TM/O",
        skin=Body("particle", CLASS_COLORS[TARGET], skin, SKIN_OPACITY),
        bodies=[
            Body(CLASS_NAMES[k], CLASS_COLORS[k], mesh) for k, mesh in surfaces.items() if mesh is not None
        ],
        labels=phases,
        colors={label: CLASS_COLORS[label] for label in classes},
        names={label: CLASS_NAMES[label] for label in classes},
        voxel_nm=voxel_nm,
    )


def _structure(folder: Path, store: Store) -> Scene:
    check_unaltered(folder / "meshes")
    meshes = _meshes(folder / "meshes")
    if "particle" not in meshes:
        raise _nothing(folder / "meshes")
    particle, voxel_nm = _labels(store, "particle")
    voids, _ = _labels(store, "voids")
    kinds = (("pores", PORE_COLOR, PORE_NUMBERS), ("cracks", CRACK_COLOR, CRACK_NUMBERS))
    return Scene(
        name="structure",
        title="pores and cracks",
        skin=Body("particle", SOLID_COLOR, meshes["particle"], SKIN_OPACITY),
        bodies=[
            Body(name, color, meshes[name], about=about) for name, color, about in kinds if name in meshes
        ],
        labels=np.where(particle > 0, np.where(voids > 0, voids + 1, 1), 0).astype(np.uint8),
        colors={1: SOLID_COLOR, 2: PORE_COLOR, 3: CRACK_COLOR},
        names={1: "solid", 2: "pores", 3: "cracks"},
        voxel_nm=voxel_nm,
    )


def _labels(store: Store, name: str) -> tuple[LabelArray, float]:
    """Return labels with a limited number of voxels per edge, and their voxel size in nm."""
    array = store.field(name)
    if len(array.shape) != 3 or array.dtype.kind not in "iub" or 0 in array.shape:
        raise ValueError(f"{name} of shape {array.shape} and type {array.dtype}")
    step = -(-max(array.shape) // MOST_VOXELS)
    voxel_nm = float(store.attributes.get("voxel_nm") or store.attributes["pixel_nm"])
    return np.asarray(array[::step, ::step, ::step]), step * voxel_nm


def _meshes(folder: Path) -> Mapping[str, Any]:
    """Return the meshes of a sample by kind."""
    pv = optional_package("pyvista", what="oxytomo render", extra="view")
    found = {path.stem: path for path in sorted(folder.glob("*.vtp"))}
    if not found:
        raise InputError(
            str(folder),
            expected="the meshes of particle, pores and cracks",
            got="none: the structure is not finished, or was run without PyVista",
            fix="run its configuration again (oxytomo run X.yaml)",
        )
    return {name: _mesh(pv, path) for name, path in found.items()}


def _mesh(pv: Any, path: Path) -> Any:
    """Read a mesh after comparing sizes in its header with the file size, as VTK does not check."""
    content = read_plain(path, MOST_MESH_BYTES)
    head = content[: content.find(b"<AppendedData") if b"<AppendedData" in content else len(content)]
    declared = [int(number) for number in re.findall(rb'Number(?:Of[A-Za-z]+)="(\d{1,18})', head)]
    damaged = StoreError(
        printable(path),
        expected="a mesh that this package wrote",
        got="something else",
        fix="delete the folder of meshes and run the workflow again",
    )
    if b"<VTKFile" not in content[:200] or sum(declared) > MOST_RATIO * len(content):
        raise damaged
    mesh = pv.read(path)
    if not isinstance(mesh, pv.PolyData) or mesh.n_points == 0 or not np.isfinite(mesh.points).all():
        raise damaged
    corners = np.asarray(pv.convert_array(mesh.GetPolys().GetConnectivityArray()), np.int64)
    if corners.size == 0 or corners.min() < 0 or corners.max() >= mesh.n_points:
        raise damaged  # VTK would read beyond the points while drawing
    return mesh


def _nothing(path: Path) -> InputError:
    return InputError(
        str(path),
        expected="a particle",
        got="no voxel of one",
        fix="look at the report: was a particle found?",
    )
