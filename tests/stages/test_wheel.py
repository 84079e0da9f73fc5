"""The wheel holds what the package needs away from the checkout."""

import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from importlib.metadata import version
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

NEEDED_SETUPTOOLS = 77
NEEDED = (
    "py.typed",
    "configs/demo.yaml",
    "configs/schema.json",
    "workflow/Snakefile",
    "workflow/rules/common.smk",
    "workflow/profiles/local/config.yaml",
    "workflow/profiles/slurm/config.yaml",
    "view/templates/report.html.j2",
    "view/templates/page.css",
    "view/templates/scene.html",
    "view/templates/scene.js",
    "view/napari_plugin/napari.yaml",
    "library/reconstruction.py",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built in a copy of what it is made from: the checkout stays as it is."""
    repository = Path(__file__).resolve().parents[2]
    copy, made = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in ("pipeline", "configs"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(repository / name, copy / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(repository / name, copy / name)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", *_isolation()]
    done = subprocess.run([*build, "-w", str(made), str(copy)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [found] = made.glob("oxytomo-*.whl")
    return found


def _isolation() -> list[str]:
    """Build with the setuptools that is installed where it is new enough, else with one that pip fetches."""
    newest = int(version("setuptools").split(".")[0])
    return ["--no-build-isolation"] if newest >= NEEDED_SETUPTOOLS else []


def test_the_wheel_holds_rules_templates_and_examples(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        names = set(content.namelist())
        missing = [name for name in NEEDED if f"oxytomo/{name}" not in names]
        assert missing == []
        strange = {name.split("/")[0] for name in names} - {"oxytomo"}
        assert all(name.startswith("oxytomo-") for name in strange)
        packed = {name for name in names if name.endswith(".py")}
    repository = Path(__file__).resolve().parents[2]
    modules = {
        path.relative_to(repository / "pipeline").as_posix()
        for path in (repository / "pipeline" / "oxytomo").rglob("*.py")
    }
    assert packed == modules


def test_the_wheel_says_who_made_it_and_where_it_lives(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        [name] = [one for one in content.namelist() if one.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(content.read(name).decode("utf-8"))
        licences = [one for one in content.namelist() if one.endswith("licenses/LICENSE")]
    assert metadata["Author"] == "oxytomo developers"
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert len(licences) == 1
    urls = dict(one.split(", ", 1) for one in metadata.get_all("Project-URL", []))
    assert {"Homepage", "Documentation", "Issues", "Changelog"} <= set(urls)
    assert metadata.get_all("Classifier")
    assert metadata["Keywords"]
