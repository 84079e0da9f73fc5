"""Binned frames for a faster alignment, and the conversion of shifts to and from them."""

import numpy as np

from oxytomo.arrays import Float64Array, FloatArray


class Binning:
    """Squares of ``factor`` × ``factor`` pixels of frames (n_y, n_x).

    Rows and columns left over at the end are cropped.

    Attributes
    ----------
    factor : edge of the squares, px; 1 keeps the frames as they are
    shape : (m_y, m_x) of the binned frames
    """

    def __init__(self, shape: tuple[int, int], factor: int) -> None:
        self.factor = factor
        self.shape = shape[0] // factor, shape[1] // factor
        # Cropping moves the middle.
        self._middle = (np.array(shape) - factor * np.array(self.shape)) / 2

    def of(self, frames: FloatArray) -> FloatArray:
        """Binned frames (n, m_y, m_x); NaN where any pixel of the square is NaN."""
        if self.factor == 1:
            return frames
        m_y, m_x = self.shape
        whole = frames[:, : m_y * self.factor, : m_x * self.factor]
        blocks = whole.reshape(len(frames), m_y, self.factor, m_x, self.factor)
        means: FloatArray = blocks.mean(axis=(2, 4))
        return means

    def shifts(self, shifts: Float64Array) -> Float64Array:
        """Convert shifts (n, 2) from pixels to binned pixels."""
        return (shifts + self._middle) / self.factor

    def undone(self, shifts: Float64Array) -> Float64Array:
        """Convert shifts (n, 2) from binned pixels to pixels."""
        return shifts * self.factor - self._middle

    def column(self, column: float) -> float:
        """Convert a column of the frames to binned columns."""
        return (column + 0.5) / self.factor - 0.5

    def column_undone(self, column: float) -> float:
        """Convert a column of the binned frames to columns of the frames."""
        return (column + 0.5) * self.factor - 0.5
