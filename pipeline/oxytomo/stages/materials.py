"""Material of the mechanics branch from its settings."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from oxytomo.config import MaterialSettings, MechanicsSettings
from oxytomo.config.mechanics import DIFFUSIVITIES, STRAINS
from oxytomo.errors import InputError
from oxytomo.io.mechanics_stores import Curve, read_curve
from oxytomo.mechanics.elasticity import Elastic
from oxytomo.mechanics.in_time import Kinetics, butler_volmer_rate_um_s
from oxytomo.mechanics.lithiation import Currents
from oxytomo.mechanics.materials import PRESETS, Material

OWN = "value of the configuration"
LIMITS = {"volume_strain": STRAINS, "diffusivity_m2_s": DIFFUSIVITIES, "ocv": (-1.0, 10.0)}
"""Smallest and largest value in the table of a constant."""


@dataclass(frozen=True)
class MaterialCurves:
    """A material: constants, and the tables of those that depend on lithium content.

    Attributes
    ----------
    constant : the material; a constant with a table has its mean over the range of lithium
    volume_strain, diffusivity_um2_s, ocv : tables, None for one number
    """

    constant: Material
    volume_strain: Curve | None
    diffusivity_um2_s: Curve | None
    ocv: Curve | None


def material_of(settings: MechanicsSettings) -> MaterialCurves:
    """Return the material of the settings; tables are read and must cover the range of lithium."""
    given = settings.material
    curves = {
        name: read_curve(path, name, lithium=settings.lithium, limits=LIMITS[name])
        for name, path in given.tables.items()
    }
    _refuse_rising(given.ocv, curves.get("ocv"))
    preset = PRESETS[given.preset] if given.preset else None
    strain = curves.get("volume_strain")
    low, high = settings.lithium
    swell: Any = given.volume_strain
    if strain is not None:
        first, last = strain.at(np.array([low, high]))
        swell = float(last - first) / (high - low)
    diffusivity = curves.get("diffusivity_m2_s")
    if diffusivity is not None:
        diffusivity = Curve(diffusivity.lithium, 1e12 * diffusivity.value)
    fixed = given.diffusivity_m2_s if isinstance(given.diffusivity_m2_s, float) else None
    slow = diffusivity.within(low, high).mean if diffusivity else (None if fixed is None else 1e12 * fixed)
    material = Material(
        Elastic(
            _first(given.youngs_gpa, preset and preset.elastic.youngs_gpa),
            _first(given.poisson, preset and preset.elastic.poisson),
        ),
        _first(swell, preset and preset.volume_strain),
        _first(slow, preset and preset.diffusivity_um2_s),
        _sources(given, preset),
        _or_none(given.toughness_mpa_sqrt_m, preset and preset.toughness_mpa_sqrt_m),
        _or_none(given.exchange_current_a_m2, preset and preset.exchange_current_a_m2),
    )
    return MaterialCurves(material, strain, diffusivity, curves.get("ocv"))


def _refuse_rising(path: str | None, ocv: Curve | None) -> None:
    """Refuse a voltage that is not lower with all lithium than without."""
    if ocv is not None and ocv.value[-1] >= ocv.value[0]:
        raise InputError(
            f"ocv ({path})",
            expected="a voltage that falls as the lithium content grows",
            got=f"{ocv.value[0]:g} V at {ocv.lithium[0]:g}, {ocv.value[-1]:g} V at {ocv.lithium[-1]:g}",
            fix="give the lithium that is in the cathode, not what was taken out",
        )


def _first(*values: Any) -> float:
    return float(next(one for one in values if one is not None))


def _or_none(*values: Any) -> float | None:
    return next((float(one) for one in values if one is not None), None)


def _sources(given: MaterialSettings, preset: Material | None) -> dict[str, str]:
    """Return where each constant comes from."""
    sources = dict(preset.sources) if preset else {}
    for name in ("youngs_gpa", "poisson", "volume_strain", "diffusivity_m2_s", "toughness_mpa_sqrt_m"):
        if getattr(given, name) is not None:
            sources[name] = f"table {given.tables[name]}" if name in given.tables else OWN
    return sources


def currents_of(settings: MechanicsSettings) -> Currents:
    """Return material, currents and depths in the form that the solver takes."""
    curves = material_of(settings)
    kinetics = None
    if settings.kinetics == "butler_volmer" and curves.ocv is not None:
        rate = butler_volmer_rate_um_s(
            curves.constant.exchange_current_a_m2 or 0.0, settings.material.lithium_mol_m3 or 0.0
        )
        kinetics = Kinetics(rate, curves.ocv.at)
    return Currents(
        curves.constant,
        settings.c_rates,
        settings.depths,
        settings.direction,
        settings.lithium,
        None if curves.diffusivity_um2_s is None else curves.diffusivity_um2_s.at,
        kinetics,
        settings.in_time,
    )
