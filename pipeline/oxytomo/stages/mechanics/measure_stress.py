"""Stage ``measure_stress``: stress beside pores, along crack fronts, by depth and over time."""

from pathlib import Path

from oxytomo.config.stage_settings import MeasureStressStage as Settings
from oxytomo.io.mechanics_stores import read_shown, read_trials
from oxytomo.io.stores import read_store
from oxytomo.io.tables import write_csv, write_json
from oxytomo.measure.definitions import MECHANICS_DEFINITIONS
from oxytomo.mechanics import summary
from oxytomo.mechanics.tables import stress_at_voids
from oxytomo.stages.context import StageContext
from oxytomo.stages.materials import currents_of


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``lithiate`` and ``solve_stress``, write the tables and ``summary``."""
    lithium, stress = read_store(inputs["lithiate"]), read_store(inputs["solve_stress"])
    facts, solved = lithium.attributes, stress.attributes
    currents, timed = currents_of(settings), settings.in_time
    shown = read_shown(lithium, stress)
    pores = stress_at_voids(shown.parts, shown.solid, shown.scalars, amplitude_mpa=shown.amplitude_mpa)
    fronts = summary.front_table(shown, stress["displacement"], currents.material, in_time=timed)
    times = summary.time_table(facts["states"], solved["numbers"], sign=shown.sign, in_time=timed)
    found = summary.stress_numbers(shown, solved["numbers"][int(shown.state["profile"])], read_trials(stress))
    write_csv(outputs["voids"], pores)
    write_csv(outputs["fronts"], fronts)
    write_csv(outputs["shells"], summary.shell_table(shown, shells=settings.shells, in_time=timed))
    write_csv(outputs["time"], times)
    content = {
        "averaged": facts["factor"],
        "wetted": settings.wetted,
        "kinetics": settings.kinetics,
        **summary.mechanics_facts(shown, currents, found),
        "pores": len(pores),
        "cracks": summary.crack_numbers(fronts),
        "bridges": summary.bridge_facts(pores, shown.parts),
        "left_out_share": facts["left_out_share"],
        "solver": {"lithium": facts["solver"], "stress": solved["solver"]},
        "warnings": [*facts["warnings"], *summary.remarks(found, pores, fronts)],
        "definitions": MECHANICS_DEFINITIONS,
    }
    write_json(outputs["summary"], content)
    context.log(f"{len(pores)} pores, {len(fronts)} voxels of crack fronts")
