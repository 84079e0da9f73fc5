"""Principal components and k-means clusters of a stack's spectra, before any model."""

from dataclasses import dataclass

import numpy as np
from scipy.cluster.vq import kmeans2

from oxytomo.arrays import BoolArray, Float64Array, IntArray

SAMPLE_PIXELS = 20000
"""Clusters are found on at most this number of pixels, drawn at random; all pixels are then
assigned."""


@dataclass(frozen=True)
class Exploration:
    """Result of the exploration without references.

    Attributes
    ----------
    variances : (n_component,) share of each principal component in the variance of the
        noise-weighted spectra
    n_significant : number of components above the level of white noise for this many spectra
    components : (n_component, n_energy) unit vectors
    cluster_spectra : (n_cluster, n_energy) mean spectra, divided by their own mean, by increasing
        mean energy
    cluster : (n_pixel,) cluster of each pixel, 1 to n_cluster; 0 where a spectrum is incomplete
    """

    variances: Float64Array
    n_significant: int
    components: Float64Array
    cluster_spectra: Float64Array
    cluster: IntArray


def explore(
    spectra: Float64Array,
    errors: Float64Array,
    *,
    n_components: int,
    n_clusters: int,
    rng: np.random.Generator,
) -> Exploration:
    """Find principal components and clusters.

    The spectra are divided by the mean error of each energy, so that the noise is white. A
    component is significant if its eigenvalue exceeds the Marchenko–Pastur edge (1 + √(n_energy /
    n_pixel))² of white noise. Clusters are found in the scores of the significant components, from
    spectra divided by their own mean: by shape, not by thickness.

    Parameters
    ----------
    spectra : (n_energy, n_pixel) optical density, background subtracted; NaN where invalid. Pixels
        with a missing energy are left out; with fewer pixels than clusters, nothing is found
    errors : (n_energy,) mean standard error of a pixel at each energy
    """
    complete: BoolArray = np.asarray(np.isfinite(spectra).all(axis=0))
    known = spectra[:, complete]
    n_energy, n_pixel = known.shape
    if n_pixel < n_clusters:
        nothing = np.zeros((0, n_energy))
        return Exploration(np.zeros(0), 0, nothing, nothing, np.zeros(spectra.shape[1], np.int64))
    weighted = known / errors[:, None]
    centred = weighted - weighted.mean(axis=1, keepdims=True)
    eigenvalues, vectors = np.linalg.eigh(centred @ centred.T / max(n_pixel, 1))
    eigenvalues, vectors = eigenvalues[::-1], vectors[:, ::-1]
    edge = (1 + np.sqrt(n_energy / max(n_pixel, 1))) ** 2
    n_significant = int((eigenvalues > 1.1 * edge).sum())
    kept = vectors[:, : max(1, n_significant)]
    level = known.mean(axis=0)
    cluster = np.zeros(spectra.shape[1], np.int64)
    usable = level > 0.1 * np.percentile(level, 95)
    scores = (kept.T @ weighted / np.where(usable, level, np.nan)).T
    chosen = np.flatnonzero(usable)
    sample = chosen if chosen.size <= SAMPLE_PIXELS else rng.choice(chosen, SAMPLE_PIXELS, replace=False)
    centres, _ = kmeans2(scores[sample], min(n_clusters, sample.size), minit="++", rng=rng)
    nearest = _nearest(scores[chosen], centres)
    means = np.stack(
        [
            known[:, chosen[nearest == c]].mean(axis=1) if (nearest == c).any() else np.full(n_energy, np.nan)
            for c in range(len(centres))
        ]
    )
    means /= np.nanmean(means, axis=1, keepdims=True)
    order = np.argsort(np.nansum(means * np.arange(n_energy), axis=1))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) + 1
    labels = np.zeros(n_pixel, np.int64)
    labels[chosen] = rank[nearest]
    cluster[complete] = labels
    return Exploration(
        eigenvalues[:n_components] / eigenvalues.sum(),
        n_significant,
        vectors[:, :n_components].T,
        means[order],
        cluster,
    )


def _nearest(points: Float64Array, centres: Float64Array) -> IntArray:
    """Return the nearest centre of each point."""
    distance = ((points[:, None, :] - centres[None]) ** 2).sum(axis=2)
    nearest: IntArray = distance.argmin(axis=1)
    return nearest
