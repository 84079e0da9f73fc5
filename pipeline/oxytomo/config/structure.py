"""Settings of the structure branch: pores and cracks from projections, phase maps or a volume."""

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
"""The three kinds of input of the branch; a configuration has exactly one."""


class SegmentVoidsSettings(Settings):
    """Segmentation of the particle, its pores and its cracks from grey values."""

    blur_px: float | None = setting(
        None,
        "standard deviation of the blur of the volume; empty: measured at the edge of the particle",
        unit="voxels",
        gt=0.0,
        le=5.0,
    )
    bridge_px: float = setting(
        8.0,
        "radius of the ball that closes cracks open to the outside: half the width of the widest "
        "crack opening",
        unit="voxels",
        ge=1.0,
        le=100.0,
    )
    false_cracks: float = setting(
        0.02,
        "mean number of false cracks in the whole volume that noise alone may cause",
        unit="cracks",
        gt=0.0,
        le=10.0,
        expert=True,
    )
    false_discovery: float = setting(
        0.01,
        "fraction of the detected cracks that may be false",
        unit="fraction",
        gt=0.0,
        le=0.5,
        expert=True,
    )
    largest_share: float = setting(
        0.05,
        "particles smaller than this fraction of the largest one are left out",
        unit="fraction",
        ge=0.0,
        le=1.0,
        expert=True,
    )
    separate: bool = setting(False, "split particles that touch each other, at the necks between them")


class MeasureVoidsSettings(Settings):
    """Measurement of pores and cracks."""

    shells: int = setting(5, "number of shells of equal volume from rim to centre", ge=1, le=100)
    replicates: int = setting(
        4, "number of segmentations with resampled noise, for the confidence intervals", ge=0, le=200
    )
    seed: int = setting(0, "seed of the random numbers", ge=0, lt=2**32, expert=True)


class StructureConfig(Settings):
    """Pores and cracks from phase-contrast projections, phase maps or a volume."""

    projections: tuple[ProjectionSource, ...] | None = setting(
        None, "projections of the phase-contrast scan, one entry per distance", min_length=1
    )
    phase_maps: Source | None = setting(None, "one phase map per angle, already retrieved")
    volume: VolumeSource | None = setting(None, "reconstructed volume, or one slice")
    voxel_nm: float = setting(..., "voxel size", unit="nm", ge=PIXEL_NM[0], le=PIXEL_NM[1])
    mask: VolumeSource | None = setting(
        None, "your own mask of the particles: 0 outside, 1, 2 … inside; empty: segmented from the volume"
    )
    formula: Formula | None = setting(
        None, "projections: atoms per formula unit of a sample made of one material, for δ/β", unit="atoms"
    )
    density_g_cm3: float | None = setting(
        None,
        "projections: mass density of the sample, for δ/β",
        unit="g/cm³",
        ge=DENSITY_G_CM3[0],
        le=DENSITY_G_CM3[1],
    )
    normalize: NormalizeSettings = setting(
        NormalizeSettings(air_rescale=False), "projections: conversion of counts to transmission"
    )
    retrieve: RetrievePhaseSettings = setting(RetrievePhaseSettings(), "projections: phase retrieval")
    reconstruct: ReconstructStructureSettings = setting(
        ReconstructStructureSettings(), "projections and phase maps: rotation axis and reconstruction"
    )
    segment: SegmentVoidsSettings = setting(
        SegmentVoidsSettings(), "segmentation of particles, pores and cracks"
    )
    measure: MeasureVoidsSettings = setting(
        MeasureVoidsSettings(), "measurement of pores and cracks, with confidence intervals"
    )
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
        """Refuse missing or repeated distances, and a formula without a density or the reverse."""
        problem = projections_problem(self.projections or ())
        if problem is not None:
            raise problem
        if (self.formula is None) != (self.density_g_cm3 is None):
            got = "formula" if self.density_g_cm3 is None else "density_g_cm3"
            raise rejected("formula and density_g_cm3 together", f"{got} only", "add the other")
        return self

    @property
    def route(self) -> str:
        """Kind of input: projections, phase maps or volume."""
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
