"""Maps of an element from spectrum images (EDS, EELS): counts above a background.

The windows are half-open, ``[low, high)``: a channel belongs to a window where its energy does.
"""

from typing import Literal

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array, FloatArray
from oxytomo.errors import InputError

BackgroundLaw = Literal["none", "linear", "power_law"]
Window = tuple[float, float]


def window_map(
    spectra: np.ndarray,
    energy_ev: Float64Array,
    *,
    window_ev: Window,
    background_ev: tuple[Window, ...],
    law: BackgroundLaw,
    counts: bool,
) -> tuple[FloatArray, FloatArray | None]:
    """Return the counts of a window above its background, and their variance.

    Parameters
    ----------
    spectra : (n_y, n_x, n_e) spectrum of every pixel
    energy_ev : (n_e,) energies of the channels in eV, increasing
    window_ev : the line or edge
    background_ev : windows without lines: two around the line (``linear``), one below the edge
        (``power_law``)
    law : ``none``; ``linear``: a straight line through the mean counts per channel of the two
        windows, for EDS; ``power_law``: ``A E^−r`` for EELS, with r from the sum over the image
        (two halves of the window, Egerton, Electron Energy-Loss Spectroscopy in the Electron
        Microscope, §4.4) and A from each pixel
    counts : the spectra are counts, whose variance equals their number

    Returns
    -------
    map : (n_y, n_x) float32, negative where the background is larger
    variance : (n_y, n_x) float32; None if the spectra are not counts

    Raises
    ------
    InputError
        If a window contains no channel, or a power law does not fall.
    """
    inside = channels(energy_ev, window_ev, "window_ev")
    gross = spectra[..., inside].sum(axis=-1, dtype=np.float64)
    if law == "none":
        return gross.astype(np.float32), np.asarray(gross, np.float32) if counts else None
    weights = [
        (channels(energy_ev, one, "background_ev"), scale)
        for one, scale in _scales(spectra, energy_ev, inside, background_ev, law)
    ]
    background, variance = np.zeros_like(gross), gross.copy()
    for chosen, scale in weights:
        total = spectra[..., chosen].sum(axis=-1, dtype=np.float64)
        background += scale * total
        variance += scale**2 * total
    return (gross - background).astype(np.float32), variance.astype(np.float32) if counts else None


def channels(energy_ev: Float64Array, window: Window, name: str) -> BoolArray:
    """Return the channels within a window; at least one, and the window within the spectrum."""
    low, high = window
    chosen = (energy_ev >= low) & (energy_ev < high)
    step = float(np.median(np.diff(energy_ev))) if energy_ev.size > 1 else 0.0
    if not chosen.any() or low < energy_ev[0] - step or high > energy_ev[-1] + step:
        raise InputError(
            name,
            expected=f"a window within {energy_ev[0]:g} to {energy_ev[-1]:g} eV, the energies of the spectra",
            got=f"[{low:g}, {high:g}]",
            fix="correct the window (in eV)",
        )
    return chosen


def _scales(
    spectra: np.ndarray,
    energy_ev: Float64Array,
    inside: BoolArray,
    background_ev: tuple[Window, ...],
    law: BackgroundLaw,
) -> list[tuple[Window, float]]:
    """Return the factor of each background window for the background below the line."""
    if law == "power_law":
        (window,) = background_ev
        chosen = channels(energy_ev, window, "background_ev")
        if not (energy_ev[inside | chosen] > 0).all():
            raise InputError(
                "background_ev",
                expected="positive energies for a power law",
                got=f"[{window[0]:g}, {window[1]:g}]",
                fix="choose windows above 0 eV",
            )
        r = _exponent(spectra, energy_ev, chosen)
        return [(window, float((energy_ev[inside] ** -r).sum() / (energy_ev[chosen] ** -r).sum()))]
    masks = [channels(energy_ev, one, "background_ev") for one in background_ev]
    centres = [float(energy_ev[mask].mean()) for mask in masks]
    if centres[0] == centres[1]:
        raise InputError(
            "background_ev",
            expected="two different windows",
            got=str(list(background_ev)),
            fix="give one on either side of the line",
        )
    at = float(energy_ev[inside].mean())
    share = (at - centres[0]) / (centres[1] - centres[0])
    parts = (1 - share, share)
    return [
        (one, part * float(inside.sum()) / float(mask.sum()))
        for one, mask, part in zip(background_ev, masks, parts, strict=True)
    ]


def _exponent(spectra: np.ndarray, energy_ev: Float64Array, chosen: BoolArray) -> float:
    """Return r of ``A E^−r`` from the ratio of the two halves of a window, over all pixels."""
    places = np.flatnonzero(chosen)
    low, high = places[: places.size // 2], places[places.size // 2 :]
    total = spectra.reshape(-1, spectra.shape[-1]).sum(axis=0, dtype=np.float64)
    below, above = float(total[low].sum()), float(total[high].sum())
    if places.size < 4 or not (below > 0 and above > 0):
        raise InputError(
            "background_ev",
            expected="a window of four channels or more with counts in them",
            got=f"{places.size} channels",
            fix="give a wider window below the edge",
        )
    # The ratio of the halves falls steadily with r: bisection finds it to the last digit.
    least, most = -20.0, 50.0
    for _ in range(100):
        r = 0.5 * (least + most)
        ratio = float((energy_ev[low] ** -r).sum() / (energy_ev[high] ** -r).sum())
        least, most = (r, most) if ratio < below / above else (least, r)
    if not 0.0 < r < 20.0:
        raise InputError(
            "background_ev",
            expected="counts that fall with energy as a power law (exponent 0 to 20)",
            got=f"exponent {r:.2f}",
            fix="choose a window below the edge, without other edges",
        )
    return r
