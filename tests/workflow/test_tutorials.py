"""The tutorials run as they are written: every block of bash or Python, in one folder, in the order of the pages."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from oxytomo.errors import InputError
from oxytomo.view.render_sample import require_drawing

REPOSITORY = Path(__file__).resolve().parents[2]
TUTORIALS = REPOSITORY / "docs" / "tutorials"
FIRST = "my-first-particle"
SAID = {
    FIRST: ("oxygen-poor", "95 % interval"),
    "from-beam-time-to-figure": ("ready to run", "written: figure.png"),
    "is-this-5-percent-real": ("null run", "oxygen_poor"),
    "pores-and-cracks": ("porosity", "smallest aperture"),
    "valence-maps": ("valence of Mn", "truth"),
    "on-a-cluster": ("particle_a", "particle_b"),
}
"""What each tutorial prints, and what so must be on its page."""
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r"!\[[^\]]+\]\(([^)]+\.(?:png|svg))\)")
MOST_PICTURE_BYTES = 150_000


def script(name: str) -> str:
    """Return the blocks of a page as one script of bash."""
    text = (TUTORIALS / f"{name}.md").read_text(encoding="utf-8")
    blocks = BLOCK.findall(text)
    return "\n".join(
        code if kind == "bash" else f"python - <<'END_OF_BLOCK'\n{code}END_OF_BLOCK\n"
        for kind, code in blocks
    )


def follow(name: str, desk: Path) -> str:
    """Run a page as a reader would, and return what it printed."""
    environment = os.environ | {
        "PATH": f"{desk / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY / "pipeline"),
        "MPLBACKEND": "Agg",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script(name)],
        cwd=desk,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=800,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `oxytomo` and `python` are those of the tests."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "bin").mkdir()
    for name, command in (("oxytomo", "-P -m oxytomo"), ("python", "")):
        path = folder / "bin" / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n', encoding="utf-8")
        path.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def first(desk: Path) -> str:
    """The first tutorial; the others use its particle."""
    return follow(FIRST, desk)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAID)
def test_a_tutorial_runs_as_it_is_written(name: str, desk: Path, first: str) -> None:
    if "oxytomo render" in script(name):
        try:
            require_drawing()
        except InputError as error:
            pytest.skip(str(error))
    printed = first if name == FIRST else follow(name, desk)
    page = (TUTORIALS / f"{name}.md").read_text(encoding="utf-8")
    for words in SAID[name]:
        assert words in printed
        assert words in page, "the page shows what is printed"


@pytest.mark.parametrize("name", SAID)
def test_a_tutorial_has_its_pictures_and_is_listed(name: str) -> None:
    pictures = PICTURE.findall((TUTORIALS / f"{name}.md").read_text(encoding="utf-8"))
    assert pictures
    for picture in pictures:
        path = (TUTORIALS / picture).resolve()
        assert path.stat().st_size < MOST_PICTURE_BYTES
        if path.suffix == ".png":
            with Image.open(path) as image:
                image.verify()
    assert f"({name}.md)" in (TUTORIALS / "README.md").read_text(encoding="utf-8")
    assert f"tutorials/{name}.md" in (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
