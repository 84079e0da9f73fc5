"""The solid particle in a volume of total density."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.ndimage import binary_erosion, gaussian_filter
from skimage.filters import threshold_otsu

from oxytomo.arrays import BoolArray, FloatArray
from oxytomo.errors import InputError
from oxytomo.segment.components import FACES, Components
from oxytomo.slabs import Field, fill, new_field, read, sampled, slabs

SMOOTHING_PX = 1.0
"""Gaussian that reduces the noise before the threshold of the density, voxels."""

SMOOTHING_REACH = 8
"""Reach of the smoothing in rows: twice four standard deviations."""

CORE_PX = 2
"""The typical density of the solid is measured this far inside its edge, beyond the blur."""

OTSU_BINS = 256


def particle_mask(density: Any, *, name: str = "particle") -> Any:
    """Return the solid particle: the largest body above half of the solid's typical density.

    A blurred flat edge passes through half of the density exactly at the edge, for any blur. A
    surface of radius R blurred by a Gaussian of standard deviation σ is found σ²/R too far inside,
    so the volume of a sphere is too small by 3 σ²/R². Otsu's threshold only separates background
    and solid coarsely; the typical density is the median inside the solid's edge. Noise is smoothed
    with a kernel without second moment, 2 G − G ⊗ G, which moves neither flat nor curved edges to
    first order. Voids stay holes of the mask.
    neither flat nor curved edges to first order. Voids stay holes of the mask.

    Parameters
    ----------
    density : (n_z, n_y, n_x) field or (n_y, n_x) array, zero in the background up to noise; NaN
        counts as zero
    name : subject of error messages

    Returns
    -------
    mask : bool, like ``density``; one component of voxels that share faces (6-connectivity, in 2-D
        4-connectivity)

    Raises
    ------
    InputError
        If nothing exceeds the background, or if there is no background.

    Notes
    -----
    The result is wrong if background and solid do not separate. Densities below half of the typical
    one, such as a minor porous phase, do not count as solid, and a particle of less than about a
    thousandth of the volume can be missed. In a volume of more than 20 million voxels, the typical
    density is that of a grid over it.
    """
    if len(density.shape) == 2:
        return particle_mask(density[None], name=name)[0]
    smooth = new_field(density.shape, np.float32)
    fill(smooth, _smoothed, density, halo=SMOOTHING_REACH)
    extremes = [(part.min(), part.max()) for part in _positive(smooth)]
    low, high = min(least for least, _ in extremes), max(most for _, most in extremes)
    if not high > 0:
        raise _no_particle(name, "no positive density")
    if low == high:
        raise _no_particle(name, "the same density everywhere")
    level = 0.5 * _typical_density(smooth, _otsu(smooth, low, high))
    pieces = Components(lambda rows: smooth[rows] > level, smooth.shape, connectivity=FACES)
    largest = int(np.argmax(pieces.sizes()))
    particle, solid_everywhere = new_field(smooth.shape, np.bool_), True
    for rows, labels in pieces:
        inside = labels == largest
        particle[rows] = inside
        solid_everywhere &= bool(inside.all())
    if solid_everywhere:
        raise _no_particle(name, "solid in every voxel")
    return particle


def _smoothed(density: FloatArray) -> FloatArray:
    """Smooth with 2 G − G ⊗ G; NaN counts as zero."""
    known = np.nan_to_num(density.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    once: FloatArray = gaussian_filter(known, SMOOTHING_PX, mode="nearest")
    smooth: FloatArray = 2 * once - gaussian_filter(once, SMOOTHING_PX, mode="nearest")
    return smooth


def _positive(smooth: Field) -> Iterator[FloatArray]:
    """Iterate over a density, clipped at zero, slab by slab."""
    for slab in slabs(smooth.shape):
        yield np.maximum(read(smooth, slab.rows), 0.0)


def _otsu(smooth: Field, low: Any, high: Any) -> float:
    """Return Otsu's threshold between background and solid."""
    counts, edges = np.zeros(OTSU_BINS, np.int64), np.zeros(0)
    for part in _positive(smooth):
        found, edges = np.histogram(part, OTSU_BINS, (low, high))
        counts += found
    return float(threshold_otsu(hist=(counts, (edges[1:] + edges[:-1]) / 2)))


def _typical_density(smooth: Field, threshold: float) -> float:
    """Return the median density above a threshold, without edge voxels if most voxels are edge."""

    def core(part: FloatArray) -> BoolArray:
        inside: BoolArray = binary_erosion(part > threshold, iterations=CORE_PX, border_value=1)
        return inside

    mask = new_field(smooth.shape, np.bool_)
    fill(mask, core, smooth, halo=CORE_PX)
    found = sampled(smooth, mask)
    if not found.size:
        fill(mask, lambda part: part > threshold, smooth)
        found = sampled(smooth, mask)
    return float(np.median(found))


def _no_particle(name: str, got: str) -> InputError:
    return InputError(
        name,
        expected="a particle that stands out of an empty background",
        got=got,
        fix="check the alignment, and that the field of view is wider than the particle",
    )
