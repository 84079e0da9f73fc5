"""Near-edge factors from maps of reference spectra and from files, with known answers."""

import numpy as np
import pytest

from oxytomo.composition.near_edge import factor_of_maps, factor_of_spectrum, prior_of_factor
from oxytomo.errors import InputError
from oxytomo.io.near_edge import ERROR, factor_of_file, factor_of_fit, measured_factors
from oxytomo.io.stores import NamedArray, Provenance, write_store

ENERGY = np.arange(620.0, 700.0, 1.0)
AT_EV = 645.0


def references() -> np.ndarray:
    """Two normalised spectra: white lines of 3 and 2 at 645 eV, on a step of 1 at 640 eV."""
    step = (ENERGY >= 640).astype(np.float64)
    line = np.exp(-(((ENERGY - AT_EV) / 2) ** 2))
    return np.column_stack([step + 2 * line, step + line])


def maps(rng: np.random.Generator, *, spread: float, noise: float) -> tuple[np.ndarray, np.ndarray]:
    true = np.clip(rng.normal(0.5, spread, 20_000), 0, 1)
    share = true + rng.normal(0, noise, true.size)
    return np.stack([share, 1 - share]), np.full((2, true.size), noise)


def test_mean_and_spread_of_the_maps_without_their_noise(rng):
    shares, errors = maps(rng, spread=0.1, noise=0.2)
    found = factor_of_maps(ENERGY, references(), shares, errors, AT_EV, error=0.03, name="Mn")
    # Half of each: 2.5. A share of 0.1 more of the first adds 0.1.
    assert found.factor == pytest.approx(2.5, abs=0.01)
    assert found.error == pytest.approx(np.hypot(0.1, 0.03), rel=0.05)
    alike = factor_of_maps(
        ENERGY, references(), *maps(rng, spread=0.0, noise=0.2), AT_EV, error=0.03, name="Mn"
    )
    assert alike.error < 0.045


def test_pixels_without_a_fit_do_not_count_and_none_at_all_is_one_line(rng):
    shares, errors = maps(rng, spread=0.0, noise=0.01)
    shares[:, ::2] = np.nan
    found = factor_of_maps(ENERGY, references(), shares, errors, AT_EV, error=0.03, name="Mn")
    assert found.factor == pytest.approx(2.5, abs=0.01)
    with pytest.raises(InputError, match="pixels with a valence"):
        factor_of_maps(ENERGY, references(), shares[:, ::2], errors[:, ::2], AT_EV, error=0.03, name="Mn")


def test_a_spectrum_that_does_not_reach_the_energy_is_refused():
    known = references()[:, 0].copy()
    known[ENERGY > 644] = np.nan
    with pytest.raises(InputError, match="reaches 645 eV"):
        factor_of_spectrum(ENERGY, known, AT_EV, error=0.03, name="Mn")


def test_what_the_element_absorbs_below_its_edge_has_no_factor():
    assert prior_of_factor(None, 0.1) is None
    from oxytomo.composition.near_edge import MeasuredFactor

    assert prior_of_factor(MeasuredFactor(1.5, 0.05), 0.2) == pytest.approx((0.4, 0.04))


def test_factors_of_a_store_a_file_and_a_value(tmp_path, rng):
    """The store as the oxidation branch writes it; a file in arbitrary units."""
    shares, errors = maps(rng, spread=0.0, noise=0.01)
    shape = (2, 100, 200)
    status = np.zeros(shape[1:], np.uint8)
    status[:10] = 1
    fractions = shares.reshape(shape).astype(np.float32)
    fractions[:, :10] = 7.0  # marked as not counting
    planes = ("y", "x")
    store = tmp_path / "Mn.zarr"
    write_store(
        store,
        {
            "fractions": NamedArray(fractions, ("reference", *planes), "1"),
            "fraction_errors": NamedArray(
                errors.reshape(shape).astype(np.float32), ("reference", *planes), "1"
            ),
            "status": NamedArray(status, planes, "1"),
            "all_references": NamedArray(references(), ("stack_energy", "reference"), "1"),
        },
        provenance=Provenance("made", 1, {}, {}, "0", "2024-01-01T00:00:00+00:00"),
        attributes={"stack_energy_ev": ENERGY.tolist()},
    )
    found = factor_of_fit(store, "Mn", AT_EV)
    assert (found.factor, found.error) == pytest.approx((2.5, ERROR), abs=0.01)
    file = tmp_path / "mn.txt"
    recorded = 5.0 + 4.0 * references()[:, 1]
    file.write_text("\n".join(f"{e} {a}" for e, a in zip(ENERGY, recorded, strict=True)))
    assert factor_of_file(file, "Mn", AT_EV, error=0.1).factor == pytest.approx(2.0, abs=0.02)
    given = {"Mn": "oxidation", "O": {"factor": 1.1, "spectrum": None, "error": 0.2}}
    each = measured_factors({"near_edge_Mn": store}, given, {"O": 540.0, "Mn": AT_EV, "Ni": 866.0})
    assert set(each) == {"O", "Mn"}
    assert (each["O"].factor, each["O"].error) == (1.1, 0.2)


def written(path, energy, values):
    path.write_text("\n".join(f"{e} {a}" for e, a in zip(energy, values, strict=True)))
    return path


def test_a_gap_at_the_energy_and_a_spectrum_without_its_continuum_are_refused(tmp_path):
    """The white line of 2 would have been 0.7 across the gap, and 11 on a step of a tenth."""
    one = references()[:, 1]
    away = np.abs(ENERGY - AT_EV) > 4
    with pytest.raises(InputError, match="none between 640 and 650 eV"):
        factor_of_file(written(tmp_path / "a.txt", ENERGY[away], one[away]), "Mn", AT_EV, error=0.03)
    with pytest.raises(InputError, match=r"0\.4 to 5 at 645 eV, got 20"):
        factor_of_file(
            written(tmp_path / "b.txt", ENERGY, np.where(ENERGY > 655, 0.1, one)), "Mn", AT_EV, error=0.03
        )
    at_a_point = ENERGY[away | (ENERGY == AT_EV)], one[away | (ENERGY == AT_EV)]
    found = factor_of_file(written(tmp_path / "c.txt", *at_a_point), "Mn", AT_EV, error=0.03)
    assert found.factor == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize(("scale", "offset", "words"), [(2.0, 0.0, "got 2"), (1.0, 0.5, "got 0.5")])
def test_references_on_another_scale_give_no_factor(tmp_path, rng, scale, offset, words):
    """The oxidation branch accepts any common scale; a factor is on the step of the edge."""
    shares, errors = maps(rng, spread=0.0, noise=0.01)
    arrays = {
        "fractions": NamedArray(shares.astype(np.float32), ("reference", "x"), "1"),
        "fraction_errors": NamedArray(errors.astype(np.float32), ("reference", "x"), "1"),
        "status": NamedArray(np.zeros(shares.shape[1], np.uint8), ("x",), "1"),
        "all_references": NamedArray(scale * references() + offset, ("stack_energy", "reference"), "1"),
    }
    write_store(
        tmp_path / "Mn.zarr",
        arrays,
        provenance=Provenance("made", 1, {}, {}, "0", "2024-01-01T00:00:00+00:00"),
        attributes={"stack_energy_ev": ENERGY.tolist()},
    )
    with pytest.raises(InputError, match=f"a normalised spectrum.*{words}"):
        factor_of_fit(tmp_path / "Mn.zarr", "Mn", AT_EV)
