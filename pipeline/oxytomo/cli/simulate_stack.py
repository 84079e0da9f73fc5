"""``oxytomo simulate --kind xanes``: stacks, references, ground truth and configuration."""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from oxytomo.cli.simulate_folder import make_folder, writable
from oxytomo.simulate import demonstration as demo


def write_stacks(arguments: argparse.Namespace) -> int:
    """Simulate and write; return the exit code."""
    from oxytomo.io.readers.data_exchange import write_energy_stack
    from oxytomo.simulate.energy_stack import EDGE_SPAN_EV, simulate_stack

    elements = arguments.elements or list(EDGE_SPAN_EV)
    folder: Path = arguments.folder
    rng = np.random.default_rng(arguments.seed)
    truth: dict[str, Any] = {}
    with writable(folder):
        make_folder(folder, stack_configuration(elements), ("raw", "refs"))
        for element in elements:
            stack = simulate_stack(
                demo.stack_acquisition(
                    element,
                    law="uniform" if arguments.uniform else arguments.law,
                    size=arguments.size,
                    n_energies=arguments.energies,
                    photons=arguments.photons,
                    pixel_nm=arguments.pixel_nm,
                    jitter_px=arguments.jitter_px,
                ),
                rng=rng,
            )
            write_energy_stack(
                folder / "raw" / f"{element}_stack.h5",
                stack.frames,
                stack.energy_ev,
                pixel_nm=arguments.pixel_nm,
                quantity="counts",
                flat=stack.flat,
                dark=stack.dark,
            )
            for valence, spectrum in stack.references.items():
                rows = zip(spectrum.energy_ev, spectrum.absorption, strict=True)
                lines = ["energy_ev,absorption", *(f"{ev:.2f},{mu:.6g}" for ev, mu in rows)]
                path = folder / "refs" / f"{element}_{valence:g}.csv"
                path.write_text("\n".join(lines) + "\n", encoding="utf-8")
            truth |= {
                f"{element}_valence": stack.valence,
                f"{element}_edge_jump": stack.edge_jump,
                f"{element}_shift_px": stack.shift_px,
                f"{element}_energy_ev": stack.energy_ev,
                f"{element}_radius_nm": np.array(stack.radius_nm),
            }
        np.savez_compressed(folder / "truth.npz", allow_pickle=False, **truth)
    sys.stdout.write(f"{len(elements)} stacks in {folder / 'raw'}, truth in {folder / 'truth.npz'}\n")
    sys.stdout.write(f"next: oxytomo run {folder / 'config.yaml'}\n")
    return 0


def stack_configuration(elements: list[str]) -> str:
    """Return a configuration for the simulated stacks."""
    oxidation = {
        "stacks": {element: f"raw/{element}_stack.h5" for element in elements},
        "references": {
            element: {valence: f"refs/{element}_{valence}.csv" for valence in ("2", "3", "4")}
            for element in elements
        },
    }
    text = yaml.safe_dump({"samples": {"particle": {"oxidation": oxidation}}}, sort_keys=False)
    return f"# Simulated stacks; the truth is in truth.npz.\nresults: results\n{text}"
