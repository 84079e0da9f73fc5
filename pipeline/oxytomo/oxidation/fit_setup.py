"""Input of a fit beside the stack: windows, energies and references on one scale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xraydb

from oxytomo.arrays import BoolArray, Float64Array
from oxytomo.errors import InputError
from oxytomo.oxidation.edges import Window, Windows, default_windows, inside
from oxytomo.oxidation.energy_scale import ScaleOptions, energy_scale
from oxytomo.oxidation.linear_combination import background_columns, condition_number
from oxytomo.oxidation.spectra import (
    SHORT_POST_EV,
    Reference,
    check_valence_order,
    is_normalized,
    normalization_span,
    normalized_absorption,
    on_grid,
    without_far_pre_edge,
)
from oxytomo.oxidation.stack import EnergyStack

SPARE_ENERGIES = 2
"""A fit needs at least this many more energies than unknowns."""
LARGEST_GAP = 4.0
"""A remark is made for gaps in the fit window above this many median steps (and 0.5 eV)."""

TRANSITION_METALS = frozenset((*range(21, 31), *range(39, 49), *range(72, 81)))
"""Atomic numbers of groups 3 to 12, without La and Lu."""


@dataclass(frozen=True)
class FitOptions(ScaleOptions):
    """How spectra are fitted; see the settings of the same names."""

    window_ev: Window | None
    pre_edge_ev: Window | None
    post_edge_ev: Window | None
    fractions_sum: str
    references_normalized: bool
    max_condition: float


@dataclass(frozen=True)
class FitSetup:
    """Energies, references and background of a fit.

    Attributes
    ----------
    energy_ev : (n_energy,) calibrated energies of the fit
    used, below, above : (n_stack,) bool: energies of the fit, below the edge, above the white lines
    references, background : (n_energy, n) on the energies of the fit
    all_references : (n_stack, n_reference) on all energies, NaN outside the range of a reference
    valences, names : of the references
    facts : windows, offset, condition number, for the record
    remarks : what a reader should know
    """

    energy_ev: Float64Array
    used: BoolArray
    below: BoolArray
    above: BoolArray
    references: Float64Array
    background: Float64Array
    all_references: Float64Array
    valences: Float64Array
    names: tuple[str, ...]
    facts: dict[str, Any]
    remarks: tuple[str, ...]

    def with_white_line(self, found: Mapping[str, Any], remarks: Sequence[str]) -> "FitSetup":
        """Return the same with the summary of the white lines and the remarks on them."""
        return replace(self, facts={**self.facts, "white_line": found}, remarks=(*self.remarks, *remarks))


def fit_setup(stack: EnergyStack, references: Sequence[Reference], options: FitOptions) -> FitSetup:
    """Put energies and references on one scale and check that a fit is possible.

    Parameters
    ----------
    stack : registered, on its recorded energies
    references : by increasing valence
    options : how spectra are fitted

    Raises
    ------
    InputError
        When a fit is impossible.
    """
    windows = chosen_windows(stack.energy_ev, options)
    curves = [_curve(reference, windows, options) for reference in references]
    scale = energy_scale(stack, windows, references, curves, options)
    setup = prepared_references(stack.energy_ev + scale.offset_ev, references, options)
    found = {
        "energy_offset_ev": scale.offset_ev,
        "energy_offset_error_ev": scale.error_ev,
        "white_line_ev": scale.white_line_ev + scale.offset_ev,
    }
    return replace(setup, facts={**setup.facts, **found}, remarks=(*setup.remarks, *scale.remarks))


@dataclass(frozen=True)
class _Energies:
    """Energies of a stack, and which of them are in which window."""

    ev: Float64Array
    windows: Windows
    in_window: BoolArray
    below: BoolArray
    above: BoolArray


def prepared_references(
    energy: Float64Array, references: Sequence[Reference], options: FitOptions
) -> FitSetup:
    """Put the references on calibrated energies of a stack, and check that a fit is possible.

    Parameters
    ----------
    energy : (n_stack,) eV, increasing, on the scale of the references
    references : by increasing valence
    options : how spectra are fitted
    """
    windows = chosen_windows(energy, options)
    curves = [_curve(reference, windows, options) for reference in references]
    where = _Energies(
        energy,
        windows,
        inside(energy, windows.fit),
        inside(energy, windows.pre_edge),
        inside(energy, windows.post_edge),
    )
    wanted = where.in_window | where.below if options.background != "none" else where.in_window
    used = wanted & without_far_pre_edge(energy, references, windows.fit)
    _check_energies(where, len(references), options)
    grid = np.stack(
        [
            on_grid(energy[used], r.spectrum, c, name=_called(r, options.element))
            for r, c in zip(references, curves, strict=True)
        ],
        axis=1,
    )
    background = background_columns(energy[used], background=options.background)
    condition = _checked_condition(grid, background, references, options)
    everywhere = np.stack(
        [
            np.interp(energy, r.spectrum.energy_ev, c, left=np.nan, right=np.nan)
            for r, c in zip(references, curves, strict=True)
        ],
        axis=1,
    )
    remarks = [
        *_energy_remarks(where, options),
        *_order_remarks(where, used, grid, references, options),
        *_normalization_remarks(windows, references, options),
    ]
    return FitSetup(
        energy_ev=energy[used],
        used=used,
        below=where.below,
        above=where.above,
        references=grid,
        background=background,
        all_references=everywhere,
        valences=np.array([r.valence for r in references]),
        names=tuple(r.name for r in references),
        facts=_record(where, condition),
        remarks=tuple(remarks),
    )


def _record(where: _Energies, condition: float) -> dict[str, Any]:
    """Return the part of the set-up that goes into the record."""
    return {
        "edge": where.windows.edge,
        "window_ev": list(where.windows.fit),
        "pre_edge_ev": list(where.windows.pre_edge),
        "post_edge_ev": list(where.windows.post_edge),
        "condition_number": condition,
        "stack_energy_ev": where.ev,
    }


def _checked_condition(
    grid: Float64Array, background: Float64Array, references: Sequence[Reference], options: FitOptions
) -> float:
    """Return the condition number of a fit; refuse references that are not distinguishable."""
    condition = condition_number(grid, background)
    if not condition <= options.max_condition:
        raise InputError(
            f"references of {options.element}",
            expected=f"spectra that differ: a condition number of at most {options.max_condition:g}",
            got=f"{condition:.3g} with {', '.join(r.name for r in references)} and a {options.background} background",
            fix="leave out a reference that the others explain, widen the window, or use a simpler background",
        )
    return condition


def _check_energies(where: _Energies, n_references: int, options: FitOptions) -> None:
    """Refuse stacks with too few energies in a required window."""
    energy, windows = where.ev, where.windows
    unknowns = n_references + {"none": 0, "constant": 1, "linear": 2}[options.background]
    if where.in_window.sum() < unknowns + SPARE_ENERGIES:
        raise InputError(
            f"energies of {options.element}",
            expected=f"at least {unknowns + SPARE_ENERGIES} energies between {windows.fit[0]:g} and {windows.fit[1]:g} eV",
            got=str(int(where.in_window.sum())),
            fix="widen 'window_ev', or fit fewer references",
        )
    if options.fractions_sum == "one" and not (where.below.any() and where.above.any()):
        raise InputError(
            f"energies of {options.element}",
            expected=f"energies below {windows.pre_edge[1]:g} and above {windows.post_edge[0]:g} eV for the edge jump",
            got=f"{energy.min():g} to {energy.max():g} eV",
            fix="set 'fractions_sum: free', or give 'pre_edge_ev' and 'post_edge_ev' within the stack",
        )


def chosen_windows(energy_ev: Float64Array, options: FitOptions) -> Windows:
    """Return the default windows of an element, replaced by those that the user gives."""
    found = default_windows(options.element, energy_ev)
    return Windows(
        found.edge,
        found.edge_ev,
        options.pre_edge_ev or found.pre_edge,
        options.window_ev or found.fit,
        options.post_edge_ev or found.post_edge,
    )


def line_facts(energy_ev: Float64Array, options: FitOptions) -> dict[str, Any]:
    """Return energies and windows of a stack without references, for the record.

    Raises
    ------
    InputError
        If the offset of the energies is to be found by comparison with references.
    """
    if isinstance(options.energy_offset_ev, str) or options.white_line_ev is not None:
        raise InputError(
            f"energy scale of {options.element} without references",
            expected="an offset in eV",
            got="energy_offset_ev: fit"
            if isinstance(options.energy_offset_ev, str)
            else f"white_line_ev: {options.white_line_ev:g}",
            fix="set 'energy_offset_ev' to a number, or give references",
        )
    energy = energy_ev + options.energy_offset_ev
    windows = chosen_windows(energy, options)
    return {
        "edge": windows.edge,
        "window_ev": list(windows.fit),
        "pre_edge_ev": list(windows.pre_edge),
        "post_edge_ev": list(windows.post_edge),
        "stack_energy_ev": energy,
        "energy_offset_ev": options.energy_offset_ev,
    }


def _taken_as_is(reference: Reference, windows: Windows) -> bool:
    """Return whether a reference is normalised and too short for a better normalisation."""
    spectrum = reference.spectrum
    span = normalization_span(spectrum, edge_ev=windows.edge_ev, post_edge=windows.post_edge)
    return span < SHORT_POST_EV and is_normalized(
        spectrum, edge_ev=windows.edge_ev, pre_edge=windows.pre_edge, post_edge=windows.post_edge
    )


def _curve(reference: Reference, windows: Windows, options: FitOptions) -> Float64Array:
    """Return the normalised absorption of a reference on its own energies."""
    if options.references_normalized or _taken_as_is(reference, windows):
        return reference.spectrum.absorption
    return normalized_absorption(
        reference.spectrum,
        edge_ev=windows.edge_ev,
        pre_edge=windows.pre_edge,
        post_edge=windows.post_edge,
        name=_called(reference, options.element),
    )


def _called(reference: Reference, element: str) -> str:
    return f"reference {reference.name} ({reference.valence:g}) of {element}"


def _energy_remarks(where: _Energies, options: FitOptions) -> list[str]:
    """Report wide gaps of the stack in the fit window, and missing energies below the edge."""
    found, element = [], options.element
    energies = np.unique(where.ev[where.in_window])
    steps = np.diff(energies)
    if steps.size and steps.max() > max(LARGEST_GAP * float(np.median(steps)), 0.5):
        widest = int(steps.argmax())
        found.append(
            f"{element}: no energies between {energies[widest]:g} and {energies[widest + 1]:g} eV, in the window of the fit."
        )
    if options.background != "none" and not where.below.any():
        found.append(
            f"{element}: the stack has no energies below the edge ({where.windows.pre_edge[1]:g} eV); the background under the "
            "spectra rests on the fit window alone."
        )
    return found


def _order_remarks(
    where: _Energies,
    used: BoolArray,
    grid: Float64Array,
    references: Sequence[Reference],
    options: FitOptions,
) -> list[str]:
    """Report references of a transition metal whose order differs from that of the valences."""
    if int(xraydb.atomic_number(options.element)) not in TRANSITION_METALS:
        return []
    window = inside(where.ev[used], where.windows.fit)
    remark = check_valence_order(
        where.ev[used][window], grid[window], references, declared=options.references_normalized
    )
    return [f"{options.element}: {remark}"] if remark else []


def _normalization_remarks(
    windows: Windows, references: Sequence[Reference], options: FitOptions
) -> list[str]:
    """Report references that are normalised over a range too short for their edge."""
    if options.references_normalized or windows.post_edge[1] - windows.post_edge[0] < SHORT_POST_EV:
        return []
    spans = {
        r.name: normalization_span(r.spectrum, edge_ev=windows.edge_ev, post_edge=windows.post_edge)
        for r in references
        if not _taken_as_is(r, windows)
    }
    short = {name: span for name, span in spans.items() if span < SHORT_POST_EV}
    if not short:
        return []
    listed = ", ".join(f"{name} ({span:.0f} eV)" for name, span in short.items())
    return [
        f"{options.element}: references are normalised over a short range above the edge: {listed}. "
        "Its fine structure enters the edge jump by a few per cent, and with it the valence: give longer "
        "references, or normalised ones."
    ]
