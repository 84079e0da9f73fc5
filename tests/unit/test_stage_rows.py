"""What each stage is given, and that it is declared once: its row, module, stores, group of jobs."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from configs_by_hand import composition, parsed, project

from oxytomo.composition.first_look import FIRST_ITERATIONS
from oxytomo.config.plan import (
    JOINT_STAGE,
    JOINT_STORE,
    SHARED_OUT,
    STAGES,
    TO_VOLUME,
    stage_settings,
)
from oxytomo.config.project import ProjectConfig
from oxytomo.results import places
from oxytomo.run.costs import COSTS
from oxytomo.run.needs import FIRST_LOOK
from oxytomo.stages import registry
from oxytomo.stages.registry import stage_spec


def test_every_stage_has_a_version_and_settings() -> None:
    stages = {stage for part in (*STAGES.values(), *TO_VOLUME.values()) for stage in part}
    stages |= {stage for part in SHARED_OUT.values() for stage in part}
    assert stages | {JOINT_STAGE, "report", "comparison"} == set(registry.STAGES)
    loaded = parsed(project())
    assert FIRST_LOOK == FIRST_ITERATIONS
    for stage in STAGES["composition"]:
        settings = stage_settings(loaded, "a", "composition", stage, "O_pre")
        assert json.loads(stage_spec(stage, settings)) == {
            "version": registry.STAGES[stage].version,
            "settings": settings,
        }


NON_DEFAULT: dict[str, Any] = {
    "density_g_cm3": 5.0,
    "threshold": 0.1,
    "reference": "mode",
    "normalize": {
        "flat_field": "interpolate",
        "air_rescale": False,
        "opaque_transmission": 0.02,
        "hot_pixel_sigma": 5.0,
        "saturation_counts": 4000.0,
        "illumination": "none",
    },
    "align": {
        "tilts": False,
        "energies": False,
        "max_shift_px": 7.0,
        "iterations": 3,
        "axis_column": 10.5,
        "magnification": "none",
    },
    "decompose": {"method": "subtraction", "instrument": "none", "components": []},
    "reconstruct": {
        "method": "ratio",
        "algorithm": "sirt",
        "iterations": 33,
        "smoothing_px": 1.5,
        "backend": "astra",
    },
    "uncertainty": {"replicates": 9, "null_replicates": 2, "seed": 5},
    "classify": {"confidence": 0.9},
    "measure": {"shells": 7, "min_domain_voxels": 3},
    "export": {"ngff": "0.4", "chunk": 32, "shard": 128, "levels": 2},
}


def _given_to_stages(loaded: ProjectConfig) -> dict[str, dict[str, Any]]:
    return {
        stage: stage_settings(loaded, "a", "composition", stage, "O_pre") for stage in STAGES["composition"]
    }


def test_every_non_default_setting_reaches_its_stage() -> None:
    given = _given_to_stages(parsed(project(composition(**NON_DEFAULT))))
    plain = _given_to_stages(parsed(project()))
    for group in ("normalize", "align", "decompose", "uncertainty", "classify", "measure", "export"):
        stage = "export_composition" if group == "export" else group
        for name, value in NON_DEFAULT[group].items():
            assert given[stage][name] == value, (stage, name)
            assert plain[stage][name] != value, (stage, name)
    assert given["reconstruct"]["solver"] == NON_DEFAULT["reconstruct"] == given["uncertainty"]["solver"]
    assert given["reconstruct"]["reference"] == given["uncertainty"]["reference"] == "mode"
    assert given["decompose"]["density_g_cm3"] == 5.0
    assert given["classify"]["threshold"] == 0.1


@pytest.mark.parametrize(
    ("change", "affected"),
    [
        ({"threshold": 0.1}, {"classify"}),
        ({"align": {"iterations": 2}}, {"align"}),
        ({"density_g_cm3": 5.0}, {"decompose"}),
        ({"reconstruct": {"iterations": 9}}, {"reconstruct", "uncertainty"}),
        ({"uncertainty": {"replicates": 9}}, {"uncertainty"}),
        ({"export": {"chunk": 32}}, {"export_composition"}),
        ({"normalize": {"air_rescale": False}}, {"normalize"}),
    ],
)
def test_a_changed_setting_changes_only_its_stages(change: dict[str, Any], affected: set[str]) -> None:
    before, after = (_given_to_stages(parsed(project(composition(**c)))) for c in ({}, change))
    assert {stage for stage in before if before[stage] != after[stage]} == affected


def test_a_stage_is_declared_once() -> None:
    """Its row names a settings model that its module takes, a cost that there is, and stores that some row writes."""
    stores = {row.store.removesuffix(".zarr") for row in registry.STAGES.values()}
    for row in registry.STAGES.values():
        assert row.load().Settings is row.settings_model(), row.name
        assert (row.name in COSTS) == (row.cost != ""), row.name
        for name in row.inputs.values():
            plain = name.rpartition(":")[2].replace("*", "{job}")
            products = {product for other in registry.STAGES.values() for product in other.products.values()}
            assert plain in (products if "." in plain else stores), (row.name, name)


def test_groups_of_the_slurm_profile_are_in_step_with_the_registry(repository: Path) -> None:
    profile = repository / "pipeline" / "oxytomo" / "workflow" / "profiles" / "slurm" / "config.yaml"
    groups = {
        row.name if branch == row.branches[0] else f"{row.name}_{branch}": row.group
        for row in registry.STAGES.values()
        if row.group
        for branch in (row.branches[:1] if row.jobs else row.branches)
    }
    assert yaml.safe_load(profile.read_text(encoding="utf-8"))["groups"] == groups


def test_a_stage_is_thin(repository: Path) -> None:
    """Read, call, write: at most 60 lines, and nothing in the folders of the stages but stages."""
    rooms = repository / "pipeline" / "oxytomo" / "stages"
    modules = {path for path in rooms.glob("*/*.py") if path.name != "__init__.py"}
    assert {f"{path.parent.name}/{path.stem}" for path in modules} == {
        f"{row.room}/{row.name}" for row in registry.STAGES.values()
    }
    long = {path.stem for path in modules if len(path.read_text(encoding="utf-8").splitlines()) > 60}
    assert not long


def test_the_places_of_results_are_those_that_stages_write() -> None:
    """Every store and product of the registry has a place in ``results``, or is one that nobody looks at."""
    rows = registry.STAGES.values()
    stores = {(branch, row.store) for row in rows for branch in row.branches if row.store and not row.jobs}
    read = {(branch, f"{name}.zarr") for branch, names in places.STORES.items() for name in names}
    of_parts = {row.store for row in rows if row.part_of}
    assert read <= stores
    assert {name for _, name in stores - read} == of_parts - {row.store for row in rows if row.jobs} | {
        "retrieve_phase.zarr"
    }
    folders = {row.short_name for row in rows if row.jobs and not row.part_of}
    assert set(places.ELEMENT_STORES) == folders
    tables = {
        product for row in rows for product in row.products.values() if product.endswith((".csv", ".json"))
    }
    assert tables | {f"stages/{JOINT_STORE}"} == set((places.TABLES | places.MORE_TABLES).values())
