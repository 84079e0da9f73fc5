"""Stacks of the oxidation branch and their fits: reading and writing of stores."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.align.stack_frames import Placement, RecordedStack
from oxytomo.arrays import Float64Array, FloatArray, ValenceMap
from oxytomo.io.readers.spectral import SpectralStack
from oxytomo.io.records import Provenance
from oxytomo.io.stores import NamedArray, Store, write_store
from oxytomo.measure.line_particles import LineMaps
from oxytomo.measure.valence_particles import ParticleMap
from oxytomo.oxidation.fit_setup import FitSetup
from oxytomo.oxidation.particle_spectra import Explored, FittedElement, ParticleSpectra
from oxytomo.oxidation.stack import EnergyStack
from oxytomo.oxidation.status import STATUS_NAMES
from oxytomo.oxidation.valence_maps import MapOptions, ValenceMaps
from oxytomo.oxidation.white_line_maps import NAMES as LINE_NAMES
from oxytomo.oxidation.white_line_maps import solid_pixels
from oxytomo.preprocess.stack_density import StackDensity

WHITE_LINE = "white_line"
"""Kind of a fit without references."""
_MAPS = (
    "valence",
    "valence_error",
    "amount",
    "amount_error",
    "chi_square",
    "r_factor",
    "lag_correlation",
    "n_used",
)


def write_density(
    path: Path,
    frames: Mapping[str, FloatArray],
    found: StackDensity,
    stack: SpectralStack,
    element: str,
    provenance: Provenance,
) -> None:
    """Write the optical density of a raw stack, ``value`` and ``variance``, as a store."""
    planes, by_energy = ("y", "x"), ("energy",)
    air = np.zeros(stack.shape[1:], bool) if found.air is None else found.air
    write_store(
        path,
        {
            "value": NamedArray(frames["value"], (*by_energy, *planes), "1"),
            "variance": NamedArray(frames["variance"], (*by_energy, *planes), "1"),
            "energy_ev": NamedArray(stack.energy_ev[found.order], by_energy, "electronvolt"),
            "acquisition_index": NamedArray(found.order, by_energy, "1"),
            "light": NamedArray(found.light, by_energy, "1"),
            "air": NamedArray(air, planes, "1"),
        },
        provenance=provenance,
        attributes={
            "element": element,
            "pixel_nm": stack.pixel_nm,
            "invalid": found.invalid,
            "n_pixels": found.n_pixels,
            "metadata": stack.metadata,
        },
    )


def recorded_stack(store: Store) -> RecordedStack:
    """Return a normalised stack; its frames are read on access."""
    return RecordedStack(
        element=str(store.attributes["element"]),
        value=store.field("value"),
        variance=store.field("variance"),
        energy_ev=store["energy_ev"],
        acquisition_index=store["acquisition_index"],
    )


def registered_arrays(
    frames: Mapping[str, FloatArray], energy_ev: Float64Array, place: Placement
) -> dict[str, NamedArray]:
    """Return the arrays of a store of registered frames, ``value`` and ``variance``."""
    found, by_energy, shifts = place.found, ("energy",), ("energy", "direction")
    return {
        "value": NamedArray(frames["value"], ("energy", "y", "x"), "1"),
        "variance": NamedArray(frames["variance"], ("energy", "y", "x"), "1"),
        "energy_ev": NamedArray(energy_ev, by_energy, "electronvolt"),
        "shift_px": NamedArray(found.shift_px, shifts, "1"),
        "error_px": NamedArray(found.error_px, shifts, "1"),
        "applied_px": NamedArray(place.applied_px, shifts, "1"),
        "residual": NamedArray(found.residual, by_energy, "1"),
        "replaced": NamedArray(found.replaced, by_energy, "1"),
        "lost": NamedArray(place.lost, by_energy, "1"),
        "dead": NamedArray(place.dead, by_energy, "1"),
        "variance_factor": NamedArray(place.variance_factor, by_energy, "1"),
    }


def registered_facts(normalized: Store, place: Placement, *, max_shift_px: float) -> dict[str, Any]:
    """Return the attributes of a store of registered frames."""
    return {
        "element": str(normalized.attributes["element"]),
        "pixel_nm": normalized.attributes["pixel_nm"],
        "moved": place.moved,
        "common_field": place.common_field,
        "reference": place.found.reference,
        "max_shift_px": max_shift_px,
    }


def registered_stack(store: Store) -> EnergyStack:
    """Return a registered stack; its frames are read on access."""
    return EnergyStack(
        value=store.field("value"),
        variance=store.field("variance"),
        energy_ev=store["energy_ev"].astype(np.float64),
        lost=store["lost"].astype(bool),
        variance_factor=store["variance_factor"],
        pixel_nm=float(store.attributes["pixel_nm"]),
        rows_at_once=int(store.array("value").chunks[1]),
    )


def write_valence_maps(
    path: Path,
    maps: ValenceMaps,
    setup: FitSetup,
    stack: EnergyStack,
    options: MapOptions,
    *,
    provenance: Provenance,
    lines: Mapping[str, FloatArray],
) -> None:
    """Write the fit of one element, and the positions of its white line, as a store."""
    planes, fit = ("y", "x"), maps.fit
    write_store(
        path,
        {
            **{name: NamedArray(getattr(fit, name), planes, "1") for name in _MAPS},
            "fractions": NamedArray(fit.fractions, ("reference", *planes), "1"),
            "fraction_errors": NamedArray(fit.fraction_errors, ("reference", *planes), "1"),
            "offsets": NamedArray(fit.offsets, ("background", *planes), "1"),
            "largest_od": NamedArray(maps.largest_od, planes, "1"),
            "status": NamedArray(maps.status, planes, "1"),
            **_line_arrays(lines),
            "energy_ev": NamedArray(setup.energy_ev, ("energy",), "electronvolt"),
            "used": NamedArray(setup.used, ("stack_energy",), "1"),
            "references": NamedArray(setup.references, ("energy", "reference"), "1"),
            "background": NamedArray(setup.background, ("energy", "background"), "1"),
            "all_references": NamedArray(setup.all_references, ("stack_energy", "reference"), "1"),
        },
        provenance=provenance,
        attributes={
            "element": options.element,
            "pixel_nm": stack.pixel_nm,
            "names": list(setup.names),
            "valences": setup.valences,
            "fractions_sum": options.fractions_sum,
            "thin_share": options.thin_share,
            "error_scale": maps.error_scale,
            "status": {str(label): name for label, name in STATUS_NAMES.items()},
            "remarks": list(setup.remarks),
            **setup.facts,
        },
    )


def write_line_maps(
    path: Path,
    lines: Mapping[str, FloatArray],
    facts: Mapping[str, Any],
    stack: EnergyStack,
    *,
    element: str,
    provenance: Provenance,
) -> None:
    """Write the white lines of one element without references as a store."""
    write_store(
        path,
        _line_arrays(lines)
        | {"energy_ev": NamedArray(facts["stack_energy_ev"], ("energy",), "electronvolt")},
        provenance=provenance,
        attributes={"element": element, "pixel_nm": stack.pixel_nm, "kind": WHITE_LINE, **facts},
    )


def _line_arrays(lines: Mapping[str, FloatArray]) -> dict[str, NamedArray]:
    return {
        f"white_line_{name}": NamedArray(array, ("y", "x"), "electronvolt" if name.endswith("_ev") else "1")
        for name, array in lines.items()
    }


def is_line_map(fit: Store) -> bool:
    """Return whether the fit of an element has white lines alone, for lack of references."""
    return bool(fit.attributes.get("kind") == WHITE_LINE)


def line_maps(fit: Store, stack: EnergyStack) -> LineMaps:
    """Return the white lines of one element without references."""
    maps = {name: fit[f"white_line_{name}"] for name in LINE_NAMES}
    return LineMaps(
        maps,
        solid_pixels(maps["height"], maps["status"], float(fit.attributes["thin_share"])),
        float(fit.attributes["pixel_nm"]),
        stack.shared_noise,
    )


def line_record(fit: Store) -> dict[str, Any]:
    """Return what the JSON file says of the fit of an element without references."""
    facts = fit.attributes
    kept = ("window_ev", "pre_edge_ev", "post_edge_ev", "energy_offset_ev", "remarks")
    return {
        "pixels": facts["white_line"]["pixels"],
        "absorption_edge": facts["edge"],
        "half_width_ev": facts["white_line"]["half_width_ev"],
        **{key: facts[key] for key in kept},
    }


def fitted_element(store: Store, stack: EnergyStack) -> FittedElement:
    """Return the fit of one element; ``stack`` is the stack that was fitted."""
    facts = store.attributes
    found = ValenceMap(
        element=str(facts["element"]),
        valence=store["valence"],
        error=store["valence_error"],
        edge_jump=store["amount"],
        pixel_nm=float(facts["pixel_nm"]),
        shared_noise=stack.shared_noise,
    )
    names = ("status", "chi_square", "r_factor", "references", "background", "all_references")
    return FittedElement(
        map=found,
        **{name: store[name] for name in names},
        used=store["used"].astype(bool),
        valences=np.asarray(facts["valences"], np.float64),
        facts=facts,
    )


def particle_arrays(particles: ParticleMap) -> dict[str, NamedArray]:
    """Return the particles in a map and the depth in them."""
    planes = ("y", "x")
    return {
        "agglomerates": NamedArray(particles.clumps.astype(np.uint16), planes, "1"),
        "particles": NamedArray(particles.parts.astype(np.uint16), planes, "1"),
        "shells": NamedArray(particles.shells, planes, "1"),
        "depth_nm": NamedArray(particles.depth_nm, planes, "nanometer"),
    }


def line_arrays(element: str, particles: ParticleMap) -> dict[str, NamedArray]:
    """Return the arrays of one element without references in the store of the measured stacks."""
    return {f"{element}_{name}": array for name, array in particle_arrays(particles).items()}


def measured_arrays(
    element: FittedElement, particles: ParticleMap, spectra: ParticleSpectra, explored: Explored
) -> dict[str, NamedArray]:
    """Return the arrays of one element in the store of the measured stacks, ``<El>_…``."""
    planes, of_shells = ("y", "x"), ("shell", "energy")
    arrays = {
        **particle_arrays(particles),
        "energy_ev": NamedArray(element.energy_ev, ("energy",), "electronvolt"),
        "shell_spectra": NamedArray(spectra.shells, of_shells, "1"),
        "shell_errors": NamedArray(spectra.shell_errors, of_shells, "1"),
        "shell_models": NamedArray(spectra.shell_models(element.used), of_shells, "1"),
        "clusters": NamedArray(explored.cluster, planes, "1"),
        "cluster_spectra": NamedArray(explored.spectra, ("cluster", "energy"), "1"),
        "component_variances": NamedArray(explored.variances, ("component",), "1"),
    }
    return {f"{element.map.element}_{name}": array for name, array in arrays.items()}
