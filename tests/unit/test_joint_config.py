"""Settings of one solution for composition and valence: what is accepted, planned and refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from oxytomo.config import load_config, parse_config
from oxytomo.config.plan import branch_sources, branch_stages, raw_files, stage_jobs, stage_settings
from oxytomo.config.stage_files import raw_inputs, stage_inputs
from oxytomo.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "configs" / "composition_and_valence.yaml"


def example(**changes: Any) -> dict[str, Any]:
    """Return the example with other settings: ``composition__edges`` and so on."""
    content: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    for place, value in changes.items():
        branch, _, name = place.partition("__")
        content["samples"]["particle"].setdefault(branch, {})[name] = value
    return content


def refused(content: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(content, folder=EXAMPLE.parent, name="config.yaml")
    return str(caught.value)


def test_series_stages_and_inputs() -> None:
    project = load_config(EXAMPLE)
    sample = project.samples["particle"]
    composition, states = sample.composition, sample.chemical_state
    assert composition is not None
    assert states is not None
    assert list(branch_sources(composition))[2:7] == ["Mn_pre", "Mn_post", "Mn_3", "Mn_4", "Mn_5"]
    assert states.joint
    assert states.measured == composition.with_states == ("Mn",)
    assert branch_stages(states, "chemical_state")[0] == "decompose_states"
    assert stage_jobs(states, "decompose_states") == ("Mn",)
    inputs = stage_inputs(project, "particle", "chemical_state", "decompose_states", "Mn")
    assert inputs == {"joint": "particle/stages/composition/decompose.zarr"}
    assert raw_inputs(project, "particle", "chemical_state", "decompose_states", "Mn") == []
    names = [path.name for path in raw_inputs(project, "particle", "composition", "decompose")]
    assert names == ["MnO.csv", "MnO2.csv"]
    given = stage_settings(project, "particle", "composition", "decompose")["references"]["Mn"]
    assert [valence for valence, _ in given] == [2.0, 4.0]
    assert "composition/Mn references" in raw_files(project)["particle"]


def test_a_written_configuration_is_read_again() -> None:
    """A run writes all settings: they are the same again."""
    project = load_config(EXAMPLE)
    again = parse_config(project.model_dump(mode="json"), folder=EXAMPLE.parent, name="config.json")
    assert again.samples == project.samples


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"composition__references": {"Fe": {"2": "a.csv"}}}, "expected an element with edges"),
        ({"composition__references": {"O": {"-2": "a.csv", "-1": "b.csv"}}}, "one reference spectrum"),
        ({"composition__references": {"Mn": {"2": ["a.csv", "b.csv"]}}}, "each of its own valence"),
        ({"composition__references": {}}, "references of Mn for more than two energies"),
        ({"composition__decompose": {"method": "subtraction"}}, "weighted, which uses references"),
        (
            {"composition__decompose": {"instrument": {"near_edge": {"Mn": 1.2}}}},
            "elements without references",
        ),
        ({"composition__decompose": {"instrument": {"near_edge": {"Fe": 1.2}}}}, "measured elements (O, Mn"),
        (
            {"composition__decompose": {"instrument": {"near_edge": {"Ni": 50}}}},
            "near_edge.Ni: expected less",
        ),
        (
            {"composition__decompose": {"instrument": {"near_edge": {"Ni": {"factor": 1.2, "error": 0}}}}},
            "near_edge.Ni.error: expected greater than or equal to 0.001, got 0",
        ),
        ({"chemical_state__references": {"Mn": {"2": "a.csv", "4": "b.csv"}}}, "got references"),
        ({"chemical_state__align": {"iterations": 2}}, "got align"),
        ({"chemical_state__reference": {"Ni": 3.0}}, "expected elements with series (Mn)"),
    ],
)
def test_refused(changes: dict[str, Any], words: str) -> None:
    content = example(**changes)
    if "composition__references" in changes:
        # The message of the chemical-state branch would come first.
        del content["samples"]["particle"]["chemical_state"]
    assert words in refused(content)


def test_nothing_to_take_from() -> None:
    content = example()
    del content["samples"]["particle"]["composition"]
    assert "got no composition branch" in refused(content)
    content = example(composition__references={"Mn": {"4": "a.csv"}})
    assert "references of two valences or more" in refused(content)
