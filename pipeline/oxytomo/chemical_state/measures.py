"""Numbers of the valence of one element: means, classes, shells and domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.measure.composition import ClassifiedParticle, measure_composition
from oxytomo.segment.classification import Classified, classify_volume
from oxytomo.slabs import Box, Field, in_parts

if TYPE_CHECKING:
    import pandas as pd

MEAN_SCALE: Final = 1.7
"""Factor between the error of a mean valence and the scatter of the means of its replicates, which
scatter less than a regularised estimate does around the truth."""
NORMAL_95: Final = 1.96

CLASS_NAMES: Mapping[str, str] = {"target": "reference", "oxygen_poor": "high", "oxygen_rich": "low"}
"""Classes by the names of the classes of TM/O with the same labels: the valence is within the
threshold of the reference, above it, or below it."""

DEFINITIONS: Mapping[str, str] = {
    "valence": "sum of component density times its valence / density of the element",
    "mean_valence": "mean over the voxels of the particle; standard error from the noise replicates, with their bias; the "
    "energy scale, the references and their normalisation are not in it",
    "valence_of_sums": "the same from the sums of all rays, weighted by the density, without a reconstruction",
    "reference_valence": "valence that deviations and classes refer to",
    "fractions": "voxels of a class / voxels of the particle; ci95 as for the classes of TM/O",
    "high": "valence above the reference by more than the threshold",
    "low": "valence below the reference by more than the threshold",
    "reference": "valence within the threshold of the reference",
    "confident": "classes that are certain with the given confidence in spite of noise; other voxels are undecided",
    "null": "the same particle with uniform valence, the same noise and the same processing",
    "domains": "sets of voxels of one class that are connected through faces (6-connectivity)",
    "shells": "shells of equal volume by distance to the outer surface, from rim to centre",
    "models": "fits to the mean valence of thin shells of equal volume by depth, in a sphere of the particle's volume: dt_nm2 "
    "is D times t of vacancy diffusion, shell_nm the thickness of a reacted shell; smaller bic explains the profile better",
    "noise": "median standard error of the valence of a voxel",
    "chi_square_per_dof": "of the decomposition, on rays averaged over 4 x 4 pixels: 1 where the spectra explain the data "
    "down to noise",
    "valence_per_0_1_ev": "change of the mean valence when the energies of the series move up by 0.1 eV",
    "condition_number": "largest factor from the relative error of the spectra to that of the fractions",
    "best_energy_offset_ev": "offset of the energies with the smallest chi-square",
}


@dataclass(frozen=True)
class StateParticle:
    """A particle with the valence of one element, in its box.

    Attributes
    ----------
    box : position of the box in the volume, z, y, x
    particle : (n_z, n_y, n_x) bool
    density, deviation, sigma : float32; the deviation is V − V₀, sigma its standard error
    replicates, null : deviations of noise replicates and of null runs
    voxel_nm : edge of a voxel
    reference_valence : V₀
    noise : median standard error, None without replicates
    """

    box: Box
    particle: Field
    density: Field
    deviation: Field
    sigma: Field
    replicates: Sequence[Field]
    null: Sequence[Field]
    voxel_nm: float
    reference_valence: float
    noise: float | None


@dataclass(frozen=True)
class StateMeasures:
    """Labels, tables and numbers of one element."""

    classes: Classified
    domains: pd.DataFrame
    shells: pd.DataFrame
    summary: dict[str, Any]


def measure_state(
    of: StateParticle, *, threshold: float, confidence: float, shells: int, min_domain_voxels: int
) -> StateMeasures:
    """Classify a particle by its valence and measure it.

    Parameters
    ----------
    of : the particle
    threshold : difference from V₀ beyond which a voxel is high or low
    confidence : probability that a certain voxel belongs to its class
    shells : number of shells of equal volume
    min_domain_voxels : smaller domains are not in the table
    """
    known = of.noise is not None
    sigma = of.sigma if known else None
    classes = classify_volume(
        of.deviation, of.particle, sigma, None, threshold=threshold, confidence=confidence
    )
    found = measure_composition(
        ClassifiedParticle(
            box=of.box,
            particle=of.particle,
            deviation=of.deviation,
            phases=classes.phases,
            confident=classes.confident,
            replicates=of.replicates,
            null=of.null,
            voxel_nm=of.voxel_nm,
            threshold=threshold,
            systematic=0.0,
            skin_oxygen_px=0.0,
            noise=of.noise,
            wedge=None,  # its reading of the rim is about TM/O
        ),
        shells,
        min_domain_voxels,
    )
    summary = {
        **_means(of),
        "reference_valence": of.reference_valence,
        "threshold": threshold,
        "voxel_nm": of.voxel_nm,
        "particle_volume_nm3": found.volume_nm3,
        "noise": of.noise,
        "replicates": len(of.replicates),
        "fractions": _renamed(found.fractions),
        "confident": {"confidence": confidence, "fractions": _renamed(found.confident)},
        "null": {**found.null, "fractions": _renamed(found.null["fractions"])},
        "domains": _renamed(found.connected),
    }
    table = found.shells.rename(columns={"mean_deviation": "mean_valence", **CLASS_NAMES})
    table["mean_valence"] += of.reference_valence
    domains = found.domains
    domains["class"] = [CLASS_NAMES[name] for name in domains["class"]]
    return StateMeasures(classes, domains, table, summary)


def _renamed(by_class: Mapping[str, Any]) -> dict[str, Any]:
    return {CLASS_NAMES.get(name, name): value for name, value in by_class.items()}


def _means(of: StateParticle) -> dict[str, Any]:
    """Return the mean and spread of the valence, with the standard error from the replicates."""
    mean, square = (_mean(of.deviation, of.particle, power) for power in (1, 2))
    each = np.array([_mean(one, of.particle, 1) for one in of.replicates], np.float64)
    error = None
    if each.size > 1:
        error = MEAN_SCALE * float(np.hypot(np.std(each, ddof=1), each.mean() - mean))
    return {
        "mean_valence": of.reference_valence + mean,
        "standard_error": error,
        "ci95": None
        if error is None
        else [of.reference_valence + mean + sign * NORMAL_95 * error for sign in (-1, 1)],
        "standard_deviation": float(np.sqrt(max(square - mean**2, 0.0))),
    }


def _mean(values: Field, particle: Field, power: int) -> float:
    """Return the mean of a power of the finite values in the particle."""
    sums: Float64Array = np.zeros(2)
    for value, inside in in_parts(values, particle):
        good = inside.astype(bool) & np.isfinite(value)
        sums += np.array([np.count_nonzero(good), np.sum(value[good].astype(np.float64) ** power)])
    return float(sums[1] / sums[0]) if sums[0] else float("nan")
