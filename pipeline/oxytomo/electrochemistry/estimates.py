"""Means with their errors and degrees of freedom, and linear combinations of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from oxytomo.arrays import Float64Array


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error.

    Attributes
    ----------
    value : NaN if unknown
    error : standard error; NaN if unknown
    freedom : degrees of freedom of the error; infinite if it is from noise alone
    """

    value: float
    error: float = 0.0
    freedom: float = float("inf")

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval (Student); NaN where the error is unknown."""
        return self.limits(0.95)

    def limits(self, share: float) -> tuple[float, float]:
        """Return the interval of a given probability."""
        tail = 0.5 + share / 2
        reach = float(ndtri(tail) if np.isinf(self.freedom) else stdtrit(self.freedom, tail)) * self.error
        return self.value - reach, self.value + reach

    def times(self, factor: float) -> "Estimate":
        """Return the estimate multiplied by an exact number."""
        return Estimate(self.value * factor, self.error * abs(factor), self.freedom)


def combined(terms: Sequence[tuple[float, Estimate]]) -> Estimate:
    """Return Σ cᵢ xᵢ of independent estimates.

    The degrees of freedom are those of Welch and Satterthwaite, (Σ vᵢ)² / Σ (vᵢ² / νᵢ) with the
    variances vᵢ.
    """
    value = float(sum(factor * one.value for factor, one in terms))
    variances = np.array([(factor * one.error) ** 2 for factor, one in terms], np.float64)
    total = float(variances.sum())
    per_freedom = float(sum(v**2 / one.freedom for v, (_, one) in zip(variances, terms, strict=True)))
    freedom = total**2 / per_freedom if per_freedom > 0 else float("inf")
    return Estimate(value, float(np.sqrt(total)), freedom)


def group_estimates(groups: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> dict[str, Estimate]:
    """Return the mean of each group of particles with its error.

    A group of several particles has the error of their scatter, taken no smaller than their noise.
    A single particle has the pooled scatter of the other groups, if any has several particles, and
    its noise otherwise: then its error says nothing of other particles of its kind.

    Parameters
    ----------
    groups : name -> values of its particles, and standard deviation of each from noise

    Returns
    -------
    Estimates by name. The value is NaN for a group without a number; the error is NaN where noise
    and scatter are unknown
    """
    known = {name: _known(values, errors) for name, (values, errors) in groups.items()}
    squares = sum(float(((v - v.mean()) ** 2).sum()) for v, _ in known.values() if v.size > 1)
    freedom = sum(v.size - 1 for v, _ in known.values() if v.size > 1)
    found = {}
    for name, (values, noise) in known.items():
        if values.size == 0:
            found[name] = Estimate(float("nan"), float("nan"))
            continue
        of_noise = float(np.sqrt(np.mean(noise**2)))
        if values.size > 1:
            scatter = max(float(values.std(ddof=1)), of_noise if np.isfinite(of_noise) else 0.0)
            error, free = scatter / np.sqrt(values.size), float(values.size - 1)
        elif freedom > 0:
            error, free = max(float(np.sqrt(squares / freedom)), np.nan_to_num(of_noise)), float(freedom)
        else:
            error, free = of_noise, float("inf")
        found[name] = Estimate(float(values.mean()), float(error), free)
    return found


def _known(values: Sequence[float], errors: Sequence[float]) -> tuple[Float64Array, Float64Array]:
    """Return the finite values with their errors."""
    found, noise = np.asarray(values, np.float64), np.asarray(errors, np.float64)
    return found[np.isfinite(found)], noise[np.isfinite(found)]
