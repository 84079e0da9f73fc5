"""All spectra and numbers of the particles in the map of one element."""

from dataclasses import dataclass
from typing import Any

from oxytomo.arrays import AreaProfile, LabelArray, NumberArray
from oxytomo.oxidation.particle_spectra import (
    Explored,
    FittedElement,
    ParticleSpectra,
    explore_particles,
    particle_spectra,
)
from oxytomo.oxidation.stack import EnergyStack
from oxytomo.oxidation.summary import loss_models, oxidation_summary


@dataclass(frozen=True)
class MeasureOptions:
    """What is measured; see the settings of the same names."""

    shells: int
    clusters: int
    time_s: float | None


@dataclass(frozen=True)
class MeasuredSpectra:
    """Mean spectra with their fits, clusters and components, and the numbers as plain values."""

    spectra: ParticleSpectra
    explored: Explored
    summary: dict[str, Any]


def measure_spectra(
    stack: EnergyStack,
    element: FittedElement,
    *,
    particles: NumberArray,
    shells: LabelArray,
    largest: AreaProfile | None,
    options: MeasureOptions,
) -> MeasuredSpectra:
    """Average and fit the spectra of particles, and return the numbers of their element.

    Parameters
    ----------
    stack : registered
    element : what was fitted
    particles : (n_y, n_x), above 0 in particles
    shells : (n_y, n_x), 1 at the rim to n at the centre, 0 outside
    largest : profile of the largest particle, for the models of oxygen loss; None without one
    options : what is measured
    """
    spectra = particle_spectra(stack, element, shells=shells, particles=particles, n_shells=options.shells)
    explored = explore_particles(stack, element, particles, n_clusters=options.clusters)
    models = loss_models(largest, step_nm=element.map.step_nm, thin_share=element.facts["thin_share"])
    summary = oxidation_summary(
        element,
        (particles > 0) & element.map.known,
        spectra,
        models,
        n_significant=explored.n_significant,
        time_s=options.time_s,
    )
    return MeasuredSpectra(spectra, explored, summary)
