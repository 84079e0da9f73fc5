"""The generated files of settings: schema and default configuration."""

import difflib
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from oxytomo.cli.schema import schema_text
from oxytomo.config import load_config, parse_config
from oxytomo.config.schema import default_yaml, expert_yaml, schema


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
