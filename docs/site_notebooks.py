"""Pages of the site that are notebooks: executed, then Markdown with their pictures."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from traitlets.config import Config

TIMEOUT_S = 1200
"""Longest time of one cell."""


def notebook_pages(folder: Path, repository: Path) -> Iterator[tuple[str, str, dict[str, bytes]]]:
    """Yield name, Markdown and pictures of every notebook of a folder, executed in the folder of the repository.

    An error in a cell ends the build. ``OXYTOMO_DOCS_EXECUTE=0`` shows the notebooks without their results.
    """
    execute = os.environ.get("OXYTOMO_DOCS_EXECUTE", "1") != "0"
    for path in sorted(folder.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        if execute:
            _execute(notebook, repository)
        text, resources = MarkdownExporter().from_notebook_node(
            notebook, resources={"unique_key": path.stem, "output_files_dir": f"{path.stem}_files"}
        )
        yield path.stem, text, resources["outputs"]


def _execute(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Run the cells of a notebook in a folder; figures become pictures."""
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%matplotlib inline"))
    with tempfile.TemporaryDirectory() as sockets:  # of the file system: others on the machine cannot listen
        settings = Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}})
        resources = {"metadata": {"path": str(folder)}}
        NotebookClient(
            notebook, config=settings, kernel_name="python3", timeout=TIMEOUT_S, resources=resources
        ).execute()
    del notebook.cells[0]
