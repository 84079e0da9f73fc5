"""Defaults of what pixels hold and where the light comes from, if nothing says it."""

from oxytomo.arrays import Quantity
from oxytomo.config.composition import ArealDensityConfig, CompositionConfig, TomogramConfig
from oxytomo.config.oxidation import OxidationConfig
from oxytomo.config.structure import StructureConfig

BranchConfig = CompositionConfig | ArealDensityConfig | TomogramConfig | OxidationConfig | StructureConfig


def default_quantity(config: BranchConfig) -> Quantity:
    """Return what the pixels of a branch hold by default: element and phase maps are signals."""
    if isinstance(config, StructureConfig):
        return "signal" if config.phase_maps is not None else "counts"
    return "signal" if isinstance(config, CompositionConfig) and config.elements is not None else "counts"


def light_from_air(config: BranchConfig) -> bool:
    """Return whether counts without flat frames take their light from the empty region.

    The empty region of each frame.

    A single image of a scanned beam has no other; tilt series do so only where the user gives the
    region.
    """
    if isinstance(config, OxidationConfig):
        return config.normalize.air_rescale
    return isinstance(config, ArealDensityConfig) or config.normalize.air is not None
