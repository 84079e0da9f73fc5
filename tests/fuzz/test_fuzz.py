"""A small share of benchmarks/fuzz_readers.py: every reader takes some damaged files in a child process with limits."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.fuzz.targets import TARGETS

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture(scope="module")
def fuzzing() -> ModuleType:
    """The script, which is no package."""
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz_readers.py"
    found = importlib.util.spec_from_file_location("fuzz_readers", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["fuzz_readers"] = module
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_are_taken_or_refused_with_one_line(
    fuzzing: ModuleType, name: str, tmp_path: Path
) -> None:
    count = 12 if name.startswith("hdf5") else 60
    peak_mb, failures = fuzzing.fuzz(TARGETS[name], 11, count, tmp_path)
    assert failures == []
    assert peak_mb < 1000
