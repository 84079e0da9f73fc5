"""Settings of the scattering branch: maps over excitation and emission energy."""

import re
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag, ValidationInfo, field_validator, model_validator

from oxytomo.config.base import Settings, below_configuration, rejected, setting
from oxytomo.config.elements import SYMBOLS, Formula, checked_formula, known_elements, ordered
from oxytomo.config.oxidation import FitValenceSettings, OxidationConfig, Spectra, valence_of
from oxytomo.config.ranges import COUNT, DENSITY_G_CM3, ENERGY_EV
from oxytomo.config.settings import Energy, ExportSettings
from oxytomo.config.source import ImageSource, ReferenceSource, only_one

EnergyWindow = tuple[Energy, Energy]
_MAP_NAME = re.compile(r"([A-Z][a-z]?)_([A-Za-z0-9][A-Za-z0-9_]*)")


class EnergyRamp(Settings):
    """Energies in equal steps."""

    start: float = setting(..., "first energy", unit="eV", ge=0.0, le=ENERGY_EV[1])
    step: float = setting(..., "step, negative for decreasing energies", unit="eV", ge=-1e4, le=1e4)


def _axis_kind(value: Any) -> str:
    return "ramp" if isinstance(value, dict | EnergyRamp) else "path"


EnergyAxis = Annotated[
    Annotated[str, Tag("path")] | Annotated[EnergyRamp, Tag("ramp")], Discriminator(_axis_kind)
]


class ColumnSource(Settings):
    """A yield that was measured with a map, such as the total electron yield."""

    file: str | None = setting(None, "file of the spectrum; empty: a dataset in the file of the map")
    group: str | None = setting(None, "name of the column in the file")
    dataset: str | None = setting(
        None, "path inside the HDF5 file of the map, one number per excitation energy"
    )
    energy_unit: Literal["eV", "keV"] | None = setting(None, "unit of the energies in the file")
    divide_by_flux: bool = setting(False, "divide by the incident flux of the map")
    depth: Literal["surface", "bulk"] = setting(
        "surface", "depth that it probes: electrons come from the surface, fluorescence from the bulk"
    )

    @model_validator(mode="before")
    @classmethod
    def _plain_path(cls, data: Any) -> Any:
        """Accept the path of a file instead of the mapping."""
        return {"file": data} if isinstance(data, str) else data

    @field_validator("file")
    @classmethod
    def _below_the_configuration(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Resolve the path relative to the configuration file."""
        return None if value is None else below_configuration(value, info)

    @model_validator(mode="after")
    def _one_place(self) -> "ColumnSource":
        """Require a file or a dataset."""
        if (self.file is None) == (self.dataset is None):
            got = "both" if self.file is not None else "none"
            raise rejected("one of 'file' and 'dataset'", got, "name where the column is", key="file")
        return self


class MapSource(ImageSource):
    """One map: a path, or a mapping if the file does not contain everything."""

    excitation: EnergyAxis | None = setting(
        None, "table with the excitation energies, or {start, step}", unit="eV"
    )
    emission: EnergyAxis | None = setting(
        None, "table with the emission energies, or {start, step}", unit="eV"
    )
    excitation_dataset: str | None = setting(None, "path of the excitation energies inside the HDF5 file")
    emission_dataset: str | None = setting(None, "path of the emission energies inside the HDF5 file")
    excitation_along: Literal["rows", "columns"] | None = setting(
        None, "rows: each row has one excitation energy; empty: from the numbers of energies"
    )
    energy_unit: Literal["eV", "keV"] | None = setting(
        None, "unit of the energies; empty: same rule as for stacks"
    )
    flux: str | None = setting(None, "table with the incident flux × time of each excitation energy")
    flux_dataset: str | None = setting(None, "path of the incident flux × time inside the HDF5 file")
    flux_error: float = setting(
        0.0,
        "relative standard deviation of the flux of one excitation",
        unit="fraction",
        ge=0.0,
        le=0.5,
        expert=True,
    )
    units_per_photon: float | None = setting(
        None,
        "detector units that one photon gives; empty: the values are counted photons",
        gt=0.0,
        le=COUNT,
    )
    excitation_offset_ev: float = setting(
        0.0, "energy to add to the excitation energies", unit="eV", ge=-50.0, le=50.0
    )
    emission_offset_ev: float | None = setting(
        None,
        "energy to add to the emission energies; empty: found with the elastic line",
        unit="eV",
        ge=-50.0,
        le=50.0,
    )
    columns: dict[str, ColumnSource] = setting(
        {}, "yields measured with the map, by name, such as TEY: {file: tey.csv}"
    )

    @field_validator("excitation", "emission", "flux", mode="after")
    @classmethod
    def _tables_below_the_configuration(cls, value: Any, info: ValidationInfo) -> Any:
        """Resolve the tables relative to the configuration file."""
        return below_configuration(value, info) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_place_each(self) -> "MapSource":
        """Refuse energies or a flux given twice, and names of columns that a table cannot hold."""
        for table in ("excitation", "emission", "flux"):
            only_one(self, table, f"{table}_dataset")
        for name in self.columns:
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_ -]{0,30}", name) or name in YIELD_NAMES:
                wanted = f"a name of letters and digits other than {', '.join(YIELD_NAMES)}"
                raise rejected(wanted, f"'{name}'", "rename the column", key="columns")
        return self


YIELD_NAMES = ("TFY", "PFY", "sPFY", "iPFY", "PFY corrected")


class CalibrateMapSettings(Settings):
    """Calibration of the emission scale on the elastic line."""

    search_ev: float = setting(
        5.0, "largest offset of the emission scale to search for", unit="eV", gt=0.0, le=50.0
    )
    scale: Literal["offset", "linear"] = setting(
        "offset", "offset: move the emission scale; linear: also correct its step"
    )


class YieldSettings(Settings):
    """Emission windows of the yields of one element; empty windows of O have defaults."""

    pfy_ev: EnergyWindow | None = setting(
        None, "emission window of the partial fluorescence yield; O: 520 to 530", unit="eV"
    )
    spfy_ev: EnergyWindow | None = setting(
        None, "emission window of the super-partial yield; O: 523 to 524", unit="eV"
    )
    ipfy_ev: EnergyWindow | None = setting(
        None, "emission window of another element, for the inverse partial yield", unit="eV"
    )
    cuts_ev: tuple[Energy, ...] = setting(
        (), "excitation energies at which emission spectra are shown; O: 531", unit="eV", max_length=20
    )
    cut_width_ev: float = setting(
        0.5, "range of excitation energies of such a spectrum", unit="eV", gt=0.0, le=100.0
    )
    pre_edge_ev: EnergyWindow | None = setting(
        None, "excitations below the edge; empty: from tabulated edges", unit="eV"
    )
    post_edge_ev: EnergyWindow | None = setting(
        None, "excitations above the fine structure; empty: from tabulated edges", unit="eV"
    )

    @model_validator(mode="after")
    def _windows_rise(self) -> "YieldSettings":
        """Require windows of finite width."""
        _require_rising(self, "pfy_ev", "spfy_ev", "ipfy_ev", "pre_edge_ev", "post_edge_ev")
        return self


class FeatureSettings(Settings):
    """The feature of oxidised oxygen, compared between two maps."""

    excitation_ev: EnergyWindow = setting((530.5, 531.5), "its excitation energies", unit="eV")
    emission_ev: EnergyWindow = setting((523.0, 524.0), "its emission energies", unit="eV")
    scale: Literal["rest", "flux"] = setting(
        "rest",
        "rest: relative to all other emission of its map, so that the amount of sample cancels; "
        "flux: relative to the incident flux alone",
    )
    permutations: int = setting(
        2000, "number of random redistributions of the photons", ge=99, le=10**6, expert=True
    )
    level: float = setting(
        0.01, "a change is reported if its p-value is at most this", unit="fraction", gt=0.0, lt=0.5
    )
    seed: int = setting(0, "seed of the random numbers", ge=0, lt=2**32, expert=True)

    @model_validator(mode="after")
    def _windows_rise(self) -> "FeatureSettings":
        """Require windows of finite width."""
        _require_rising(self, "excitation_ev", "emission_ev")
        return self


class SelfAbsorptionSettings(Settings):
    """Correction of the partial fluorescence yield for self-absorption in a flat sample."""

    formula: Formula = setting(..., "atoms per formula unit", unit="atoms")
    density_g_cm3: float = setting(
        ..., "mass density, with pores", unit="g/cm³", ge=DENSITY_G_CM3[0], le=DENSITY_G_CM3[1]
    )
    thickness_um: float | None = setting(
        None, "thickness of the sample; empty: thick", unit="µm", gt=0.0, le=1e6
    )
    incidence_deg: float = setting(
        45.0, "angle of the incident beam to the surface", unit="deg", ge=1.0, le=90.0
    )
    exit_deg: float = setting(
        45.0, "angle of the detected emission to the surface", unit="deg", ge=1.0, le=90.0
    )

    _atoms = field_validator("formula")(checked_formula)

    @field_validator("formula")
    @classmethod
    def _oxide(cls, value: dict[str, float]) -> dict[str, float]:
        """Require oxygen, as the tables of attenuation do."""
        if "O" not in value:
            raise rejected("an oxide", f"{', '.join(value)} without O", "add the number of oxygen atoms")
        return value


def _require_rising(settings: Settings, *names: str) -> None:
    for name in names:
        window = getattr(settings, name)
        if window is not None and not window[0] < window[1]:
            raise rejected("[low, high] with low < high", str(list(window)), "correct it", key=name)


class ScatteringConfig(Settings):
    """Yields and differences from maps of resonant inelastic scattering."""

    maps: dict[str, MapSource] = setting(
        ..., "the maps by name: element, underscore, state, such as O_before", min_length=1, max_length=20
    )
    compare: tuple[tuple[str, str], ...] | None = setting(
        None, "pairs of maps to compare; empty: <element>_before with <element>_after"
    )
    calibrate: CalibrateMapSettings = setting(CalibrateMapSettings(), "calibration of the emission scale")
    yields: dict[str, YieldSettings] | YieldSettings = setting(
        YieldSettings(), "emission windows; settings for single elements as Mn: {...}"
    )
    feature: FeatureSettings = setting(FeatureSettings(), "the feature that is compared, for O")
    self_absorption: SelfAbsorptionSettings | None = setting(
        None, "correct the partial fluorescence yield for self-absorption; empty: no"
    )
    references: dict[str, dict[str, Spectra]] = setting(
        {}, "reference spectra for valences from yields; empty: those of the oxidation branch"
    )
    fit: FitValenceSettings = setting(FitValenceSettings(), "fit of the yields with reference spectra")
    export: ExportSettings = setting(ExportSettings(), "OME-Zarr")

    @field_validator("maps", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """Require names of an element and a state."""
        for name in value if isinstance(value, dict) else ():
            match = _MAP_NAME.fullmatch(str(name))
            if match is None or match.group(1) not in SYMBOLS or len(str(name)) > 60:
                wanted = "a name of an element and a state of letters, digits and '_', such as O_before"
                raise rejected(wanted, f"'{name}'", "rename the map", key=str(name))
        return value

    _valences_as_text = field_validator("references", mode="before")(
        lambda value: OxidationConfig.references_as_text(value)
    )

    @field_validator("yields", mode="before")
    @classmethod
    def _of_all_or_each(cls, value: Any) -> Any:
        """Distinguish settings for all elements from settings per element by their keys."""
        if isinstance(value, dict) and value and all(key in SYMBOLS for key in value):
            return {key: YieldSettings.model_validate(one) for key, one in value.items()}
        return YieldSettings.model_validate(value) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _fits_together(self) -> "ScatteringConfig":
        """Require pairs of maps of one element, and references of measured elements."""
        for first, second in self.compare or ():
            for name in (first, second):
                if name not in self.maps:
                    wanted = f"names of maps ({', '.join(self.maps)})"
                    raise rejected(wanted, f"'{name}'", "correct it", key="compare")
            if first == second or self.element_of(first) != self.element_of(second):
                raise rejected(
                    "two maps of one element", f"{first} and {second}", "correct it", key="compare"
                )
        known_elements(self.references, what="the references")
        if isinstance(self.yields, dict):
            for element in self.yields:
                if element not in self.measured:
                    wanted = f"elements with a map ({', '.join(self.measured)})"
                    raise rejected(wanted, element, "correct it", key="yields")
        for element in self.measured:
            self.spectra_of(element)
        if self.fit.fractions_sum == "one":
            raise rejected("fractions_sum: free", "one", "the unit of a yield is arbitrary", key="fit")
        if self.self_absorption is not None:
            missing = [e for e in self.measured if e not in self.self_absorption.formula]
            if missing:
                got = f"no {missing[0]}"
                raise rejected("the elements of the maps", got, "correct it", key="self_absorption.formula")
        return self

    def element_of(self, name: str) -> str:
        """Return the element of a map."""
        return name.partition("_")[0]

    @property
    def measured(self) -> tuple[str, ...]:
        """Elements with a map: O first, then by atomic number."""
        return ordered({self.element_of(name) for name in self.maps})

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the maps by element, in the order of the configuration."""
        return tuple(n for element in self.measured for n in self.maps if self.element_of(n) == element)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Pairs of maps that are compared."""
        if self.compare is not None:
            return self.compare
        pairs = ((f"{element}_before", f"{element}_after") for element in self.measured)
        return tuple(pair for pair in pairs if set(pair) <= set(self.maps))

    def yields_of(self, element: str) -> YieldSettings:
        """Return the emission windows of one element, with the defaults of O."""
        own = self.yields.get(element, YieldSettings()) if isinstance(self.yields, dict) else self.yields
        if element != "O":
            return own
        defaults = {"pfy_ev": (520.0, 530.0), "spfy_ev": (523.0, 524.0), "cuts_ev": (531.0,)}
        missing = {key: value for key, value in defaults.items() if not getattr(own, key)}
        return own.model_copy(update=missing)

    def spectra_of(self, element: str) -> tuple[tuple[float, ReferenceSource], ...]:
        """Return the references of one element by increasing valence; none without references."""
        pairs = [
            (valence_of(text, element), spectrum)
            for text, spectra in self.references.get(element, {}).items()
            for spectrum in spectra
        ]
        if pairs and not (2 <= len(pairs) <= 5 and len({valence for valence, _ in pairs}) > 1):
            raise rejected(
                "2 to 5 reference spectra of at least two valences",
                str(len(pairs)),
                'give e.g. {"3": refs/Mn2O3.csv, "4": refs/MnO2.csv}',
                key=f"references.{element}",
            )
        return tuple(sorted(pairs, key=lambda pair: pair[0]))


def with_oxidation_references(data: Any) -> Any:
    """Return a sample whose scattering branch has the references of its oxidation branch.

    Only those of its elements are taken, and only if it has none of its own.
    """
    if not isinstance(data, dict):
        return data
    scattering, oxidation = data.get("scattering"), data.get("oxidation")
    if isinstance(oxidation, OxidationConfig):
        given: Any = oxidation.references
    else:
        given = oxidation.get("references") if isinstance(oxidation, dict) else None
    if not isinstance(scattering, dict) or not isinstance(given, dict) or "references" in scattering:
        return data
    maps = scattering.get("maps")
    elements = {str(name).partition("_")[0] for name in maps} if isinstance(maps, dict) else set()
    shared = {element: spectra for element, spectra in given.items() if element in elements}
    return {**data, "scattering": {**scattering, "references": shared}} if shared else data
