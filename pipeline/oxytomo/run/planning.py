"""Process small simulated particles to estimate what a planned measurement can detect."""

import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from oxytomo.composition.cross_sections import edge_between
from oxytomo.composition.detection import Exposure, element_attenuation
from oxytomo.config import InstrumentSettings, parse_config
from oxytomo.config.load_plan import Plan
from oxytomo.errors import PipelineError

if TYPE_CHECKING:
    from oxytomo.arrays import BoolArray, LabelArray
    from oxytomo.simulate.acquisition import Acquisition
    from oxytomo.simulate.phantoms import Phantom

SIMULATED_PX: Final = 40
"""A particle of more pixels is simulated with larger pixels and the same photons per area."""
SIMULATED_TILTS: Final = 45
"""More tilts are simulated as fewer tilts with the same total number of photons."""
FIELD: Final = 1.3
"""Width of the simulated field of view, in diameters of the particle."""
BALLS_PX: Final = (3.0, 4.5, 6.5, 9.0, 12.0)
"""Diameters of the simulated domains, in simulated pixels; one oxygen-poor, one rich of each."""
DEVIATIONS: Final = (1.6, 2.0, 4.0)
"""Simulated deviations, in units of the threshold."""
FAULT_DEVIATION: Final = 2.0
"""Deviation of the domains in particles with a fault, in units of the threshold."""
DOSES: Final = (0.1, 10.0)
"""Further numbers of photons, relative to the planned number."""
BLURRED_PX: Final = 3
"""Target material closer to a domain is not counted as misclassified, because of the blur."""
OXYGEN_POOR: Final = 2
OXYGEN_RICH: Final = 3


@dataclass(frozen=True)
class Task:
    """One simulated particle.

    Attributes
    ----------
    question : purpose: ``domains``, ``dose`` or ``fault``
    name : the simulated deviation, relative number of photons, or fault, as text
    deviation : of the domains
    photons : counts per planned pixel and frame
    seed : of the random numbers
    fault : effects of the instrument and the sample
    """

    question: str
    name: str
    deviation: float
    photons: float
    seed: int
    fault: InstrumentSettings


@dataclass(frozen=True)
class Found:
    """Result of one simulated particle.

    Attributes
    ----------
    task : the particle
    balls : (diameter in nm, deviation, share of its voxels in the right class) of each domain
    false, false_certain : fractions of the target material, away from the domains, in another
        class, and with certainty in another class; apart from blur and noise these are due to the
        fault
    seconds : duration
    error : reason for a missing result; empty otherwise
    """

    task: Task
    balls: tuple[tuple[float, float, float], ...]
    false: float
    false_certain: float
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class Scale:
    """Ratios of the simulation to the plan: pixel size, and photons per frame for omitted tilts."""

    pixel: float
    tilts: int
    photons: float


def simulated_scale(plan: Plan) -> Scale:
    """Return the scale of a simulation that takes seconds, with the same photons per area."""
    settings = plan.settings
    pixel = max(1.0, settings.particle_nm / settings.pixel_nm / SIMULATED_PX)
    tilts = min(settings.tilts, SIMULATED_TILTS)
    return Scale(pixel, tilts, pixel**2 * settings.tilts / tilts)


def check_plan(plan: Plan) -> None:
    """Refuse energies that are not on both sides of their edge."""
    for element, (pre, post) in plan.energies_ev.items():
        edge_between(element, pre, post)


def exposure_of(plan: Plan, photons: float) -> Exposure:
    """Return the plan in the form that the noise propagation needs."""
    settings = plan.settings
    energies = np.array([energy for pair in plan.energies_ev.values() for energy in pair])
    return Exposure(
        attenuation=element_attenuation(
            plan.formula, density_g_cm3=plan.density_g_cm3, energies_ev=energies, elements=plan.elements
        ),
        atoms=np.array([plan.formula[name] for name in plan.elements]),
        particle_nm=settings.particle_nm,
        pixel_nm=settings.pixel_nm,
        psf_px=settings.psf_px,
        photons=photons,
        n_tilt=settings.tilts,
    )


def tasks_of(plan: Plan) -> list[Task]:
    """Return the simulations, the most informative first, because of the time limit."""
    settings, ideal = plan.settings, InstrumentSettings()
    photons, rounds = settings.photons_per_pixel, range(settings.seeds)
    fault = FAULT_DEVIATION * plan.threshold
    # The particle without a fault comes first: all others are compared with it.
    order = sorted(DEVIATIONS, key=lambda one: one != FAULT_DEVIATION)
    tried = [
        Task("domains", f"{100 * d * plan.threshold:.3g} %", d * plan.threshold, photons, 0, ideal)
        for d in order
    ]
    faults = [Task("fault", name, fault, photons, 0, switches) for name, switches in settings.faults.items()]
    doses = [Task("dose", f"{share:g}", fault, share * photons, 0, ideal) for share in DOSES]
    first = [*tried, *faults, *doses]
    more = [replace(task, seed=seed) for seed in rounds[1:] for task in (*tried, *doses)]
    return first + more


def simulate_plan(
    plan: Plan, *, cores: int, on_progress: Callable[[int, int, Found], None]
) -> tuple[list[Found], list[Task]]:
    """Run the simulations in parallel until they are done or the time limit is reached.

    Returns
    -------
    found : results of the simulations
    left : simulations that did not fit into the time limit
    """
    tasks = tasks_of(plan)
    until = time.monotonic() + 60 * plan.settings.minutes
    found: list[Found] = []
    waiting = list(tasks)
    variables = dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    # So that the threads of this process stay out of it
    context = multiprocessing.get_context("spawn")
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        with ProcessPoolExecutor(max(1, cores), mp_context=context) as pool:
            running: set[Future[Found]] = set()
            longest = 0.0
            while waiting or running:
                while waiting and len(running) < cores and time.monotonic() + longest < until:
                    running.add(pool.submit(simulate_task, plan, waiting.pop(0)))
                if not running:
                    break
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for one in done:
                    found.append(one.result())
                    longest = max(longest, found[-1].seconds)
                    on_progress(len(found), len(tasks), found[-1])
    except BrokenProcessPool as error:
        raise PipelineError(
            "simulation",
            expected="processes that end by themselves",
            got="one that was ended from outside (memory may have run out)",
            fix="give fewer --cores, or free memory",
        ) from error
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    return found, waiting


def simulate_task(plan: Plan, task: Task) -> Found:
    """Simulate one particle, process it in a temporary folder, and evaluate the result."""
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="oxytomo_plan_"))
    try:
        balls, false, certain = _result(plan, task, folder)
        return Found(task, balls, false, certain, time.monotonic() - started)
    except PipelineError as error:
        return Found(task, (), float("nan"), float("nan"), time.monotonic() - started, str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _result(
    plan: Plan, task: Task, folder: Path
) -> tuple[tuple[tuple[float, float, float], ...], float, float]:
    from oxytomo.io.readers.data_exchange import write_data_exchange
    from oxytomo.io.stores import read_store
    from oxytomo.run.chain import CHAIN, run_composition
    from oxytomo.simulate.acquisition import simulate_acquisition
    from oxytomo.simulate.instrument import RealInstrument
    from oxytomo.simulate.particles import particle_with_balls

    scale, rng = simulated_scale(plan), np.random.default_rng(task.seed)
    voxel_nm = plan.settings.pixel_nm * scale.pixel
    largest = 0.4 * plan.settings.particle_nm
    sizes = [size * voxel_nm for size in BALLS_PX if size * voxel_nm <= largest]
    phantom = particle_with_balls(
        rng=rng,
        formula=plan.formula,
        diameter_nm=plan.settings.particle_nm,
        balls=[(size, sign * task.deviation) for size in sizes for sign in (1, -1)],
    )
    series, truth = simulate_acquisition(
        phantom,
        _acquisition(plan, task, scale),
        formula=plan.formula,
        density_g_cm3=plan.density_g_cm3,
        rng=rng,
        instrument=RealInstrument(**dict(scaled_fault(task.fault, plan))),
    )
    for name, recorded in series.items():
        write_data_exchange(folder / f"{name}.h5", recorded)
    project = parse_config(_configuration(plan, scale), folder=folder)
    run_composition(project, "particle", folder, threads=1, stages=CHAIN[:-1])
    store = read_store(folder / "classify.zarr")
    labels, certain = store["phases"], store["phases_confident"]
    target = np.isfinite(truth.deviation) & (store["particle"] > 0)
    return _scores(phantom, voxel_nm, labels, certain, target)


def _scores(
    phantom: "Phantom", voxel_nm: float, labels: "LabelArray", certain: "LabelArray", target: "BoolArray"
) -> tuple[tuple[tuple[float, float, float], ...], float, float]:
    """Return the correct fraction of each domain, and the misclassified target fractions."""
    grid = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * voxel_nm for n in labels.shape), indexing="ij")
    balls, away = [], target.copy()
    for ball in phantom.ellipsoids[1:]:
        squared = sum((axis - centre) ** 2 for axis, centre in zip(grid, ball.centre_nm, strict=True))
        radius = ball.semi_axes_nm[0]
        # The core of a small domain contains no voxel centre: use the nearest voxel.
        inside = squared <= max(radius, 0.87 * voxel_nm) ** 2
        wanted = OXYGEN_POOR if ball.kind == "oxygen_poor" else OXYGEN_RICH
        deviation = (
            1 / (1 + ball.amount["O"]) - 1 if ball.kind == "oxygen_poor" else min(ball.amount.values())
        )
        balls.append((2 * radius, float(deviation), float((labels[inside] == wanted).mean())))
        away &= squared > (radius + BLURRED_PX * voxel_nm) ** 2
    false = (np.isin(image[away], (OXYGEN_POOR, OXYGEN_RICH)).mean() for image in (labels, certain))
    shares = tuple(float(share) for share in false) if away.any() else (float("nan"), float("nan"))
    return tuple(balls), shares[0], shares[1]


def _acquisition(plan: Plan, task: Task, scale: Scale) -> "Acquisition":
    from oxytomo.simulate.acquisition import Acquisition

    settings = plan.settings
    energies = {
        f"{name}_{side}": energy
        for name, pair in plan.energies_ev.items()
        for side, energy in zip(("pre", "post"), pair, strict=True)
    }
    width = _width(plan, scale)
    return Acquisition(
        energies_ev=energies,
        tilt_deg=np.linspace(-settings.tilt_limit_deg, settings.tilt_limit_deg, scale.tilts),
        n_rows=width,
        n_cols=width,
        pixel_nm=settings.pixel_nm * scale.pixel,
        magnification_spread=0.0,
        jitter_px=0.0,
        drift_px=0.0,
        psf_px=settings.psf_px / scale.pixel,
        subsamples=2,
        photons_per_pixel=task.photons * scale.photons,
        dark_level=100.0,
        beam_structure=0.05,
        i0_drift=0.01,
        hot_fraction=0.0,
        n_flat=10,
        n_dark=5,
        noise=True,
        truth_subsamples=2,
    )


def _width(plan: Plan, scale: Scale) -> int:
    """Return the pixels of the simulated field in each direction."""
    return 2 * int(np.ceil(FIELD * plan.settings.particle_nm / plan.settings.pixel_nm / scale.pixel / 2))


def scaled_fault(fault: InstrumentSettings, plan: Plan) -> InstrumentSettings:
    """Return a fault scaled to the simulation: lengths in its pixels, errors for fewer frames.

    Errors of single frames average out over the planned tilts. To give the same mean error with
    fewer tilts, each error is smaller by the square root of the ratio of the numbers of tilts.
    """
    scale = simulated_scale(plan)
    fewer = (scale.tilts / plan.settings.tilts) ** 0.5
    changes: dict[str, Any] = {
        "beam_shift_px": fault.beam_shift_px / scale.pixel * fewer,
        "angle_rms_deg": fault.angle_rms_deg * fewer,
        "beam_length_px": fault.beam_length_px / scale.pixel,
        "psf_px": None if fault.psf_px is None else fault.psf_px / scale.pixel,
    }
    return fault.model_copy(update=changes)


def _configuration(plan: Plan, scale: Scale) -> Mapping[str, Any]:
    """Return the project of a simulated particle; its frames are aligned already."""
    edges = {name: {side: f"{name}_{side}.h5" for side in ("pre", "post")} for name in plan.elements}
    composition = {
        "edges": edges,
        "formula": dict(plan.formula),
        "density_g_cm3": plan.density_g_cm3,
        "threshold": plan.threshold,
        "align": {
            "tilts": False,
            "energies": False,
            "magnification": "none",
            "axis_column": (_width(plan, scale) - 1) / 2,
            "axis_tilt_deg": 0.0,
        },
        "reconstruct": {"psf_px": plan.settings.psf_px / scale.pixel},
        "uncertainty": {"replicates": 2, "null_replicates": 0},
    }
    return {"samples": {"particle": {"composition": composition}}}


def shares_found(found: Sequence[Found]) -> dict[float, tuple[int, int]]:
    """Return, by diameter in nm, how many domains have half of their voxels right."""
    shares: dict[float, list[float]] = {}
    for one in found:
        for diameter_nm, _, share in one.balls:
            shares.setdefault(round(diameter_nm, 6), []).append(share)
    return {size: (sum(s >= 0.5 for s in values), len(values)) for size, values in sorted(shares.items())}


def smallest_found(found: Sequence[Found]) -> float | None:
    """Return the smallest diameter above which at least half of the domains were found.

    None if there is no such diameter.
    """
    smallest = None
    for size, (seen, tried) in sorted(shares_found(found).items(), reverse=True):
        if seen < tried / 2:
            break
        smallest = size
    return smallest
