"""Effects of a real instrument and a real sample, for simulations."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from oxytomo.config.base import Settings, rejected, setting


class InstrumentSettings(Settings):
    """Effects of a real instrument and a real sample; each is off by default."""

    stray: float = setting(
        0.0,
        "stray light as a fraction of the beam, the same in flats and frames",
        unit="fraction",
        ge=0,
        lt=1,
    )
    stray_edges: dict[str, Annotated[float, Field(ge=0.0, le=0.99)]] = setting(
        {}, "stray light for each element, in both images of its edge; replaces stray", unit="fraction"
    )
    post_edge: dict[str, Annotated[float, Field(ge=0.01, le=100.0)]] = setting(
        {}, "factor on the cross-section of each element in its own image on the edge (white line)"
    )
    rim_change: dict[str, Annotated[float, Field(ge=-0.99, le=100.0)]] = setting(
        {},
        "relative change of the cross-section of each element in its own image on the edge, in the "
        "rim only (valence)",
        unit="fraction",
    )
    rim_nm: float = setting(100.0, "depth of the rim that rim_change applies to", unit="nm", gt=0, le=1e6)
    skin_nm: float = setting(0.0, "thickness of a Li2CO3 layer on the particle", unit="nm", ge=0, le=1e5)
    carbon_clumps: int = setting(0, "number of carbon clumps that touch the particle", ge=0, le=1000)
    clump_nm: float = setting(200.0, "mean diameter of a carbon clump", unit="nm", gt=0, le=1e6)
    film_nm: float = setting(0.0, "thickness of the carbon film below the particle", unit="nm", ge=0, le=1e5)
    film_hole_nm: float = setting(
        0.0, "diameter of the holes in the film; 0: no holes", unit="nm", ge=0, le=1e6
    )
    binder_nm: float = setting(
        0.0,
        "largest thickness of the PVDF coating, which varies from 0 to this value",
        unit="nm",
        ge=0,
        le=1e5,
    )
    beam_shift_px: float = setting(
        0.0,
        "rms shift of the illumination between flats and frames, in each direction",
        unit="px",
        ge=0,
        le=100,
    )
    beam_contrast: float = setting(
        0.06, "contrast of the illumination pattern that beam_shift_px moves (standard deviation)", ge=0, le=1
    )
    beam_length_px: float = setting(
        2.5,
        "feature size of that pattern: standard deviation of the Gaussian that smooths it",
        unit="px",
        gt=0,
        le=500,
    )
    zone_nm: float = setting(
        0.0,
        "width of the outermost zone of the zone plate; 0: unlimited depth of field",
        unit="nm",
        ge=0,
        le=1e4,
    )
    angle_rms_deg: float = setting(0.0, "rms error of the recorded tilt angles", unit="deg", ge=0, le=10)
    distortion: float = setting(
        0.0,
        "distortion: displacement of the corners of the field, relative to their distance from the centre",
        ge=-0.2,
        le=0.2,
    )
    neighbours: int = setting(0, "number of smaller particles that touch the particle", ge=0, le=20)
    oxygen_loss: float = setting(
        0.0, "fraction of the oxygen that is lost by the end of the scan (dose)", unit="fraction", ge=0, lt=1
    )
    shrinkage: float = setting(
        0.0,
        "fraction of the diameter that is lost by the end of the scan (dose)",
        unit="fraction",
        ge=0,
        lt=0.5,
    )
    dose_order: Literal["tilt", "series"] = setting(
        "tilt", "order of acquisition: all energies at each tilt, or all tilts at each energy"
    )
    psf_px: float | None = setting(
        None,
        "standard deviation of the point spread function; empty: the value of the simulation",
        unit="px",
        ge=0,
        le=20,
    )
    energy_offset_ev: float = setting(0.0, "true energy minus recorded energy", unit="eV", ge=-20, le=20)

    @field_validator("stray_edges", "post_edge", "rim_change", mode="before")
    @classmethod
    def _in_range(cls, values: Any, info: object) -> Any:
        """Refuse fractions outside 0 to 1, factors ≤ 0, and changes of more than 100 %."""
        name = str(getattr(info, "field_name", ""))
        limits = {"stray_edges": (0.0, 0.99), "post_edge": (0.01, 100.0), "rim_change": (-0.99, 100.0)}
        low, high = limits[name]
        for element, value in values.items() if isinstance(values, dict) else ():
            if isinstance(value, int | float) and not low <= value <= high:
                raise rejected(
                    f"{low:g} to {high:g}", f"{value:g}", "give a share or a factor, not percent", key=element
                )
        return values
