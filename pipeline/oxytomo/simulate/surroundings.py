"""Objects beside the particle: skin, binder, carbon, a supporting film, particles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array
from oxytomo.errors import ConfigError
from oxytomo.simulate.instrument import RealInstrument
from oxytomo.simulate.particles import apart
from oxytomo.simulate.phantoms import Ellipsoid, Phantom

SUBSTANCES: Final = ("carbon", "carbonate", "binder")
"""Substances of the surroundings, in the order of their amounts."""
NEIGHBOUR_RADIUS: Final = (0.25, 0.4)
"""Radius of a neighbour as a share of the particle's."""
HOLE_PITCH: Final = 1.6
"""Distance between the holes of a film, in diameters of a hole."""
CLUMP_SHAPE: Final = (0.7, 1.3)
"""Semi-axes of a clump as shares of its mean radius."""
LONGEST_STEP: Final = 2.0
"""Nothing touches beyond this many particle diameters."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """A flat film below the particle, at right angles to the beam at tilt 0.

    Attributes
    ----------
    y_nm : position along the beam at tilt 0
    film_nm, hole_nm, hole_origin_nm : its thickness, the diameter of its holes, and (z, x) of one
        hole
    """

    y_nm: float
    film_nm: float
    hole_nm: float
    hole_origin_nm: tuple[float, float]

    def thickness_nm(self, z_nm: Float64Array, x_nm: Float64Array) -> Float64Array:
        """Thickness of the film at the points (z, x), nm."""
        return np.where(self._in_hole(z_nm, x_nm), 0.0, self.film_nm)

    def _in_hole(self, z_nm: Float64Array, x_nm: Float64Array) -> BoolArray:
        if not self.hole_nm:
            return np.zeros(np.shape(z_nm), bool)
        pitch = HOLE_PITCH * self.hole_nm
        z, x = (
            (position - origin + pitch / 2) % pitch - pitch / 2
            for position, origin in zip((z_nm, x_nm), self.hole_origin_nm, strict=True)
        )
        return np.asarray(z**2 + x**2 < (self.hole_nm / 2) ** 2)


def outline_of(phantom: Phantom) -> Ellipsoid:
    """The particle's outline: the first ellipsoid of that kind."""
    for ellipsoid in phantom.ellipsoids:
        if ellipsoid.kind == "particle":
            return ellipsoid
    raise ConfigError(
        "phantom",
        expected="a particle with an outline",
        got="none",
        fix="add an ellipsoid of kind 'particle'",
    )


def grown(outline: Ellipsoid, by_nm: float, amount: Mapping[str, float]) -> Ellipsoid:
    """The outline with all semi-axes longer (negative: shorter), with other amounts."""
    axes = tuple(max(axis + by_nm, 1e-3) for axis in outline.semi_axes_nm)
    return Ellipsoid(outline.centre_nm, (axes[0], axes[1], axes[2]), outline.rotation, amount, "outside")


def with_neighbours(phantom: Phantom, number: int, rng: np.random.Generator) -> Phantom:
    """Add smaller touching balls of the reference composition, in the plane of the support."""
    outline, added = outline_of(phantom), list[Ellipsoid]()
    radius = float(np.prod(outline.semi_axes_nm) ** (1 / 3))
    everything = dict.fromkeys(phantom.elements, 1.0)
    for _ in range(number):
        angle = rng.uniform(0, 2 * np.pi)
        axes = np.full(3, radius * rng.uniform(*NEIGHBOUR_RADIUS))
        direction = np.array([np.sin(angle), 0.0, np.cos(angle)])
        ball = Ellipsoid((0.0, 0.0, 0.0), _three(axes), np.eye(3), everything, "neighbour")
        added.append(_touching(ball, [outline, *added], direction))
    return Phantom((*phantom.ellipsoids, *added), phantom.elements)


def surroundings(phantom: Phantom, instrument: RealInstrument, rng: np.random.Generator) -> Phantom:
    """Skin, binder and clumps around the particle, as amounts of :data:`SUBSTANCES`.

    An amount of 1 is a substance's own density.

    The binder is a larger ellipsoid with an offset to one side: its thickness runs from 0 to
    ``binder_nm``.
    """
    body, around = outline_of(phantom), list[Ellipsoid]()
    if instrument.skin_nm > 0:
        coat = grown(body, instrument.skin_nm, {"carbonate": 1.0})
        around += [coat, grown(body, 0.0, {"carbonate": -1.0})]
        body = coat
    direction = rng.normal(size=3)
    if instrument.binder_nm > 0:
        half = instrument.binder_nm / 2
        z, y, x = (np.asarray(body.centre_nm) + half * direction / np.linalg.norm(direction)).tolist()
        coat = replace(grown(body, half, {"binder": 1.0}), centre_nm=(z, y, x))
        around += [coat, grown(body, 0.0, {"binder": -1.0})]
        body = coat
    clumps = list[Ellipsoid]()
    for _ in range(instrument.carbon_clumps):
        direction = rng.normal(size=3)
        axes = instrument.clump_nm / 2 * rng.uniform(*CLUMP_SHAPE, 3)
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        clump = Ellipsoid((0.0, 0.0, 0.0), _three(axes), turn, {"carbon": 1.0}, "outside")
        clumps.append(_touching(clump, [body], direction))
    return Phantom((*around, *clumps), SUBSTANCES)


def film_below(phantom: Phantom, instrument: RealInstrument, rng: np.random.Generator) -> Sheet | None:
    """The film below the particle; None without one."""
    if not instrument.film_nm:
        return None
    outline = outline_of(phantom)
    hole = instrument.film_hole_nm
    origin = rng.uniform(0, HOLE_PITCH * max(hole, 1.0), 2)
    return Sheet(
        y_nm=outline.centre_nm[1] - float(np.sqrt(outline.shape_matrix[1, 1])),
        film_nm=instrument.film_nm,
        hole_nm=hole,
        hole_origin_nm=(float(origin[0]), float(origin[1])),
    )


def _touching(body: Ellipsoid, others: Sequence[Ellipsoid], direction: Float64Array) -> Ellipsoid:
    """Move a body towards the first of others until it almost touches (bisection)."""
    first, unit = others[0], direction / np.linalg.norm(direction)

    def at(distance_nm: float) -> Ellipsoid:
        z, y, x = (np.asarray(first.centre_nm) + distance_nm * unit).tolist()
        return replace(body, centre_nm=(z, y, x))

    low, high = 0.0, LONGEST_STEP * (2 * max(first.semi_axes_nm) + max(body.semi_axes_nm))
    for _ in range(40):
        middle = (low + high) / 2
        free = all(apart(at(middle), other) for other in others)
        low, high = (low, middle) if free else (middle, high)
    return at(high)


def _three(axes_nm: Float64Array) -> tuple[float, float, float]:
    a, b, c = (float(axis) for axis in axes_nm)
    return a, b, c
