"""Stress of other currents and constants, from one solution: shape × amplitude."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oxytomo.errors import PipelineError, StoreError
from oxytomo.mechanics.states import STEADY
from oxytomo.results.errors import UNFIT
from oxytomo.results.files import Files
from oxytomo.results.numbers import float_of
from oxytomo.results.places import find_results


@dataclass(frozen=True)
class StressModel:
    """The shown state of a particle, and what scales with its constants.

    Attributes
    ----------
    c_rate, youngs_gpa, diffusivity_m2_s : of the results
    tau : D t / R² of the shown state
    a : R² ẋ / 6 D at its current; above 1 the current cannot be sustained
    depth : of the shown state
    beside_mpa, k_over_kc : 95th percentiles beside the pores and along the cracks, NaN if unknown
    in_time : the results are of time steps, so that they do not scale
    """

    c_rate: float
    youngs_gpa: float
    diffusivity_m2_s: float
    tau: float
    a: float
    depth: float
    beside_mpa: float
    k_over_kc: float
    in_time: bool

    def factor(self, c_rate: float, youngs_gpa: float, diffusivity_m2_s: float) -> float:
        """Return stress over that of the results, (C / C₀) (E / E₀) (D₀ / D).

        With a constant diffusivity, after the first transient, stress is
        [E ε / (1 − ν)] · ẋ R² / D times a shape that depends on the particle alone.
        """
        of_lithium = c_rate / self.c_rate * self.diffusivity_m2_s / diffusivity_m2_s
        return of_lithium * youngs_gpa / self.youngs_gpa

    def doubts(self, c_rate: float, diffusivity_m2_s: float) -> list[str]:
        """Return why the scaled stress may be wrong at a current and a diffusivity."""
        faster, slower = c_rate / self.c_rate, self.diffusivity_m2_s / diffusivity_m2_s
        found = []
        if self.tau < STEADY:
            found.append(
                f"The results are of the first transient (D t / R² = {self.tau:.2g}, steady from {STEADY:g}): their shape "
                "is that of this moment, and does not hold at another current or diffusivity."
            )
        elif self.tau / (faster * slower) < STEADY:
            found.append(
                f"At this depth the profile would not be steady (D t / R² = {self.tau / (faster * slower):.2g}, steady "
                f"from {STEADY:g}): the stress would be lower than shown, and of another shape."
            )
        if self.a * faster * slower > 1:
            found.append(
                f"This current cannot be sustained: A = {self.a * faster * slower:.3g}, above 1 the surface is full or "
                "empty before lithium reaches the middle."
            )
        return found


def load_stress_model(folder: Path) -> StressModel:
    """Return the model of the results in the folder of a sample.

    Raises
    ------
    StoreError
        If ``mechanics.json`` is missing or has another format.
    """
    files = Files(find_results(folder))
    try:
        facts = files.json("mechanics_measure")
        if facts is None:
            raise KeyError("mechanics.json")
        return _model(facts)
    except PipelineError:
        raise
    except UNFIT as error:
        raise StoreError(
            str(folder / "mechanics.json"),
            expected="the numbers of the mechanics branch as this version writes them",
            got="none" if isinstance(error, KeyError) else "something else",
            fix="run the workflow to its end",
        ) from error


def _model(facts: Mapping[str, Any]) -> StressModel:
    shown, material = facts["shown"], facts["material"]
    c_rate, diffusivity = float(shown["c_rate"]), float(material["diffusivity_m2_s"])
    rates = {float(one["c_rate"]): float(one["a"]) for one in facts["rates"]}
    return StressModel(
        c_rate=c_rate,
        youngs_gpa=float(material["youngs_gpa"]),
        diffusivity_m2_s=diffusivity,
        tau=diffusivity * float(shown["time_s"]) / (1e-9 * float(facts["radius_nm"])) ** 2,
        a=rates[c_rate],
        depth=float(shown["depth"]),
        beside_mpa=float_of(facts["stress"]["first_principal_p95_mpa"]),
        k_over_kc=float_of(facts["cracks"]["k_over_kc_p95"]),
        in_time=bool(facts["in_time"]),
    )
