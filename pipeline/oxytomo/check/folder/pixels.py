"""Quantity of the pixels, judged from a frame if neither the file nor its name gives it."""

from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import AnyArray, Quantity
from oxytomo.check.folder.grouping import RawSeries
from oxytomo.errors import PipelineError
from oxytomo.io.readers import ReadRequest, read_some

_HALF_RANGE = 32768
_LARGEST_OD = 10.0
_BACKGROUND_OD = 0.3
_BRIGHT, _OPEN = 1.5, (0.7, 1.3)


@dataclass(frozen=True)
class Pixels:
    """Proposed quantity and offset with the reason; None without a proposal."""

    quantity: Quantity | None = None
    offset: float = 0.0
    why: str = ""


def judge(series: RawSeries) -> Pixels:
    """Return the assumed quantity of a series without flat frames.

    Signed whole numbers of an electron microscope (MRC) that begin near −32768 are counts less
    32768. Fractions whose empty region is near 0 are optical densities, near 1 transmissions.
    Nothing is said of unsigned whole numbers.
    """
    first = series.files[0]
    if series.n_flat or series.flat or first.quantity in ("transmission", "optical_density", "complex"):
        return Pixels()
    if first.format == "MRC":
        frame = _frame(series)
        low = 0.0 if frame is None else float(np.percentile(frame.astype(np.float64), 1))
        if first.dtype == "int16" and low < -0.9 * _HALF_RANGE:
            why = "signed numbers that begin near -32768: the signal of an electron microscope, stored less 32768"
            return Pixels("signal", float(_HALF_RANGE), why)
        return Pixels("signal", 0.0, "MRC without flat frames: the signal of an electron microscope")
    if not first.dtype.startswith("float"):
        return Pixels()
    frame = _frame(series)
    return Pixels() if frame is None else _of_fractions(frame)


def _of_fractions(frame: AnyArray) -> Pixels:
    """Return the quantity of floating-point values from the largest, empty part of a frame."""
    known = frame[np.isfinite(frame)].astype(np.float64)
    if known.size == 0:
        return Pixels()
    low, middle, high = np.percentile(known, [1, 50, 99])
    if (
        -_BACKGROUND_OD < low < _BACKGROUND_OD
        and high < _LARGEST_OD
        and abs(low) < 0.5 * high
        and middle < 0.5 * high
    ):
        return Pixels(
            "optical_density",
            0.0,
            f"values from {low:.2g} to {high:.2g}, most of them near 0: optical density",
        )
    if low >= -0.1 and high < _BRIGHT and _OPEN[0] < high < _OPEN[1] and middle > 0.5:
        return Pixels(
            "transmission", 0.0, f"values from {low:.2g} to {high:.2g}, most of them near 1: transmission"
        )
    return Pixels()


def _frame(series: RawSeries) -> AnyArray | None:
    try:
        return read_some(ReadRequest(images=series.paths[:1]), [0])[0]
    except PipelineError:
        return None
