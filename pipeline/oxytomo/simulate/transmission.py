"""Transmission of a phantom in an ideal instrument: parallel rays, undistorted grid."""

import numpy as np
from scipy.ndimage import gaussian_filter

from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.simulate.phantoms import Phantom, projected


def transmissions(
    phantom: Phantom,
    attenuation_per_um: Float64Array,
    *,
    tilt_deg: Float64Array,
    shift_px: Float64Array,
    pixel_nm: float,
    n_rows: int,
    n_cols: int,
    psf_px: float,
    subsamples: int,
    axis_tilt_deg: float = 0.0,
) -> FloatArray:
    """Transmission of each pixel: mean over its rays, blurred by the point-spread function.

    Parameters
    ----------
    phantom : the object
    attenuation_per_um : (n_ellipsoid,) linear attenuation that each ellipsoid adds, 1/µm
    tilt_deg : (n_frame,) degrees
    shift_px : (n_frame, 2) shift of the content, pixels (dy, dx)
    pixel_nm : pixel size in the object plane, nm
    n_rows, n_cols : detector pixels; the tilt axis is at column (n_cols − 1)/2
    psf_px : standard deviation of the Gaussian point-spread function, pixels
    subsamples : rays per pixel edge
    axis_tilt_deg : in-plane tilt of the rotation axis, degrees, positive towards +x for increasing
        row

    Returns
    -------
    (n_frame, n_rows, n_cols) float32
    """
    result = np.empty((tilt_deg.size, n_rows, n_cols), np.float32)
    rows = ray_positions(n_rows, subsamples)
    columns = ray_positions(n_cols, subsamples)
    chunk = max(1, 4_000_000 // (rows.size * columns.size))
    for start in range(0, tilt_deg.size, chunk):
        part = slice(start, start + chunk)
        optical_density = projected(
            phantom,
            attenuation_per_um[:, None],
            tilt_deg=tilt_deg[part],
            z_nm=(rows - shift_px[part, :1]) * pixel_nm,
            s_nm=(columns - shift_px[part, 1:]) * pixel_nm,
            axis_tilt_deg=axis_tilt_deg,
        )[0]
        rays = np.exp(-optical_density).reshape(-1, n_rows, subsamples, n_cols, subsamples)
        result[part] = rays.mean(axis=(2, 4))
    if psf_px > 0:
        result = gaussian_filter(result, (0, psf_px, psf_px), mode="nearest")
    return result


def ray_positions(n: int, subsamples: int) -> Float64Array:
    """Positions of the rays in pixels from the middle of the detector."""
    return (np.arange(n * subsamples) + 0.5) / subsamples - n / 2
