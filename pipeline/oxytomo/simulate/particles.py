"""Cathode particles: an ellipsoid with a rim, a void, cracks, pores and off-composition domains."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.composition.cross_sections import check_formula
from oxytomo.errors import ConfigError
from oxytomo.simulate.phantoms import Ellipsoid, Kind, Phantom, is_transition_metal

ROUNDNESS: Final = 0.06
"""The particle's semi-axes differ from its mean radius by up to this share."""
DOMAIN_RADIUS: Final = (0.13, 0.26)
PORE_RADIUS: Final = (0.03, 0.06)
CRACK_RADIUS: Final = (0.20, 0.35)
CRACK_THICKNESS: Final = (0.025, 0.045)
"""Semi-axes of the inclusions as shares of the particle's radius."""
TRIES: Final = 2000


def cathode_particle(
    *,
    rng: np.random.Generator,
    formula: Mapping[str, float],
    diameter_nm: float,
    n_oxygen_poor: int,
    n_oxygen_rich: int,
    n_pores: int,
    n_cracks: int,
    rim_nm: float,
    void_radius_nm: float,
    deviation: tuple[float, float],
) -> Phantom:
    """Make a particle with deviations of TM/O from the formula in domains and in its rim.

    The inclusions touch neither each other nor the rim, so each lies in material of the reference
    composition. An oxygen-poor domain has less oxygen, more transition metal, or both; an
    oxygen-rich one has less transition metal; the rim has less oxygen. Every other element (Li)
    follows the solid.

    Parameters
    ----------
    rng : random numbers
    formula : atoms per formula unit of the reference composition
    diameter_nm : mean diameter of the particle
    n_oxygen_poor, n_oxygen_rich, n_pores, n_cracks : numbers of inclusions
    rim_nm : thickness of the oxygen-poor rim; 0 for none
    void_radius_nm : radius of the central void; 0 for none
    deviation : range of the magnitude of (TM/O) / reference − 1 in the domains, for example (0.08,
        0.25); the rim has the middle of the range

    Returns
    -------
    Phantom, with the formula's elements
    """
    check_formula(formula)
    metals = _metals(formula)
    _check_sizes(diameter_nm, rim_nm, void_radius_nm, deviation)
    radius_nm = diameter_nm / 2
    axes = radius_nm * rng.uniform(1 - ROUNDNESS, 1 + ROUNDNESS, 3)
    axes *= radius_nm / np.prod(axes) ** (1 / 3)
    rotation = random_rotation(rng)
    everything = dict.fromkeys(formula, 1.0)
    nothing = {name: -amount for name, amount in everything.items()}
    rim_oxygen = 1 / (1 + (deviation[0] + deviation[1]) / 2)
    outline = ellipsoid((0.0, 0.0, 0.0), axes, rotation, everything, "particle")
    ellipsoids, core = [outline], outline
    if rim_nm > 0:
        outline = ellipsoid((0.0, 0.0, 0.0), axes, rotation, everything | {"O": rim_oxygen}, "particle")
        core = ellipsoid((0.0, 0.0, 0.0), axes - rim_nm, rotation, {"O": 1 - rim_oxygen}, "core")
        ellipsoids = [outline, core]
    inclusions: list[Ellipsoid] = []
    if void_radius_nm > 0:
        void_axes = void_radius_nm * rng.uniform(0.9, 1.1, 3)
        inclusions.append(ellipsoid((0.0, 0.0, 0.0), void_axes, random_rotation(rng), nothing, "void"))

    draw = _Draw(rng, radius_nm, metals, deviation)
    plan: list[tuple[int, Kind, Callable[[], Float64Array], Callable[[], Mapping[str, float]]]] = [
        (n_cracks, "crack", draw.crack_axes, lambda: nothing),
        (n_oxygen_poor, "oxygen_poor", draw.domain_axes, draw.poor),
        (n_oxygen_rich, "oxygen_rich", draw.domain_axes, draw.rich),
        (n_pores, "pore", draw.pore_axes, lambda: nothing),
    ]
    for number, kind, draw_axes, draw_amount in plan:
        for _ in range(number):
            inclusions.append(placed(rng, core, inclusions, draw_axes, draw_amount(), kind))
    return Phantom((*ellipsoids, *inclusions), tuple(formula))


@dataclass(frozen=True)
class _Draw:
    """Random semi-axes and amounts of inclusions.

    Attributes
    ----------
    rng : random numbers
    radius_nm : radius of the particle, nm
    metals : transition metals of its formula
    deviation : range of the magnitude of (TM/O) / reference − 1
    """

    rng: np.random.Generator
    radius_nm: float
    metals: Sequence[str]
    deviation: tuple[float, float]

    def crack_axes(self) -> Float64Array:
        """Return the semi-axes of a crack, in nm."""
        wide = self.rng.uniform(*CRACK_RADIUS, 2)
        return self.radius_nm * np.array([wide[0], wide[1], self.rng.uniform(*CRACK_THICKNESS)])

    def domain_axes(self) -> Float64Array:
        """Return the semi-axes of a domain, in nm."""
        return self.radius_nm * self.rng.uniform(*DOMAIN_RADIUS) * self.rng.uniform(0.8, 1.2, 3)

    def pore_axes(self) -> Float64Array:
        """Return the semi-axes of a pore, in nm."""
        return self.radius_nm * self.rng.uniform(*PORE_RADIUS) * self.rng.uniform(0.8, 1.2, 3)

    def poor(self) -> dict[str, float]:
        """Return the difference in amounts between an oxygen-poor domain and the particle."""
        ratio = 1 + self.rng.uniform(*self.deviation)
        share = self.rng.uniform(0.0, 1.0)
        return {"O": ratio ** (share - 1) - 1} | dict.fromkeys(self.metals, ratio**share - 1)

    def rich(self) -> dict[str, float]:
        """Return the difference in amounts between an oxygen-rich domain and the particle."""
        return dict.fromkeys(self.metals, -self.rng.uniform(*self.deviation))


def uniform_particle(
    *,
    rng: np.random.Generator,
    formula: Mapping[str, float],
    diameter_nm: float,
    n_pores: int,
    n_cracks: int,
    void_radius_nm: float,
) -> Phantom:
    """Make a particle of the reference composition: every deviation found in it is false.

    Parameters
    ----------
    rng, formula, diameter_nm, n_pores, n_cracks, void_radius_nm : as in :func:`cathode_particle`

    Returns
    -------
    Phantom, with the formula's elements
    """
    return cathode_particle(
        rng=rng,
        formula=formula,
        diameter_nm=diameter_nm,
        n_oxygen_poor=0,
        n_oxygen_rich=0,
        n_pores=n_pores,
        n_cracks=n_cracks,
        rim_nm=0.0,
        void_radius_nm=void_radius_nm,
        deviation=(0.0, 0.0),
    )


def particle_with_balls(
    *,
    rng: np.random.Generator,
    formula: Mapping[str, float],
    diameter_nm: float,
    balls: Sequence[tuple[float, float]],
) -> Phantom:
    """Make a round particle with separate balls of known size and deviation.

    Parameters
    ----------
    rng, formula, diameter_nm : as in :func:`cathode_particle`
    balls : (diameter in nm, deviation) of each; the largest ones are placed first

    Returns
    -------
    Phantom; after the outline, the balls in the order of placement
    """
    check_formula(formula)
    metals, radius_nm = _metals(formula), diameter_nm / 2
    outline = ellipsoid(
        (0.0, 0.0, 0.0), np.full(3, radius_nm), np.eye(3), dict.fromkeys(formula, 1.0), "particle"
    )
    inclusions: list[Ellipsoid] = []
    for size_nm, deviation in sorted(balls, reverse=True):
        # Oxygen-poor: TM/O = 1 / (1 + a) with the amount a of oxygen; oxygen-rich: TM/O = 1 + a of
        # the metals.
        amount = {"O": 1 / (1 + deviation) - 1} if deviation > 0 else dict.fromkeys(metals, deviation)
        kind: Kind = "oxygen_poor" if deviation > 0 else "oxygen_rich"
        axes = np.full(3, size_nm / 2)
        inclusions.append(placed(rng, outline, inclusions, axes.copy, amount, kind))
    return Phantom((outline, *inclusions), tuple(formula))


def apart(first: Ellipsoid, second: Ellipsoid) -> bool:
    """Return whether two ellipsoids surely do not touch: a plane separates them.

    Near misses may be refused.
    """
    gap = np.subtract(second.centre_nm, first.centre_nm)
    shapes = first.shape_matrix, second.shape_matrix
    weights = np.linspace(0.0, 1.0, 9)[:, None, None]
    # The best plane's normal is (w A + (1 − w) B)⁻¹ gap for some w between 0 and 1.
    mixed = weights * shapes[0] + (1 - weights) * shapes[1]
    normals = np.linalg.solve(mixed, np.broadcast_to(gap, (9, 3))[..., None])[..., 0]
    reach = sum(np.sqrt(np.einsum("ni,ij,nj->n", normals, shape, normals)) for shape in shapes)
    return bool((normals @ gap > reach).any())


def inside(inner: Ellipsoid, outer: Ellipsoid) -> bool:
    """Return whether one ellipsoid surely lies within another; near misses may be refused."""
    to_unit = (np.asarray(outer.rotation) / np.asarray(outer.semi_axes_nm)).T
    centre = to_unit @ np.subtract(inner.centre_nm, outer.centre_nm)
    longest = np.linalg.eigvalsh(to_unit @ inner.shape_matrix @ to_unit.T)[-1]
    return bool(np.linalg.norm(centre) + np.sqrt(longest) < 1)


def placed(
    rng: np.random.Generator,
    core: Ellipsoid,
    others: list[Ellipsoid],
    draw_axes: Callable[[], Float64Array],
    amount: Mapping[str, float],
    kind: Kind,
) -> Ellipsoid:
    """Draw an ellipsoid until it lies inside the core and apart from the others."""
    for _ in range(TRIES):
        direction = rng.normal(size=3)
        direction *= rng.uniform() ** (1 / 3) / np.linalg.norm(direction)
        centre = np.asarray(core.rotation) @ (np.asarray(core.semi_axes_nm) * direction)
        z, y, x = centre.tolist()
        candidate = ellipsoid((z, y, x), draw_axes(), random_rotation(rng), amount, kind)
        if inside(candidate, core) and all(apart(candidate, other) for other in others):
            return candidate
    raise ConfigError(
        "particle",
        expected=f"room for one more {kind.replace('_', '-')} inclusion",
        got=f"{len(others)} inclusions in the way",
        fix="ask for fewer cracks, domains or pores, or a smaller void",
    )


def ellipsoid(
    centre_nm: tuple[float, float, float],
    axes_nm: Float64Array,
    rotation: Float64Array,
    amount: Mapping[str, float],
    kind: Kind,
) -> Ellipsoid:
    """Return an ellipsoid with three semi-axes, nm."""
    a, b, c = (float(axis) for axis in axes_nm)
    return Ellipsoid(centre_nm, (a, b, c), rotation, dict(amount), kind)


def random_rotation(rng: np.random.Generator) -> Float64Array:
    """Return a random orthogonal matrix."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    return q * np.sign(np.diag(r))


def _metals(formula: Mapping[str, float]) -> list[str]:
    metals = [name for name in formula if is_transition_metal(name)]
    if not metals:
        raise ConfigError(
            "formula",
            expected="a transition metal and oxygen",
            got=", ".join(formula),
            fix="add the transition metals",
        )
    return metals


def _check_sizes(
    diameter_nm: float, rim_nm: float, void_radius_nm: float, deviation: tuple[float, float]
) -> None:
    if not (diameter_nm > 0 and rim_nm >= 0 and void_radius_nm >= 0):
        raise ConfigError(
            "particle",
            expected="a diameter above 0, a rim and a void of 0 or more",
            got=f"{diameter_nm:g}, {rim_nm:g} and {void_radius_nm:g} nm",
            fix="correct the sizes",
        )
    if 1.1 * void_radius_nm + rim_nm >= diameter_nm / 2 * (1 - 2 * ROUNDNESS):
        raise ConfigError(
            "particle",
            expected="a rim and a void that fit inside",
            got=f"rim {rim_nm:g} + void {void_radius_nm:g} nm in a radius of {diameter_nm / 2:g} nm",
            fix="make the rim or the void smaller",
        )
    if not 0 <= deviation[0] <= deviation[1] < 1:
        raise ConfigError(
            "deviation",
            expected="a range from low to high within 0 to 1",
            got=f"{deviation[0]:g} to {deviation[1]:g}",
            fix="write, for example, [0.08, 0.25]",
        )
