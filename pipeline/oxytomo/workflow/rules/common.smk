# Common parts of the rules: project, folders, and small functions for inputs and settings.
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

from oxytomo.config import parse_config, read_yaml, results_below
from oxytomo.config.plan import (
    JOINT_FOLDER,
    JOINT_PRODUCTS,
    JOINT_STORE,
    branch_config,
    branch_products,
    branch_stores,
    comparison_settings,
    comparison_tables,
    project_products,
    sample_branches,
    stage_settings,
)
from oxytomo.config.stage_files import raw_inputs, samples_of, stage_inputs, stage_outputs
from oxytomo.run.workflow import CONFIGURATION
from oxytomo.errors import PipelineError
from oxytomo.run.requests import Requests
from oxytomo.run.results_folder import claim, lost_stores
from oxytomo.run.lock import join_run
from oxytomo.stages.registry import STAGES, STRUCTURE, stage_spec

ANY_SAMPLE = "[A-Za-z0-9][A-Za-z0-9_-]*"
ANY_BRANCH = "{branch}"
"""Placeholder for the branch in the rule of a stage that several branches share."""


def load_project():
    """Return the project of the configuration, or exit with a one-line error."""
    if not workflow.configfiles:
        raise WorkflowError("no configuration: give one with --configfile X.yaml")
    path = Path(workflow.configfiles[-1]).resolve()
    try:
        if path.name == CONFIGURATION:  # `oxytomo run` has checked it already
            return parse_config(config, folder=path.parent, name=path.name)
        read_yaml(path)
        return results_below(parse_config(config, folder=path.parent, name=path.name), path.parent)
    except PipelineError as error:
        raise WorkflowError(str(error))


def claim_results():
    """Refuse a results folder with another active run, or made from other raw files."""
    try:
        join_run(PROJECT.results)  # held until this process ends
        claim(PROJECT.results, PROJECT)
    except PipelineError as error:
        raise WorkflowError(str(error))


PROJECT = load_project()
BELOW = PROJECT.results.relative_to(Path.cwd()) if PROJECT.results.is_relative_to(Path.cwd()) else PROJECT.results
RESULTS = "" if str(BELOW) == "." else f"{BELOW}/".replace("{", "{{").replace("}", "}}")
LOGS = f"{RESULTS}logs/{{sample}}"
WANTED = (*project_products(PROJECT), *lost_stores(PROJECT.results, PROJECT))
PRODUCTS = [f"{RESULTS}{path}" for path in WANTED]
REQUESTS = Requests(PROJECT)

WITH_CONDA = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method

if not WITH_CONDA:
    # The stages run in the Python of the workflow; with --sdm conda, in the environment oxytomo.
    shell.prefix(f"export OXYTOMO_PYTHON={shlex.quote(sys.executable)}; ")


wildcard_constraints:
    sample=ANY_SAMPLE,
    branch="composition|areal_density|tomogram|chemical_state|oxidation|structure|mechanics|scattering",
    job="[A-Za-z0-9_]+",


def environment(wildcards):
    """Return the name of the conda environment of environment.yml, None without --sdm conda."""
    return "oxytomo" if WITH_CONDA else None


def rules_of_stages():
    """Return stage and branch of every rule; a rule of several branches or a whole sample has none."""
    rules = []
    for row in STAGES.values():
        if row.jobs and len(row.branches) > 1:
            rules.append((row, ANY_BRANCH))
        elif row.branches:
            rules += [(row, branch) for branch in row.branches]
        elif row.inputs:
            rules.append((row, None))
    return rules


STAGE_RULES = rules_of_stages()


def rule_name(row, branch):
    """Return the name of a rule: its stage, and the branch if it is not the main branch."""
    return row.name if branch in (None, ANY_BRANCH, *row.branches[:1]) else f"{row.name}_{branch}"


def of_branch(branch, wildcards):
    """Return the branch of a job."""
    return wildcards.branch if branch == ANY_BRANCH else branch


def job_of(wildcards):
    """Return the series, element, part or replicate of a job, empty if its stage has only one."""
    return wildcards.get("job", "")


def below_results(path):
    """Return the path of a file in the results folder; a table of the user keeps its own path."""
    return path if Path(path).is_absolute() else f"{RESULTS}{path}"


def inputs_of(row, branch):
    """Return a function for the inputs of a job by key, with the raw files as ``raw``."""

    def files(wildcards):
        job = PROJECT, wildcards.sample, of_branch(branch, wildcards), row.name, job_of(wildcards)
        raw = raw_inputs(*job) if row.raw else []
        inputs = {key: below_results(path) for key, path in stage_inputs(*job).items()}
        return inputs | ({"raw": raw} if raw else {})

    return files


def outputs_of(row, branch):
    """Return the outputs of a rule by key; tables are shown in Snakemake's own report."""
    outputs = {}
    for key, name in stage_outputs(row.name, branch).items():
        path = f"{RESULTS}{{sample}}/{name}"
        if "." in name and not name.endswith(".zarr"):
            labels = {"sample": "{sample}", "file": Path(name).name}
            outputs[key] = report(path, category=(branch or JOINT_FOLDER).replace("_", " "), labels=labels)
        else:
            outputs[key] = directory(path)
    return outputs


def log_of(row, branch):
    """Return the log of a rule."""
    job = "_{job}" if row.jobs else ""
    return f"{LOGS}/{branch or JOINT_FOLDER}/{row.short_name}{job}.log"


def stage_command(call):
    """Return the shell command of a rule; ``call`` is stage, label, inputs and outputs."""
    return (
        f"${{{{OXYTOMO_PYTHON:-python}}}} -P -m oxytomo stage {call}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"
    )


def call_of(row):
    """Return a function for a stage with its label, inputs and outputs, without raw files.

    It takes inputs and outputs, so that Snakemake does not record its result: a new text repeats nothing.
    """

    def call(wildcards, input, output):
        label = " ".join(filter(None, (wildcards.sample, row.short_name, job_of(wildcards))))
        inputs = keyed((key, path) for key, path in input.items() if key != "raw")
        return f"{row.name} --label {shlex.quote(label)} --in {inputs} --out {keyed(output.items())}"

    return call


def samples_pattern(row):
    """Return a pattern of the samples of a stage, for structure by kind of input."""
    if row.branches != (STRUCTURE,) or not row.routes:
        return ANY_SAMPLE
    return "|".join(samples_of(PROJECT, row)) or "(?!)"


def keyed(paths):
    """Return named paths as command arguments, key=path."""
    return " ".join(shlex.quote(f"{key}={path}") for key, path in paths)


def spec(row, branch):
    """Return a function for the version and the settings of a job as JSON."""

    def settings(wildcards):
        job = job_of(wildcards) or None
        given = stage_settings(PROJECT, wildcards.sample, of_branch(branch, wildcards), row.name, job)
        return stage_spec(row.name, given)

    return settings


def memory(row, branch):
    """Return a function for the memory to request in MB; it increases at every attempt."""

    def mem_mb(wildcards, attempt):
        of = of_branch(branch, wildcards) or "composition"
        return REQUESTS.memory_mb(wildcards.sample, of, row.name, attempt)

    return mem_mb


def minutes(row, branch):
    """Return a function for the time to request in minutes; it increases at every attempt."""

    def runtime(wildcards, attempt):
        of = of_branch(branch, wildcards) or "composition"
        return REQUESTS.minutes(wildcards.sample, of, row.name, attempt)

    return runtime


def worth(row, branch):
    """Return the number of threads of a rule, or a function that depends on the amount of work."""

    def threads(wildcards):
        return REQUESTS.threads(wildcards.sample, of_branch(branch, wildcards), row.name)

    return row.threads or threads


def report_memory(wildcards, attempt):
    """Return the memory to request for the report of a sample, in MB."""
    return REQUESTS.report_memory_mb(wildcards.sample, attempt)


def sample_results(wildcards):
    """Return the inputs of the report of a sample: products and stage stores of its branches."""
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
    """Return the products of all compared samples."""
    names = [name for members in PROJECT.groups.values() for name in members]
    return [f"{RESULTS}{name}/{p}" for name in names for b in sample_branches(PROJECT.samples[name]) for p in branch_products(b)]


def sample_folder(wildcards):
    """Return the folder of a sample as a command argument."""
    return shlex.quote(f"results={RESULTS}{wildcards.sample}")


def report_spec(wildcards):
    """Return the version and the settings of ``report`` for one sample as JSON."""
    return stage_spec("report", stage_settings(PROJECT, wildcards.sample, None, "report"))
