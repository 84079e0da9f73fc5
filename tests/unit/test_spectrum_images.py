"""Electron microscopy: windows of spectrum images with exact answers, files of RosettaSciIO, and what is refused."""

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oxytomo.config import Source
from oxytomo.config.stage_settings import NormalizeStage
from oxytomo.errors import InputError, MissingPackageError
from oxytomo.io import optional
from oxytomo.io.readers import ReadRequest, peek, read_tilt_series
from oxytomo.io.readers.base import SpectrumRequest
from oxytomo.io.readers.spectral import read_spectral_stack
from oxytomo.io.spectra import read_spectrum
from oxytomo.io.stores import read_store
from oxytomo.preprocess.spectrum_image import window_map
from oxytomo.stages.context import StageContext
from oxytomo.stages.shared import normalize
from oxytomo.stages.sources import read_request
from tests.fuzz.dm3 import write_dm3
from tests.fuzz.em import ENERGY, written

rsciio = pytest.importorskip("rsciio")

N_Y, N_X, N_E = 5, 6, ENERGY.size
AMOUNT = np.arange(N_Y * N_X, dtype=np.float64).reshape(N_Y, N_X)
LINE = (ENERGY >= 640) & (ENERGY < 700)


def eds() -> np.ndarray:
    """Return a line of 12 channels on a background that rises as a straight line."""
    background = 20 + 0.04 * (ENERGY - 300)
    return np.rint(100 * background) + AMOUNT[..., None] * np.where(LINE, 50.0, 0.0)


def eels(r: float = 3.2) -> np.ndarray:
    """Return an edge at 640 eV on ``A E^−r``; A differs from pixel to pixel."""
    background = (1 + 0.1 * AMOUNT[..., None]) * 1e12 * ENERGY**-r
    return background + AMOUNT[..., None] * np.where(ENERGY >= 640, 30.0, 0.0)


def mapped(spectra: np.ndarray, *, law: str, background: Any = (), counts: bool = True) -> Any:
    return window_map(
        spectra,
        ENERGY,
        window_ev=(640.0, 700.0),
        background_ev=background,
        law=law,  # type: ignore[arg-type]
        counts=counts,
    )


def test_without_background_the_map_is_the_sum_of_the_window() -> None:
    value, variance = mapped(eds(), law="none")
    np.testing.assert_allclose(value, eds()[..., LINE].sum(-1), rtol=1e-6)
    np.testing.assert_allclose(variance, value)


@pytest.mark.parametrize("sides", [((600.0, 640.0), (700.0, 740.0)), ((400.0, 600.0), (710.0, 740.0))])
def test_a_straight_background_is_taken_off_exactly(sides: Any) -> None:
    value, _ = mapped(eds(), law="linear", background=sides)
    # Rounded to counts, each channel is wrong by at most half a count.
    np.testing.assert_allclose(value, 12 * 50 * AMOUNT, atol=12)


@pytest.mark.parametrize("r", [1.5, 3.2, 5.0])
def test_a_power_law_is_taken_off_exactly(r: float) -> None:
    value, _ = mapped(eels(r), law="power_law", background=((520.0, 635.0),))
    np.testing.assert_allclose(value, 12 * 30 * AMOUNT, rtol=1e-4, atol=0.5)


def test_the_variance_is_that_of_counting_in_line_and_background() -> None:
    rng = np.random.default_rng(0)
    spectra = rng.poisson(np.broadcast_to(40 + 10.0 * LINE, (60, 60, N_E)))
    value, variance = mapped(spectra, law="linear", background=((560.0, 640.0), (700.0, 780.0)))
    # 12 channels of 50 counts, less a background from 32 channels of 40 times 12/32: 600 + (12/32)² · 1280 = 780.
    assert variance.mean() == pytest.approx(780, rel=0.02)
    assert value.var() == pytest.approx(780, rel=0.1)  # 3600 pixels: 2.4 %
    assert value.mean() == pytest.approx(120, abs=4 * np.sqrt(780 / 3600))


@pytest.mark.parametrize(
    ("window", "background", "law", "said"),
    [
        ((100.0, 200.0), (), "none", "a window within 300 to 1295 eV"),
        ((640.0, 1400.0), (), "none", "a window within"),
        ((640.0, 700.0), ((520.0, 530.0),), "power_law", "four channels or more"),
        ((640.0, 700.0), ((560.0, 600.0), (560.0, 600.0)), "linear", "two different windows"),
    ],
)
def test_windows_that_do_not_work_are_refused(window: Any, background: Any, law: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        window_map(eels(), ENERGY, window_ev=window, background_ev=background, law=law, counts=True)


def test_a_spectrum_that_begins_below_zero_has_no_power_law_there() -> None:
    """EDS spectra begin at −470 eV or so; a line above is fine."""
    energy = ENERGY - 600.0
    line = window_map(
        eds(),
        energy,
        window_ev=(40.0, 100.0),
        background_ev=((0.0, 40.0), (100.0, 140.0)),
        law="linear",
        counts=True,
    )
    np.testing.assert_allclose(line[0], 12 * 50 * AMOUNT, atol=12)
    with pytest.raises(InputError, match="positive energies for a power law"):
        window_map(
            eds(),
            energy,
            window_ev=(40.0, 100.0),
            background_ev=((-200.0, 0.0),),
            law="power_law",
            counts=True,
        )


def test_a_background_that_rises_is_no_power_law() -> None:
    with pytest.raises(InputError, match="fall with energy as a power law"):
        mapped(eels(-1.0), law="power_law", background=((520.0, 635.0),))


LINE_WINDOW = SpectrumRequest(
    window_ev=(640.0, 700.0), background_ev=((600.0, 640.0), (700.0, 740.0)), background="linear"
)


@pytest.mark.parametrize(("suffix", "unit"), [(".hspy", "eV"), (".hspy", "keV"), (".emd", "eV")])
def test_a_spectrum_image_is_the_map_of_an_element(suffix: str, unit: str, tmp_path: Path) -> None:
    path = written(tmp_path / f"si{suffix}", eds().astype(np.int32), energy_unit=unit)
    read = read_tilt_series(ReadRequest(images=(path,), angles=(0.0, 1.0), spectrum=LINE_WINDOW))
    wanted, variance = mapped(eds(), law="linear", background=LINE_WINDOW.background_ev)
    np.testing.assert_allclose(read.frames[0], wanted, atol=0.1)
    np.testing.assert_allclose(read.variance[0], variance, rtol=1e-5)
    np.testing.assert_allclose(read.pixel_nm, [2.0])
    assert read.quantity == "signal"
    assert read.metadata["format"] == "electron microscopy"


def test_a_spectrum_image_of_digital_micrograph_is_read(tmp_path: Path) -> None:
    spectra = np.moveaxis(eds(), -1, 0).astype(np.int32)  # Gatan stores the energies as the slowest axis
    path = tmp_path / "si.dm3"
    write_dm3(path, spectra, [(300.0, 5.0, "eV"), (0.0, 2.0, "nm"), (0.0, 2.0, "nm")])
    read = read_tilt_series(ReadRequest(images=(path,), angles=(0.0, 1.0), spectrum=LINE_WINDOW))
    wanted, _ = mapped(eds(), law="linear", background=LINE_WINDOW.background_ev)
    np.testing.assert_allclose(read.frames[0], wanted, atol=0.1)
    np.testing.assert_allclose(read.pixel_nm, [2.0])


def test_a_series_of_spectrum_images_has_one_map_per_tilt(tmp_path: Path) -> None:
    series = np.stack([eds(), eds()[::-1], eds() * 2]).astype(np.int32)
    path = written(tmp_path / "series.hspy", series)
    read = read_tilt_series(ReadRequest(images=(path,), spectrum=LINE_WINDOW))
    np.testing.assert_allclose(read.tilt_deg, [-10.0, 0.0, 10.0])
    wanted = np.stack([mapped(one, law="linear", background=LINE_WINDOW.background_ev)[0] for one in series])
    np.testing.assert_allclose(read.frames, wanted, atol=0.2)


def test_spectrum_images_of_a_folder_are_a_tilt_series_whose_variance_reaches_the_store(
    tmp_path: Path,
) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for i in range(3):
        written(raw / f"tilt_{i}.hspy", (eds() * (i + 1)).astype(np.int32))
    source = Source(
        images=(str(raw),),
        angles={"start": -10.0, "step": 10.0},
        spectrum={"window_ev": [640.0, 700.0], "background_ev": [[600.0, 640.0], [700.0, 740.0]]},
    )
    stage = NormalizeStage(series="Mn", source=source, default_quantity="signal")
    context = StageContext("normalize", 1, 1, stage.model_dump(mode="json"))
    normalize.run({}, {"store": tmp_path / "o.zarr"}, stage, context)
    store = read_store(tmp_path / "o.zarr")
    np.testing.assert_allclose(np.asarray(store["value"])[2], 3 * 600 * AMOUNT, atol=36)
    # Over a few pixels the variance hardly changes: the middle one is that of counting.
    _, variance = mapped(3 * eds(), law="linear", background=LINE_WINDOW.background_ev)
    np.testing.assert_allclose(np.asarray(store["variance"])[2, 2, 3], variance[:, 1:].mean(), rtol=0.1)
    assert store.attributes["quantity"] == "signal"


def test_a_spectrum_image_is_a_stack_over_its_energies(tmp_path: Path) -> None:
    path = written(tmp_path / "eels.hspy", eels().astype(np.float32), energy_unit="keV")
    stack = read_spectral_stack(
        ReadRequest(images=(path,), quantity="optical_density"), energies=None, energy_unit=None
    )
    assert stack.shape == (N_E, N_Y, N_X)
    np.testing.assert_allclose(stack.energy_ev, ENERGY)
    np.testing.assert_allclose(stack.frame(17), eels()[..., 17], rtol=1e-6)


def test_images_of_a_tilt_axis_are_a_tilt_series(tmp_path: Path) -> None:
    frames = np.arange(3 * 8 * 9, dtype=np.float32).reshape(3, 8, 9)
    read = read_tilt_series(ReadRequest(images=(written(tmp_path / "haadf.hspy", frames),)))
    np.testing.assert_array_equal(read.frames, frames)
    np.testing.assert_allclose(read.tilt_deg, [-10.0, 0.0, 10.0])
    np.testing.assert_allclose(read.pixel_nm, 2.0)


def test_a_spectrum_in_msa_is_a_reference(tmp_path: Path) -> None:
    path = tmp_path / "ref.msa"
    spectrum = eels()[2, 3]
    points = "\n".join(f"{value:.6g}," for value in spectrum)
    path.write_text(
        "#FORMAT      : EMSA/MAS Spectral Data File\n#VERSION     : 1.0\n#TITLE       : MnO\n"
        f"#NPOINTS     : {N_E}\n#NCOLUMNS    : 1\n#XUNITS      : eV\n#YUNITS      : Intensity\n"
        "#DATATYPE    : Y\n#XPERCHAN    : 5.0\n#OFFSET      : 300.0\n#SIGNALTYPE  : ELS\n"
        "#SPECTRUM    : Spectral Data Starts Here\n"
        f"{points}\n#ENDOFDATA   : \n"
    )
    read = read_spectrum(path, group=None, energy_unit=None)
    np.testing.assert_allclose(read.energy_ev, ENERGY)
    np.testing.assert_allclose(read.absorption, spectrum, rtol=1e-5)


@pytest.mark.parametrize("suffix", [".hspy", ".msa"])
def test_without_the_package_it_is_one_line(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".hspy":
        written(path, eds().astype(np.int32))
    else:
        path.write_text("#FORMAT      : EMSA/MAS Spectral Data File\n1,\n")
    plain = optional.importlib.import_module

    def missing(name: str, *rest: Any) -> Any:
        if name == "rsciio":
            raise ImportError(name)
        return plain(name, *rest)

    monkeypatch.setattr(optional.importlib, "import_module", missing)
    read: Any = {
        ".hspy": lambda: peek(ReadRequest(images=(path,), spectrum=LINE_WINDOW)),
        ".msa": lambda: read_spectrum(path, group=None, energy_unit=None),
    }[suffix]
    said = r"the package rsciio.*pip install 'oxytomo\[em\]'"
    with pytest.raises(MissingPackageError, match=said) as caught:
        read()
    assert "\n" not in str(caught.value)


def test_windows_for_other_formats_and_for_images_are_refused(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", np.ones((7, 8, 9), np.uint8), photometric="minisblack")
    with pytest.raises(InputError, match="a spectrum image of an electron microscope"):
        peek(ReadRequest(images=(tmp_path / "a.tif",), spectrum=LINE_WINDOW))
    image = written(tmp_path / "haadf.hspy", np.ones((3, 8, 9), np.float32))
    with pytest.raises(InputError, match=r"a spectrum image, got 'SI' \(3, 8, 9\)"):
        peek(ReadRequest(images=(image,), spectrum=LINE_WINDOW))


def test_a_wrong_window_is_refused_before_the_spectra_are_read(tmp_path: Path) -> None:
    path = written(tmp_path / "si.hspy", eds().astype(np.int32))
    wrong = SpectrumRequest(window_ev=(6400.0, 7000.0))
    with pytest.raises(InputError, match="a window within 300 to 1295 eV"):
        peek(ReadRequest(images=(path,), angles=(0.0, 1.0), spectrum=wrong))


def test_nothing_in_these_files_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle in the metadata of a HyperSpy file stays the bytes that it is."""
    import pickle

    import h5py

    path = written(tmp_path / "si.hspy", eds().astype(np.int32))
    ran: list[str] = []
    monkeypatch.setattr(builtins, "exec", lambda *_: ran.append("exec"))
    bomb = b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR."
    with h5py.File(path, "a") as file:
        (experiment,) = file["Experiments"].values()
        experiment["metadata"].attrs["_bs_model"] = np.void(bomb)
        experiment["metadata"].create_dataset("_dill", data=np.void(bomb))
    monkeypatch.setattr(pickle, "loads", lambda *_a, **_k: ran.append("loads"))
    monkeypatch.setattr(pickle, "load", lambda *_a, **_k: ran.append("load"))
    peek(ReadRequest(images=(path,), angles=(0.0, 1.0), spectrum=LINE_WINDOW))
    assert not ran
    assert not (tmp_path / "ran").exists()


def test_the_law_of_the_background_follows_from_its_windows() -> None:
    def law(**given: Any) -> str:
        source = Source(images=("a.hspy",), spectrum={"window_ev": [1.0, 2.0], **given})
        request = read_request(source).spectrum
        assert request is not None
        return request.background

    assert law() == "none"
    assert law(background_ev=[[0.5, 0.9]]) == "power_law"
    assert law(background_ev=[[0.5, 0.9], [2.0, 3.0]]) == "linear"
    with pytest.raises(ValueError, match="2 background windows for linear"):
        law(background="linear", background_ev=[[0.5, 0.9]])
