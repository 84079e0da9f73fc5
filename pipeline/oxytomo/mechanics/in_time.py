"""Lithium in time steps where constants depend on lithium, and the kinetics of Butler and Volmer.

The flux through the wetted surface is j = (2 i₀ / F c_max) sinh[F (U(x) − V) / 2 R T] with one
potential V of the whole particle, which the current fixes (Newman and Thomas-Alyea 2004).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.errors import InputError
from oxytomo.mechanics.lithium import conductance, solve_diffusion, step
from oxytomo.mechanics.solid import Solid
from oxytomo.mechanics.states import Solver

FARADAY_C_MOL = 96485.33212
THERMAL_1_V = FARADAY_C_MOL / (8.314462618 * 298.15)
"""F / R T at 25 °C."""
STEPS = 12
"""Time steps to each depth."""
ROUNDS = 12
"""Largest number of Newton's steps within a time step."""
MOST_VOLT = 0.2
CLOSE = 1e-5
"""Newton's method ends when potential (V) and content change by less."""
LARGEST_ARGUMENT = 15.0
OUT_OF_RANGE = 1e-3
"""Contents may leave 0 to 1 by this much: errors of time steps."""

Law = Callable[[Float64Array | FloatArray], Float64Array]
"""A constant as a function of lithium content."""


@dataclass(frozen=True)
class Kinetics:
    """Butler–Volmer kinetics: 2 i₀ / (F c_max) in µm/s, and the open-circuit voltage."""

    rate_um_s: float
    ocv: Law


@dataclass(frozen=True)
class Reached:
    """Lithium content at a depth, and the potential against lithium, V (NaN with an even flux)."""

    depth: float
    x: FloatArray
    potential_v: float


def lithium_in_time(
    solid: Solid,
    area: FloatArray,
    depths: Sequence[float],
    *,
    start: float,
    rate_per_s: float,
    width: float,
    diffusivity_um2_s: Law,
    kinetics: Kinetics | None,
    solver: Solver,
) -> Iterator[Reached]:
    """Yield the lithium content at each depth, at constant current.

    Parameters
    ----------
    solid, area : the particle and its wetted surface
    depths : growing
    start : content at depth 0
    rate_per_s : growth of the mean content per second, negative on charge
    width : content that a depth of 1 adds or takes
    diffusivity_um2_s : over content
    kinetics : None for the same flux everywhere
    solver : limits of the solver

    Raises
    ------
    InputError
        If the surface is full or empty before a depth is reached.
    """
    x = np.where(solid.share > 0, np.float32(start), np.float32(0))
    potential, before = np.nan, 0.0
    for depth in depths:
        time_s = (depth - before) * width / abs(rate_per_s) / STEPS
        for _ in range(STEPS):
            flow = conductance(solid, _per_voxel(diffusivity_um2_s, x, solid))
            if kinetics is None:
                x = step(
                    flow,
                    x,
                    area,
                    rate_per_s=rate_per_s,
                    time_s=time_s,
                    voxel_um=solid.voxel_um,
                    tolerance=solver.tolerance,
                    threads=solver.threads,
                ).solution
            else:
                one = _BoundStep(solid, area, flow, kinetics, rate_per_s, time_s, solver)
                x, potential = one.solve(x, potential)
            _refuse_full(x[solid.share > 0], depth)
        before = depth
        yield Reached(depth, x.copy(), float(potential))


def _per_voxel(law: Law, x: FloatArray, solid: Solid) -> FloatArray:
    values = np.zeros_like(x)
    there = solid.share > 0
    values[there] = law(np.clip(x[there], 0.0, 1.0))
    return values


def _refuse_full(x: FloatArray, depth: float) -> None:
    low, high = float(x.min()), float(x.max())
    if low < -OUT_OF_RANGE or high > 1 + OUT_OF_RANGE:
        raise InputError(
            "depths and c_rates",
            expected="lithium contents from 0 to 1 in the whole particle",
            got=f"{low:.3f} to {high:.3f} before depth {depth:g}",
            fix="leave out this depth, lower the current, or narrow lithium:",
        )


@dataclass
class _BoundStep:
    """One implicit time step with Butler–Volmer kinetics, by Newton's method."""

    solid: Solid
    area: FloatArray
    flow: object
    kinetics: Kinetics
    rate_per_s: float
    time_s: float
    solver: Solver

    def solve(self, x: FloatArray, potential: float) -> tuple[FloatArray, float]:
        """Return the new content and potential."""
        solid, flow = self.solid, self.flow
        scale = solid.voxel_um**2 / flow.scale_um2_s  # type: ignore[attr-defined]
        mass = solid.share * np.float32(scale / self.time_s)
        wet = self.area > 0
        # Flux µm/s through one voxel face of a voxel of volume 1: per second, divided by its edge.
        area = self.area[wet].astype(np.float64) * scale / solid.voxel_um
        total = float(solid.share.sum(dtype=np.float64))
        wanted = float((solid.share * x).sum(dtype=np.float64)) + self.rate_per_s * self.time_s * total
        now = x.copy()
        v = self._first(now[wet], area / scale, total) if np.isnan(potential) else potential
        for _ in range(ROUNDS):
            at = now[wet].astype(np.float64)
            flux, by_x, by_v = self._flux(at, v)
            more, right = mass.copy(), mass * x
            more[wet] += (-area * by_x).astype(np.float32)
            right[wet] += (area * (flux - by_x * at)).astype(np.float32)
            slope = np.zeros_like(x)
            slope[wet] = (area * by_v).astype(np.float32)
            moved, answer = (self._linear(more, one, now if one is right else None) for one in (right, slope))
            gained = float((solid.share * answer).sum(dtype=np.float64))
            change = (wanted - float((solid.share * moved).sum(dtype=np.float64))) / gained
            change = float(np.clip(change, -MOST_VOLT, MOST_VOLT))
            new = moved + np.float32(change) * answer
            far = float(np.abs(new - now).max())
            now, v = new, v + change
            if abs(change) < CLOSE and far < CLOSE:
                break
        missing = (wanted - float((solid.share * now).sum(dtype=np.float64))) / total
        now[solid.share > 0] += np.float32(missing)
        return now, v

    def _linear(self, mass: FloatArray, right: FloatArray, start: FloatArray | None) -> FloatArray:
        return solve_diffusion(
            self.flow,  # type: ignore[arg-type]
            mass,
            right,
            start=start,
            tolerance=min(self.solver.tolerance, 1e-6),
            most_iterations=self.solver.most_iterations,
            threads=self.solver.threads,
        ).solution

    def _flux(self, x: Float64Array, v: float) -> tuple[Float64Array, Float64Array, Float64Array]:
        """Return the flux, µm/s, and its derivatives by content (at most 0) and potential."""
        u = self.kinetics.ocv
        bent = np.clip(0.5 * THERMAL_1_V * (u(x) - v), -LARGEST_ARGUMENT, LARGEST_ARGUMENT)
        by_u = self.kinetics.rate_um_s * np.cosh(bent) * 0.5 * THERMAL_1_V
        slope = (u(np.clip(x + 1e-3, 0, 1)) - u(np.clip(x - 1e-3, 0, 1))) / 2e-3
        return self.kinetics.rate_um_s * np.sinh(bent), np.minimum(by_u * slope, 0.0), -by_u

    def _first(self, x: FloatArray, area: Float64Array, total: float) -> float:
        """Return a potential that gives the current at the first contents."""
        level = float(self.kinetics.ocv(x.astype(np.float64)).mean())
        mean_flux = self.rate_per_s * total / float(area.sum())
        return level - 2 / THERMAL_1_V * float(np.arcsinh(mean_flux / self.kinetics.rate_um_s))


def butler_volmer_rate_um_s(exchange_current_a_m2: float, lithium_mol_m3: float) -> float:
    """Return 2 i₀ / (F c_max), µm/s."""
    return 2e6 * exchange_current_a_m2 / (FARADAY_C_MOL * lithium_mol_m3)
