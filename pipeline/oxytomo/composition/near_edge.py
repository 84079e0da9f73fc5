"""Near-edge factor of an element at its own post-edge energy, from measured spectra.

A spectrum that is 0 below the edge and 1 above all white lines says how much the element absorbs on
its edge, relative to the step of the tables.
"""

from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.errors import InputError

LEAST, MOST = 0.4, 5.0
"""Near-edge factors are between these, also on the white lines of high valences."""
MAX_GAP_EV = 2.0
"""Largest gap between two energies of a spectrum, across which a factor is interpolated."""


@dataclass(frozen=True)
class MeasuredFactor:
    """Absorption above the pre-edge at one energy, in steps of the tables; its standard error."""

    factor: float
    error: float


def factor_of_spectrum(
    energy_ev: Float64Array, normalized: Float64Array, at_ev: float, *, error: float, name: str
) -> MeasuredFactor:
    """Return the factor at an energy from one normalised spectrum.

    Parameters
    ----------
    energy_ev, normalized : (n,) the spectrum; 0 below the edge and 1 above the white lines
    at_ev : post-edge energy of the element
    error : standard error of the factor
    name : subject of error messages
    """
    known = np.isfinite(normalized)
    _check_range(energy_ev[known], at_ev, name)
    factor = float(np.interp(at_ev, energy_ev[known], normalized[known]))
    return _plausible(MeasuredFactor(factor, error), at_ev, name)


def factor_of_maps(
    energy_ev: Float64Array,
    references: Float64Array,
    fractions: FloatArray,
    errors: FloatArray,
    at_ev: float,
    *,
    error: float,
    name: str,
) -> MeasuredFactor:
    """Return the factor at an energy from maps of the fractions of reference spectra.

    Its standard error is the scatter of the pixels beyond their own noise, since the sample of the
    maps need not be as the whole particle, and ``error`` in quadrature.

    Parameters
    ----------
    energy_ev, references : (n,), (n, n_reference) normalised spectra, NaN where not known
    fractions, errors : (n_reference, n_pixel), adding up to 1, with standard errors
    at_ev : post-edge energy of the element
    error : standard error of the factor of a spectrum
    name : subject of error messages
    """
    known = np.isfinite(references).all(axis=1)
    _check_range(energy_ev[known], at_ev, name)
    level = np.array([np.interp(at_ev, energy_ev[known], one[known]) for one in references.T])
    good = np.isfinite(fractions).all(axis=0) & np.isfinite(errors).all(axis=0)
    if not good.any():
        raise InputError(
            name,
            expected="pixels with a valence in the oxidation branch",
            got="none",
            fix="look at the valence maps, or give the factor in decompose.instrument.near_edge",
        )
    shares = np.asarray(fractions[:, good], np.float64)
    shares = shares / shares.sum(axis=0)
    values = level @ shares
    # Fractions add up to 1: their errors are anticorrelated. For two references this is exact.
    n = level.size
    away = (level - level.mean()) ** 2 * n / max(1, n - 1)
    noise = float(np.median(away @ np.asarray(errors[:, good], np.float64) ** 2))
    spread = np.sqrt(max(0.0, float(np.var(values)) - noise))
    found = MeasuredFactor(float(np.mean(values)), float(np.hypot(spread, error)))
    return _plausible(found, at_ev, name)


def prior_of_factor(measured: MeasuredFactor | None, below: float) -> tuple[float, float] | None:
    """Return a factor on the step as one on the whole absorption, minus 1, with its error.

    ``below`` is the share of what the element absorbs below its edge, which has no near-edge
    structure.
    """
    if measured is None:
        return None
    return (measured.factor - 1) * (1 - below), measured.error * (1 - below)


def _check_range(energy_ev: Float64Array, at_ev: float, name: str) -> None:
    """Raise if a spectrum does not reach an energy, or has a gap there."""
    low, high = (float(energy_ev.min()), float(energy_ev.max())) if energy_ev.size else (np.nan, np.nan)
    if not low <= at_ev <= high:
        raise InputError(
            name,
            expected=f"a spectrum that reaches {at_ev:g} eV, the post-edge energy of the series",
            got=f"one from {low:g} to {high:g} eV" if energy_ev.size else "no energies",
            fix="give a longer spectrum, or the factor itself in decompose.instrument.near_edge",
        )
    after = min(max(1, int(np.searchsorted(energy_ev, at_ev))), energy_ev.size - 1)
    if energy_ev[after] - energy_ev[after - 1] > MAX_GAP_EV and at_ev not in energy_ev:
        raise InputError(
            name,
            expected=f"a spectrum with energies within {MAX_GAP_EV:g} eV around {at_ev:g} eV, the "
            "post-edge energy of the series",
            got=f"none between {energy_ev[after - 1]:g} and {energy_ev[after]:g} eV",
            fix="give a spectrum with finer steps, or the factor itself in decompose.instrument.near_edge",
        )


def _plausible(measured: MeasuredFactor, at_ev: float, name: str) -> MeasuredFactor:
    """Raise if a factor is outside of what exists: the spectrum is not on the step of the edge."""
    if not LEAST <= measured.factor <= MOST:
        raise InputError(
            name,
            expected=f"a spectrum that is 0 below the edge and 1 above the white lines, and {LEAST:g} to "
            f"{MOST:g} at {at_ev:g} eV",
            got=f"{measured.factor:.3g} there",
            fix="give a spectrum of this element with its continuum above the edge, or the factor itself "
            "in decompose.instrument.near_edge",
        )
    return measured
