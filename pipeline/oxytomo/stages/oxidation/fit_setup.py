"""What a fit needs besides the stack: windows, energies on the right scale, references on them, all checked."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array, Spectrum
from oxytomo.config import FitValenceStage as Settings
from oxytomo.config.elements import TRANSITION_METALS
from oxytomo.errors import InputError
from oxytomo.io.spectra import read_spectrum
from oxytomo.io.stores import Store
from oxytomo.oxidation.edges import Windows, default_windows, inside
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
from oxytomo.stages.oxidation.energy_scale import energy_scale

SPARE_ENERGIES = 2
"""A fit needs at least this many energies more than it has unknowns."""
LARGEST_GAP = 4.0
"""Gaps between energies of the fit window above this many median steps (and 0.5 eV) are remarked."""


@dataclass(frozen=True)
class FitSetup:
    """Energies, references and background of a fit.

    Attributes
    ----------
    energy_ev : (n_energy,) calibrated energies of the fit
    used, below, above : (n_stack,) bool: energies of the fit, below the edge, above the white lines
    references, background : (n_energy, n) on the energies of the fit
    all_references : (n_stack, n_reference) on all energies, NaN where a reference does not reach
    valences, names, files : of the references
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
    files: tuple[Path, ...]
    facts: dict[str, Any]
    remarks: tuple[str, ...]


def fit_setup(registered: Store, settings: Settings) -> FitSetup:
    """Read and check everything; raises :class:`InputError` with one line for what cannot be fitted."""
    raw_ev = registered["energy_ev"].astype(np.float64)
    windows = chosen_windows(settings.element, raw_ev, settings)
    references = read_references(settings)
    curves = [_curve(reference, windows, settings) for reference in references]
    scale = energy_scale(registered, raw_ev, windows, references, curves, settings)
    setup = prepared_references(settings.element, raw_ev + scale.offset_ev, settings)
    found = {
        "energy_offset_ev": scale.offset_ev,
        "energy_offset_error_ev": scale.error_ev,
        "white_line_ev": scale.white_line_ev + scale.offset_ev,
    }
    return replace(setup, facts={**setup.facts, **found}, remarks=(*setup.remarks, *scale.remarks))


def prepared_references(element: str, energy: Float64Array, settings: Settings) -> FitSetup:
    """Put the references on calibrated energies of a stack, and check that a fit is possible.

    Parameters
    ----------
    element : symbol
    energy : (n_stack,) increasing, on the scale of the references
    """
    windows = chosen_windows(element, energy, settings)
    references = read_references(settings)
    curves = [_curve(reference, windows, settings) for reference in references]
    in_window = inside(energy, windows.fit)
    below, above = inside(energy, windows.pre_edge), inside(energy, windows.post_edge)
    wanted = in_window | below if settings.background != "none" else in_window
    used = wanted & without_far_pre_edge(energy, references, windows.fit)
    _check_energies(element, energy, in_window, below, above, windows, len(references), settings)
    grid = np.stack(
        [
            on_grid(energy[used], r.spectrum, c, name=_called(r, element))
            for r, c in zip(references, curves, strict=True)
        ],
        axis=1,
    )
    background = background_columns(energy[used], background=settings.background)
    condition = condition_number(grid, background)
    if not condition <= settings.max_condition:
        raise InputError(
            f"references of {element}",
            expected=f"spectra that differ: a condition number of at most {settings.max_condition:g}",
            got=f"{condition:.3g} with {', '.join(r.name for r in references)} and a {settings.background} background",
            fix="leave out a reference that the others explain, widen the window, or use a simpler background",
        )
    everywhere = np.stack(
        [
            np.interp(energy, r.spectrum.energy_ev, c, left=np.nan, right=np.nan)
            for r, c in zip(references, curves, strict=True)
        ],
        axis=1,
    )
    return FitSetup(
        energy_ev=energy[used],
        used=used,
        below=below,
        above=above,
        references=grid,
        background=background,
        all_references=everywhere,
        valences=np.array([r.valence for r in references]),
        names=tuple(r.name for r in references),
        files=tuple(dict.fromkeys(Path(source.file) for _, source in settings.references)),
        facts={
            "edge": windows.edge,
            "window_ev": list(windows.fit),
            "pre_edge_ev": list(windows.pre_edge),
            "post_edge_ev": list(windows.post_edge),
            "condition_number": condition,
            "stack_energy_ev": energy,
        },
        remarks=tuple(_remarks(element, energy, in_window, windows, settings, grid, used, references)),
    )


def _check_energies(
    element: str,
    energy: Float64Array,
    in_window: BoolArray,
    below: BoolArray,
    above: BoolArray,
    windows: Windows,
    n_references: int,
    settings: Settings,
) -> None:
    """Refuse stacks with too few energies in a window that is needed."""
    unknowns = n_references + {"none": 0, "constant": 1, "linear": 2}[settings.background]
    if in_window.sum() < unknowns + SPARE_ENERGIES:
        raise InputError(
            f"energies of {element}",
            expected=f"at least {unknowns + SPARE_ENERGIES} energies between {windows.fit[0]:g} and {windows.fit[1]:g} eV",
            got=str(int(in_window.sum())),
            fix="widen 'window_ev', or fit fewer references",
        )
    if settings.fractions_sum == "one" and not (below.any() and above.any()):
        raise InputError(
            f"energies of {element}",
            expected=f"energies below {windows.pre_edge[1]:g} and above {windows.post_edge[0]:g} eV for the edge jump",
            got=f"{energy.min():g} to {energy.max():g} eV",
            fix="set 'fractions_sum: free', or give 'pre_edge_ev' and 'post_edge_ev' within the stack",
        )


def chosen_windows(element: str, energy_ev: Float64Array, settings: Settings) -> Windows:
    """Return the default windows of an element with those that the user gives in their place."""
    found = default_windows(element, energy_ev)
    return Windows(
        found.edge,
        found.edge_ev,
        settings.pre_edge_ev or found.pre_edge,
        settings.window_ev or found.fit,
        settings.post_edge_ev or found.post_edge,
    )


def read_references(settings: Settings) -> list[Reference]:
    """Read the reference spectra, by increasing valence."""
    references = []
    for valence, source in settings.references:
        spectrum = read_spectrum(Path(source.file), group=source.group, energy_unit=source.energy_unit)
        moved = Spectrum(spectrum.energy_ev + source.energy_shift_ev, spectrum.absorption, spectrum.metadata)
        references.append(Reference(source.label, valence, moved))
    return references


def _taken_as_is(reference: Reference, windows: Windows) -> bool:
    """Say whether a reference is normalised already and ends too soon above the edge to be normalised better."""
    spectrum = reference.spectrum
    span = normalization_span(spectrum, edge_ev=windows.edge_ev, post_edge=windows.post_edge)
    return span < SHORT_POST_EV and is_normalized(
        spectrum, edge_ev=windows.edge_ev, pre_edge=windows.pre_edge, post_edge=windows.post_edge
    )


def _curve(reference: Reference, windows: Windows, settings: Settings) -> Float64Array:
    """Return the normalised absorption of a reference on its own energies."""
    if settings.references_normalized or _taken_as_is(reference, windows):
        return reference.spectrum.absorption
    return normalized_absorption(
        reference.spectrum,
        edge_ev=windows.edge_ev,
        pre_edge=windows.pre_edge,
        post_edge=windows.post_edge,
        name=_called(reference, settings.element),
    )


def _called(reference: Reference, element: str) -> str:
    return f"reference {reference.name} ({reference.valence:g}) of {element}"


def _remarks(
    element: str,
    energy_ev: Float64Array,
    in_window: BoolArray,
    windows: Windows,
    settings: Settings,
    grid: Float64Array,
    used: BoolArray,
    references: list[Reference],
) -> list[str]:
    """Return what a reader should know of energies and references."""
    found = []
    energies = np.unique(energy_ev[in_window])
    steps = np.diff(energies)
    if steps.size and steps.max() > max(LARGEST_GAP * float(np.median(steps)), 0.5):
        widest = int(steps.argmax())
        found.append(
            f"{element}: no energies between {energies[widest]:g} and {energies[widest + 1]:g} eV, in the window of the fit."
        )
    if settings.background != "none" and not inside(energy_ev, windows.pre_edge).any():
        found.append(
            f"{element}: the stack has no energies below the edge ({windows.pre_edge[1]:g} eV); the background under the "
            "spectra rests on the fit window alone."
        )
    if element in TRANSITION_METALS:
        window = inside(energy_ev[used], windows.fit)
        remark = check_valence_order(
            energy_ev[used][window], grid[window], references, declared=settings.references_normalized
        )
        found += [f"{element}: {remark}"] if remark else []
    return found + _normalization_remarks(element, windows, settings, references)


def _normalization_remarks(
    element: str, windows: Windows, settings: Settings, references: list[Reference]
) -> list[str]:
    """Say which references are normalised over a range that is short for their edge."""
    if settings.references_normalized or windows.post_edge[1] - windows.post_edge[0] < SHORT_POST_EV:
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
        f"{element}: references are normalised over a short range above the edge: {listed}. Its fine structure enters the "
        "edge jump by a few per cent, and with it the valence: give longer references, or normalised ones."
    ]
