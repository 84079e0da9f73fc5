"""Configuration of a project: samples, their branches and their raw series."""

import re
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, field_validator, model_validator

from oxytomo.config.base import Settings, checked_name, checked_path, closest, rejected, setting
from oxytomo.config.beamtime import PlanSettings
from oxytomo.config.charge_balance import ChargeBalanceSettings
from oxytomo.config.chemical_state import ChemicalStateConfig, with_composition_references
from oxytomo.config.composition import ArealDensityConfig, CompositionConfig, TomogramConfig
from oxytomo.config.mechanics import MechanicsConfig
from oxytomo.config.oxidation import OxidationConfig
from oxytomo.config.scattering import ScatteringConfig, with_oxidation_references
from oxytomo.config.structure import StructureConfig

Branch = Literal[
    "composition",
    "areal_density",
    "tomogram",
    "chemical_state",
    "oxidation",
    "structure",
    "mechanics",
    "scattering",
]
_SAMPLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
LONGEST_SAMPLE_NAME = 100
_RESERVED = ("logs", "benchmarks")
COMPARED_BRANCHES: tuple[Branch, ...] = (
    *("composition", "chemical_state", "oxidation"),
    *("structure", "mechanics", "scattering"),
)
"""Branches that a comparison of samples includes."""


class RegisterBranchesSettings(Settings):
    """Composition and structure of the same particle, registered to each other and compared."""

    near_nm: float | None = setting(
        None,
        "width of the neighbourhood around a void; empty: three voxels of the composition",
        unit="nm",
        gt=0.0,
        le=1e9,
    )
    placements: int = setting(
        200,
        "number of random placements, which show what chance alone gives",
        ge=20,
        le=10_000,
        expert=True,
    )
    seed: int = setting(0, "seed of the random numbers", ge=0, lt=2**32, expert=True)


def _switched_on(value: Any) -> Any:
    """Accept true (with the defaults) and false (off)."""
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


class SampleConfig(Settings):
    """The branches of one sample; at least one."""

    composition: CompositionConfig | None = setting(None, CompositionConfig.__doc__ or "")
    areal_density: ArealDensityConfig | None = setting(None, ArealDensityConfig.__doc__ or "")
    tomogram: TomogramConfig | None = setting(None, TomogramConfig.__doc__ or "")
    chemical_state: ChemicalStateConfig | None = setting(None, ChemicalStateConfig.__doc__ or "")
    oxidation: OxidationConfig | None = setting(None, OxidationConfig.__doc__ or "")
    structure: StructureConfig | None = setting(None, StructureConfig.__doc__ or "")
    mechanics: MechanicsConfig | None = setting(None, MechanicsConfig.__doc__ or "")
    scattering: ScatteringConfig | None = setting(None, ScatteringConfig.__doc__ or "")
    register_branches: Annotated[
        RegisterBranchesSettings | None,
        BeforeValidator(_switched_on, json_schema_input_type=bool | RegisterBranchesSettings | None),
    ] = setting(None, "true if composition and structure show the same particle: compare voids with domains")

    @model_validator(mode="before")
    @classmethod
    def _some_branch(cls, data: Any) -> Any:
        """Require at least one branch."""
        branches = [name for name in cls.model_fields if name != "register_branches"]
        if isinstance(data, dict) and all(data.get(name) is None for name in branches):
            known = [key for key in data if key in cls.model_fields]
            if len(known) == len(data):
                raise rejected(f"at least one of {', '.join(branches)}", "none", "add a branch")
        return with_composition_references(with_oxidation_references(data))

    @model_validator(mode="after")
    def _voids_for_mechanics(self) -> "SampleConfig":
        """Require a structure, or labels, for the branch mechanics."""
        if self.mechanics is not None and self.mechanics.labels is None and self.structure is None:
            raise rejected(
                "a structure branch of the same sample, or labels",
                "neither",
                "add structure:, or give labels: and voxel_nm: under mechanics",
                key="mechanics",
            )
        return self

    @model_validator(mode="after")
    def _near_edge_from_oxidation(self) -> "SampleConfig":
        """Require the stacks of the oxidation branch that near-edge factors are taken from."""
        stacks = () if self.oxidation is None else self.oxidation.measured
        for branch in (self.composition, self.areal_density):
            terms = "auto" if branch is None else branch.decompose.instrument
            given = {} if isinstance(terms, str) else terms.near_edge
            asked = [e for e, one in given.items() if one == "oxidation"] if isinstance(given, dict) else []
            missing = [element for element in asked if element not in stacks]
            if missing or (given == "oxidation" and not stacks):
                raise rejected(
                    "an oxidation branch of the same sample with a stack of each element",
                    f"no stack of {', '.join(missing)}" if missing else "no oxidation branch",
                    "add the stack under oxidation, or give the factor or a spectrum",
                    key="near_edge",
                )
        return self

    @model_validator(mode="after")
    def _both_branches(self) -> "SampleConfig":
        """Require the branches that are to be registered."""
        missing = [name for name in ("composition", "structure") if getattr(self, name) is None]
        if self.register_branches is not None and missing:
            got = f"no {' and no '.join(missing)}"
            fix = "add the branch or remove register_branches"
            raise rejected("the branches composition and structure", got, fix, key="register_branches")
        return self


class ProjectConfig(Settings):
    """A whole configuration file."""

    results: Path = setting(Path("results"), "folder for the results, relative to this file")
    samples: dict[str, SampleConfig] = setting(
        ..., "the samples by name: letters, digits, '_' and '-'", min_length=1
    )
    groups: dict[str, tuple[str, ...]] = setting(
        {},
        "groups of samples to compare, by name (for example a state of charge or a rate); "
        "empty: no comparison",
    )
    charge_balance: ChargeBalanceSettings | None = setting(
        None, "charge balance of groups that are states of charge, from their valences; empty: none"
    )
    plan: PlanSettings | None = setting(None, "planned beam time, for `oxytomo plan` only")

    @field_validator("samples", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """Check sample names, which become folder names."""
        for name in value if isinstance(value, dict) else ():
            if isinstance(name, bool | int | float | date):
                # YAML reads 012 as 10 and yes as True: what was written is lost.
                kind = "date" if isinstance(name, date) else "number"
                got = f"the {'word' if isinstance(name, bool) else kind} {name}, as YAML reads it"
                raise rejected("a sample name as text", got, "put it in quotes", key=str(name))
            if not isinstance(name, str) or not _SAMPLE_NAME.fullmatch(name):
                # Programs would read a name that begins with "-" as an option.
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
        """Check the names of groups, which are shown in pages and tables."""
        for name in value:
            checked_name(name, key=name)
        return value

    @field_validator("results")
    @classmethod
    def _folder(cls, value: Path) -> Path:
        """Expand the home folder; refuse an invalid path."""
        return Path(checked_path(str(value)))

    @model_validator(mode="after")
    def _groups_of_samples(self) -> "ProjectConfig":
        """Require groups of known samples, at least two samples in total, with results to compare.

        Each sample may be in one group only.
        """
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
    def _states_of_charge(self) -> "ProjectConfig":
        """Require two groups as states, and stacks of all metals of the formula."""
        if self.charge_balance is None:
            return self
        states = self.charge_balance.states or dict.fromkeys(self.groups)
        unknown = [state for state in states if state not in self.groups]
        if unknown or len(states) < 2:
            guess = closest(unknown[0], self.groups) if unknown else None
            fix = f"did you mean '{guess}'?" if guess else "give the samples of each state in 'groups'"
            got = f"'{unknown[0]}'" if unknown else f"{len(states)}"
            raise rejected("two or more groups of this file", got, fix, key="charge_balance.states")
        for name in (name for state in states for name in self.groups[state]):
            oxidation = self.samples[name].oxidation
            measured = () if oxidation is None else oxidation.references
            missing = [e for e in self.charge_balance.to_measure if e not in measured]
            if missing:
                got = f"no stack with references of {', '.join(missing)} in '{name}'"
                fix = "add it to 'oxidation', or name a valence that does not change in 'fixed_valences'"
                wanted = "a valence of every cation of the formula"
                raise rejected(wanted, got, fix, key="charge_balance.formula")
        return self

    @model_validator(mode="after")
    def _pristine_samples(self) -> "ProjectConfig":
        """Require that a reference sample has the same elements and no reference sample itself."""
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
