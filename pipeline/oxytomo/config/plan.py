"""Plan of a run: the series of each branch, and the input settings of each stage."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, overload

from oxytomo.config.base import Settings
from oxytomo.config.chemical_state import ChemicalStateConfig
from oxytomo.config.composition import (
    ArealDensityConfig,
    CompositionConfig,
    EdgeSeries,
    TomogramConfig,
)
from oxytomo.config.mechanics import MechanicsConfig
from oxytomo.config.oxidation import OxidationConfig
from oxytomo.config.project import Branch, ProjectConfig, SampleConfig
from oxytomo.config.quantities import BranchConfig
from oxytomo.config.scattering import ScatteringConfig
from oxytomo.config.source import ImageSource, Source, StackSource, source_files
from oxytomo.config.stage_models import Job, stage_model
from oxytomo.config.stage_settings import ComparisonStage, RegisterBranchesStage, ReportStage
from oxytomo.config.structure import StructureConfig
from oxytomo.stages import registry

BRANCHES: tuple[Branch, ...] = (
    "composition",
    "areal_density",
    "tomogram",
    "chemical_state",
    "oxidation",
    "structure",
    "mechanics",
    "scattering",
)

STAGES: dict[Branch, tuple[str, ...]] = {
    branch: tuple(
        row.name
        for row in registry.STAGES.values()
        if branch in row.branches and not row.part_of and not (branch == registry.STRUCTURE and row.routes)
    )
    for branch in BRANCHES
}
"""The stages of each branch in order; ``report`` follows once per sample."""

FOLDERS: dict[str, str] = {row.name: row.short_name for row in registry.STAGES.values() if row.jobs}
"""Folder below ``stages/<branch>/`` of stages with one store per series, element or part."""

SHARED_OUT: dict[str, tuple[str, ...]] = {
    whole: tuple(row.name for row in registry.STAGES.values() if row.part_of == whole)
    for whole in dict.fromkeys(row.part_of for row in registry.STAGES.values() if row.part_of)
}
"""The stages that divide the work of another stage among several jobs (``reconstruct.parts``)."""

TO_VOLUME: dict[str, tuple[str, ...]] = {
    route: tuple(row.name for row in registry.STAGES.values() if route in row.routes)
    for route in dict.fromkeys(route for row in registry.STAGES.values() for route in row.routes)
}
"""The first stages of the structure branch by kind of input; the last writes ``volume.zarr``."""

PRODUCTS: dict[Branch, tuple[str, ...]] = {
    branch: tuple(
        product
        for row in registry.STAGES.values()
        if row.branches[:1] == (branch,)
        for product in row.products.values()
    )
    for branch in BRANCHES
}
"""Products of each branch in the folder of its sample, in addition to ``report.html``."""

JOINT_STAGE, JOINT_FOLDER = "register_branches", "branches"
JOINT_STORE = f"{JOINT_FOLDER}/{registry.STAGES[JOINT_STAGE].store}"
JOINT_PRODUCTS = tuple(registry.STAGES[JOINT_STAGE].products.values())
"""The stage that needs two branches of a sample, its store below ``stages/``, its products."""

COMPARISON_TABLES = registry.STAGES["comparison"].beside
CHARGE_BALANCE = "charge_balance.csv"
"""Tables of a comparison of samples in the results folder, without own records, and the one of a
project with a charge balance."""

NEEDS_PACKAGE: dict[str, tuple[str, str, str]] = {
    row.name: (next(iter(row.products.values())), row.package, row.extra)
    for row in registry.STAGES.values()
    if row.package
}
"""Stages that need an optional package: product, package, and the extra that installs it."""


def sample_branches(sample: SampleConfig) -> tuple[Branch, ...]:
    """Return the branches that a sample has."""
    return tuple(branch for branch in BRANCHES if getattr(sample, branch) is not None)


def branch_config(project: ProjectConfig, sample: str, branch: Branch) -> BranchConfig:
    """Return the settings of one branch of one sample."""
    found: BranchConfig = getattr(project.samples[sample], branch)
    return found


def branch_stages(config: BranchConfig, branch: Branch) -> tuple[str, ...]:
    """Return the stages of a branch in the order in which they run."""
    first = TO_VOLUME[config.route] if isinstance(config, StructureConfig) else ()
    left_out = left_out_stages(branch)
    own = [stage for stage in STAGES[branch] if stage not in left_out]
    if isinstance(config, ChemicalStateConfig) and config.joint:
        own = [stage for stage in own if registry.STAGES[stage].branches == (branch,)]
    if isinstance(config, CompositionConfig) and config.parts > 1:
        own = [one for stage in own for one in (*shared_stages(config, stage), stage)]
    return (*first, *own)


def shared_stages(config: CompositionConfig, stage: str) -> tuple[str, ...]:
    """Return the stages whose jobs do the work of a stage that is divided into parts."""
    before = SHARED_OUT.get(stage, ())
    if config.effective_reference != "mode":
        before = tuple(one for one in before if not registry.STAGES[one].for_mode)
    return tuple(one for one in before if one not in FOLDERS or stage_jobs(config, one))


def stage_jobs(config: BranchConfig, stage: str) -> tuple[str, ...]:
    """Return the names of the jobs of a stage: series, elements, or parts."""
    jobs = registry.STAGES[stage].jobs
    if isinstance(config, CompositionConfig) and jobs == "parts":
        return tuple(str(part) for part in range(1, 1 + config.parts))
    if isinstance(config, CompositionConfig) and jobs == "replicates":
        counts = {"noise": config.uncertainty.replicates, "null": config.uncertainty.null_replicates}
        return tuple(f"{kind}_{i}" for kind, count in counts.items() for i in range(1, 1 + count))
    if isinstance(config, ChemicalStateConfig) and jobs == "elements":
        return config.measured
    return tuple(branch_series(config) if stage == "normalize" else branch_sources(config))


def left_out_stages(branch: Branch) -> tuple[str, ...]:
    """Return the stages of a branch whose optional package is not installed."""
    return tuple(
        stage
        for stage in STAGES[branch]
        if stage in NEEDS_PACKAGE and importlib.util.find_spec(NEEDS_PACKAGE[stage][1]) is None
    )


def branch_products(branch: Branch) -> tuple[str, ...]:
    """Return the products of a branch in the folder of its sample, with the installed packages."""
    missing = [NEEDS_PACKAGE[stage][0] for stage in left_out_stages(branch)]
    return tuple(product for product in PRODUCTS[branch] if product not in missing)


def sample_products(sample: SampleConfig) -> tuple[str, ...]:
    """Return the products of a sample, the report last."""
    products = [product for branch in sample_branches(sample) for product in branch_products(branch)]
    joint = JOINT_PRODUCTS if sample.register_branches is not None else ()
    return (*products, *joint, "report.html")


def project_products(project: ProjectConfig) -> list[str]:
    """Return all products of a project, relative to its results folder.

    A run makes the missing ones.
    """
    products = [
        f"{name}/{product}" for name, sample in project.samples.items() for product in sample_products(sample)
    ]
    return [*products, *comparison_products(project)]


def comparison_products(project: ProjectConfig) -> tuple[str, ...]:
    """Return page and tables of the comparison of a project, in its results folder."""
    page = tuple(registry.STAGES["comparison"].products.values()) if project.groups else ()
    return (*page, *comparison_tables(project))


def comparison_tables(project: ProjectConfig) -> tuple[str, ...]:
    """Return the tables of the comparison of a project, in its results folder."""
    if not project.groups:
        return ()
    return COMPARISON_TABLES + ((CHARGE_BALANCE,) if project.charge_balance is not None else ())


@overload
def branch_sources(config: OxidationConfig) -> dict[str, StackSource]: ...
@overload
def branch_sources(
    config: CompositionConfig | ArealDensityConfig | TomogramConfig | ChemicalStateConfig,
) -> dict[str, Source]: ...
@overload
def branch_sources(config: BranchConfig) -> Mapping[str, ImageSource]: ...
def branch_sources(config: BranchConfig) -> Mapping[str, ImageSource]:
    """Return the raw series of a branch by name: elements in fixed order, ``pre`` first."""
    if isinstance(config, OxidationConfig):
        return {element: config.stacks[element] for element in config.measured}
    if isinstance(config, StructureConfig | ChemicalStateConfig | MechanicsConfig):
        return config.sources
    if isinstance(config, ScatteringConfig):
        return {name: config.maps[name] for name in config.names}
    if isinstance(config, TomogramConfig):
        return {"signal": config.source}
    if isinstance(config, CompositionConfig) and config.elements is not None:
        return {element: config.elements[element] for element in config.measured}
    edges = config.edges or {}
    found: dict[str, Source] = {}
    for element in config.measured:
        edge = edges[element]
        found |= {f"{element}_pre": edge.pre, f"{element}_post": edge.post}
        more = edge.more if isinstance(edge, EdgeSeries) else ()
        found |= {f"{element}_{number}": source for number, source in enumerate(more, start=3)}
    return found


def branch_series(config: BranchConfig) -> dict[str, Source]:
    """Return the sources of a branch that are series of frames to be normalised."""
    return {name: source for name, source in branch_sources(config).items() if isinstance(source, Source)}


def branch_stores(config: BranchConfig, branch: Branch) -> list[tuple[str, str | None, str]]:
    """Return the stores of a branch: stage, series if any, store below ``stages/<branch>/``."""
    stores: list[tuple[str, str | None, str]] = []
    for stage in branch_stages(config, branch):
        if stage in FOLDERS:
            stores += [(stage, name, f"{FOLDERS[stage]}/{name}.zarr") for name in stage_jobs(config, stage)]
        elif registry.STAGES[stage].store:
            stores.append((stage, None, registry.STAGES[stage].store))
    return stores


def branch_files(config: BranchConfig) -> dict[str, list[Path]]:
    """Return the raw files of a branch by series, and its reference spectra by element."""
    files = {series: source_files(source) for series, source in branch_sources(config).items()}
    if isinstance(config, CompositionConfig | OxidationConfig | ChemicalStateConfig | ScatteringConfig):
        for element in config.measured:
            if not config.references.get(element):
                continue
            files[f"{element} references"] = reference_files(config, element)
    if isinstance(config, MechanicsConfig):
        files |= {name: [Path(path)] for name, path in config.material.tables.items()}
    return files


def reference_files(
    config: CompositionConfig | OxidationConfig | ChemicalStateConfig | ScatteringConfig, element: str
) -> list[Path]:
    """Return the files of the reference spectra of one element."""
    return list(dict.fromkeys(Path(reference.file) for _, reference in config.spectra_of(element)))


def raw_files(project: ProjectConfig) -> dict[str, dict[str, list[str]]]:
    """Return, per sample and ``branch/series``, the absolute paths of the raw files."""
    return {
        name: {
            f"{branch}/{series}": [str(path.absolute()) for path in paths]
            for branch in sample_branches(sample)
            for series, paths in branch_files(branch_config(project, name, branch)).items()
        }
        for name, sample in project.samples.items()
    }


def stage_settings(
    project: ProjectConfig, sample: str, branch: Branch | None, stage: str, series: str | None = None
) -> dict[str, Any]:
    """Return the complete input settings of one stage of one branch as JSON types.

    Parameters
    ----------
    branch : the branch; None for ``register_branches`` and ``report``, which need the whole sample
    stage : name of the stage (also of its module and its rule)
    series : name of the job (series, element, part), for stages with one store per job
    """
    if branch is None and stage == JOINT_STAGE:
        return _plain(RegisterBranchesStage(**dict(project.samples[sample].register_branches or ())))
    if branch is None:
        return _plain(ReportStage(sample=sample, branches=sample_branches(project.samples[sample])))
    config = branch_config(project, sample, branch)
    sources = branch_sources(config)
    structure = project.samples[sample].structure
    return _plain(stage_model(stage, Job(config, sample, branch, sources, series, structure)))


def comparison_settings(project: ProjectConfig) -> dict[str, Any]:
    """Return the input settings of the stage ``comparison`` as JSON types."""
    groups = tuple(project.groups.items())
    balance = project.charge_balance
    states = () if balance is None else tuple(balance.states or project.groups)
    return _plain(ComparisonStage(groups=groups, charge_balance=balance, states=states))


def _plain(settings: Settings) -> dict[str, Any]:
    return settings.model_dump(mode="json")


def results_folder(project: ProjectConfig) -> Path:
    """Return the absolute results folder.

    Without a configuration file it is relative to the working directory.
    """
    return Path.cwd() / project.results.expanduser()
