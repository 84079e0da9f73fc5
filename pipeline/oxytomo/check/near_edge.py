"""Check the measured spectra of a decomposition: near-edge factors, and substances."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from oxytomo.check.plausible import require_files
from oxytomo.check.series import SeriesFacts
from oxytomo.config import ArealDensityConfig, CompositionConfig
from oxytomo.config.near_edge import NearEdgeSettings
from oxytomo.errors import PipelineError


def near_edge_problems(
    config: CompositionConfig | ArealDensityConfig, facts: Mapping[str, SeriesFacts]
) -> Iterator[PipelineError]:
    """Yield what is wrong with spectra that near-edge factors are taken from."""
    from oxytomo.io.near_edge import factor_of_file

    terms = config.decompose.instrument
    given = {} if isinstance(terms, str) or isinstance(terms.near_edge, str) else terms.near_edge
    branch = next(iter(facts.values())).place.partition(".edges.")[0]
    for element, one in given.items():
        if not isinstance(one, NearEdgeSettings) or one.spectrum is None:
            continue
        path, at_ev = Path(one.spectrum), facts[f"{element}_post"].energy_ev
        try:
            require_files(f"{branch}.decompose.instrument.near_edge.{element}.spectrum", [path])
            factor_of_file(path, element, at_ev, error=one.error)
        except PipelineError as error:
            yield error
