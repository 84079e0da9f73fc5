"""Stage ``calibrate_map``: emission scale of one map, from its elastic line."""

from pathlib import Path

from oxytomo.config.stage_settings import CalibrateMapStage as Settings
from oxytomo.io.emission_stores import given_facts, line_facts, stored_map, write_calibrated
from oxytomo.io.stores import read_store
from oxytomo.scattering.elastic import elastic_light, find_elastic_line
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``normalize``, write ``store``."""
    raw = read_store(inputs["normalize"])
    one = stored_map(raw)
    if settings.emission_offset_ev is not None:
        moved = one.moved(one.emission_ev + settings.emission_offset_ev)
        facts = given_facts(-settings.emission_offset_ev)
        write_calibrated(
            outputs["store"], raw, moved, context.provenance(inputs), line=None, light=None, facts=facts
        )
        context.log(f"emission scale moved by {settings.emission_offset_ev:+.3f} eV, as given")
        return
    linear = settings.scale == "linear"
    line = find_elastic_line(one, search_ev=settings.search_ev, linear=linear, name=settings.name)
    light = elastic_light(one, line)
    facts = line_facts(line)
    moved = one.moved(line.calibrated(one.emission_ev))
    write_calibrated(
        outputs["store"], raw, moved, context.provenance(inputs), line=line, light=light, facts=facts
    )
    context.log(
        f"elastic line {line.offset_ev:+.3f} ± {line.offset_error_ev:.3f} eV from the excitation energies, "
        f"{line.fwhm_ev:.2f} ± {line.fwhm_error_ev:.2f} eV wide, in {line.rows.sum()} excitations"
    )
