"""Projections of a disc, whose line integrals are known."""

import numpy as np

N = 96
WEDGE = np.arange(-65.0, 66.0, 2.0)
HALF_TURN = np.arange(0.0, 180.0, 1.5)


def disc_projections(
    tilt_deg: np.ndarray, *, radius: float = 25, x: float = 9, y: float = -6, n: int = N
) -> np.ndarray:
    """Line integrals of a disc of value 1, averaged over each detector column: (n_tilt, 1, n) float32."""
    theta = np.deg2rad(tilt_deg)[:, None]
    fine = (np.arange(n)[:, None] - (n - 1) / 2 + (np.arange(16) + 0.5)[None] / 16 - 0.5).ravel()
    distance = fine[None] - (x * np.cos(theta) + y * np.sin(theta))
    chord = 2 * np.sqrt(np.maximum(radius**2 - distance**2, 0))
    return chord.reshape(tilt_deg.size, n, 16).mean(axis=2).astype(np.float32)[:, None]


def inside(*, radius: float, x: float = 9, y: float = -6) -> np.ndarray:
    yy, xx = np.mgrid[:N, :N] - (N - 1) / 2
    return (xx - x) ** 2 + (yy - y) ** 2 < radius**2
