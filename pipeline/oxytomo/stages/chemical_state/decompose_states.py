"""Stage ``decompose_states``: chemical components of one element in every ray, with covariance."""

from pathlib import Path

from oxytomo.chemical_state.decomposition import decompose_states
from oxytomo.chemical_state.own_decomposition import decompose_without_references
from oxytomo.chemical_state.own_spectra import OwnOptions
from oxytomo.chemical_state.spectra import SpectraOptions
from oxytomo.config.stage_settings import DecomposeStatesStage as Settings
from oxytomo.io.chemical_state_stores import element_series, write_joint_amounts, write_state_amounts
from oxytomo.io.references import files_of, read_references
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import read_store
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``align`` and the reference spectra of the settings, write ``store``.

    Without references the two components are spectra of the rays themselves.
    Where the composition branch has solved for the states (``joint``), its amounts are taken.
    """
    element, store = settings.element, outputs["store"]
    if "joint" in inputs:
        joint, provenance = read_store(inputs["joint"]), context.provenance(inputs)
        write_joint_amounts(store, joint, element=element, provenance=provenance)
        context.log(f"{element}: states from the solution of the composition branch")
        return
    aligned = read_store(inputs["align"])
    series = element_series(aligned, element, settings.series)
    with scratch_fields(store):
        if settings.references:
            found = decompose_states(
                series,
                read_references(settings.references),
                settings.options(SpectraOptions),
                method=settings.method,
                energy_offset_ev=settings.energy_offset_ev,
                progress=context.progress("decompose"),
            )
        else:
            found = decompose_without_references(
                series,
                settings.options(OwnOptions),
                energy_offset_ev=float(settings.energy_offset_ev),  # "fit" needs references
                progress=context.progress("decompose"),
            )
        for remark in found.record["remarks"]:
            context.log(f"warning: {remark}")
        for sentence in found.described():
            context.log(f"{element}: {sentence}")
        provenance = context.provenance({**inputs, **files_of(settings.references)})
        write_state_amounts(store, found, aligned, settings.series, element=element, provenance=provenance)
