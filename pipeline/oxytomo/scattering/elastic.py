"""Elastic line of a map: it ties the emission scale to the excitation scale, with the resolution.

Elastically scattered photons have the excitation energy. On the emission scale as recorded they
form a ridge at ``E + offset + slope (E − E₀)``.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from oxytomo.arrays import BoolArray, Float64Array
from oxytomo.errors import InputError
from oxytomo.scattering.maps import EmissionMap, bin_edges

FWHM = float(2 * np.sqrt(2 * np.log(2)))
"""Full width at half maximum of a normal distribution, in standard deviations."""
LEAST_HEIGHT = 3.5
"""Least height of the ridge in the first guess, in standard deviations of its noise."""
NARROWEST_EV, WIDEST_EV = 0.05, 6.0
"""Limits of the full width at half maximum."""
LEAST_ROWS, LEAST_LINE = 3, 10.0
"""Least number of excitations with a line, and its significance in all of them together."""
REACH = 1.3
"""Each excitation is fitted within this many full widths of the line."""
BAD_FIT = 3.5
"""An excitation whose χ² is larger than expected by more than this many standard deviations has
other emission at the line, and is left out."""


@dataclass(frozen=True)
class ElasticLine:
    """The elastic line of a map.

    Attributes
    ----------
    offset_ev, offset_error_ev : recorded emission energy of the line less the excitation energy, at
        ``middle_ev``, and its standard error
    slope, slope_error : change of the offset per eV of excitation; 0 if it was not fitted
    middle_ev : excitation energy of the offset
    fwhm_ev, fwhm_error_ev : full width at half maximum: the resolution of both instruments together
    rows : (n_excitation,) excitations that were used
    """

    offset_ev: float
    offset_error_ev: float
    slope: float
    slope_error: float
    middle_ev: float
    fwhm_ev: float
    fwhm_error_ev: float
    rows: BoolArray

    def calibrated(self, emission_ev: Float64Array) -> Float64Array:
        """Return emission energies on the excitation scale, where the line is at its excitation."""
        moved = emission_ev - self.offset_ev + self.slope * self.middle_ev
        return np.asarray(moved / (1.0 + self.slope))


def find_elastic_line(one: EmissionMap, *, search_ev: float, linear: bool, name: str) -> ElasticLine:
    """Find the elastic line of a map.

    A first guess comes from the middle half of all excitations at equal energy loss, in which
    fluorescence at a fixed emission energy does not remain. Then one normal line, with an amplitude
    and a straight background for each excitation, is fitted to all of them together by weighted
    least squares. Excitations with other emission at the line do not fit and are left out. The
    error of the offset is the larger one of counting statistics and of the scatter of single
    excitations.

    Parameters
    ----------
    one : the map, on its recorded emission scale
    search_ev : largest offset that is searched for
    linear : also fit the slope of the offset
    name : of the map, for errors

    Raises
    ------
    InputError
        If there is no clear line.
    """
    offset, fwhm = _first_guess(one, search_ev, name)
    middle = float(one.excitation_ev.mean())
    rows = np.isfinite(one.flux)
    parameters = np.array([offset, fwhm / FWHM, 0.0])
    for _ in range(4):
        parameters = _fitted(one, rows, parameters, middle, linear=linear)
        kept, significance = _good_rows(one, rows, parameters, middle)
        if kept.sum() < LEAST_ROWS:
            raise _no_line(name, f"{int(kept.sum())} excitations with one")
        if (kept == rows).all():
            break
        rows = kept
    if not significance > LEAST_LINE:
        raise _no_line(name, f"a line of {significance:.1f} standard errors")
    parameters, errors = _with_errors(one, rows, parameters, middle, linear=linear)
    line = ElasticLine(
        offset_ev=float(parameters[0]),
        offset_error_ev=float(errors[0]),
        slope=float(parameters[2]),
        slope_error=float(errors[2]),
        middle_ev=middle,
        fwhm_ev=float(FWHM * parameters[1]),
        fwhm_error_ev=float(FWHM * errors[1]),
        rows=rows,
    )
    if abs(line.offset_ev) > search_ev or not NARROWEST_EV < line.fwhm_ev < WIDEST_EV:
        raise _no_line(name, f"a line {line.offset_ev:+.2f} eV away, {line.fwhm_ev:.2f} eV wide")
    return line


def _no_line(name: str, got: str) -> InputError:
    return InputError(
        f"elastic line of {name}",
        expected="emission at the excitation energy, in three excitations or more",
        got=got,
        fix="check both energy scales, or give 'emission_offset_ev' if the emission scale is calibrated",
    )


def _first_guess(one: EmissionMap, search_ev: float, name: str) -> tuple[float, float]:
    """Return the offset and the width of the ridge in the median over excitations."""
    step = float(np.median(np.diff(one.emission_ev)))
    loss = np.arange(-search_ev - 3.0, search_ev + 3.0 + step / 2, step)
    density = one.intensity / np.diff(bin_edges(one.emission_ev))
    level = np.nanmedian(density, axis=1, keepdims=True)
    shifted = np.full((one.excitation_ev.size, loss.size), np.nan)
    for row, (ev, values) in enumerate(zip(one.excitation_ev, density - level, strict=True)):
        known = np.isfinite(values)
        if known.sum() > 1:
            at = one.emission_ev[known]
            shifted[row] = np.interp(ev + loss, at, values[known], left=np.nan, right=np.nan)
    enough = np.isfinite(shifted).sum(axis=0) >= max(LEAST_ROWS, 0.2 * one.excitation_ev.size)
    if enough.sum() < 5:
        raise _no_line(name, "emission energies that do not reach the excitation energies")
    ridge = _trimmed(shifted[:, enough])
    where, inner = loss[enough], np.abs(loss[enough]) <= search_ev + step / 2
    if not inner.any():
        raise _no_line(name, f"no emission energies within {search_ev:g} eV of the excitation energies")
    smooth = np.convolve(ridge, np.ones(3) / 3, mode="same") if ridge.size > 6 else ridge
    peak = int(np.flatnonzero(inner)[smooth[inner].argmax()])
    base = float(np.median(ridge))
    noise = 1.4826 * float(np.median(np.abs(np.diff(ridge)))) / np.sqrt(2)
    height = float(smooth[peak]) - base
    if not height > LEAST_HEIGHT * noise:
        raise _no_line(name, "none that stands out from its surroundings")
    half = smooth > base + height / 2
    first, last = peak, peak
    while first > 0 and half[first - 1]:
        first -= 1
    while last < half.size - 1 and half[last + 1]:
        last += 1
    width = float(np.clip((last - first + 1) * step, 2 * step, 3.0))
    return float(where[peak]), width


def _trimmed(values: Float64Array) -> Float64Array:
    """Return the mean of the middle half of each column; robust as a median, with less noise."""
    ordered = np.sort(values, axis=0)
    found = np.empty(values.shape[1])
    for column in range(values.shape[1]):
        known = ordered[np.isfinite(ordered[:, column]), column]
        quarter = known.size // 4
        found[column] = known[quarter : known.size - quarter].mean()
    return found


def _row(
    one: EmissionMap, at: int, parameters: Float64Array, middle: float
) -> tuple[Float64Array, Float64Array, Float64Array] | None:
    """Return emission energies less the centre of the line, photons and errors of one row.

    None if too few bins are near the line, or the line is at the end of the emission energies.
    """
    ev = one.excitation_ev[at]
    centre = ev + parameters[0] + parameters[2] * (ev - middle)
    reach = max(REACH * FWHM * parameters[1], 4 * float(np.median(np.diff(one.emission_ev))))
    if centre - reach / 2 < one.emission_ev[0] or centre + reach / 2 > one.emission_ev[-1]:
        return None
    near = (np.abs(one.emission_ev - centre) <= reach) & np.isfinite(one.photons[at])
    if near.sum() < 6:
        return None
    photons = one.photons[at, near]
    smooth = np.convolve(np.pad(photons, 2, mode="edge"), np.ones(5) / 5, mode="valid")
    return one.emission_ev[near] - ev, photons, np.sqrt(np.maximum(smooth, 0.5))


def _solved(
    where: Float64Array, photons: Float64Array, error: Float64Array, centre: float, sigma: float
) -> tuple[Float64Array, float, float]:
    """Return the residuals in units of the errors, the amplitude and its error, of one row."""
    line = np.exp(-((where - centre) ** 2) / (2 * sigma**2))
    columns = np.stack([line, np.ones_like(where), where - where.mean()], axis=1) / error[:, None]
    covariance = np.linalg.inv(columns.T @ columns)
    found = covariance @ (columns.T @ (photons / error))
    return photons / error - columns @ found, float(found[0]), float(np.sqrt(covariance[0, 0]))


def _centre(one: EmissionMap, at: int, parameters: Float64Array, middle: float) -> float:
    return float(parameters[0] + parameters[2] * (one.excitation_ev[at] - middle))


def _fitted(
    one: EmissionMap, rows: BoolArray, start: Float64Array, middle: float, *, linear: bool
) -> Float64Array:
    """Return offset, width and slope fitted to some rows; their windows follow the start."""
    chosen = [(at, found) for at in np.flatnonzero(rows).tolist() if (found := _row(one, at, start, middle))]

    def residual(free: Float64Array) -> Float64Array:
        full = np.array([free[0], free[1], free[2] if linear else 0.0])
        parts = [_solved(*found, _centre(one, at, full, middle), full[1])[0] for at, found in chosen]
        return np.concatenate(parts)

    if len(chosen) < LEAST_ROWS:
        return start
    step = float(np.median(np.diff(one.emission_ev)))
    low = [start[0] - 2 * FWHM * start[1], max(0.2 * step, NARROWEST_EV / FWHM), -0.2]
    high = [start[0] + 2 * FWHM * start[1], WIDEST_EV / FWHM, 0.2]
    n = 3 if linear else 2
    first = np.clip(start, low, high)[:n]
    found = least_squares(residual, first, bounds=(low[:n], high[:n]), x_scale=[0.1, 0.1, 0.01][:n])
    return np.array([*found.x, *([] if linear else [0.0])])


def _good_rows(
    one: EmissionMap, rows: BoolArray, parameters: Float64Array, middle: float
) -> tuple[BoolArray, float]:
    """Return the rows without other emission near the line, and its significance in all of them.

    Weak lines are kept: choosing rows by their own strength would bias position and width.
    """
    good = np.zeros(rows.size, bool)
    total, weight = 0.0, 0.0
    for at in np.flatnonzero(rows).tolist():
        found = _row(one, at, parameters, middle)
        if found is None:
            continue
        rest, height, error = _solved(*found, _centre(one, at, parameters, middle), parameters[1])
        freedom = max(rest.size - 3, 1)
        good[at] = float((rest**2).sum()) < freedom + BAD_FIT * np.sqrt(2 * freedom)
        if good[at]:
            total += height / error**2
            weight += 1 / error**2
    return good, total / np.sqrt(weight) if weight else 0.0


def _with_errors(
    one: EmissionMap, rows: BoolArray, start: Float64Array, middle: float, *, linear: bool
) -> tuple[Float64Array, Float64Array]:
    """Return the parameters of the last fit and their standard errors."""
    best = _fitted(one, rows, start, middle, linear=linear)
    chosen = [(at, found) for at in np.flatnonzero(rows).tolist() if (found := _row(one, at, best, middle))]
    n = 3 if linear else 2

    def residual(free: Float64Array) -> Float64Array:
        full = np.array([*free, *([] if linear else [0.0])])
        return np.concatenate(
            [_solved(*found, _centre(one, at, full, middle), full[1])[0] for at, found in chosen]
        )

    steps = np.array([1e-3, 1e-3, 1e-5])[:n]
    slopes = np.stack(
        [
            (residual(best[:n] + d) - residual(best[:n] - d)) / (2 * s)
            for d, s in zip(np.diag(steps), steps, strict=True)
        ],
        axis=1,
    )
    covariance = np.linalg.pinv(slopes.T @ slopes)
    errors = np.zeros(3)
    errors[:n] = np.sqrt(np.diag(covariance))
    errors[0] = max(errors[0], _scatter(one, chosen, best, middle))
    return best, errors


def _scatter(
    one: EmissionMap,
    chosen: list[tuple[int, tuple[Float64Array, Float64Array, Float64Array]]],
    best: Float64Array,
    middle: float,
) -> float:
    """Return the standard error of the offset from the scatter of single rows."""
    moved: list[float] = []
    weights: list[float] = []
    for at, found in chosen:
        centre = _centre(one, at, best, middle)
        rest, *_ = _solved(*found, centre, best[1])
        ahead, *_ = _solved(*found, centre + 1e-3, best[1])
        slope = (ahead - rest) / 1e-3
        own = float(slope @ slope)
        if own > 0:
            moved.append(-float(slope @ rest) / own)
            weights.append(own)
    if len(moved) < LEAST_ROWS:
        return 0.0
    places, weight = np.array(moved), np.array(weights)
    mean = float((weight * places).sum() / weight.sum())
    spread = float((weight**2 * (places - mean) ** 2).sum()) / weight.sum() ** 2
    return float(np.sqrt(spread * len(moved) / (len(moved) - 1)))


@dataclass(frozen=True)
class ElasticLight:
    """Photons of the elastic line in each bin of a map.

    Attributes
    ----------
    photons : (n_excitation, n_emission) expected photons of the line
    relative_error : (n_excitation,) standard error of the strength of the line over the strength
    """

    photons: Float64Array
    relative_error: Float64Array


def elastic_light(one: EmissionMap, line: ElasticLine) -> ElasticLight:
    """Return the photons of the elastic line, from its strength at each excitation.

    Each strength is that of a fit with the position and width of the line and a straight
    background. Where other emission is at the line, it is interpolated from the others, per flux,
    with their scatter as error.

    Parameters
    ----------
    one : the map, on its recorded emission scale
    line : its elastic line
    """
    parameters = np.array([line.offset_ev, line.fwhm_ev / FWHM, line.slope])
    n = one.excitation_ev.size
    strength, error = np.full(n, np.nan), np.full(n, np.nan)
    good, _ = _good_rows(one, np.isfinite(one.flux), parameters, line.middle_ev)
    for at in np.flatnonzero(good).tolist():
        found = _row(one, at, parameters, line.middle_ev)
        if found is not None:
            place = _centre(one, at, parameters, line.middle_ev)
            _, height, own = _solved(*found, place, parameters[1])
            strength[at], error[at] = height / one.flux[at], own / one.flux[at]
    known = np.isfinite(strength)
    if known.any():
        spread = float(np.std(strength[known]))
        full = np.interp(one.excitation_ev, one.excitation_ev[known], strength[known])
        error = np.where(known, error, spread)
        strength = np.maximum(full, 0.0)
    else:
        strength, error = np.zeros(n), np.zeros(n)
    centre = one.excitation_ev + line.offset_ev + line.slope * (one.excitation_ev - line.middle_ev)
    away = one.emission_ev[None, :] - centre[:, None]
    shape = np.exp(-(away**2) / (2 * parameters[1] ** 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(strength > 0, error / strength, 0.0)
    return ElasticLight(shape * (strength * np.nan_to_num(one.flux))[:, None], relative)
