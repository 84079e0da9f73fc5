"""Check a stack and its reference spectra before a run."""

from contextlib import suppress

import numpy as np

from oxytomo.check.plausible import require_files, require_plausible
from oxytomo.check.series import (
    ENERGY_TOLERANCE_EV,
    PIXEL_TOLERANCE,
    SeriesFacts,
    copied_series,
    ends_of,
    with_values,
)
from oxytomo.config import OxidationConfig, StackSource, source_files
from oxytomo.config.plan import reference_files
from oxytomo.config.stage_settings import FitValenceStage
from oxytomo.errors import PipelineError
from oxytomo.io.readers.spectral import SpectralStack
from oxytomo.io.references import read_references
from oxytomo.oxidation.fit_setup import FitOptions, line_facts, prepared_references
from oxytomo.preprocess.empty_region import given_region
from oxytomo.preprocess.plausible import looked_at
from oxytomo.stages.sources import open_stack


def stack_facts(place: str, config: OxidationConfig, element: str) -> SpectralStack:
    """Open the stack of an element and check the given empty region; its frames are not read."""
    source = config.stacks[element]
    require_files(place, source_files(source))
    stack = open_stack(source)
    require_plausible(place, None, stack.pixel_nm, float(np.max(stack.energy_ev)))
    if config.normalize.air is not None:
        given_region(config.normalize.air, stack.shape[1:], name=element)
    return stack


def facts_of_stack(place: str, stack: SpectralStack) -> SeriesFacts:
    """Return facts of a stack and some frames; refuse values that its quantity cannot have."""
    energy = stack.energy_ev
    facts = SeriesFacts(
        place=place,
        shape=stack.shape,
        tilt_deg=(),
        energy_ev=float("nan"),
        pixel_nm=stack.pixel_nm,
        quantity=stack.quantity,
        n_flat=stack.n_flat,
        energy_range_ev=(float(energy.min()), float(energy.max())),
        n_dark=stack.n_dark,
        ends=ends_of(stack.files, energy, " eV"),
    )
    return with_values(facts, [stack.frame(index) for index in looked_at(stack.shape[0])])


def stack_remarks(place: str, source: StackSource, stack: SpectralStack) -> list[str]:
    """Return warnings about a stack: values that differ from the file, a missing pixel size."""
    remarks = []
    if not np.isfinite(stack.pixel_nm):
        remarks.append(f"{place}: the pixel size is not known; images get 1 nm per pixel: give 'pixel_nm:'")
    plain = source.model_copy(update={"energies": None, "pixel_nm": None})
    said = None
    with suppress(PipelineError):
        said = open_stack(plain) if source.energies is not None or source.pixel_nm is not None else None
    if said is None:
        return remarks
    if source.energies is not None and np.abs(said.energy_ev - stack.energy_ev).max() > ENERGY_TOLERANCE_EV:
        remarks.append(
            f"{place}: the energies given ({stack.energy_ev[0]:g} eV for the first frame, {stack.energy_ev[-1]:g} eV for "
            f"the last) are used; the file says {said.energy_ev[0]:g} and {said.energy_ev[-1]:g} eV"
        )
    if source.pixel_nm is not None and abs(said.pixel_nm / source.pixel_nm - 1) > PIXEL_TOLERANCE:
        remarks.append(
            f"{place}: pixel_nm {source.pixel_nm:g} nm is used; the file says {said.pixel_nm:g} nm"
        )
    return remarks


def check_references(place: str, config: OxidationConfig, element: str, stack: SpectralStack) -> list[str]:
    """Read the references, interpolate them to the energies of the stack, and return remarks.

    Raises
    ------
    PipelineError
        If references are missing, too short, identical or swapped, or the energies contain no edge.
    """
    require_files(place, reference_files(config, element))
    settings = FitValenceStage(
        **dict(config.fit_of(element)), element=element, references=config.spectra_of(element)
    )
    energy = np.sort(stack.energy_ev)
    if not settings.references:
        line_facts(energy, settings.options(FitOptions))
        return []
    offset = settings.energy_offset_ev if isinstance(settings.energy_offset_ev, float) else 0.0
    references, options = read_references(settings.references), settings.options(FitOptions)
    return list(prepared_references(energy + offset, references, options).remarks)


def check_stacks(
    config: OxidationConfig, sample: str
) -> tuple[dict[str, SeriesFacts], list[PipelineError], list[str]]:
    """Check the stacks of a branch, their energies and the reference spectra."""
    problems: list[PipelineError] = []
    warnings: list[str] = []
    facts: dict[str, SeriesFacts] = {}
    for element in config.measured:
        place = f"samples.{sample}.oxidation"
        try:
            stack = stack_facts(f"{place}.stacks.{element}", config, element)
            facts[element] = facts_of_stack(f"{place}.stacks.{element}", stack)
            warnings += stack_remarks(f"{place}.stacks.{element}", config.stacks[element], stack)
            warnings += check_references(f"{place}.references.{element}", config, element, stack)
        except PipelineError as error:
            problems.append(error)
    problems += copied_series(facts)
    return facts, problems, warnings
