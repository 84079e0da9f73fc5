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
    """Begin with tests that fork, in processes that are still small, then with those that take minutes."""
    first = {"fuzz": 0, "workflow": 1}
    items.sort(key=lambda item: first.get(item.path.parent.name, 2))
