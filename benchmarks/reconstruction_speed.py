"""Speed and accuracy of plain reconstruction against other packages, measured in one run.

    python benchmarks/reconstruction_speed.py [--size 256] [--slices 256] [--repeats 3]

CPU time (children and threads included) is divided by voxels × tilts [× iterations], so that sizes can be compared. Slow
packages are run on fewer slices. Accuracy is the rms error against an analytic phantom of ellipses, inside the
reconstruction circle. Prints a Markdown table with ratios to our engine.
"""

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from oxytomo.reconstruct.backends import reconstruct
from oxytomo.reconstruct.geometry import TiltGeometry

ELLIPSES = [  # value, semi-axes, centre (fractions of the half width), rotation in degrees
    (1.0, 0.62, 0.55, 0.0, 0.0, 0.0),
    (-1.0, 0.12, 0.08, 0.1, 0.05, 30.0),
    (0.15, 0.2, 0.12, -0.25, 0.2, 60.0),
    (-0.15, 0.15, 0.2, 0.2, -0.25, 10.0),
    (-1.0, 0.3, 0.02, -0.1, -0.25, 40.0),
]


def sinogram(tilt_deg: np.ndarray, n: int, samples: int = 8) -> np.ndarray:
    """Exact line integrals averaged over the detector pixel, in pixels: (n_tilt, n) float32."""
    half = n / 2
    s = ((np.arange(n * samples) + 0.5) / samples - half) / half
    total = np.zeros((tilt_deg.size, s.size))
    for value, a, b, x0, y0, phi in ELLIPSES:
        angle = np.deg2rad(tilt_deg - phi)[:, None]
        theta = np.deg2rad(tilt_deg)[:, None]
        width2 = (a * np.cos(angle)) ** 2 + (b * np.sin(angle)) ** 2
        d = s[None] - (x0 * np.cos(theta) + y0 * np.sin(theta))
        total += value * 2 * a * b * np.sqrt(np.maximum(width2 - d**2, 0)) / width2
    return (total.reshape(tilt_deg.size, n, samples).mean(axis=2) * half).astype(np.float32)


def phantom(n: int, samples: int = 4) -> np.ndarray:
    """The phantom averaged over each pixel: (n, n) float32."""
    fine = ((np.arange(n * samples) + 0.5) / samples - n / 2) / (n / 2)
    y, x = np.meshgrid(fine, fine, indexing="ij")
    total = np.zeros_like(x)
    for value, a, b, x0, y0, phi in ELLIPSES:
        c, s = np.cos(np.deg2rad(phi)), np.sin(np.deg2rad(phi))
        u, v = (x - x0) * c + (y - y0) * s, -(x - x0) * s + (y - y0) * c
        total += value * ((u / a) ** 2 + (v / b) ** 2 <= 1)
    return total.reshape(n, samples, n, samples).mean(axis=(1, 3)).astype(np.float32)


def cpu_seconds() -> float:
    """CPU time of this process and its children."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def measure(run: Callable[[], np.ndarray], repeats: int) -> tuple[float, float, np.ndarray]:
    """Median CPU and wall seconds of several runs after one warm-up, and the last result."""
    result = run()
    cpu, wall = [], []
    for _ in range(repeats):
        c, w = cpu_seconds(), time.perf_counter()
        result = run()
        cpu.append(cpu_seconds() - c)
        wall.append(time.perf_counter() - w)
    return statistics.median(cpu), statistics.median(wall), result


def skimage_fbp(projections: np.ndarray, tilt_deg: np.ndarray) -> np.ndarray:
    """scikit-image's filtered back-projection, put into our orientation and units (it normalises by the angle count)."""
    from skimage.transform import iradon

    n = projections.shape[-1]
    step = np.median(np.diff(tilt_deg))
    gain = tilt_deg.size * step / 180
    return np.stack(
        [
            iradon(projections[:, z].T, theta=-tilt_deg, output_size=n, circle=False)[:, :] * gain
            for z in range(projections.shape[1])
        ]
    )


def candidates(algorithm: str) -> dict[str, str]:
    """Packages that can be measured here, by label."""
    found = {"oxytomo": "oxytomo"}
    for label, module in (("ASTRA (linear)", "astra"), ("TomoPy", "tomopy"), ("scikit-image", "skimage")):
        try:
            __import__(module)
        except ImportError:
            sys.stdout.write(f"{label}: not installed, left out\n")
            continue
        if not (algorithm == "sirt" and module == "skimage"):
            found[label] = module
    return found


def main() -> None:
    """Run the comparison and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--slices", type=int, default=256)
    parser.add_argument("--iterations", type=int, default=20, help="SIRT iterations that are timed")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    tilt_deg = np.arange(-65.0, 66.0)
    geometry = TiltGeometry.square(tilt_deg, options.size)
    one = sinogram(tilt_deg, options.size)
    truth = phantom(options.size)
    y, x = np.mgrid[: options.size, : options.size] - (options.size - 1) / 2
    circle = np.hypot(x, y) < 0.47 * options.size
    print(
        f"{tilt_deg.size} tilts of ±65°, {options.size} × {options.size} pixels per slice, {options.threads} threads\n"
    )
    print(
        "| algorithm | package | slices | CPU ns per voxel, tilt (and iteration) | wall s | ratio of CPU | rms error |"
    )
    print("|---|---|---|---|---|---|---|")
    for algorithm in ("fbp", "sirt"):
        ours = None
        for label, package in candidates(algorithm).items():
            slices = options.slices if package == "oxytomo" else max(2, options.slices // 32)
            if package == "tomopy" and algorithm == "fbp":
                slices = options.slices
            projections = np.repeat(one[:, None], slices, axis=1)
            weights = np.ones_like(projections)
            if package == "skimage":
                run: Callable[[], np.ndarray] = lambda p=projections: skimage_fbp(p, tilt_deg)  # noqa: E731
            else:

                def run(
                    p: np.ndarray = projections, w: np.ndarray = weights, b: str = package, a: str = algorithm
                ) -> np.ndarray:
                    return reconstruct(
                        p,
                        w,
                        geometry,
                        algorithm=a,
                        backend=b,
                        iterations=options.iterations,
                        nonnegative=False,
                        tv_weight=None,
                        threads=options.threads,
                    )

            cpu, wall, volume = measure(run, options.repeats)
            updates = (
                slices * options.size**2 * tilt_deg.size * (options.iterations if algorithm == "sirt" else 1)
            )
            nanoseconds = cpu / updates * 1e9
            ours = ours or nanoseconds
            error = float(np.sqrt(np.mean((volume[0] - truth)[circle] ** 2)))
            print(
                f"| {algorithm} | {label} | {slices} | {nanoseconds:.3f} | {wall:.2f} | {nanoseconds / ours:.1f} | {error:.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
