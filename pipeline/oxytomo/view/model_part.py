"""Section of a report about the decomposition model: misfit, fitted terms, uncertainty."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oxytomo.arrays import FloatArray
from oxytomo.composition.model_choice import in_units, named
from oxytomo.view.report import Picture, Quantity, Section, Table
from oxytomo.view.style import INK, NULL_COLOR, SAMPLE_COLOR, house_style, new_figure

WIDTH, HEIGHT = 4.7, 3.4


def model_section(
    model: Mapping[str, Any] | None, budget: Mapping[str, Any] | None, chi_square: FloatArray | None
) -> Section | None:
    """Return the section about the model; None if it was not tested and nothing was measured."""
    if not model or model.get("chi_square_per_dof") is None:
        known = _measured(model or {})
        untested = "The model could not be tested: there are no spare energies, or too few rays."
        return Section("Does the model fit?", text=[*known, untested]) if known else None
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
    known = _measured(model)
    if not kept:
        return [*known, "The data ask for no term beside the elements."]
    without = "it" if len(kept) == 1 else "any one of them"
    return [
        *known,
        "The data ask for "
        + ", ".join(named(name) for name in kept)
        + f". Without {without} the spectra would fit worse by more than a fifth of what noise leaves.",
    ]


def _measured(model: Mapping[str, Any]) -> list[str]:
    """Say which elements have measured spectra."""
    names = model.get("near_edge_measured") or ()
    return [f"Near-edge absorption of {', '.join(names)}: measured (reference spectra)."] if names else []


def _tables(model: Mapping[str, Any]) -> list[Table]:
    rows = [
        [named(name), in_units(term), in_units(term, "standard_error")]
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
    """One bar per source of error, in percent of TM/O."""
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
    """χ² per degree of freedom on the detector, averaged over the tilts."""
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
