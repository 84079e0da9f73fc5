# What the rules share: the project, the folders, and small functions that name inputs and settings.
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

from oxytomo.config import parse_config, read_yaml, results_below, source_files
from oxytomo.config.plan import (
    COMPARISON_TABLES,
    JOINT_PRODUCTS,
    JOINT_STAGE,
    JOINT_STORE,
    branch_config,
    branch_products,
    branch_series,
    branch_sources,
    branch_stages,
    branch_stores,
    comparison_settings,
    project_products,
    reference_files,
    sample_branches,
    stage_jobs,
    stage_settings,
)
from oxytomo.run.workflow import CONFIGURATION
from oxytomo.errors import PipelineError
from oxytomo.run.requests import Requests
from oxytomo.run.results_folder import claim, lost_stores
from oxytomo.run.lock import join_run
from oxytomo.stages.registry import stage_spec


def load_project():
    """Return the project that the configuration describes, with one line for anything wrong with it."""
    if not workflow.configfiles:
        raise WorkflowError("no configuration: give one with --configfile X.yaml")
    path = Path(workflow.configfiles[-1]).resolve()
    try:
        if path.name == CONFIGURATION:  # `oxytomo run` has read and checked that one, and works in the results folder
            return parse_config(config, folder=path.parent, name=path.name)
        read_yaml(path)
        return results_below(parse_config(config, folder=path.parent, name=path.name), path.parent)
    except PipelineError as error:
        raise WorkflowError(str(error))


def claim_results():
    """Refuse a results folder that another run is at work in, or that was made from other raw files."""
    try:
        join_run(PROJECT.results)  # held until this process ends
        claim(PROJECT.results, PROJECT)
    except PipelineError as error:
        raise WorkflowError(str(error))


PROJECT = load_project()
BELOW = PROJECT.results.relative_to(Path.cwd()) if PROJECT.results.is_relative_to(Path.cwd()) else PROJECT.results
RESULTS = "" if str(BELOW) == "." else f"{BELOW}/".replace("{", "{{").replace("}", "}}")
STAGES = f"{RESULTS}{{sample}}/stages"
LOGS = f"{RESULTS}logs/{{sample}}"
WANTED = (*project_products(PROJECT), *lost_stores(PROJECT.results, PROJECT))
PRODUCTS = [f"{RESULTS}{path}" for path in WANTED]
REQUESTS = Requests(PROJECT)

WITH_CONDA = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method

if not WITH_CONDA:
    # The stages run in the Python that runs the workflow; with --sdm conda in the environment named oxytomo.
    shell.prefix(f"export OXYTOMO_PYTHON={shlex.quote(sys.executable)}; ")


wildcard_constraints:
    sample="[A-Za-z0-9][A-Za-z0-9_-]*",
    branch="composition|areal_density|tomogram|oxidation|structure",
    series="[A-Za-z0-9_]+",
    job="[a-z0-9_]+",


def environment(wildcards):
    """Return the name of the conda environment that environment.yml makes, None without --sdm conda."""
    return "oxytomo" if WITH_CONDA else None


def series_of(sample, branch):
    """Return the raw series of a branch by name."""
    return branch_sources(branch_config(PROJECT, sample, branch))


def raw_inputs(wildcards):
    """Return the raw files of one series."""
    return source_files(series_of(wildcards.sample, wildcards.branch)[wildcards.series])


def structure_samples(*routes):
    """Return a pattern of the samples whose structure branch starts from one of these routes."""
    names = [n for n, s in PROJECT.samples.items() if s.structure and s.structure.route in routes]
    return "|".join(names) or "(?!)"


def structure_files(*names):
    """Return a function that gives the raw files of named sources of the structure branch, those it has."""

    def files(wildcards):
        sources = series_of(wildcards.sample, "structure")
        return [path for name in names if name in sources for path in source_files(sources[name])]

    return files


def normalized(branch):
    """Return a function that gives the normalized store of every series of a branch by name."""

    def inputs(wildcards):
        folder = f"{RESULTS}{wildcards.sample}/stages/{branch}/normalize"
        series = branch_series(branch_config(PROJECT, wildcards.sample, branch))
        return {name: f"{folder}/{name}.zarr" for name in series}

    return inputs


def align_inputs(branch):
    """Return a function that gives the normalized stores and, where shifts are given, their table."""

    def inputs(wildcards):
        shifts = branch_config(PROJECT, wildcards.sample, branch).align.shifts
        return normalized(branch)(wildcards) | ({} if shifts is None else {"shifts": shifts})

    return inputs


def sinograms_and_pristine(wildcards):
    """Return the sinograms of a composition and, where another sample is the reference, its volumes."""
    pristine = branch_config(PROJECT, wildcards.sample, "composition").pristine
    inputs = {"decompose": f"{RESULTS}{wildcards.sample}/stages/composition/decompose.zarr"}
    if pristine is not None:
        inputs["pristine"] = f"{RESULTS}{pristine}/stages/composition/reconstruct.zarr"
    return inputs


def jobs_of(wildcards, stage, prefix):
    """Return the stores of all jobs of a stage of the composition branch by name."""
    folder = f"{RESULTS}{wildcards.sample}/stages/composition/{stage}"
    names = stage_jobs(branch_config(PROJECT, wildcards.sample, "composition"), stage)
    return {f"{prefix}{name}": f"{folder}/{name}.zarr" for name in names}


def solved_parts(wildcards):
    """Return the parts of a particle by ``part_<number>``."""
    return jobs_of(wildcards, "reconstruct_part", "part_")


def reconstruct_inputs(wildcards):
    """Return what a composition is made from: sinograms, or the parts that other jobs have solved."""
    settings = branch_config(PROJECT, wildcards.sample, "composition")
    if settings.parts == 1:
        return sinograms_and_pristine(wildcards)
    folder = f"{RESULTS}{wildcards.sample}/stages/composition"
    inputs = {"decompose": f"{folder}/decompose.zarr", "prepare": f"{folder}/reconstruct_prepare.zarr"}
    inputs |= solved_parts(wildcards)
    if "reconstruct_join" in branch_stages(settings, "composition"):
        inputs["join"] = f"{folder}/reconstruct_join.zarr"
        inputs |= jobs_of(wildcards, "reconstruct_refine", "refine_")
    return inputs


def replicates(wildcards):
    """Return the noise replicates and null runs that are jobs of their own."""
    shared_out = branch_config(PROJECT, wildcards.sample, "composition").parts > 1
    return jobs_of(wildcards, "replicate", "") if shared_out else {}


def keyed(wildcards, input):
    """Return named inputs as the command takes them, key=path"""
    return " ".join(shlex.quote(f"{key}={path}") for key, path in input.items())


def spec(stage, branch):
    """Return a function that gives the version and the settings of a stage of one branch as JSON."""

    def settings(wildcards):
        return stage_spec(stage, stage_settings(PROJECT, wildcards.sample, branch, stage))

    return settings


def normalize_spec(wildcards):
    """Return the version and the settings of ``normalize`` for one series as JSON."""
    settings = stage_settings(PROJECT, wildcards.sample, wildcards.branch, "normalize", wildcards.series)
    return stage_spec("normalize", settings)


def series_spec(stage, branch):
    """Return a function that gives the version and the settings of a stage of one series as JSON."""

    def settings(wildcards):
        return stage_spec(stage, stage_settings(PROJECT, wildcards.sample, branch, stage, wildcards.series))

    return settings


def job_spec(stage, branch):
    """Return a function that gives the version and the settings of one of several jobs of a stage as JSON."""

    def settings(wildcards):
        return stage_spec(stage, stage_settings(PROJECT, wildcards.sample, branch, stage, wildcards.job))

    return settings


def stack_references(wildcards):
    """Return the files of the reference spectra of one element."""
    return reference_files(branch_config(PROJECT, wildcards.sample, "oxidation"), wildcards.series)


def only_fits(wildcards):
    """Return the fit of every element by ``fit_<element>``."""
    folder = f"{RESULTS}{wildcards.sample}/stages/oxidation"
    return {f"fit_{name}": f"{folder}/fit/{name}.zarr" for name in series_of(wildcards.sample, "oxidation")}


def fitted_stacks(wildcards):
    """Return the fit and the registered stack of every element by ``fit_<element>`` and ``register_<element>``."""
    folder = f"{RESULTS}{wildcards.sample}/stages/oxidation"
    stacks = {f"register_{name}": f"{folder}/register/{name}.zarr" for name in series_of(wildcards.sample, "oxidation")}
    return only_fits(wildcards) | stacks


def memory(stage, branch=None):
    """Return a function that gives the memory in MB to ask for, from the size of the data, more at every attempt."""

    def mem_mb(wildcards, attempt):
        return REQUESTS.memory_mb(wildcards.sample, branch or wildcards.branch, stage, attempt)

    return mem_mb


def minutes(stage, branch=None):
    """Return a function that gives the time in minutes to ask for, more at every attempt."""

    def runtime(wildcards, attempt):
        return REQUESTS.minutes(wildcards.sample, branch or wildcards.branch, stage, attempt)

    return runtime


def worth(stage, branch=None):
    """Return a function that gives the number of threads that the work is worth."""

    def threads(wildcards):
        return REQUESTS.threads(wildcards.sample, branch or wildcards.branch, stage)

    return threads


def report_memory(wildcards, attempt):
    """Return the memory in MB to ask for the report of a sample."""
    return REQUESTS.report_memory_mb(wildcards.sample, attempt)


def sample_results(wildcards):
    """Return everything that the report of a sample reads: the products and the stage stores of its branches."""
    folder = f"{RESULTS}{wildcards.sample}"
    results = []
    for branch in sample_branches(PROJECT.samples[wildcards.sample]):
        stores = branch_stores(branch_config(PROJECT, wildcards.sample, branch), branch)
        results += [f"{folder}/{product}" for product in branch_products(branch)]
        results += [f"{folder}/stages/{branch}/{name}" for _, _, name in stores]
    if PROJECT.samples[wildcards.sample].register_branches is not None:
        results += [f"{folder}/{product}" for product in (*JOINT_PRODUCTS, f"stages/{JOINT_STORE}")]
    return results


def compared_results(wildcards):
    """Return the products of every sample that is compared."""
    names = [name for members in PROJECT.groups.values() for name in members]
    return [f"{RESULTS}{name}/{p}" for name in names for b in sample_branches(PROJECT.samples[name]) for p in branch_products(b)]


def joint_spec(wildcards):
    """Return the version and the settings of ``register_branches`` for one sample as JSON."""
    return stage_spec(JOINT_STAGE, stage_settings(PROJECT, wildcards.sample, None, JOINT_STAGE))


def sample_folder(wildcards):
    """Return the folder of a sample as the command takes it."""
    return shlex.quote(f"results={RESULTS}{wildcards.sample}")


def report_spec(wildcards):
    """Return the version and the settings of ``report`` for one sample as JSON."""
    return stage_spec("report", stage_settings(PROJECT, wildcards.sample, None, "report"))
