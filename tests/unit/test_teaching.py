"""Errors of a configuration that say what was probably meant."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from oxytomo.config import load_config, parse_config
from oxytomo.config.elements import parse_formula
from oxytomo.errors import ConfigError

PAIR = {"pre": "a.h5", "post": "b.h5"}
ATOMS = {"Li": 1.2, "Mn": 0.56, "O": 2.0}


def configuration(**changes: Any) -> dict[str, Any]:
    """A configuration of one sample with changes to its composition."""
    composition = {"edges": {"O": PAIR, "Mn": {"pre": "c.h5", "post": "d.h5"}}, "formula": ATOMS}
    return {"samples": {"p": {"composition": composition | changes}}}


def error_of(data: dict[str, Any]) -> ConfigError:
    """The error that a configuration raises."""
    with pytest.raises(ConfigError) as caught:
        parse_config(data, folder=Path("/data"))
    assert len(str(caught.value).splitlines()) == 1
    return caught.value


@pytest.mark.parametrize(
    ("text", "atoms"),
    [
        ("Li1.2Mn0.56Ni0.16Co0.08O2", {"Li": 1.2, "Mn": 0.56, "Ni": 0.16, "Co": 0.08, "O": 2.0}),
        ("Li(Ni0.8Co0.15Al0.05)O2", {"Li": 1.0, "Ni": 0.8, "Co": 0.15, "Al": 0.05, "O": 2.0}),
        ("Ca3(PO4)2", {"Ca": 3.0, "P": 2.0, "O": 8.0}),
        ("Li2 Mn O3", {"Li": 2.0, "Mn": 1.0, "O": 3.0}),
        ("Li₂MnO₃", {"Li": 2.0, "Mn": 1.0, "O": 3.0}),
        ("Li1,2Mn0,8O2", {"Li": 1.2, "Mn": 0.8, "O": 2.0}),
        ("CH3COOH", {"C": 2.0, "H": 4.0, "O": 2.0}),
        ("Co", {"Co": 1.0}),
        ("CO", {"C": 1.0, "O": 1.0}),
    ],
)
def test_formula_as_text(text: str, atoms: dict[str, float]) -> None:
    assert parse_formula(text) == pytest.approx(atoms)


@pytest.mark.parametrize(
    "text", ["", "lini", "2O", "Li1.2.3", "Li)", "(Li", "Xx2", "Li-O", "Li2+", "()2", "Li" * 200]
)
def test_text_that_is_no_formula(text: str) -> None:
    assert parse_formula(text) is None


def test_formula_as_text_is_the_same_as_its_mapping() -> None:
    as_text = parse_config(configuration(formula="Li1.2Mn0.56O2"), folder=Path("/data"))
    assert as_text == parse_config(configuration(), folder=Path("/data"))


@pytest.mark.parametrize("formula", ["li1.2mn0.56o2", ["Li", 1.2], 3])
def test_what_is_no_formula_is_shown_one(formula: Any) -> None:
    error = error_of(configuration(formula=formula))
    assert error.subject == "samples.p.composition.formula"
    assert "write Li1.2Mn0.56Ni0.16Co0.08O2, or {Li: 1.2" in error.fix


@pytest.mark.parametrize(
    ("change", "expected", "fix"),
    [
        ({"threshold": 5}, "a fraction between 0 and 1", "0.05 for 5 %?"),
        ({"threshold": "5 %"}, "a number", "write 0.05 for 5 %, if it is a fraction"),
        ({"threshold": "0,05"}, "a number with a decimal point", "write 0.05"),
        ({"density_g_cm3": "4.2 g/cm³"}, "a number without a unit", "write 4.2"),
    ],
)
def test_numbers_written_in_another_way(change: dict[str, Any], expected: str, fix: str) -> None:
    error = error_of(configuration(**change))
    assert error.expected.startswith(expected)
    assert error.fix.startswith(fix)


def test_a_threshold_that_no_percent_explains_keeps_its_bounds() -> None:
    assert "%" not in error_of(configuration(threshold=-0.1)).fix
    assert "%" not in error_of(configuration(threshold=500)).fix


@pytest.mark.parametrize(
    ("data", "fix"),
    [
        ({"composition": {}}, "put it below 'samples.NAME:'"),
        ({"samples": {"p": {"formula": ATOMS, "composition": {}}}}, "put it below 'samples.p.composition:'"),
        ({"samples": {"p": {"edges": {}, "areal_density": {}}}}, "put it below 'samples.p.areal_density:'"),
        (configuration(O=PAIR), "put it one level deeper, below 'edges:'"),
        (configuration(opaque_transmission=0.01), "put it below 'samples.p.composition.normalize:'"),
        (
            configuration(max_iterations_of_nothing=1),
            "remove it",
        ),
        (configuration(groups={}), "put it at the left margin, beside 'samples:'"),
    ],
)
def test_keys_at_another_level_are_told_their_place(data: dict[str, Any], fix: str) -> None:
    assert error_of(data).fix.startswith(fix)


def test_a_key_that_is_nearly_right_is_still_suggested() -> None:
    assert error_of(configuration(treshold=0.05)).fix == "did you mean 'threshold'?"


@pytest.mark.parametrize(
    ("text", "got", "fix"),
    [
        ("samples:\n\tp:\n\t\tcomposition: {}\n", "a tab", "replace each tab by two blanks"),
        (
            'samples:\n  p:\n    tomogram:\n      source: "C:\\Users\\x.h5"\n',
            "a backslash in double quotes",
            "put paths",
        ),
    ],
)
def test_yaml_that_is_refused_says_why(tmp_path: Path, text: str, got: str, fix: str) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert caught.value.got == got
    assert caught.value.fix.startswith(fix)


@pytest.mark.parametrize("path", ["C:\\Users\\me\\x.h5", "D:/data/x.h5"])
def test_paths_of_windows_are_no_paths_here(path: str) -> None:
    error = error_of({"samples": {"p": {"tomogram": {"source": path}}}})
    assert error.expected == "a path of this computer"
    assert "/mnt/c/Users" in error.fix


def test_a_double_quoted_path_with_line_ends_in_it_is_told_of_quotes(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(
        'samples:\n  p:\n    tomogram:\n      source: {images: "C:\\new\\table.h5"}\n', encoding="utf-8"
    )
    with pytest.raises(ConfigError, match="single quotes"):
        load_config(path)


def test_the_schema_knows_formulas_as_text(repository: Path) -> None:
    schema = yaml.safe_load((repository / "configs" / "schema.json").read_text(encoding="utf-8"))
    kinds = schema["$defs"]["ArealDensityConfig"]["properties"]["formula"]["anyOf"]
    assert {"type": "string"} in kinds
