"""environment.yml mirrors pyproject.toml."""

import re
import tomllib
from pathlib import Path

import yaml

ON_CONDA = {"matplotlib": "matplotlib-base", "dask": "dask-core", "snakemake": "snakemake-minimal"}
"""Packages whose conda name differs from the one on PyPI."""
ONLY_ON_CONDA = {"pip", "python", "tomopy", "pyside6"}
IN_A_SESSION = ("view", "cluster")
"""Extras whose packages the environment holds too."""


def _split(requirement: str) -> tuple[str, str]:
    match = re.fullmatch(r"([A-Za-z0-9_.-]+?)(?:\[\w+\])?\s*((?:[<>=!~]=?|==).*)?", requirement)
    assert match is not None, requirement
    return match.group(1), match.group(2) or ""


def test_conda_environment_is_in_step_with_pyproject(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    environment = yaml.safe_load((repository / "environment.yml").read_text(encoding="utf-8"))
    extras = [entry for name in IN_A_SESSION for entry in project["optional-dependencies"][name]]
    needed = dict(_split(requirement) for requirement in [*project["dependencies"], *extras])
    wanted = {ON_CONDA.get(name, name): bound for name, bound in needed.items()}
    listed = dict(_split(entry) for entry in environment["dependencies"])
    assert {name: bound for name, bound in listed.items() if name not in ONLY_ON_CONDA} == wanted
    assert set(listed) >= ONLY_ON_CONDA
    assert environment["name"] == "oxytomo"


def test_conda_python_is_in_step_with_pyproject(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    environment = yaml.safe_load((repository / "environment.yml").read_text(encoding="utf-8"))
    python = dict(_split(entry) for entry in environment["dependencies"])["python"]
    assert python.removeprefix("=") == project["requires-python"].removeprefix(">=")
