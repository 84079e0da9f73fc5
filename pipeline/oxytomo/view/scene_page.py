"""Interactive page of a scene: one HTML file that needs neither a network nor a graphics card."""

import base64
import html
import json
import re
import zlib
from importlib.resources import files
from typing import Any

import numpy as np

from oxytomo.arrays import NumberArray
from oxytomo.io.optional import optional_package
from oxytomo.io.plain_files import printable
from oxytomo.view.renders import VIEW
from oxytomo.view.scenes import Body, Scene, triangles
from oxytomo.view.style import PAPER

MOST_TRIANGLES = 40_000
"""Largest number of triangles of a body; larger meshes are simplified for speed."""
MOST_SLICE_VOXELS = 160
"""Largest edge, in voxels, of the labels that the slice plane shows; larger volumes are thinned."""
_HELP = (
    "Drag to turn, scroll to come closer, drag with the right button to move; or use the arrow keys, + and −. "
    "Point at something inside to read what it is. z is the tilt axis and runs down, as detector rows do. "
    "The projection is parallel, so the scale bar holds everywhere."
)


def scene_page(scene: Scene, *, sample: str) -> str:
    """Return the page.

    Parameters
    ----------
    scene : the scene
    sample : name of the sample, for the heading
    """
    content = {
        "name": f"{sample}_{scene.name}",
        "centre": scene.centre_nm.tolist(),
        "reach": scene.reach_nm,
        "view": _angles(VIEW),
        "opacity": scene.skin.opacity,
        "bodies": [_packed_body(body) for body in (*scene.bodies, scene.skin)],
        "labels": _packed_labels(scene),
    }
    templates = files("oxytomo.view") / "templates"
    page = (templates / "scene.html").read_text(encoding="utf-8")
    parts = {
        "title": html.escape(printable(f"{sample}: {scene.title}")),
        "help": html.escape(_HELP),
        # "<" would let a name of a sample end the script
        "data": json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "script": (templates / "scene.js").read_text(encoding="utf-8"),
    }
    # In one pass: what is put in is not looked at again, whatever a sample is called.
    return re.sub("@(" + "|".join(parts) + ")@", lambda found: parts[found[1]], page)


def _angles(direction: tuple[float, float, float]) -> list[float]:
    """Return azimuth and elevation of a direction towards the viewer, in radian; z runs down."""
    x, y, z = np.asarray(direction) / np.linalg.norm(direction)
    return [float(np.arctan2(y, x)), float(np.arcsin(-z))]


def _packed_body(body: Body) -> dict[str, Any]:
    """Return one body: points in 16 bits over their range, faces, and the numbers of its parts."""
    vertices, faces, of_face = triangles(body.mesh)
    if not body.about and len(faces) > MOST_TRIANGLES:
        pv = optional_package("pyvista", what="oxytomo render", extra="view")
        whole = pv.PolyData.from_regular_faces(vertices, faces)
        vertices, faces, of_face = triangles(whole.decimate(1 - MOST_TRIANGLES / len(faces)))
    low = vertices.min(axis=0)
    step = np.maximum(np.ptp(vertices, axis=0), 1e-6) / 65535
    packed: dict[str, Any] = {
        "name": body.name,
        "color": body.color,
        "low": low.tolist(),
        "step": step.tolist(),
        "points": _text(np.rint((vertices - low) / step).astype("<u2")),
        "faces": _text(faces.astype("<u4")),
    }
    if body.about:
        columns = [np.asarray(body.mesh.cell_data[key], np.float64)[of_face] for key in body.about.values()]
        rows, cells = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
        packed["cells"] = _text(cells.astype("<u4"))
        known = [[one if np.isfinite(one) else None for one in row] for row in rows.tolist()]
        packed["about"] = {"names": list(body.about), "rows": known}
    return packed


def _packed_labels(scene: Scene) -> dict[str, Any]:
    """Return the labels that the slice plane shows, with their colours and names."""
    step = -(-max(scene.labels.shape) // MOST_SLICE_VOXELS)
    labels = np.ascontiguousarray(scene.labels[::step, ::step, ::step], dtype=np.uint8)
    return {
        "shape": labels.shape,
        "voxel": step * scene.voxel_nm,
        "data": _text(labels),
        "colors": dict(scene.colors),
        "names": dict(scene.names),
        "plain": next(iter(scene.colors.values()), PAPER),
    }


def _text(array: NumberArray) -> str:
    """Return an array as deflated bytes in base 64."""
    return base64.b64encode(zlib.compress(array.tobytes(), 9)).decode("ascii")
