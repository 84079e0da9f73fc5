"""How often the stated uncertainties of the composition hold the truth, over simulated acquisitions.

    python benchmarks/uncertainty_calibration.py [--seeds 6001 6060] [--size 64] [--save FILE]

Each seed is another particle and another acquisition: 3·10³ to 10⁵ photons per pixel, 66 or 131 tilts, two to six domains of each
kind with deviations from 4–9 % up to 25 %, with or without a rim of 25 nm. Every one goes through decomposition, deviation
reconstruction, four noise replicates and the null run, as in the workflow (shifts known). Prints a Markdown table of coverages:
intervals of the class fractions, standard errors of single voxels, and what the null run calls off target.
``QUANTILES`` come from seeds 4001–4040 and 5001–5040, ``SIGMA_SCALE`` and ``BORDER_PX`` from 3001–3040; report others.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import scipy.ndimage
from composition_accuracy import THRESHOLD, elements, simulate

from oxytomo.arrays import FloatArray
from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.composition.deviation import reconstruct_deviation
from oxytomo.composition.deviation_problems import DeviationSolver
from oxytomo.composition.noise import deviation_sigma, replicate, uniform_composition
from oxytomo.composition.result import Composition
from oxytomo.measure.fractions import (
    QUANTILES,
    class_fractions,
    fraction_interval,
    fraction_spread,
    replicate_bias,
    replicate_fractions,
)
from oxytomo.segment.classes import CLASS_LABELS, CONFIDENT_LABELS, classify_confident, classify_deviation

SOLVER = DeviationSolver(200, None, None, 60, None, psf_px=0.8)
REPLICATES = 4
SIGMA_SMOOTHING_PX = 2.0


def solve(data: ColumnDensities, start: Composition | None = None) -> Composition:
    """The default chain."""
    return reconstruct_deviation(data, solver=SOLVER, reference_tm_o=1.0, start=start, with_metals=False)


def classes(deviation: FloatArray, inside: np.ndarray) -> np.ndarray:
    """Classes at the usual threshold."""
    return classify_deviation(deviation, inside, threshold=THRESHOLD)


def acquisition(seed: int, size: int) -> dict[str, float | list[float]]:
    """Simulate, reconstruct, and hold the uncertainties against the truth."""
    rng = np.random.default_rng(seed)
    photons, rim_nm = 10 ** rng.uniform(3.5, 5), float(rng.choice([0.0, 25.0]))
    lowest, domains = rng.uniform(0.04, 0.09), rng.integers(2, 7, 2)
    case = simulate(
        seed,
        photons,
        size,
        rim_nm,
        uniform=False,
        domains=(int(domains[0]), int(domains[1])),
        deviation=(lowest, 0.25),
        tilt_deg=np.arange(-65.0, 66.0, int(rng.choice([1, 2]))),
    )
    data = elements(case, weighted=True)
    found = solve(data)
    noise = np.random.default_rng(seed + 10**6)

    def again(source: Composition) -> FloatArray:
        return replicate(source, data, psf_px=SOLVER.psf_px, solve=solve, rng=noise)

    replicates = [again(found) for _ in range(REPLICATES)]
    null = again(uniform_composition(found))
    truth, solid = case.truth.deviation, np.isfinite(case.truth.deviation)
    labels, true_labels = classes(found.deviation, found.particle), classes(truth, solid)
    values = class_fractions(labels, labels=CLASS_LABELS)
    true_values = class_fractions(true_labels, labels=CLASS_LABELS)
    of_replicates = replicate_fractions(np.stack(replicates), found.particle, threshold=THRESHOLD)

    sigma = deviation_sigma(replicates, found.deviation, found.particle, smoothing_px=SIGMA_SMOOTHING_PX)
    both = found.particle & solid & np.isfinite(found.deviation)
    with np.errstate(invalid="ignore"):
        near = scipy.ndimage.binary_dilation(both & (np.abs(truth) > 0.02), iterations=2) & both
    z = np.abs(found.deviation - truth) / sigma
    sure = classify_confident(found.deviation, sigma, found.particle, threshold=THRESHOLD, confidence=0.95)
    decided = both & (sure > 0) & (sure != CONFIDENT_LABELS["undecided"])
    sure_null = classify_confident(null, sigma, found.particle, threshold=THRESHOLD, confidence=0.95)
    off_target = [CONFIDENT_LABELS[name] for name in ("oxygen_poor", "oxygen_rich")]
    record: dict[str, float | list[float]] = {
        "seed": seed,
        "photons": photons,
        "rim_nm": rim_nm,
        "voxels_68": float((z[near] < 1).mean()),
        "voxels_95": float((z[near] < 1.96).mean()),
        "all_voxels_68": float((z[both] < 1).mean()),
        "all_voxels_95": float((z[both] < 1.96).mean()),
        "decided": float(decided.sum() / both.sum()),
        "decided_right": float((sure[decided] == true_labels[decided]).mean()),
        "null_sure_off_target": float(np.isin(sure_null, off_target).sum() / found.particle.sum()),
    }
    for name, label in CLASS_LABELS.items():
        interval = fraction_interval(values[name], of_replicates[name], labels, label, confidence=0.95)
        bias = replicate_bias(values[name], of_replicates[name])
        assert interval is not None
        assert bias is not None
        spread = fraction_spread(of_replicates[name], bias, labels, label)
        error = values[name] - true_values[name]
        record[name] = [values[name], true_values[name], float(error / spread), *interval]
    return record


def report(records: list[dict[str, float | list[float]]]) -> None:
    """Print coverages and the quantiles that the constants come from."""
    print(f"{len(records)} acquisitions; quantiles used: {QUANTILES}\n")
    print(
        "| fraction of | truth in the 68 % interval | in the 95 % interval | quantiles here | median half width (pp) |"
    )
    print("|---|---|---|---|---|")
    groups = {name: [name] for name in CLASS_LABELS} | {"all": list(CLASS_LABELS)}
    for title, names in groups.items():
        rows = np.array([record[name] for record in records for name in names])
        hit = (rows[:, 1] >= rows[:, 3]) & (rows[:, 1] <= rows[:, 4])
        q68, q95 = np.quantile(np.abs(rows[:, 2]), [0.68, 0.95])
        within = np.mean(np.abs(rows[:, 2]) <= QUANTILES[0.68])
        half = 50 * np.median(rows[:, 4] - rows[:, 3])
        print(
            f"| {title} | {100 * within:.0f} % | {100 * hit.mean():.0f} % | {q68:.2f} / {q95:.2f} | {half:.2f} |"
        )
    print()

    def mean(key: str) -> float:
        return 100 * float(np.mean([record[key] for record in records]))

    print(
        f"voxels in and around domains within 1 / 1.96 standard errors: {mean('voxels_68'):.0f} / {mean('voxels_95'):.0f} %"
    )
    print(f"all voxels: {mean('all_voxels_68'):.0f} / {mean('all_voxels_95'):.0f} %")
    print(f"voxels of a certain class: {mean('decided'):.0f} %, right {mean('decided_right'):.1f} %")
    worst = 100 * max(float(np.max(record["null_sure_off_target"])) for record in records)
    print(f"null runs, certainly off target: mean {mean('null_sure_off_target'):.3f} %, worst {worst:.3f} %")


def main() -> None:
    """Run all seeds and print the coverages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs=2, default=[6001, 6060], help="first and last")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--save", type=Path, help="JSON lines: read what is there, add what is missing")
    options = parser.parse_args()
    records = []
    if options.save and options.save.exists():
        records = [json.loads(line) for line in options.save.read_text(encoding="utf-8").splitlines()]
    done = {record["seed"] for record in records}
    for seed in range(options.seeds[0], options.seeds[1] + 1):
        if seed in done:
            continue
        records.append(acquisition(seed, options.size))
        if options.save:
            with options.save.open("a", encoding="utf-8") as file:
                file.write(json.dumps(records[-1]) + "\n")
    report([r for r in records if options.seeds[0] <= int(r["seed"]) <= options.seeds[1]])  # type: ignore[call-overload]


if __name__ == "__main__":
    main()
