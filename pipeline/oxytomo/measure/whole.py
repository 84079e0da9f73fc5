"""Whether the particle as a whole departs from the reference, and what the likely cause is.

A wrong formula turns a whole particle oxygen-rich or oxygen-poor. Fractions then say nothing about
the particle. The same fractions against the particle's own mode show how uneven it is.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.measure.fractions import replicate_fractions
from oxytomo.slabs import Field, count_set, in_parts, mapped, sampled

MOST_OF_IT = 0.7
"""A single metal is the cause if it makes up this share of the departure, and no other one departs
by more than the threshold."""


def whole_particle(
    inside: FloatArray, mode: float, *, threshold: float, reference_tm_o: float, per_oxygen: float
) -> dict[str, Any]:
    """Return how far the particle as a whole is from the reference.

    Parameters
    ----------
    inside : (n,) deviations of the particle's voxels, NaN where unknown
    mode : the most frequent one
    threshold : threshold of the classes
    reference_tm_o : TM/O that deviations refer to, relative to the formula; 1: the formula itself
    per_oxygen : metal atoms per oxygen atom of the formula
    """
    median = float(np.nanmedian(inside)) if np.isfinite(inside).any() else 0.0
    # A particle whose own mode is the reference cannot be off; another sample as reference may be.
    off = reference_tm_o == 1.0 and abs(median) > threshold
    return {
        "off_target": bool(off),
        "median_deviation": median,
        "most_frequent_deviation": mode,
        "tm_per_o_of_formula": per_oxygen,
        "tm_per_o": per_oxygen * reference_tm_o * (1 + mode),
    }


def own_mode_fractions(
    deviation: Field, particle: Field, *, threshold: float, mode: float
) -> dict[str, float]:
    """Return the fraction of each class against the particle's own most frequent TM/O."""
    own = mapped(
        deviation, lambda part: (1 + np.asarray(part, np.float32)) / np.float32(1 + mode) - 1, np.float32
    )
    found = replicate_fractions([own], particle, threshold=threshold)
    return {name: values[0] for name, values in found.items()}


def metals_per_oxygen(elements: Sequence[Field], particle: Field) -> Float64Array:
    """Return the amount of each metal per oxygen, relative to the formula: (n_element − 1,).

    Parameters
    ----------
    elements : per element (n_z, n_y, n_x) relative density, oxygen first
    particle : (n_z, n_y, n_x) mask
    """
    total = np.zeros(len(elements))
    for k, one in enumerate(elements):
        total[k] = sum(
            float(np.sum(part, where=inside > 0, dtype=np.float64))
            for part, inside in in_parts(one, particle)
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(total[1:] / total[0], np.float64)


def relative_density(total: Field, particle: Field) -> float | None:
    """Return the median density inside the particle over the stated one; None without voxels."""
    if not count_set(particle):
        return None
    return float(np.nanmedian(sampled(total, particle)))


def likely_cause(
    metals: Sequence[str],
    atoms: Sequence[float],
    per_oxygen: Float64Array,
    *,
    threshold: float,
    model: Mapping[str, Any],
) -> str:
    """Return the likely cause of a particle that is off as a whole.

    Returns ``spectra`` where the model fails, ``metal:<El>`` where a single metal makes up most of
    it, ``metals`` where several depart differently, and ``oxygen`` where all depart alike from
    oxygen: a formula with another metal to oxygen ratio, or a cross-section of oxygen.

    Parameters
    ----------
    metals, atoms : symbols, and atoms per formula unit
    per_oxygen : from :func:`metals_per_oxygen`
    model : record of the decomposition
    """
    if model.get("fails"):
        return "spectra"
    off = np.asarray(per_oxygen) - 1
    share = np.asarray(atoms, np.float64) / np.sum(atoms) * off
    largest = int(np.abs(share).argmax())
    others = np.delete(off, largest)
    alone = others.size > 0 and bool((np.abs(others) < threshold).all())
    if alone and share.sum() != 0 and share[largest] / share.sum() > MOST_OF_IT:
        return f"metal:{metals[largest]}"
    weights = np.asarray(atoms, np.float64) / np.sum(atoms)
    mean = float(weights @ off)
    uneven = float(np.sqrt(weights @ (off - mean) ** 2))
    return "metals" if uneven > threshold else "oxygen"
