"""Local thickness and object tables beside PoreSpy, Gaussians beside SciPy, in the same run: a table of docs/benchmarks/speed.md.

    pip install porespy
    NUMBA_NUM_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/void_speed.py [--runs 5]

CPU time of the process with its children, all threads, median of several runs after one that compiles. Thickness:
PoreSpy with every radius that occurs (method 'legacy', the same definition as ours), and its default, which knows whole
radii only. Tables: 300 balls of known volume and surface. Without PoreSpy only our rows are printed.
"""

import argparse
import resource
import sys
import time
import warnings
from types import SimpleNamespace

import numpy as np
from scipy.ndimage import gaussian_filter

from oxytomo.measure.pores import pore_table
from oxytomo.measure.thickness import local_thickness
from oxytomo.segment.regions import grow
from oxytomo.segment.smoothing import gaussian


def cpu_s():
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def timed(function, runs):
    """Median CPU seconds, and what the function returns."""
    result = function()
    spent = []
    for _ in range(runs):
        start = cpu_s()
        result = function()
        spent.append(cpu_s() - start)
    return float(np.median(spent)), result


def pore_space(size, coarseness_px, rng):
    field = gaussian_filter(rng.standard_normal((size,) * 3), coarseness_px)
    return field > np.quantile(field, 0.7)


def balls(size, count, rng):
    """Void fraction, labels and true radii of balls that do not touch."""
    void, labels = np.zeros((size,) * 3, np.float32), np.zeros((size,) * 3, np.int32)
    radii, centres = [], []
    while len(radii) < count:
        radius = rng.uniform(3, 9)
        centre = rng.uniform(radius + 6, size - radius - 6, 3)
        low = np.floor(centre - radius - 5).astype(int)
        box = tuple(slice(a, a + int(2 * radius + 11)) for a in low)
        if labels[box].any():
            continue
        axes = [np.arange(s.start, s.stop) - c for s, c in zip(box, centre, strict=True)]
        away = np.sqrt(axes[0][:, None, None] ** 2 + axes[1][:, None] ** 2 + axes[2] ** 2)
        share = np.clip(radius - away + 0.5, 0, 1)
        void[box] = np.maximum(void[box], share)
        labels[box][share >= 0.5] = len(radii) + 1
        radii.append(radius)
        centres.append(centre)
    return void, labels, np.array(radii), np.array(centres)


def thickness_rows(ps, runs):
    rng = np.random.default_rng(0)
    for size, coarseness in ((128, 3), (128, 8)):
        mask = pore_space(size, coarseness, rng)
        ours_s, found = timed(lambda mask=mask: local_thickness(mask), runs)
        radius = np.where(mask, np.sqrt(found**2 / 4 + 0.5), 0)
        name = f"local thickness, {size}³, pores of {coarseness} voxels"
        yield name, "oxytomo", ours_s, 1.0, ""
        if ps is None:
            continue
        # Squared distances are whole numbers: every radius that can occur, largest first.
        sizes = np.sqrt(np.unique(np.round(radius[mask] ** 2)))[::-1]

        def every_radius(mask=mask, sizes=sizes):
            return ps.filters.local_thickness(mask, method="legacy", sizes=sizes, smooth=True)

        for label, call, times in (
            ("PoreSpy, every radius", every_radius, max(1, runs // 3)),
            (
                "PoreSpy, whole radii (its default)",
                lambda mask=mask: ps.filters.local_thickness(mask),
                runs,
            ),
        ):
            spent, other = timed(call, times)
            apart = np.abs(radius[mask] - other[mask])
            equal, rms = (apart < 1e-3).mean(), np.sqrt((apart**2).mean())
            same = f"radii equal in {100 * equal:.2f} % of voxels, rms difference {rms:.3f}"
            yield name, label, spent, spent / ours_s, same


def table_rows(ps, runs):
    void, labels, radii, centres = balls(192, 300, np.random.default_rng(1))
    inside = np.ones(labels.shape, np.uint8)
    zone = grow(labels, inside > 0, 3)
    voids = SimpleNamespace(
        void=void,
        instances=labels,
        zone=zone,
        particle=inside,
        depth_px=np.full(labels.shape, 50, np.float32),
        n_pores=len(radii),
    )

    def ours():
        return pore_table(voids, voxel_nm=1.0)

    def agreement(volume, surface, place):
        # The edge of the balls is a ramp of one voxel, which adds a little to the volume.
        volumes = volume / (4 / 3 * np.pi * (radii**3 + radii / 4)) - 1
        surfaces = surface / (4 * np.pi * radii**2) - 1
        return (
            f"volume {100 * volumes.mean():+.1f} ± {100 * volumes.std():.1f} %, surface {100 * surfaces.mean():+.1f} ± "
            f"{100 * surfaces.std():.1f} %, centroid {np.abs(place - centres).max():.2f} voxels at most"
        )

    ours_s, table = timed(ours, runs)
    place = np.stack([table[f"centroid_{axis}_nm"] for axis in "zyx"], axis=1)
    name = "table of 300 balls, 192³"
    yield name, "oxytomo", ours_s, 1.0, agreement(table["volume_nm3"], table["surface_nm2"], place)
    if ps is None:
        return

    def theirs():
        regions = ps.metrics.regionprops_3D(labels)
        return regions, ps.metrics.props_to_DataFrame(regions)

    spent, (regions, frame) = timed(theirs, max(1, runs // 3))
    place = np.array([region.centroid for region in regions])
    found = agreement(np.asarray(frame["volume"]), np.asarray(frame["surface_area"]), place)
    yield name, "PoreSpy regionprops_3D, props_to_DataFrame", spent, spent / ours_s, found

    def same_columns():
        regions = ps.metrics.regionprops_3D(labels)
        return [
            (
                r.volume,
                r.equivalent_diameter_area,
                r.centroid,
                r.inertia_tensor_eigvals,
                r.surface_area,
                r.sphericity,
            )
            for r in regions
        ]

    spent, _ = timed(same_columns, max(1, runs // 3))
    yield name, "PoreSpy regionprops_3D, the quantities of our table only", spent, spent / ours_s, "as above"


def gaussian_rows(runs):
    values = np.random.default_rng(2).standard_normal((96, 512, 512)).astype(np.float32)
    for sigma_px in (1.0, 2.0):
        ours_s, found = timed(lambda s=sigma_px: gaussian(values, s), runs)
        spent, other = timed(lambda s=sigma_px: gaussian_filter(values, s, mode="nearest"), runs)
        name = f"Gaussian of {sigma_px:g} voxels, 96 × 512²"
        yield name, "oxytomo", ours_s, 1.0, ""
        same = "equal to the last bit" if np.array_equal(found, other) else "not equal"
        yield name, "SciPy", spent, spent / ours_s, same


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    ps = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import porespy as ps

            ps.settings.tqdm["disable"] = True
            print(f"PoreSpy {ps.__version__}\n")
    except ImportError as error:
        sys.stdout.write(
            f"PoreSpy is not installed ({error}): pip install porespy; its rows are left out\n\n"
        )
    print("| task | package | CPU s | ratio | agreement |\n|---|---|---|---|---|")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for rows in (gaussian_rows(runs), thickness_rows(ps, runs), table_rows(ps, runs)):
            for name, package, spent, ratio, same in rows:
                print(f"| {name} | {package} | {spent:.3f} | {ratio:.1f} | {same} |", flush=True)


if __name__ == "__main__":
    main()
