"""The configuration of a project: samples, their branches, their raw series."""

import math
import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, field_validator, model_validator

from oxytomo.config.base import Settings, checked_name, checked_path, closest, rejected, setting
from oxytomo.config.beamtime import PlanSettings
from oxytomo.config.elements import SYMBOLS, TRANSITION_METALS, Formula, checked_formula, known_elements
from oxytomo.config.ranges import DENSITY_G_CM3
from oxytomo.config.settings import (
    AlignSettings,
    ClassifySettings,
    DecomposeSettings,
    DeviationSettings,
    ExportSettings,
    FitValenceSettings,
    MeasureOxidationSettings,
    MeasureSettings,
    NormalizeSettings,
    NormalizeStackSettings,
    PristineReference,
    ReconstructSettings,
    Reference,
    RegisterStackSettings,
    TomogramReconstructSettings,
    UncertaintySettings,
)
from oxytomo.config.source import ReferenceSource, Source, StackSource
from oxytomo.config.structure import StructureConfig

Branch = Literal["composition", "areal_density", "tomogram", "oxidation", "structure"]
_SAMPLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
LONGEST_SAMPLE_NAME = 100
_RESERVED = ("logs", "benchmarks")
COMPARED_BRANCHES: tuple[Branch, ...] = ("composition", "oxidation", "structure")
"""Branches whose numbers a comparison of samples holds."""
MAX_REFERENCES = 5


class EdgePair(Settings):
    """The two energies of an absorption edge."""

    pre: Source = setting(..., "tilt series below the edge")
    post: Source = setting(..., "tilt series on or above the edge")


def _formula_covers(formula: dict[str, float], elements: tuple[str, ...]) -> None:
    """Every measured element must be in the formula."""
    missing = [element for element in elements if element not in formula]
    if missing:
        raise rejected(
            f"every measured element ({', '.join(elements)})",
            f"no {', '.join(missing)} in {{{', '.join(formula)}}}",
            f"add {', '.join(missing)} to the formula or leave out that edge",
            key="formula",
        )


def ordered(elements: Any) -> tuple[str, ...]:
    """Return elements in the order of every store and image: O first, then by atomic number."""
    return tuple(sorted(elements, key=lambda symbol: (symbol != "O", SYMBOLS.index(symbol))))


class CompositionConfig(Settings):
    """Dual-energy tilt series (or element maps) to the TM/O deviation and its classes."""

    edges: dict[str, EdgePair] | None = setting(
        None, "per element the two energies of its edge; O and a transition metal"
    )
    elements: dict[str, Source] | None = setting(
        None, "per element its tilt series of maps, instead of edges"
    )
    formula: Formula | None = setting(
        None, "atoms per formula unit of the reference composition", unit="atoms"
    )
    density_g_cm3: float = setting(
        4.2,
        "mass density of the reference composition",
        unit="g/cm³",
        ge=DENSITY_G_CM3[0],
        le=DENSITY_G_CM3[1],
    )
    threshold: float = setting(
        0.05, "deviation from which a voxel is oxygen-poor or oxygen-rich", unit="fraction", gt=0.0, lt=1.0
    )
    reference: Literal["nominal", "mode"] | PristineReference | None = setting(
        None,
        "what TM/O deviates from: the formula (nominal), the particle's own most frequent value (mode) or another sample "
        "({pristine: NAME}); empty: nominal for edges, mode for elements",
    )
    normalize: NormalizeSettings = setting(NormalizeSettings(), "counts to optical density")
    align: AlignSettings = setting(AlignSettings(), "shifts, tilt axis, magnification")
    decompose: DecomposeSettings = setting(DecomposeSettings(), "energies to elements")
    reconstruct: ReconstructSettings = setting(DeviationSettings(), "projections to volumes")
    uncertainty: UncertaintySettings = setting(UncertaintySettings(), "noise and null run")
    classify: ClassifySettings = setting(ClassifySettings(), "deviation to classes")
    measure: MeasureSettings = setting(MeasureSettings(), "fractions, domains, shells")
    export: ExportSettings = setting(ExportSettings(), "OME-Zarr")

    _symbols = field_validator("edges", "elements", mode="before")(
        lambda value: known_elements(value, what="the edges")
    )
    _atoms = field_validator("formula")(checked_formula)

    @model_validator(mode="after")
    def _edges_or_elements(self) -> "CompositionConfig":
        """Require exactly one of edges and elements, with oxygen and a transition metal in the formula."""
        if (self.edges is None) == (self.elements is None):
            got = "neither" if self.edges is None else "both"
            raise rejected("exactly one of 'edges' and 'elements'", got, "keep the one that was measured")
        kind = "edges" if self.edges is not None else "elements"
        others = [e for e in self.measured if e != "O" and e not in TRANSITION_METALS]
        # Element maps may hold any metal (Mg, Si, Al): TM then stands for all of them.
        metals = [e for e in self.measured if e != "O" and (kind == "elements" or e not in others)]
        if "O" not in self.measured or not metals:
            got = ", ".join(self.measured) or "none"
            wanted = (
                "O and at least one other element"
                if kind == "elements"
                else "O and at least one transition metal"
            )
            raise rejected(wanted, got, "add the missing element", key=kind)
        if others and kind == "edges":
            raise rejected(
                "O and transition metals only", ", ".join(others), f"remove {', '.join(others)}", key=kind
            )
        if self.formula is None and (self.edges is not None or self.reference == "nominal"):
            fix = "add e.g. formula: {Li: 1.2, Mn: 0.56, Ni: 0.16, Co: 0.08, O: 2.0}"
            raise rejected("the atoms of the reference composition", "nothing", fix, key="formula")
        if self.formula is not None:
            _formula_covers(self.formula, self.measured)
        return self

    @property
    def measured(self) -> tuple[str, ...]:
        """Measured elements: O first, then by atomic number."""
        return ordered(self.edges if self.edges is not None else self.elements or ())

    @property
    def effective_reference(self) -> Reference:
        """The chosen reference, or the default for the kind of data."""
        if isinstance(self.reference, PristineReference):
            return "pristine"
        return self.reference or ("nominal" if self.edges is not None else "mode")

    @property
    def parts(self) -> int:
        """Jobs that the reconstruction is shared out to."""
        return self.reconstruct.parts if isinstance(self.reconstruct, DeviationSettings) else 1

    @property
    def pristine(self) -> str | None:
        """The sample that is the reference, where it is one."""
        return self.reference.pristine if isinstance(self.reference, PristineReference) else None


class ArealDensityConfig(Settings):
    """One angle, two energies per edge: maps of areal density."""

    edges: dict[str, EdgePair] = setting(..., "per element the two energies of its edge", min_length=1)
    formula: Formula = setting(..., "atoms per formula unit of the material", unit="atoms")
    density_g_cm3: float = setting(
        4.2, "mass density of the material", unit="g/cm³", ge=DENSITY_G_CM3[0], le=DENSITY_G_CM3[1]
    )
    normalize: NormalizeSettings = setting(NormalizeSettings(), "counts to optical density")
    align: AlignSettings = setting(AlignSettings(), "shift and magnification between the energies")
    decompose: DecomposeSettings = setting(DecomposeSettings(), "energies to elements")
    export: ExportSettings = setting(ExportSettings(), "OME-Zarr")

    _symbols = field_validator("edges", mode="before")(lambda value: known_elements(value, what="the edges"))
    _atoms = field_validator("formula")(checked_formula)

    @model_validator(mode="after")
    def _covered(self) -> "ArealDensityConfig":
        """Require a formula that covers the edges."""
        _formula_covers(self.formula, self.measured)
        return self

    @property
    def measured(self) -> tuple[str, ...]:
        """Measured elements: O first, then by atomic number."""
        return ordered(self.edges)


class TomogramConfig(Settings):
    """One tilt series to a plain volume."""

    source: Source = setting(..., "the tilt series")
    normalize: NormalizeSettings = setting(NormalizeSettings(), "counts to optical density")
    align: AlignSettings = setting(AlignSettings(), "shifts and tilt axis")
    reconstruct: TomogramReconstructSettings = setting(
        TomogramReconstructSettings(), "projections to a volume"
    )
    export: ExportSettings = setting(ExportSettings(), "OME-Zarr")


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
        """Require two to five references of two valences for every element, and fits of measured elements."""
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


class RegisterBranchesSettings(Settings):
    """Composition and structure of the same particle, registered to each other and compared."""

    near_nm: float | None = setting(
        None,
        "how far the neighbourhood of a void reaches; empty: three voxels of the composition",
        unit="nm",
        gt=0.0,
        le=1e9,
    )
    placements: int = setting(200, "random placements that say what chance gives", ge=20, le=10_000)
    seed: int = setting(0, "seed of the random numbers", ge=0, lt=2**32)


def _switched_on(value: Any) -> Any:
    """Accept true for the defaults and false for off."""
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


class SampleConfig(Settings):
    """The branches of one sample; at least one."""

    composition: CompositionConfig | None = setting(None, CompositionConfig.__doc__ or "")
    areal_density: ArealDensityConfig | None = setting(None, ArealDensityConfig.__doc__ or "")
    tomogram: TomogramConfig | None = setting(None, TomogramConfig.__doc__ or "")
    oxidation: OxidationConfig | None = setting(None, OxidationConfig.__doc__ or "")
    structure: StructureConfig | None = setting(None, StructureConfig.__doc__ or "")
    register_branches: Annotated[
        RegisterBranchesSettings | None,
        BeforeValidator(_switched_on, json_schema_input_type=bool | RegisterBranchesSettings | None),
    ] = setting(
        None, "true where composition and structure show the same particle: compare voids and domains"
    )

    @model_validator(mode="before")
    @classmethod
    def _some_branch(cls, data: Any) -> Any:
        """Require at least one branch."""
        branches = [name for name in cls.model_fields if name != "register_branches"]
        if isinstance(data, dict) and all(data.get(name) is None for name in branches):
            known = [key for key in data if key in cls.model_fields]
            if len(known) == len(data):
                raise rejected(f"at least one of {', '.join(branches)}", "none", "add a branch")
        return data

    @model_validator(mode="after")
    def _both_branches(self) -> "SampleConfig":
        """Registered branches must be there."""
        missing = [name for name in ("composition", "structure") if getattr(self, name) is None]
        if self.register_branches is not None and missing:
            got = f"no {' and no '.join(missing)}"
            fix = "add the branch or remove register_branches"
            raise rejected("the branches composition and structure", got, fix, key="register_branches")
        return self


class ProjectConfig(Settings):
    """A whole configuration file."""

    results: Path = setting(Path("results"), "output folder, relative to this file")
    samples: dict[str, SampleConfig] = setting(
        ..., "the samples by name: letters, digits, '_' and '-'", min_length=1
    )
    groups: dict[str, tuple[str, ...]] = setting(
        {}, "samples to compare, by the name of their group (a state of charge, a rate); empty: no comparison"
    )
    plan: PlanSettings | None = setting(None, "a beam time to plan with `oxytomo plan`; nothing else uses it")

    @field_validator("samples", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """Sample names become folder names."""
        for name in value if isinstance(value, dict) else ():
            if not isinstance(name, str) or not _SAMPLE_NAME.fullmatch(name):
                # A name that begins with "-" would be an option to the programs that are given it.
                wanted = "a sample name of letters, digits, '_' and '-' that begins with a letter or digit"
                raise rejected(wanted, f"'{name}'", "rename it", key=str(name))
            if len(name) > LONGEST_SAMPLE_NAME:
                wanted = f"a sample name of at most {LONGEST_SAMPLE_NAME} characters"
                raise rejected(wanted, f"{len(name)}", "give a shorter one", key=name)
            if name in _RESERVED:
                raise rejected(
                    "another sample name", f"'{name}', which is a folder of its own", "rename it", key=name
                )
        return value

    @field_validator("groups")
    @classmethod
    def _group_names(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """Names of groups are shown in pages and tables."""
        for name in value:
            checked_name(name, key=name)
        return value

    @field_validator("results")
    @classmethod
    def _folder(cls, value: Path) -> Path:
        """Resolve the home folder, and refuse what is no path."""
        return Path(checked_path(str(value)))

    @model_validator(mode="after")
    def _groups_of_samples(self) -> "ProjectConfig":
        """Require groups of known samples with something to compare, each in one group, two or more in all."""
        grouped = Counter(name for names in self.groups.values() for name in names)
        for group, names in self.groups.items():
            for name in names or ("",):
                key = f"groups.{group}"
                if name not in self.samples:
                    guess = closest(name, self.samples)
                    got = f"'{name}'" if name else "no sample"
                    fix = f"did you mean '{guess}'?" if guess else f"name some of {', '.join(self.samples)}"
                    raise rejected("samples of this file", got, fix, key=key)
                if not any(getattr(self.samples[name], branch) is not None for branch in COMPARED_BRANCHES):
                    wanted = f"samples with {', '.join(COMPARED_BRANCHES)}"
                    raise rejected(wanted, f"'{name}', which has none", "leave it out", key=key)
                if grouped[name] > 1:
                    raise rejected("each sample once", f"'{name}' twice", "keep it in one group", key=key)
        if grouped.total() == 1:
            raise rejected("two samples or more", "one", "add a sample to compare with", key="groups")
        return self

    @model_validator(mode="after")
    def _pristine_samples(self) -> "ProjectConfig":
        """Require that a reference sample has a composition of the same elements that stands by itself."""
        for name, sample in self.samples.items():
            if sample.composition is None or sample.composition.pristine is None:
                continue
            other = sample.composition.pristine
            known = self.samples[other].composition if other in self.samples else None
            key = f"samples.{name}.composition.reference.pristine"
            wanted = "another sample with a composition branch"
            if known is None or other == name:
                raise rejected(wanted, f"'{other}'", "name a sample of this file", key=key)
            if known.pristine is not None:
                fix = "give the pristine sample the reference nominal or mode"
                raise rejected(
                    "a sample with a reference of its own", f"'{other}', which refers on", fix, key=key
                )
            if known.measured != sample.composition.measured:
                got = f"{', '.join(known.measured)} of '{other}' against {', '.join(sample.composition.measured)}"
                raise rejected("a sample with the same elements", got, "measure both alike", key=key)
        return self
