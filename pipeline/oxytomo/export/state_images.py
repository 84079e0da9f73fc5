"""Channels and labels of the image of chemical states."""

import numpy as np

from oxytomo.chemical_state.line_measures import LINES
from oxytomo.export.ngff import Channel, Label
from oxytomo.io.stores import Store
from oxytomo.palette import (
    CONFIDENT_COLORS,
    GREY,
    PARTICLE_COLORS,
    PARTICLE_NAMES,
    PHASE_COLORS,
    display_window,
    element_color,
)
from oxytomo.slabs import mapped, plane, sampled

CLASSES = {0: "outside", 1: "reference", 2: "high", 3: "low"}
CONFIDENT = {**CLASSES, 4: "undecided"}


def state_channels(element: str, position: int, reconstructed: Store, uncertainty: Store) -> list[Channel]:
    """Return density, valence, standard error and components of one element.

    Only the valence is shown initially.
    """
    color = element_color(element, position)
    particle = reconstructed.field("particle")
    density, valence = reconstructed.field("density"), reconstructed.field("valence")
    sigma, components = uncertainty.field("deviation_sigma"), reconstructed.field("components")
    window = display_window(sampled(valence, particle), percent=0.5, from_zero=False)
    bright = display_window(sampled(density), percent=0.1, from_zero=True)
    errors = display_window(sampled(sigma), percent=1.0, from_zero=True)
    names = [str(name) for name in reconstructed.attributes["components"]]
    return [
        Channel(f"{element}_valence", valence, GREY, window),
        Channel(f"{element}_density", density, color, bright, active=False),
        Channel(f"{element}_valence_sigma", sigma, GREY, errors, active=False),
        *(
            Channel(f"{element}_density_{name}", plane(components, k), color, bright, active=False)
            for k, name in enumerate(names)
        ),
    ]


def line_channels(element: str, position: int, reconstructed: Store, uncertainty: Store) -> list[Channel]:
    """Return energies of white line and edge, their errors and the density of an element.

    For an element without references. Only the white line is shown initially.
    """
    particle, density = reconstructed.field("particle"), reconstructed.field("density")
    channels = []
    for name in LINES:
        energy, error = reconstructed.field(f"{name}_ev"), uncertainty.field(f"{name}_error_ev")
        window = display_window(sampled(energy, particle), percent=0.5, from_zero=False)
        errors = display_window(sampled(error, particle), percent=1.0, from_zero=True)
        channels += [
            Channel(f"{element}_{name}_ev", energy, GREY, window, active=name == LINES[0]),
            Channel(f"{element}_{name}_error_ev", error, GREY, errors, active=False),
        ]
    bright = display_window(sampled(density), percent=0.1, from_zero=True)
    color = element_color(element, position)
    return [*channels, Channel(f"{element}_density", density, color, bright, active=False)]


def particle_label(element: str, reconstructed: Store) -> Label:
    """Return the particle of one element."""
    particle = mapped(reconstructed.field("particle"), np.asarray, np.uint8)
    return Label(f"{element}_particle", particle, PARTICLE_COLORS, PARTICLE_NAMES)


def state_labels(element: str, reconstructed: Store, measured: Store) -> list[Label]:
    """Return classes, certain classes and the particle of one element."""
    return [
        Label(f"{element}_classes", measured.field(f"{element}_classes"), PHASE_COLORS, CLASSES),
        Label(f"{element}_confident", measured.field(f"{element}_confident"), CONFIDENT_COLORS, CONFIDENT),
        particle_label(element, reconstructed),
    ]
