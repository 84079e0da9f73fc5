"""Threads of compiled loops: which layer is taken, that small loops start none, and that nothing forks beside them.

Each case is a process of its own: a layer is chosen once. CI has TBB installed; where it is not, its cases skip.
"""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

HIDE = "import sys\nfor name in {hidden}: sys.modules['numba.np.ufunc.' + name] = None\n"
LAYER = "import oxytomo, numba\nnumba.get_num_threads()\nprint(numba.threading_layer())"
CHOICE = ("NUMBA_THREADING_LAYER", "NUMBA_THREADING_LAYER_PRIORITY")


def tbb_is_installed() -> bool:
    try:
        ctypes.CDLL("libtbb.so.12")
    except OSError:
        return False
    return True


def said(code: str, cwd: Path, **environment: str) -> str:
    plain = {name: value for name, value in os.environ.items() if name not in CHOICE}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=plain | environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("hidden", "layer"), [([], "omp"), (["tbbpool"], "omp"), (["omppool"], "workqueue")], ids=str
)
def test_openmp_is_taken_else_the_workqueue_with_tbb_and_without(
    hidden: list[str], layer: str, tmp_path: Path
) -> None:
    assert said(HIDE.format(hidden=hidden) + LAYER, tmp_path) == layer


def test_it_does_not_matter_whether_numba_was_imported_before(tmp_path: Path) -> None:
    assert said(f"import numba\n{LAYER}", tmp_path) == "omp"


@pytest.mark.parametrize(
    "choice",
    [{"NUMBA_THREADING_LAYER": "workqueue"}, {"NUMBA_THREADING_LAYER_PRIORITY": "workqueue omp tbb"}],
    ids=str,
)
def test_what_the_user_has_chosen_stays(choice: dict[str, str], tmp_path: Path) -> None:
    assert said(LAYER, tmp_path, **choice) == "workqueue"


def test_a_choice_in_numbas_own_file_or_in_python_stays(tmp_path: Path) -> None:
    assert said(f"import numba\nnumba.config.THREADING_LAYER = 'workqueue'\n{LAYER}", tmp_path) == "workqueue"
    (tmp_path / ".numba_config.yaml").write_text("threading_layer: workqueue\n", encoding="utf-8")
    assert said(LAYER, tmp_path) == "workqueue"


@pytest.mark.skipif(not tbb_is_installed(), reason="libtbb.so.12 is not installed")
def test_with_tbb_as_the_layer_hdf5_is_walked_all_the_same(tmp_path: Path) -> None:
    """A fork after TBB's threads have begun was seen not to return."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = np.ones((3, 4))
    code = (
        "import pathlib, numba, numpy as np\n"
        "from oxytomo.reconstruct.blocks import to_blocks\nfrom oxytomo.io.readers.guard import check_structure\n"
        "to_blocks(np.ones((128, 64, 64), np.float32))\ncheck_structure(pathlib.Path('a.h5'))\n"
        "print(numba.threading_layer())"
    )
    assert said(code, tmp_path, NUMBA_THREADING_LAYER="tbb") == "tbb"
    # What Numba would have taken by itself: this test is about something.
    assert said(LAYER, tmp_path, NUMBA_THREADING_LAYER="default") == "tbb"


def test_small_work_starts_no_thread(tmp_path: Path) -> None:
    code = (
        "import os, numpy as np\nfrom oxytomo.reconstruct.blocks import to_blocks\n"
        "count = lambda: len(os.listdir('/proc/self/task'))\n"
        "before = count()\nto_blocks(np.ones((64, 9, 9), np.float32))\nsmall = count()\n"
        "to_blocks(np.ones((128, 64, 64), np.float32))\nprint(small - before, count() - before)"
    )
    if not Path("/proc/self/task").is_dir():
        pytest.skip("threads are counted in /proc")
    settings = {"NUMBA_NUM_THREADS": "4", "OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "1"}
    assert said(code, tmp_path, **settings) == "0 3"


def test_threads_that_call_at_once_wait_for_each_other_on_the_workqueue(tmp_path: Path) -> None:
    """Numba ends the process otherwise."""
    code = (
        "import numpy as np\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "from oxytomo.reconstruct.blocks import to_blocks\n"
        "volume = np.ones((256, 64, 64), np.float32)\nto_blocks(volume)\n"
        "with ThreadPoolExecutor(4) as pool:\n"
        "    print(sum(float(one.sum()) for one in pool.map(to_blocks, [volume] * 32)) / volume.size)"
    )
    settings = {"NUMBA_THREADING_LAYER": "workqueue", "NUMBA_NUM_THREADS": "4"}
    assert float(said(code, tmp_path, **settings)) == 32


def test_every_loop_with_threads_goes_through_one_door(repository: Path) -> None:
    """``parallel_kernel`` keeps small calls from the threads; only the server of stages forks, before it has threads."""
    sources = {path: path.read_text(encoding="utf-8") for path in (repository / "pipeline").rglob("*.py")}
    assert {path.name for path, text in sources.items() if "parallel=True" in text} == {"threads.py"}
    assert {path.name for path, text in sources.items() if "os.fork(" in text} == {"stage_server.py"}


def test_the_server_of_stages_does_not_fork_beside_threads(tmp_path: Path) -> None:
    code = (
        "import socket, sys, threading, time\nfrom oxytomo.run import stage_server\n"
        "stage_server._load = lambda: threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
        "listener = socket.socket(socket.AF_UNIX)\nlistener.bind('\\0' + sys.argv[0] + str(id(listener)))\n"
        "sys.argv[1:] = [str(listener.detach())]\nstage_server.main()\nprint('ended')"
    )
    if not sys.platform.startswith("linux"):
        pytest.skip("the server is for Linux")
    assert said(code, tmp_path) == "ended"


@pytest.mark.slow
def test_all_that_the_server_of_stages_loads_starts_no_thread(tmp_path: Path) -> None:
    code = (
        "import os\nfrom oxytomo.run import stage_server\nstage_server._load()\n"
        "print(len(os.listdir('/proc/self/task')))"
    )
    if not sys.platform.startswith("linux"):
        pytest.skip("the server is for Linux")
    assert said(code, tmp_path, OPENBLAS_NUM_THREADS="1", NUMBA_NUM_THREADS="4", OMP_NUM_THREADS="4") == "1"
