"""Threads of compiled loops: the threading layer, and a single thread for small loops."""

import os
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from typing import Any

LAYERS = ("omp", "workqueue", "tbb")
"""By default Numba prefers TBB where it is installed. Small kernels then take up to 70 times
longer, and a fork may not return."""

THREADS_PAY_NS = 100_000.0
"""Starting the threads takes some 10 µs on an idle machine, and much more on a busy one. Less work
than this runs in one thread."""

_ONE_AT_A_TIME = threading.RLock()


def choose_threading_layer() -> None:
    """Let Numba use OpenMP, else its own workqueue, and TBB last, unless the user has chosen.

    A choice is ``NUMBA_THREADING_LAYER`` or ``NUMBA_THREADING_LAYER_PRIORITY`` in the environment,
    a ``.numba_config.yaml`` in the folder, or a setting made in ``numba.config`` before. It holds
    for child processes, too.
    """
    chosen = {"NUMBA_THREADING_LAYER", "NUMBA_THREADING_LAYER_PRIORITY"}.intersection(os.environ)
    if chosen or os.path.exists(".numba_config.yaml"):  # noqa: PTH110 - pathlib takes longer to load
        return
    numba = sys.modules.get("numba")
    config = getattr(numba, "config", None)
    if config is not None:
        if config.THREADING_LAYER != "default" or config.THREADING_LAYER_PRIORITY[:1] != ["tbb"]:
            return
        config.THREADING_LAYER_PRIORITY = list(LAYERS)
    os.environ["NUMBA_THREADING_LAYER_PRIORITY"] = " ".join(LAYERS)


def parallel_kernel(*, element_ns: float = 3.0, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a loop with ``prange`` for several threads.

    Calls with little work stay in the calling thread.

    Parameters
    ----------
    element_ns : rough computing time per element of all array arguments, ns; 1 to 10 for streaming
        loops
    options : further options of ``numba.njit``

    Notes
    -----
    The work of a call is the number of elements of its arguments times ``element_ns``. Numba's
    workqueue ends the process when two threads enter it at once; with it, calls wait for each
    other.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        import numpy as np  # not above: the command line alone needs no NumPy
        from numba import get_num_threads, njit, set_num_threads, threading_layer

        kernel = njit(parallel=True, cache=True, **options)(function)

        @wraps(function)
        def call(*arguments: Any) -> Any:
            elements = sum(one.size for one in arguments if isinstance(one, np.ndarray))
            threads = get_num_threads()
            with _ONE_AT_A_TIME if threading_layer() == "workqueue" else nullcontext():
                if threads == 1 or elements * element_ns >= THREADS_PAY_NS:
                    return kernel(*arguments)
                set_num_threads(1)
                try:
                    return kernel(*arguments)
                finally:
                    set_num_threads(threads)

        return call

    return compiled
