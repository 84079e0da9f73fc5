"""Stage ``measure_stress``: stress beside pores, along crack fronts, by depth and over time."""

from pathlib import Path

import numpy as np

from oxytomo.config import MeasureStressStage as Settings
from oxytomo.io.mechanics_stores import read_shown, read_trials
from oxytomo.io.stores import read_store
from oxytomo.io.tables import write_csv, write_json
from oxytomo.measure.definitions import MECHANICS_DEFINITIONS
from oxytomo.mechanics import summary
from oxytomo.mechanics.tables import stress_at_voids
from oxytomo.stages.context import StageContext
from oxytomo.stages.materials import material_of


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``lithiate`` and ``solve_stress``, write the tables and ``summary``."""
    lithium, stress = read_store(inputs["lithiate"]), read_store(inputs["solve_stress"])
    facts, numbers = lithium.attributes, stress.attributes["numbers"]
    material, timed = material_of(settings).constant, settings.in_time
    shown = read_shown(lithium, stress)
    pores = stress_at_voids(shown.parts, shown.solid, shown.scalars, amplitude_mpa=shown.amplitude_mpa)
    fronts = summary.front_table(shown, stress["displacement"], material, in_time=timed)
    write_csv(outputs["voids"], pores)
    write_csv(outputs["fronts"], fronts)
    write_csv(outputs["shells"], summary.shell_table(shown, shells=settings.shells, in_time=timed))
    times = summary.time_table(facts["states"], numbers, sign=shown.sign, in_time=timed)
    write_csv(outputs["time"], times)
    found = summary.stress_numbers(shown, numbers[int(shown.state["profile"])], read_trials(stress))
    amount = found["first_principal_p95_mpa"]
    amount = amount if np.isfinite(amount) else found["solid_first_principal_p95_mpa"]
    rates = summary.rates(material, settings.c_rates, settings.lithium, float(facts["radius_um"]))
    write_json(
        outputs["summary"],
        {
            "voxel_nm": 1e3 * shown.parts.voxel_um,
            "averaged": facts["factor"],
            "radius_nm": 1e3 * float(facts["radius_um"]),
            "direction": settings.direction,
            "wetted": settings.wetted,
            "kinetics": settings.kinetics,
            "in_time": timed,
            "lithium": list(settings.lithium),
            "material": summary.material_facts(
                material, amount, largest_a=max(one["a"] for one in rates), in_time=timed
            ),
            "rates": rates,
            "shown": dict(shown.state),
            "pores": len(pores),
            "stress": found,
            "cracks": summary.crack_numbers(fronts),
            "bridges": summary.bridge_facts(pores, shown.parts),
            "left_out_share": facts["left_out_share"],
            "solver": {"lithium": facts["solver"], "stress": stress.attributes["solver"]},
            "warnings": [*facts["warnings"], *summary.remarks(found, pores, fronts)],
            "definitions": MECHANICS_DEFINITIONS,
        },
    )
    context.log(f"{len(pores)} pores, {len(fronts)} voxels of crack fronts")
