"""Settings of the oxidation branch: valence maps from image stacks through absorption edges."""

import math
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from oxytomo.config.base import Settings, rejected, setting
from oxytomo.config.elements import SYMBOLS, known_elements, ordered
from oxytomo.config.ranges import COUNT, ENERGY_EV
from oxytomo.config.settings import Energy, ExportSettings, Pixels
from oxytomo.config.shared import (
    COMPLEX_SIGMA_OD,
    HOT_PIXEL_SIGMA,
    MAX_SHIFT_PX,
    OPAQUE_TRANSMISSION,
    POST_EDGE_EV,
    REFERENCES_NORMALIZED,
    SATURATION_COUNTS,
    ProfileSettings,
    WhiteLineSettings,
    require_rising,
)
from oxytomo.config.source import ReferenceSource, StackSource

EnergyOffset = Annotated[float, Field(ge=-1e4, le=1e4)]


class NormalizeStackSettings(Settings):
    """Conversion of the raw frames of a stack to optical density, with variance."""

    air: tuple[Pixels, Pixels, Pixels, Pixels] | None = setting(
        None,
        "region without sample as first row, last row, first column, last column; empty: found automatically",
        unit="px",
    )
    air_rescale: bool = setting(
        True,
        "take the incident intensity of each frame from the region without sample; no: use the flat frames",
    )
    opaque_transmission: float = OPAQUE_TRANSMISSION
    hot_pixel_sigma: float = HOT_PIXEL_SIGMA
    saturation_counts: float | None = SATURATION_COUNTS
    complex_sigma_od: float | None = COMPLEX_SIGMA_OD


class RegisterStackSettings(Settings):
    """Registration of the frames of a stack."""

    enabled: bool = setting(True, "register the frames to each other; no: they are already registered")
    max_shift_px: float = MAX_SHIFT_PX
    min_field: float = setting(
        0.5,
        "fraction of the frame that all energies must have in common",
        unit="fraction",
        gt=0.0,
        le=1.0,
        expert=True,
    )


EnergyWindow = tuple[Energy, Energy]


class _PixelFitSettings(Settings):
    """Windows, references and limits of the fit of a pixel."""

    window_ev: EnergyWindow | None = setting(
        None,
        "energy range of the fit; empty: the ranges of Liu et al. for O, Mn, Co and Ni, around the "
        "edge for other elements",
        unit="eV",
    )
    pre_edge_ev: EnergyWindow | None = setting(
        None,
        "energy range below the edge, used to fit the background; empty: below the tabulated edge",
        unit="eV",
    )
    post_edge_ev: EnergyWindow | None = POST_EDGE_EV
    fractions_sum: Literal["free", "one"] = setting(
        "free",
        "free: fit amounts in optical density, without normalising the pixels; one: divide each "
        "pixel by its edge jump first",
    )
    background: Literal["none", "constant", "linear"] = setting(
        "linear", "background that is fitted with each spectrum"
    )
    energy_offset_ev: EnergyOffset | Literal["fit"] = setting(
        0.0,
        "energy to add to the energies of the stack; fit: find it by comparison with the references",
        unit="eV",
    )
    white_line_ev: float | None = setting(
        None,
        "known energy of the strongest peak of the sample; calibrates the energies of the stack",
        unit="eV",
        gt=0.0,
        le=ENERGY_EV[1],
    )
    references_normalized: bool = REFERENCES_NORMALIZED
    max_condition: float = setting(
        100.0,
        "largest accepted condition number of the references together with the background",
        gt=1.0,
        le=1e6,
        expert=True,
    )
    thick_od: float = setting(
        2.5, "pixels with a higher optical density are marked too thick", unit="OD", gt=0.0, le=100.0
    )
    thin_sigma: float = setting(
        5.0,
        "pixels whose edge jump is smaller than this many standard errors are marked too thin",
        unit="sigma",
        gt=0.0,
        le=1e6,
        expert=True,
    )
    thin_share: float = setting(
        0.1,
        "pixels with less than this fraction of the largest edge jump are marked too thin",
        unit="fraction",
        ge=0.0,
        lt=1.0,
        expert=True,
    )


class FitValenceSettings(WhiteLineSettings, _PixelFitSettings):
    """Linear combination fit of reference spectra in every pixel."""

    @model_validator(mode="after")
    def _windows_rise(self) -> "FitValenceSettings":
        """Require windows of finite width, and at most one calibration of the energies."""
        require_rising(self, "window_ev", "pre_edge_ev", "post_edge_ev")
        if self.white_line_ev is not None and self.energy_offset_ev != 0.0:
            raise rejected(
                "one of 'white_line_ev' and 'energy_offset_ev'", "both", "remove one", key="white_line_ev"
            )
        return self


class _ParticleSettings(Settings):
    """Particles in a map, and their shells."""

    shells: int = setting(5, "number of shells of equal area from rim to centre", ge=1, le=100)
    min_particle_pixels: int = setting(
        50, "particles smaller than this are left out", unit="px", ge=1, le=COUNT
    )
    split_touching: bool = setting(
        True, "split agglomerates into particles at the necks between them (watershed)"
    )


class MeasureOxidationSettings(ProfileSettings, _ParticleSettings):
    """Measurement of shells, particles, profiles, and models of oxygen loss."""

    clusters: int = setting(4, "number of clusters of spectra (k-means)", ge=2, le=8, expert=True)


MAX_REFERENCES = 5


def _listed(spectra: Any) -> Any:
    """Accept one spectrum instead of a list."""
    return spectra if isinstance(spectra, list | tuple) else (spectra,)


Spectra = Annotated[
    tuple[ReferenceSource, ...],
    BeforeValidator(_listed, json_schema_input_type=ReferenceSource | tuple[ReferenceSource, ...]),
]
"""Reference spectra of one valence."""


class OxidationConfig(Settings):
    """Valence maps from stacks through absorption edges and reference spectra."""

    stacks: dict[str, StackSource] = setting(
        ..., "for each element, the stack of images through its edge", min_length=1
    )
    references: dict[str, dict[str, Spectra]] = setting(
        {},
        "for each element, the reference spectra by valence; give several spectra of one valence as a "
        "list; without any, the map is the energy of the white line and of the edge",
    )
    normalize: NormalizeStackSettings = setting(
        NormalizeStackSettings(), "conversion of counts to optical density"
    )
    align: RegisterStackSettings = setting(RegisterStackSettings(), "registration of the frames")
    fit: dict[str, FitValenceSettings] | FitValenceSettings = setting(
        FitValenceSettings(), "fit of the spectrum of each pixel; settings for single elements as Mn: {...}"
    )
    measure: MeasureOxidationSettings = setting(
        MeasureOxidationSettings(), "measurement of shells and particles, models of oxygen loss"
    )
    export: ExportSettings = setting(ExportSettings(), "OME-Zarr")

    _symbols = field_validator("stacks", mode="before")(
        lambda value: known_elements(value, what="the stacks")
    )

    @field_validator("references", mode="before")
    @classmethod
    def references_as_text(cls, value: Any) -> Any:
        """Accept valences without quotes."""
        return valences_as_text(value)

    @field_validator("fit", mode="before")
    @classmethod
    def _of_all_or_each(cls, value: Any) -> Any:
        """Distinguish settings for all elements from settings per element by their keys."""
        if isinstance(value, dict) and value and all(key in SYMBOLS for key in value):
            return {key: FitValenceSettings.model_validate(one) for key, one in value.items()}
        return FitValenceSettings.model_validate(value) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _references_for_every_stack(self) -> "OxidationConfig":
        """Require two to five spectra with at least two valences where references are given."""
        for element, spectra in self.references.items():
            require_references(spectra, element)
        for key, named in (("references", self.references), ("fit", self.fit)):
            extra = [e for e in named if e not in self.stacks] if isinstance(named, dict) else []
            if extra:
                raise rejected(
                    f"elements with a stack ({', '.join(self.measured)})", extra[0], "correct it", key=key
                )
        return self

    @property
    def measured(self) -> tuple[str, ...]:
        """Measured elements: O first, then by atomic number."""
        return ordered(self.stacks)

    def fit_of(self, element: str) -> FitValenceSettings:
        """Return the fit settings of one element."""
        return self.fit.get(element, FitValenceSettings()) if isinstance(self.fit, dict) else self.fit

    def spectra_of(self, element: str) -> tuple[tuple[float, ReferenceSource], ...]:
        """Return the references of one element and their valences, sorted by valence."""
        return sorted_spectra(self.references.get(element, {}), element)


def valences_as_text(value: Any) -> Any:
    """Accept valences without quotes as keys of the references of each element."""
    known_elements(value, what="the references")
    if not isinstance(value, dict):
        return value
    return {
        element: {str(valence): spectra for valence, spectra in by_valence.items()}
        if isinstance(by_valence, dict)
        else by_valence
        for element, by_valence in value.items()
    }


def require_references(given: dict[str, Spectra], element: str) -> None:
    """Require two to five spectra with at least two valences."""
    count = sum(len(spectra) for spectra in given.values())
    valences = {valence_of(text, element) for text in given}
    if len(valences) < 2 or count > MAX_REFERENCES:
        raise rejected(
            f"2 to {MAX_REFERENCES} reference spectra of at least two valences",
            f"{count} of {len(valences)}",
            'give e.g. {"3": refs/Mn2O3.csv, "4": refs/MnO2.csv}',
            key=f"references.{element}",
        )


def sorted_spectra(by_valence: dict[str, Spectra], element: str) -> tuple[tuple[float, ReferenceSource], ...]:
    """Return the references of one element and their valences, sorted by valence."""
    pairs = [
        (valence_of(text, element), spectrum) for text, spectra in by_valence.items() for spectrum in spectra
    ]
    return tuple(sorted(pairs, key=lambda pair: pair[0]))


def valence_of(text: str, element: str) -> float:
    """Return the valence of a key; the number may have a sign after it, as in ``3+``."""
    cleaned = text.strip().replace("−", "-")
    if re.fullmatch(r"\d+(\.\d+)?[+-]", cleaned):
        cleaned = cleaned[-1] + cleaned[:-1]
    try:
        value = float(cleaned)
    except ValueError:
        value = math.nan
    if not -4.0 <= value <= 8.0:
        raise rejected(
            "a valence between -4 and 8 as key", repr(text), 'write e.g. "3"', key=f"references.{element}"
        )
    return value
