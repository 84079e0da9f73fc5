"""``oxytomo clean``: what it lists, what it deletes, and what it never touches."""

import json
from pathlib import Path

import pytest

from oxytomo.cli import main
from oxytomo.errors import InputError, StoreError
from oxytomo.io.atomic import record_file
from oxytomo.io.finished import MARKER, finished_products
from oxytomo.run.cleaning import LEFT_OVER, delete, find_cleanable
from oxytomo.run.lock import run_lock

STORES = ("composition/normalize/O_pre.zarr", "composition/normalize/O_post.zarr", "composition/align.zarr")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder of two samples, as far as files go."""
    root = tmp_path / "results"
    finished = {}
    for sample in ("a", "b"):
        for name in STORES:
            store = root / sample / "stages" / name
            (store / "values").mkdir(parents=True)
            (store / "values" / "0").write_bytes(b"x" * 1000)
            record_file(store).write_text("{}", encoding="utf-8")
        (root / sample / "report.html").write_text("page", encoding="utf-8")
        finished[sample] = [f"{sample}/stages/{name}" for name in STORES] + [f"{sample}/report.html"]
    (root / MARKER).write_text(json.dumps({"samples": {}, "finished": finished}), encoding="utf-8")
    return root


def stores(root: Path) -> list[str]:
    """The stores that are there."""
    return sorted(str(path.relative_to(root)) for path in root.glob("*/stages/**/*.zarr"))


def test_without_a_terminal_it_lists_and_deletes_nothing(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["clean", str(results)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a:"
    assert [line.split()[0] for line in lines[1:3]] == ["align", "normalize"]
    assert all("lost: " in line for line in lines[1:3])
    assert lines[-1].startswith("nothing was deleted")
    assert len(stores(results)) == 6


def test_stores_go_with_their_records_and_everything_else_stays(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["clean", str(results / "a"), "--yes"]) == 0
    assert "deleted 3 stores" in capsys.readouterr().out
    assert stores(results) == sorted(f"b/stages/{name}" for name in STORES)
    assert not list((results / "a").rglob(".*.record.json"))
    assert (results / "a" / "report.html").read_text(encoding="utf-8") == "page"
    # what is deleted on purpose is not missed later
    assert finished_products(results)["a"] == ["a/report.html"]
    assert len(finished_products(results)["b"]) == 4


def test_only_the_stages_that_are_named(results: Path) -> None:
    assert main(["clean", str(results), "--stage", "normalize", "--yes"]) == 0
    assert stores(results) == [f"{sample}/stages/composition/align.zarr" for sample in ("a", "b")]
    with pytest.raises(InputError, match="expected one of align, got normalize"):
        find_cleanable(results, ["normalize"])


def test_sizes_are_those_of_the_files(results: Path) -> None:
    _, found = find_cleanable(results, ["align"])
    assert [one.size_bytes for one in found] == [1000, 1000]


def test_what_killed_processes_left_is_found(results: Path) -> None:
    partial = results / "a" / "stages" / "composition" / ".reconstruct.zarr.partial-12345"
    (partial / "values").mkdir(parents=True)
    root, found = find_cleanable(results, [LEFT_OVER])
    assert [one.path for one in found] == [partial.resolve()]
    delete(root, found)
    assert not partial.exists()


@pytest.mark.parametrize("place", ["a", "a/stages/composition/elsewhere", "a/stages/composition/align.zarr"])
def test_links_are_refused_and_what_they_lead_to_stays(results: Path, tmp_path: Path, place: str) -> None:
    outside = tmp_path / "outside" / "stages" / "composition" / "align.zarr"
    outside.mkdir(parents=True)
    (outside / "mine").write_text("mine", encoding="utf-8")
    link = results / place
    if link.exists():
        link.rename(tmp_path / "moved")
    link.symlink_to(tmp_path / "outside" if place == "a" else outside)
    if place == "a":  # a sample that is a link is none of these results
        assert {one.sample for one in find_cleanable(results)[1]} == {"b"}
        with pytest.raises(InputError, match="got a link"):
            find_cleanable(link)
    else:
        with pytest.raises(StoreError, match="a link"):
            find_cleanable(results)
    assert (outside / "mine").is_file()


def test_a_link_that_appears_after_the_look_is_not_followed(results: Path, tmp_path: Path) -> None:
    root, found = find_cleanable(results / "a", ["align"])
    branch = results / "a" / "stages" / "composition"
    (tmp_path / "outside" / "align.zarr").mkdir(parents=True)
    branch.rename(tmp_path / "moved")
    branch.symlink_to(tmp_path / "outside")
    with pytest.raises(StoreError, match="a link"):
        delete(root, found)
    assert (tmp_path / "outside" / "align.zarr").is_dir()


def test_a_folder_that_is_no_result_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home" / "stages" / "work.zarr").mkdir(parents=True)
    for folder in (tmp_path / "home", tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match="expected a folder of results"):
            find_cleanable(folder)


def test_nothing_is_deleted_while_a_run_is_at_work(results: Path) -> None:
    root, found = find_cleanable(results)
    with run_lock(results), pytest.raises(StoreError, match="run at work"):
        delete(root, found)
    assert len(stores(results)) == 6
