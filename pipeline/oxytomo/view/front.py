"""The first screen of a report: verdict in one sentence, three numbers, one picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oxytomo.results.definitions import ENERGY_SCALE_EV
from oxytomo.results.fractions import Fraction
from oxytomo.results.names import percent, percent_setting
from oxytomo.results.records import Oxidation
from oxytomo.view.report import Picture


@dataclass(frozen=True)
class Headline:
    """One of the main numbers: name, value, interval or limits as text, and what it means."""

    name: str
    value: str
    interval: str
    note: str


@dataclass(frozen=True)
class Front:
    """The first screen of a branch.

    Attributes
    ----------
    verdict : one sentence
    numbers : three numbers with their intervals
    picture : the most telling picture, or None
    basis : what the verdict refers to, such as the formula, in one line above it
    """

    verdict: str
    numbers: Sequence[Headline] = ()
    picture: Picture | None = None
    basis: str = ""


def composition_front(
    fractions: Sequence[Fraction],
    undecided: float | None,
    threshold: float,
    picture: Picture | None,
    basis: str = "",
) -> Front | None:
    """Return the first screen of a composition; None without fractions."""
    by_key = {fraction.key: fraction for fraction in fractions}
    if "target" not in by_key:
        return None
    numbers = [
        Headline(
            fraction.name,
            percent(fraction.value),
            _interval(fraction),
            "" if fraction.null is None else f"in the null run {percent(fraction.null)}",
        )
        for fraction in fractions
    ]
    return Front(_verdict(by_key, undecided, threshold), numbers, picture, basis)


def _interval(fraction: Fraction) -> str:
    if fraction.interval is None:
        return "no interval"
    low, high = fraction.interval
    decimals = 2 if 100 * (high - low) < 1 else 1
    return f"95 % interval {100 * low:.{decimals}f} to {100 * high:.{decimals}f} %"


def _verdict(by_key: Mapping[str, Fraction], undecided: float | None, threshold: float) -> str:
    """Return one sentence on a particle in words of its chemistry."""
    within = percent_setting(threshold)
    sentence = f"{percent(by_key['target'].value)} of the particle has the composition of the reference (TM/O within {within})"
    departing = [by_key[key] for key in ("oxygen_poor", "oxygen_rich") if key in by_key]
    certain = [one for one in departing if beyond_noise(one)]
    known = [one for one in departing if one.interval is not None or one.null is not None]
    if certain:
        shares = " and ".join(f"{percent(one.value)} is {one.name}" for one in certain)
        sentence += f"; {shares}, more than noise can make"
    doubtful = [one.name for one in known if one not in certain]
    if doubtful:
        sentence += (
            f"; {' and '.join(doubtful)} regions are no more than noise can make"
            if certain
            else f", and no {' or '.join(doubtful)} regions beyond what noise can make"
        )
    elif not known:
        sentence += "; how much of the rest is noise is not known"
    if undecided is not None and undecided > 0.5:
        sentence += "; for most of the volume the noise is too large to decide"
    return sentence + "."


def beyond_noise(fraction: Fraction) -> bool:
    """Return True if the interval of a fraction lies above 0 and above the null run."""
    if fraction.interval is None:
        return False
    null = fraction.null if fraction.null is not None and np.isfinite(fraction.null) else 0.0
    return fraction.interval[0] > max(0.0, null)


def structure_front(facts: Mapping[str, Any], picture: Picture | None) -> Front:
    """Return the first screen of pores and cracks."""
    porosity, cracks = facts["porosity"]["total"], facts["cracks"]
    share, opened = facts["open_fraction"], facts.get("open_fraction_ci95")
    sentence = (
        f"Voids fill {percent(porosity['value'])} of the particle, in {_counted(facts['pores'], 'pore')} and "
    )
    sentence += _counted(cracks, "crack")
    if share is not None:
        sentence += f"; electrolyte can reach {percent(share)} of them from outside"
    area, limits = cracks["area_nm2"], cracks["area_nm2"].get("ci95")
    numbers = [
        Headline("porosity", percent(porosity["value"]), _limits(porosity.get("ci95")), "voids / particle"),
        Headline(
            "open share of the voids",
            "unknown" if share is None else percent(share),
            _limits(opened),
            "with a way to the skin",
        ),
        Headline(
            "crack area",
            f"{area['value'] / 1e6:.3g} µm²",
            f"95 % interval {limits[0] / 1e6:.3g} to {limits[1] / 1e6:.3g} µm²" if limits else "no interval",
            "of the cracks' middle surfaces",
        ),
    ]
    return Front(sentence + ".", numbers, picture)


def _limits(limits: Sequence[float] | None) -> str:
    return f"95 % interval {percent(limits[0])} to {percent(limits[1])}" if limits else "no interval"


def _counted(entry: Mapping[str, Any], name: str) -> str:
    return f"{entry['count']} {name}{'' if entry['count'] == 1 else 's'}"


def oxidation_front(result: Oxidation, picture: Picture | None) -> Front | None:
    """Return the first screen of oxidation states: mean valences, and where they are lower."""
    parts, numbers = [], []
    for one in result.elements:
        mean, noise = one.summary["mean_valence"], one.summary["standard_error"]
        scale = one.summary["valence_per_0_1_ev"]
        if mean is None:
            continue
        error = float(np.hypot(noise or 0.0, (scale or 0.0) / 0.1 * ENERGY_SCALE_EV))
        text = f"{one.element} is {mean:.2f}+ on average"
        step = float(one.shell_valence[-1] - one.shell_valence[0])
        step_error = float(np.hypot(one.shell_error[-1], one.shell_error[0]))
        if np.isfinite(step) and abs(step) > 1.96 * step_error:
            text += f" and {abs(step):.2f} {'lower' if step > 0 else 'higher'} at the rim than in the centre"
        parts.append(text)
        reach = 1.96 * error
        numbers.append(
            Headline(
                f"{one.element}, mean valence",
                f"{mean:.2f}",
                f"95 % interval {mean - reach:.2f} to {mean + reach:.2f}".replace("-", "−"),
                f"noise, and an energy scale good to {ENERGY_SCALE_EV:g} eV",
            )
        )
    return Front("; ".join(parts) + ".", numbers[:3], picture) if parts else None
