"""Stage ``decompose_states``: chemical components of one element in every ray, with covariance."""

from pathlib import Path

from oxytomo.chemical_state.decomposition import decompose_states
from oxytomo.chemical_state.spectra import SpectraOptions
from oxytomo.config.stage_settings import DecomposeStatesStage as Settings
from oxytomo.io.chemical_state_stores import (
    element_series,
    write_joint_amounts,
    write_state_amounts,
)
from oxytomo.io.references import files_of, read_references
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import read_store
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``align`` and the reference spectra of the settings, write ``store``.

    Where the composition branch has solved for the states (``joint``), its amounts are taken.
    """
    if "joint" in inputs:
        joint, provenance = read_store(inputs["joint"]), context.provenance(inputs)
        write_joint_amounts(outputs["store"], joint, element=settings.element, provenance=provenance)
        context.log(f"{settings.element}: states from the solution of the composition branch")
        return
    aligned = read_store(inputs["align"])
    series = element_series(aligned, settings.element, settings.series)
    with scratch_fields(outputs["store"]):
        found = decompose_states(
            series,
            read_references(settings.references),
            settings.options(SpectraOptions),
            method=settings.method,
            energy_offset_ev=settings.energy_offset_ev,
            progress=context.progress("decompose"),
        )
        for remark in found.record["remarks"]:
            context.log(f"warning: {remark}")
        fit = found.record["chi_square_per_dof"]
        context.log(
            f"{settings.element}: {series.energy_ev.size} energies, condition number "
            f"{found.record['condition_number']:.1f}, background {found.record['background']}, "
            + ("no spare energies" if fit is None else f"χ² per degree of freedom {fit:.2f}")
        )
        provenance = context.provenance({**inputs, **files_of(settings.references)})
        write_state_amounts(
            outputs["store"],
            found,
            aligned,
            settings.series,
            element=settings.element,
            provenance=provenance,
        )
