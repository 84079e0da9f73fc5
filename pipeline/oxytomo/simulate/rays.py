"""Line integrals along any straight rays, and transmissions recorded by real instruments.

The kernel of :mod:`oxytomo.simulate.chords` is for parallel rays on a rectangular grid. Here every
ray has its own point, so distorted fields, converging light, the rim and objects beside the
particle are exact as well.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit, prange
from scipy.ndimage import gaussian_filter

from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.errors import ShapeError
from oxytomo.simulate.phantoms import Ellipsoid, Phantom, geometry
from oxytomo.simulate.surroundings import Sheet
from oxytomo.threads import parallel_kernel
from oxytomo.units import NM_PER_UM

HC_EV_NM: Final = 1239.841984
"""Planck's constant times the speed of light."""
CONE_DIRECTIONS: Final = 7
"""Number of rays through the focus that represent the light collected by a zone plate."""


@dataclass(frozen=True, eq=False)
class Matter:
    """Attenuating objects at one energy, 1/µm.

    Attributes
    ----------
    phantom : the particle
    attenuation : (n_ellipsoid,) attenuation that each of its ellipsoids adds
    oxygen : (n_ellipsoid,) part of it due to oxygen, which damage removes
    rim : (n_ellipsoid,) additional attenuation of each outside of ``core``
    core : region inside the rim; None without a rim
    around, around_attenuation : objects beside the particle, and (n,) attenuation that each of
        their ellipsoids adds
    sheet, film : the film below the particle, and its attenuation
    """

    phantom: Phantom
    attenuation: Float64Array
    oxygen: Float64Array
    rim: Float64Array
    core: Ellipsoid | None
    around: Phantom
    around_attenuation: Float64Array
    sheet: Sheet | None
    film: float


@dataclass(frozen=True, eq=False)
class View:
    """Geometry and state of the sample for one series of frames.

    Attributes
    ----------
    tilt_deg : (n_frame,) true tilts
    shift_px : (n_frame, 2) shift of the content, pixels (dy, dx)
    axis_tilt_deg : in-plane tilt of the rotation axis, degrees
    pixel_nm, n_rows, n_cols, subsamples, psf_px : as in
        :func:`oxytomo.simulate.acquisition.transmissions`
    aperture : numerical aperture of the lens; 0 for parallel rays
    distortion : relative displacement of the field's corners
    oxygen_loss, shrinkage : (n_frame,) shares lost at each frame
    """

    tilt_deg: Float64Array
    shift_px: Float64Array
    axis_tilt_deg: float
    pixel_nm: float
    n_rows: int
    n_cols: int
    subsamples: int
    psf_px: float
    aperture: float
    distortion: float
    oxygen_loss: Float64Array
    shrinkage: Float64Array


def ray_integrals(
    phantom: Phantom,
    amounts: Float64Array,
    *,
    points_nm: Float64Array,
    direction: Float64Array,
    core: Ellipsoid | None,
) -> tuple[Float64Array, Float64Array]:
    """Exact line integrals of given amounts along parallel rays through given points.

    Parameters
    ----------
    phantom : the object; its own amounts are not used
    amounts : (n_ellipsoid, n_channel)
    points_nm : (n_ray, 3) a point (z, y, x) of each ray
    direction : (3,) direction of all rays, (z, y, x)
    core : part of the object whose share is returned separately; None for none

    Returns
    -------
    whole, within : (n_ray, n_channel) float64, µm times the unit of the amounts: of the whole
        object, and of the part within the core
    """
    points = np.ascontiguousarray(points_nm, np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or amounts.shape[0] != len(phantom.ellipsoids):
        raise ShapeError(
            "points_nm and amounts",
            expected="(n_ray, 3) and one row per ellipsoid",
            got=f"{points.shape} and {amounts.shape}",
            fix="give a point (z, y, x) of each ray, and the amounts of each ellipsoid",
        )
    unit = np.asarray(direction, np.float64) / np.linalg.norm(direction)
    centres, shapes, inverses = geometry(phantom)
    reach = np.sqrt(np.linalg.eigvalsh(shapes)[:, -1]) if len(shapes) else np.zeros(0)
    cut = Phantom(() if core is None else (core,), phantom.elements if core is None else tuple(core.amount))
    core_centre, _, core_inverse = geometry(cut)
    whole = np.zeros((len(points), amounts.shape[1]))
    within = np.zeros_like(whole)
    _add_rays(
        points,
        unit,
        centres,
        inverses,
        reach,
        np.ascontiguousarray(amounts, np.float64),
        core_centre,
        core_inverse,
        whole,
        within,
    )
    return whole, within


def real_transmissions(matter: Matter, view: View) -> FloatArray:
    """Transmission of each pixel in a real instrument, before stray light.

    Each pixel records the mean of ``exp(−OD)`` over its rays and over the directions of the light,
    blurred by the point spread. Rays of each direction converge on the focal plane through the tilt
    axis, so objects before or behind the plane are out of focus (geometrical optics, incoherent
    light).

    Returns
    -------
    (n_frame, n_rows, n_cols) float32
    """
    n_frame = view.tilt_deg.size
    result = np.empty((n_frame, view.n_rows, view.n_cols), np.float32)
    cone = cone_directions(view.aperture)
    binned = (view.n_rows, view.subsamples, view.n_cols, view.subsamples)
    for frame in range(n_frame):
        positions = _detector(view, frame)
        mean = np.zeros(view.n_rows * view.n_cols * view.subsamples**2)
        for slopes in cone:
            mean += np.exp(-_optical_density(matter, view, frame, positions, slopes))
        result[frame] = (mean / len(cone)).reshape(binned).mean(axis=(1, 3))
    if view.psf_px > 0:
        result = gaussian_filter(result, (0, view.psf_px, view.psf_px), mode="nearest")
    return result


def numerical_aperture(zone_nm: float, energy_ev: float) -> float:
    """Numerical aperture ``λ / (2 Δr)`` of a zone plate with an outermost zone of this width.

    It is 0 without a zone plate.
    """
    return HC_EV_NM / energy_ev / (2 * zone_nm) if zone_nm > 0 else 0.0


def cone_directions(aperture: float) -> list[tuple[float, float]]:
    """Slopes of the rays, sideways and along the tilt axis, that represent a filled cone of light.

    Six are on a circle and one in the middle. The radius is such that their mean square is that of
    a filled disc, ``NA²/4`` in each direction.
    """
    if aperture <= 0:
        return [(0.0, 0.0)]
    n = CONE_DIRECTIONS - 1
    radius = aperture * math.sqrt(CONE_DIRECTIONS / (2 * n))
    angles = np.arange(n) * 2 * math.pi / n
    ring = zip((radius * np.cos(angles)).tolist(), (radius * np.sin(angles)).tolist(), strict=True)
    return [(0.0, 0.0), *ring]


def _detector(view: View, frame: int) -> tuple[Float64Array, Float64Array]:
    """Positions (z, s) in the object plane of every ray of a frame, nm."""
    rows, columns = (
        (np.arange(n * view.subsamples) + 0.5) / view.subsamples - n / 2 for n in (view.n_rows, view.n_cols)
    )
    z, s = (grid.ravel() for grid in np.meshgrid(rows, columns, indexing="ij"))
    corner2 = (view.n_rows**2 + view.n_cols**2) / 4
    stretch = 1 + view.distortion * (z**2 + s**2) / corner2
    dy, dx = view.shift_px[frame]
    z, s = (z * stretch - dy) * view.pixel_nm, (s * stretch - dx) * view.pixel_nm
    lean = np.deg2rad(view.axis_tilt_deg)
    return np.cos(lean) * z + np.sin(lean) * s, np.cos(lean) * s - np.sin(lean) * z


def _optical_density(
    matter: Matter,
    view: View,
    frame: int,
    positions_nm: tuple[Float64Array, Float64Array],
    slopes: tuple[float, float],
) -> Float64Array:
    """Optical density along the rays of one frame at (z, s) and one direction of the light."""
    tilt = np.deg2rad(view.tilt_deg[frame])
    across = np.array([0.0, np.sin(tilt), np.cos(tilt)])
    beam = np.array([0.0, np.cos(tilt), -np.sin(tilt)])
    direction = beam + slopes[0] * across + slopes[1] * np.array([1.0, 0.0, 0.0])
    direction /= np.linalg.norm(direction)
    points = positions_nm[1][:, None] * across
    points[:, 0] += positions_nm[0]
    size = 1 - view.shrinkage[frame]
    # A smaller particle of the same mass: lengths scale by `size`, densities by size⁻³.
    whole, within = ray_integrals(
        matter.phantom,
        np.stack([matter.attenuation, matter.oxygen, matter.rim], axis=1),
        points_nm=points / size,
        direction=direction,
        core=matter.core,
    )
    inside = whole[:, 0] - view.oxygen_loss[frame] * whole[:, 1]
    if matter.core is not None:
        inside += whole[:, 2] - within[:, 2]
    density = inside / size**2
    if matter.around.ellipsoids:
        density += ray_integrals(
            matter.around,
            matter.around_attenuation[:, None],
            points_nm=points,
            direction=direction,
            core=None,
        )[0][:, 0]
    if matter.sheet is not None:
        density += _through_film(matter.sheet, matter.film, points, direction)
    return density


def _through_film(sheet: Sheet, per_um: float, points: Float64Array, direction: Float64Array) -> Float64Array:
    """Optical density of the film: its thickness at the ray, over the ray's slope."""
    step = (sheet.y_nm - points[:, 1]) / direction[1]
    film_nm = sheet.thickness_nm(points[:, 0] + step * direction[0], points[:, 2] + step * direction[2])
    return np.asarray(film_nm * per_um / NM_PER_UM / abs(direction[1]), np.float64)


@njit(cache=True, nogil=True, inline="always")
def _crossing(inverse, r_z, r_y, r_x, d):  # type: ignore[no-untyped-def]
    """Distances at which a ray, r + t d, enters and leaves an ellipsoid around the origin.

    Without intersection, it enters after it leaves.
    """
    a = b = c = 0.0
    r = (r_z, r_y, r_x)
    for i in range(3):
        for j in range(3):
            q = inverse[i, j]
            a += d[i] * q * d[j]
            b += d[i] * q * r[j]
            c += r[i] * q * r[j]
    square = b * b - a * (c - 1.0)
    if square <= 0.0:
        return 1.0, -1.0
    half = math.sqrt(square) / a
    return -b / a - half, -b / a + half


@parallel_kernel(element_ns=10, nogil=True)
def _add_rays(  # type: ignore[no-untyped-def]
    points, d, centres, inverses, reach, amounts, core_centre, core_inverse, whole, within
):
    um_per_nm = 1e-3
    for ray in prange(points.shape[0]):
        p_z, p_y, p_x = points[ray]
        core_in, core_out = 1.0, -1.0
        if core_centre.shape[0] > 0:
            o = core_centre[0]
            core_in, core_out = _crossing(core_inverse[0], p_z - o[0], p_y - o[1], p_x - o[2], d)
        for e in range(centres.shape[0]):
            r_z, r_y, r_x = p_z - centres[e, 0], p_y - centres[e, 1], p_x - centres[e, 2]
            along = r_z * d[0] + r_y * d[1] + r_x * d[2]
            if r_z * r_z + r_y * r_y + r_x * r_x - along * along >= reach[e] * reach[e]:
                continue
            enters, leaves = _crossing(inverses[e], r_z, r_y, r_x, d)
            if leaves <= enters:
                continue
            # Both are measured from the point itself, so they can be compared with the core's.
            length = (leaves - enters) * um_per_nm
            common = max(0.0, min(leaves, core_out) - max(enters, core_in)) * um_per_nm
            for k in range(amounts.shape[1]):
                whole[ray, k] += amounts[e, k] * length
                within[ray, k] += amounts[e, k] * common
