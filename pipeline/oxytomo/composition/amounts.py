"""Amounts of the elements in every ray, from aligned optical densities or element signals.

Checks of the amounts are included.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from oxytomo.arrays import Float64Array, FloatArray, IntArray, Spectrum
from oxytomo.composition.components import KNOWN, component
from oxytomo.composition.cross_sections import attenuation_per_um, check_formula, table_energies_ev
from oxytomo.composition.decomposition import (
    check_independent,
    decompose_differences,
    negative_share,
    pair_index,
    scale_signals,
    tie_background,
)
from oxytomo.composition.instrument import Model
from oxytomo.composition.measured_edges import (
    Columns,
    MeasuredEdge,
    ScaleTest,
    StateColumns,
    require_separable,
    state_record,
)
from oxytomo.composition.model_choice import (
    Choice,
    ChosenModel,
    candidates,
    choose_model,
    decompose_with_model,
    likely_causes,
    model_record,
)
from oxytomo.composition.near_edge import MeasuredFactor
from oxytomo.composition.skin import Skin, asked_tilts, free_carbon, skin_around
from oxytomo.composition.term_readings import changes_without
from oxytomo.preprocess.averaged_rays import AveragedRays, averaged_rays
from oxytomo.slabs import Field, new_field
from oxytomo.units import NM_PER_UM

TILTS_AT_ONCE = 16
MAX_CONDITION = 100.0
ANYTHING = Choice("auto", "auto", "auto", (), (KNOWN["carbon"], KNOWN["pvdf"]))
"""Terms that are tried as causes of a misfit, whether they are allowed in the model or not."""


@dataclass(frozen=True)
class AlignedSeries:
    """Input of the amounts.

    Attributes
    ----------
    names : series in the order of the arrays: ``<El>_pre``, ``<El>_post`` or ``<El>``
    value, variance : (n_series, n_tilt, n_y, n_x) optical density or signal
    energies_ev : (n_series,) NaN for signals
    pixel_nm : edge of a pixel, nm
    tilt_deg : (n_tilt,) degrees
    stripe_change : (n_series,) relative change of the total by the removal of stripes
    """

    names: Sequence[str]
    value: Field
    variance: Field
    energies_ev: Float64Array
    pixel_nm: float
    tilt_deg: Float64Array
    stripe_change: Float64Array


@dataclass(frozen=True)
class Material:
    """The elements that are solved for, O first, and the reference compound.

    The compound has atoms per formula unit and a mass density in g/cm³.
    """

    elements: Sequence[str]
    formula: Mapping[str, float] | None
    density_g_cm3: float


@dataclass(frozen=True)
class Amounts:
    """Amounts in every ray, and diagnostics of the decomposition.

    Attributes
    ----------
    areal : (n_element, n_tilt, n_y, n_x) µm of the reference density, NaN where not solved
    covariance : (n_pair, n_tilt, n_y, n_x) µm²
    atoms : (n_element,) atoms per formula unit
    matrix : (n_series, n_column) attenuation per µm; a column is an element, or a state of one
    owner : (n_column,) index of the element of each column
    record : the chosen model as plain values, empty where none was chosen
    chi_square : (n_tilt, m_y, m_x) χ² per degree of freedom of averaged rays, None where it is not
        known
    states : by element with several measured spectra, the amounts of its states
    without : terms that the data asked for
    changes : (n_term, 2, n_tilt, n_y, n_x) µm, change of oxygen and metal without each of them
    """

    areal: Field
    covariance: Field
    atoms: Float64Array
    matrix: Float64Array
    owner: IntArray
    record: dict[str, Any] = field(default_factory=dict)
    chi_square: FloatArray | None = None
    states: Mapping[str, StateColumns] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    changes: Field | None = None


def amounts_from_signals(series: AlignedSeries, material: Material) -> Amounts:
    """Return amounts from element signals; without a formula the signals weight the metals."""
    pixel_um = series.pixel_nm / NM_PER_UM
    value, variance = np.asarray(series.value[:]), np.asarray(series.variance[:])
    areal, covariance, totals = scale_signals(value, variance, pixel_um=pixel_um)
    formula = material.formula
    atoms = totals if formula is None else np.array([formula[e] for e in material.elements])
    n = len(material.elements)
    return Amounts(areal, covariance, atoms, np.eye(n), np.arange(n))


def amounts_from_edges(
    series: AlignedSeries,
    material: Material,
    choice: Choice | None,
    *,
    progress: Callable[[int, int], None],
    measured: Mapping[str, MeasuredEdge] | None = None,
    max_condition: float = MAX_CONDITION,
) -> Amounts:
    """Return amounts from two energies per edge, with the model terms that the data require.

    Parameters
    ----------
    series, material : the optical densities, and the elements that are solved for
    choice : terms that the model may have; None subtracts the image below each edge from the one
        above it
    measured : elements with measured spectra, each state of which is solved for
    max_condition : largest accepted condition number of all spectra, where some are measured
    """
    formula = dict(material.formula or {})
    check_formula(formula)
    elements, names = list(material.elements), list(series.names)
    pairs = [(names.index(f"{e}_pre"), names.index(f"{e}_post")) for e in elements]
    columns = Columns.of(elements, measured or {})
    energies = _looked_up(series.energies_ev, elements, pairs, columns.measured)
    atoms = np.array([formula[e] for e in elements])

    def attenuation(of: list[str]) -> Float64Array:
        return attenuation_per_um(
            formula, density_g_cm3=material.density_g_cm3, energies_ev=energies, elements=of
        )

    own = attenuation(elements)
    if choice is None:
        areal, covariance = _new_amounts(series, len(elements))
        value, variance = series.value, series.variance
        for tilts in _parts(value.shape[1]):
            areal[:, tilts], covariance[:, tilts] = decompose_differences(
                np.asarray(value[:, tilts]), np.asarray(variance[:, tilts]), own, pairs=pairs
            )
        return Amounts(areal, covariance, atoms, own, columns.owner)
    light = attenuation([e for e in formula if e not in elements]).sum(axis=1)
    tied = tie_background(np.zeros_like(own), light, atoms)[:, columns.owner]
    matrix = columns.spectra(own) + tied
    condition = require_separable(columns, matrix, most=max_condition) if columns.measured else np.nan
    check_independent(matrix)
    spare, metal = energies.size - columns.owner.size, _metal(atoms)
    terms, forced = candidates(elements, energies, own, pairs, choice, series.energies_ev)
    averaged = averaged_rays(series.value, series.variance)
    tested = choose_model(matrix, columns.terms(terms, names, spare), forced, averaged, metal[columns.owner])
    everything, _ = candidates(elements, energies, own, pairs, ANYTHING)
    causes = likely_causes(columns.terms(everything, names, spare), tested, averaged)
    record = {**model_record(tested, names, causes), "near_edge_measured": list(columns.measured)}
    test = ScaleTest(columns, own, tied, tested.model, averaged)
    records = {element: state_record(element, names, test, condition) for element in columns.measured}
    solved = _solve(series, tested.model, columns, progress)
    if choice.optional and spare > 0 and len(elements) > 1:
        skin = _skin(series, tested.model, solved.areal, metal, energies)
        if skin is not None and skin.is_there:
            record["skin"] = skin.record(formula, material.density_g_cm3)
    states = {
        element: StateColumns(*solved.states[element], edge.valences, edge.names, records[element])
        for element, edge in columns.measured.items()
        if len(edge.valences) > 1
    }
    chi_square = _chi_square(tested, averaged)
    found = Amounts(solved.areal, solved.covariance, atoms, matrix, columns.owner, record, chi_square, states)
    return _with_readings(found, series, tested, columns)


def _with_readings(found: Amounts, series: AlignedSeries, tested: ChosenModel, columns: Columns) -> Amounts:
    """Add the change of oxygen and metal without each term that the data asked for."""
    if not tested.without or found.atoms.size == 1 or series.value.shape[1] == 1:
        return found
    metal = _metal(found.atoms)
    changes = changes_without(series.value, series.variance, found.areal, tested.without, columns, metal)
    return replace(found, without=tuple(tested.without), changes=changes)


def allowed_terms(
    instrument: str | Mapping[str, Any],
    components: str | Sequence[Mapping[str, Any]],
    spectra: Mapping[str, Spectrum],
    measured: Mapping[str, MeasuredFactor],
) -> Choice:
    """Return the terms that the model may have.

    Parameters
    ----------
    instrument : ``auto``, ``none``, or the choice for ``stray``, ``near_edge`` and
        ``near_edge_spread``
    components : ``auto``, or the arguments of :func:`component` for each substance beside the
        particle
    spectra : measured spectra of the substances that give a file, by name
    measured : near-edge factors from other measurements, by element
    """
    off = instrument == "none"
    terms = {} if isinstance(instrument, str) else instrument
    stray, near_edge, spread = (
        "none" if off else terms.get(name, "auto") for name in ("stray", "near_edge", "near_edge_spread")
    )
    named = () if isinstance(components, str) else components
    optional = (KNOWN["carbon"], KNOWN["pvdf"]) if components == "auto" and not off else ()
    if near_edge == "oxidation":
        near_edge = "auto"
    if not isinstance(near_edge, str):
        near_edge = {element: one for element, one in near_edge.items() if isinstance(one, float)}
    return Choice(
        stray=stray,
        near_edge=near_edge,
        spread=spread,
        components=tuple(component(**{**one, "spectrum": spectra.get(one["name"])}) for one in named),
        optional=optional,
        measured=measured,
    )


def unsolved_rays(found: Amounts) -> int:
    """Count the rays whose amounts are unknown."""
    return sum(
        int((~np.isfinite(found.areal[:, tilts]).all(axis=0)).sum()) for tilts in _parts(found.areal.shape[1])
    )


def negative_rays(found: Amounts, elements: Sequence[str]) -> dict[str, list[int]]:
    """Return, per element, the number of rays with a negative amount and with a significant one.

    Both are judged against the noise.
    """
    counts = np.zeros((2, len(elements)), np.int64)
    for tilts in _parts(found.areal.shape[1]):
        counts += negative_share(np.asarray(found.areal[:, tilts]), np.asarray(found.covariance[:, tilts]))
    return {e: [int(n), int(d)] for e, n, d in zip(elements, *counts.tolist(), strict=True)}


def stripe_effect(series: AlignedSeries, found: Amounts) -> float:
    """Return the relative change of the mean TM/O by the removal of stripes.

    It follows from the change of each series' total.
    """
    change = series.stripe_change
    if not change.any() or found.atoms.size < 2:
        return 0.0
    after = np.array([np.nansum(series.value[e], dtype=np.float64) for e in range(change.size)])
    ratios = []
    for totals in (after / (1 + change), after):
        masses, *_rest = np.linalg.lstsq(found.matrix, totals, rcond=None)
        ratios.append((masses[1:] @ found.atoms[found.owner][1:]) / masses[0])
    return float(ratios[1] / ratios[0] - 1)


def _parts(n_tilt: int) -> list[slice]:
    """Number of tilts of all series that are processed together."""
    return [slice(t, min(t + TILTS_AT_ONCE, n_tilt)) for t in range(0, n_tilt, TILTS_AT_ONCE)]


@dataclass(frozen=True)
class _Solved:
    """Amounts of the elements, and of the states of those that have several."""

    areal: Field
    covariance: Field
    states: Mapping[str, tuple[Field, Field]]


def _new_amounts(series: AlignedSeries, n: int) -> tuple[Field, Field]:
    """Return fields for n amounts in every ray, and for their covariance."""
    rays = series.value.shape[1:]
    return new_field((n, *rays), np.float32), new_field((n * (n + 1) // 2, *rays), np.float32)


def _solve(
    series: AlignedSeries, model: Model, columns: Columns, progress: Callable[[int, int], None]
) -> _Solved:
    """Solve for the amounts and their covariance, tilt by tilt."""
    n_tilt, pairs = series.value.shape[1], pair_index(columns.owner.size)
    areal, covariance = _new_amounts(series, len(columns.elements))
    own = {element: columns.own(element) for element in columns.measured}
    states = {element: _new_amounts(series, len(of)) for element, of in own.items() if len(of) > 1}
    for tilts in _parts(n_tilt):
        together = np.asarray(series.value[:, tilts]), np.asarray(series.variance[:, tilts])
        for place, t in enumerate(range(tilts.start, tilts.stop)):
            solved = decompose_with_model(
                together[0][:, place], together[1][:, place], model, adapt=bool(model.random_terms)
            )
            areal[:, t], covariance[:, t] = (
                columns.summed(solved.areal, solved.covariance)
                if columns.measured
                else (solved.areal, solved.covariance)
            )
            for element, (amounts, spread) in states.items():
                amounts[:, t] = solved.areal[own[element]]
                rows = [row for row, pair in enumerate(pairs) if set(pair) <= set(own[element])]
                spread[:, t] = solved.covariance[rows]
            progress(t + 1, n_tilt)
    return _Solved(areal, covariance, states)


def _skin(
    series: AlignedSeries, model: Model, areal: Field, metal: Float64Array, energies: Float64Array
) -> Skin | None:
    """Look for carbon in a skin around the particle."""
    n_tilt = areal.shape[1]
    asked = asked_tilts(n_tilt)
    found = [
        free_carbon(
            np.asarray(series.value[:, t : t + 1]), np.asarray(series.variance[:, t : t + 1]), model, energies
        )
        for t in asked
    ]
    # Half of it goes with oxygen, half with the metals, as for the background of light elements.
    share = 0.5 * metal + 0.5 * np.eye(metal.size)[0]
    total = np.stack([np.tensordot(share, np.asarray(areal[:, t]), 1) for t in range(n_tilt)])
    carbon, variance, of_blur = (np.concatenate([one[k] for one in found]) for k in range(3))
    return skin_around(
        total.astype(np.float32),
        series.tilt_deg,
        carbon,
        variance,
        of_blur,
        asked,
        pixel_um=series.pixel_nm / NM_PER_UM,
    )


def _looked_up(
    energies_ev: Float64Array,
    elements: list[str],
    pairs: list[tuple[int, int]],
    measured: Collection[str],
) -> Float64Array:
    """Energies for the look-up in the tables, moved away from the tabulated steps.

    Those at measured edges stay: their references have energies of their own.
    """
    looked_up = energies_ev.copy()
    for element, (pre, post) in zip(elements, pairs, strict=True):
        if element not in measured:
            looked_up[[pre, post]] = table_energies_ev(
                element, float(energies_ev[pre]), float(energies_ev[post])
            )
    return looked_up


def _metal(atoms: Float64Array) -> Float64Array:
    """Weights of the elements in TM; all of it for a single element."""
    weights = np.concatenate([[0.0], atoms[1:]]) if atoms.size > 1 else np.ones(1)
    return weights / weights.sum()


def _chi_square(tested: ChosenModel, averaged: AveragedRays) -> FloatArray | None:
    """Return χ² per degree of freedom of every averaged ray, at its place in the frame."""
    if tested.fit.chi_square.size != len(averaged):
        return None
    return averaged.on_grid(tested.fit.chi_square / tested.fit.dof)
