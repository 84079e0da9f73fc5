"""TM/O and valence from one solution, against composition alone, on the same simulated particles.

    python benchmarks/composition_and_valence.py [--seeds 11 13] [--post-ev 856] [--size 40] [--tilts 31]

Each seed is another nickel-rich particle with two domains of less oxygen and two of another valence of Ni, recorded at the
edges of O, Mn and Ni and at four energies on the white lines of Ni (shifts known). Prints a Markdown table: mean deviation
of TM/O in each kind of voxels, rms error of TM/O, and rms error and bias of the valence.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from oxytomo.chemical_state.columns import StateColumns
from oxytomo.chemical_state.joint import measured_edges
from oxytomo.chemical_state.reconstruction import reconstruct_state
from oxytomo.composition import amounts
from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.composition.deviation import reconstruct_deviation
from oxytomo.composition.deviation_problems import DeviationSolver
from oxytomo.oxidation.spectra import Reference
from oxytomo.simulate import demonstration as demo
from oxytomo.simulate.acquisition import Acquisition
from oxytomo.simulate.joint import JointTruth, further_energies_ev, joint_particle, simulate_joint
from oxytomo.simulate.states import state_references

ELEMENTS, ELEMENT = ["O", "Mn", "Ni"], "Ni"
FORMULA, DENSITY = {"Li": 1.0, "Mn": 0.2, "Ni": 0.8, "O": 2.0}, 4.7
PIXEL_NM, PHOTONS, BASE, STEP, DEVIATION = 12.0, 2e4, 3.2, 0.4, 0.15


def acquire(seed: int, a: argparse.Namespace) -> tuple[amounts.AlignedSeries, JointTruth]:
    """Optical densities of a particle at all energies, and the truth."""
    energies: dict[str, float] = {}
    for element in ELEMENTS:
        _, energies[f"{element}_pre"], energies[f"{element}_post"] = demo.EDGES[element]
    energies |= {f"{ELEMENT}_post": a.post_ev} | further_energies_ev(ELEMENT, 4)
    rng = np.random.default_rng(seed)
    phantom = joint_particle(
        rng,
        formula=FORMULA,
        element=ELEMENT,
        high_share=(BASE - 2) / 2,
        diameter_nm=0.7 * a.size * PIXEL_NM,
        deviation=DEVIATION,
        share_step=STEP / 2,
        uniform=False,
    )
    usual = demo.acquisition(
        ELEMENTS, size=a.size, n_tilts=a.tilts, photons=PHOTONS, pixel_nm=PIXEL_NM, jitter_px=0.0
    )
    ideal = {
        "energies_ev": energies,
        "tilt_deg": np.linspace(-65, 65, a.tilts),
        "magnification_spread": 0.0,
        "drift_px": 0.0,
        "dark_level": 0.0,
        "beam_structure": 0.0,
        "i0_drift": 0.0,
        "hot_fraction": 0.0,
        "n_flat": 0,
        "n_dark": 0,
    }
    recorded, truth = simulate_joint(
        phantom,
        Acquisition(**{**vars(usual), **ideal}),  # type: ignore[arg-type]
        state_references(ELEMENT),
        element=ELEMENT,
        formula=FORMULA,
        density_g_cm3=DENSITY,
        rng=rng,
    )
    counts = np.maximum(np.stack([one.frames for one in recorded.values()]).astype(np.float32), 1)
    value, nothing = -np.log(counts / np.float32(PHOTONS)), np.zeros(len(recorded))
    series = amounts.AlignedSeries(
        list(recorded), value, 1 / counts, truth.energies_ev, PIXEL_NM, truth.tilt_deg, nothing
    )
    return series, truth


def chosen(series: amounts.AlignedSeries, names: Sequence[str]) -> amounts.AlignedSeries:
    """Return some of the series."""
    rows = [list(series.names).index(name) for name in names]
    return replace(
        series,
        names=list(names),
        value=np.asarray(series.value)[rows],
        variance=np.asarray(series.variance)[rows],
        energies_ev=series.energies_ev[rows],
        stripe_change=np.zeros(len(rows)),
    )


def solved(series: amounts.AlignedSeries, *, joint: bool) -> amounts.Amounts:
    """Return the amounts, with the references of the element or without."""
    references = [Reference(f"{ELEMENT}_{v:g}", v, one) for v, one in state_references(ELEMENT).items()]
    measured = measured_edges(
        series.names,
        series.energies_ev,
        {ELEMENT: references} if joint else {},
        FORMULA,
        density_g_cm3=DENSITY,
        normalized=False,
    )
    return amounts.amounts_from_edges(
        series,
        amounts.Material(ELEMENTS, FORMULA, DENSITY),
        amounts.allowed_terms("auto", "auto", {}, {}),
        progress=lambda *_: None,
        measured=measured,
    )


def row(found: amounts.Amounts, truth: JointTruth) -> list[str]:
    """Return the numbers of one solution."""
    pixel_um = PIXEL_NM / 1000
    data = ColumnDensities(found.areal, found.covariance, truth.tilt_deg, found.atoms, pixel_um)
    solver = DeviationSolver(100, None, None, 40, None, psf_px=0.8)
    result = reconstruct_deviation(data, solver=solver, reference_tm_o=1.0, start=None, with_metals=False)
    deviation = np.asarray(result.deviation)
    inside = np.asarray(result.particle) & np.isfinite(truth.deviation)
    change, same = truth.valence - BASE, np.abs(truth.deviation) < 0.02
    kinds = {
        "rest": inside & (np.abs(change) < 0.02) & same,
        "high": inside & (change > STEP / 2) & same,
        "low": inside & (change < -STEP / 2) & same,
        "poor": inside & (truth.deviation > 0.1),
    }
    numbers = [f"{100 * deviation[where].mean():+.1f} %" for where in kinds.values()]
    error = (deviation - truth.deviation)[inside]
    numbers.append(f"{np.sqrt(np.mean(error**2)):.4f}")
    if ELEMENT not in found.states:
        return [*numbers, "", ""]
    of = found.states[ELEMENT]
    states = StateColumns(of.areal, of.covariance, truth.tilt_deg, np.ones(2), pixel_um, of.valences, 0.0)
    state = reconstruct_state(states, solver=replace(solver, l1_weight=0.0), reference=None)
    valence = state.reference_valence + np.asarray(state.result.deviation)
    wrong = (valence - truth.valence)[np.asarray(state.result.particle) & np.isfinite(truth.valence)]
    return [*numbers, f"{np.sqrt(np.mean(wrong**2)):.4f}", f"{wrong.mean():+.4f}"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs=2, default=(11, 13))
    parser.add_argument("--post-ev", type=float, default=856.0)
    parser.add_argument("--size", type=int, default=40)
    parser.add_argument("--tilts", type=int, default=31)
    a = parser.parse_args()
    pairs = [f"{element}_{side}" for element in ELEMENTS for side in ("pre", "post")]
    names = ("seed", "solution", "rest", "high", "low", "poor", "rms", "valence rms", "bias")
    print(f"| {' | '.join(names)} |\n{'|---' * len(names)}|")
    for seed in range(a.seeds[0], a.seeds[1] + 1):
        series, truth = acquire(seed, a)
        alone = row(solved(chosen(series, pairs), joint=False), truth)
        together = row(solved(series, joint=True), truth)
        for name, numbers in (("alone", alone), ("together", together)):
            print(f"| {seed} | {name} | {' | '.join(numbers)} |", flush=True)


if __name__ == "__main__":
    main()
