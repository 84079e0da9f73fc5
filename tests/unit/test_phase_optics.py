"""Geometry and optics by hand."""

import numpy as np
import pytest

from oxytomo.align.axis import opposite_pairs
from oxytomo.errors import ConfigError
from oxytomo.phase.checks import border_share
from oxytomo.phase.optics import (
    cone_displacement_px,
    diffraction_limit_nm,
    equivalent_distance,
    refractive_index,
    wavelength_nm,
)
from oxytomo.phase.propagation import Frame


def test_cone_beam_has_its_parallel_equivalent() -> None:
    # 40 mm from the focus, detector at 1200 mm: M = 30, z = 1160 mm / 30.
    distance = equivalent_distance(sample_detector_mm=1160, source_sample_mm=40)
    assert distance.magnification == pytest.approx(30)
    assert distance.effective_nm == pytest.approx(1160e6 / 30)
    parallel = equivalent_distance(sample_detector_mm=50, source_sample_mm=None)
    assert (parallel.magnification, parallel.effective_nm) == (1, 50e6)
    with pytest.raises(ConfigError, match="distances above 0"):
        equivalent_distance(sample_detector_mm=0, source_sample_mm=40)


def test_refractive_index_of_silicon() -> None:
    # Henke's tables (CXRO), 10 keV, 2.33 g/cm³: δ = 4.89e-6, β = 7.4e-8; tables differ by a percent or so.
    delta, beta = refractive_index({"Si": 1.0}, density_g_cm3=2.33, energy_ev=10_000)
    assert delta == pytest.approx(4.89e-6, rel=0.01)
    assert beta == pytest.approx(7.4e-8, rel=0.05)
    assert wavelength_nm(12398.41984) == pytest.approx(0.1)


def test_what_a_frame_cannot_hold() -> None:
    assert diffraction_limit_nm(wavelength=0.1, distance_nm=4e7, width_nm=4e4) == pytest.approx(100)
    # A square field of 200 px of 50 nm, 50 mm from the focus: corner at √2·5 µm, depth 5 µm.
    moved = cone_displacement_px(n_rows=200, n_columns=200, pixel_nm=50, source_sample_mm=50)
    assert moved == pytest.approx(np.sqrt(2) * 100 * 5e3 / 50e6)


@pytest.mark.parametrize("n", [31, 48, 97])
def test_padding_keeps_the_frame_in_the_middle(n: int, rng: np.random.Generator) -> None:
    frames = rng.random((2, n, n + 3)).astype(np.float32)
    frame = Frame.around((n, n + 3), margin_px=10)
    padded = frame.pad(frames)
    assert padded.shape[1:] == frame.padded
    assert min(frame.corner) >= 10
    assert all((p - s) % 2 == 0 for p, s in zip(frame.padded, frame.shape, strict=True))
    np.testing.assert_array_equal(frame.crop(padded), frames)


def test_pairs_half_a_turn_apart() -> None:
    assert opposite_pairs(np.arange(0.0, 181.0)).tolist() == [[0, 180]]
    # A full turn of one degree has a partner for each frame of the first half.
    assert len(opposite_pairs(np.arange(0.0, 360.0))) == 180
    # Half a turn without its end: the last frame is one step short, and so is the one but first's.
    assert opposite_pairs(np.arange(0.0, 180.0)).tolist() == [[0, 179]]
    assert len(opposite_pairs(np.arange(-65.0, 66.0))) == 0
    assert len(opposite_pairs(np.arange(0.0, 180.0, 5.0))) == 0
    # Acquisition order does not matter.
    assert opposite_pairs(np.arange(180.0, -1.0, -1.0)).tolist() == [[180, 0]]


def test_border_of_an_isolated_and_of_a_cut_particle() -> None:
    y, x = np.mgrid[:40, :40] - 19.5
    thick = np.sqrt(np.maximum(12**2 - x**2 - y**2, 0)).astype(np.float32)
    rows, columns = border_share(np.stack([thick, thick[:, ::-1]]))
    assert rows.max() == columns.max() == 0
    rows, columns = border_share(thick[None, 20:])
    assert rows[0] > 0.5
    assert columns[0] < 0.1
