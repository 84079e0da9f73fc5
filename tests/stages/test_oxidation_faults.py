"""Stacks and references as users have them: dead frames, chemistry that looks like a drift, calibrations kept by Athena."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from test_oxidation_stages import ACQUISITION, project, run_stages

from oxytomo.cli import main
from oxytomo.errors import InputError
from oxytomo.io.stores import read_store
from oxytomo.view.sample_page import write_report

pytestmark = pytest.mark.slow

SMALL = replace(ACQUISITION, n_rows=48, n_cols=48, law="uniform", n_flat=0, i0_drift=0.0, dark_level=0.0)
Damage = Callable[[np.ndarray], None]


def damaged(folder: Path, change: Damage) -> Path:
    """The configuration of a small stack of which a frame was damaged."""
    config = project(folder, SMALL)
    with h5py.File(folder / "Mn.h5", "r+") as file:
        frames = file["exchange/data"][:].astype(np.float32)
        change(frames)
        rewrite(file, frames)
    return config


def rewrite(file: h5py.File, frames: np.ndarray) -> None:
    units = file["exchange/data"].attrs["units"]
    del file["exchange/data"]
    file["exchange/data"] = frames
    file["exchange/data"].attrs["units"] = units


def zero(frames: np.ndarray) -> None:
    frames[20] = 0


def unknown(frames: np.ndarray) -> None:
    frames[20] = np.nan


def fitted(folder: Path) -> tuple[float, np.ndarray]:
    """Mean valence, and which frames were left out."""
    fit = read_store(folder / "stages/oxidation/fit/Mn.zarr")
    lost = read_store(folder / "stages/oxidation/register/Mn.zarr")["lost"]
    return float(np.nanmean(fit["valence"])), np.flatnonzero(lost)


@pytest.mark.parametrize("change", [zero, unknown])
def test_a_dead_frame_is_left_out_and_named(
    tmp_path: Path, change: Damage, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_stages(damaged(tmp_path, change), last="export_oxidation")
    valence, lost = fitted(folder)
    np.testing.assert_array_equal(lost, [20])
    assert "have no valid pixel and are left out" in capsys.readouterr().err
    # A uniform particle of valence 3.6; a frame of 50 changes little.
    assert valence == pytest.approx(3.6, abs=0.01)
    write_report(folder, tmp_path / "report.html")
    assert "have no valid pixel and were left out" in (tmp_path / "report.html").read_text()


def test_a_stack_of_dead_frames_is_one_line(tmp_path: Path) -> None:
    def most(frames: np.ndarray) -> None:
        frames[10:45] = np.nan

    with pytest.raises(InputError, match=r"expected frames with valid pixels, got 35 of 50 without any"):
        run_stages(damaged(tmp_path, most), last="register_stack")


def test_a_gradient_of_valence_is_no_drift(tmp_path: Path) -> None:
    """A motionless particle, more reduced on its left: registered or not, the valence is the same, and it is the truth."""
    from oxytomo.simulate.energy_stack import simulate_stack

    config = project(tmp_path, SMALL)
    truth = simulate_stack(SMALL, rng=np.random.default_rng(3))
    curves = [np.interp(truth.energy_ev, s.energy_ev, s.absorption) for s in truth.references.values()]
    y, x = np.mgrid[:48, :48] - 23.5
    share = np.clip(0.5 + 0.45 * x / 17, 0, 1)
    # A flat-topped grain: a sharp outline, as crystals have.
    thickness = 0.25 * np.where(
        np.hypot(y, x) < 17, 0.4 + 0.6 * np.sqrt(np.maximum(0, 1 - (np.hypot(y, x) / 17) ** 2)), 0
    )
    density = thickness * ((1 - share) * curves[1][:, None, None] + share * curves[2][:, None, None] + 0.2)
    with h5py.File(tmp_path / "Mn.h5", "r+") as file:
        rewrite(file, np.random.default_rng(1).poisson(2e4 * np.exp(-density)).astype(np.uint16))
    folder = run_stages(config, last="fit_valence")
    registered = read_store(folder / "stages/oxidation/register/Mn.zarr")
    assert not registered["applied_px"].any()
    assert not registered.attributes["moved"]
    fit = read_store(folder / "stages/oxidation/fit/Mn.zarr")
    good = np.isfinite(fit["valence"])
    away = fit["valence"] - (3 + share)
    for side in (good & (x < -8), good & (x > 8)):
        assert side.sum() > 100
        assert abs(float(away[side].mean())) < 0.005


def test_a_calibration_kept_by_athena_gives_the_right_valence(tmp_path: Path) -> None:
    """Groups whose energies Athena moved by 1.2 eV and stores as they were measured: dropped, 3.6 would become 4.0."""

    def from_athena(oxidation: dict) -> None:
        text = "# Athena project file -- Demeter version 0.9.26\n\n"
        for valence, name in oxidation["references"]["Mn"].items():
            energy, mu = np.loadtxt(tmp_path / name, delimiter=",").T
            listed = [",".join(f"'{v:.6f}'" for v in column) for column in (energy - 1.2, mu)]
            text += f"@args = ('bkg_e0','640','bkg_eshift','1.2','datatype','xmu','label','Mn_{valence}');\n"
            text += f"@x = ({listed[0]});\n@y = ({listed[1]});\n[record]\n\n"
            oxidation["references"]["Mn"][valence] = {"file": "standards.prj", "group": f"Mn_{valence}"}
        (tmp_path / "standards.prj").write_text(text)

    folder = run_stages(project(tmp_path, SMALL, from_athena), last="fit_valence")
    assert fitted(folder)[0] == pytest.approx(3.6, abs=0.01)


@pytest.mark.parametrize(("low", "high", "role"), [(630.0, 655.0, "above"), (638.0, 670.0, "below")])
def test_check_refuses_the_references_that_run_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], low: float, high: float, role: str
) -> None:
    """A reference that does not cover the range it is normalised over."""
    config = project(tmp_path, SMALL)
    path = tmp_path / "ref_3.csv"
    rows = np.loadtxt(path, delimiter=",")
    np.savetxt(path, rows[(rows[:, 0] > low) & (rows[:, 0] < high)], delimiter=",", fmt="%.8f")
    assert main(["check", str(config)]) == 2
    checked = capsys.readouterr().err
    with pytest.raises(InputError) as refused:
        run_stages(config, last="fit_valence")
    assert f"energies {role} the" in str(refused.value)
    assert str(refused.value) in checked
