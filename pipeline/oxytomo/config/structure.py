"""The structure branch: projections, phase maps or a volume to pores, cracks, numbers."""

from pydantic import field_validator, model_validator

from oxytomo.config.base import Settings, rejected, setting
from oxytomo.config.elements import Formula, checked_formula
from oxytomo.config.phase import (
    ProjectionSource,
    ReconstructStructureSettings,
    RetrievePhaseSettings,
    projections_problem,
)
from oxytomo.config.ranges import DENSITY_G_CM3, PIXEL_NM
from oxytomo.config.settings import ExportSettings, NormalizeSettings
from oxytomo.config.source import ImageSource, Source, VolumeSource

ROUTES = ("projections", "phase_maps", "volume")
"""The three ways into the branch; a configuration has exactly one."""


class SegmentVoidsSettings(Settings):
    """From grey values to the particle, its pores and its cracks."""

    blur_px: float | None = setting(
        None,
        "standard deviation of the volume's blur; empty: measured at the particle's edge",
        unit="voxels",
        gt=0.0,
        le=5.0,
    )
    bridge_px: float = setting(
        8.0,
        "radius of the ball that closes cracks which are open to the outside; half the widest mouth",
        unit="voxels",
        ge=1.0,
        le=100.0,
    )
    false_cracks: float = setting(
        0.02,
        "cracks that noise alone may make in the whole volume, on average",
        unit="cracks",
        gt=0.0,
        le=10.0,
        expert=True,
    )
    false_discovery: float = setting(
        0.01,
        "share of the cracks found that may be false",
        unit="fraction",
        gt=0.0,
        le=0.5,
        expert=True,
    )
    largest_share: float = setting(
        0.05,
        "particles smaller than this share of the largest one are left out",
        unit="fraction",
        ge=0.0,
        le=1.0,
        expert=True,
    )
    separate: bool = setting(False, "divide particles that touch each other at their necks")


class MeasureVoidsSettings(Settings):
    """From pores and cracks to tables."""

    shells: int = setting(5, "number of shells of equal volume from rim to centre", ge=1, le=100)
    replicates: int = setting(4, "segmentations with resampled noise, for the intervals", ge=0, le=200)
    seed: int = setting(0, "seed of the random numbers", ge=0, lt=2**32, expert=True)


class StructureConfig(Settings):
    """Phase-contrast projections, phase maps or a volume to pores, cracks and their numbers."""

    projections: tuple[ProjectionSource, ...] | None = setting(
        None, "projections of the phase-contrast scan, one entry per distance", min_length=1
    )
    phase_maps: Source | None = setting(None, "one phase map per angle, already retrieved")
    volume: VolumeSource | None = setting(None, "a reconstructed volume, or one slice")
    voxel_nm: float = setting(..., "edge of a voxel", unit="nm", ge=PIXEL_NM[0], le=PIXEL_NM[1])
    mask: VolumeSource | None = setting(
        None, "particle of your own: 0 outside, 1, 2 … inside; empty: found from the volume"
    )
    formula: Formula | None = setting(
        None, "projections: atoms per formula unit of a sample of one material, for its δ/β", unit="atoms"
    )
    density_g_cm3: float | None = setting(
        None,
        "projections: mass density of the sample, for its δ/β",
        unit="g/cm³",
        ge=DENSITY_G_CM3[0],
        le=DENSITY_G_CM3[1],
    )
    normalize: NormalizeSettings = setting(
        NormalizeSettings(air_rescale=False), "projections: counts to transmission"
    )
    retrieve: RetrievePhaseSettings = setting(RetrievePhaseSettings(), "projections: intensity to phase")
    reconstruct: ReconstructStructureSettings = setting(
        ReconstructStructureSettings(), "projections and phase maps: rotation axis, volume"
    )
    segment: SegmentVoidsSettings = setting(SegmentVoidsSettings(), "particle, pores, cracks")
    measure: MeasureVoidsSettings = setting(MeasureVoidsSettings(), "tables and intervals")
    export: ExportSettings = setting(ExportSettings(), "OME-Zarr")

    _atoms = field_validator("formula")(checked_formula)

    @model_validator(mode="after")
    def _one_route(self) -> "StructureConfig":
        """Require exactly one of projections, phase_maps and volume."""
        given = [route for route in ROUTES if getattr(self, route) is not None]
        if len(given) != 1:
            raise rejected(
                f"exactly one of {', '.join(ROUTES)}",
                " and ".join(given) or "none",
                "keep the one that was measured",
            )
        return self

    @model_validator(mode="after")
    def _distances(self) -> "StructureConfig":
        """Refuse distances that are missing or given twice, and half of a material."""
        problem = projections_problem(self.projections or ())
        if problem is not None:
            raise problem
        if (self.formula is None) != (self.density_g_cm3 is None):
            got = "formula" if self.density_g_cm3 is None else "density_g_cm3"
            raise rejected("formula and density_g_cm3 together", f"{got} only", "add the other")
        return self

    @property
    def route(self) -> str:
        """Which of the three ways in is used."""
        return next(route for route in ROUTES if getattr(self, route) is not None)

    @property
    def sources(self) -> dict[str, ImageSource]:
        """Raw files by name: ``volume``, ``phase_maps`` or ``distance_1`` …, and ``mask``."""
        if self.projections is not None:
            found: dict[str, ImageSource] = {
                f"distance_{number}": source for number, source in enumerate(self.projections, start=1)
            }
        elif self.phase_maps is not None:
            found = {"phase_maps": self.phase_maps}
        else:
            found = {"volume": self.volume} if self.volume is not None else {}
        return found | ({"mask": self.mask} if self.mask is not None else {})
