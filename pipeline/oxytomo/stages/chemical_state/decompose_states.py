"""Stage ``decompose_states``: chemical components of one element in every ray, with covariance."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.chemical_state.decomposition import (
    StateAmounts,
    StateSeries,
    decompose_own,
    decompose_states,
)
from oxytomo.chemical_state.own_spectra import OwnOptions, own_spectra
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

    Without references the two components are spectra of the rays themselves.
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
            found = _by_own_spectra(series, settings, context)
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


def _by_own_spectra(series: StateSeries, settings: Settings, context: StageContext) -> StateAmounts:
    """Decompose without references, with the places of the white line and the edge in the record."""
    offset = settings.energy_offset_ev
    moved = series if isinstance(offset, str) else replace(series, energy_ev=series.energy_ev + offset)
    own = own_spectra(moved, settings.options(OwnOptions))
    context.log(
        f"{settings.element}: no references, so the volume is the energy of its white line, "
        f"{own.facts['mean_spectrum_white_line_ev']:.2f} eV in the mean spectrum"
    )
    found = decompose_own(moved, own.spectra, progress=context.progress("decompose"))
    lines = {
        **own.facts,
        "place": own.place.tolist(),
        "white_line_ev": _plain(own.white_line_ev),
        "edge_ev": _plain(own.edge_ev),
    }
    record = {**found.record, "method": settings.method, "white_line": lines, "remarks": list(own.remarks)}
    return replace(found, record=record)


def _plain(values: Float64Array) -> list[float | None]:
    return [float(one) if np.isfinite(one) else None for one in values]
