"""Stage ``decompose``: areal densities with covariance from aligned optical densities."""

from pathlib import Path

import numpy as np

from oxytomo.chemical_state.joint import measured_edges
from oxytomo.composition import amounts
from oxytomo.composition.model_choice import describe
from oxytomo.config.stage_settings import DecomposeStage as Settings
from oxytomo.io.amounts_store import aligned_series, write_amounts
from oxytomo.io.references import files_of, read_references
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.spectra import read_spectrum
from oxytomo.io.stores import read_store
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Solve every detector pixel for the elements and write. Element signals are also accepted."""
    aligned, edges = read_store(inputs["align"]), settings.kind == "edges"
    series = aligned_series(aligned, in_memory=not edges)
    material = amounts.Material(settings.elements, settings.formula, settings.density_g_cm3)
    plain = settings.model_dump(include={"instrument", "components"})
    files = files_of(pair for given in settings.references.values() for pair in given)
    with scratch_fields(outputs["store"]):
        if edges:
            named = () if isinstance(settings.components, str) else settings.components
            spectra = {
                one.name: read_spectrum(inputs[f"spectrum_{k}"], group=None, energy_unit=None)
                for k, one in enumerate(named)
                if one.spectrum is not None
            }
            subtract = settings.method == "subtraction"
            choice = None if subtract else amounts.allowed_terms(**plain, spectra=spectra)
            measured = measured_edges(
                series.names,
                series.energies_ev,
                {element: read_references(given) for element, given in settings.references.items()},
                settings.formula or {},
                density_g_cm3=settings.density_g_cm3,
                normalized=settings.references_normalized,
            )
            progress = context.progress("decompose")
            found = amounts.amounts_from_edges(series, material, choice, progress=progress, measured=measured)
        else:
            found = amounts.amounts_from_signals(series, material)
        if found.record:
            context.log(describe(found.record))
        for remark in (text for states in found.states.values() for text in states.record["remarks"]):
            context.log(f"warning: {remark}")
        negative = amounts.negative_rays(found, settings.elements)
        for element, (below, beyond) in negative.items():
            context.log(f"{element}: {below} of {beyond} rays with an amount beyond noise are negative")
        unsolved, n_rays = amounts.unsolved_rays(found), int(np.prod(found.areal.shape[1:]))
        context.log(f"{', '.join(settings.elements)}: {unsolved} of {n_rays} rays could not be solved")
        write_amounts(
            outputs["store"],
            found,
            aligned,
            attributes={
                "elements": list(settings.elements),
                "kind": settings.kind,
                "formula": settings.formula,
                "density_g_cm3": settings.density_g_cm3,
                "unsolved_rays": unsolved,
                "negative_rays": negative,
                "n_rays": n_rays,
                "stripe_effect_on_tm_o": amounts.stripe_effect(series, found) if edges else 0.0,
            },
            provenance=context.provenance({**inputs, **files}),
        )
