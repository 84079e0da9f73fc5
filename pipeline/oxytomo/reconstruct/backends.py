"""Reconstructions by this package, or by ASTRA or TomoPy where they are installed.

All return the same physical unit, that of the line integral per pixel. ASTRA and TomoPy normalise
filtered back-projection by the number of angles as if they spanned 180°; here the result is scaled
to the measured range.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from oxytomo.arrays import FloatArray
from oxytomo.errors import ConfigError, MissingPackageError
from oxytomo.reconstruct.blocks import SLICES
from oxytomo.reconstruct.fbp import filtered_backprojection
from oxytomo.reconstruct.geometry import TiltGeometry, tilt_weights_rad
from oxytomo.reconstruct.sirt import sirt
from oxytomo.reconstruct.tomopy_backend import tomopy_reconstruction
from oxytomo.reconstruct.total_variation import CONVERGED, gradient_noise, total_variation
from oxytomo.slabs import Field, new_field, slabs

Algorithm = Literal["fbp", "sirt", "tv"]
Backend = Literal["oxytomo", "astra", "tomopy"]
OnIteration = Callable[[int, int], None]

SLAB_BYTES = 1e9
"""Memory of the sinograms and slices that are reconstructed together."""

TV_PER_NOISE = 1.25
"""Default TV weight of a density, in units of the gradient's noise (docs/explanation/composition.md
shows the choice)."""


def reconstruct(
    projections: Field,
    weights: Field | None,
    geometry: TiltGeometry,
    *,
    algorithm: Algorithm,
    backend: Backend,
    iterations: int,
    nonnegative: bool,
    tv_weight: float | None,
    threads: int,
    on_iteration: OnIteration | None = None,
) -> Field:
    """Reconstruct a volume from line integrals.

    At most one slab of data and volume is in memory at a time.

    Parameters
    ----------
    projections : (n_tilt, n_z, n_s) float32, unit · pixel; 0 where invalid
    weights : (n_tilt, n_z, n_s) float32, inverse variance, 0 where invalid (used by "tv" only,
        which needs them)
    geometry : the scan; backends other than "oxytomo" need the square geometry with the axis in the
        middle
    algorithm : "fbp", "sirt" or "tv"
    backend : "oxytomo", "astra" or "tomopy"
    iterations, nonnegative, tv_weight : for the iterative algorithms; a tv_weight of None is chosen
        from the noise
    threads : threads for Fourier transforms and backends
    on_iteration : called with the work done and the total work, in iterations times slices

    Returns
    -------
    (n_z, n_y, n_x) float32
    """
    if algorithm == "tv":
        return _total_variation(
            projections,
            weights,
            geometry,
            backend=backend,
            iterations=iterations,
            nonnegative=nonnegative,
            tv_weight=tv_weight,
            on_iteration=on_iteration,
        )
    if backend != "oxytomo" and not _is_square(geometry):
        raise ValueError(
            f"backend {backend} needs a square slice with the axis in its middle and the detector's"
        )
    n_tilt, n_z, _ = projections.shape
    volume = new_field((n_z, geometry.n_y, geometry.n_x), np.float32)
    step = _slices_at_once(n_tilt, geometry)
    rounds = iterations if algorithm == "sirt" and backend == "oxytomo" else 1
    report: OnIteration = on_iteration or (lambda done, total: None)
    for start in range(0, n_z, step):
        rows = slice(start, min(start + step, n_z))

        def reached(done: int, total: int, rows: slice = rows) -> None:
            report(rounds * rows.start + done * (rows.stop - rows.start), rounds * n_z)

        volume[rows] = _slices(
            np.ascontiguousarray(projections[:, rows], np.float32),
            geometry,
            algorithm=algorithm,
            backend=backend,
            iterations=iterations,
            nonnegative=nonnegative,
            threads=threads,
            on_iteration=reached,
        )
        report(rounds * rows.stop, rounds * n_z)
    return volume


def _slices(
    projections: FloatArray,
    geometry: TiltGeometry,
    *,
    algorithm: Algorithm,
    backend: Backend,
    iterations: int,
    nonnegative: bool,
    threads: int,
    on_iteration: OnIteration,
) -> FloatArray:
    """Reconstruct some slices by filtered back-projection or SIRT, in memory."""
    if backend == "astra":
        return _astra(projections, geometry, algorithm, iterations, nonnegative)
    if backend == "tomopy":
        return tomopy_reconstruction(
            projections,
            geometry,
            algorithm=algorithm,
            iterations=iterations,
            nonnegative=nonnegative,
            threads=threads,
        )
    if algorithm == "fbp":
        return filtered_backprojection(projections, geometry)
    return sirt(
        projections, geometry, iterations=iterations, nonnegative=nonnegative, on_iteration=on_iteration
    )


def _is_square(geometry: TiltGeometry) -> bool:
    """Return whether a slice is as wide as the detector, with the axis in the middle of both."""
    n = geometry.n_columns
    centres = (geometry.axis_column, geometry.centre_y, geometry.centre_x)
    return geometry.n_y == geometry.n_x == n and set(centres) == {(n - 1) / 2}


def _slices_at_once(n_tilt: int, geometry: TiltGeometry) -> int:
    """Slices per slab: whole blocks of the projector if they fit in ``SLAB_BYTES``."""
    room = int(SLAB_BYTES / (4 * (2 * geometry.n_y * geometry.n_x + 3 * n_tilt * geometry.n_columns)))
    return max(1, room // SLICES * SLICES or room)


def _total_variation(
    projections: Field,
    weights: Field | None,
    geometry: TiltGeometry,
    *,
    backend: Backend,
    iterations: int,
    nonnegative: bool,
    tv_weight: float | None,
    on_iteration: OnIteration | None,
) -> Field:
    if backend != "oxytomo":
        raise ConfigError(
            "reconstruct.backend",
            expected="oxytomo for total variation",
            got=backend,
            fix="set backend: oxytomo, or algorithm: fbp or sirt",
        )
    if weights is None:
        raise ValueError("total variation needs the weights of the projections")
    support = new_field((projections.shape[1], geometry.n_y, geometry.n_x), np.bool_)
    for slab in slabs(support.shape):
        support[slab.rows] = True
    noise = gradient_noise(weights, geometry, support)
    solved = total_variation(
        projections,
        weights,
        geometry,
        support=support,
        psf_px=0.0,
        tv_weight=TV_PER_NOISE * noise if tv_weight is None else tv_weight,
        l1_weight=0.0,
        nonnegative=nonnegative,
        iterations=iterations,
        tolerance=CONVERGED * noise,
        on_iteration=on_iteration,
    )
    return solved.volume


def _astra(
    projections: FloatArray, geometry: TiltGeometry, algorithm: str, iterations: int, nonnegative: bool
) -> FloatArray:
    try:
        import astra
    except ImportError as error:
        raise MissingPackageError(
            "backend astra",
            expected="the package astra-toolbox",
            got=str(error),
            fix="pip install astra-toolbox",
        ) from error
    # ASTRA's y axis points up, ours (the row index) down: the angle changes sign.
    angles = -np.deg2rad(geometry.tilt_deg)
    projector = astra.create_projector(
        "linear",
        astra.create_proj_geom("parallel", 1.0, geometry.n_columns, angles),
        astra.create_vol_geom(geometry.n_y, geometry.n_x),
    )
    volume = np.empty((projections.shape[1], geometry.n_y, geometry.n_x), np.float32)
    # ASTRA's filtered back-projection assumes equal steps over a half turn.
    weights = tilt_weights_rad(geometry.tilt_deg)
    data = projections * (weights / np.pi * weights.size).astype(np.float32)[:, None, None]
    try:
        for z in range(volume.shape[0]):
            volume[z] = _astra_slice(
                astra,
                projector,
                (data if algorithm == "fbp" else projections)[:, z],
                algorithm,
                iterations,
                nonnegative,
            )
    finally:
        astra.projector.delete(projector)
    return volume


def _astra_slice(
    astra: Any, projector: int, sinogram: FloatArray, algorithm: str, iterations: int, nonnegative: bool
) -> FloatArray:
    geometry = astra.projector.projection_geometry(projector)
    data = astra.data2d.create("-sino", geometry, np.ascontiguousarray(sinogram))
    result = astra.data2d.create("-vol", astra.projector.volume_geometry(projector), 0.0)
    settings = astra.astra_dict("FBP" if algorithm == "fbp" else "SIRT")
    settings.update(ProjectorId=projector, ProjectionDataId=data, ReconstructionDataId=result)
    if algorithm == "sirt" and nonnegative:
        settings["option"] = {"MinConstraint": 0.0}
    job = astra.algorithm.create(settings)
    try:
        astra.algorithm.run(job, iterations if algorithm == "sirt" else 1)
        return astra.data2d.get(result).astype(np.float32)
    finally:
        astra.algorithm.delete(job)
        astra.data2d.delete([data, result])
