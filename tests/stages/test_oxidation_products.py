"""Every number in the tables and the summary of the oxidation branch against the truth of a phantom or a hand value.

A column or key that is not in the lists here fails the first tests: give it a test, then a place in the list.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_oxidation_stages import ACQUISITION, project, run_stages

from oxytomo.align.series import Solution
from oxytomo.io.alignment import ShiftRows, write_shifts
from oxytomo.io.stores import Store, read_store
from oxytomo.simulate.energy_stack import SimulatedStack, simulate_stack

pytestmark = pytest.mark.slow

TIME_S = 3600.0
TABLES = {
    "oxidation_shells.csv": "element shell_inner shell_outer mean_valence standard_error n_pixels standard_deviation "
    "spectrum_valence spectrum_error structured_residual",
    "oxidation_particles.csv": "element kind label agglomerate n_pixels equivalent_diameter_nm centroid_y_nm "
    "centroid_x_nm mean_valence standard_error standard_deviation weighted_valence mean_edge_jump",
    "oxidation_profiles.csv": "element axis low high mean_valence standard_error n_pixels",
}
FIT = {"valence", "standard_error", "fractions", "chi_square", "structured_residual"}
MODEL = {
    "name",
    "parameters",
    "standard_errors",
    "chi_square",
    "reduced_chi_square",
    "aic",
    "bic",
    "profile",
}
SUMMARY = (
    "mean_valence standard_error standard_deviation n_pixels pixels references condition_number energy_offset_ev "
    "energy_offset_error_ev white_line_ev white_line valence_per_0_1_ev median_chi_square median_r_factor error_scale spectrum "
    "leave_one_out structured_shells significant_components models fractions_sum windows remarks"
)


class Run:
    """A finished sample with the truth."""

    def __init__(self, folder: Path) -> None:
        self.results = run_stages(
            project(
                folder, change=lambda o: o.update(measure={"time_s": TIME_S}, fit={"energy_offset_ev": "fit"})
            )
        )
        self.truth: SimulatedStack = simulate_stack(ACQUISITION, rng=np.random.default_rng(3))
        self.fit = self.store("fit/Mn")
        self.measured = self.store("measure")
        self.summary: dict[str, Any] = json.loads((self.results / "oxidation.json").read_text())
        self.one: dict[str, Any] = self.summary["elements"]["Mn"]
        self.inside = (self.measured["Mn_agglomerates"] > 0) & np.isfinite(self.fit["valence"])
        self.rim = self.truth.edge_jump < 0.02
        """Pixels of so little that the truth of their middle is not that of their area."""

    def store(self, name: str) -> Store:
        return read_store(self.results / "stages/oxidation" / f"{name}.zarr")

    def table(self, name: str) -> list[dict[str, str]]:
        with (self.results / name).open() as file:
            return list(csv.DictReader(file))

    def true_mean(self, where: np.ndarray, weights: np.ndarray | None = None) -> float:
        w = np.ones(where.shape) if weights is None else weights
        return float(np.average(self.truth.valence[where], weights=w[where]))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("products"))


@pytest.mark.parametrize("name", list(TABLES))
def test_no_column_without_a_test(run: Run, name: str) -> None:
    assert list(run.table(name)[0]) == TABLES[name].split()


def test_no_key_without_a_test(run: Run) -> None:
    assert set(run.summary) == {"elements", "white_lines", "definitions"}
    assert run.summary["white_lines"] == {}
    assert run.table("oxidation_white_lines.csv") == []
    assert set(run.one) == set(SUMMARY.split())
    assert set(run.one["spectrum"]) == FIT
    assert all(set(left) == FIT | {"left_out"} for left in run.one["leave_one_out"])
    assert all(set(model) == MODEL for model in run.one["models"])
    named = (
        set(SUMMARY.split())
        | {c for columns in TABLES.values() for c in columns.split()}
        | {"shells", "edge_jump"}
    )
    assert set(run.summary["definitions"]) <= named


def near(found: float, truth: float, error: float, *, model: float) -> bool:
    """Within four standard errors of noise and what a pixel's middle differs from its area."""
    return abs(found - truth) < 4 * error + model


def test_shells_against_the_truth(run: Run) -> None:
    labels, valence = run.measured["Mn_shells"], run.fit["valence"]
    rows = run.table("oxidation_shells.csv")
    counts = []
    for i, row in enumerate(rows):
        number = {k: float(v) for k, v in row.items() if k != "element"}
        where = (labels == i + 1) & np.isfinite(valence)
        assert row["element"] == "Mn"
        assert (number["shell_outer"], number["shell_inner"]) == (20.0 * i, 20.0 * (i + 1))
        assert number["n_pixels"] == where.sum()
        counts.append(where.sum())
        # At the rim the chords change within a pixel.
        assert near(
            number["mean_valence"],
            run.true_mean(where),
            number["standard_error"],
            model=0.01 if i == 0 else 0.002,
        )
        errors = run.fit["valence_error"][where].astype(float)
        assert number["standard_error"] == pytest.approx(np.sqrt(np.sum(errors**2)) / where.sum(), rel=1e-4)
        assert number["standard_deviation"] == pytest.approx(valence[where].std(ddof=1), rel=1e-4)
        true = run.true_mean(where, run.truth.edge_jump)
        assert near(
            number["spectrum_valence"], true, number["spectrum_error"], model=0.01 if i == 0 else 0.003
        )
        # The mean spectrum of the shell knows its valence about as well as the mean of its pixels.
        assert 0.3 < number["spectrum_error"] / number["standard_error"] < 1.5
        # Three references make up every spectrum of the phantom.
        assert 0 <= number["structured_residual"] < 0.01
    assert sum(counts) == run.inside.sum()
    # Shells of equal area; pixels are not cut.
    assert np.ptp(counts[1:]) < 0.35 * np.mean(counts)


def test_particles_against_the_truth(run: Run) -> None:
    labels = run.measured["Mn_agglomerates"] == 1
    for row, kind in zip(run.table("oxidation_particles.csv"), ("agglomerate", "particle"), strict=True):
        number = {k: float(v) for k, v in row.items() if k not in ("element", "kind")}
        assert (row["element"], row["kind"]) == ("Mn", kind)
        assert (number["label"], number["agglomerate"]) == (1, 1)
        assert number["n_pixels"] == run.inside.sum()
        # The disc of radius 0.36 × 64 px, less a rim that is too thin to be mapped.
        assert number["equivalent_diameter_nm"] == pytest.approx(2 * 0.36 * 640, rel=0.03)
        assert number["equivalent_diameter_nm"] == pytest.approx(20 * np.sqrt(labels.sum() / np.pi), rel=1e-6)
        assert number["centroid_y_nm"] == pytest.approx(315, abs=3)
        assert number["centroid_x_nm"] == pytest.approx(320, abs=3)
        assert near(number["mean_valence"], run.true_mean(run.inside), number["standard_error"], model=0.003)
        errors = run.fit["valence_error"][run.inside].astype(float)
        assert number["standard_error"] == pytest.approx(
            np.sqrt(np.sum(errors**2)) / run.inside.sum(), rel=1e-4
        )
        assert number["standard_deviation"] == pytest.approx(
            np.hypot(run.truth.valence[run.inside].std(), np.sqrt(np.mean(errors**2))), rel=0.05
        )
        weighted = run.true_mean(run.inside, run.truth.edge_jump)
        assert near(number["weighted_valence"], weighted, number["standard_error"], model=0.003)
        true_jump = float(run.truth.edge_jump[run.inside].mean())
        assert number["mean_edge_jump"] == pytest.approx(true_jump, rel=0.01)


def test_profiles_against_the_truth(run: Run) -> None:
    by = {
        "depth_nm": run.measured["Mn_depth_nm"],
        "edge_jump": run.fit["amount"],
        "area_outside": None,
    }
    rows = run.table("oxidation_profiles.csv")
    assert {row["axis"] for row in rows} == set(by)
    for axis, place in by.items():
        own = [row for row in rows if row["axis"] == axis]
        low, high, mean, error, count = (
            np.array([float(row[name]) for row in own])
            for name in ("low", "high", "mean_valence", "standard_error", "n_pixels")
        )
        assert all(row["element"] == "Mn" for row in own)
        np.testing.assert_allclose(low[1:], high[:-1], rtol=1e-6)
        assert count.sum() == run.inside.sum()
        if place is None:
            assert (low[0], high[-1]) == (0.0, 1.0)
            # From outside to inside more of the core of valence 3.6 lies in the beam.
            assert (np.diff(mean[np.isfinite(mean)]) > -0.02).all()
            continue
        assert low[0] == pytest.approx(np.nanmin(np.where(run.inside, place, np.nan)), rel=1e-5)
        assert high[-1] == pytest.approx(np.nanmax(np.where(run.inside, place, np.nan)), rel=1e-5)
        for i in range(1, count.size):
            upper = place <= high[i] if i == count.size - 1 else place < high[i]
            where = run.inside & (place >= low[i]) & upper
            if count[i] < 5:
                continue
            assert abs(where.sum() - count[i]) <= 2  # Limits are written with rounded numbers.
            assert near(mean[i], run.true_mean(where), error[i], model=0.01)
            errors = run.fit["valence_error"][where].astype(float)
            assert error[i] == pytest.approx(np.sqrt(np.sum(errors**2)) / where.sum(), rel=0.05)


def test_the_mean_and_its_counts(run: Run) -> None:
    one, errors = run.one, run.fit["valence_error"][run.inside].astype(float)
    assert one["n_pixels"] == run.inside.sum()
    assert near(one["mean_valence"], run.true_mean(run.inside), one["standard_error"], model=0.003)
    assert one["standard_error"] == pytest.approx(np.sqrt(np.sum(errors**2)) / run.inside.sum(), rel=1e-4)
    noisy = np.hypot(run.truth.valence[run.inside].std(), np.sqrt(np.mean(errors**2)))
    assert one["standard_deviation"] == pytest.approx(noisy, rel=0.05)
    names = {str(name): int(label) for label, name in run.fit.attributes["status"].items()}
    assert one["pixels"] == {name: int((run.fit["status"] == label).sum()) for name, label in names.items()}
    assert sum(one["pixels"].values()) == 64 * 64
    assert one["references"] == {"ref_2": 2.0, "ref_3": 3.0, "ref_4": 4.0}
    assert one["fractions_sum"] == "free"
    assert one["remarks"] == []


def test_energies_windows_and_the_fit(run: Run) -> None:
    one = run.one
    # The stack has the scale of the references.
    assert abs(one["energy_offset_ev"]) < max(3 * one["energy_offset_error_ev"], 0.01)
    assert 0 < one["energy_offset_error_ev"] < 0.02
    mu = np.stack([s.absorption for s in run.truth.references.values()])
    energy = run.truth.references[2.0].energy_ev
    shares = np.stack([run.fit["fractions"][k][run.inside].mean() for k in range(3)])
    peak = energy[(shares @ mu).argmax()]
    assert one["white_line_ev"] == pytest.approx(peak, abs=0.3)  # Energies are 0.5 eV apart.
    line = one["white_line"]
    # The maxima of the pixels, not that of their mean: the spectra have two of similar height.
    of_pixels = energy[(run.fit["fractions"][:, run.inside].T @ mu).argmax(axis=1)]
    assert line["median_ev"] == pytest.approx(np.median(of_pixels), abs=0.3)
    assert sum(line["pixels"].values()) == 64 * 64
    assert line["half_width_ev"] == 2.0  # Four steps of the energies
    found = run.fit["white_line_status"] == 0
    assert line["median_ev"] == pytest.approx(float(np.median(run.fit["white_line_position_ev"][found])))
    assert line["median_error_ev"] == pytest.approx(float(np.median(run.fit["white_line_error_ev"][found])))
    assert 0 < line["median_error_ev"] < 0.2
    spread = np.std(run.fit["white_line_position_ev"][found].astype(float))
    assert line["standard_deviation_ev"] == pytest.approx(spread, rel=1e-4)
    # The edge rises about 1.5 eV before its highest point.
    assert line["edge_median_ev"] == pytest.approx(peak - 1.5, abs=1.5)
    assert one["windows"]["window_ev"] == [638.0, 648.0]
    assert one["windows"]["pre_edge_ev"] == pytest.approx([618.7, 637.5])
    assert one["windows"]["post_edge_ev"] == pytest.approx([658.4, 689.9])
    columns = np.concatenate([run.fit["references"], run.fit["background"]], axis=1)
    scaled = columns / np.linalg.norm(columns, axis=0)
    singular = np.linalg.svd(scaled, compute_uv=False)
    assert one["condition_number"] == pytest.approx(singular[0] / singular[-1], rel=1e-6)
    # Photon noise and nothing else: χ² is 1, and errors need no scale.
    assert one["median_chi_square"] == pytest.approx(1.0, abs=0.08)
    assert one["error_scale"] == pytest.approx(1.0, abs=0.04)
    assert one["median_r_factor"] == pytest.approx(
        float(np.median(run.fit["r_factor"][run.inside])), rel=1e-5
    )
    assert one["structured_shells"] == []
    # A background and three references make four; noise adds none.
    assert 2 <= one["significant_components"] <= 4
    # A chemical shift of 1.3 eV per valence: 0.1 eV are 0.077, and the shape of the edges takes some of it.
    assert one["valence_per_0_1_ev"] == pytest.approx(0.077, abs=0.025)


def test_the_mean_spectrum_and_leaving_references_out(run: Run) -> None:
    whole = run.one["spectrum"]
    weight = run.truth.edge_jump
    assert near(whole["valence"], run.true_mean(run.inside, weight), whole["standard_error"], model=0.003)
    assert sum(whole["fractions"].values()) == pytest.approx(1.0, abs=1e-5)
    assert sum(f * float(name[-1]) for name, f in whole["fractions"].items()) == pytest.approx(
        whole["valence"], abs=1e-4
    )
    # Fractions (1 − u)², 2u(1 − u), u² with u = (v − 2)/2, mixed along the beam between core (3.6) and shell (2.8).
    core = (run.true_mean(run.inside, weight) - 2.8) / 0.8
    for name, state in (("ref_2", 0), ("ref_3", 1), ("ref_4", 2)):
        u = np.array([0.8, 0.4])
        of_each = ((1 - u) ** 2, 2 * u * (1 - u), u**2)[state]
        assert whole["fractions"][name] == pytest.approx(
            core * of_each[0] + (1 - core) * of_each[1], abs=0.015
        )
    assert 0.3 < whole["chi_square"] < 2.5
    assert 0 <= whole["structured_residual"] < 0.005
    assert 0 < whole["standard_error"] < 0.002
    for left, missing in zip(run.one["leave_one_out"], ("ref_2", "ref_3", "ref_4"), strict=True):
        assert left["left_out"] == missing
        assert set(left["fractions"]) == {"ref_2", "ref_3", "ref_4"} - {missing}
        assert sum(f * float(name[-1]) for name, f in left["fractions"].items()) == pytest.approx(
            left["valence"], abs=1e-4
        )
        # All three are in the sample: without one the fit is much worse, and what it leaves is no noise.
        assert left["chi_square"] > 5 * whole["chi_square"]
        assert left["structured_residual"] > whole["structured_residual"]
        assert left["standard_error"] > 0


def test_models_of_the_profile(run: Run) -> None:
    models = {model["name"]: model for model in run.one["models"]}
    assert set(models) == {"uniform", "diffusion", "core_shell"}
    front = models["core_shell"]
    radius_nm = 0.36 * 640
    true = {"shell_nm": 0.2 * radius_nm, "surface_valence": 2.8, "core_valence": 3.6}
    for name, value in true.items():
        # Bins average over pixels, and the outline is known to a fraction of one: 2 % of 46 nm, 0.05 of a valence.
        assert front["parameters"][name] == pytest.approx(value, rel=0.1 if name == "shell_nm" else 0.02)
        assert 0 < front["standard_errors"][name] < 0.1 * value
    n = len(front["profile"])
    # Where no model is right the χ² of the best one is the unit of all.
    scale = max(1.0, min(model["reduced_chi_square"] for model in models.values()))
    for name, model in models.items():
        k = len(model["parameters"]) - ("d_cm2_per_s" in model["parameters"])
        assert set(model["parameters"]) == set(model["standard_errors"])
        assert len(model["profile"]) == n
        used = round(k + model["chi_square"] / model["reduced_chi_square"])
        assert model["bic"] == pytest.approx(model["chi_square"] / scale + k * np.log(used), rel=1e-3), name
        small = 2 * k * (k + 1) / (used - k - 1)
        assert model["aic"] == pytest.approx(model["chi_square"] / scale + 2 * k + small, rel=1e-3), name
    assert min(models.values(), key=lambda model: model["bic"])["name"] == "core_shell"
    measured = [
        float(r["mean_valence"]) for r in run.table("oxidation_profiles.csv") if r["axis"] == "area_outside"
    ]
    away = np.abs(np.array(front["profile"]) - np.array(measured))
    assert float(np.nanmedian(away)) < 0.01
    both = models["diffusion"]
    for part in ("parameters", "standard_errors"):
        # D = D t / t, and 1 nm² is 10⁻¹⁴ cm².
        assert both[part]["d_cm2_per_s"] == pytest.approx(both[part]["dt_nm2"] * 1e-14 / TIME_S, rel=1e-9)


def numbers(thing: Any) -> Iterator[float]:
    if isinstance(thing, dict):
        for value in thing.values():
            yield from numbers(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from numbers(value)
    elif isinstance(thing, float):
        yield thing


def test_every_number_is_finite(run: Run) -> None:
    assert np.isfinite(list(numbers(run.one))).all()


def test_alignment_table_by_hand(tmp_path: Path) -> None:
    """Two energies, two tilts and a frame that was left out: every cell."""
    solution = Solution(
        np.array([[1.25, -2.0], [1.5, -1.75]]),
        np.array([[0.125, 0.25], [3.0, 4.0]]),
        np.array([1.0, 1.01]),
        0.12345,
    )
    rows = ShiftRows(
        ("pre", "post"),
        np.array([8320.0004, 8350.0]),
        np.array([-10.0, 12.5]),
        np.array([3, 7]),
        np.array([0.0123456, 0.5]),
    )
    write_shifts(tmp_path / "alignment.csv", rows, solution, [(5, 0.0, "blank")])
    with (tmp_path / "alignment.csv").open() as file:
        rows = list(csv.DictReader(file))
    head = "energy_ev tilt_deg dy_px dx_px series frame magnification axis_tilt_deg misfit used note"
    assert list(rows[0]) == head.split()
    expected = [
        ("8320.0", "-10.0", "1.25", "0.125", "pre", "3", "1.0", "0.1235", "0.01235", "1", ""),
        ("8320.0", "12.5", "-2.0", "0.25", "pre", "7", "1.0", "0.1235", "0.5", "1", ""),
        ("8320.0", "0.0", "", "", "pre", "5", "1.0", "0.1235", "", "0", "blank"),
        ("8350.0", "-10.0", "1.5", "3.0", "post", "3", "1.01", "0.1235", "0.01235", "1", ""),
        ("8350.0", "12.5", "-1.75", "4.0", "post", "7", "1.01", "0.1235", "0.5", "1", ""),
        ("8350.0", "0.0", "", "", "post", "5", "1.01", "0.1235", "", "0", "blank"),
    ]
    for row, cells in zip(rows, expected, strict=True):
        for found, cell in zip(row.values(), cells, strict=True):
            try:
                assert float(found) == pytest.approx(float(cell))
            except ValueError:
                assert found == cell
