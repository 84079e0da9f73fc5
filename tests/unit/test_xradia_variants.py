"""Xradia files of aborted scans and of mosaics."""

import struct
from pathlib import Path

import numpy as np
import pytest

from oxytomo.errors import InputError
from oxytomo.io.readers import ReadRequest, peek, read_tilt_series
from tests.fuzz.ole import write_ole

SIDE = 64
"""Frames of 8 kB: the writer fills shorter streams up."""
FRAMES = np.random.default_rng(2).integers(0, 4000, (6, SIDE, SIDE)).astype("<u2")


def write(path: Path, frames: list[np.ndarray], planned: int, **integers: int) -> None:
    """Write a scan of which ``planned`` frames were to be taken."""
    entries = {"ImageWidth": SIDE, "ImageHeight": SIDE, "NoOfImages": planned, "DataType": 5} | integers
    streams = {f"ImageInfo/{name}": struct.pack("<i", value) for name, value in entries.items()}
    streams["ImageInfo/Angles"] = np.arange(planned, dtype="<f4").tobytes()
    streams["ImageInfo/PixelSize"] = np.full(planned, 0.01, "<f4").tobytes()
    streams["ReferenceData/DataType"] = struct.pack("<i", 5)
    streams["ReferenceData/Image"] = np.full((SIDE, SIDE), 4000, "<u2").tobytes()
    streams |= {f"ImageData1/Image{i + 1}": frame.tobytes() for i, frame in enumerate(frames)}
    write_ole(path, streams)


def test_an_aborted_scan_has_the_frames_that_were_taken(tmp_path: Path) -> None:
    write(tmp_path / "a.txrm", [*FRAMES[:4]], 6, ImagesTaken=4)
    summary = peek(ReadRequest(images=(tmp_path / "a.txrm",)))
    assert summary.remarks == ("a.txrm: an aborted scan: 4 of 6 frames were taken",)
    series = read_tilt_series(ReadRequest(images=(tmp_path / "a.txrm",)))
    np.testing.assert_array_equal(series.frames[:], FRAMES[:4])
    assert series.tilt_deg.tolist() == [0.0, 1.0, 2.0, 3.0]


def test_frames_that_are_missing_without_a_word_are_a_truncated_file(tmp_path: Path) -> None:
    for more in ({}, {"ImagesTaken": 6}, {"ImagesTaken": 0}):
        write(tmp_path / "a.txrm", [*FRAMES[:4]], 6, **more)
        with pytest.raises(InputError, match="4 of them: the file is truncated"):
            peek(ReadRequest(images=(tmp_path / "a.txrm",)))


def test_a_complete_scan_has_no_remark(tmp_path: Path) -> None:
    # Where ImagesTaken is behind, the frames themselves say what was taken.
    for more in ({}, {"ImagesTaken": 6}, {"ImagesTaken": 2}, {"MosiacRows": 1, "MosiacColumns": 1}):
        write(tmp_path / "a.txrm", [*FRAMES], 6, **more)
        summary = peek(ReadRequest(images=(tmp_path / "a.txrm",)))
        assert (summary.shape, summary.remarks) == ((6, SIDE, SIDE), ())


def test_a_stitched_mosaic_is_one_frame(tmp_path: Path) -> None:
    whole = np.concatenate([np.concatenate([*FRAMES[:3]], axis=1), np.concatenate([*FRAMES[3:]], axis=1)])
    write(tmp_path / "a.xrm", [whole], 6, MosiacRows=2, MosiacColumns=3, ImagesTaken=6)
    series = read_tilt_series(ReadRequest(images=(tmp_path / "a.xrm",)))
    np.testing.assert_array_equal(series.frames[:], whole[None])
    assert series.flat is None  # the reference is of one tile
    assert peek(ReadRequest(images=(tmp_path / "a.xrm",))).remarks == (
        "a.xrm: a stitched mosaic of 2 × 3 tiles",
    )


def test_a_mosaic_of_tiles_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.xrm", [*FRAMES], 6, MosiacRows=2, MosiacColumns=3)
    with pytest.raises(InputError, match=r"got a mosaic of 2 × 3 tiles.*stitch it"):
        peek(ReadRequest(images=(tmp_path / "a.xrm",)))
