"""Read the results of the scattering branch."""

import numpy as np

from oxytomo.results.files import Files
from oxytomo.results.records import Scattering, ScatteringMap, ScatteringPair


def read_scattering(files: Files) -> Scattering | None:
    """Return the results of the scattering branch, None before they are measured."""
    needed = ("measure", "summary", "yields", "cuts", "valences")
    if any(f"scattering_{key}" not in files for key in needed):
        return None
    measured, content = files.store("scattering_measure"), files.json("scattering_summary")
    yields, cuts, valences = (files.table(f"scattering_{key}") for key in needed[2:])
    assert measured is not None
    assert content is not None
    assert yields is not None
    assert cuts is not None
    assert valences is not None
    maps = []
    for name in map(str, measured.attributes["maps"]):
        store = files.store(f"scattering_calibrate_{name}")
        if store is not None:
            maps.append(
                ScatteringMap(
                    name=name,
                    element=str(store.attributes["element"]),
                    excitation_ev=store["excitation_ev"],
                    emission_ev=store["emission_ev"],
                    intensity=np.asarray(store["intensity"], np.float64),
                    facts=content["maps"][name],
                )
            )
    pairs = []
    for (first, second), facts in zip(measured.attributes["pairs"], content["pairs"], strict=True):
        key = f"{first}-{second}"
        arrays = [
            measured[f"{key}.{array}"] for array in ("excitation_ev", "emission_ev", "difference", "error")
        ]
        pairs.append(ScatteringPair(facts, *arrays))
    return Scattering(maps, pairs, yields, cuts, valences)
