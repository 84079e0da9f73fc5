"""Check the series and references of the chemical-state branch."""

from collections.abc import Iterator, Mapping

import numpy as np

from oxytomo.check.plausible import require_files
from oxytomo.check.series import SeriesFacts
from oxytomo.config import ChemicalStateConfig, CompositionConfig
from oxytomo.config.plan import reference_files
from oxytomo.config.stage_settings import DecomposeStatesStage
from oxytomo.errors import InputError, PipelineError

SAME_ENERGY_EV = 0.01


def state_problems(
    config: ChemicalStateConfig, facts: Mapping[str, SeriesFacts], place: str, warnings: list[str]
) -> Iterator[PipelineError]:
    """Yield what is wrong with the energies and references of each element, and add warnings."""
    for element in config.measured:
        own = {name: facts[name] for name in config.names_of(element)}
        unknown = [fact.place for fact in own.values() if not np.isfinite(fact.energy_ev)]
        if unknown:
            yield InputError(
                unknown[0],
                expected="a photon energy",
                got="none in the file",
                fix="give 'energy_ev:' beside the images",
            )
            continue
        yield from _same_energies(own)
        try:
            energies = [fact.energy_ev for fact in own.values()]
            warnings += _check_spectra(config, element, energies, place)
        except PipelineError as error:
            yield error


def joint_problems(config: CompositionConfig, facts: Mapping[str, SeriesFacts]) -> Iterator[PipelineError]:
    """Yield what is wrong with the energies and references of elements of a composition."""
    # Imported late, as below.
    from oxytomo.chemical_state.joint import measured_edges
    from oxytomo.io.references import read_references

    place = next(iter(facts.values())).place.partition(".edges.")[0]
    for element in config.references:
        own = {name: fact for name, fact in facts.items() if name.startswith(f"{element}_")}
        yield from _same_energies(own)
        try:
            require_files(f"{place}.references.{element}", reference_files(config, element))
            measured_edges(
                list(facts),
                np.array([fact.energy_ev for fact in facts.values()]),
                {element: read_references(config.spectra_of(element))},
                config.formula or {},
                density_g_cm3=config.density_g_cm3,
                normalized=config.references_normalized,
            )
        except PipelineError as error:
            yield error


def _same_energies(facts: Mapping[str, SeriesFacts]) -> Iterator[PipelineError]:
    seen: list[SeriesFacts] = []
    for fact in facts.values():
        for other in seen:
            if abs(fact.energy_ev - other.energy_ev) < SAME_ENERGY_EV:
                yield InputError(
                    fact.place,
                    expected="an energy of its own",
                    got=f"{fact.energy_ev:g} eV, the energy of {other.place}",
                    fix="correct 'energy_ev:', or leave out one of the two",
                )
        seen.append(fact)


def _check_spectra(config: ChemicalStateConfig, element: str, energies: list[float], place: str) -> list[str]:
    """Raise if references are missing, too short, swapped or not separated by the energies.

    Returns a warning if there are none: they may be forgotten.
    """
    # Imported late: they bring Numba, which a command that only looks does not need.
    from oxytomo.chemical_state.own_spectra import OwnOptions, require_energies
    from oxytomo.chemical_state.spectra import SpectraOptions, component_spectra
    from oxytomo.io.references import read_references

    require_files(f"{place}.references.{element}", reference_files(config, element))
    settings = DecomposeStatesStage(
        **dict(config.decompose),
        method=config.method,
        element=element,
        series=config.names_of(element),
        references=config.spectra_of(element),
        formula=config.formula,
        density_g_cm3=config.density_g_cm3,
    )
    if not settings.references:
        require_energies(np.array(energies), settings.options(OwnOptions))
        return [
            f"{place}.references.{element}: none are given, so the volume will be the energy of the white line, not a "
            "valence"
        ]
    offset = settings.energy_offset_ev if isinstance(settings.energy_offset_ev, float) else 0.0
    references = read_references(settings.references)
    component_spectra(np.array(energies) + offset, references, settings.options(SpectraOptions))
    return []
