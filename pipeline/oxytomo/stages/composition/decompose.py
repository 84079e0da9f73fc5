"""Stage ``decompose``: areal densities with covariance from aligned optical densities."""

from math import prod
from pathlib import Path

from oxytomo.chemical_state.joint import measured_edges
from oxytomo.composition import amounts
from oxytomo.composition.cross_sections import energies_above_edges_ev
from oxytomo.config.stage_settings import DecomposeStage as Settings
from oxytomo.io.amounts_store import aligned_series, amounts_in_words, write_amounts
from oxytomo.io.near_edge import factors_of_series
from oxytomo.io.references import component_spectra, files_of, read_references
from oxytomo.io.scratch import scratch_fields
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
            factors = factors_of_series(inputs, plain["instrument"], series)
            for element, one in factors.items():
                context.log(f"{element}: measured near-edge factor {one.factor:.3f} ± {one.error:.3f}")
            spectra = component_spectra(inputs, settings.components)
            plainly = settings.method == "subtraction"
            choice = None if plainly else amounts.allowed_terms(**plain, spectra=spectra, measured=factors)
            references = {element: read_references(given) for element, given in settings.references.items()}
            measured = measured_edges(
                *(series.names, series.energies_ev, references, settings.formula or {}),
                density_g_cm3=settings.density_g_cm3,
                normalized=settings.references_normalized,
            )
            tabulated = [element for element in settings.elements if element not in measured]
            above = energies_above_edges_ev(tabulated, series.names, series.energies_ev)
            progress = context.progress("decompose")
            found = amounts.amounts_from_edges(series, material, choice, progress=progress, measured=measured)
        else:
            found, above = amounts.amounts_from_signals(series, material), {}
        negative, unsolved = amounts.negative_rays(found, settings.elements), amounts.unsolved_rays(found)
        n_rays = prod(found.areal.shape[1:])
        for line in amounts_in_words(found, negative, unsolved / n_rays):
            context.log(line)
        write_amounts(
            *(outputs["store"], found, aligned),
            attributes={
                **settings.model_dump(mode="json", include={"elements", "kind", "formula", "density_g_cm3"}),
                "unsolved_rays": unsolved,
                "negative_rays": negative,
                "n_rays": n_rays,
                "above_edge_ev": above,
                "stripe_effect_on_tm_o": amounts.stripe_effect(series, found) if edges else 0.0,
            },
            provenance=context.provenance({**inputs, **files}),
        )
