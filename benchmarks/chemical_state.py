"""Accuracy of the valence in three dimensions, and of the common way on the same data.

    python benchmarks/chemical_state.py [--seeds 601 606] [--size 40] [--tilts 61] [--energies 12] [--full-turn]

Each seed is another particle with six domains of ± 0.3, three pores and an optical density of 2, recorded with 10⁴ photons
(shifts known). Each goes through decomposition, deviation reconstruction, four noise replicates and the null run, as in the
workflow (``method: rays``), and through fits of every voxel (``method: voxels``). Prints a Markdown table. The constants of
``oxytomo.chemical_state.errors`` come from seeds 701–704 and, with four energies and over 180°, 711–712; report others.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
import scipy.ndimage

from oxytomo.arrays import ReplicateKind
from oxytomo.chemical_state.columns import StateColumns
from oxytomo.chemical_state.decomposition import StateSeries, decompose_states
from oxytomo.chemical_state.errors import DENSITY_ITERATIONS, REPLICATE_SCALE, VOXEL_SCALE, valence_sigma
from oxytomo.chemical_state.reconstruction import reconstruct_state
from oxytomo.chemical_state.spectra import SpectraOptions
from oxytomo.chemical_state.voxel_fits import PLAIN, clipped
from oxytomo.composition.deviation_problems import DeviationSolver
from oxytomo.composition.replicates import Chain, replicates_of
from oxytomo.oxidation.spectra import Reference
from oxytomo.simulate.acquisition import Acquisition
from oxytomo.simulate.states import (
    StateTruth,
    simulate_states,
    state_energies_ev,
    state_particle,
    state_references,
)

PIXEL_NM, BASE, STEP, THRESHOLD = 10.0, 3.2, 0.3, 0.15
SOLVER = DeviationSolver(200, None, 0.0, 60, None, psf_px=0.8)
OPTIONS = SpectraOptions("Ni", "auto", None, 4.2, None, None, False, 100.0)


def acquire(seed: int, a: argparse.Namespace) -> tuple[StateSeries, StateTruth]:
    """Optical densities of a particle, and the truth."""
    rng, references = np.random.default_rng(seed), state_references("Ni")
    diameter = 0.7 * a.size * PIXEL_NM
    phantom = state_particle(
        rng,
        valences=(min(references), max(references)),
        diameter_nm=diameter,
        base_valence=BASE,
        step=STEP,
        n_domains=6,
        n_pores=3,
        uniform=False,
    )
    limit = 90 * (1 - 1 / a.tilts) if a.full_turn else 65.0
    energies = state_energies_ev("Ni", a.energies)
    acquisition = Acquisition(
        energies_ev={f"Ni_{i}": float(e) for i, e in enumerate(energies)},
        tilt_deg=np.linspace(-limit, limit, a.tilts),
        n_rows=a.size,
        n_cols=a.size,
        pixel_nm=PIXEL_NM,
        magnification_spread=0.0,
        jitter_px=0.0,
        drift_px=0.0,
        psf_px=0.6,
        subsamples=2,
        photons_per_pixel=a.photons,
        dark_level=0.0,
        beam_structure=0.0,
        i0_drift=0.0,
        hot_fraction=0.0,
        n_flat=0,
        n_dark=0,
        noise=True,
        truth_subsamples=3,
    )
    series, truth = simulate_states(
        phantom, acquisition, references, largest_od=a.od, diameter_nm=diameter, rng=rng
    )
    counts = np.maximum(np.stack([one.frames for one in series.values()]).astype(np.float32), 1)
    return StateSeries("Ni", -np.log(counts / np.float32(a.photons)), 1 / counts, energies, PIXEL_NM), truth


def scores(valence: np.ndarray, truth: np.ndarray, inside: np.ndarray) -> tuple[float, float, float, float]:
    """Return rms error, bias, and Dice of high and low domains."""
    error, found = (valence - truth)[inside], []
    for sign in (1, -1):
        there, seen = (sign * (one - BASE) > THRESHOLD for one in (truth, valence))
        found.append(
            float(2 * (there & seen & inside).sum() / ((there & inside).sum() + (seen & inside).sum()))
        )
    return float(np.sqrt(np.nanmean(error**2))), float(np.nanmean(error)), found[0], found[1]


def coverage(data: StateColumns, state, truth: np.ndarray, inside: np.ndarray, solver) -> list[float]:  # type: ignore[no-untyped-def]
    """Return the shares within one and two standard errors: everywhere, in and around domains."""
    counts: dict[ReplicateKind, int] = {"noise": 4, "null": 1}
    repeated = solver if solver is PLAIN else replace(solver, element_iterations=DENSITY_ITERATIONS)
    chain = Chain(replace(data, reference_valence=state.reference_valence), state.result, repeated, False, 1)
    found = replicates_of(chain, counts, {}, lambda _: lambda *_: None, seed=0)
    repeats, scale = list(found["noise"]), REPLICATE_SCALE
    if solver is PLAIN:
        scale = VOXEL_SCALE
        repeats = [clipped(one, data, state.reference_valence) for one in repeats]
    sigma = np.asarray(valence_sigma(repeats, state.result.deviation, state.result.particle, scale=scale))
    domains = (np.abs(truth - BASE) > 0.05) & inside
    near = scipy.ndimage.binary_dilation(domains, iterations=2) & inside
    far = np.abs(np.asarray(state.valence[:]) - truth) / sigma
    return [float((far[where] < limit).mean()) for where in (inside, near) for limit in (1, 2)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs=2, default=(601, 606))
    for name, value in (("size", 40), ("tilts", 61), ("energies", 12)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--photons", type=float, default=1e4)
    parser.add_argument("--od", type=float, default=2.0)
    parser.add_argument("--full-turn", action="store_true")
    a = parser.parse_args()
    print("| seed | method | rms | bias | Dice high | Dice low | within 1 σ / 2 σ, all | near domains | s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for seed in range(a.seeds[0], a.seeds[1] + 1):
        series, truth = acquire(seed, a)
        references = [Reference(f"Ni_{v:g}", v, one) for v, one in state_references("Ni").items()]
        inside = None
        for method, solver in (("rays", SOLVER), ("voxels", PLAIN)):
            start = time.perf_counter()
            found = decompose_states(
                series, references, OPTIONS, method=method, energy_offset_ev=0.0, progress=lambda *_: None
            )
            data = StateColumns(
                found.areal,
                found.covariance,
                truth.tilt_deg,
                np.ones(2),
                PIXEL_NM / 1000,
                found.spectra.valences,
                0.0,
            )
            state = reconstruct_state(data, solver=SOLVER if method == "rays" else None, reference=None)
            seconds = time.perf_counter() - start
            particle, valence = np.asarray(state.result.particle), np.asarray(state.valence[:])
            # Both methods are judged on the voxels of the first
            inside = particle & np.isfinite(truth.valence) if inside is None else inside
            shares = [f"{100 * s:.0f}" for s in coverage(data, state, truth.valence, inside, solver)]
            cover = (f"{shares[0]} / {shares[1]}", f"{shares[2]} / {shares[3]}")
            rms, bias, high, low = scores(valence, truth.valence, inside)
            row = (f"{rms:.4f}", f"{bias:+.4f}", f"{high:.3f}", f"{low:.3f}", *cover, f"{seconds:.0f}")
            print(f"| {seed} | {method} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
