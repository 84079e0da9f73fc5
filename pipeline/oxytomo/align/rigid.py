"""Rigid registration of two volumes of one particle whose voxel sizes are known."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.ndimage import binary_dilation
from scipy.spatial.transform import Rotation

from oxytomo.align.coarse import Coarse, Solid, coarse, grid_at
from oxytomo.align.poses import (
    Grid,
    Points,
    Pose,
    excess_correlations,
    points_of,
    refined,
    rotations_over_all,
)
from oxytomo.arrays import Float64Array

SEARCH_PX = 36
"""All orientations are tried with the particle binned to about this many voxels."""
SEARCH_POINTS = 3000
SPACING_DEG = 12.0
STARTS, FINALISTS = 16, 3
"""Number of starts of each handedness that are refined at the first and at the last level."""
SAME_DEG = 15.0
"""Two poses are distinct when they are further apart than this."""
GROUPS, CUBE_PX = 8, 6
"""The error is from leaving out one of this many groups of cubes at a time; edge of the cubes."""
AROUND = 0.08
"""Air around the particle that is compared, as a share of its extent."""
SOLID = 0.3
CLEAR = 1.0
"""The best pose must exceed every other by this many standard deviations of random orientations."""
CHANCE_EVERY = 20

Verdict = Literal["same_particle", "mirrored", "unclear"]


@dataclass(frozen=True)
class RigidFit:
    """Relative position of two volumes.

    Attributes
    ----------
    verdict : ``same_particle``; ``mirrored``, where the mirror image stands out; ``unclear``, where
        nothing stands out: the particles differ, or shape and voids do not determine the
        orientation
    rotation, translation_nm : ``place in moving = rotation @ place in fixed + translation_nm``, (3,
        3) and (3,), places z y x in nm from the centre of the first voxel of each volume. They are
        those of the best pose that is not a mirror image.
    correlation : of the densities in and around the particle, in that pose
    likeness : partial correlation in that pose: the mean at every distance from the centre is
        subtracted, because spheres correlate in every orientation
    second, mirror : largest likeness of another orientation, and of the mirror image
    chance_sd : standard deviation of the inverse hyperbolic tangent of the likeness over random
        orientations
    margin : by how many ``chance_sd`` the better of pose and mirror image exceeds all others
    rotation_error_deg, translation_error_nm : standard errors from leaving out parts of the volume
        in turn; the translation is that of the particle's centre
    centre_nm : (3,) centre of mass in the fixed volume
    compared_voxel_nm : resolution of the last level
    """

    verdict: Verdict
    rotation: Float64Array
    translation_nm: Float64Array
    correlation: float
    likeness: float
    second: float
    mirror: float
    chance_sd: float
    margin: float
    rotation_error_deg: float
    translation_error_nm: float
    centre_nm: Float64Array
    compared_voxel_nm: float


@dataclass(frozen=True)
class _Level:
    """Both volumes at one resolution; ``few`` are the points of the search."""

    moving: tuple[Grid, Grid]
    points: Points
    few: Points
    voxel_nm: float


@dataclass(frozen=True)
class _Found:
    pose: Pose
    likeness: float


def register_rigid(
    fixed: Solid, moving: Solid, *, progress: Callable[[int, int], None] | None = None
) -> RigidFit:
    """Find the rotation and translation from one volume of a particle to another.

    Orientations spread evenly over all rotations are tried with the centres of mass on each other,
    for the moving volume and for its mirror image (tilt angles of the wrong sign give one). The
    best distinct ones are refined to the largest correlation of the densities in six parameters, at
    one resolution after another up to that of the coarser volume.

    Parameters
    ----------
    fixed, moving : both volumes; memory is bounded for any size
    progress : called with (done, total)
    """
    own, other = coarse(fixed), coarse(moving)
    levels = [_level(own, other, voxel_nm) for voxel_nm in _resolutions(own, other)]
    turns = rotations_over_all(SPACING_DEG)
    found: list[list[_Found]] = []
    for side in (0, 1):
        candidates = _search(levels[0], side, turns)
        if progress is not None:
            progress(2 * side + 1, 5)
        found.append(_finished(levels, side, candidates[:FINALISTS]))
        if progress is not None:
            progress(2 * side + 2, 5)
    best, last = found[0][0], levels[-1]
    second = found[0][1].likeness if len(found[0]) > 1 else 0.0
    mirror, mirror_second = found[1][0].likeness, found[1][1].likeness if len(found[1]) > 1 else 0.0
    chance = _chance_sd(last, turns)
    margin, mirror_margin = (
        float((np.arctanh(one) - np.arctanh(max(rest))) / chance)
        for one, rest in (
            (best.likeness, (second, mirror)),
            (mirror, (best.likeness, mirror_second)),
        )
    )
    verdict: Verdict = "unclear"
    if margin >= CLEAR or mirror_margin >= CLEAR:
        verdict = "same_particle" if margin >= CLEAR else "mirrored"
    turn_error, shift_error = _errors(last, best.pose)
    if progress is not None:
        progress(5, 5)
    return RigidFit(
        verdict=verdict,
        rotation=best.pose.rotation,
        translation_nm=other.centre_nm + best.pose.shift_nm - best.pose.rotation @ own.centre_nm,
        correlation=best.pose.correlation,
        likeness=best.likeness,
        second=second,
        mirror=mirror,
        chance_sd=chance,
        margin=max(margin, mirror_margin),
        rotation_error_deg=turn_error,
        translation_error_nm=shift_error,
        centre_nm=own.centre_nm,
        compared_voxel_nm=last.voxel_nm,
    )


def _resolutions(own: Coarse, other: Coarse) -> list[float]:
    """Return the voxel sizes of the levels, the coarsest first."""
    finest = max(own.voxel_nm, other.voxel_nm)
    factor = max(1, int(np.ceil(own.extent_nm / finest / SEARCH_PX)))
    factors = [factor]
    while factor > 1:
        factor //= 2
        factors.append(factor)
    return [finest * factor for factor in factors]


def _level(own: Coarse, other: Coarse, voxel_nm: float) -> _Level:
    grid, moving = grid_at(own, voxel_nm), grid_at(other, voxel_nm)
    wide = max(2, round(AROUND * own.extent_nm / grid.voxel_nm))
    around = binary_dilation(grid.values > SOLID, iterations=wide)
    points = points_of(grid, around, n_groups=GROUPS, cube_px=CUBE_PX)
    few = points.sampled(SEARCH_POINTS)
    return _Level((moving, moving.mirrored()), points, few, voxel_nm)


def _search(level: _Level, side: int, turns: Float64Array) -> list[_Found]:
    """Try all orientations; returns distinct ones, refined, the best first."""
    moving = level.moving[side]
    scores = excess_correlations(level.few, moving, turns, np.zeros((len(turns), 3)))
    starts: list[Pose] = []
    for index in np.argsort(-scores):
        pose = Pose(turns[index], np.zeros(3), float(scores[index]))
        if all(pose.turned_from(start) > SAME_DEG for start in starts):
            starts.append(pose)
        if len(starts) == STARTS:
            break
    return _distinct(level.few, moving, [refined(level.few, moving, start) for start in starts])


def _finished(levels: list[_Level], side: int, candidates: list[_Found]) -> list[_Found]:
    """Refine candidates level by level.

    Returns the poses that are still distinct at the last level, the best first.
    """
    poses = [found.pose for found in candidates]
    for level in levels:
        poses = [refined(level.points, level.moving[side], pose) for pose in poses]
    return _distinct(levels[-1].points, levels[-1].moving[side], poses)


def _distinct(points: Points, moving: Grid, poses: list[Pose]) -> list[_Found]:
    rotations, shifts = np.array([p.rotation for p in poses]), np.array([p.shift_nm for p in poses])
    likeness = excess_correlations(points, moving, rotations, shifts)
    found: list[_Found] = []
    for index in np.argsort(-likeness):
        if all(poses[index].turned_from(other.pose) > SAME_DEG for other in found):
            found.append(_Found(poses[index], float(likeness[index])))
    return found


def _chance_sd(level: _Level, turns: Float64Array) -> float:
    some = turns[::CHANCE_EVERY]
    values = [
        excess_correlations(level.few, moving, some, np.zeros((len(some), 3))) for moving in level.moving
    ]
    return max(float(np.arctanh(np.concatenate(values)).std()), 1e-6)


def _errors(level: _Level, pose: Pose) -> tuple[float, float]:
    """Return standard errors of the rotation (degrees) and the shift (nm).

    They are delete-a-group jackknife errors.
    """
    parts = [
        refined(level.points, level.moving[0], pose, use=level.points.group != group)
        for group in range(GROUPS)
    ]
    turns = [Rotation.from_matrix(part.rotation @ pose.rotation.T).as_rotvec() for part in parts]
    shifts = [part.shift_nm for part in parts]
    turn, shift = (float(np.sqrt((GROUPS - 1) * np.var(values, axis=0).sum())) for values in (turns, shifts))
    return float(np.rad2deg(turn)), shift
