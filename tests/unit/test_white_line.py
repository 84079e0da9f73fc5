"""White-line position and half-step energy: known peaks, noise, thickness, and what is refused."""

import numpy as np
import pytest

from oxytomo.errors import InputError
from oxytomo.oxidation.white_line import FOUND, OUT_OF_RANGE, TOO_THICK, WEAK, white_line
from oxytomo.simulate.energy_stack import model_references

WINDOWS = {"search": (850.0, 862.0), "pre_edge": (845.0, 851.0), "post_edge": (863.0, 869.6)}
HOW = {"half_width_ev": 1.5, "order": 4, "weak_sigma": 5.0, "thick_od": 2.5}
ENERGY = np.arange(848.0, 870.0, 0.5)


def density(centre: float, largest: float, width: float = 1.2) -> np.ndarray:
    """Gaussian peak on a step of a tenth of its height."""
    step = 0.1 / (1 + np.exp(-(ENERGY - centre + 2) / 0.3))
    return np.asarray(largest * (np.exp(-0.5 * ((ENERGY - centre) / width) ** 2) + step))


def counted(od: np.ndarray, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    counts = rng.poisson(1e4 * np.exp(-od)[:, None] * np.ones((1, n)))
    return (-np.log(counts / 1e4)).astype(np.float32), (1 / counts).astype(np.float32)


@pytest.mark.parametrize("largest", [0.4, 0.8, 1.2, 1.5])
def test_position_does_not_depend_on_thickness(largest: float, rng: np.random.Generator) -> None:
    """Peaks between the energies: rms of 0.05 eV at 10⁴ photons, no bias up to an optical density of 1.5."""
    centres = 855.0 + np.arange(5) * 0.1
    for centre in centres:
        value, variance = counted(density(centre, largest), 400, rng)
        found = white_line(value, variance, ENERGY, **WINDOWS, **HOW)
        assert (found.status == FOUND).all()
        off = found.position_ev - centre
        # 400 pixels: the mean has a twentieth of the noise; the polynomial itself is 0.005 eV off.
        assert abs(off.mean()) < 0.01 + 0.15 * off.std()
        assert off.std() < (0.05 if largest >= 0.8 else 0.1)
        # σ of 400 numbers is known to 4 %.
        assert np.median(found.error_ev) == pytest.approx(off.std(), rel=0.15)


def test_spectra_of_an_oxide() -> None:
    """On model spectra with shoulders the maximum is found to a tenth of the step of the energies."""
    for spectrum in model_references("Ni").values():
        fine = np.arange(852.0, 860.0, 0.005)
        true = fine[np.argmax(np.interp(fine, spectrum.energy_ev, spectrum.absorption))]
        mu = np.interp(ENERGY, spectrum.energy_ev, spectrum.absorption)
        value = (1.2 * mu / mu.max()).astype(np.float32)[:, None]
        found = white_line(value, np.full_like(value, 1e-6), ENERGY, **WINDOWS, **HOW)
        assert float(found.position_ev[0]) == pytest.approx(true, abs=0.07)


def test_half_step_of_a_ramp() -> None:
    """A straight rise from 0 to 1 between 853 and 857 eV crosses one half at 855 eV."""
    od = np.clip((ENERGY - 853) / 4, 0, 1) + 0.5 * np.exp(-0.5 * ((ENERGY - 859) / 1.2) ** 2)
    value = od.astype(np.float32)[:, None]
    found = white_line(value, np.full_like(value, 1e-4), ENERGY, **WINDOWS, **HOW)
    # The level above the edge still contains 1.7 % of the peak.
    assert float(found.edge_ev[0]) == pytest.approx(855.0, abs=0.02)
    # Noise of 0.01 on a slope of 1/4 per eV at a recorded energy, levels of some ten energies beside it
    assert float(found.edge_error_ev[0]) == pytest.approx(0.04, rel=0.1)


def test_pixels_without_a_position_are_marked(rng: np.random.Generator) -> None:
    """Air is weak, an opaque pixel too thick, a peak outside the range is not extrapolated."""
    spectra = [np.zeros(ENERGY.size), density(855.2, 3.0), density(870.5, 1.0), density(855.2, 1.0)]
    value = np.stack(spectra, axis=1).astype(np.float32)
    value[:, 0] = rng.normal(0, 0.01, ENERGY.size)
    found = white_line(
        value,
        np.full_like(value, 1e-4),
        ENERGY,
        **{**WINDOWS, "search": (850.0, 875.0)},
        **HOW,
    )
    assert list(found.status) == [WEAK, TOO_THICK, OUT_OF_RANGE, FOUND]
    assert list(np.isfinite(found.position_ev)) == [False, False, False, True]


def test_window_outside_the_energies() -> None:
    """A search window without energies is one line."""
    value = np.ones((ENERGY.size, 1), np.float32)
    with pytest.raises(InputError, match=r"energies between 700 and 720 eV, got 848 to 869\.5 eV"):
        white_line(value, value, ENERGY, **{**WINDOWS, "search": (700.0, 720.0)}, **HOW)
