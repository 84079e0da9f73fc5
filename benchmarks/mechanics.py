"""Stress, lithium and crack fronts against closed solutions, with time and memory.

``python benchmarks/mechanics.py [--sizes 48 64 96] [--voids 4 7 9.6] [--cracks 7.85]`` prints
tables. Memory is the peak of the process, so give one size for that of one size.
"""

import argparse
import resource
import sys
import time

import numpy as np

from oxytomo.arrays import FloatArray
from oxytomo.mechanics.crack_fronts import crack_fronts, crack_sheets
from oxytomo.mechanics.elasticity import Elastic, deform
from oxytomo.mechanics.geometry import Parts, beside_voids, centre_of, one_particle
from oxytomo.mechanics.ideal import ideal_sphere
from oxytomo.mechanics.known import hollow_sphere_hoop_mpa
from oxytomo.mechanics.lithium import wetted_area
from oxytomo.mechanics.solid import solid_of_labels
from oxytomo.mechanics.states import Solver, profiles, scalars, shape_stress
from oxytomo.mechanics.tables import surface_hoop

FILL = 2.1
ELASTIC, STRAIN = Elastic(140.0, 0.3), 0.01
NORMALS = ((1.0, 0.0, 0.0), (1.0, 1.0, 0.0), (1.0, 0.5, 0.2), (1.0, 1.0, 1.0), (0.3, 1.0, -0.6))
OFFSETS = ((0.0, 0.0, 0.0), (0.3, -0.1, 0.45), (0.5, 0.2, 0.35))
"""Centres of the spheres within a voxel."""


def away_from(shape: tuple[int, ...], centre: np.ndarray) -> np.ndarray:
    """Return the distance of each voxel from a place, in voxels."""
    axes = (np.arange(size) - at for size, at in zip(shape, centre, strict=True))
    distance: np.ndarray = np.sqrt(sum(one**2 for one in np.meshgrid(*axes, indexing="ij", sparse=True)))
    return distance


def ball(n: int, centre: np.ndarray, radius: float, *, parts: int = 4) -> FloatArray:
    """Return the share of each voxel in a ball."""
    fine = (np.arange(n * parts) + 0.5) / parts - 0.5
    z, y, x = ((fine - at) ** 2 for at in centre)
    share = np.zeros((n, n, n), np.float32)
    for a in range(parts):
        for b in range(parts):
            for c in range(parts):
                share += z[a::parts, None, None] + y[b::parts, None] + x[c::parts] <= radius**2
    return share / np.float32(parts**3)


def hollow_row(void_px: float, offset: tuple[float, ...], *, whole: bool, threads: int) -> str:
    """Return how the hoop stress of a hollow sphere compares with Timoshenko's."""
    n = 2 * int(np.ceil(2.7 * void_px)) + 8
    radius, centre = n / 2 - 3.0, np.array(offset) + (n - 1) / 2
    away = away_from((n, n, n), centre)
    share = 1 - ball(n, centre, radius) * (1 - ball(n, centre, void_px))
    labels = ((away < radius) if whole else (ball(n, centre, radius) > 0)).astype(np.uint8)
    labels[away < void_px] = 2
    parts = Parts(labels, None if whole else share, (labels == 2).astype(np.int32), 1.0, (0, 0, 0))
    solid = parts.solid()
    middle = centre + np.array(solid.offset)
    away = away_from(solid.share.shape, middle)
    swell = (STRAIN * (away / radius) ** 2).astype(np.float32)
    found = deform(solid, swell, ELASTIC, tolerance=1e-5, most_iterations=500, threads=threads)
    stresses, beside = scalars(found.stress_mpa, solid, middle), beside_voids(parts, solid)

    def exact(at: np.ndarray) -> np.ndarray:
        return hollow_sphere_hoop_mpa(
            at, inner_um=void_px, outer_um=radius, eigenstrain_at_rim=STRAIN, elastic=ELASTIC
        )

    true = exact(away[beside])
    texts = []
    for values in (stresses.hoop, stresses.first_principal):
        ratio = values[beside] / true
        low, high = np.percentile(ratio, (5, 95))
        texts.append(f"{ratio.mean():.3f} | {low:.3f} to {high:.3f}")
    surface = surface_hoop(parts, solid, stresses.hydrostatic[solid.inside])[1]
    return (
        f"| {void_px:g} | {' '.join(f'{one:g}' for one in offset)} | {'whole' if whole else 'partial'} | "
        f"{' | '.join(texts)} | {surface / exact(np.array([void_px]))[0]:.3f} | {found.iterations} |"
    )


def crack_row(radius_px: float, normal: tuple[float, ...], *, threads: int) -> str:
    """Return how K_I along a penny crack compares with Sneddon's."""
    n, unit = 2 * int(np.ceil(4 * radius_px)) + 4, np.array(normal) / np.linalg.norm(normal)
    centre, outer = np.full(3, (n - 1) / 2), n / 2 - 1.0
    z, y, x = np.meshgrid(*(np.arange(n) - at for at in centre), indexing="ij", sparse=True)
    off = z * unit[0] + y * unit[1] + x * unit[2]
    along = np.sqrt(np.maximum(z**2 + y**2 + x**2 - off**2, 0))
    half = 0.5 * float(np.abs(unit).sum())
    labels = np.ones((n, n, n), np.uint8)
    labels[(np.abs(off - 1e-6) < half) & (along < radius_px)] = 3
    solid = solid_of_labels(labels, voxel_um=1.0, void_share=1 - ball(n, centre, outer))
    away = away_from(solid.share.shape, centre + np.array(solid.offset))
    swell = (STRAIN * (away / outer) ** 2).astype(np.float32)
    found = deform(solid, swell, ELASTIC, tolerance=1e-5, most_iterations=500, threads=threads)
    cracks = np.zeros(solid.share.shape, bool)
    cracks[solid.inside] = labels == 3
    fronts = crack_fronts(crack_sheets(cracks, solid, found), solid, ELASTIC)["k_mpa_sqrt_m"]
    middle, edge = hollow_sphere_hoop_mpa(
        np.array([1e-3, radius_px]), inner_um=0.0, outer_um=outer, eigenstrain_at_rim=STRAIN, elastic=ELASTIC
    )
    size = radius_px * 1e-6
    ratio = fronts / (2 * np.sqrt(size / np.pi) * (middle + (edge - middle) * 2 / 3))
    low, high = ratio.quantile([0.05, 0.95])
    return (
        f"| {radius_px:g} | {' '.join(f'{one:g}' for one in normal)} | {len(ratio)} | {ratio.median():.3f} | "
        f"{low:.3f} to {high:.3f} |"
    )


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


def size_row(n: int, *, crack: bool, threads: int) -> str:
    """Solve lithium and stress of one sphere; returns iterations, times and memory."""
    parts = sphere(n, n / 10, crack=crack)
    solid = parts.solid()
    solver = Solver(1e-5, 1000, threads)
    began = time.perf_counter()
    area = wetted_area(solid, parts.labels, "skin")
    (steady,) = profiles(solid, area, (), radius_um=parts.radius_um, solver=solver)
    lithium_s = time.perf_counter() - began
    del area
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


def show(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[48, 64, 96])
    parser.add_argument("--voids", type=float, nargs="*", default=[4.0, 7.0, 9.6])
    parser.add_argument("--cracks", type=float, nargs="*", default=[7.85])
    parser.add_argument("--only-cracked", action="store_true", help="of the sizes")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.voids:
        show(
            "| void, voxels | centre | voxels | hoop | 5 to 95 % | first principal | 5 to 95 % | surface | iterations |"
        )
        show("|---|---|---|---|---|---|---|---|---|")
    for void_px in arguments.voids:
        for offset in OFFSETS:
            for whole in (True, False):
                show(hollow_row(void_px, offset, whole=whole, threads=arguments.threads))
    if arguments.cracks:
        show("\n| crack, voxels | normal | front voxels | K_I median | 5 to 95 % |\n|---|---|---|---|---|")
    for radius_px in arguments.cracks:
        for normal in NORMALS:
            show(crack_row(radius_px, normal, threads=arguments.threads))
    if arguments.sizes:
        show(
            "\n| size | crack | hoop / exact, void of n/10 voxels | 5 to 95 % | lithium iterations | "
            "stress iterations | lithium s | stress s | GB |\n|---|---|---|---|---|---|---|---|---|"
        )
        sphere_row = size_row(24, crack=True, threads=1)  # compiles
        assert sphere_row
    for n in arguments.sizes:
        for crack in (True,) if arguments.only_cracked else (False, True):
            show(size_row(n, crack=crack, threads=arguments.threads))


if __name__ == "__main__":
    main()
