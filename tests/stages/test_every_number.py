"""Every number of the products of composition and of comparisons against a value that can be worked out by hand.

Each test compares all keys or columns of a product at once: one that is added without a value here fails it.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student
from test_align_stage import TILTS, Bench
from test_comparison import composition, rows_of
from test_measure_stage import PIXEL_NM, inputs, rows, run_both, store

from oxytomo.io.stores import NamedArray, read_store
from oxytomo.io.tables import read_csv
from oxytomo.measure.definitions import DEFINITIONS
from oxytomo.measure.resolution import FEW_SAMPLES
from oxytomo.view.comparison_page import write_comparison

__all__ = ["inputs"]

SHAPE = (8, 10, 12)
"""Of the particle of ``test_measure_stage``, whose first voxel is (1, 1, 1): z, y, x."""


def flat(content: Any, path: str = "") -> dict[str, Any]:
    """Numbers of nested objects by their path; a list is one value."""
    if not isinstance(content, dict):
        return {path: content}
    return {
        key: value for name, part in content.items() for key, value in flat(part, f"{path}/{name}").items()
    }


def layers() -> np.ndarray:
    """Which layer below the surface of the box a voxel is in, 1 at the surface: its depth is (layer − ½) voxels."""
    distance = [np.minimum(np.arange(n) + 1, n - np.arange(n)) for n in SHAPE]
    return np.minimum(np.minimum(distance[0][:, None, None], distance[1][None, :, None]), distance[2])


def classes() -> np.ndarray:
    """Class of each voxel of the box: 24 oxygen-poor, 96 oxygen-rich, one without a deviation."""
    found = np.full(SHAPE, "target", dtype="U11")
    found[2:4, 2:5, 2:6] = "oxygen_poor"
    found[:, 7] = "oxygen_rich"
    found[5, 5, 5] = ""
    return found


@pytest.fixture
def with_solver(inputs: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """The same particle, of which the solver's record is kept."""
    made = read_store(inputs["reconstruct"])
    record = {"difference_iterations": 150, "difference_residual": 0.04, "difference_misfit": 1.02}
    arrays = {name: NamedArray(made[name], ("z", "y", "x"), "1") for name in made.names}
    path = store(
        tmp_path / "solved.zarr", arrays, {"pixel_nm": PIXEL_NM, "reference_tm_o": 0.98, "solver": record}
    )
    return inputs | {"reconstruct": path}


def test_every_number_of_the_composition_by_hand(with_solver: dict[str, Path], tmp_path: Path) -> None:
    outputs = run_both(with_solver, tmp_path)
    content = json.loads(outputs["phases"].read_text(encoding="utf-8"))
    assert content.pop("definitions") == DEFINITIONS
    check_resolution(content.pop("resolution"))
    assert flat(content) == phases_by_hand()
    check_domains(rows(outputs["domains"]))
    check_shells(rows(outputs["shells"]))


def phases_by_hand() -> dict[str, Any]:
    """All of ``phases.json`` but resolution and definitions."""
    n, confident = 959, {"target": 839, "oxygen_poor": 23, "oxygen_rich": 96, "undecided": 2}
    # Voxels, faces towards other classes, and voxels in the two replicates: the box of 2 × 3 × 4 is on target in one.
    known = {
        "target": (839, 52 + 192, (839, 863)),
        "oxygen_poor": (24, 52, (24, 0)),
        "oxygen_rich": (96, 192, (96, 96)),
    }
    found: dict[str, Any] = {
        "/threshold": 0.05,
        "/voxel_nm": 10.0,
        "/counted_voxel_nm": 10.0,
        "/reference_tm_o": 0.98,
        "/particle_volume_nm3": 960 * 1000.0,
        "/null/runs": 1,
        "/confident/confidence": 0.95,
        "/solver/iterations": 150,
        "/solver/residual": 0.04,
        "/solver/misfit": 1.02,
        "/invalid_rays/unsolved": 7,
        "/invalid_rays/n_rays": 1000,
        "/invalid_rays/by_series/O_pre/opaque": 3,
        "/voxels_without_deviation": 1,
        "/replicates": 2,
        "/model": None,
        "/association": None,
        "/damage": None,
        "/whole_particle/off_target": False,
        "/whole_particle/median_deviation": 0.0,
        "/whole_particle/most_frequent_deviation": 0.0,
        # One Ni for two O; the reference has 0.98 of that.
        "/whole_particle/tm_per_o_of_formula": 0.5,
        "/whole_particle/tm_per_o": pytest.approx(0.49),
        "/whole_particle/formula": None,
        "/whole_particle/density_g_cm3": None,
        "/whole_particle/relative_density": None,
        "/whole_particle/metal_per_oxygen": None,
        "/whole_particle/likely_cause": None,
        "/whole_particle/fractions_against_own_mode": None,
        "/error_budget/noise_and_reconstruction": 0.01,
    }
    surface = {name: int(((layers() == 1) & (classes() == name)).sum()) for name in known}
    for name, (voxels, faces, each) in known.items():
        value = voxels / n
        # The outline 0.15 voxel further out or in; borders are sharp, and no tilt range is known.
        further, nearer = (
            (voxels + step * surface[name]) / (n + step * sum(surface.values())) for step in (0.15, -0.15)
        )
        found[f"/readings/outline_further_out/{name}"] = pytest.approx(further)
        found[f"/readings/outline_further_in/{name}"] = pytest.approx(nearer)
        found[f"/readings/borders_at_half_height/{name}"] = pytest.approx(value)
        below, above = (max(sign * (one - value) for one in (further, nearer)) for sign in (-1, 1))
        scatter, bias = abs(each[0] - each[1]) / n / math.sqrt(2), (each[0] + each[1]) / 2 / n - value
        root = math.sqrt(scatter**2 + bias**2 + (0.1 * faces / n) ** 2 + (113 / n) ** 2)
        for level, factor in (("ci95", 1.42), ("ci68", 0.56)):
            low, high = max(0.0, value - factor * root), min(1.0, value + factor * root)
            low_high = [value - math.hypot(value - low, below), value + math.hypot(high - value, above)]
            found[f"/fractions/{name}/{level}"] = pytest.approx(
                [max(0.0, low_high[0]), min(1.0, low_high[1])]
            )
        found[f"/fractions/{name}/value"] = pytest.approx(value)
        found[f"/fractions/{name}/replicate_bias"] = pytest.approx(bias, abs=1e-12)
    # One voxel of the null run's 960 is oxygen-poor.
    for name, voxels in (("target", 959), ("oxygen_poor", 1), ("oxygen_rich", 0)):
        found[f"/null/fractions/{name}/value"] = pytest.approx(voxels / 960)
        found[f"/null/fractions/{name}/ci95"] = None
    for name, voxels in confident.items():
        found[f"/confident/fractions/{name}/value"] = pytest.approx(voxels / 960)
    # The bar cuts the target into 7 and 2 of 10 rows; both reach from end to end, as the bar does.
    large = 8 * 7 * 12 - 24 - 1
    for name, count, share, spanning in (
        ("target", 2, large / 839, True),
        ("oxygen_poor", 1, 1.0, False),
        ("oxygen_rich", 1, 1.0, True),
    ):
        found[f"/domains/{name}/n_domains"] = count
        found[f"/domains/{name}/largest_share"] = pytest.approx(share)
        found[f"/domains/{name}/spanning"] = spanning
    return found


def check_resolution(content: dict[str, Any]) -> None:
    """Where correlation and half-bit curve cross; the curves themselves: ``unit/test_resolution.py``."""
    assert set(content) == {"all", "tilt_axis", "across_beam", "along_beam"}
    for curve in content.values():
        assert set(curve) == {"resolution_nm", "frequency_per_nm", "correlation", "half_bit"}
        frequency, correlation, limit = (np.array(curve[name]) for name in list(curve)[1:])
        # Ten voxels of 10 nm along the shortest side: steps of 1/100 nm up to 1/20 nm.
        np.testing.assert_allclose(frequency, np.arange(1, 6) / 100)
        # Shells of so few independent values that the limit is above FEW_SAMPLES say nothing.
        known = np.flatnonzero(limit < FEW_SAMPLES)
        above = correlation - limit
        below = [int(k) for k in known if above[k] < 0]
        expected: Any = None
        if not below:
            expected = 2 * PIXEL_NM
        elif below[0] > known[0]:
            pair = slice(below[0] - 1, below[0] + 1)
            expected = pytest.approx(1 / np.interp(0, -above[pair], frequency[pair]))
        assert curve["resolution_nm"] == expected
    # Half-bit: (0.2071 + 1.9102/√n) / (1.2071 + 0.9102/√n), 1 for a shell that is one independent value.
    assert all(0.1716 < value <= 1 for curve in content.values() for value in curve["half_bit"])
    # Without noise, seven views each resolve the coarsest shells.
    assert min(content["all"]["correlation"][:2]) > 0.98


def check_domains(table: list[dict[str, str]]) -> None:
    kind, depth = classes(), (layers() - 0.5) * PIXEL_NM
    index = np.indices(SHAPE) + 1.0
    row = np.arange(SHAPE[1])[None, :, None]
    members = [(kind == "target") & (row < 7), (kind == "target") & (row > 7)]
    members += [kind == name for name in ("oxygen_poor", "oxygen_rich")]
    sizes = [8 * 7 * 12 - 24 - 1, 8 * 2 * 12, 24, 96]
    assert [int(m.sum()) for m in members] == sizes
    assert len(table) == 4
    one_of_two = student.ppf(0.5 + math.erf(1 / math.sqrt(2)) / 2, 1)
    # The oxygen-poor box is on target in one of two replicates: s = 0.2/√2, and the mean of both is 0.1 short.
    errors = {"oxygen_poor": 2.3 * math.hypot(one_of_two * 0.2 / math.sqrt(2), 0.1)}
    for number, (found, own, size) in enumerate(zip(table, members, sizes, strict=True), start=1):
        name = str(kind[own][0])
        by_hand = {
            "domain": number,
            "n_voxels": size,
            "volume_nm3": size * 1000.0,
            "equivalent_diameter_nm": (6 * size * 1000.0 / math.pi) ** (1 / 3),
            **{f"centroid_{axis}_nm": 10 * index[k][own].mean() for k, axis in enumerate("zyx")},
            "depth_nm": depth[own].mean(),
            "depth_min_nm": depth[own].min(),
            "mean_deviation": {"oxygen_poor": 0.2, "oxygen_rich": -0.2}.get(name, 0.0),
        }
        words = {"class": name, "touches_surface": str(name != "oxygen_poor")}
        assert set(found) == {*by_hand, *words, "mean_deviation_error"}
        # Replicates are stored as float16: 0.2 is known to 2.5e-4 of it, which is all of the error of the bar.
        error = pytest.approx(errors.get(name, 0.0), rel=1e-3, abs=2.3 * 5e-5)
        assert float(found["mean_deviation_error"]) == error
        assert {key: found[key] for key in words} == words
        for key, value in by_hand.items():
            assert float(found[key]) == pytest.approx(value, rel=1e-6), key  # nine digits of float32 depths


def check_shells(table: list[dict[str, str]]) -> None:
    # Layers of 480, 288, 144 and 48 voxels: the first is half of the particle.
    layer, kind = layers(), classes()
    assert np.bincount(layer.ravel()).tolist() == [0, 480, 288, 144, 48]
    one_of_two = student.ppf(0.5 + math.erf(1 / math.sqrt(2)) / 2, 1)
    for number, (found, own) in enumerate(zip(table, (layer == 1, layer > 1), strict=True), start=1):
        counts = {name: int((kind[own] == name).sum()) for name in ("target", "oxygen_poor", "oxygen_rich")}
        n, poor, rich = sum(counts.values()), counts["oxygen_poor"], counts["oxygen_rich"]
        mean = 0.2 * (poor - rich) / n
        # Replicates: as measured, and without the oxygen-poor box.
        other = -0.2 * rich / n
        error = 2.3 * math.hypot(one_of_two * abs(mean - other) / math.sqrt(2), (mean + other) / 2 - mean)
        by_hand = {
            "shell": number,
            "shell_outer": 50 * (number - 1),
            "shell_inner": 50 * number,
            "depth_mean_nm": 5.0 if number == 1 else (15 * 288 + 25 * 144 + 35 * 48) / 480,
            "n_voxels": n,
            "mean_deviation": mean,
            "standard_error": error,
            "standard_deviation": math.sqrt((0.04 * (poor + rich) - n * mean**2) / (n - 1)),
            **{name: count / n for name, count in counts.items()},
        }
        assert set(found) == {*by_hand, "standard_error_from"}
        assert found["standard_error_from"] == "replicates"
        for key, value in by_hand.items():
            # Replicates are stored as float16: 0.2 is known to 2.5e-4 of it.
            assert float(found[key]) == pytest.approx(value, rel=1e-3, abs=1e-5), key
    assert [int(row["n_voxels"]) for row in table] == [480, 479]


def test_every_column_of_the_alignment_against_the_shifts_that_were_made(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    made = bench.run()
    table = read_csv(tmp_path / "alignment.csv")
    n = TILTS.size
    by_hand: dict[str, list[Any]] = {
        "energy_ev": [525] * n + [540] * n,
        "tilt_deg": [*TILTS, *TILTS],
        "magnification": [1] * 2 * n,
        "axis_tilt_deg": [0] * 2 * n,
        # Recorded from 0° outwards, the negative one of each pair first.
        "frame": [int(2 * abs(tilt) / 5 - (tilt < 0)) for tilt in TILTS] * 2,
        "used": [1] * 2 * n,
        "misfit": [*made["residual"], *made["residual"]],
    }
    words = {"series": ["O_pre"] * n + ["O_post"] * n, "note": [""] * 2 * n}
    assert set(table) == {*by_hand, *words, "dy_px", "dx_px"}
    assert {name: table[name] for name in words} == words
    for name, values in by_hand.items():
        np.testing.assert_allclose(np.array(table[name], float), values, atol=1e-5, err_msg=name)
    found = np.array([table["dy_px"], table["dx_px"]], float).reshape(2, 2, n)
    # A common shift, and in x one that follows a sinusoid, only move the particle in its volume.
    theta = np.deg2rad(TILTS)
    free = [np.ones((n, 1)), np.stack([np.ones(n), np.cos(theta), np.sin(theta)], axis=1)]
    for axis, truth in enumerate((bench.dy, bench.dx)):
        error = found[axis] - truth
        rest = error.T - free[axis] @ np.linalg.lstsq(free[axis], error.T, rcond=None)[0]
        # The stage states 0.04 px; both series see the same particle.
        assert np.sqrt(np.mean(rest**2)) < 0.08
        assert np.abs(error[0] - error[1]).max() < 0.1
    misfit = np.array(table["misfit"], float)[:n]
    middle = np.abs(TILTS) <= 30
    # In the middle of the range noise is most of it: 0.01 beside the spread of the frames, each against some neighbours.
    clean = np.nanstd(made["value"][1, middle], axis=(1, 2))
    assert (misfit[middle] > 0.01 / clean / 2).all()
    assert (misfit[middle] < 0.1).all()
    assert misfit.argmax() in (0, n - 1)  # the outermost frames have neighbours on one side only


def test_every_number_of_a_comparison_by_hand(tmp_path: Path) -> None:
    """Two groups of two, with an interval of ± 1 % of each number: a standard deviation from noise of 1/1.96 %."""
    poor = {"x": (0.10, 0.12), "y": (0.20, 0.24)}
    groups = {
        group: [composition(tmp_path, f"{group}{k}", value) for k, value in enumerate(values)]
        for group, values in poor.items()
    }
    write_comparison(groups, tmp_path / "c.html")
    numbers = {
        "target": {g: [90 - 100 * v for v in values] for g, values in poor.items()},
        "oxygen_poor": {g: [100 * v for v in values] for g, values in poor.items()},
        "oxygen_rich": {group: [10.0, 10.0] for group in poor},
    }
    noise = 1 / 1.959964
    head = {"branch": "composition", "unit": "%"}
    values, means = [], []
    for quantity, by_group in numbers.items():
        for group, each in by_group.items():
            for k, value in enumerate(each):
                row = {"sample": f"{group}{k}", "group": group, "quantity": quantity, **head}
                values.append(row | {"value": value, "low_95": value - 1, "high_95": value + 1})
            mean, scatter = sum(each) / 2, abs(each[1] - each[0]) / math.sqrt(2)
            reach = student.ppf(0.975, 1) * max(scatter, noise) / math.sqrt(2)
            row = {"group": group, "quantity": quantity, **head, "n": 2, "mean": mean}
            # On the logit scale: of shares, odds m / (100 − m) times or over the same factor.
            odds, factor = mean / (100 - mean), math.exp(reach / (mean * (1 - mean / 100)))
            low, high = (100 * o / (1 + o) for o in (odds / factor, odds * factor))
            means.append(row | {"low_95": low, "high_95": high, "standard_deviation": scatter})
    differences = []
    for quantity, by_group in numbers.items():
        (a, b) = by_group["x"], by_group["y"]
        parts = [max((one[1] - one[0]) ** 2 / 2, noise**2) / 2 for one in (a, b)]
        freedom = sum(parts) ** 2 / (parts[0] ** 2 + parts[1] ** 2)  # each of one degree
        value, error = sum(b) / 2 - sum(a) / 2, math.sqrt(sum(parts))
        p, reach = 2 * student.sf(abs(value) / error, freedom), student.ppf(0.975, freedom) * error
        row = {"quantity": quantity, **head, "first": "x", "second": "y", "n_first": 2, "n_second": 2}
        row |= {"second_minus_first": value, "low_95": value - reach, "high_95": value + reach}
        assert abs(value) + reach < 100, "the limits of a difference of shares are not reached"
        row |= {"test": "Welch", "statistic": value / error, "degrees_of_freedom": freedom, "p": p}
        # Holm: three tests; the smallest of the probabilities is taken three times.
        differences.append(row | {"p_holm": min(1.0, 3 * p), "says": "no difference found"})
    shells = [
        {
            "sample": f"{group}{k}",
            "group": group,
            "quantity": "tm_o_deviation",
            "shell_outer_percent": outer,
            "shell_inner_percent": outer + 50,
            "value": value,
            "standard_error": error,
        }
        for group, each in poor.items()
        for k, share in enumerate(each)
        for outer, value, error in ((0, 2.0, 0.1), (50, 100 * share, 0.2))
    ]
    for end, expected in (
        ("values", values),
        ("groups", means),
        ("differences", differences),
        ("shells", shells),
    ):
        found = rows_of(tmp_path / f"c_{end}.csv")
        assert len(found) == len(expected), end
        for row, wanted in zip(found, expected, strict=True):
            assert set(row) == set(wanted)
            for key, value in wanted.items():
                if isinstance(value, str):
                    assert row[key] == value, (end, key)
                else:
                    assert float(row[key]) == pytest.approx(value, rel=1e-6, abs=1e-6), (end, key)
