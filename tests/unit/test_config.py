"""Settings: what is accepted, and what is refused and how."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from configs_by_hand import FORMULA, composition, parsed, project, refused

from oxytomo.config import Source, expand, load_config, source_files
from oxytomo.config.plan import (
    branch_config,
    branch_sources,
    raw_files,
    sample_branches,
    stage_settings,
)
from oxytomo.errors import ConfigError


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


def test_raw_files_are_listed_per_series() -> None:
    found = raw_files(parsed(project({"source": {"images": "a.tif", "angles": "a.txt"}}, name="tomogram")))
    assert found == {"a": {"tomogram/signal": ["/data/a.tif", "/data/a.txt"]}}


def test_branches_of_a_sample() -> None:
    data = project()
    data["samples"]["a"]["tomogram"] = {"source": "x.h5"}
    assert sample_branches(parsed(data).samples["a"]) == ("composition", "tomogram")


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
