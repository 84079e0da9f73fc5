"""A small DigitalMicrograph 3 file: a spectrum image with calibrated axes; big-endian tags, little-endian data."""

import struct
from pathlib import Path
from typing import Any

import numpy as np

LONG, FLOAT, USHORT_TEXT, ARRAY = 3, 6, 4, 20
_OF_DTYPE = {"int16": (2, 1), "uint16": (4, 10), "int32": (3, 7), "float32": (6, 2)}
"""Type of the elements of an array, and of the pixels of an image."""


def _entry(name: str, kind: int, body: bytes) -> bytes:
    label = name.encode("latin-1")
    return struct.pack(">BH", kind, len(label)) + label + body


def _data(info: tuple[int, ...], content: bytes) -> bytes:
    return b"%%%%" + struct.pack(f">{1 + len(info)}I", len(info), *info) + content


def _tags(content: dict[str, Any]) -> bytes:
    """Return a group of tags; names that are numbers stay without a label, as entries of a list."""
    out = struct.pack(">BBI", 1, 0, len(content))
    for name, value in content.items():
        label = "" if name.isdigit() else name
        if isinstance(value, dict):
            out += _entry(label, 20, _tags(value))
        elif isinstance(value, float):
            out += _entry(label, 21, _data((FLOAT,), struct.pack("<f", value)))
        elif isinstance(value, int):
            out += _entry(label, 21, _data((LONG,), struct.pack("<i", value)))
        elif isinstance(value, str):
            text = value.encode("utf-16-le")
            out += _entry(label, 21, _data((ARRAY, USHORT_TEXT, len(value)), text))
        else:
            code = _OF_DTYPE[value.dtype.name][0]
            out += _entry(
                label, 21, _data((ARRAY, code, value.size), value.astype("<" + value.dtype.str[1:]).tobytes())
            )
    return out


def write_dm3(path: Path, values: np.ndarray, axes: list[tuple[float, float, str]]) -> None:
    """Write an array, slowest axis first, with (offset, scale, unit) of each axis."""
    sizes = {str(i): int(n) for i, n in enumerate(reversed(values.shape))}
    # The origin counts in channels.
    dimension = {
        str(i): {"Origin": float(-offset / scale), "Scale": float(scale), "Units": unit}
        for i, (offset, scale, unit) in enumerate(reversed(axes))
    }
    image = {
        "ImageData": {
            "Calibrations": {
                "Brightness": {"Origin": 0.0, "Scale": 1.0, "Units": ""},
                "Dimension": dimension,
                "DisplayCalibratedUnits": 1,
            },
            "Data": np.ascontiguousarray(values).reshape(-1),
            "DataType": _OF_DTYPE[values.dtype.name][1],
            "Dimensions": sizes,
            "PixelDepth": values.dtype.itemsize,
        },
        "ImageTags": {},
        "Name": "SI",
    }
    body = _tags({"ImageList": {"0": image}})
    path.write_bytes(struct.pack(">III", 3, len(body) + 8, 1) + body + struct.pack(">II", 0, 0))
