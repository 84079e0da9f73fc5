"""Mean valence of an element from a yield, by a linear combination of reference spectra."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array
from oxytomo.errors import InputError
from oxytomo.oxidation.fit_setup import FitOptions, fit_setup
from oxytomo.oxidation.linear_combination import fit_valence
from oxytomo.oxidation.spectra import Reference
from oxytomo.oxidation.stack import EnergyStack
from oxytomo.scattering.yields import Yield

BULK, SURFACE = "bulk", "surface"
HALF_STEP_EV = 0.05
"""Shift of the energies for the change of a valence with them."""


@dataclass(frozen=True)
class YieldValence:
    """Fit of one yield.

    Attributes
    ----------
    valence, error : mean valence; the standard error includes √χ² where χ² is above 1
    per_0_1_ev : change of the valence when the energies of the yield move up by 0.1 eV; NaN if the
        references do not reach that far
    fractions, fraction_errors : (n_reference,)
    names : of the references
    chi_square, r_factor, condition : of the fit
    energy_ev, measured, model : (n,) the fit on its energies
    offset_ev : added to the energies of the yield
    remarks : what a reader should know
    """

    valence: float
    error: float
    per_0_1_ev: float
    fractions: Float64Array
    fraction_errors: Float64Array
    names: tuple[str, ...]
    chi_square: float
    r_factor: float
    condition: float
    energy_ev: Float64Array
    measured: Float64Array
    model: Float64Array
    offset_ev: float
    remarks: tuple[str, ...]


def yield_valence(one: Yield, references: Sequence[Reference], options: FitOptions) -> YieldValence:
    """Fit a yield with reference spectra and a background, as a pixel of the oxidation branch.

    ``Y(E) = Σ a_i μ_i(E) + background`` with ``a_i ≥ 0``; valence = Σ a_i v_i / Σ a_i. The unit of
    the yield cancels.

    Parameters
    ----------
    one : the yield
    references : by increasing valence
    options : as in the oxidation branch, with ``fractions_sum: free``
    """
    found = _fitted(one, references, options)
    try:
        moved = [
            _fitted(replace(one, excitation_ev=one.excitation_ev + step), references, options).valence
            for step in (-HALF_STEP_EV, HALF_STEP_EV)
        ]
    except InputError:
        return found
    return replace(found, per_0_1_ev=float(moved[1] - moved[0]) * 0.1 / (2 * HALF_STEP_EV))


def _fitted(one: Yield, references: Sequence[Reference], options: FitOptions) -> YieldValence:
    """Fit a yield; the change with its energies is left open."""
    known: BoolArray = np.isfinite(one.value) & np.isfinite(one.error) & (one.error > 0)
    largest = float(np.abs(one.value[known]).max()) if known.any() else 1.0
    energy = one.excitation_ev[known]
    value = (one.value[known] / largest).astype(np.float32)[:, None, None]
    variance = ((one.error[known] / largest) ** 2).astype(np.float32)[:, None, None]
    stack = EnergyStack(
        value=value,
        variance=variance,
        energy_ev=energy,
        lost=np.zeros(energy.size, bool),
        variance_factor=np.ones(energy.size),
        pixel_nm=float("nan"),
        rows_at_once=1,
    )
    setup = fit_setup(stack, references, options)
    fit = fit_valence(
        value[setup.used],
        variance[setup.used],
        setup.references,
        setup.background,
        setup.valences,
        sum_to_one=False,
        sum_error=None,
    )
    chi = float(fit.chi_square[0, 0])
    growth = float(np.sqrt(max(chi, 1.0)))
    amounts = fit.fractions[:, 0, 0].astype(np.float64) * float(fit.amount[0, 0])
    model = setup.references @ np.nan_to_num(amounts) + setup.background @ fit.offsets[:, 0, 0]
    return YieldValence(
        valence=float(fit.valence[0, 0]),
        error=float(fit.valence_error[0, 0]) * growth,
        per_0_1_ev=float("nan"),
        fractions=fit.fractions[:, 0, 0].astype(np.float64),
        fraction_errors=fit.fraction_errors[:, 0, 0].astype(np.float64) * growth,
        names=setup.names,
        chi_square=chi,
        r_factor=float(fit.r_factor[0, 0]),
        condition=float(setup.facts["condition_number"]),
        energy_ev=setup.energy_ev,
        measured=value[setup.used, 0, 0].astype(np.float64) * largest,
        model=np.asarray(model, np.float64) * largest,
        offset_ev=float(setup.facts["energy_offset_ev"]),
        remarks=setup.remarks,
    )
