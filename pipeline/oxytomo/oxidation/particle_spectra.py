"""Mean spectra of shells and particles of one element, their fits, and their clusters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array, FloatArray, LabelArray, NumberArray, ValenceMap
from oxytomo.oxidation.exploration import explore
from oxytomo.oxidation.judgement import ChiSquare, SpectrumFit, fit_spectrum, leave_one_out
from oxytomo.oxidation.stack import EnergyStack
from oxytomo.oxidation.status import FITTED, THICK

SENSITIVITY_EV = 0.1
"""The sensitivity of the valence is given for this shift of the energies."""
EXPLORED_PIXELS = 50_000
"""Principal components and clusters are found from at most this number of pixels."""
COMPONENTS = 8


@dataclass(frozen=True)
class FittedElement:
    """Result of the fit of one element.

    Attributes
    ----------
    map : valence, errors and edge jumps
    status : (n_y, n_x) uint8, see :mod:`oxytomo.oxidation.status`
    chi_square, r_factor : (n_y, n_x) float32
    used : (n_stack,) bool, energies of the fit
    references, background : (n_energy, n) on the energies of the fit
    all_references : (n_stack, n_reference), NaN outside the range of a reference
    valences : (n_reference,)
    facts : windows, names of the references, energy scale and remarks of the fit
    """

    map: ValenceMap
    status: LabelArray
    chi_square: FloatArray
    r_factor: FloatArray
    used: BoolArray
    references: Float64Array
    background: Float64Array
    all_references: Float64Array
    valences: Float64Array
    facts: Mapping[str, Any]

    @property
    def solid(self) -> BoolArray:
        """Pixels of the element, including those that are too thick for a fit."""
        return (self.status == FITTED) | (self.status == THICK)

    @property
    def energy_ev(self) -> Float64Array:
        """Calibrated energies of the stack, (n_stack,)."""
        return np.asarray(self.facts["stack_energy_ev"], np.float64)

    @property
    def names(self) -> list[str]:
        """Names of the references."""
        return [str(name) for name in self.facts["names"]]

    def fitted(self, spectrum: Float64Array, error: Float64Array) -> SpectrumFit:
        """Fit a mean spectrum (n_stack,) with its standard error."""
        used = self.used
        return fit_spectrum(spectrum[used], error[used], self.references, self.background, self.valences)


@dataclass(frozen=True)
class ParticleSpectra:
    """Mean spectra of each shell, from rim to centre, and of all pixels of particles.

    Attributes
    ----------
    shells, shell_errors : (n_shell, n_stack) float64, optical density and its standard error
    shell_fits : one per shell, None for a shell without pixels
    whole, whole_error : (n_stack,) mean over all pixels of particles
    whole_fit : its fit
    """

    shells: Float64Array
    shell_errors: Float64Array
    shell_fits: tuple[SpectrumFit | None, ...]
    whole: Float64Array
    whole_error: Float64Array
    whole_fit: SpectrumFit

    @property
    def structured_shells(self) -> list[int]:
        """Shells, from 1, whose mean spectra have structured residuals."""
        fits = enumerate(self.shell_fits, start=1)
        return [i for i, fit in fits if fit is not None and fit.is_structured]

    def shell_models(self, used: BoolArray) -> Float64Array:
        """Return the fitted spectra of the shells, (n_shell, n_stack), NaN where there is none."""
        models = np.full((len(self.shell_fits), used.size), np.nan)
        for i, fit in enumerate(self.shell_fits):
            if fit is not None:
                models[i, used] = fit.model
        return models


def mean_spectra(
    stack: EnergyStack, labels: NumberArray, *, n_labels: int
) -> tuple[Float64Array, Float64Array]:
    """Return the mean optical density of each label at every energy, and its standard error.

    Parameters
    ----------
    stack : registered
    labels : (n_y, n_x), 1 to ``n_labels``; 0 does not count

    Returns
    -------
    mean, error : (n_labels, n_energy) float64, NaN where a label has no valid pixel
    """
    value, variance, n = stack.value, stack.variance, n_labels
    flat = labels.ravel()
    mean, error = np.full((n, value.shape[0]), np.nan), np.full((n, value.shape[0]), np.nan)
    for i in range(value.shape[0]):
        y, v = np.asarray(value[i]).ravel(), np.asarray(variance[i]).ravel()
        where = np.where(np.isfinite(y) & np.isfinite(v), flat, 0)
        count = np.bincount(where, minlength=n + 1)[1:]
        with np.errstate(invalid="ignore", divide="ignore"):
            mean[:, i] = np.bincount(where, weights=np.where(where > 0, y, 0), minlength=n + 1)[1:] / count
            noise = np.bincount(where, weights=np.where(where > 0, v, 0), minlength=n + 1)[1:]
            error[:, i] = np.sqrt(noise) / count * stack.shared_noise
    return mean, error


def particle_spectra(
    stack: EnergyStack, element: FittedElement, *, shells: LabelArray, particles: NumberArray, n_shells: int
) -> ParticleSpectra:
    """Average and fit the spectra of the pixels that have a valence.

    Parameters
    ----------
    stack : registered
    element : what was fitted
    shells : (n_y, n_x), 1 at the rim to ``n_shells`` at the centre, 0 outside
    particles : (n_y, n_x), above 0 in particles
    """
    known = element.map.known
    mean, error = mean_spectra(stack, np.where(known, shells, 0), n_labels=n_shells)
    fits = tuple(
        element.fitted(density, noise) if np.isfinite(density[element.used]).any() else None
        for density, noise in zip(mean, error, strict=True)
    )
    inside = (known & (particles > 0)).astype(np.uint8)
    (whole,), (whole_error,) = mean_spectra(stack, inside, n_labels=1)
    return ParticleSpectra(mean, error, fits, whole, whole_error, element.fitted(whole, whole_error))


def with_spectra(rows: Sequence[Mapping[str, Any]], spectra: ParticleSpectra) -> list[dict[str, Any]]:
    """Add the fit of its mean spectrum to the row of each shell; NaN without a fit."""
    nothing = {name: float("nan") for name in ("spectrum_valence", "spectrum_error", "structured_residual")}
    return [
        {**row, **(nothing if fit is None else dict(zip(nothing, _numbers(fit), strict=True)))}
        for row, fit in zip(rows, spectra.shell_fits, strict=True)
    ]


def _numbers(fit: SpectrumFit) -> tuple[float, float, float]:
    return fit.valence, fit.error, fit.structured_share


@dataclass(frozen=True)
class Explored:
    """Clusters and components of the spectra of particles, without references.

    Attributes
    ----------
    cluster : (n_y, n_x) uint8, 0 outside
    spectra : (n_cluster, n_stack) mean spectra over their own mean, NaN at lost frames
    variances : (n_component,) share of each principal component
    n_significant : number of components above white noise
    """

    cluster: LabelArray
    spectra: Float64Array
    variances: Float64Array
    n_significant: int


def explore_particles(
    stack: EnergyStack, element: FittedElement, particles: NumberArray, *, n_clusters: int
) -> Explored:
    """Find clusters and components among pixels of particles, background subtracted."""
    rng = np.random.default_rng(0)
    places = np.flatnonzero((particles > 0) & element.map.known)
    if places.size > EXPLORED_PIXELS:
        places = np.sort(rng.choice(places, EXPLORED_PIXELS, replace=False))
    kept = np.flatnonzero(~stack.lost)
    spectra, errors = np.empty((kept.size, places.size)), np.empty(kept.size)
    for i, at in enumerate(kept):
        spectra[i] = np.asarray(stack.value[int(at)]).ravel()[places]
        noise = np.asarray(stack.variance[int(at)]).ravel()[places]
        errors[i] = np.sqrt(np.mean(noise[np.isfinite(noise)])) if np.isfinite(noise).any() else 1.0
    energy = element.energy_ev
    low = energy[kept] <= element.facts["pre_edge_ev"][1]
    if np.any(low):
        spectra -= spectra[low].mean(axis=0)
    found = explore(spectra, errors, n_components=COMPONENTS, n_clusters=n_clusters, rng=rng)
    labels = np.zeros(element.status.size, np.uint8)
    labels[places] = found.cluster
    curves = np.full((len(found.cluster_spectra), energy.size), np.nan)
    curves[:, kept] = found.cluster_spectra
    return Explored(labels.reshape(element.status.shape), curves, found.variances, found.n_significant)


def left_out(element: FittedElement, spectra: ParticleSpectra) -> list[SpectrumFit | None]:
    """Fit the mean spectrum of all particles without each reference in turn."""
    used = element.used
    return leave_one_out(
        spectra.whole[used],
        spectra.whole_error[used],
        element.references,
        element.background,
        element.valences,
    )


def valence_per_energy(element: FittedElement, spectra: ParticleSpectra) -> float:
    """Return the change of the mean valence for a shift of the energies by ``SENSITIVITY_EV``."""
    used, energy = element.used, element.energy_ev
    order = np.argsort(energy, kind="stable")
    curves = []
    for column in element.all_references.T:
        known = np.isfinite(column[order])
        curves.append((energy[order][known], column[order][known]))
    chi = ChiSquare(
        energy[used],
        spectra.whole[used],
        spectra.whole_error[used],
        curves,
        element.background,
        element.valences,
    )
    return chi.fit(SENSITIVITY_EV / 2).valence - chi.fit(-SENSITIVITY_EV / 2).valence
