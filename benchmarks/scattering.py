"""Figures of the scattering branch: the tables of docs/benchmarks/scattering.md.

    python benchmarks/scattering.py --seeds 10 --pairs 200

Simulated O K maps with known truth: position of the elastic line, self-absorption of a slab, a change of the feature, pairs of
maps without a change. The numerical code of the stages, with the settings that ship.
"""

import argparse
from dataclasses import replace

import numpy as np

from oxytomo.scattering.difference import feature_change
from oxytomo.scattering.elastic import elastic_light, find_elastic_line
from oxytomo.scattering.feature import Calibrated, FeatureOptions
from oxytomo.scattering.maps import emission_map
from oxytomo.scattering.self_absorption import slab_of, without_self_absorption
from oxytomo.scattering.yields import fluorescence_yield
from oxytomo.simulate.scattering import (
    MapAcquisition,
    edge_in_slab,
    excitation_energies,
    simulate_map,
)

FORMULA = {"Li": 1.2, "Mn": 0.56, "Ni": 0.16, "Co": 0.08, "O": 2.0}
PLAIN = MapAcquisition(
    photons=1000.0,
    resolution_ev=1.4,
    offset_ev=0.0,
    feature=0.05,
    oxidised=0.1,
    oxidised_surface=0.02,
    background=0.05,
    amount=1.0,
    step_ev=0.25,
)
FEATURE = FeatureOptions((530.5, 531.5), (523.0, 524.0), "rest", 2000, 0.01)


def read(made, counts=None):
    return emission_map(
        made.counts if counts is None else counts,
        made.flux,
        made.excitation_ev,
        made.emission_ev,
        units_per_photon=1.0,
        flux_error=0.0,
    )


def calibrated(made, counts=None):
    """Return a map as the stages calibrate it."""
    one = read(made, counts)
    line = find_elastic_line(one, search_ev=5.0, linear=False, name="map")
    return Calibrated(one.moved(line.calibrated(one.emission_ev)), line.fwhm_ev, line.offset_error_ev)


def elastic(seeds):
    print(
        "\n| photons per excitation | found | rms error, eV | largest, eV | stated error, eV | width, eV |\n"
        "|---|---|---|---|---|---|"
    )
    for photons in (30.0, 100.0, 300.0, 1000.0, 10000.0):
        errors, stated, widths = [], [], []
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            offset = rng.uniform(-4, 4)
            made = simulate_map(replace(PLAIN, photons=photons, offset_ev=offset), rng=rng)
            try:
                line = find_elastic_line(read(made), search_ev=5.0, linear=False, name="map")
            except ValueError:
                continue
            errors.append(line.offset_ev - offset)
            stated.append(line.offset_error_ev)
            widths.append(line.fwhm_ev)
        found = f"{len(errors)} of {seeds}"
        if errors:
            print(
                f"| {photons:g} | {found} | {np.std(errors):.3f} | {np.abs(errors).max():.3f} | {np.mean(stated):.3f} | "
                f"{np.mean(widths):.2f} |"
            )
        else:
            print(f"| {photons:g} | {found} | – | – | – | – |")


def slabs(seeds):
    print(
        "\n| thickness, µm | angles, ° | largest error uncorrected | corrected | pull |\n|---|---|---|---|---|"
    )
    energy = excitation_energies()
    for thickness, angles in (
        (np.inf, (45, 45)),
        (np.inf, (20, 70)),
        (np.inf, (90, 20)),
        (0.3, (45, 45)),
        (0.05, (30, 60)),
    ):
        slab = slab_of(
            FORMULA,
            density_g_cm3=4.2,
            element="O",
            edge_ev=528.0,
            excitation_ev=energy,
            emission_ev=525.0,
            thickness_um=thickness,
            incidence_deg=angles[0],
            exit_deg=angles[1],
        )
        above, worst, plain_worst, pulls = energy > 548.0, 0.0, 0.0, []
        for seed in range(seeds):
            a = replace(PLAIN, photons=1e6, feature=0.0, background=0.0, slab=slab)
            made = simulate_map(a, rng=np.random.default_rng(seed))
            one = read(made)
            light = elastic_light(one, find_elastic_line(one, search_ev=3.0, linear=False, name="map"))
            found = fluorescence_yield(one, (520.0, 530.0), name="PFY", elastic=light)
            corrected = without_self_absorption(
                found.value, found.error, slab, below=energy < 527.0, above=above
            )
            truth = edge_in_slab(made.absorption, slab) / slab.edge[above].mean()
            strong = truth > 0.3
            worst = max(worst, float(np.nanmax(np.abs(corrected.value / truth - 1)[strong])))
            plain = found.value / found.value[above].mean()
            plain_worst = max(plain_worst, float(np.abs(plain / truth - 1)[strong].max()))
            pulls.append(((corrected.value - truth) / corrected.error)[strong])
        print(
            f"| {thickness:g} | {angles[0]}, {angles[1]} | {100 * plain_worst:.0f} % | {100 * worst:.2f} % | "
            f"{np.std(np.concatenate(pulls)):.2f} |"
        )


def changes(seeds):
    print(
        "\n| photons in the window | true change | found | stated error | mean change / error | above 5 σ | reported |\n"
        "|---|---|---|---|---|---|---|"
    )
    for photons in (2e4, 1e5, 5e5):
        found = []
        for seed in range(seeds):
            rng = np.random.default_rng(100 + seed)
            made = [
                simulate_map(replace(PLAIN, photons=photons, amount=amount, offset_ev=offset), rng=rng)
                for amount, offset in ((1.0, 0.6), (1.3, 0.5))
            ]
            rows = (made[1].excitation_ev > 530.35) & (made[1].excitation_ev < 531.65)
            columns = np.abs(made[1].emission_ev - 0.5 - 523.5) < 0.9
            more = rng.poisson(0.03 * made[1].expected) * np.outer(rows, columns)
            pair = calibrated(made[0]), calibrated(made[1], made[1].counts + more)
            found.append(feature_change(*pair, FEATURE, rng=rng))
        print(
            f"| {np.mean([f.photons[0] for f in found]):.3g} | +3 % | {100 * np.mean([f.change for f in found]):+.2f} % | "
            f"{100 * np.mean([np.hypot(f.counting_error, f.calibration_error) for f in found]):.2f} % | "
            f"{np.mean([f.sigma for f in found]):.1f} | {sum(f.sigma > 5 for f in found)} of {seeds} | "
            f"{sum(f.detected for f in found)} of {seeds} |"
        )


def small(made):
    """Return a map of 52 excitations from 528 to 545 eV: enough for the elastic line and the rest."""
    used = (made.excitation_ev > 528.0) & (made.excitation_ev < 545.0)
    parts = {name: getattr(made, name)[used] for name in ("counts", "expected", "flux", "excitation_ev")}
    return replace(made, **parts)


def nulls(pairs):
    rng = np.random.default_rng(7)
    made = [
        small(simulate_map(replace(PLAIN, photons=4000.0, amount=amount, offset_ev=offset), rng=rng))
        for amount, offset in ((1.0, 0.6), (0.7, 0.5))
    ]
    p_values, sigmas = [], []
    for _ in range(pairs):
        pair = [calibrated(one, rng.poisson(one.expected).astype(float)) for one in made]
        found = feature_change(*pair, replace(FEATURE, permutations=999), rng=rng)
        p_values.append(found.p_value)
        sigmas.append(found.sigma)
    p = np.array(p_values)
    print(
        f"\n| pairs | p ≤ 0.01 | p ≤ 0.05 | p ≤ 0.1 | p ≤ 0.5 | scatter of change / error |\n"
        f"|---|---|---|---|---|---|\n"
        f"| {pairs} | {(p <= 0.01).sum()} | {(p <= 0.05).sum()} | {(p <= 0.1).sum()} | {(p <= 0.5).sum()} "
        f"| {np.std(sigmas):.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--only", choices=("elastic", "slabs", "changes", "nulls"))
    arguments = parser.parse_args()
    tables = {
        "elastic": (elastic, arguments.seeds),
        "slabs": (slabs, max(1, arguments.seeds // 5)),
        "changes": (changes, arguments.seeds),
        "nulls": (nulls, arguments.pairs),
    }
    for name, (table, n) in tables.items():
        if arguments.only in (None, name):
            table(n)


if __name__ == "__main__":
    main()
