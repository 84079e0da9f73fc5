"""Check maps of the scattering branch before a run."""

from dataclasses import fields, replace

import numpy as np

from oxytomo.check.plausible import require_files
from oxytomo.check.series import SeriesFacts, copied_series, with_values
from oxytomo.config import ScatteringConfig, source_files
from oxytomo.config.plan import reference_files
from oxytomo.errors import PipelineError
from oxytomo.io.emission_maps import RawMap, read_map
from oxytomo.io.references import read_references
from oxytomo.oxidation.fit_setup import FitOptions, prepared_references
from oxytomo.scattering.elastic import elastic_light, find_elastic_line
from oxytomo.scattering.feature import Calibrated, FeatureOptions
from oxytomo.scattering.maps import emission_map
from oxytomo.scattering.summary import (
    MeasuredMap,
    SampleSlab,
    YieldOptions,
    compared_pair,
    map_yields,
)
from oxytomo.stages.sources import map_request


def check_maps(
    config: ScatteringConfig, sample: str
) -> tuple[dict[str, SeriesFacts], list[PipelineError], list[str]]:
    """Check files, elastic lines, windows and references of all maps, as a run would use them."""
    problems: list[PipelineError] = []
    warnings: list[str] = []
    facts: dict[str, SeriesFacts] = {}
    maps: dict[str, MeasuredMap] = {}
    for name in config.names:
        place = f"samples.{sample}.scattering.maps.{name}"
        try:
            require_files(place, source_files(config.maps[name]))
            raw = read_map(map_request(config.maps[name]))
            facts[name] = _facts(place, raw)
            maps[name] = _measured(config, name, raw)
            slab = config.self_absorption
            options = config.yields_of(maps[name].element).options(YieldOptions)
            map_yields(maps[name], options, None if slab is None else slab.options(SampleSlab))
            warnings += [f"{place}: {remark}" for remark in raw.remarks]
            if raw.flux is None:
                warnings.append(f"{place}: no incident flux; it is taken as the same for all excitations")
        except PipelineError as error:
            problems.append(error)
    for element in config.measured:
        try:
            warnings += _references(
                config, f"samples.{sample}.scattering.references.{element}", element, maps
            )
        except PipelineError as error:
            problems.append(error)
    feature = replace(config.feature.options(FeatureOptions), permutations=0)
    for first, second in config.pairs:
        if first in maps and second in maps:
            try:
                compared_pair(maps[first], maps[second], feature, rng=np.random.default_rng(0))
            except PipelineError as error:
                problems.append(error)
    problems += copied_series(facts)
    return facts, problems, warnings


def _facts(place: str, raw: RawMap) -> SeriesFacts:
    """Return the facts of a map; the digest of its values finds copies."""
    facts = SeriesFacts(
        place=place,
        shape=(1, *raw.values.shape),
        tilt_deg=(),
        energy_ev=float("nan"),
        pixel_nm=float("nan"),
        quantity="map",
        n_flat=0,
        energy_range_ev=(float(raw.excitation_ev.min()), float(raw.excitation_ev.max())),
    )
    return with_values(facts, [raw.values])


def _measured(config: ScatteringConfig, name: str, raw: RawMap) -> MeasuredMap:
    """Return a calibrated map, as the stages make it."""
    source = config.maps[name]
    one = emission_map(
        raw.values,
        raw.flux,
        raw.excitation_ev + source.excitation_offset_ev,
        raw.emission_ev,
        units_per_photon=source.units_per_photon or 1.0,
        flux_error=source.flux_error,
    )
    if source.emission_offset_ev is not None:
        moved = Calibrated(one.moved(one.emission_ev + source.emission_offset_ev), float("nan"), 0.0)
        return MeasuredMap(name, config.element_of(name), "", moved, None, (), {})
    settings = config.calibrate
    line = find_elastic_line(one, search_ev=settings.search_ev, linear=settings.scale == "linear", name=name)
    moved = Calibrated(one.moved(line.calibrated(one.emission_ev)), line.fwhm_ev, line.offset_error_ev)
    return MeasuredMap(name, config.element_of(name), "", moved, elastic_light(one, line), (), {})


def _references(
    config: ScatteringConfig, place: str, element: str, maps: dict[str, MeasuredMap]
) -> list[str]:
    """Read the references of an element and put them on the excitations of its maps."""
    spectra = config.spectra_of(element)
    if not spectra:
        return []
    require_files(place, reference_files(config, element))
    references = read_references(spectra)
    names = [one.name for one in fields(FitOptions) if one.name != "element"]
    options = FitOptions(element=element, **{name: getattr(config.fit, name) for name in names})
    given = config.fit.energy_offset_ev
    offset = given if isinstance(given, float) else 0.0
    remarks: list[str] = []
    for one in maps.values():
        if one.element == element:
            energy = one.calibrated.map.excitation_ev + offset
            remarks += prepared_references(energy, references, options).remarks
    return list(dict.fromkeys(remarks))
