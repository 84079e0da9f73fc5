"""Simulated tilt series for composition and valence together: a particle with domains of both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from oxytomo.arrays import Float64Array, FloatArray, Spectrum, TiltSeries
from oxytomo.chemical_state.joint import measured_edge
from oxytomo.chemical_state.spectra import SpectraOptions
from oxytomo.composition.cross_sections import attenuation_per_um, table_energies_ev
from oxytomo.errors import ConfigError
from oxytomo.oxidation.edges import default_windows
from oxytomo.oxidation.spectra import Reference
from oxytomo.simulate.acquisition import Acquisition, check_acquisition, recorded_series
from oxytomo.simulate.energy_stack import EDGE_SPAN_EV
from oxytomo.simulate.particles import ROUNDNESS, ellipsoid, placed, random_rotation
from oxytomo.simulate.phantoms import Ellipsoid, Phantom, class_fractions, true_deviation, voxel_means
from oxytomo.simulate.transmission import transmissions

DOMAIN_RADIUS: Final = (0.22, 0.34)
PORE_RADIUS: Final = (0.04, 0.08)
"""Semi-axes of the inclusions as shares of the particle's radius."""
LINES_EV: Final = (1.5, 5.3)
"""The energies beside the pair of an edge lie this far above its onset, on the white lines."""


@dataclass(frozen=True, eq=False)
class JointTruth:
    """True input of a simulated acquisition.

    Attributes
    ----------
    elements : order of the element axis of ``densities``
    densities : (n_element, n_z, n_y, n_x) relative densities, means over voxels
    deviation : (n_z, n_y, n_x) TM/O over the reference, minus 1; NaN where less than half of a
        voxel is solid
    valence : (n_z, n_y, n_x) of the element with references, NaN in the same places
    energies_ev : (n_series,)
    tilt_deg : (n_frame,) in acquisition order
    shift_px : (n_series, n_frame, 2) content sits at (+dy, +dx)
    pixel_nm : voxel size
    """

    elements: tuple[str, ...]
    densities: FloatArray
    deviation: FloatArray
    valence: FloatArray
    energies_ev: Float64Array
    tilt_deg: Float64Array
    shift_px: Float64Array
    pixel_nm: float


@dataclass(frozen=True, eq=False)
class JointScan:
    """Object of an acquisition; ``attenuation`` is (n_series, n_amount) 1/µm."""

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


def further_energies_ev(element: str, n: int) -> dict[str, float]:
    """Return series at further energies of an edge by name: ``Mn_3``, ``Mn_4`` and so on.

    Parameters
    ----------
    element : Mn, Co or Ni
    n : number of energies, 1 to 50
    """
    if element not in EDGE_SPAN_EV or not 1 <= n <= 50:
        raise ConfigError(
            "energies",
            expected=f"1 to 50 energies of one of {', '.join(EDGE_SPAN_EV)}",
            got=f"{n} of {element}",
            fix="correct the element or the number",
        )
    onset = default_windows(element, np.array(EDGE_SPAN_EV[element])).edge_ev
    energies = np.round(np.linspace(onset + LINES_EV[0], onset + LINES_EV[1], n), 2).tolist()
    return {f"{element}_{number}": energy for number, energy in enumerate(energies, start=3)}


def joint_particle(
    rng: np.random.Generator,
    *,
    formula: Mapping[str, float],
    element: str,
    high_share: float,
    diameter_nm: float,
    deviation: float,
    share_step: float,
    uniform: bool,
) -> Phantom:
    """Make a particle with two domains of less oxygen and two of another valence; none overlap.

    The amounts of the element are ``<El>_low`` and ``<El>_high``, its states.

    Parameters
    ----------
    rng : random numbers
    formula : atoms per formula unit
    element : the element with two states
    high_share : share of the state of higher valence outside the domains
    diameter_nm : mean diameter
    deviation : TM/O over the reference, minus 1, where oxygen is missing
    share_step : difference of ``high_share`` in the domains of valence: one is above, one below
    uniform : no domains
    """
    radius = diameter_nm / 2
    axes = radius * rng.uniform(1 - ROUNDNESS, 1 + ROUNDNESS, 3)
    axes *= radius / np.prod(axes) ** (1 / 3)
    low, high = f"{element}_low", f"{element}_high"
    own = {name: 1.0 for name in formula if name != element} | {low: 1 - high_share, high: high_share}
    outline = ellipsoid((0.0, 0.0, 0.0), axes, random_rotation(rng), own, "particle")
    inclusions: list[Ellipsoid] = []

    def domain_axes() -> Float64Array:
        return np.asarray(radius * rng.uniform(*DOMAIN_RADIUS) * rng.uniform(0.85, 1.15, 3))

    def pore_axes() -> Float64Array:
        return np.asarray(radius * rng.uniform(*PORE_RADIUS) * rng.uniform(0.8, 1.2, 3))

    missing = {"O": 1 / (1 + deviation) - 1}
    changes = [{low: -sign * share_step, high: sign * share_step} for sign in (1, -1)]
    for change in () if uniform else (missing, *changes, missing):
        kind = "oxygen_poor" if change is missing else "core"
        inclusions.append(placed(rng, outline, inclusions, domain_axes, change, kind))  # type: ignore[arg-type]
    nothing = {name: -amount for name, amount in own.items()}
    for _ in range(2):
        inclusions.append(placed(rng, outline, inclusions, pore_axes, nothing, "pore"))
    return Phantom((outline, *inclusions), tuple(own))


def simulate_joint(
    phantom: Phantom,
    acquisition: Acquisition,
    references: Mapping[float, Spectrum],
    *,
    element: str,
    formula: Mapping[str, float],
    density_g_cm3: float,
    rng: np.random.Generator,
) -> tuple[dict[str, TiltSeries], JointTruth]:
    """Record a tilt series at each energy; the same random state gives the same frames.

    Parameters
    ----------
    phantom : from :func:`joint_particle`
    acquisition : how it is recorded; its energies are those of the series
    references : spectra of the two states, by valence
    element : the element with two states
    formula, density_g_cm3 : the reference composition, atoms per formula unit and g/cm³
    rng : random numbers
    """
    check_acquisition(acquisition)
    attenuation = _attenuation(phantom, acquisition, references, element, formula, density_g_cm3)
    recorded = recorded_series(acquisition, JointScan(phantom, acquisition, attenuation), rng=rng)
    how = {
        "pixel_nm": acquisition.pixel_nm,
        "shape": (acquisition.n_rows, acquisition.n_cols, acquisition.n_cols),
        "subsamples": acquisition.truth_subsamples,
    }
    amounts = dict(zip(phantom.elements, voxel_means(phantom, **how), strict=True))  # type: ignore[arg-type]
    solid = class_fractions(phantom, **how)["solid"]  # type: ignore[arg-type]
    low, high = amounts.pop(f"{element}_low"), amounts.pop(f"{element}_high")
    amounts[element] = low + high
    densities = np.stack([amounts[name] for name in formula])
    first, last = references
    valence = np.full(low.shape, np.nan, np.float32)
    known = solid >= 0.5
    valence[known] = (first * low[known] + last * high[known]) / (low[known] + high[known])
    return recorded.series, JointTruth(
        elements=tuple(formula),
        densities=densities,
        deviation=true_deviation(densities, solid, elements=tuple(formula), formula=formula),
        valence=valence,
        energies_ev=np.array([*acquisition.energies_ev.values()], np.float64),
        tilt_deg=np.asarray(acquisition.tilt_deg, np.float64),
        shift_px=recorded.shift_px,
        pixel_nm=acquisition.pixel_nm,
    )


def _attenuation(
    phantom: Phantom,
    acquisition: Acquisition,
    references: Mapping[float, Spectrum],
    element: str,
    formula: Mapping[str, float],
    density_g_cm3: float,
) -> Float64Array:
    """Return (n_series, n_amount) 1/µm: tables, and references at the edge of the element."""
    names = list(acquisition.energies_ev)
    energies = np.array([*acquisition.energies_ev.values()], np.float64)
    own = np.array([name.startswith(f"{element}_") for name in names])
    looked_up = energies.copy()
    for other in {name.partition("_")[0] for name in names} - {element}:
        pair = [names.index(f"{other}_pre"), names.index(f"{other}_post")]
        looked_up[pair] = table_energies_ev(other, *energies[pair].tolist())
    tables = attenuation_per_um(
        formula, density_g_cm3=density_g_cm3, energies_ev=looked_up, elements=tuple(formula)
    )
    columns = dict(zip(formula, tables.T, strict=True))
    options = SpectraOptions(element, "tied", formula, density_g_cm3, None, None, False, np.inf)
    states = [Reference(f"{element} {valence:g}", valence, one) for valence, one in references.items()]
    edge = measured_edge(energies, own, states, options)
    columns |= {f"{element}_low": edge.attenuation[:, 0], f"{element}_high": edge.attenuation[:, 1]}
    return np.stack([columns[name] for name in phantom.elements], axis=1)
