"""Departures of an instrument and a sample from the ideal ones, for simulations."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from oxytomo.config.base import Settings, rejected, setting


class InstrumentSettings(Settings):
    """What a simulated instrument and sample do beyond the ideal; each is off until it is given."""

    stray: float = setting(
        0.0, "stray light as a share of the beam, the same in flats and frames", unit="fraction", ge=0, lt=1
    )
    stray_edges: dict[str, Annotated[float, Field(ge=0.0, le=0.99)]] = setting(
        {}, "stray light by element, for both images of its edge, instead of stray", unit="fraction"
    )
    post_edge: dict[str, Annotated[float, Field(ge=0.01, le=100.0)]] = setting(
        {}, "factor on an element's cross-section in its own image on the edge (white line), by element"
    )
    rim_change: dict[str, Annotated[float, Field(ge=-0.99, le=100.0)]] = setting(
        {},
        "relative change of an element's cross-section in its own image on the edge, in the rim only (valence)",
        unit="fraction",
    )
    rim_nm: float = setting(100.0, "depth of the rim of rim_change", unit="nm", gt=0, le=1e6)
    skin_nm: float = setting(0.0, "thickness of a skin of Li2CO3 on the particle", unit="nm", ge=0, le=1e5)
    carbon_clumps: int = setting(0, "carbon clumps that touch the particle", ge=0, le=1000)
    clump_nm: float = setting(200.0, "mean diameter of a carbon clump", unit="nm", gt=0, le=1e6)
    film_nm: float = setting(0.0, "thickness of a carbon film below the particle", unit="nm", ge=0, le=1e5)
    film_hole_nm: float = setting(
        0.0, "diameter of the holes in the film; 0: no holes", unit="nm", ge=0, le=1e6
    )
    binder_nm: float = setting(
        0.0, "coat of PVDF on the particle, between 0 and this thick", unit="nm", ge=0, le=1e5
    )
    beam_shift_px: float = setting(
        0.0,
        "shift of the illumination between flats and frames, rms in each direction",
        unit="px",
        ge=0,
        le=100,
    )
    beam_contrast: float = setting(
        0.06, "contrast of the structure that beam_shift_px moves (standard deviation)", ge=0, le=1
    )
    beam_length_px: float = setting(
        2.5,
        "size of that structure: standard deviation of the Gaussian that smooths it",
        unit="px",
        gt=0,
        le=500,
    )
    zone_nm: float = setting(
        0.0, "outermost zone of the zone plate; 0: unlimited depth of field", unit="nm", ge=0, le=1e4
    )
    angle_rms_deg: float = setting(0.0, "error of each recorded tilt, rms", unit="deg", ge=0, le=10)
    distortion: float = setting(
        0.0, "displacement of the corners of the field, relative to their distance", ge=-0.2, le=0.2
    )
    neighbours: int = setting(0, "smaller particles that touch the particle", ge=0, le=20)
    oxygen_loss: float = setting(
        0.0, "share of the oxygen lost at the end of the scan (dose)", unit="fraction", ge=0, lt=1
    )
    shrinkage: float = setting(
        0.0, "share of the diameter lost at the end of the scan (dose)", unit="fraction", ge=0, lt=0.5
    )
    dose_order: Literal["tilt", "series"] = setting(
        "tilt", "order of acquisition: all energies at one tilt, then the next, or one energy after the other"
    )
    psf_px: float | None = setting(
        None, "standard deviation of the point spread; empty: that of the simulation", unit="px", ge=0, le=20
    )
    energy_offset_ev: float = setting(0.0, "true energies less the recorded ones", unit="eV", ge=-20, le=20)

    @field_validator("stray_edges", "post_edge", "rim_change", mode="before")
    @classmethod
    def _in_range(cls, values: Any, info: object) -> Any:
        """Refuse shares outside 0 to 1, factors not above 0, and changes of more than the whole."""
        name = str(getattr(info, "field_name", ""))
        limits = {"stray_edges": (0.0, 0.99), "post_edge": (0.01, 100.0), "rim_change": (-0.99, 100.0)}
        low, high = limits[name]
        for element, value in values.items() if isinstance(values, dict) else ():
            if isinstance(value, int | float) and not low <= value <= high:
                raise rejected(
                    f"{low:g} to {high:g}", f"{value:g}", "give a share or a factor, not percent", key=element
                )
        return values
