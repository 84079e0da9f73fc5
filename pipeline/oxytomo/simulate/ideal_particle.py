"""The idealised particle of stress calculations: a sphere with a central void and small pores."""

from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import Float64Array, LabelArray
from oxytomo.mechanics.elasticity import Elastic
from oxytomo.mechanics.ideal import ideal_sphere
from oxytomo.mechanics.materials import Material
from oxytomo.mechanics.schedule import states_of

RADIUS_UM, VOID_UM, PORE_UM, PORE_AT_UM = 8.0, 0.5, 0.2, 1.5
"""Radii of sphere, central void and pores (Liu et al.), and distance of the pores from the centre.
Lengths scale with the diameter of the sphere."""
FILLED = 0.94
"""Diameter of the sphere over the edge of the volume."""
MATERIAL = Material(Elastic(140.0, 0.3), 0.03, 0.5)
"""E 140 GPa, ν 0.3, ΔV/V 3 %, D 5·10⁻¹³ m²/s."""


def ideal_labels(size: int, *, pores: bool) -> LabelArray:
    """Return a sphere with a central void, and with a pore on each of the six half axes.

    Returns
    -------
    labels : (size, size, size) uint8: 0 outside, 1 solid, 2 void
    """
    radius = FILLED * size / 2
    scale = radius / RADIUS_UM
    axis = np.arange(size) - (size - 1) / 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij", sparse=True)
    squared = z**2 + y**2 + x**2
    labels = (squared < radius**2).astype(np.uint8)
    labels[squared < (VOID_UM * scale) ** 2] = 2
    for direction in range(3) if pores else ():
        for sign in (-1, 1):
            at = [0.0, 0.0, 0.0]
            at[direction] = sign * PORE_AT_UM * scale
            away = (z - at[0]) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2
            labels[away < (PORE_UM * scale) ** 2] = 2
    return labels


@dataclass(frozen=True)
class IdealCurve:
    """Stress at the central void over the depth of discharge, at one current.

    Attributes
    ----------
    c_rate : current, 1/h
    depth : (n,)
    hoop_mpa, von_mises_mpa : (n,)
    """

    c_rate: float
    depth: Float64Array
    hoop_mpa: Float64Array
    von_mises_mpa: Float64Array


def ideal_curves(
    c_rates: tuple[float, ...], depths: tuple[float, ...], *, radius_um: float
) -> list[IdealCurve]:
    """Return hoop and von Mises stress at the central void, by closed solutions, without pores."""
    curves = []
    for c_rate in c_rates:
        states = states_of(
            MATERIAL,
            c_rates=(c_rate,),
            depths=depths,
            direction="discharge",
            lithium=(0.0, 1.0),
            radius_um=radius_um,
        )
        ideals = [ideal_sphere(one.tau, void_share=VOID_UM / RADIUS_UM) for one in states]
        amplitudes = np.array([one.amplitude_mpa for one in states])
        curves.append(
            IdealCurve(
                c_rate,
                np.array(depths),
                amplitudes * np.array([one.hoop[0] for one in ideals]),
                amplitudes * np.array([one.von_mises[0] for one in ideals]),
            )
        )
    return curves
