"""How often a difference between groups of particles is claimed where there is none, and found where there is one.

Usage: python benchmarks/group_differences.py [--draws 4000] [--seed 1]

Particles of a group scatter normally; each number has noise of known size. Reported: the share of draws with p < 0.05.
"""

import argparse

import numpy as np

from oxytomo.measure.differences import difference

SIZES = ((1, 1), (1, 3), (1, 6), (2, 2), (3, 3), (2, 5), (5, 5))
CASES = (
    ("scatter 1, noise 0", (1.0, 1.0), 0.0),
    ("scatter 1, noise 0.3", (1.0, 1.0), 0.3),
    ("scatter 0, noise 1", (0.0, 0.0), 1.0),
    ("scatter 1 and 3, noise 0.3", (1.0, 3.0), 0.3),
)
SHIFT = 3.0


def claimed(
    n: tuple[int, int],
    scatter: tuple[float, float],
    noise: float,
    shift: float,
    draws: int,
    rng: np.random.Generator,
) -> float:
    """Return the share of draws in which a difference is claimed."""
    count = 0
    for _ in range(draws):
        groups = [
            rng.normal(0, s, size) + rng.normal(0, noise, size) for size, s in zip(n, scatter, strict=True)
        ]
        errors = [[noise] * size for size in n]
        count += difference(list(groups[0]), errors[0], list(groups[1] + shift), errors[1]).p < 0.05
    return count / draws


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    names = [name for name, _, _ in CASES]
    print("| n | " + " | ".join(names) + f" | found: shift {SHIFT:g}, scatter 1, noise 0.3 |")
    print("|---" * (len(CASES) + 2) + "|")
    for n in SIZES:
        cells = [claimed(n, scatter, noise, 0.0, arguments.draws, rng) for _, scatter, noise in CASES]
        cells.append(claimed(n, (1.0, 1.0), 0.3, SHIFT, arguments.draws, rng))
        print(f"| {n[0]}, {n[1]} | " + " | ".join(f"{100 * cell:.1f} %" for cell in cells) + " |")


if __name__ == "__main__":
    main()
