"""Input of ``oxytomo simulate`` and of the library: a Li-rich layered oxide at four edges."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from oxytomo.arrays import Float64Array

if TYPE_CHECKING:
    from oxytomo.simulate.acquisition import Acquisition
    from oxytomo.simulate.energy_stack import Law, StackAcquisition
    from oxytomo.simulate.phantoms import Phantom

FORMULA: Final = {"Li": 1.2, "Mn": 0.56, "Ni": 0.16, "Co": 0.08, "O": 2.0}
DENSITY_G_CM3: Final = 4.2
EDGES: Final = {
    "O": ("K", 525.0, 540.0),
    "Mn": ("L", 636.0, 645.0),
    "Co": ("L", 772.0, 788.0),
    "Ni": ("L", 846.0, 866.0),
}
"""Edges with the energies below and on each, eV."""
TILT_LIMIT_DEG: Final = 65.0
SIZE, TILTS, PHOTONS, PIXEL_NM, JITTER_PX, ENERGIES = 96, 66, 20000.0, 12.0, 1.0, 100
"""Detector pixels in each direction, tilts, counts without sample, pixel, shifts, energies."""
STATE_ENERGIES: Final = 12
STATE_VALENCE, STATE_STEP, STATE_LARGEST_OD = 3.2, 0.3, 2.0
"""Valence of the particle, difference of its domains, optical density of the white line."""
JOINT_ENERGIES: Final = 4
JOINT_DEVIATION, JOINT_DIAMETER_NM = 0.15, 350.0
"""Energies beside the pair of an edge; TM/O over the reference, minus 1, where oxygen is missing;
largest diameter, because white lines of Mn are opaque in a thicker particle."""
APERTURES_PX: Final = (0.75, 1.0, 2.0, 3.0)
PORE_RADII_PX: Final = (2.0, 3.0, 3.0, 4.0, 5.0, 6.0, 8.0)
BLUR_PX, CONTRAST_TO_NOISE, SHADING = 1.0, 5.0, 0.05
"""The same for the volume with pores and cracks."""
DIFFUSION_DT_OVER_R2, SHELL_OVER_RADIUS = 0.01, 0.15
LARGEST_OD: Final = {"Mn": 1.5, "Co": 0.6, "Ni": 0.9}


def tilt_order_deg(n_tilts: int) -> Float64Array:
    """Return the tilts in the usual order: from near 0 to one end, then to the other.

    Parameters
    ----------
    n_tilts : number of tilts between both ends

    Returns
    -------
    (n_tilts,) float64, degrees
    """
    tilts = np.linspace(-TILT_LIMIT_DEG, TILT_LIMIT_DEG, n_tilts)
    return np.concatenate([tilts[tilts >= 0], tilts[tilts < 0][::-1]])


def particle(
    rng: np.random.Generator, *, diameter_nm: float, uniform: bool, formula: Mapping[str, float] = FORMULA
) -> "Phantom":
    """Return the particle, with domains or with uniform composition.

    Parameters
    ----------
    rng : random numbers
    diameter_nm : mean diameter
    uniform : the composition is the same throughout
    formula : atoms per formula unit
    """
    from oxytomo.simulate.particles import cathode_particle, uniform_particle

    if uniform:
        return uniform_particle(
            rng=rng,
            formula=formula,
            diameter_nm=diameter_nm,
            n_pores=6,
            n_cracks=1,
            void_radius_nm=0.06 * diameter_nm,
        )
    return cathode_particle(
        rng=rng,
        formula=formula,
        diameter_nm=diameter_nm,
        n_oxygen_poor=8,
        n_oxygen_rich=8,
        n_pores=6,
        n_cracks=1,
        rim_nm=0.0,
        void_radius_nm=0.06 * diameter_nm,
        deviation=(0.1, 0.25),
    )


def acquisition(
    elements: Sequence[str],
    *,
    size: int,
    n_tilts: int,
    photons: float,
    pixel_nm: float,
    jitter_px: float,
) -> "Acquisition":
    """Return how the particle is recorded, below and on an edge of each element.

    Parameters
    ----------
    elements : of :data:`EDGES`
    size : detector pixels in each direction
    n_tilts : tilts between ±65°
    photons : counts per pixel without sample
    pixel_nm : pixel size in the object plane
    jitter_px : standard deviation of the shift of each frame
    """
    from oxytomo.simulate.acquisition import Acquisition

    energies = {}
    for element in elements:
        _, energies[f"{element}_pre"], energies[f"{element}_post"] = EDGES[element]
    return Acquisition(
        energies_ev=energies,
        tilt_deg=tilt_order_deg(n_tilts),
        n_rows=size,
        n_cols=size,
        pixel_nm=pixel_nm,
        magnification_spread=0.004,
        jitter_px=jitter_px,
        drift_px=1.0,
        psf_px=0.6,
        subsamples=2,
        photons_per_pixel=photons,
        dark_level=100.0,
        beam_structure=0.05,
        i0_drift=0.01,
        hot_fraction=1e-4,
        n_flat=10,
        n_dark=5,
        noise=True,
        truth_subsamples=3,
    )


def stack_acquisition(
    element: str,
    *,
    law: "Law",
    size: int,
    n_energies: int,
    photons: float,
    pixel_nm: float,
    jitter_px: float,
) -> "StackAcquisition":
    """Return how a stack through the edge of one element is recorded.

    Parameters
    ----------
    element : Mn, Co or Ni
    law : law of the valence towards the surface
    size : detector pixels in each direction
    n_energies : number of energies
    photons : counts per pixel without sample
    pixel_nm : pixel size in the object plane
    jitter_px : three times the standard deviation of a frame's step, pixels
    """
    from oxytomo.simulate.energy_stack import StackAcquisition

    return StackAcquisition(
        element=element,
        n_energies=n_energies,
        n_rows=size,
        n_cols=size,
        pixel_nm=pixel_nm,
        n_particles=1,
        law=law,
        law_parameter=DIFFUSION_DT_OVER_R2 if law == "diffusion" else SHELL_OVER_RADIUS,
        core_valence=3.6,
        surface_valence=2.8,
        largest_od=LARGEST_OD.get(element, 1.0),
        photons_per_pixel=photons,
        drift_px=0.3 * jitter_px,
        i0_drift=0.01,
        dark_level=100.0,
        n_flat=1,
    )
