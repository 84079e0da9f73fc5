"""Array aliases and the small value types that the packages exchange.

Axes are always ``(n_tilt, n_y, n_x)`` for projections and ``(n_z, n_y, n_x)`` for volumes; several
energies or elements are a leading axis. The detector row is z. Labels: 0 is background.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Float64Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
LabelArray = NDArray[np.uint8]
AnyArray = NDArray[np.generic]
NumberArray = NDArray[Any]
"""Numbers of any type: a column of a table."""


class Field(Protocol):
    """An array in memory, or one on disk that is read and written in parts by slices."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""

    @property
    def dtype(self) -> Any:
        """Type of the values."""

    def __getitem__(self, key: Any, /) -> Any:
        """Read a part, as NumPy does."""

    def __setitem__(self, key: Any, value: Any, /) -> None:
        """Write a part; views raise :class:`TypeError`."""


Quantity = Literal["counts", "transmission", "optical_density", "signal", "complex"]
"""Quantity in the pixels of a raw series: detector counts that need a flat field, transmission,
optical density, a signal proportional to the amount (X-ray fluorescence or EDS counts, HAADF), or
complex transmission."""

OUTSIDE, TARGET, OXYGEN_POOR, OXYGEN_RICH, UNDECIDED = 0, 1, 2, 3, 4
"""Labels of ``phases`` and ``phases_confident``."""


_LONGEST = 60
"""Characters of a value in the text of a data class."""


class Brief:
    """A data class whose text names its fields, and of arrays and tables only their shape."""

    def __repr__(self) -> str:
        said = (f"{one.name}={_brief(getattr(self, one.name))}" for one in fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(said)})"


def _brief(value: Any) -> str:
    """Return a value as short text."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        size = " × ".join(map(str, shape))
        return f"<{size} {getattr(value, 'dtype', type(value).__name__)}>"
    if isinstance(value, Mapping | list | tuple | set) and len(repr(value)) > _LONGEST:
        return f"<{len(value)} entries>"
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


@dataclass(frozen=True, repr=False)
class TiltSeries(Brief):
    """One raw series as recorded: frames in acquisition order, with the metadata of each frame.

    Attributes
    ----------
    frames : (n_frame, n_y, n_x) array, in the unit of ``quantity``; a large series is read frame by
        frame
    tilt_deg : (n_frame,) float64, degrees; acquisition order need not be angle order
    energy_ev : (n_frame,) float64, eV, NaN where the file does not give it
    pixel_nm : (n_frame,) float64, object-plane pixel size, nm, NaN where the file does not give it
    quantity : quantity in the pixels
    flat, dark : (n, n_y, n_x) float32 or None
    exposure_s, ring_current_ma : (n_frame,) float64 or None
    flat_exposure_s, flat_ring_current_ma : (n_flat,) float64 or None
    flat_position : (n_flat,) float64 or None, time of each flat in units of the frame index (-1:
        before the first frame, n_frame: after the last)
    variance : (n_frame, n_y, n_x) float32 or None, variance of a signal, if the file format gives
        it
    metadata : free text from the file (sample, instrument, format)
    """

    frames: Field
    tilt_deg: Float64Array
    energy_ev: Float64Array
    pixel_nm: Float64Array
    quantity: Quantity
    flat: FloatArray | None = None
    dark: FloatArray | None = None
    exposure_s: Float64Array | None = None
    ring_current_ma: Float64Array | None = None
    flat_exposure_s: Float64Array | None = None
    flat_ring_current_ma: Float64Array | None = None
    flat_position: Float64Array | None = None
    variance: FloatArray | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return int(self.frames.shape[0])


@dataclass(frozen=True)
class Spectrum:
    """One X-ray absorption spectrum.

    Attributes
    ----------
    energy_ev : (n,) float64, eV, increasing, every energy once
    absorption : (n,) float64, in any unit
    metadata : free text from the file (format, title, formula)
    """

    energy_ev: Float64Array
    absorption: Float64Array
    metadata: Mapping[str, str] = field(default_factory=dict)


ReplicateKind = Literal["noise", "null"]
"""Source of a replicate: the result, or the same particle at the reference composition."""


@dataclass(frozen=True)
class ValenceMap:
    """The valence of one element in projection.

    Attributes
    ----------
    element : symbol
    valence, error : (n_y, n_x) float32, NaN where no valence was fitted
    edge_jump : (n_y, n_x) float32, optical density
    pixel_nm : pixel size, nm; NaN where unknown
    shared_noise : error of a mean over many pixels, relative to that of independent pixels
    """

    element: str
    valence: FloatArray
    error: FloatArray
    edge_jump: FloatArray
    pixel_nm: float
    shared_noise: float

    @property
    def known(self) -> BoolArray:
        """Pixels with a valence."""
        return np.isfinite(self.valence)

    @property
    def step_nm(self) -> float:
        """Pixel size, nm; 1 where unknown."""
        return self.pixel_nm if np.isfinite(self.pixel_nm) else 1.0

    def mean_error(self, chosen: BoolArray) -> float:
        """Return the standard error of the mean valence of some pixels, NaN without pixels."""
        n = int(chosen.sum())
        if not n:
            return float("nan")
        return float(np.sqrt(np.sum(self.error[chosen] ** 2)) / n * self.shared_noise)


@dataclass(frozen=True)
class AreaProfile:
    """Mean valence of the largest agglomerate against the share of its area that lies outside.

    Attributes
    ----------
    mean, error : (n_bin,) float64, NaN in an empty bin
    inside_share : (n_bin + 1,) share of the area inside each limit of the bins, from 1 to 0
    area_px : pixels of the agglomerate
    """

    mean: Float64Array
    error: Float64Array
    inside_share: Float64Array
    area_px: int
