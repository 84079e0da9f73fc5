"""Runs a notebook of the checkout in a kernel of its own, as Jupyter would."""

import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

REPOSITORY = Path(__file__).resolve().parents[1]
NOTEBOOKS = REPOSITORY / "notebooks"
LONGEST_CELL_S = 600


def run_notebook(name: str, *, result: Path | None = None, check: str = "") -> nbformat.NotebookNode:
    """Run a notebook, with figures drawn; an error in a cell is an error of the test.

    Parameters
    ----------
    name : file in ``notebooks`` without its ending
    result : folder of the sample that it is to open
    check : code of a last cell, with assertions on the variables of the notebook
    """
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%matplotlib inline"))
    notebook.cells.append(nbformat.v4.new_code_cell(check))
    # The kernel is a process of its own: it is told where the package is.
    paths = [str(REPOSITORY / "pipeline"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    environment.pop("OXYTOMO_RESULT", None)
    if result is not None:
        environment["OXYTOMO_RESULT"] = str(result)
    # A folder of the kernel's own: notebooks write where they run. Sockets of the file system: no open ports.
    with tempfile.TemporaryDirectory() as folder:
        settings = Config({"KernelManager": {"transport": "ipc", "ip": f"{folder}/kernel"}})
        client = NotebookClient(
            notebook,
            config=settings,
            kernel_name="python3",
            timeout=LONGEST_CELL_S,
            resources={"metadata": {"path": folder}},
        )
        return client.execute(env=environment)
