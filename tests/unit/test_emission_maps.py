"""Readers of maps over excitation and emission energy, and small maps by hand."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from oxytomo.errors import InputError
from oxytomo.io.emission_maps import ColumnRequest, MapRequest, RawMap, read_map
from oxytomo.scattering.maps import emission_map, shares, window_sum
from oxytomo.scattering.yields import emission_cut, fluorescence_yield, inverse_yield, scatter_error

EXCITATION = np.array([528.0, 529.0, 530.0, 531.0, 533.0])
EMISSION = np.array([520.0, 521.0, 522.0, 523.0, 524.0, 525.0])
VALUES = np.arange(30, dtype=np.uint16).reshape(5, 6)


def test_window_sum_by_hand() -> None:
    """Photons 1, 2, 3 in bins of 1 eV; the window takes half of the first and all of the second."""
    one = emission_map(
        np.array([[1.0, 2.0, 3.0], [4.0, np.nan, 6.0]]),
        np.array([2.0, 2.0]),
        np.array([530.0, 531.0]),
        np.array([520.0, 521.0, 522.0]),
        units_per_photon=1.0,
        flux_error=0.1,
    )
    assert shares(one.emission_ev, (520.0, 521.5)) == pytest.approx([0.5, 1.0, 0.0])
    photons, variance = window_sum(one, (520.0, 521.5))
    assert photons[0] == pytest.approx(2.5)
    assert variance[0] == pytest.approx(0.25 + 2.0)
    assert np.isnan(photons[1])  # a sum without the invalid bin would be too small
    found = fluorescence_yield(one, (520.0, 521.5), name="PFY", elastic=None)
    assert found.value[0] == pytest.approx(2.5)  # the flux is relative to its mean
    assert found.error[0] == pytest.approx(np.sqrt(2.25 + 0.25**2))


def test_no_photons_are_not_certain() -> None:
    one = emission_map(
        np.zeros((2, 3)), None, EXCITATION[:2], EMISSION[:3], units_per_photon=1.0, flux_error=0.0
    )
    found = fluorescence_yield(one, None, name="TFY", elastic=None)
    assert (found.value == 0).all()
    assert (found.error == 1).all()
    assert np.isnan(inverse_yield(one, (520.0, 521.0), name="iPFY").value).all()


def test_inverse_yield_and_cut_by_hand() -> None:
    one = emission_map(
        np.array([[100.0, 300.0], [400.0, 100.0], [900.0, 0.0]]),
        np.array([0.5, 1.0, 1.5]),
        np.array([530.0, 530.4, 531.0]),
        np.array([520.0, 521.0]),
        units_per_photon=1.0,
        flux_error=0.0,
    )
    found = inverse_yield(one, (519.5, 520.5), name="iPFY")
    assert found.value == pytest.approx([1 / 200, 1 / 400, 1 / 600])
    assert found.error == pytest.approx([20 / 200**2, 20 / 400**2, 20 / 600**2])
    cut = emission_cut(one, 530.2, width_ev=0.5)
    assert cut.used_ev == pytest.approx([530.0, 530.4])
    assert cut.value == pytest.approx([500 / 1.5, 400 / 1.5])
    assert cut.error == pytest.approx([np.sqrt(500) / 1.5, 20 / 1.5])


def test_rows_without_flux_are_invalid() -> None:
    one = emission_map(
        VALUES,
        np.array([1.0, 0.0, np.nan, 1.0, 1.0]),
        EXCITATION,
        EMISSION,
        units_per_photon=1.0,
        flux_error=0.0,
    )
    value = fluorescence_yield(one, None, name="TFY", elastic=None).value
    assert np.isnan(value).tolist() == [False, True, True, False, False]


def test_noise_of_a_column_is_its_scatter() -> None:
    """For a smooth curve with normal noise the standard deviation is found within 15 %."""
    rng = np.random.default_rng(0)
    x = np.linspace(0, 10, 400)
    found = scatter_error(np.sin(x) + 0.01 * rng.normal(size=x.size))
    # The median absolute deviation of 400 correlated values scatters by about 5 %
    assert found[0] == pytest.approx(0.01, rel=0.15)


def assert_read(found: RawMap, scans: int = 1) -> None:
    assert found.values == pytest.approx(scans * VALUES.astype(float))
    assert found.excitation_ev == pytest.approx(EXCITATION)
    assert found.emission_ev == pytest.approx(EMISSION)
    assert found.scans == scans


def nexus(path: Path, *, turned: bool = False, unit: str = "eV") -> Path:
    factor = 1e-3 if unit == "keV" else 1.0
    with h5py.File(path, "w") as file:
        group = file.create_group("entry/rixs")
        file["entry"].attrs["NX_class"] = "NXentry"
        group.attrs.update({"NX_class": "NXdata", "signal": "counts"})
        names = ["incident_energy", "emission_energy"]
        group.attrs["axes"] = names[::-1] if turned else names
        group["counts"] = VALUES.T if turned else VALUES
        for name, values in zip(names, (EXCITATION, EMISSION), strict=True):
            group.create_dataset(name, data=values * factor).attrs["units"] = unit
        group["flux"] = np.arange(1.0, 6.0)
        group["tey"] = np.arange(5.0)
    return path


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("unit", ["eV", "keV"])
def test_nexus(tmp_path: Path, turned: bool, unit: str) -> None:
    path = nexus(tmp_path / "a.h5", turned=turned, unit=unit)
    column = ColumnRequest(None, None, "entry/rixs/tey", None, True, "surface")
    found = read_map(MapRequest((path,), columns={"TEY": column}))
    assert_read(found)
    assert found.flux == pytest.approx(np.arange(1.0, 6.0))
    assert found.columns["TEY"] == pytest.approx(np.arange(5.0) / np.arange(1.0, 6.0))
    assert "flux" in found.remarks[0]


def test_declared_datasets(tmp_path: Path) -> None:
    path = tmp_path / "own.h5"
    with h5py.File(path, "w") as file:
        file["m"], file["e"], file["x"], file["i"] = VALUES.T, EMISSION, EXCITATION, np.ones(5)
    request = MapRequest((path,), dataset="m", excitation_dataset="x", emission_dataset="e", flux_dataset="i")
    assert_read(read_map(request))
    with pytest.raises(InputError, match="name 'dataset'"):
        read_map(MapRequest((path,)))
    with pytest.raises(InputError, match="a dataset 'y'"):
        read_map(MapRequest((path,), dataset="y"))


def test_scans_are_added(tmp_path: Path) -> None:
    first, second = nexus(tmp_path / "a.h5"), nexus(tmp_path / "b.h5")
    found = read_map(MapRequest((first, second)))
    assert_read(found, scans=2)
    assert found.flux == pytest.approx(2 * np.arange(1.0, 6.0))
    with h5py.File(second, "r+") as file:
        file["entry/rixs/incident_energy"][0] = 527.5
    with pytest.raises(InputError, match=r"excitation energies of a\.h5"):
        read_map(MapRequest((first, second)))


@pytest.mark.parametrize("corner", ["eV", ""])
@pytest.mark.parametrize("mark", [",", "\t", ";"])
def test_text_with_axes(tmp_path: Path, corner: str, mark: str) -> None:
    path = tmp_path / "map.csv"
    lines = [mark.join([corner or "0", *(f"{ev:.1f}" for ev in EMISSION)])]
    lines += [mark.join([f"{ev:.1f}", *map(str, row)]) for ev, row in zip(EXCITATION, VALUES, strict=True)]
    path.write_text("\n".join(lines))
    assert_read(read_map(MapRequest((path,))))


def test_matrix_and_image_with_tables_of_axes(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("\n".join(map(str, EXCITATION)))
    (tmp_path / "flux.csv").write_text("energy,i0\n" + "\n".join(f"{ev},7.5" for ev in EXCITATION))
    matrix, image = tmp_path / "map.txt", tmp_path / "map.tif"
    np.savetxt(matrix, VALUES, fmt="%d")
    tifffile.imwrite(image, VALUES)
    for path in (matrix, image):
        request = MapRequest(
            (path,), excitation=tmp_path / "x.txt", emission=(520.0, 1.0), flux=tmp_path / "flux.csv"
        )
        found = read_map(request)
        assert_read(found)
        assert found.flux == pytest.approx(np.full(5, 7.5))


def test_what_is_not_a_map_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "square.tif"
    tifffile.imwrite(path, VALUES[:, :5])
    ramp = (520.0, 1.0)
    with pytest.raises(InputError, match="excitation_along"):
        read_map(MapRequest((path,), excitation=ramp, emission=ramp))
    assert read_map(MapRequest((path,), excitation=ramp, emission=ramp, excitation_along="columns")).values[
        0
    ] == pytest.approx(VALUES[:, 0])
    with pytest.raises(InputError, match="emission energies, got none in the file"):
        read_map(MapRequest((path,), excitation=ramp))
    image = tmp_path / "float.tif"
    tifffile.imwrite(image, VALUES.astype(np.float32) + 0.5)
    request = MapRequest((image,), excitation=(528.0, 1.0), emission=ramp)
    with pytest.raises(InputError, match="units_per_photon"):
        read_map(request)
    with pytest.raises(InputError, match="got no such file"):
        read_map(MapRequest((tmp_path / "none.csv",)))


def test_a_column_with_its_energies_elsewhere_is_refused(tmp_path: Path) -> None:
    """Numbers below 100 are taken for keV: swapped columns reach over the map without a point in it."""
    path, column = tmp_path / "map.csv", tmp_path / "tey.txt"
    rows = [[0, *EMISSION], *([ev, *row] for ev, row in zip(EXCITATION, VALUES, strict=True))]
    path.write_text("\n".join(",".join(f"{one:.1f}" for one in row) for row in rows))
    column.write_text("\n".join(f"{k} {ev}" for k, ev in enumerate(EXCITATION)))
    request = MapRequest((path,), columns={"TEY": ColumnRequest(column, None, None, None, False, "surface")})
    with pytest.raises(InputError, match="528 to 533 eV, got 0 of 0 to 4000 eV"):
        read_map(request)
    with pytest.raises(InputError, match="got a folder"):
        read_map(MapRequest((tmp_path,)))
