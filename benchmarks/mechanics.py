"""Stress, lithium and crack fronts against closed solutions, with time and memory.

``python benchmarks/mechanics.py [--sizes 48 64 96]`` prints a table. Memory is the
peak of the process.
"""

import argparse
import resource
import sys
import time

import numpy as np

from oxytomo.mechanics.elasticity import Elastic, deform
from oxytomo.mechanics.geometry import Parts, beside_voids, centre_of, one_particle
from oxytomo.mechanics.ideal import ideal_sphere
from oxytomo.mechanics.lithium import wetted_area
from oxytomo.mechanics.states import Solver, profiles, scalars, shape_stress

FILL = 2.1


def sphere(n: int, void_px: float, *, crack: bool) -> Parts:
    """Return a sphere of n voxels across with a central void, and with a plane crack."""
    axis = np.arange(n) - (n - 1) / 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij", sparse=True)
    squared = z**2 + y**2 + x**2
    labels = (squared < (n / FILL) ** 2).astype(np.uint8)
    labels[squared < void_px**2] = 2
    if crack:
        labels[(np.abs(x - n // 4) < 0.6) & (y**2 + z**2 < (n / 8) ** 2) & (labels == 1)] = 3
    return one_particle(labels, wanted=None, voxel_um=16.0 / n)


def row(n: int, *, crack: bool, threads: int) -> str:
    """Solve one sphere; returns a row of the table."""
    parts = sphere(n, n / 10, crack=crack)
    solid = parts.solid()
    solver = Solver(1e-5, 1000, threads)
    began = time.perf_counter()
    area = wetted_area(solid, parts.labels, "skin")
    (steady,) = profiles(solid, area, (), radius_um=parts.radius_um, solver=solver)
    lithium_s = time.perf_counter() - began
    began = time.perf_counter()
    deformed = shape_stress(solid, steady.u, poisson=0.3, solver=solver)
    stress_s = time.perf_counter() - began
    centre = centre_of(parts, solid)
    where = beside_voids(parts, solid)
    found = scalars(deformed.stress_mpa, solid, centre).hoop[where]
    away = np.sqrt(((np.argwhere(where) - centre) ** 2).sum(1)) * parts.voxel_um / parts.radius_um
    void = float(np.cbrt(np.count_nonzero(parts.labels == 2) / np.count_nonzero(parts.labels)))
    ideal = ideal_sphere(np.inf, void_share=void)
    ratio = found / np.interp(away, ideal.radius, ideal.hoop)
    low, high = np.percentile(ratio, (5, 95))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    known = f"{ratio.mean():.3f} | {low:.3f} to {high:.3f}" if not crack else "- | -"
    return (
        f"| {n}³ | {'yes' if crack else 'no'} | {known} | {steady.iterations} | {deformed.iterations} | "
        f"{lithium_s:.1f} | {stress_s:.1f} | {peak:.2f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[48, 64, 96])
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    warm = one_particle(np.pad(np.ones((6, 6, 6), np.uint8), 1), wanted=None, voxel_um=1.0).solid()
    still = np.zeros_like(warm.share)
    deform(warm, still, Elastic(1.0, 0.3), tolerance=1e-3, most_iterations=2, threads=1)
    sys.stdout.write(
        "| size | crack | hoop / exact, void of n/10 voxels | 5 to 95 % | lithium iterations | stress iterations | "
        "lithium s | stress s | GB |\n|---|---|---|---|---|---|---|---|---|\n"
    )
    for n in arguments.sizes:
        for crack in (False, True):
            sys.stdout.write(row(n, crack=crack, threads=arguments.threads) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
