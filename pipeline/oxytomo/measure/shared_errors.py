"""Errors beyond counting noise, from a decomposition, and σ including them."""

from collections.abc import Mapping
from typing import Any

from oxytomo.measure.shells import depth_below_surface
from oxytomo.measure.systematic import (
    skin_oxygen_nm,
    systematic_error,
    with_skin,
    with_systematic,
)
from oxytomo.slabs import Field


def shared_errors(
    model: Mapping[str, Any] | None, *, own_reference: bool, pixel_nm: float
) -> dict[str, float]:
    """Return the errors of TM/O beside counting noise, from the record of a decomposition.

    Parameters
    ----------
    model : record of the decomposition
    own_reference : deviations refer to the particle's own mode
    pixel_nm : edge of a voxel, nm

    Returns
    -------
    ``systematic``, common to all voxels, relative; ``skin_oxygen_px``, voxels
    """
    return {
        "systematic": systematic_error(model, own_reference=own_reference),
        "skin_oxygen_px": skin_oxygen_nm(model) / pixel_nm,
    }


def with_shared_errors(sigma: Field, particle: Field, errors: Mapping[str, Any]) -> Field:
    """Add the errors of :func:`shared_errors` to a standard error (n_z, n_y, n_x), in quadrature.

    Returns float32.

    Parameters
    ----------
    sigma : standard error from counting noise
    particle : mask, for the depth of the skin
    """
    whole = with_systematic(sigma, float(errors["systematic"]))
    skin_px = float(errors["skin_oxygen_px"])
    if skin_px == 0:
        return whole
    depth = depth_below_surface(particle, voxel_nm=1.0)
    return with_skin(whole, depth, skin_px)
