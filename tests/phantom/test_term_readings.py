"""The same data without one model term: amounts and deviation, with known answers."""

import numpy as np
import pytest

from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.composition.deviation_problems import DeviationSolver
from oxytomo.composition.instrument import Model, Term, without_stray_light
from oxytomo.composition.measured_edges import Columns
from oxytomo.composition.noise import project
from oxytomo.composition.replicates import Chain
from oxytomo.composition.solving import reconstruct_composition
from oxytomo.composition.term_readings import changed, changes_without, deviations_without

MATRIX = np.array([[3.0, 1.0], [5.0, 1.2], [2.0, 2.0], [1.5, 6.0]])
METAL = np.array([0.0, 1.0])
TILT_DEG = np.linspace(-66.0, 66.0, 23)
SIZE, PIXEL_UM = 20, 0.02
SOLVER = DeviationSolver(
    iterations=60,
    tv_weight=None,
    l1_weight=None,
    element_iterations=30,
    element_tv_weight=None,
    psf_px=0.0,
    parts=1,
)


def test_the_change_is_that_of_the_amounts_without_the_term(rng):
    amounts = rng.uniform(0.1, 0.3, (2, 3, 4, 5))
    density = np.tensordot(MATRIX, amounts, 1)
    recorded = -np.log(0.98 * np.exp(-density) + 0.02)
    stray = Model(MATRIX, (Term("stray", "stray", np.ones(4)),), np.array([0.02]), np.zeros((1, 1)))
    variance = np.full(recorded.shape, 1e-4)
    clean, _ = without_stray_light(recorded, variance, 0.02)
    np.testing.assert_allclose(clean, density, rtol=1e-12)
    found = changes_without(
        recorded.astype(np.float32),
        variance.astype(np.float32),
        amounts,
        {"stray": Model(MATRIX)},
        Columns.of(["O", "Mn"], {}),
        METAL,
    )
    # Without the term, the recorded optical densities are solved as they are; equal weights.
    plain = np.linalg.lstsq(MATRIX, recorded.reshape(4, -1), rcond=None)[0].reshape(amounts.shape)
    # float16 of a change of a few per cent, float32 in the solver.
    np.testing.assert_allclose(found[0], plain - amounts, atol=2e-5)
    assert np.abs(found[0]).max() > 1e-3
    assert stray.stray[0] == 0.02


@pytest.fixture(scope="module")
def chain() -> Chain:
    """A ball of the reference composition, reconstructed."""
    grid = np.indices((SIZE, SIZE, SIZE)) - (SIZE - 1) / 2
    ball = ((grid**2).sum(axis=0) < 7**2).astype(np.float32)
    areal = np.stack([PIXEL_UM * np.asarray(project(ball, TILT_DEG))] * 2)
    covariance = np.zeros((3, *areal.shape[1:]), np.float32)
    covariance[[0, 2]] = (0.02 * PIXEL_UM) ** 2
    data = ColumnDensities(areal, covariance, TILT_DEG, np.array([2.0, 1.0]), PIXEL_UM)
    found = reconstruct_composition(
        data,
        solver=SOLVER,
        reference_tm_o=1.0,
        start=None,
        with_metals=False,
        threads=1,
        on_progress=lambda _done, _total: None,
    )
    return Chain(data, found, SOLVER, own_reference=False, threads=1)


def test_the_deviation_without_a_term_is_that_of_its_amounts(chain):
    """Without the first term oxygen is 10 % less (TM/O + 11 %); without the second nothing changes."""
    areal = np.asarray(chain.data.areal)
    changes = np.zeros((2, 2, *areal.shape[1:]), np.float16)
    changes[0, 0] = -0.1 * areal[0]
    moved = changed(chain.data, changes[0])
    np.testing.assert_allclose(moved.areal[0], 0.9 * areal[0], atol=1e-4)
    np.testing.assert_array_equal(moved.areal[1], areal[1])
    said = []
    first, second = deviations_without(
        ["near_edge_O", "stray"], changes, chain, lambda name: said.append(name) or (lambda _d, _t: None)
    )
    inside = np.asarray(chain.composition.particle)
    before = np.asarray(chain.composition.deviation)
    assert said == ["reading without near_edge_O", "reading without stray"]
    # Total variation draws the deviation towards 0 by some per cent of its value.
    assert np.median(first[inside]) == pytest.approx(1 / 0.9 - 1, abs=0.015)
    np.testing.assert_allclose(second[inside], before[inside], atol=0.01)
    assert np.isnan(first[~inside]).all()
