"""Channels and labels of the images of a composition and of areal densities."""

from collections.abc import Mapping, Sequence

import numpy as np

from oxytomo.arrays import FloatArray
from oxytomo.export.ngff import Channel, Label
from oxytomo.palette import (
    CONFIDENT_COLORS,
    CONFIDENT_NAMES,
    DEVIATION_WINDOW,
    GREY,
    PARTICLE_COLORS,
    PARTICLE_NAMES,
    PHASE_COLORS,
    PHASE_NAMES,
    display_window,
    element_color,
)
from oxytomo.slabs import Field, plane, sampled


def composition_channels(
    elements: Sequence[str], densities: Field, deviation: Field, sigma: Field
) -> list[Channel]:
    """Return one channel per element (initially hidden), the deviation, and its standard error.

    Parameters
    ----------
    elements : names
    densities : (n_element, n_z, n_y, n_x)
    deviation, sigma : (n_z, n_y, n_x)
    """
    channels = [
        Channel(
            element,
            density,
            element_color(element, position),
            display_window(sampled(density), percent=0.1, from_zero=True),
            active=False,
        )
        for position, element in enumerate(elements)
        for density in (plane(densities, position),)
    ]
    window = display_window(sampled(sigma), percent=1.0, from_zero=True)
    return [
        *channels,
        Channel("tm_o_deviation", deviation, GREY, DEVIATION_WINDOW),
        Channel("tm_o_deviation_sigma", sigma, GREY, window, active=False),
    ]


def composition_labels(phases: Field, confident: Field, particle: Field) -> list[Label]:
    """Return the label images of a classified particle, (n_z, n_y, n_x) each."""
    return [
        Label("phases", phases, PHASE_COLORS, PHASE_NAMES),
        Label("phases_confident", confident, CONFIDENT_COLORS, CONFIDENT_NAMES),
        Label("particle", particle, PARTICLE_COLORS, PARTICLE_NAMES),
    ]


def areal_channels(
    elements: Sequence[str], areal: FloatArray, variance: FloatArray, densities: Mapping[str, FloatArray]
) -> list[Channel]:
    """Return channels ``<El>``, and initially hidden ``<El>_sigma`` and optical densities.

    Parameters
    ----------
    elements : names
    areal, variance : (n_element, n_y, n_x) µm of the reference density, and its variance (inf if
        unknown)
    densities : (n_y, n_x) aligned optical density by series
    """
    sigma = np.sqrt(np.where(np.isfinite(variance), variance, np.nan)).astype(np.float32)
    channels = [
        Channel(
            element,
            areal[index],
            element_color(element, index),
            display_window(areal[index], percent=0.5, from_zero=True),
        )
        for index, element in enumerate(elements)
    ]
    others = {f"{element}_sigma": sigma[index] for index, element in enumerate(elements)} | dict(densities)
    for name, maps in others.items():
        window = display_window(maps, percent=0.5, from_zero=True)
        channels.append(Channel(name, maps, GREY, window, active=False))
    return channels
