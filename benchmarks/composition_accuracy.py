"""Accuracy of the composition classes against the usual methods, on simulated particles with exact truth.

    python benchmarks/composition_accuracy.py [--photons 1e4 1e5] [--seeds 211 212 213] [--size 96] [--rim-nm 0]

Every method starts from the same optical densities (shifts known, so that only the method differs). Prints a Markdown
table: Dice of the oxygen-poor and oxygen-rich classes against truth, errors of the class fractions in percentage points,
the share of a uniform particle's interior that is called on target (the null run), and seconds. Medians over the seeds.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.ndimage

from oxytomo.arrays import FloatArray
from oxytomo.cli.simulate import DENSITY_G_CM3, EDGES, FORMULA
from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.composition.cross_sections import attenuation_per_um
from oxytomo.composition.decomposition import decompose_differences, decompose_weighted, tie_background
from oxytomo.composition.deviation import reconstruct_deviation
from oxytomo.composition.deviation_problems import DeviationSolver
from oxytomo.composition.ratio import RatioSolver, reconstruct_ratio
from oxytomo.preprocess.optical_density import optical_density
from oxytomo.segment.particle import particle_mask
from oxytomo.simulate.acquisition import Acquisition, Truth, simulate_acquisition
from oxytomo.simulate.particles import cathode_particle, uniform_particle

ELEMENTS = ("O", "Mn", "Co", "Ni")
PIXEL_NM = 9.8
TILTS = np.arange(-65.0, 66.0)
THRESHOLD = 0.05


@dataclass(frozen=True)
class Case:
    """Optical densities of one simulated particle, and the truth."""

    value: FloatArray
    variance: FloatArray
    energies_ev: np.ndarray
    truth: Truth
    tilt_deg: np.ndarray


def simulate(
    seed: int,
    photons: float,
    size: int,
    rim_nm: float,
    *,
    uniform: bool,
    domains: tuple[int, int] = (5, 5),
    deviation: tuple[float, float] = (0.08, 0.25),
    tilt_deg: np.ndarray = TILTS,
) -> Case:
    """Simulate one particle and normalise its frames."""
    rng = np.random.default_rng(seed)
    common = {
        "rng": rng,
        "formula": FORMULA,
        "diameter_nm": 0.68 * size * PIXEL_NM,
        "n_pores": 6,
        "n_cracks": 1,
    }
    common["void_radius_nm"] = 4 * PIXEL_NM
    if uniform:
        phantom = uniform_particle(**common)
    else:
        phantom = cathode_particle(
            **common, n_oxygen_poor=domains[0], n_oxygen_rich=domains[1], rim_nm=rim_nm, deviation=deviation
        )
    energies = {f"{e}_{side}": EDGES[e][1 + i] for e in ELEMENTS for i, side in enumerate(("pre", "post"))}
    acquisition = Acquisition(
        energies_ev=energies,
        tilt_deg=tilt_deg,
        n_rows=size,
        n_cols=size,
        pixel_nm=PIXEL_NM,
        magnification_spread=0.0,
        jitter_px=0.0,
        drift_px=0.0,
        psf_px=0.8,
        subsamples=2,
        photons_per_pixel=photons,
        dark_level=100.0,
        beam_structure=0.05,
        i0_drift=0.02,
        hot_fraction=2e-4,
        n_flat=10,
        n_dark=5,
        noise=True,
        truth_subsamples=3,
    )
    series, truth = simulate_acquisition(
        phantom, acquisition, formula=FORMULA, density_g_cm3=DENSITY_G_CM3, rng=rng
    )
    normalized = [
        optical_density(
            series[name],
            flat_field="mean",
            air_rescale=True,
            opaque_transmission=0.005,
            hot_pixel_sigma=8.0,
            saturation_counts=np.inf,
            illumination="none",
        )
        for name in energies
    ]
    return Case(
        np.stack([n.value for n in normalized]),
        np.stack([n.variance for n in normalized]),
        np.array(list(energies.values())),
        truth,
        tilt_deg,
    )


def elements(case: Case, *, weighted: bool) -> ColumnDensities:
    """Decompose by weighted least squares, or by plain subtraction."""
    atoms = np.array([FORMULA[e] for e in ELEMENTS])

    def attenuation(of: tuple[str, ...]) -> np.ndarray:
        return attenuation_per_um(
            FORMULA, density_g_cm3=DENSITY_G_CM3, energies_ev=case.energies_ev, elements=of
        )

    if weighted:
        matrix = tie_background(attenuation(ELEMENTS), attenuation(("Li",))[:, 0], atoms)
        areal, covariance = decompose_weighted(case.value, case.variance, matrix)
    else:
        pairs = [(2 * k, 2 * k + 1) for k in range(len(ELEMENTS))]
        areal, covariance = decompose_differences(
            case.value, case.variance, attenuation(ELEMENTS), pairs=pairs
        )
    return ColumnDensities(areal, covariance, case.tilt_deg, atoms, PIXEL_NM / 1e3)


def ratio(
    case: Case, *, weighted: bool, algorithm: str, smoothing_px: float
) -> tuple[FloatArray, np.ndarray]:
    """Reconstruct each element and divide; the particle from the same volumes."""
    solver = RatioSolver(algorithm=algorithm, backend="oxytomo", iterations=100, smoothing_px=smoothing_px)
    result = reconstruct_ratio(
        elements(case, weighted=weighted), solver=solver, reference_tm_o=1.0, threads=2
    )
    return result.deviation, particle_mask(scipy.ndimage.gaussian_filter(result.total, 1.0))


def deviation(case: Case, *, psf_px: float = 0.8) -> tuple[FloatArray, np.ndarray]:
    """The project's default method."""
    solver = DeviationSolver(200, None, None, 60, None, psf_px)
    result = reconstruct_deviation(
        elements(case, weighted=True), solver=solver, reference_tm_o=1.0, start=None, with_metals=False
    )
    return result.deviation, result.particle


METHODS: dict[str, Callable[[Case], tuple[FloatArray, np.ndarray]]] = {
    "plain subtraction + SIRT(100) + ratio": lambda c: ratio(
        c, weighted=False, algorithm="sirt", smoothing_px=0
    ),
    "plain subtraction + FBP + ratio": lambda c: ratio(c, weighted=False, algorithm="fbp", smoothing_px=0),
    "weighted solve + FBP + ratio": lambda c: ratio(c, weighted=True, algorithm="fbp", smoothing_px=0),
    "the same, smoothed by 2 px": lambda c: ratio(c, weighted=True, algorithm="fbp", smoothing_px=2),
    "weighted solve + deviation without point spread": lambda c: deviation(c, psf_px=0.0),
    "weighted solve + deviation (oxytomo)": deviation,
}


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Twice the overlap over the sum of two masks."""
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))


def score(found: FloatArray, particle: np.ndarray, truth: Truth) -> list[float]:
    """Dice of both classes and errors of both fractions in percentage points."""
    solid = np.isfinite(truth.deviation)
    values = []
    with np.errstate(invalid="ignore"):
        for sign in (1, -1):
            values.append(dice(sign * found > THRESHOLD, sign * truth.deviation > THRESHOLD))
        for sign in (1, -1):
            share = (sign * found > THRESHOLD).sum() / max(1, particle.sum())
            values.append(100 * (share - (sign * truth.deviation > THRESHOLD).sum() / solid.sum()))
    return values


def main() -> None:
    """Run all methods on all seeds and print one table per number of photons."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photons", type=float, nargs="+", default=[1e4, 1e5])
    parser.add_argument("--seeds", type=int, nargs="+", default=[211, 212, 213])
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--rim-nm", type=float, default=0.0)
    options = parser.parse_args()
    for photons in options.photons:
        print(
            f"\n{photons:g} photons per pixel, {options.size}³ voxels, seeds {options.seeds}, rim {options.rim_nm:g} nm\n"
        )
        print(
            "| method | Dice oxygen-poor | Dice oxygen-rich | fraction error poor / rich (pp) | null on target | s |"
        )
        print("|---|---|---|---|---|---|")
        cases = [simulate(s, photons, options.size, options.rim_nm, uniform=False) for s in options.seeds]
        null = simulate(options.seeds[0] + 1000, photons, options.size, 0.0, uniform=True)
        interior = scipy.ndimage.binary_erosion(np.isfinite(null.truth.deviation), iterations=3)
        for label, method in METHODS.items():
            scores, seconds = [], []
            for case in cases:
                start = time.perf_counter()
                found, particle = method(case)
                seconds.append(time.perf_counter() - start)
                scores.append(score(found, particle, case.truth))
            flat, _ = method(null)
            with np.errstate(invalid="ignore"):
                on_target = float((np.abs(flat[interior]) <= THRESHOLD).mean())
            poor, rich, f_poor, f_rich = (statistics.median(column) for column in zip(*scores, strict=True))
            print(
                f"| {label} | {poor:.3f} | {rich:.3f} | {f_poor:+.2f} / {f_rich:+.2f} | {100 * on_target:.1f} % "
                f"| {statistics.median(seconds):.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
