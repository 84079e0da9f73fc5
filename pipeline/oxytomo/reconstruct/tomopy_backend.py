"""Reconstructions by TomoPy, in the orientation, centre and unit of this package.

TomoPy counts the rows of a slice in the opposite direction. Its gridrec puts the tilt axis on the
middle of a pixel, also for slices with an even number of pixels. It loses the mean of a slice, and
its gain (about 1.12) grows with the distance from the axis (TomoPy issue 481). Here the half pixel
is corrected in the projections, the mean is added, and the gain is measured and divided out.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft

from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.errors import MissingPackageError
from oxytomo.reconstruct.geometry import TiltGeometry, tilt_weights_rad

PADDING = 3
"""gridrec works on a power of two of at least this multiple of the width; with less, its values
depend on the position."""

GAIN_POINTS = 9
GAIN_DEGREE = 4
GAIN_TILTS = 180
GAIN_WIDTH = 1 / 60
"""The gain is measured on Gaussian spots of this width (relative to the slice), which this number
of tilts samples well."""

SLICES_TOGETHER = 16
"""Number of slices padded together; padding takes three to six times their memory."""


def tomopy_reconstruction(
    projections: FloatArray,
    geometry: TiltGeometry,
    *,
    algorithm: str,
    iterations: int,
    nonnegative: bool,
    threads: int,
) -> FloatArray:
    """Reconstruct by TomoPy's gridrec ("fbp") or its SIRT.

    Parameters
    ----------
    projections : (n_tilt, n_z, n_s) float32, unit · pixel
    geometry : the scan; must be the square geometry with the axis in the middle
    algorithm : "fbp" or "sirt"
    iterations, nonnegative : for SIRT; negative values are set to 0 after each iteration
    threads : threads of TomoPy

    Returns
    -------
    (n_z, n_s, n_s) float32 in the unit of the line integral per pixel
    """
    tomopy = _tomopy()
    if algorithm == "sirt":
        return _sirt(tomopy, projections, geometry, iterations, nonnegative, threads)
    n = geometry.n_columns
    volume = np.empty((projections.shape[1], n, n), np.float32)
    for z in range(0, volume.shape[0], SLICES_TOGETHER):
        part = slice(z, z + SLICES_TOGETHER)
        volume[part] = _fbp(tomopy, projections[:, part], geometry, threads)
    return volume


def _tomopy() -> Any:
    try:
        import tomopy
    except ImportError as error:
        raise MissingPackageError(
            "backend tomopy",
            expected="the package tomopy, which is on conda-forge only",
            got=str(error),
            fix="conda install -c conda-forge tomopy, or set backend: oxytomo",
        ) from error
    return tomopy


def _sirt(
    tomopy: Any,
    projections: FloatArray,
    geometry: TiltGeometry,
    iterations: int,
    nonnegative: bool,
    threads: int,
) -> FloatArray:
    """TomoPy's SIRT, unpadded: columns of zeros beside the data would count as measured."""
    settings: dict[str, Any] = {
        "theta": np.deg2rad(geometry.tilt_deg),
        "center": geometry.n_columns / 2,
        "algorithm": "sirt",
        "ncore": threads,
    }
    if not nonnegative:
        return _turned(tomopy.recon(projections, num_iter=iterations, **settings))
    volume = None
    for _ in range(iterations):
        volume = np.maximum(tomopy.recon(projections, num_iter=1, init_recon=volume, **settings), 0)
    return _turned(volume)


def _turned(volume: Any) -> FloatArray:
    """Turn a slice of TomoPy's upside down: its y axis points up, ours (row index) down.

    The result is contiguous float32.
    """
    return np.ascontiguousarray(volume[:, ::-1], np.float32)


def _fbp(tomopy: Any, projections: FloatArray, geometry: TiltGeometry, threads: int) -> FloatArray:
    n, tilt_deg = geometry.n_columns, geometry.tilt_deg
    n_padded = _padded_width(n)
    weights = tilt_weights_rad(tilt_deg)
    # gridrec assumes equal steps over a half turn.
    scaled = projections * (weights / np.pi * weights.size).astype(np.float32)[:, None, None]
    padded = _moved(scaled, n_padded, _half_pixel(tilt_deg, n)[:, None])
    volume = _gridrec(tomopy, padded, np.deg2rad(tilt_deg), n, threads)
    gain, along = _gain(n)
    volume /= np.float32(gain) * along[:, None] * along
    # gridrec leaves out the disc of half a frequency step around 0, which is the mean over its
    # square.
    sums = projections.sum(axis=2, dtype=np.float64)
    volume += (weights @ sums / (4 * n_padded**2)).astype(np.float32)[:, None, None]
    return volume


def _padded_width(n: int) -> int:
    """Return the power of two on which gridrec works for slices of n pixels."""
    return int(2 ** np.ceil(np.log2(max(16, PADDING * n))))


def _half_pixel(tilt_deg: Float64Array, n: int) -> Float64Array:
    """Return the shift of each projection to gridrec's axis, pixels: (n_tilt,).

    The axis of an even slice lies between pixels, gridrec's axis on the next one: the object is
    moved by (−½, −½).
    """
    theta = np.deg2rad(tilt_deg)
    return np.zeros_like(theta) if n % 2 else -0.5 * (np.cos(theta) + np.sin(theta))


def _moved(projections: FloatArray, n_padded: int, shift_px: Float64Array) -> FloatArray:
    """Pad each row with zeros on both sides and shift it, by a phase in Fourier space."""
    n = projections.shape[2]
    left = (n_padded - n) // 2
    padded = np.pad(projections, ((0, 0), (0, 0), (left, n_padded - n - left)))
    if not shift_px.any():
        return padded
    frequency = scipy.fft.rfftfreq(n_padded)
    for t in range(padded.shape[0]):  # one tilt at a time bounds the memory of the spectrum
        phase = np.exp(-2j * np.pi * frequency * shift_px[t]).astype(np.complex64)
        padded[t] = scipy.fft.irfft(scipy.fft.rfft(padded[t], axis=-1) * phase, n_padded, axis=-1)
    return padded


def _gridrec(tomopy: Any, padded: FloatArray, theta: Float64Array, n: int, threads: int) -> FloatArray:
    """Run gridrec on padded rows.

    Returns the middle n × n pixels, in our orientation, with gridrec's own gain.
    """
    even = n + n % 2
    slices = tomopy.recon(
        padded,
        theta,
        center=(padded.shape[2] - n) // 2 + (n - 1) / 2,
        algorithm="gridrec",
        filter_name="ramlak",
        num_gridx=even,
        num_gridy=even,
        ncore=threads,
    )
    start = even // 2 - n // 2
    return _turned(slices)[:, start : start + n, start : start + n]


@lru_cache(maxsize=8)
def _gain(n: int) -> tuple[float, FloatArray]:
    """Return the gain of gridrec on slices of n pixels: at the axis, and along x or y.

    Gaussian spots, whose projections and reconstruction are known, are placed along x (one per
    slice). The gain comes from gridrec's interpolation in Fourier space and is a product of a
    function of x and one of y; each is described by a polynomial.
    """
    tomopy = _tomopy()
    n_padded = _padded_width(n)
    tilt_deg = np.arange(GAIN_TILTS) * 180 / GAIN_TILTS
    theta = np.deg2rad(tilt_deg)
    width = max(1.5, GAIN_WIDTH * n)
    places = np.linspace(-n / 2, n / 2, GAIN_POINTS)
    column = np.arange(n_padded) - (n_padded - n) // 2 - (n - 1) / 2
    offset = column - (np.cos(theta)[:, None] * places + _half_pixel(tilt_deg, n)[:, None])[..., None]
    spots = np.sqrt(2 * np.pi) * width * np.exp(-((offset / width) ** 2) / 2)
    slices = _gridrec(tomopy, spots.astype(np.float32), theta, n, 1)
    position = np.arange(n) - (n - 1) / 2
    missing = np.pi / 4 * spots.sum(axis=2).mean() / n_padded**2
    found = np.empty(GAIN_POINTS)
    for k, place in enumerate(places):
        along = np.exp(-(((position - place) / width) ** 2) / 2)
        spot = along * np.exp(-((position / width) ** 2) / 2)[:, None]
        found[k] = np.vdot(spot, slices[k]) / np.vdot(spot, spot - missing)
    fitted = np.polynomial.Polynomial.fit(places, found, GAIN_DEGREE)
    middle = float(fitted(0.0))
    return middle, (fitted(position) / middle).astype(np.float32)
