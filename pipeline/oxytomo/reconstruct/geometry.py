"""Parallel-beam tilt geometry, shared by all slices of a scan."""

from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.errors import ShapeError


@dataclass(frozen=True)
class TiltGeometry:
    """Projection of the voxel columns of a slice onto the detector.

    A voxel at (y, x) projects to the detector column ``s = (x − centre_x) cosθ + (y − centre_y)
    sinθ + axis_column``. The volume can be any rectangle around (or beside) the tilt axis, so
    cropping costs nothing.

    Attributes
    ----------
    tilt_deg : (n_tilt,) float64, degrees
    n_columns : number of detector columns
    axis_column : detector column of the tilt axis, pixels (may be fractional)
    n_y, n_x : shape of one slice, pixels
    centre_y, centre_x : position of the tilt axis in the slice, pixels
    """

    tilt_deg: Float64Array
    n_columns: int
    axis_column: float
    n_y: int
    n_x: int
    centre_y: float
    centre_x: float

    def __post_init__(self) -> None:
        if self.tilt_deg.ndim != 1 or not np.isfinite(self.tilt_deg).all():
            raise ShapeError(
                "tilt angles",
                expected="a list of finite angles in degrees",
                got=f"shape {self.tilt_deg.shape} with {int((~np.isfinite(self.tilt_deg)).sum())} not finite",
                fix="check the angle table",
            )

    @property
    def n_tilt(self) -> int:
        """Number of tilts."""
        return int(self.tilt_deg.size)

    @classmethod
    def square(cls, tilt_deg: Float64Array, n_columns: int) -> "TiltGeometry":
        """Return the usual geometry: a square slice as wide as the detector, axis in the middle."""
        middle = (n_columns - 1) / 2
        return cls(np.asarray(tilt_deg, np.float64), n_columns, middle, n_columns, n_columns, middle, middle)

    def cropped(self, rows: slice, columns: slice) -> "TiltGeometry":
        """Return the geometry of a sub-rectangle of the slice."""
        return TiltGeometry(
            self.tilt_deg,
            self.n_columns,
            self.axis_column,
            rows.stop - rows.start,
            columns.stop - columns.start,
            self.centre_y - rows.start,
            self.centre_x - columns.start,
        )

    def subset(self, tilts: np.ndarray) -> "TiltGeometry":
        """Return the geometry of some of the tilts (index or mask)."""
        return TiltGeometry(
            self.tilt_deg[tilts],
            self.n_columns,
            self.axis_column,
            self.n_y,
            self.n_x,
            self.centre_y,
            self.centre_x,
        )


def tilt_weights_rad(tilt_deg: Float64Array) -> Float64Array:
    """Angle that each tilt represents, in radians.

    It is half the gap to both neighbours; the outermost tilts count their only gap twice.

    The weights of a half turn in equal steps add up to π, those of ±65° in 1° steps to 131° in
    radians. This keeps filtered back-projection quantitative for any range and unequal spacing.
    """
    if tilt_deg.size == 1:
        return np.array([np.pi])
    order = np.argsort(tilt_deg, kind="stable")
    gaps = np.diff(tilt_deg[order])
    widths = np.empty(tilt_deg.size)
    widths[0], widths[-1] = gaps[0], gaps[-1]
    widths[1:-1] = (gaps[1:] + gaps[:-1]) / 2
    weights = np.empty(tilt_deg.size)
    weights[order] = np.deg2rad(widths)
    total = weights.sum()
    return weights * min(1.0, np.pi / total) if total > 0 else weights
