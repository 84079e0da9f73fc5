"""The stage ``align`` on real stores: what it refuses, what it leaves out, and the table that can be given back."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from oxytomo.config.stage_settings import AlignStage
from oxytomo.errors import InputError
from oxytomo.io.stores import NamedArray, Provenance, Store, read_store, write_store
from oxytomo.io.tables import read_csv
from oxytomo.stages.composition import align
from oxytomo.stages.context import StageContext

N_Y, N_X, NOISE = 48, 64, 0.01
TILTS = np.arange(-60.0, 61.0, 5.0)
BLOBS = [
    (22.0, 3.0, -7.0, 5.0, 1.0),
    (27.0, -6.0, 6.0, 3.5, 0.8),
    (17.0, 1.0, 4.0, 4.0, 0.6),
]  # z, y, x, width, amount

Change = Callable[[dict[str, np.ndarray]], None]


def frames(dy: np.ndarray, dx: np.ndarray, tilts: np.ndarray) -> np.ndarray:
    """Exact projections of Gaussian blobs, content at (dy, dx)."""
    theta = np.deg2rad(tilts)[:, None, None]
    y = np.arange(N_Y)[None, :, None] - dy[:, None, None]
    x = np.arange(N_X)[None, None, :] - (N_X - 1) / 2 - dx[:, None, None]
    total = np.zeros((tilts.size, N_Y, N_X))
    for bz, by, bx, width, amount in BLOBS:
        s = bx * np.cos(theta) + by * np.sin(theta)
        total += amount * np.exp(-((y - bz) ** 2 + (x - s) ** 2) / (2 * width**2))
    return total


class Bench:
    """Two normalised series on disk, and the stage run on them."""

    def __init__(self, folder: Path, *, change: Change | None = None, tilts: np.ndarray = TILTS) -> None:
        self.folder = folder
        rng = np.random.default_rng(8)
        self.dy, self.dx = rng.uniform(-3, 3, (2, tilts.size))
        data = {
            name: gain * frames(self.dy, self.dx, tilts) + rng.normal(0, NOISE, (tilts.size, N_Y, N_X))
            for name, gain in (("O_pre", 0.7), ("O_post", 1.0))
        }
        if change is not None:
            change(data)
        self.inputs = {}
        # The outermost tilts were recorded last.
        order = np.argsort(np.argsort(np.abs(tilts), kind="stable"), kind="stable")
        for number, (name, value) in enumerate(data.items()):
            path = folder / f"{name}.zarr"
            n = len(value)
            axes = ("tilt", "y", "x")
            write_store(
                path,
                {
                    "value": NamedArray(value.astype(np.float32), axes, "1"),
                    "variance": NamedArray(np.full(value.shape, NOISE**2, np.float32), axes, "1^2"),
                    "tilt_deg": NamedArray(tilts, ("tilt",), "degree"),
                    "pixel_nm": NamedArray(np.full(n, 10.0), ("tilt",), "nanometer"),
                    "energy_ev": NamedArray(np.full(n, 525.0 + 15 * number), ("tilt",), "electronvolt"),
                    "acquisition_index": NamedArray(order.astype(np.int64), ("tilt",), "1"),
                    "air_level": NamedArray(np.ones(order.size), ("tilt",), "1"),
                },
                provenance=Provenance("normalize", 1, {}, {}, "0", "2026-01-01T00:00:00Z"),
                attributes={"quantity": "optical_density", "invalid": {}, "n_pixels": value.size},
            )
            self.inputs[name] = path

    def run(self, **settings: object) -> Store:
        """Run the stage; returns its store."""
        chosen = AlignStage.model_validate(
            {"branch": "composition", "series": ["O_pre", "O_post"], **settings}
        )
        outputs = {"store": self.folder / "align.zarr", "table": self.folder / "alignment.csv"}
        context = StageContext("align", 2, 1, {}, None, "particle align")
        inputs = dict(self.inputs)
        if chosen.shifts is not None:
            inputs["shifts"] = Path(chosen.shifts)
        align.run(inputs, outputs, chosen, context)
        return read_store(outputs["store"])


def frame_at(store: Store, tilt: float) -> int:
    """Number of the frame at a tilt."""
    return int(store["frame"][np.flatnonzero(store["tilt_deg"] == tilt)[0]])


def test_the_verdict_is_good_and_the_table_complete(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    store = bench.run()
    quality = store.attributes["quality"]
    assert "no frame looks bad" in quality["verdict"]
    assert quality["left_out"] == []
    table = read_csv(tmp_path / "alignment.csv")
    assert list(table)[:4] == ["energy_ev", "tilt_deg", "dy_px", "dx_px"]
    assert len(table["dy_px"]) == 2 * TILTS.size
    dy = np.array(table["dy_px"], float)[: TILTS.size]
    assert np.std(dy - bench.dy) < 0.05


def test_given_shifts_are_used_as_they_are(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    first = bench.run()["value"]
    edited = tmp_path / "edited.csv"
    lines = (tmp_path / "alignment.csv").read_text().splitlines()
    header = lines[0].split(",")
    at, used = lines[1].split(","), header.index("used")
    at[used] = "0"
    edited.write_text("\n".join([lines[0], ",".join(at), *lines[2:]]) + "\n")
    again = bench.run(shifts=str(edited))
    assert again["tilt_deg"].tolist() == TILTS[1:].tolist()
    # Four decimals in the table: the pixels differ by less than a ten-thousandth of the steepest gradient, and then
    # by a step of the rounding.
    step = 2.0 ** -again.attributes["rounding"]["value"]["mantissa_bits"]
    np.testing.assert_allclose(again["value"], first[:, 1:], rtol=step, atol=1e-4)
    assert again.attributes["quality"]["left_out"][0]["reason"] == "not used in the table given"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text.replace("dy_px", "wrong", 1), "no dy_px"),
        (lambda text: "\n".join(text.splitlines()[:-1]) + "\n", "expected one row for O_post"),
        (lambda text: text.replace("525,-60", "525,-61", 1), "expected one row for O_pre"),
        (lambda text: text.replace("525,-60,", "525,-60,x", 1), "numbers in dy_px"),
    ],
)
def test_a_damaged_table_is_one_clear_line(tmp_path: Path, edit: Callable[[str], str], message: str) -> None:
    bench = Bench(tmp_path)
    bench.run(iterations=0)
    table = tmp_path / "edited.csv"
    table.write_text(edit((tmp_path / "alignment.csv").read_text()))
    with pytest.raises(InputError, match=message):
        bench.run(shifts=str(table))


def test_frames_are_excluded_by_number_and_by_angle(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    number = frame_at(bench.run(iterations=0), 30.0)
    store = bench.run(exclude_frames=[number], exclude_tilts_deg=[-20.0], iterations=0)
    assert store["tilt_deg"].tolist() == [t for t in TILTS if t not in (30.0, -20.0)]
    assert {entry["tilt_deg"] for entry in store.attributes["quality"]["left_out"]} == {30.0, -20.0}
    with pytest.raises(InputError, match=r"exclude_tilts_deg.*33°"):
        bench.run(exclude_tilts_deg=[33.0])


def test_a_blank_and_a_copied_frame_are_named_and_left_out(tmp_path: Path) -> None:
    def spoil(data: dict[str, np.ndarray]) -> None:
        data["O_pre"][4] = np.random.default_rng(2).normal(0, NOISE, (N_Y, N_X))
        for value in data.values():
            value[15] = value[14]

    store = Bench(tmp_path, change=spoil).run()
    left_out = {entry["tilt_deg"]: entry["reason"] for entry in store.attributes["quality"]["left_out"]}
    assert left_out[TILTS[4]] == "blank"
    copied = {TILTS[14], TILTS[15]} & set(left_out)
    assert len(copied) == 1
    assert "a copy of frame" in left_out[copied.pop()]
    assert store["shown_frames"].shape[0] >= 1
    assert any("Left out, blank: frame" in line for line in store.attributes["quality"]["warnings"])
    rows = read_csv(tmp_path / "alignment.csv")
    assert rows["used"].count("0") == 4


def test_a_featureless_series_is_refused_with_its_frames(tmp_path: Path) -> None:
    def flatten(data: dict[str, np.ndarray]) -> None:
        for name in data:
            data[name] = np.random.default_rng(3).normal(0, NOISE, data[name].shape)

    with pytest.raises(InputError, match=r"frames .* structure at least"):
        Bench(tmp_path, change=flatten).run()
    assert (tmp_path / "alignment_problem.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "align.zarr").exists()


def test_a_particle_that_leaves_the_field_is_named(tmp_path: Path) -> None:
    def push(data: dict[str, np.ndarray]) -> None:
        for value in data.values():
            value[20:] = np.roll(value[20:], 26, axis=2)
            value[20:, :, :20] = 0

    store = Bench(tmp_path, change=push).run(max_shift_px=30)
    assert any("reaches the left or right margin" in line for line in store.attributes["quality"]["warnings"])


def test_lost_signs_of_the_angles_are_refused(tmp_path: Path) -> None:
    tilts = np.sort(np.abs(TILTS))

    def other_views(data: dict[str, np.ndarray]) -> None:
        for value in data.values():
            value[1::2] = np.roll(value[1::2][:, ::-1], 9, axis=2)

    bench = Bench(tmp_path, change=other_views, tilts=tilts)
    with pytest.raises(InputError, match="the sign of the angles may be lost"):
        bench.run()


def test_repeated_exposures_are_used_once_and_compared(tmp_path: Path) -> None:
    tilts = np.sort(np.append(TILTS, [0.0]))

    def fade(data: dict[str, np.ndarray]) -> None:
        at = np.flatnonzero(tilts == 0)
        for value in data.values():
            value[at[1]] = 0.9 * value[at[0]]

    bench = Bench(tmp_path, change=fade, tilts=tilts)
    store = bench.run()
    assert store["tilt_deg"].tolist() == TILTS.tolist()
    quality = store.attributes["quality"]
    assert quality["repeats"]["O_post"][0]["change"] == pytest.approx(-0.1, abs=0.01)
    assert any("radiation damage" in line for line in quality["warnings"])


def test_mirrored_angles_between_two_series_are_named(tmp_path: Path) -> None:
    def mirror(data: dict[str, np.ndarray]) -> None:
        data["O_pre"] = data["O_pre"][::-1].copy()

    with pytest.raises(InputError, match=r"same sign|same particle"):
        Bench(tmp_path, change=mirror).run()
