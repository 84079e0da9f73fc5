"""Yields of a map against the excitation energy, and emission spectra at chosen excitations."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.errors import InputError
from oxytomo.scattering.elastic import ElasticLight
from oxytomo.scattering.maps import EmissionMap, Window, bin_edges, require_window, shares, window_sum

LEAST_INVERTED = 3.0
"""A partial yield below this many standard errors has no inverse."""


@dataclass(frozen=True)
class Yield:
    """A yield against the excitation energy.

    Attributes
    ----------
    name : ``TFY``, ``PFY``, ``sPFY``, ``iPFY``, ``PFY corrected`` or the name of a column
    excitation_ev, value, error : (n,) float64; NaN where unknown; the error is a standard error
    window_ev : emission window, None for all emission energies or a column
    """

    name: str
    excitation_ev: Float64Array
    value: Float64Array
    error: Float64Array
    window_ev: Window | None = None


@dataclass(frozen=True)
class Cut:
    """An emission spectrum, the mean over excitations around a chosen one.

    Attributes
    ----------
    excitation_ev : the chosen energy
    used_ev : (n,) excitations of the mean
    emission_ev, value, error : (n_emission,) photons per mean flux
    """

    excitation_ev: float
    used_ev: Float64Array
    emission_ev: Float64Array
    value: Float64Array
    error: Float64Array


def fluorescence_yield(
    one: EmissionMap, window: Window | None, *, name: str, elastic: ElasticLight | None
) -> Yield:
    """Return the photons in an emission window per mean incident flux.

    ``Y(E) = Σ_j w_j (N(E, j) − L(E, j)) / φ(E)`` with the share w of each bin in the window, the
    elastic line L and the relative flux φ. With the relative error σ_L of the strength of the line,
    ``σ² = (Σ_j w_j² N(E, j) + (σ_L Σ_j w_j L(E, j))²) / φ² + (Y · flux_error)²``.

    Parameters
    ----------
    one : the map
    window : emission window in eV; None for the total yield (TFY)
    name : of the yield
    elastic : the elastic line, to subtract it; None to keep it
    """
    if window is not None:
        require_window(one.emission_ev, window, name=f"window of {name}", what="emission")
    photons, variance = window_sum(one, window)
    if elastic is not None:
        line = elastic.photons @ shares(one.emission_ev, window)
        photons, variance = photons - line, variance + (elastic.relative_error * line) ** 2
    value = photons / one.flux
    error = np.sqrt(variance / one.flux**2 + (value * one.flux_error) ** 2)
    return Yield(name, one.excitation_ev, value, error, window)


def inverse_yield(one: EmissionMap, window: Window, *, name: str) -> Yield:
    """Return the inverse of a partial yield whose emission does not come from the edge.

    The line of another element weakens where the edge absorbs, so that its inverse follows the
    total absorption without saturation (Achkar et al., Phys. Rev. B 83, 081106, 2011):
    ``1/Y(E) ∝ μ(E) + background``. Yields of less than three standard errors are left out.
    """
    direct = fluorescence_yield(one, window, name=name, elastic=None)
    known = direct.value > LEAST_INVERTED * direct.error
    value = np.where(known, 1.0 / np.where(known, direct.value, 1.0), np.nan)
    return Yield(name, one.excitation_ev, value, direct.error * value**2, window)


def emission_cut(one: EmissionMap, excitation_ev: float, *, width_ev: float) -> Cut:
    """Return the emission spectrum at one excitation energy.

    ``S(j) = Σ_i N(i, j) / Σ_i φ_i`` over the excitations within half a width, or the nearest one.

    Raises
    ------
    InputError
        If the map does not reach the energy.
    """
    edges = bin_edges(one.excitation_ev)
    if not edges[0] <= excitation_ev <= edges[-1]:
        raise InputError(
            "cuts_ev",
            expected=f"excitation energies from {edges[0]:.2f} to {edges[-1]:.2f} eV",
            got=f"{excitation_ev:g} eV",
            fix="correct the energy of the cut",
        )
    away = np.abs(one.excitation_ev - excitation_ev)
    chosen = (away <= width_ev / 2) | (away == away.min())
    chosen &= np.isfinite(one.flux)
    flux = one.flux[chosen].sum()
    if not flux > 0:
        nothing = np.full(one.emission_ev.size, np.nan)
        return Cut(excitation_ev, one.excitation_ev[chosen], one.emission_ev, nothing, nothing)
    photons = one.photons[chosen].sum(axis=0)
    counting = np.sqrt(np.maximum(np.abs(photons), 1.0)) / flux
    shared = photons / flux * one.flux_error / np.sqrt(chosen.sum())
    return Cut(
        excitation_ev,
        one.excitation_ev[chosen],
        one.emission_ev,
        photons / flux,
        np.hypot(counting, shared),
    )


def scatter_error(value: Float64Array) -> Float64Array:
    """Return the noise of a spectrum without counts, from the scatter of neighbouring points.

    It is 1.4826 times the median absolute difference of a point from the cubic through its four
    neighbours, over √(35/18), and the same for all points. Structure as narrow as the step is
    counted as noise.

    Parameters
    ----------
    value : (n,) float64, on nearly equal steps

    Returns
    -------
    (n,) float64
    """
    known = value[np.isfinite(value)]
    if known.size < 7:
        return np.full(value.size, np.nan)
    near, far = known[1:-3] + known[3:-1], known[:-4] + known[4:]
    apart = known[2:-2] - (4 * near - far) / 6
    spread = 1.4826 * float(np.median(np.abs(apart - np.median(apart)))) / np.sqrt(35 / 18)
    return np.where(np.isfinite(value), spread, np.nan)


def cuts(one: EmissionMap, energies_ev: Sequence[float], *, width_ev: float) -> list[Cut]:
    """Return the emission spectra at several excitation energies."""
    return [emission_cut(one, energy, width_ev=width_ev) for energy in energies_ev]
