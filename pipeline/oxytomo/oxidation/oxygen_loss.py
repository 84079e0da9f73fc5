"""Vacancy diffusion or reaction front: fits of both to a profile of valence.

The particle is a sphere. In a map it is seen in projection: the valence at a distance from its rim
is the mean along the beam, through reacted rim and core. Particles that are not discs are described
by the area outside a pixel: a pixel with a share s of the particle's area inside it is at the
radius R √s. In a volume the valence of a voxel is that of its own place, at the radius R ∛s, where
s is the share of the volume inside it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from oxytomo.arrays import BoolArray, Float64Array

SHELLS = 400
"""Number of thin shells of the sphere whose chords form the projection."""
SERIES_TERMS = 60
SHORT_TIME = 0.01
"""Below this D·t/R² the solution for a plane (complementary error function, curved surface)
replaces the series."""
RADII_PER_BIN = 8
MIN_POINTS = 5


@dataclass(frozen=True)
class ModelFit:
    """One model of a valence profile.

    Attributes
    ----------
    name : ``diffusion``, ``core_shell`` or ``uniform``
    parameters, errors : by name: ``core_valence``, ``surface_valence`` and ``dt_nm2`` (D·t) or
        ``shell_nm``
    chi_square : χ², not divided by the degrees of freedom
    aic, bic : Akaike's (with its correction for few points) and the Bayesian information criterion;
        smaller is better
    reduced_chi_square : χ² over the degrees of freedom; if it is far above 1 the model is wrong,
        however it compares with others
    profile : (n_bin,) fitted valence
    """

    name: str
    parameters: dict[str, float]
    errors: dict[str, float]
    chi_square: float
    aic: float
    bic: float
    reduced_chi_square: float
    profile: Float64Array


def vacancy_concentration(radius: Float64Array, dt_over_r2: float) -> Float64Array:
    """Concentration in a sphere whose surface is held at 1 from time 0.

    Crank, The Mathematics of Diffusion, section 6.3.

    Parameters
    ----------
    radius : distance from the centre over the sphere's radius, 0 to 1
    dt_over_r2 : D t / R²

    Returns
    -------
    concentration, 0 to 1
    """
    x = np.maximum(np.asarray(radius, np.float64), 1e-9)
    if dt_over_r2 <= 0:
        return np.where(x >= 1, 1.0, 0.0)
    if dt_over_r2 < SHORT_TIME:
        from scipy.special import erfc

        width = 2 * np.sqrt(dt_over_r2)
        return np.asarray(np.clip((erfc((1 - x) / width) - erfc((1 + x) / width)) / x, 0, 1))
    n = np.arange(1, SERIES_TERMS + 1)
    terms = (-1.0) ** n / n * np.sin(np.pi * n * x[..., None]) * np.exp(-dt_over_r2 * (np.pi * n) ** 2)
    return np.asarray(np.clip(1 + 2 / (np.pi * x) * terms.sum(axis=-1), 0, 1))


def projected(local: Float64Array, edges: Float64Array, at: Float64Array) -> Float64Array:
    """Mean along the beam through a unit sphere of concentric shells of constant value.

    Parameters
    ----------
    local : (n,) value in the shell between ``edges[i]`` and ``edges[i + 1]``
    edges : (n + 1,) increasing radii from 0 to 1
    at : (m,) distance of each ray from the centre, below 1

    Returns
    -------
    (m,) means; the chord through shell i is √(e²ᵢ₊₁ − a²) − √(e²ᵢ − a²), twice
    """
    half = np.sqrt(np.maximum(edges[None, :] ** 2 - at[:, None] ** 2, 0.0))
    chords = np.diff(half, axis=1)
    return np.asarray((chords @ local) / chords.sum(axis=1))


def fit_oxygen_loss(
    valence: Float64Array,
    error: Float64Array,
    inside_share: Float64Array,
    *,
    radius_nm: float,
    dimensions: int,
) -> list[ModelFit]:
    """Fit uniform valence, vacancy diffusion and core–shell to a profile, smallest BIC first.

    Parameters
    ----------
    valence, error : (n_bin,) mean valence of each bin and its standard error
    inside_share : (n_bin + 1,) share of the particle's area or volume inside each limit of the
        bins, decreasing; 1 is its surface
    radius_nm : radius of the disc of the particle's area, or of the sphere of its volume
    dimensions : 2 for a map, seen along the beam; 3 for a volume

    Returns
    -------
    Fits in which the parameters are counted in the same way: uniform 1, the others 3. χ² uses the
    given errors. If no model reaches 1 per degree of freedom, errors and differences of the
    criteria are scaled by the best model's value

    Notes
    -----
    The result is wrong for particles that are far from spherical (in a map: along the beam), and
    for a rim blurred by more than a bin.
    """
    known = np.isfinite(valence) & np.isfinite(error) & (error > 0)
    if known.sum() < MIN_POINTS:
        return []
    y, s = valence[known], error[known]
    radii = inside_share ** (1 / dimensions)
    edges = np.sin(np.linspace(0, np.pi / 2, SHELLS + 1))  # finer towards the surface
    seen = (_seen_along_beam if dimensions == 2 else _seen_in_volume)(
        radii[:-1][known], radii[1:][known], edges
    )
    shapes = _shapes(seen, edges)
    mean = float(np.sum(y / s**2) / np.sum(1 / s**2))
    flat_chi = float(np.sum(((y - mean) / s) ** 2))
    raw = [
        _two_level(y, s, shapes[0], np.log(np.geomspace(1e-4, 0.3, 15)), (np.log(1e-6), np.log(2.0))),
        _two_level(y, s, shapes[1], np.linspace(0.03, 0.8, 15), (1e-3, 0.999)),
    ]
    best = min(flat_chi / max(y.size - 1, 1), *(chi / max(y.size - 3, 1) for _, _, chi, _ in raw))
    scale = max(1.0, best)
    flat_error = float(np.sqrt(scale / np.sum(1 / s**2)))
    flat = _Fitted({"core_valence": (mean, flat_error)}, flat_chi, np.full_like(y, mean))
    fits = [_judged("uniform", flat, known, scale)]
    for (name, shape), (values, covariance, chi, model) in zip(
        (("diffusion", "dt_nm2"), ("core_shell", "shell_nm")), raw, strict=True
    ):
        errors = np.sqrt(np.maximum(np.diag(covariance) * scale, 0))
        # Diffusion is fitted in ln(D t / R²), the shell in its thickness over R.
        size = float(np.exp(values[2])) * radius_nm**2 if name == "diffusion" else values[2] * radius_nm
        slope = size if name == "diffusion" else radius_nm
        levels = zip(("core_valence", "surface_valence"), values[:2], errors[:2], strict=True)
        parameters = {key: (value, error) for key, value, error in levels}
        parameters[shape] = (size, errors[2] * slope)
        fits.append(_judged(name, _Fitted(parameters, chi, model), known, scale))
    return sorted(fits, key=lambda fit: fit.bic)


Seen = Callable[[Float64Array], Float64Array]
"""Mean over each bin of a quantity of thin shells."""


def _seen_along_beam(outer: Float64Array, inner: Float64Array, edges: Float64Array) -> Seen:
    """Return the mean over the area of each bin, along the beam, of a quantity of the shells."""
    rays = np.minimum(
        np.sqrt(np.linspace(inner**2, outer**2, 2 * RADII_PER_BIN + 1, axis=1)[:, 1::2]), 1 - 1e-6
    )
    return lambda local: projected(local, edges, rays.reshape(-1)).reshape(rays.shape).mean(axis=1)


def _seen_in_volume(outer: Float64Array, inner: Float64Array, edges: Float64Array) -> Seen:
    """Return the mean over the volume of each bin of a quantity of the shells."""
    volumes = edges**3

    def seen(local: Float64Array) -> Float64Array:
        inside = np.concatenate([[0.0], np.cumsum(local * np.diff(volumes))])
        both = (np.interp(limit**3, volumes, inside) for limit in (outer, inner))
        return np.asarray(np.subtract(*both) / (outer**3 - inner**3))

    return seen


def _shapes(
    seen: Seen, edges: Float64Array
) -> tuple[Callable[[float], Float64Array], Callable[[float], Float64Array]]:
    """Return both profiles from core (0) to surface (1), averaged over the bins.

    Diffusion depends on ln(D t / R²), the core–shell profile on its thickness over R.
    """
    middles = (edges[1:] + edges[:-1]) / 2

    def diffusion(log_dt: float) -> Float64Array:
        return seen(vacancy_concentration(middles, float(np.exp(log_dt))))

    def core_shell(thickness: float) -> Float64Array:
        front = 1 - thickness
        # The share of each thin shell outside the front: the front moves smoothly.
        return seen(np.clip((edges[1:] - front) / np.diff(edges), 0, 1))

    return diffusion, core_shell


def _two_level(
    y: Float64Array,
    s: Float64Array,
    shape: Callable[[float], Float64Array],
    starts: Float64Array,
    limits: tuple[float, float],
) -> tuple[Float64Array, Float64Array, float, Float64Array]:
    """Fit core + (surface − core) · shape(p).

    The levels are linear; the one shape parameter is scanned and refined.

    Returns
    -------
    values (core, surface, p), their covariance, χ², the model
    """

    def levels(p: float) -> tuple[Float64Array, Float64Array]:
        columns = np.stack([1 - shape(p), shape(p)], axis=1)
        solved = np.linalg.lstsq(columns / s[:, None], y / s, rcond=None)[0]
        return np.asarray(solved, np.float64), np.asarray(columns @ solved, np.float64)

    def residual(p: Float64Array) -> Float64Array:
        return (levels(float(p[0]))[1] - y) / s

    start = min(starts, key=lambda p: float(np.sum(residual(np.array([p])) ** 2)))
    found = least_squares(residual, [start], bounds=([limits[0]], [limits[1]]), xtol=1e-10, ftol=1e-12)
    p = float(found.x[0])
    solved, model = levels(p)
    step = 1e-4 * max(abs(p), 1e-2)
    slope = (shape(p + step) - shape(p - step)) / (2 * step) * (solved[1] - solved[0])
    jacobian = np.stack([1 - shape(p), shape(p), slope], axis=1) / s[:, None]
    covariance = np.asarray(np.linalg.pinv(jacobian.T @ jacobian), np.float64)
    return np.array([*solved, p]), covariance, float(np.sum(((y - model) / s) ** 2)), model


@dataclass(frozen=True)
class _Fitted:
    """A fitted model: value and error of each parameter, χ², and the profile at the known bins."""

    parameters: dict[str, tuple[float, float]]
    chi_square: float
    model: Float64Array


def _judged(name: str, fitted: _Fitted, known: BoolArray, scale: float) -> ModelFit:
    """Add the information criteria; ``scale`` divides χ² in them."""
    k, n, chi_square = len(fitted.parameters), fitted.model.size, fitted.chi_square
    correction = 2 * k * (k + 1) / (n - k - 1) if n > k + 1 else float("inf")
    profile = np.full(known.size, np.nan)
    profile[known] = fitted.model
    return ModelFit(
        name,
        {key: float(value) for key, (value, _) in fitted.parameters.items()},
        {key: float(error) for key, (_, error) in fitted.parameters.items()},
        chi_square,
        chi_square / scale + 2 * k + correction,
        chi_square / scale + k * float(np.log(n)),
        chi_square / max(n - k, 1),
        profile,
    )
