"""The fit of spectra by references: exact against SciPy, honest errors, invalid data."""

from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import minimize, nnls

from oxytomo.errors import InputError
from oxytomo.oxidation.judgement import fit_spectrum
from oxytomo.oxidation.linear_combination import background_columns, condition_number, fit_valence

ENERGY = np.linspace(635.0, 660.0, 60)
VALENCES = np.array([2.0, 3.0, 4.0])


def reference(centre: float) -> np.ndarray:
    return (
        np.arctan(2 * (ENERGY - centre)) / np.pi + 0.5 + 3 * np.exp(-(((ENERGY - centre - 0.5) / 0.8) ** 2))
    )


REFERENCES = np.stack([reference(centre) for centre in (639.5, 641.0, 643.0)], axis=1)
LINE = background_columns(ENERGY, background="linear")


def noisy(fractions: np.ndarray, thickness: float, rng: np.random.Generator, background: float = 0.2):
    """Spectra of (n, 3) fractions with the noise of 10⁴ photons, as a stack (energy, n, 1)."""
    density = (REFERENCES @ fractions.T) * thickness + background
    variance = np.exp(density) / 1e4
    value = density + rng.normal(size=density.shape) * np.sqrt(variance)
    return value[..., None].astype(np.float32), variance[..., None].astype(np.float32)


def fitted(value, variance, *, background=LINE, sum_to_one=False, sum_error=None):
    return fit_valence(
        value, variance, REFERENCES, background, VALENCES, sum_to_one=sum_to_one, sum_error=sum_error
    )


def test_amounts_are_those_of_nonnegative_least_squares(rng: np.random.Generator) -> None:
    value, variance = noisy(rng.dirichlet([0.3] * 3, size=100), 0.1, rng)
    fit = fitted(value, variance)
    weight = 1 / np.sqrt(variance[:, :, 0].astype(float))
    signed = np.concatenate([REFERENCES, LINE, -LINE], axis=1)
    exact = np.stack(
        [nnls(signed * weight[:, [i]], value[:, i, 0] * weight[:, i])[0][:3] for i in range(100)], axis=1
    )
    # The kernel computes in double precision and stores single precision.
    np.testing.assert_allclose(fit.fractions[:, :, 0] * fit.amount[:, 0], exact, atol=2e-7)
    assert (exact == 0).any(axis=0).mean() > 0.2


def lowest_cost(columns: np.ndarray, y: np.ndarray, weight: np.ndarray, n_references: int) -> float:
    """The minimum over all sets of references, each by plain least squares, of those without a negative amount."""
    lowest = np.inf
    for size in range(n_references + 1):
        for chosen in combinations(range(n_references), size):
            kept = [*chosen, *range(n_references, columns.shape[1])]
            found = np.linalg.lstsq(columns[:, kept] * weight[:, None], y * weight, rcond=None)[0]
            if (found[:size] >= 0).all():
                lowest = min(lowest, float(np.sum((weight * (y - columns[:, kept] @ found)) ** 2)))
    return lowest


@pytest.mark.parametrize("n_references", [2, 3, 4, 5])
@pytest.mark.parametrize("alike", [False, True])
def test_no_set_of_references_is_better(n_references: int, alike: bool, rng: np.random.Generator) -> None:
    """Also with references that are almost combinations of others, missing energies, and pixels without the element."""
    curves = np.stack([reference(centre) for centre in rng.uniform(638, 646, n_references)], axis=1)
    if alike:
        curves[:, -1] = curves[:, :-1].mean(axis=1) + 1e-4 * rng.normal(size=ENERGY.size)
    n, columns = 40, np.concatenate([curves, LINE], axis=1)
    amounts = rng.dirichlet([0.3] * n_references, size=n) * rng.choice([0.0, 0.05, 0.5], n)[:, None]
    value = (0.2 + curves @ amounts.T + 0.05 * rng.normal(size=(60, n))).astype(np.float32)
    variance = (0.0025 * rng.uniform(0.2, 5, value.shape)).astype(np.float32)
    value[5, :15], variance[31, 5:25] = np.nan, np.inf
    fit = fit_valence(
        value[..., None],
        variance[..., None],
        curves,
        LINE,
        np.arange(2.0, 2.0 + n_references),
        sum_to_one=False,
        sum_error=None,
    )
    for i in range(n):
        known = np.isfinite(value[:, i]) & np.isfinite(variance[:, i])
        y, weight = value[known, i].astype(float), 1 / np.sqrt(variance[known, i].astype(float))
        cost = float(fit.chi_square[i, 0]) * (known.sum() - columns.shape[1])
        # χ² is stored in single precision.
        assert cost == pytest.approx(lowest_cost(columns[known], y, weight, n_references), rel=1e-6)


def test_fixed_sums_are_the_constrained_minimum(rng: np.random.Generator) -> None:
    value, variance = noisy(rng.dirichlet([0.3] * 3, size=12), 1.0, rng, background=0.0)
    none = LINE[:, :0]
    fit = fitted(value, variance, background=none, sum_to_one=True, sum_error=np.zeros((12, 1), np.float32))
    for i in range(12):
        y, v = value[:, i, 0].astype(float), variance[:, i, 0].astype(float)
        found = minimize(
            lambda a, y=y, v=v: np.sum((y - REFERENCES @ a) ** 2 / v) / 1000,
            np.full(3, 1 / 3),
            bounds=[(0, 1)] * 3,
            constraints={"type": "eq", "fun": lambda a: a.sum() - 1},
            method="SLSQP",
            options={"ftol": 1e-13, "maxiter": 500},
        )
        np.testing.assert_allclose(fit.fractions[:, i, 0], found.x, atol=2e-4)


@pytest.mark.parametrize(
    ("fractions", "highest"),
    # Inside, the errors are exact. With a reference absent they lean to the safe side, most where only one is there.
    [([0.2, 0.5, 0.3], 0.72), ([0.0, 0.5, 0.5], 0.78), ([0.0, 0.05, 0.95], 0.80), ([0.0, 1.0, 0.0], 0.90)],
)
@pytest.mark.parametrize("sum_to_one", [False, True])
def test_errors_cover_the_truth(fractions, highest, sum_to_one, rng: np.random.Generator) -> None:
    n = 4000
    value, variance = noisy(np.tile(fractions, (n, 1)), 0.15, rng)
    if sum_to_one:
        value, variance = value / 0.15, variance / 0.15**2
    error = np.zeros((n, 1), np.float32) if sum_to_one else None
    fit = fitted(value, variance, sum_to_one=sum_to_one, sum_error=error)
    miss = fit.valence - VALENCES @ fractions
    covered = float(np.mean(np.abs(miss) < fit.valence_error))
    # 4000 draws: a standard error of 0.75 % for 68 %.
    assert 0.655 < covered < highest
    # The mean error of the method is that of the estimates within a few percent, also on the boundary.
    rms = float(np.sqrt(np.mean(miss**2)))
    assert 0.93 < float(np.sqrt(np.mean(fit.valence_error**2))) / rms < (1.6 if 1.0 in fractions else 1.2)
    assert (fit.valence_error > 0).all()


def test_noise_of_the_edge_jump_is_in_the_errors(rng: np.random.Generator) -> None:
    n, relative = 3000, 0.05
    fractions = np.array([0.3, 0.3, 0.4])
    value, variance = noisy(np.tile(fractions, (n, 1)), 1.0, rng, background=0.0)
    jump = 1 + relative * rng.normal(size=(n, 1)).astype(np.float32)
    fit = fitted(
        value / jump,
        variance / jump**2,
        background=LINE[:, :0],
        sum_to_one=True,
        sum_error=np.full((n, 1), relative, np.float32),
    )
    miss = (fit.valence - VALENCES @ fractions) / fit.valence_error
    assert 0.64 < float(np.mean(np.abs(miss) < 1)) < 0.73


def test_invalid_energies_have_no_weight(rng: np.random.Generator) -> None:
    value, variance = noisy(rng.dirichlet([2.0] * 3, size=5), 0.3, rng)
    kept = np.delete(np.arange(60), [7, 30])
    holes, noise = value.copy(), variance.copy()
    holes[[7, 30]], noise[[7, 30]] = np.nan, np.inf
    whole = fitted(holes, noise)
    without = fit_valence(
        value[kept], variance[kept], REFERENCES[kept], LINE[kept], VALENCES, sum_to_one=False, sum_error=None
    )
    np.testing.assert_allclose(whole.valence, without.valence, rtol=1e-6)
    np.testing.assert_array_equal(whole.n_used, 58)
    everything = np.full_like(value, np.nan)
    assert np.isnan(fitted(everything, noise).valence).all()


def test_pure_noise_without_the_element_is_no_valence(rng: np.random.Generator) -> None:
    value, variance = noisy(np.zeros((200, 3)), 1.0, rng)
    fit = fitted(value, variance)
    some = fit.amount > 0
    assert float(np.mean(fit.amount[some] / fit.amount_error[some])) < 2
    assert np.isnan(fit.valence[~some]).all()


def test_residuals_say_whether_the_model_is_right(rng: np.random.Generator) -> None:
    fractions = np.tile([0.3, 0.3, 0.4], (300, 1))
    value, variance = noisy(fractions, 0.5, rng)
    right = fitted(value, variance)
    foreign = value + 0.05 * np.exp(-(((ENERGY - 645) / 1.0) ** 2))[:, None, None].astype(np.float32)
    wrong = fitted(foreign, variance)
    assert float(np.median(right.chi_square)) == pytest.approx(1.0, abs=0.05)
    assert float(np.median(right.lag_correlation)) == pytest.approx(-0.08, abs=0.08)
    assert float(np.median(wrong.chi_square)) > 1.5
    assert float(np.median(wrong.lag_correlation)) > 0.2
    assert float(np.median(wrong.r_factor)) > 1.5 * float(np.median(right.r_factor))


def test_a_mean_spectrum_without_the_element_has_no_valence() -> None:
    """Its model is the background alone, and what is left is judged; one without data has no model."""
    line = 0.3 - 0.01 * (ENERGY - 647)
    dip = line - 0.1 * REFERENCES.sum(axis=1)
    fit = fit_spectrum(dip, np.full(60, 0.001), REFERENCES, LINE, VALENCES)
    assert np.isnan(fit.valence)
    straight = np.polynomial.Polynomial.fit(ENERGY, dip, 1)
    np.testing.assert_allclose(fit.model, straight(ENERGY), atol=1e-6)
    assert fit.is_structured
    nothing = fit_spectrum(np.full(60, np.nan), np.full(60, np.nan), REFERENCES, LINE, VALENCES)
    assert np.isnan(nothing.valence)
    assert not nothing.is_structured


def test_condition_number() -> None:
    assert condition_number(np.eye(4)[:, :2], np.zeros((4, 0))) == pytest.approx(1.0)
    twice = np.stack([REFERENCES[:, 0], 2 * REFERENCES[:, 0]], axis=1)
    assert condition_number(twice, LINE) > 1e6


def test_one_reference_is_refused() -> None:
    value = np.ones((60, 1, 1), np.float32)
    with pytest.raises(InputError, match="2 to 5 reference spectra, got 1"):
        fit_valence(value, value, REFERENCES[:, :1], LINE, VALENCES[:1], sum_to_one=False, sum_error=None)
