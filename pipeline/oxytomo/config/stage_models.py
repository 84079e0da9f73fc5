"""Build the input settings of each stage from the settings of its branch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from oxytomo.config import stage_settings as stages
from oxytomo.config.base import Settings
from oxytomo.config.composition import CompositionConfig
from oxytomo.config.project import Branch
from oxytomo.config.quantities import default_quantity, light_from_air
from oxytomo.config.source import Source


@dataclass(frozen=True)
class Job:
    """One job of a stage.

    Attributes
    ----------
    config : settings of the branch
    sample, branch : names
    sources : raw series of the branch by name
    series : name of the job (series, element, part), None for stages with a single one
    structure : settings of the structure branch of the sample, if it has one
    """

    config: Any
    sample: str
    branch: Branch
    sources: Mapping[str, Any]
    series: str | None
    structure: Any = None

    @property
    def name(self) -> str:
        """Name of the job as text."""
        return str(self.series)

    @property
    def solver(self) -> dict[str, Any]:
        """Settings of the reconstruction of a composition, and its reference."""
        return {"solver": self.config.reconstruct, "reference": self.config.effective_reference}


def stage_model(stage: str, job: Job) -> Settings:
    """Return the settings model of a job of a stage."""
    return _BUILDERS.get(stage, _export)(job)


def _normalize(job: Job) -> Settings:
    return stages.NormalizeStage(
        **dict(job.config.normalize),
        series=job.name,
        source=job.sources[job.name],
        default_quantity=default_quantity(job.config),
        light_from_air=light_from_air(job.config),
    )


def _align(job: Job) -> Settings:
    return stages.AlignStage(**dict(job.config.align), branch=job.branch, series=tuple(job.sources))


def _decompose(job: Job) -> Settings:
    config = job.config
    return stages.DecomposeStage(
        **dict(config.decompose),
        kind="elements" if default_quantity(config) == "signal" else "edges",
        series=tuple(job.sources),
        elements=config.measured,
        formula=config.formula,
        density_g_cm3=config.density_g_cm3,
        **_measured_spectra(config),
    )


def _measured_spectra(config: Any) -> dict[str, Any]:
    """Return the measured spectra of elements, which only a composition has."""
    if not isinstance(config, CompositionConfig) or not config.references:
        return {}
    spectra = {
        element: config.spectra_of(element) for element in config.measured if element in config.references
    }
    return {"references": spectra, "references_normalized": config.references_normalized}


def _reconstruct(job: Job) -> Settings:
    return stages.ReconstructStage(**job.solver)


def _reconstruct_step(job: Job) -> Settings:
    return stages.ReconstructStepStage(**job.solver)


def _reconstruct_part(job: Job) -> Settings:
    return stages.ReconstructPartStage(**job.solver, part=int(job.name))


def _replicate(job: Job) -> Settings:
    kind, number = job.name.split("_")
    return stages.ReplicateStage.model_validate(
        {"kind": kind, "number": int(number), "seed": job.config.uncertainty.seed, **job.solver}
    )


def _uncertainty(job: Job) -> Settings:
    return stages.UncertaintyStage(**dict(job.config.uncertainty), **job.solver)


def _classify(job: Job) -> Settings:
    return stages.ClassifyStage(**dict(job.config.classify), threshold=job.config.threshold)


def _measure(job: Job) -> Settings:
    return stages.MeasureStage(**dict(job.config.measure))


def _reconstruct_tomogram(job: Job) -> Settings:
    return stages.ReconstructTomogramStage(**dict(job.config.reconstruct))


def _normalize_stack(job: Job) -> Settings:
    return stages.NormalizeStackStage(
        **dict(job.config.normalize), element=job.name, source=job.sources[job.name]
    )


def _register_stack(job: Job) -> Settings:
    return stages.RegisterStackStage(**dict(job.config.align))


def _fit_valence(job: Job) -> Settings:
    return stages.FitValenceStage(
        **dict(job.config.fit_of(job.name)), element=job.name, references=job.config.spectra_of(job.name)
    )


def _measure_oxidation(job: Job) -> Settings:
    return stages.MeasureOxidationStage(**dict(job.config.measure), elements=job.config.measured)


def _decompose_states(job: Job) -> Settings:
    config = job.config
    return stages.DecomposeStatesStage(
        **dict(config.decompose),
        method=config.method,
        element=job.name,
        series=config.names_of(job.name),
        references=() if config.joint else config.spectra_of(job.name),
        formula=config.formula,
        density_g_cm3=config.density_g_cm3,
    )


def _reconstruct_states(job: Job) -> Settings:
    config = job.config
    return stages.ReconstructStatesStage(
        method=config.method, solver=config.reconstruct, reference=config.reference_of(job.name)
    )


def _uncertainty_states(job: Job) -> Settings:
    config = job.config
    return stages.UncertaintyStatesStage(
        **dict(config.uncertainty), method=config.method, solver=config.reconstruct
    )


def _measure_states(job: Job) -> Settings:
    return stages.MeasureStatesStage(**dict(job.config.measure), elements=job.config.measured)


def _retrieve_phase(job: Job) -> Settings:
    config = job.config
    return stages.RetrievePhaseStage(
        **dict(config.retrieve),
        distances=_distances(job),
        voxel_nm=config.voxel_nm,
        formula=config.formula,
        density_g_cm3=config.density_g_cm3,
    )


def _distances(job: Job) -> dict[str, stages.DistanceStage] | None:
    """Return the distances of each series of a phase-contrast scan, None for phase maps."""
    if job.config.projections is None:
        return None
    names = [name for name, source in job.sources.items() if isinstance(source, Source)]
    return {
        name: stages.DistanceStage(
            sample_detector_mm=source.sample_detector_mm, source_sample_mm=source.source_sample_mm
        )
        for name, source in zip(names, job.config.projections, strict=True)
    }


def _reconstruct_structure(job: Job) -> Settings:
    return stages.ReconstructStructureStage(**dict(job.config.reconstruct))


def _read_volume(job: Job) -> Settings:
    return stages.ReadVolumeStage(source=job.config.volume, voxel_nm=job.config.voxel_nm)


def _segment_voids(job: Job) -> stages.SegmentVoidsStage:
    return stages.SegmentVoidsStage(**dict(job.config.segment), mask=job.config.mask)


def _measure_voids(job: Job) -> Settings:
    return stages.MeasureVoidsStage(**dict(job.config.measure), segment=_segment_voids(job))


def _lithiate(job: Job) -> Settings:
    config = job.config
    voids = None
    if config.labels is None and config.replicates:
        voids = stages.SegmentVoidsStage(**dict(job.structure.segment), mask=job.structure.mask)
    own = {name: getattr(config, name) for name in stages.LithiateStage.model_fields if name != "segment"}
    return stages.LithiateStage(**own, segment=voids)


def _solve_stress(job: Job) -> Settings:
    return stages.SolveStressStage(
        **{name: getattr(job.config, name) for name in stages.SolveStressStage.model_fields}
    )


def _measure_stress(job: Job) -> Settings:
    return stages.MeasureStressStage(
        **{name: getattr(job.config, name) for name in stages.MeasureStressStage.model_fields}
    )


def _normalize_map(job: Job) -> Settings:
    return stages.NormalizeMapStage(element=job.config.element_of(job.name), source=job.sources[job.name])


def _calibrate_map(job: Job) -> Settings:
    offset_ev = job.sources[job.name].emission_offset_ev
    return stages.CalibrateMapStage(**dict(job.config.calibrate), name=job.name, emission_offset_ev=offset_ev)


def _measure_scattering(job: Job) -> Settings:
    config = job.config
    return stages.MeasureScatteringStage(
        maps=config.names,
        pairs=config.pairs,
        elements={
            element: stages.ElementMapsStage(
                **dict(config.yields_of(element)), references=config.spectra_of(element)
            )
            for element in config.measured
        },
        feature=config.feature,
        self_absorption=config.self_absorption,
        fit=config.fit,
    )


def _export(job: Job) -> Settings:
    return stages.ExportStage(**dict(job.config.export), sample=job.sample)


_BUILDERS: Mapping[str, Callable[[Job], Settings]] = {
    "normalize": _normalize,
    "align": _align,
    "decompose": _decompose,
    "reconstruct": _reconstruct,
    "reconstruct_prepare": _reconstruct_step,
    "reconstruct_join": _reconstruct_step,
    "reconstruct_part": _reconstruct_part,
    "reconstruct_refine": _reconstruct_part,
    "replicate": _replicate,
    "uncertainty": _uncertainty,
    "classify": _classify,
    "measure": _measure,
    "reconstruct_tomogram": _reconstruct_tomogram,
    "normalize_stack": _normalize_stack,
    "register_stack": _register_stack,
    "fit_valence": _fit_valence,
    "measure_oxidation": _measure_oxidation,
    "decompose_states": _decompose_states,
    "reconstruct_states": _reconstruct_states,
    "uncertainty_states": _uncertainty_states,
    "measure_states": _measure_states,
    "retrieve_phase": _retrieve_phase,
    "reconstruct_structure": _reconstruct_structure,
    "read_volume": _read_volume,
    "segment_voids": _segment_voids,
    "measure_voids": _measure_voids,
    "lithiate": _lithiate,
    "solve_stress": _solve_stress,
    "measure_stress": _measure_stress,
    "normalize_map": _normalize_map,
    "calibrate_map": _calibrate_map,
    "measure_scattering": _measure_scattering,
}
"""All stages except exports."""
