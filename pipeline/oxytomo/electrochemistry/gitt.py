"""Diffusivity from the galvanostatic intermittent titration technique (GITT).

Weppner & Huggins, J. Electrochem. Soc. 124, 1569 (1977), and a fit of the sphere model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.electrochemistry.charge import FARADAY
from oxytomo.electrochemistry.curves import Curve, Records, curve_of, pulse_curve
from oxytomo.electrochemistry.sphere import Pulse, SphereFit, fit_sphere
from oxytomo.electrochemistry.steps import Titration
from oxytomo.errors import InputError

SAME_LITHIUM = 1e-4
"""Pulses closer than this in lithium per formula unit are at the same content."""
EARLIER = 5
"""Number of earlier pulses whose relaxation goes on in the fit."""
UNRESTED = 0.05
"""Share of the change of potential that may be left at the end of a rest."""
LONG_PULSE = 0.01
"""D τ / R² from which on eq. 2 is low by 17 % or more."""
POOR_FIT = 0.03
"""Share of the diffusion part of the potential that the residual of the fit may have."""
COARSE = 0.02
"""Share of the pulse that may pass between the last record at rest and the first with current."""
RESOLUTION_V = 1e-7
"""Below the resolution of any cycler: the potential did not change."""
UNCERTAIN = 0.35
"""Standard error of ln D from which on D is not determined (95 % within a factor of two)."""


@dataclass(frozen=True)
class Electrode:
    """What turns charge and potential into lithium content and diffusivity.

    Attributes
    ----------
    radius_m : of the spheres: 3 / (density · specific surface), or as given
    radius_error : its standard error over itself
    mass_g : mass of active material
    molar_mass_g : of a formula unit
    lithium_start : lithium per formula unit at the first record
    skip_s : time after each switching of the current that is left out: double layers charge
    """

    radius_m: float
    radius_error: float
    mass_g: float
    molar_mass_g: float
    lithium_start: float
    skip_s: float


@dataclass(frozen=True)
class Titrated:
    """One pulse and its rest: what was read from it and the diffusivities.

    Attributes
    ----------
    start_s, pulse_s, rest_s : start and length of the pulse, length of the rest after it
    current_a : mean current; positive on charge
    lithium_before, lithium_after : lithium per formula unit
    voltage_before_v, voltage_after_v : at the end of the rests
    steady_v, transient_v, ohmic_v : ΔE_s, ΔE_τ without the ohmic part, ohmic part
    slope_v_per_sqrt_s : dE/d√t at the start of the pulse
    d_slope_m2_s, d_steady_m2_s, d_sphere_m2_s : from eq. 1, eq. 2, and the sphere model
    slope_log_error, steady_log_error, sphere_log_error : standard errors of their logarithms
    tau_d_r2 : D τ / R² of the sphere model
    rest_left : share of the change of potential that is left at the end of the rest: from the fit,
        or, where D is not determined, from the second half of the rest
    flags : remarks; empty if nothing is wrong
    points : (3, n) time from the start of the pulse, potential, and that of the sphere model; NaN
        if it could not be fitted
    """

    start_s: float
    pulse_s: float
    rest_s: float
    current_a: float
    lithium_before: float
    lithium_after: float
    voltage_before_v: float
    voltage_after_v: float
    steady_v: float
    transient_v: float
    ohmic_v: float
    slope_v_per_sqrt_s: float
    d_slope_m2_s: float
    slope_log_error: float
    d_steady_m2_s: float
    steady_log_error: float
    d_sphere_m2_s: float
    sphere_log_error: float
    tau_d_r2: float
    rest_left: float
    flags: tuple[str, ...]
    points: Float64Array

    @property
    def lithium(self) -> float:
        """Lithium per formula unit in the middle of the pulse."""
        return (self.lithium_before + self.lithium_after) / 2

    @property
    def determined(self) -> bool:
        """True if the sphere model gives D: it fits, and its error is below a factor of two."""
        bad = {"poor fit", "not determined", "wrong sign"} & set(self.flags)
        return not bad and np.isfinite(self.d_sphere_m2_s)


def lithium_content(records: Records, electrode: Electrode) -> Float64Array:
    """Return the lithium per formula unit at each record, x₀ − (M / m F) ∫ I dt.

    The current of a record has flowed since the one before it.

    Raises
    ------
    InputError
        If it leaves the range from 0 to one above the start by more than 0.05, or hardly moves.
    """
    charge = np.concatenate([[0.0], np.cumsum(np.diff(records.time_s) * records.current_a[1:])])
    content = electrode.lithium_start - charge * electrode.molar_mass_g / (electrode.mass_g * FARADAY)
    low, high = float(content.min()), float(content.max())
    if low < -0.05 or high > electrode.lithium_start + 1.05:
        raise InputError(
            "lithium content",
            expected=f"0 to {electrode.lithium_start + 1:g} per formula unit",
            got=f"{low:.3g} to {high:.3g}, from the current, the mass and {electrode.lithium_start:g} at the start",
            fix="check the mass, the formula, the unit of the current and its sign (positive on charge)",
        )
    if high - low < SAME_LITHIUM:
        raise InputError(
            "lithium content",
            expected=f"a change of at least {SAME_LITHIUM:g} per formula unit",
            got=f"{high - low:.2g}, from the current, the time and the mass",
            fix="check the units of time and current in the names of the columns, and the mass",
        )
    return np.asarray(content, np.float64)


def analyse(records: Records, titrations: Sequence[Titration], electrode: Electrode) -> list[Titrated]:
    """Return the diffusivities of all titrations of a file.

    Eq. 1: D = (4/π) (V/S)² [ΔE_s / (τ dE/d√t)]², eq. 2: D = (4/πτ) (V/S)² (ΔE_s / ΔE_τ)², with
    V/S = R/3 the volume of the particles over their surface (m V_M / M S in the literature), and
    the fit of the sphere model to pulse and rest.

    Parameters
    ----------
    records : of the whole file
    titrations : from :func:`oxytomo.electrochemistry.steps.find_titrations`
    electrode : the working electrode

    Raises
    ------
    InputError
        If the lithium content is impossible, or the potential falls during charge.
    """
    content = lithium_content(records, electrode)
    found = []
    for place, one in enumerate(titrations):
        start, length = records.times(one)
        pulses = [Pulse(0.0, length, 1.0)]
        for other in titrations[max(place - EARLIER, 0) : place]:
            begin, lasted = records.times(other)
            pulses.append(Pulse(begin - start, lasted, records.charge(other) / records.charge(one)))
        curve = curve_of(records, one, electrode.skip_s)
        fit = fit_sphere(curve.time_s, curve.voltage_v, curve.flowing, pulses)
        found.append(_titrated(records, one, content, curve, fit, electrode))
    wrong = sum("wrong sign" in one.flags for one in found)
    if wrong > len(found) / 2:
        raise InputError(
            "current",
            expected="a potential that rises where the current is positive (charge)",
            got=f"one that does not in {wrong} of {len(found)} pulses",
            fix="change the sign of the current, or check that the potential is that of the cathode",
        )
    return found


def _titrated(
    records: Records,
    one: Titration,
    content: Float64Array,
    curve: Curve,
    fit: SphereFit | None,
    electrode: Electrode,
) -> Titrated:
    """Return the numbers of one titration."""
    first, slope, end = pulse_curve(curve)
    steady, transient = curve.after_v - curve.before_v, end[0] - first[0]
    radius, of_radius = electrode.radius_m, 2 * electrode.radius_error
    of_steady = np.sqrt(2) * curve.noise_v / max(abs(steady), 1e-12)
    by_slope = _weppner_huggins(radius, curve.length_s, _over(steady, np.sqrt(curve.length_s) * slope[0]))
    by_transient = _weppner_huggins(radius, curve.length_s, _over(steady, transient))
    sphere = sphere_error = tau_d_r2 = float("nan")
    left = abs(curve.left_v / steady) if steady else float("inf")
    if fit is not None:
        sphere = fit.d_over_r2_per_s * radius**2
        sphere_error = float(np.hypot(fit.log_error, of_radius))
        tau_d_r2 = fit.d_over_r2_per_s * curve.length_s
        if _is_determined(fit) and fit.equilibrium_v:
            left = abs(fit.rest_left_v / fit.equilibrium_v)
    current = float(np.mean(records.current_a[slice(*one.pulse)]))
    return Titrated(
        start_s=records.times(one)[0],
        pulse_s=curve.length_s,
        rest_s=curve.rest_s,
        current_a=current,
        lithium_before=float(content[one.pulse[0] - 1]),
        lithium_after=float(content[one.pulse[1] - 1]),
        voltage_before_v=curve.before_v,
        voltage_after_v=curve.after_v,
        steady_v=steady,
        transient_v=transient,
        ohmic_v=first[0] - curve.before_v,
        slope_v_per_sqrt_s=slope[0],
        d_slope_m2_s=by_slope,
        slope_log_error=float(np.sqrt(4 * of_steady**2 + 4 * _over(slope[1], slope[0]) ** 2 + of_radius**2)),
        d_steady_m2_s=by_transient,
        steady_log_error=float(
            np.sqrt(4 * of_steady**2 + 4 * _over(np.hypot(first[1], end[1]), transient) ** 2 + of_radius**2)
        ),
        d_sphere_m2_s=sphere,
        sphere_log_error=sphere_error,
        tau_d_r2=tau_d_r2,
        rest_left=left,
        flags=_flags(records, one, curve, fit, steady=steady, left=left, current=current),
        points=np.stack(
            [
                curve.time_s,
                curve.voltage_v,
                np.full_like(curve.time_s, np.nan) if fit is None else fit.model_v,
            ]
        ),
    )


def over_lithium(found: Sequence[Titrated]) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return the diffusivity of the sphere model by growing lithium content, each content once.

    Pulses at the same content (a charge and a discharge) are averaged in ln D, weighted by their
    errors.

    Parameters
    ----------
    found : steps whose diffusivity is determined, at least one

    Returns
    -------
    lithium content, diffusivity in m² s⁻¹, standard error of its logarithm, each (n,)
    """
    ordered = sorted(found, key=lambda one: one.lithium)
    lithium = np.array([one.lithium for one in ordered])
    logs = np.log([one.d_sphere_m2_s for one in ordered])
    weights = 1 / np.maximum([one.sphere_log_error for one in ordered], 1e-6) ** 2
    number = np.concatenate([[0], np.cumsum(np.diff(lithium) > SAME_LITHIUM)])
    total = np.bincount(number, weights=weights)
    means = [np.bincount(number, weights=weights * values) / total for values in (lithium, logs)]
    return means[0], np.exp(means[1]), 1 / np.sqrt(total)


def _over(above: float, below: float) -> float:
    """Return a ratio; NaN over 0."""
    return float(above / below) if below else float("nan")


def _weppner_huggins(radius_m: float, length_s: float, ratio: float) -> float:
    """Return (4/πτ) (R/3)² (ΔE_s / ΔE_τ)²."""
    return float(4 / (np.pi * length_s) * (radius_m / 3) ** 2 * ratio**2)


def _is_determined(fit: SphereFit) -> bool:
    """Return whether the data limit D on both sides."""
    return not fit.bound and fit.log_error < UNCERTAIN


def _flags(
    records: Records,
    one: Titration,
    curve: Curve,
    fit: SphereFit | None,
    *,
    steady: float,
    left: float,
    current: float,
) -> tuple[str, ...]:
    """Return remarks on a titration."""
    found = []
    if left > UNRESTED:
        found.append("unrested")
    if steady * np.sign(current) < RESOLUTION_V:
        found.append("wrong sign")
    gap = float(records.time_s[one.pulse[0]] - records.time_s[one.pulse[0] - 1])
    if gap > COARSE * curve.length_s:
        found.append("coarse records")
    if fit is None:
        return (*found, "not determined")
    if fit.d_over_r2_per_s * curve.length_s > LONG_PULSE:
        found.append("long pulse")
    part = float(np.ptp(fit.model_v - fit.ohmic_v * curve.flowing))
    if fit.rms_v > max(POOR_FIT * part, 3 * curve.noise_v):
        found.append("poor fit")
    if not _is_determined(fit) or fit.equilibrium_v * current <= 0:
        found.append("not determined")
    return tuple(found)
