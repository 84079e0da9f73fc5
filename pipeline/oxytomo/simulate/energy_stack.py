"""Simulated stacks through an edge: round particles of known valence, and raw frames."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy.ndimage import gaussian_filter, shift
from scipy.special import erf

from oxytomo.arrays import AnyArray, Float64Array, FloatArray, Spectrum
from oxytomo.errors import ConfigError
from oxytomo.oxidation.edges import BEYOND_L2_EV, default_windows
from oxytomo.oxidation.oxygen_loss import projected, vacancy_concentration

VALENCES: Final = (2.0, 3.0, 4.0)
SHIFT_PER_VALENCE_EV: Final = 1.3
EDGE_SPAN_EV: Final = {"Mn": (635.0, 665.0), "Co": (772.0, 805.0), "Ni": (848.0, 880.0)}
"""Energies of the stacks of Liu et al. (2024); for Co the range starts lower, to include energies
below its edge."""
_SHELLS = 300
_BACKGROUND_OD = 0.25
"""Background optical density of the thickest part over that of the white line; it falls as E⁻³."""

Law = Literal["uniform", "diffusion", "core_shell"]


@dataclass(frozen=True, eq=False)
class StackAcquisition:
    """Sample and acquisition of a stack.

    Attributes
    ----------
    element : Mn, Co or Ni
    n_energies : number of energies; two thirds of them are in the first half of the range, around
        L3
    n_rows, n_cols, pixel_nm : the frames
    n_particles : number of round particles side by side, of decreasing size
    law, law_parameter : profile of the valence towards the surface; the parameter is D·t/R² for
        ``diffusion`` and the shell thickness over the radius for ``core_shell``
    core_valence, surface_valence : valences of core and surface
    largest_od : optical density of the white line in the thickest part
    photons_per_pixel : mean counts without sample
    drift_px : standard deviation of the steps of the frames' random walk
    i0_drift : standard deviation of each frame's beam intensity, relative
    dark_level : mean counts without beam
    n_flat : flat frames per energy; 0: none, I0 is known from the empty region only
    """

    element: str
    n_energies: int
    n_rows: int
    n_cols: int
    pixel_nm: float
    n_particles: int
    law: Law
    law_parameter: float
    core_valence: float
    surface_valence: float
    largest_od: float
    photons_per_pixel: float
    drift_px: float
    i0_drift: float
    dark_level: float
    n_flat: int


@dataclass(frozen=True, eq=False)
class SimulatedStack:
    """Raw frames in acquisition order with the truth.

    Attributes
    ----------
    frames : (n_energy, n_rows, n_cols) counts
    flat : (n_energy, n_rows, n_cols) mean flat of each energy, or None
    dark : (1, n_rows, n_cols)
    energy_ev : (n_energy,) increasing
    references : by valence
    valence, edge_jump : (n_rows, n_cols) truth; NaN and 0 outside the particles
    shift_px : (n_energy, 2) px; content of the frame sits at (+dy, +dx)
    radius_nm : radius of the largest particle
    """

    frames: AnyArray
    flat: FloatArray | None
    dark: FloatArray
    energy_ev: Float64Array
    references: dict[float, Spectrum]
    valence: FloatArray
    edge_jump: FloatArray
    shift_px: Float64Array
    radius_nm: float


def model_references(element: str) -> dict[float, Spectrum]:
    """Return synthetic L-edge spectra of valence 2, 3 and 4 that resemble those of oxides.

    They have multiplets, steps and a chemical shift.

    They are not measured: edge jump 1, white lines of 3 to 5, each valence 1.3 eV above the
    previous one.
    """
    low, high = EDGE_SPAN_EV[element]
    energy = np.arange(low - 5.0, high + 5.0, 0.1)
    windows = default_windows(element, energy)
    onset = windows.edge_ev
    split = windows.post_edge[0] - BEYOND_L2_EV - onset
    spectra = {}
    for valence in VALENCES:
        first = onset + 1.2 + SHIFT_PER_VALENCE_EV * (valence - 2.0)
        mu = 2 / 3 * _step(energy - first - 1.5) + 1 / 3 * _step(energy - first - split - 1.5)
        for place, height, width in (
            (-0.9, 0.9 - 0.2 * (valence - 2), 0.45),
            (0.0, 3.6 - 0.5 * (valence - 2), 0.55 + 0.15 * (valence - 2)),
            (1.4, 1.4 + 0.4 * (valence - 2), 0.8),
        ):
            mu = mu + height * np.exp(-0.5 * ((energy - first - place) / width) ** 2)
            mu = mu + 0.45 * height * np.exp(-0.5 * ((energy - first - split - place) / (width + 0.3)) ** 2)
        spectra[valence] = Spectrum(energy, mu)
    return spectra


def simulate_stack(acquisition: StackAcquisition, *, rng: np.random.Generator) -> SimulatedStack:
    """Record a stack of round particles; the same random state gives the same frames.

    The optical density of a pixel is that of its central ray. The fractions of valence 2, 3 and 4
    at a local valence v are (1 − u)², 2u(1 − u), u² with u = (v − 2)/2, so all three are present
    for 2 < v < 4.
    """
    _check(acquisition)
    a = acquisition
    thickness, fractions, radius_px = _particles(a)
    references = model_references(a.element)
    energy = _energies(*EDGE_SPAN_EV[a.element], a.n_energies)
    curves = np.stack([np.interp(energy, s.energy_ev, s.absorption) for s in references.values()], axis=1)
    peak = float((curves @ fractions.max(axis=(1, 2))).max())
    jump = a.largest_od / peak * thickness / thickness.max()
    other = _BACKGROUND_OD * a.largest_od * thickness / thickness.max()
    steps = (
        rng.normal(scale=a.drift_px, size=(a.n_energies, 2)) if a.drift_px else np.zeros((a.n_energies, 2))
    )
    shifts = np.cumsum(steps, axis=0) - steps[0]
    beam = _beam(a, rng)
    dark = np.full((1, a.n_rows, a.n_cols), a.dark_level, np.float32)
    frames = np.empty((a.n_energies, a.n_rows, a.n_cols), np.uint32)
    flats = np.empty(frames.shape, np.float32) if a.n_flat else None
    for i, ev in enumerate(energy):
        density = jump * np.tensordot(curves[i], fractions, axes=1) + other * (energy[0] / ev) ** 3
        if a.drift_px:
            density = np.maximum(shift(density, shifts[i], order=3, mode="nearest"), 0)
        light = beam * (1 + a.i0_drift * rng.normal())
        frames[i] = rng.poisson(light * np.exp(-density) + a.dark_level)
        if flats is not None:
            flats[i] = rng.poisson((beam + a.dark_level) * a.n_flat) / a.n_flat
    valence = np.where(thickness > 0, np.tensordot(np.array(VALENCES), fractions, axes=1), np.nan)
    top = int(frames.max(initial=0))
    return SimulatedStack(
        frames.astype(np.uint16) if top <= np.iinfo(np.uint16).max else frames,
        flats,
        dark,
        energy,
        references,
        valence.astype(np.float32),
        jump.astype(np.float32),
        shifts,
        radius_px * a.pixel_nm,
    )


def local_valence(radius: Float64Array, acquisition: StackAcquisition) -> Float64Array:
    """Return the valence at a distance from a particle's centre, relative to its radius."""
    a = acquisition
    if a.law == "diffusion":
        share = vacancy_concentration(radius, a.law_parameter)
    elif a.law == "core_shell":
        share = (radius > 1 - a.law_parameter).astype(np.float64)
    else:
        share = np.zeros_like(radius)
    return np.asarray(a.core_valence + (a.surface_valence - a.core_valence) * share)


def _particles(a: StackAcquisition) -> tuple[Float64Array, Float64Array, float]:
    """Return thickness, fractions (3, n_rows, n_cols) along the beam, and largest radius.

    Lengths are in pixels.
    """
    rows, columns = np.mgrid[: a.n_rows, : a.n_cols].astype(np.float64)
    thickness = np.zeros((a.n_rows, a.n_cols))
    fractions = np.zeros((3, a.n_rows, a.n_cols))
    largest = 0.36 * min(a.n_rows, a.n_cols / a.n_particles)
    edges = np.sin(np.linspace(0, np.pi / 2, _SHELLS + 1))
    u = (local_valence((edges[1:] + edges[:-1]) / 2, a) - 2.0) / 2.0
    of_shell = np.stack([(1 - u) ** 2, 2 * u * (1 - u), u**2])
    for number in range(a.n_particles):
        radius = largest * (1 - 0.15 * number)
        away = np.hypot(rows - (a.n_rows - 1) / 2, columns - (number + 0.5) * a.n_cols / a.n_particles)
        inside = away < radius - 1e-6
        at = away[inside] / radius
        thickness[inside] = 2 * np.sqrt(radius**2 - away[inside] ** 2)
        for k in range(3):
            fractions[k][inside] = projected(of_shell[k], edges, at)
    return thickness, fractions, largest


def _energies(low: float, high: float, n: int) -> Float64Array:
    """Return increasing energies, two thirds of them in the first half of the range, around L3."""
    middle = (low + high) / 2
    n_fine = (2 * n) // 3
    fine = np.linspace(low, middle, n_fine, endpoint=False)
    return np.concatenate([fine, np.linspace(middle, high, n - n_fine)])


def _step(x: Float64Array) -> Float64Array:
    return np.asarray(0.5 * (1 + erf(x / 0.8)))


def _beam(a: StackAcquisition, rng: np.random.Generator) -> Float64Array:
    """Return the mean counts without sample; uneven only if flats can correct that."""
    shape = (a.n_rows, a.n_cols)
    if not a.n_flat:
        return np.full(shape, a.photons_per_pixel)
    smooth = gaussian_filter(rng.normal(size=shape), 0.15 * min(shape), mode="wrap")
    return np.asarray(a.photons_per_pixel * (1 + 0.05 * smooth / max(float(smooth.std()), 1e-12)))


def _check(a: StackAcquisition) -> None:
    """Refuse settings that do not make a stack."""
    wrong = [] if a.element in EDGE_SPAN_EV else [f"element {a.element}"]
    wrong += [] if a.n_energies >= 20 else ["n_energies"]
    wrong += [] if min(a.n_rows, a.n_cols // max(a.n_particles, 1)) >= 16 else ["size"]
    wrong += (
        []
        if min(a.core_valence, a.surface_valence) >= 2 and max(a.core_valence, a.surface_valence) <= 4
        else ["valence"]
    )
    wrong += (
        []
        if a.photons_per_pixel > 0 and a.largest_od > 0 and a.dark_level >= 0
        else ["counts or optical density"]
    )
    if wrong:
        raise ConfigError(
            "stack",
            expected=f"one of {', '.join(EDGE_SPAN_EV)}, 20 energies, 16 pixels per particle, valences 2 to 4, counts",
            got=f"{', '.join(wrong)} outside that",
            fix="correct these settings",
        )
