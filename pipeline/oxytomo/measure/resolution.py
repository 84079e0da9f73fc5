"""Resolution by Fourier shell correlation of two independent half volumes.

In all directions, and along one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft

from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.errors import ShapeError

Direction = tuple[float, float, float]
"""(z, y, x)"""

HALF_ANGLE_DEG = 25.0
"""Default half angle of the cone about a direction."""

TAPER_PX = 12
"""Largest width over which half volumes are tapered at their faces, voxels."""

OBJECT_SHARE = 1 / 8
"""Default share of the volume in the object's own extent: half of it in each direction."""

FEW_SAMPLES = 0.8
"""Shells whose half-bit value exceeds this are not evaluated."""


@dataclass(frozen=True)
class ShellCorrelation:
    """Fourier shell correlation of two volumes.

    Attributes
    ----------
    frequency_per_nm : (n,) float64, centre of each shell
    correlation : (n,) float64, -1 to 1; NaN for a shell without samples
    half_bit : (n,) float64, correlation that carries half a bit of information per sample in each
        shell
    resolution_nm : full period at which the correlation first falls below the half-bit curve; twice
        the voxel size if it never does, infinite if it is below from the first shell on
    """

    frequency_per_nm: Float64Array
    correlation: Float64Array
    half_bit: Float64Array
    resolution_nm: float


def fourier_shell_correlation(
    first: FloatArray,
    second: FloatArray,
    *,
    voxel_nm: float,
    direction: Direction | None = None,
    half_angle_deg: float = HALF_ANGLE_DEG,
) -> ShellCorrelation:
    """Correlate two half volumes shell by shell in Fourier space.

    Parameters
    ----------
    first, second : (n_z, n_y, n_x) float32, from independent halves of the data; 0 far from the
        object
    voxel_nm : voxel size, nm
    direction : (z, y, x); only samples within ``half_angle_deg`` of this axis count; None for all
    half_angle_deg : half angle of the cone, degrees

    References
    ----------
    van Heel and Schatz, J. Struct. Biol. 151, 250 (2005), eq. 17 for the half-bit curve. The number
    of independent samples is that of the object's own extent, :data:`OBJECT_SHARE` of the volume.
    """
    if first.shape != second.shape:
        raise ShapeError(
            "half volumes",
            expected="one shape",
            got=f"{first.shape} and {second.shape}",
            fix="crop them alike",
        )
    return _correlate(first, second, [direction], voxel_nm=voxel_nm, half_angle_deg=half_angle_deg)[0]


def tilt_series_resolution(
    first: FloatArray,
    second: FloatArray,
    tilt_deg: Float64Array,
    *,
    voxel_nm: float,
    object_share: float = OBJECT_SHARE,
) -> dict[str, ShellCorrelation]:
    """Correlate the half volumes of a tilt series in all directions and along three axes.

    The axes are the tilt axis, across the beam, and along the beam.

    A projection holds the plane of Fourier space perpendicular to its beam. A limited tilt range
    does not measure detail along the beam at the middle of the range (the missing wedge).

    Parameters
    ----------
    first, second : (n_z, n_y, n_x) float32, of the odd and of the even tilts, z along the tilt axis
    tilt_deg : (n_tilt,) all tilts, degrees
    object_share : extent of the object over the volume; it gives the number of independent samples

    Returns
    -------
    correlations : ``all``, ``tilt_axis``, ``across_beam``, ``along_beam``
    """
    middle = np.deg2rad((tilt_deg.min() + tilt_deg.max()) / 2)
    sin, cos = float(np.sin(middle)), float(np.cos(middle))
    directions = {
        "all": None,
        "tilt_axis": (1.0, 0.0, 0.0),
        "across_beam": (0.0, sin, cos),
        "along_beam": (0.0, cos, -sin),
    }
    found = _correlate(
        first,
        second,
        list(directions.values()),
        voxel_nm=voxel_nm,
        half_angle_deg=HALF_ANGLE_DEG,
        object_share=object_share,
    )
    return dict(zip(directions, found, strict=True))


def _correlate(
    first: FloatArray,
    second: FloatArray,
    directions: Sequence[Direction | None],
    *,
    voxel_nm: float,
    half_angle_deg: float,
    object_share: float = OBJECT_SHARE,
) -> list[ShellCorrelation]:
    """Correlate along several directions.

    Sums over shells are taken plane by plane of Fourier space.
    """
    n_z, n_y, n_x = first.shape
    window = _window(first.shape)
    a, b = (scipy.fft.rfftn(v * window, workers=-1) for v in (first, second))
    n_shell = min(first.shape) // 2
    along_z, f_y, f_x = scipy.fft.fftfreq(n_z), scipy.fft.fftfreq(n_y)[:, None], scipy.fft.rfftfreq(n_x)[None]
    # The half plane x > 0 of a real transform stands for both halves.
    twice = np.where(f_x > 0, 2.0, 1.0) * np.ones((n_y, 1))
    sums = np.zeros((len(directions), 4, n_shell + 1))
    for k, f_z in enumerate(along_z):
        radius = np.sqrt(f_z**2 + f_y**2 + f_x**2)
        shell = np.rint(radius * 2 * n_shell).astype(int)
        terms = ((a[k] * b[k].conj()).real, np.abs(a[k]) ** 2, np.abs(b[k]) ** 2, np.ones_like(twice))
        for total, direction in zip(sums, directions, strict=True):
            use = (shell >= 1) & (shell <= n_shell)
            if direction is not None:
                axis = np.asarray(direction, float) / np.linalg.norm(direction)
                along = np.abs(f_z * axis[0] + f_y * axis[1] + f_x * axis[2])
                use &= along >= np.cos(np.deg2rad(half_angle_deg)) * radius
            for row, term in zip(total, terms, strict=True):
                row += np.bincount(shell[use], weights=(twice * term)[use], minlength=n_shell + 1)
    return [_judged(total[:, 1:], n_shell, voxel_nm, object_share) for total in sums]


def _judged(sums: Float64Array, n_shell: int, voxel_nm: float, object_share: float) -> ShellCorrelation:
    """Correlation of each shell from its sums, and the frequency where it ends.

    Sums: cross term, both powers, number of samples.
    """
    cross, first_power, second_power, count = sums
    power = first_power * second_power
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.where(power > 0, cross / np.sqrt(power), np.nan)
    frequency = np.arange(1, n_shell + 1) / (2 * n_shell * voxel_nm)
    # Halved: the other half of a real transform is the same
    half_bit = _half_bit(count / 2 * object_share)
    # Where a shell has only a few independent samples, the curve would need a perfect correlation.
    margin = np.where(half_bit < FEW_SAMPLES, correlation - half_bit, np.nan)
    return ShellCorrelation(frequency, correlation, half_bit, _crossing(frequency, margin, voxel_nm))


def _half_bit(n_independent: Float64Array) -> Float64Array:
    root = np.sqrt(np.maximum(n_independent, 1.0))
    return (0.2071 + 1.9102 / root) / (1.2071 + 0.9102 / root)


def _crossing(frequency: Float64Array, margin: Float64Array, voxel_nm: float) -> float:
    """Period at which the margin first turns negative, interpolated between two shells."""
    known = np.flatnonzero(np.isfinite(margin))
    if not known.size:
        return float("inf")
    below = [k for k in known if margin[k] < 0]
    if not below:
        return 2 * voxel_nm
    k = below[0]
    if k == known[0]:
        return float("inf")
    share = margin[k - 1] / (margin[k - 1] - margin[k])
    return float(1 / (frequency[k - 1] + share * (frequency[k] - frequency[k - 1])))


def _window(shape: tuple[int, ...]) -> FloatArray:
    """Taper that falls to 0 at every face, so that the faces do not correlate.

    Its width is TAPER_PX, or an eighth of the volume if that is less.
    """
    window = np.ones(shape, np.float32)
    for axis, n in enumerate(shape):
        edge = max(2, min(n // 8, TAPER_PX))
        ramp = np.minimum(np.arange(n), np.arange(n)[::-1]) / edge
        taper = np.sin(np.pi / 2 * np.minimum(ramp, 1)) ** 2
        window *= taper.astype(np.float32).reshape([-1 if k == axis else 1 for k in range(len(shape))])
    return window
