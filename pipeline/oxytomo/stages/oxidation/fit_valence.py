"""Stage ``fit_valence``: valence of every pixel, or its white line alone without references."""

from pathlib import Path

from oxytomo.config.stage_settings import FitValenceStage as Settings
from oxytomo.io.oxidation_stores import registered_stack, write_line_maps, write_valence_maps
from oxytomo.io.references import files_of, read_references
from oxytomo.io.stores import read_store
from oxytomo.oxidation.fit_setup import FitOptions, fit_setup, line_facts
from oxytomo.oxidation.valence_maps import MapOptions, valence_maps
from oxytomo.oxidation.white_line_maps import WhiteLineOptions, described, white_line_maps
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``register`` and the reference spectra of the settings, write ``store``."""
    stack, element = registered_stack(read_store(inputs["register"])), settings.element
    fit, white_line = settings.options(FitOptions), settings.options(WhiteLineOptions)
    if not settings.references:
        facts = line_facts(stack.energy_ev, fit)
        lines, found, remarks = white_line_maps(stack, facts, white_line)
        for remark in remarks:
            context.log(f"warning: {remark}")
        facts |= {"white_line": found, "remarks": remarks, "thin_share": settings.thin_share}
        provenance = context.provenance(inputs)
        write_line_maps(outputs["store"], lines, facts, stack, element=element, provenance=provenance)
        said = described(found)
        context.log(f"{element}: no references, so the map is the energy of the white line: {said}")
        return
    options = settings.options(MapOptions)
    setup = fit_setup(stack, read_references(settings.references), fit)
    maps = valence_maps(stack, setup, options, progress=context.progress("fit"))
    lines, found, remarks = white_line_maps(stack, setup.facts, white_line)
    setup = setup.with_white_line(found, remarks)
    for remark in setup.remarks:
        context.log(f"warning: {remark}")
    provenance = context.provenance({**inputs, **files_of(settings.references)})
    write_valence_maps(outputs["store"], maps, setup, stack, options, provenance=provenance, lines=lines)
    context.log(
        f"{element}: {maps.described()}; the report gives the mean over those in particles; "
        f"{setup.energy_ev.size} energies, condition number {setup.facts['condition_number']:.1f}, "
        f"χ² {maps.median_chi_square():.2f}"
    )
