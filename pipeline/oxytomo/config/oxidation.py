"""The oxidation branch: stacks of images through absorption edges to valence maps."""

import math
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from oxytomo.config.base import Settings, rejected, setting
from oxytomo.config.elements import SYMBOLS, known_elements, ordered
from oxytomo.config.ranges import COUNT, ENERGY_EV
from oxytomo.config.settings import Energy, ExportSettings, Pixels
from oxytomo.config.source import ReferenceSource, StackSource

EnergyOffset = Annotated[float, Field(ge=-1e4, le=1e4)]


class NormalizeStackSettings(Settings):
    """From the raw frames of a stack to optical density, with variance."""

    air: tuple[Pixels, Pixels, Pixels, Pixels] | None = setting(
        None, "empty region as first row, last row, first column, last column; empty: found", unit="px"
    )
    air_rescale: bool = setting(
        True, "take the light of each frame from the empty region; no: trust the flat frames"
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
    saturation_counts: float | None = setting(
        None,
        "counts from which the detector saturates; empty: the largest value of the data type",
        unit="counts",
        gt=0.0,
        le=COUNT,
        expert=True,
    )
    complex_sigma_od: float | None = setting(
        None,
        "complex images: standard deviation of the optical density without sample; empty: measured in the empty region",
        unit="OD",
        gt=0.0,
        le=10.0,
        expert=True,
    )


class RegisterStackSettings(Settings):
    """Shifts of the frames of a stack."""

    enabled: bool = setting(True, "register the frames with each other; no: they are registered already")
    max_shift_px: float = setting(30.0, "largest shift that is searched", unit="px", ge=1.0, le=500.0)
    min_field: float = setting(
        0.5,
        "share of the frame that all energies must have in common",
        unit="fraction",
        gt=0.0,
        le=1.0,
        expert=True,
    )


EnergyWindow = tuple[Energy, Energy]


class FitValenceSettings(Settings):
    """Linear combination of reference spectra in every pixel."""

    window_ev: EnergyWindow | None = setting(
        None,
        "energies of the fit; empty: those of Liu et al. for O, Mn, Co, Ni, around the edge otherwise",
        unit="eV",
    )
    pre_edge_ev: EnergyWindow | None = setting(
        None,
        "energies below the edge, part of the fit of the background; empty: below the tabulated edge",
        unit="eV",
    )
    post_edge_ev: EnergyWindow | None = setting(
        None,
        "energies above all white lines, where references are set to 1; empty: from the tabulated edges",
        unit="eV",
    )
    fractions_sum: Literal["free", "one"] = setting(
        "free",
        "free: amounts in optical density, no normalisation of pixels; one: pixels divided by their edge jump",
    )
    background: Literal["none", "constant", "linear"] = setting(
        "linear", "free background under each spectrum"
    )
    energy_offset_ev: EnergyOffset | Literal["fit"] = setting(
        0.0, "number added to the energies of the stack, or 'fit': found against the references", unit="eV"
    )
    white_line_ev: float | None = setting(
        None,
        "known energy of the sample's strongest peak, to calibrate the energies of the stack",
        unit="eV",
        gt=0.0,
        le=ENERGY_EV[1],
    )
    references_normalized: bool = setting(
        False, "the references have a pre-edge of 0 and an edge jump of 1 already"
    )
    max_condition: float = setting(
        100.0,
        "largest condition number of the references and the background together",
        gt=1.0,
        le=1e6,
        expert=True,
    )
    thick_od: float = setting(
        2.5, "pixels above this optical density are marked too thick", unit="OD", gt=0.0, le=100.0
    )
    thin_sigma: float = setting(
        5.0,
        "pixels whose edge jump is less than this many of its standard errors are marked too thin",
        unit="sigma",
        gt=0.0,
        le=1e6,
        expert=True,
    )
    thin_share: float = setting(
        0.1,
        "pixels with less than this share of the thickest edge jump are marked too thin",
        unit="fraction",
        ge=0.0,
        lt=1.0,
        expert=True,
    )

    @model_validator(mode="after")
    def _windows_rise(self) -> "FitValenceSettings":
        """Require windows with two different ends, and one way to calibrate the energies."""
        for name in ("window_ev", "pre_edge_ev", "post_edge_ev"):
            window = getattr(self, name)
            if window is not None and not window[0] < window[1]:
                raise rejected("[low, high] with low < high", str(list(window)), "correct it", key=name)
        if self.white_line_ev is not None and self.energy_offset_ev != 0.0:
            raise rejected(
                "one of 'white_line_ev' and 'energy_offset_ev'", "both", "remove one", key="white_line_ev"
            )
        return self


class MeasureOxidationSettings(Settings):
    """Shells, particles, profiles and models of oxygen loss."""

    shells: int = setting(5, "number of shells of equal area from rim to centre", ge=1, le=100)
    min_particle_pixels: int = setting(50, "smaller particles are left out", unit="px", ge=1, le=COUNT)
    split_touching: bool = setting(True, "split agglomerates into particles at their necks (watershed)")
    profile_bins: int = setting(20, "bins of the profiles", ge=4, le=200, expert=True)
    time_s: float | None = setting(
        None, "duration of the oxygen loss, to turn D·t into D", unit="s", gt=0.0, le=1e10
    )
    clusters: int = setting(4, "number of k-means clusters of spectra", ge=2, le=8, expert=True)


MAX_REFERENCES = 5


def _listed(spectra: Any) -> Any:
    """Accept one spectrum in place of a list."""
    return spectra if isinstance(spectra, list | tuple) else (spectra,)


Spectra = Annotated[
    tuple[ReferenceSource, ...],
    BeforeValidator(_listed, json_schema_input_type=ReferenceSource | tuple[ReferenceSource, ...]),
]
"""Reference spectra of one valence."""


class OxidationConfig(Settings):
    """Stacks through absorption edges and reference spectra to valence maps."""

    stacks: dict[str, StackSource] = setting(..., "per element its stack of images", min_length=1)
    references: dict[str, dict[str, Spectra]] = setting(
        ..., "per element its reference spectra by valence; several of one valence as a list"
    )
    normalize: NormalizeStackSettings = setting(NormalizeStackSettings(), "counts to optical density")
    align: RegisterStackSettings = setting(RegisterStackSettings(), "shifts of the frames")
    fit: dict[str, FitValenceSettings] | FitValenceSettings = setting(
        FitValenceSettings(), "the fit of every pixel; or per element, as Mn: {...}"
    )
    measure: MeasureOxidationSettings = setting(MeasureOxidationSettings(), "shells, particles, models")
    export: ExportSettings = setting(ExportSettings(), "OME-Zarr")

    _symbols = field_validator("stacks", mode="before")(
        lambda value: known_elements(value, what="the stacks")
    )

    @field_validator("references", mode="before")
    @classmethod
    def _valences_as_text(cls, value: Any) -> Any:
        """Accept valences without quotes."""
        known_elements(value, what="the references")
        if not isinstance(value, dict):
            return value
        return {
            element: {str(valence): spectra for valence, spectra in by_valence.items()}
            if isinstance(by_valence, dict)
            else by_valence
            for element, by_valence in value.items()
        }

    @field_validator("fit", mode="before")
    @classmethod
    def _of_all_or_each(cls, value: Any) -> Any:
        """Tell settings for all elements from settings per element by their keys."""
        if isinstance(value, dict) and value and all(key in SYMBOLS for key in value):
            return {key: FitValenceSettings.model_validate(one) for key, one in value.items()}
        return FitValenceSettings.model_validate(value) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _references_for_every_stack(self) -> "OxidationConfig":
        """Require two to five spectra of two valences per element; fits of measured elements."""
        for element in self.measured:
            given = self.references.get(element) or {}
            count = sum(len(spectra) for spectra in given.values())
            valences = {_valence(text, element) for text in given}
            if len(valences) < 2 or count > MAX_REFERENCES:
                raise rejected(
                    f"2 to {MAX_REFERENCES} reference spectra of at least two valences",
                    f"{count} of {len(valences)}",
                    'give e.g. {"3": refs/Mn2O3.csv, "4": refs/MnO2.csv}',
                    key=f"references.{element}",
                )
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
        """Return the settings of the fit of one element."""
        return self.fit.get(element, FitValenceSettings()) if isinstance(self.fit, dict) else self.fit

    def spectra_of(self, element: str) -> tuple[tuple[float, ReferenceSource], ...]:
        """Return the references of one element with their valences, by increasing valence."""
        pairs = [
            (_valence(text, element), spectrum)
            for text, spectra in self.references[element].items()
            for spectrum in spectra
        ]
        return tuple(sorted(pairs, key=lambda pair: pair[0]))


def _valence(text: str, element: str) -> float:
    """Return the valence that a key names; a sign may follow the number, as in ``3+``."""
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
