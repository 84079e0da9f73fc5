"""What can be wrong with a project before any work is done: raw files, angles, energies, folder."""

import importlib.util
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.arrays import AnyArray, Float64Array
from pipeline.config import (
    ArealDensityConfig,
    Branch,
    CompositionConfig,
    ImageSource,
    OxidationConfig,
    ProjectConfig,
    Source,
    StructureConfig,
    TomogramConfig,
    source_files,
)
from pipeline.config.plan import (
    JOINT_STAGE,
    NEEDS_PACKAGE,
    BranchConfig,
    branch_config,
    branch_series,
    branch_sources,
    default_quantity,
    left_out_stages,
    results_folder,
    sample_branches,
)
from pipeline.errors import InputError, MissingPackageError, PipelineError
from pipeline.stages.check_structure import scan_problems
from pipeline.stages.needs import Needs, check_disk, joint_needs, stage_needs, total_needs
from pipeline.stages.plausible import require_files, require_plausible
from pipeline.stages.results_folder import check_same_sources

MIN_TILTS = 3
MAX_SHARE_WITHOUT_LIGHT = 0.01
FEW_TILTS = 20
ANGLE_TOLERANCE_DEG = 0.01
SAME_ANGLE_DEG = 1e-4
MANY_REPEATED = 0.2
"""With a larger share of repeated angles the angle table is wrong."""
_PACKAGE_OF_BACKEND = {"astra": "astra", "tomopy": "tomopy"}


@dataclass(frozen=True)
class SeriesFacts:
    """What the header of one raw series says.

    Attributes
    ----------
    place : where it is in the configuration, e.g. ``samples.a.composition.edges.Mn.pre``
    shape : (n_frame, n_y, n_x)
    tilt_deg : (n_frame,) degrees, in acquisition order
    energy_ev, pixel_nm : NaN where neither file nor configuration says
    quantity : what the pixels hold
    n_flat : number of flat frames
    energy_range_ev : lowest and highest energy of a stack, None for a tilt series
    """

    place: str
    shape: tuple[int, int, int]
    tilt_deg: tuple[float, ...]
    energy_ev: float
    pixel_nm: float
    quantity: str
    n_flat: int
    energy_range_ev: tuple[float, float] | None = None


@dataclass(frozen=True)
class BranchCheck:
    """What was found in one branch."""

    sample: str
    branch: Branch
    series: Mapping[str, SeriesFacts]
    needs: Mapping[str, Needs]


@dataclass(frozen=True)
class ProjectCheck:
    """What was found in a project: problems stop a run, warnings do not."""

    problems: tuple[PipelineError, ...]
    warnings: tuple[str, ...]
    branches: tuple[BranchCheck, ...]


def check_project(
    project: ProjectConfig, *, read_flats: bool, only: Collection[str] | None = None
) -> ProjectCheck:
    """Check everything that can be checked without running a stage.

    Parameters
    ----------
    project : the configuration
    read_flats : also read the flat frames and look for pixels without light
    only : the stages that will run, for which there must be room on the disk; None for all
    """
    problems: list[PipelineError] = []
    warnings: list[str] = []
    branches: list[BranchCheck] = []
    for sample, settings in project.samples.items():
        for branch in sample_branches(settings):
            found, wrong, remarks = _check_branch(project, sample, branch, read_flats=read_flats)
            branches.append(found)
            problems += wrong
            warnings += remarks
    folder = results_folder(project)
    needs = [total_needs(branch.needs, only) for branch in branches if branch.needs]
    for check in (lambda: check_same_sources(folder, project), lambda: check_disk(folder, needs)):
        problems += _caught(check)
    return ProjectCheck(tuple(problems), tuple(warnings), tuple(branches))


def require_valid(project: ProjectConfig, only: Collection[str] | None = None) -> tuple[str, ...]:
    """Raise the first problem of a project; returns the warnings. Flat frames are left to ``normalize``."""
    checked = check_project(project, read_flats=False, only=only)
    for problem in checked.problems:
        raise problem
    return checked.warnings


def _check_branch(
    project: ProjectConfig, sample: str, branch: Branch, *, read_flats: bool
) -> tuple[BranchCheck, list[PipelineError], list[str]]:
    """Check one branch: each series for itself, then all together."""
    config = branch_config(project, sample, branch)
    if isinstance(config, OxidationConfig):
        return _check_stacks(config, sample)
    problems: list[PipelineError] = []
    warnings: list[str] = []
    facts: dict[str, SeriesFacts] = {}
    for name, source in branch_sources(config).items():
        if not isinstance(source, Source):
            problems += _caught(partial(_check_volume, f"samples.{sample}.{branch}.{name}", source))
            continue
        place = _place(config, f"samples.{sample}.{branch}", name)
        try:
            facts[name] = _series_facts(place, source, config)
            if read_flats:
                warnings += _check_flats(facts[name], source)
        except PipelineError as error:
            problems.append(error)
    problems += _caught(lambda: _check_backend(config, f"samples.{sample}.{branch}"))
    problems += _caught(partial(_check_packages_and_tables, config, f"samples.{sample}.{branch}"))
    warnings += _left_out(branch, f"samples.{sample}.{branch}")
    if not isinstance(config, StructureConfig) and len(facts) == len(branch_sources(config)):
        if not isinstance(config, ArealDensityConfig):
            problems += _caught(lambda: _check_tilts(facts))
            warnings += _few_tilts(facts, f"samples.{sample}.{branch}")
            warnings += _repeated_tilts(facts, f"samples.{sample}.{branch}")
        if not isinstance(config, TomogramConfig) and config.edges is not None:
            problems += list(_edge_problems(config, facts))
    if isinstance(config, StructureConfig) and facts and len(facts) == len(branch_series(config)):
        problems += _caught(lambda: _check_tilts(facts))
        warnings += _few_tilts(facts, f"samples.{sample}.{branch}")
        problems += list(scan_problems(config, facts))
    needs = _needs(config, branch, facts)
    if branch == "composition" and needs and project.samples[sample].register_branches is not None:
        shapes = {name: fact.shape for name, fact in facts.items()}
        needs[JOINT_STAGE] = joint_needs(config, shapes)
    return BranchCheck(sample, branch, facts, needs), problems, warnings


def _needs(config: BranchConfig, branch: Branch, facts: Mapping[str, SeriesFacts]) -> dict[str, Needs]:
    """Return the needs of the stages of a branch, empty where a series could not be looked at."""
    if isinstance(config, StructureConfig) and config.volume is not None:
        if not all(path.exists() for path in source_files(config.volume)):
            return {}
        from pipeline.stages.sources import volume_shape

        return stage_needs(config, branch, {"volume": volume_shape(config.volume)})
    shapes = {name: fact.shape for name, fact in facts.items()}
    series = branch_sources(config) if isinstance(config, OxidationConfig) else branch_series(config)
    return stage_needs(config, branch, shapes) if shapes and len(shapes) == len(series) else {}


def _check_stacks(config: OxidationConfig, sample: str) -> tuple[BranchCheck, list[PipelineError], list[str]]:
    """Check the stacks of a branch with their energies, and the reference spectra against them."""
    from pipeline.stages.check_stack import check_references, stack_facts

    problems: list[PipelineError] = []
    warnings: list[str] = []
    facts: dict[str, SeriesFacts] = {}
    for element in config.measured:
        place = f"samples.{sample}.oxidation"
        try:
            stack = stack_facts(f"{place}.stacks.{element}", config, element)
            facts[element] = SeriesFacts(
                place=f"{place}.stacks.{element}",
                shape=stack.shape,
                tilt_deg=(),
                energy_ev=float("nan"),
                pixel_nm=stack.pixel_nm,
                quantity=stack.quantity,
                n_flat=stack.n_flat,
                energy_range_ev=(float(stack.energy_ev.min()), float(stack.energy_ev.max())),
            )
            warnings += check_references(f"{place}.references.{element}", config, element, stack)
        except PipelineError as error:
            problems.append(error)
    return BranchCheck(sample, "oxidation", facts, _needs(config, "oxidation", facts)), problems, warnings


def _check_volume(place: str, source: ImageSource) -> None:
    """Refuse a volume whose files are not there."""
    require_files(place, source_files(source))


def _place(config: BranchConfig, branch: str, series: str) -> str:
    """Return where a series is in the configuration."""
    if isinstance(config, TomogramConfig):
        return f"{branch}.source"
    if isinstance(config, StructureConfig):
        return f"{branch}.{series.replace('distance_', 'projections ')}"
    element, _, side = series.partition("_")
    return f"{branch}.edges.{element}.{side}" if side else f"{branch}.elements.{element}"


def _series_facts(place: str, source: Source, config: BranchConfig) -> SeriesFacts:
    """Read the header of one series and check it for itself."""
    from pipeline.io.readers import peek
    from pipeline.stages.sources import read_request

    require_files(place, source_files(source))
    summary = peek(read_request(source))
    require_plausible(place, summary.shape[1:], _single(summary.pixel_nm), _single(summary.energy_ev))
    said = summary.quantity if summary.quantity in ("transmission", "optical_density") else None
    return SeriesFacts(
        place=place,
        shape=summary.shape,
        tilt_deg=tuple(float(tilt) for tilt in summary.tilt_deg),
        energy_ev=_single(summary.energy_ev),
        pixel_nm=_single(summary.pixel_nm),
        quantity=source.quantity or said or default_quantity(config),
        n_flat=summary.n_flat,
    )


def _single(values: AnyArray) -> float:
    """Return the mean of what is known per frame, NaN where nothing is."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    return float(known.mean()) if known.size else float("nan")


def _check_flats(facts: SeriesFacts, source: Source) -> list[str]:
    """Refuse flats that are missing or mostly without light; returns a warning for a few bad pixels."""
    from pipeline.io.readers import read_flat
    from pipeline.stages.sources import read_request

    if facts.quantity != "counts":
        return []
    flat = read_flat(read_request(source))
    if flat is None:
        raise InputError(
            facts.place,
            expected="flat frames, since the pixels are counts",
            got="none",
            fix="give 'flat:' beside the images, or 'quantity: transmission' or 'optical_density'",
        )
    mean = np.asarray(flat, np.float64).mean(axis=0)
    without_light = ~(mean > 0)
    share = float(without_light.mean())
    what = f"NaN, zero or less in {100 * share:.3g} % of the pixels"
    if share > MAX_SHARE_WITHOUT_LIGHT:
        raise InputError(
            f"{facts.place}: flat frames",
            expected="counts above zero in nearly every pixel",
            got=what,
            fix="replace the flat frames, or crop the detector region without light",
        )
    return [f"{facts.place}: flat frames have {what}; these pixels are invalid"] if share > 0 else []


def _check_backend(config: BranchConfig, place: str) -> None:
    """Refuse a backend whose package is not installed."""
    backend = getattr(getattr(config, "reconstruct", None), "backend", None)
    package = _PACKAGE_OF_BACKEND.get(str(backend))
    if package is not None and importlib.util.find_spec(package) is None:
        how = "conda install -c conda-forge tomopy" if package == "tomopy" else "pip install 'oxytomo[astra]'"
        raise MissingPackageError(
            f"{place}.reconstruct.backend",
            expected=f"the package {package}",
            got="it is not installed",
            fix=f"{how}, or backend: oxytomo",
        )


def _check_tilts(facts: Mapping[str, SeriesFacts]) -> None:
    """Refuse series that have too few tilts, a tilt twice, or other tilts than the first series."""
    first = next(iter(facts.values()))
    reference = _distinct(np.sort(np.asarray(first.tilt_deg, np.float64)))
    for fact in facts.values():
        tilts = np.sort(np.asarray(fact.tilt_deg, np.float64))
        if not np.isfinite(tilts).all():
            raise InputError(
                fact.place,
                expected="a tilt angle for every frame",
                got="none in the file",
                fix="give 'angles:'",
            )
        if tilts.size < MIN_TILTS:
            raise InputError(
                fact.place,
                expected=f"at least {MIN_TILTS} tilt angles for a volume",
                got=str(tilts.size),
                fix="give the whole tilt series, or use areal_density for a single projection",
            )
        again = np.diff(tilts) < SAME_ANGLE_DEG
        if again.mean() > MANY_REPEATED:
            raise InputError(
                fact.place,
                expected="nearly every tilt angle once",
                got=f"{int(again.sum())} of {tilts.size} angles repeated, {_some(tilts[1:][again])} among them",
                fix="correct the angle table: the sign of the angles may be lost",
            )
        tilts = _distinct(tilts)
        if tilts.size != reference.size or np.abs(tilts - reference).max() > ANGLE_TOLERANCE_DEG:
            raise InputError(
                fact.place,
                expected=f"the tilt angles of {first.place} ({_tilt_range(reference)})",
                got=_tilt_range(tilts),
                fix="give series of the same tilts, or cut them to the common ones",
            )


def _distinct(tilts: Float64Array) -> Float64Array:
    """Return sorted angles, each once."""
    return tilts[np.append(True, ~(np.diff(tilts) < SAME_ANGLE_DEG))]


def _some(tilts: AnyArray) -> str:
    """Return the first distinct angles as text."""
    distinct = list(dict.fromkeys(f"{tilt:g}°" for tilt in tilts.tolist()))
    return ", ".join(distinct[:5]) + (" …" if len(distinct) > 5 else "")


def _repeated_tilts(facts: Mapping[str, SeriesFacts], place: str) -> list[str]:
    """Say what happens to repeated exposures."""
    repeated: list[float] = []
    for fact in facts.values():
        tilts = np.sort(fact.tilt_deg)
        repeated += tilts[1:][np.diff(tilts) < SAME_ANGLE_DEG].tolist()
    if not repeated:
        return []
    return [
        f"{place}: {_some(np.array(repeated))} recorded more than once: the first exposure is used, the others are compared "
        "with it (radiation damage)"
    ]


def _check_packages_and_tables(
    config: CompositionConfig | ArealDensityConfig | TomogramConfig | StructureConfig, place: str
) -> None:
    """Refuse a table of shifts that cannot be read, and stripe removal without its package."""
    if not isinstance(config, StructureConfig) and config.align.shifts is not None:
        from pipeline.stages.alignment_table import require_table

        require_table(Path(config.align.shifts))
    if config.normalize.stripe_removal != "none" and importlib.util.find_spec("algotom") is None:
        raise MissingPackageError(
            f"{place}.normalize.stripe_removal",
            expected="the package algotom",
            got="it is not installed",
            fix="pip install 'oxytomo[stripes]', or stripe_removal: none",
        )


def _left_out(branch: Branch, place: str) -> list[str]:
    """Return a line for each product that needs a package which is not installed."""
    needed = [NEEDS_PACKAGE[stage] for stage in left_out_stages(branch)]
    return [
        f"{place}: no {product} without the package {package}: pip install 'oxytomo[{extra}]', and run again"
        for product, package, extra in needed
    ]


def _tilt_range(tilts: AnyArray) -> str:
    """Return number and range of sorted tilts."""
    return f"{tilts.size} from {tilts[0]:g}° to {tilts[-1]:g}°"


def _few_tilts(facts: Mapping[str, SeriesFacts], place: str) -> list[str]:
    """Return a warning where a volume will be poor."""
    n_tilts = min(len(fact.tilt_deg) for fact in facts.values())
    if MIN_TILTS <= n_tilts < FEW_TILTS:
        return [f"{place}: only {n_tilts} tilts; expect strong artefacts in the volume"]
    return []


def _edge_problems(
    config: CompositionConfig | ArealDensityConfig, facts: Mapping[str, SeriesFacts]
) -> Iterator[PipelineError]:
    """Yield what is wrong with energies and formula."""
    from pipeline.composition.cross_sections import attenuation_per_um, edge_between

    unknown = [fact.place for fact in facts.values() if not np.isfinite(fact.energy_ev)]
    for place in unknown:
        yield InputError(place, expected="a photon energy", got="none in the file", fix="give 'energy_ev:'")
    if unknown:
        return
    for element in config.measured:
        pre, post = facts[f"{element}_pre"], facts[f"{element}_post"]
        for problem in _caught(partial(edge_between, element, pre.energy_ev, post.energy_ev)):
            where = pre.place.removesuffix(".pre")
            yield InputError(
                f"{where} ({problem.subject})", expected=problem.expected, got=problem.got, fix=problem.fix
            )
    energies = np.array([fact.energy_ev for fact in facts.values()])
    yield from _caught(
        lambda: attenuation_per_um(
            config.formula or {},
            density_g_cm3=config.density_g_cm3,
            energies_ev=energies,
            elements=config.measured,
        )
    )


def _caught(check: Callable[[], Any]) -> list[PipelineError]:
    """Return what a check raises."""
    try:
        check()
    except PipelineError as error:
        return [error]
    return []


def describe(series: SeriesFacts) -> str:
    """Return one line about a series."""
    n, rows, columns = series.shape
    tilts = np.sort(series.tilt_deg)
    energy = f", {series.energy_ev:g} eV" if np.isfinite(series.energy_ev) else ""
    if series.energy_range_ev is not None:
        energy = f", {series.energy_range_ev[0]:g} to {series.energy_range_ev[1]:g} eV"
    pixel = f", {series.pixel_nm:.4g} nm pixels" if np.isfinite(series.pixel_nm) else ""
    span = f", {tilts[0]:g}° to {tilts[-1]:g}°" if tilts.size and np.isfinite(tilts).all() else ""
    return f"{n} frames of {rows} × {columns}{span}{energy}{pixel}, {series.quantity}"
