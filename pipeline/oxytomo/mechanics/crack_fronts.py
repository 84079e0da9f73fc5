"""Stress intensity factor along the fronts of cracks, from the opening behind the front."""

from dataclasses import dataclass

import cc3d
import numpy as np
import pandas as pd
from scipy.ndimage import map_coordinates
from scipy.spatial import KDTree

from oxytomo.arrays import BoolArray, Float64Array, FloatArray, IntArray
from oxytomo.mechanics.elasticity import Deformed, Elastic
from oxytomo.mechanics.solid import Solid

NORMAL_REACH = 4.0
"""Radius of the patch of a crack that the normal is fitted to, voxels."""
GAUGE = 2.0
"""Distance from the middle plane of a crack at which the face displacement is read, voxels."""
BEHIND = (1.0, 5.0)
"""Distances behind the front between which the opening is fitted, voxels."""
BESIDE = 1.6
"""Half width of the strip of openings behind a point of the front, voxels."""
ONE_SIDED = 0.3
"""At the end of a crack the centre of its neighbourhood is this far to one side, in units of the
reach (0.42 for half a disc)."""
AHEAD = (2.0, 3.5)
"""Distances ahead of a front that must be solid, voxels; otherwise the crack ends in a void or at
the surface."""
FEWEST = 6
SMALLEST_RADIUS = 4.0
"""Smallest radius of a crack, voxels, for which the thickness of the cut can be corrected."""
SLOT = 0.75
"""A flat spheroid of half thickness c and radius a opens by a factor 1 + 0.75 c / a more than a
crack (from Eshelby, Proc. R. Soc. A 241, 376, 1957)."""
READ_ABOVE = (0.0, 0.5, 1.0, 1.5, 2.0)
READ_RAISED = (1.0, 1.001, 1.029, 1.065, 1.079)
READ_MOVED = (0.0, 0.02, 0.07, 0.21, 0.33)
"""Openings are read this far above the faces, voxels. About a round crack in an unbounded solid
(Sneddon, Proc. R. Soc. A 187, 229, 1946) such openings, less the stretch, raise K_I by these
factors and move the front forwards by these distances, whatever the radius."""
SOLID_SHARE = 0.9


@dataclass(frozen=True)
class Sheets:
    """Voxels of all cracks and their properties.

    Attributes
    ----------
    crack : (n,) number of the crack, from 1
    place : (n, 3) voxel, z, y, x, in the padded grid
    normal : (n, 3) unit vector
    opening : (n,) in voxels, NaN where a face is not solid
    """

    crack: IntArray
    place: Float64Array
    normal: Float64Array
    opening: Float64Array


def crack_sheets(cracks: BoolArray, solid: Solid, deformed: Deformed) -> Sheets:
    """Return the voxels of the cracks with their normals and openings.

    Parameters
    ----------
    cracks : (n_z, n_y, n_x) bool of the padded grid, the voxels that were cut
    solid, deformed : the particle and its deformed state
    """
    number = cc3d.connected_components(cracks, connectivity=26)
    place = np.argwhere(cracks).astype(np.float64)
    crack = number[cracks].astype(np.int64)
    normal = _normals(place, crack)
    return Sheets(crack, place, normal, _openings(place, normal, solid, deformed))


def _normals(place: Float64Array, crack: IntArray) -> Float64Array:
    normal = np.zeros_like(place)
    if not len(place):
        return normal
    near = KDTree(place).query_ball_point(place, NORMAL_REACH)
    for i, those in enumerate(near):
        own = np.array(those)[crack[those] == crack[i]]
        moved = place[own] - place[own].mean(0)
        normal[i] = np.linalg.eigh(moved.T @ moved)[1][:, 0]
    return normal


def _openings(place: Float64Array, normal: Float64Array, solid: Solid, deformed: Deformed) -> Float64Array:
    """Return the relative displacement of the two faces.

    The stretch of the solid between the two places is subtracted.
    """
    faces = []
    for side in (1.0, -1.0):
        at = place + side * GAUGE * normal
        moved = _displacement(deformed.displacement, at)
        stretched = _normal_strain(deformed.strain, at, normal)
        known = map_coordinates(solid.share, at.T, order=1, mode="nearest") > SOLID_SHARE
        faces.append((side * (moved * normal).sum(1) - GAUGE * stretched, known))
    (upper, one), (lower, other) = faces
    return np.where(one & other, upper + lower, np.nan)


def _displacement(field: FloatArray, at: Float64Array) -> Float64Array:
    """Return the displacement (z, y, x) at places given in cells.

    A face lies half a voxel before its cell.
    """
    parts = []
    for component, axis in ((2, 0), (1, 1), (0, 2)):
        place = at.copy()
        place[:, axis] += 0.5
        parts.append(map_coordinates(field[component], place.T, order=1, mode="nearest"))
    return np.stack(parts, 1).astype(np.float64)


def _normal_strain(strain: FloatArray, at: Float64Array, normal: Float64Array) -> Float64Array:
    xx, yy, zz, xy, xz, yz = (map_coordinates(one, at.T, order=0, mode="nearest") for one in strain)
    z, y, x = normal.T
    total: Float64Array = (
        xx * x**2 + yy * y**2 + zz * z**2 + 2 * (xy * x * y + xz * x * z + yz * y * z)
    ).astype(np.float64)
    return total


def crack_fronts(sheets: Sheets, solid: Solid, elastic: Elastic) -> pd.DataFrame:
    """Return K_I along the fronts of the cracks.

    Behind a front the opening is w = 8 (1 − ν²) K_I / E · √(d / 2π) (Irwin 1957), so w² is linear
    in the distance d. A line with a curvature is fitted. The zero of the fit is the front, so a
    front between two voxels is found, too. Closed faces have K_I = 0.

    Returns
    -------
    DataFrame with one row per voxel of a front: ``crack``, ``z``, ``y``, ``x`` (voxels of the
    padded grid), ``k_mpa_sqrt_m``.
    """
    rows = []
    tree = KDTree(sheets.place) if len(sheets.place) else None
    reach = BEHIND[1] + 2.0
    near = tree.query_ball_point(sheets.place, reach) if tree is not None else []
    for i, those in enumerate(near):
        own = np.array(those)[sheets.crack[those] == sheets.crack[i]]
        away = _outward(sheets, i, own)
        if away is None or not _ends_in_solid(sheets.place[i], away, solid.share):
            continue
        intensity = _intensity(sheets, i, own, away, elastic, solid.voxel_um)
        rows.append((int(sheets.crack[i]), *sheets.place[i], intensity))
    table = pd.DataFrame(rows, columns=["crack", "z", "y", "x", "k_mpa_sqrt_m"])
    return table.astype({"crack": int, **dict.fromkeys(("z", "y", "x", "k_mpa_sqrt_m"), float)})


def _outward(sheets: Sheets, i: int, own: IntArray) -> Float64Array | None:
    """Return the in-plane direction that points out of a crack, None in its middle."""
    step = sheets.place[own] - sheets.place[i]
    close = (step**2).sum(1) <= NORMAL_REACH**2
    mean = step[close].mean(0)
    mean -= (mean @ sheets.normal[i]) * sheets.normal[i]
    size = float(np.linalg.norm(mean))
    return -mean / size if size >= ONE_SIDED * NORMAL_REACH else None


def _ends_in_solid(place: Float64Array, away: Float64Array, share: FloatArray) -> bool:
    ahead = np.stack([place + distance * away for distance in AHEAD], 1)
    return bool((map_coordinates(share, ahead, order=1, mode="nearest") > SOLID_SHARE).all())


def _intensity(
    sheets: Sheets, i: int, own: IntArray, away: Float64Array, elastic: Elastic, voxel_um: float
) -> float:
    """Return K_I at one point of a front, MPa √m; NaN where too few openings are known."""
    step = sheets.place[own] - sheets.place[i]
    behind = -(step @ away)
    beside = np.abs(step @ np.cross(away, sheets.normal[i]))
    opening = sheets.opening[own]
    used = (behind >= BEHIND[0]) & (behind <= BEHIND[1]) & (beside <= BESIDE) & np.isfinite(opening)
    if np.count_nonzero(used) < FEWEST:
        return np.nan
    squared = np.sign(opening[used]) * opening[used] ** 2
    bend, slope, level = np.polyfit(behind[used], squared, 2)
    root = _nearest_root(bend, slope, level)
    steep = slope + 2 * bend * root
    factor = 1e3 * elastic.youngs_gpa * np.sqrt(2 * np.pi) / (8 * (1 - elastic.poisson**2))
    half = 0.5 * float(np.abs(sheets.normal[i]).sum())
    raised, moved = (float(np.interp(GAUGE - half, READ_ABOVE, one)) for one in (READ_RAISED, READ_MOVED))
    slot = _slot(steep, bend, moved - root - 0.5, half)
    return float(factor * np.sqrt(max(steep, 0.0) * voxel_um * 1e-6) / (slot * raised))


def _slot(steep: float, bend: float, beyond: float, half_thickness: float) -> float:
    """Return the factor by which a cut of one voxel or more raises K_I above that of a crack.

    Behind the front of a round crack w² falls as d (1 − d / 2a), so the curvature gives the radius
    a. The front of the cut lies ``beyond`` the edge of the last voxel, where no solid carries
    shear, and K_I grows with the square root of the radius.
    """
    radius = max(-steep / (2 * bend), SMALLEST_RADIUS) if bend < 0 < steep else np.inf
    return float((1 + SLOT * half_thickness / radius) * np.sqrt(1 + max(beyond, 0.0) / radius))


def _nearest_root(bend: float, slope: float, level: float) -> float:
    """Return the zero of a parabola next to the front, 0 where there is none within two voxels."""
    roots = np.roots((bend, slope, level))
    real = roots[np.isreal(roots)].real
    near = real[np.abs(real) <= 2.0]
    return float(near[np.argmin(np.abs(near))]) if near.size else 0.0
