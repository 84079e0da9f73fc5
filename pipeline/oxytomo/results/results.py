"""The results of one sample, and of a folder of samples."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oxytomo.config import Branch
from oxytomo.io.records import Provenance
from oxytomo.io.stores import Store
from oxytomo.results import read
from oxytomo.results.all_arrays import array_readers
from oxytomo.results.columns import TABLE_TYPES
from oxytomo.results.definitions import (
    COMPOSITION,
    MECHANICS,
    STRUCTURE,
    Quantity,
    line_quantities,
    state_quantities,
    valence_quantities,
)
from oxytomo.results.errors import no_such, numbers_of
from oxytomo.results.files import Files
from oxytomo.results.images import KINDS, OpenedImage, image_record, open_image
from oxytomo.results.keyed import Keyed
from oxytomo.results.numbers import Number, branch_numbers
from oxytomo.results.places import JOINT, JSON_TABLES, STORES, find_results
from oxytomo.results.read_oxidation import read_oxidation
from oxytomo.results.read_scattering import read_scattering
from oxytomo.results.read_states import read_chemical_state
from oxytomo.results.records import (
    Alignment,
    ArealDensity,
    ChemicalStates,
    Composition,
    Joint,
    Mechanics,
    Oxidation,
    Scattering,
    Structure,
    Tomogram,
)
from oxytomo.results.scattering_numbers import scattering_quantities

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

_READERS: Mapping[str, Callable[[Files], Any]] = {
    "composition": read.read_composition,
    "areal_density": read.read_areal_density,
    "tomogram": read.read_tomogram,
    "chemical_state": read_chemical_state,
    "oxidation": read_oxidation,
    "structure": read.read_structure,
    "mechanics": read.read_mechanics,
    "scattering": read_scattering,
    JOINT: read.read_joint,
}


class Results:
    """The results of one sample: arrays, tables, numbers, warnings, definitions and provenance.

    Data are read on first use and checked: a file that was changed after its stage wrote it, or
    that has the format of another version, raises :class:`oxytomo.errors.StoreError` with one line.

    Parameters
    ----------
    paths : stores and tables by key, see :func:`oxytomo.results.places.find_results`
    folder : folder of the sample, None if stores were given one by one
    name : of the sample
    """

    def __init__(self, paths: Mapping[str, Path], *, folder: Path | None, name: str) -> None:
        self.folder, self.name = folder, name
        self.files = Files(paths)
        self._records: dict[str, Any] = {}
        self._numbers: dict[str, Mapping[str, Number]] = {}

    @classmethod
    def of_folder(cls, folder: Path, *, more: bool = True) -> "Results":
        """Open the folder of a sample; ``more`` includes tables that the report does not use."""
        return cls(find_results(folder, more=more), folder=folder, name=folder.resolve().name)

    def record(self, branch: str) -> Any:
        """Return the results of a branch (or ``branches``) as one record, None if not finished."""
        if branch not in self._records:
            with numbers_of(self.files.paths, branch):
                self._records[branch] = _READERS[branch](self.files)
        return self._records[branch]

    @property
    def composition(self) -> Composition | None:
        """The composition branch."""
        return self.record("composition")

    @property
    def areal_density(self) -> ArealDensity | None:
        """The areal-density branch."""
        return self.record("areal_density")

    @property
    def tomogram(self) -> Tomogram | None:
        """The tomogram branch."""
        return self.record("tomogram")

    @property
    def chemical_state(self) -> ChemicalStates | None:
        """The chemical-state branch."""
        return self.record("chemical_state")

    @property
    def oxidation(self) -> Oxidation | None:
        """The oxidation branch."""
        return self.record("oxidation")

    @property
    def structure(self) -> Structure | None:
        """The structure branch."""
        return self.record("structure")

    @property
    def mechanics(self) -> Mechanics | None:
        """The mechanics branch."""
        return self.record("mechanics")

    @property
    def scattering(self) -> Scattering | None:
        """The scattering branch."""
        return self.record("scattering")

    @property
    def joint(self) -> Joint | None:
        """Composition and structure of the particle, registered to each other."""
        return self.record(JOINT)

    def alignment(self, branch: str) -> Alignment | None:
        """Return the alignment of a branch, None if there is none."""
        with numbers_of(self.files.paths, branch):
            return read.read_alignment(self.files, branch)

    @property
    def branches(self) -> tuple[Branch, ...]:
        """The branches with any results."""
        begun = {key.split("/")[0] for key in (*self.tables, *self.arrays)}
        return tuple(
            branch
            for branch in STORES
            if branch in begun or JSON_TABLES.get(branch, "") in self.files or f"{branch}_align" in self.files
        )

    @cached_property
    def arrays(self) -> "Keyed[xr.DataArray]":
        """Lazy arrays by ``<branch>/<name>``, with coordinates in nanometres."""
        with numbers_of(self.files.paths, "arrays"):
            return Keyed("arrays", array_readers(self))

    @cached_property
    def tables(self) -> "Keyed[pd.DataFrame]":
        """Tables by ``<branch>/<file name>``, typed; ``attrs`` hold units and definitions."""

        def reader(key: str) -> "Callable[[], pd.DataFrame]":
            return lambda: self.files.table(key)

        return Keyed(
            "tables",
            {
                f"{kind.branch}/{self.files.paths[key].stem}": reader(key)
                for key, kind in TABLE_TYPES.items()
                if key in self.files
            },
        )

    @cached_property
    def numbers(self) -> Keyed[Number]:
        """The main numbers by ``<branch>/<name>``, with 95 % intervals."""

        def reader(quantity: Quantity) -> Callable[[], Number]:
            return lambda: self._numbers_of(quantity.branch)[quantity.key]

        return Keyed("numbers", {f"{one.branch}/{one.key}": reader(one) for one in self._quantities})

    @cached_property
    def _quantities(self) -> list[Quantity]:
        """The quantities of the sample, from its existing tables."""
        with numbers_of(self.files.paths, "oxidation"):
            oxidation = self.files.json("oxidation_summary") or {}
            elements, map_lines = list(oxidation.get("elements", ())), list(oxidation.get("white_lines", ()))
        with numbers_of(self.files.paths, "chemical_state"):
            chemical = self.files.json("chemical_state_summary") or {}
            states, lines = list(chemical.get("elements", ())), list(chemical.get("white_lines", ()))
        with numbers_of(self.files.paths, "scattering"):
            scattering = scattering_quantities(self.files.json("scattering_summary") or {})
        own = (
            *COMPOSITION,
            *state_quantities(states),
            *line_quantities(lines),
            *valence_quantities(elements),
        )
        own = (*own, *line_quantities(map_lines, "oxidation"))
        known = (*own, *STRUCTURE, *MECHANICS, *scattering)
        return [one for one in known if JSON_TABLES[one.branch] in self.files]

    def _numbers_of(self, branch: str) -> Mapping[str, Number]:
        if branch not in self._numbers:
            with numbers_of(self.files.paths, branch):
                self._numbers[branch] = branch_numbers(self.files, branch)
        return self._numbers[branch]

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """The warnings of the report, which apply to all numbers; reads the volumes once.

        Each has a ``severity``: ``remark``, ``caution`` or ``severe``.
        """
        from oxytomo.results.severity import prefixed
        from oxytomo.results.warnings import warnings_of

        found = []
        for branch in (*STORES, JOINT):
            with numbers_of(self.files.paths, branch):
                own = warnings_of(self, branch)
            found += [prefixed(f"{branch.replace('_', ' ')}: ", warning) for warning in own]
        return tuple(found)

    @cached_property
    def definitions(self) -> Keyed[str]:
        """One-sentence definitions of arrays, numbers and quantities, by ``<branch>/<name>``."""
        from oxytomo.results.arrays import ARRAY_TYPES

        found: dict[str, str] = {}
        for branch, key in JSON_TABLES.items():
            content = self.files.json(key) or {}
            with numbers_of(self.files.paths, branch):
                own = dict(content.get("definitions") or {}).items()
                found |= {f"{branch}/{name}": str(text) for name, text in own}
        found |= {key: ARRAY_TYPES[key].definition for key in self.arrays if key in ARRAY_TYPES}
        found |= {f"{one.branch}/{one.key}": one.definition for one in self._quantities}
        return Keyed.of("definitions", found)

    @cached_property
    def provenance(self) -> Keyed[Provenance]:
        """Stage, version, settings, inputs with digests and time of each stage store."""
        return Keyed.of("provenance", {key: store.provenance for key, store in self.stores().items()})

    def stores(self) -> dict[str, Store]:
        """Return every stage store of the sample."""
        keys = [key for key, path in self.files.paths.items() if path.suffix == ".zarr"]
        return {key: store for key in keys if (store := self.files.store(key)) is not None}

    @cached_property
    def images(self) -> Keyed[OpenedImage]:
        """The exported OME-Zarr images by branch, at all their resolutions."""
        folder = self.folder
        paths = {} if folder is None else {kind: folder / f"{kind}.ome.zarr" for kind in KINDS}

        def reader(path: Path) -> Callable[[], OpenedImage]:
            return lambda: open_image(path)

        return Keyed(
            "images", {kind: reader(path) for kind, path in paths.items() if image_record(path) is not None}
        )

    @property
    def unfinished(self) -> list[str]:
        """Unfinished branches, without an exported image."""
        folder = self.folder
        if folder is None:
            return []
        begun = [kind for kind in KINDS if (folder / "stages" / kind).is_dir()]
        return [kind for kind in begun if not (folder / f"{kind}.ome.zarr").is_dir()]

    def __repr__(self) -> str:
        return f"Results of {self.name!r}: {', '.join(self.branches) or 'nothing finished'}"

    def _repr_html_(self) -> str:
        from oxytomo.results.page import results_page

        return results_page(self)


class ResultsFolder(Mapping[str, Results]):
    """The samples in a results folder by name; each is opened on first use."""

    def __init__(self, folder: Path, samples: Mapping[str, Path]) -> None:
        self.folder, self._samples = folder, dict(samples)
        self._opened: dict[str, Results] = {}

    def __getitem__(self, name: str) -> Results:
        if name not in self._samples:
            raise no_such(name, "samples", list(self._samples))
        if name not in self._opened:
            self._opened[name] = Results.of_folder(self._samples[name])
        return self._opened[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._samples)

    def __len__(self) -> int:
        return len(self._samples)

    def __contains__(self, name: object) -> bool:
        return name in self._samples

    def __repr__(self) -> str:
        return f"Results of {len(self)} samples: {', '.join(self)}"

    def _repr_html_(self) -> str:
        from oxytomo.results.page import folder_page

        return folder_page(self)
