"""Tests of the model: residuals of mean spectra, fits without a reference, energy scale."""

from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.oxidation.linear_combination import fit_valence

STRUCTURED_SHARE, STRUCTURED_CHI_SQUARE = 0.02, 4.0
"""Residuals of a mean spectrum are structured if both exceed these limits: χ² over the degrees of
freedom, and the root mean square as a share of the spectrum."""

SCAN_STEP_EV = 0.05


@dataclass(frozen=True)
class SpectrumFit:
    """Fit of one mean spectrum.

    Attributes
    ----------
    fractions : (n_reference,)
    valence, error : mean valence and its standard error from the noise of the spectrum
    model : (n_energy,) the fitted spectrum
    chi_square : χ² over the degrees of freedom
    structured_share : root mean square of the residuals beyond their noise, over that of the
        spectrum without background
    """

    fractions: Float64Array
    valence: float
    error: float
    model: Float64Array
    chi_square: float
    structured_share: float

    @property
    def is_structured(self) -> bool:
        """Whether the residuals of the spectrum are structured."""
        return self.structured_share > STRUCTURED_SHARE and self.chi_square > STRUCTURED_CHI_SQUARE


def fit_spectrum(
    spectrum: Float64Array,
    error: Float64Array,
    references: Float64Array,
    background: Float64Array,
    valences: Float64Array,
) -> SpectrumFit:
    """Fit one spectrum with non-negative amounts of the references and a free background.

    Parameters
    ----------
    spectrum, error : (n_energy,) optical density and its standard error, NaN where unknown
    references, background, valences : as for
        :func:`oxytomo.oxidation.linear_combination.fit_valence`
    """
    shape = (-1, 1, 1)
    variance = np.where(np.isfinite(spectrum), error**2, np.inf)
    fit = fit_valence(
        spectrum.reshape(shape).astype(np.float32),
        variance.reshape(shape).astype(np.float32),
        references,
        background,
        valences,
        sum_to_one=False,
        sum_error=None,
    )
    # A spectrum without the element has an amount of 0 and no fractions; a spectrum that could not
    # be fitted has neither.
    amount = float(fit.amount[0, 0])
    amounts = fit.fractions[:, 0, 0] * amount if amount != 0 else np.zeros(valences.size)
    offsets = background @ fit.offsets[:, 0, 0]
    model = references @ amounts + offsets
    known = np.isfinite(spectrum) & np.isfinite(error)
    residual, count = (spectrum - model)[known], max(int(known.sum()), 1)
    beyond = max(float(np.sum(residual**2) - np.sum(error[known] ** 2)) / count, 0.0)
    size = float(np.sum((spectrum - offsets)[known] ** 2)) / count
    return SpectrumFit(
        fit.fractions[:, 0, 0].astype(np.float64),
        float(fit.valence[0, 0]),
        float(fit.valence_error[0, 0]),
        model,
        float(fit.chi_square[0, 0]),
        float(np.sqrt(beyond / size)) if size > 0 else float("nan"),
    )


def leave_one_out(
    spectrum: Float64Array,
    error: Float64Array,
    references: Float64Array,
    background: Float64Array,
    valences: Float64Array,
) -> list[SpectrumFit | None]:
    """Fit a mean spectrum without each reference in turn, to see what depends on it.

    None if only one reference would remain.
    """
    fits: list[SpectrumFit | None] = []
    for out in range(valences.size):
        kept = np.arange(valences.size) != out
        if kept.sum() < 2:
            fits.append(None)
            continue
        fits.append(fit_spectrum(spectrum, error, references[:, kept], background, valences[kept]))
    return fits


def best_energy_offset(
    chi_square_at: "ChiSquare", *, largest_ev: float, step_ev: float = SCAN_STEP_EV
) -> tuple[float, float]:
    """Return the energy offset at which the references fit best, and its standard error.

    Parameters
    ----------
    chi_square_at : χ² over its degrees of freedom, for an offset in eV
    largest_ev : largest offset searched in each direction, eV
    step_ev : step of the scan, eV; a parabola through the best three points refines the result

    Returns
    -------
    offset, error : eV; the error is NaN where the search ended at its limit or failed

    Notes
    -----
    The error is the offset at which χ² of the fitted mean spectrum (scaled to 1 per degree of
    freedom at its minimum) rises by 1. A shift of the scale and a change of valence look partly
    alike, so the sensitivity is reported with the valence.
    """
    offsets = np.arange(-round(largest_ev / step_ev), round(largest_ev / step_ev) + 1) * step_ev
    values = np.array([chi_square_at(float(offset)) for offset in offsets])
    if not np.isfinite(values).any():
        return 0.0, float("nan")
    at = int(np.nanargmin(values))
    if at in (0, offsets.size - 1):
        return float(offsets[at]), float("nan")
    left, middle, right = values[at - 1 : at + 2]
    curvature = left - 2 * middle + right
    if not curvature > 0:
        return float(offsets[at]), float("nan")
    offset = offsets[at] + 0.5 * step_ev * (left - right) / curvature
    return float(offset), float(step_ev * np.sqrt(2 * max(middle, 1e-30) / curvature))


class ChiSquare:
    """χ² of a mean spectrum against its references shifted by an offset."""

    def __init__(
        self,
        energy_ev: Float64Array,
        spectrum: Float64Array,
        error: Float64Array,
        curves: list[tuple[Float64Array, Float64Array]],
        background: Float64Array,
        valences: Float64Array,
    ) -> None:
        """Keep energies, spectrum and the references' own (energy, absorption) curves."""
        self.energy_ev, self.spectrum, self.error = energy_ev, spectrum, error
        self.curves, self.background, self.valences = curves, background, valences

    def fit(self, offset_ev: float) -> SpectrumFit:
        """Fit with the stack's energies moved up by ``offset_ev``."""
        moved = np.stack([np.interp(self.energy_ev + offset_ev, e, mu) for e, mu in self.curves], axis=1)
        return fit_spectrum(self.spectrum, self.error, moved, self.background, self.valences)

    def __call__(self, offset_ev: float) -> float:
        """Return χ² over the degrees of freedom."""
        return self.fit(offset_ev).chi_square
