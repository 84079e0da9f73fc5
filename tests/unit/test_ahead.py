"""Reading many files for a check: each is opened once, and the guarded walk is ahead."""

import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from oxytomo.check import ahead
from oxytomo.check.ahead import AHEAD, walked_ahead
from oxytomo.config import load_config
from oxytomo.errors import InputError
from oxytomo.io.readers import guard
from oxytomo.io.readers.hdf5 import kept_open, open_hdf5


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    found = [tmp_path / f"{number}.h5" for number in range(AHEAD + 3)]
    for path in found:
        with h5py.File(path, "w") as file:
            file["data"] = np.arange(3)
    return found


def test_files_are_opened_once_within_the_block_and_closed_after_it(files: list[Path]) -> None:
    with kept_open():
        with open_hdf5(files[0]) as one:
            assert one["data"][2] == 2
        with open_hdf5(files[0]) as again:
            assert again is one
        with open_hdf5(files[1]) as other:
            assert other is not one
    assert not one
    assert not other
    with open_hdf5(files[0]) as alone:
        pass
    assert not alone, "outside the block a file is closed at once"


def test_an_error_in_the_block_closes_the_files(files: list[Path]) -> None:
    with pytest.raises(RuntimeError), kept_open(), open_hdf5(files[0]) as one:
        raise RuntimeError
    assert not one
    with open_hdf5(files[0]) as again:
        assert again


def test_files_of_the_next_samples_are_walked_and_no_more(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"  s{n}: {{tomogram: {{source: {path.name}}}}}" for n, path in enumerate(files)]
    (tmp_path / "c.yaml").write_text("samples:\n" + "\n".join(lines) + "\n", encoding="utf-8")
    project = load_config(tmp_path / "c.yaml")
    walked: list[str] = []

    def walk(path: Path) -> None:
        walked.append(path.name)
        raise InputError(str(path), expected="a file", got="a damaged one", fix="copy it")

    monkeypatch.setattr(guard, "check_structure", walk)
    monkeypatch.setattr(ahead, "AHEAD", 2)
    with walked_ahead(project) as samples:
        names = []
        for name, _ in samples:
            names.append(name)
            for _wait in range(500):
                if len(walked) >= len(names):
                    break
                time.sleep(0.01)
    assert names == [f"s{n}" for n in range(len(files))]
    assert walked == [path.name for path in files], "a damaged file stops nothing here"
    walked.clear()
    with walked_ahead(project) as samples:
        next(samples)
    assert len(walked) <= 3, "the current sample and two more"
