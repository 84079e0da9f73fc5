"""Stage ``measure_scattering``: yields, cuts, valences and differences of calibrated maps."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.config import MeasureScatteringStage as Settings
from oxytomo.io.emission_stores import difference_arrays, measured_map
from oxytomo.io.emission_tables import CUT_COLUMNS, VALENCE_COLUMNS, YIELD_COLUMNS, write_table
from oxytomo.io.references import files_of, read_references
from oxytomo.io.stores import read_store, write_store
from oxytomo.io.tables import write_json
from oxytomo.oxidation.fit_setup import FitOptions
from oxytomo.scattering import summary as scattering
from oxytomo.scattering.definitions import SCATTERING_DEFINITIONS
from oxytomo.scattering.feature import FeatureOptions
from oxytomo.scattering.valences import yield_valence
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``calibrate_<map>`` and the references; write tables, summary and ``store``."""
    maps = {name: measured_map(name, read_store(inputs[f"calibrate_{name}"])) for name in settings.maps}
    slab = settings.self_absorption
    sample = None if slab is None else slab.options(scattering.SampleSlab)
    rows: dict[str, list[dict[str, Any]]] = {"yields": [], "cuts": [], "valences": []}
    facts: dict[str, Any] = {}
    for name, one in maps.items():
        own = settings.elements[one.element]
        found = scattering.map_yields(one, own.options(scattering.YieldOptions), sample)
        fits = []
        if own.references:
            references = read_references(own.references)
            options = _fit_options(settings, one.element)
            fits = scattering.fitted_valences(
                found, lambda each, r=references, o=options: yield_valence(each, r, o)
            )
        rows["yields"] += scattering.yield_rows(one, found)
        rows["cuts"] += scattering.cut_rows(one, found)
        rows["valences"] += [scattering.valence_row(one, *fit) for fit in fits]
        facts[name] = scattering.map_summary(one, found, fits)
    feature = settings.feature.options(FeatureOptions)
    rng = np.random.default_rng(settings.feature.seed)
    pairs = [
        scattering.compared_pair(maps[first], maps[second], feature, rng=rng)
        for first, second in settings.pairs
    ]
    for table, columns in (("yields", YIELD_COLUMNS), ("cuts", CUT_COLUMNS), ("valences", VALENCE_COLUMNS)):
        write_table(outputs[table], rows[table], columns)
    compared = [scattering.pair_summary(pair, feature) for pair in pairs]
    content = {"maps": facts, "pairs": compared, "valences": rows["valences"]}
    write_json(outputs["summary"], {**content, "definitions": SCATTERING_DEFINITIONS})
    references = {
        key: path for own in settings.elements.values() for key, path in files_of(own.references).items()
    }
    differences = {
        (pair.first.name, pair.second.name): (pair.difference, pair.first.calibrated.map) for pair in pairs
    }
    write_store(
        outputs["store"],
        difference_arrays(differences),
        provenance=context.provenance({**inputs, **references}),
        attributes={"maps": list(settings.maps), "pairs": [list(pair) for pair in settings.pairs]},
    )
    context.log(f"{len(maps)} maps, {len(pairs)} pairs, {len(rows['valences'])} valences")


def _fit_options(settings: Settings, element: str) -> FitOptions:
    """Return the options of a fit, for one element."""
    names = [one.name for one in fields(FitOptions) if one.name != "element"]
    return FitOptions(element=element, **{name: getattr(settings.fit, name) for name in names})
