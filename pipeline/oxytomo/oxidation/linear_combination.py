"""Linear combination of reference spectra in every pixel, exact, with calibrated errors."""

from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.errors import InputError
from oxytomo.oxidation.pixel_fit import OUTPUTS, fit_pixels

MAX_REFERENCES = 5
"""Largest number of references: all 2^n − 1 sets of them are tried."""


@dataclass(frozen=True)
class ValenceFit:
    """Maps of one element; NaN where a pixel could not be fitted.

    Attributes
    ----------
    fractions, fraction_errors : (n_reference, n_y, n_x) float32; fractions are not negative and add
        up to 1
    amount, amount_error : (n_y, n_x) sum of the references' amounts: the edge jump in optical
        density where the sum is free, 1 where it is fixed
    valence, valence_error : (n_y, n_x), Σ fᵢ vᵢ / Σ fᵢ and its standard error
    offsets : (n_background, n_y, n_x) background at the middle of the window, and its slope per eV
    chi_square : (n_y, n_x) χ² over the degrees of freedom
    r_factor : (n_y, n_x) Σ r² / Σ (y − background)²
    lag_correlation : (n_y, n_x) correlation of the residuals at neighbouring energies; 0 for pure
        noise
    n_used : (n_y, n_x) number of valid energies
    """

    fractions: FloatArray
    fraction_errors: FloatArray
    amount: FloatArray
    amount_error: FloatArray
    valence: FloatArray
    valence_error: FloatArray
    offsets: FloatArray
    chi_square: FloatArray
    r_factor: FloatArray
    lag_correlation: FloatArray
    n_used: FloatArray


def background_columns(energy_ev: Float64Array, *, background: str) -> Float64Array:
    """Return the columns of the background at the energies of a fit.

    The background is absent, constant, or a straight line in eV.

    Parameters
    ----------
    energy_ev : (n_energy,)
    background : ``none``, ``constant`` or ``linear``

    Returns
    -------
    (n_energy, 0 to 2) float64; the line is 0 in the middle of the energies
    """
    order = {"none": 0, "constant": 1, "linear": 2}[background]
    middle = (energy_ev.min() + energy_ev.max()) / 2
    return np.stack([np.ones_like(energy_ev), energy_ev - middle], axis=1)[:, :order]


def condition_number(references: Float64Array, background: Float64Array) -> float:
    """Return the condition number of the fit, of all columns together, each scaled to length 1.

    It is the largest factor from the relative error of the spectra to that of the fractions. It is
    about 1 for spectra with nothing in common, and infinite if one spectrum is a combination of the
    others.

    Parameters
    ----------
    references, background : (n_energy, n) float64
    """
    columns = np.concatenate([references, background], axis=1)
    lengths = np.linalg.norm(columns, axis=0)
    if not (lengths > 0).all() or columns.shape[0] < columns.shape[1]:
        return float("inf")
    return float(np.linalg.cond(columns / lengths))


def fit_valence(
    value: FloatArray,
    variance: FloatArray,
    references: Float64Array,
    background: Float64Array,
    valences: Float64Array,
    *,
    sum_to_one: bool,
    sum_error: FloatArray | None,
) -> ValenceFit:
    """Fit each pixel with non-negative amounts of references and a free background.

    The minimum of Σ (y − Σ aᵢ μᵢ − background)² / variance over aᵢ ≥ 0 is found exactly by trying
    the sets of references that can be positive (for the conditions: Lawson and Hanson, Solving
    Least Squares Problems, 1974). Errors are those of the fit with the references of that set. An
    amount at 0 keeps the variance of its normal distribution truncated below 0, because true
    amounts of 0 and slightly above 0 give the same fit. If a reference is absent, the errors are
    therefore conservative (docs/explanation/oxidation.md has the measured coverage).

    Parameters
    ----------
    value, variance : (n_energy, n_y, n_x) float32, optical density (or edge-normalised spectra if
        the sum is 1) and its variance; NaN or inf where invalid. Energies may repeat and need no
        order, but consecutive ones count as neighbours for ``lag_correlation``
    references : (n_energy, n_reference) float64, pre-edge 0 and edge jump 1
    background : (n_energy, n_background) float64 from :func:`background_columns`
    valences : (n_reference,)
    sum_to_one : force the amounts of every pixel to add up to 1
    sum_error : (n_y, n_x) relative standard deviation of the edge jump that the spectra were
        divided by; only with ``sum_to_one``

    Raises
    ------
    InputError
        For fewer than two or more than five references.
    """
    n_energy, n_y, n_x = value.shape
    k, n_pixel = references.shape[1], n_y * n_x
    if not 2 <= k <= MAX_REFERENCES:
        raise InputError(
            "references",
            expected=f"2 to {MAX_REFERENCES} reference spectra",
            got=str(k),
            fix="leave out those that the sample cannot contain",
        )
    columns = np.ascontiguousarray(np.concatenate([references, background], axis=1), np.float64)
    amounts = np.empty((k, n_pixel), np.float32)
    fraction_errors = np.empty_like(amounts)
    offsets = np.empty((background.shape[1], n_pixel), np.float32)
    out = np.empty((len(OUTPUTS), n_pixel), np.float32)
    errors = (
        np.zeros(n_pixel) if sum_error is None else np.ascontiguousarray(sum_error, np.float64).reshape(-1)
    )
    flat, noise = (np.ascontiguousarray(a, np.float32).reshape(n_energy, n_pixel) for a in (value, variance))
    fit_pixels(
        flat,
        noise,
        columns,
        np.asarray(valences, np.float64),
        sum_to_one,
        errors,
        amounts,
        fraction_errors,
        offsets,
        out,
    )
    amount_error, valence, valence_error, chi, squares, signal, lag, used = (
        part.reshape(n_y, n_x) for part in out
    )
    amount = amounts.sum(axis=0)
    shares = (amounts / np.where(amount > 0, amount, np.nan)).astype(np.float32)
    freedom = np.maximum(used - columns.shape[1] + sum_to_one, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return ValenceFit(
            fractions=shares.reshape(k, n_y, n_x),
            fraction_errors=fraction_errors.reshape(k, n_y, n_x),
            amount=amount.reshape(n_y, n_x),
            amount_error=amount_error,
            valence=valence,
            valence_error=valence_error,
            offsets=offsets.reshape(-1, n_y, n_x),
            chi_square=chi / freedom,
            r_factor=squares / signal,
            lag_correlation=lag / chi,
            n_used=used,
        )
