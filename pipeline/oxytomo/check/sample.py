"""Check a project before a run: raw files, angles, energies, results folder."""

import importlib.util
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.check.ahead import walked_ahead
from oxytomo.check.derived import check_derived
from oxytomo.check.near_edge import near_edge_problems
from oxytomo.check.places import place_of
from oxytomo.check.plausible import require_files, require_plausible, shadowed_flats
from oxytomo.check.series import (
    ENERGY_TOLERANCE,
    ENERGY_TOLERANCE_EV,
    SeriesFacts,
    copied_series,
    ends_of,
    files_of_one_energy,
    fix_of_flats,
    missing_pixels,
    of_energy,
    overridden,
    shared_between_samples,
    shared_files,
    with_values,
)
from oxytomo.check.states import joint_problems, state_problems
from oxytomo.check.structure import mask_problems, scan_problems, volume_facts
from oxytomo.check.tilts import (
    check_tilts,
    few_tilts,
    narrow_tilts,
    one_tilt,
    repeated_tilts,
)
from oxytomo.config import (
    ArealDensityConfig,
    Branch,
    ChemicalStateConfig,
    CompositionConfig,
    ImageSource,
    MechanicsConfig,
    OxidationConfig,
    ProjectConfig,
    ScatteringConfig,
    Source,
    StructureConfig,
    TomogramConfig,
    VolumeSource,
    source_files,
)
from oxytomo.config.plan import (
    JOINT_STAGE,
    NEEDS_PACKAGE,
    branch_config,
    branch_series,
    branch_sources,
    left_out_stages,
    results_folder,
    sample_branches,
)
from oxytomo.config.quantities import BranchConfig, default_quantity, light_from_air
from oxytomo.errors import InputError, MissingPackageError, PipelineError
from oxytomo.preprocess.plausible import looked_at
from oxytomo.run.needs import Needs, check_disk, joint_needs, stage_needs, total_needs
from oxytomo.run.results_folder import check_same_sources

MAX_SHARE_WITHOUT_LIGHT = 0.01
_PACKAGE_OF_BACKEND = {"astra": "astra", "tomopy": "tomopy"}


@dataclass(frozen=True)
class BranchCheck:
    """Results of the check of one branch."""

    sample: str
    branch: Branch
    series: Mapping[str, SeriesFacts]
    needs: Mapping[str, Needs]


@dataclass(frozen=True)
class ProjectCheck:
    """Results of the check of a project: problems stop a run, warnings do not."""

    problems: tuple[PipelineError, ...]
    warnings: tuple[str, ...]
    branches: tuple[BranchCheck, ...]


def check_project(
    project: ProjectConfig, *, read_flats: bool, only: Collection[str] | None = None
) -> ProjectCheck:
    """Check a project without running a stage.

    Parameters
    ----------
    project : the configuration
    read_flats : also read the flat frames and search for pixels without light
    only : stages that will run, for the check of the disk space; None for all
    """
    problems: list[PipelineError] = []
    warnings: list[str] = []
    branches: list[BranchCheck] = []
    with walked_ahead(project) as samples:
        for sample, settings in samples:
            for branch in sample_branches(settings):
                found, wrong, remarks = _check_branch(project, sample, branch, read_flats=read_flats)
                branches.append(found)
                problems += wrong
                warnings += remarks
    warnings += shared_between_samples(project)
    folder = results_folder(project)
    needs = [total_needs(branch.needs, only) for branch in branches if branch.needs]
    for check in (lambda: check_same_sources(folder, project), lambda: check_disk(folder, needs)):
        problems += _caught(check)
    return ProjectCheck(tuple(problems), tuple(warnings), tuple(branches))


def _check_branch(
    project: ProjectConfig, sample: str, branch: Branch, *, read_flats: bool
) -> tuple[BranchCheck, list[PipelineError], list[str]]:
    """Check one branch: each series first, then all series together."""
    config = branch_config(project, sample, branch)
    if isinstance(config, OxidationConfig | ScatteringConfig):
        return _check_spectral(config, sample, branch)
    if isinstance(config, MechanicsConfig) or (isinstance(config, ChemicalStateConfig) and config.joint):
        labels, wrong, needs = check_derived(project, sample, config, look=read_flats)
        return BranchCheck(sample, branch, labels, needs), wrong, []
    problems: list[PipelineError] = []
    warnings: list[str] = []
    facts: dict[str, SeriesFacts] = {}
    volumes: dict[str, SeriesFacts] = {}
    for name, source in branch_sources(config).items():
        if not isinstance(source, Source):
            where = f"samples.{sample}.{branch}.{name}"
            missing = _caught(partial(_check_volume, where, source))
            problems += missing
            if read_flats and not missing and isinstance(config, StructureConfig):
                look = partial(_look_at_volume, volumes, name, where, source, config, warnings)
                problems += _caught(look)
            continue
        from oxytomo.io.readers.hdf5 import kept_open

        place = place_of(config, f"samples.{sample}.{branch}", name)
        try:
            with kept_open():
                facts[name] = _series_facts(place, source, config, warnings)
            if read_flats and not (facts[name].n_flat == 0 and light_from_air(config)):
                warnings += _check_flats(facts[name], source)
        except PipelineError as error:
            problems.append(error)
    places = {place_of(config, f"samples.{sample}.{branch}", n): s for n, s in branch_series(config).items()}
    shared = list(shared_files(places))
    named = {problem.subject for problem in shared}
    problems += [*shared, *copied_series({n: fact for n, fact in facts.items() if fact.place not in named})]
    if not isinstance(config, StructureConfig):
        for fact in facts.values():
            problems += missing_pixels(fact)
    problems += _caught(lambda: _check_backend(config, f"samples.{sample}.{branch}"))
    problems += _caught(partial(_check_packages_and_tables, config, f"samples.{sample}.{branch}"))
    warnings += _left_out(branch, f"samples.{sample}.{branch}")
    if not isinstance(config, StructureConfig) and len(facts) == len(branch_sources(config)):
        if isinstance(config, ArealDensityConfig):
            problems += [one for fact in facts.values() for one in _caught(partial(one_tilt, fact))]
        else:
            problems += _caught(lambda: check_tilts(facts))
            for look_at in (few_tilts, narrow_tilts, repeated_tilts):
                warnings += look_at(facts, f"samples.{sample}.{branch}")
        if isinstance(config, ChemicalStateConfig):
            problems += list(state_problems(config, facts, f"samples.{sample}.{branch}", warnings))
        elif not isinstance(config, TomogramConfig) and config.edges is not None and not shared:
            problems += list(_edge_problems(config, facts))
    if isinstance(config, StructureConfig) and facts and len(facts) == len(branch_series(config)):
        problems += _scan_problems(config, facts)
        warnings += few_tilts(facts, f"samples.{sample}.{branch}")
    needs = _needs(config, branch, facts)
    if branch == "composition" and needs and project.samples[sample].register_branches is not None:
        needs[JOINT_STAGE] = joint_needs(config, {name: fact.shape for name, fact in facts.items()})
    return BranchCheck(sample, branch, facts | volumes, needs), [*problems, *mask_problems(volumes)], warnings


def _scan_problems(config: StructureConfig, facts: Mapping[str, SeriesFacts]) -> list[PipelineError]:
    """Return what is wrong with the projections or holograms of a structure."""
    return [*_caught(lambda: check_tilts(facts)), *scan_problems(config, facts)]


def _needs(config: BranchConfig, branch: Branch, facts: Mapping[str, SeriesFacts]) -> dict[str, Needs]:
    """Return the needs of the stages of a branch; empty if a series could not be read."""
    if isinstance(config, StructureConfig) and config.volume is not None:
        if not all(path.exists() for path in source_files(config.volume)):
            return {}
        from oxytomo.stages.sources import volume_shape

        return stage_needs(config, branch, {"volume": volume_shape(config.volume)})
    shapes = {name: fact.shape for name, fact in facts.items()}
    stacks = isinstance(config, OxidationConfig | ScatteringConfig)
    series = branch_sources(config) if stacks else branch_series(config)
    return stage_needs(config, branch, shapes) if shapes and len(shapes) == len(series) else {}


def _check_spectral(
    config: OxidationConfig | ScatteringConfig, sample: str, branch: Branch
) -> tuple[BranchCheck, list[PipelineError], list[str]]:
    """Check the stacks or the maps of a branch."""
    from oxytomo.check.scattering import check_maps
    from oxytomo.check.stack import check_stacks

    if isinstance(config, OxidationConfig):
        facts, problems, warnings = check_stacks(config, sample)
    else:
        facts, problems, warnings = check_maps(config, sample)
    return BranchCheck(sample, branch, facts, _needs(config, branch, facts)), problems, warnings


def _check_volume(place: str, source: ImageSource) -> None:
    """Refuse a volume whose files are missing."""
    require_files(place, source_files(source))


def _look_at_volume(
    found: dict[str, SeriesFacts],
    name: str,
    place: str,
    source: ImageSource,
    config: StructureConfig,
    warnings: list[str],
) -> None:
    """Open a volume or mask and store its facts under its name."""
    if isinstance(source, VolumeSource):
        found[name] = volume_facts(place, source, config.voxel_nm, warnings)


def _series_facts(place: str, source: Source, config: BranchConfig, warnings: list[str]) -> SeriesFacts:
    """Read the header and some frames of one series, check them, and add warnings."""
    from oxytomo.io.readers import look
    from oxytomo.stages.sources import read_request

    require_files(place, source_files(source))
    request = read_request(source)
    whole, frames = look(request)
    summary, own = of_energy(whole, source.only_energy_ev, place)
    require_plausible(
        place, summary.shape[1:], _single(summary.pixel_nm, config), _single(summary.energy_ev, config)
    )
    warnings += [f"{place}: {remark}" for remark in summary.remarks]
    warnings += overridden(place, request, summary)
    said = summary.quantity if summary.quantity in ("transmission", "optical_density", "complex") else None
    facts = SeriesFacts(
        place=place,
        shape=summary.shape,
        tilt_deg=tuple(float(tilt) for tilt in summary.tilt_deg),
        energy_ev=_single(summary.energy_ev, config),
        pixel_nm=_single(summary.pixel_nm, config),
        quantity=source.quantity or said or default_quantity(config),
        n_flat=summary.n_flat,
        n_dark=summary.n_dark,
        ends=ends_of(summary.files, summary.tilt_deg, "°"),
    )
    energies = summary.energy_ev
    far = max(ENERGY_TOLERANCE_EV, ENERGY_TOLERANCE * facts.energy_ev)
    if np.isfinite(energies).all() and np.ptp(energies) > far:
        raise InputError(
            place,
            expected="frames of one energy",
            got=f"{energies.min():g} to {energies.max():g} eV",
            fix=files_of_one_energy(summary),
        )
    return with_values(facts, frames([int(own[number]) for number in looked_at(summary.shape[0])]))


def _single(values: Float64Array, config: BranchConfig) -> float:
    """Return the mean over all frames, NaN if one is unknown; holograms need one known value."""
    known = values[np.isfinite(values)] if isinstance(config, StructureConfig) else values
    return float(known.mean()) if known.size else float("nan")


def _check_flats(facts: SeriesFacts, source: Source) -> list[str]:
    """Refuse flats that are missing or mostly dark; return a warning for a few bad pixels."""
    from oxytomo.io.readers import read_flat
    from oxytomo.stages.sources import read_request

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
            fix=fix_of_flats(mean, facts),
        )
    said = [f"{facts.place}: flat frames have {what}; these pixels are invalid"] if share > 0 else []
    numbers = ", ".join(map(str, shadowed_flats(flat)))
    more = f"{facts.place}: flat frame {numbers} of {len(flat)} differs from the others in places (a shadow?)"
    return [*said, f"{more}; leave it out"] if numbers else said


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


def _check_packages_and_tables(
    config: CompositionConfig | ArealDensityConfig | TomogramConfig | ChemicalStateConfig | StructureConfig,
    place: str,
) -> None:
    """Refuse an unreadable table of shifts, and stripe removal without its package."""
    if not isinstance(config, StructureConfig) and config.align.shifts is not None:
        from oxytomo.io.alignment import require_table

        require_table(Path(config.align.shifts))
    if config.normalize.stripe_removal != "none" and importlib.util.find_spec("algotom") is None:
        raise MissingPackageError(
            f"{place}.normalize.stripe_removal",
            expected="the package algotom",
            got="it is not installed",
            fix="pip install 'oxytomo[stripes]', or stripe_removal: none",
        )


def _left_out(branch: Branch, place: str) -> list[str]:
    """Return a line for each product whose package is not installed."""
    needed = [NEEDS_PACKAGE[stage] for stage in left_out_stages(branch)]
    return [
        f"{place}: no {product} without the package {package}: pip install 'oxytomo[{extra}]', and run again"
        for product, package, extra in needed
    ]


def _edge_problems(
    config: CompositionConfig | ArealDensityConfig, facts: Mapping[str, SeriesFacts]
) -> Iterator[PipelineError]:
    """Yield the problems of energies and formula."""
    from oxytomo.composition.cross_sections import attenuation_per_um, edge_between

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
    yield from near_edge_problems(config, facts)
    if isinstance(config, CompositionConfig) and config.references:
        yield from joint_problems(config, facts)
    yield from _caught(
        lambda: attenuation_per_um(
            config.formula or {},
            density_g_cm3=config.density_g_cm3,
            energies_ev=energies,
            elements=config.measured,
        )
    )


def _caught(check: Callable[[], Any]) -> list[PipelineError]:
    """Return the error that a check raises."""
    try:
        check()
    except PipelineError as error:
        return [error]
    return []
