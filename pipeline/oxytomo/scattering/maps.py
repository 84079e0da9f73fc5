"""A map of emitted photons over excitation and emission energy, and sums over windows of it."""

from dataclasses import dataclass, replace

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array
from oxytomo.errors import InputError

Window = tuple[float, float]
LEAST_POINTS = 3
LEAST_VARIANCE = 1.0
"""Smallest variance of a sum of photons: a sum of 0 is not certain."""


@dataclass(frozen=True)
class EmissionMap:
    """Photons by excitation and emission energy.

    Attributes
    ----------
    photons : (n_excitation, n_emission) float64, detected photons; NaN where invalid
    flux : (n_excitation,) float64, incident photons relative to their mean; NaN where invalid
    excitation_ev, emission_ev : (n,) float64, increasing, eV
    flux_error : relative standard deviation of the flux of one excitation
    """

    photons: Float64Array
    flux: Float64Array
    excitation_ev: Float64Array
    emission_ev: Float64Array
    flux_error: float

    @property
    def intensity(self) -> Float64Array:
        """Photons per mean incident flux, (n_excitation, n_emission)."""
        return self.photons / self.flux[:, None]

    @property
    def variance(self) -> Float64Array:
        """Counting variance of :attr:`intensity`: the number of photons / flux²."""
        return np.abs(self.photons) / self.flux[:, None] ** 2

    def moved(self, emission_ev: Float64Array) -> "EmissionMap":
        """Return the map on another emission scale."""
        return replace(self, emission_ev=emission_ev)


def emission_map(
    recorded: Float64Array,
    flux: Float64Array | None,
    excitation_ev: Float64Array,
    emission_ev: Float64Array,
    *,
    units_per_photon: float,
    flux_error: float,
) -> EmissionMap:
    """Convert recorded values to photons and the flux to a relative flux; sort both axes.

    Rows without a positive flux are marked invalid.

    Parameters
    ----------
    recorded : (n_excitation, n_emission) detector units
    flux : (n_excitation,) incident flux × time in any unit; None: the same for all
    excitation_ev, emission_ev : (n,) eV, every energy once
    units_per_photon : detector units that one photon gives; 1 for counts
    flux_error : relative standard deviation of the flux of one excitation
    """
    rows, columns = np.argsort(excitation_ev), np.argsort(emission_ev)
    photons = np.asarray(recorded, np.float64)[np.ix_(rows, columns)] / units_per_photon
    given = np.ones(rows.size) if flux is None else np.asarray(flux, np.float64)[rows]
    good = np.isfinite(given) & (given > 0)
    if not good.any():
        raise InputError(
            "flux", expected="incident flux above 0", got="none", fix="correct the flux, or leave it out"
        )
    relative = np.where(good, given / given[good].mean(), np.nan)
    photons = np.where(good[:, None] & np.isfinite(photons), photons, np.nan)
    return EmissionMap(
        photons, relative, np.sort(excitation_ev), np.sort(emission_ev), flux_error=float(flux_error)
    )


def bin_edges(centre: Float64Array) -> Float64Array:
    """Return the edges of bins around points, half way between neighbours, (n + 1,)."""
    middle = (centre[1:] + centre[:-1]) / 2
    first, last = 2 * centre[0] - middle[0], 2 * centre[-1] - middle[-1]
    return np.concatenate([[first], middle, [last]])


def overlap(centre: Float64Array, window: Window) -> Float64Array:
    """Return the width of each bin around a point that lies in a window, (n,) eV."""
    edges = bin_edges(centre)
    return np.maximum(0.0, np.minimum(edges[1:], window[1]) - np.maximum(edges[:-1], window[0]))


def shares(centre: Float64Array, window: Window | None) -> Float64Array:
    """Return the share of each bin that lies in a window, (n,) from 0 to 1; None: everything."""
    if window is None:
        return np.ones(centre.size)
    return overlap(centre, window) / np.diff(bin_edges(centre))


def require_window(centre: Float64Array, window: Window, *, name: str, what: str) -> None:
    """Refuse a window that the energies of a map do not cover.

    Raises
    ------
    InputError
        With the range of the map; the limits of the outer bins count.
    """
    edges = bin_edges(centre)
    if window[0] < edges[0] - 1e-6 or window[1] > edges[-1] + 1e-6:
        raise InputError(
            name,
            expected=f"a window within the {what} energies, {edges[0]:.2f} to {edges[-1]:.2f} eV",
            got=f"{window[0]:g} to {window[1]:g} eV",
            fix="correct the window, or the calibration of the energies",
        )


def window_sum(
    one: EmissionMap, window: Window | None, *, left_out: BoolArray | None = None
) -> tuple[Float64Array, Float64Array]:
    """Sum the photons of each excitation over an emission window.

    Bins at the limits of the window count by the share of them that lies inside. A sum that misses
    an invalid bin would be too small, so that it is NaN.

    Parameters
    ----------
    one : the map
    window : low, high in eV; None for all emission energies
    left_out : (n_excitation, n_emission) bins that do not count

    Returns
    -------
    photons, variance : (n_excitation,) float64; both are not divided by the flux
    """
    weights = np.broadcast_to(shares(one.emission_ev, window), one.photons.shape)
    if left_out is not None:
        weights = np.where(left_out, 0.0, weights)
    unknown = (~np.isfinite(one.photons) & (weights > 0)).any(axis=1)
    photons = np.where(np.isfinite(one.photons), one.photons, 0.0)
    total = (weights * photons).sum(axis=1)
    variance = np.maximum((weights**2 * np.abs(photons)).sum(axis=1), LEAST_VARIANCE)
    nothing = unknown | ~(weights > 0).any(axis=1)
    return np.where(nothing, np.nan, total), np.where(nothing, np.nan, variance)
