"""Stores of the chemical-state branch as input of the numerical functions, and back."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import Field, LabelArray
from oxytomo.chemical_state.columns import StateColumns
from oxytomo.chemical_state.decomposition import StateAmounts, StateSeries, unsolved_rays
from oxytomo.chemical_state.line_measures import LINES, LineParticle, Table
from oxytomo.chemical_state.measures import StateParticle
from oxytomo.chemical_state.own_spectra import energies_at, energy_errors
from oxytomo.chemical_state.reconstruction import ChemicalState
from oxytomo.composition.averaging import AveragedRepeats
from oxytomo.composition.result import Composition
from oxytomo.errors import StoreError
from oxytomo.io.composition_store import VOLUME
from oxytomo.io.scratch import IN_MEMORY_BYTES
from oxytomo.io.stores import NamedArray, Provenance, Store, write_store
from oxytomo.measure.composition import particle_box
from oxytomo.slabs import fill, mapped, new_field, plane, reordered, window
from oxytomo.units import NM_PER_UM

WHITE_LINE = "white_line"
"""Attribute of a reconstruction without references."""


def element_series(store: Store, element: str, names: Sequence[str]) -> StateSeries:
    """Return the series of one element in an aligned store; frames are read on access."""
    stored = [str(name) for name in store.attributes["series"]]
    rows = np.array([stored.index(name) for name in names], np.int64)
    return StateSeries(
        element,
        reordered(store.field("value"), rows),
        reordered(store.field("variance"), rows),
        np.array(store.attributes["energies_ev"], np.float64)[rows],
        float(store.attributes["pixel_nm"]),
    )


def write_state_amounts(
    path: Path,
    found: StateAmounts,
    aligned: Store,
    series: Sequence[str],
    *,
    element: str,
    provenance: Provenance,
) -> None:
    """Write the components in every ray, and what is kept of the aligned store."""
    rays = ("tilt", "y", "x")
    write_store(
        path,
        {
            "areal": NamedArray(found.areal, ("component", *rays), "micrometer"),
            "covariance": NamedArray(found.covariance, ("pair", *rays), "micrometer^2"),
            "tilt_deg": NamedArray(aligned["tilt_deg"], ("tilt",), "degree"),
        },
        provenance=provenance,
        attributes={
            "element": element,
            "valences": found.spectra.valences.tolist(),
            "components": list(found.spectra.names),
            "pixel_nm": float(aligned.attributes["pixel_nm"]),
            "invalid": {name: aligned.attributes["invalid"][name] for name in series},
            "unsolved_rays": unsolved_rays(found.areal),
            "n_rays": int(np.prod(found.areal.shape[1:])),
            "model": found.record,
        },
    )


def write_joint_amounts(path: Path, joint: Store, *, element: str, provenance: Provenance) -> None:
    """Write the states of an element in every ray, as the composition branch solved for them."""
    facts = joint.attributes.get("states", {}).get(element)
    if facts is None:
        raise StoreError(
            f"the amounts of the composition branch: {element}",
            expected="states of the element",
            got=", ".join(joint.attributes.get("states", {})) or "none",
            fix="run the composition branch again with its references",
        )
    areal, rays = joint.field(f"{element}_states"), ("tilt", "y", "x")
    own = {
        name: count for name, count in joint.attributes["invalid"].items() if name.startswith(f"{element}_")
    }
    write_store(
        path,
        {
            "areal": NamedArray(areal, ("component", *rays), "micrometer"),
            "covariance": NamedArray(
                joint.field(f"{element}_states_covariance"), ("pair", *rays), "micrometer^2"
            ),
            "tilt_deg": NamedArray(joint["tilt_deg"], ("tilt",), "degree"),
        },
        provenance=provenance,
        attributes={
            "element": element,
            "valences": facts["valences"],
            "components": facts["names"],
            "pixel_nm": float(joint.attributes["pixel_nm"]),
            "invalid": own,
            "unsolved_rays": unsolved_rays(areal),
            "n_rays": int(np.prod(areal.shape[1:])),
            "model": facts["model"],
        },
    )


def state_columns(store: Store, reference_valence: float) -> StateColumns:
    """Return the component sinograms of a decomposed store; large ones stay on disk."""

    def array(name: str) -> Field:
        stored = store.array(name)
        return store[name] if stored.nbytes <= IN_MEMORY_BYTES else stored

    valences = np.array(store.attributes["valences"], np.float64)
    return StateColumns(
        areal=array("areal"),
        covariance=array("covariance"),
        tilt_deg=store["tilt_deg"],
        atoms=np.ones(valences.size),
        pixel_um=float(store.attributes["pixel_nm"]) / NM_PER_UM,
        valences=valences,
        reference_valence=reference_valence,
    )


def write_state(path: Path, state: ChemicalState, decomposed: Store, provenance: Provenance) -> None:
    """Write density, valence, components and particle of one element."""
    result, tilt_deg = state.result, decomposed["tilt_deg"]
    write_store(
        path,
        {
            "density": NamedArray(plane(result.elements, 0), VOLUME, "1"),
            "components": NamedArray(state.components, ("component", *VOLUME), "1"),
            "valence": NamedArray(state.valence, VOLUME, "1"),
            "deviation": NamedArray(result.deviation, VOLUME, "1"),
            "difference": NamedArray(result.difference, VOLUME, "1"),
            "particle": NamedArray(result.particle, VOLUME, "1"),
        },
        provenance=provenance,
        attributes={
            **{name: decomposed.attributes[name] for name in ("element", "valences", "components")},
            "pixel_nm": decomposed.attributes["pixel_nm"],
            "n_tilt": int(tilt_deg.size),
            "tilt_range_deg": [float(tilt_deg.min()), float(tilt_deg.max())],
            "reference_valence": state.reference_valence,
            "solver": result.record,
        },
    )


def line_tables(decomposed: Store) -> dict[str, Table]:
    """Return places and energies of each line, of an element without references; otherwise none."""
    lines = decomposed.attributes["model"].get("white_line")
    return {} if lines is None else {name: (lines["place"], lines[f"{name}_ev"]) for name in LINES}


def write_lines(path: Path, state: ChemicalState, decomposed: Store, provenance: Provenance) -> None:
    """Write density, places, energies and particle of an element without references."""
    result, tilt_deg = state.result, decomposed["tilt_deg"]
    energies = {
        f"{name}_ev": NamedArray(
            mapped(state.valence, lambda part, of=table: energies_at(part, of), np.float32),
            VOLUME,
            "electronvolt",
        )
        for name, table in line_tables(decomposed).items()
    }
    write_store(
        path,
        {
            "density": NamedArray(plane(result.elements, 0), VOLUME, "1"),
            "place": NamedArray(state.valence, VOLUME, "1"),
            "deviation": NamedArray(result.deviation, VOLUME, "1"),
            "difference": NamedArray(result.difference, VOLUME, "1"),
            "particle": NamedArray(result.particle, VOLUME, "1"),
        }
        | energies,
        provenance=provenance,
        attributes={
            "element": decomposed.attributes["element"],
            "kind": WHITE_LINE,
            "pixel_nm": decomposed.attributes["pixel_nm"],
            "n_tilt": int(tilt_deg.size),
            "tilt_range_deg": [float(tilt_deg.min()), float(tilt_deg.max())],
            "reference_valence": state.reference_valence,
            "solver": result.record,
        },
    )


def is_white_line(reconstructed: Store) -> bool:
    """Return whether a reconstructed element has energies of lines in the place of a valence."""
    return bool(reconstructed.attributes.get("kind") == WHITE_LINE)


def line_errors(reconstructed: Store, decomposed: Store, sigma: Field) -> dict[str, NamedArray]:
    """Return the standard error of each line from that of the places; none with references."""
    if not is_white_line(reconstructed):
        return {}
    place = reconstructed.field("place")
    found = {}
    for name, table in line_tables(decomposed).items():
        errors = new_field(place.shape, np.float32)
        fill(errors, lambda at, error, of=table: energy_errors(at, error, of), place, sigma)
        found[f"{name}_error_ev"] = NamedArray(errors, VOLUME, "electronvolt")
    return found


def line_particle(decomposed: Store, reconstructed: Store, uncertainty: Store) -> LineParticle:
    """Return a particle with its lines in its box, for the measurement."""
    of = state_particle(reconstructed, uncertainty)
    base = np.float32(of.reference_valence)
    return LineParticle(
        particle=of.particle,
        place=window(reconstructed.field("place"), of.box),
        replicates=[
            mapped(one, lambda part: base + part.astype(np.float32), np.float32) for one in of.replicates
        ],
        energies={name: window(reconstructed.field(f"{name}_ev"), of.box) for name in LINES},
        errors={name: window(uncertainty.field(f"{name}_error_ev"), of.box) for name in LINES},
        tables=line_tables(decomposed),
        voxel_nm=of.voxel_nm,
        error_of_mean_ev=decomposed.attributes["model"]["white_line"]["mean_spectrum_error_ev"],
    )


def stored_state(store: Store) -> Composition:
    """Return a reconstructed state as input of replicates; slices are read on access."""
    density = store["density"]
    return Composition(
        elements=density[None],
        difference=store.field("difference"),
        deviation=store.field("deviation"),
        particle=store.field("particle"),
        total=density,
        reference_tm_o=1.0,
    )


def state_particle(reconstructed: Store, uncertainty: Store) -> StateParticle:
    """Return a particle with its valence in its box, for the measurement."""
    box = particle_box(reconstructed.field("particle"))

    def repeats(name: str) -> AveragedRepeats:
        return AveragedRepeats(uncertainty.field(name), box, lambda field: field)

    return StateParticle(
        box=box,
        particle=mapped(window(reconstructed.field("particle"), box), np.asarray, np.bool_),
        density=window(reconstructed.field("density"), box),
        deviation=window(reconstructed.field("deviation"), box),
        sigma=window(uncertainty.field("deviation_sigma"), box),
        replicates=repeats("replicates"),
        null=repeats("null"),
        voxel_nm=float(reconstructed.attributes["pixel_nm"]),
        reference_valence=float(reconstructed.attributes["reference_valence"]),
        noise=uncertainty.attributes["noise"],
    )


def label_arrays(element: str, labels: Mapping[str, Field], reconstructed: Store) -> dict[str, NamedArray]:
    """Return labels in the particle's box as arrays of the whole volume, ``<El>_…``; 0 outside."""
    box = particle_box(reconstructed.field("particle")) if labels else ()
    arrays = {}
    for name, part in labels.items():
        whole: LabelArray = np.zeros(reconstructed.shape("density"), np.uint8)
        whole[box] = np.asarray(part[:])
        arrays[f"{element}_{name}"] = NamedArray(whole, VOLUME, "1")
    return arrays


def state_record(decomposed: Store) -> dict[str, Any]:
    """Return what the JSON file says of the decomposition."""
    facts = decomposed.attributes
    return {
        "model": facts["model"],
        "invalid_rays": {
            "unsolved": facts["unsolved_rays"],
            "n_rays": facts["n_rays"],
            "by_series": facts["invalid"],
        },
    }
