"""The solid of a particle for mechanics: share of solid in each voxel, with cracks cut through."""

from dataclasses import dataclass

import cc3d
import numpy as np
from scipy.fft import next_fast_len

from oxytomo.arrays import BoolArray, FloatArray, LabelArray

SOLID, VOID, CRACK = 1, 2, 3
"""Labels of the input; 0 is outside."""
LEAST_SHARE = 0.02
"""A voxel with a smaller share of solid counts as empty: it would only slow the solver."""
MARGIN_VOXELS = 2
"""Empty voxels around the particle; the discrete Fourier transform of the solver is periodic."""
FEWEST_BRIDGE_VOXELS = 4
"""Thinner walls are not resolved: their stress depends on the mesh."""


@dataclass(frozen=True)
class Solid:
    """The solid of one particle on a padded grid.

    Attributes
    ----------
    share : (n_z, n_y, n_x) float32, share of solid in each voxel, 0 in cracks and outside
    voxel_um : edge of a voxel, µm
    offset : (3,) first voxel of the original volume in the padded one
    shape : (3,) of the original volume
    left_out_share : share of the solid in loose fragments, which are left out
    """

    share: FloatArray
    voxel_um: float
    offset: tuple[int, int, int]
    shape: tuple[int, int, int]
    left_out_share: float

    @property
    def inside(self) -> tuple[slice, slice, slice]:
        """Position of the original volume in the padded one."""
        z, y, x = (slice(start, start + size) for start, size in zip(self.offset, self.shape, strict=True))
        return z, y, x

    @property
    def volume_um3(self) -> float:
        """Volume of the solid, µm³."""
        return float(self.share.sum(dtype=np.float64)) * self.voxel_um**3


def solid_of_labels(labels: LabelArray, *, voxel_um: float, void_share: FloatArray | None) -> Solid:
    """Return the solid of a labelled particle.

    Cracks are cut: their voxels carry no load and no flux, whatever their aperture. A thin crack
    whose voxels are only softened opens far too little. Loose fragments, which share no face with
    the largest piece of solid, are left out.

    Parameters
    ----------
    labels : (n_z, n_y, n_x) uint8: 0 outside, 1 solid, 2 void, 3 crack
    voxel_um : edge of a voxel, µm
    void_share : (n_z, n_y, n_x) float32, share of void in each voxel (partial volumes), or None for
        whole voxels
    """
    share = np.isin(labels, (SOLID, VOID)).astype(np.float32)
    share *= (labels == SOLID) if void_share is None else 1.0 - np.clip(void_share, 0.0, 1.0)
    share[labels == CRACK] = 0.0
    share[share < LEAST_SHARE] = 0.0
    whole = float(share.sum(dtype=np.float64))
    share[~_largest_piece(share > 0)] = 0.0
    left_out = 1.0 - float(share.sum(dtype=np.float64)) / whole if whole else 0.0
    padded, offset = _padded(share)
    n_z, n_y, n_x = labels.shape
    return Solid(padded, voxel_um, offset, (n_z, n_y, n_x), left_out)


def _largest_piece(solid: BoolArray) -> BoolArray:
    pieces = cc3d.connected_components(solid, connectivity=6)
    sizes = np.bincount(pieces.ravel())
    if sizes.size < 2:
        return solid
    sizes[0] = 0
    largest: BoolArray = pieces == int(sizes.argmax())
    return largest


def _padded(share: FloatArray) -> tuple[FloatArray, tuple[int, int, int]]:
    """Put a volume into one with an empty margin, of a size that suits the Fourier transform."""
    grown = [next_fast_len(size + 2 * MARGIN_VOXELS, real=True) for size in share.shape]
    padded = np.zeros(grown, np.float32)
    before = (MARGIN_VOXELS, MARGIN_VOXELS, MARGIN_VOXELS)
    padded[tuple(slice(MARGIN_VOXELS, MARGIN_VOXELS + size) for size in share.shape)] = share
    return padded, before
