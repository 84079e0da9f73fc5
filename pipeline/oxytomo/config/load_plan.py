"""Read the plan of a beam time, and complete it with values of a sample."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from oxytomo.config.base import Settings, setting
from oxytomo.config.beamtime import PlanSettings
from oxytomo.config.composition import CompositionConfig
from oxytomo.config.elements import ordered
from oxytomo.config.load import config_error, parse_config, read_yaml
from oxytomo.errors import ConfigError


class Plan(Settings):
    """A plan that is complete: missing values are taken from a sample."""

    settings: PlanSettings = setting(..., "as they were given")
    elements: tuple[str, ...] = setting(..., "O first")
    energies_ev: dict[str, tuple[float, float]] = setting(..., "per element", unit="eV")
    formula: dict[str, float] = setting(..., "atoms per formula unit", unit="atoms")
    density_g_cm3: float = setting(..., "mass density", unit="g/cm³")
    threshold: float = setting(..., "deviation that is to be told", unit="fraction")


def load_plan(path: Path) -> Plan:
    """Read the section ``plan`` of a file.

    The file needs no samples, and the raw files of its samples need not exist.
    """
    data = read_yaml(path)
    if not isinstance(data.get("plan"), dict):
        raise ConfigError(
            f"{path}: plan",
            expected="a section with particle_nm, pixel_nm and photons_per_pixel",
            got="nothing",
            fix="see docs/how-to/plan.md",
        )
    try:
        settings = PlanSettings.model_validate(data["plan"])
    except ValidationError as error:
        found = config_error(error, data["plan"], name=path.name)
        raise ConfigError(
            f"plan.{found.subject}", expected=found.expected, got=found.got, fix=found.fix
        ) from None
    extra = sorted(set(data) - {"plan", "samples", "results", "groups"})
    if extra:
        raise ConfigError(
            str(path), expected="the sections plan and samples", got=extra[0], fix="remove it, or indent it"
        )
    if settings.sample and not data.get("samples"):
        raise ConfigError(
            "plan.sample",
            expected="a sample of this file",
            got=repr(settings.sample),
            fix="add the samples, or leave it out",
        )
    sample = _sample(data, settings, path) if data.get("samples") else None
    return _filled(settings, sample)


def _sample(data: Mapping[str, Any], settings: PlanSettings, path: Path) -> CompositionConfig | None:
    """Return the composition of the sample that a plan refers to."""
    project = parse_config(data, folder=path.resolve().parent, name=path.name)
    name = settings.sample or next(iter(project.samples))
    if name not in project.samples:
        raise ConfigError(
            "plan.sample", expected=f"one of {', '.join(project.samples)}", got=repr(name), fix="correct it"
        )
    return project.samples[name].composition


def _filled(settings: PlanSettings, sample: CompositionConfig | None) -> Plan:
    """Take missing values of the plan from the sample; refuse if both lack a value."""
    formula = settings.formula or (sample.formula if sample else None)
    energies = settings.energies_ev or _recorded_energies(sample)
    for name, value, example in (
        ("formula", formula, "{Li: 1.2, Mn: 0.56, Ni: 0.16, Co: 0.08, O: 2.0}"),
        ("energies_ev", energies, "{O: [525, 540], Mn: [636, 645]}"),
    ):
        if not value:
            raise ConfigError(
                f"plan.{name}",
                expected="a value",
                got="nothing",
                fix=f"write, for example, {name}: {example}",
            )
    formula = formula or {}
    elements = ordered(energies)
    if elements[0] != "O" or len(elements) < 2 or not set(elements) <= set(formula):
        raise ConfigError(
            "plan.energies_ev",
            expected=f"O and one or more metals of the formula ({', '.join(formula)})",
            got=", ".join(elements),
            fix="add the missing element, or take the other out",
        )
    for name, fault in settings.faults.items():
        extra = sorted({*fault.stray_edges, *fault.post_edge, *fault.rim_change} - set(elements))
        if extra:
            raise ConfigError(
                f"plan.faults.{name}",
                expected=f"elements of the plan ({', '.join(elements)})",
                got=", ".join(extra),
                fix="correct the element, or give its energies",
            )
    if settings.particle_nm < 12 * settings.pixel_nm:
        raise ConfigError(
            "plan.pixel_nm",
            expected="a particle of 12 pixels or more",
            got=f"{settings.particle_nm / settings.pixel_nm:.1f}",
            fix="make the pixel smaller",
        )
    return Plan(
        settings=settings,
        elements=elements,
        energies_ev={name: energies[name] for name in elements},
        formula=formula,
        density_g_cm3=settings.density_g_cm3 or (sample.density_g_cm3 if sample else 4.2),
        threshold=settings.threshold or (sample.threshold if sample else 0.05),
    )


def _recorded_energies(sample: CompositionConfig | None) -> dict[str, tuple[float, float]]:
    """Return the energies given in the configuration of a sample.

    Energies in raw files are not read.
    """
    found = {}
    for element, edge in ((sample.edges if sample else None) or {}).items():
        pair = edge.pre.energy_ev, edge.post.energy_ev
        if pair[0] is not None and pair[1] is not None:
            found[element] = (float(pair[0]), float(pair[1]))
    return found
