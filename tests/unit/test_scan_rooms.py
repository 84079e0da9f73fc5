"""What lies between the frames of a scan or a stack and their volume or maps, on a few pixels."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from oxytomo.align.distances import DistanceGrid, read_frames
from oxytomo.align.maps import MapPlace, place_on, placed
from oxytomo.align.rotation import RotationAxis, RotationOptions, on_rotation, rotation_axis
from oxytomo.align.stack_frames import (
    RecordedStack,
    StackOptions,
    common_field,
    dead_frames,
    move_frames,
    place_frames,
)
from oxytomo.arrays import AnyArray, FloatArray, Quantity
from oxytomo.config import StackSource
from oxytomo.config.stage_settings import (
    NormalizeStackStage,
    ReconstructStructureStage,
    RegisterStackStage,
    RetrievePhaseStage,
)
from oxytomo.errors import ConfigError, InputError, PipelineError
from oxytomo.export.valence_image import shown_maps
from oxytomo.export.void_meshes import row_numbers
from oxytomo.measure.void_tables import written_columns
from oxytomo.phase import retrieval
from oxytomo.phase.optics import wavelength_nm
from oxytomo.phase.retrieval import (
    Cut,
    RetrievalOptions,
    first_look,
    frame_blocks,
    leaves_frame,
    scan_warnings,
    some_frames,
)
from oxytomo.phase.scan import PhaseScan, ScanOptions, ScanSeries, phase_scan
from oxytomo.preprocess.stack_density import DensityOptions, mean_transmission, stack_air, stack_density
from oxytomo.reconstruct.phase_volume import back_projected, require_angles, voxel_unit
from oxytomo.segment.given_mask import given_particles


@pytest.fixture(scope="module")
def blobs() -> FloatArray:
    """A frame with structure of some pixels, 0 at its border."""
    noise = np.zeros((64, 64))
    noise[16:-16, 16:-16] = np.random.default_rng(5).random((32, 32))
    return gaussian_filter(noise, 2.0).astype(np.float32)


def quiet(_label: str) -> object:
    return lambda *_: None


# Settings reach numerical code by the names of their fields.


def test_settings_hold_every_option() -> None:
    """An option without a setting of its name would fail in the stage only."""
    phase = RetrievePhaseStage(distances=None, voxel_nm=50.0, formula=None, density_g_cm3=None)
    assert phase.options(ScanOptions).voxel_nm == 50.0
    assert phase.options(RetrievalOptions).iterations == phase.iterations
    assert ReconstructStructureStage(axis_column=3.5).options(RotationOptions).axis_column == 3.5
    assert RegisterStackStage(min_field=0.3).options(StackOptions).min_field == 0.3
    stack = NormalizeStackStage(element="Ni", source=StackSource(images="a.h5"))
    assert stack.options(DensityOptions).element == "Ni"


# A raw stack becomes optical density.


@dataclass(frozen=True)
class Frames:
    """A raw stack in memory."""

    frames: AnyArray
    energy_ev: np.ndarray
    quantity: Quantity = "counts"
    flats: FloatArray | None = None
    levels: Mapping[int, float] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int]:
        n, n_y, n_x = self.frames.shape
        return n, n_y, n_x

    @property
    def n_flat(self) -> int:
        return 0 if self.flats is None else len(self.flats)

    def frame(self, index: int) -> AnyArray:
        return self.frames[index]

    def flat(self, index: int) -> FloatArray | None:
        return self.flats

    def dark(self) -> FloatArray | None:
        return None


DENSITY = DensityOptions("Ni", (0, 9, 0, 3), True, None, 0.005, 8.0, None)


def counts(od: float, energies: list[float], light: list[float]) -> Frames:
    """Frames whose right half absorbs, with a light that changes from frame to frame."""
    absorbed = np.where(np.arange(20) < 10, 0.0, od) * np.ones((20, 1))
    frames = np.array(light)[:, None, None] * np.exp(-absorbed)
    return Frames(frames.astype(np.float32), np.array(energies))


def test_a_stack_is_sorted_and_its_light_taken_from_the_empty_region() -> None:
    stack = counts(0.7, [860.0, 850.0, 855.0], [4e4, 1e4, 2e4])
    value, variance = (np.empty(stack.shape, np.float32) for _ in range(2))
    found = stack_density(stack, DENSITY, value, variance, progress=lambda *_: None)
    np.testing.assert_array_equal(found.order, [1, 2, 0])
    np.testing.assert_allclose(found.light, [1e4, 2e4, 4e4])
    # −ln N of N counts is too high by 1/(2N), which is taken off: 1e-4 of 5,000 counts.
    np.testing.assert_allclose(value[:, :, 12:], 0.7, atol=2e-4)
    np.testing.assert_allclose(variance[:, 10, 17], np.exp(0.7) / found.light, rtol=0.01)
    assert found.air is not None
    assert found.air.sum() == 40
    assert found.described(stack.energy_ev).startswith("3 energies from 850 to 860 eV")


def test_a_stack_without_a_valid_pixel_is_refused() -> None:
    stack = counts(0.7, [850.0, 860.0], [1e4, 1e4])
    stack = replace(stack, frames=np.full_like(stack.frames, np.nan))
    out = [np.empty(stack.shape, np.float32) for _ in range(2)]
    with pytest.raises(InputError, match="none after normalisation"):
        stack_density(stack, DENSITY, *out, progress=lambda *_: None)


def test_frames_count_alike_whatever_their_light() -> None:
    stack = counts(0.7, [850.0, 860.0], [1e4, 9e4])
    stack.frames[1, 0, [0, 19]] = np.nan
    mean = mean_transmission(stack, None)
    # The median of each frame lies between its halves.
    middle = (1 + np.exp(-0.7)) / 2
    assert mean[0, 0] == pytest.approx(1 / middle, rel=1e-5)
    assert mean[5, 15] == pytest.approx(np.exp(-0.7) / middle, rel=1e-5)


def test_without_flats_and_empty_region_there_is_no_light() -> None:
    stack = counts(0.7, [850.0, 860.0], [1e4, 1e4])
    trusted = replace(DENSITY, air=None, air_rescale=False)
    with pytest.raises(ConfigError, match="air_rescale: true"):
        stack_air(stack, None, trusted)
    flats = np.full((1, 20, 20), 1e4, np.float32)
    assert stack_air(replace(stack, flats=flats), None, trusted) is None


# Frames of a stack on one grid.

OPTIONS = StackOptions(enabled=True, max_shift_px=5.0, min_field=0.5)


def recorded(frames: FloatArray) -> RecordedStack:
    n = len(frames)
    energy = np.linspace(850.0, 860.0, n)
    return RecordedStack("Ni", frames, np.ones_like(frames), energy, np.arange(n))


def test_the_field_that_shifted_frames_share() -> None:
    assert common_field(np.array([[2.0, 0.0], [-1.0, 0.0]]), (10, 10)) == pytest.approx(0.7)
    # The frame that is not moved counts too.
    assert common_field(np.array([[2.0, 5.0]]), (10, 10)) == pytest.approx(0.8 * 0.5)
    assert common_field(np.array([[20.0, 0.0]]), (10, 10)) == 0


def test_frames_are_moved_back_and_lost_ones_left_out(blobs: FloatArray) -> None:
    frames = np.stack([blobs, np.roll(blobs, (2, -1), axis=(0, 1)), blobs, np.full_like(blobs, np.nan)])
    stack = recorded(frames)
    np.testing.assert_array_equal(dead_frames(frames), [False, False, False, True])
    still = place_frames(stack, OPTIONS, edge_ev=None, progress=lambda *_: None)
    assert not still.moved
    place = replace(still, applied_px=np.array([[0, 0], [2, -1], [0, 0], [0, 0]], float))
    value, variance = (np.empty(stack.shape, np.float32) for _ in range(2))
    move_frames(stack, place, value, variance)
    np.testing.assert_array_equal(value[0], blobs)
    # Whole pixels need no interpolation; what lies beyond the frame is not known.
    np.testing.assert_allclose(value[1, 5:-5, 5:-5], blobs[5:-5, 5:-5], atol=1e-5)
    assert np.isnan(value[1, -1]).all()
    assert np.isnan(value[3]).all()
    assert np.isinf(variance[3]).all()
    assert place.remarks(stack.energy_ev) == [
        "the frames at 860 eV have no valid pixel and are left out",
    ]
    assert place.described().endswith("100 % of the field is common, 1 frames left out")


def test_a_drift_is_found(blobs: FloatArray, rng: np.random.Generator) -> None:
    true = np.array([[0.0, 0], [0.5, 0.25], [1, 0.5], [1.5, 0.75], [2, 1.0], [2.5, 1.25]])
    frames = np.stack([shift(blobs, one, order=3) for one in true])
    frames += 1e-3 * rng.standard_normal(frames.shape)
    stack = recorded(frames.astype(np.float32))
    place = place_frames(stack, OPTIONS, edge_ev=840.0, progress=lambda *_: None)
    found = place.applied_px - place.applied_px[0]
    np.testing.assert_allclose(found, true, atol=0.05)
    assert place.common_field == pytest.approx((64 - 2.5) * (64 - 1.25) / 64**2, abs=0.01)
    with pytest.raises(InputError, match="share at least 99 %"):
        place_frames(stack, replace(OPTIONS, min_field=0.99), edge_ev=840.0, progress=lambda *_: None)


def test_a_stack_of_dead_frames_is_refused(blobs: FloatArray) -> None:
    frames = np.stack([blobs] + [np.full_like(blobs, np.nan)] * 3)
    with pytest.raises(InputError, match=r"3 of 4 without any, the first at 853\.333 eV"):
        place_frames(recorded(frames), OPTIONS, edge_ev=None, progress=lambda *_: None)


# Maps of two elements on one grid.


def test_maps_that_lie_elsewhere_are_brought_to_the_grid(blobs: FloatArray) -> None:
    same = {"pixel_nm": 10.0, "fixed_pixel_nm": 10.0}
    assert place_on(blobs, blobs, **same) is None
    moved = np.roll(blobs, (3, -2), axis=(0, 1))
    place = place_on(moved, blobs, **same)
    assert place is not None
    assert place.shift_px == pytest.approx((3, -2), abs=0.05)
    back = placed({"a": moved}, place)["a"]
    np.testing.assert_allclose(back[8:-8, 8:-8], blobs[8:-8, 8:-8], atol=0.02 * blobs.max())
    assert placed({"a": moved}, None)["a"] is moved


def test_maps_of_larger_pixels_are_magnified(blobs: FloatArray) -> None:
    """Every pixel of the second map is two of the first, about the same middle."""
    coarse = blobs.reshape(32, 2, 32, 2).mean(axis=(1, 3))
    place = place_on(coarse, blobs, pixel_nm=20.0, fixed_pixel_nm=10.0)
    assert place is not None
    assert (place.shape, place.magnification) == ((64, 64), 0.5)
    assert place.shift_px == pytest.approx((0, 0), abs=0.05)
    fine = place.moved(coarse)
    # The average over two pixels blurs structure of two pixels a little.
    assert np.nanmax(np.abs(fine - blobs)) < 0.1 * blobs.max()
    assert isinstance(place, MapPlace)


# Distances of a phase-contrast scan on one grid.


def test_distances_are_registered_by_what_they_have_in_common(blobs: FloatArray) -> None:
    near = np.stack([blobs, blobs])
    far = np.stack([np.roll(blobs, (1, 2), axis=(0, 1)), np.roll(blobs, (-2, 0), axis=(0, 1))])
    grid = DistanceGrid([near, far], [1.0, 1.0], lambda frames, _index: frames, 6.0)
    frames, shift_px = grid.frames(slice(0, 2))
    np.testing.assert_allclose(shift_px, [np.zeros((2, 2)), [[1, 2], [-2, 0]]], atol=0.05)
    np.testing.assert_allclose(frames[1, :, 8:-8, 8:-8], near[:, 8:-8, 8:-8], atol=0.02 * blobs.max())
    left, nothing = replace(grid, max_shift_px=None).frames([1])
    np.testing.assert_array_equal(left[1, 0], far[1])
    assert not nothing.any()


def test_gaps_are_filled_as_frames_are_read() -> None:
    series = np.ones((3, 6, 6), np.float32)
    series[2, 2, 2] = np.nan
    read = read_frames(series, [0, 2])
    assert read.shape == (2, 6, 6)
    np.testing.assert_allclose(read, 1.0)


# The scan itself.


@dataclass(frozen=True)
class Place:
    sample_detector_mm: float | None
    source_sample_mm: float | None = None


SCAN = ScanOptions(method=None, voxel_nm=50.0, delta_beta=None, formula=None, density_g_cm3=None)


def series(name: str, digest: str = "", energy_ev: float = 17000.0, sign: int = 1) -> ScanSeries:
    frames = np.zeros((4, 16, 24), np.float32)
    frames[:, 5:-5, 8:-8] = sign
    one = np.ones(4)
    return ScanSeries(name, digest or name, frames, np.arange(4) * 45.0, energy_ev * one, np.nan * one)


def scan_of(*places: Place, **options: float | str) -> PhaseScan:
    names = [series(f"distance_{i}") for i in range(len(places))]
    return phase_scan(names, places, replace(SCAN, **options))


def test_the_method_follows_the_number_of_distances() -> None:
    assert scan_of(Place(None)).method == "none"
    assert scan_of(Place(10.0), delta_beta=100.0).method == "paganin"
    two = scan_of(Place(10.0), Place(20.0))
    assert (two.method, two.delta_beta, two.quantity) == ("ctf", None, "phase_lag")
    assert two.distances_nm == [1e7, 2e7]
    with pytest.raises(ConfigError, match="several distances need method: ctf"):
        scan_of(Place(10.0), Place(20.0), method="paganin")
    with pytest.raises(ConfigError, match="for a single distance"):
        scan_of(Place(10.0))


def test_finest_pixels_are_those_of_the_largest_magnification() -> None:
    """(z1 + z2) / z1 of a cone beam: 10 and 5."""
    scan = scan_of(Place(80.0, 20.0), Place(90.0, 10.0))
    assert scan.reference == 1
    assert scan.scales == pytest.approx((0.5, 1.0))
    assert scan.source_sample_mm == 10.0
    assert scan.margin_px > 0
    assert scan_of(Place(None)).margin_px == 0


def test_matter_is_positive_in_given_phase_maps() -> None:
    for sign in (1, -1):
        scan = phase_scan([series("phase_maps", sign=sign)], None, SCAN)
        assert (scan.method, scan.sign) == ("given", sign)
        frames = np.asarray(series("phase_maps", sign=sign).frames)
        assert first_look(scan, frames).max() == 1


@pytest.mark.parametrize(
    ("second", "got"),
    [
        (series("b", digest="a"), "the same frames as in a"),
        (replace(series("b"), tilt_deg=np.arange(4) * 44.0), "4 others"),
        (replace(series("b"), frames=np.zeros((4, 16, 20))), "(16, 20)"),
        (series("b", energy_ev=18000.0), "18000 eV"),
        (replace(series("b"), pixel_nm=np.full(4, 52.0)), "52 nm in the file"),
    ],
)
def test_series_that_do_not_belong_together(second: ScanSeries, got: str) -> None:
    with pytest.raises(PipelineError) as refused:
        phase_scan([series("a"), second], [Place(10.0), Place(20.0)], SCAN)
    assert got in refused.value.got


def test_blocks_cover_every_frame_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = scan_of(Place(10.0), Place(20.0))
    side = [n + 2 * scan.margin_px for n in scan.shape]
    monkeypatch.setattr(retrieval, "BLOCK_BYTES", 3 * 4 * retrieval.COPIES * 2 * side[0] * side[1])
    assert list(frame_blocks(scan)) == [slice(0, 3), slice(3, 4)]
    monkeypatch.setattr(retrieval, "BLOCK_BYTES", 1.0)
    assert len(list(frame_blocks(scan))) == 4
    assert some_frames(1) == [0]
    assert some_frames(10) == [0, 9]


def test_a_particle_that_leaves_the_frame() -> None:
    frames = np.zeros((2, 20, 30), np.float32)
    frames[:, :, 10:20] = 1
    assert leaves_frame(frames) == Cut(rows=True, columns=False)
    assert leaves_frame(frames.transpose(0, 2, 1)) == Cut(rows=False, columns=True)
    options = RetrievalOptions(None, 0, 1e-4, 0.1)
    scan = scan_of(Place(10.0), Place(20.0))
    said = scan_warnings(scan, Cut(rows=True, columns=False), options)
    assert "top or bottom" in said[0]
    assert any("the lowest frequencies of the phase are not known" in line for line in said)
    assert not scan_warnings(scan_of(Place(None)), Cut(rows=False, columns=False), options)


# From phase maps to a volume.


def sinogram(axis: float, tilt_deg: np.ndarray) -> FloatArray:
    """Frames of a ball of radius 6 px beside the axis of rotation, 2 voxels of each row alike."""
    x = np.arange(48)[None, :] - (axis + 9 * np.cos(np.deg2rad(tilt_deg)))[:, None]
    chord = 2 * np.sqrt(np.maximum(36 - x**2, 0))
    return np.repeat(gaussian_filter(chord, (0, 1))[:, None], 12, axis=1).astype(np.float32)


ROTATION = RotationOptions(max_shift_px=8.0, axis_column=None, iterations=4)


def test_the_axis_is_where_opposite_frames_mirror() -> None:
    tilt_deg = np.arange(0, 360, 1.8)
    found = rotation_axis(sinogram(22.3, tilt_deg), tilt_deg, ROTATION, quiet)
    assert found.column == pytest.approx(22.3, abs=0.1)
    assert found.remarks == ()
    assert "pairs of opposite frames" in found.how
    given = rotation_axis(sinogram(22.3, tilt_deg), tilt_deg, replace(ROTATION, axis_column=20.0), quiet)
    assert given == RotationAxis(20.0, "given")


def test_pairs_that_disagree_are_reported() -> None:
    tilt_deg = np.arange(0, 360, 1.8)
    frames = sinogram(22.3, tilt_deg)
    moved = np.stack([np.roll(one, 3 * (i % 3), axis=1) for i, one in enumerate(frames)])
    moved[100:] = frames[100:]
    found = rotation_axis(moved, tilt_deg, ROTATION, quiet)
    assert "the frames move" in found.remarks[0]


def test_the_axis_is_found_without_opposite_frames() -> None:
    tilt_deg = np.arange(0, 150, 5.0)
    found = rotation_axis(sinogram(22.3, tilt_deg), tilt_deg, ROTATION, quiet)
    # Thirty angles of a blurred ball of 12 pixels.
    assert found.column == pytest.approx(22.3, abs=0.5)
    assert found.how.startswith("no pair of opposite frames")


def test_frames_come_to_a_rotation_about_the_middle() -> None:
    tilt_deg = np.arange(0, 180, 6.0)
    moved, text = on_rotation(sinogram(25.0, tilt_deg), tilt_deg, ROTATION, progress=quiet)
    # Where the particle is in the volume is free: its middle moves on c + a cos θ + b sin θ.
    seen = np.asarray(moved[:]).sum(axis=1)
    middle = (seen * np.arange(48)).sum(axis=1) / seen.sum(axis=1)
    angle = np.deg2rad(tilt_deg)
    columns = np.stack([np.ones_like(angle), np.cos(angle), np.sin(angle)], axis=1)
    found, *_ = np.linalg.lstsq(columns, middle, rcond=None)
    assert found[0] == pytest.approx(23.5, abs=0.1)
    assert np.abs(middle - columns @ found).max() < 0.1
    assert text.startswith("frames moved by")
    assert RotationAxis.in_the_middle(48, "projection matching").column == 23.5


def test_units_of_a_volume() -> None:
    """A ray through n voxels of δ lags by 2π/λ · δ · n · p."""
    wavelength, pixel_nm, delta, n = wavelength_nm(17000.0), 50.0, 3e-6, 20
    lag = 2 * np.pi / wavelength * delta * n * pixel_nm
    unit = voxel_unit("phase_lag", pixel_nm=pixel_nm, wavelength_nm=wavelength)
    assert (unit.factor * lag / n, unit.unit) == (pytest.approx(delta), "1")
    unknown = voxel_unit("phase_lag", pixel_nm=pixel_nm, wavelength_nm=float("nan"))
    assert (unknown.factor, unknown.unit) == (pytest.approx(20.0), "radian/micrometer")
    density = voxel_unit("optical_density", pixel_nm=pixel_nm, wavelength_nm=wavelength)
    assert (density.factor, density.unit) == (pytest.approx(20.0), "1/micrometer")


def test_a_ball_comes_back_where_it_is() -> None:
    tilt_deg = np.arange(0, 180, 3.0)
    frames = sinogram(22.3, tilt_deg)
    frames[5, 0, 0] = np.nan
    volume = back_projected(
        frames, tilt_deg, axis_column=22.3, factor=np.float32(0.5), threads=1, on_iteration=lambda *_: None
    )
    slice_ = np.asarray(volume[4:5])[0]
    y, x = np.indices(slice_.shape) - 23.5
    core = np.hypot(y, x - 9) < 4
    # Each voxel adds 1 to a ray, and the factor is one half; sixty angles and a blur of a pixel.
    assert slice_[core].mean() == pytest.approx(0.5, rel=0.03)
    assert abs(slice_[np.hypot(y, x - 9) > 9].mean()) < 0.01
    with pytest.raises(InputError, match="at least 3 angles for a volume, got 2"):
        require_angles("scan", tilt_deg[:2])


# Particles, tables, pictures.


def test_a_drawn_mask_is_rounded() -> None:
    values = np.array([[[-1.0, 0.4, 0.6, 1.2, 300.0]]], np.float32)
    mask = given_particles(values)
    np.testing.assert_array_equal(mask[:], [[[0, 0, 1, 1, 255]]])
    assert mask.dtype == np.uint8


def test_what_a_table_says_of_open_voids() -> None:
    table = {
        "pore": np.array([1, 2, 3]),
        "volume_nm3": np.array([1.0, np.inf, 3.0]),
        "open": np.array([True, False, False]),
        "open_unknown": np.array([False, False, True]),
    }
    written = written_columns(table)
    assert list(written) == ["pore", "volume_nm3", "open"]
    assert written["open"] == [True, False, "unknown"]
    assert np.isnan(written["volume_nm3"][1])


def test_numbers_of_a_row_of_text() -> None:
    table = {"pore": ["7"], "open": ["unknown"], "cut": ["True"], "volume_nm3": ["1.5e3"], "low": ["nan"]}
    found = row_numbers(table, ("pore", "open", "cut", "volume_nm3"), 0)
    assert found == {"pore": 7, "open": -1, "cut": 1, "volume_nm3": 1500.0}
    assert isinstance(found["pore"], int)
    assert np.isnan(row_numbers(table, ("low",), 0)["low"])


def test_maps_are_shown_where_there_is_a_valence() -> None:
    plane = np.array([[3.0, np.nan]], np.float32)
    fit = {
        "valence": plane,
        "valence_error": np.full((1, 2), 0.1, np.float32),
        "amount": np.array([[0.5, np.nan]], np.float32),
        "r_factor": np.full((1, 2), 0.04, np.float32),
        "fractions": np.array([[[0.25, 0.1]], [[0.75, 0.9]]], np.float32),
    }
    shown = shown_maps(fit, ["low", "high"])
    assert list(shown) == [
        "valence",
        "residual",
        "standard_error",
        "edge_jump",
        "fraction_low",
        "fraction_high",
    ]
    assert shown["residual"][0, 0] == pytest.approx(0.2)
    assert shown["fraction_high"][0, 0] == pytest.approx(0.75)
    np.testing.assert_array_equal(shown["edge_jump"], [[0.5, 0.0]])
    assert all(np.isnan(shown[name][0, 1]) for name in shown if name != "edge_jump")
