"""TM/O and valence from one solution: exact columns, the truth of a particle, and refusals."""

from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

import numpy as np
import pytest

from oxytomo.arrays import Spectrum
from oxytomo.chemical_state.columns import StateColumns
from oxytomo.chemical_state.joint import measured_edges
from oxytomo.chemical_state.reconstruction import reconstruct_state
from oxytomo.composition import amounts
from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.composition.cross_sections import attenuation_per_um
from oxytomo.composition.deviation import reconstruct_deviation
from oxytomo.composition.deviation_problems import DeviationSolver
from oxytomo.composition.instrument import Term
from oxytomo.composition.measured_edges import Columns, MeasuredEdge
from oxytomo.errors import InputError
from oxytomo.oxidation.spectra import Reference
from oxytomo.simulate import demonstration as demo
from oxytomo.simulate.acquisition import Acquisition
from oxytomo.simulate.joint import JointTruth, further_energies_ev, joint_particle, simulate_joint
from oxytomo.simulate.states import state_references

ELEMENTS, ELEMENT = ["O", "Mn", "Ni"], "Ni"
FORMULA, DENSITY = {"Li": 1.0, "Mn": 0.2, "Ni": 0.8, "O": 2.0}, 4.7
SIZE, PIXEL_NM, PHOTONS, BASE = 40, 12.0, 2e4, 3.2
ON_THE_LINE_EV = 856.0
PIXEL_UM = PIXEL_NM / 1000
REFERENCES = [
    Reference(f"{ELEMENT} {valence:g}", valence, one) for valence, one in state_references(ELEMENT).items()
]


def energies() -> dict[str, float]:
    """The pair of every edge, that of Ni on a white line, and four more energies there."""
    found = {}
    for element in ELEMENTS:
        _, found[f"{element}_pre"], found[f"{element}_post"] = demo.EDGES[element]
        found |= further_energies_ev(ELEMENT, 4) if element == ELEMENT else {}
    return found | {f"{ELEMENT}_post": ON_THE_LINE_EV}


@dataclass(frozen=True)
class Measured:
    """Optical densities of all series of a particle, and its truth."""

    series: amounts.AlignedSeries
    truth: JointTruth

    def some(self, *names: str) -> amounts.AlignedSeries:
        """Return some of the series."""
        rows = [list(self.series.names).index(name) for name in names]
        one = self.series
        return replace(
            one,
            names=list(names),
            value=one.value[rows],
            variance=one.variance[rows],
            energies_ev=one.energies_ev[rows],
            stripe_change=np.zeros(len(rows)),
        )


def simulate(seed: int) -> Measured:
    rng = np.random.default_rng(seed)
    phantom = joint_particle(
        rng,
        formula=FORMULA,
        element=ELEMENT,
        high_share=(BASE - 2) / 2,
        diameter_nm=0.7 * SIZE * PIXEL_NM,
        deviation=0.15,
        share_step=0.2,
        uniform=False,
    )
    acquisition = Acquisition(
        energies_ev=energies(),
        tilt_deg=np.linspace(-65, 65, 31),
        n_rows=SIZE,
        n_cols=SIZE,
        pixel_nm=PIXEL_NM,
        magnification_spread=0.0,
        jitter_px=0.0,
        drift_px=0.0,
        psf_px=0.6,
        subsamples=2,
        photons_per_pixel=PHOTONS,
        dark_level=0.0,
        beam_structure=0.0,
        i0_drift=0.0,
        hot_fraction=0.0,
        n_flat=0,
        n_dark=0,
        noise=True,
        truth_subsamples=2,
    )
    recorded, truth = simulate_joint(
        phantom,
        acquisition,
        state_references(ELEMENT),
        element=ELEMENT,
        formula=FORMULA,
        density_g_cm3=DENSITY,
        rng=rng,
    )
    counts = np.maximum(np.stack([one.frames for one in recorded.values()]).astype(np.float32), 1)
    series = amounts.AlignedSeries(
        list(recorded),
        -np.log(counts / np.float32(PHOTONS)),
        1 / counts,
        truth.energies_ev,
        PIXEL_NM,
        truth.tilt_deg,
        np.zeros(len(recorded)),
    )
    return Measured(series, truth)


@pytest.fixture(scope="module")
def measured() -> Measured:
    return simulate(3)


def edges(series: amounts.AlignedSeries, references: list[Reference] = REFERENCES) -> dict[str, MeasuredEdge]:
    return measured_edges(
        series.names,
        series.energies_ev,
        {ELEMENT: references},
        FORMULA,
        density_g_cm3=DENSITY,
        normalized=False,
    )


def solved(series: amounts.AlignedSeries, measured: dict[str, MeasuredEdge]) -> amounts.Amounts:
    return amounts.amounts_from_edges(
        series,
        amounts.Material(ELEMENTS, FORMULA, DENSITY),
        amounts.allowed_terms("auto", "auto", {}, {}),
        progress=lambda *_: None,
        measured=measured,
    )


def deviation(found: amounts.Amounts, truth: JointTruth) -> np.ndarray:
    data = ColumnDensities(found.areal, found.covariance, truth.tilt_deg, found.atoms, PIXEL_UM)
    solver = DeviationSolver(100, None, None, 40, None, psf_px=0.8)
    result = reconstruct_deviation(data, solver=solver, reference_tm_o=1.0, start=None, with_metals=False)
    return np.where(np.asarray(result.particle), np.asarray(result.deviation), np.nan)


def test_domains_of_valence_are_no_deviation(measured: Measured) -> None:
    """Composition alone takes valence for oxygen; one solution of all energies does not."""
    truth = measured.truth
    pairs = [f"{element}_{side}" for element in ELEMENTS for side in ("pre", "post")]
    alone = deviation(solved(measured.some(*pairs), {}), truth)
    joint_amounts = solved(measured.series, edges(measured.series))
    joint = deviation(joint_amounts, truth)
    inside = np.isfinite(joint) & np.isfinite(alone) & np.isfinite(truth.deviation)
    moved = inside & (np.abs(truth.valence - BASE) > 0.2) & (np.abs(truth.deviation) < 0.02)
    rest = inside & (np.abs(truth.valence - BASE) < 0.02) & (np.abs(truth.deviation) < 0.02)
    poor = inside & (truth.deviation > 0.1)
    up, down = moved & (truth.valence > BASE), moved & (truth.valence < BASE)
    # Nothing tells the height of the last edge: alone, the particle as a whole is off, and so are its
    # domains of valence against the rest of it.
    spurious = [(1 + alone[where].mean()) / (1 + alone[rest].mean()) - 1 for where in (up, down)]
    assert alone[rest].mean() > 0.5
    assert spurious[0] > 0.03
    assert spurious[1] < -0.03
    for where in (up, down, rest):
        assert abs(joint[where].mean()) < 0.01
    # Blur takes a part of the small domains, as without other valences.
    assert joint[poor].mean() > 0.8 * truth.deviation[poor].mean()
    assert joint_amounts.record["near_edge_measured"] == [ELEMENT]
    assert not [
        name for name in joint_amounts.record["terms"] if name.startswith("near_edge") and ELEMENT in name
    ]


def test_valence_of_the_same_solution(measured: Measured) -> None:
    """The states of the solution give the valence: rms of 0.03, no bias, none where oxygen is lost."""
    truth, found = measured.truth, solved(measured.series, edges(measured.series))
    of = found.states[ELEMENT]
    data = StateColumns(
        of.areal, of.covariance, truth.tilt_deg, np.ones(2), PIXEL_UM, of.valences, reference_valence=0.0
    )
    state = reconstruct_state(
        data, solver=DeviationSolver(100, None, 0.0, 40, None, psf_px=0.8), reference=None
    )
    particle = np.asarray(state.result.particle)
    valence = state.reference_valence + np.asarray(state.result.deviation)
    inside = particle & np.isfinite(truth.valence)
    error = (valence - truth.valence)[inside]
    assert np.sqrt(np.mean(error**2)) < 0.03
    assert abs(error.mean()) < 0.01
    poor = inside & (truth.deviation > 0.1)
    assert abs((valence - truth.valence)[poor].mean()) < 0.01
    assert of.record["chi_square_per_dof"] < 2
    assert abs(of.record["best_energy_offset_ev"]) <= 0.1


def test_amounts_are_sums_of_states(measured: Measured) -> None:
    """Amount and variance of an element are those of the sum of its columns."""
    found = solved(measured.series, edges(measured.series))
    of, ray = found.states[ELEMENT], (15, 16, 16)
    assert found.areal[(2, *ray)] == pytest.approx(of.areal[(0, *ray)] + of.areal[(1, *ray)], rel=1e-5)
    low, both, high = (of.covariance[(row, *ray)] for row in range(3))
    variance = found.covariance[(5, *ray)]  # the last pair is Ni Ni
    assert variance == pytest.approx(low + 2 * both + high, rel=1e-4)


def test_sums_by_hand() -> None:
    """Covariance of sums of columns is S C Sᵀ; rays without a solution stay without one."""
    edge = MeasuredEdge(np.array([2.0, 4.0]), ("a", "b"), np.zeros((5, 2)), lambda _: np.zeros((5, 2)), ())
    columns = Columns.of(["O", "Mn", "Ni"], {"Mn": edge})
    assert columns.owner.tolist() == [0, 1, 1, 2]
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4, 4))
    full, areal = root @ root.T, rng.normal(size=(4, 2)).astype(np.float32)
    pairs = list(combinations_with_replacement(range(4), 2))
    covariance = np.array([[full[pair], np.inf] for pair in pairs], np.float32)
    total, spread = columns.summed(areal, covariance)
    sums = np.eye(3)[:, columns.owner]
    np.testing.assert_allclose(total, sums @ areal, rtol=1e-5)
    expected = sums @ full @ sums.T
    wanted = [expected[pair] for pair in combinations_with_replacement(range(3), 2)]
    np.testing.assert_allclose(spread[:, 0], wanted, rtol=1e-4)
    assert np.isposinf(spread[:, 1]).all()


def test_terms_of_measured_edges_are_left_out() -> None:
    edge = MeasuredEdge(np.array([2.0, 4.0]), ("a", "b"), np.zeros((8, 2)), lambda _: np.zeros((8, 2)), ())
    columns = Columns.of(["O", "Mn", "Ni"], {"Mn": edge})
    near = [Term(f"near_edge_{e}", "near_edge", np.ones(8), k) for k, e in enumerate(("O", "Mn", "Ni"))]
    stray = Term("stray_Mn", "stray", np.zeros(8))
    series = ["O_pre", "O_post", "Mn_pre", "Mn_post", "Mn_3", "Mn_4", "Ni_pre", "Ni_post"]
    kept = columns.terms([*near, stray], series, 4)
    assert [(term.name, term.element) for term in kept] == [
        ("near_edge_O", 0),
        ("near_edge_Ni", 3),
        ("stray_Mn", None),
    ]
    assert kept[-1].column.tolist() == [0, 0, 1, 1, 1, 1, 0, 0]


def test_spectra_are_the_tables_away_from_the_edge() -> None:
    """Tables below the edge and at the edges of others; the references in between, of the right height."""
    flat = np.arange(620.0, 690.0, 0.1)
    step = Spectrum(flat, (flat > 640).astype(np.float64))
    names = ["O_pre", "Mn_pre", "Mn_post", "Mn_3", "Ni_pre"]
    at_ev = np.array([525.0, 632.0, 668.0, 639.0, 846.0])
    found = measured_edges(
        names,
        at_ev,
        {"Mn": [Reference("step", 3.0, step)]},
        FORMULA,
        density_g_cm3=DENSITY,
        normalized=False,
    )["Mn"].attenuation[:, 0]
    tables = attenuation_per_um(FORMULA, density_g_cm3=DENSITY, energies_ev=at_ev, elements=["Mn"])[:, 0]
    np.testing.assert_allclose(found[[0, 1, 4]], tables[[0, 1, 4]], rtol=1e-12)
    # Above the white lines a step has the height of the tables.
    assert found[2] == pytest.approx(tables[2], rel=1e-3)
    # Below its step the absorption goes on from below the edge: E⁻³ from 632.5 eV.
    below = attenuation_per_um(
        FORMULA, density_g_cm3=DENSITY, energies_ev=np.array([632.5]), elements=["Mn"]
    )[0, 0]
    assert found[3] == pytest.approx(below * (632.5 / 639.0) ** 3, rel=1e-9)


def test_another_energy_scale_is_named(measured: Measured) -> None:
    moved = [
        replace(one, spectrum=Spectrum(one.spectrum.energy_ev + 1.0, one.spectrum.absorption))
        for one in REFERENCES
    ]
    with pytest.raises(
        InputError, match=r"energies of Ni: .*times better .*\+1\.0 eV added.*energy_shift_ev: -1"
    ):
        solved(measured.series, edges(measured.series, moved))


def test_states_that_energies_cannot_tell_apart(measured: Measured) -> None:
    """Two references that are nearly the same: the condition number is said."""
    first = REFERENCES[0]
    twin = Reference(
        "twin", 3.0, Spectrum(first.spectrum.energy_ev, first.spectrum.absorption * 1.0001 + 1e-5)
    )
    with pytest.raises(InputError, match=r"a condition number of at most 100, got \d"):
        solved(measured.series, edges(measured.series, [first, twin]))


def test_references_that_are_too_short(measured: Measured) -> None:
    cut = [
        replace(one, spectrum=Spectrum(one.spectrum.energy_ev[:70], one.spectrum.absorption[:70]))
        for one in REFERENCES
    ]
    with pytest.raises(InputError, match="reference Ni 2"):
        edges(measured.series, cut)
