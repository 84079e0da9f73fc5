"""Score a finished composition run against the truth of a simulated acquisition.

    python benchmarks/score_against_truth.py results/particle truth.npz

The truth holds element densities: either ``density`` (element, z, y, x) with ``elements``, or ``densities`` as written by
`oxytomo simulate`. A global translation of the particle is not observable in a tilt series (nor is its mirror image for a
scan with unknown handedness), so the best flip and the best sub-voxel shift of the truth are taken first; both are found on the
particle alone, not on the classes. Prints Dice values and class fractions at native voxels.
"""

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
import scipy.ndimage
import scipy.optimize
import zarr

FORMULA = {"Li": 1.2, "Mn": 0.56, "Ni": 0.16, "Co": 0.08, "O": 2.0}
METALS = ("Mn", "Co", "Ni")


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Twice the overlap over the sum of two masks."""
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))


def load_truth(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Relative densities of O and TM."""
    file = np.load(path, allow_pickle=False)
    names = [str(e) for e in file["elements"]]
    densities = file["density"] if "density" in file else file["densities"]
    volume = {name: densities[i].astype(np.float32) for i, name in enumerate(names)}
    metals = [m for m in METALS if m in volume]
    metal = sum(FORMULA[m] * volume[m] for m in metals) / sum(FORMULA[m] for m in metals)
    return volume["O"], metal


def best_pose(solid: np.ndarray, oxygen: np.ndarray) -> tuple[tuple[int, ...], np.ndarray]:
    """Flip axes and shift (z, y, x) of the truth that overlap best with the reconstructed particle."""
    centre = np.array(scipy.ndimage.center_of_mass(solid))
    best: tuple[float, tuple[int, ...], np.ndarray] = (np.inf, (), np.zeros(3))
    smooth = scipy.ndimage.gaussian_filter(solid.astype(np.float32), 1.0)
    for count in range(4):
        for flips in itertools.combinations(range(3), count):
            flipped = np.flip(oxygen, flips)
            start = centre - np.array(scipy.ndimage.center_of_mass(flipped > 0.5))
            blurred = scipy.ndimage.gaussian_filter(flipped, 1.0)

            def cost(shift: np.ndarray, volume: np.ndarray = blurred) -> float:
                moved = scipy.ndimage.shift(volume, shift, order=1)
                return float(np.mean((moved - smooth)[::2, ::2, ::2] ** 2))

            found = scipy.optimize.minimize(
                cost, start, method="Powell", options={"xtol": 0.01, "maxiter": 4}
            )
            if found.fun < best[0]:
                best = (found.fun, flips, found.x)
    return best[1], best[2]


def main() -> None:
    """Print the scores."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sample", type=Path, help="results folder of the sample")
    parser.add_argument("truth", type=Path, help="truth.npz")
    options = parser.parse_args()
    image = zarr.open_group(options.sample / "composition.ome.zarr", mode="r")
    phases = np.asarray(image["labels/phases/0"])
    particle = np.asarray(image["labels/particle/0"]) > 0
    oxygen, metal = load_truth(options.truth)
    flips, shift = best_pose(particle, oxygen)
    moved_o, moved_m = (scipy.ndimage.shift(np.flip(v, flips), shift, order=1) for v in (oxygen, metal))
    solid = moved_o > 0.5
    deviation = np.where(solid, moved_m / np.maximum(moved_o, 1e-3) - 1, 0)
    truth = {"oxygen_poor": deviation > 0.05, "oxygen_rich": deviation < -0.05}
    print(f"best flip of axes {flips or 'none'}, shift (z, y, x) {np.round(shift, 2)} voxels")
    print(f"Dice particle     {dice(particle, solid):.4f}")
    for label, name in ((2, "oxygen_poor"), (3, "oxygen_rich")):
        found = phases == label
        share, true_share = found.sum() / particle.sum(), truth[name].sum() / solid.sum()
        print(
            f"Dice {name:12s} {dice(found, truth[name]):.4f}   fraction {100 * share:.2f} %, truth {100 * true_share:.2f} %"
        )
    reported = json.loads((options.sample / "phases.json").read_text())
    for name, entry in reported["fractions"].items():
        print(f"phases.json {name}: {entry}; null {reported['null']['fractions'][name]['value']}")


if __name__ == "__main__":
    main()
