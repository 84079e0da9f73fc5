"""Where results go: relative to the configuration, with a word where older ones lie elsewhere."""

from pathlib import Path

import pytest
import yaml

from oxytomo.check.old_results import old_results
from oxytomo.config import load_config
from oxytomo.config.plan import results_folder
from oxytomo.run.results_folder import claim


def configured(folder: Path, results: str = "results") -> Path:
    """A configuration of one volume."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "volume.tif").write_bytes(b"II*\0")
    path = folder / "my.yaml"
    structure = {"volume": "volume.tif", "voxel_nm": 20.0}
    path.write_text(yaml.safe_dump({"results": results, "samples": {"a": {"structure": structure}}}))
    return path


def test_results_start_from_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = configured(tmp_path / "project")
    monkeypatch.chdir(tmp_path)
    assert results_folder(load_config(path)) == tmp_path / "project" / "results"
    assert results_folder(load_config(Path("project/my.yaml"))) == tmp_path / "project" / "results"
    elsewhere = configured(tmp_path / "project", str(tmp_path / "out"))
    assert results_folder(load_config(elsewhere)) == tmp_path / "out"


def test_old_results_in_the_working_directory_are_pointed_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = configured(tmp_path / "project")
    monkeypatch.chdir(tmp_path)
    project = load_config(path)
    assert old_results(project, path) == []
    claim(tmp_path / "results", project)  # as an earlier version did
    (said,) = old_results(project, path)
    assert f"mv '{tmp_path / 'results'}' '{tmp_path / 'project' / 'results'}'" in said
    claim(tmp_path / "project" / "results", project)
    assert old_results(project, path) == []  # results are where they belong


def test_results_of_other_raw_files_are_no_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, other = configured(tmp_path / "project"), configured(tmp_path / "other")
    monkeypatch.chdir(tmp_path)
    claim(tmp_path / "results", load_config(other))
    assert old_results(load_config(path), path) == []
