"""Align series too large for memory as a whole: on binned frames, as shipped, against all pixels at once.

    python benchmarks/large_alignment.py --size 1024 --tilts 61

A particle of 150 overlapping spheres, projected exactly; every frame is shifted (4 px rms, 1 px more between the two
energies), the axis is off by 3.3 px; noise 1.3 % of the thickest ray. Either way is a process of its own, so that its
largest resident memory is its own. Errors are against the true shifts less one translation of the particle.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.align import series
from oxytomo.arrays import Float64Array, FloatArray

RADIUS, SPHERES, NOISE, THICKEST = 0.33, 150, 0.02, 1.5
JITTER_PX, BETWEEN_PX, AXIS_PX = 4.0, 1.0, 3.3
OPTIONS = series.AlignOptions(True, True, 40.0, 8, None, None, False)


def main() -> None:
    """Run both ways, print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=1024, help="detector pixels in each direction")
    parser.add_argument("--tilts", type=int, default=61, help="tilts from -65 to +65°")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--child", choices=("binned", "whole"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        align(arguments)
        return
    print(
        "| tilts aligned on | dy, rms | dx, rms | energies, rms | time | memory |\n|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        simulate(arguments.size, arguments.tilts, np.random.default_rng(arguments.seed), Path(folder))
        for child in ("binned", "whole"):
            subprocess.run([sys.executable, *sys.argv, "--child", child, "--folder", folder], check=True)


def simulate(size: int, n_tilt: int, rng: np.random.Generator, folder: Path) -> None:
    """Write optical densities (2, n_tilt, size, size) and the true shifts."""
    tilt = np.deg2rad(np.linspace(-65, 65, n_tilt))
    radius = size * np.concatenate([[RADIUS], rng.uniform(0.008, 0.10, SPHERES)])
    direction = rng.normal(size=(SPHERES, 3))
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    far = (radius[0] - radius[1:]) * rng.uniform(0.1, 1, SPHERES) ** (1 / 3)
    place = np.concatenate([np.zeros((1, 3)), direction * far[:, None]])
    amount = np.concatenate([[1.0], rng.uniform(0.2, 0.8, SPHERES)])
    shifts = rng.normal(0, JITTER_PX, (1, n_tilt, 2)) + rng.normal(0, BETWEEN_PX, (2, n_tilt, 2)) * [
        [[0]],
        [[1]],
    ]
    shifts[..., 1] += AXIS_PX
    shape = (2, n_tilt, size, size)
    values = np.lib.format.open_memmap(str(folder / "values.npy"), "w+", np.float32, shape)
    for energy, (gain, other) in enumerate(((1.0, 1.0), (0.6, 0.8))):
        share = amount * np.where(np.arange(SPHERES + 1) % 2, 1, other)
        for t, (dy, dx) in enumerate(shifts[energy]):
            y = place[:, 0] + dy
            x = place[:, 2] * np.cos(tilt[t]) + place[:, 1] * np.sin(tilt[t]) + dx
            frame = gain * THICKEST / (2 * radius[0]) * shadow(y, x, radius, share, size)
            values[energy, t] = frame + rng.normal(0, NOISE, (size, size))
    values.flush()
    np.save(folder / "shifts.npy", shifts)


def shadow(
    y: Float64Array, x: Float64Array, radius: Float64Array, amount: Float64Array, size: int
) -> FloatArray:
    """Sum of the spheres' thickness, px, at 2 × 2 points a pixel; places from the middle of the frame."""
    frame, middle = np.zeros((size, size), np.float32), (size - 1) / 2
    for cy, cx, r, share in zip(y + middle, x + middle, radius, amount, strict=True):
        rows, columns = (np.arange(max(0, int(c - r - 2)), min(size, int(c + r + 3))) for c in (cy, cx))
        for oy in (-0.25, 0.25):
            for ox in (-0.25, 0.25):
                square = (rows[:, None] + oy - cy) ** 2 + (columns + ox - cx) ** 2
                frame[np.ix_(rows, columns)] += 0.5 * share * np.sqrt(np.maximum(r * r - square, 0))
    return frame


def align(arguments: argparse.Namespace) -> None:
    """Align one way, print a row of the table."""
    if arguments.child == "whole":
        series.DRIVER_PIXELS = series.DRIVER_VOXELS = 10**12
    truth = np.load(arguments.folder / "shifts.npy")
    stored = np.load(arguments.folder / "values.npy", mmap_mode="r")
    # Read anew each time, so that pages of the file do not count as memory.
    values = [Rows(arguments.folder / "values.npy", e, stored.shape[1:]) for e in (0, 1)]
    del stored
    tilt_deg = np.linspace(-65, 65, truth.shape[1])
    began = time.perf_counter()
    found = series.align_series(
        ("first", "second"),
        values,
        np.array([1.0, 0.6]),
        tilt_deg=tilt_deg,
        acquisition_order=np.arange(tilt_deg.size),
        magnification=np.ones(2),
        options=OPTIONS,
        progress=lambda _: lambda done, total: None,
    )
    taken = time.perf_counter() - began
    error = np.stack([found.solution.dy_px, found.solution.dx_px], axis=-1) - truth
    between = float(np.sqrt(((error - error[:1]) ** 2).sum() / error[1:].size))
    mean, theta = error.mean(axis=0), np.deg2rad(tilt_deg)
    basis = np.stack([np.cos(theta), np.sin(theta)], axis=1)
    dx = mean[:, 1] - basis @ np.linalg.lstsq(basis, mean[:, 1], rcond=None)[0]
    dy = mean[:, 0] - mean[:, 0].mean()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6 * 1.024
    factor = found.driver.binning.factor
    print(
        f"| {'all pixels' if factor == 1 else f'{factor} × {factor} pixels averaged'} | {dy.std():.3f} px | "
        f"{np.sqrt((dx**2).mean()):.3f} px | {between:.3f} px | {taken:.0f} s | {peak:.1f} GB |",
        flush=True,
    )


class Rows:
    """One series of a file, as a field."""

    def __init__(self, path: Path, energy: int, shape: tuple[int, ...]) -> None:
        self.path, self.energy, self.shape, self.dtype = path, energy, shape, np.dtype(np.float32)

    def __getitem__(self, key: Any) -> FloatArray:
        return np.array(np.load(self.path, mmap_mode="r")[self.energy][key])

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError(self.path)


if __name__ == "__main__":
    main()
