"""The solid particle in a volume of total density."""

import cc3d
import numpy as np
from scipy.ndimage import binary_erosion, gaussian_filter
from skimage.filters import threshold_otsu

from pipeline.arrays import BoolArray, FloatArray
from pipeline.errors import InputError

SMOOTHING_PX = 1.0
"""Standard deviation of the Gaussian that quiets the noise before the density is cut at a level."""

CORE_PX = 2
"""The typical density of the solid is taken this far inside its edge, where blur does not reach."""

FACE_CONNECTIVITY = {2: 4, 3: 6}
"""Neighbours that share a face (an edge in 2-D), by number of dimensions."""


def particle_mask(density: FloatArray, *, name: str = "particle") -> BoolArray:
    """Return the solid particle: voxels above half of the solid's typical density, the largest piece of them.

    A blurred flat edge passes through half of the density exactly where the edge is, whatever the blur; a
    surface of radius R blurred with a Gaussian of standard deviation σ is found σ²/R too far inside, so
    that the volume of a sphere is too small by 3 σ²/R². Otsu's threshold only separates background and
    solid coarsely; the typical density is the median inside the solid's edge. Noise is smoothed with a
    kernel that has no second moment, 2 G − G ⊗ G, which moves neither flat nor curved edges to first
    order. Voids stay holes of the mask.

    Parameters
    ----------
    density : (n_z, n_y, n_x) or (n_y, n_x) array, zero in the background up to noise; NaN counts as zero
    name : what the density belongs to, for the error

    Returns
    -------
    mask : bool, like ``density``; one component of voxels that share faces (6-connectivity, in 2-D
        4-connectivity)

    Raises
    ------
    InputError
        When nothing stands out of the background, or when there is no background.

    Notes
    -----
    Wrong when background and solid do not separate: densities below half of the typical one, such as a
    minor porous phase, are not solid, and a particle of less than about a thousandth of the volume can be
    missed.
    """
    smooth = _smoothed(np.nan_to_num(density, nan=0.0, posinf=0.0, neginf=0.0))
    positive = np.maximum(smooth, 0.0)
    if not positive.any():
        raise _no_particle(name, "no positive density")
    if positive.min() == positive.max():
        raise _no_particle(name, "the same density everywhere")
    above: BoolArray = smooth > 0.5 * _typical_density(positive)
    mask: BoolArray = cc3d.largest_k(above, k=1, connectivity=FACE_CONNECTIVITY[density.ndim]).astype(bool)
    if mask.all():
        raise _no_particle(name, "solid in every voxel")
    return mask


def filled_particle(particle: BoolArray) -> BoolArray:
    """Return the particle with its closed voids filled.

    A void is closed when no path through faces of background voxels leads from it to the edge of the
    volume. Voids and cracks that open to the outside stay open: their walls are surface.

    Parameters
    ----------
    particle : (n_z, n_y, n_x) or (n_y, n_x) bool
    """
    background = cc3d.connected_components(~particle, connectivity=FACE_CONNECTIVITY[particle.ndim])
    at_edge = [
        np.unique(np.take(background, place, axis=axis)) for axis in range(particle.ndim) for place in (0, -1)
    ]
    outside = np.unique(np.concatenate(at_edge))
    is_outside = np.zeros(int(background.max()) + 1, dtype=bool)
    is_outside[outside] = True
    is_outside[0] = False
    filled: BoolArray = ~is_outside[background]
    return filled


def _smoothed(density: FloatArray) -> FloatArray:
    """Smooth with 2 G − G ⊗ G."""
    once: FloatArray = gaussian_filter(density.astype(np.float32), SMOOTHING_PX, mode="nearest")
    smooth: FloatArray = 2 * once - gaussian_filter(once, SMOOTHING_PX, mode="nearest")
    return smooth


def _typical_density(positive: FloatArray) -> float:
    """Return the median density above Otsu's threshold, without the edge where there is more than edge."""
    upper: BoolArray = positive > threshold_otsu(positive)
    core: BoolArray = binary_erosion(upper, iterations=CORE_PX, border_value=1)
    return float(np.median(positive[core if core.any() else upper]))


def _no_particle(name: str, got: str) -> InputError:
    return InputError(
        name,
        expected="a particle that stands out of an empty background",
        got=got,
        fix="check the alignment, and that the field of view is wider than the particle",
    )
