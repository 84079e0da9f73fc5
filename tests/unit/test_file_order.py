"""One order of files everywhere: numbers in names count by their value."""

import random
from pathlib import Path

import numpy as np
import pytest
import tifffile

from oxytomo.config import expand
from oxytomo.file_order import natural_order
from oxytomo.io.readers import ReadRequest, read_tilt_series
from oxytomo.io.readers.formats import raw_files
from oxytomo.io.volumes import VolumeRequest, read_volume

TILTS = range(-66, 67, 3)
EDGE = [635 + 0.25 * i for i in range(60)]

NAMES = {
    "padded": [f"frame_{i:04d}.tif" for i in range(20)],
    "not padded": [f"frame_{i}.tif" for i in range(120)],
    "decimals as %g": [f"Mn_{e:g}.tif" for e in EDGE],
    "decimals as str": [f"Mn_{e}.tif" for e in EDGE],
    "decimals with a unit, no suffix": [f"Mn_{e:g}eV" for e in EDGE],
    "p for the point": [f"e{e}eV.tif".replace(".", "p", 1) for e in EDGE],
    "decimal commas": [f"e_{e:g}".replace(".", ",") + ".tif" for e in EDGE],
    "powers of ten": [f"e_{x:g}.tif" for x in (1e-6, 2e-6, 1e-5, 1e-4, 0.1, 1, 10)],
    "signed powers of ten": [f"e_{x:e}.tif" for x in (-1e3, -1, 1e-6, 2e-6, 1e-5, 0.1, 10)],
    "signed": [f"proj_{t}.tif" for t in TILTS],
    "signed with decimals": [f"tilt_{t:.1f}.tif" for t in TILTS],
    "sign behind a letter": [f"proj{t}.tif" for t in TILTS],
    "all with their sign": [f"scan1{t:+07.2f}.tif" for t in TILTS],
    "index before a signed angle": [f"s_idx{i:05d}_{t:+07.2f}deg.tif" for i, t in enumerate(TILTS)],
    "long minus": [f"t_{t}.tif".replace("-", "−") for t in TILTS],
    "negative only": [f"tilt_{t}.tif" for t in TILTS if t < 0],
    "a dash that counts": [f"scan-{i:03d}.tif" for i in range(20)],
    "a dash behind a blank that counts": [f"scan_-{i:03d}.tif" for i in range(1, 20)],
    "run and frame": [f"run_1-{i}.tif" for i in range(12)],
    "dates": [f"2024-01-{i:02d}.tif" for i in range(1, 20)],
    "dates with points": [f"s_2024.1.{i}.tif" for i in range(1, 20)],
    "scan and frame": [f"scan_12.{i:03d}.tif" for i in range(995, 1005)],
    "two whole numbers": [f"v1.{i}" for i in range(1, 15)],
    "no power of ten": [f"a2e{i}.tif" for i in range(12)],
    "folders": [f"run{r}/f{i}.tif" for r in (1, 2, 10) for i in (1, 2, 10)],
    "without a number first": ["a.tif", "a1.tif", "a2.tif"],
    "a digit that is none": [f"x²_{i}.tif" for i in range(11)],
}


@pytest.mark.parametrize("kind", NAMES)
def test_names_are_sorted_by_their_numbers(kind: str) -> None:
    expected = [Path(name) for name in NAMES[kind]]
    mixed = random.Random(3).sample(expected, len(expected))
    assert natural_order(mixed) == expected
    assert natural_order(reversed(expected)) == expected


@pytest.mark.parametrize("kind", ["signed", "decimals as %g", "index before a signed angle", "not padded"])
def test_folder_pattern_flats_and_slices_have_one_order(tmp_path: Path, kind: str) -> None:
    names = NAMES[kind][:30]
    for value, name in enumerate(names):
        tifffile.imwrite(tmp_path / name, np.full((4, 5), value, np.uint16))
    pattern = tuple(expand((str(tmp_path / "*.tif"),)))
    assert [path.name for path in pattern] == names
    assert [path.name for path in raw_files((tmp_path,), "images")[1]] == names
    wanted = np.arange(len(names))
    for images in ((tmp_path,), pattern):
        series = read_tilt_series(ReadRequest(images=images, angles=(0.0, 1.0), flat=images))
        assert series.flat is not None
        np.testing.assert_array_equal(np.asarray(series.frames[:, 0, 0]), wanted)
        np.testing.assert_array_equal(series.flat[:, 0, 0], wanted)
        values = read_volume(VolumeRequest(images=images)).values[:]
        np.testing.assert_array_equal(values[:, 0, 0], wanted)


def test_what_macos_keeps_beside_files_is_no_frame(tmp_path: Path) -> None:
    (tmp_path / ".hidden").mkdir()
    for number in range(3):
        for folder in (tmp_path, tmp_path / ".hidden"):
            tifffile.imwrite(folder / f"proj_{number}.tif", np.full((4, 5), number, np.uint16))
        (tmp_path / f"._proj_{number}.tif").write_bytes(b"\0\x05\x16\x07\0\x02\0\0Mac OS X" + bytes(400))
    names = [f"proj_{number}.tif" for number in range(3)]
    for pattern in ("*.tif", "*proj_*.tif", "**/proj_?.tif"):
        assert [path.name for path in expand((str(tmp_path / pattern),))] == names, pattern
    assert [path.name for path in raw_files((tmp_path,), "images")[1]] == names
    assert read_volume(VolumeRequest(images=(tmp_path,))).values[:].shape == (3, 4, 5)
    hidden = expand((str(tmp_path / ".hidden" / "*.tif"),))
    assert [path.parent.name for path in hidden] == [".hidden"] * 3  # it was asked for
    with pytest.raises(Exception, match=r"macOS keeps.*give proj_0\.tif instead"):
        raw_files((tmp_path / "._proj_0.tif",), "images")
