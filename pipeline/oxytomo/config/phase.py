"""Settings of phase retrieval and of the reconstruction of phase-contrast projections."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic_core import PydanticCustomError

from oxytomo.config.base import Settings, rejected, setting
from oxytomo.config.ranges import EDGE_PX
from oxytomo.config.source import Source

PhaseMethod = Literal["none", "paganin", "ctf"]


class ProjectionSource(Source):
    """The projections at one distance."""

    sample_detector_mm: float | None = setting(
        None, "distance from sample to detector", unit="mm", gt=0.0, le=1e6
    )
    source_sample_mm: float | None = setting(
        None, "cone beam: distance from the focus (source) to the sample", unit="mm", gt=0.0, le=1e6
    )


class RetrievePhaseSettings(Settings):
    """Phase retrieval: phase shift at every angle from intensities at one or several distances."""

    method: PhaseMethod | None = setting(
        None,
        "none (absorption), paganin (one distance, one material) or ctf; empty: none without a "
        "distance, paganin for one distance, ctf for several",
    )
    delta_beta: float | None = setting(
        None,
        "ratio δ/β of a sample made of one material; empty: computed from formula and density; "
        "without these, δ and β are independent",
        gt=0.0,
        le=1e6,
    )
    low_weight: float = setting(
        1e-4, "ctf: Tikhonov regularisation at low spatial frequencies", ge=0.0, le=10.0, expert=True
    )
    high_weight: float = setting(
        0.1, "ctf: Tikhonov regularisation at high spatial frequencies", gt=0.0, le=10.0, expert=True
    )
    iterations: int = setting(
        12,
        "ctf: number of nonlinear corrections; 0: linear model only",
        unit="iterations",
        ge=0,
        le=500,
        expert=True,
    )
    isolated: bool | None = setting(
        None, "the sample is completely inside the field of view; empty: decided from the frames"
    )
    register_distances: bool = setting(True, "register the distances to each other at every angle")
    max_shift_px: float = setting(
        30.0,
        "largest shift between distances to search for",
        unit="px",
        ge=1.0,
        le=500.0,
        expert=True,
    )


class ReconstructStructureSettings(Settings):
    """Reconstruction of a volume from phase maps."""

    align_tilts: bool = setting(
        False, "align the frames with each other first (jitter); this loads the whole series into memory"
    )
    iterations: int = setting(
        8,
        "largest number of rounds of projection matching for align_tilts",
        unit="rounds",
        ge=0,
        le=200,
        expert=True,
    )
    max_shift_px: float = setting(
        30.0,
        "largest distance of the rotation axis from the middle column to search",
        unit="px",
        ge=1.0,
        le=2000.0,
        expert=True,
    )
    axis_column: float | None = setting(
        None,
        "detector column of the rotation axis; empty: found from the data",
        unit="px",
        ge=0.0,
        le=EDGE_PX,
    )


def projections_problem(projections: Sequence[ProjectionSource]) -> PydanticCustomError | None:
    """Return the problem with the distances of a scan: missing, mixed or repeated."""
    files: list[Any] = [source.images for source in projections]
    places: list[Any] = [(source.sample_detector_mm, source.source_sample_mm) for source in projections]
    for number, (detector, source) in enumerate(places, start=1):
        if detector is None and (len(places) > 1 or source is not None):
            return rejected(
                "sample_detector_mm for every entry",
                f"none for entry {number} of {len(places)}",
                "add it, and source_sample_mm for a cone beam",
                key="projections",
            )
        if (source is None) != (places[0][1] is None):
            return rejected(
                "source_sample_mm for all entries or for none",
                f"entry {number} differs from the first",
                "a scan is in a cone beam or in a parallel beam",
                key="projections",
            )
        for what, entries in (("the same files", files), ("the same distance", places)):
            first = entries.index(entries[number - 1]) + 1
            if first < number:
                return rejected(
                    "every distance once",
                    f"{what} in entries {first} and {number}",
                    "correct the paths and distances",
                    key="projections",
                )
    return None
