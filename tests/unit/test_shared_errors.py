"""Errors beside counting noise are added in quadrature."""

import numpy as np
import pytest

from oxytomo.measure.shared_errors import shared_errors, with_shared_errors
from oxytomo.measure.systematic import share_of_skin

MODEL = {"systematic": {"misfit": 0.03, "stray": 0.04, "misfit_of_single_rays": 0.12}}


def test_errors_of_a_decomposition() -> None:
    found = shared_errors(MODEL | {"skin": {"oxygen_nm": 6.0}}, own_reference=False, pixel_nm=12.0)
    assert found == {
        "systematic": pytest.approx(0.13),
        "skin_oxygen_px": 0.5,
    }
    # A shift of all voxels drops out of a deviation from the particle's own mode, a misfit remains.
    assert shared_errors(MODEL, own_reference=True, pixel_nm=12.0)["systematic"] == pytest.approx(
        np.hypot(0.03, 0.12)
    )
    assert set(shared_errors(None, own_reference=False, pixel_nm=12.0).values()) == {0.0}


def test_they_add_in_quadrature_and_a_skin_only_near_the_surface() -> None:
    particle = np.zeros((40, 40, 40), bool)
    particle[4:36, 4:36, 4:36] = True
    sigma = np.full(particle.shape, 0.05, np.float32)
    errors = {"systematic": 0.12, "skin_oxygen_px": 0.0}
    # 5, 12, 13
    assert np.asarray(with_shared_errors(sigma, particle, errors)[:]) == pytest.approx(0.13)
    skin = np.asarray(with_shared_errors(sigma, particle, errors | {"skin_oxygen_px": 0.5})[:])
    assert skin[20, 20, 20] == pytest.approx(0.13)
    # The first voxel of the particle is half a voxel deep.
    expected = np.hypot(0.13, float(share_of_skin(np.array([0.5], np.float32), 0.5)[0]))
    assert skin[20, 20, 4] == pytest.approx(expected, rel=1e-3)
