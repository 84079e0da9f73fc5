"""Filtered back-projection in Fourier space, by non-uniform Fourier transforms.

The spectrum of a projection is a line of the volume's spectrum (Fourier slice theorem). All lines,
ramp-filtered and weighted, are summed with a type-1 non-uniform transform. This costs almost
nothing per tilt, while back-projection costs one update per voxel and tilt.
"""

import finufft
import numba
import numpy as np
import scipy.fft

from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.reconstruct.geometry import TiltGeometry

ACCURACY = 1e-4
"""Relative accuracy of the transform: a hundred times better than interpolation on the detector."""
BATCH = 8
"""Number of simultaneous transforms; it limits the memory."""


def gridded_backprojection(
    projections: FloatArray, geometry: TiltGeometry, *, response: FloatArray, weights_rad: Float64Array
) -> FloatArray:
    """Filter and back-project without interpolation on the detector.

    Parameters
    ----------
    projections : (n_tilt, n_z, n_s) float32, line integrals in unit · pixel
    geometry : the scan
    response : (n_padded // 2 + 1,) filter in the order of a real transform of ``n_padded`` samples,
        an even number
    weights_rad : (n_tilt,) angle that each tilt represents, rad

    Returns
    -------
    (n_z, n_y, n_x) float32 in the unit of the line integral per pixel

    References
    ----------
    Fourier slice theorem with gridding: O'Sullivan, IEEE Trans. Med. Imaging 4, 200 (1985); the
    transform: Barnett, Magland & af Klinteberg, SIAM J. Sci. Comput. 41, C479 (2019).
    """
    n_tilt, n_z, _ = projections.shape
    n_padded = 2 * (response.size - 1)
    frequency = scipy.fft.fftfreq(n_padded)
    theta = np.deg2rad(geometry.tilt_deg)
    k_y, k_x = (2 * np.pi * np.outer(part, frequency) for part in (np.sin(theta), np.cos(theta)))
    # The transform counts voxels from n // 2; the axis is at `centre`; detector columns are counted
    # from the axis.
    phase = k_y * (geometry.n_y // 2 - geometry.centre_y) + k_x * (geometry.n_x // 2 - geometry.centre_x)
    phase += 2 * np.pi * frequency * geometry.axis_column
    full = np.concatenate([response, response[-2:0:-1]])
    multiplier = (full / n_padded * weights_rad[:, None] * np.exp(1j * phase)).astype(np.complex64)
    pairs = -(-n_z // 2)
    batch = min(BATCH, pairs)
    plan = finufft.Plan(
        1,
        (geometry.n_y, geometry.n_x),
        n_trans=batch,
        eps=ACCURACY,
        isign=1,
        dtype="complex64",
        nthreads=numba.get_num_threads(),
    )
    plan.setpts(k_y.astype(np.float32).ravel(), k_x.astype(np.float32).ravel())
    volume = np.empty((n_z, geometry.n_y, geometry.n_x), np.float32)
    lines = np.zeros((batch, n_tilt, n_padded), np.complex64)
    for start in range(0, pairs, batch):
        stop = min(start + batch, pairs)
        lines[:] = 0
        for k, z in enumerate(range(2 * start, 2 * stop, 2)):
            # Slices z and z + 1 are the real and the imaginary part of one transform.
            pair = projections[:, z].astype(np.complex64)
            if z + 1 < n_z:
                pair.imag = projections[:, z + 1]
            lines[k] = scipy.fft.fft(pair, n_padded, axis=-1) * multiplier
        result = plan.execute(lines.reshape(batch, -1)).reshape(batch, geometry.n_y, geometry.n_x)
        for k, z in enumerate(range(2 * start, 2 * stop, 2)):
            volume[z] = result[k].real
            if z + 1 < n_z:
                volume[z + 1] = result[k].imag
    return volume
