"""Files and configurations from elsewhere: no code of theirs runs, nothing beside them is read, memory stays bounded."""

import bz2
import gzip
import json
import lzma
import os
import pickle
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import h5py
import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from oxytomo.config import load_config, parse_config
from oxytomo.errors import ConfigError, InputError, PipelineError, StoreError
from oxytomo.io.plain_files import parse_json, printable, read_plain
from oxytomo.io.readers import ReadRequest, peek, read_angles, read_tilt_series
from oxytomo.io.readers.guard import GUARD_CPU_S, check_structure
from oxytomo.io.readers.walk_hdf5 import WALKED_CHUNK_BYTES
from oxytomo.io.spectra import read_spectrum
from oxytomo.io.volumes import VolumeRequest, read_volume

CORPUS = Path(__file__).resolve().parents[1] / "fuzz" / "corpus"


def read(path: Path) -> object:
    return read_tilt_series(ReadRequest(images=(path,), angles=(0.0, 1.0)))


def volume(path: Path) -> object:
    return read_volume(VolumeRequest(images=(path,))).values[:]


def spectrum(path: Path) -> object:
    return read_spectrum(path, group=None, energy_unit=None)


# --- HDF5 that leads elsewhere


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A folder with a file to send, and beside it one that nobody gave."""
    (tmp_path / "sent").mkdir()
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["data"] = np.full((6, 4, 5), 7, np.uint16)
    (tmp_path / "secret.bin").write_bytes(bytes(240))
    return tmp_path / "sent" / "a.h5"


def exchange(path: Path) -> h5py.File:
    file = h5py.File(path, "w")
    file["implements"] = "exchange"
    file["exchange/theta"] = np.arange(6.0)
    return file


@pytest.mark.parametrize("target", ["../secret.h5", "{folder}/secret.h5", "../sent/../secret.h5"])
def test_external_links_out_of_the_folder_are_refused(secret: Path, target: str) -> None:
    with exchange(secret) as file:
        file["exchange/data"] = h5py.ExternalLink(target.format(folder=secret.parents[1]), "/data")
    with pytest.raises(InputError, match=r"got a reference to .*secret"):
        read(secret)


def test_also_by_way_of_a_file_beside(secret: Path) -> None:
    with h5py.File(secret.with_name("b.h5"), "w") as file:
        file["data"] = h5py.ExternalLink("../secret.h5", "/data")
    with exchange(secret) as file:
        file["exchange/data"] = h5py.ExternalLink("b.h5", "/data")
    with pytest.raises(InputError, match="got a reference to"):
        read(secret)


def test_values_kept_in_files_elsewhere_are_refused(secret: Path) -> None:
    with exchange(secret) as file:
        outside = [(str(secret.parents[1] / "secret.bin"), 0, 240)]
        file.create_dataset("exchange/data", (6, 4, 5), np.uint16, external=outside)
    with pytest.raises(InputError, match=r"got a reference to .*secret\.bin"):
        read(secret)


def test_virtual_datasets_of_files_elsewhere_are_refused(secret: Path) -> None:
    layout = h5py.VirtualLayout((6, 4, 5), np.uint16)
    layout[...] = h5py.VirtualSource("../secret.h5", "data", (6, 4, 5))
    with exchange(secret) as file:
        file.create_virtual_dataset("exchange/data", layout)
    with pytest.raises(InputError, match="got a reference to"):
        read(secret)


def test_a_link_of_the_file_system_is_the_users_word(secret: Path) -> None:
    secret.with_name("near.h5").symlink_to(secret.parents[1] / "secret.h5")
    with exchange(secret) as file:
        file["exchange/data"] = h5py.ExternalLink("near.h5", "/data")
    assert peek(ReadRequest(images=(secret,))).shape == (6, 4, 5)


# --- declared sizes


def test_a_dataset_that_declares_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    with exchange(tmp_path / "a.h5") as file:
        data = file.create_dataset(
            "exchange/data", (1, 60000, 60000), np.uint16, chunks=(1, 7500, 60000), compression="gzip"
        )
        for row in range(0, 60000, 7500):
            data.id.write_direct_chunk((0, row, 0), zlib.compress(bytes(1000)))
    with pytest.raises(InputError, match=r"of the declared size \(7\.2 GB\)"):
        read(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("name", "head"),
    [
        (
            "a.mha",
            b"ObjectType = Image\nDimSize = 90000 90000 9\nElementType = MET_SHORT\nElementDataFile = LOCAL\n",
        ),
        (
            "a.nrrd",
            b"NRRD0004\ntype: short\ndimension: 3\nsizes: 90000 90000 9\nendian: little\nencoding: gzip\n\n",
        ),
    ],
)
def test_volumes_that_declare_more_than_they_hold_are_refused(tmp_path: Path, name: str, head: bytes) -> None:
    (tmp_path / name).write_bytes(head + zlib.compress(bytes(100)))
    with pytest.raises(InputError, match="values of the declared size"):
        volume(tmp_path / name)


def test_packed_data_that_unfold_without_end_are_refused(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(2**25))
    head = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 9 9 9\nendian: little\nencoding: gzip\n\n"
    (tmp_path / "a.nrrd").write_bytes(head + bomb)
    with pytest.raises(InputError, match="more packed data"):
        volume(tmp_path / "a.nrrd")
    head = b"ObjectType = Image\nDimSize = 9 9 9\nElementType = MET_SHORT\nCompressedData = True\nElementDataFile = LOCAL\n"
    (tmp_path / "a.mha").write_bytes(head + zlib.compress(bytes(2**25)))
    with pytest.raises(InputError, match="1458 bytes of values, got more packed data"):
        volume(tmp_path / "a.mha")


def test_devices_and_pipes_are_no_tables(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (Path("/dev/zero"), tmp_path / "pipe"):
        with pytest.raises(InputError, match="no plain file"):
            read_angles(path)
        with pytest.raises(InputError, match="no plain file"):
            read_spectrum(path, group=None, energy_unit=None)


# --- volumes that lead elsewhere or run code


@pytest.mark.parametrize("target", ["../secret.bin", "/etc/hostname"])
def test_headers_that_name_files_elsewhere_are_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(27))
    (tmp_path / "sent").mkdir()
    head = f"ObjectType = Image\nDimSize = 3 3 3\nElementType = MET_UCHAR\nElementDataFile = {target}\n"
    (tmp_path / "sent" / "a.mhd").write_text(head, encoding="ascii")
    head = f"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 3 3 3\nencoding: raw\ndata file: {target}\n\n"
    (tmp_path / "sent" / "a.nhdr").write_text(head, encoding="ascii")
    for name in ("a.mhd", "a.nhdr"):
        with pytest.raises(InputError, match="got a reference to"):
            volume(tmp_path / "sent" / name)


class Exploit:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("dtype", ["|O", "<f4"])
def test_a_zarr_volume_with_pickled_values_is_refused(tmp_path: Path, dtype: str) -> None:
    folder = tmp_path / "a.zarr"
    folder.mkdir()
    described = {"zarr_format": 2, "shape": [2, 2, 2], "chunks": [2, 2, 2], "dtype": dtype, "order": "C"}
    described |= {"fill_value": 0, "compressor": None, "filters": [{"id": "pickle", "protocol": 5}]}
    (folder / ".zarray").write_text(json.dumps(described), encoding="utf-8")
    (folder / "0.0.0").write_bytes(pickle.dumps(Exploit(tmp_path / "ran")))
    with pytest.raises(InputError):
        volume(folder)
    assert not (tmp_path / "ran").exists()


def test_a_zarr_volume_with_chunks_elsewhere_is_refused(tmp_path: Path) -> None:
    array = zarr.create_array(
        str(tmp_path / "sent" / "a.zarr"), shape=(4, 4, 4), chunks=(2, 4, 4), dtype="f4"
    )
    array[...] = 1.0
    chunk = tmp_path / "sent" / "a.zarr" / "c" / "0" / "0" / "0"
    chunk.rename(tmp_path / "secret.bin")
    chunk.symlink_to(tmp_path / "secret.bin")
    with pytest.raises(InputError, match="got a reference to"):
        volume(tmp_path / "sent" / "a.zarr")


def test_a_zarr_volume_that_declares_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    zarr.create_array(str(tmp_path / "a.zarr"), shape=(90000, 9000, 9000), chunks=(64, 64, 64), dtype="f4")
    with pytest.raises(InputError, match="of the declared size"):
        volume(tmp_path / "a.zarr")


def packed_bomb(folder: Path, compressor: dict[str, Any], chunk: bytes) -> Path:
    """Write a volume of format 2 whose only chunk is given."""
    folder.mkdir()
    described = {"zarr_format": 2, "shape": [4, 4, 4], "chunks": [4, 4, 4], "dtype": "<f4", "order": "C"}
    described |= {"fill_value": 0, "compressor": compressor, "filters": None}
    (folder / ".zarray").write_text(json.dumps(described), encoding="utf-8")
    (folder / "0.0.0").write_bytes(chunk)
    return folder


LARGE = bytes(2**24)


@pytest.mark.parametrize(
    ("compressor", "chunk"),
    [
        ({"id": "zlib", "level": 1}, zlib.compress(LARGE)),
        ({"id": "gzip", "level": 1}, gzip.compress(LARGE)),
        ({"id": "gzip", "level": 1}, gzip.compress(bytes(256)) + gzip.compress(LARGE)),
        ({"id": "bz2", "level": 1}, bz2.compress(LARGE)),
        ({"id": "lzma"}, lzma.compress(LARGE)),
        ({"id": "zstd", "level": 1}, numcodecs.Zstd().encode(LARGE)),
        ({"id": "lz4", "acceleration": 1}, numcodecs.LZ4().encode(LARGE)),
        ({"id": "blosc", "cname": "zstd", "clevel": 1, "shuffle": 1}, numcodecs.Blosc("zstd").encode(LARGE)),
    ],
)
def test_chunks_that_unpack_to_more_than_they_declare_are_refused(
    tmp_path: Path, compressor: dict[str, Any], chunk: bytes
) -> None:
    with pytest.raises(PipelineError, match="a chunk of 256 bytes, got one that unpacks to more"):
        volume(packed_bomb(tmp_path / "a.zarr", compressor, chunk))


@pytest.mark.parametrize("codec", ["zlib", "gzip", "bz2", "lzma", "zstd", "lz4", "blosc"])
def test_honest_chunks_of_every_compressor_are_read(
    tmp_path: Path, rng: np.random.Generator, codec: str
) -> None:
    values = rng.random((4, 4, 4), np.float32)
    packer = numcodecs.get_codec({"id": codec})
    place = packed_bomb(tmp_path / "a.zarr", packer.get_config(), bytes(packer.encode(values.tobytes())))
    np.testing.assert_array_equal(read_volume(VolumeRequest(images=(place,))).values[:], values)


def test_a_packed_chunk_that_is_too_large_is_called_so(tmp_path: Path) -> None:
    with exchange(tmp_path / "a.h5") as file:
        data = file.create_dataset(
            "exchange/data", (6, 20000, 20000), np.uint16, chunks=(2, 20000, 20000), compression="gzip"
        )
        for first in range(0, 6, 2):
            data.id.write_direct_chunk((first, 0, 0), zlib.compress(bytes(2**21)))
    with pytest.raises(InputError, match=r"packed chunks of at most 1\.1 GB, got chunks of 1\.6 GB"):
        read(tmp_path / "a.h5")


def test_the_guard_does_not_unpack_large_chunks(tmp_path: Path) -> None:
    with exchange(tmp_path / "a.h5") as file:
        file.create_dataset(
            "exchange/data", (2, 8192, 8192), np.uint16, chunks=(2, 8192, 8192), compression="gzip"
        )[0, 0, 0] = 1
    assert WALKED_CHUNK_BYTES < 2 * 8192**2 * 2
    check_structure(tmp_path / "a.h5")


@pytest.mark.parametrize(
    "unit",
    [
        'PAxis = { Name = "";Unit = "nm";',
        "PAxis = {",
        'PAxis = { Name = "a"; Unit = "nm"; Points = (',
        " Points = (",
    ],
)
def test_headers_of_scans_are_searched_in_linear_time(tmp_path: Path, unit: str) -> None:
    (tmp_path / "a.hdr").write_text("ScanDefinition = {" + unit * (280_000 // len(unit)), encoding="ascii")
    started = time.process_time()
    with pytest.raises(InputError, match="header of an image stack"):
        read(tmp_path / "a.hdr")
    # 0.1 s of computing; the pattern that was tried at every place took 6 s and more
    assert time.process_time() - started < 2


def test_a_header_of_a_scan_has_a_limit(tmp_path: Path) -> None:
    (tmp_path / "a.hdr").write_text("ScanDefinition = {" + " " * 2**21, encoding="ascii")
    with pytest.raises(InputError, match=r"at most 1 MB, got 2\.1 MB"):
        read(tmp_path / "a.hdr")


# --- JSON of results


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[" * 100_000, "without end"),
        ("[" * 70 + "]" * 70, "deeper than 64"),
        ('{"a": 1, "a": 2}', "a key given twice"),
        ('{"a": 1e999}', "the number 1e999"),
        ('{"a": NaN}', "the number NaN"),
        ("9" * 5000, "digits"),
        ("{", "Expecting"),
    ],
)
def test_json_without_traps(text: str, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        parse_json(text)
    assert parse_json('{"a": [1, 2.5, null, {"b": "x"}]}') == {"a": [1, 2.5, None, {"b": "x"}]}


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link"])
def test_only_plain_files_are_read(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert read_plain(tmp_path / "file", 3) == b"abc"
    with pytest.raises(StoreError, match="at most"):
        read_plain(tmp_path / "file", 2)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    path = Path("/dev/zero") if kind == "device" else tmp_path / kind
    with pytest.raises(StoreError, match=f"expected a plain file, got a {kind}"):
        read_plain(path)


def test_text_of_others_does_not_steer_the_terminal() -> None:
    assert printable("a\x1b[2J\n\u202eb é µ") == "a\\x1b[2J\\n\\u202eb é µ"


# --- the configuration


def refused(folder: Path, text: str) -> str:
    (folder / "x.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(folder / "x.yaml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_aliases_that_unfold_without_end_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    text = "\n".join([*lines, "samples: {s: {tomogram: {source: *a11}}}"])
    assert "with aliases written out" in refused(tmp_path, text)
    assert "with aliases written out" in refused(tmp_path, "samples: &a [*a]")


@pytest.mark.parametrize(
    "text",
    [
        "samples: !!python/object/apply:os.system ['touch ran']",
        "samples: {? !!python/object/apply:os.system ['touch ran'] : 1}",
        "[" * 20000,
        "[{a: " * 300 + "1",
        "results: " + "9" * 5000,
        "results: 2020-99-99",
        "? [a, b]\n: 1",
        "? {a: b}\n: 1",
        "results: !!binary '*'",
        "results: .inf\nsamples: {}",
        "samples: {s: {tomogram: {source: '{sample}.h5'}}}",
        "samples: {'../../escape': {tomogram: {source: a.h5}}}",
        "samples: {'a b': {tomogram: {source: a.h5}}}",
        "samples: {'$(touch ran)': {tomogram: {source: a.h5}}}",
        "samples: {'': {tomogram: {source: a.h5}}}",
        "samples: {logs: {tomogram: {source: a.h5}}, benchmarks: {tomogram: {source: ''}}}",
    ],
)
def test_wicked_configurations_are_one_line(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(tmp_path, text)
    assert not (tmp_path / "ran").exists()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(name=st.text(min_size=1, max_size=30))
def test_every_accepted_sample_name_is_a_plain_folder_name(name: str) -> None:
    try:
        project = parse_config({"samples": {name: {"tomogram": {"source": "a.h5"}}}}, folder=Path("/data"))
    except PipelineError:
        return
    assert set(project.samples) == {name}
    assert Path(name).name == name
    assert name.isascii()
    assert not name.startswith(".")


@pytest.mark.slow
def test_paths_of_raw_files_reach_the_shell_as_they_are(tmp_path: Path) -> None:
    name = "a'; touch ran; $(touch ran) `touch ran`.h5"
    with exchange(tmp_path / name) as file:
        file["exchange/data"] = np.ones((6, 8, 9), np.uint16)
    config = {
        "results": "out",
        "samples": {"s": {"tomogram": {"source": {"images": name, "quantity": "signal", "pixel_nm": 10}}}},
    }
    (tmp_path / "x.yaml").write_text(json.dumps(config), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "oxytomo", "run", "x.yaml", "--cores", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (tmp_path / "out/s/stages/tomogram/normalize/signal.zarr").is_dir(), done.stdout + done.stderr
    assert not list(tmp_path.rglob("ran"))


# --- what fuzzing found


def test_the_guard_ends_what_the_library_does_not(tmp_path: Path) -> None:
    hangs = sorted(CORPUS.glob("hang_*.h5"))
    assert hangs
    for path in hangs:
        with pytest.raises(InputError, match=f"busy without end \\({GUARD_CPU_S:g} s\\)"):
            check_structure(path)


@pytest.mark.parametrize("path", sorted(CORPUS.glob("refused_*")), ids=lambda path: path.name)
def test_files_that_once_gave_a_traceback_are_one_line(path: Path) -> None:
    readers = {".nrrd": volume, ".nii": volume, ".dat": spectrum}
    with pytest.raises(InputError) as caught:
        readers.get(path.suffix, read)(path)
    assert "\n" not in str(caught.value)


def test_one_process_walks_all_files_until_one_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oxytomo.io.readers import guard

    def forbidden() -> int:
        raise AssertionError("a process with threads forks")

    monkeypatch.setattr(os, "fork", forbidden)
    for name in ("a", "b", "c", "d"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["data"] = np.ones((3, 4))
    guard.check_structure(tmp_path / "a.h5")
    (first,) = guard._STARTED
    guard.check_structure(tmp_path / "b.h5")
    assert [first] == guard._STARTED
    # A process that has ended between two files is no fault of the next file.
    first._process.kill()
    first._process.wait()
    guard.check_structure(tmp_path / "c.h5")
    (second,) = guard._STARTED
    assert second is not first
    with pytest.raises(InputError, match="busy without end"):
        guard.check_structure(next(iter(sorted(CORPUS.glob("hang_*.h5")))))
    guard.check_structure(tmp_path / "d.h5")


def test_a_file_on_which_the_library_crashes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A walker that ends by SIGSEGV at a name, in place of a library that does at a structure."""
    from oxytomo.io.readers import guard

    program = tmp_path / "walk_hdf5.py"
    program.write_text(
        "import os, signal, sys\n"
        "while len(head := sys.stdin.buffer.read(8)) == 8:\n"
        "    if b'bad' in sys.stdin.buffer.read(int.from_bytes(head, 'big')):\n"
        "        os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    os.write(1, b'.')\n",
        encoding="utf-8",
    )
    for name in ("good", "bad"):
        (tmp_path / f"{name}.h5").write_bytes(b"x")
    guard._end_walker()
    monkeypatch.setattr(guard, "PROGRAM", program)
    guard.check_structure(tmp_path / "good.h5")
    with pytest.raises(InputError, match="crashes \\(SIGSEGV\\)"):
        guard.check_structure(tmp_path / "bad.h5")
    guard.check_structure(tmp_path / "good.h5")
    guard._end_walker()
