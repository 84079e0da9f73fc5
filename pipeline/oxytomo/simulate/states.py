"""Simulated tilt series at many energies of one edge: a particle whose valence varies inside."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from oxytomo.arrays import Float64Array, FloatArray, Spectrum, TiltSeries
from oxytomo.errors import ConfigError
from oxytomo.oxidation.edges import default_windows
from oxytomo.simulate.acquisition import Acquisition, check_acquisition, recorded_series
from oxytomo.simulate.energy_stack import EDGE_SPAN_EV, model_references
from oxytomo.simulate.particles import ROUNDNESS, ellipsoid, placed, random_rotation
from oxytomo.simulate.phantoms import Ellipsoid, Phantom, class_fractions, voxel_means
from oxytomo.simulate.transmission import transmissions

COMPONENTS: Final = ("low", "high")
"""Amounts of the lowest and the highest valence; densities are relative to the particle's."""
DOMAIN_RADIUS: Final = (0.18, 0.34)
PORE_RADIUS: Final = (0.04, 0.08)
"""Semi-axes of the inclusions as shares of the particle's radius."""
BACKGROUND: Final = 0.15
"""Absorption of everything else, as a share of the white line's; it falls as E⁻³."""


@dataclass(frozen=True, eq=False)
class StateScan:
    """Object of an acquisition at many energies; ``amounts`` are (n_energy, n_component) 1/µm."""

    phantom: Phantom
    acquisition: Acquisition
    attenuation: Float64Array

    def transmissions(self, series: int, *, shift_px: Float64Array, pixel_nm: float) -> FloatArray:
        """Transmission of each pixel in each frame of a series."""
        one = self.acquisition
        return transmissions(
            self.phantom,
            self.phantom.amounts @ self.attenuation[series],
            tilt_deg=np.asarray(one.tilt_deg, np.float64),
            shift_px=shift_px,
            axis_tilt_deg=one.axis_tilt_deg,
            pixel_nm=pixel_nm,
            n_rows=one.n_rows,
            n_cols=one.n_cols,
            psf_px=one.psf_px,
            subsamples=one.subsamples,
        )

    def beams(self, series: int, beam: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean counts without sample, which do not change."""
        return beam, beam


@dataclass(frozen=True, eq=False)
class StateTruth:
    """True input of a simulated acquisition.

    Attributes
    ----------
    valence : (n_z, n_y, n_x) NaN where less than half of a voxel is solid
    density : (n_z, n_y, n_x) share of each voxel that is solid
    energies_ev : (n_series,)
    tilt_deg : (n_frame,) in acquisition order
    shift_px : (n_series, n_frame, 2) content sits at (+dy, +dx)
    pixel_nm : voxel size
    largest_od : optical density of the white line in the thickest part
    """

    valence: FloatArray
    density: FloatArray
    energies_ev: Float64Array
    tilt_deg: Float64Array
    shift_px: Float64Array
    pixel_nm: float
    largest_od: float


def state_references(element: str) -> dict[float, Spectrum]:
    """Return the model spectra of the lowest and the highest valence of an element."""
    spectra = model_references(element)
    return {valence: spectra[valence] for valence in (min(spectra), max(spectra))}


def state_energies_ev(element: str, n: int) -> Float64Array:
    """Return energies through the L3 edge: some below, most on the white lines, some above.

    Parameters
    ----------
    element : Mn, Co or Ni
    n : at least 3
    """
    if element not in EDGE_SPAN_EV or n < 3:
        raise ConfigError(
            "energies",
            expected=f"3 or more energies of one of {', '.join(EDGE_SPAN_EV)}",
            got=f"{n} of {element}",
            fix="correct the element or the number",
        )
    low, high = EDGE_SPAN_EV[element]
    onset = default_windows(element, np.array([low, high])).edge_ev
    n_low, n_high = max(1, n // 6), (n // 6 if n >= 6 else 0)
    lines = np.linspace(onset + 0.3, onset + 5.3, n - n_low - n_high)
    below = onset - 2.0 - 3.0 * np.arange(n_low)[::-1]
    above = onset + 9.0 + 4.0 * np.arange(n_high)
    return np.round(np.concatenate([below, lines, above]), 2)


def state_particle(
    rng: np.random.Generator,
    *,
    valences: tuple[float, float],
    diameter_nm: float,
    base_valence: float,
    step: float,
    n_domains: int,
    n_pores: int,
    uniform: bool,
) -> Phantom:
    """Make a particle with domains of higher and lower valence; none of it is concentric.

    Half of the domains are above the rest of the particle by ``step``, half below. The particle
    keeps one density.

    Parameters
    ----------
    rng : random numbers
    valences : of the two components
    diameter_nm : mean diameter
    base_valence : valence outside the domains
    step : difference of the domains from it
    n_domains, n_pores : numbers of inclusions
    uniform : no domains
    """
    radius = diameter_nm / 2
    axes = radius * rng.uniform(1 - ROUNDNESS, 1 + ROUNDNESS, 3)
    axes *= radius / np.prod(axes) ** (1 / 3)
    high = (base_valence - valences[0]) / (valences[1] - valences[0])
    own = {"low": 1 - high, "high": high}
    outline = ellipsoid((0.0, 0.0, 0.0), axes, random_rotation(rng), own, "particle")
    change = step / (valences[1] - valences[0])
    inclusions: list[Ellipsoid] = []

    def domain_axes() -> Float64Array:
        return np.asarray(radius * rng.uniform(*DOMAIN_RADIUS) * rng.uniform(0.8, 1.2, 3))

    def pore_axes() -> Float64Array:
        return np.asarray(radius * rng.uniform(*PORE_RADIUS) * rng.uniform(0.8, 1.2, 3))

    for number in range(0 if uniform else n_domains):
        sign = 1 if number % 2 == 0 else -1
        amount = {"low": -sign * change, "high": sign * change}
        kind = "oxygen_poor" if sign > 0 else "oxygen_rich"
        inclusions.append(placed(rng, outline, inclusions, domain_axes, amount, kind))  # type: ignore[arg-type]
    nothing = {name: -amount for name, amount in own.items()}
    for _ in range(n_pores):
        inclusions.append(placed(rng, outline, inclusions, pore_axes, nothing, "pore"))
    return Phantom((outline, *inclusions), COMPONENTS)


def simulate_states(
    phantom: Phantom,
    acquisition: Acquisition,
    references: Mapping[float, Spectrum],
    *,
    largest_od: float,
    diameter_nm: float,
    rng: np.random.Generator,
) -> tuple[dict[str, TiltSeries], StateTruth]:
    """Record a tilt series at each energy; the same random state gives the same frames.

    Parameters
    ----------
    phantom : from :func:`state_particle`
    acquisition : how it is recorded; its energies are those of the series
    references : spectra of the two components, by valence
    largest_od : optical density of the white line through a sphere of ``diameter_nm``
    diameter_nm : mean diameter of the particle
    rng : random numbers
    """
    check_acquisition(acquisition)
    energies = np.array([*acquisition.energies_ev.values()], np.float64)
    curves = np.stack(
        [np.interp(energies, one.energy_ev, one.absorption) for one in references.values()], axis=1
    )
    peak = max(float(one.absorption.max()) for one in references.values())
    per_um = largest_od / peak / (diameter_nm * 1e-3)
    rest = BACKGROUND * peak * (energies.min() / energies) ** 3
    scan = StateScan(phantom, acquisition, per_um * (curves + rest[:, None]))
    recorded = recorded_series(acquisition, scan, rng=rng)
    shape = (acquisition.n_rows, acquisition.n_cols, acquisition.n_cols)
    how = {
        "pixel_nm": acquisition.pixel_nm,
        "shape": shape,
        "subsamples": acquisition.truth_subsamples,
    }
    low, high = voxel_means(phantom, **how)  # type: ignore[arg-type]
    solid = class_fractions(phantom, **how)["solid"]  # type: ignore[arg-type]
    known = solid >= 0.5
    first, last = references
    valence = np.full(low.shape, np.nan, np.float32)
    valence[known] = (first * low[known] + last * high[known]) / (low[known] + high[known])
    truth = StateTruth(
        valence,
        solid,
        energies,
        np.asarray(acquisition.tilt_deg, np.float64),
        recorded.shift_px,
        acquisition.pixel_nm,
        largest_od,
    )
    return recorded.series, truth
