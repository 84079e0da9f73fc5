"""``oxytomo simulate --kind chemical-state``: tilt series at many energies, references, truth."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from oxytomo.cli.simulate_folder import make_folder, writable
from oxytomo.errors import ConfigError
from oxytomo.simulate import demonstration as demo

if TYPE_CHECKING:
    from oxytomo.arrays import Spectrum, TiltSeries
    from oxytomo.simulate.states import StateTruth


def write_states(arguments: argparse.Namespace) -> int:
    """Simulate and write; return the exit code."""
    from oxytomo.io.readers.data_exchange import write_data_exchange

    element, series, truth, references = _simulated(arguments)
    names = list(series)
    folder: Path = arguments.folder
    with writable(folder):
        make_folder(folder, state_configuration(element, names), ("raw", "refs"))
        for name, recorded in series.items():
            write_data_exchange(folder / "raw" / f"{name}.h5", recorded)
        for valence, spectrum in references.items():
            path = folder / "refs" / f"{element}_{valence:g}.csv"
            path.write_text(reference_text(spectrum), encoding="utf-8")
        np.savez_compressed(folder / "truth.npz", allow_pickle=False, **vars(truth))
    sys.stdout.write(f"{len(series)} tilt series in {folder / 'raw'}, truth in {folder / 'truth.npz'}\n")
    sys.stdout.write(f"next: oxytomo run {folder / 'config.yaml'}\n")
    return 0


def _simulated(
    arguments: argparse.Namespace,
) -> "tuple[str, dict[str, TiltSeries], StateTruth, dict[float, Spectrum]]":
    """Return the element, the raw series by name, the truth, and the references by valence."""
    from oxytomo.simulate.acquisition import Acquisition
    from oxytomo.simulate.energy_stack import EDGE_SPAN_EV
    from oxytomo.simulate.states import (
        simulate_states,
        state_energies_ev,
        state_particle,
        state_references,
    )

    element = (arguments.elements or ["Ni"])[0]
    if len(arguments.elements or ["Ni"]) > 1 or element not in EDGE_SPAN_EV:
        raise ConfigError(
            "--elements",
            expected=f"one of {', '.join(EDGE_SPAN_EV)}",
            got=" ".join(arguments.elements),
            fix="give e.g. --elements Ni",
        )
    energies = state_energies_ev(element, arguments.energies)
    names = [f"{element}_{number}" for number in range(1, 1 + energies.size)]
    references = state_references(element)
    diameter_nm = arguments.diameter_nm or 0.7 * arguments.size * arguments.pixel_nm
    rng = np.random.default_rng(arguments.seed)
    phantom = state_particle(
        rng,
        valences=(min(references), max(references)),
        diameter_nm=diameter_nm,
        base_valence=demo.STATE_VALENCE,
        step=demo.STATE_STEP,
        n_domains=6,
        n_pores=3,
        uniform=arguments.uniform,
    )
    usual = demo.acquisition(
        ["O"],
        size=arguments.size,
        n_tilts=arguments.tilts,
        photons=arguments.photons,
        pixel_nm=arguments.pixel_nm,
        jitter_px=arguments.jitter_px,
    )
    acquisition = Acquisition(
        **{
            **vars(usual),
            "energies_ev": dict(zip(names, energies.tolist(), strict=True)),
            # Within one edge the magnification of a zone plate changes by its energy alone.
            "magnification_spread": 0.5 * float(np.ptp(energies) / energies.mean()),
        }
    )
    series, truth = simulate_states(
        phantom,
        acquisition,
        references,
        largest_od=demo.STATE_LARGEST_OD,
        diameter_nm=diameter_nm,
        rng=rng,
    )
    return element, series, truth, references


def reference_text(spectrum: "Spectrum") -> str:
    """Return a spectrum as the text of a CSV file."""
    rows = zip(spectrum.energy_ev, spectrum.absorption, strict=True)
    return "\n".join(["energy_ev,absorption", *(f"{ev:.2f},{mu:.6g}" for ev, mu in rows)]) + "\n"


def state_configuration(element: str, names: list[str]) -> str:
    """Return a configuration for the simulated files."""
    branch = {
        "series": {element: [f"raw/{name}.h5" for name in names]},
        "references": {element: {valence: f"refs/{element}_{valence}.csv" for valence in ("2", "4")}},
    }
    text = yaml.safe_dump({"samples": {"particle": {"chemical_state": branch}}}, sort_keys=False)
    return f"# Simulated tilt series; the truth is in truth.npz.\nresults: results\n{text}"
