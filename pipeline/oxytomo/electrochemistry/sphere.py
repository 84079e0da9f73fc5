"""Potential of spheres during a current pulse and the rest after it, and the fit of both."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import erf

from oxytomo.arrays import BoolArray, Float64Array

SHORT_TIME = 0.05
"""Below this D t / R² the solution without a centre is exact to exp(−1/0.05) = 2·10⁻⁹."""
ROOTS = 12
LOWEST, HIGHEST = 1e-7, 3.0
"""Limits of D τ / R² in the fit. Above, the surface is steady from the first point on."""
STARTS = 50
LEAST_POINTS = 8
LOG_STEP = 0.1
"""Half of the step in ln D for the slope of the model."""


@dataclass(frozen=True)
class Pulse:
    """A pulse of constant current.

    Attributes
    ----------
    start_s, length_s : beginning and length, s
    charge : of the pulse, over that of the pulse that is fitted
    """

    start_s: float
    length_s: float
    charge: float


@dataclass(frozen=True)
class SphereFit:
    """The sphere model, fitted to a pulse and the rest after it.

    Attributes
    ----------
    d_over_r2_per_s : D / R², 1/s
    log_error : standard error of its natural logarithm
    start_v, equilibrium_v, ohmic_v : potential before the pulse, change by the pulse after an
        infinite rest, and the part that appears and disappears with the current, V
    rest_left_v : what is left of the relaxation at the last point, V
    rms_v : root mean square of the residual, V
    bound : True if D is at a limit of its range: the data do not determine it
    model_v : (n,) fitted potential
    """

    d_over_r2_per_s: float
    log_error: float
    start_v: float
    equilibrium_v: float
    ohmic_v: float
    rest_left_v: float
    rms_v: float
    bound: bool
    model_v: Float64Array


def surface_rise(theta: Float64Array) -> Float64Array:
    """Concentration at the surface of a sphere with a constant flux, minus the initial one.

    In units of j R / D: u = 3 θ + 1/5 − 2 Σ exp(−αₙ² θ) / αₙ² with tan αₙ = αₙ (Crank, The
    Mathematics of Diffusion, section 6.3.3). For short times all terms of the expansion in √θ
    together, u = exp(θ) (1 + erf √θ) − 1. Zero for θ ≤ 0.

    Parameters
    ----------
    theta : D t / R²
    """
    theta = np.asarray(theta, np.float64)
    late, early = np.maximum(theta, SHORT_TIME), np.clip(theta, 0.0, SHORT_TIME)
    squares = _roots() ** 2
    series = 3 * late + 0.2 - 2 * (np.exp(-late[..., None] * squares) / squares).sum(axis=-1)
    return np.where(theta < SHORT_TIME, np.exp(early) * (1 + erf(np.sqrt(early))) - 1, series)


@lru_cache(maxsize=1)
def _roots() -> Float64Array:
    """Return the first positive solutions of tan α = α."""
    n = np.pi * np.arange(1, ROOTS + 1)
    alpha = n + np.pi / 2
    for _ in range(30):
        alpha = n + np.arctan(alpha)
    return np.asarray(alpha, np.float64)


def surface_content(time_s: Float64Array, pulses: Sequence[Pulse], d_over_r2_per_s: float) -> Float64Array:
    """Change of the lithium content at the surface by pulses, over that of the pulse of charge 1.

    Each pulse that has ended counts from the equilibrium after it if it started before time 0, and
    from the state before it otherwise.

    Parameters
    ----------
    time_s : (n,) times
    pulses : pulses, each of constant current
    d_over_r2_per_s : D / R²

    Returns
    -------
    (n,) surface content; it is 1 long after a pulse of charge 1
    """
    total = np.zeros(time_s.shape)
    for pulse in pulses:
        since = time_s - pulse.start_s
        scale = pulse.charge / (3 * d_over_r2_per_s * pulse.length_s)
        rise = surface_rise(d_over_r2_per_s * since)
        rise = rise - surface_rise(d_over_r2_per_s * (since - pulse.length_s))
        total += scale * rise - (pulse.charge if pulse.start_s < 0 else 0.0)
    return total


def fit_sphere(
    time_s: Float64Array, voltage_v: Float64Array, flowing: BoolArray, pulses: Sequence[Pulse]
) -> SphereFit | None:
    """Fit D / R² to the potential before, during and after a pulse.

    ``E(t) = E₀ + ΔE_s w(t) + ΔE_ohm`` (the last while the current flows), w the content at the
    surface of a sphere. E₀, ΔE_s and ΔE_ohm are linear and solved for each D. Relaxation that
    earlier pulses have left goes on in w, with the same D and slope of the potential.

    Parameters
    ----------
    time_s, voltage_v : (n,) time, 0 at the start of the pulse, and potential
    flowing : (n,) True while the current flows
    pulses : the pulse (start 0, charge 1), and earlier ones with negative starts

    Returns
    -------
    The fit; None with fewer than 8 points during the pulse or after it. The error is from the
    scatter about the model, counted with its correlation from point to point

    Notes
    -----
    The result is wrong if the potential is not linear in the lithium content over the step, or if
    D differs much between particles or within the step.
    """
    length = next(pulse.length_s for pulse in pulses if pulse.start_s == 0)
    after = time_s > length
    if min(int(flowing.sum()), int(after.sum())) < LEAST_POINTS:
        return None

    def columns(log_theta: float) -> Float64Array:
        content = surface_content(time_s, pulses, float(np.exp(log_theta)) / length)
        return np.stack([np.ones_like(content), content, flowing.astype(np.float64)], axis=1)

    def solved(log_theta: float) -> tuple[Float64Array, Float64Array]:
        matrix = columns(log_theta)
        found = np.linalg.lstsq(matrix, voltage_v, rcond=None)[0]
        return np.asarray(found, np.float64), np.asarray(matrix @ found, np.float64)

    def misfit(log_theta: float) -> float:
        return float(np.sum((solved(log_theta)[1] - voltage_v) ** 2))

    grid = np.linspace(np.log(LOWEST), np.log(HIGHEST), STARTS)
    place = int(np.argmin([misfit(one) for one in grid]))
    low, high = grid[max(place - 1, 0)], grid[min(place + 1, STARTS - 1)]
    best = float(minimize_scalar(misfit, bounds=(low, high), method="bounded", options={"xatol": 1e-6}).x)
    linear, model = solved(best)
    slope = (columns(best + LOG_STEP / 2)[:, 1] - columns(best - LOG_STEP / 2)[:, 1]) / LOG_STEP
    jacobian = np.column_stack([columns(best), slope * linear[1]])
    last = float(surface_content(time_s[-1:], pulses, float(np.exp(best)) / length)[0])
    return SphereFit(
        d_over_r2_per_s=float(np.exp(best)) / length,
        log_error=_error_of_last(jacobian, voltage_v - model),
        start_v=float(linear[0]),
        equilibrium_v=float(linear[1]),
        ohmic_v=float(linear[2]),
        rest_left_v=float(linear[1] * (last - 1)),
        rms_v=float(np.sqrt(np.mean((voltage_v - model) ** 2))),
        bound=place in (0, STARTS - 1),
        model_v=model,
    )


def _error_of_last(jacobian: Float64Array, residual: Float64Array) -> float:
    """Return the standard error of the last parameter.

    Neighbouring residuals are alike if the model is wrong: their correlation r leaves n (1 − r) /
    (1 + r) of n points.
    """
    n, k = jacobian.shape
    variance = float(np.sum(residual**2)) / max(n - k, 1)
    power = float(np.sum(residual**2))
    alike = float(np.sum(residual[1:] * residual[:-1])) / power if power > 0 else 0.0
    alike = min(max(alike, 0.0), 0.99)
    scales = np.linalg.norm(jacobian, axis=0)
    if not (scales > 0).all():
        return float("inf")
    scaled = jacobian / scales
    covariance = np.linalg.pinv(scaled.T @ scaled, rcond=1e-14) * variance * (1 + alike) / (1 - alike)
    return float(np.sqrt(max(covariance[-1, -1], 0.0)) / scales[-1])
