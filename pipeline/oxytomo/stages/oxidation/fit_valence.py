"""Stage ``fit_valence``: valence of every pixel from the registered stack of one element."""

from dataclasses import replace
from pathlib import Path

from oxytomo.config.stage_settings import FitValenceStage as Settings
from oxytomo.io.oxidation_stores import registered_stack, write_valence_maps
from oxytomo.io.references import files_of, read_references
from oxytomo.io.stores import read_store
from oxytomo.oxidation.fit_setup import FitOptions, fit_setup
from oxytomo.oxidation.valence_maps import MapOptions, valence_maps
from oxytomo.oxidation.white_line_maps import WhiteLineOptions, white_line_maps
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``register`` and the reference spectra of the settings, write ``store``."""
    stack, options = registered_stack(read_store(inputs["register"])), settings.options(MapOptions)
    setup = fit_setup(stack, read_references(settings.references), settings.options(FitOptions))
    maps = valence_maps(stack, setup, options, progress=context.progress("fit"))
    lines, line_facts, remarks = white_line_maps(stack, setup, settings.options(WhiteLineOptions))
    facts = {**setup.facts, "white_line": line_facts}
    setup = replace(setup, facts=facts, remarks=(*setup.remarks, *remarks))
    for remark in setup.remarks:
        context.log(f"warning: {remark}")
    provenance = context.provenance({**inputs, **files_of(settings.references)})
    write_valence_maps(outputs["store"], maps, setup, stack, options, provenance=provenance, lines=lines)
    context.log(
        f"{settings.element}: {maps.described()}; the report gives the mean over those in particles; "
        f"{setup.energy_ev.size} energies, condition number {setup.facts['condition_number']:.1f}, "
        f"χ² {maps.median_chi_square():.2f}"
    )
