"""Pictures, movies and models of a scene, drawn without a display (PyVista)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from PIL import Image

from oxytomo.arrays import NumberArray
from oxytomo.io.optional import optional_package
from oxytomo.view.scenes import Body, Scene, section_faces
from oxytomo.view.style import INK, PAPER, SOFT_INK, format_length, house_style, scale_bar_length_nm

MOVIE_PX = 500
WIDTH_IN = 5.0
"""Width of printed pictures: 1500 pixels are 300 dots per inch."""
FRAMES, FRAME_MS, MOVIE_COLORS = 60, 70, 256
STRIP_IN = 0.36
"""Height of the strip with scale bar and legend below a picture."""
VIEW = (1.0, 1.15, -0.62)
"""Direction from the centre to the camera, x y z, towards the removed octant; rows point down."""
MARGIN = 1.04
GLTF_UNIT_NM = 1000.0


def write_picture(scene: Scene, path: Path, *, cut: bool, size_px: int) -> None:
    """Write a picture with legend and scale bar as PNG.

    Parameters
    ----------
    scene : the scene
    path : the file
    cut : remove the octant towards the camera and show the labels on its faces, instead of a
        translucent surface
    size_px : width
    """
    with _plotter(size_px) as plotter:
        (_draw_cut if cut else _draw_whole)(plotter, scene)
        image = _shot(plotter, scene, 0.0)
    strip = _strip(scene, size_px, cut=cut)
    whole = Image.fromarray(np.concatenate([image, strip]))
    whole.save(path, format="PNG", dpi=(size_px / WIDTH_IN, size_px / WIDTH_IN), optimize=True)


def write_movie(scene: Scene, path: Path) -> None:
    """Write a full turn of the translucent particle about the tilt axis as an animated GIF."""
    strip = _strip(scene, MOVIE_PX, cut=False)
    with _plotter(MOVIE_PX) as plotter:
        _draw_whole(plotter, scene)
        frames = [
            Image.fromarray(np.concatenate([_shot(plotter, scene, 360.0 * number / FRAMES), strip]))
            for number in range(FRAMES)
        ]
    # One palette from some frames is used for all frames, so that colours do not flicker.
    some = Image.fromarray(np.concatenate([np.asarray(frame) for frame in frames[:: max(1, FRAMES // 6)]]))
    palette = some.quantize(MOVIE_COLORS, kmeans=2, dither=Image.Dither.NONE)
    reduced = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    first, rest = reduced[0], reduced[1:]
    first.save(
        path, format="GIF", save_all=True, append_images=rest, duration=FRAME_MS, loop=0, optimize=True
    )


def write_gltf(scene: Scene, path: Path) -> None:
    """Write the bodies as a single glTF file; its unit of length is 1 µm."""
    with _plotter(MOVIE_PX, axes=False) as plotter:
        for body in (scene.skin, *scene.bodies):
            scaled = body.mesh.scale(1 / GLTF_UNIT_NM)
            scaled.clear_data()
            plotter.add_mesh(
                scaled, color=body.color, opacity=body.opacity, smooth_shading=True, name=body.name
            )
        plotter.export_gltf(str(path), inline_data=True)


@contextmanager
def _plotter(size_px: int, *, axes: bool = True) -> Iterator[Any]:
    pv = optional_package("pyvista", what="oxytomo render", extra="view")
    # Without a display VTK tries to open one, prints a warning, and then draws off-screen.
    logger = optional_package("vtkmodules.vtkCommonCore", what="oxytomo render", extra="view").vtkLogger
    logger.SetStderrVerbosity(logger.VERBOSITY_ERROR)
    plotter = pv.Plotter(off_screen=True, window_size=(size_px, size_px), lighting="light kit")
    plotter.set_background(PAPER)
    plotter.enable_anti_aliasing("ssaa")
    plotter.enable_parallel_projection()
    if axes:
        plotter.add_axes(line_width=3, color="#1f2328", viewport=(0.0, 0.0, 0.15, 0.15))
    try:
        yield plotter
    finally:
        plotter.close()


def _draw_whole(plotter: Any, scene: Scene) -> None:
    plotter.enable_depth_peeling(12)
    _add(plotter, scene.skin)
    for body in scene.bodies:
        _add(plotter, body)


def _draw_cut(plotter: Any, scene: Scene) -> None:
    _add(plotter, Body(scene.skin.name, scene.skin.color, _clipped(scene.skin.mesh, scene, taken=False)))
    for face in section_faces(scene):
        plotter.add_mesh(face, scalars="rgb", rgb=True, ambient=0.75, diffuse=0.3, specular=0.0)
    # Bodies that extend beyond the faces are visible in the removed part.
    for body in scene.bodies:
        inside = _clipped(body.mesh, scene, taken=True)
        if inside.n_cells:
            _add(plotter, Body(body.name, body.color, inside))


def _clipped(mesh: Any, scene: Scene, *, taken: bool) -> Any:
    """Return the part of a mesh in the removed octant, or the rest."""
    x, y, z = (mesh.points - scene.cut_nm).T
    whole = mesh.copy()
    whole.clear_data()
    whole.point_data["depth"] = np.minimum(np.minimum(x, y), -z)
    return whole.clip_scalar(scalars="depth", value=0.0, invert=not taken)


def _add(plotter: Any, body: Body) -> None:
    plotter.add_mesh(
        body.mesh,
        color=body.color,
        opacity=body.opacity,
        smooth_shading=True,
        split_sharp_edges=False,
        ambient=0.32,
        diffuse=0.74,
        specular=0.12,
        specular_power=12,
        show_scalar_bar=False,
    )


def _shot(plotter: Any, scene: Scene, turn_deg: float) -> NumberArray:
    """Return the image from a direction; half its height is ``MARGIN`` × the particle radius."""
    turn = np.deg2rad(turn_deg)
    x, y, z = VIEW
    direction = np.array(
        [x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn), z]
    ) / np.linalg.norm(VIEW)
    camera = plotter.camera
    camera.focal_point = tuple(scene.centre_nm)
    camera.position = tuple(scene.centre_nm + 4 * scene.reach_nm * direction)
    camera.up = (0.0, 0.0, -1.0)
    camera.parallel_scale = MARGIN * scene.reach_nm
    plotter.reset_camera_clipping_range()
    plotter.render()
    return np.asarray(plotter.screenshot(return_img=True))


@house_style
def _strip(scene: Scene, width_px: int, *, cut: bool) -> NumberArray:
    """Return an image with legend and scale bar, which is exact in parallel projection."""
    shown = (
        [
            (scene.names[label], color)
            for label, color in scene.colors.items()
            if (scene.labels == label).any()
        ]
        if cut
        else [(body.name, body.color) for body in (scene.skin, *scene.bodies)]
    )
    dpi = width_px / WIDTH_IN
    figure = Figure(figsize=(WIDTH_IN, STRIP_IN), dpi=dpi, facecolor=PAPER)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width_px), ylim=(0, STRIP_IN * dpi))
    axes.set_axis_off()
    pixel_nm = 2 * MARGIN * scene.reach_nm / width_px
    length_nm = scale_bar_length_nm(width_px * pixel_nm)
    left, height = 0.12 * dpi, 0.05 * dpi
    axes.add_patch(
        Rectangle((left, (STRIP_IN * dpi - height) / 2), length_nm / pixel_nm, height, color=INK, lw=0)
    )
    axes.text(
        left + length_nm / pixel_nm + 0.08 * dpi,
        STRIP_IN * dpi / 2,
        format_length(length_nm),
        va="center_baseline",
    )
    handles = [Patch(facecolor=color, edgecolor=SOFT_INK, linewidth=0.5, label=name) for name, color in shown]
    axes.legend(handles=handles, loc="center right", ncols=len(handles), borderaxespad=0.4, handlelength=1.2)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
