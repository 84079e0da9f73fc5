"""How far the projector kernels are from what one core of this machine can do.

    NUMBA_NUM_THREADS=1 python benchmarks/kernel_limits.py [--size 256] [--runs 7]

An update (one voxel of one slice meets one tilt) needs two multiply-adds (4 flops), two loads (detector values going back, voxels
going forward) and a share of the accumulator. Measures the same mix on arrays that fit in the first cache, in the second, and in
memory only, and the kernels themselves. Prints a Markdown table (best of the runs: a limit is what is reached without
disturbance).
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from numba import njit

from oxytomo.reconstruct.blocks import SLICES, zero_blocks
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.reconstruct.lines import add_lines
from oxytomo.reconstruct.projector import adjoint, forward

FLOPS = 4.0
BYTES = 4 * (
    2 + 2 / 4
)  # two loads, and a fourth of the load and the store of the accumulator: four tilts or steps at once


@njit(nogil=True)
def _two_weights(source, total, repeats):  # type: ignore[no-untyped-def]
    """Add eight weighted lines of one array to an accumulator, over and over: what the projectors do per four updates."""
    g, f = np.float32(0.3), np.float32(0.7)
    n = SLICES
    for _ in range(repeats):
        for b in range(0, source.size - 8 * n + 1, 8 * n):
            lines = (b, b + n, b + 2 * n, b + 3 * n, b + 4 * n, b + 5 * n, b + 6 * n, b + 7 * n)
            add_lines(total, 0, source, lines, (g, f, g, f, g, f, g, f), n)


def best(function: Callable[[], object], runs: int) -> float:
    """CPU seconds of the fastest run, after one to warm up."""
    function()
    seconds = []
    for _ in range(runs):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return min(seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    rows = []
    total = zero_blocks((SLICES,))
    for name, size_kib in (("first cache", 16), ("second cache", 256), ("memory", 256 * 1024)):
        source = zero_blocks((size_kib * 256,))
        repeats = max(1, 2**28 // source.size)
        seconds = best(lambda s=source, r=repeats: _two_weights(s, total, r), options.runs)  # type: ignore[misc]
        rows.append((f"multiply-adds on lines in the {name}", 1e9 * seconds / (repeats * source.size / 2)))
    geometry = TiltGeometry.square(np.arange(-65.0, 66.0), options.size)
    volume = zero_blocks((1, options.size, options.size, SLICES))
    volume += 1
    updates = volume.size * geometry.n_tilt
    sinogram = forward(volume, geometry)
    rows.append(("forward projection", 1e9 * best(lambda: forward(volume, geometry), options.runs) / updates))
    rows.append(("back-projection", 1e9 * best(lambda: adjoint(sinogram, geometry), options.runs) / updates))
    print(f"{options.size}² pixels, {geometry.n_tilt} tilts, {SLICES} slices, one thread\n")
    print("| loop | ns per update | Gflop/s | GB/s through the loads | share of the first cache's limit |")
    print("|---|---|---|---|---|")
    for name, nanoseconds in rows:
        print(
            f"| {name} | {nanoseconds:.3f} | {FLOPS / nanoseconds:.0f} | {BYTES / nanoseconds:.0f} "
            f"| {100 * rows[0][1] / nanoseconds:.0f} % |"
        )


if __name__ == "__main__":
    main()
