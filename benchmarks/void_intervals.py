"""How often the 95 % intervals of the headline numbers hold the truth: a table of docs/benchmarks/structure.md.

    python benchmarks/void_intervals.py --seeds 700 701 … 711

Particles with exact truth, segmented and measured by the stages with the settings that ship. The intervals hold noise only: what
they miss besides is what the method itself is off by.
"""

import argparse
import json
import tempfile
from pathlib import Path

import cc3d
import edt
import numpy as np

from oxytomo.config.stage_settings import MeasureVoidsStage, SegmentVoidsStage
from oxytomo.io.stores import NamedArray, write_store
from oxytomo.simulate.voids import photograph, random_particle
from oxytomo.stages.context import StageContext
from oxytomo.stages.structure import measure_voids, segment_voids

APERTURES = (1.0, 1.5, 2.0)
RADII = (3.0, 3.0, 4.0, 4.0, 5.0, 6.0)


def truth_of(phantom):
    pieces = cc3d.connected_components(phantom.void > 0.02, connectivity=26)
    skin = edt.edt(np.ascontiguousarray(phantom.envelope > 0.5), black_border=False) <= 1.5
    is_open = np.zeros(int(pieces.max()) + 1, bool)
    is_open[np.unique(pieces[skin & (phantom.envelope > 0)])] = True
    is_open[0] = False
    area = np.bincount(phantom.crack_index.ravel(), minlength=len(phantom.cracks) + 1)[1:]
    apertures = np.array([crack.aperture_px for crack in phantom.cracks])
    return {
        "porosity": phantom.porosity,
        "open share": float(phantom.void[is_open[pieces]].sum() / phantom.void.sum()),
        "pores": len(phantom.pores),
        "mean aperture": float(np.average(apertures, weights=area)),
    }


def measured(volume, folder):
    context = StageContext("segment_voids", 1, 1, {})
    store, voids = folder / "volume.zarr", folder / "voids.zarr"
    write_store(
        store,
        {"volume": NamedArray(volume, ("z", "y", "x"), "1")},
        provenance=context.provenance({}),
        attributes={"voxel_nm": 1.0},
    )
    segment = SegmentVoidsStage(mask=None)
    segment_voids.run({"volume": store}, {"store": voids}, segment, context)
    out = {
        "pores": folder / "pores.csv",
        "cracks": folder / "cracks.csv",
        "structure": folder / "structure.json",
    }
    measure_voids.run({"volume": store, "voids": voids}, out, MeasureVoidsStage(segment=segment), context)
    facts = json.loads(out["structure"].read_text())
    total, aperture = facts["porosity"]["total"], facts["cracks"]["mean_aperture_nm"]
    return {
        "porosity": (total["value"], total["ci95"]),
        "open share": (facts["open_fraction"], facts["open_fraction_ci95"]),
        "pores": (facts["pores"]["count"], facts["pores"]["count_ci95"]),
        "mean aperture": (aperture["value"], aperture["ci95"]),
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(700, 712)))
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--cnr", type=float, default=5.0)
    options = parser.parse_args()
    rows = {}
    for seed in options.seeds:
        rng = np.random.default_rng(seed)
        phantom = random_particle(options.size, apertures_px=APERTURES, pore_radii_px=RADII, rng=rng)
        volume = photograph(
            phantom, blur_px=1.0, contrast_to_noise=options.cnr, shading=0.05, structure=0.0, rng=rng
        )
        with tempfile.TemporaryDirectory() as folder:
            found = measured(volume, Path(folder))
        for name, true in truth_of(phantom).items():
            rows.setdefault(name, []).append((true, found[name][0], *found[name][1]))
    print(f"\n{options.size}³, CNR {options.cnr:g}, {len(options.seeds)} particles\n")
    columns = "holds the truth", "median half width / truth", "mean error / truth", "scatter of the error"
    print("| number | " + " | ".join(columns) + " |\n|---|---|---|---|---|")
    for name, entries in rows.items():
        true, value, low, high = np.array(entries, float).T
        error, width = value / true - 1, np.median((high - low) / 2 / true)
        print(
            f"| {name} | {int(((low <= true) & (true <= high)).sum())} of {len(true)} | {100 * width:.1f} % "
            f"| {100 * error.mean():+.1f} % | {100 * error.std():.1f} % |"
        )


if __name__ == "__main__":
    main()
