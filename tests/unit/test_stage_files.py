"""What each job reads and writes, by the rows of the registry."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from oxytomo.config import parse_config
from oxytomo.config.plan import branch_config, branch_stores, project_products, stage_jobs
from oxytomo.config.project import Branch, ProjectConfig
from oxytomo.config.stage_files import raw_inputs, stage_inputs, stage_outputs
from oxytomo.errors import ConfigError
from oxytomo.stages.registry import STAGES

EDGES = {element: {"pre": f"{element}1.h5", "post": f"{element}2.h5"} for element in ("O", "Mn")}
COMPOSITION = {"edges": EDGES, "formula": {"Mn": 1.0, "O": 2.0}}
PARTS = {"reconstruct": {"parts": 2}, "uncertainty": {"replicates": 2, "null_replicates": 1}}


def project(**samples: Any) -> ProjectConfig:
    return parse_config({"samples": samples}, folder=Path("/data"), name="x.yaml")


def stores(*names: str, sample: str = "a", branch: str = "composition") -> list[str]:
    return [f"{sample}/stages/{branch}/{name}.zarr" for name in names]


def test_a_particle_in_one_job() -> None:
    one = project(
        a={"composition": COMPOSITION | {"reference": {"pristine": "p"}}}, p={"composition": COMPOSITION}
    )
    series = ("O_pre", "O_post", "Mn_pre", "Mn_post")
    aligned = stage_inputs(one, "a", "composition", "align")
    assert aligned == dict(zip(series, stores(*(f"normalize/{name}" for name in series)), strict=True))
    pristine = stores("reconstruct", sample="p")[0]
    assert stage_inputs(one, "a", "composition", "reconstruct") == {
        "decompose": stores("decompose")[0],
        "pristine": pristine,
    }
    # Neither replicates nor parts of other jobs.
    assert list(stage_inputs(one, "a", "composition", "uncertainty")) == ["decompose", "reconstruct"]


def test_measured_spectra_of_substances_are_inputs_of_the_decomposition() -> None:
    named = ["carbon", {"name": "my binder", "spectrum": "binder.txt"}]
    one = project(a={"composition": COMPOSITION | {"decompose": {"components": named}}})
    assert stage_inputs(one, "a", "composition", "decompose") == {
        "align": stores("align")[0],
        "spectrum_1": "/data/binder.txt",
    }
    both = {"name": "binder", "spectrum": "binder.txt", "formula": {"C": 1}, "density_g_cm3": 1.5}
    with pytest.raises(ConfigError, match="a formula with a density, or a spectrum"):
        project(a={"composition": COMPOSITION | {"decompose": {"components": [both]}}})


REFERENCE = {"2": "a.txt", "3": "b.txt"}
OXIDATION = {
    "stacks": {"Mn": "mn.h5", "O": "o.h5"},
    "references": {"Mn": REFERENCE, "O": {"-2": "c.txt", "-1": "d.txt"}},
}


def with_near_edge(near_edge: Any, **more: Any) -> ProjectConfig:
    decompose = {"decompose": {"instrument": {"near_edge": near_edge}}}
    return project(a={"composition": COMPOSITION | decompose, **more})


def test_near_edge_factors_come_from_the_fits_of_the_oxidation_branch_that_are_asked_for() -> None:
    def asked(config: ProjectConfig) -> dict[str, str]:
        found = stage_inputs(config, "a", "composition", "decompose")
        return {key: path for key, path in found.items() if key != "align"}

    fit = {f"near_edge_{e}": stores(f"fit/{e}", branch="oxidation")[0] for e in ("O", "Mn")}
    assert asked(with_near_edge("oxidation", oxidation=OXIDATION)) == fit
    one = {"Mn": "oxidation", "O": {"spectrum": "o.txt"}}
    assert asked(with_near_edge(one, oxidation=OXIDATION)) == {
        "near_edge_Mn": fit["near_edge_Mn"],
        "near_edge_O": "/data/o.txt",
    }
    assert asked(with_near_edge({"Mn": 1.2}, oxidation=OXIDATION)) == {}
    assert asked(with_near_edge("auto", oxidation=OXIDATION)) == {}
    assert asked(with_near_edge({"Mn": {"factor": 1.2, "error": 0.1}})) == {}


def test_near_edge_factors_from_a_branch_that_is_not_there_are_refused() -> None:
    for near_edge in ("oxidation", {"O": "oxidation"}):
        with pytest.raises(ConfigError, match="an oxidation branch of the same sample"):
            with_near_edge(near_edge)
    for both in ({}, {"factor": 1.1, "spectrum": "o.txt"}):
        with pytest.raises(ConfigError, match="a factor, or a spectrum"):
            with_near_edge({"O": both})


@pytest.mark.parametrize(("reference", "again"), [("mode", True), ("nominal", False)])
def test_a_particle_that_is_shared_out(reference: str, again: bool) -> None:
    one = project(a={"composition": COMPOSITION | PARTS | {"reference": reference}})
    joined = ["join", "refine_1", "refine_2"] if again else []
    found = stage_inputs(one, "a", "composition", "reconstruct")
    assert list(found) == ["decompose", "prepare", "part_1", "part_2", *joined]
    assert found["part_2"] == stores("reconstruct_part/2")[0]
    found = stage_inputs(one, "a", "composition", "uncertainty")
    assert list(found) == ["noise_1", "noise_2", "null_1", "decompose", "reconstruct"]


def test_the_pristine_sample_is_read_by_the_first_stage_that_solves() -> None:
    given = COMPOSITION | PARTS | {"reference": {"pristine": "p"}}
    one = project(a={"composition": given}, p={"composition": COMPOSITION})
    assert "pristine" in stage_inputs(one, "a", "composition", "reconstruct_prepare")
    assert "pristine" not in stage_inputs(one, "a", "composition", "reconstruct")


def test_tables_of_shifts_are_inputs_of_their_own_branch() -> None:
    one = project(a={"tomogram": {"source": "s.h5", "align": {"shifts": "moved.csv"}}})
    found = stage_inputs(one, "a", "tomogram", "align")
    assert found == {"signal": stores("normalize/signal", branch="tomogram")[0], "shifts": "/data/moved.csv"}
    # The table is a product of the composition, beside the store in other branches.
    assert stage_outputs("align", "tomogram")["table"] == "stages/tomogram/alignment.csv"
    assert stage_outputs("align", "composition")["table"] == "alignment.csv"


def test_oxidation_reads_references_and_the_stack_of_its_element() -> None:
    references = {"2": "two.csv", "4": "four.csv"}
    stacks = {"stacks": {"Mn": "m.h5", "Ni": "n.h5"}, "references": {"Mn": references, "Ni": references}}
    one = project(a={"oxidation": stacks})
    assert stage_inputs(one, "a", "oxidation", "fit_valence", "Ni") == {
        "register": stores("register/Ni", branch="oxidation")[0]
    }
    assert [path.name for path in raw_inputs(one, "a", "oxidation", "fit_valence", "Ni")] == [
        "two.csv",
        "four.csv",
    ]
    assert list(stage_inputs(one, "a", "oxidation", "measure_oxidation")) == [
        *("fit_Mn", "fit_Ni"),
        *("register_Mn", "register_Ni"),
    ]


def test_every_store_and_product_of_a_project_is_written_by_one_stage() -> None:
    """And everything that a stage reads of the same sample is written by another."""
    volume = {"volume": "v.tif", "voxel_nm": 10.0}
    sample = {
        "composition": COMPOSITION | PARTS | {"reference": "mode"},
        "tomogram": {"source": "s.h5"},
        "areal_density": {"edges": {"Mn": EDGES["Mn"]}, "formula": {"Mn": 1.0, "O": 2.0}},
        "structure": volume,
        "register_branches": True,
    }
    one = project(a=sample)
    written, read = [], set()
    branches: tuple[Branch, ...] = ("composition", "areal_density", "tomogram", "structure")
    for branch in branches:
        config = branch_config(one, "a", branch)
        for stage in dict.fromkeys(stage for stage, _, _ in branch_stores(config, branch)):
            jobs = stage_jobs(config, stage) if STAGES[stage].jobs else ("",)
            written += [f"a/{stage_outputs(stage, branch)['store'].format(job=job)}" for job in jobs]
    for row in STAGES.values():
        for branch in [b for b in row.branches if b in branches and row.name != "export_meshes"]:
            written += [f"a/{n}" for k, n in stage_outputs(row.name, branch).items() if k in row.products]
            if not row.jobs:
                read |= set(stage_inputs(one, "a", branch, row.name).values())
    joint = stage_outputs("register_branches", None)
    written += [f"a/{name}" for name in joint.values()]
    assert len(set(written)) == len(written)
    assert read <= set(written)
    expected = set(project_products(one)) - {"a/report.html", "a/meshes"}
    assert expected <= set(written)


@pytest.mark.parametrize("stage", ["align", "classify", "reconstruct", "uncertainty"])
def test_a_stage_loads_no_library_that_it_does_not_use(stage: str) -> None:
    """Tables of cross sections and figures take seconds to load on a busy machine."""
    code = (
        f"import sys\nfrom oxytomo.stages.registry import STAGES\nSTAGES[{stage!r}].load()\n"
        "print(sorted({'xraydb', 'matplotlib', 'pandas', 'napari'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
