"""What ``oxytomo check`` says of files in a wrong place: one line that names the right ones."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from oxytomo.arrays import TiltSeries
from oxytomo.cli import main
from oxytomo.io.readers.data_exchange import write_data_exchange

ENERGIES = {"O_pre": 525.0, "O_post": 540.0, "Ni_pre": 846.0, "Ni_post": 866.0}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration of four small series."""
    rng = np.random.default_rng(3)
    for name, energy in ENERGIES.items():
        series = TiltSeries(
            frames=rng.poisson(800.0, (12, 8, 9)).astype(np.uint16),
            tilt_deg=np.linspace(-60.0, 60.0, 12),
            energy_ev=np.full(12, energy),
            pixel_nm=np.full(12, 10.0),
            quantity="counts",
            flat=np.full((2, 8, 9), 1000.0, np.float32),
        )
        (tmp_path / "raw").mkdir(exist_ok=True)
        write_data_exchange(tmp_path / "raw" / f"{name}.h5", series)
    return written(tmp_path, {})


def written(folder: Path, changes: dict[str, str]) -> Path:
    """Write the configuration, with other files for some series."""
    files = {name: f"raw/{name}.h5" for name in ENERGIES} | changes
    edges = {
        element: {side: files[f"{element}_{side}"] for side in ("pre", "post")} for element in ("O", "Ni")
    }
    composition = {"edges": edges, "formula": "NiO"}
    path = folder / "my.yaml"
    path.write_text(yaml.safe_dump({"samples": {"p": {"composition": composition}}}), encoding="utf-8")
    return path


def errors(path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The errors that check says."""
    assert main(["check", str(path)]) == 2
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("oxytomo: error: ")]


@pytest.mark.parametrize(("place", "other"), [("O_pre", "O_post"), ("Ni_pre", "O_post")])
def test_the_same_file_twice_is_one_line(
    config: Path, place: str, other: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = errors(written(config.parent, {place: f"raw/{other}.h5"}), capsys)
    assert "expected files of its own" in line


def test_a_copy_under_another_name_is_still_found(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = config.parent / "raw"
    (raw / "Ni_pre.h5").write_bytes((raw / "O_post.h5").read_bytes())
    assert any("value for value" in line for line in errors(config, capsys))


def test_a_folder_of_energies_lists_its_files(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = errors(written(config.parent, {"O_pre": "raw"}), capsys)
    assert any(
        "of Ni_post.h5 (866 eV), Ni_pre.h5 (846 eV), O_post.h5 (540 eV), O_pre.h5 (525 eV)" in line
        for line in lines
    )


def test_backslashes_in_a_path_are_named(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = errors(written(config.parent, {"O_pre": "raw\\O_pre.h5"}), capsys)
    assert line.endswith("write / for \\")
