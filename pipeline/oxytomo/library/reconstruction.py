"""Tomography of one tilt series: projection, filtered back-projection, SIRT, total variation."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from oxytomo.arrays import FloatArray
from oxytomo.config import TomogramReconstructSettings as Settings
from oxytomo.config.settings import Algorithm, Backend
from oxytomo.errors import ConfigError
from oxytomo.library.defaults import checked, per_tilt, projections_of, same_shape, volume_of
from oxytomo.preprocess.optical_density import pixel_noise
from oxytomo.reconstruct.backends import reconstruct
from oxytomo.reconstruct.blocks import projections_from_blocks, to_blocks
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.reconstruct.projector import forward
from oxytomo.units import NM_PER_UM

DEFAULT = Settings()
PIXEL = float(NM_PER_UM)
"""With a pixel of 1 µm, line integrals are in pixels."""
FEWEST_ROWS = 3
LEAST_NOISE = 1e-6


def project(volume: ArrayLike, tilt_deg: ArrayLike) -> FloatArray:
    """Project a volume along parallel rays; the tilt axis is the middle of the slices.

    A voxel at (y, x) from the axis falls on the detector column ``x cosθ + y sinθ`` from the axis.
    Rays are summed with linear interpolation between voxels (Joseph, IEEE Trans. Med. Imaging 1,
    192, 1982).

    Parameters
    ----------
    volume : (n_z, n, n) or (n, n) array; slices are square
    tilt_deg : (n_tilt,) degrees

    Returns
    -------
    (n_tilt, n_z, n) float32, or (n_tilt, n) for one slice: line integrals in pixels times the unit
    of the volume

    Raises
    ------
    ShapeError
        For slices that are not square, or angles that are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from oxytomo import project
    >>> square = np.zeros((16, 16))
    >>> square[4:12, 4:12] = 1.0
    >>> project(square, [0, 90]).max(axis=1)
    array([8., 8.], dtype=float32)
    """
    values, single = volume_of(volume)
    n_z, n_y, n_x = values.shape
    same_shape(values[0, :, 0], (n_x,), "rows of a slice", "the columns of a slice")
    tilts = np.atleast_1d(np.asarray(tilt_deg, np.float64))
    geometry = TiltGeometry.square(per_tilt(tilts, tilts.size, "tilt_deg", "degrees"), n_y)
    projections = projections_from_blocks(forward(to_blocks(values), geometry), n_z)
    return projections[:, 0] if single else projections


def fbp(
    projections: ArrayLike,
    tilt_deg: ArrayLike,
    *,
    axis_px: float | None = None,
    pixel_nm: float | None = None,
    backend: Backend = DEFAULT.backend,
) -> FloatArray:
    """Reconstruct by filtered back-projection with the ramp filter.

    The result is quantitative for any tilt range: each tilt is weighted by its angular interval.
    Kak and Slaney, Principles of Computerized Tomographic Imaging (1988), chapter 3.

    Parameters
    ----------
    projections : (n_tilt, n_z, n_x) or (n_tilt, n_x) array of line integrals such as optical
        density; NaN where invalid, which counts as 0
    tilt_deg : (n_tilt,) degrees
    axis_px : detector column of the tilt axis, px; None: the middle, (n_x − 1)/2. The axis is in
        the middle of the volume
    pixel_nm : pixel size, nm; the volume is per µm with it, and per pixel without it
    backend : "oxytomo", or "astra" or "tomopy" where these packages are installed

    Returns
    -------
    (n_z, n_x, n_x) float32, or (n_x, n_x) for one slice, in the unit of the projections per µm or
    per pixel

    Raises
    ------
    ShapeError
        For arrays with inconsistent shapes.
    ConfigError
        For settings out of range, or an ``axis_px`` with a backend that needs the middle.
    MissingPackageError
        For a backend that is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from oxytomo import fbp, project
    >>> square = np.zeros((32, 32))
    >>> square[8:24, 8:24] = 1.0
    >>> tilt_deg = np.linspace(-90, 90, 90, endpoint=False)
    >>> slice_ = fbp(project(square, tilt_deg), tilt_deg)
    >>> slice_.shape, round(float(slice_[12:20, 12:20].mean()), 2)
    ((32, 32), 1.0)
    """
    return _reconstructed(
        projections, tilt_deg, None, axis_px, pixel_nm, function="fbp", algorithm="fbp", backend=backend
    )


def sirt(
    projections: ArrayLike,
    tilt_deg: ArrayLike,
    *,
    axis_px: float | None = None,
    pixel_nm: float | None = None,
    iterations: int = DEFAULT.iterations,
    nonnegative: bool = DEFAULT.nonnegative,
    backend: Backend = DEFAULT.backend,
) -> FloatArray:
    """Reconstruct by simultaneous iterations, ``x ← x + C Aᵀ R (b − A x)``.

    R and C are the inverse row and column sums of the projection A. Gilbert, J. Theor. Biol. 36,
    105 (1972); in this form Gregor and Benson, IEEE Trans. Med. Imaging 27, 918 (2008).

    Parameters
    ----------
    projections, tilt_deg, axis_px, pixel_nm, backend : as in :func:`fbp`
    iterations : number of iterations; the only regularisation, so it sets the resolution
    nonnegative : clip negative values after each iteration, which makes the method nonlinear

    Returns
    -------
    as :func:`fbp`

    Raises
    ------
    as :func:`fbp`

    Examples
    --------
    >>> import numpy as np
    >>> from oxytomo import project, sirt
    >>> square = np.zeros((32, 32))
    >>> square[8:24, 8:24] = 1.0
    >>> tilt_deg = np.linspace(-60, 60, 41)
    >>> slice_ = sirt(project(square, tilt_deg), tilt_deg, iterations=20)
    >>> bool(slice_.min() >= 0), round(float(slice_[12:20, 12:20].mean()), 1)
    (True, 1.0)
    """
    return _reconstructed(
        projections,
        tilt_deg,
        None,
        axis_px,
        pixel_nm,
        function="sirt",
        algorithm="sirt",
        iterations=iterations,
        nonnegative=nonnegative,
        backend=backend,
    )


def tv(
    projections: ArrayLike,
    tilt_deg: ArrayLike,
    *,
    variance: ArrayLike | None = None,
    axis_px: float | None = None,
    pixel_nm: float | None = None,
    iterations: int = DEFAULT.iterations,
    nonnegative: bool = DEFAULT.nonnegative,
    tv_weight: float | None = DEFAULT.tv_weight,
) -> FloatArray:
    """Reconstruct with total-variation regularisation, whose weight follows from the noise.

    The minimum of ``½ Σ w (A x − b)² + λ Σ |∇x|`` with w the inverse variance of the projections.
    Rudin, Osher and Fatemi, Physica D 60, 259 (1992); Sidky and Pan, Phys. Med. Biol. 53, 4777
    (2008).

    Parameters
    ----------
    projections, tilt_deg, axis_px, pixel_nm : as in :func:`fbp`
    variance : like ``projections``, of their values; inf or NaN if invalid. None: estimated from
        the pixel-to-pixel noise of each projection, the same for all its pixels
    iterations : largest number of iterations
    nonnegative : forbid negative values
    tv_weight : the weight λ; None: chosen from the noise

    Returns
    -------
    as :func:`fbp`

    Raises
    ------
    as :func:`fbp`

    Examples
    --------
    >>> import numpy as np
    >>> from oxytomo import project, tv
    >>> square = np.zeros((32, 32))
    >>> square[8:24, 8:24] = 1.0
    >>> tilt_deg = np.linspace(-60, 60, 31)
    >>> noise = np.random.default_rng(0).normal(scale=0.3, size=(31, 32))
    >>> slice_ = tv(project(square, tilt_deg) + noise, tilt_deg, variance=np.full((31, 32), 0.09))
    >>> round(float(slice_[12:20, 12:20].mean()), 1)
    1.0
    """
    values, _ = projections_of(projections)
    if variance is None:
        noise = np.array([_noise(one) ** 2 for one in values], np.float32)
        spread = np.broadcast_to(noise[:, None, None], values.shape)
        variance = spread.reshape(np.shape(projections))
    return _reconstructed(
        projections,
        tilt_deg,
        variance,
        axis_px,
        pixel_nm,
        function="tv",
        algorithm="tv",
        iterations=iterations,
        nonnegative=nonnegative,
        tv_weight=tv_weight,
    )


def _noise(projection: FloatArray) -> float:
    """Return the standard deviation of the pixels of one projection, from their neighbours.

    With few rows only neighbours along the columns are used; √6 is the noise gain of second
    differences.
    """
    if projection.shape[0] >= FEWEST_ROWS:
        return pixel_noise(projection)
    second = np.abs(np.diff(projection, 2, axis=1))
    known = second[np.isfinite(second)]
    return max(1.4826 * float(np.median(known)) / np.sqrt(6) if known.size else 0.0, LEAST_NOISE)


def _reconstructed(
    projections: ArrayLike,
    tilt_deg: ArrayLike,
    variance: ArrayLike | None,
    axis_px: float | None,
    pixel_nm: float | None,
    *,
    function: str,
    **values: Any,
) -> FloatArray:
    """Check the input, scale it to pixels, and reconstruct."""
    settings = checked(Settings, function, **values)
    line_integral, single = projections_of(projections)
    tilts = per_tilt(tilt_deg, line_integral.shape[0], "tilt_deg", "degrees")
    geometry = _geometry(tilts, line_integral.shape[2], axis_px, settings.backend)
    pixel_um = np.float32(_positive(pixel_nm, "pixel_nm", PIXEL) / NM_PER_UM)
    valid, weights = np.isfinite(line_integral), None
    if variance is not None:
        spread = same_shape(variance, np.shape(projections), "variance", "the projections")
        spread = spread.reshape(line_integral.shape)
        valid = valid & np.isfinite(spread)
        weights = np.where(valid, pixel_um**2 / np.where(valid, spread, 1), 0).astype(np.float32)
    algorithm: Algorithm = settings.algorithm
    volume: FloatArray = np.asarray(
        reconstruct(
            np.where(valid, line_integral / pixel_um, 0).astype(np.float32),
            weights,
            geometry,
            algorithm=algorithm,
            backend=settings.backend,
            iterations=settings.iterations,
            nonnegative=settings.nonnegative,
            tv_weight=settings.tv_weight,
            threads=_threads(),
        )
    )
    return volume[0] if single else volume


def _geometry(tilt_deg: Any, n_columns: int, axis_px: float | None, backend: str) -> TiltGeometry:
    """Return a square slice with the axis in its centre, for any axis position on the detector."""
    geometry = TiltGeometry.square(tilt_deg, n_columns)
    middle = geometry.axis_column
    if axis_px is None or axis_px == middle:
        return geometry
    if not 0 <= axis_px <= n_columns - 1:
        raise ConfigError(
            "axis_px",
            expected=f"a detector column from 0 to {n_columns - 1}",
            got=f"{axis_px:g}",
            fix="give the column of the tilt axis in pixels",
        )
    if backend != "oxytomo":
        raise ConfigError(
            "axis_px",
            expected=f"the middle of the detector, {middle:g}, for backend {backend}",
            got=f"{axis_px:g}",
            fix="use backend oxytomo, or align the projections first",
        )
    return TiltGeometry(geometry.tilt_deg, n_columns, float(axis_px), n_columns, n_columns, middle, middle)


def _positive(value: float | None, name: str, otherwise: float) -> float:
    if value is None:
        return otherwise
    if not (np.isfinite(value) and value > 0):
        raise ConfigError(name, expected="a number above 0 in nm", got=f"{value:g}", fix="correct it")
    return float(value)


def _threads() -> int:
    from numba import get_num_threads

    return int(get_num_threads())
