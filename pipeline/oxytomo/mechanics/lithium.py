"""Diffusion of lithium on the voxels of a particle, fed through the wetted surface.

φ ∂x/∂t = ∇·(φ D ∇x) + a j: φ is the share of solid, a the wetted surface per volume and j the flux
through it. There is no flux through any other surface. x is the amount of lithium relative to that
of the full formula unit.
"""

from dataclasses import dataclass
from typing import Literal

import cc3d
import numba
import numpy as np
import scipy.fft
from scipy.ndimage import binary_dilation, gaussian_filter

from oxytomo.arrays import BoolArray, FloatArray
from oxytomo.mechanics.conjugate_gradients import Solved, conjugate_gradients
from oxytomo.mechanics.solid import Solid
from oxytomo.threads import parallel_kernel

SURFACE_SIGMA_VOXELS = 1.0
"""Blur of the solid share that gives the direction of its surface."""
REACH_VOXELS = 2
"""Solid within this distance of electrolyte is wetted: a surface is spread over two voxels."""
Wetted = Literal["skin", "open", "all"]


@dataclass(frozen=True)
class Conductance:
    """Conductance between neighbouring voxels: flow per difference of x and voxel edge.

    Attributes
    ----------
    faces : (3, n_z, n_y, n_x) float32: harmonic mean of φ D of the two cells of a face, along x, y,
        z, in units of ``scale``
    share : (n_z, n_y, n_x) float32, share of solid
    scale : diffusivity that the conductances are relative to, µm² s⁻¹
    """

    faces: FloatArray
    share: FloatArray
    scale_um2_s: float


def conductance(solid: Solid, diffusivity_um2_s: float | FloatArray) -> Conductance:
    """Return the conductance of a particle with one diffusivity, or with one per voxel."""
    if isinstance(diffusivity_um2_s, float | int):
        scale, relative = float(diffusivity_um2_s), solid.share
    else:
        scale = float(np.mean(diffusivity_um2_s[solid.share > 0]))
        relative = solid.share * (diffusivity_um2_s / np.float32(scale))
    faces = np.zeros((3, *solid.share.shape), np.float32)
    _faces(relative, faces)
    return Conductance(faces, solid.share, scale)


@parallel_kernel(element_ns=3, fastmath=True)
def _faces(value: FloatArray, faces: FloatArray) -> None:
    n_z, n_y, n_x = value.shape
    for k in numba.prange(1, n_z):
        for j in range(1, n_y):
            for i in range(1, n_x):
                here = value[k, j, i]
                if here > 0:
                    for c in range(3):
                        there = value[k - (c == 2), j - (c == 1), i - (c == 0)]
                        if there > 0:
                            faces[c, k, j, i] = 2 * here * there / (here + there)


@parallel_kernel(element_ns=3, fastmath=True)
def _apply(x: FloatArray, out: FloatArray, mass: FloatArray, faces: FloatArray) -> None:
    n_z, n_y, n_x = x.shape
    for k in numba.prange(1, n_z - 1):
        for j in range(1, n_y - 1):
            for i in range(1, n_x - 1):
                c = x[k, j, i]
                flow = mass[k, j, i] * c
                flow += faces[0, k, j, i] * (c - x[k, j, i - 1]) + faces[0, k, j, i + 1] * (
                    c - x[k, j, i + 1]
                )
                flow += faces[1, k, j, i] * (c - x[k, j - 1, i]) + faces[1, k, j + 1, i] * (
                    c - x[k, j + 1, i]
                )
                flow += faces[2, k, j, i] * (c - x[k - 1, j, i]) + faces[2, k + 1, j, i] * (
                    c - x[k + 1, j, i]
                )
                out[k, j, i] = flow


def solve_diffusion(
    flow: Conductance,
    mass: FloatArray,
    right: FloatArray,
    *,
    start: FloatArray | None,
    tolerance: float,
    most_iterations: int,
    threads: int,
) -> Solved:
    """Solve (mass + conductance) x = right, all per voxel.

    The unit is the scale of the conductance; ``right`` is overwritten.

    The preconditioner is the inverse for a grid full of solid, which the discrete Fourier transform
    diagonalises.
    """
    n_z, n_y, n_x = flow.share.shape
    laplace = sum(
        (2 - 2 * np.cos(2 * np.pi * one)).astype(np.float32)
        for one in (
            np.fft.rfftfreq(n_x)[None, None, :],
            np.fft.fftfreq(n_y)[None, :, None],
            np.fft.fftfreq(n_z)[:, None, None],
        )
    )
    solid = flow.share > 0
    mean_mass = float(mass[solid].mean()) if mass.any() else 0.0
    spectrum = laplace + np.float32(mean_mass)
    if mean_mass == 0.0:
        spectrum[0, 0, 0] = np.inf
    inverse = (1 / spectrum).astype(np.float32)

    def precondition(residual: FloatArray, out: FloatArray) -> None:
        transformed = scipy.fft.rfftn(residual, workers=threads)
        transformed *= inverse
        out[:] = scipy.fft.irfftn(transformed, residual.shape, workers=threads, overwrite_x=True)
        out[:] *= solid

    return conjugate_gradients(
        lambda x, out: _apply(x, out, mass, flow.faces),
        precondition,
        right,
        start=start,
        tolerance=tolerance,
        most_iterations=most_iterations,
    )


def wetted_area(solid: Solid, labels: np.ndarray, wetted: Wetted) -> FloatArray:
    """Return the wetted surface of each voxel in voxel faces, (n_z, n_y, n_x) of the padded grid.

    Parameters
    ----------
    solid : the particle
    labels : (n_z, n_y, n_x) of the original volume: 0 outside, 1 solid, 2 void, 3 crack
    wetted : ``skin``: only the outer surface; ``open``: also voids and cracks that are open to it;
        ``all``: every surface
    """
    inside = solid.inside
    known = np.zeros(solid.share.shape, np.uint8)
    known[inside] = labels
    electrolyte = _electrolyte(known, wetted)
    near = binary_dilation(electrolyte, np.ones((3, 3, 3), bool), REACH_VOXELS)
    if wetted != "all":
        near &= ~_nearer(known, electrolyte)
    return np.where(near & (solid.share > 0), _surface(solid.share), 0)


def _surface(share: FloatArray) -> FloatArray:
    """Return the surface of each voxel, in voxel faces.

    A step of the solid share ``s`` across a face with the axis ``k`` belongs to the fuller voxel.
    It counts with the direction cosine of the surface: ``A = Σ_k |n_k| Σ max(s − s', 0)``. A
    surface of any direction has ``|n_k|`` such faces per area, and ``Σ_k n_k² = 1``. Slits of one
    voxel have two surfaces.
    """
    smooth = gaussian_filter(share, SURFACE_SIGMA_VOXELS)
    gradient = [np.gradient(smooth, axis=axis) for axis in range(share.ndim)]
    length = np.maximum(np.sqrt(sum(one**2 for one in gradient)), 1e-9)
    area = np.zeros_like(share)
    for axis, one in enumerate(gradient):
        cosine, step = np.abs(one) / length, np.diff(share, axis=axis)
        before, after = ((slice(None),) * axis + (part,) for part in (slice(-1), slice(1, None)))
        area[before] += np.maximum(-step, 0) * cosine[before]
        area[after] += np.maximum(step, 0) * cosine[after]
    return area


def _electrolyte(known: np.ndarray, wetted: Wetted) -> BoolArray:
    outside: BoolArray = known == 0
    if wetted == "skin":
        return outside
    empty = known != 1
    if wetted == "all":
        return empty
    pieces = cc3d.connected_components(empty, connectivity=6)
    reached: BoolArray = np.isin(pieces, np.setdiff1d(np.unique(pieces[outside]), [0]))
    return reached


def _nearer(known: np.ndarray, electrolyte: BoolArray) -> BoolArray:
    """Return which voxels lie beside a dry void and not beside electrolyte."""
    dry = (known != 1) & ~electrolyte
    cube = np.ones((3, 3, 3), bool)
    beside: BoolArray = binary_dilation(dry, cube) & ~binary_dilation(electrolyte, cube)
    return beside


@dataclass(frozen=True)
class SteadyShape:
    """The steady lithium profile under a constant current and a constant diffusivity.

    Attributes
    ----------
    excess : (n_z, n_y, n_x) float32: x minus its mean, as x D / ẋ in µm²
    iterations, residual : of the solver
    unreached_share : share of the solid that no wetted surface feeds
    """

    excess: FloatArray
    iterations: int
    residual: float
    unreached_share: float


def steady_shape(
    solid: Solid, area: FloatArray, *, tolerance: float, most_iterations: int, threads: int
) -> SteadyShape:
    """Return the shape of the lithium profile after the first transient, t > R²/10 D.

    D ∇²x = ẋ, with a flux that is the same everywhere on the wetted surface and fills the particle
    at the rate ẋ (Crank 1975, § 6.3.2). The excess over the mean is linear in ẋ/D, so one solution
    serves every rate and diffusivity.
    """
    flow = conductance(solid, 1.0)
    total = float(solid.share.sum(dtype=np.float64))
    right = area * np.float32(total / float(area.sum(dtype=np.float64))) - solid.share
    right[solid.share > 0] -= np.float32(right.sum(dtype=np.float64) / np.count_nonzero(solid.share))
    mass = np.zeros_like(solid.share)
    found = solve_diffusion(
        flow,
        mass,
        right,
        start=None,
        tolerance=tolerance,
        most_iterations=most_iterations,
        threads=threads,
    )
    x = found.solution
    x -= np.float32((x * solid.share).sum(dtype=np.float64) / total)
    x *= (solid.share > 0) * np.float32(solid.voxel_um**2)
    return SteadyShape(x, found.iterations, found.residual, 0.0)


def step(
    flow: Conductance,
    x: FloatArray,
    area: FloatArray,
    *,
    rate_per_s: float,
    time_s: float,
    voxel_um: float,
    tolerance: float,
    threads: int,
) -> Solved:
    """Advance lithium by one implicit time step at constant current; returns the new x.

    Parameters
    ----------
    flow : conductance of the particle
    x : (n_z, n_y, n_x) float32, lithium content, 0 to 1
    area : wetted surface, see :func:`wetted_area`
    rate_per_s : growth of the mean of x per second; a C-rate divided by 3600
    time_s : length of the step
    voxel_um : edge of a voxel, µm
    """
    per_second = voxel_um**2 / flow.scale_um2_s
    mass = flow.share * np.float32(per_second / time_s)
    total = float(flow.share.sum(dtype=np.float64))
    right = mass * x
    right += area * np.float32(rate_per_s * per_second * total / float(area.sum(dtype=np.float64)))
    found = solve_diffusion(
        flow, mass, right, start=x, tolerance=tolerance, most_iterations=500, threads=threads
    )
    wanted = (flow.share * x).sum(dtype=np.float64) + rate_per_s * time_s * total
    missing = wanted - (flow.share * found.solution).sum(dtype=np.float64)
    found.solution[flow.share > 0] += np.float32(missing / total)
    return found
