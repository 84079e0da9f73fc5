"""Settings of the chemical-state branch: valence in three dimensions from many energies."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from oxytomo.config.base import Settings, rejected, setting
from oxytomo.config.elements import Formula, checked_formula, known_elements, ordered
from oxytomo.config.oxidation import (
    EnergyOffset,
    EnergyWindow,
    Spectra,
    require_references,
    sorted_spectra,
    valences_as_text,
)
from oxytomo.config.ranges import DENSITY_G_CM3, WEIGHT
from oxytomo.config.settings import (
    AlignSettings,
    ExportSettings,
    NormalizeSettings,
    UncertaintySettings,
)
from oxytomo.config.shared import (
    POST_EDGE_EV,
    REFERENCES_NORMALIZED,
    ConfidenceSettings,
    ProfileSettings,
    ShellSettings,
    SolverSettings,
    WhiteLineSettings,
    require_rising,
)
from oxytomo.config.source import ReferenceSource, Source

MOST_ENERGIES = 400
Method = Literal["rays", "voxels"]
Valence = Annotated[float, Field(ge=-4.0, le=8.0)]


def _by_energy(value: Any) -> Any:
    """Return one source per energy: of a list, or of one file with several energies."""
    if isinstance(value, Mapping) and "energies_ev" in value:
        shared = {key: one for key, one in value.items() if key != "energies_ev"}
        energies = value["energies_ev"]
        if not isinstance(energies, list | tuple) or len(energies) > MOST_ENERGIES:
            raise rejected(
                f"a list of at most {MOST_ENERGIES} energies", repr(energies)[:80], "list them in eV"
            )
        return [{**shared, "only_energy_ev": energy} for energy in energies]
    if isinstance(value, str | Mapping):
        fix = "list one file per energy, or give one file with 'energies_ev: [...]' beside 'images'"
        raise rejected("tilt series at two or more energies", "one file", fix)
    return value


SeriesOfEnergies = Annotated[
    tuple[Source, ...],
    BeforeValidator(_by_energy, json_schema_input_type=tuple[Source, ...] | dict[str, Any]),
]
"""Tilt series of one element: a list with one file per energy, or one file with ``energies_ev``."""


class _ComponentSettings(Settings):
    """Background, energies and references of the decomposition."""

    background: Literal["auto", "free", "tied"] = setting(
        "auto",
        "absorption of everything else: free in every ray, or tied to the element by the formula; "
        "auto: free if an energy below the edge and enough energies allow it",
    )
    energy_offset_ev: EnergyOffset | Literal["fit"] = setting(
        0.0,
        "energy to add to the energies of the series; fit: find it by comparison with the references",
        unit="eV",
    )
    pre_edge_ev: EnergyWindow | None = setting(
        None, "energy range below the edge; empty: below the tabulated edge", unit="eV"
    )
    post_edge_ev: EnergyWindow | None = POST_EDGE_EV
    references_normalized: bool = REFERENCES_NORMALIZED
    max_condition: float = setting(
        100.0,
        "largest accepted condition number of the spectra together with the background",
        gt=1.0,
        le=1e6,
        expert=True,
    )


class DecomposeStatesSettings(WhiteLineSettings, _ComponentSettings):
    """Decomposition of the energies into chemical components of an element."""

    @model_validator(mode="after")
    def _windows_rise(self) -> "DecomposeStatesSettings":
        """Require windows of finite width."""
        require_rising(self, "pre_edge_ev", "post_edge_ev")
        return self


class ReconstructStatesSettings(SolverSettings):
    """Reconstruction of the density of an element, and of the deviation of its valence."""

    l1_weight: float = setting(
        0.0,
        "weight of a sparsity term of the deviation, which draws the valence to the reference",
        ge=0.0,
        le=WEIGHT,
        expert=True,
    )


class MeasureStatesSettings(ProfileSettings, ShellSettings, ConfidenceSettings):
    """Classes, shells and domains of the valence."""

    threshold: float = setting(
        0.15,
        "difference from the reference valence above which a voxel is called high or low",
        gt=0.0,
        le=8.0,
    )


OWN_OF_COMPOSITION = (
    "references",
    "method",
    "formula",
    "density_g_cm3",
    "normalize",
    "align",
    "decompose",
)
"""Settings that the composition branch has, where the series are its own."""


def with_composition_references(data: Any) -> Any:
    """Return a sample whose chemical-state branch has the references of its composition branch.

    This is for ``series: composition``. Settings that the composition branch has are refused.
    """
    state = data.get("chemical_state") if isinstance(data, Mapping) else None
    if not isinstance(state, Mapping) or state.get("series") != "composition":
        return data
    composition = data.get("composition")
    made = getattr(composition, "references", None)  # of a model that was made before
    given = composition.get("references") if isinstance(composition, Mapping) else made
    several = {
        element: spectra
        for element, spectra in (given.items() if isinstance(given, Mapping) else ())
        if isinstance(spectra, Mapping) and len(spectra) > 1
    }
    if not several:
        got = "no composition branch" if composition is None else "none"
        fix = 'give composition: {references: {Ni: {"2": …, "4": …}}}, or series of this branch'
        wanted = "references of two valences or more of an element in the composition branch"
        raise rejected(wanted, got, fix, key="chemical_state.series")
    for name in OWN_OF_COMPOSITION:
        # A configuration that a run has written holds all settings, also those at their defaults.
        own = several if name == "references" else _default(name)
        if name in state and state[name] != own:
            fix = "remove it here: the composition branch has it"
            raise rejected("nothing beside 'series: composition'", name, fix, key=f"chemical_state.{name}")
    return {**data, "chemical_state": {**state, "references": several}}


def _default(name: str) -> Any:
    """Return the default of a setting as plain values."""
    default = ChemicalStateConfig.model_fields[name].default
    return default.model_dump(mode="json") if isinstance(default, Settings) else default


class ChemicalStateConfig(Settings):
    """Valence of elements in three dimensions, from tilt series at several energies of an edge."""

    series: dict[str, SeriesOfEnergies] | Literal["composition"] = setting(
        ...,
        "for each element, a tilt series per energy, or one file with 'energies_ev'; composition: "
        "the valences come from the solution of the composition branch, with its series and references",
    )
    references: dict[str, dict[str, Spectra]] = setting(
        {},
        "for each element, the reference spectra by valence; without any, the volume is the energy of "
        "the white line and of the edge",
    )
    method: Method = setting(
        "rays",
        "rays: fit the spectrum of every ray, then reconstruct density and deviation of the valence; "
        "voxels: reconstruct every energy, then fit every voxel, for comparison",
    )
    formula: Formula | None = setting(
        None,
        "atoms per formula unit of the material; empty: densities are relative, and the background "
        "is free in every ray",
        unit="atoms",
    )
    density_g_cm3: float = setting(
        4.2, "mass density of the material", unit="g/cm³", ge=DENSITY_G_CM3[0], le=DENSITY_G_CM3[1]
    )
    reference: Valence | Literal["mode"] | dict[str, Valence | Literal["mode"]] = setting(
        "mode",
        "valence that deviations and classes refer to, for single elements as Mn: 3.5; mode: the "
        "most frequent valence of the particle",
    )
    normalize: NormalizeSettings = setting(NormalizeSettings(), "conversion of counts to optical density")
    align: AlignSettings = setting(AlignSettings(), "alignment: shifts, tilt axis, magnification")
    decompose: DecomposeStatesSettings = setting(
        DecomposeStatesSettings(), "decomposition of the energies into chemical components"
    )
    reconstruct: ReconstructStatesSettings = setting(
        ReconstructStatesSettings(), "reconstruction of density and valence"
    )
    uncertainty: UncertaintySettings = setting(UncertaintySettings(), "noise replicates and null run")
    measure: MeasureStatesSettings = setting(
        MeasureStatesSettings(), "classes, shells and domains of the valence"
    )
    export: ExportSettings = setting(ExportSettings(), "OME-Zarr")

    _symbols = field_validator("series", mode="before")(
        lambda value: known_elements(value, what="the series")
    )
    _atoms = field_validator("formula")(checked_formula)

    @field_validator("references", mode="before")
    @classmethod
    def _valences_as_text(cls, value: Any) -> Any:
        """Accept valences without quotes."""
        return valences_as_text(value)

    @model_validator(mode="after")
    def _complete(self) -> "ChemicalStateConfig":
        """Require two energies of every element, whole references, and a formula that contains it."""
        if not isinstance(self.series, dict):
            self._check_named()
            return self
        if not self.series:
            raise rejected("the series of one element or more", "none", "give them", key="series")
        for element in self.measured:
            if element in self.references:
                require_references(self.references[element], element)
            elif self.method == "voxels":
                raise rejected(
                    "references, which fits of every voxel need",
                    "none",
                    "give them, or leave 'method' out",
                    key=f"references.{element}",
                )
            if len(self.series[element]) < 2:
                raise rejected(
                    "tilt series at two or more energies",
                    str(len(self.series[element])),
                    "give one file per energy",
                    key=f"series.{element}",
                )
            if self.formula is not None and element not in self.formula:
                raise rejected(
                    f"a formula with {element}",
                    ", ".join(self.formula),
                    f"add {element}, or leave the formula out",
                    key="formula",
                )
        shared = any(one.only_energy_ev is not None and not one.flat for one in self.sources.values())
        if shared and not self.normalize.air_rescale:
            raise rejected(
                "air_rescale: true for one file of all energies, whose flat fields have no energy",
                "false",
                "set it, or give one file per energy",
                key="normalize.air_rescale",
            )
        self._check_named()
        return self

    def _check_named(self) -> None:
        """Refuse references and reference valences of elements that are not measured."""
        named = self.reference if isinstance(self.reference, dict) else {}
        for key, elements in (("references", self.references), ("reference", named)):
            extra = [element for element in elements if element not in self.measured]
            if extra:
                raise rejected(
                    f"elements with series ({', '.join(self.measured)})", extra[0], "correct it", key=key
                )

    @property
    def joint(self) -> bool:
        """Whether the valences come from the solution of the composition branch."""
        return not isinstance(self.series, dict)

    @property
    def measured(self) -> tuple[str, ...]:
        """Measured elements: O first, then by atomic number."""
        return ordered(self.series if isinstance(self.series, dict) else self.references)

    @property
    def sources(self) -> dict[str, Source]:
        """Tilt series by name, ``Ni_1``, ``Ni_2`` … in the given order."""
        return {
            f"{element}_{number}": source
            for element, series in self._series.items()
            for number, source in enumerate(series, start=1)
        }

    @property
    def _series(self) -> dict[str, tuple[Source, ...]]:
        """Series by element in the usual order; none if they are those of another branch."""
        given = self.series if isinstance(self.series, dict) else {}
        return {element: given[element] for element in self.measured if element in given}

    def names_of(self, element: str) -> tuple[str, ...]:
        """Return the names of the series of one element."""
        count = len(self._series.get(element, ()))
        return tuple(f"{element}_{number}" for number in range(1, 1 + count))

    def reference_of(self, element: str) -> float | None:
        """Return the reference valence of one element, None for the mode of the particle."""
        value = self.reference.get(element, "mode") if isinstance(self.reference, dict) else self.reference
        return None if isinstance(value, str) else value

    def spectra_of(self, element: str) -> tuple[tuple[float, ReferenceSource], ...]:
        """Return the references of one element and their valences, sorted by valence; none without any."""
        return sorted_spectra(self.references.get(element, {}), element)
