"""What a report says of the particle as a whole: its formula, and its change with dose."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oxytomo.arrays import Float64Array
from oxytomo.results.names import percent
from oxytomo.results.whole_checks import MUCH_DAMAGE
from oxytomo.view.report import Picture, Quantity, Section
from oxytomo.view.style import INK, NULL_COLOR, SAMPLE_COLOR, SOFT_INK, house_style, new_figure

WIDTH, HEIGHT = 9.6, 3.6


def written_formula(formula: Mapping[str, float]) -> str:
    """Return a formula in one word, lithium first and oxygen last: Li1.2Mn0.56Ni0.16Co0.08O2."""
    place = {"Li": -1, "O": 1}
    symbols = sorted(formula, key=lambda symbol: place.get(symbol, 0))
    return "".join(s if formula[s] == 1 else f"{s}{formula[s]:.6g}" for s in symbols)


def formula_line(whole: Mapping[str, Any] | None, budget: Mapping[str, Any] | None) -> str:
    """Return the formula with its density, and how the whole particle compares with it.

    Parameters
    ----------
    whole, budget : records of the whole particle and of the errors of TM/O in ``phases.json``
    """
    if not whole or not whole.get("formula"):
        return ""
    text = f"Formula {written_formula(whole['formula'])}"
    if whole.get("density_g_cm3"):
        text += f" at {whole['density_g_cm3']:.4g} g/cm³"
    expected, found = whole.get("tm_per_o_of_formula"), whole.get("tm_per_o")
    if not expected or not found:
        return text + "."
    error = shared_error(budget)
    measured = f"{found:.3f}" + ("" if error is None else f" ± {found * error:.3f}")
    text += (
        f": {expected:.3f} metal atoms per oxygen. Measured in the whole particle: {measured} "
        f"({_signed(found / expected - 1)})"
    )
    dense = whole.get("relative_density")
    return text + ("." if dense is None else f", {dense:.2f} times as dense as stated.")


def shared_error(budget: Mapping[str, Any] | None) -> float | None:
    """Return the relative standard error of TM/O that all voxels share; None where unknown."""
    shared = [float(v) for name, v in (budget or {}).items() if name != "noise_and_reconstruction"]
    return float(np.sqrt(np.sum(np.square(shared)))) if shared else None


def whole_quantities(whole: Mapping[str, Any] | None, budget: Mapping[str, Any] | None) -> list[Quantity]:
    """Return the formula, and metal per oxygen of formula and particle, with definitions."""
    line = formula_line(whole, budget)
    if not whole or not line:
        return []
    found = [Quantity("formula", line, "reference composition that the absorption was computed for")]
    for metal, value in (whole.get("metal_per_oxygen") or {}).items():
        found.append(
            Quantity(
                f"{metal} per oxygen",
                f"{value:.3f} of the formula",
                f"{metal} in the whole particle / oxygen in the whole particle, relative to the formula",
            )
        )
    return found


def damage_section(damage: Mapping[str, Any] | None, threshold: float) -> Section | None:
    """Return the section about a change with dose; None where the order of frames is not known.

    Parameters
    ----------
    damage : record in ``phases.json``
    threshold : threshold of the classes
    """
    if not damage:
        return None
    pictures = []
    if any(value is not None for value in damage["by_frame"]["tm_o"]):
        pictures.append(
            Picture(
                "Metal per oxygen and size against dose",
                damage_curves(damage),
                "Every point: sums over the particle's shadow in one frame, which do not depend on the tilt without damage. "
                "Bars: standard errors from counting noise. Line and band: fitted change with its standard error. What follows "
                "the path length (thick rays, blur) or an inclined tilt axis is taken off.",
                wide=True,
            )
        )
    quantities = [
        Quantity(name, f"{_signed(one['change'])} ± {percent(one['standard_error'])}", definition)
        for key, name, definition in (
            ("tm_o", "change of metal per oxygen", "total metal / total oxygen of a frame"),
            ("size", "change of size", "standard deviation of the mass along the tilt axis"),
        )
        if (one := damage.get(key))
        for definition in (f"{definition}; fitted change from the first to the last frame / mean",)
    ]
    text = [damage_sentence(damage, threshold)]
    return Section("Did the scan change the particle?", text=text, quantities=quantities, pictures=pictures)


def damage_sentence(damage: Mapping[str, Any], threshold: float) -> str:
    """Say whether the scan can tell damage from composition, and what it tells."""
    change, size = damage.get("tm_o"), damage.get("size")
    if not damage["told_from_path_length"] or not change:
        return (
            "The scan cannot tell damage from composition: the order of its frames follows the path length, or too few frames "
            "are known. Repeat a few angles at the end of a scan."
        )
    series = int(damage["series"])
    error = float(change["standard_error"])
    if error > MUCH_DAMAGE * threshold and not change["found"]:
        return (
            f"The scan cannot tell damage from composition: a change of metal per oxygen from the first frame to the last is "
            f"known to ± {percent(error)} only, beside a threshold of {percent(threshold)}."
        )
    if change["found"]:
        return (
            f"Metal per oxygen changed by {_signed(change['change'])} ± {percent(error)} from the first frame to the last: the "
            "composition is a mean over the dose."
            + _of_series(series, abs(float(change["change"])), threshold)
        )
    most = abs(float(change["change"])) + 1.96 * error
    start = (
        "No damage was found"
        if not (size and size["found"])
        else "The size changed, metal per oxygen did not"
    )
    return (
        f"{start}: from the first frame to the last, metal per oxygen changed by no more than {percent(most)} (95 %), "
        f"beside a threshold of {percent(threshold)}. If the energies were recorded in turn at every angle, the scan tells "
        "damage from composition." + _of_series(series, most, threshold)
    )


def _of_series(series: int, most: float, threshold: float) -> str:
    """Say what a change within a series means where the series were recorded one after the other."""
    if series < 2:
        return ""
    beyond = "more" if series * most > threshold else "less"
    return (
        f" If the {series} series were recorded one after the other, the change over all of them may be up to {series} times "
        f"as large ({percent(series * most)}, {beyond} than the threshold) and looks like composition."
    )


@house_style
def damage_curves(damage: Mapping[str, Any]) -> Figure:
    """Metal per oxygen and size of every frame in the order of acquisition, with the fit."""
    figure = new_figure(WIDTH, HEIGHT)
    panels = figure.subplots(1, 2)
    frames = damage["by_frame"]
    frame = np.array(frames["frame"], np.float64)
    for axes, key, column, errors, label in (
        (panels[0], "tm_o", "tm_o", "tm_o_standard_error", "metal per oxygen"),
        (panels[1], "size", "size_px", "size_standard_error_px", "size along the tilt axis"),
    ):
        values, noise = (np.array(frames[name], np.float64) for name in (column, errors))
        level = float(np.nanmean(values)) if np.isfinite(values).any() else 1.0
        one = damage.get(key)
        beside = np.array(frames.get(f"{key}_of_geometry") or np.zeros(frame.size), np.float64)
        shown = values / level - 1 - beside
        axes.errorbar(
            frame, 100 * shown, 100 * noise / level, fmt="o", ms=3, color=SAMPLE_COLOR, lw=0.8, alpha=0.8
        )
        axes.axhline(0, color=SOFT_INK, lw=0.8)
        if one:
            _draw_trend(axes, frame, np.isfinite(values), one)
        axes.set_xlabel("frame of a series, in the order of acquisition")
        axes.set_ylabel(f"{label}, change (%)")
        axes.margins(x=0.03)
    return figure


def _draw_trend(axes: Any, frame: Float64Array, known: Any, one: Mapping[str, float]) -> None:
    """Draw a fitted change as a line through the mean, with its standard error as a band."""
    place = (frame - frame[known].min()) / max(np.ptp(frame[known]), 1)
    away = place - place[known].mean()
    order = np.argsort(frame)
    line, band = 100 * one["change"] * away[order], 100 * one["standard_error"] * np.abs(away[order])
    color = INK if not one["found"] else NULL_COLOR
    axes.plot(frame[order], line, color=color, lw=1.6)
    axes.fill_between(frame[order], line - band, line + band, color=color, alpha=0.2, lw=0)


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '−'}{percent(abs(value))}"
