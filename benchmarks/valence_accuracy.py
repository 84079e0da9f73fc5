"""Valence per pixel, its errors, D·t and the choice between diffusion and a front, on simulated stacks of known truth.

    python benchmarks/valence_accuracy.py [--part pixels|sizes|draws] [--seeds 5] [--draws 200]

*pixels*: raw counts of Mn, Co and Ni stacks (100 energies, 10⁴ photons, drifting frames, drifting beam, one flat per energy)
through the stages up to the fit. *sizes*: the same stacks through all stages, D·t and shell thickness against the truth.
*draws*: valence maps of the truth with noise, 200 of each law with random parameters: which law is found.
The seeds are none of those of the tests, and no setting was chosen on them.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import shift

from oxytomo.config import ReferenceSource, StackSource
from oxytomo.config.stage_settings import (
    FitValenceStage,
    MeasureOxidationStage,
    NormalizeStackStage,
    RegisterStackStage,
)
from oxytomo.io.readers.data_exchange import write_energy_stack
from oxytomo.io.stores import Store, read_store
from oxytomo.measure.particles import agglomerates, binned_means, particle_shells
from oxytomo.oxidation.oxygen_loss import ModelFit, fit_oxygen_loss
from oxytomo.simulate.energy_stack import SimulatedStack, StackAcquisition, simulate_stack
from oxytomo.stages.context import StageContext
from oxytomo.stages.oxidation import fit_valence, measure_oxidation, normalize_stack, register_stack

FIRST_SEED = 71000
PIXEL_NM = 10.0
BASE = StackAcquisition(
    element="Mn",
    n_energies=100,
    n_rows=128,
    n_cols=128,
    pixel_nm=PIXEL_NM,
    n_particles=1,
    law="diffusion",
    law_parameter=0.01,
    core_valence=3.7,
    surface_valence=2.7,
    largest_od=1.5,
    photons_per_pixel=1e4,
    drift_px=0.3,
    i0_drift=0.02,
    dark_level=100.0,
    n_flat=1,
)
LAWS = (
    ("diffusion", 0.002),
    ("diffusion", 0.01),
    ("diffusion", 0.05),
    ("core_shell", 0.08),
    ("core_shell", 0.2),
    ("core_shell", 0.4),
)


def run_stages(
    folder: Path, stack: SimulatedStack, element: str, *, measure: bool, **fit: Any
) -> dict[str, Store]:
    """Write raw files and run the stages on them; returns the stores by stage."""
    write_energy_stack(
        folder / "raw.h5",
        stack.frames,
        stack.energy_ev,
        pixel_nm=PIXEL_NM,
        quantity="counts",
        flat=stack.flat,
        dark=stack.dark,
    )
    references = []
    for valence, spectrum in stack.references.items():
        path = folder / f"ref_{valence:g}.csv"
        rows = zip(spectrum.energy_ev, spectrum.absorption, strict=True)
        path.write_text("\n".join(f"{e:.3f},{mu:.8f}" for e, mu in rows))
        references.append((valence, ReferenceSource(file=str(path))))
    normalized, registered, fitted = (folder / f"{name}.zarr" for name in ("normalize", "register", "fit"))
    source = StackSource(images=(str(folder / "raw.h5"),))
    steps: list[tuple[Any, Any, dict[str, Path], dict[str, Path]]] = [
        (normalize_stack, NormalizeStackStage(element=element, source=source), {}, {"store": normalized}),
        (register_stack, RegisterStackStage(), {"normalize": normalized}, {"store": registered}),
        (
            fit_valence,
            FitValenceStage(element=element, references=tuple(references), **fit),
            {"register": registered},
            {"store": fitted},
        ),
    ]
    if measure:
        outputs = {name: folder / f"{name}.csv" for name in ("shells", "particles", "profiles")}
        steps.append(
            (
                measure_oxidation,
                MeasureOxidationStage(elements=(element,)),
                {f"fit_{element}": fitted, f"register_{element}": registered},
                {"store": folder / "measure.zarr", "summary": folder / "summary.json", **outputs},
            )
        )
    for module, settings, inputs, outputs in steps:
        context = StageContext(module.__name__, 1, 1, settings.model_dump(mode="json"))
        module.run(inputs, outputs, settings, context)
    return {"register": read_store(registered), "fit": read_store(fitted)} | (
        {"measure": read_store(folder / "measure.zarr")} if measure else {}
    )


def pixels(seeds: int) -> None:
    """Print rms error, bias and coverage of the valence, by optical density."""
    print(
        "| element, amounts | OD of the white line | pixels | rms error | bias | within 1 standard error | within 2 |"
    )
    print("|---|---|---|---|---|---|---|")
    for element, sum_rule in (("Mn", "free"), ("Mn", "one"), ("Co", "free"), ("Ni", "free")):
        found = [
            _misses(replace(BASE, element=element), FIRST_SEED + seed, sum_rule) for seed in range(seeds)
        ]
        od, miss, error = (np.concatenate([one[i] for one in found]) for i in range(3))
        for low, high in ((0.3, 1.5), (0.3, 0.6), (0.6, 1.0), (1.0, 1.5)):
            chosen = (od >= low) & (od < high)
            m, e = miss[chosen], error[chosen]
            print(
                f"| {element}, sum {sum_rule} | {low:g}–{high:g} | {m.size} | {np.sqrt(np.mean(m**2)):.4f} | {m.mean():+.4f} "
                f"| {100 * np.mean(np.abs(m) < e):.1f} % | {100 * np.mean(np.abs(m) < 2 * e):.1f} % |",
                flush=True,
            )


def _misses(acquisition: StackAcquisition, seed: int, sum_rule: str) -> tuple[np.ndarray, ...]:
    """Return optical density, error made and error stated of the fitted pixels inside the particle."""
    stack = simulate_stack(acquisition, rng=np.random.default_rng(seed))
    with tempfile.TemporaryDirectory() as folder:
        stores = run_stages(Path(folder), stack, acquisition.element, measure=False, fractions_sum=sum_rule)
        fit, registered = stores["fit"], stores["register"]
        # The map stands where the reference frame stood, up to the common shift of all frames.
        moved = stack.shift_px[registered.attributes["reference"]]
        truth = shift(np.nan_to_num(stack.valence), moved, order=1)
        # Where interpolation mixes sample and air there is no one valence to compare with.
        inside = shift((stack.edge_jump > 0).astype(float), moved, order=1) > 0.999
        chosen = inside & np.isfinite(fit["valence"])
        miss = (fit["valence"] - truth)[chosen]
        return fit["largest_od"][chosen], miss, fit["valence_error"][chosen]


def sizes(seeds: int) -> None:
    """Print D·t and shell thickness of whole chains against the truth."""
    print(
        "| truth | found as | D·t or thickness, found over true | standard error stated | scatter of the seeds |"
    )
    print("|---|---|---|---|---|")
    for law, parameter in LAWS:
        ratios, stated, names = [], [], []
        for seed in range(seeds):
            acquisition = replace(BASE, law=law, law_parameter=parameter)
            stack = simulate_stack(acquisition, rng=np.random.default_rng(FIRST_SEED + 1000 + seed))
            with tempfile.TemporaryDirectory() as folder:
                measured = run_stages(Path(folder), stack, "Mn", measure=True)["measure"]
            models = measured.attributes["summary"]["Mn"]["models"]
            names.append(min(models, key=lambda model: model["bic"])["name"])
            own = next(model for model in models if model["name"] == law)
            key = "dt_nm2" if law == "diffusion" else "shell_nm"
            true = parameter * stack.radius_nm ** (2 if law == "diffusion" else 1)
            ratios.append(own["parameters"][key] / true)
            stated.append(own["standard_errors"][key] / true)
        print(
            f"| {law} {parameter:g} | {names.count(law)} of {seeds} right | {np.mean(ratios):.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f}) | {np.mean(stated):.3f} | {np.std(ratios, ddof=1):.3f} |",
            flush=True,
        )


def draws(number: int) -> None:
    """Print how often each law is recognised in noisy maps, for parameters drawn at random."""
    print(
        "| truth | valence step | error per pixel | recognised | ΔBIC above 10 of those | median error of D·t or thickness |"
    )
    print("|---|---|---|---|---|---|")
    rng = np.random.default_rng(FIRST_SEED + 5000)
    for step, noise in ((1.0, 0.02), (0.3, 0.05), (0.1, 0.05)):
        for law in ("diffusion", "core_shell"):
            right, sure, away = 0, 0, []
            for _ in range(number):
                low, high = (0.002, 0.05) if law == "diffusion" else (0.05, 0.4)
                parameter = float(np.exp(rng.uniform(np.log(low), np.log(high))))
                acquisition = replace(
                    BASE,
                    law=law,
                    law_parameter=parameter,
                    surface_valence=BASE.core_valence - step,
                    n_energies=20,
                    n_flat=0,
                    drift_px=0.0,
                )
                radius_nm, fits = _noisy_fit(acquisition, noise, rng)
                right += fits[0].name == law
                sure += fits[0].name == law and fits[1].bic - fits[0].bic > 10
                own = next(fit for fit in fits if fit.name == law)
                true = parameter * radius_nm ** (2 if law == "diffusion" else 1)
                away.append(abs(own.parameters["dt_nm2" if law == "diffusion" else "shell_nm"] / true - 1))
            print(
                f"| {law} | {step:g} | {noise:g} | {right} of {number} ({100 * right / number:.1f} %) | {sure} "
                f"| {100 * np.median(away):.1f} % |",
                flush=True,
            )


def _noisy_fit(
    acquisition: StackAcquisition, noise: float, rng: np.random.Generator
) -> tuple[float, list[ModelFit]]:
    """Return the true radius and the models of one noisy valence map, binned as the stage bins it."""
    truth = simulate_stack(acquisition, rng=rng)
    labels = agglomerates(truth.edge_jump > 0, min_pixels=50)
    valence = truth.valence + noise * rng.standard_normal(truth.valence.shape, np.float32)
    _, _, share = particle_shells(labels, n_shells=5, pixel_nm=PIXEL_NM)
    edges = np.linspace(0, 1, MeasureOxidationStage(elements=("Mn",)).profile_bins + 1)
    mean, error, _ = binned_means(valence, np.full_like(valence, noise), 1 - share, edges)
    radius_nm = float(np.sqrt((labels > 0).sum() / np.pi)) * PIXEL_NM
    return truth.radius_nm, fit_oxygen_loss(mean, error, 1 - edges, radius_nm=radius_nm, dimensions=2)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--part", choices=("pixels", "sizes", "draws"), default=None)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--draws", type=int, default=200)
    arguments = parser.parse_args()
    for name, part, size in (
        ("pixels", pixels, arguments.seeds),
        ("sizes", sizes, arguments.seeds),
        ("draws", draws, arguments.draws),
    ):
        if arguments.part in (None, name):
            part(size)
            print()


if __name__ == "__main__":
    main()
