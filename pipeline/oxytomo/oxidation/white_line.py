"""Energy of the white line and of the edge at half its step, pixel by pixel, without references.

A polynomial of low order is fitted to the optical densities around the maximum of each pixel,
weighted by the inverse variance and by the distance (tricube, as in local regression: Cleveland,
J. Am. Stat. Assoc. 1979). The weights fall to 0 at the end of the window, so no energy enters or
leaves the fit with a jump. The position is the maximum of the polynomial; the window is then moved
there and the fit repeated. The standard error follows from the covariance C of the coefficients:
with the slope ``P'`` and the curvature ``P''`` at the maximum, ``σ² = gᵀ C g / P''²``, where g
holds the derivatives of ``P'`` with respect to the coefficients.

The optical density of one pixel is proportional to its thickness, so the position does not depend
on it while the light that reaches the detector comes through the sample. Above an optical density
of about 2.5, stray light and light of other orders flatten the peak.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array, FloatArray, IntArray, LabelArray
from oxytomo.errors import InputError
from oxytomo.oxidation.edges import Window, inside

FOUND, WEAK, TOO_THICK, OUT_OF_RANGE = 0, 1, 2, 3
STATUS_NAMES: Final = {
    FOUND: "found",
    WEAK: "no clear maximum",
    TOO_THICK: "too thick",
    OUT_OF_RANGE: "outside the recorded range",
}
NEWTON_STEPS: Final = 30
PASSES: Final = 2
"""The window of the second fit is centred on the maximum of the first."""
CENTRES: Final = 40
"""Windows are centred to this fraction of their half width; those of one centre are fitted at once."""
FLATTENED: Final = 0.95
"""A white line per edge jump that is smaller than this in thick rays, relative to thin ones, is
flattened."""
LEAST_THIRD: Final = 20
"""Rays in a third of all, to tell."""
LEAST_SPARE: Final = 1
"""The fit needs at least this many energies more than coefficients."""
SINGULAR = 1e-14
"""Normal equations of unit diagonal with a smaller determinant are not solved."""


@dataclass(frozen=True)
class WhiteLine:
    """White line of each pixel or voxel.

    Attributes
    ----------
    position_ev, error_ev : (…) float32 energy of the maximum and its standard error, NaN where none
    height : (…) float32, optical density of the maximum
    edge_ev, edge_error_ev : (…) float32 energy at half of the step, on the rising side, and its
        error; NaN without energies below and above the edge
    status : (…) uint8, see :data:`STATUS_NAMES`
    """

    position_ev: FloatArray
    error_ev: FloatArray
    height: FloatArray
    edge_ev: FloatArray
    edge_error_ev: FloatArray
    status: LabelArray


def white_line(
    value: FloatArray,
    variance: FloatArray,
    energy_ev: Float64Array,
    *,
    search: Window,
    pre_edge: Window,
    post_edge: Window,
    half_width_ev: float,
    order: int,
    weak_sigma: float,
    thick_od: float,
) -> WhiteLine:
    """Find the white line of every pixel, and the edge at half of its step.

    Parameters
    ----------
    value, variance : (n_energy, …) float32, optical density and its variance; NaN and inf where
        invalid
    energy_ev : (n_energy,) increasing
    search : energies in which the maximum is searched, eV
    pre_edge, post_edge : energies of the two levels of the step, eV
    half_width_ev : the weights of the fit fall to 0 at this distance
    order : order of the polynomial, 2 to 4
    weak_sigma : a maximum has to exceed the level below the edge by this many standard errors
    thick_od : pixels with a higher maximum are too thick

    Raises
    ------
    InputError
        If no energies are recorded in the search window.
    """
    shape = value.shape[1:]
    y = value.reshape(energy_ev.size, -1).astype(np.float64)
    noise = variance.reshape(energy_ev.size, -1).astype(np.float64)
    known = np.isfinite(y) & np.isfinite(noise) & (noise > 0)
    weight = np.where(known, 1 / np.where(known, noise, 1), 0)
    y = np.where(known, y, 0)
    within = np.flatnonzero(inside(energy_ev, search))
    if within.size == 0:
        raise InputError(
            "white line",
            expected=f"energies between {search[0]:g} and {search[1]:g} eV",
            got=f"{energy_ev.min():g} to {energy_ev.max():g} eV",
            fix="give the energy range of the white line, or check the unit of the energies",
        )
    highest = within[np.argmax(np.where(known, y, -np.inf)[within], axis=0)]
    centre = energy_ev[highest].astype(np.float64)
    for _ in range(PASSES):
        position, error, height = _fitted(y, weight, energy_ev, centre, half_width_ev, order)
        centre = np.where(np.isfinite(position), position, centre)
    levels = [_level(y, weight, inside(energy_ev, window)) for window in (pre_edge, post_edge)]
    ends = highest <= within[0]
    ends |= (highest >= within[-1]) | (highest == 0) | (highest == energy_ev.size - 1)
    status = np.where(np.isfinite(position) & np.isfinite(error), FOUND, WEAK).astype(np.uint8)
    status[ends] = OUT_OF_RANGE
    top, doubt = _contrast(y, weight, highest, levels[0])
    status[~(doubt > weak_sigma)] = WEAK
    status[top > thick_od] = TOO_THICK
    good = status == FOUND
    position[~good], error[~good] = np.nan, np.nan
    edge, edge_error = _half_step(y, weight, energy_ev, highest, levels)
    edge[~good], edge_error[~good] = np.nan, np.nan
    maps = [one.reshape(shape).astype(np.float32) for one in (position, error, height, edge, edge_error)]
    return WhiteLine(maps[0], maps[1], maps[2], maps[3], maps[4], status.reshape(shape))


def _fitted(
    y: Float64Array,
    weight: Float64Array,
    energy_ev: Float64Array,
    centre_ev: Float64Array,
    half_width_ev: float,
    order: int,
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return position, standard error and height of each pixel from a window about its centre."""
    position, error, height = (np.full(y.shape[1], np.nan) for _ in range(3))
    step = half_width_ev / CENTRES
    place = np.round((centre_ev - energy_ev[0]) / step).astype(np.int64)
    for one in np.unique(place):
        own, middle = np.flatnonzero(place == one), energy_ev[0] + one * step
        taper = np.clip(1 - (np.abs(energy_ev - middle) / half_width_ev) ** 3, 0, 1) ** 3
        near = taper > 0
        if near.sum() < order + 1 + LEAST_SPARE:
            continue
        values, weights = y[np.ix_(near, own)], weight[np.ix_(near, own)]
        found = _maximum(values, weights, taper[near], energy_ev[near] - middle, order)
        position[own], error[own], height[own] = middle + found[0], found[1], found[2]
    return position, error, height


def _maximum(
    y: Float64Array, weight: Float64Array, taper: Float64Array, offset_ev: Float64Array, order: int
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return place, its standard error, and height of the maximum of weighted polynomials.

    ``weight`` is the inverse variance; ``taper`` says how much an energy counts besides. With
    ``N = Xᵀ T W X`` the covariance of the coefficients is ``N⁻¹ Xᵀ T² W X N⁻¹``. NaN where the
    polynomial has no maximum within the points.
    """
    design = np.vander(offset_ev, order + 1, increasing=True)
    normal = np.einsum("ep,e,ei,ej->pij", weight, taper, design, design, optimize=True)
    right = np.einsum("ep,e,ei,ep->pi", weight, taper, design, y, optimize=True)
    solved = (weight > 0).sum(axis=0) >= order + 1
    normal[~solved] = np.eye(order + 1)
    # Points at the ends of the taper have hardly any weight and may determine no polynomial.
    length = np.sqrt(np.diagonal(normal, axis1=1, axis2=2))
    solved &= np.abs(np.linalg.det(normal / (length[:, :, None] * length[:, None, :]))) > SINGULAR
    normal[~solved] = np.eye(order + 1)
    inverse = np.linalg.inv(normal)
    middle = np.einsum("ep,e,ei,ej->pij", weight, taper**2, design, design, optimize=True)
    covariance = inverse @ middle @ inverse
    coefficients = np.einsum("pij,pj->pi", inverse, right)
    reach = float(np.abs(offset_ev).max())
    place = np.zeros(y.shape[1])
    powers = np.arange(order + 1)

    def derivative(times: int, at: Float64Array) -> Float64Array:
        factor = powers.astype(np.float64) if times == 1 else powers * (powers - 1.0)
        exponent = np.maximum(powers - times, 0)
        return np.asarray(factor * at[:, None] ** exponent)

    for _ in range(NEWTON_STEPS):
        slope = np.sum(derivative(1, place) * coefficients, axis=1)
        bend = np.sum(derivative(2, place) * coefficients, axis=1)
        # Uphill where the curve is not concave
        step = np.where(bend < 0, -slope / np.where(bend < 0, bend, -1), np.sign(slope) * 0.2 * reach)
        place = np.clip(place + np.clip(step, -0.5 * reach, 0.5 * reach), -reach, reach)
    gradient, bend = derivative(1, place), np.sum(derivative(2, place) * coefficients, axis=1)
    spread = np.einsum("pi,pij,pj->p", gradient, covariance, gradient)
    good = solved & (bend < 0) & (np.abs(place) < 0.99 * reach)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(good, np.sqrt(np.maximum(spread, 0)) / np.abs(bend), np.nan)
    height = np.sum(place[:, None] ** powers * coefficients, axis=1)
    return np.where(good, place, np.nan), error, np.where(good, height, np.nan)


def _level(y: Float64Array, weight: Float64Array, chosen: BoolArray) -> tuple[Float64Array, Float64Array]:
    """Return the weighted mean over some energies and its variance; NaN and inf without any."""
    total = weight[chosen].sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(total > 0, (weight * y)[chosen].sum(axis=0) / total, np.nan)
        return mean, np.where(total > 0, 1 / total, np.inf)


def _contrast(
    y: Float64Array, weight: Float64Array, highest: IntArray, below: tuple[Float64Array, Float64Array]
) -> tuple[Float64Array, Float64Array]:
    """Return the highest optical density, and how many standard errors it is above the pre-edge."""
    pixels = np.arange(y.shape[1])
    top, own = y[highest, pixels], weight[highest, pixels]
    base = np.where(np.isfinite(below[0]), below[0], 0.0)
    variance = np.where(np.isfinite(below[1]), below[1], 0.0)
    variance += np.where(own > 0, 1 / np.where(own > 0, own, 1), np.inf)
    return top, np.asarray((top - base) / np.sqrt(variance))


def _half_step(
    y: Float64Array,
    weight: Float64Array,
    energy_ev: Float64Array,
    highest: IntArray,
    levels: list[tuple[Float64Array, Float64Array]],
) -> tuple[Float64Array, Float64Array]:
    """Return where the rising side last crosses the middle of the two levels, and its error.

    Linear interpolation between the two energies around the crossing.
    """
    (low, low_variance), (high, high_variance) = levels
    middle = 0.5 * (low + high)
    n, pixels = energy_ev.size, np.arange(y.shape[1])
    rising = np.arange(n)[:, None] < highest[None, :]
    with np.errstate(invalid="ignore"):
        crossed = (
            rising[: n - 1] & (weight[:-1] > 0) & (weight[1:] > 0) & (y[:-1] < middle) & (y[1:] >= middle)
        )
    any_one = crossed.any(axis=0)
    at = (n - 2) - np.argmax(crossed[::-1], axis=0)
    first, second = y[at, pixels], y[at + 1, pixels]
    rise = np.where(any_one, second - first, np.nan)
    share = (middle - first) / rise
    step = energy_ev[at + 1] - energy_ev[at]
    noise = [1 / np.where(weight[k, pixels] > 0, weight[k, pixels], np.nan) for k in (at, at + 1)]
    middle_variance = 0.25 * (low_variance + high_variance)
    spread = middle_variance + (1 - share) ** 2 * noise[0] + share**2 * noise[1]
    edge, error = energy_ev[at] + share * step, step / rise * np.sqrt(spread)
    known = any_one & np.isfinite(middle) & np.isfinite(error)
    return np.where(known, edge, np.nan), np.where(known, error, np.nan)


def flattening(density: Float64Array, above: BoolArray) -> float | None:
    """Return the white line per edge jump of the thickest third of rays over that of the thinnest.

    It is 1 where the optical density is proportional to the thickness. Sums over the rays are
    divided, so noise does not bias it.

    Parameters
    ----------
    density : (n_ray, n_energy) optical density without background
    above : (n_energy,) energies above all white lines; None is returned without any
    """
    if not above.any() or len(density) < 3 * LEAST_THIRD:
        return None
    order = np.argsort(density.sum(axis=1))
    third = len(order) // 3
    ratios = []
    for part in (order[:third], order[-third:]):
        sums = density[part].sum(axis=0)
        ratios.append(float(sums.max() / sums[above].mean()))
    return ratios[1] / ratios[0] if ratios[0] > 0 else None
