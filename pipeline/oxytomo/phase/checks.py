"""Checks of a scan: whether the field of view holds the particle, and the distances."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.phase.ctf import ctf, transfer
from oxytomo.phase.propagation import Frame

BORDER = 3
"""Width of the border that is examined, pixels."""
TRIED = (0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.43)
"""Distances that are tried, relative to the stated one."""
TRIAL_ITERATIONS = 4


@dataclass(frozen=True)
class DistanceFit:
    """Improvement of the fit of the holograms at another distance.

    Attributes
    ----------
    best_scale : distance that fits best, relative to the stated one
    gain : misfit at the stated distance over that at the best one
    """

    best_scale: float
    gain: float


def border_share(frames: FloatArray) -> tuple[Float64Array, Float64Array]:
    """Level at the border of each frame relative to the particle's: top or bottom, left or right.

    Parameters
    ----------
    frames : (n, n_y, n_x) float32, phase lag or optical density, smooth; all finite

    Returns
    -------
    rows, columns : (n,) float64; about 0 in air, towards 1 where the particle leaves the frame
    """
    low, high = (np.percentile(frames, q, axis=(1, 2)) for q in (2, 98))
    level = np.maximum(high - low, 1e-12)
    rows = np.concatenate([frames[:, :BORDER], frames[:, -BORDER:]], axis=1)
    columns = np.concatenate([frames[:, :, :BORDER], frames[:, :, -BORDER:]], axis=2)
    return tuple(
        (np.percentile(part.reshape(len(frames), -1), 90, axis=1) - low) / level for part in (rows, columns)
    )


def fit_distances(
    intensities: FloatArray,
    *,
    wavelength: float,
    distances_nm: Sequence[float],
    pixel_nm: float,
    delta_beta: float | None,
    low_weight: float,
    high_weight: float,
    isolated: bool,
    margin: int,
    workers: int,
) -> list[DistanceFit]:
    """Try other distances, one at a time and all together, and find which fit best.

    Parameters
    ----------
    intensities : (n_distance, n, n_y, n_x) float32, a few frames, registered
    wavelength, distances_nm, pixel_nm : nm
    delta_beta, low_weight, high_weight, isolated : as in :func:`oxytomo.phase.ctf.ctf`
    margin : padding, pixels
    workers : threads

    Returns
    -------
    one fit per distance, then one for a common factor of all
    """
    frame = Frame.around((intensities.shape[2], intensities.shape[3]), margin_px=margin)

    def misfit(distances: Float64Array) -> float:
        setup = transfer(
            frame,
            wavelength=wavelength,
            distances_nm=distances.tolist(),
            pixel_nm=pixel_nm,
            delta_beta=delta_beta,
            low_weight=low_weight,
            high_weight=high_weight,
        )
        found = ctf(intensities, setup, isolated=isolated, iterations=TRIAL_ITERATIONS, workers=workers)
        return float(np.sqrt(np.mean(found.misfit**2)))

    stated = np.asarray(distances_nm, np.float64)
    at_stated = misfit(stated)
    fits = []
    for chosen in (*np.eye(stated.size, dtype=bool), np.ones(stated.size, bool)):
        tried = [at_stated if s == 1 else misfit(np.where(chosen, s * stated, stated)) for s in TRIED]
        best = int(np.argmin(tried))
        fits.append(DistanceFit(TRIED[best], at_stated / max(tried[best], 1e-12)))
    return fits
