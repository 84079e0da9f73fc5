"""White-line position and half-step energy: known peaks, noise, thickness, and what is refused."""

import numpy as np
import pytest

from oxytomo.errors import InputError
from oxytomo.oxidation.edges import default_windows
from oxytomo.oxidation.white_line import FOUND, OUT_OF_RANGE, TOO_THICK, WEAK, white_line
from oxytomo.simulate.energy_stack import EDGE_SPAN_EV, model_references

WINDOWS = {"search": (850.0, 862.0), "pre_edge": (845.0, 851.0), "post_edge": (863.0, 869.6)}
HOW = {"half_width_ev": 2.0, "order": 4, "weak_sigma": 5.0, "thick_od": 2.5}
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


@pytest.mark.parametrize("element", ["Mn", "Co", "Ni"])
def test_spectra_of_an_oxide(element: str, rng: np.random.Generator) -> None:
    """Model spectra with multiplets, 10⁴ photons, steps of 0.5 eV: rms of 0.05 eV over valences and places.

    The width of the window was chosen on Ni.
    """
    spectra, span = model_references(element), EDGE_SPAN_EV[element]
    windows = default_windows(element, np.array(span))
    search = (windows.edge_ev, windows.edge_ev + 8.0)
    where = {"search": search, "pre_edge": windows.pre_edge, "post_edge": windows.post_edge}
    fine = np.arange(span[0], span[1], 0.005)
    square, bias = [], []
    for spectrum in spectra.values():
        mu = np.interp(fine, spectrum.energy_ev, spectrum.absorption)
        for start in (0.0, 0.17, 0.34):
            energy = np.arange(span[0] + start, span[1], 0.5)
            value, variance = counted(1.2 * np.interp(energy, fine, mu) / mu.max(), 100, rng)
            found = white_line(value, variance, energy, **where, **HOW)
            off = found.position_ev - fine[np.argmax(mu)]
            square.append(np.nanmean(off**2))
            bias.append(np.nanmean(off))
            assert np.isfinite(off).mean() > 0.99
    assert np.sqrt(np.mean(square)) < 0.05
    # Shoulders of the middle valence draw the polynomial; this holds for every valence and place.
    assert np.abs(bias).max() < 0.07


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
