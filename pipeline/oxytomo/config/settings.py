"""The settings a user can choose, one frozen model per stage."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from oxytomo.config.base import FilePath, Settings, rejected, setting
from oxytomo.config.near_edge import NearEdge
from oxytomo.config.ranges import EDGE_PX, ENERGY_EV, WEIGHT
from oxytomo.config.shared import (
    COMPLEX_SIGMA_OD,
    HOT_PIXEL_SIGMA,
    MAX_SHIFT_PX,
    OPAQUE_TRANSMISSION,
    SATURATION_COUNTS,
    TV,
    ConfidenceSettings,
    ShellSettings,
    SolverSettings,
)

Backend = Literal["oxytomo", "astra", "tomopy"]
Algorithm = Literal["fbp", "sirt", "tv"]
Reference = Literal["nominal", "mode", "pristine"]
FrameNumber = Annotated[int, Field(ge=0, le=10**7)]
Degrees = Annotated[float, Field(ge=-360.0, le=360.0)]
Pixels = Annotated[int, Field(ge=-1, le=int(EDGE_PX))]
Energy = Annotated[float, Field(ge=0.0, le=ENERGY_EV[1])]


class PristineReference(Settings):
    """Reference sample of known composition, measured in the same way."""

    pristine: str = setting(
        ...,
        "name of the sample; its most frequent TM/O is the reference, so errors common to both "
        "samples cancel",
    )


_BACKEND = "which package reconstructs; astra and tomopy are optional packages"


class NormalizeSettings(Settings):
    """Conversion of raw frames to optical density or signal, with variance."""

    flat_field: Literal["mean", "nearest", "interpolate"] = setting(
        "mean",
        "flat field of each frame: mean of all flats, flat nearest in time, or interpolation in time",
    )
    air_rescale: bool = setting(
        True, "rescale each frame so that the transmission of the region without sample is 1"
    )
    illumination: Literal["auto", "none"] = setting(
        "auto",
        "correct a shift of the illumination between flats and frames if the air around the sample shows one",
    )
    opaque_transmission: float = OPAQUE_TRANSMISSION
    hot_pixel_sigma: float = HOT_PIXEL_SIGMA
    stripe_removal: Literal["none", "sorting", "filtering", "fitting"] = setting(
        "none",
        "remove stripes from the sinograms (needs the package algotom); this changes ratios, and "
        "the change is measured",
    )
    saturation_counts: float | None = SATURATION_COUNTS
    air: tuple[Pixels, Pixels, Pixels, Pixels] | None = setting(
        None,
        "region without sample as first row, last row, first column, last column; empty: found in each frame",
        unit="px",
    )
    complex_sigma_od: float | None = COMPLEX_SIGMA_OD


class AlignSettings(Settings):
    """Alignment: shifts between energies and tilts, tilt axis, common pixel size."""

    tilts: bool = setting(True, "align the frames of different tilts with each other")
    energies: bool | None = setting(
        None,
        "register the energies to each other; empty: yes for edges, no for element maps, which "
        "are recorded simultaneously",
    )
    shifts: FilePath | None = setting(
        None,
        "alignment.csv with the shifts to use, for example from an earlier run, edited by hand, or "
        "from another sample",
    )
    exclude_frames: tuple[FrameNumber, ...] = setting(
        (),
        "frames to leave out at all energies; numbers count from 0 in the order of acquisition of "
        "the first series",
    )
    exclude_tilts_deg: tuple[Degrees, ...] = setting((), "tilts to leave out at all energies", unit="deg")
    bad_frames: Literal["exclude", "keep"] = setting(
        "exclude",
        "what to do with frames whose misfit is more than four times that of their neighbours; they "
        "are always listed",
    )
    max_shift_px: float = MAX_SHIFT_PX
    iterations: int = setting(
        8, "largest number of rounds of projection matching", unit="rounds", ge=0, le=200, expert=True
    )
    axis_column: float | None = setting(
        None, "detector column of the tilt axis; empty: found from the data", unit="px", ge=0.0, le=EDGE_PX
    )
    axis_tilt_deg: float | None = setting(
        None,
        "angle between the tilt axis and the detector columns, positive if the axis moves to +x "
        "with increasing row; empty: found from the data",
        unit="deg",
        ge=-10.0,
        le=10.0,
    )
    magnification: Literal["recorded", "estimated", "none"] = setting(
        "recorded",
        "scaling of the energies to one pixel size: by the recorded pixel sizes, by these and an "
        "estimated correction, or none",
    )


class ComponentSettings(Settings):
    """Another substance in the beam."""

    name: str = setting(..., "name of the substance in the results", min_length=1, max_length=40)
    formula: dict[str, float] | None = setting(
        None, "atoms per formula unit; empty for a known substance", unit="atoms"
    )
    density_g_cm3: float | None = setting(
        None, "mass density; empty for a known substance", unit="g/cm³", ge=0.01, le=25.0
    )
    spectrum: FilePath | None = setting(
        None,
        "file with a measured absorption spectrum of the substance (energy, absorption) instead of a "
        "formula; relative to this file",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        """Refuse a formula beside a measured spectrum."""
        if self.spectrum is not None and (self.formula or self.density_g_cm3):
            raise rejected(
                "a formula with a density, or a spectrum",
                f"both for {self.name}",
                "remove one of them",
                key="spectrum",
            )
        return self


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


ComponentName = Annotated[
    ComponentSettings, BeforeValidator(_named, json_schema_input_type=str | ComponentSettings)
]
"""A known substance by its name (carbon, carbon_film, li2co3, pvdf), or a formula with a
density."""


class ModelTermSettings(Settings):
    """Terms for instrument and chemistry in the decomposition: fitted, left out, or given."""

    stray: Literal["auto", "none"] | Annotated[float, Field(ge=0.0, le=0.2)] = setting(
        "auto",
        "fraction of the incident intensity that reaches the detector without passing through the "
        "sample (stray light)",
    )
    near_edge: Literal["auto", "none", "oxidation"] | dict[str, NearEdge] = setting(
        "auto",
        "factor on the tabulated absorption step of each element at its own post-edge energy; "
        "1: as tabulated. By element: a number (kept), a measured {factor, error} or {spectrum}, or "
        "oxidation: from the stack of the oxidation branch (also for all elements that have one)",
    )
    near_edge_spread: Literal["auto", "none"] = setting(
        "auto", "allow this factor to vary within the sample, as it does if the valence varies"
    )


class DecomposeSettings(Settings):
    """Decomposition of optical densities at several energies into areal densities of elements."""

    method: Literal["weighted", "subtraction"] = setting(
        "weighted",
        "weighted least squares over all energies, or the difference of the two images of each edge",
    )
    instrument: Literal["auto", "none"] | ModelTermSettings = setting(
        "auto",
        "extra terms for the instrument and the chemistry, fitted with more energies than elements: "
        "chosen from the data (auto), none, or as given",
    )
    components: Literal["auto"] | tuple[ComponentName, ...] = setting(
        "auto",
        "other substances in the beam: auto looks for carbon and PVDF; or give a list of names and "
        "formulas; [] for none",
    )


class _DeviationMethod(Settings):
    """The key that selects the method comes first."""

    method: Literal["deviation"] = setting("deviation", "reconstruct the TM/O deviation directly")


class DeviationSettings(SolverSettings, _DeviationMethod):
    """Reconstruct the TM/O deviation itself, with total variation and sparsity."""

    l1_weight: float | None = setting(
        None,
        "weight of the sparsity term of the deviation; empty: chosen from the noise",
        ge=0.0,
        le=WEIGHT,
        expert=True,
    )
    parts: int = setting(
        1,
        "number of jobs for one particle, each with a part of its slices; above 1, each noise "
        "replicate is a separate job, too",
        ge=1,
        le=1000,
    )


class RatioSettings(Settings):
    """Reconstruct each element with the same projector, then compute the ratio."""

    method: Literal["ratio"] = setting("ratio", "reconstruct each element, then compute the ratio")
    algorithm: Algorithm = setting("fbp", "filtered back-projection, SIRT, or total variation")
    iterations: int = setting(100, "iterations of sirt and tv", unit="iterations", ge=1, le=5000)
    smoothing_px: float = setting(
        0.0,
        "standard deviation of the Gaussian that smooths each element before the division",
        unit="px",
        ge=0.0,
        le=50.0,
    )
    backend: Backend = setting("oxytomo", _BACKEND)


def _default_method(data: Any) -> Any:
    return {"method": "deviation", **data} if isinstance(data, dict) else data


ReconstructSettings = Annotated[
    Annotated[DeviationSettings | RatioSettings, Field(discriminator="method")],
    BeforeValidator(_default_method),
]
"""Reconstruction of a composition; the key ``method`` selects it, by default ``deviation``."""


class TomogramReconstructSettings(Settings):
    """Reconstruction of a volume from one aligned tilt series."""

    algorithm: Algorithm = setting("fbp", "filtered back-projection, SIRT, or total variation")
    iterations: int = setting(100, "iterations of sirt and tv", unit="iterations", ge=1, le=5000)
    nonnegative: bool = setting(True, "forbid negative values (sirt and tv)")
    tv_weight: float | None = setting(None, TV, ge=0.0, le=WEIGHT, expert=True)
    backend: Backend = setting("oxytomo", _BACKEND)


class UncertaintySettings(Settings):
    """Noise replicates, and the null run with a uniform particle."""

    replicates: int = setting(4, "number of reconstructions with resampled noise", ge=0, le=200)
    null_replicates: int = setting(
        1, "number of reconstructions of a uniform particle with the same noise", ge=0, le=200
    )
    seed: int = setting(0, "seed of the random numbers", ge=0, lt=2**32, expert=True)


class ClassifySettings(ConfidenceSettings):
    """Classification of the deviation."""

    voxel_nm: float | None = setting(
        None,
        "edge of the cube over which the deviation is averaged before classification; empty: no averaging",
        unit="nm",
        gt=0.0,
        le=1e6,
    )


class MeasureSettings(ShellSettings):
    """Measurement of fractions, domains and the profile from rim to centre."""


def _as_text(value: Any) -> Any:
    """Accept ``0.5`` without quotes."""
    return str(value) if isinstance(value, float) else value


class ExportSettings(Settings):
    """Format of the OME-Zarr images."""

    ngff: Annotated[Literal["0.5", "0.4"], BeforeValidator(_as_text)] = setting(
        "0.5", "version of the OME-Zarr format"
    )
    chunk: int = setting(64, "edge length of a chunk", unit="voxels", ge=8, le=1024, expert=True)
    shard: int = setting(
        256,
        "edge length of a shard (format 0.5), a multiple of chunk",
        unit="voxels",
        ge=8,
        le=4096,
        expert=True,
    )
    levels: int | None = setting(
        None,
        "number of resolution levels; empty: until the smallest level fits in one chunk",
        ge=1,
        le=12,
        expert=True,
    )

    @model_validator(mode="after")
    def _shards_hold_whole_chunks(self) -> "ExportSettings":
        """Require that the shard is a multiple of the chunk."""
        if self.shard % self.chunk:
            raise rejected(
                f"a multiple of chunk ({self.chunk})", str(self.shard), "correct one of them", key="shard"
            )
        return self
