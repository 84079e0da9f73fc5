"""Tables of angles and energies: decimal commas, units that are missing."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from oxytomo.errors import InputError
from oxytomo.io.readers import ReadRequest, peek, read_angles
from oxytomo.io.readers.angles import to_degrees
from oxytomo.io.readers.spectral import read_energies

ENERGIES = np.array([635.38, 635.5, 636.05, 637.0, 640.25, 641.1])


def comma(numbers: np.ndarray, form: str) -> list[str]:
    return [form.format(number).replace(".", ",") for number in numbers]


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(comma(ENERGIES, "{:.2f}")),
        "\ufeff" + "\r\n".join(comma(ENERGIES, "{:.2f}")) + "\r\n",
        "\n".join(comma(ENERGIES, "{:g}")),
        "energy_ev\n" + "\n".join(comma(ENERGIES, "{:.2f}")),
        "energy_ev;i0\n" + "\n".join(f"{e};1,5" for e in comma(ENERGIES, "{:.2f}")),
        "energy\ti0\n" + "\n".join(f"{e}\t1500" for e in comma(ENERGIES, "{:.2f}")),
        "\n".join(f"{e} 0,25" for e in comma(ENERGIES, "{:.2f}")),
        "\n".join(f"{e};12" for e in comma(ENERGIES, "{:.2f}")),
        "\n".join(f"{e:.2f}" for e in ENERGIES),
        "\n".join(f"{e:.2f},1500" for e in ENERGIES),
        "\n".join(f"{e:.2f}, 1500" for e in ENERGIES),
        "energy,i0\n" + "\n".join(f"{e:.2f},15" for e in ENERGIES),
    ],
)
def test_energies_with_decimal_commas_and_points_are_the_same(tmp_path: Path, text: str) -> None:
    (tmp_path / "e.csv").write_text(text, encoding="utf-8", newline="")
    np.testing.assert_array_equal(read_energies(tmp_path / "e.csv", None), ENERGIES)


@pytest.mark.parametrize(
    "text",
    [
        "640,1500\n641,1490\n642,1480\n",  # two columns, or 640.15, 641.149, …
        "640,25\n641,50\n",
        "640,2e-1\n641,3e-1\n",
        "640,1500,12\n641,1490,13\n",
        "energy,i0\n640,25,1500\n641,50,1490\n",
        "640,25;1\n641.50;1\n",
    ],
)
def test_commas_that_can_be_either_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "e.csv").write_text(text)
    with pytest.raises(InputError, match=r"decimal commas, got '6.*separate columns by semicolons"):
        read_energies(tmp_path / "e.csv", None)


def test_energies_in_rows_of_different_length_are_refused(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("energy,i0\n640,1\n641\n")
    with pytest.raises(InputError, match="2 columns in every row"):
        read_energies(tmp_path / "e.csv", None)


def test_angles_with_decimal_commas(tmp_path: Path) -> None:
    tilts = np.arange(-6, 7, 1.5)
    for text in (
        "\n".join(comma(tilts, "{:.2f}")),
        "tilt_deg\n" + "\n".join(comma(tilts, "{:.1f}")),
        "tilt_deg;energy_ev\n" + "\n".join(f"{t};640,5" for t in comma(tilts, "{:.2f}")),
    ):
        (tmp_path / "a.txt").write_text(text)
        np.testing.assert_array_equal(read_angles(tmp_path / "a.txt").tilt_deg, tilts)
    assert read_angles(tmp_path / "a.txt").energy_ev.tolist() == [640.5] * tilts.size


HALF_TURN = np.linspace(0, np.pi, 31)[:-1]


@pytest.mark.parametrize(
    "radians",
    [
        HALF_TURN,
        2 * HALF_TURN,
        np.deg2rad(np.arange(-65, 66, 5.0)),
        np.arange(0, np.pi, 0.1),
        np.round(HALF_TURN, 3),
    ],
)
def test_radians_without_a_unit_are_refused_and_with_one_converted(
    tmp_path: Path, radians: np.ndarray
) -> None:
    path = tmp_path / "a.txt"
    np.savetxt(path, radians, fmt="%.6f")
    with pytest.raises(InputError, match=r"without a unit: radians\?.*theta_rad or tilt_deg"):
        read_angles(path)
    path.write_text("theta\n" + path.read_text())
    with pytest.raises(InputError, match=r"radians\?"):
        read_angles(path)
    path.write_text(path.read_text().replace("theta\n", "theta_rad\n"))
    # Six decimals of a radian are 3e-5 degrees.
    np.testing.assert_allclose(read_angles(path).tilt_deg, np.rad2deg(radians), atol=3e-5)
    np.testing.assert_allclose(to_degrees(radians * 1e3, "mrad", path), np.rad2deg(radians))


@pytest.mark.parametrize(
    "degrees",
    [
        np.arange(-66, 67, 3.0),
        np.linspace(0, 180, 31),
        np.arange(-3, 3.1, 0.25),  # quarters of a degree
        np.arange(5.0),
        np.zeros(8),
        np.array([0.0, 1e-3, -2e-3, 1e-3, 0.0, 3e-3]),  # one view, as the encoder saw it
        np.array([0.0, 1.571, 3.142]),  # too few to say
    ],
)
def test_degrees_without_a_unit_stay_degrees(tmp_path: Path, degrees: np.ndarray) -> None:
    np.savetxt(tmp_path / "a.txt", degrees)
    np.testing.assert_allclose(read_angles(tmp_path / "a.txt").tilt_deg, degrees)
    (tmp_path / "b.txt").write_text("tilt_deg\n" + "\n".join(map(str, HALF_TURN)))
    np.testing.assert_allclose(read_angles(tmp_path / "b.txt").tilt_deg, HALF_TURN)  # said to be degrees


@pytest.mark.parametrize("mark", [";", "\t", " ", "; "])
def test_spectra_with_decimal_commas(tmp_path: Path, mark: str) -> None:
    from oxytomo.io.spectra import read_spectrum

    absorption = ENERGIES / 1000 + np.arange(6.0) ** 2
    lines = [
        f"{e}{mark}{a}" for e, a in zip(comma(ENERGIES, "{:.2f}"), comma(absorption, "{:.5f}"), strict=True)
    ]
    (tmp_path / "a.txt").write_text(f"energy{mark}mu\n" + "\n".join(lines))
    found = read_spectrum(tmp_path / "a.txt", group=None, energy_unit=None)
    np.testing.assert_array_equal(found.energy_ev, ENERGIES)
    np.testing.assert_allclose(found.absorption, absorption, atol=5e-6)  # five decimals


def test_a_table_with_its_unit_helps_a_file_of_radians(tmp_path: Path) -> None:
    """The advice of the refusal works, for a file that cannot be changed."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["exchange/data"] = np.ones((30, 4, 5))
        file["exchange/theta"] = HALF_TURN
    with pytest.raises(InputError, match=r"radians\?"):
        peek(ReadRequest(images=(path,)))
    (tmp_path / "a.txt").write_text("theta_rad\n" + "\n".join(map(str, HALF_TURN)))
    tilts = peek(ReadRequest(images=(path,), angles=tmp_path / "a.txt")).tilt_deg
    np.testing.assert_allclose(tilts, np.rad2deg(HALF_TURN))
