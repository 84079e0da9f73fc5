"""Interactive page of a scene: one self-contained HTML file (Plotly) that works offline."""

import html
from typing import Any

import numpy as np

from oxytomo.io.optional import optional_package
from oxytomo.view.scenes import Body, Scene, triangles
from oxytomo.view.style import INK, PAPER, SOFT_INK

MOST_TRIANGLES = 40_000
"""Largest number of triangles of a body; larger meshes are simplified for speed."""
EYE, SIZE = (1.0, 1.15, -0.62), 1.35
BUTTONS = ("toImage", "zoom3d", "pan3d", "orbitRotation", "resetCameraDefault3d")
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
html, body {{ margin: 0; height: 100%; background: {paper}; color: {ink}; font: 15px/1.4 system-ui, sans-serif; }}
body {{ display: flex; flex-direction: column; }}
header {{ padding: .6rem 1rem 0; }}
h1 {{ font-size: 1.15rem; margin: 0; }}
p {{ margin: .15rem 0; color: {soft}; font-size: .88rem; }}
main {{ flex: 1; min-height: 0; }}
</style>
</head>
<body>
<header><h1>{title}</h1><p>{help}</p></header>
<main>{scene}</main>
</body>
</html>
"""
_HELP = (
    "Drag to turn, scroll to come closer, right-drag to move. Click a name to hide it: without the particle's skin, what lies "
    "under the pointer shows its numbers. Lengths are in nanometres; z is the tilt axis and runs down, as detector rows do."
)


def scene_page(scene: Scene, *, sample: str) -> str:
    """Return the page.

    Parameters
    ----------
    scene : the scene
    sample : name of the sample, for the heading
    """
    graph = optional_package("plotly.graph_objects", what="oxytomo render", extra="view")
    traces = [_trace(graph, body) for body in (*scene.bodies, scene.skin)]
    axis = {
        "backgroundcolor": PAPER,
        "gridcolor": "#e5e7eb",
        "zerolinecolor": "#e5e7eb",
        "color": SOFT_INK,
        "showspikes": False,
    }
    figure = graph.Figure(traces)
    limits = np.array(scene.skin.mesh.bounds).reshape(3, 2)
    extent = np.ptp(limits, axis=1)
    limits += 0.03 * extent.max() * np.array([-1, 1])
    axes = {
        f"{name}axis": {**axis, "title": {"text": f"{name} (nm)"}, "range": list(ends)}
        for name, ends in zip("xyz", limits, strict=True)
    }
    figure.update_layout(
        scene={
            **axes,
            "aspectmode": "manual",
            "aspectratio": dict(zip("xyz", SIZE * extent / extent.max(), strict=True)),
            "dragmode": "orbit",
            "camera": {
                "eye": dict(zip("xyz", (1.25 * one for one in EYE), strict=True)),
                "up": {"x": 0, "y": 0, "z": -1},
                "projection": {"type": "orthographic"},
            },
        },
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        legend={"x": 0.01, "y": 0.99, "bgcolor": "rgba(255,255,255,0.7)"},
        paper_bgcolor=PAPER,
        font={"color": INK},
        template="none",
    )
    drawn = figure.to_html(
        full_html=False,
        include_plotlyjs=True,
        default_height="100%",
        div_id="scene",
        config={"displaylogo": False, "responsive": True, "modeBarButtons": [BUTTONS]},
    )
    title = html.escape(f"{sample}: {scene.title}")
    return _PAGE.format(title=title, paper=PAPER, ink=INK, soft=SOFT_INK, help=_HELP, scene=drawn)


def _trace(graph: Any, body: Body) -> Any:
    """Return one body; the pointer shows its name and numbers."""
    vertices, faces, of_face = triangles(body.mesh)
    numbers, text = None, None if body.opacity < 1 else f"{body.name}<extra></extra>"
    if body.about:
        of_point = np.zeros(len(vertices), np.int64)
        of_point[faces] = of_face[:, None]
        columns = [np.asarray(body.mesh.cell_data[key], np.float32)[of_point] for key in body.about.values()]
        lines = [f"{label}: %{{customdata[{place}]:.4~g}}" for place, label in enumerate(body.about)]
        numbers, text = np.stack(columns, 1), "<br>".join([f"<b>{body.name}</b>", *lines]) + "<extra></extra>"
    elif len(faces) > MOST_TRIANGLES:
        pv = optional_package("pyvista", what="oxytomo render", extra="view")
        whole = pv.PolyData.from_regular_faces(vertices, faces)
        vertices, faces, _ = triangles(whole.decimate(1 - MOST_TRIANGLES / len(faces)))
    x, y, z = np.round(vertices, 2).astype(np.float32).T
    faces = faces.astype(np.int32)
    return graph.Mesh3d(
        x=x,
        y=y,
        z=z,
        i=faces[:, 0],
        j=faces[:, 1],
        k=faces[:, 2],
        color=body.color,
        opacity=body.opacity,
        name=body.name,
        showlegend=True,
        customdata=numbers,
        hovertemplate=text,
        hoverinfo="skip" if body.opacity < 1 else None,
        flatshading=False,
        lighting={"ambient": 0.55, "diffuse": 0.7, "specular": 0.1, "roughness": 0.8},
        lightposition={"x": 2000, "y": 2500, "z": -3000},
    )
