"""Which pixels have a valence, and why the others have none."""

import numpy as np

from oxytomo.arrays import FloatArray, LabelArray

FITTED, THIN, THICK, OUT_OF_FIELD = 0, 1, 2, 3

STATUS_NAMES = {FITTED: "fitted", THIN: "too thin", THICK: "too thick", OUT_OF_FIELD: "without data"}
"""``too thin``: no edge jump above the noise, or far less than the thickest pixels; ``too thick``:
the optical density reaches the limit, or light is missing at strongly absorbed energies; ``without
data``: invalid at many energies."""

ENOUGH_ENERGIES = 0.8
"""Share of the energies of the fit that a pixel must have."""
FEW_MISSING = 0.03
"""Up to this share (and one) of missing energies counts as zingers or hot pixels."""
MISSING_IS_THICK = 0.5
"""A pixel with missing energies is opaque if it reaches this share of the thick limit at others."""


def pixel_status(
    amount: FloatArray,
    amount_error: FloatArray,
    largest_od: FloatArray,
    n_used: FloatArray,
    *,
    n_energies: int,
    thick_od: float,
    thin_sigma: float,
    thin_share: float,
) -> LabelArray:
    """Classify each pixel.

    Parameters
    ----------
    amount, amount_error : (n_y, n_x) edge jump and its standard error
    largest_od : largest optical density at the energies of the fit, −inf where none is valid
    n_used : number of valid energies
    n_energies : number of energies of the fit
    thick_od, thin_sigma, thin_share : limits; the share is of the 99th percentile of the edge jumps

    Returns
    -------
    (n_y, n_x) uint8: ``FITTED``, ``THIN``, ``THICK`` or ``OUT_OF_FIELD``
    """
    lacking = n_used < ENOUGH_ENERGIES * n_energies
    several = n_energies - n_used > max(1.0, FEW_MISSING * n_energies)
    opaque = several & (largest_od > MISSING_IS_THICK * thick_od)
    thick = (largest_od > thick_od) | opaque
    known = np.isfinite(amount) & ~lacking & ~thick
    typical = float(np.percentile(amount[known], 99)) if known.any() else 0.0
    with np.errstate(invalid="ignore"):
        thin = ~(amount > np.maximum(thin_sigma * amount_error, thin_share * typical))
    status = np.zeros(amount.shape, np.uint8)
    status[thin] = THIN
    status[lacking] = OUT_OF_FIELD
    status[thick] = THICK
    return status
