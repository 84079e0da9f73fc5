"""Simulated acquisitions with their ground truth, as arrays; see ``oxytomo simulate``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oxytomo.arrays import Brief, FloatArray, TiltSeries
from oxytomo.errors import ConfigError
from oxytomo.simulate import demonstration as demo
from oxytomo.simulate.acquisition import Truth, simulate_acquisition
from oxytomo.simulate.energy_stack import Law, SimulatedStack
from oxytomo.simulate.energy_stack import simulate_stack as record_stack
from oxytomo.simulate.phantoms import Phantom
from oxytomo.simulate.voids import VoidPhantom, photographed_rows, random_scene


@dataclass(frozen=True, eq=False, repr=False)
class SimulatedTilts(Brief):
    """A simulated dual-energy tilt series with its ground truth.

    Attributes
    ----------
    series : raw series by name, such as ``Mn_pre`` and ``Mn_post``, frames in acquisition order
    truth : densities, deviation and shifts, see :class:`oxytomo.simulate.acquisition.Truth`
    formula : atoms per formula unit of the reference composition
    density_g_cm3 : its mass density, g/cm³
    """

    series: Mapping[str, TiltSeries]
    truth: Truth
    formula: Mapping[str, float]
    density_g_cm3: float


@dataclass(frozen=True, eq=False, repr=False)
class SimulatedVoids(Brief):
    """A simulated phase-contrast volume with pores and cracks, with its ground truth.

    Attributes
    ----------
    volume : (n_z, n_y, n_x) float32, grey values: about 1 in the solid and 0 in the air
    truth : void shares and objects, see :class:`oxytomo.simulate.voids.VoidPhantom`
    """

    volume: FloatArray
    truth: VoidPhantom


def simulate_particle(
    *,
    diameter_nm: float = 0.7 * demo.SIZE * demo.PIXEL_NM,
    uniform: bool = False,
    formula: Mapping[str, float] = demo.FORMULA,
    seed: int | np.random.Generator = 0,
) -> Phantom:
    """Return a cathode particle with oxygen-poor and oxygen-rich domains, pores and a crack.

    Parameters
    ----------
    diameter_nm : mean diameter, nm
    uniform : uniform composition, as in a null run, in which every detected deviation is false
    formula : atoms per formula unit of the reference composition
    seed : seed of the random numbers, or a generator

    Returns
    -------
    Phantom: a sum of ``ellipsoids`` (centres and half axes in nm, amounts relative to the formula),
    and its ``elements``

    Raises
    ------
    ConfigError
        For an invalid formula or size.

    Examples
    --------
    >>> from oxytomo import simulate_particle
    >>> particle = simulate_particle(diameter_nm=500, seed=1)
    >>> particle.elements
    ('Li', 'Mn', 'Ni', 'Co', 'O')
    >>> sum(one.kind == "oxygen_poor" for one in particle.ellipsoids)
    8
    """
    rng = np.random.default_rng(seed)
    return demo.particle(rng, diameter_nm=diameter_nm, uniform=uniform, formula=formula)


def simulate_tilt_series(
    particle: Phantom | None = None,
    *,
    elements: Sequence[str] = tuple(demo.EDGES),
    size: int = demo.SIZE,
    n_tilts: int = demo.TILTS,
    photons: float = demo.PHOTONS,
    pixel_nm: float = demo.PIXEL_NM,
    jitter_px: float = demo.JITTER_PX,
    uniform: bool = False,
    formula: Mapping[str, float] = demo.FORMULA,
    density_g_cm3: float = demo.DENSITY_G_CM3,
    seed: int | np.random.Generator = 0,
) -> SimulatedTilts:
    """Simulate images of a particle below and on an edge of each element, at tilts up to ±65°.

    Line integrals are exact, counts are ``Poisson(beam · PSF(exp(−OD)) + dark)``. The same seed
    gives the frames that ``oxytomo simulate`` writes.

    Parameters
    ----------
    particle : result of :func:`simulate_particle`; None: a particle of 0.7 of the field of view
    elements : of O, Mn, Co and Ni; each gives two series
    size : detector pixels in each direction
    n_tilts : number of tilts
    photons : counts per pixel without a sample
    pixel_nm : pixel size in the object plane, nm
    jitter_px : standard deviation of the shift of each frame, px
    uniform : without ``particle``: simulate a uniform composition
    formula : atoms per formula unit of the reference composition
    density_g_cm3 : its mass density, g/cm³
    seed : seed of the random numbers, or a generator

    Returns
    -------
    SimulatedTilts

    Raises
    ------
    ConfigError
        For elements without a tabulated edge, or invalid sizes and counts.

    Examples
    --------
    >>> from oxytomo import simulate_tilt_series
    >>> recorded = simulate_tilt_series(elements=["O", "Ni"], size=24, n_tilts=5)
    >>> list(recorded.series)
    ['O_pre', 'O_post', 'Ni_pre', 'Ni_post']
    >>> recorded.series["O_pre"].frames.shape
    (5, 24, 24)
    """
    unknown = [name for name in elements if name not in demo.EDGES]
    if unknown or not elements or size < 1 or n_tilts < 1:
        raise ConfigError(
            "simulate_tilt_series",
            expected=f"elements of {', '.join(demo.EDGES)}, a size and a number of tilts above 0",
            got=", ".join(unknown) or f"elements {list(elements)}, size {size}, n_tilts {n_tilts}",
            fix="correct the arguments",
        )
    rng = np.random.default_rng(seed)
    object_ = particle or demo.particle(
        rng, diameter_nm=0.7 * size * pixel_nm, uniform=uniform, formula=formula
    )
    series, truth = simulate_acquisition(
        object_,
        demo.acquisition(
            elements, size=size, n_tilts=n_tilts, photons=photons, pixel_nm=pixel_nm, jitter_px=jitter_px
        ),
        formula=formula,
        density_g_cm3=density_g_cm3,
        rng=rng,
    )
    return SimulatedTilts(series, truth, dict(formula), density_g_cm3)


def simulate_stack(
    element: str = "Mn",
    *,
    law: Law = "diffusion",
    size: int = demo.SIZE,
    n_energies: int = demo.ENERGIES,
    photons: float = demo.PHOTONS,
    pixel_nm: float = demo.PIXEL_NM,
    jitter_px: float = demo.JITTER_PX,
    seed: int | np.random.Generator = 0,
) -> SimulatedStack:
    """Simulate a round particle at energies through an edge; valence decreases to the surface.

    Parameters
    ----------
    element : Mn, Co or Ni
    law : "diffusion" (Crank, The Mathematics of Diffusion, 1975, eq. 6.18), "core_shell" or
        "uniform"
    size : detector pixels in each direction
    n_energies : number of energies, at least 20
    photons : counts per pixel without a sample
    pixel_nm : pixel size in the object plane, nm
    jitter_px : strength of the drift; each frame moves by 0.3 of it, px rms
    seed : seed of the random numbers, or a generator

    Returns
    -------
    SimulatedStack with ``frames``, ``flat``, ``dark``, ``energy_ev``, ``references`` by valence,
    and the true ``valence``, ``edge_jump`` and ``shift_px``

    Raises
    ------
    ConfigError
        For invalid arguments.

    Examples
    --------
    >>> from oxytomo import simulate_stack
    >>> stack = simulate_stack("Ni", size=24, n_energies=20)
    >>> stack.frames.shape, sorted(stack.references)
    ((20, 24, 24), [2.0, 3.0, 4.0])
    """
    acquisition = demo.stack_acquisition(
        element,
        law=law,
        size=size,
        n_energies=n_energies,
        photons=photons,
        pixel_nm=pixel_nm,
        jitter_px=jitter_px,
    )
    return record_stack(acquisition, rng=np.random.default_rng(seed))


def simulate_voids(
    size: int = demo.SIZE,
    *,
    apertures_px: Sequence[float] = demo.APERTURES_PX,
    pore_radii_px: Sequence[float] = demo.PORE_RADII_PX,
    blur_px: float = demo.BLUR_PX,
    contrast_to_noise: float = demo.CONTRAST_TO_NOISE,
    shading: float = demo.SHADING,
    seed: int | np.random.Generator = 0,
) -> SimulatedVoids:
    """Return a volume of a particle with pores and cracks of known size, blurred and noisy.

    Parameters
    ----------
    size : edge of the volume, voxels
    apertures_px : apertures of the cracks, voxels; every second crack is open to the outside
    pore_radii_px : radii of spheres of the same volume, voxels
    blur_px : standard deviation of the blur, voxels
    contrast_to_noise : contrast of solid to air divided by the standard deviation of the noise
    shading : relative amplitude of a slow variation of the grey level of the solid
    seed : seed of the random numbers, or a generator

    Returns
    -------
    SimulatedVoids

    Raises
    ------
    ConfigError
        For a size below 16 voxels, or a blur or noise that is not a number above 0.

    Examples
    --------
    >>> from oxytomo import simulate_voids
    >>> voids = simulate_voids(64, apertures_px=[2.0], pore_radii_px=[4.0])
    >>> voids.volume.shape, len(voids.truth.cracks), len(voids.truth.pores)
    ((64, 64, 64), 1, 1)
    """
    numbers = {"size": size / 16, "blur_px": blur_px, "contrast_to_noise": contrast_to_noise}
    wrong = [name for name, value in numbers.items() if not value >= (1 if name == "size" else 1e-6)]
    if wrong:
        raise ConfigError(
            "simulate_voids",
            expected="a size of 16 voxels or more, and a blur and a contrast to noise above 0",
            got=f"{', '.join(wrong)} outside that",
            fix="correct the arguments",
        )
    rng = np.random.default_rng(seed)
    scene = random_scene(size, apertures_px=tuple(apertures_px), pore_radii_px=tuple(pore_radii_px), rng=rng)
    parts: dict[str, Any] = {"blur_px": blur_px, "contrast_to_noise": contrast_to_noise, "shading": shading}
    volume = np.concatenate([values for _, values in photographed_rows(scene, **parts, rng=rng)])
    return SimulatedVoids(np.asarray(volume, np.float32), scene.rows(slice(0, size)))
