"""Fixtures that several test folders share."""

import os
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # tests share the cores among processes, not among threads
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from plugin_results import plugin_results

__all__ = ["plugin_results"]

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def repository() -> Path:
    """The folder of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the shared real and simulated data; the test is skipped where it is absent."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the shared data are not here")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run."""
    return np.random.default_rng(20240817)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest file, which mostly waits, then with tests that fork, in processes that are still small."""
    first = {"test_slurm.py": 0, "fuzz": 1, "workflow": 2, "gui": 3}

    def rank(item: pytest.Item) -> int:
        return min(first.get(name, len(first)) for name in (item.path.name, item.path.parent.name))

    items.sort(key=rank)
