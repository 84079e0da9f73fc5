"""Stage ``normalize_map``: photons and relative incident flux of one raw map."""

from pathlib import Path

import numpy as np

from oxytomo.config import source_files
from oxytomo.config.stage_settings import NormalizeMapStage as Settings
from oxytomo.io.emission_maps import read_map
from oxytomo.io.emission_stores import write_map
from oxytomo.scattering.maps import emission_map
from oxytomo.scattering.summary import BesideColumn
from oxytomo.stages.context import StageContext
from oxytomo.stages.sources import map_request


def run(
    _inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext
) -> None:
    """Read the raw files of the settings, normalise and write."""
    source = settings.source
    raw = {f"raw_{i}": path for i, path in enumerate(source_files(source))}
    found = read_map(map_request(source))
    one, *scans = [
        emission_map(
            values,
            flux,
            found.excitation_ev + source.excitation_offset_ev,
            found.emission_ev,
            units_per_photon=source.units_per_photon or 1.0,
            flux_error=source.flux_error,
        )
        for values, flux in zip((found.values, *found.each), (found.flux, *found.flux_each), strict=True)
    ]
    order = np.argsort(found.excitation_ev)
    columns = [
        BesideColumn(name, source.columns[name].depth, values[order])
        for name, values in found.columns.items()
    ]
    invalid = int((~np.isfinite(one.photons)).sum())
    facts = {
        "element": settings.element,
        "scans": found.scans,
        "format": found.format,
        "remarks": list(found.remarks),
        "has_flux": found.flux is not None,
        "invalid": invalid,
    }
    write_map(outputs["store"], one, columns, context.provenance(raw), facts, scans=scans)
    if found.flux is None:
        context.log("warning: no incident flux; it is taken as the same for all excitations (give 'flux:')")
    for remark in found.remarks:
        context.log(remark)
    rows, bins = one.photons.shape
    context.log(
        f"{rows} excitations × {bins} emission bins, {np.nansum(one.photons):.3g} photons, {invalid} invalid"
    )
