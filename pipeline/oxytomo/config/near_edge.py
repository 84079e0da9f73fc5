"""Settings of a measured near-edge factor."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from oxytomo.config.base import FilePath, Settings, rejected, setting


class NearEdgeSettings(Settings):
    """A measured near-edge factor of an element: a value, or a spectrum through its edge."""

    factor: float | None = setting(
        None,
        "absorption at the element's own post-edge energy over the tabulated step; empty: from the spectrum",
        ge=0.4,
        le=5.0,
    )
    spectrum: FilePath | None = setting(
        None,
        "file with a measured spectrum of the element in the sample (energy, absorption), from below "
        "the edge to beyond its white lines; relative to this file",
    )
    error: float = setting(0.03, "standard error of the factor", ge=0.001, le=1.0)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        """Require either a factor or a spectrum."""
        if (self.factor is None) == (self.spectrum is None):
            got = "neither" if self.factor is None else "both"
            raise rejected("a factor, or a spectrum", got, "give one of them", key="factor")
        return self


NearEdge = Annotated[float, Field(ge=0.4, le=5.0)] | Literal["oxidation"] | NearEdgeSettings
