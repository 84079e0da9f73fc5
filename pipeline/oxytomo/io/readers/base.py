"""Input and output of every reader."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from oxytomo.arrays import AnyArray, Float64Array, IntArray, Quantity
from oxytomo.errors import InputError

PIXEL_TOLERANCE = 0.01
"""Largest relative difference between the two edges of square pixels."""


@dataclass(frozen=True, kw_only=True)
class SpectrumRequest:
    """Energy windows that make a map of a spectrum image.

    See :func:`oxytomo.preprocess.spectrum_image.window_map`.
    """

    window_ev: tuple[float, float]
    background_ev: tuple[tuple[float, float], ...] = ()
    background: Literal["none", "linear", "power_law"] = "none"


@dataclass(frozen=True, kw_only=True)
class ReadRequest:
    """Files to read as one tilt series; values given here override those of the file.

    Attributes
    ----------
    images : one file, a folder, or several files in order
    angles : table with one tilt angle per frame, or (start, step) in degrees
    angles_range : rows of the table to use, first and one past the last
    flat, dark : files or folders of flat and dark frames
    energy_ev, pixel_nm : photon energy in eV, object-plane pixel size in nm
    only_energy_ev : energy that is wanted of several; flat frames of other energies are left out
    quantity : quantity in the pixels
    offset : added to every raw value, flats and darks included
    dataset : path of the images inside an HDF5 file
    flat_dataset, dark_dataset : paths of flats and darks, in the files ``flat`` and ``dark`` if
        these are given
    angles_dataset, energy_dataset : paths of tilt angles and photon energies, one per frame or one
        for all
    spectrum : energy windows for a map of a spectrum image
    """

    images: tuple[Path, ...]
    angles: Path | tuple[float, float] | None = None
    angles_range: tuple[int, int] | None = None
    flat: tuple[Path, ...] = ()
    dark: tuple[Path, ...] = ()
    energy_ev: float | None = None
    only_energy_ev: float | None = None
    pixel_nm: float | None = None
    quantity: Quantity | None = None
    offset: float = 0.0
    dataset: str | None = None
    flat_dataset: str | None = None
    dark_dataset: str | None = None
    angles_dataset: str | None = None
    energy_dataset: str | None = None
    spectrum: SpectrumRequest | None = None


@dataclass(frozen=True, kw_only=True)
class SeriesSummary:
    """Facts of a series before its frames are read.

    Attributes
    ----------
    format : name of the raw format
    shape : (n_frame, n_y, n_x)
    dtype : type of the stored pixels
    tilt_deg, energy_ev, pixel_nm : (n_frame,) float64, NaN where unknown
    quantity : quantity in the pixels
    stated : quantity that the file gives, None if it gives none
    n_flat, n_dark : number of flat and dark frames
    metadata : free text worth showing
    files : name and number of frames of each file, in the order of the frames
    remarks : sentences that a user should read about the files
    """

    format: str
    shape: tuple[int, int, int]
    dtype: str
    tilt_deg: Float64Array
    energy_ev: Float64Array
    pixel_nm: Float64Array
    quantity: Quantity
    n_flat: int
    n_dark: int
    metadata: Mapping[str, str]
    files: tuple[tuple[str, int], ...] = ()
    remarks: tuple[str, ...] = ()
    stated: Quantity | None = None


@dataclass(frozen=True)
class FrameStack:
    """Frames in a file: shape (n, n_y, n_x) and type; ``load`` reads all, ``load_one`` one."""

    shape: tuple[int, int, int]
    dtype: np.dtype[np.generic]
    load: Callable[[], AnyArray]
    load_one: Callable[[int], AnyArray] | None = None


@dataclass(frozen=True, kw_only=True)
class RawFile:
    """One raw file as its format describes it: one number per frame, None where unknown.

    ``chosen`` are the indices of the frames among the ``n_stored`` images of a dataset that also
    holds flats and darks. ``variance`` is that of the values of the frames, if the format has it.
    """

    path: Path
    frames: FrameStack
    tilt_deg: Float64Array | None = None
    energy_ev: Float64Array | None = None
    pixel_nm: Float64Array | None = None
    quantity: Quantity | None = None
    flat: FrameStack | None = None
    dark: FrameStack | None = None
    exposure_s: Float64Array | None = None
    ring_current_ma: Float64Array | None = None
    flat_exposure_s: Float64Array | None = None
    flat_ring_current_ma: Float64Array | None = None
    flat_position: Float64Array | None = None
    variance: FrameStack | None = None
    chosen: IntArray | None = None
    n_stored: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def per_frame(value: ArrayLike | None, n_frame: int, what: str, path: Path) -> Float64Array | None:
    """Return a number, or one number per frame, as (n_frame,) float64; None stays None."""
    if value is None:
        return None
    numbers = np.asarray(value, np.float64).reshape(-1)
    if numbers.size == 1:
        return np.full(n_frame, numbers[0])
    if numbers.size != n_frame:
        raise InputError(
            str(path),
            expected=f"one {what}, or one per frame ({n_frame})",
            got=str(numbers.size),
            fix="correct the file, or give the value in the configuration",
        )
    return numbers


def square_pixel(x_nm: Float64Array | None, y_nm: Float64Array | None, path: Path) -> Float64Array | None:
    """Return the pixel size after a check that both directions agree."""
    if x_nm is None or y_nm is None:
        return x_nm if y_nm is None else y_nm
    if not np.allclose(x_nm, y_nm, rtol=PIXEL_TOLERANCE, atol=0.0, equal_nan=True):
        raise InputError(
            str(path),
            expected="square pixels",
            got=f"{y_nm.flat[0]:g} × {x_nm.flat[0]:g} nm",
            fix="bin the frames to square pixels",
        )
    return x_nm


def checked_stack(
    shape: Sequence[int],
    dtype: np.dtype[np.generic],
    load: Callable[[], AnyArray],
    path: Path,
    name: str,
    *,
    load_one: Callable[[int], AnyArray] | None = None,
    complex_too: bool = False,
) -> FrameStack:
    """Return a stack after a check that it is grey, or complex if the format allows it."""
    if len(shape) != 3 or min(shape) < 1:
        raise InputError(
            f"{path} [{name}]" if name else str(path),
            expected="frames (n, n_y, n_x) in three dimensions",
            got=f"shape {tuple(int(size) for size in shape)}",
            fix="give the dataset or file that holds the raw frames, also a single one, with its frame axis",
        )
    if dtype.kind not in ("iufc" if complex_too else "iuf"):
        raise InputError(
            f"{path} [{name}]" if name else str(path),
            expected="grey values (integers or floating-point numbers)",
            got=f"type {dtype}",
            fix="give the dataset or file that holds the raw frames",
        )
    n_frame, n_y, n_x = (int(size) for size in shape)
    return FrameStack((n_frame, n_y, n_x), dtype.newbyteorder("="), load, load_one)


def truncated(path: Path, expected: str, got: str) -> InputError:
    """Return the error for a file that ends too early."""
    return InputError(
        str(path),
        expected=expected,
        got=f"{got}: the file is truncated",
        fix="copy the file again from its source",
    )
