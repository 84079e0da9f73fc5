"""What mkdocs does besides reading ``docs/``: pages made from the code, and links that leave the folder.

Nothing is written into the repository. README, CONTRIBUTING, CODE_OF_CONDUCT and CHANGELOG of the repository become pages of
the site; commands, settings, output files and the library are generated.
"""

import os
import posixpath
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "docs"), str(REPOSITORY / "pipeline")]

import site_notebooks  # noqa: E402
import site_reference  # noqa: E402

FROM_REPOSITORY = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CODE_OF_CONDUCT.md": "code-of-conduct.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages that are read in the repository and on the site."""
GENERATED: dict[str, Callable[[], str]] = {
    "reference/commands.md": site_reference.commands,
    "reference/settings.md": site_reference.settings,
    "reference/outputs.md": site_reference.outputs,
    "reference/library.md": site_reference.library,
}
NOTEBOOKS = "tutorials/notebooks"
"""Where the notebooks of the repository are on the site."""
LINK = re.compile(r"(\]\()([^)\s]+)(\))")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the notebooks under the tutorials."""
    found = [f"{NOTEBOOKS}/{path.stem}.md" for path in sorted((REPOSITORY / "notebooks").glob("*.ipynb"))]
    for section in config.nav if found else ():
        if "Tutorials" in section:
            section["Tutorials"].append({"Notebooks": found})
    return config


@event_priority(100)  # before the plugins that convert pages
def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the generated pages, those of the repository and the notebooks."""
    for source, page in FROM_REPOSITORY.items():
        text = (REPOSITORY / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    for page, make in GENERATED.items():
        files.append(File.generated(config, page, content=make()))
    for name, text, pictures in site_notebooks.notebook_pages(REPOSITORY / "notebooks", REPOSITORY):
        files.append(File.generated(config, f"{NOTEBOOKS}/{name}.md", content=text))
        for picture, content in pictures.items():
            files.append(File.generated(config, f"{NOTEBOOKS}/{picture}", content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files, **_: Any) -> str:
    """Point links as they are in the repository to the pages of the site, or to the repository."""
    inside = {v: k for k, v in FROM_REPOSITORY.items()}
    source = inside.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    if page.file.src_uri.startswith(NOTEBOOKS):
        source = f"notebooks/{page.file.name}.ipynb"

    def mended(match: re.Match[str]) -> str:
        return f"{match[1]}{_target(match[2], source, page.file.src_uri, config)}{match[3]}"

    return LINK.sub(mended, markdown)


def _target(link: str, source: str, page: str, config: MkDocsConfig) -> str:
    """Return where a link of a file of the repository leads to on the site."""
    if re.match(r"[a-z]+:|#", link):
        return link
    path, hash_sign, anchor = link.partition("#")
    place = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if place in FROM_REPOSITORY:
        place = FROM_REPOSITORY[place]
    elif place.startswith("docs/"):
        place = place.removeprefix("docs/")
    elif place.startswith("notebooks/") and place.endswith(".ipynb"):
        place = f"{NOTEBOOKS}/{posixpath.basename(place).removesuffix('.ipynb')}.md"
    elif (REPOSITORY / place).exists():
        return f"{config.extra['repository']}/blob/main/{place}{hash_sign}{anchor}"
    else:
        return link  # mkdocs names it
    here = posixpath.dirname(page) or "."
    return f"{os.path.relpath(place, here)}{hash_sign}{anchor}"
