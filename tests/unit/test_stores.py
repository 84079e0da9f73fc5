"""Stores, tables and provenance: complete or absent, the same digest for the same content."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import oxytomo.io.stores as stores
from oxytomo.errors import InputError, StoreError
from oxytomo.io.provenance import describe, file_digest, input_record, make_provenance, provenance_chain
from oxytomo.io.stores import NamedArray, Provenance, chunk_shape, content_digest, read_store, write_store
from oxytomo.io.tables import read_csv, write_csv, write_json, write_text

PROVENANCE = Provenance(
    stage="normalize",
    version=3,
    settings={"floor": float("nan"), "path": Path("a/b"), "pair": (1, 2)},
    inputs={"raw": {"path": "raw.h5", "digest": "00ff"}},
    package_version="0.1.0",
    created="2024-05-01T12:00:00+00:00",
)


@pytest.fixture
def arrays(rng: np.random.Generator) -> dict[str, NamedArray]:
    return {
        "value": NamedArray(rng.random((5, 40, 30)).astype(np.float32), ("tilt", "y", "x"), "1"),
        "mask": NamedArray(rng.random((4, 6, 7)) > 0.5, ("z", "y", "x"), "1"),
        "half": NamedArray(rng.random((2, 3, 4, 5)).astype(np.float16), ("n", "z", "y", "x"), "1"),
        "zeros": NamedArray(np.zeros((3, 4), np.uint8), ("y", "x"), "1"),
        "empty": NamedArray(np.zeros((0, 3)), ("series", "tilt"), "px"),
        "number": NamedArray(np.array(2.5), (), "nanometer"),
        "fortran": NamedArray(np.asfortranarray(rng.random((3, 4, 5))), ("z", "y", "x"), "1"),
    }


def write(path: Path, arrays: dict[str, NamedArray], **attributes: Any) -> None:
    write_store(path, arrays, provenance=PROVENANCE, attributes=attributes)


def test_store_gives_back_what_was_written(tmp_path: Path, arrays: dict[str, NamedArray]) -> None:
    path = tmp_path / "deep" / "a.zarr"
    write(
        path, arrays, quantity="signal", gap=float("nan"), limits=[np.float32(1), np.inf], list=np.arange(3)
    )
    store = read_store(path)
    assert store.names == tuple(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(store[name], array.data)
        assert store[name].dtype == array.data.dtype
        assert store.axes(name) == array.axes
        assert store.unit(name) == array.unit
    assert store.attributes["quantity"] == "signal"
    assert np.isnan(store.attributes["gap"])
    assert store.attributes["limits"] == [1.0, float("inf")]
    assert store.attributes["list"] == [0, 1, 2]
    assert store.provenance.settings["path"] == "a/b"
    assert np.isnan(store.provenance.settings["floor"])
    assert store.provenance.inputs == PROVENANCE.inputs
    assert list(path.parent.iterdir()) == [path]
    assert store.array("value").shape == (5, 40, 30)


def test_root_metadata_is_strict_json(tmp_path: Path, arrays: dict[str, NamedArray]) -> None:
    write(tmp_path / "a.zarr", arrays, gap=float("nan"))

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    content = json.loads((tmp_path / "a.zarr/zarr.json").read_text(), parse_constant=refuse)
    assert content["zarr_format"] == 3
    assert content["attributes"]["oxytomo"]["stage"] == "normalize"


def test_digest_depends_on_content_alone(tmp_path: Path, arrays: dict[str, NamedArray]) -> None:
    reference = content_digest(arrays)
    assert content_digest(dict(reversed(arrays.items()))) == reference
    plain = arrays | {
        "fortran": NamedArray(np.ascontiguousarray(arrays["fortran"].data), ("z", "y", "x"), "1")
    }
    assert content_digest(plain) == reference
    swapped = arrays["value"].data.astype(">f4")
    assert content_digest(arrays | {"value": NamedArray(swapped, ("tilt", "y", "x"), "1")}) == reference
    changed = arrays["value"].data.copy()
    changed[-1, -1, -1] += 1
    assert content_digest(arrays | {"value": NamedArray(changed, ("tilt", "y", "x"), "1")}) != reference
    reshaped = NamedArray(np.zeros((4, 3), np.uint8), ("y", "x"), "1")
    assert content_digest(arrays | {"zeros": reshaped}) != reference
    write(tmp_path / "a.zarr", arrays)
    write(tmp_path / "b.zarr", arrays, other=1)
    assert read_store(tmp_path / "a.zarr").digest == read_store(tmp_path / "b.zarr").digest == reference


@pytest.mark.parametrize(
    ("shape", "item_bytes", "chunks"),
    [
        ((131, 128, 160), 4, (51, 128, 160)),  # 51 frames of 80 KiB are below 4 MiB
        ((8, 131, 128, 160), 4, (1, 51, 128, 160)),
        ((4, 2048, 2048), 4, (1, 512, 2048)),  # a frame of 16 MiB is cut in rows
        ((2, 3, 4), 4, (2, 3, 4)),
        ((0, 3), 8, (1, 3)),
        ((), 8, ()),
    ],
)
def test_chunks_are_whole_frames(shape: tuple[int, ...], item_bytes: int, chunks: tuple[int, ...]) -> None:
    assert chunk_shape(shape, item_bytes) == chunks


def test_older_store_is_replaced(tmp_path: Path, arrays: dict[str, NamedArray]) -> None:
    write(tmp_path / "a.zarr", arrays)
    write(tmp_path / "a.zarr", {"zeros": arrays["zeros"]})
    assert read_store(tmp_path / "a.zarr").names == ("zeros",)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_full_disk_leaves_the_older_store(
    tmp_path: Path, arrays: dict[str, NamedArray], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.zarr", arrays)
    whole = stores._write_group

    def full(folder: Path, *rest: Any) -> None:
        whole(folder, *rest)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(stores, "_write_group", full)
    with pytest.raises(StoreError, match=r"a\.zarr: expected to write it, got No space left on device"):
        write(tmp_path / "a.zarr", {"zeros": arrays["zeros"]})
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
    assert read_store(tmp_path / "a.zarr").names == tuple(arrays)


def test_interruption_leaves_nothing(
    tmp_path: Path, arrays: dict[str, NamedArray], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(folder: Path, *_: Any) -> None:
        folder.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(stores, "_write_group", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.zarr", arrays)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_made(tmp_path: Path, arrays: dict[str, NamedArray]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"expected to write it, got (Not a directory|File exists)"):
        write(tmp_path / "file" / "a.zarr", arrays)


def test_left_overs_of_dead_processes_go(tmp_path: Path, arrays: dict[str, NamedArray]) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    pid = int(dead.stdout)
    parent = os.getppid()
    for name in (f".a.zarr.partial-{pid}", f".a.zarr.partial-{parent}", f".b.zarr.partial-{pid}"):
        (tmp_path / name / "value").mkdir(parents=True)
    write(tmp_path / "a.zarr", arrays)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"a.zarr", f".a.zarr.partial-{parent}", f".b.zarr.partial-{pid}"}


def test_store_that_was_being_replaced_comes_back(tmp_path: Path, arrays: dict[str, NamedArray]) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    write(tmp_path / "a.zarr", arrays)
    (tmp_path / "a.zarr").rename(tmp_path / f".a.zarr.replaced-{int(dead.stdout)}")
    with pytest.raises(ZeroDivisionError), stores.complete_or_absent(tmp_path / "a.zarr"):
        raise ZeroDivisionError
    assert read_store(tmp_path / "a.zarr").names == tuple(arrays)


def test_wrong_arrays_are_refused(tmp_path: Path) -> None:
    for data, axes in ((np.zeros((2, 2)), ("x",)), (np.array(["a"]), ("x",))):
        with pytest.raises(StoreError, match=r"a\.zarr/value: expected a numeric array with 1 axes"):
            write(tmp_path / "a.zarr", {"value": NamedArray(data, axes, "1")})


def test_foreign_and_missing_folders(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "zarr").mkdir()
    (tmp_path / "zarr/zarr.json").write_text('{"zarr_format": 3, "attributes": {"ome": {}}}')
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut/zarr.json").write_text('{"zarr_format": 3, "attr')
    for name, match in (
        ("absent", "got nothing there"),
        ("folder", r"got a folder without zarr\.json"),
        ("file", "got a file"),
        ("zarr", "got a zarr folder without its provenance"),
        ("cut", r"got a zarr\.json that cannot be read"),
    ):
        with pytest.raises(StoreError, match=match):
            read_store(tmp_path / name)


def test_missing_chunk_and_missing_array(tmp_path: Path, arrays: dict[str, NamedArray]) -> None:
    path = tmp_path / "a.zarr"
    write(path, arrays)
    (path / "zeros/c/0/0").unlink()  # a chunk that is all zeros is written too, so that its loss is noticed
    with pytest.raises(StoreError, match="array 'zeros' that is missing or incomplete"):
        read_store(path)
    (path / "value/zarr.json").unlink()
    with pytest.raises(StoreError, match="array 'value' that is missing or incomplete"):
        read_store(path)


@pytest.mark.parametrize(
    ("damage", "got"),
    [
        ("cut", "array 'value' that is missing or incomplete: a chunk c/0/0/0 that was cut short"),
        ("flip", "array 'value' that cannot be decoded"),
    ],
)
def test_damaged_chunk(tmp_path: Path, arrays: dict[str, NamedArray], damage: str, got: str) -> None:
    path = tmp_path / "a.zarr"
    write(path, arrays)
    chunk = path / "value/c/0/0/0"
    content = bytearray(chunk.read_bytes())
    content[100] ^= 4
    chunk.write_bytes(content if damage == "flip" else content[:-30])
    with pytest.raises(StoreError, match=got):
        read_store(path)["value"]


def test_unknown_array(tmp_path: Path, arrays: dict[str, NamedArray]) -> None:
    write(tmp_path / "a.zarr", {"zeros": arrays["zeros"]})
    with pytest.raises(StoreError, match="expected an array 'vlaue', got a store with zeros"):
        read_store(tmp_path / "a.zarr")["vlaue"]


def test_digests_of_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # SHA-256 of "abc", FIPS 180-2
    assert file_digest(tmp_path / "a") == known
    assert input_record(tmp_path / "a") == {"path": str(tmp_path / "a"), "digest": known}
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub/x").write_text("x")
    assert input_record(tmp_path / "one")["digest"] == input_record(tmp_path / "two")["digest"]
    (tmp_path / "two/sub/x").rename(tmp_path / "two/sub/y")
    assert input_record(tmp_path / "one")["digest"] != input_record(tmp_path / "two")["digest"]
    with pytest.raises(InputError, match="expected a readable file, got No such file"):
        file_digest(tmp_path / "absent")


def test_chain_back_to_the_raw_file(tmp_path: Path, arrays: dict[str, NamedArray]) -> None:
    raw = tmp_path / "raw.h5"
    raw.write_bytes(b"frames")
    zeros = {"zeros": arrays["zeros"]}
    first = make_provenance("normalize", 1, {"floor": 0.1}, {"raw": raw})
    write_store(tmp_path / "first.zarr", zeros, provenance=first, attributes={})
    second = make_provenance("align", 2, {}, {"O": tmp_path / "first.zarr"})
    assert second.inputs["O"]["digest"] == read_store(tmp_path / "first.zarr").digest
    write_store(tmp_path / "second.zarr", zeros, provenance=second, attributes={})
    chain = provenance_chain(tmp_path / "second.zarr")
    assert [(link["depth"], link["name"], link["state"]) for link in chain] == [
        (0, "O", "unchanged"),
        (1, "raw", "unchanged"),
    ]
    raw.write_bytes(b"other frames")
    assert provenance_chain(tmp_path / "second.zarr")[1]["state"] == "changed"
    raw.unlink()
    lines = describe(tmp_path / "second.zarr")
    assert lines[0].startswith(f"{tmp_path / 'second.zarr'}: result of stage align version 2, oxytomo ")
    assert "  zeros: (y 3, x 4) uint8 [1]" in lines
    assert f"    from raw: {raw} (missing, sha256 {first.inputs['raw']['digest'][:12]})" in lines


def test_tables(tmp_path: Path) -> None:
    write_csv(
        tmp_path / "a.csv", {"name": ["a, b", "c"], "value": np.array([1 / 3, np.nan]), "n": np.array([1, 2])}
    )
    assert (tmp_path / "a.csv").read_bytes() == b'name,value,n\n"a, b",0.333333333,1\nc,nan,2\n'
    assert read_csv(tmp_path / "a.csv") == {
        "name": ["a, b", "c"],
        "value": ["0.333333333", "nan"],
        "n": ["1", "2"],
    }
    write_csv(tmp_path / "b.csv", {"a": [], "b": []})
    assert read_csv(tmp_path / "b.csv") == {"a": [], "b": []}
    with pytest.raises(StoreError, match="columns of equal length, got a: 1, b: 2"):
        write_csv(tmp_path / "c.csv", {"a": [1], "b": [1, 2]})
    assert not (tmp_path / "c.csv").exists()
    (tmp_path / "d.csv").write_text("a,b\n1\n")
    with pytest.raises(StoreError, match="rows of different length"):
        read_csv(tmp_path / "d.csv")


def test_json_and_text(tmp_path: Path) -> None:
    write_json(
        tmp_path / "a.json",
        {"x": np.float32(0.5), "gap": np.nan, "list": np.arange(2), "deep": {"µ": -np.inf}},
    )
    written = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert written == {"x": 0.5, "gap": None, "list": [0, 1], "deep": {"µ": None}}
    write_text(tmp_path / "a.txt", "one\ntwo µ\n")
    write_text(tmp_path / "a.txt", "three\n")
    assert (tmp_path / "a.txt").read_text() == "three\n"
    with pytest.raises(StoreError, match="expected to write it"):
        write_text(tmp_path / "a.txt" / "b.txt", "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.txt"]
