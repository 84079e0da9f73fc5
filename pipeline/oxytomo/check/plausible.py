"""What raw files cannot be: absent, dated ahead of the clock, with frames or units that no microscope has."""

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from oxytomo.config.ranges import DESCRIPTIONS, ENERGY_EV, FRAME_PX, PIXEL_NM, is_plausible
from oxytomo.errors import InputError

CLOCKS_DIFFER_S = 2.0
"""Clocks of a file server and of the computer differ by less, and a stage takes longer."""


def require_files(place: str, paths: Sequence[Path]) -> None:
    """Refuse raw files that are not there, or newer than anything made from them would be.

    Parameters
    ----------
    place : where they are in the configuration
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
    """Refuse what the header of a series says where it cannot be true.

    Parameters
    ----------
    place : where the series is in the configuration
    frame : (n_y, n_x) of a frame of a tilt series, None for other frames
    pixel_nm, energy_ev : NaN where they are not known
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
    """Return a time as a date, where the calendar goes so far."""
    try:
        return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g} s after 1970"
