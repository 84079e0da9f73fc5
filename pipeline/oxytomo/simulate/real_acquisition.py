"""Effects of a real instrument on an acquisition: sample, transmissions, and beam."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.composition.cross_sections import attenuation_per_um
from oxytomo.simulate.illumination import beam_structure, moved
from oxytomo.simulate.instrument import (
    BINDER,
    CARBON,
    CARBONATE,
    FILM,
    RealInstrument,
    dose_shares,
    on_own_edge,
    substance_attenuation_per_um,
)
from oxytomo.simulate.phantoms import Ellipsoid, Phantom
from oxytomo.simulate.rays import Matter, View, numerical_aperture, real_transmissions
from oxytomo.simulate.surroundings import (
    SUBSTANCES,
    Sheet,
    film_below,
    grown,
    outline_of,
    surroundings,
    with_neighbours,
)
from oxytomo.simulate.transmission import transmissions

if TYPE_CHECKING:
    from oxytomo.simulate.acquisition import Acquisition


@dataclass(frozen=True, eq=False)
class RealScan:
    """A real instrument and one particle.

    Attributes
    ----------
    instrument : its switches
    phantom : the particle, with its neighbours
    acquisition : how it is recorded, with the instrument's point spread
    attenuation : (n_series, n_element) of the particle's elements, 1/µm
    rim_attenuation : (n_series, n_element) attenuation added in the rim
    energies_ev : (n_series,) true energies, eV
    tilt_deg : (n_series, n_frame) true tilts, degrees
    dose : (n_series, n_frame) share of the dose that the sample has received
    around, film : objects beside and below the particle
    structure, beam_shift_px : moving structure of the illumination, and its shift (n_series,
        n_frame, 2)
    """

    instrument: RealInstrument
    phantom: Phantom
    acquisition: "Acquisition"
    attenuation: Float64Array
    rim_attenuation: Float64Array
    energies_ev: Float64Array
    tilt_deg: Float64Array
    dose: Float64Array
    around: Phantom
    film: Sheet | None
    structure: Float64Array
    beam_shift_px: Float64Array

    def transmissions(self, series: int, *, shift_px: Float64Array, pixel_nm: float) -> FloatArray:
        """Transmission of each pixel with every effect except those of the beam.

        As in :func:`oxytomo.simulate.acquisition.transmissions`.
        """
        one, name = self.acquisition, tuple(self.acquisition.energies_ev)[series]
        if self.instrument.bends_rays:
            clean = real_transmissions(self._matter(series), self._view(series, shift_px, pixel_nm))
        else:
            clean = transmissions(
                self.phantom,
                self.phantom.amounts @ self.attenuation[series],
                tilt_deg=self.tilt_deg[series],
                shift_px=shift_px,
                axis_tilt_deg=one.axis_tilt_deg,
                pixel_nm=pixel_nm,
                n_rows=one.n_rows,
                n_cols=one.n_cols,
                psf_px=one.psf_px,
                subsamples=one.subsamples,
            )
        stray = np.float32(self.instrument.stray_of(name))
        return (1 - stray) * clean + stray if stray else clean

    def beams(self, series: int, beam: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean counts without sample: in the flats (n_y, n_x), and during each frame.

        The latter is (n_frame, n_y, n_x), or the same as in the flats.
        """
        if not self.instrument.beam_shift_px:
            return beam, beam
        at_rest = moved(self.structure, np.zeros((1, 2)))[0]
        return beam * at_rest, beam * moved(self.structure, self.beam_shift_px[series])

    def _matter(self, series: int) -> Matter:
        own, amounts = self.attenuation[series], self.phantom.amounts
        energy = self.energies_ev[series : series + 1]
        carbon, carbonate, film, binder = (
            float(substance_attenuation_per_um(formula, density, energy)[0])
            for formula, density in (CARBON, CARBONATE, FILM, BINDER)
        )
        oxygen = np.array([float(name == "O") for name in self.phantom.elements])
        # Only the particle has a rim, not its neighbours.
        particle = 1 - self.phantom.selected("neighbour")
        return Matter(
            phantom=self.phantom,
            attenuation=amounts @ own,
            oxygen=amounts @ (own * oxygen),
            rim=particle * (amounts @ self.rim_attenuation[series]),
            core=self._core(),
            around=self.around,
            around_attenuation=self.around.amounts @ np.array([carbon, carbonate, binder]),
            sheet=self.film,
            film=film,
        )

    def _core(self) -> Ellipsoid | None:
        if not any(self.instrument.rim_change.values()):
            return None
        return grown(outline_of(self.phantom), -self.instrument.rim_nm, {})

    def _view(self, series: int, shift_px: Float64Array, pixel_nm: float) -> View:
        one, real = self.acquisition, self.instrument
        return View(
            tilt_deg=self.tilt_deg[series],
            shift_px=shift_px,
            axis_tilt_deg=one.axis_tilt_deg,
            pixel_nm=pixel_nm,
            n_rows=one.n_rows,
            n_cols=one.n_cols,
            subsamples=one.subsamples,
            psf_px=one.psf_px,
            aperture=numerical_aperture(real.zone_nm, float(self.energies_ev[series])),
            distortion=real.distortion,
            oxygen_loss=real.oxygen_loss * self.dose[series],
            shrinkage=real.shrinkage * self.dose[series],
        )


def real_scan(
    phantom: Phantom,
    acquisition: "Acquisition",
    instrument: RealInstrument,
    *,
    formula: Mapping[str, float],
    density_g_cm3: float,
    rng: np.random.Generator,
) -> RealScan:
    """Draw everything random about an instrument and its sample, and look up the attenuations.

    Parameters
    ----------
    phantom, acquisition, formula, density_g_cm3 : as for
        :func:`oxytomo.simulate.acquisition.simulate_acquisition`
    instrument : the switches
    rng : separate random numbers, so that a switch does not change those of the acquisition
    """
    tilts = np.asarray(acquisition.tilt_deg, np.float64)
    series = tuple(acquisition.energies_ev)
    instrument.check(phantom, series, tilts)
    energies = np.array([*acquisition.energies_ev.values()], np.float64) + instrument.energy_offset_ev
    # Each effect draws from its own stream: switching one on does not change the others.
    tilting, shaking, placing, coating, lighting, laying = rng.spawn(6)
    whole = with_neighbours(phantom, instrument.neighbours, placing) if instrument.neighbours else phantom
    table = attenuation_per_um(
        formula, density_g_cm3=density_g_cm3, energies_ev=energies, elements=phantom.elements
    )
    factors = {name: factor - 1 for name, factor in instrument.post_edge.items()}
    own = table * (1 + on_own_edge(series, phantom.elements, factors))
    sizes = (len(series), tilts.size)
    shape = (acquisition.n_rows, acquisition.n_cols)
    outside = any((instrument.skin_nm, instrument.binder_nm, instrument.carbon_clumps))
    return RealScan(
        instrument=instrument,
        phantom=whole,
        acquisition=acquisition
        if instrument.psf_px is None
        else replace(acquisition, psf_px=instrument.psf_px),
        attenuation=own,
        rim_attenuation=own * on_own_edge(series, phantom.elements, instrument.rim_change),
        energies_ev=energies,
        tilt_deg=tilts + instrument.angle_rms_deg * tilting.normal(size=sizes),
        dose=dose_shares(*sizes, instrument.dose_order),
        around=surroundings(phantom, instrument, coating) if outside else Phantom((), SUBSTANCES),
        film=film_below(phantom, instrument, laying),
        structure=beam_structure(
            shape, contrast=instrument.beam_contrast, length_px=instrument.beam_length_px, rng=lighting
        ),
        beam_shift_px=instrument.beam_shift_px * shaking.normal(size=(*sizes, 2)),
    )
