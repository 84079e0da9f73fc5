"""Settings of all stages, the configuration file, its schema and the plan of a run."""

from oxytomo.config.charge_balance import ChargeBalanceSettings, ChargeStateSettings
from oxytomo.config.chemical_state import ChemicalStateConfig
from oxytomo.config.composition import (
    ArealDensityConfig,
    CompositionConfig,
    EdgeSeries,
    TomogramConfig,
)
from oxytomo.config.instrument import InstrumentSettings
from oxytomo.config.load import config_error, load_config, parse_config, read_yaml, results_below
from oxytomo.config.mechanics import MaterialSettings, MechanicsConfig, MechanicsSettings
from oxytomo.config.oxidation import (
    FitValenceSettings,
    NormalizeStackSettings,
    OxidationConfig,
    RegisterStackSettings,
)
from oxytomo.config.patterns import expand
from oxytomo.config.project import Branch, ProjectConfig
from oxytomo.config.scattering import MapSource, ScatteringConfig
from oxytomo.config.settings import (
    AlignSettings,
    DecomposeSettings,
    DeviationSettings,
    NormalizeSettings,
    TomogramReconstructSettings,
)
from oxytomo.config.source import (
    AngleRamp,
    ImageSource,
    ReferenceSource,
    Source,
    StackSource,
    VolumeSource,
    source_files,
)
from oxytomo.config.structure import MeasureVoidsSettings, SegmentVoidsSettings, StructureConfig

__all__ = [
    "AlignSettings",
    "AngleRamp",
    "ArealDensityConfig",
    "Branch",
    "ChargeBalanceSettings",
    "ChargeStateSettings",
    "ChemicalStateConfig",
    "CompositionConfig",
    "DecomposeSettings",
    "DeviationSettings",
    "EdgeSeries",
    "FitValenceSettings",
    "ImageSource",
    "InstrumentSettings",
    "MapSource",
    "MaterialSettings",
    "MeasureVoidsSettings",
    "MechanicsConfig",
    "MechanicsSettings",
    "NormalizeSettings",
    "NormalizeStackSettings",
    "OxidationConfig",
    "ProjectConfig",
    "ReferenceSource",
    "RegisterStackSettings",
    "ScatteringConfig",
    "SegmentVoidsSettings",
    "Source",
    "StackSource",
    "StructureConfig",
    "TomogramConfig",
    "TomogramReconstructSettings",
    "VolumeSource",
    "config_error",
    "expand",
    "load_config",
    "parse_config",
    "read_yaml",
    "results_below",
    "source_files",
]
