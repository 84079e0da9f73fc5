"""The ratio method: every element reconstructed with the same linear operator, then divided."""

from dataclasses import dataclass

import numpy as np
import scipy.ndimage

from oxytomo.arrays import BoolArray, FloatArray
from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.composition.progress import OnProgress
from oxytomo.composition.result import Composition, mode_of
from oxytomo.reconstruct.backends import Algorithm, Backend, reconstruct
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.segment.particle import particle_mask
from oxytomo.slabs import Field, fill, new_field, plane, sampled

GAUSSIAN_REACH = 4.0
"""Gaussians are truncated at this many standard deviations."""


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

    With "fbp" (and SIRT without positivity) the operator is linear, so a constant ratio stays
    exactly constant for any missing wedge. The noise is much larger than with
    :func:`reconstruct_deviation`.
    """
    geometry = TiltGeometry.square(data.tilt_deg, data.areal.shape[-1])
    n = len(data.atoms)
    elements = new_field((n, data.areal.shape[2], geometry.n_y, geometry.n_x), np.float32)
    for k in range(n):
        values, weights = data.sinogram(np.eye(n)[k])
        volume = reconstruct(
            values,
            weights,
            geometry,
            algorithm=solver.algorithm,
            backend=solver.backend,
            iterations=solver.iterations,
            nonnegative=False,
            tv_weight=None,
            threads=threads,
        )
        _smooth(volume, plane(elements, k), solver.smoothing_px)
        if on_progress is not None:
            on_progress(k + 1, n)
    return _divided(data, elements, reference_tm_o)


def _smooth(volume: Field, into: Field, width_px: float) -> None:
    """Fill a field with a volume, smoothed by a Gaussian of this standard deviation."""
    if width_px <= 0:
        fill(into, np.asarray, volume)
        return
    halo = int(GAUSSIAN_REACH * width_px + 0.5)
    fill(into, lambda part: scipy.ndimage.gaussian_filter(part, width_px), volume, halo=halo)


def _divided(data: ColumnDensities, elements: Field, reference_tm_o: float | None) -> Composition:
    """Divide TM by O, relative to a reference or to the particle's own mode."""
    shape = elements.shape[1:]
    each = [plane(elements, k) for k in range(elements.shape[0])]
    oxygen, metal, total, ratio, difference, deviation = (new_field(shape, np.float32) for _ in range(6))
    for combined, coefficients in ((oxygen, data.oxygen), (metal, data.metal)):
        shares = coefficients.astype(np.float32)
        fill(combined, lambda *parts, of=shares: np.tensordot(of, np.stack(parts), axes=1), *each)
    fill(total, data.total_of, oxygen, metal)
    particle = particle_mask(total)

    def quotient(m: FloatArray, o: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return m / o

    fill(ratio, quotient, metal, oxygen)
    reference = 1 + mode_of(sampled(ratio, particle) - 1) if reference_tm_o is None else reference_tm_o

    def departure(r: FloatArray, o: FloatArray, inside: BoolArray) -> FloatArray:
        good = inside & np.isfinite(r) & (o > 0)
        return np.where(good, np.where(good, r, 1) / reference - 1, np.nan).astype(np.float32)

    fill(deviation, departure, ratio, oxygen, particle)
    fill(difference, lambda m, o: m - np.float32(reference) * o, metal, oxygen)
    return Composition(elements, difference, deviation, particle, total, float(reference), {})
