"""Cracks and pores from simulated holotomograms, whole chain: the table of docs/benchmarks/structure.md.

    python benchmarks/holotomography_voids.py --seeds 901 902 903 904 [--photons 3000] [--folder FOLDER]

Particles with lens-shaped cracks, pores and a central void are recorded as holograms (four distances, cone beam, Fresnel
propagation on a finer grid, photons counted, 20 noisy flats, a beam that drifts by 1 %, axis 2.5 pixels off), written as raw
files and run through `oxytomo run` with the settings that ship, so that the noise of the volume is that of phase retrieval and
reconstruction. A found crack is true within 2.5 voxels of a crack or of other void; a true crack is its lens's middle plane
where the aperture is above half of that in the middle. Seeds 1 to 20 were used while developing.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import edt
import numpy as np
import yaml

from oxytomo.cli import main as oxytomo
from oxytomo.io.readers.data_exchange import write_data_exchange
from oxytomo.io.stores import read_store
from oxytomo.io.void_stores import read_voids
from oxytomo.phase.optics import wavelength_nm
from oxytomo.simulate.holograms import HologramScan, simulate_holograms
from oxytomo.simulate.particles import uniform_particle
from oxytomo.simulate.phantoms import Phantom, class_fractions

FORMULA = {"Li": 1.2, "Mn": 0.56, "Ni": 0.16, "Co": 0.08, "O": 2.0}
DENSITY_G_CM3 = 4.2
ENERGY_EV = 17050.0
PIXEL_NM = 80.0
RATIOS = (1.0, 1.04, 1.21, 1.52)
APERTURES = (0.75, 1.0, 1.5, 2.0, 3.0)
TOLERANCE_PX = 2.5


def scan_of(size, tilts, photons):
    first = size * PIXEL_NM**2 / wavelength_nm(ENERGY_EV) * 1e-6
    sources = tuple(first * ratio for ratio in RATIOS)
    return HologramScan(
        energy_ev=ENERGY_EV,
        source_sample_mm=sources,
        sample_detector_mm=tuple(1200.0 - z1 for z1 in sources),
        tilt_deg=np.arange(tilts) * 180 / tilts,
        n_rows=size,
        n_cols=size,
        pixel_nm=PIXEL_NM,
        axis_offset_px=2.5,
        jitter_px=0.0,
        beam_drift=0.01,
        subsamples=2,
        photons_per_pixel=photons,
        n_flat=20,
        n_dark=5,
    )


def particle(size, rng, apertures):
    """A particle whose cracks have these apertures in the middle."""
    diameter = 0.62 * size * PIXEL_NM
    phantom = uniform_particle(
        rng=rng,
        formula=FORMULA,
        diameter_nm=diameter,
        n_pores=5,
        n_cracks=len(apertures),
        void_radius_nm=0.06 * diameter,
    )
    wanted = iter(apertures)
    return Phantom(
        tuple(
            replace(e, semi_axes_nm=(*e.semi_axes_nm[:2], next(wanted) * PIXEL_NM / 2))
            if e.kind == "crack"
            else e
            for e in phantom.ellipsoids
        ),
        phantom.elements,
    )


def middle_plane(crack, size):
    """Points in voxels on the middle plane of a lens where it is more than half as wide as in the middle."""
    u, v = np.meshgrid(np.linspace(-1, 1, 81), np.linspace(-1, 1, 81))
    inside = u**2 + v**2 < 1 - 0.5**2
    along = (
        np.stack([u[inside], v[inside]], axis=1)
        * crack.semi_axes_nm[:2]
        @ np.asarray(crack.rotation)[:, :2].T
    )
    return (np.asarray(crack.centre_nm) + along) / PIXEL_NM + (size - 1) / 2


def run(folder, phantom, scan, seed):
    """Write raw files and configuration, run the workflow, return the folder of the results."""
    rng = np.random.default_rng(seed + 100000)
    series, truth = simulate_holograms(phantom, scan, formula=FORMULA, density_g_cm3=DENSITY_G_CM3, rng=rng)
    (folder / "raw").mkdir(parents=True)
    entries = []
    for (name, recorded), z1, z2 in zip(
        series.items(), scan.source_sample_mm, scan.sample_detector_mm, strict=True
    ):
        write_data_exchange(folder / "raw" / f"{name}.h5", recorded)
        entries.append({"images": f"raw/{name}.h5", "source_sample_mm": z1, "sample_detector_mm": z2})
    structure = {
        "projections": entries,
        "voxel_nm": PIXEL_NM,
        "formula": FORMULA,
        "density_g_cm3": DENSITY_G_CM3,
        "measure": {"replicates": 0},
    }
    content = {"results": str(folder / "results"), "samples": {"particle": {"structure": structure}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    np.savez_compressed(folder / "truth.npz", solid=truth["solid"])
    if oxytomo(["run", str(folder / "config.yaml"), "--cores", "1"]) != 0:
        raise SystemExit(1)
    return folder / "results" / "particle"


def score(result, phantom, size):
    """Precision, recall by aperture, porosity error and noise of one particle."""
    voids = read_voids(read_store(result / "stages" / "structure" / "voids.zarr"))
    shares = class_fractions(phantom, pixel_nm=PIXEL_NM, shape=(size,) * 3, subsamples=4)
    hollow = sum(shares[kind] for kind in ("void", "pore", "crack"))
    skin = shares["solid"] + hollow
    cracks = [e for e in phantom.ellipsoids if e.kind == "crack"]
    true = hollow > 0.5
    for crack in cracks:
        true[tuple(np.round(middle_plane(crack, size)).astype(int).T)] = True
    found = np.zeros(true.shape, bool)
    found[tuple(voids.sheets.index.T)] = True
    to_true = edt.edt(np.ascontiguousarray(~true), black_border=False)
    hit = to_true[tuple(voids.sheets.index.T)] <= TOLERANCE_PX
    area = voids.sheets.area_px
    to_found = (
        edt.edt(np.ascontiguousarray(~found), black_border=False)
        if found.any()
        else np.full(found.shape, 99.0)
    )
    recall = {}
    for crack in cracks:
        place = tuple(np.round(middle_plane(crack, size)).astype(int).T)
        recall[round(2 * crack.semi_axes_nm[2] / PIXEL_NM, 3)] = float(
            (to_found[place] <= TOLERANCE_PX).mean()
        )
    false = sum(
        bool(np.average(hit[voids.sheets.sheet == k], weights=area[voids.sheets.sheet == k]) < 0.5)
        for k in range(1, voids.sheets.count + 1)
    )
    facts = json.loads((result / "structure.json").read_text(encoding="utf-8"))
    porosity = float(hollow.sum() / skin.sum())
    return {
        "precision": float(area[hit].sum() / area.sum()) if area.size else float("nan"),
        "area": float(area.sum()),
        "true_area": float(area[hit].sum()),
        "false_cracks": int(false),
        "cracks": voids.sheets.count,
        "recall": recall,
        "porosity_error": facts["porosity"]["total"]["value"] / porosity - 1,
        "cnr": 1 / voids.noise,
        "blur": voids.blur_px,
        "smallest": voids.sheets.smallest_aperture_px,
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[901, 902, 903, 904])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--tilts", type=int, default=200)
    parser.add_argument("--photons", type=float, default=3000.0)
    parser.add_argument(
        "--no-cracks", action="store_true", help="particles without cracks: false ones are counted"
    )
    parser.add_argument(
        "--folder", type=Path, default=None, help="keep the runs here; default: a temporary one"
    )
    options = parser.parse_args()
    apertures = () if options.no_cracks else APERTURES
    scan, rows = scan_of(options.size, options.tilts, options.photons), []
    for seed in options.seeds:
        phantom = particle(options.size, np.random.default_rng(seed), apertures)
        start = time.time()
        with tempfile.TemporaryDirectory() as temporary:
            folder = (options.folder or Path(temporary)) / f"holo_{seed}_{len(apertures)}_{options.photons:g}"
            result = folder / "results" / "particle"
            if not (result / "report.html").exists():
                result = run(folder, phantom, scan, seed)
            rows.append(score(result, phantom, options.size))
        print(seed, f"{time.time() - start:.0f} s", rows[-1], flush=True)
    area = sum(row["area"] for row in rows)
    print(
        f"\n{options.size}³, {options.tilts} projections at four distances, {options.photons:g} photons per pixel, "
        f"{len(rows)} particles\n"
    )
    if apertures:
        print("| aperture in the middle (voxels) | " + " | ".join(f"{a:g}" for a in APERTURES) + " |")
        print("|---|" + "---|" * len(APERTURES))
        recalls = [np.mean([row["recall"][a] for row in rows]) for a in APERTURES]
        print("| recall | " + " | ".join(f"{r:.3f}" for r in recalls) + " |\n")
        precision = sum(row["true_area"] for row in rows) / max(area, 1e-9)
        least = min(row["precision"] for row in rows)
        print(f"precision {precision:.3f} (least {least:.3f})", end=" · ")
    print(
        f"false cracks {sum(row['false_cracks'] for row in rows)} of {sum(row['cracks'] for row in rows)} · porosity error "
        + ", ".join(f"{100 * row['porosity_error']:+.1f} %" for row in rows)
        + f" · contrast / noise {np.median([row['cnr'] for row in rows]):.1f}, blur "
        f"{np.median([row['blur'] for row in rows]):.2f} voxels, smallest aperture that can be claimed "
        f"{np.median([row['smallest'] for row in rows]):.2f} voxels"
    )


if __name__ == "__main__":
    main()
