"""Settings of the mechanics branch: lithium and stress in a particle with its voids and cracks."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator, model_validator

from oxytomo.config.base import Settings, below_configuration, rejected, setting
from oxytomo.config.ranges import PIXEL_NM
from oxytomo.config.settings import ExportSettings
from oxytomo.config.source import ImageSource, VolumeSource

Preset = Literal["nmc811", "nmc111"]
NEEDED = ("youngs_gpa", "poisson", "volume_strain", "diffusivity_m2_s")
"""Constants that every calculation needs; a preset has them all."""
BUTLER_VOLMER = ("exchange_current_a_m2", "ocv", "lithium_mol_m3")
"""Constants that the kinetics of Butler and Volmer need in addition."""


def _number_or_path(value: Any) -> Any:
    """Read a number that YAML took for text, such as 5e-13."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


STRAINS, DIFFUSIVITIES = (-0.5, 0.5), (1e-25, 1e-6)
"""Bounds of ΔV/V and of diffusivities (m²/s)."""


def _bounded(low: float, high: float) -> WithJsonSchema:
    """Show the bounds of a number that a validator of its own checks."""
    return WithJsonSchema({"type": "number", "minimum": low, "maximum": high})


StrainCurve = Annotated[Annotated[float, _bounded(*STRAINS)] | str, BeforeValidator(_number_or_path)]
DiffusivityCurve = Annotated[
    Annotated[float, _bounded(*DIFFUSIVITIES)] | str, BeforeValidator(_number_or_path)
]
"""One number, or the path of a table over lithium content."""
Rate = Annotated[float, Field(gt=0.0, le=1e4)]
Depth = Annotated[float, Field(gt=0.0, le=1.0)]
Content = Annotated[float, Field(ge=0.0, le=1.0)]


class MaterialSettings(Settings):
    """Constants of the material: a preset with its sources, values of your own, or both."""

    preset: Preset | None = setting(
        None, "named constants with printed sources; values beside it replace those of the preset"
    )
    youngs_gpa: float | None = setting(None, "Young's modulus", unit="GPa", ge=0.01, le=2000.0)
    poisson: float | None = setting(None, "Poisson's ratio", ge=0.0, le=0.49)
    volume_strain: StrainCurve | None = setting(
        None,
        "ΔV/V when the lithium content goes from 0 to 1, or a table (lithium content, ΔV/V)",
    )
    diffusivity_m2_s: DiffusivityCurve | None = setting(
        None, "diffusivity of lithium, or a table (lithium content, diffusivity)", unit="m²/s"
    )
    exchange_current_a_m2: float | None = setting(
        None, "exchange current density, for kinetics: butler_volmer", unit="A/m²", gt=0.0, le=1e6
    )
    ocv: str | None = setting(
        None, "table (lithium content, open-circuit voltage in V), for kinetics: butler_volmer"
    )
    lithium_mol_m3: float | None = setting(
        None,
        "sites for lithium per volume of solid, for kinetics: butler_volmer",
        unit="mol/m³",
        ge=100.0,
        le=2e5,
    )
    toughness_mpa_sqrt_m: float | None = setting(
        None, "fracture toughness K_Ic, for K_I / K_Ic", unit="MPa √m", gt=0.0, le=100.0
    )

    @field_validator("volume_strain", "diffusivity_m2_s", "ocv")
    @classmethod
    def _tables(cls, value: Any, info: ValidationInfo) -> Any:
        """Make paths absolute; refuse impossible numbers."""
        if isinstance(value, str):
            return below_configuration(value, info)
        if value is None:
            return value
        low, high = STRAINS if info.field_name == "volume_strain" else DIFFUSIVITIES
        if not low <= value <= high:
            raise rejected(f"a number from {low:g} to {high:g}, or a path", f"{value:g}", "correct it")
        return float(value)

    @model_validator(mode="after")
    def _complete(self) -> "MaterialSettings":
        """Refuse missing constants: there is no material by default."""
        missing = [name for name in NEEDED if getattr(self, name) is None]
        if self.preset is None and missing:
            raise rejected(
                "a preset, or all of " + ", ".join(NEEDED),
                f"no {', no '.join(missing)}",
                "give the values of your material, or preset: nmc811 or nmc111",
            )
        return self

    @property
    def tables(self) -> dict[str, str]:
        """Paths of the tables by the name of the setting."""
        given = {name: getattr(self, name) for name in ("volume_strain", "diffusivity_m2_s", "ocv")}
        return {name: value for name, value in given.items() if isinstance(value, str)}


class MechanicsSettings(Settings):
    """What is solved: material, currents, depths and wetted surface."""

    material: MaterialSettings = setting(..., "constants of the material")
    c_rates: tuple[Rate, ...] = setting(
        (0.1, 10.0),
        "currents; 1 fills or empties the particle in an hour",
        unit="1/h",
        min_length=1,
        max_length=50,
    )
    direction: Literal["discharge", "charge"] = setting(
        "discharge", "discharge: lithium enters the cathode; charge: it leaves"
    )
    depths: tuple[Depth, ...] = setting(
        (0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
        "depths of discharge (or charge) at which stress is given, by growing depth",
        min_length=1,
        max_length=200,
    )
    lithium: tuple[Content, Content] = setting(
        (0.0, 1.0), "lithium content of the charged and of the discharged particle"
    )
    wetted: Literal["skin", "open", "all"] = setting(
        "skin",
        "where lithium enters: the outer surface; also voids and cracks that are open to it; every surface",
    )
    kinetics: Literal["even", "butler_volmer"] = setting(
        "even", "flux: the same on the whole wetted surface, or by Butler and Volmer's law in time steps"
    )

    @property
    def in_time(self) -> bool:
        """True if constants depend on lithium, so that rates do not scale."""
        return self.kinetics != "even" or bool(set(self.material.tables) - {"ocv"})

    @model_validator(mode="after")
    def _ordered(self) -> "MechanicsSettings":
        """Refuse currents, depths and contents out of order."""
        if len(set(self.c_rates)) < len(self.c_rates):
            raise rejected("different currents", str(self.c_rates), "correct them", key="c_rates")
        if list(self.depths) != sorted(set(self.depths)):
            raise rejected("growing depths from 0 to 1", str(self.depths), "correct them", key="depths")
        low, high = self.lithium
        if not low < high:
            raise rejected(
                "two growing contents from 0 to 1", f"{low:g}, {high:g}", "correct it", key="lithium"
            )
        missing = [name for name in BUTLER_VOLMER if getattr(self.material, name) is None]
        if self.kinetics == "butler_volmer" and missing:
            raise rejected(
                f"{', '.join(BUTLER_VOLMER)} for kinetics: butler_volmer",
                f"no {', no '.join(missing)}",
                "give them, or kinetics: even",
                key="material",
            )
        return self


class MechanicsConfig(MechanicsSettings):
    """Stress in the measured particle: lithium, stress beside its voids, K_I of its cracks."""

    labels: VolumeSource | None = setting(
        None,
        "labelled particle: 0 outside, 1 solid, 2 void, 3 crack; empty: from the structure of the sample",
    )
    voxel_nm: float | None = setting(None, "voxel size of labels", unit="nm", ge=PIXEL_NM[0], le=PIXEL_NM[1])
    particle: int | None = setting(None, "number of the particle; empty: the largest", ge=1, le=10**6)
    max_voxels: float = setting(
        1.7e7, "larger particles are averaged, and their cracks cut again", unit="voxels", ge=1e3, le=1e9
    )
    replicates: int = setting(
        4, "segmentations with more noise, for the error of the geometry; only from a structure", ge=0, le=50
    )
    shells: int = setting(10, "number of shells of equal volume from rim to centre", ge=1, le=100)
    seed: int = setting(0, "seed of the random numbers", ge=0, lt=2**32, expert=True)
    tolerance: float = setting(
        1e-5, "residual of the solvers relative to the driving force", gt=1e-8, le=1e-2, expert=True
    )
    most_iterations: int = setting(
        1000, "largest number of iterations of the solvers", ge=10, le=10**5, expert=True
    )
    export: ExportSettings = setting(ExportSettings(), "OME-Zarr")

    @model_validator(mode="after")
    def _voxels(self) -> "MechanicsConfig":
        """Require the voxel size of labels, and only with them."""
        if self.labels is not None and self.voxel_nm is None:
            raise rejected("the voxel size of labels", "none", "give voxel_nm:", key="voxel_nm")
        if self.labels is None and self.voxel_nm is not None:
            fix = "remove it: the structure has its own"
            raise rejected("no voxel_nm without labels", f"{self.voxel_nm:g}", fix, key="voxel_nm")
        return self

    @property
    def sources(self) -> dict[str, ImageSource]:
        """Raw files by name: ``labels``, if they are given."""
        return {} if self.labels is None else {"labels": self.labels}
