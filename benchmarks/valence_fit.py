"""Speed of the linear-combination fit against a loop of SciPy's NNLS, and its memory on frames of 4096 × 4096.

    python benchmarks/valence_fit.py [--side 2048] [--threads 2]          fit alone, in memory
    python benchmarks/valence_fit.py --stage FOLDER [--side 4096] [--energies 40]   the stage, streamed from a store

The spectra are three references mixed at random with the noise of 10⁴ photons and a linear background.
"""

import argparse
import os
import resource
import time
from pathlib import Path


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--energies", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--stage", type=Path, default=None)
    arguments = parser.parse_args()
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(arguments.threads)
    return arguments


def problem(n_energies: int):  # type: ignore[no-untyped-def]
    import numpy as np

    from oxytomo.oxidation.linear_combination import background_columns
    from oxytomo.simulate.energy_stack import model_references

    energy = np.linspace(636.0, 650.0, n_energies)
    references = model_references("Mn")
    curves = np.stack([np.interp(energy, s.energy_ev, s.absorption) for s in references.values()], axis=1)
    return energy, curves, background_columns(energy, background="linear"), np.array(list(references))


def fill(value, variance, curves, rng) -> None:  # type: ignore[no-untyped-def]
    """Fill (n_energy, rows, side) with noisy spectra, row by row."""
    import numpy as np

    for row in range(value.shape[1]):
        fractions = (
            rng.dirichlet([0.7] * 3, size=value.shape[2]) * rng.uniform(0.05, 0.35, value.shape[2])[:, None]
        )
        density = (curves @ fractions.T + 0.2).astype(np.float32)
        variance[:, row] = np.exp(density) / 1e4
        value[:, row] = density + rng.standard_normal(density.shape, np.float32) * np.sqrt(variance[:, row])


def alone(arguments: argparse.Namespace) -> None:
    import numpy as np
    from scipy.optimize import nnls

    from oxytomo.oxidation.linear_combination import fit_valence

    _, curves, background, valences = problem(arguments.energies)
    value = np.empty((arguments.energies, arguments.side, arguments.side), np.float32)
    variance = np.empty_like(value)
    fill(value, variance, curves, np.random.default_rng(0))
    options = {"sum_to_one": False, "sum_error": None}
    fit_valence(value[:, :8], variance[:, :8], curves, background, valences, **options)  # compile
    wall, cpu = time.perf_counter(), time.process_time()
    fit = fit_valence(value, variance, curves, background, valences, **options)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    n, signed = 4000, np.concatenate([curves, background, -background], axis=1)
    places = np.random.default_rng(1).integers(0, arguments.side, (n, 2))
    found = np.empty((n, 3))
    loop_wall, loop_cpu = time.perf_counter(), time.process_time()
    for i, (y, x) in enumerate(places):
        weight = 1 / np.sqrt(variance[:, y, x].astype(np.float64))
        found[i] = nnls(signed * weight[:, None], value[:, y, x] * weight)[0][:3]
    loop_wall, loop_cpu = time.perf_counter() - loop_wall, time.process_time() - loop_cpu
    ours = (fit.fractions * fit.amount)[:, places[:, 0], places[:, 1]].T
    pixels = arguments.side**2
    print(
        f"{arguments.energies} energies, {arguments.side}² pixels, 3 references, {arguments.threads} threads"
    )
    print(f"fit alone: {wall:.2f} s wall, {cpu:.2f} s CPU, {1e6 * wall / pixels:.2f} µs per pixel")
    print(
        f"SciPy NNLS loop on {n} pixels of it: {1e6 * loop_wall / n:.0f} µs per pixel wall, {1e6 * loop_cpu / n:.0f} CPU"
    )
    print(
        f"ratio per pixel: {loop_wall / n / (wall / pixels):.0f} wall, {loop_cpu / n / (cpu / pixels):.0f} CPU"
    )
    print(
        f"largest difference of an amount: {np.abs(ours - found).max():.1e}; peak memory {peak_gb():.2f} GB"
    )


def staged(arguments: argparse.Namespace) -> None:
    import numpy as np

    from oxytomo.config import ReferenceSource
    from oxytomo.config.stage_settings import FitValenceStage
    from oxytomo.io.scratch import scratch_arrays
    from oxytomo.io.stores import NamedArray, Provenance, write_store
    from oxytomo.simulate.energy_stack import model_references
    from oxytomo.stages.context import StageContext
    from oxytomo.stages.oxidation import fit_valence

    folder, side, n = arguments.stage, arguments.side, arguments.energies
    folder.mkdir(parents=True, exist_ok=True)
    energy, curves, _, _ = problem(n)
    references = []
    for valence, spectrum in model_references("Mn").items():
        path = folder / f"ref_{valence:g}.csv"
        rows = zip(spectrum.energy_ev, spectrum.absorption, strict=True)
        path.write_text("\n".join(f"{e:.3f},{mu:.8f}" for e, mu in rows))
        references.append((valence, ReferenceSource(file=str(path))))
    store = folder / "register.zarr"
    if not store.exists():
        with scratch_arrays(store, {"value": (n, side, side), "variance": (n, side, side)}) as arrays:
            fill(arrays["value"], arrays["variance"], curves, np.random.default_rng(0))
            axes = ("energy", "y", "x")
            named = {name: NamedArray(array, axes, "1") for name, array in arrays.items()}
            named["energy_ev"] = NamedArray(energy, ("energy",), "electronvolt")
            named["lost"] = NamedArray(np.zeros(n, bool), ("energy",), "1")
            named["variance_factor"] = NamedArray(np.ones(n), ("energy",), "1")
            made = Provenance("register_stack", 1, {}, {}, "benchmark", "")
            write_store(store, named, provenance=made, attributes={"element": "Mn", "pixel_nm": 10.0})
        print(f"the store is written ({peak_gb():.2f} GB peak); run this again to measure the stage alone")
        return
    settings = FitValenceStage(element="Mn", references=tuple(references))
    context = StageContext("fit_valence", 1, arguments.threads, settings.model_dump(mode="json"))
    wall = time.perf_counter()
    fit_valence.run({"register": store}, {"store": folder / "fit.zarr"}, settings, context)
    wall = time.perf_counter() - wall
    size = 8 * n * side**2 / 1e9
    print(
        f"{n} energies, {side}² pixels: {wall:.0f} s with reading and writing, stack {size:.1f} GB, peak {peak_gb():.2f} GB"
    )


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    given = parse()
    staged(given) if given.stage else alone(given)
