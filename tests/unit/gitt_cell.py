"""A simulated GITT measurement of spheres with known diffusivity, by finite volumes."""

from functools import cache

import numpy as np

SHELLS = 200
RADIUS_M = 4e-6
PULSE_S = 600.0
OHMIC_V, STEADY_V = 0.02, 0.01


@cache
def _modes() -> tuple[np.ndarray, ...]:
    """Modes of a unit sphere of thin shells, finer towards the surface: exact in time."""
    radius = 1 - (1 - np.linspace(0, 1, SHELLS + 1)) ** 2
    volume, middle = np.diff(radius**3) / 3, (radius[1:] + radius[:-1]) / 2
    flow = radius[1:-1] ** 2 / np.diff(middle)
    matrix = np.diag(np.r_[flow, 0] + np.r_[0, flow]) - np.diag(flow, 1) - np.diag(flow, -1)
    weight = 1 / np.sqrt(volume)
    rates, vectors = np.linalg.eigh(weight[:, None] * matrix * weight)
    surface = vectors[-1] * weight[-1]
    return np.maximum(rates, 0), surface**2, np.array(1 - middle[-1])


def surface_by_shells(theta: np.ndarray) -> np.ndarray:
    """Surface concentration of a unit sphere since a unit flux began, at D t / R²."""
    rates, weights, half_shell = _modes()
    since = np.maximum(theta, 0.0)[:, None]
    growth = np.where(rates > 1e-9, -np.expm1(-rates * since) / np.maximum(rates, 1e-30), since)
    return np.where(theta > 0, growth @ weights + half_shell, 0.0)


def cell(
    tau_d_r2: float, *, rest: float, pulses: int, noise_v: float = 2e-5, current_a: float = 1e-4
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Time, potential and current of pulses of 600 s, each with a rest of ``rest`` pulses; and D."""
    rate = tau_d_r2 / PULSE_S
    times, currents, starts = [np.linspace(0, PULSE_S, 40)], [np.zeros(40)], []
    for number in range(pulses):
        start = PULSE_S * (1 + number * (1 + rest))
        starts.append(start)
        times += [
            start + np.linspace(PULSE_S / 150, PULSE_S, 150),
            start + PULSE_S + np.geomspace(PULSE_S / 150, rest * PULSE_S, 200),
        ]
        currents += [np.full(150, current_a), np.zeros(200)]
    time, current = np.concatenate(times), np.concatenate(currents)
    sign = float(np.sign(current_a))
    voltage = 3.8 + sign * OHMIC_V * (current != 0)
    for start in starts:
        rise = surface_by_shells(rate * (time - start)) - surface_by_shells(rate * (time - start - PULSE_S))
        voltage = voltage + sign * STEADY_V * rise / (3 * tau_d_r2)
    noise = np.random.default_rng(7).normal(0.0, noise_v, time.size)
    return time, voltage + noise, current, rate * RADIUS_M**2
