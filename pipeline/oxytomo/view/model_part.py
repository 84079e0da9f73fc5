"""The part of a report about the model of the decomposition: how well the spectra fit, what was fitted, what stays uncertain."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oxytomo.arrays import FloatArray
from oxytomo.composition.model_choice import POOR_FIT, named
from oxytomo.view.report import Picture, Quantity, Section, Table
from oxytomo.view.style import INK, NULL_COLOR, SAMPLE_COLOR, house_style, new_figure, percent

WIDTH, HEIGHT = 4.7, 3.4
REMEDIES = {
    "stray": "allow decompose.instrument.stray, or subtract a measured stray light",
    "near_edge": "allow decompose.instrument.near_edge, or give the measured factor",
    "near_edge_spread": "allow decompose.instrument.near_edge_spread",
    "pvdf": "name the substance in decompose.components",
    "carbon": "name the substance in decompose.components",
}
LARGE_SYSTEMATIC = 0.3
"""Share of the threshold above which a systematic error is a warning."""


def check_model(model: Mapping[str, Any] | None, threshold: float) -> list[str]:
    """Warn of spectra that the model does not explain, with the likely cause and what would mend it."""
    if not model or model.get("chi_square_per_dof") is None:
        return []
    found = []
    chi, causes = float(model["chi_square_per_dof"]), list(model.get("likely_causes") or ())
    if chi > POOR_FIT:
        cause = " or ".join(named(name) for name in causes[:2]) or (
            "not among the known ones: look at the residual per energy, at moving illumination and at the flat fields"
        )
        remedies = "; ".join(dict.fromkeys(_remedy(name) for name in causes[:2]))
        found.append(
            f"The spectra do not fit the model: χ² per degree of freedom is {chi:.1f} where 1 is noise. Likely cause: {cause}."
            + (f" What would help: {remedies}." if remedies else "")
        )
    if skin := model.get("skin"):
        found.append(
            f"Carbon lies around the particle like a skin, {skin['carbon_nm']:.1f} ± {skin['standard_error_nm']:.1f} nm of it. "
            f"If it is carbonate (Li2CO3), the skin is {skin['carbonate_nm']:.0f} nm thick, and its oxygen makes the rim look "
            "oxygen-rich; if it is a coat of carbon, it does not. The spectra cannot tell: the rim is undecided, and both "
            "readings are in the table. What would help: name the substance in decompose.components."
        )
    systematic = float(np.sqrt(sum(float(v) ** 2 for v in (model.get("systematic") or {}).values())))
    if systematic > LARGE_SYSTEMATIC * threshold:
        found.append(
            f"Errors that all voxels share amount to {percent(systematic)} of TM/O, beside a threshold of "
            f"{percent(threshold)}: see the error budget."
        )
    return found


def check_reference(median_deviation: float, threshold: float) -> list[str]:
    """Warn first of a particle that is off the reference as a whole."""
    if not abs(median_deviation) > threshold:
        return []
    side = "more" if median_deviation > 0 else "less"
    return [
        f"Half of the particle has at least {percent(abs(median_deviation))} {side} metal per oxygen than the formula. "
        "A wrong formula, density or cross-section is more likely than such a particle: check the formula, and compare "
        "with reference: mode, which shows only how uneven the particle is."
    ]


def _remedy(name: str) -> str:
    for key in ("near_edge_spread", "near_edge", "stray"):
        if name.startswith(key):
            return REMEDIES[key]
    return REMEDIES.get(name, "name the substance in decompose.components")


def model_section(
    model: Mapping[str, Any] | None, budget: Mapping[str, Any] | None, chi_square: FloatArray | None
) -> Section | None:
    """Return what a report says of the model; None where it was not tested."""
    if not model or model.get("chi_square_per_dof") is None:
        return None
    before, after = model["chi_square_per_dof_of_elements_alone"], model["chi_square_per_dof"]
    quantities = [
        Quantity(
            "χ² per degree of freedom",
            f"{after:.2f} (the elements alone: {before:.2f})",
            "disagreement of the optical densities of all energies with the model, on rays averaged over 4 × 4 pixels "
            "without strong gradients; 1 is noise, harmless blur stays below 2",
        )
    ]
    pictures = [
        Picture(
            "Residual per energy",
            residual_bars(model),
            "Mean optical density measured minus modelled. Orange: with the elements alone. Blue: with the terms that were "
            "fitted.",
        )
    ]
    if budget:
        pictures.append(
            Picture(
                "Error budget of TM/O",
                budget_bars(budget),
                "Standard deviations. Noise and reconstruction: of a voxel. The others shift all voxels together; they are "
                "part of σ and of the intervals.",
            )
        )
    if chi_square is not None and np.isfinite(chi_square).any():
        pictures.append(
            Picture(
                "Where the spectra fit",
                chi_square_map(chi_square),
                "χ² per degree of freedom of the averaged rays, mean over the tilts. Grey: no rays fit for the test.",
            )
        )
    return Section(
        "Does the model fit?",
        text=_text(model),
        quantities=quantities,
        pictures=pictures,
        tables=_tables(model),
    )


def _text(model: Mapping[str, Any]) -> Sequence[str]:
    steps = [str(step["term"]) for step in model.get("steps") or ()]
    kept = [name for name in steps if name in model["terms"]]
    if not kept:
        return ["The data ask for no term beside the elements."]
    return [
        "The data ask for "
        + ", ".join(named(name) for name in kept)
        + ". Without any one of them the spectra would fit worse by more than a fifth of what noise leaves."
    ]


def _tables(model: Mapping[str, Any]) -> list[Table]:
    rows = [
        [named(name), _value(term), _value(term, "standard_error")]
        for name, term in (model.get("terms") or {}).items()
    ]
    if not rows:
        return []
    return [
        Table(
            "Fitted terms",
            ("term", "value", "standard error"),
            rows,
            numeric=frozenset({1, 2}),
            note="Stray light: share of the incident intensity. Near edge: factor on the tabulated step; where it differs "
            "within the sample, its standard deviation. Substances: standard deviation of their path length over the rays.",
        )
    ]


def _value(term: Mapping[str, Any], key: str = "value") -> str:
    value = float(term[key])
    if term["kind"] == "component":
        return f"{1000 * value:.2g} nm"
    return f"{value:.4f}" if term["kind"] == "near_edge" else f"{100 * value:.2g} %"


@house_style
def residual_bars(model: Mapping[str, Any]) -> Figure:
    """Mean residual of every series, with the elements alone and with the fitted terms."""
    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.add_subplot()
    names = list(model["residual_by_series"])
    places = np.arange(len(names))
    for offset, key, color in (
        (-0.2, "residual_of_elements_alone_by_series", NULL_COLOR),
        (0.2, "residual_by_series", SAMPLE_COLOR),
    ):
        axes.bar(places + offset, [1000 * float(model[key][name]) for name in names], 0.4, color=color)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xticks(places, [name.replace("_", " ") for name in names], rotation=45, ha="right")
    axes.set_ylabel("optical density / 1000")
    return figure


@house_style
def budget_bars(budget: Mapping[str, Any]) -> Figure:
    """One bar per source of error, percent of TM/O."""
    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.add_subplot()
    known = {name: 100 * float(value) for name, value in budget.items() if value is not None}
    names = {
        "noise_and_reconstruction": "noise and reconstruction",
        "misfit": "misfit of the model",
        "misfit_of_single_rays": "misfit of single rays",
    }
    labels = [names.get(name, named(name)) for name in known]
    axes.barh(np.arange(len(known)), list(known.values()), color=SAMPLE_COLOR)
    axes.set_yticks(np.arange(len(known)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("standard deviation of TM/O, %")
    return figure


@house_style
def chi_square_map(chi_square: FloatArray) -> Figure:
    """χ² per degree of freedom over the detector, mean over the tilts."""
    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.add_subplot()
    known = np.isfinite(chi_square)
    count = known.sum(axis=0)
    mean = np.where(count > 0, np.where(known, chi_square, 0).sum(axis=0) / np.maximum(count, 1), np.nan)
    image = axes.imshow(mean, cmap="viridis", vmin=0, vmax=max(3.0, float(np.nanpercentile(mean, 99))))
    axes.set_facecolor("0.7")
    axes.set_xlabel("column / 4 pixels")
    axes.set_ylabel("row / 4 pixels")
    figure.colorbar(image, ax=axes, label="χ² per degree of freedom")
    return figure
