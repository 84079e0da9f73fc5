"""Pores and cracks of a reconstructed volume."""

import numpy as np
from numpy.typing import ArrayLike

from oxytomo.config import SegmentVoidsSettings
from oxytomo.errors import ShapeError
from oxytomo.library.defaults import checked, volume_of
from oxytomo.segment.voids import Voids
from oxytomo.segment.voids import segment_voids as found_voids

SEGMENT = SegmentVoidsSettings()


def segment_voids(
    volume: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    blur_px: float | None = SEGMENT.blur_px,
    bridge_px: float = SEGMENT.bridge_px,
    false_cracks: float = SEGMENT.false_cracks,
    false_discovery: float = SEGMENT.false_discovery,
    largest_share: float = SEGMENT.largest_share,
    separate: bool = SEGMENT.separate,
) -> Voids:
    """Find the particles of a volume, their pores and their cracks.

    Cracks are ridges of a plate filter over several widths, kept where noise alone would make less
    than the number that is allowed (Benjamini and Hochberg, J. R. Stat. Soc. B 57, 289, 1995).
    Apertures follow from the missing grey value across a crack, so that cracks thinner than a voxel
    are measured too.

    Parameters
    ----------
    volume : (n_z, n_y, n_x) array, bright solid in dark air; NaN counts as air. A slice may be
        (n_y, n_x)
    mask : particles of your own, 0 outside and 1, 2 … inside; None: found from the volume
    blur_px : standard deviation of the blur, voxels; None: measured at the particle's edge
    bridge_px : radius of the ball that closes cracks which are open to the outside, voxels
    false_cracks : cracks that noise alone may make in the whole volume, on average
    false_discovery : share of the cracks found that may be false
    largest_share : particles smaller than this share of the largest one are left out
    separate : divide particles that touch at their necks

    Returns
    -------
    Voids with ``particle``, ``void`` (void fraction), ``voids`` (1 pore, 2 crack), ``instances``,
    ``depth_px``, all (n_z, n_y, n_x), ``n_pores``, ``sheets`` (the cracks) and the calibration

    Raises
    ------
    InputError
        For a volume without a particle, with inverted contrast, or of nothing but void.
    ShapeError
        For a mask that does not fit the volume.
    ConfigError
        For a setting out of range.

    Examples
    --------
    >>> from oxytomo import segment_voids, simulate_voids
    >>> volume = simulate_voids(64, apertures_px=[], pore_radii_px=[5.0]).volume
    >>> voids = segment_voids(volume)
    >>> voids.n_pores, voids.sheets.count
    (1, 0)
    """
    settings = checked(
        SegmentVoidsSettings,
        "segment_voids",
        blur_px=blur_px,
        bridge_px=bridge_px,
        false_cracks=false_cracks,
        false_discovery=false_discovery,
        largest_share=largest_share,
        separate=separate,
    )
    values, _ = volume_of(volume)
    return found_voids(
        values,
        None if mask is None else _particles(mask, values.shape),
        blur_px=settings.blur_px,
        bridge_px=settings.bridge_px,
        false_cracks=settings.false_cracks,
        false_discovery=settings.false_discovery,
        smallest_share=settings.largest_share,
        separate=settings.separate,
    )


def _particles(mask: ArrayLike, shape: tuple[int, ...]) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """Return a mask as labels, like the volume."""
    labels, _ = volume_of(mask, "mask")
    if labels.shape != shape:
        raise ShapeError(
            "mask", expected=f"{shape}, as the volume", got=f"{labels.shape}", fix="give one of its shape"
        )
    return np.clip(np.round(labels), 0, 255).astype(np.uint8)
