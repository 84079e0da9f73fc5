"""Input settings of each stage: the user's settings and the project data it needs.

A stage receives only what its result depends on. After a changed setting only the stages that
depend on it run again.
"""

from typing import Literal

from oxytomo.arrays import Quantity, ReplicateKind
from oxytomo.config.base import Settings, setting
from oxytomo.config.charge_balance import ChargeBalanceSettings, ChargeStateSettings
from oxytomo.config.chemical_state import (
    DecomposeStatesSettings,
    MeasureStatesSettings,
    Method,
    ReconstructStatesSettings,
)
from oxytomo.config.mechanics import MechanicsSettings
from oxytomo.config.oxidation import (
    FitValenceSettings,
    MeasureOxidationSettings,
    NormalizeStackSettings,
    RegisterStackSettings,
)
from oxytomo.config.phase import ReconstructStructureSettings, RetrievePhaseSettings
from oxytomo.config.project import Branch, RegisterBranchesSettings
from oxytomo.config.scattering import (
    CalibrateMapSettings,
    FeatureSettings,
    MapSource,
    SelfAbsorptionSettings,
    YieldSettings,
)
from oxytomo.config.settings import (
    AlignSettings,
    ClassifySettings,
    DecomposeSettings,
    DeviationSettings,
    ExportSettings,
    MeasureSettings,
    NormalizeSettings,
    ReconstructSettings,
    Reference,
    TomogramReconstructSettings,
    UncertaintySettings,
)
from oxytomo.config.source import ReferenceSource, Source, StackSource, VolumeSource
from oxytomo.config.structure import MeasureVoidsSettings, SegmentVoidsSettings


class NormalizeStage(NormalizeSettings):
    """Stage ``normalize``, one raw series."""

    series: str = setting(..., "name of the series: Mn_pre, O, signal …")
    source: Source = setting(..., "files of the series; paths are absolute")
    default_quantity: Quantity = setting(
        ..., "quantity of the pixels if neither the source nor the file gives it"
    )
    light_from_air: bool = setting(
        False, "counts without flat frames: take the incident intensity from the empty region of each frame"
    )


class AlignStage(AlignSettings):
    """Stage ``align``."""

    branch: Branch = setting(..., "areal_density has one tilt; the others are tilt series")
    series: tuple[str, ...] = setting(
        ..., "names of the series, in the order of the store; the keys of the inputs"
    )


class DecomposeStage(DecomposeSettings):
    """Stage ``decompose``."""

    kind: Literal["edges", "elements"] = setting(..., "two energies per edge, or maps of elements")
    series: tuple[str, ...] = setting(
        ..., "names of the series in the aligned store: <El>_pre, <El>_post or <El>"
    )
    elements: tuple[str, ...] = setting(..., "measured elements: O first, then by atomic number")
    formula: dict[str, float] | None = setting(
        ..., "atoms per formula unit; None only for elements", unit="atoms"
    )
    density_g_cm3: float = setting(..., "mass density of the reference composition", unit="g/cm³", gt=0.0)
    references: dict[str, tuple[tuple[float, ReferenceSource], ...]] = setting(
        {}, "valence and source of each measured spectrum by element; paths are absolute"
    )
    references_normalized: bool = setting(False, "they have a pre-edge of 0 and an edge jump of 1")


class ReconstructStage(Settings):
    """Stage ``reconstruct`` of the composition branch."""

    solver: ReconstructSettings = setting(..., "method and settings of the reconstruction")
    reference: Reference = setting(..., "reference for the TM/O deviation")


class ReconstructStepStage(Settings):
    """Stages ``reconstruct_prepare`` and ``reconstruct_join``, for a particle in several jobs."""

    solver: DeviationSettings = setting(..., "method and settings of the reconstruction")
    reference: Reference = setting(..., "reference for the TM/O deviation")


class ReconstructPartStage(ReconstructStepStage):
    """Stages ``reconstruct_part`` and ``reconstruct_refine``, for one part."""

    part: int = setting(..., "number of the part, from 1", ge=1)


class ReconstructTomogramStage(TomogramReconstructSettings):
    """Stage ``reconstruct_tomogram``."""


class UncertaintyStage(UncertaintySettings):
    """Stage ``uncertainty``, which repeats the reconstruction with resampled noise."""

    solver: ReconstructSettings = setting(..., "method and settings of the reconstruction")
    reference: Reference = setting(..., "reference for the TM/O deviation")


class ReplicateStage(Settings):
    """Stage ``replicate``, one noise replicate or null run."""

    kind: ReplicateKind = setting(..., "replicate of the result, or of a uniform particle")
    number: int = setting(..., "number of the replicate, from 1", ge=1)
    seed: int = setting(..., "seed of the random numbers", ge=0)
    solver: ReconstructSettings = setting(..., "method and settings of the reconstruction")
    reference: Reference = setting(..., "reference for the TM/O deviation")


class ClassifyStage(ClassifySettings):
    """Stage ``classify``."""

    threshold: float = setting(
        ...,
        "TM/O deviation above which a voxel is called oxygen-poor or oxygen-rich",
        unit="fraction",
        gt=0.0,
        lt=1.0,
    )


class MeasureStage(MeasureSettings):
    """Stage ``measure``; the threshold is in the classified store."""


class NormalizeStackStage(NormalizeStackSettings):
    """Stage ``normalize_stack``, the raw stack of one element."""

    element: str = setting(..., "the element")
    source: StackSource = setting(..., "files of the stack; paths are absolute")


class RegisterStackStage(RegisterStackSettings):
    """Stage ``register_stack``, one element."""


class FitValenceStage(FitValenceSettings):
    """Stage ``fit_valence``, one element."""

    element: str = setting(..., "the element")
    references: tuple[tuple[float, ReferenceSource], ...] = setting(
        ..., "valence and source of each reference, by increasing valence; paths are absolute"
    )


class MeasureOxidationStage(MeasureOxidationSettings):
    """Stage ``measure_oxidation``, all elements."""

    elements: tuple[str, ...] = setting(..., "measured elements: O first, then by atomic number")


class DecomposeStatesStage(DecomposeStatesSettings):
    """Stage ``decompose_states``, one element; without series they are the composition branch's."""

    method: Method = setting(..., "voxels: all energies of a ray have the same weight")
    element: str = setting(..., "the element")
    series: tuple[str, ...] = setting(..., "names of its series in the aligned store")
    references: tuple[tuple[float, ReferenceSource], ...] = setting(
        ..., "valence and source of each reference, by increasing valence; paths are absolute"
    )
    formula: dict[str, float] | None = setting(..., "atoms per formula unit", unit="atoms")
    density_g_cm3: float = setting(..., "mass density of the material", unit="g/cm³", gt=0.0)


class ReconstructStatesStage(Settings):
    """Stage ``reconstruct_states``, one element."""

    method: Method = setting(..., "rays: density and deviation; voxels: every energy, every voxel")
    solver: ReconstructStatesSettings = setting(..., "settings of the reconstruction")
    reference: float | None = setting(..., "valence that deviations refer to; None: the mode")


class UncertaintyStatesStage(UncertaintySettings):
    """Stage ``uncertainty_states``, which repeats the reconstruction with resampled noise."""

    method: Method = setting(..., "that of the reconstruction")
    solver: ReconstructStatesSettings = setting(..., "settings of the reconstruction")


class MeasureStatesStage(MeasureStatesSettings):
    """Stage ``measure_states``, all elements."""

    elements: tuple[str, ...] = setting(..., "measured elements: O first, then by atomic number")


class DistanceStage(Settings):
    """Distances of one series of a phase-contrast scan."""

    sample_detector_mm: float | None = setting(..., "distance from sample to detector", unit="mm")
    source_sample_mm: float | None = setting(..., "distance from source to sample; None: parallel", unit="mm")


class RetrievePhaseStage(RetrievePhaseSettings):
    """Stage ``retrieve_phase``."""

    distances: dict[str, DistanceStage] | None = setting(
        ..., "series by name, in the order of the store, the keys of the inputs; None: phase maps are given"
    )
    voxel_nm: float = setting(..., "pixel size of the phase maps", unit="nm", gt=0.0)
    formula: dict[str, float] | None = setting(..., "atoms per formula unit of the sample", unit="atoms")
    density_g_cm3: float | None = setting(..., "mass density of the sample", unit="g/cm³")


class ReconstructStructureStage(ReconstructStructureSettings):
    """Stage ``reconstruct_structure``."""


class ReadVolumeStage(Settings):
    """Stage ``read_volume``."""

    source: VolumeSource = setting(..., "files of the volume; paths are absolute")
    voxel_nm: float = setting(..., "voxel size", unit="nm", gt=0.0)


class SegmentVoidsStage(SegmentVoidsSettings):
    """Stage ``segment_voids``."""

    mask: VolumeSource | None = setting(..., "the user's mask of the particles; paths are absolute")


class MeasureVoidsStage(MeasureVoidsSettings):
    """Stage ``measure_voids``, which repeats the segmentation with resampled noise."""

    segment: SegmentVoidsStage = setting(..., "settings of the segmentation of the voids")


class LithiateStage(MechanicsSettings):
    """Stage ``lithiate``: the particle, its wetted surface and its lithium."""

    labels: VolumeSource | None = setting(..., "labels of the particle; paths are absolute")
    voxel_nm: float | None = setting(..., "voxel size of labels", unit="nm")
    particle: int | None = setting(..., "number of the particle; empty: the largest")
    max_voxels: float = setting(..., "larger particles are averaged", unit="voxels")
    replicates: int = setting(..., "segmentations with more noise")
    seed: int = setting(..., "seed of the random numbers")
    tolerance: float = setting(..., "relative residual of the solver")
    most_iterations: int = setting(..., "largest number of iterations")
    segment: SegmentVoidsStage | None = setting(..., "settings of the segmentation of the voids")


class SolveStressStage(MechanicsSettings):
    """Stage ``solve_stress``: stress of each lithium profile, and of variants of the particle."""

    tolerance: float = setting(..., "relative residual of the solver")
    most_iterations: int = setting(..., "largest number of iterations")


class MeasureStressStage(MechanicsSettings):
    """Stage ``measure_stress``: tables."""

    shells: int = setting(..., "number of shells of equal volume from rim to centre", ge=1)


class NormalizeMapStage(Settings):
    """Stage ``normalize_map``, one raw map."""

    element: str = setting(..., "the element")
    source: MapSource = setting(..., "files of the map; paths are absolute")


class CalibrateMapStage(CalibrateMapSettings):
    """Stage ``calibrate_map``, one map."""

    name: str = setting(..., "name of the map")
    emission_offset_ev: float | None = setting(
        ..., "energy to add to the emission energies; None: found with the elastic line", unit="eV"
    )


class ElementMapsStage(YieldSettings):
    """Settings of the maps of one element in ``measure_scattering``."""

    references: tuple[tuple[float, ReferenceSource], ...] = setting(
        ..., "valence and source of each reference, by increasing valence; paths are absolute"
    )


class MeasureScatteringStage(Settings):
    """Stage ``measure_scattering``, all maps."""

    maps: tuple[str, ...] = setting(..., "names of the maps: O first, then by atomic number")
    pairs: tuple[tuple[str, str], ...] = setting(..., "pairs of maps to compare")
    elements: dict[str, ElementMapsStage] = setting(..., "windows and references by element")
    feature: FeatureSettings = setting(..., "the feature of O that is compared")
    self_absorption: SelfAbsorptionSettings | None = setting(..., "correction of the partial yield")
    fit: FitValenceSettings = setting(..., "fit of the yields")


class ExportStage(ExportSettings):
    """The stages ``export_<branch>``."""

    sample: str = setting(..., "name of the sample, the name of the image")


class RegisterBranchesStage(RegisterBranchesSettings):
    """Stage ``register_branches``: composition and structure of one sample."""


class ReportStage(Settings):
    """Stage ``report``, one per sample."""

    sample: str = setting(..., "name of the sample")
    branches: tuple[Branch, ...] = setting(..., "the branches of the sample")


class ComparisonStage(Settings):
    """Stage ``comparison``, one for all samples."""

    groups: tuple[tuple[str, tuple[str, ...]], ...] = setting(
        ..., "groups in the order of the configuration: name, samples"
    )
    charge_balance: ChargeBalanceSettings | None = setting(
        None, "charge balance of groups that are states of charge; empty: none"
    )
    states: tuple[str, ...] = setting(
        (), "states of the charge balance in order: keys of a mapping lose theirs on the way here"
    )

    @property
    def balance(self) -> ChargeBalanceSettings | None:
        """The charge balance with its states in order; None without one."""
        if self.charge_balance is None:
            return None
        known = self.charge_balance.states
        states = {name: known.get(name, ChargeStateSettings()) for name in self.states}
        return self.charge_balance.model_copy(update={"states": states})
