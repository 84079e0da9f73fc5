"""A first look at the whole field, which only finds the box around the particle."""

from dataclasses import replace

import numpy as np

from oxytomo.composition.column_densities import ColumnDensities, halved_rays
from oxytomo.composition.deviation_problems import DeviationSolver, Problem, record_of
from oxytomo.composition.progress import Progress
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.reconstruct.total_variation import CONVERGED, gradient_noise, total_variation
from oxytomo.slabs import Field, fill, new_field

FIRST_ITERATIONS = 20
"""Number of iterations of the first look."""

COARSE_COLUMNS = 256
"""With at least this many columns the first look is at half the resolution: an eighth of the
work."""


def first_look(
    data: ColumnDensities, solver: DeviationSolver, problem: Problem, progress: Progress
) -> tuple[Field, dict[str, float]]:
    """Return a rough density in the whole field, and how it was obtained.

    Large fields have voxels twice as large.
    """
    n_z, n = data.areal.shape[2:]
    look = replace(problem, name="first")
    values, weights = look.sinogram(data)
    coarse = n >= COARSE_COLUMNS
    if coarse:  # given weights are for single voxels
        look = replace(look, tv=(None, look.tv[1]))
        values, weights = halved_rays(values, weights)
    geometry = TiltGeometry.square(data.tilt_deg, values.shape[-1])
    everywhere = new_field((values.shape[1], geometry.n_y, geometry.n_x), bool)
    fill(everywhere, np.logical_not, everywhere)
    noise = gradient_noise(weights, geometry, everywhere)
    tv_weight, l1_weight = look.weights(noise)
    found = total_variation(
        values,
        weights,
        geometry,
        support=everywhere,
        psf_px=solver.psf_px / 2 if coarse else solver.psf_px,
        tv_weight=tv_weight,
        l1_weight=l1_weight,
        nonnegative=True,
        iterations=FIRST_ITERATIONS,
        tolerance=CONVERGED * noise,
        on_iteration=lambda done, total: progress.step(FIRST_ITERATIONS * done / total),
    )
    progress.finish(FIRST_ITERATIONS)
    record = record_of([look], {"first": noise}, [({"first": found.reached}, 1)])
    if not coarse:
        return found.volume, record
    return _doubled(found.volume, (n_z, n, n)), record


def _doubled(volume: Field, shape: tuple[int, ...]) -> Field:
    """Return a volume with every voxel repeated as eight; the remainder stays 0."""
    doubled = new_field(shape, np.float32)
    for z in range(2 * volume.shape[0]):
        rows = np.asarray(volume[z // 2]).repeat(2, axis=0).repeat(2, axis=1)
        doubled[z, : rows.shape[0], : rows.shape[1]] = rows
    return doubled
