"""What can be wrong with a stack and its reference spectra before any work is done."""

import numpy as np

from pipeline.config import FitValenceStage, OxidationConfig, source_files
from pipeline.config.plan import reference_files
from pipeline.io.readers.spectral import SpectralStack
from pipeline.stages.fit_setup import prepared_references
from pipeline.stages.normalize_stack import given_region
from pipeline.stages.plausible import require_files, require_plausible
from pipeline.stages.sources import open_stack


def stack_facts(place: str, config: OxidationConfig, element: str) -> SpectralStack:
    """Open the stack of an element, and look whether a given empty region lies in it; its frames are not read."""
    source = config.stacks[element]
    require_files(place, source_files(source))
    stack = open_stack(source)
    require_plausible(place, None, stack.pixel_nm, float(np.max(stack.energy_ev)))
    if config.normalize.air is not None:
        given_region(config.normalize.air, stack.shape[1:], element=element)
    return stack


def check_references(place: str, config: OxidationConfig, element: str, stack: SpectralStack) -> list[str]:
    """Read the references and put them on the energies of the stack; returns remarks.

    Raises
    ------
    PipelineError
        For references that are missing, too short, alike or swapped, and for energies that span no edge.
    """
    require_files(place, reference_files(config, element))
    settings = FitValenceStage(
        **dict(config.fit_of(element)), element=element, references=config.spectra_of(element)
    )
    energy = np.sort(stack.energy_ev)
    offset = settings.energy_offset_ev if isinstance(settings.energy_offset_ev, float) else 0.0
    return list(prepared_references(element, energy + offset, settings).remarks)
