"""Effects of real instruments and samples beyond the ideal acquisition, each as a switch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import xraydb

from oxytomo.arrays import Float64Array
from oxytomo.composition.cross_sections import UM_PER_CM
from oxytomo.errors import ConfigError
from oxytomo.simulate.phantoms import Phantom

DoseOrder = Literal["tilt", "series"]

CARBON: Final = ({"C": 1.0}, 1.0)
FILM: Final = ({"C": 1.0}, 2.0)
CARBONATE: Final = ({"Li": 2.0, "C": 1.0, "O": 3.0}, 2.11)
BINDER: Final = ({"C": 2.0, "H": 2.0, "F": 2.0}, 1.78)
"""Formula and density (g/cm³) of porous carbon black, a carbon film, Li2CO3 and PVDF."""


@dataclass(frozen=True, kw_only=True)
class RealInstrument:
    """Differences of the instrument and the sample from the ideal ones.

    0 (or nothing) switches an effect off.

    Attributes
    ----------
    stray : stray light as a share of the beam, the same in flats and frames: ``T → (1 − f) T + f``
    stray_edges : share by element, for both energies of its edge, instead of ``stray``
    post_edge : factor on the cross-section of an element in its image on the edge (white line)
    rim_change : relative change of an element's cross-section in its own image on the edge, in the
        rim only
    rim_nm : depth of the rim for ``rim_change``, nm
    skin_nm : thickness of a skin of Li2CO3 around the particle, nm
    carbon_clumps, clump_nm : number of carbon clumps that touch the particle, and their diameter,
        nm
    film_nm, film_hole_nm : thickness of the carbon film below the particle and diameter of its
        holes, nm; no holes for 0
    binder_nm : largest thickness of a PVDF coat around the particle (and its skin), which starts at
        0, nm
    beam_shift_px : shift of the illumination between flats and frames, rms in each direction,
        pixels
    beam_contrast, beam_length_px : contrast (standard deviation) and length scale of the moving
        structure
    zone_nm : width of the outermost zone of the zone plate, nm, for a finite depth of field
    angle_rms_deg : error of each recorded tilt, rms, degrees
    distortion : relative displacement of the field's corners; the middle stays
    neighbours : number of smaller particles of the reference composition that touch the particle
    oxygen_loss, shrinkage : share of the oxygen, and of the diameter, that is lost at the end of
        the scan
    dose_order : ``tilt``: all energies at one tilt, then the next tilt; ``series``: one energy
        after the other
    psf_px : standard deviation of the point spread in place of the acquisition's, pixels; None to
        keep that
    energy_offset_ev : true energies minus recorded ones, eV
    """

    stray: float
    stray_edges: Mapping[str, float]
    post_edge: Mapping[str, float]
    rim_change: Mapping[str, float]
    rim_nm: float
    skin_nm: float
    carbon_clumps: int
    clump_nm: float
    film_nm: float
    film_hole_nm: float
    binder_nm: float
    beam_shift_px: float
    beam_contrast: float
    beam_length_px: float
    zone_nm: float
    angle_rms_deg: float
    distortion: float
    neighbours: int
    oxygen_loss: float
    shrinkage: float
    dose_order: DoseOrder
    psf_px: float | None
    energy_offset_ev: float

    @property
    def bends_rays(self) -> bool:
        """Whether rays need the general kernel: surroundings, or a divergent beam."""
        amounts = (self.skin_nm, self.carbon_clumps, self.film_nm, self.binder_nm, self.zone_nm)
        losses = (self.distortion, self.oxygen_loss, self.shrinkage)
        return any((*amounts, *losses)) or any(self.rim_change.values())

    def stray_of(self, series: str) -> float:
        """Share of stray light in a series, for example ``O_pre``."""
        return float(self.stray_edges.get(series.split("_")[0], self.stray))

    def check(self, phantom: Phantom, series: Iterable[str], tilt_deg: Float64Array) -> None:
        """Refuse elements without an edge image, shares outside 0 to 1, and a film seen edge-on."""
        named = {**self.stray_edges, **self.post_edge, **self.rim_change}
        on_edge = {name.removesuffix("_post") for name in series if name.endswith("_post")}
        recorded = [name for name in phantom.elements if name in on_edge]
        extra = sorted(set(named) - set(recorded))
        if extra:
            raise ConfigError(
                "instrument",
                expected=f"elements whose edge is recorded ({', '.join(recorded)})",
                got=", ".join(extra),
                fix="correct the element, or record its edge",
            )
        shares = [self.stray, *self.stray_edges.values(), self.oxygen_loss, self.shrinkage]
        if not all(0 <= share < 1 for share in shares):
            raise ConfigError(
                "instrument",
                expected="stray light, oxygen loss and shrinkage from 0 to below 1",
                got=", ".join(f"{share:g}" for share in shares),
                fix="give shares, not percent",
            )
        if self.film_nm and np.abs(tilt_deg).max(initial=0) > 85:
            raise ConfigError(
                "instrument.film_nm",
                expected="tilts up to 85°",
                got=f"{np.abs(tilt_deg).max():g}°",
                fix="leave the film out, or the steep tilts",
            )


IDEAL: Final = RealInstrument(
    stray=0.0,
    stray_edges={},
    post_edge={},
    rim_change={},
    rim_nm=0.0,
    skin_nm=0.0,
    carbon_clumps=0,
    clump_nm=0.0,
    film_nm=0.0,
    film_hole_nm=0.0,
    binder_nm=0.0,
    beam_shift_px=0.0,
    beam_contrast=0.0,
    beam_length_px=1.0,
    zone_nm=0.0,
    angle_rms_deg=0.0,
    distortion=0.0,
    neighbours=0,
    oxygen_loss=0.0,
    shrinkage=0.0,
    dose_order="tilt",
    psf_px=None,
    energy_offset_ev=0.0,
)
"""The instrument and the sample assumed in the evaluation."""


def substance_attenuation_per_um(
    formula: Mapping[str, float], density_g_cm3: float, energies_ev: Float64Array
) -> Float64Array:
    """Linear attenuation ``μ(E) = ρ Σ_k w_k (μ/ρ)_k(E)`` of a substance, 1/µm (Chantler).

    Parameters
    ----------
    formula, density_g_cm3 : atoms per formula unit and g/cm³
    energies_ev : (n_energy,) eV

    Returns
    -------
    (n_energy,) float64
    """
    masses = {name: atoms * float(xraydb.atomic_mass(name)) for name, atoms in formula.items()}
    total = sum(masses.values())
    per_mass = sum(
        mass / total * np.atleast_1d(np.asarray(xraydb.mu_chantler(name, energies_ev), np.float64))
        for name, mass in masses.items()
    )
    return np.asarray(density_g_cm3 * per_mass / UM_PER_CM, np.float64)


def on_own_edge(
    series: tuple[str, ...], elements: tuple[str, ...], values: Mapping[str, float]
) -> Float64Array:
    """Place a value per element at the element's image on the edge, zero elsewhere.

    Returns
    -------
    (n_series, n_element) float64
    """
    placed = np.zeros((len(series), len(elements)))
    for name, value in values.items():
        if f"{name}_post" in series:
            placed[series.index(f"{name}_post"), elements.index(name)] = value
    return placed


def dose_shares(n_series: int, n_frame: int, order: DoseOrder) -> Float64Array:
    """Share of the dose received by the middle of each frame, in order of acquisition.

    Returns
    -------
    (n_series, n_frame) float64, between 0 and 1
    """
    series, frame = np.arange(n_series)[:, None], np.arange(n_frame)[None, :]
    exposures = frame * n_series + series if order == "tilt" else series * n_frame + frame
    return np.asarray((exposures + 0.5) / (n_series * n_frame), np.float64)
