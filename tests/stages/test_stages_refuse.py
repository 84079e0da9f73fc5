"""Stages refuse by themselves what `check` refuses: implausible values, half acquisition; negative amounts are counted."""

from pathlib import Path

import numpy as np
import pytest

from oxytomo.align.inputs import common_tilts
from oxytomo.arrays import TiltSeries
from oxytomo.composition.cross_sections import attenuation_per_um, table_energies_ev
from oxytomo.config import Source, StackSource
from oxytomo.config.stage_settings import (
    DecomposeStage,
    NormalizeStackStage,
    NormalizeStage,
    ReconstructStructureStage,
)
from oxytomo.errors import InputError
from oxytomo.io.aligned_store import normalized_series
from oxytomo.io.readers.data_exchange import write_data_exchange, write_energy_stack
from oxytomo.io.stores import NamedArray, Provenance, read_store, write_store
from oxytomo.results.results import Results
from oxytomo.stages.composition import decompose
from oxytomo.stages.context import StageContext
from oxytomo.stages.oxidation import normalize_stack
from oxytomo.stages.shared import normalize
from oxytomo.stages.structure import reconstruct_structure
from oxytomo.view.other_parts import areal_density_part

MADE = Provenance("before", 1, {}, {}, "0", "2026-01-01T00:00:00Z")
FORMULA = {"Mn": 1.0, "O": 2.0}


def context(stage: str) -> StageContext:
    return StageContext(stage, 1, 1, {})


def test_counts_named_transmission_are_refused_by_both_stages(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    frames = rng.poisson(19000, (6, 20, 24)).astype(np.uint16)
    known = {"tilt_deg": np.arange(6.0), "energy_ev": np.full(6, 850.0), "pixel_nm": np.full(6, 5.0)}
    write_data_exchange(tmp_path / "a.h5", TiltSeries(frames=frames, **known, quantity="counts"))
    source = Source(images=(str(tmp_path / "a.h5"),), quantity="transmission")
    settings = NormalizeStage(series="Ni_pre", source=source, default_quantity="counts")
    with pytest.raises(InputError, match=r"^Ni_pre: expected transmission, below 2"):
        normalize.run({}, {"store": tmp_path / "a.zarr"}, settings, context("normalize"))
    energy = np.linspace(840.0, 870.0, 6)
    write_energy_stack(tmp_path / "s.h5", frames, energy, pixel_nm=5, quantity="counts")
    stack = StackSource(images=(str(tmp_path / "s.h5"),), quantity="transmission")
    of_stack = NormalizeStackStage(element="Ni", source=stack)
    with pytest.raises(InputError, match=r"^Ni: expected transmission, below 2"):
        normalize_stack.run({}, {"store": tmp_path / "s.zarr"}, of_stack, context("normalize_stack"))


def half_acquisition(path: Path) -> Path:
    """Write the frames of a ball about an axis near the right side, over a turn."""
    tilt_deg = np.linspace(0, 360, 73)[:-1]
    y, x = np.mgrid[:32, :48].astype(float)
    ball = 0.04 * np.sqrt(np.maximum(36.0**2 - (x - 42) ** 2 - (y - 15.5) ** 2, 0))
    value = np.repeat(ball[None], tilt_deg.size, axis=0)
    value += np.random.default_rng(1).normal(0, 0.02, value.shape)
    n, axes = tilt_deg.size, ("tilt", "y", "x")
    write_store(
        path,
        {
            "value": NamedArray(value.astype(np.float32), axes, "1"),
            "variance": NamedArray(np.full(value.shape, 4e-4, np.float32), axes, "1^2"),
            "tilt_deg": NamedArray(tilt_deg, ("tilt",), "degree"),
            "pixel_nm": NamedArray(np.full(n, 10.0), ("tilt",), "nanometer"),
            "energy_ev": NamedArray(np.full(n, 17000.0), ("tilt",), "electronvolt"),
            "acquisition_index": NamedArray(np.arange(n), ("tilt",), "1"),
        },
        provenance=MADE,
        attributes={"quantity": "optical_density", "invalid": {}, "n_pixels": value.size, "warnings": []},
    )
    return path


def test_half_acquisition_is_refused_before_alignment_and_reconstruction(tmp_path: Path) -> None:
    path = half_acquisition(tmp_path / "signal.zarr")
    series = normalized_series({"signal": read_store(path)})
    with pytest.raises(InputError, match="always cut at the right side: half acquisition"):
        common_tilts(series, exclude_frames=(), exclude_tilts_deg=(), in_memory_bytes=0)
    with pytest.raises(InputError, match="always cut at the right side: half acquisition"):
        reconstruct_structure.run(
            {"retrieve_phase": path},
            {"store": tmp_path / "volume.zarr"},
            ReconstructStructureStage(),
            context("reconstruct_structure"),
        )


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_rays_with_less_than_nothing_are_counted_and_shown(tmp_path: Path, sign: float) -> None:
    """1 µm of Mn, or what swapped energies make of it: the jump has the other sign."""
    energies = np.array([632.0, 650.0])
    looked_up = np.array(table_energies_ev("Mn", *energies.tolist()))
    mu = attenuation_per_um(FORMULA, density_g_cm3=4.2, energies_ev=looked_up, elements=["Mn"])[:, 0]
    od = np.zeros((2, 1, 12, 12), np.float32)
    od[:, 0, 2:8, 2:8] = (0.5 * mu.mean() + sign * 0.5 * (mu - mu.mean()))[:, None, None]
    axes = ("series", "tilt", "y", "x")
    write_store(
        tmp_path / "align.zarr",
        {
            "value": NamedArray(od, axes, "1"),
            "variance": NamedArray(np.full(od.shape, 1e-6, np.float32), axes, "1^2"),
            "tilt_deg": NamedArray(np.zeros(1), ("tilt",), "degree"),
        },
        provenance=MADE,
        attributes={
            "series": ["Mn_pre", "Mn_post"],
            "energies_ev": energies.tolist(),
            "pixel_nm": 10.0,
            "invalid": {},
            "n_pixels": {},
            "stripe_change": {"Mn_pre": 0.0, "Mn_post": 0.0},
        },
    )
    settings = DecomposeStage(
        kind="edges",
        series=("Mn_pre", "Mn_post"),
        elements=("Mn",),
        formula=FORMULA,
        density_g_cm3=4.2,
        method="subtraction",
    )
    out = tmp_path / "decompose.zarr"
    decompose.run({"align": tmp_path / "align.zarr"}, {"store": out}, settings, context("decompose"))
    assert read_store(out).attributes["negative_rays"] == {"Mn": [36 if sign < 0 else 0, 36]}
    result = Results({"areal_density_decompose": out}, folder=None, name="p").areal_density
    assert result is not None
    warnings = areal_density_part(result).warnings
    said = [line for line in warnings if "negative amount" in line]
    assert len(said) == (1 if sign < 0 else 0)
    assert all("Mn has a negative amount in 100.0 %" in line for line in said)
    # The tables have no white line.
    assert any("Mn: the image on the edge lies" in line for line in warnings)
