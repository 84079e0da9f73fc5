"""The real Fe L2,3 stack (ALS STXM): two component spectra from the stack itself, then the whole branch on it.

    python benchmarks/fe_stack.py DATA_FOLDER OUT_FOLDER

There is no Fe reference in the data set. The two components are the mean spectra of the pixels where the ratio of the
two L3 peaks is largest and smallest: the map then says where a pixel lies between the stack's own extremes ("2" and "3"
are names of the ends, not measured valences).
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml

from oxytomo.config import StackSource
from oxytomo.config.stage_settings import NormalizeStackStage
from oxytomo.io.stores import read_store
from oxytomo.stages.context import StageContext
from oxytomo.stages.oxidation import normalize_stack

PEAKS_EV = (708.0, 709.6)


def component_spectra(header: Path, folder: Path) -> dict[str, Path]:
    """Write the two component spectra as CSV; returns the files by the name of the end."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = NormalizeStackStage(element="Fe", source=StackSource(images=(str(header),)))
    context = StageContext("normalize_stack", 1, 1, settings.model_dump(mode="json"))
    normalize_stack.run({}, {"store": folder / "normalized.zarr"}, settings, context)
    stack = read_store(folder / "normalized.zarr")
    value, energy = stack["value"], stack["energy_ev"]
    below = np.nanmean(value[energy < 704.5], axis=0)
    first, second = (np.nanmean(value[np.abs(energy - peak) < 0.35], axis=0) - below for peak in PEAKS_EV)
    thick = (first + second > np.nanpercentile(first + second, 85)) & (np.nanmax(value, axis=0) < 1.8)
    ratio = np.where(thick, second / np.where(thick, first, 1), np.nan)
    files = {}
    for end, chosen in (
        ("2", ratio < np.nanpercentile(ratio, 10)),
        ("3", ratio > np.nanpercentile(ratio, 90)),
    ):
        spectrum = np.nanmean(value[:, chosen], axis=1)
        files[end] = folder / f"component_{end}.csv"
        rows = [f"{e:.3f},{y:.6f}" for e, y in zip(energy, spectrum, strict=True)]
        files[end].write_text("\n".join(["energy_ev,absorption", *rows]) + "\n", encoding="utf-8")
    return files


def main() -> None:
    data, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    header = data / "als_fe_stxm_stack" / "Aligned" / "71214098.hdr"
    files = component_spectra(header, out / "components")
    fit = {"window_ev": [704.5, 716.5], "post_edge_ev": [728, 731]}
    oxidation = {
        "stacks": {"Fe": str(header)},
        "references": {"Fe": {end: str(path) for end, path in files.items()}},
        "fit": fit,
    }
    config = out / "config.yaml"
    config.write_text(
        yaml.safe_dump({"results": str(out / "results"), "samples": {"fe": {"oxidation": oxidation}}})
    )
    subprocess.run([sys.executable, "-m", "oxytomo", "run", str(config), "--cores", "2"], cwd=out, check=True)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "oxytomo",
            "report",
            str(out / "results" / "fe"),
            "--figures",
            str(out / "figures"),
        ],
        cwd=out,
        check=True,
    )
    found = json.loads((out / "results" / "fe" / "oxidation.json").read_text())["elements"]["Fe"]
    print(f"highest point of the white line {found['white_line_ev']:.2f} eV; pixels {found['pixels']}")


if __name__ == "__main__":
    main()
