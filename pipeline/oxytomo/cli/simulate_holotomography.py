"""``oxytomo simulate --kind holotomography``: holograms, ground truth and configuration."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from oxytomo.arrays import TiltSeries
from oxytomo.phase.optics import wavelength_nm
from oxytomo.simulate.holograms import HologramScan, simulate_holograms
from oxytomo.simulate.particles import uniform_particle
from oxytomo.units import NM_PER

ENERGY_EV = 17050.0
SOURCE_DETECTOR_MM = 1200.0
DISTANCE_RATIOS = (1.0, 1.04, 1.21, 1.52)
"""Focus-to-sample distances of a nano-holotomography scan relative to the first."""


def simulate(
    arguments: argparse.Namespace, formula: dict[str, float], density_g_cm3: float, rng: np.random.Generator
) -> tuple[dict[str, TiltSeries], dict[str, np.ndarray]]:
    """Return the raw series by name and the ground truth."""
    diameter_nm = arguments.diameter_nm or 0.6 * arguments.size * arguments.pixel_nm
    phantom = uniform_particle(
        rng=rng,
        formula=formula,
        diameter_nm=diameter_nm,
        n_pores=6,
        n_cracks=2,
        void_radius_nm=0.06 * diameter_nm,
    )
    sources = source_sample_mm(arguments)
    scan = HologramScan(
        energy_ev=ENERGY_EV,
        source_sample_mm=sources,
        sample_detector_mm=tuple(SOURCE_DETECTOR_MM - z1 for z1 in sources),
        tilt_deg=np.arange(arguments.tilts) * 180 / arguments.tilts,
        n_rows=arguments.size,
        n_cols=arguments.size,
        pixel_nm=arguments.pixel_nm,
        axis_offset_px=2.5,
        jitter_px=arguments.jitter_px,
        beam_drift=0.01,
        subsamples=2,
        photons_per_pixel=arguments.photons,
        n_flat=20,
        n_dark=5,
    )
    return simulate_holograms(phantom, scan, formula=formula, density_g_cm3=density_g_cm3, rng=rng)


def source_sample_mm(arguments: argparse.Namespace) -> tuple[float, ...]:
    """Distances from the focus at which light diffracted by one pixel stays in the frame."""
    first = arguments.size * arguments.pixel_nm**2 / wavelength_nm(ENERGY_EV) / NM_PER["mm"]
    return tuple(round(first * ratio, 4) for ratio in DISTANCE_RATIOS)


def raw_name(series: str) -> str:
    """Return the file name of a series."""
    return f"{series}.h5"


def configuration(arguments: argparse.Namespace, formula: dict[str, float], density_g_cm3: float) -> str:
    """Return a configuration for the simulated files."""
    entries: list[dict[str, Any]] = [
        {
            "images": str(Path("raw") / raw_name(f"distance_{number}")),
            "source_sample_mm": z1,
            "sample_detector_mm": round(SOURCE_DETECTOR_MM - z1, 4),
        }
        for number, z1 in enumerate(source_sample_mm(arguments), start=1)
    ]
    structure: dict[str, Any] = {
        "projections": entries,
        "voxel_nm": arguments.pixel_nm,
        "formula": formula,
        "density_g_cm3": density_g_cm3,
    }
    if arguments.jitter_px:
        structure["reconstruct"] = {"align_tilts": True}
    text = yaml.safe_dump({"samples": {"particle": {"structure": structure}}}, sort_keys=False)
    return f"# Simulated holograms; the truth is in truth.npz.\nresults: results\n{text}"
