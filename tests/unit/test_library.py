"""The public library: known answers, what it takes, and what it refuses in one line."""

import re
from dataclasses import replace
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import tifffile
import xarray as xr

import oxytomo as ox
from oxytomo.config import TomogramReconstructSettings
from oxytomo.errors import ConfigError, InputError, ShapeError
from oxytomo.io.volumes.base import rows_of_file

TILTS = np.linspace(-90, 90, 120, endpoint=False)


@pytest.fixture(scope="module")
def disc() -> np.ndarray:
    """A disc of value 1 and radius 10 px, off the middle."""
    y, x = np.mgrid[:48, :48] - 23.5
    return (np.hypot(y - 4, x + 5) < 10).astype(np.float32)


def test_a_slice_and_a_volume_of_one_slice_are_reconstructed_alike(disc: np.ndarray) -> None:
    sinogram = ox.project(disc, TILTS)
    assert sinogram.shape == (120, 48)
    whole = ox.fbp(sinogram[:, None], TILTS)
    assert whole.shape == (1, 48, 48)
    np.testing.assert_array_equal(ox.fbp(sinogram, TILTS), whole[0])


def test_projections_of_a_disc_have_its_area(disc: np.ndarray) -> None:
    # Rays run through the pixels of the sharp edge at one place only, which keeps the sum to 0.3 %.
    np.testing.assert_allclose(ox.project(disc, TILTS).sum(axis=1), disc.sum(), rtol=5e-3)


@pytest.mark.parametrize("off_px", [0.0, 3.0, -2.5])
def test_fbp_with_the_axis_off_the_middle_finds_the_disc_where_it_is(disc: np.ndarray, off_px: float) -> None:
    middle = (48 - 1) / 2
    moved = np.stack(
        [np.interp(np.arange(48) - off_px, np.arange(48), row) for row in ox.project(disc, TILTS)]
    )
    found = ox.fbp(moved, TILTS, axis_px=middle + off_px)
    weights = np.where(found > 0.5, found, 0)
    y, x = (float((weights * one).sum() / weights.sum()) for one in np.mgrid[:48, :48])
    # A twentieth of a pixel is far below the error of a wrong axis, which blurs the disc into a ring.
    assert (y, x) == (pytest.approx(27.5, abs=0.05), pytest.approx(18.5, abs=0.05))
    assert found[25:31, 16:22].mean() == pytest.approx(1.0, abs=0.02)


def test_a_pixel_size_makes_the_volume_per_micrometre(disc: np.ndarray) -> None:
    sinogram = ox.project(disc, TILTS)
    per_pixel, per_um = ox.fbp(sinogram, TILTS), ox.fbp(sinogram, TILTS, pixel_nm=20.0)
    np.testing.assert_allclose(per_um, 50 * per_pixel, rtol=1e-4, atol=1e-3)


def test_arrays_of_xarray_are_taken_as_they_are(disc: np.ndarray) -> None:
    sinogram = ox.project(disc, TILTS)
    named = xr.DataArray(sinogram, dims=("tilt", "x"), coords={"tilt": TILTS})
    np.testing.assert_array_equal(ox.fbp(named, named.tilt), ox.fbp(sinogram, TILTS))


def test_an_invalid_ray_does_not_spread_nan(disc: np.ndarray) -> None:
    sinogram = ox.project(disc, TILTS)
    sinogram[3, 20] = np.nan
    assert np.isfinite(ox.fbp(sinogram, TILTS)).all()
    assert np.isfinite(ox.tv(sinogram, TILTS, iterations=3)).all()


def test_total_variation_without_a_variance_takes_the_noise_of_the_projections(disc: np.ndarray) -> None:
    sinogram = ox.project(disc, TILTS)
    sinogram += np.random.default_rng(0).normal(scale=0.3, size=sinogram.shape).astype(np.float32)
    found = ox.tv(sinogram, TILTS)
    told = ox.tv(sinogram, TILTS, variance=np.full_like(sinogram, 0.09))
    inside = np.s_[25:31, 16:22]
    # The noise of 48 columns is known to some 15 %, which moves the solution by far less than its own error.
    assert found[inside].mean() == pytest.approx(told[inside].mean(), abs=0.01)
    assert found[inside].std() < 0.25 * ox.fbp(sinogram, TILTS)[inside].std()


def test_a_volume_that_stays_on_disk_is_taken(disc: np.ndarray) -> None:
    rows = rows_of_file(disc[None].shape, disc.dtype, lambda key: disc[None][key], Path("volume"))
    np.testing.assert_array_equal(ox.project(rows, [30.0]), ox.project(disc[None], [30.0]))


def test_frames_with_a_horizontal_axis_are_turned(tmp_path: Path) -> None:
    frames = np.arange(5 * 6 * 8, dtype=np.float32).reshape(5, 6, 8)
    tifffile.imwrite(tmp_path / "tilts.tif", frames, photometric="minisblack")
    turned = ox.read_series(tmp_path / "tilts.tif", angles=[1, 2, 3, 4, 5], tilt_axis="horizontal")
    np.testing.assert_array_equal(turned.frames[2], frames[2].T)
    with pytest.raises(ConfigError, match="tilt_axis: expected vertical or horizontal"):
        ox.read_series(tmp_path / "tilts.tif", tilt_axis="up")  # type: ignore[arg-type]


def test_numbers_that_cannot_be_what_they_are_said_to_be_are_refused() -> None:
    raw = ox.simulate_tilt_series(elements=["O"], size=16, n_tilts=3).series["O_pre"]
    with pytest.raises(InputError, match="series"):
        ox.normalize(raw, quantity="transmission")


def test_defaults_are_those_of_the_settings() -> None:
    sirt = signature(ox.sirt).parameters
    settings = TomogramReconstructSettings()
    assert sirt["iterations"].default == settings.iterations
    assert sirt["nonnegative"].default == settings.nonnegative


@pytest.mark.parametrize(
    ("call", "kind", "line"),
    [
        (
            lambda: ox.fbp(np.ones((5, 8)), [0.0, 1.0]),
            ShapeError,
            "tilt_deg: expected 5 finite numbers in degrees",
        ),
        (lambda: ox.fbp(np.ones(5), [0.0]), ShapeError, "projections: expected numbers of shape"),
        (
            lambda: ox.sirt(np.ones((2, 8)), [0.0, 1.0], iterations=0),
            ConfigError,
            "iterations: expected .* got 0.*call of sirt",
        ),
        (
            lambda: ox.fbp(np.ones((2, 8)), [0, 90], axis_px=9.0),
            ConfigError,
            "axis_px: expected a detector column from 0 to 7, got 9",
        ),
        (
            lambda: ox.fbp(np.ones((2, 8)), [0, 90], axis_px=2.0, backend="astra"),
            ConfigError,
            "axis_px: expected the middle of the detector, 3.5",
        ),
        (
            lambda: ox.fbp(np.ones((2, 8)), [0, 90], pixel_nm=-1.0),
            ConfigError,
            "pixel_nm: expected a number above 0 in nm, got -1",
        ),
        (
            lambda: ox.tv(np.ones((2, 8)), [0, 90], variance=np.ones((2, 9))),
            ShapeError,
            r"variance: expected the shape of the projections, \(2, 8\), got \(2, 9\)",
        ),
        (lambda: ox.project(np.ones((3, 4)), [0.0]), ShapeError, "rows of a slice: expected"),
        (lambda: ox.read_series("no/such.h5"), InputError, "no such"),
        (
            lambda: ox.simulate_tilt_series(elements=["Xe"]),
            ConfigError,
            "simulate_tilt_series: expected elements of O, Mn, Co, Ni",
        ),
        (lambda: ox.segment_voids(np.zeros((8, 8, 8))), InputError, "expected"),
        (
            lambda: ox.segment_voids(np.zeros((8, 8, 8)), mask=np.zeros((8, 8, 9))),
            ShapeError,
            r"mask: expected \(8, 8, 8\)",
        ),
        (
            lambda: ox.measure_voids(np.zeros((8, 8, 8)), voxel_nm=20.0),
            ShapeError,
            r"voids: expected the Voids of segment_voids, got an array of shape \(8, 8, 8\)",
        ),
        (lambda: ox.normalize("a.h5"), ShapeError, "series: expected the TiltSeries of read_series, got str"),
        (
            lambda: ox.align_series({"O_pre": np.zeros((3, 8, 8))}),
            ShapeError,
            "O_pre: expected the Projections of normalize, got an array",
        ),
        (
            lambda: ox.decompose({}, formula={"O": 1}),
            ShapeError,
            "aligned: expected the Aligned of align_series, got dict",
        ),
        (
            lambda: ox.reconstruct_deviation(None),
            ShapeError,
            "decomposed: expected the Decomposed of decompose, got NoneType",
        ),
        (
            lambda: ox.register_stack(ox.simulate_stack("Ni", size=32, n_energies=20)),
            ShapeError,
            "images: expected the StackImages of normalize_stack, got SimulatedStack",
        ),
        (
            lambda: ox.fit_valence(np.zeros((3, 8, 8)), {}),
            ShapeError,
            "registered: expected the RegisteredStack of register_stack, got an array",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(call, kind: type, line: str) -> None:
    with pytest.raises(kind, match=line) as refused:
        call()
    assert isinstance(refused.value, ox.PipelineError)
    assert "\n" not in str(refused.value)
    assert re.search("Likely fix: .", str(refused.value))


def test_a_series_without_flats_says_so() -> None:
    raw = ox.simulate_tilt_series(elements=["O"], size=16, n_tilts=3).series["O_pre"]
    with pytest.raises(InputError, match="flat field: expected frames without the sample"):
        ox.normalize(replace(raw, flat=None))
    with pytest.raises(ConfigError, match=r"quantity: expected counts, .*got 'photons'"):
        ox.normalize(raw, quantity="photons")  # type: ignore[arg-type]


def test_a_decomposition_needs_pairs_and_a_compound() -> None:
    raw = ox.simulate_tilt_series(elements=["O"], size=32, n_tilts=5, jitter_px=0).series
    aligned = ox.align_series({"left": ox.normalize(raw["O_post"])}, tilts=False)
    with pytest.raises(
        ConfigError, match=r"aligned.series: expected series <El>_pre and <El>_post.*got left"
    ):
        ox.decompose(aligned, formula={"O": 1.0}, density_g_cm3=1.0)
    named = replace(aligned, series=("O_pre", "O_post"))
    with pytest.raises(ConfigError, match="formula: expected atoms per formula unit of O"):
        ox.decompose(named, density_g_cm3=1.0)
    with pytest.raises(ConfigError, match="density_g_cm3: expected the mass density"):
        ox.decompose(named, formula={"O": 1.0})


def test_angles_given_as_numbers_win_and_must_fit(tmp_path: Path) -> None:
    path = tmp_path / "tilts.tif"
    tifffile.imwrite(path, np.ones((5, 8, 8), np.float32), photometric="minisblack")
    assert ox.read_series(path, angles=[1, 2, 3, 4, 5]).tilt_deg.tolist() == [1, 2, 3, 4, 5]
    with pytest.raises(ShapeError, match="angles: expected 5 finite numbers in degrees"):
        ox.read_series(path, angles=[1, 2, 3])
    with pytest.raises(InputError, match="expected tilt angles"):
        ox.read_series(path)
