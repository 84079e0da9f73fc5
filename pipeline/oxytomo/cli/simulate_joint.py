"""``oxytomo simulate --kind joint``: series for composition and valence together, and the truth."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from oxytomo.cli.simulate_folder import make_folder, writable
from oxytomo.cli.simulate_states import reference_text
from oxytomo.errors import ConfigError
from oxytomo.simulate import demonstration as demo

if TYPE_CHECKING:
    from oxytomo.arrays import Spectrum, TiltSeries
    from oxytomo.simulate.joint import JointTruth


def write_joint(arguments: argparse.Namespace) -> int:
    """Simulate and write; return the exit code."""
    from oxytomo.io.readers.data_exchange import write_data_exchange
    from oxytomo.simulate.energy_stack import EDGE_SPAN_EV

    metals = [element for element in arguments.elements if element != "O"]
    element = metals[0]
    if element not in EDGE_SPAN_EV:
        raise ConfigError(
            "--elements",
            expected=f"one of {', '.join(EDGE_SPAN_EV)} as the first metal",
            got=element,
            fix="give e.g. --elements O Mn Ni",
        )
    series, truth, references = _simulated(arguments, element)
    folder: Path = arguments.folder
    with writable(folder):
        make_folder(folder, joint_configuration(element, list(series), list(references)), ("raw", "refs"))
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
    arguments: argparse.Namespace, element: str
) -> "tuple[dict[str, TiltSeries], JointTruth, dict[float, Spectrum]]":
    """Return the raw series by name, the truth, and the references by valence."""
    from oxytomo.simulate.acquisition import Acquisition
    from oxytomo.simulate.joint import further_energies_ev, joint_particle, simulate_joint
    from oxytomo.simulate.states import state_references

    references = state_references(element)
    low, high = min(references), max(references)
    field_nm = arguments.size * arguments.pixel_nm
    diameter_nm = arguments.diameter_nm or min(0.7 * field_nm, demo.JOINT_DIAMETER_NM)
    rng = np.random.default_rng(arguments.seed)
    phantom = joint_particle(
        rng,
        formula=demo.FORMULA,
        element=element,
        high_share=(demo.STATE_VALENCE - low) / (high - low),
        diameter_nm=diameter_nm,
        deviation=demo.JOINT_DEVIATION,
        share_step=demo.STATE_STEP / (high - low),
        uniform=arguments.uniform,
    )
    usual = demo.acquisition(
        arguments.elements,
        size=arguments.size,
        n_tilts=arguments.tilts,
        photons=arguments.photons,
        pixel_nm=arguments.pixel_nm,
        jitter_px=arguments.jitter_px,
    )
    energies = {}
    for name, energy in usual.energies_ev.items():
        energies[name] = energy
        if name == f"{element}_post":
            energies |= further_energies_ev(element, arguments.energies)
    series, truth = simulate_joint(
        phantom,
        Acquisition(**{**vars(usual), "energies_ev": energies}),
        references,
        element=element,
        formula=demo.FORMULA,
        density_g_cm3=demo.DENSITY_G_CM3,
        rng=rng,
    )
    return series, truth, references


def joint_configuration(element: str, names: list[str], valences: list[float]) -> str:
    """Return a configuration for the simulated files."""
    edges: dict[str, dict[str, object]] = {}
    for name in names:
        symbol, _, side = name.partition("_")
        if side in ("pre", "post"):
            edges.setdefault(symbol, {})[side] = f"raw/{name}.h5"
    edges[element]["more"] = [f"raw/{name}.h5" for name in names if name[-1].isdigit()]
    composition = {
        "edges": edges,
        "references": {element: {f"{value:g}": f"refs/{element}_{value:g}.csv" for value in valences}},
        "formula": demo.FORMULA,
        "density_g_cm3": demo.DENSITY_G_CM3,
    }
    branches = {"composition": composition, "chemical_state": {"series": "composition"}}
    text = yaml.safe_dump({"samples": {"particle": branches}}, sort_keys=False)
    return f"# Simulated tilt series; the truth is in truth.npz.\nresults: results\n{text}"
