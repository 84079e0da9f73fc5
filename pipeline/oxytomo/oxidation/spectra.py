"""Reference spectra: normalisation, resampling to the stack's energies, and checks of a set."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from oxytomo.arrays import Float64Array, Spectrum
from oxytomo.errors import InputError
from oxytomo.oxidation.edges import Window, inside

LINEAR_PRE_EV, LINEAR_POST_EV = 30.0, 60.0
"""A straight line is fitted below or above the edge if the energies there span at least this."""

MAX_WHITE_LINE = 30.0
"""White lines of this many times the edge jump do not exist: the continuum was already subtracted
from the spectrum."""

SHORT_POST_EV = 150.0
"""Over a shorter range above the edge, a level or line would follow the fine structure: normalised
spectra are not changed."""
NORMALIZED_PRE, NORMALIZED_POST = 0.03, 0.05
"""A spectrum is normalised if it is within this of 0 below the edge and of a mean of 1 above."""

LEVELS_WITHIN = 0.25
"""A spectrum whose levels are further from 0 and 1 is not normalised, whatever the user states."""

ORDER_TOLERANCE_EV = 0.3
"""A larger contradiction between mean energies of references and their valences is no accident."""
SWAPPED_EV = 1.0
"""The same for references that the user normalised."""
CLEAR_STEP = 0.5
"""Valences that differ by less may be in either order: the chemical shift also depends on the
bonds."""

MAX_GAP_EV = 2.0
"""Largest gap that interpolation bridges within the fit window of a soft edge."""


@dataclass(frozen=True)
class Reference:
    """A reference spectrum with its name and valence."""

    name: str
    valence: float
    spectrum: Spectrum


def normalized_absorption(
    spectrum: Spectrum, *, edge_ev: float, pre_edge: Window, post_edge: Window, name: str
) -> Float64Array:
    """Absorption with the pre-edge at 0 and the mean level above the edge at 1.

    Below and above the edge a constant is fitted, or a straight line if the energies there span
    enough. The pre-edge line is subtracted. The edge jump is the difference of both lines at the
    edge. Above the edge the spectrum is flattened by the difference of the post-edge line from its
    value at the edge.

    Parameters
    ----------
    spectrum : spectrum of the whole edge
    edge_ev : energy of the edge, eV
    pre_edge, post_edge : windows in eV
    name : subject of error messages

    Returns
    -------
    (n,) float64, dimensionless

    Raises
    ------
    InputError
        When it has no points below or above the edge, or no edge jump to divide by.
    """
    energy, mu = spectrum.energy_ev, spectrum.absorption
    lines = []
    for window, span, role in (
        (pre_edge, LINEAR_PRE_EV, "below the edge"),
        (post_edge, LINEAR_POST_EV, "above the white lines"),
    ):
        chosen = inside(energy, window)
        if not chosen.any():
            raise InputError(
                name,
                expected=f"energies {role}, {window[0]:g} to {window[1]:g} eV",
                got=f"{energy[0]:g} to {energy[-1]:g} eV",
                fix="give a longer reference, or normalised references with 'references_normalized: true'",
            )
        order = 1 if np.ptp(energy[chosen]) >= span and chosen.sum() >= 4 else 0
        lines.append(np.polyfit(energy[chosen] - edge_ev, mu[chosen], order))
    pre, post = (np.polyval(line, energy - edge_ev) for line in lines)
    jump = float(lines[1][-1] - lines[0][-1])
    if not jump > 0:
        raise InputError(
            name,
            expected="more absorption above the edge than below it",
            got=f"an edge jump of {jump:.3g}",
            fix="check its columns and the windows; if its continuum was taken off, bring all references to one scale "
            "and set 'references_normalized: true'",
        )
    flattened: Float64Array = (mu - pre) / jump
    if flattened.max() > MAX_WHITE_LINE:
        raise InputError(
            name,
            expected=f"an edge jump, at least 1/{MAX_WHITE_LINE:g} of the white line",
            got=f"1/{flattened.max():.0f}: the continuum above the edge was taken off, or the spectrum ends too early",
            fix="give references with their continuum, or all on one scale with 'references_normalized: true'",
        )
    above = energy > edge_ev
    flattened[above] -= ((post - pre) / jump - 1.0)[above]
    return flattened


def normalization_span(spectrum: Spectrum, *, edge_ev: float, post_edge: Window) -> float:
    """Return the range of the spectrum within the window above the edge, eV; 0 if there is none."""
    high = spectrum.energy_ev[inside(spectrum.energy_ev, (max(post_edge[0], edge_ev), post_edge[1]))]
    return float(np.ptp(high)) if high.size else 0.0


def is_normalized(spectrum: Spectrum, *, edge_ev: float, pre_edge: Window, post_edge: Window) -> bool:
    """Return whether a spectrum is normalised: pre-edge 0, mean 1 above the white lines.

    A column named ``norm`` or ``flat`` is normalised. Any other spectrum is normalised if its mean
    below the edge is within :data:`NORMALIZED_PRE` of 0 and its mean above within
    :data:`NORMALIZED_POST` of 1. If it does not reach either window, this is unknown.
    """
    if spectrum.metadata.get("normalized") == "yes":
        return True
    energy, mu = spectrum.energy_ev, spectrum.absorption
    low, high = inside(energy, pre_edge), inside(energy, post_edge)
    if not (low.any() and high.any()):
        return False
    line = np.polyfit(energy[low] - edge_ev, mu[low], 1 if low.sum() >= 4 else 0)
    flat = float(np.abs(np.polyval(line, energy[low] - edge_ev)).max()) < NORMALIZED_PRE
    return flat and abs(float(mu[high].mean()) - 1.0) < NORMALIZED_POST


def require_levels(
    energy_ev: Float64Array, absorption: Float64Array, pre_edge: Window, post_edge: Window, *, name: str
) -> None:
    """Raise if a spectrum that counts as absolute is not near 0 below and 1 above its edge.

    A window that the spectrum does not reach is not tested.

    Parameters
    ----------
    energy_ev, absorption : (n,) all finite
    pre_edge, post_edge : windows in eV
    name : subject of error messages
    """
    for window, level, where in (
        (pre_edge, 0.0, "below the edge"),
        (post_edge, 1.0, "above the white lines"),
    ):
        chosen = inside(energy_ev, window)
        found = float(absorption[chosen].mean()) if chosen.any() else level
        if not abs(found - level) <= LEVELS_WITHIN:
            raise InputError(
                name,
                expected=f"a normalised spectrum, with a mean of {level:g} {where} "
                f"({window[0]:g} to {window[1]:g} eV)",
                got=f"{found:.3g}",
                fix="normalise it, or remove 'references_normalized: true'",
            )


def on_grid(
    energy_ev: Float64Array, spectrum: Spectrum, absorption: Float64Array, *, name: str
) -> Float64Array:
    """Interpolate a reference linearly at the energies of a fit.

    Raises
    ------
    InputError
        When the reference does not cover them.
    """
    low, high = float(energy_ev.min()), float(energy_ev.max())
    first, last = float(spectrum.energy_ev[0]), float(spectrum.energy_ev[-1])
    within = (spectrum.energy_ev >= low) & (spectrum.energy_ev <= high)
    points = np.concatenate([[low], spectrum.energy_ev[within], [high]])
    gap = float(np.diff(points).max()) if within.any() else high - low
    allowed = max(MAX_GAP_EV, 0.2 * (high - low))
    if first > low + 1e-6 or last < high - 1e-6 or gap > allowed:
        got = f"{first:g} to {last:g} eV" + (f" with a gap of {gap:.2g} eV" if gap > allowed else "")
        raise InputError(
            name,
            expected=f"a spectrum that covers the fit from {low:g} to {high:g} eV",
            got=got,
            fix="give a longer reference or narrow the windows of the fit",
        )
    return np.interp(energy_ev, spectrum.energy_ev, absorption)


def without_far_pre_edge(energy_ev: Float64Array, references: Sequence[Reference], fit: Window) -> np.ndarray:
    """Return which energies all references cover.

    Energies inside the fit window must be covered and stay selected.
    """
    first = max(reference.spectrum.energy_ev[0] for reference in references)
    last = min(reference.spectrum.energy_ev[-1] for reference in references)
    covered = (energy_ev >= first) & (energy_ev <= last)
    return covered | inside(energy_ev, fit)


def check_valence_order(
    energy_ev: Float64Array, absorption: Float64Array, references: Sequence[Reference], *, declared: bool
) -> str | None:
    """Refuse references whose spectra contradict the order of their valences.

    Returns a remark on a small contradiction.

    The mean energy Σ E μ / Σ μ over the window rises with the valence of a transition metal
    (chemical shift). It is not a measure for a metal (valence 0), which has no white line: its
    spectrum is as high at the end of the window as near the edge. A contradiction with a metal only
    leads to a remark. So does one of up to ``SWAPPED_EV`` if the user states that the references
    are normalised, because a different normalisation also shifts the mean energy.

    Parameters
    ----------
    energy_ev : (n_energy,) energies inside the fit window
    absorption : (n_energy, n_reference) normalised references there
    references : in the same order
    declared : the user states that they are normalised

    Raises
    ------
    InputError
        When a spectrum lies more than ``ORDER_TOLERANCE_EV`` below that of a valence lower by
        ``CLEAR_STEP`` or more.
    """
    centres = (energy_ev @ absorption) / absorption.sum(axis=0)
    remark = None
    for (low, below), (high, above) in product(zip(references, centres, strict=True), repeat=2):
        if not (high.valence > low.valence and above < below - ORDER_TOLERANCE_EV):
            continue
        certain = low.valence > 0 and above < below - (SWAPPED_EV if declared else ORDER_TOLERANCE_EV)
        if certain and high.valence - low.valence >= CLEAR_STEP:
            raise InputError(
                f"references {low.name} ({low.valence:g}) and {high.name} ({high.valence:g})",
                expected="the spectrum of the higher valence at higher energy",
                got=f"mean energies of {below:.2f} and {above:.2f} eV",
                fix="the valences are probably swapped: correct the keys of 'references', or bring their energies to one "
                "scale with 'energy_shift_ev'",
            )
        remark = (
            f"The spectrum of {high.name} ({high.valence:g}) lies below that of {low.name} ({low.valence:g}) by "
            f"{below - above:.2f} eV on average, although its valence is higher: check valences and energy scales."
        )
    return remark
