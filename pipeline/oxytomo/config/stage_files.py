"""Inputs and outputs of each job of a stage, from the registry.

Paths are relative to the results folder.
"""

from pathlib import Path

from oxytomo.config.chemical_state import ChemicalStateConfig
from oxytomo.config.composition import CompositionConfig
from oxytomo.config.mechanics import MechanicsConfig
from oxytomo.config.near_edge import NearEdgeSettings
from oxytomo.config.oxidation import OxidationConfig
from oxytomo.config.plan import (
    JOINT_FOLDER,
    branch_config,
    branch_sources,
    branch_stages,
    branch_stores,
    reference_files,
)
from oxytomo.config.project import Branch, ProjectConfig
from oxytomo.config.scattering import ScatteringConfig
from oxytomo.config.settings import DecomposeSettings
from oxytomo.config.source import source_files
from oxytomo.stages.registry import MECHANICS, STAGES, STATES, STRUCTURE, Stage

NEAR_EDGE = "near_edge_"


def stage_outputs(stage: str, branch: str | None) -> dict[str, str]:
    """Return the outputs of a stage by key, relative to the folder of the sample.

    ``{job}`` is replaced by the name of the job.

    Parameters
    ----------
    branch : the branch; None for a stage of the whole sample
    """
    row = STAGES[stage]
    stages = f"stages/{branch or JOINT_FOLDER}"
    outputs = {"store": f"{stages}/{row.store}"} if row.store else {}
    own = branch is None or branch == row.branches[0]
    return outputs | {key: name if own else f"{stages}/{name}" for key, name in row.products.items()}


def stage_inputs(
    project: ProjectConfig, sample: str, branch: Branch | None, stage: str, job: str = ""
) -> dict[str, str]:
    """Return the stores, products and tables of a job by key, in the order of the registry.

    Parameters
    ----------
    branch : the branch; None for a stage of the whole sample
    job : series, element, part or replicate, for a stage that has several jobs
    """
    found: dict[str, str] = {}
    for key, name in STAGES[stage].inputs.items():
        if name.startswith("pristine:"):
            other = _pristine(project, sample, stage)
            if other is not None:
                found[key] = f"{other}/stages/{branch}/{name.removeprefix('pristine:')}.zarr"
        elif "." in name:
            found[key] = f"{sample}/{name}"
        else:
            found |= _stores(project, sample, branch, key, name.format(job=job))
    if stage == "align" and branch is not None:
        shifts = branch_config(project, sample, branch).align.shifts  # type: ignore[union-attr]
        found |= {} if shifts is None else {"shifts": shifts}
    if stage == "decompose" and branch is not None:
        settings = branch_config(project, sample, branch).decompose  # type: ignore[union-attr]
        found = _with_near_edge(found, settings)  # type: ignore[arg-type]
        found |= spectra_of(settings)  # type: ignore[arg-type]
    return found


def _with_near_edge(found: dict[str, str], settings: DecomposeSettings) -> dict[str, str]:
    """Leave out fits of the oxidation branch that are not asked for, and add files of spectra."""
    terms = settings.instrument
    given = "auto" if isinstance(terms, str) else terms.near_edge
    each = given if isinstance(given, dict) else {}

    def kept(key: str) -> bool:
        element = key.removeprefix(NEAR_EDGE)
        return element == key or given == "oxidation" or each.get(element) == "oxidation"

    files = {
        f"{NEAR_EDGE}{element}": one.spectrum
        for element, one in each.items()
        if isinstance(one, NearEdgeSettings) and one.spectrum is not None
    }
    return {key: path for key, path in found.items() if kept(key)} | files


def spectra_of(settings: DecomposeSettings) -> dict[str, str]:
    """Return the files of measured spectra of substances, by key and number in the list."""
    named = () if isinstance(settings.components, str) else settings.components
    return {f"spectrum_{k}": one.spectrum for k, one in enumerate(named) if one.spectrum is not None}


def _stores(
    project: ProjectConfig, sample: str, branch: Branch | None, key: str, name: str
) -> dict[str, str]:
    """Return the stores of a branch with a name, or all stores of a folder.

    None if the branch does not have them.
    """
    where, _, name = name.rpartition(":")
    of: Branch = where or branch  # type: ignore[assignment]
    if where and getattr(project.samples[sample], of) is None:
        return {}  # the other branch is optional
    config = branch_config(project, sample, of)
    if where and branch == STATES and not branch_config(project, sample, branch).joint:  # type: ignore[union-attr]
        return {}  # the branch has series of its own
    if branch == MECHANICS and where and branch_config(project, sample, branch).sources:  # type: ignore[union-attr]
        return {}  # labels are given: the structure is not read
    if branch is None and of == MECHANICS and config.sources:  # type: ignore[union-attr]
        return {}  # the stress is of labels that are not the structure
    kept = [store for _, _, store in branch_stores(config, of)]
    folder = name.removesuffix("*")
    if folder == name:
        wanted = {key: f"{name}.zarr"} if f"{name}.zarr" in kept else {}
    else:
        jobs = [
            store.removeprefix(folder).removesuffix(".zarr") for store in kept if store.startswith(folder)
        ]
        wanted = {key.replace("*", job): f"{folder}{job}.zarr" for job in jobs}
    return {one: f"{sample}/stages/{of}/{store}" for one, store in wanted.items()}


def _pristine(project: ProjectConfig, sample: str, stage: str) -> str | None:
    """Return the reference sample, for the first stage that solves for deviations."""
    config = branch_config(project, sample, "composition")
    if not isinstance(config, CompositionConfig):
        return None
    first = next(s for s in branch_stages(config, "composition") if "pristine" in STAGES[s].inputs)
    return config.pristine if stage == first else None


def raw_inputs(project: ProjectConfig, sample: str, branch: Branch, stage: str, job: str = "") -> list[Path]:
    """Return the raw files in the settings of a stage; none if its inputs are stores."""
    config, row = branch_config(project, sample, branch), STAGES[stage]
    sources = branch_sources(config)
    if row.raw == "references" and isinstance(config, ChemicalStateConfig) and config.joint:
        return []
    if row.raw == "references" and isinstance(config, OxidationConfig | ChemicalStateConfig):
        return reference_files(config, job)
    if row.raw == "references" and isinstance(config, CompositionConfig):
        return [file for element in config.references for file in reference_files(config, element)]
    if row.raw == "references" and isinstance(config, ScatteringConfig):
        return [file for element in config.measured for file in reference_files(config, element)]
    if row.raw == "mask":
        return source_files(sources["mask"]) if "mask" in sources else []
    if row.raw == "labels" and isinstance(config, MechanicsConfig):
        labels = source_files(sources["labels"]) if sources else []
        return labels + [Path(path) for path in config.material.tables.values()]
    if row.raw == "source":
        return source_files(sources[job if row.jobs else "volume"])
    return []


def samples_of(project: ProjectConfig, stage: Stage) -> list[str]:
    """Return the samples with a branch that runs a stage, from its entry in the registry."""
    names = []
    for name, sample in project.samples.items():
        structure = sample.structure
        other = any(getattr(sample, one) is not None for one in stage.branches if one != STRUCTURE)
        by_route = structure is not None and (not stage.routes or structure.route in stage.routes)
        if other or (STRUCTURE in stage.branches and by_route):
            names.append(name)
    return names
