"""A picture of labelled bodies in 3D, drawn with NumPy alone: no graphics library, no display."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import to_rgb
from numba import get_num_threads
from scipy.ndimage import affine_transform, gaussian_filter

from oxytomo.arrays import BoolArray, Float64Array, LabelArray
from oxytomo.slabs import Field

VIEW = (1.0, -1.7, -0.75)
"""Direction to the viewer, x, y, z; z points down, as rows of the detector do."""
LIGHT = (-0.45, 0.55, 0.70)
"""Direction to the light: right, up, towards the viewer."""
MOST_VOXELS = 112
"""Larger volumes are drawn from every second, third … voxel."""
SMOOTHING_PX = 0.8
DEPTHS = 32
"""Steps along the rays that one thread looks up together."""
REACH = 1.12
"""Half the width of the picture in radii of the ball around the body."""
MOST_HIDDEN, NEAR_SKIN = 0.5, 3.0
"""If bodies within so many voxels of the skin hide more than this share of the particle, it is cut."""
SKIN_ALPHA, RIM_ALPHA = 0.22, 0.45


@dataclass(frozen=True)
class Drawn:
    """A picture and its scale.

    Attributes
    ----------
    image : (n, n, 3) float in 0 to 1
    pixel_voxels : width of a pixel in voxels of the volume; the projection is parallel
    cut : the eighth that faces the viewer was left out of the bodies, which would hide the inside
    """

    image: Float64Array
    pixel_voxels: float
    cut: bool = False


@dataclass(frozen=True)
class _Hit:
    """Where rays meet a body: depth along the ray (infinite without one), and the shade there."""

    depth: Float64Array
    shade: Float64Array
    facing: Float64Array


def solid_view(labels: Field, bodies: Sequence[tuple[int, str]], *, skin: str, size_px: int) -> Drawn | None:
    """Draw bodies within the translucent outline of all that has a label; None without any.

    Rays are followed through the volume in parallel. A surface is where the smoothed share of a
    body reaches one half, and it is shaded by its slope (Lambert).

    Parameters
    ----------
    labels : (n_z, n_y, n_x) labels, 0 outside
    bodies : label and colour of each opaque body
    skin : colour of the outline
    size_px : width and height of the picture
    """
    step = max(1, -(-max(labels.shape) // MOST_VOXELS))
    coarse = np.asarray(labels[::step, ::step, ::step])
    where = np.argwhere(coarse > 0)
    if not len(where):
        return None
    centre = (where.min(axis=0) + where.max(axis=0)) / 2
    reach = REACH * float(np.sqrt(((where - centre) ** 2).sum(axis=1).max())) + 1.0
    grid = _Grid(centre, reach, size_px)
    outline = _hit(coarse > 0, grid)
    nearest, color = _drawn(coarse, bodies, grid)
    hidden = np.isfinite(nearest) & (nearest <= outline.depth + NEAR_SKIN)
    cut = bool(hidden.sum() > MOST_HIDDEN * np.isfinite(outline.depth).sum())
    if cut:
        nearest, color = _drawn(np.where(_facing(coarse.shape, centre), 0, coarse), bodies, grid)
    # The outline is denser where it is seen from the side, and lies over what is inside it.
    alpha = np.where(np.isfinite(outline.depth), SKIN_ALPHA + RIM_ALPHA * (1 - outline.facing) ** 2, 0.0)
    alpha = np.where(nearest < outline.depth, 0.0, alpha)[..., None]
    surface = outline.shade[..., None] * np.array(to_rgb(skin)) * 0.92
    image = np.clip((1 - alpha) * color + alpha * surface, 0, 1)
    return Drawn(image, 2 * reach * step / size_px, cut)


def _drawn(
    labels: LabelArray, bodies: Sequence[tuple[int, str]], grid: "_Grid"
) -> tuple[Float64Array, Float64Array]:
    """Return depth and colour of the nearest body in each pixel."""
    size = grid.size_px
    nearest, color = np.full((size, size), np.inf), np.ones((size, size, 3))
    for label, name in bodies:
        if (labels == label).any():
            found = _hit(labels == label, grid)
            nearer = found.depth < nearest
            nearest[nearer] = found.depth[nearer]
            color[nearer] = (found.shade[..., None] * np.array(to_rgb(name)))[nearer]
    return nearest, color


def _facing(shape: tuple[int, ...], centre: Float64Array) -> BoolArray:
    """Return the eighth of a volume that faces the viewer."""
    found: BoolArray = np.ones(shape, bool)
    for axis, toward in enumerate(VIEW[::-1]):
        place = np.arange(shape[axis]).reshape([-1 if a == axis else 1 for a in range(3)])
        found &= (place > centre[axis]) if toward > 0 else (place < centre[axis])
    return found


@dataclass(frozen=True)
class _Grid:
    """Rays through a ball: centre in voxels (z, y, x), half its width, number of rays in a row."""

    centre: Float64Array
    reach: float
    size_px: int

    @property
    def axes(self) -> Float64Array:
        """Away from the viewer, down and right in the picture, as unit vectors (z, y, x)."""
        back = -np.array(VIEW[::-1]) / np.linalg.norm(VIEW)
        down = np.array([1.0, 0.0, 0.0]) - back[0] * back
        down /= np.linalg.norm(down)
        right = np.cross(
            back, down
        )  # down × back in x, y, z: the cross product of z, y, x has the other sign
        return np.stack([back, down, right])

    @property
    def n_depth(self) -> int:
        """Number of steps along a ray, about one per voxel."""
        return max(8, int(np.ceil(2 * self.reach)))


def _hit(body: BoolArray, grid: _Grid) -> _Hit:
    """Return where rays first meet a body, between two steps by linear interpolation."""
    share = gaussian_filter(np.pad(body, 2).astype(np.float32), SMOOTHING_PX)
    n, n_depth = grid.size_px, grid.n_depth
    steps = 2 * grid.reach / np.array([n_depth, n, n])
    matrix = grid.axes.T * steps
    offset = grid.centre + 2 - matrix @ (np.array([n_depth, n, n]) - 1) / 2
    seen = np.empty((n_depth, n, n), np.float32)

    def see(depths: slice) -> None:
        start = offset + matrix[:, 0] * depths.start
        affine_transform(share, matrix, start, output=seen[depths], order=1, prefilter=False)

    with ThreadPoolExecutor(get_num_threads()) as pool:
        list(pool.map(see, (slice(k, min(k + DEPTHS, n_depth)) for k in range(0, n_depth, DEPTHS))))
    inside = seen >= 0.5
    hit, first = inside.any(axis=0), inside.argmax(axis=0)
    rows, columns = np.indices(first.shape)
    before = np.maximum(first - 1, 0)
    high, low = seen[first, rows, columns], seen[before, rows, columns]
    part = np.where(first > 0, (0.5 - low) / np.maximum(high - low, 1e-6), 0.0)
    slopes = np.stack(
        [
            seen[np.minimum(first + 1, n_depth - 1), rows, columns] - low,
            seen[first, np.minimum(rows + 1, n - 1), columns] - seen[first, np.maximum(rows - 1, 0), columns],
            seen[first, rows, np.minimum(columns + 1, n - 1)] - seen[first, rows, np.maximum(columns - 1, 0)],
        ]
    ) / steps[:, None, None].astype(np.float32)
    slopes /= np.maximum(np.linalg.norm(slopes, axis=0), 1e-6)
    # The outer normal is against the slope; in the picture it has (right, up, towards the viewer).
    normal = np.stack([-slopes[2], slopes[1], slopes[0]])
    light = np.array(LIGHT) / np.linalg.norm(LIGHT)
    shade = 0.45 + 0.6 * np.clip(np.tensordot(light, normal, axes=1), 0, 1)
    depth = np.where(hit, (before + part) * steps[0], np.inf)
    return _Hit(depth, np.where(hit, shade, 1.0), np.where(hit, np.clip(normal[2], 0, 1), 0.0))
