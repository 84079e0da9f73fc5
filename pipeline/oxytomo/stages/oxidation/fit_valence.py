"""Stage ``fit_valence``: valence of every pixel, or its white line alone without references."""

from dataclasses import replace
from pathlib import Path

from oxytomo.config.stage_settings import FitValenceStage as Settings
from oxytomo.io.oxidation_stores import registered_stack, write_line_maps, write_valence_maps
from oxytomo.io.references import files_of, read_references
from oxytomo.io.stores import read_store
from oxytomo.oxidation.fit_setup import FitOptions, fit_setup, line_facts
from oxytomo.oxidation.stack import EnergyStack
from oxytomo.oxidation.valence_maps import MapOptions, valence_maps
from oxytomo.oxidation.white_line_maps import WhiteLineOptions, white_line_maps
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``register`` and the reference spectra of the settings, write ``store``."""
    stack, options = registered_stack(read_store(inputs["register"])), settings.options(MapOptions)
    if not settings.references:
        _white_lines(stack, inputs, outputs, settings, context)
        return
    setup = fit_setup(stack, read_references(settings.references), settings.options(FitOptions))
    maps = valence_maps(stack, setup, options, progress=context.progress("fit"))
    lines, found, remarks = white_line_maps(stack, setup.facts, settings.options(WhiteLineOptions))
    facts = {**setup.facts, "white_line": found}
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


def _white_lines(
    stack: EnergyStack,
    inputs: dict[str, Path],
    outputs: dict[str, Path],
    settings: Settings,
    context: StageContext,
) -> None:
    """Find the white line of every pixel and write it."""
    facts = line_facts(stack.energy_ev, settings.options(FitOptions))
    lines, found, remarks = white_line_maps(stack, facts, settings.options(WhiteLineOptions))
    for remark in remarks:
        context.log(f"warning: {remark}")
    write_line_maps(
        outputs["store"],
        lines,
        {**facts, "white_line": found, "remarks": remarks, "thin_share": settings.thin_share},
        stack,
        element=settings.element,
        provenance=context.provenance(inputs),
    )
    median = found["median_ev"]
    said = "no pixel has one" if median is None else f"{median:.2f} eV in the median"
    context.log(f"{settings.element}: no references, so the map is the energy of the white line: {said}")
