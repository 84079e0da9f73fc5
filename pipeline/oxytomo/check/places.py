"""Place of a raw series in the configuration."""

from oxytomo.config import ChemicalStateConfig, StructureConfig, TomogramConfig
from oxytomo.config.quantities import BranchConfig


def place_of(config: BranchConfig, branch: str, series: str) -> str:
    """Return the place of a series in the configuration."""
    if isinstance(config, TomogramConfig):
        return f"{branch}.source"
    if isinstance(config, ChemicalStateConfig):
        element, _, number = series.partition("_")
        return f"{branch}.series.{element} {number}"
    if isinstance(config, StructureConfig):
        return f"{branch}.{series.replace('distance_', 'projections ')}"
    element, _, side = series.partition("_")
    if side.isdigit():
        return f"{branch}.edges.{element}.more {int(side) - 2}"
    return f"{branch}.edges.{element}.{side}" if side else f"{branch}.elements.{element}"
