"""Diffusivity from simulated pulses and rests with known D; files of cyclers."""

import csv
import struct
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gitt_cell import OHMIC_V, PULSE_S, RADIUS_M, STEADY_V, cell, surface_by_shells

from oxytomo.cli import main
from oxytomo.electrochemistry.curves import Records
from oxytomo.electrochemistry.gitt import Electrode, Titrated, analyse, over_lithium
from oxytomo.electrochemistry.sphere import Pulse, surface_content, surface_rise
from oxytomo.electrochemistry.steps import find_titrations
from oxytomo.errors import InputError, MissingPackageError
from oxytomo.io.cycler import read_cycler, total_time
from oxytomo.io.mechanics_stores import read_curve

ELECTRODE = Electrode(
    radius_m=RADIUS_M, radius_error=0.0, mass_g=5e-3, molar_mass_g=85.197, lithium_start=1.2, skip_s=0.0
)
OPTIONS = ("--formula", "Li1.2Mn0.56Ni0.16Co0.08O2", "--mass-mg", "5", "--radius-um", "4")


def analysed(time: np.ndarray, voltage: np.ndarray, current: np.ndarray) -> list[Titrated]:
    steps = find_titrations(time, current)
    return analyse(Records(time, voltage, current), steps.titrations, ELECTRODE)


def write_table(path: Path, *columns: np.ndarray, header: str) -> Path:
    rows = (",".join(f"{value:.9g}" for value in row) for row in zip(*columns, strict=True))
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_surface_of_a_sphere_is_that_of_thin_shells() -> None:
    """Both branches of the solution; 200 shells are 0.2 % off at 10⁻⁵ (half a shell at the surface)."""
    theta = np.geomspace(1e-5, 3, 80)
    np.testing.assert_allclose(surface_rise(theta), surface_by_shells(theta), rtol=3e-3)
    np.testing.assert_allclose(surface_rise(np.array([-1.0, 0.0])), 0)
    # 3 θ + 1/5 after the start (Crank); the branches meet to exp(−1/0.05).
    assert surface_rise(np.array([2.0]))[0] == pytest.approx(6.2, rel=1e-9)
    edge = surface_rise(np.array([0.05 - 1e-12, 0.05 + 1e-12]))
    assert edge[0] == pytest.approx(edge[1], rel=1e-7)
    # Long after a pulse the content has risen by exactly the charge of the pulse.
    assert surface_content(np.array([1e4]), [Pulse(0.0, 1.0, 1.0)], 0.01)[0] == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize(
    ("tau_d_r2", "eq_2"),
    # What eq. 2 gives at these D τ / R²: it neglects the curvature of the particle.
    [(1e-4, 0.98), (1e-3, 0.95), (1e-2, 0.83), (1e-1, 0.54)],
)
def test_the_sphere_model_finds_d(tau_d_r2: float, eq_2: float) -> None:
    """Rested steps: the fit within 5 %, eq. 2 as low as known; 20 mV ohmic drop taken out."""
    time, voltage, current, d = cell(tau_d_r2, rest=max(4.0, 0.5 / tau_d_r2), pulses=2)
    for one in analysed(time, voltage, current):
        assert one.d_sphere_m2_s == pytest.approx(d, rel=0.05)
        assert one.tau_d_r2 == pytest.approx(tau_d_r2, rel=0.05)
        assert abs(np.log(one.d_sphere_m2_s / d)) < 4 * one.sphere_log_error + 0.004  # the shells
        assert one.d_steady_m2_s == pytest.approx(d * eq_2, rel=0.03)
        assert one.d_slope_m2_s == pytest.approx(d, rel=0.2)
        assert one.ohmic_v == pytest.approx(OHMIC_V, abs=5e-4)
        assert one.steady_v == pytest.approx(STEADY_V, abs=1e-4)
        assert one.determined
        assert "unrested" not in one.flags
        assert ("long pulse" in one.flags) == (tau_d_r2 > 0.01) or tau_d_r2 == 0.01


@pytest.mark.parametrize("tau_d_r2", [1e-4, 1e-3, 1e-2])
def test_unrested_steps_are_flagged_and_the_fit_goes_on(tau_d_r2: float) -> None:
    """A rest of ten pulses is too short: eqs. 1 and 2 are up to 38 times too high, the fit is not."""
    time, voltage, current, d = cell(tau_d_r2, rest=10.0, pulses=3)
    found = analysed(time, voltage, current)
    assert all("unrested" in one.flags for one in found)
    for one in found:
        assert one.d_sphere_m2_s == pytest.approx(d, rel=0.05)
    if tau_d_r2 == 1e-4:
        assert found[0].d_steady_m2_s > 30 * d
        assert found[0].d_slope_m2_s > 30 * d


def test_lithium_goes_in_and_out() -> None:
    """By hand: 0.1 mA for 600 s is 60 mC; of 5 mg with M 85.197 that is 0.01060 Li per formula unit."""
    time, voltage, current, _ = cell(0.01, rest=30.0, pulses=2)
    charged = analysed(time, voltage, current)
    step = 0.06 * 85.197 / (5e-3 * 96485.33)
    assert charged[0].lithium_before == pytest.approx(1.2)
    assert charged[0].lithium_after == pytest.approx(1.2 - step, rel=1e-6)
    assert charged[1].lithium_after == pytest.approx(1.2 - 2 * step, rel=1e-6)
    time, voltage, current, d = cell(0.01, rest=30.0, pulses=2, current_a=-1e-4)
    one = analysed(time, voltage, current)[0]
    assert one.lithium_after == pytest.approx(1.2 + step, rel=1e-6)
    assert one.d_sphere_m2_s == pytest.approx(d, rel=0.05)
    with pytest.raises(InputError, match="rises where the current is positive"):
        analysed(time, voltage, -current)


def test_each_lithium_content_is_there_once() -> None:
    """A charge and a discharge at the same contents: the mean of ln D, weighted by the errors."""
    time, voltage, current, _ = cell(0.01, rest=30.0, pulses=2)
    first, second = analysed(time, voltage, current)
    other = replace(first, d_sphere_m2_s=4 * first.d_sphere_m2_s)
    lithium, d, error = over_lithium([first, second, other])
    np.testing.assert_allclose(lithium, [second.lithium, first.lithium])
    assert d[1] == pytest.approx(2 * first.d_sphere_m2_s)
    assert error[1] == pytest.approx(first.sphere_log_error / 2**0.5)


def test_error_of_the_radius_counts_twice() -> None:
    time, voltage, current, _ = cell(0.01, rest=30.0, pulses=1)
    records, steps = Records(time, voltage, current), find_titrations(time, current)
    sharp = analyse(records, steps.titrations, ELECTRODE)[0]
    rough = analyse(records, steps.titrations, Electrode(RADIUS_M, 0.1, 5e-3, 85.197, 1.2, 0.0))[0]
    assert rough.sphere_log_error == pytest.approx(np.hypot(sharp.sphere_log_error, 0.2))


def test_what_is_no_sphere_is_flagged() -> None:
    """A temperature that swings: 3 mV over 20 minutes, on 40 mV by diffusion."""
    time, voltage, current, _ = cell(0.01, rest=30.0, pulses=1)
    one = analysed(time, voltage + 3e-3 * np.sin(2 * np.pi * time / 1200), current)[0]
    assert "poor fit" in one.flags
    assert not one.determined


def test_steps_without_rests_are_refused() -> None:
    time = np.linspace(0, 1000, 500)
    with pytest.raises(InputError, match="1 without a rest before and after it"):
        find_titrations(time, np.full(500, 1e-3))
    with pytest.raises(InputError, match="0 records with a current"):
        find_titrations(time, np.zeros(500))
    with pytest.raises(InputError, match="never falls"):
        find_titrations(np.r_[time, time], np.zeros(1000))


def test_long_rests_and_spikes_hide_no_pulse() -> None:
    """Pulses are 1 % of the records, one record is a spike, and rests have a current of 0.1 %."""
    current = np.full(3000, 1e-6)
    current[1500:1530], current[10] = 1e-3, 5.0
    found = find_titrations(np.arange(3000.0), current)
    assert [one.pulse for one in found.titrations] == [(1500, 1530)]


def test_too_long_a_time_after_switching_is_refused() -> None:
    time, voltage, current, _ = cell(0.01, rest=30.0, pulses=1)
    steps = find_titrations(time, current)
    with pytest.raises(InputError, match="leave out less"):
        analyse(
            Records(time, voltage, current), steps.titrations, Electrode(RADIUS_M, 0, 5e-3, 85.2, 1.2, 599.0)
        )


def test_a_potential_that_does_not_move_gives_nothing() -> None:
    time, _, current, _ = cell(0.01, rest=30.0, pulses=1)
    with pytest.raises(InputError, match="does not in 1 of 1 pulses"):
        analysed(time, np.full_like(time, 3.8), current)


def test_steps_of_other_kinds_are_counted() -> None:
    """A rest, a pulse, a rest, a step of constant voltage, a rest; one record while switching."""
    pieces = [
        np.zeros(20),
        [5e-4],
        np.full(30, 1e-3),
        np.zeros(20),
        np.geomspace(1e-3, 1e-4, 30),
        np.zeros(20),
    ]
    current = np.concatenate(pieces)
    found = find_titrations(np.arange(current.size, dtype=float), current)
    assert [one.pulse[1] - one.pulse[0] for one in found.titrations] == [31]
    assert found.left_out == {"the current is not constant": 1}


def test_command_writes_tables_and_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    time, voltage, current, d = cell(0.01, rest=30.0, pulses=3)
    path = write_table(tmp_path / "cell.csv", time, voltage, current * 1e3, header="time/s,Ewe/V,I/mA")
    assert main(["gitt", str(path), *OPTIONS, "--output", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "3 pulses with rests" in said
    with (tmp_path / "out" / "cell_diffusivity.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lithium = [float(row["lithium_content"]) for row in rows]
    assert lithium == sorted(lithium)
    assert len(lithium) == 3
    # The branch mechanics takes the table as it is.
    table = tmp_path / "out" / "cell_diffusivity.csv"
    curve = read_curve(
        str(table), "diffusivity_m2_s", lithium=(lithium[0], lithium[-1]), limits=(1e-25, 1e-6)
    )
    assert curve.mean == pytest.approx(d, rel=0.05)
    for row in rows:
        assert float(row["diffusivity_m2_s"]) == pytest.approx(d, rel=0.05)
        assert float(row["low_95_m2_s"]) < float(row["diffusivity_m2_s"]) < float(row["high_95_m2_s"])
    with (tmp_path / "out" / "cell_gitt.csv").open(newline="") as file:
        steps = list(csv.DictReader(file))
    assert float(steps[0]["pulse_s"]) == pytest.approx(PULSE_S)
    assert (tmp_path / "out" / "cell_gitt.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("--formula", "Mn2O3"), "--formula: expected a formula with lithium"),
        (("--mass-mg", "0"), "--mass-mg: expected a number from 1e-09 to"),
        (("--radius-um", "1e300"), "--radius-um: expected a number from 0.0001 to 10000, got 1e+300"),
        (("--size-error", "1e300"), "--size-error: expected a number from 0 to 1"),
        (("--lithium-start", "nan"), "--lithium-start: expected a number from 0 to 20"),
        (("--mass-mg", "1e9"), "lithium content: expected a change of at least 0.0001"),
        (("--direction", "discharge"), "expected a pulse of discharge whose diffusivity is determined"),
        (("--density-g-cm3", "4.2"), "--surface-m2-g: expected specific surface and density together"),
        (("--mass-mg", "0.001"), "lithium content: expected 0 to"),
    ],
)
def test_wrong_options_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: tuple[str, str], said: str
) -> None:
    time, voltage, current, _ = cell(0.01, rest=30.0, pulses=1)
    path = write_table(tmp_path / "cell.csv", time, voltage, current, header="time_s,voltage_v,current_a")
    assert main(["gitt", str(path), *OPTIONS, *changed, "--output", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_other_files_of_the_same_name_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    time, voltage, current, _ = cell(0.01, rest=30.0, pulses=1)
    path = write_table(tmp_path / "cell.csv", time, voltage, current, header="time/s,Ewe/V,I/A")
    mine = tmp_path / "cell_gitt.csv"
    mine.write_text("time/s,Ewe/V,I/A\n")
    assert main(["gitt", str(path), *OPTIONS, "--output", str(tmp_path)]) == 2
    assert "expected a new file, or an earlier result of this command" in capsys.readouterr().err
    assert mine.read_text() == "time/s,Ewe/V,I/A\n"
    mine.unlink()
    for _ in range(2):
        assert main(["gitt", str(path), *OPTIONS, "--output", str(tmp_path)]) == 0


def test_surface_and_density_give_the_radius(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """3 / (5 g cm⁻³ · 0.15 m² g⁻¹) = 4 µm."""
    time, voltage, current, _ = cell(0.01, rest=30.0, pulses=1)
    path = write_table(
        tmp_path / "cell.csv", time, voltage, current, header="Time (s),Voltage (V),Current (A)"
    )
    size = ("--surface-m2-g", "0.15", "--density-g-cm3", "5")
    assert main(["gitt", str(path), *OPTIONS[:4], *size, "--output", str(tmp_path)]) == 0
    assert "spheres of 4 µm radius" in capsys.readouterr().out


def test_tables_of_text(tmp_path: Path) -> None:
    """A preamble, tabs, decimal commas, minutes, millivolt and milliampere; a table of EC-Lab."""
    rows = [f"{i / 2}\t{3800 + i}\t{i}" for i in range(25)]
    text = "EC-Lab ASCII FILE\nNb header lines : 4\n\nTime (min)\t<Ewe>/mV\t<I>/mA\n" + "\n".join(rows)
    path = tmp_path / "a.mpt"
    path.write_text(text.replace(".", ","), encoding="latin-1")
    records = read_cycler(path)
    np.testing.assert_allclose(records.time_s, 30.0 * np.arange(25))
    np.testing.assert_allclose(records.voltage_v, 3.8 + 1e-3 * np.arange(25))
    np.testing.assert_allclose(records.current_a, 1e-3 * np.arange(25))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time/s,Ewe/V\n1,2\n", "no column of the current"),
        ("time,voltage,current\n1,2,3\n", "no column of the time and none of the potential"),
        ("step time/s,Ewe/V,I/mA\n1,2,3\n", "no column of the time"),
        ("time/s,Ewe/V,I/mA\n1,2,3\n", "at least 20 records, got 1"),
        ("time/s,Ewe/V,I/mA\n" + "1,2,x\n" * 30, "'x' in line 2"),
        ("time/s,Ewe/V,I/mA\n" + "1,nan,3\n" * 30, "a potential of nan in record 1"),
        ("time/s,Ewe/V,I/mA\n" + "1,2\n" * 30, "an empty cell in line 2"),
        ("time/s,Ewe/V,I/mA\n" + "0,1,3,8,0,5\n" * 30, "expected rows of 3 cells"),
        ("time/s,Ewe/V,I/mA\n" + "1,3800,0\n" * 30, "potentials up to 100 V, got 3800 V"),
        ("\0\1\2", "a binary file of another kind"),
        ("", "no column of the time"),
    ],
)
def test_damaged_tables_are_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "cell.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="expected") as caught:
        read_cycler(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_time_of_steps_is_added_up() -> None:
    found = total_time(np.array([0.0, 5, 10, 0, 4, 0, 2]), np.array([1.0, 1, 1, 2, 2, 3, 3]))
    np.testing.assert_array_equal(found, [0, 5, 10, 10, 14, 14, 16])


@pytest.mark.parametrize(
    ("name", "start", "package"), [("a.mpr", b"BIO-LOGIC", "galvani"), ("a.nda", b"NEWARE", "NewareNDA")]
)
def test_a_missing_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, start: bytes, package: str
) -> None:
    (tmp_path / name).write_bytes(start + bytes(100))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=rf"{package}.*oxytomo\[cycler\]"):
        read_cycler(tmp_path / name)


def biologic_file(time: np.ndarray, voltage: np.ndarray, current_a: np.ndarray) -> bytes:
    """A file of EC-Lab with the columns time, potential and mean current (version 2 of its data)."""
    records = np.empty(time.size, np.dtype([("t", "<f8"), ("e", "<f4"), ("i", "<f8")]))
    records["t"], records["e"], records["i"] = time, voltage, current_a * 1e3
    head = struct.pack("<IB3H", time.size, 3, 4, 6, 11)
    data = head.ljust(405, b"\0") + records.tobytes()
    parts = [b"BIO-LOGIC MODULAR FILE\x1a".ljust(48) + bytes(4)]
    for name, version, content in ((b"VMP Set", 0, bytes(8)), (b"VMP data", 2, data)):
        parts.append(b"MODULE" + name.ljust(10) + name.ljust(25))
        parts.append(struct.pack("<II", len(content), version) + b"01/02/24" + content)
    return b"".join(parts)


def neware_file(step_time: np.ndarray, voltage: np.ndarray, current_a: np.ndarray, step: np.ndarray) -> bytes:
    """A file of a Neware cycler (version 29): records of 86 bytes with times of each step in ms."""
    records = []
    for number, (t, e, i, s) in enumerate(zip(step_time, voltage, current_a, step, strict=True), start=1):
        status = 4 if i == 0 else 1
        record = b"\x55\0" + struct.pack("<IIHB", number, 0, int(s), status) + b"\0"
        # Unit of the current in the range of 10 mA: 1 µA.
        record += struct.pack("<Qii", round(t * 1e3), round(e * 1e4), round(i * 1e6)) + bytes(8)
        record += struct.pack("<qqqq", 0, 0, 0, 0) + struct.pack("<HBBBBB", 2024, 1, 2, 3, 4, 5)
        records.append(record + b"\0" + struct.pack("<i", 10) + bytes(4))
    return (b"NEWARE".ljust(14) + b"\x1d").ljust(2048, b"\0") + b"".join(records)


def test_biologic_file(tmp_path: Path) -> None:
    pytest.importorskip("galvani")
    time, voltage, current, d = cell(0.01, rest=30.0, pulses=1)
    path = tmp_path / "cell.mpr"
    path.write_bytes(biologic_file(time, voltage, current))
    records = read_cycler(path)
    np.testing.assert_allclose(records.current_a, current, atol=1e-12)
    found = analysed(records.time_s, records.voltage_v, records.current_a)
    assert found[0].d_sphere_m2_s == pytest.approx(d, rel=0.05)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match="a file that galvani reads"):
        read_cycler(path)


def test_neware_file(tmp_path: Path) -> None:
    pytest.importorskip("NewareNDA")
    time, voltage, current, d = cell(0.01, rest=30.0, pulses=1)
    step = np.concatenate([[0], np.cumsum(np.diff(current != 0))])
    starts = np.array([time[max(int(np.argmax(step == one)) - 1, 0)] for one in range(3)])
    path = tmp_path / "cell.nda"
    path.write_bytes(neware_file(time - starts[step], voltage, current, step + 1))
    records = read_cycler(path)
    np.testing.assert_allclose(records.time_s, time, rtol=1e-6, atol=2e-3)
    found = analysed(records.time_s, records.voltage_v, records.current_a)
    assert found[0].d_sphere_m2_s == pytest.approx(d, rel=0.05)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match="a file that NewareNDA reads"):
        read_cycler(path)
