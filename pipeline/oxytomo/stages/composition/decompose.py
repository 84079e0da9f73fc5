"""Stage ``decompose``: areal densities with covariance from aligned optical densities."""

from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.chemical_state.joint import measured_edges
from oxytomo.composition import amounts
from oxytomo.composition.model_choice import describe
from oxytomo.composition.near_edge import MeasuredFactor
from oxytomo.config.stage_settings import DecomposeStage as Settings
from oxytomo.io.amounts_store import aligned_series, write_amounts
from oxytomo.io.near_edge import measured_factors
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
            factors = _factors(inputs, plain["instrument"], series)
            for element, one in factors.items():
                context.log(f"{element}: measured near-edge factor {one.factor:.3f} ± {one.error:.3f}")
            choice = None
            if settings.method != "subtraction":
                spectra = component_spectra(inputs, settings.components)
                choice = amounts.allowed_terms(**plain, spectra=spectra, measured=factors)
            references = {element: read_references(given) for element, given in settings.references.items()}
            measured = measured_edges(
                *(series.names, series.energies_ev, references, settings.formula or {}),
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
            context.log(
                f"{element}: the amount is negative in {below} of the {beyond} rays where it exceeds the noise"
            )
        unsolved, n_rays = amounts.unsolved_rays(found), int(np.prod(found.areal.shape[1:]))
        context.log(
            f"{100 * unsolved / n_rays:.1f} % of pixels could not be used (dead, too dark or outside the field)"
        )
        write_amounts(
            *(outputs["store"], found, aligned),
            attributes={
                **settings.model_dump(mode="json", include={"elements", "kind", "formula", "density_g_cm3"}),
                "unsolved_rays": unsolved,
                "negative_rays": negative,
                "n_rays": n_rays,
                "stripe_effect_on_tm_o": amounts.stripe_effect(series, found) if edges else 0.0,
            },
            provenance=context.provenance({**inputs, **files}),
        )


def _factors(
    inputs: dict[str, Path], instrument: str | dict[str, Any], series: amounts.AlignedSeries
) -> dict[str, MeasuredFactor]:
    """Return the near-edge factors from stores of the oxidation branch, spectra or settings."""
    given = "auto" if isinstance(instrument, str) else instrument["near_edge"]
    energies = dict(zip(series.names, map(float, series.energies_ev), strict=True))
    post_edge_ev = {name.removesuffix("_post"): e for name, e in energies.items() if name.endswith("_post")}
    return measured_factors(inputs, {} if isinstance(given, str) else dict(given), post_edge_ev)
