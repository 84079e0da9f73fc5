"""From phase-contrast projections to a volume: settings of phase and reconstruction."""

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
        None, "cone beam: distance from the source (focus) to the sample", unit="mm", gt=0.0, le=1e6
    )


class RetrievePhaseSettings(Settings):
    """From intensities at one or several distances to the phase lag at every angle."""

    method: PhaseMethod | None = setting(
        None,
        "none (absorption), paganin (one distance, one material) or ctf; empty: none where no distance is given, paganin for "
        "one distance, ctf for several",
    )
    delta_beta: float | None = setting(
        None,
        "ratio δ/β of a sample of one material; empty: from formula and density, and without these independent of each other",
        gt=0.0,
        le=1e6,
    )
    low_weight: float = setting(1e-4, "ctf: Tikhonov weight at low frequency", ge=0.0, le=10.0, expert=True)
    high_weight: float = setting(0.1, "ctf: Tikhonov weight at high frequency", gt=0.0, le=10.0, expert=True)
    iterations: int = setting(
        12,
        "ctf: corrections beyond the linear model; 0: the plain method",
        unit="iterations",
        ge=0,
        le=500,
        expert=True,
    )
    isolated: bool | None = setting(
        None, "the sample lies within the field of view; empty: judged from the frames"
    )
    register_distances: bool = setting(True, "register the distances with each other at every angle")
    max_shift_px: float = setting(
        30.0,
        "largest shift between distances that is searched",
        unit="px",
        ge=1.0,
        le=500.0,
        expert=True,
    )


class ReconstructStructureSettings(Settings):
    """From phase maps to a volume."""

    align_tilts: bool = setting(
        False, "align the frames with each other first (jitter); takes the whole series into memory"
    )
    iterations: int = setting(
        8,
        "largest number of projection-matching rounds of align_tilts",
        unit="rounds",
        ge=0,
        le=200,
        expert=True,
    )
    max_shift_px: float = setting(
        30.0,
        "largest distance of the rotation axis from the middle column",
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
    """Return what is wrong with the distances of a scan: missing, mixed or given twice."""
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
