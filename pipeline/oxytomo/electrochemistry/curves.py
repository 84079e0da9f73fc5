"""Points of a pulse and its rests for the fits, and numbers read from them."""

from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array
from oxytomo.electrochemistry.steps import Titration
from oxytomo.errors import InputError

BINS = 120
"""Points of a pulse, and of a rest, that the fits take: means in bins of equal ratio of times."""
BEFORE = 10
"""Points that are taken from the end of the rest before a pulse."""
LEAST_POINTS = 4
"""Least number of records of a pulse, and of a rest, after the switching."""
END_SHARE = 0.05
"""Share of a rest at its end whose mean is the potential at rest."""
DECAY = 1 / (np.sqrt(2) - 1)
"""What is left of a decay with 1/√t, the slowest one, over its change in the second half."""


@dataclass(frozen=True)
class Records:
    """Records of a cycler.

    Attributes
    ----------
    time_s, voltage_v, current_a : (n,) time that never falls, potential of the working electrode,
        current, positive on charge
    """

    time_s: Float64Array
    voltage_v: Float64Array
    current_a: Float64Array

    def times(self, one: Titration) -> tuple[float, float]:
        """Return start and length of a pulse.

        It starts at the last record of the rest before it.
        """
        start = float(self.time_s[one.pulse[0] - 1])
        return start, float(self.time_s[one.pulse[1] - 1]) - start

    def charge(self, one: Titration) -> float:
        """Return the charge of a pulse in coulomb."""
        return float(np.mean(self.current_a[slice(*one.pulse)])) * self.times(one)[1]


@dataclass(frozen=True)
class Curve:
    """Points of one titration for the fits, 0 at the start of the pulse, and numbers read from it.

    Attributes
    ----------
    time_s, voltage_v, flowing : points of the rest before, the pulse and the rest after
    length_s, rest_s : of the pulse and of the rest after it
    before_v, after_v : potentials at the end of the rests
    noise_v : standard deviation of the noise: of the second half of pulse or rest, the smaller one
    left_v : estimate of what is left of the relaxation, from the second half of the rest
    """

    time_s: Float64Array
    voltage_v: Float64Array
    flowing: BoolArray
    length_s: float
    rest_s: float
    before_v: float
    after_v: float
    noise_v: float
    left_v: float


def curve_of(records: Records, one: Titration, skip_s: float) -> Curve:
    """Return the points of a titration, averaged in bins of time.

    Raises
    ------
    InputError
        If too few records are left without the time after each switching.
    """
    start, length = records.times(one)
    time, voltage = records.time_s - start, records.voltage_v
    before = slice(
        max(one.before[0], one.before[1] - max(BEFORE, (one.before[1] - one.before[0]) // 20)), one.before[1]
    )
    head = _binned(np.linspace(0, 1, before.stop - before.start), time[before], voltage[before], BEFORE)
    parts = [(*head, False)]
    for (first, last), begin, flows in ((one.pulse, 0.0, True), (one.after, length, False)):
        since = time[first:last] - begin
        late = since >= max(skip_s, 1e-9)
        at = np.log(since[late])
        parts.append((*_binned(at, time[first:last][late], voltage[first:last][late], BINS), flows))
    if parts[1][0].size < LEAST_POINTS or parts[2][0].size < LEAST_POINTS:
        raise InputError(
            "skip_s",
            expected=f"a time that leaves {LEAST_POINTS} records of each pulse and rest",
            got=f"{skip_s:g} s, with a pulse of {length:g} s",
            fix="leave out less",
        )
    rest_time, rest = time[slice(*one.after)] - length, voltage[slice(*one.after)]
    lasted = float(rest_time[-1])
    after_v, half_v = (_mean_near(rest_time, rest, share * lasted, lasted) for share in (1.0, 0.5))
    pulse = voltage[slice(*one.pulse)]
    return Curve(
        time_s=np.concatenate([part[0] for part in parts]),
        voltage_v=np.concatenate([part[1] for part in parts]),
        flowing=np.concatenate([np.full(part[0].size, part[2]) for part in parts]),
        length_s=length,
        rest_s=lasted,
        before_v=float(voltage[before].mean()),
        after_v=after_v,
        noise_v=min(_noise(pulse[pulse.size // 2 :]), _noise(rest[rest.size // 2 :])),
        left_v=float(DECAY * (after_v - half_v)),
    )


def _noise(values: Float64Array) -> float:
    """Return the standard deviation of noise on a smooth curve, from its second differences.

    Those of independent noise have √6 times its standard deviation. Sparse records of a curve give
    too much.
    """
    bends = np.diff(values, n=2)
    return float(np.sqrt(np.mean(bends**2) / 6)) if bends.size else float("inf")


def _mean_near(time: Float64Array, values: Float64Array, end: float, length: float) -> float:
    """Return the mean over the share of a rest that ends at a time."""
    near = (time <= end) & (time >= end - END_SHARE * length)
    return float(values[near].mean() if near.any() else np.interp(end, time, values))


def _binned(
    at: Float64Array, time: Float64Array, voltage: Float64Array, bins: int
) -> tuple[Float64Array, Float64Array]:
    """Return means of time and voltage in bins of equal width in ``at``; few points as they are."""
    if at.size <= bins:
        return time, voltage
    span = float(at[-1] - at[0]) or 1.0
    number = np.minimum(((at - at[0]) / span * bins).astype(int), bins - 1)
    counts = np.bincount(number, minlength=bins)
    kept = counts > 0
    means = [np.bincount(number, weights=one, minlength=bins)[kept] / counts[kept] for one in (time, voltage)]
    return means[0], means[1]


def pulse_curve(curve: Curve) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    """Fit a + b √t + c t to the pulse.

    The term in √t is planar diffusion, that in t the curvature of the sphere and what is left of
    the relaxation before it.

    Returns
    -------
    a, b and the potential at the end, each with its standard error
    """
    time, voltage = curve.time_s[curve.flowing], curve.voltage_v[curve.flowing]
    share = time / curve.length_s
    matrix = np.stack([np.ones_like(share), np.sqrt(share), share], axis=1)
    found = np.linalg.lstsq(matrix, voltage, rcond=None)[0]
    scatter = float(np.sum((matrix @ found - voltage) ** 2)) / max(time.size - 3, 1)
    covariance = np.linalg.pinv(matrix.T @ matrix) * scatter
    errors = np.sqrt(np.maximum(np.diag(covariance), 0))
    root = np.sqrt(curve.length_s)
    end = float(found.sum()), float(np.sqrt(max(float(covariance.sum()), 0.0)))
    return (float(found[0]), float(errors[0])), (float(found[1] / root), float(errors[1] / root)), end
