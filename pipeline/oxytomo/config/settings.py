"""The settings a user can choose, one frozen model per stage."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from oxytomo.config.base import Settings, below_configuration, rejected, setting
from oxytomo.config.ranges import COUNT, EDGE_PX, ENERGY_EV, WEIGHT

Backend = Literal["oxytomo", "astra", "tomopy"]
Algorithm = Literal["fbp", "sirt", "tv"]
Reference = Literal["nominal", "mode", "pristine"]
FrameNumber = Annotated[int, Field(ge=0, le=10**7)]
Degrees = Annotated[float, Field(ge=-360.0, le=360.0)]
Pixels = Annotated[int, Field(ge=-1, le=int(EDGE_PX))]
Energy = Annotated[float, Field(ge=0.0, le=ENERGY_EV[1])]


class PristineReference(Settings):
    """Another sample, of known composition and measured alike, that TM/O deviates from."""

    pristine: str = setting(
        ...,
        "name of the sample; its most frequent TM/O is the reference, which removes what both have in common",
    )


_BACKEND = "which package reconstructs; astra and tomopy are optional packages"
_TV = "weight of the total variation; empty: chosen from the noise"


class NormalizeSettings(Settings):
    """From raw frames to optical density or signal, with variance."""

    flat_field: Literal["mean", "nearest", "interpolate"] = setting(
        "mean",
        "which flat frames divide a frame: the mean of all, the nearest in time, or interpolated in time",
    )
    air_rescale: bool = setting(
        True, "rescale each frame so that the empty region around the sample transmits 1"
    )
    illumination: Literal["auto", "none"] = setting(
        "auto",
        "correct an illumination that moved between flats and frames, where the air around the sample shows it",
    )
    opaque_transmission: float = setting(
        0.005,
        "rays with less transmission are marked invalid",
        unit="fraction",
        ge=0.0,
        lt=1.0,
        expert=True,
    )
    hot_pixel_sigma: float = setting(
        8.0,
        "pixels this far from their neighbourhood are marked invalid",
        unit="sigma",
        gt=0.0,
        le=1000.0,
        expert=True,
    )
    stripe_removal: Literal["none", "sorting", "filtering", "fitting"] = setting(
        "none",
        "remove stripes from the sinograms (needs the package algotom); it changes ratios: by how much is measured",
    )
    saturation_counts: float | None = setting(
        None,
        "counts from which the detector saturates; empty: the largest value of the data type",
        unit="counts",
        gt=0.0,
        le=COUNT,
        expert=True,
    )
    air: tuple[Pixels, Pixels, Pixels, Pixels] | None = setting(
        None,
        "empty region as first row, last row, first column, last column; empty: found in each frame",
        unit="px",
    )
    complex_sigma_od: float | None = setting(
        None,
        "complex images: standard deviation of the optical density without sample; empty: measured in the empty region",
        unit="OD",
        gt=0.0,
        le=10.0,
        expert=True,
    )


class AlignSettings(Settings):
    """Shifts between energies and tilts, tilt axis, common pixel size."""

    tilts: bool = setting(True, "align the tilts of the series with each other")
    energies: bool | None = setting(
        None, "register the energies with each other; empty: yes for edges, no for element maps taken at once"
    )
    shifts: str | None = setting(
        None,
        "an alignment.csv (of an earlier run, edited, or of another sample) whose shifts are used as they are",
    )
    exclude_frames: tuple[FrameNumber, ...] = setting(
        (),
        "frames to leave out at all energies, counted from 0 in the order of acquisition of the first series",
    )
    exclude_tilts_deg: tuple[Degrees, ...] = setting((), "tilts to leave out at all energies", unit="deg")
    bad_frames: Literal["exclude", "keep"] = setting(
        "exclude",
        "what happens to frames whose misfit is more than four times that of their neighbours; they are named",
    )
    max_shift_px: float = setting(30.0, "largest shift that is searched", unit="px", ge=1.0, le=500.0)
    iterations: int = setting(
        8, "largest number of projection-matching rounds", unit="rounds", ge=0, le=200, expert=True
    )
    axis_column: float | None = setting(
        None, "detector column of the tilt axis; empty: found from the data", unit="px", ge=0.0, le=EDGE_PX
    )
    axis_tilt_deg: float | None = setting(
        None,
        "lean of the tilt axis in the detector plane, towards +x for increasing row; empty: found from the data",
        unit="deg",
        ge=-10.0,
        le=10.0,
    )
    magnification: Literal["recorded", "estimated", "none"] = setting(
        "recorded",
        "scale the energies to one pixel size with the recorded pixel sizes, with an estimate on top of them, or not at all",
    )

    @field_validator("shifts")
    @classmethod
    def _below_the_configuration(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Resolve the path relative to the configuration file."""
        return None if value is None else below_configuration(value, info)


class ComponentSettings(Settings):
    """A substance beside the particle."""

    name: str = setting(..., "what results call it", min_length=1, max_length=40)
    formula: dict[str, float] | None = setting(
        None, "atoms per formula unit; empty for a known name", unit="atoms"
    )
    density_g_cm3: float | None = setting(
        None, "mass density; empty for a known name", unit="g/cm³", ge=0.01, le=25.0
    )


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


ComponentName = Annotated[
    ComponentSettings, BeforeValidator(_named, json_schema_input_type=str | ComponentSettings)
]
"""A known substance by its name (carbon, carbon_film, li2co3, pvdf), or a formula with a
density."""


class ModelTermSettings(Settings):
    """Terms of instrument and chemistry in the decomposition: found, left out, or given."""

    stray: Literal["auto", "none"] | Annotated[float, Field(ge=0.0, le=0.2)] = setting(
        "auto", "share of the incident intensity that reaches the detector past the sample"
    )
    near_edge: Literal["auto", "none"] | dict[str, Annotated[float, Field(ge=0.4, le=5.0)]] = setting(
        "auto", "factor on the step of each element at its own post-edge energy, 1 as tabulated"
    )
    near_edge_spread: Literal["auto", "none"] = setting(
        "auto", "whether that factor may differ within the sample, as it does with valence"
    )


class DecomposeSettings(Settings):
    """From optical densities at several energies to the areal density of each element."""

    method: Literal["weighted", "subtraction"] = setting(
        "weighted", "weighted least squares over all energies, or plain post-minus-pre differences per edge"
    )
    instrument: Literal["auto", "none"] | ModelTermSettings = setting(
        "auto",
        "terms of instrument and chemistry that the spare energies can tell: those that the data ask for, none, or as given",
    )
    components: Literal["auto"] | tuple[ComponentName, ...] = setting(
        "auto",
        "substances beside the particle: auto looks for carbon and PVDF; or a list of names and formulas; [] for none",
    )


class DeviationSettings(Settings):
    """Reconstruct the TM/O deviation itself, with total variation and sparsity."""

    method: Literal["deviation"] = setting("deviation", "reconstruct the deviation itself")
    iterations: int = setting(
        200,
        "iterations for the deviation, at most; it ends sooner when converged",
        unit="iterations",
        ge=1,
        le=5000,
    )
    tv_weight: float | None = setting(None, f"deviation: {_TV}", ge=0.0, le=WEIGHT, expert=True)
    l1_weight: float | None = setting(
        None,
        "deviation: weight of the sparsity; empty: chosen from the noise",
        ge=0.0,
        le=WEIGHT,
        expert=True,
    )
    element_iterations: int = setting(
        60,
        "iterations for each element, at most",
        unit="iterations",
        ge=1,
        le=5000,
        expert=True,
    )
    element_tv_weight: float | None = setting(None, f"elements: {_TV}", ge=0.0, le=WEIGHT, expert=True)
    psf_px: float = setting(
        0.8,
        "standard deviation of the instrument's point spread on the detector, part of the model; 0: leave it out",
        unit="px",
        ge=0.0,
        le=5.0,
    )
    parts: int = setting(
        1,
        "jobs that one particle is shared out to, each with some of its slices; above 1 every noise replicate is a job too",
        ge=1,
        le=1000,
    )


class RatioSettings(Settings):
    """Reconstruct each element with the same operator and divide."""

    method: Literal["ratio"] = setting("ratio", "reconstruct each element, then divide")
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
"""How a composition is reconstructed; the key ``method`` chooses, ``deviation`` where it is left
out."""


class TomogramReconstructSettings(Settings):
    """From one aligned tilt series to a plain volume."""

    algorithm: Algorithm = setting("fbp", "filtered back-projection, SIRT, or total variation")
    iterations: int = setting(100, "iterations of sirt and tv", unit="iterations", ge=1, le=5000)
    nonnegative: bool = setting(True, "forbid negative values (sirt and tv)")
    tv_weight: float | None = setting(None, _TV, ge=0.0, le=WEIGHT, expert=True)
    backend: Backend = setting("oxytomo", _BACKEND)


class UncertaintySettings(Settings):
    """Noise replicates and the null run on a uniform particle."""

    replicates: int = setting(4, "reconstructions with resampled noise", ge=0, le=200)
    null_replicates: int = setting(
        1, "reconstructions of a uniform particle with the same noise", ge=0, le=200
    )
    seed: int = setting(0, "seed of the random numbers", ge=0, lt=2**32, expert=True)


class ClassifySettings(Settings):
    """From the deviation to classes."""

    confidence: float = setting(
        0.95,
        "probability with which a voxel must be on its side of the threshold to be decided",
        unit="fraction",
        gt=0.5,
        lt=1.0,
    )
    voxel_nm: float | None = setting(
        None,
        "edge of the cube over which the deviation is averaged before classes are drawn; empty: single voxels",
        unit="nm",
        gt=0.0,
        le=1e6,
    )


class MeasureSettings(Settings):
    """Fractions, domains and the profile from rim to centre."""

    shells: int = setting(5, "number of shells of equal volume from rim to centre", ge=1, le=100)
    min_domain_voxels: int = setting(8, "smaller domains are not listed", unit="voxels", ge=1, le=COUNT)


def _as_text(value: Any) -> Any:
    """Accept ``0.5`` without quotes."""
    return str(value) if isinstance(value, float) else value


class ExportSettings(Settings):
    """How the OME-Zarr images are written."""

    ngff: Annotated[Literal["0.5", "0.4"], BeforeValidator(_as_text)] = setting(
        "0.5", "version of the OME-Zarr format"
    )
    chunk: int = setting(64, "edge of a chunk", unit="voxels", ge=8, le=1024, expert=True)
    shard: int = setting(
        256,
        "edge of a shard (format 0.5), a multiple of chunk",
        unit="voxels",
        ge=8,
        le=4096,
        expert=True,
    )
    levels: int | None = setting(
        None,
        "resolution levels; empty: until the smallest fits in one chunk",
        ge=1,
        le=12,
        expert=True,
    )

    @model_validator(mode="after")
    def _shards_hold_whole_chunks(self) -> "ExportSettings":
        """Require a shard that is a multiple of the chunk."""
        if self.shard % self.chunk:
            raise rejected(
                f"a multiple of chunk ({self.chunk})", str(self.shard), "correct one of them", key="shard"
            )
        return self
