"""Settings that several branches have in common, as parts of their models."""

from oxytomo.config.base import Settings, rejected, setting
from oxytomo.config.ranges import COUNT, WEIGHT

TV = "weight of the total variation; empty: chosen from the noise"

OPAQUE_TRANSMISSION = setting(
    0.005,
    "rays with a lower transmission are marked invalid",
    unit="fraction",
    ge=0.0,
    lt=1.0,
    expert=True,
)
HOT_PIXEL_SIGMA = setting(
    8.0,
    "pixels that differ by more than this from their neighbours are marked invalid",
    unit="sigma",
    gt=0.0,
    le=1000.0,
    expert=True,
)
SATURATION_COUNTS = setting(
    None,
    "counts at which the detector saturates; empty: the largest value of the data type",
    unit="counts",
    gt=0.0,
    le=COUNT,
    expert=True,
)
COMPLEX_SIGMA_OD = setting(
    None,
    "complex images: standard deviation of the optical density where there is no sample; empty: "
    "measured in the region without sample",
    unit="OD",
    gt=0.0,
    le=10.0,
    expert=True,
)
MAX_SHIFT_PX = setting(30.0, "largest shift to search for", unit="px", ge=1.0, le=500.0)
POST_EDGE_EV = setting(
    None,
    "energy range above all white lines, where the references are scaled to 1; empty: from the "
    "tabulated edges",
    unit="eV",
)
REFERENCES_NORMALIZED = setting(False, "the references already have a pre-edge of 0 and an edge jump of 1")


class SolverSettings(Settings):
    """Reconstruction of densities, and of a deviation as the unknown."""

    iterations: int = setting(
        200,
        "largest number of iterations for the deviation; stops earlier on convergence",
        unit="iterations",
        ge=1,
        le=5000,
    )
    tv_weight: float | None = setting(None, f"deviation: {TV}", ge=0.0, le=WEIGHT, expert=True)
    element_iterations: int = setting(
        60,
        "largest number of iterations for each element",
        unit="iterations",
        ge=1,
        le=5000,
        expert=True,
    )
    element_tv_weight: float | None = setting(None, f"elements: {TV}", ge=0.0, le=WEIGHT, expert=True)
    psf_px: float = setting(
        0.8,
        "standard deviation of the point spread function on the detector, included in the model; 0: "
        "not included",
        unit="px",
        ge=0.0,
        le=5.0,
    )


class ConfidenceSettings(Settings):
    """Certainty of a class."""

    confidence: float = setting(
        0.95,
        "required probability that a voxel is on its side of the threshold; otherwise it is undecided",
        unit="fraction",
        gt=0.5,
        lt=1.0,
    )


class ShellSettings(Settings):
    """Shells and domains of a particle."""

    shells: int = setting(5, "number of shells of equal volume from rim to centre", ge=1, le=100)
    min_domain_voxels: int = setting(
        8, "domains smaller than this are not listed", unit="voxels", ge=1, le=COUNT
    )


class ProfileSettings(Settings):
    """Profiles of the valence from the surface, and models of oxygen loss."""

    profile_bins: int = setting(20, "number of bins of the profiles", ge=4, le=200, expert=True)
    time_s: float | None = setting(
        None, "duration of the oxygen loss; gives D from D·t", unit="s", gt=0.0, le=1e10
    )


class WhiteLineSettings(Settings):
    """Fit around the maximum of a spectrum."""

    white_line_half_width_ev: float | None = setting(
        None,
        "position of the white line: distance at which the weights of the fit fall to 0; empty: "
        "2 eV, or four steps of the energies if these are wider",
        unit="eV",
        gt=0.0,
        le=100.0,
        expert=True,
    )
    white_line_order: int = setting(
        4, "position of the white line: order of the polynomial", ge=2, le=4, expert=True
    )


def require_rising(settings: Settings, *windows: str) -> None:
    """Require windows of finite width."""
    for name in windows:
        window: tuple[float, float] | None = getattr(settings, name)
        if window is not None and not window[0] < window[1]:
            raise rejected("[low, high] with low < high", str(list(window)), "correct it", key=name)
