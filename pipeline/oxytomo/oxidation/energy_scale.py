"""Energy scale of a stack: its white line, and its offset from the scale of the references."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.errors import InputError
from oxytomo.oxidation.edges import Window, Windows, inside
from oxytomo.oxidation.judgement import ChiSquare, best_energy_offset
from oxytomo.oxidation.linear_combination import background_columns
from oxytomo.oxidation.spectra import Reference
from oxytomo.oxidation.stack import EnergyStack

LARGEST_OFFSET_EV = 2.0
SUSPECT_OFFSET_EV, SUSPECT_CHI_SQUARE = 0.15, 2.0
"""A remark is made for an offset larger than this at which χ² is smaller by this factor."""


@dataclass(frozen=True)
class EnergyScale:
    """Energies of a stack relative to those of its references.

    Attributes
    ----------
    offset_ev, error_ev : offset to add to the energies, eV, and its standard error, NaN where given
    white_line_ev : highest point of the sample's mean spectrum, as recorded
    remarks : what a reader should know
    """

    offset_ev: float
    error_ev: float
    white_line_ev: float
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class ScaleOptions:
    """Information on the energies from the user; see the settings of the same names."""

    element: str
    background: str
    energy_offset_ev: float | str
    white_line_ev: float | None


def energy_scale(
    stack: EnergyStack,
    windows: Windows,
    references: Sequence[Reference],
    curves: Sequence[Float64Array],
    options: ScaleOptions,
) -> EnergyScale:
    """Fit or take the offset of the energies; add a remark if the references contradict it.

    Parameters
    ----------
    stack : the stack, on its recorded energies
    windows : on the same energies
    references : reference spectra
    curves : normalised absorption of each on its own energies
    options : the offset in eV or ``fit``; the energy of the white line is an alternative

    Raises
    ------
    InputError
        When the offset is fitted and no offset within ``LARGEST_OFFSET_EV`` is best.
    """
    energy_ev = stack.energy_ev
    spectrum, error = sample_spectrum(stack, windows)
    white_line = peak_energy(energy_ev, spectrum, windows.fit)
    chosen = inside(energy_ev, windows.fit, windows.pre_edge)
    chi = ChiSquare(
        energy_ev[chosen],
        spectrum[chosen],
        error[chosen],
        [(r.spectrum.energy_ev, c) for r, c in zip(references, curves, strict=True)],
        background_columns(energy_ev[chosen], background=options.background),
        np.array([r.valence for r in references]),
    )
    best, best_error = best_energy_offset(chi, largest_ev=LARGEST_OFFSET_EV)
    if options.energy_offset_ev == "fit":
        if not np.isfinite(best_error):
            raise InputError(
                f"energies of {options.element}",
                expected=f"references that fit best within {LARGEST_OFFSET_EV:g} eV of the stack's energies",
                got=f"the best offset at the limit, {best:+g} eV",
                fix="check references and element, or give 'energy_offset_ev' or 'white_line_ev'",
            )
        return EnergyScale(best, best_error, white_line, ())
    given, white_line_ev = options.energy_offset_ev, options.white_line_ev
    offset = float(given) if white_line_ev is None else white_line_ev - white_line
    return EnergyScale(offset, float("nan"), white_line, _doubts(options.element, chi, offset, best))


def _doubts(element: str, chi: ChiSquare, offset: float, best: float) -> tuple[str, ...]:
    """Remark on a given offset where the references fit much better at another one."""
    there, here = chi(best), chi(offset)
    if not (abs(best - offset) > SUSPECT_OFFSET_EV and here > SUSPECT_CHI_SQUARE * there):
        return ()
    return (
        f"{element}: the references fit much better with the energies moved by {best - offset:+.2f} eV "
        f"(χ² of the mean spectrum {there:.1f} instead of {here:.1f}). If the scales differ, valences are wrong: calibrate "
        "with 'white_line_ev', or with 'energy_offset_ev: fit'.",
    )


def sample_spectrum(stack: EnergyStack, windows: Windows) -> tuple[Float64Array, Float64Array]:
    """Return the mean spectrum of the sample and its standard error, from one pass over the stack.

    The sample is where the absorption rises, from below the edge to the fit window, by at least a
    third of the rise in the strongest pixels.

    Returns
    -------
    spectrum, error : (n_energy,) float64, NaN where no pixel is valid
    """
    energy_ev, value, variance = stack.energy_ev, stack.value, stack.variance
    total, count = np.zeros(value.shape[1:]), np.zeros(value.shape[1:])
    low, low_count = np.zeros(value.shape[1:]), np.zeros(value.shape[1:])
    for at in np.flatnonzero(inside(energy_ev, windows.fit, windows.pre_edge)):
        frame = np.asarray(value[int(at)])
        known = np.isfinite(frame)
        below = energy_ev[at] <= windows.pre_edge[1]
        (low if below else total)[known] += frame[known]
        (low_count if below else count)[known] += 1
    rise = total / np.maximum(count, 1) - low / np.maximum(low_count, 1)
    sample = (count > 0) & (rise > np.percentile(rise, 98) / 3)
    spectrum, error = np.full(energy_ev.size, np.nan), np.full(energy_ev.size, np.nan)
    for i in range(energy_ev.size):
        frame, noise = np.asarray(value[i])[sample], np.asarray(variance[i])[sample]
        known = np.isfinite(frame) & np.isfinite(noise)
        if known.any():
            spectrum[i] = frame[known].mean(dtype=np.float64)
            error[i] = np.sqrt(noise[known].sum(dtype=np.float64)) / known.sum()
    return spectrum, error


def peak_energy(energy_ev: Float64Array, spectrum: Float64Array, window: Window) -> float:
    """Return the energy of the highest point in a window, refined by a parabola."""
    order = np.flatnonzero(inside(energy_ev, window) & np.isfinite(spectrum))
    if order.size == 0:
        return float("nan")
    at = int(spectrum[order].argmax())
    if not 0 < at < order.size - 1:
        return float(energy_ev[order[at]])
    near = order[at - 1 : at + 2]
    if np.unique(energy_ev[near]).size < 3:
        return float(energy_ev[order[at]])
    middle = float(energy_ev[near[1]])
    curve = np.polyfit(energy_ev[near] - middle, spectrum[near], 2)
    return middle - float(curve[1] / (2 * curve[0])) if curve[0] < 0 else middle
