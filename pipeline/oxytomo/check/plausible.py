"""Plausibility checks of raw files: existence, date, frame size, units."""

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from oxytomo.arrays import FloatArray
from oxytomo.config.ranges import DESCRIPTIONS, ENERGY_EV, FRAME_PX, PIXEL_NM, is_plausible
from oxytomo.errors import InputError

CLOCKS_DIFFER_S = 2.0
"""Tolerance for the clock difference between file server and computer; stages take longer."""
SHADOW = 0.05
"""A local change of a flat frame against the others that photon noise and drift do not make."""
SHADOW_SIGMA = 8.0
SHADOW_BLOCK_PX = 8
LEAST_FLATS = 3


def require_files(place: str, paths: Sequence[Path]) -> None:
    """Refuse raw files that are missing or have a date in the future.

    Parameters
    ----------
    place : their place in the configuration
    paths : the files
    """
    for path in paths:
        try:
            modified = path.stat().st_mtime
        except OSError as error:
            got = str(path) if isinstance(error, FileNotFoundError) else f"{path} ({error.strerror})"
            fix = "write / for \\" if "\\" in str(path) else "correct the path"
            raise InputError(place, expected="an existing file", got=got, fix=fix) from error
        if modified > time.time() + CLOCKS_DIFFER_S:
            raise InputError(
                place,
                expected="a file dated before now",
                got=f"{path}, dated {_date(modified)}, ahead of the clock of this computer",
                fix=f"correct the clock, or date the file anew: touch '{path}'",
            )


def require_plausible(place: str, frame: tuple[int, ...] | None, pixel_nm: float, energy_ev: float) -> None:
    """Refuse implausible values in the header of a series.

    Parameters
    ----------
    place : place of the series in the configuration
    frame : (n_y, n_x) of a frame of a tilt series, None for other frames
    pixel_nm, energy_ev : NaN if unknown
    """
    if frame is not None and not all(FRAME_PX[0] <= size <= FRAME_PX[1] for size in frame):
        raise InputError(
            place,
            expected=f"frames of {FRAME_PX[0]} × {FRAME_PX[0]} pixels or more, up to {FRAME_PX[1]} in a row",
            got=" × ".join(map(str, frame)),
            fix="give all rows of the detector, as a few cannot be aligned; or this is another dataset, or has its axes in "
            "another order",
        )
    for name, value, within in (
        ("pixel_nm", pixel_nm, PIXEL_NM),
        ("energy_ev", energy_ev, ENERGY_EV),
    ):
        if not is_plausible(value, within):
            raise InputError(
                place,
                expected=DESCRIPTIONS[name],
                got=f"{value:g}",
                fix=f"correct the unit in the file, or give '{name}:'",
            )


def _date(seconds: float) -> str:
    """Return a time as a date, if the calendar includes it."""
    try:
        return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g} s after 1970"


def shadowed_flats(flat: FloatArray) -> list[int]:
    """Return the numbers of flat frames with a shadow, from 1: they differ from the others locally.

    Parameters
    ----------
    flat : (n_flat, n_y, n_x); fewer than three frames cannot tell which one is right
    """
    size = min(SHADOW_BLOCK_PX, *flat.shape[1:])
    if len(flat) < LEAST_FLATS:
        return []
    rows, columns = (length // size for length in flat.shape[1:])
    cut = np.asarray(flat[:, : rows * size, : columns * size], np.float64)
    blocks = cut.reshape(len(flat), rows, size, columns, size).mean(axis=(2, 4)).reshape(len(flat), -1)
    blocks = blocks[:, (np.isfinite(blocks) & (blocks > 0)).all(axis=0)]
    if blocks.size == 0:
        return []
    ratio = blocks / np.median(blocks, axis=0)
    ratio /= np.median(ratio, axis=1, keepdims=True)  # the beam decays
    noise = 1.4826 * float(np.median(np.abs(ratio - 1.0)))
    far = np.abs(ratio - 1.0).max(axis=1) > max(SHADOW, SHADOW_SIGMA * noise)
    return [int(one) + 1 for one in np.flatnonzero(far)] if 0 < far.sum() <= len(flat) / 3 else []
