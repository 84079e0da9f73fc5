"""Complex images of ptychography: optical density, phase without ramp, wraps, variance; CXI and HDF5 files."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from oxytomo.arrays import TiltSeries
from oxytomo.config import Source, StackSource
from oxytomo.config.stage_settings import NormalizeStackStage, NormalizeStage
from oxytomo.errors import InputError, PipelineError
from oxytomo.io.readers import ReadRequest, peek, read_tilt_series
from oxytomo.io.readers.data_exchange import write_data_exchange, write_energy_stack
from oxytomo.io.readers.spectral import read_spectral_stack
from oxytomo.io.rounding import LARGEST_SIGMA
from oxytomo.io.stores import read_store
from oxytomo.preprocess.complex_images import air_of, complex_density, complex_phase
from oxytomo.stages.context import StageContext
from oxytomo.stages.oxidation import normalize_stack
from oxytomo.stages.shared import normalize

SIZE = 64
Y, X = np.indices((SIZE, SIZE)) - SIZE / 2
BALL = np.sqrt(np.maximum(18.0**2 - (Y - 3) ** 2 - (X + 2) ** 2, 0)) / 18
"""Thickness of an off-centre ball, 1 in its middle."""
AIR = np.zeros((SIZE, SIZE), bool)
AIR[2:9, 2:62] = True


def transmission(
    od: float,
    phase: float,
    *,
    noise: float = 0.0,
    ramp: tuple[float, float] = (0.0, 0.0),
    scale: complex = 1.0,
) -> np.ndarray:
    """``T = exp(−OD/2 + iφ)`` of the ball with a ramp in radian per pixel, a factor and complex white noise."""
    rng = np.random.default_rng(4)
    clean = np.exp(-0.5 * od * BALL + 1j * phase * BALL)
    white = noise * (rng.standard_normal(BALL.shape) + 1j * rng.standard_normal(BALL.shape))
    return (scale * (clean + white) * np.exp(1j * (ramp[0] * Y + ramp[1] * X))).astype(np.complex64)


def density(frame: np.ndarray, **settings: Any) -> Any:
    given: dict[str, Any] = {"air": AIR, "sigma_od": None, "opaque_transmission": 0.005}
    return complex_density(frame, **(given | settings))


def test_the_optical_density_is_minus_two_ln_of_the_modulus_whatever_scale_and_phase() -> None:
    one = density(transmission(1.7, -2.0, ramp=(0.3, -0.7), scale=3.2 * np.exp(2.1j)))
    np.testing.assert_allclose(one.value, 1.7 * BALL, atol=2e-6)  # single precision
    assert one.light == pytest.approx(3.2, rel=1e-6)


def test_the_empty_region_is_found() -> None:
    frame = transmission(1.7, -2.0, noise=0.01)
    air = air_of(frame, name="x")
    assert air.sum() > 0.3 * SIZE**2
    assert BALL[air].max() < 0.02


def test_the_variance_is_that_of_the_scatter_in_complex_images() -> None:
    """White noise of s per component gives OD a standard deviation of 2 s/|T|: 0.02 in air, 0.047 behind OD 1.7."""
    s = 0.01
    one = density(transmission(1.7, -2.0, noise=s))
    error = one.value - 1.7 * BALL
    thick = BALL > 0.9
    # 1.4826 MAD of the 420 pixels of the region has a relative error of about 1.17/sqrt(2·420) = 4 %.
    np.testing.assert_allclose(np.sqrt(one.variance[AIR].mean()), 2 * s, rtol=0.12)
    pull = error / np.sqrt(one.variance)
    for part in (AIR, thick):
        assert np.std(pull[part]) == pytest.approx(1.0, abs=0.2)
    given = density(transmission(1.7, -2.0, noise=s), sigma_od=0.05)
    np.testing.assert_allclose(given.variance[AIR], 0.05**2, rtol=0.15)


def test_opaque_and_infinite_pixels_are_marked() -> None:
    frame = transmission(1.7, -2.0)
    frame[30, 30], frame[31, 31] = 0.01, np.nan
    one = density(frame)
    assert np.isnan(one.value[[30, 31], [30, 31]]).all()
    assert np.isinf(one.variance[[30, 31], [30, 31]]).all()
    assert one.invalid == {"not_finite": 1, "opaque": 1}


@pytest.mark.parametrize("ramp", [(0.0, 0.0), (0.05, -0.08), (0.9, -1.3), (-2.4, 2.9)])
def test_the_phase_is_without_ramp_and_offset(ramp: tuple[float, float]) -> None:
    one = complex_phase(transmission(1.7, -2.0, ramp=ramp, scale=np.exp(2.5j)), air=AIR, sigma_od=None)
    np.testing.assert_allclose(one.value, -2.0 * BALL, atol=1e-4)  # a ramp of single precision over 64 pixels
    assert one.invalid["wrapped"] == 0


def test_pixels_a_turn_away_are_marked_and_no_others() -> None:
    """A phase of 4.5 rad wraps where the ball is thicker than π/4.5; there the value would be −1.8."""
    one = complex_phase(transmission(0.5, 4.5, ramp=(0.4, 0.2)), air=AIR, sigma_od=None)
    beyond = np.pi < 4.5 * BALL
    assert beyond.sum() > 100
    np.testing.assert_array_equal(np.isnan(one.value), beyond)
    assert one.invalid["wrapped"] == beyond.sum()
    np.testing.assert_allclose(one.value[~beyond], 4.5 * BALL[~beyond], atol=1e-4)


def test_a_vortex_of_the_phase_is_marked() -> None:
    vortex = np.exp(1j * np.arctan2(Y - 0.5, X - 0.5)) * transmission(0.5, 0.0)
    vortex[AIR] = 1.0
    one = complex_phase(vortex, air=AIR, sigma_od=None)
    assert np.isnan(one.value[SIZE // 2 : SIZE // 2 + 2, SIZE // 2 : SIZE // 2 + 2]).all()


def test_the_phase_has_half_the_error_of_the_optical_density() -> None:
    one = complex_phase(transmission(1.7, -2.0, noise=0.01), air=AIR, sigma_od=None)
    pull = (one.value + 2.0 * BALL)[BALL > 0.9] / np.sqrt(one.variance[BALL > 0.9])
    assert np.std(pull) == pytest.approx(1.0, abs=0.2)
    np.testing.assert_allclose(np.sqrt(one.variance[AIR].mean()), 0.01, rtol=0.12)


ENERGIES = np.linspace(700.0, 720.0, 6)
ODS = np.array([0.3, 0.4, 1.2, 1.0, 0.9, 0.8])


def stack_of_complex() -> np.ndarray:
    return np.stack(
        [
            transmission(od, -1.0, noise=0.004, ramp=(0.02 * i, 0.5), scale=1 + 0.1 * i)
            for i, od in enumerate(ODS)
        ]
    )


def cxi(path: Path, image: np.ndarray, energy_ev: float, pixel_nm: float = 5.0) -> Path:
    with h5py.File(path, "w") as file:
        file["cxi_version"] = 140
        file["entry_1/image_1/data"] = image
        file["entry_1/image_1/image_size"] = (
            np.array([*image.shape[-1:], *image.shape[-2:-1]]) * pixel_nm * 1e-9
        )
        file["entry_1/instrument_1/source_1/energy"] = energy_ev * 1.602176634e-19
        file["entry_1/instrument_1/detector_1/x_pixel_size"] = 5e-5
        file["entry_1/data_1/data"] = np.ones((3, 8, 8))
    return path


def normalized_stack(folder: Path, source: StackSource, **settings: Any) -> Any:
    stage = NormalizeStackStage(element="Fe", source=source, **settings)
    context = StageContext("normalize_stack", 1, 1, stage.model_dump(mode="json"))
    normalize_stack.run({}, {"store": folder / "out.zarr"}, stage, context)
    return read_store(folder / "out.zarr")


@pytest.mark.parametrize("layout", ["cxi", "exchange", "declared"])
def test_stacks_of_complex_images_give_the_optical_density(layout: str, tmp_path: Path) -> None:
    frames = stack_of_complex()
    if layout == "cxi":
        images = tuple(
            str(cxi(tmp_path / f"{i}.cxi", frame, energy))
            for i, (frame, energy) in enumerate(zip(frames, ENERGIES, strict=True))
        )
        source = StackSource(images=images)
    elif layout == "exchange":
        with h5py.File(tmp_path / "s.h5", "w") as file:
            file["exchange/data"], file["exchange/energy"] = frames, ENERGIES
        source = StackSource(images=(str(tmp_path / "s.h5"),), pixel_nm=5.0)
    else:
        with h5py.File(tmp_path / "s.h5", "w") as file:
            file["objects"], file["eV"] = frames, ENERGIES
        source = StackSource(
            images=(str(tmp_path / "s.h5"),), dataset="objects", energy_dataset="eV", pixel_nm=5.0
        )
    store = normalized_stack(tmp_path, source)
    wanted = ODS[:, None, None] * BALL
    np.testing.assert_allclose(store["energy_ev"], ENERGIES)
    assert store.attributes["pixel_nm"] == pytest.approx(5.0)
    # Noise of 0.008 in air and 0.015 behind OD 1.2: five standard deviations.
    np.testing.assert_allclose(np.asarray(store["value"]), wanted, atol=0.075)
    np.testing.assert_allclose(
        np.asarray(store["value"])[:, BALL > 0.8].mean(1), wanted[:, BALL > 0.8].mean(1), atol=0.003
    )


def test_complex_images_equal_their_intensities(tmp_path: Path) -> None:
    """The optical densities of a stack of ``|T|²`` in the usual layout, air included."""
    frames = stack_of_complex()
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["exchange/data"], file["exchange/energy"] = frames, ENERGIES
    write_energy_stack(
        tmp_path / "t.h5", np.abs(frames) ** 2, ENERGIES, pixel_nm=5.0, quantity="transmission"
    )
    values = [
        np.asarray(normalized_stack(tmp_path / folder, StackSource(images=(str(path),)))["value"])
        for folder, path in (("a", tmp_path / "s.h5"), ("b", tmp_path / "t.h5"))
    ]
    np.testing.assert_allclose(values[0], values[1], atol=2e-5)


def test_images_whose_pixel_follows_the_wavelength_are_refused(tmp_path: Path) -> None:
    paths = tuple(
        cxi(tmp_path / f"{i}.cxi", frame, energy, pixel_nm=5.0 * 700 / energy)
        for i, (frame, energy) in enumerate(zip(stack_of_complex(), ENERGIES, strict=True))
    )
    with pytest.raises(InputError, match=r"images of one pixel size, got 4\.861 to 5 nm"):
        read_spectral_stack(ReadRequest(images=paths), energies=None, energy_unit=None)


def normalized(folder: Path, series: str, source: Source, default: str, **settings: Any) -> Any:
    stage = NormalizeStage(series=series, source=source, default_quantity=default, **settings)  # type: ignore[arg-type]
    context = StageContext("normalize", 1, 1, stage.model_dump(mode="json"))
    normalize.run({}, {"store": folder / f"{series}.zarr"}, stage, context)
    return read_store(folder / f"{series}.zarr")


@pytest.fixture
def tilts(tmp_path: Path) -> Source:
    frames = np.stack([transmission(1.0, -2.0, ramp=(0.1 * i, 0.3), scale=2 + 0.5 * i) for i in range(3)])
    with h5py.File(tmp_path / "tilts.h5", "w") as file:
        file["object"], file["angle"] = frames, [0.0, 10.0, 20.0]
    return Source(
        images=(str(tmp_path / "tilts.h5"),),
        dataset="object",
        angles_dataset="angle",
        pixel_nm=5.0,
        energy_ev=710.0,
    )


def test_tilt_series_of_complex_images_give_density_or_phase(tmp_path: Path, tilts: Source) -> None:
    density = normalized(tmp_path, "Fe_post", tilts, "counts")
    assert density.attributes["quantity"] == "optical_density"
    np.testing.assert_allclose(
        np.asarray(density["value"]), np.broadcast_to(BALL, (3, SIZE, SIZE)), atol=1e-5
    )
    phase = normalized(tmp_path, "phase_maps", tilts, "signal")
    assert phase.attributes["quantity"] == "signal"
    np.testing.assert_allclose(
        np.asarray(phase["value"]), np.broadcast_to(-2 * BALL, (3, SIZE, SIZE)), atol=2e-4
    )
    chosen = tilts.model_copy(update={"complex_part": "phase"})
    np.testing.assert_array_equal(
        np.asarray(normalized(tmp_path, "signal", chosen, "counts")["value"]), np.asarray(phase["value"])
    )


@pytest.mark.parametrize(
    ("series", "default", "change", "said"),
    [
        ("Fe_post", "counts", {"complex_part": "phase"}, "the modulus for absorption"),
        ("Fe", "signal", {}, "neither for element maps"),
        (
            "Fe_post",
            "counts",
            {"quantity": "transmission"},
            "pixels that are transmission, got type complex64",
        ),
        ("Fe_post", "counts", {"offset": 1.0}, "complex images as they are, got an offset"),
    ],
)
def test_what_complex_images_are_not_is_refused(
    series: str, default: str, change: dict[str, Any], said: str, tmp_path: Path, tilts: Source
) -> None:
    with pytest.raises(PipelineError, match=said):
        normalized(tmp_path, series, tilts.model_copy(update=change), default)


def test_a_frame_that_the_sample_fills_needs_the_region_or_no_rescale(tmp_path: Path) -> None:
    full = (np.exp(-0.2 * np.random.default_rng(1).random((3, SIZE, SIZE))) * np.exp(1j * X / 9)).astype(
        np.complex64
    )
    full *= np.exp(-0.01 * (X**2 + Y**2) / 20).astype(np.float32)
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["a"], file["t"] = full, [0.0, 1.0, 2.0]
    source = Source(images=(str(tmp_path / "t.h5"),), dataset="a", angles_dataset="t", pixel_nm=5.0)
    with pytest.raises(PipelineError, match="complex images have no scale"):
        normalized(tmp_path, "Fe_pre", source, "counts")
    store = normalized(tmp_path, "Fe_pre", source, "counts", air_rescale=False, opaque_transmission=0.0)
    # The store is in fewer bits: at most a tenth of the noise off.
    noise = np.sqrt(np.asarray(store["variance"]))
    off = np.abs(np.asarray(store["value"]) + 2 * np.log(np.abs(full)))
    assert (off <= LARGEST_SIGMA * 1.01 * noise).all()


def test_real_images_called_complex_are_refused(tmp_path: Path) -> None:
    series = TiltSeries(
        frames=np.ones((3, 8, 8), np.float32),
        tilt_deg=np.arange(3.0),
        energy_ev=np.full(3, 700.0),
        pixel_nm=np.full(3, 5.0),
        quantity="transmission",
    )
    write_data_exchange(tmp_path / "r.h5", series)
    with pytest.raises(InputError, match="expected pixels that are complex transmission, got type float32"):
        peek(ReadRequest(images=(tmp_path / "r.h5",), quantity="complex"))


def test_a_cxi_file_says_energy_in_joule_and_the_size_of_its_image(tmp_path: Path) -> None:
    path = cxi(tmp_path / "a.cxi", transmission(1.0, 0.0)[:48], 712.3, pixel_nm=6.5)
    read = read_tilt_series(ReadRequest(images=(path,), angles=(0.0, 1.0)))
    np.testing.assert_allclose(read.energy_ev, 712.3)
    np.testing.assert_allclose(read.pixel_nm, 6.5)  # not the 50 µm of the detector
    assert read.quantity == "complex"
    assert read.frames.shape == (1, 48, SIZE)


def test_diffraction_patterns_alone_are_no_images(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "d.cxi", "w") as file:
        file["entry_1/data_1/data"] = np.ones((3, 8, 8))
    with pytest.raises(InputError, match="a layout that is recognised"):
        peek(ReadRequest(images=(tmp_path / "d.cxi",)))
