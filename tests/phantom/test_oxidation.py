"""The oxidation branch against known truth: valence and its errors, registration, shells, oxygen loss."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from oxytomo.align.stack import register_stack, shifted_frame, variance_factor
from oxytomo.config import ReferenceSource, StackSource
from oxytomo.config.stage_settings import FitValenceStage, NormalizeStackStage, RegisterStackStage
from oxytomo.io.readers.data_exchange import write_energy_stack
from oxytomo.io.stores import Store, read_store
from oxytomo.measure.particles import agglomerates, particle_shells, split_particles
from oxytomo.oxidation.exploration import explore
from oxytomo.oxidation.oxygen_loss import fit_oxygen_loss, projected, vacancy_concentration
from oxytomo.simulate.energy_stack import SimulatedStack, StackAcquisition, simulate_stack
from oxytomo.stages.context import StageContext
from oxytomo.stages.oxidation import fit_valence, normalize_stack
from oxytomo.stages.oxidation import register_stack as register_stage

ACQUISITION = StackAcquisition(
    element="Mn",
    n_energies=80,
    n_rows=96,
    n_cols=96,
    pixel_nm=10.0,
    n_particles=1,
    law="diffusion",
    law_parameter=0.01,
    core_valence=3.7,
    surface_valence=2.8,
    largest_od=1.5,
    photons_per_pixel=1e4,
    drift_px=0.3,
    i0_drift=0.02,
    dark_level=100.0,
    n_flat=1,
)


class Chain(NamedTuple):
    """A simulated stack with what the first three stages made of it."""

    truth: SimulatedStack
    registered: Store
    fit: Store


def run_chain(folder: Path, acquisition: StackAcquisition, *, seed: int, **fit: Any) -> Chain:
    """Simulate, write, and run the stages up to the fit."""
    stack = simulate_stack(acquisition, rng=np.random.default_rng(seed))
    write_energy_stack(
        folder / "raw.h5",
        stack.frames,
        stack.energy_ev,
        pixel_nm=10.0,
        quantity="counts",
        flat=stack.flat,
        dark=stack.dark,
    )
    references = []
    for valence, spectrum in stack.references.items():
        path = folder / f"ref_{valence:g}.csv"
        rows = zip(spectrum.energy_ev, spectrum.absorption, strict=True)
        path.write_text("\n".join(f"{e:.3f},{mu:.8f}" for e, mu in rows))
        references.append((valence, ReferenceSource(file=str(path))))

    def stage(module: Any, inputs: dict[str, Path], name: str, settings: Any) -> Store:
        context = StageContext(name, 1, 1, settings.model_dump(mode="json"))
        module.run(inputs, {"store": folder / f"{name}.zarr"}, settings, context)
        return read_store(folder / f"{name}.zarr")

    source = StackSource(images=(str(folder / "raw.h5"),))
    stage(normalize_stack, {}, "normalize", NormalizeStackStage(element="Mn", source=source))
    registered = stage(
        register_stage, {"normalize": folder / "normalize.zarr"}, "register", RegisterStackStage()
    )
    settings = FitValenceStage(element="Mn", references=tuple(references), **fit)
    return Chain(
        stack, registered, stage(fit_valence, {"register": folder / "register.zarr"}, "fit", settings)
    )


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return run_chain(tmp_path_factory.mktemp("stack"), ACQUISITION, seed=11)


def true_valence(chain: Chain) -> np.ndarray:
    """The truth where the registered stack has it: moved to the frame that did not move."""
    moved = chain.truth.shift_px[chain.registered.attributes["reference"]]
    return shift(np.nan_to_num(chain.truth.valence), moved, order=1)


def inner(chain: Chain) -> np.ndarray:
    """Fitted pixels of optical density 0.3 to 1.5 away from the rim, where one pixel holds one valence."""
    away = shift(
        (chain.truth.edge_jump > 0).astype(float),
        chain.truth.shift_px[chain.registered.attributes["reference"]],
        order=1,
    )
    od = chain.fit["largest_od"]
    return (chain.fit["status"] == 0) & (od > 0.3) & (od < 1.6) & (away > 0.999)


def test_valence_of_pixels(chain: Chain) -> None:
    miss = (chain.fit["valence"] - true_valence(chain))[inner(chain)]
    assert miss.size > 2000
    assert float(np.sqrt(np.mean(miss**2))) < 0.02
    assert abs(float(miss.mean())) < 0.005
    covered = float(np.mean(np.abs(miss) < chain.fit["valence_error"][inner(chain)]))
    assert 0.60 < covered < 0.76
    assert chain.fit.attributes["error_scale"] == pytest.approx(1.0, abs=0.03)


def test_shifts_of_the_stack(chain: Chain) -> None:
    found = chain.registered["shift_px"]
    truth = chain.truth.shift_px - chain.truth.shift_px[chain.registered.attributes["reference"]]
    assert float(np.sqrt(np.mean((found - truth) ** 2))) < 0.05


@pytest.mark.slow
def test_fractions_that_add_up_to_one(tmp_path: Path) -> None:
    chain = run_chain(
        tmp_path, replace(ACQUISITION, drift_px=0.0, n_rows=64, n_cols=64), seed=12, fractions_sum="one"
    )
    miss = (chain.fit["valence"] - true_valence(chain))[inner(chain)]
    assert float(np.sqrt(np.mean(miss**2))) < 0.02
    assert abs(float(miss.mean())) < 0.005
    assert 0.60 < float(np.mean(np.abs(miss) < chain.fit["valence_error"][inner(chain)])) < 0.76


@pytest.mark.slow
def test_an_energy_scale_that_is_off_is_found(tmp_path: Path) -> None:
    acquisition = replace(ACQUISITION, drift_px=0.0, n_rows=48, n_cols=48, law="uniform")
    chain = run_chain(tmp_path, acquisition, seed=13)
    for valence in chain.fit.attributes["valences"]:
        source = tmp_path / f"ref_{valence:g}.csv"
        rows = np.loadtxt(source, delimiter=",")
        np.savetxt(source, np.stack([rows[:, 0] + 0.35, rows[:, 1]], axis=1), delimiter=",", fmt="%.8f")
    references = tuple(
        (float(v), ReferenceSource(file=str(tmp_path / f"ref_{v:g}.csv")))
        for v in chain.fit.attributes["valences"]
    )
    settings = FitValenceStage(element="Mn", references=references, energy_offset_ev="fit")
    context = StageContext("fit_valence", 1, 1, settings.model_dump(mode="json"))
    fit_valence.run(
        {"register": tmp_path / "register.zarr"}, {"store": tmp_path / "again.zarr"}, settings, context
    )
    facts = read_store(tmp_path / "again.zarr").attributes
    assert facts["energy_offset_ev"] == pytest.approx(
        0.35, abs=max(3 * facts["energy_offset_error_ev"], 0.01)
    )


def test_registration_does_not_follow_the_spectrum_of_one_part() -> None:
    """Where part of the sample lacks the element, no gain fits all of it and plain least squares shifts the frames."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:128, :128]

    def blob(y: float, x: float, ry: float, rx: float) -> np.ndarray:
        return np.sqrt(np.clip(1 - ((rows - y) / ry) ** 2 - ((columns - x) / rx) ** 2, 0, None))

    inert = blob(64, 95, 30, 20) + 0.3 * blob(50, 40, 12, 25)
    element = blob(60, 45, 30, 22) * np.clip(
        0.6 + 2.4 * gaussian_filter(rng.normal(size=rows.shape), 3), 0.1, None
    )
    n = 30
    strength = np.exp(-(((np.linspace(0, 1, n) - 0.4) / 0.1) ** 2)) + 0.3 * (np.linspace(0, 1, n) > 0.4)
    true = np.cumsum(rng.normal(scale=0.25, size=(n, 2)), axis=0)
    frames = []
    for i in range(n):
        density = np.maximum(shift(0.5 * inert + strength[i] * element, true[i], order=3), 0)
        counts = np.maximum(rng.poisson(3000 * np.exp(-density)), 1)
        frames.append(-np.log(counts / 3000).astype(np.float32))

    def rms() -> float:
        found = register_stack(
            lambda i: frames[i],
            np.arange(n),
            shows_sample=np.ones(n, bool),
            max_shift_px=15.0,
            progress=lambda *_: None,
        )
        miss = found.shift_px - true
        return float(np.sqrt(np.mean((miss - miss.mean(axis=0)) ** 2)))

    # Where part of the sample lacks the element; the limit that pixels trimmed by their misfit kept before.
    assert rms() < 0.15


def test_noise_after_interpolation_is_known(rng: np.random.Generator) -> None:
    noise = rng.normal(size=(200, 200)).astype(np.float32)
    moved, variance = shifted_frame(noise, np.ones_like(noise), np.array([0.37, -1.61]))
    factor = variance_factor(np.array([0.37, -1.61]))
    assert float(np.nanvar(moved[10:-10, 10:-10])) == pytest.approx(factor, rel=0.03)
    assert factor < 0.9
    assert variance_factor(np.array([2.0, -3.0])) == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(variance[10:-10, 10:-10], 1.0, rtol=1e-4)


def test_diffusion_in_a_sphere() -> None:
    radius = np.linspace(0.01, 1.0, 60)
    # The series and the solution for short times hold both where they meet; D t / R² differs by 2e-8 between the calls
    # and the short-time solution leaves out images of the order exp(−1/(D t / R²)).
    np.testing.assert_allclose(
        vacancy_concentration(radius, 0.00999999), vacancy_concentration(radius, 0.01000001), atol=3e-5
    )
    late = vacancy_concentration(radius, 0.3)
    one_term = 1 - 2 / (np.pi * radius) * np.sin(np.pi * radius) * np.exp(-0.3 * np.pi**2)
    # The second term of the series is 2 exp(−1.2 π²) = 1.4e-5.
    np.testing.assert_allclose(late, one_term, atol=2e-5)
    assert vacancy_concentration(np.array([1.0]), 0.001)[0] == pytest.approx(1.0, abs=1e-6)


def test_projection_through_a_sphere() -> None:
    edges = np.linspace(0, 1, 2001)
    at = np.array([0.0, 0.3, 0.7, 0.95])
    half = np.sqrt(1 - at**2)
    np.testing.assert_allclose(projected(np.full(2000, 5.0), edges, at), 5.0)
    # The mean of r² along the chord is a² + (1 − a²)/3.
    squares = (edges[1:] ** 2 + edges[1:] * edges[:-1] + edges[:-1] ** 2) / 3
    np.testing.assert_allclose(projected(squares, edges, at), at**2 + half**2 / 3, atol=1e-4)


@pytest.mark.parametrize(
    ("law", "parameter"),
    [("diffusion", 0.01), ("diffusion", 0.002), ("core_shell", 0.1), ("core_shell", 0.25)],
)
def test_oxygen_loss_is_told_from_a_front(law: str, parameter: float) -> None:
    """20 draws each; benchmarks/valence_accuracy.py has 200, of maps, and the way through the whole chain."""
    rng = np.random.default_rng(int(1000 * parameter))
    edges = np.linspace(0, 1, 3001)
    middle = (edges[1:] + edges[:-1]) / 2
    local = (
        vacancy_concentration(middle, parameter)
        if law == "diffusion"
        else (middle > 1 - parameter).astype(float)
    )
    share = np.linspace(1, 0, 21)
    fine = np.linspace(1, 0, 20 * 25 + 1)
    rays = np.sqrt((fine[1:] + fine[:-1]) / 2)
    truth = 3.6 - 0.6 * projected(local, edges, rays).reshape(20, 25).mean(axis=1)
    radius_nm, error, found, sizes = 400.0, 0.01, 0, []
    for _ in range(20):
        fits = fit_oxygen_loss(
            truth + error * rng.normal(size=20),
            np.full(20, error),
            share,
            radius_nm=radius_nm,
            dimensions=2,
        )
        found += fits[0].name == law
        own = next(fit for fit in fits if fit.name == law)
        sizes.append(own.parameters["dt_nm2" if law == "diffusion" else "shell_nm"])
    assert found >= 19
    wanted = parameter * radius_nm**2 if law == "diffusion" else parameter * radius_nm
    assert float(np.mean(sizes)) == pytest.approx(wanted, rel=0.05)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_uniform_profile_is_called_uniform(dimensions: int) -> None:
    rng = np.random.default_rng(5)
    names = [
        fit_oxygen_loss(
            3.5 + 0.01 * rng.normal(size=20),
            np.full(20, 0.01),
            np.linspace(1, 0, 21),
            radius_nm=100.0,
            dimensions=dimensions,
        )[0].name
        for _ in range(20)
    ]
    # BIC takes noise for a model in a tenth of the cases.
    assert names.count("uniform") >= (17 if dimensions == 2 else 15)


def test_shells_have_equal_areas_in_every_particle() -> None:
    rows, columns = np.mgrid[:80, :160]
    big, small = np.hypot(rows - 40, columns - 45) < 30, np.hypot(rows - 40, columns - 125) < 15
    labels = agglomerates(big | small, min_pixels=20)
    assert labels.max() == 2
    assert (labels[40, 45], labels[40, 125]) == (1, 2)
    shells, depth, share = particle_shells(labels, n_shells=5, pixel_nm=10.0)
    for label in (1, 2):
        sizes = np.bincount(shells[labels == label], minlength=6)[1:]
        # A shell is as equal as one layer of pixels allows.
        assert np.abs(sizes / sizes.sum() - 0.2).max() < 2 * np.pi * 15 / (np.pi * 15**2) / 2
    assert float(np.nanmax(depth)) == pytest.approx(300, abs=10)
    assert np.nanmin(share) < 0.01
    assert np.nanmax(share) > 0.99


def test_touching_particles_are_split_at_the_neck() -> None:
    rows, columns = np.mgrid[:60, :110]
    both = (np.hypot(rows - 30, columns - 32) < 22) | (np.hypot(rows - 30, columns - 72) < 20)
    clumps = agglomerates(both, min_pixels=20)
    parts = split_particles(clumps, min_pixels=20)
    assert (clumps.max(), parts.max()) == (1, 2)
    assert parts[30, 32] != parts[30, 72]
    np.testing.assert_array_equal(parts > 0, both)


def test_exploring_finds_what_is_there(rng: np.random.Generator) -> None:
    energy = np.linspace(0, 1, 40)
    shapes = np.stack([np.exp(-(((energy - centre) / 0.08) ** 2)) for centre in (0.3, 0.5, 0.7)])
    which = rng.integers(0, 3, 900)
    spectra = (shapes[which] * rng.uniform(0.5, 1.5, 900)[:, None]).T + 0.01 * rng.normal(size=(40, 900))
    found = explore(spectra, np.full(40, 0.01), n_components=5, n_clusters=3, rng=rng)
    assert found.n_significant == 3
    for kind in range(3):
        labels = found.cluster[(which == kind) & (found.cluster > 0)]
        assert np.bincount(labels).max() > 0.99 * labels.size
    peaks = energy[np.argmax(found.cluster_spectra, axis=1)]
    np.testing.assert_allclose(peaks, [0.3, 0.5, 0.7], atol=0.5 * (energy[1] - energy[0]))
