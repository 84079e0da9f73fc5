"""Settings of the branches that use tilt series: composition, areal density, tomogram."""

from typing import Literal

from pydantic import field_validator, model_validator

from oxytomo.config.base import Settings, rejected, setting
from oxytomo.config.elements import TRANSITION_METALS, Formula, checked_formula, known_elements, ordered
from oxytomo.config.oxidation import MAX_REFERENCES, Spectra, sorted_spectra, valences_as_text
from oxytomo.config.ranges import DENSITY_G_CM3
from oxytomo.config.settings import (
    AlignSettings,
    ClassifySettings,
    DecomposeSettings,
    DeviationSettings,
    ExportSettings,
    MeasureSettings,
    NormalizeSettings,
    PristineReference,
    ReconstructSettings,
    Reference,
    TomogramReconstructSettings,
    UncertaintySettings,
)
from oxytomo.config.source import ReferenceSource, Source


class EdgePair(Settings):
    """The two energies of an absorption edge."""

    pre: Source = setting(..., "tilt series below the edge")
    post: Source = setting(..., "tilt series on or above the edge")


class EdgeSeries(EdgePair):
    """The two energies of an absorption edge, and further ones where references are given."""

    more: tuple[Source, ...] = setting(
        (), "tilt series at further energies of this edge, on its white lines; needs references"
    )


def _formula_covers(formula: dict[str, float], elements: tuple[str, ...]) -> None:
    """Require that the formula contains every measured element."""
    missing = [element for element in elements if element not in formula]
    if missing:
        raise rejected(
            f"every measured element ({', '.join(elements)})",
            f"no {', '.join(missing)} in {{{', '.join(formula)}}}",
            f"add {', '.join(missing)} to the formula or leave out that edge",
            key="formula",
        )


def _near_edge_covers(decompose: DecomposeSettings, elements: tuple[str, ...]) -> None:
    """Require that near-edge factors are those of measured elements."""
    terms = decompose.instrument
    given = {} if isinstance(terms, str) or isinstance(terms.near_edge, str) else terms.near_edge
    extra = [element for element in given if element not in elements]
    if extra:
        raise rejected(
            f"measured elements ({', '.join(elements)})",
            extra[0],
            "correct the symbol, or leave it out",
            key="decompose.instrument.near_edge",
        )


def _check_references(given: dict[str, Spectra], element: str) -> None:
    """Require one to five spectra of different valences, and a single one of O."""
    count = sum(len(spectra) for spectra in given.values())
    most = 1 if element == "O" else MAX_REFERENCES
    pairs = sorted_spectra(given, element)
    if not 1 <= count <= most or len({valence for valence, _ in pairs}) < count:
        wanted = "one reference spectrum" if most == 1 else f"1 to {most} spectra, each of its own valence"
        fix = (
            'give e.g. {"-2": refs/O.csv}'
            if most == 1
            else 'give e.g. {"2": refs/low.csv, "4": refs/high.csv}'
        )
        raise rejected(wanted, f"{count}", fix, key=f"references.{element}")


class CompositionConfig(Settings):
    """TM/O deviation and its classes from dual-energy tilt series or element maps."""

    edges: dict[str, EdgeSeries] | None = setting(
        None,
        "for each element, the tilt series at the two energies of its edge; O and at least one "
        "transition metal",
    )
    references: dict[str, dict[str, Spectra]] = setting(
        {},
        "measured reference spectra of elements by valence, which replace the tables at their edges; "
        "with two valences or more the branch chemical_state can map the valence",
    )
    references_normalized: bool = setting(
        False, "these references already have a pre-edge of 0 and an edge jump of 1"
    )
    elements: dict[str, Source] | None = setting(
        None, "for each element, a tilt series of element maps; replaces edges"
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
        0.05,
        "TM/O deviation above which a voxel is called oxygen-poor or oxygen-rich",
        unit="fraction",
        gt=0.0,
        lt=1.0,
    )
    reference: Literal["nominal", "mode"] | PristineReference | None = setting(
        None,
        "reference for the TM/O deviation: the formula (nominal), the most frequent value of the "
        "particle (mode) or another sample ({pristine: NAME}); empty: nominal for edges, mode for "
        "elements",
    )
    normalize: NormalizeSettings = setting(NormalizeSettings(), "conversion of counts to optical density")
    align: AlignSettings = setting(AlignSettings(), "alignment: shifts, tilt axis, magnification")
    decompose: DecomposeSettings = setting(DecomposeSettings(), "decomposition of the energies into elements")
    reconstruct: ReconstructSettings = setting(
        DeviationSettings(), "reconstruction of volumes from projections"
    )
    uncertainty: UncertaintySettings = setting(UncertaintySettings(), "noise replicates and null run")
    classify: ClassifySettings = setting(ClassifySettings(), "classes from the TM/O deviation")
    measure: MeasureSettings = setting(MeasureSettings(), "measurement of fractions, domains and shells")
    export: ExportSettings = setting(ExportSettings(), "OME-Zarr")

    _symbols = field_validator("edges", "elements", mode="before")(
        lambda value: known_elements(value, what="the edges")
    )
    _atoms = field_validator("formula")(checked_formula)
    _valences = field_validator("references", mode="before")(lambda value: valences_as_text(value))

    @model_validator(mode="after")
    def _edges_or_elements(self) -> "CompositionConfig":
        """Require exactly one of edges and elements, and a formula with oxygen and a metal."""
        if (self.edges is None) == (self.elements is None):
            got = "neither" if self.edges is None else "both"
            raise rejected("exactly one of 'edges' and 'elements'", got, "keep the one that was measured")
        kind = "edges" if self.edges is not None else "elements"
        others = [e for e in self.measured if e != "O" and e not in TRANSITION_METALS]
        # Element maps may show any metal (Mg, Si, Al). TM then means all of them.
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

    @model_validator(mode="after")
    def _references_of_edges(self) -> "CompositionConfig":
        """Require references of measured edges, that are used, and more energies only with them."""
        for element in self.references:
            if element not in (self.edges or {}):
                known = ", ".join(ordered(self.edges or ())) or "none"
                fix = "remove these references, or give the edge of the element"
                raise rejected(f"an element with edges ({known})", element, fix, key="references")
            _check_references(self.references[element], element)
        for element, edge in (self.edges or {}).items():
            if edge.more and element not in self.references:
                wanted, fix = f"references of {element} for more than two energies", "give 'references:'"
                raise rejected(wanted, "none", fix, key=f"edges.{element}.more")
        if self.references and self.decompose.method != "weighted":
            fix = "remove 'references', or 'method'"
            raise rejected("weighted, which uses references", "subtraction", fix, key="decompose.method")
        _near_edge_covers(self.decompose, self.measured)
        terms = self.decompose.instrument
        given = {} if isinstance(terms, str) or isinstance(terms.near_edge, str) else terms.near_edge
        both = [element for element in given if element in self.references]
        if both:
            fix = "remove one of the two"
            wanted = "elements without references: theirs measure it"
            raise rejected(wanted, both[0], fix, key="decompose.instrument.near_edge")
        return self

    @property
    def with_states(self) -> tuple[str, ...]:
        """Elements whose valence can be solved for, in the usual order."""
        return tuple(e for e in self.measured if len(self.references.get(e, {})) > 1)

    def spectra_of(self, element: str) -> tuple[tuple[float, ReferenceSource], ...]:
        """Return the references of one element and their valences, sorted by valence."""
        return sorted_spectra(self.references[element], element)

    @property
    def measured(self) -> tuple[str, ...]:
        """Measured elements: O first, then by atomic number."""
        return ordered(self.edges if self.edges is not None else self.elements or ())

    @property
    def effective_reference(self) -> Reference:
        """Reference of the deviation: the chosen one, or the default for this kind of data."""
        if isinstance(self.reference, PristineReference):
            return "pristine"
        return self.reference or ("nominal" if self.edges is not None else "mode")

    @property
    def parts(self) -> int:
        """Number of jobs of the reconstruction."""
        return self.reconstruct.parts if isinstance(self.reconstruct, DeviationSettings) else 1

    @property
    def pristine(self) -> str | None:
        """Name of the reference sample, if the reference is a sample."""
        return self.reference.pristine if isinstance(self.reference, PristineReference) else None


class ArealDensityConfig(Settings):
    """Maps of areal density from images at one angle and two energies per edge."""

    edges: dict[str, EdgePair] = setting(
        ..., "for each element, the images at the two energies of its edge", min_length=1
    )
    formula: Formula = setting(..., "atoms per formula unit of the material", unit="atoms")
    density_g_cm3: float = setting(
        4.2, "mass density of the material", unit="g/cm³", ge=DENSITY_G_CM3[0], le=DENSITY_G_CM3[1]
    )
    normalize: NormalizeSettings = setting(NormalizeSettings(), "conversion of counts to optical density")
    align: AlignSettings = setting(AlignSettings(), "alignment: shift and magnification between the energies")
    decompose: DecomposeSettings = setting(DecomposeSettings(), "decomposition of the energies into elements")
    export: ExportSettings = setting(ExportSettings(), "OME-Zarr")

    _symbols = field_validator("edges", mode="before")(lambda value: known_elements(value, what="the edges"))
    _atoms = field_validator("formula")(checked_formula)

    @model_validator(mode="after")
    def _covered(self) -> "ArealDensityConfig":
        """Require a formula that contains the elements of all edges, and factors of these only."""
        _near_edge_covers(self.decompose, self.measured)
        _formula_covers(self.formula, self.measured)
        return self

    @property
    def measured(self) -> tuple[str, ...]:
        """Measured elements: O first, then by atomic number."""
        return ordered(self.edges)


class TomogramConfig(Settings):
    """A volume from one tilt series."""

    source: Source = setting(..., "the tilt series")
    normalize: NormalizeSettings = setting(NormalizeSettings(), "conversion of counts to optical density")
    align: AlignSettings = setting(AlignSettings(), "alignment: shifts and tilt axis")
    reconstruct: TomogramReconstructSettings = setting(
        TomogramReconstructSettings(), "reconstruction of a volume from projections"
    )
    export: ExportSettings = setting(ExportSettings(), "OME-Zarr")
