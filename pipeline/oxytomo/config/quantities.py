"""Defaults for the quantity of the pixels and for the incident intensity."""

from oxytomo.arrays import Quantity
from oxytomo.config.chemical_state import ChemicalStateConfig
from oxytomo.config.composition import ArealDensityConfig, CompositionConfig, TomogramConfig
from oxytomo.config.mechanics import MechanicsConfig
from oxytomo.config.oxidation import OxidationConfig
from oxytomo.config.scattering import ScatteringConfig
from oxytomo.config.structure import StructureConfig

BranchConfig = (
    CompositionConfig
    | ArealDensityConfig
    | TomogramConfig
    | ChemicalStateConfig
    | OxidationConfig
    | StructureConfig
    | MechanicsConfig
    | ScatteringConfig
)


def default_quantity(config: BranchConfig) -> Quantity:
    """Return the default quantity of the pixels of a branch; element and phase maps are signals."""
    if isinstance(config, StructureConfig):
        return "signal" if config.phase_maps is not None else "counts"
    return "signal" if isinstance(config, CompositionConfig) and config.elements is not None else "counts"


def light_from_air(config: BranchConfig) -> bool:
    """Return True if the incident intensity comes from the empty region of each frame.

    This applies to counts without flat frames.

    A single image of a scanned beam has no other source; tilt series need a region from the user.
    """
    if isinstance(config, ScatteringConfig):
        return False
    if isinstance(config, OxidationConfig):
        return config.normalize.air_rescale
    if isinstance(config, MechanicsConfig):
        return False
    return isinstance(config, ArealDensityConfig) or config.normalize.air is not None
