"""``oxytomo simulate --kind stress``: the idealised particle, its closed solution, configuration."""

import argparse
import sys
from pathlib import Path

import numpy as np
import yaml

from oxytomo.cli.simulate_folder import make_folder, writable

C_RATES, DEPTHS = (0.1, 10.0), (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
LEAST_VOXELS = 4.0
"""Radius of a pore, in voxels, from which its stress is resolved."""


def write_stress(arguments: argparse.Namespace) -> int:
    """Write labels, the curves of the closed solution and a configuration; return the exit code."""
    import tifffile

    from oxytomo.io.tables import write_csv
    from oxytomo.simulate import ideal_particle as ideal

    radius_um = (arguments.diameter_nm or 2e3 * ideal.RADIUS_UM) / 2e3
    voxel_nm = 2e3 * radius_um / (ideal.FILLED * arguments.size)
    curves = ideal.ideal_curves(C_RATES, DEPTHS, radius_um=radius_um)
    folder: Path = arguments.folder
    with writable(folder):
        make_folder(folder, _configuration(voxel_nm), ("raw",))
        labels = ideal.ideal_labels(arguments.size, pores=not arguments.uniform)
        tifffile.imwrite(folder / "raw" / "parts.tif", labels)
        columns = {
            "c_rate": [one.c_rate for one in curves for _ in one.depth],
            "depth": [depth for one in curves for depth in one.depth],
            "hoop_mpa": [value for one in curves for value in one.hoop_mpa],
            "von_mises_mpa": [value for one in curves for value in one.von_mises_mpa],
        }
        write_csv(folder / "ideal_stress.csv", columns)
        truth = {name: np.array(column) for name, column in columns.items()}
        np.savez_compressed(folder / "truth.npz", allow_pickle=False, **truth)
    sys.stdout.write(f"labels in {folder / 'raw'}, closed solution in {folder / 'ideal_stress.csv'}\n")
    pore = ideal.PORE_UM / ideal.RADIUS_UM * ideal.FILLED * arguments.size / 2
    if not arguments.uniform and pore < LEAST_VOXELS:
        wanted = int(np.ceil(arguments.size * LEAST_VOXELS / pore))
        sys.stdout.write(
            f"the radius of the pores is {pore:.1f} voxels: their stress needs --size {wanted}, or --uniform "
            "for the central void alone\n"
        )
    sys.stdout.write(f"next: oxytomo run {folder / 'config.yaml'}\n")
    return 0


def _configuration(voxel_nm: float) -> str:
    from oxytomo.simulate.ideal_particle import MATERIAL

    material = {
        "youngs_gpa": MATERIAL.elastic.youngs_gpa,
        "poisson": MATERIAL.elastic.poisson,
        "volume_strain": MATERIAL.volume_strain,
        "diffusivity_m2_s": MATERIAL.diffusivity_um2_s * 1e-12,
    }
    mechanics = {
        "labels": "raw/parts.tif",
        "voxel_nm": round(voxel_nm, 6),
        "material": material,
        "c_rates": list(C_RATES),
        "depths": list(DEPTHS),
    }
    text = yaml.safe_dump({"samples": {"particle": {"mechanics": mechanics}}}, sort_keys=False)
    return f"# Idealised particle; its closed solution is in ideal_stress.csv.\nresults: results\n{text}"
