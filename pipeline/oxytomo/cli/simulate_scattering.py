"""``oxytomo simulate --kind scattering``: two maps, references, truth and configuration."""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from oxytomo.cli.simulate_folder import make_folder, writable
from oxytomo.errors import ConfigError

FEATURES = {"before": 0.03, "after": 0.09}
"""Strength of the feature, relative to the band above the edge."""
OXIDISED = {"before": (0.05, 0.05), "after": (0.25, 0.10)}
"""Fraction of oxidised oxygen in the bulk and at the surface."""
OFFSETS_EV = {"before": 0.62, "after": 0.55}


def write_maps(arguments: argparse.Namespace) -> int:
    """Simulate and write; return the exit code."""
    from oxytomo.simulate.scattering import MapAcquisition, oxygen_references, simulate_map

    _check(arguments)
    folder: Path = arguments.folder
    rng = np.random.default_rng(arguments.seed)
    truth: dict[str, Any] = {}
    with writable(folder):
        make_folder(folder, map_configuration(), ("raw", "refs"))
        for state, amount in (("before", 1.0), ("after", 0.9)):
            like = "before" if arguments.uniform else state
            made = simulate_map(
                MapAcquisition(
                    photons=arguments.photons,
                    resolution_ev=1.4,
                    offset_ev=OFFSETS_EV[state],
                    feature=FEATURES[like],
                    oxidised=OXIDISED[like][0],
                    oxidised_surface=OXIDISED[like][1],
                    background=0.05,
                    amount=amount,
                    step_ev=0.25,
                ),
                rng=rng,
            )
            write_nexus_map(folder / "raw" / f"O_{state}.h5", made)
            truth |= {
                f"O_{state}_offset_ev": np.array(OFFSETS_EV[state]),
                f"O_{state}_fwhm_ev": np.array(1.4),
                f"O_{state}_feature_counts": np.array(made.feature_counts),
                f"O_{state}_valence_bulk": np.array(-2.0 + OXIDISED[like][0]),
                f"O_{state}_valence_surface": np.array(-2.0 + OXIDISED[like][1]),
                f"O_{state}_expected": made.expected,
                f"O_{state}_absorption": made.absorption,
                f"O_{state}_excitation_ev": made.excitation_ev,
            }
        for valence, spectrum in oxygen_references().items():
            rows = zip(spectrum.energy_ev, spectrum.absorption, strict=True)
            lines = ["energy_ev,absorption", *(f"{ev:.2f},{mu:.6g}" for ev, mu in rows)]
            path = folder / "refs" / f"O_{-valence:g}.csv"
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        np.savez_compressed(folder / "truth.npz", allow_pickle=False, **truth)
    sys.stdout.write(f"2 maps in {folder / 'raw'}, truth in {folder / 'truth.npz'}\n")
    sys.stdout.write(f"next: oxytomo run {folder / 'config.yaml'}\n")
    return 0


def write_nexus_map(path: Path, made: Any) -> None:
    """Write a simulated map as NeXus, with flux and electron yield."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["default"] = "entry"
        entry = file.create_group("entry")
        entry.attrs.update({"NX_class": "NXentry", "default": "map"})
        group = entry.create_group("map")
        group.attrs.update({"NX_class": "NXdata", "signal": "counts"})
        group.attrs["axes"] = ["excitation_energy", "emission_energy"]
        group.create_dataset("counts", data=made.counts.astype(np.uint32), compression="gzip")
        for name, values in (
            ("excitation_energy", made.excitation_ev),
            ("emission_energy", made.emission_ev),
        ):
            group.create_dataset(name, data=values).attrs["units"] = "eV"
        group.create_dataset("flux", data=made.flux)
        group.create_dataset("tey", data=made.electron_yield)


def map_configuration() -> str:
    """Return a configuration for the simulated maps."""

    def source(state: str) -> dict[str, Any]:
        column = {"dataset": "entry/map/tey", "divide_by_flux": True}
        return {"images": f"raw/O_{state}.h5", "columns": {"TEY": column}}

    scattering = {
        "maps": {f"O_{state}": source(state) for state in ("before", "after")},
        "references": {"O": {"-2": "refs/O_2.csv", "-1": "refs/O_1.csv"}},
    }
    text = yaml.safe_dump({"samples": {"electrode": {"scattering": scattering}}}, sort_keys=False)
    return f"# Simulated maps; the truth is in truth.npz.\nresults: results\n{text}"


def _check(arguments: argparse.Namespace) -> None:
    """Refuse numbers of photons and elements that give no valid maps."""
    if not 1 <= arguments.photons <= 1e9:
        raise ConfigError(
            "--photons", expected="1 to 1e9", got=f"{arguments.photons:g}", fix="correct the option"
        )
    if arguments.elements not in (None, ["O"]):
        raise ConfigError(
            "--elements", expected="O", got=" ".join(arguments.elements), fix="leave it out for maps"
        )
