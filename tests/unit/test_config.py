"""Settings: what is accepted, what is refused and how, and what each stage is given."""

import difflib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from oxytomo.cli.schema import schema_text
from oxytomo.composition.first_look import FIRST_ITERATIONS
from oxytomo.config import Source, expand, load_config, parse_config, source_files
from oxytomo.config.plan import (
    JOINT_STAGE,
    JOINT_STORE,
    SHARED_OUT,
    STAGES,
    TO_VOLUME,
    branch_config,
    branch_sources,
    raw_files,
    sample_branches,
    stage_settings,
)
from oxytomo.config.project import ProjectConfig
from oxytomo.config.schema import default_yaml, expert_yaml, schema
from oxytomo.errors import ConfigError
from oxytomo.results import places
from oxytomo.run.costs import COSTS
from oxytomo.run.needs import FIRST_LOOK
from oxytomo.stages import registry
from oxytomo.stages.registry import stage_spec

FORMULA = {"Mn": 0.6, "Ni": 0.2, "O": 2.0}


def composition(**changes: Any) -> dict[str, Any]:
    """A small valid composition branch."""
    edges = {element: {"pre": f"{element}1.h5", "post": f"{element}2.h5"} for element in ("Mn", "O")}
    return {"edges": edges, "formula": FORMULA} | changes


def project(branch: dict[str, Any] | None = None, *, name: str = "composition") -> dict[str, Any]:
    """A configuration with one sample."""
    return {"samples": {"a": {name: composition() if branch is None else branch}}}


def parsed(data: dict[str, Any]) -> ProjectConfig:
    """Validate as if the file were in /data."""
    return parse_config(data, folder=Path("/data"), name="x.yaml")


def refused(data: dict[str, Any]) -> str:
    """Return the error, which is one line."""
    with pytest.raises(ConfigError, match="expected") as caught:
        parsed(data)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_only_paths_and_formula_are_needed() -> None:
    branch = parsed(project()).samples["a"].composition
    assert branch is not None
    assert branch.threshold == 0.05
    assert branch.density_g_cm3 == 4.2
    assert branch.effective_reference == "nominal"
    assert branch.measured == ("O", "Mn")


def test_paths_start_from_the_configuration_file(tmp_path: Path) -> None:
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "x.yaml").write_text(yaml.safe_dump(project()), encoding="utf-8")
    loaded = load_config(folder / "x.yaml")
    sources = branch_sources(branch_config(loaded, "a", "composition"))
    assert list(sources) == ["O_pre", "O_post", "Mn_pre", "Mn_post"]
    assert sources["Mn_pre"].images == (str(folder / "Mn1.h5"),)
    assert loaded.results == folder / "results"


def test_absolute_paths_stay() -> None:
    assert Source.model_validate("/raw/a.h5", context={"folder": "/data"}).images == ("/raw/a.h5",)


def test_patterns_are_expanded_in_order(tmp_path: Path) -> None:
    for name in ("b_10.tif", "b_2.tif", "b_1.tif", "flat.tif", "odd[1].tif", "odd1.tif"):
        (tmp_path / name).touch()
    assert [path.name for path in expand((f"{tmp_path}/b_*.tif",))] == [
        "b_1.tif",
        "b_2.tif",
        "b_10.tif",
    ]
    assert [path.name for path in expand((f"{tmp_path}/odd[1].tif",))] == ["odd[1].tif"]
    assert expand((f"{tmp_path}/none_*.tif",)) == [tmp_path / "none_*.tif"]
    source = Source(
        images=(f"{tmp_path}/b_?.tif",), flat=(f"{tmp_path}/flat.tif",), angles=f"{tmp_path}/a.txt"
    )
    assert [path.name for path in source_files(source)] == ["b_1.tif", "b_2.tif", "flat.tif", "a.txt"]


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (project(composition(treshold=0.1)), ["samples.a.composition.treshold", "did you mean 'threshold'"]),
        (
            project(composition(threshold=1.5)),
            ["samples.a.composition.threshold", "a fraction between 0 and 1", "1.5"],
        ),
        (project(composition(threshold=float("nan"))), ["samples.a.composition.threshold", "nan"]),
        (
            project(composition(align={"iteration": 3})),
            ["samples.a.composition.align.iteration", "'iterations'"],
        ),
        (
            project(composition(reconstruct={"iterations": 0})),
            ["samples.a.composition.reconstruct.iterations", "greater than or equal to 1"],
        ),
        (
            project(composition(reconstruct={"method": "ratio", "tv_weight": 1})),
            ["samples.a.composition.reconstruct.tv_weight", "unknown key"],
        ),
        (
            project(composition(reconstruct={"method": "magic"})),
            ["samples.a.composition.reconstruct", "'deviation'", "'ratio'"],
        ),
        (
            project(composition(edges={"O": {"pre": "a"}, "Mn": {"pre": "a", "post": "b"}})),
            ["samples.a.composition.edges.O.post", "got nothing"],
        ),
        (
            project(composition(edges={"O": {"pre": "a", "post": "b"}, "Mn": {"pre": 7, "post": "b"}})),
            ["samples.a.composition.edges.Mn.pre", "a path", "got 7"],
        ),
        (
            project(composition(edges={"O": {"pre": "a", "post": "b"}})),
            ["samples.a.composition.edges", "O and at least one transition metal"],
        ),
        (
            project(composition(edges={"O": {"pre": "a", "post": "b"}, "mn": {"pre": "a", "post": "b"}})),
            ["samples.a.composition.edges.mn", "did you mean 'Mn'"],
        ),
        (
            project(composition(elements={"O": "o.h5", "Fe": "fe.h5"})),
            ["samples.a.composition", "exactly one of 'edges' and 'elements'", "both"],
        ),
        (
            project(composition(edges={e: {"pre": "a", "post": "b"} for e in ("O", "Mn", "Al")})),
            ["samples.a.composition.edges", "transition metals only", "remove Al"],
        ),
        (
            project({"elements": {"O": "o.h5"}}),
            ["samples.a.composition.elements", "O and at least one other element"],
        ),
        (project(composition(formula=None)), ["samples.a.composition.formula", "Mn: 0.56"]),
        (project(composition(formula={"Mn": 1})), ["samples.a.composition.formula", "O"]),
        (project(composition(formula={"Mn": -1, "O": 2})), ["samples.a.composition.formula.Mn", "positive"]),
        (project(composition(formula={"Xx": 1, "Mn": 1, "O": 2})), ["samples.a.composition.formula.Xx"]),
        (
            project(composition(export={"chunk": 64, "shard": 100})),
            ["samples.a.composition.export.shard", "100"],
        ),
        (project({"source": {"images": "a", "angles": {"start": 0}}}, name="tomogram"), ["angles.step"]),
        (
            project({"source": {"images": "a", "angles_range": [0, 9]}}, name="tomogram"),
            ["samples.a.tomogram.source.angles_range", "angle file"],
        ),
        (project({"source": ""}, name="tomogram"), ["samples.a.tomogram.source", "empty"]),
        (project({"edges": {}, "formula": FORMULA}, name="areal_density"), ["samples.a.areal_density.edges"]),
        ({"samples": {"a": {}}}, ["samples.a", "at least one of"]),
        ({"samples": {"a b": {"tomogram": {"source": "x"}}}}, ["samples.a b", "letters, digits"]),
        ({"samples": {"logs": {"tomogram": {"source": "x"}}}}, ["samples.logs", "rename it"]),
        ({"samples": {}}, ["samples"]),
        ({"sample": {}}, ["did you mean 'samples'"]),
        ({}, ["samples", "got nothing"]),
    ],
)
def test_mistakes_are_named_in_one_line(data: dict[str, Any], parts: list[str]) -> None:
    message = refused(data)
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize(
    ("written", "got"),
    [
        ("42", "the number 42"),
        ("012", "the number 10"),  # octal in YAML
        ("1_000", "the number 1000"),
        ("2024-01-31", "the date 2024-01-31"),
        ("yes", "the word True"),
    ],
)
def test_a_sample_name_that_yaml_takes_for_a_number_wants_quotes(
    tmp_path: Path, written: str, got: str
) -> None:
    """'Rename it' would be wrong: 2024-01-31 has only the characters that a name may have."""
    text = "samples:\n  {}: {{tomogram: {{source: a.h5}}}}\n"
    (tmp_path / "bare.yaml").write_text(text.format(written), encoding="utf-8")
    with pytest.raises(ConfigError, match=f"got {got}, as YAML reads it.*put it in quotes"):
        load_config(tmp_path / "bare.yaml")
    (tmp_path / "quoted.yaml").write_text(text.format(f"'{written}'"), encoding="utf-8")
    assert list(load_config(tmp_path / "quoted.yaml").samples) == [written]


def test_several_mistakes_are_counted() -> None:
    assert "(1 more after this one)" in refused(project(composition(threshold=2, density_g_cm3=-1)))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("samples: [", "line 2, column 1"),
        ("samples:\n  a: {}\n  a: {}\n", "the key 'a' twice"),
        ("", "an empty file"),
        ("- 1\n", "list"),
        ("samples: !!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
    ],
)
def test_damaged_yaml_is_one_line(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"x\.yaml") as caught:
        load_config(path)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_binary_files_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\x89HDF\xff\xfe")
    for path, part in [("none.yaml", "no such file"), ("binary.yaml", "not UTF-8"), (".", "a folder")]:
        with pytest.raises(ConfigError, match=part):
            load_config(tmp_path / path)


def test_version_of_the_image_format_needs_no_quotes() -> None:
    branch = parsed(project(composition(export={"ngff": 0.4}))).samples["a"].composition
    assert branch is not None
    assert branch.export.ngff == "0.4"


def test_elements_are_signals_and_deviate_from_their_own_mode() -> None:
    branch = {"elements": {"Fe": "fe.h5", "O": "o.h5"}}
    loaded = parsed(project(branch))
    assert stage_settings(loaded, "a", "composition", "normalize", "Fe")["default_quantity"] == "signal"
    assert stage_settings(loaded, "a", "composition", "reconstruct")["reference"] == "mode"
    assert stage_settings(loaded, "a", "composition", "decompose")["elements"] == ["O", "Fe"]
    assert stage_settings(loaded, "a", "composition", "decompose")["kind"] == "elements"


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({"x": ["a"], "y": ["c"]}, r"groups\.y: expected samples of this file, got 'c'"),
        ({"x": ["a"], "y": []}, r"groups\.y: expected samples of this file, got no sample"),
        ({"x": ["a"], "y": ["a"]}, r"groups\..: expected each sample once, got 'a' twice"),
        ({"x": ["a"]}, "groups: expected two samples or more, got one"),
        ({"x": ["a"], "y": ["plain"]}, r"groups\.y: expected samples with .*, got 'plain', which has none"),
    ],
)
def test_groups_hold_samples_that_can_be_compared(groups: dict[str, list[str]], said: str) -> None:
    content = project()
    content["samples"]["b"] = content["samples"]["a"]
    content["samples"]["plain"] = {"tomogram": {"source": "x.h5"}}
    parsed(content | {"groups": {"x": ["a"], "y": ["b"]}})
    with pytest.raises(ConfigError, match=said):
        parsed(content | {"groups": groups})


def test_models_are_frozen() -> None:
    loaded = parsed(project())
    with pytest.raises(ValueError, match="frozen"):
        loaded.samples["a"].composition.threshold = 0.1  # type: ignore[union-attr, misc]


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


def test_raw_files_are_listed_per_series() -> None:
    found = raw_files(parsed(project({"source": {"images": "a.tif", "angles": "a.txt"}}, name="tomogram")))
    assert found == {"a": {"tomogram/signal": ["/data/a.tif", "/data/a.txt"]}}


def test_branches_of_a_sample() -> None:
    data = project()
    data["samples"]["a"]["tomogram"] = {"source": "x.h5"}
    assert sample_branches(parsed(data).samples["a"]) == ("composition", "tomogram")


def _fields(model: type[BaseModel]) -> list[tuple[str, Any]]:
    return [(f"{model.__name__}.{name}", field) for name, field in model.model_fields.items()]


def test_every_setting_has_a_description() -> None:
    from oxytomo.config import settings, stage_settings

    models = [
        model
        for module in (settings, stage_settings)
        for model in vars(module).values()
        if isinstance(model, type) and issubclass(model, BaseModel)
    ]
    assert len(models) > 15
    assert [name for model in models for name, field in _fields(model) if not field.description] == []


def _assert_generated(path: Path, wanted: str) -> None:
    found = path.read_text(encoding="utf-8") if path.exists() else ""
    diff = "\n".join(
        difflib.unified_diff(
            found.splitlines(), wanted.splitlines(), "in the file", "wanted", lineterm="", n=1
        )
    )
    assert found == wanted, f"{path.name} is out of date; run `make schema`\n{diff}"


def test_schema_file_is_in_step(repository: Path) -> None:
    _assert_generated(repository / "configs" / "schema.json", schema_text())


def test_default_configuration_is_in_step(repository: Path) -> None:
    _assert_generated(repository / "configs" / "default.yaml", default_yaml())


def test_default_configuration_says_what_the_models_say() -> None:
    spelled = parse_config(yaml.safe_load(default_yaml()), folder=Path("/data"))
    branch = spelled.samples["particle_a"].composition
    assert branch is not None
    bare = parse_config(
        {
            "samples": {
                "particle_a": {
                    "composition": {
                        "edges": yaml.safe_load(default_yaml())["samples"]["particle_a"]["composition"][
                            "edges"
                        ],
                        "formula": branch.formula,
                    }
                }
            }
        },
        folder=Path("/data"),
    )
    assert spelled == bare


def test_expert_settings_have_a_list_of_their_own() -> None:
    normalize = yaml.safe_load(default_yaml())["samples"]["particle_a"]["composition"]["normalize"]
    assert "flat_field" in normalize
    assert "hot_pixel_sigma" not in normalize
    listed = yaml.safe_load(expert_yaml())
    assert listed["composition.normalize.hot_pixel_sigma"] == 8.0
    # Of both ways to reconstruct, of the fits per element, and of all branches.
    assert {
        "composition.reconstruct.l1_weight",
        "oxidation.fit.max_condition",
        "structure.segment.false_cracks",
        "tomogram.export.chunk",
        "register_branches.placements",
    } <= set(listed)
    assert "composition.normalize.flat_field" not in listed
    marked = schema()["$defs"]["ExportSettings"]["properties"]
    assert marked["chunk"]["expert"] is True
    assert "expert" not in marked["ngff"]


def test_schema_names_its_dialect_and_accepts_plain_paths() -> None:
    described = schema()
    assert described["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert described["$defs"]["Source"]["anyOf"][0] == {"type": "string"}


def test_schema_accepts_every_example(repository: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(schema())
    validator.check_schema(schema())
    for path in _examples(repository):
        errors = [
            error.message for error in validator.iter_errors(yaml.safe_load(path.read_text(encoding="utf-8")))
        ]
        assert errors == [], path.name


def _examples(repository: Path) -> list[Path]:
    return sorted((repository / "configs").glob("**/*.yaml"))


def test_every_example_is_valid(repository: Path) -> None:
    examples = _examples(repository)
    assert {"demo.yaml", "default.yaml", "tomogram_mrc.yaml"} <= {path.name for path in examples}
    for path in examples:
        assert load_config(path).samples, path.name


def with_reference(reference: Any, other: dict[str, Any]) -> dict[str, Any]:
    """Two samples, of which one refers to another."""
    return {
        "samples": {
            "a": {"composition": composition(reference=reference)},
            "b": {"composition": composition(**other)},
        }
    }


def test_a_pristine_sample_is_the_reference() -> None:
    loaded = parsed(with_reference({"pristine": "b"}, {}))
    assert stage_settings(loaded, "a", "composition", "reconstruct")["reference"] == "pristine"
    assert stage_settings(loaded, "b", "composition", "reconstruct")["reference"] == "nominal"


@pytest.mark.parametrize(
    ("reference", "other", "part"),
    [
        ({"pristine": "c"}, {}, "another sample with a composition branch"),
        ({"pristine": "a"}, {}, "another sample with a composition branch"),
        ({"pristine": "b"}, {"reference": {"pristine": "a"}}, "a reference of its own"),
        (
            {"pristine": "b"},
            {
                "edges": {e: {"pre": "a.h5", "post": "b.h5"} for e in ("Ni", "O")},
            },
            "the same elements",
        ),
    ],
)
def test_a_wrong_pristine_sample_is_named(reference: Any, other: dict[str, Any], part: str) -> None:
    text = refused(with_reference(reference, other))
    assert part in text
    assert "samples.a.composition.reference.pristine" in text


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
