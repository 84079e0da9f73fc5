"""A small result with known numbers, written as the stages write it, and its report page."""

import base64
import json
import re

import numpy as np

from oxytomo.io.stores import NamedArray, Provenance, write_store
from oxytomo.stages.context import StageContext
from oxytomo.stages.shared import report
from oxytomo.stages.shared.report import Settings

VOLUME = ("z", "y", "x")
FRACTIONS = {
    "target": {"value": 0.7123, "ci95": [0.7011, 0.7233]},
    "oxygen_poor": {"value": 0.1834, "ci95": [0.1722, 0.1948]},
    "oxygen_rich": {"value": 0.1043, "ci95": [0.0987, 0.1099]},
}
NULL = {
    "target": {"value": 0.9777, "ci95": None},
    "oxygen_poor": {"value": 0.0113, "ci95": None},
    "oxygen_rich": {"value": 0.0108, "ci95": None},
}
CONFIDENT = {
    "target": {"value": 0.5012},
    "oxygen_poor": {"value": 0.1501},
    "oxygen_rich": {"value": 0.0902},
    "undecided": {"value": 0.2587},
}


def provenance(stage, **settings):
    inputs = {"raw": {"path": "/data/raw/O_K_pre.h5", "digest": f"sha256-of-{stage}"}}
    return Provenance(stage, 1, settings, inputs, "0.1.0", "2026-01-02T03:04:05Z")


def phases_json(**changes):
    content = {
        "threshold": 0.05,
        "voxel_nm": 10.0,
        "reference_tm_o": 1.0,
        "particle_volume_nm3": 2.5e9,
        "fractions": FRACTIONS,
        "null": {"runs": 1, "fractions": NULL},
        "confident": {"confidence": 0.95, "fractions": CONFIDENT},
        "domains": {"oxygen_rich": {"n_domains": 17, "largest_share": 0.4321, "spanning": True}},
        "invalid_rays": {"unsolved": 10, "n_rays": 10_000, "by_series": {}},
        "replicates": 4,
        "association": {
            "oxygen_rich": {
                "Mn": {
                    "value": -0.2012,
                    "standard_error": 0.0312,
                    "shells": [
                        {"value": None, "standard_error": None},
                        {"value": -0.18, "standard_error": None},
                    ],
                }
            }
        },
    }
    return content | changes


def make_particle(shape, rng):
    grid = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    radius = np.sqrt(sum((axis / size) ** 2 for axis, size in zip(grid, (0.8, 0.7, 0.75), strict=True)))
    particle = radius < 1
    deviation = 0.11 * (radius > 0.9) - 0.1 * (grid[2] > 0.35) + rng.normal(0, 0.015, shape)
    return particle, np.where(particle, deviation, np.nan).astype(np.float32)


def write_align(path, shape, *, series, quantity, tilt_deg, rng, residual=0.05, warnings=()):
    n_series, n_tilt, (n_z, _, n_x) = len(series), tilt_deg.size, shape
    value = rng.random((n_series, n_tilt, n_z, n_x)).astype(np.float32)
    value[:, 0, :, :3] = np.nan
    write_store(
        path,
        {
            "value": NamedArray(value, ("series", "tilt", "y", "x"), "1"),
            "variance": NamedArray(np.abs(value) * 0.01, ("series", "tilt", "y", "x"), "1"),
            "tilt_deg": NamedArray(tilt_deg, ("tilt",), "degree"),
            "dy_px": NamedArray(rng.normal(size=(n_series, n_tilt)), ("series", "tilt"), "pixel"),
            "dx_px": NamedArray(rng.normal(size=(n_series, n_tilt)), ("series", "tilt"), "pixel"),
            "frame": NamedArray(np.arange(n_tilt), ("tilt",), "1"),
            "residual": NamedArray(np.full(n_tilt, residual), ("tilt",), "1"),
            "residual_as_recorded": NamedArray(np.full(n_tilt, 2 * residual), ("tilt",), "1"),
            "row": NamedArray(rng.random((2, n_tilt, n_x)).astype(np.float32), ("state", "tilt", "x"), "1"),
            "slice": NamedArray(rng.random((2, n_x, n_x)).astype(np.float32), ("state", "y", "x"), "1/pixel"),
            "shown_frames": NamedArray(
                rng.random((2, n_z, n_x)).astype(np.float32), ("shown", "y", "x"), "1"
            ),
            "shown_frame_numbers": NamedArray(np.array([3, 1]), ("shown",), "1"),
        },
        provenance=provenance("align", max_shift_px=20.0),
        attributes={
            "series": list(series),
            "energies_ev": [530.0] * n_series,
            "pixel_nm": 10.0,
            "quantity": quantity,
            "invalid": {name: {"hot": 5, "opaque": 7} for name in series},
            "n_pixels": dict.fromkeys(series, 1000),
            "quality": {
                "last_move_px": 0.01,
                "precision_px": [0.012, 0.034],
                "axis_tilt_deg": -0.31,
                "axis_tilt_error_deg": 0.02,
                "applied_axis_tilt_deg": -0.31,
                "verdict": "A verdict; frame 3 looks bad.",
                "warnings": list(warnings),
                "suspicious_frames": [3],
            },
        },
    )


def write_decompose(path, shape, *, tilt_deg, rng):
    n_z, _, n_x = shape
    areal = rng.random((2, tilt_deg.size, n_z, n_x)).astype(np.float32)
    covariance = np.stack([areal[0] * 0.01 + 0.01, areal[0] * 0, areal[1] * 0.04 + 0.01])
    covariance[:, :, 0, 0] = np.inf
    write_store(
        path,
        {
            "areal": NamedArray(areal, ("element", "tilt", "y", "x"), "micrometer"),
            "covariance": NamedArray(covariance, ("pair", "tilt", "y", "x"), "micrometer^2"),
            "tilt_deg": NamedArray(tilt_deg, ("tilt",), "degree"),
        },
        provenance=provenance("decompose", method="weighted"),
        attributes={"elements": ["O", "Mn"], "atoms": [2.0, 1.0], "pixel_nm": 10.0},
    )


def write_composition(folder, shape=(24, 30, 30), *, null=True, tables=True):
    rng = np.random.default_rng(5)
    stages = folder / "stages/composition"
    tilt_deg = np.linspace(-65, 65, 66)
    particle, deviation = make_particle(shape, rng)
    oxygen = np.where(particle, 1 + 0.05 * rng.normal(size=shape), 0)
    metal = np.where(particle, oxygen * (1 + deviation), 0)
    series = ("O_pre", "O_post", "Mn_pre", "Mn_post")
    write_align(
        stages / "align.zarr", shape, series=series, quantity="optical_density", tilt_deg=tilt_deg, rng=rng
    )
    write_decompose(stages / "decompose.zarr", shape, tilt_deg=tilt_deg, rng=rng)
    write_store(
        stages / "reconstruct.zarr",
        {
            "elements": NamedArray(np.stack([oxygen, metal]).astype(np.float32), ("element", *VOLUME), "1"),
            "deviation": NamedArray(deviation, VOLUME, "1"),
            "particle": NamedArray(particle, VOLUME, "1"),
        },
        provenance=provenance("reconstruct", solver={"method": "deviation", "iterations": 137}),
        attributes={
            "elements": ["O", "Mn"],
            "atoms": [2.0, 1.0],
            "pixel_nm": 10.0,
            "reference_tm_o": 1.0,
            "solver": {"method": "deviation"},
        },
    )
    runs = rng.normal(0, 0.02, (1 if null else 0, *shape)).astype(np.float16)
    sigma = np.where(particle, 0.02, np.nan).astype(np.float32)
    write_store(
        stages / "uncertainty.zarr",
        {
            "deviation_sigma": NamedArray(sigma, VOLUME, "1"),
            "null": NamedArray(runs, ("replicate", *VOLUME), "1"),
        },
        provenance=provenance("uncertainty"),
        attributes={"pixel_nm": 10.0},
    )
    phases = np.where(particle, 1 + (deviation > 0.05) + 2 * (deviation < -0.05), 0).astype(np.uint8)
    confident = np.where(np.abs(np.abs(deviation) - 0.05) < 0.02, 4, phases).astype(np.uint8)
    write_store(
        stages / "classify.zarr",
        {"phases": NamedArray(phases, VOLUME, "1"), "phases_confident": NamedArray(confident, VOLUME, "1")},
        provenance=provenance("classify"),
        attributes={"threshold": 0.05, "pixel_nm": 10.0},
    )
    if tables:
        (folder / "phases.json").write_text(json.dumps(phases_json()))
        (folder / "composition_shells.csv").write_text(
            "shell,shell_outer,shell_inner,mean_deviation,standard_error,n_voxels,target,oxygen_poor,oxygen_rich\n"
            "1,0,50,0.0654,0.0021,4321,0.3,0.6,0.1\n"
            "2,50,100,-0.0123,0.0019,4322,0.8,0.05,0.15\n"
        )
        (folder / "domains.csv").write_text(
            "class,volume_nm3,equivalent_diameter_nm,centroid_z_nm,centroid_y_nm,centroid_x_nm,depth_nm,"
            "mean_deviation,mean_deviation_error\n"
            "target,9e8,1197.9,120,150,150,300,0.001,0.0005\n"
            "oxygen_rich,1.25e8,620.35,111,222,333,44.4,-0.1234,0.0112\n"
            "oxygen_poor,1e8,576,1011,2022,3033,144.4,0.0987,\n"
        )


def write_areal_density(folder, shape=(24, 30, 30)):
    rng = np.random.default_rng(6)
    stages = folder / "stages/areal_density"
    one = np.zeros(1)
    series = ("O_pre", "O_post")
    write_align(
        stages / "align.zarr", shape, series=series, quantity="optical_density", tilt_deg=one, rng=rng
    )
    write_decompose(stages / "decompose.zarr", shape, tilt_deg=one, rng=rng)


def write_tomogram(folder, shape=(24, 30, 30), *, n_tilt=91):
    rng = np.random.default_rng(7)
    stages = folder / "stages/tomogram"
    tilt_deg = np.linspace(-90, 90, n_tilt)
    write_align(
        stages / "align.zarr", shape, series=("signal",), quantity="signal", tilt_deg=tilt_deg, rng=rng
    )
    write_store(
        stages / "reconstruct.zarr",
        {"volume": NamedArray(rng.random(shape).astype(np.float32), VOLUME, "signal/micrometer")},
        provenance=provenance("reconstruct_tomogram"),
        attributes={"pixel_nm": 10.0, "algorithm": "fbp"},
    )


def context():
    return StageContext(stage="report", version=1, threads=1, settings_json={})


def page_of(folder, branches=("composition",), **inputs):
    output = folder.parent / "report.html"
    report.run(
        {"results": folder, **inputs},
        {"report": output},
        Settings(sample="particle_a", branches=branches),
        context(),
    )
    return output.read_text(encoding="utf-8")


def pictures(page):
    return [base64.b64decode(code) for code in re.findall(r'src="data:image/png;base64,([^"]+)"', page)]


def titles(page):
    return re.findall(r'<img [^>]*alt="([^"]+)"', page)
