"""The plain way: every element reconstructed with the same linear operator, and divided."""

from dataclasses import dataclass

import numpy as np
import scipy.ndimage

from pipeline.composition.column_densities import ColumnDensities
from pipeline.composition.progress import OnProgress
from pipeline.composition.result import Composition, mode_of
from pipeline.reconstruct.backends import Algorithm, Backend, reconstruct
from pipeline.reconstruct.geometry import TiltGeometry
from pipeline.segment.particle import particle_mask


@dataclass(frozen=True)
class RatioSolver:
    """Settings of the ratio method: the same operator for every element, then the division."""

    algorithm: Algorithm
    backend: Backend
    iterations: int
    smoothing_px: float


def reconstruct_ratio(
    data: ColumnDensities,
    *,
    solver: RatioSolver,
    reference_tm_o: float | None,
    threads: int,
    on_progress: OnProgress | None = None,
) -> Composition:
    """Reconstruct every element with the same linear operator, smooth equally, and divide.

    With "fbp" (and SIRT without positivity) the operator is linear, so a constant ratio stays exactly constant whatever the
    missing wedge does; noise is much larger than in :func:`reconstruct_deviation`.
    """
    geometry = TiltGeometry.square(data.tilt_deg, data.areal.shape[-1])
    n = len(data.atoms)
    volumes = []
    for k in range(n):
        values, weights = data.sinogram(np.eye(n)[k])
        volume = reconstruct(
            np.asarray(values),
            np.asarray(weights),
            geometry,
            algorithm=solver.algorithm,
            backend=solver.backend,
            iterations=solver.iterations,
            nonnegative=False,
            tv_weight=None,
            threads=threads,
        )
        if solver.smoothing_px > 0:
            volume = scipy.ndimage.gaussian_filter(volume, solver.smoothing_px)
        volumes.append(volume)
        if on_progress is not None:
            on_progress(k + 1, n)
    elements = np.stack(volumes)
    metal = np.tensordot(data.metal.astype(np.float32), elements, axes=1)
    total = 0.5 * (metal + elements[0])
    particle = particle_mask(total)
    reference = 1.0 if reference_tm_o is None else reference_tm_o
    deviation = np.full(total.shape, np.nan, np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = metal / elements[0]
    if reference_tm_o is None:
        reference = 1 + mode_of(ratio[particle] - 1)
    good = particle & np.isfinite(ratio) & (elements[0] > 0)
    deviation[good] = ratio[good] / reference - 1
    return Composition(
        elements,
        metal - np.float32(reference) * elements[0],
        deviation,
        particle,
        total,
        float(reference),
        {},
    )
