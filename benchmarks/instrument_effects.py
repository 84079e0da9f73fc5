"""What each fault of a real instrument or sample does to the composition, through the whole chain.

    python benchmarks/instrument_effects.py [--effects stray skin ...] [--seeds 1] [--jobs 1] [--size 64] [--tilts 66]
    python benchmarks/instrument_effects.py --list

Every case is simulated with `oxytomo simulate`'s instrument, written as raw files, and goes through normalize, align,
decompose, reconstruct, uncertainty, classify and measure with the default settings (and `--replicates`). Two particles
per effect: of one composition (what is off target is false), and with domains and a rim. Prints a Markdown table:

uniform    share of the particle off target / certainly off target, %
Dice       overlap of the oxygen-poor and oxygen-rich classes with the truth
fractions  found with their 95 % interval, and whether it holds the truth (!: it does not)
chi2       per degree of freedom of the plain decomposition into elements (8 energies, 4 unknowns) on rays averaged over
           4 x 4 pixels without strong gradients: uniform / domains; "model" is the product's own, where it has one
cause      what the product names as the cause in each run: terms without which the spectra would fit worse by more than
           0.5 of χ² per degree of freedom, a skin, a moved illumination, damage; and in how many runs that is right
           (harmless faults: nothing is named)
warnings   lines of the product's own warnings about the model, shortened

`--causes` stops after the decomposition: causes only.

`--json FILE` keeps everything that was found.
"""

import argparse
import json
import re
import shutil
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage

from oxytomo.cli.simulate import configuration, raw_name
from oxytomo.composition.cross_sections import attenuation_per_um, table_energies_ev
from oxytomo.composition.damage import damage_record
from oxytomo.composition.decomposition import tie_background
from oxytomo.composition.model_choice import MATTERS
from oxytomo.config import InstrumentSettings, parse_config
from oxytomo.io.classified_store import order_of_frames
from oxytomo.io.composition_store import column_densities
from oxytomo.io.readers.data_exchange import write_data_exchange
from oxytomo.io.stores import read_store
from oxytomo.run.chain import CHAIN, run_composition
from oxytomo.simulate.acquisition import Acquisition, simulate_acquisition
from oxytomo.simulate.demonstration import DENSITY_G_CM3, EDGES, FORMULA, tilt_order_deg
from oxytomo.simulate.instrument import RealInstrument
from oxytomo.simulate.particles import cathode_particle, uniform_particle

ELEMENTS = ("O", "Mn", "Co", "Ni")
EFFECTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "stray": {"stray": 0.02},
    "stray_edge": {"stray_edges": {"O": 0.03, "Mn": 0.01}},
    "post_O": {"post_edge": {"O": 1.1}},
    "post_Mn": {"post_edge": {"Mn": 2.0}},
    "rim_O_5": {"rim_change": {"O": 0.05}, "rim_nm": 100.0},
    "rim_O_10": {"rim_change": {"O": 0.10}, "rim_nm": 100.0},
    "skin": {"skin_nm": 10.0},
    "clumps": {"carbon_clumps": 6},
    "holey_film": {"film_nm": 30.0, "film_hole_nm": 500.0},
    "film": {"film_nm": 30.0},
    "binder": {"binder_nm": 100.0},
    "beam_0.5": {"beam_shift_px": 0.5},
    "beam_2": {"beam_shift_px": 2.0},
    "depth_of_field": {"zone_nm": 25.0},
    "angles": {"angle_rms_deg": 0.2},
    "distortion": {"distortion": 0.005},
    "neighbours": {"neighbours": 2},
    "oxygen_loss": {"oxygen_loss": 0.10},
    "shrinkage": {"shrinkage": 0.02},
    "psf": {"psf_px": 1.6},
    "energy": {"energy_offset_ev": 2.0},
    "mixture": {
        "stray": 0.015,
        "post_edge": {"O": 1.05, "Mn": 1.4},
        "rim_change": {"O": 0.03},
        "rim_nm": 100.0,
        "carbon_clumps": 4,
        "zone_nm": 25.0,
        "angle_rms_deg": 0.1,
        "beam_shift_px": 0.3,
    },
}
CAUSES: dict[str, set[str]] = {
    "stray": {"stray"},
    "stray_edge": {"stray", "stray_O", "stray_Mn"},
    "post_O": {"near_edge_O"},
    "post_Mn": {"near_edge_Mn"},
    "rim_O_5": {"near_edge_O", "near_edge_spread_O"},
    "rim_O_10": {"near_edge_O", "near_edge_spread_O"},
    "skin": {"skin", "li2co3"},
    "clumps": {"carbon"},
    "holey_film": {"carbon"},
    "binder": {"pvdf", "carbon"},
    "beam_0.5": {"illumination"},
    "beam_2": {"illumination"},
    "oxygen_loss": {"damage"},
    "shrinkage": {"damage"},
    "psf": {"point spread"},
    "mixture": {"illumination", "stray", "near_edge_O", "near_edge_Mn", "carbon", "near_edge_spread_O"},
}
"""What may be named first for each effect that does harm (and for a strong metal white line, which does none); nothing for the
others. The energy offset changes cross-sections: a near-edge factor is right, and nothing is, too."""
NEITHER: dict[str, set[str]] = {"energy": {"near_edge_O", "near_edge_Mn", "near_edge_Co", "stray"}}
LARGER: dict[str, float] = {"stray": 1.05, "stray_edge": 1.05}
"""Effects of thick particles: the same particle, scaled to optical densities of 3.3."""
PARTICLE = 0.7
"""Diameter of the particle as a share of the field's width."""


@dataclass
class Found:
    """Figures of one run."""

    effect: str
    seed: int
    uniform: bool
    off: float = np.nan
    certain: float = np.nan
    dice: tuple[float, float] = (np.nan, np.nan)
    fractions: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    truth: dict[str, float] = field(default_factory=dict)
    chi2: float = np.nan
    residual: dict[str, float] = field(default_factory=dict)
    model: Any = None
    warnings: list[str] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)
    seconds: float = np.nan
    cpu_seconds: float = np.nan
    error: str = ""


def write_case(
    folder: Path, effect: str, seed: int, options: argparse.Namespace, *, uniform: bool
) -> dict[str, Any]:
    """Simulate one particle into raw files; returns the truth."""
    rng = np.random.default_rng(seed)
    pixel_nm = options.pixel_nm * LARGER.get(effect, 1.0)
    columns, rows = options.size, int(0.9 * options.size)
    common: dict[str, Any] = {
        "rng": rng,
        "formula": FORMULA,
        "diameter_nm": PARTICLE * columns * pixel_nm,
        "n_pores": 4,
        "n_cracks": 1,
        "void_radius_nm": 3 * pixel_nm,
    }
    if uniform:
        phantom = uniform_particle(**common)
    else:
        phantom = cathode_particle(
            **common,
            n_oxygen_poor=6,
            n_oxygen_rich=6,
            rim_nm=options.rim_px * pixel_nm,
            deviation=(0.1, 0.25),
        )
    energies = {f"{e}_{side}": EDGES[e][1 + i] for e in ELEMENTS for i, side in enumerate(("pre", "post"))}
    acquisition = Acquisition(
        energies_ev=energies,
        tilt_deg=tilt_order_deg(options.tilts),
        n_rows=rows,
        n_cols=columns,
        pixel_nm=pixel_nm,
        magnification_spread=0.004,
        jitter_px=1.0,
        drift_px=1.0,
        psf_px=0.8,
        subsamples=2,
        photons_per_pixel=options.photons,
        dark_level=100.0,
        beam_structure=0.05,
        i0_drift=0.01,
        hot_fraction=1e-4,
        n_flat=10,
        n_dark=5,
        noise=True,
        truth_subsamples=3,
    )
    instrument = RealInstrument(**dict(InstrumentSettings(**EFFECTS[effect])))
    series, truth = simulate_acquisition(
        phantom, acquisition, formula=FORMULA, density_g_cm3=DENSITY_G_CM3, rng=rng, instrument=instrument
    )
    (folder / "raw").mkdir()
    for name, recorded in series.items():
        write_data_exchange(folder / "raw" / raw_name(name), recorded)
    return {"deviation": truth.deviation, "shift_px": truth.shift_px}


def one_run(task: tuple[str, int, bool, argparse.Namespace]) -> Found:
    """Simulate, run the chain, and score."""
    import yaml

    effect, seed, uniform, options = task
    found = Found(effect, seed, uniform)
    started, cpu = time.perf_counter(), time.process_time()
    folder = Path(tempfile.mkdtemp(prefix="effect_", dir=options.scratch))
    try:
        truth = write_case(folder, effect, seed, options, uniform=uniform)
        data = yaml.safe_load(configuration(list(ELEMENTS)))
        branch = data["samples"]["particle"]["composition"]
        branch["uncertainty"] = {"replicates": options.replicates}
        for item in options.set:
            key, _, value = item.partition("=")
            section, _, name = key.partition(".")
            branch.setdefault(section, {})[name] = yaml.safe_load(value)
        stages = CHAIN[:2] if options.causes else CHAIN
        project = parse_config(data, folder=folder)
        said = run_composition(project, "particle", folder, threads=options.threads, stages=stages)
        found.causes = causes_named(folder, said)
        found.model = dict(read_store(folder / "decompose.zarr").attributes["model"])
        if not options.causes:
            _score(found, folder, truth, said)
    except Exception:
        found.error = traceback.format_exc()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found.seconds, found.cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    return found


def _score(found: Found, folder: Path, truth: dict[str, Any], said: dict[str, str]) -> None:
    phases = json.loads((folder / "phases.json").read_text())
    fractions, confident = phases["fractions"], phases["confident"]["fractions"]
    found.off = 100 * sum(fractions[name]["value"] for name in ("oxygen_poor", "oxygen_rich"))
    found.certain = 100 * sum(confident[name]["value"] for name in ("oxygen_poor", "oxygen_rich"))
    for name in ("oxygen_poor", "oxygen_rich"):
        low, high = fractions[name]["ci95"] or (np.nan, np.nan)
        found.fractions[name] = (100 * fractions[name]["value"], 100 * low, 100 * high)
    found.model = phases.get("model")
    found.chi2, found.residual = chi_square(folder)
    labels = read_store(folder / "classify.zarr")["phases"]
    particle = read_store(folder / "classify.zarr")["particle"] > 0
    deviation = aligned_truth(truth["deviation"], particle)
    solid = np.isfinite(deviation)
    with np.errstate(invalid="ignore"):
        classes = {"oxygen_poor": deviation > 0.05, "oxygen_rich": deviation < -0.05}
    found.truth = {name: 100 * float(mask.sum() / solid.sum()) for name, mask in classes.items()}
    found.dice = (dice(labels == 2, classes["oxygen_poor"]), dice(labels == 3, classes["oxygen_rich"]))
    found.warnings = product_warnings(folder, phases, said)


def named_causes(record: Mapping[str, Any]) -> list[str]:
    """Name the relevant differences of a measurement from the ideal one, from its model's record.

    These are the terms without which χ² per degree of freedom would be larger by :data:`MATTERS`, a
    skin, and, where the model fails, the likely causes of the remaining misfit.
    """
    now = record.get("chi_square_per_dof")
    if now is None:
        return []
    missed = [
        str(step["term"])
        for step in record.get("steps") or ()
        if float(step["chi_square_per_dof_without"]) > now + MATTERS
    ]
    substances = [name for name in missed if record["terms"][name]["kind"] == "component"]
    # A skin is identified by its place: other terms that explain part of it come after it.
    skin = ["skin"] if record.get("skin") else []
    rest = [name for name in missed if name not in substances]
    return [*substances, *skin, *rest, *(record.get("likely_causes") or ())]


def causes_named(folder: Path, said: dict[str, str]) -> list[str]:
    """What the product names as the causes, the one that matters most first."""
    found = named_causes(read_store(folder / "decompose.zarr").attributes["model"])
    if any("the illumination moved by" in text for text in said.values()):
        found.insert(0, "illumination")
    decomposed = read_store(folder / "decompose.zarr")
    damage = damage_record(column_densities(decomposed), *order_of_frames(decomposed)) or {}
    changed = any((damage.get(name) or {}).get("found") for name in ("tm_o", "size"))
    if changed or "radiation damage" in said["align"]:
        found.insert(0, "damage")
    return found


def right_cause(run: Found) -> bool:
    """Whether the first cause that is named is one of the effect; for harmless effects, whether none is."""
    wanted = CAUSES.get(run.effect)
    if wanted is None:
        return not run.causes or run.causes[0] in NEITHER.get(run.effect, ())
    return bool(run.causes) and run.causes[0] in wanted


def product_warnings(folder: Path, phases: dict[str, Any], said: dict[str, str]) -> list[str]:
    """Everything in the results that calls itself a warning, and lines of the log that begin with it."""
    found = list(_named(phases, "warnings"))
    for stage in ("align", "decompose", "reconstruct", "uncertainty", "classify"):
        attributes = dict(read_store(folder / f"{stage}.zarr").attributes)
        found += list(_named(attributes, "warnings"))
    for text in said.values():
        found += re.findall(r"^\w+: (?:warning: )(.*)$", text, flags=re.MULTILINE)
    return list(dict.fromkeys(found))


def _named(data: Any, name: str) -> list[str]:
    if isinstance(data, dict):
        own = data.get(name)
        here = [str(line) for line in own] if isinstance(own, list | tuple) else []
        return here + [line for key, value in data.items() if key != name for line in _named(value, name)]
    return []


def chi_square(folder: Path) -> tuple[float, dict[str, float]]:
    """χ² per degree of freedom of the plain decomposition on averaged rays, and the mean residual per energy in percent.

    The same formula for every version of the product, whatever it makes of the data itself.
    """
    store = read_store(folder / "align.zarr")
    names = list(store.attributes["series"])
    energies = np.array(store.attributes["energies_ev"], np.float64)
    value, variance = np.asarray(store["value"], np.float64), np.asarray(store["variance"], np.float64)
    matrix = elements_matrix(names, energies)
    n_y, n_x = (n // 4 * 4 for n in value.shape[2:])

    def blocks(array: np.ndarray) -> np.ndarray:
        return array[..., :n_y, :n_x].reshape(*array.shape[:2], n_y // 4, 4, n_x // 4, 4)

    valid = (np.isfinite(value) & np.isfinite(variance)).all(axis=0, keepdims=True)
    weight = np.where(valid, 1 / np.where(valid, variance, 1), 0)
    total = blocks(weight).sum(axis=(3, 5))
    filled = np.where(valid, value, 0)
    mean = blocks(weight * filled).sum(axis=(3, 5)) / np.maximum(total, 1e-9)
    whole = blocks(np.broadcast_to(valid, value.shape)).all(axis=(3, 5)).all(axis=0)
    spread = blocks(filled).std(axis=(3, 5)).max(axis=0)
    use = whole & (mean.mean(axis=0) > 0.3) & (spread < 0.12)
    rays, error = mean[:, use].T, 1 / np.sqrt(total[:, use].T)
    scaled = matrix[None] / error[:, :, None]
    target = rays / error
    normal = np.einsum("rek,rel->rkl", scaled, scaled)
    right = np.einsum("rek,re->rk", scaled, target)
    solution = np.linalg.solve(normal, right[..., None])[..., 0]
    residual = target - np.einsum("rek,rk->re", scaled, solution)
    degrees = rays.shape[1] - matrix.shape[1]
    relative = 100 * np.median((residual * error) / rays, axis=0)
    return float(np.sum(residual**2) / max(1, len(rays)) / degrees), dict(
        zip(names, relative.round(3).tolist(), strict=True)
    )


def elements_matrix(names: list[str], energies_ev: np.ndarray) -> np.ndarray:
    """Attenuation of the four elements at the energies, with the background tied to them (n_energy, 4)."""
    looked_up = energies_ev.copy()
    for element in ELEMENTS:
        pair = [names.index(f"{element}_pre"), names.index(f"{element}_post")]
        looked_up[pair] = table_energies_ev(element, *(float(energies_ev[i]) for i in pair))

    def attenuation(of: tuple[str, ...]) -> np.ndarray:
        return attenuation_per_um(FORMULA, density_g_cm3=DENSITY_G_CM3, energies_ev=looked_up, elements=of)

    atoms = np.array([FORMULA[e] for e in ELEMENTS])
    return tie_background(attenuation(ELEMENTS), attenuation(("Li",))[:, 0], atoms)


def aligned_truth(deviation: np.ndarray, particle: np.ndarray) -> np.ndarray:
    """Move the truth by the translation that a tilt series does not tell, found on the particle alone."""
    solid = np.isfinite(deviation)
    shift = np.subtract(*(scipy.ndimage.center_of_mass(mask) for mask in (particle, solid)))
    shape = particle.shape
    sizes = [min(a, b) for a, b in zip(shape, deviation.shape, strict=True)]
    if sizes != list(shape) or sizes != list(deviation.shape):
        msg = f"truth {deviation.shape} and result {shape} differ"
        raise ValueError(msg)
    share = scipy.ndimage.shift(solid.astype(np.float32), shift, order=1)
    value = scipy.ndimage.shift(np.where(solid, deviation, 0).astype(np.float32), shift, order=1)
    return np.where(share >= 0.5, value / np.maximum(share, 0.5), np.nan)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Twice the overlap over the sum of two masks; NaN where both are empty."""
    total = a.sum() + b.sum()
    return float(2 * (a & b).sum() / total) if total else float("nan")


def table_row(effect: str, runs: list[Found]) -> str:
    """One line of the table: medians over the seeds."""
    flat, full = ([run for run in runs if run.uniform == kind and not run.error] for kind in (True, False))

    def median(values: list[float]) -> float:
        known = [value for value in values if np.isfinite(value)]
        return statistics.median(known) if known else float("nan")

    cells = [effect]
    cells.append(f"{median([r.off for r in flat]):.2f} / {median([r.certain for r in flat]):.2f}")
    cells.append(f"{median([r.dice[0] for r in full]):.2f}/{median([r.dice[1] for r in full]):.2f}")
    parts = []
    for name in ("oxygen_poor", "oxygen_rich"):
        value, low, high = (median([r.fractions[name][i] for r in full]) for i in range(3))
        hits = sum(r.fractions[name][1] <= r.truth[name] <= r.fractions[name][2] for r in full)
        mark = "" if hits == len(full) else f" !{len(full) - hits}/{len(full)}"
        parts.append(f"{value:.1f} [{low:.1f}–{high:.1f}]{mark}")
    cells.append(", ".join(parts))
    cells.append(
        f"{median([r.truth['oxygen_poor'] for r in full]):.1f}, {median([r.truth['oxygen_rich'] for r in full]):.1f}"
    )
    cells.append(f"{median([r.chi2 for r in flat]):.2f} / {median([r.chi2 for r in full]):.2f}")
    model = [(r.model or {}).get("chi_square_per_dof") for r in runs if isinstance(r.model, dict)]
    cells.append(", ".join(f"{m:.2f}" if isinstance(m, int | float) else str(m)[:60] for m in model) or "–")
    good = [run for run in runs if not run.error]
    named = dict.fromkeys("+".join(run.causes[:3]) or "nothing" for run in good)
    cells.append(f"{', '.join(named)} ({sum(map(right_cause, good))} of {len(good)})")
    said = dict.fromkeys(line[:70] for run in runs for line in run.warnings)
    cells.append("; ".join(said) or "–")
    failed = sum(bool(run.error) for run in runs)
    return "| " + " | ".join(cells) + " |" + (f" {failed} failed" if failed else "")


HEADER = (
    "| effect | uniform: off / certainly off, % | Dice poor/rich | poor, rich: found with 95 % interval (!: misses) "
    "| truth | chi2 uniform / domains | model | cause (right) | warnings |\n|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Run the cases and print the table, line by line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--effects", nargs="+", default=list(EFFECTS), choices=list(EFFECTS), metavar="EFFECT")
    add("--list", action="store_true", help="print the effects with their switches and stop")
    add("--seeds", type=int, nargs="+", default=[1])
    add("--jobs", type=int, default=1, help="runs at the same time")
    add("--threads", type=int, default=1, help="threads of each run (numba: NUMBA_NUM_THREADS)")
    add("--size", type=int, default=64, help="width of the field in pixels; the particle is 0.7 of it")
    add("--tilts", type=int, default=66)
    add("--photons", type=float, default=2e4)
    add("--pixel-nm", type=float, default=16.0)
    add("--rim-px", type=float, default=2.5, help="oxygen-poor rim of the particle with domains")
    add("--replicates", type=int, default=4)
    add(
        "--set",
        nargs="*",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="settings, e.g. decompose.instrument=none",
    )
    add("--only", choices=("uniform", "domains"), default=None)
    add("--causes", action="store_true", help="only what is named as the cause: stops after decompose")
    add("--scratch", type=Path, default=None, help="folder for temporary files")
    add("--json", type=Path, default=None)
    options = parser.parse_args()
    if options.list:
        for name, switches in EFFECTS.items():
            print(f"{name:15s} {switches}")
        return
    kinds = [kind == "uniform" for kind in ("uniform", "domains") if options.only in (None, kind)]
    print(HEADER, flush=True)
    everything: list[Found] = []
    with ProcessPoolExecutor(options.jobs) as pool:
        for effect in options.effects:
            tasks = [(effect, seed, uniform, options) for uniform in kinds for seed in options.seeds]
            runs = list(pool.map(one_run, tasks))
            everything += runs
            print(table_row(effect, runs), flush=True)
            for run in runs:
                if run.error:
                    sys.stderr.write(f"{effect} {run.seed}: {run.error.splitlines()[-1]}\n")
            if options.json:
                options.json.write_text(
                    json.dumps([asdict(run) for run in everything], indent=1, default=str)
                )
    good = [run for run in everything if not run.error]
    harmful = [run for run in good if run.effect in CAUSES]
    harmless = [run for run in good if run.effect not in CAUSES]
    for label, some in (("right cause named", harmful), ("nothing named where nothing is wrong", harmless)):
        print(f"{label}: {sum(map(right_cause, some))} of {len(some)} runs")
    cpu = statistics.median(run.cpu_seconds for run in everything)
    print(f"\n{len(everything)} runs, median {cpu:.0f} s of computing each")


if __name__ == "__main__":
    main()
