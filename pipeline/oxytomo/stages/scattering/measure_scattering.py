"""Stage ``measure_scattering``: yields, cuts, valences and differences of calibrated maps."""

from dataclasses import fields
from pathlib import Path

from oxytomo.config.stage_settings import MeasureScatteringStage as Settings
from oxytomo.io.emission_stores import difference_arrays, measured_map
from oxytomo.io.emission_tables import write_tables
from oxytomo.io.references import files_of, read_references
from oxytomo.io.stores import read_store, write_store
from oxytomo.oxidation.fit_setup import FitOptions
from oxytomo.scattering.feature import FeatureOptions
from oxytomo.scattering.measuring import MeasureOptions, measure_maps
from oxytomo.scattering.summary import SampleSlab, YieldOptions
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``calibrate_<map>`` and the references; write tables, summary and ``store``."""
    maps = {name: measured_map(name, read_store(inputs[f"calibrate_{name}"])) for name in settings.maps}
    references = {element: read_references(own.references) for element, own in settings.elements.items()}
    found = measure_maps(maps, references, _options(settings))
    write_tables(outputs, found)
    files = {
        f"{element}_{key}": path
        for element, own in settings.elements.items()
        for key, path in files_of(own.references).items()
    }
    write_store(
        outputs["store"],
        difference_arrays(found.pairs),
        provenance=context.provenance({**inputs, **files}),
        attributes={"maps": list(settings.maps), "pairs": [list(pair) for pair in settings.pairs]},
    )
    context.log(f"{len(maps)} maps, {len(found.pairs)} pairs, {len(found.valences)} valences")


def _options(settings: Settings) -> MeasureOptions:
    """Return the options of the numerical code."""
    names = [one.name for one in fields(FitOptions) if one.name != "element"]
    fit = {name: getattr(settings.fit, name) for name in names}
    slab = settings.self_absorption
    return MeasureOptions(
        yields={element: own.options(YieldOptions) for element, own in settings.elements.items()},
        slab=None if slab is None else slab.options(SampleSlab),
        feature=settings.feature.options(FeatureOptions),
        pairs=settings.pairs,
        fit={element: FitOptions(element=element, **fit) for element in settings.elements},
        seed=settings.feature.seed,
    )
