"""Wavelength, refractive index, and the parallel beam equivalent to a cone beam."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xraydb

from oxytomo.errors import ConfigError

HC_EV_NM = 1239.841984
"""Planck's constant times the speed of light."""


@dataclass(frozen=True)
class Distance:
    """One detector position in the equivalent parallel beam.

    Attributes
    ----------
    effective_nm : propagation distance of the equivalent parallel beam
    magnification : size on the detector over size in the object; 1 for a parallel beam
    """

    effective_nm: float
    magnification: float


def wavelength_nm(energy_ev: float) -> float:
    """Wavelength of a photon."""
    return HC_EV_NM / energy_ev


def equivalent_distance(*, sample_detector_mm: float, source_sample_mm: float | None) -> Distance:
    """Parallel beam equivalent to a cone beam (Fresnel scaling theorem; Pogany et al. 1997).

    ``M = (z1 + z2) / z1`` and ``z = z2 / M`` with z1 from source to sample and z2 from sample to
    detector. Without a source distance the beam is parallel.
    """
    if not sample_detector_mm > 0 or (source_sample_mm is not None and not source_sample_mm > 0):
        raise ConfigError(
            "distance",
            expected="distances above 0",
            got=f"sample to detector {sample_detector_mm:g} mm, source to sample {source_sample_mm} mm",
            fix="give sample_detector_mm, and source_sample_mm for a cone beam",
        )
    magnification = 1.0 if source_sample_mm is None else 1 + sample_detector_mm / source_sample_mm
    return Distance(sample_detector_mm * 1e6 / magnification, magnification)


def refractive_index(
    formula: Mapping[str, float], *, density_g_cm3: float, energy_ev: float
) -> tuple[float, float]:
    """Decrement δ and absorption index β of ``n = 1 − δ + iβ``, tabulated (xraydb, Chantler)."""
    text = "".join(f"{element}{amount:.6f}" for element, amount in formula.items())
    delta, beta, _ = xraydb.xray_delta_beta(text, density_g_cm3, energy_ev)
    return float(delta), float(beta)


def diffraction_limit_nm(*, wavelength: float, distance_nm: float, width_nm: float) -> float:
    """Finest detail that a hologram of this width contains, ``λ z / width``.

    Light diffracted by finer details leaves the frame.
    """
    return wavelength * distance_nm / width_nm


def cone_displacement_px(*, n_rows: int, n_columns: int, pixel_nm: float, source_sample_mm: float) -> float:
    """Largest displacement, in pixels, when a cone beam is reconstructed as a parallel one.

    A point at depth y (at most half the field's width) is magnified by ``1 + y / z1`` more than the
    axis, so a point at the corner of the field, at (h, s) from the optical axis, moves on the
    detector by ``hypot(h, s) · y / z1``.
    """
    corner = float(np.hypot(n_rows, n_columns)) / 2
    return corner * (n_columns / 2 * pixel_nm) / (source_sample_mm * 1e6)
