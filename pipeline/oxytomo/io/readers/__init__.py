"""Readers of raw tilt series: one module per format, recognised by content.

A new format is one new module with three names: ``NAME``, ``recognises(path) -> bool`` and
``open_file(path, request) -> RawFile``.
"""

from oxytomo.io.readers.angles import AngleTable, read_angles
from oxytomo.io.readers.base import FrameStack, RawFile, ReadRequest, SeriesSummary
from oxytomo.io.readers.series import look, peek, read_flat, read_some, read_tilt_series

__all__ = [
    "AngleTable",
    "FrameStack",
    "RawFile",
    "ReadRequest",
    "SeriesSummary",
    "look",
    "peek",
    "read_angles",
    "read_flat",
    "read_some",
    "read_tilt_series",
]
