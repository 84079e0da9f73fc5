"""Models of oxygen loss in a report: figure, table and verdict, for maps and for volumes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oxytomo.arrays import Float64Array
from oxytomo.results.numbers import float_of
from oxytomo.view.report import Table
from oxytomo.view.style import SERIES_COLORS, SOFT_INK, house_style, new_figure

Models = Sequence[Mapping[str, Any]]
MODEL_NAMES = {"diffusion": "vacancy diffusion", "core_shell": "core–shell", "uniform": "uniform"}
PARAMETER_NAMES = {
    "core_valence": "core",
    "surface_valence": "surface",
    "dt_nm2": "D·t",
    "shell_nm": "shell (nm)",
    "d_cm2_per_s": "D (cm²/s)",
}
WIDTH_IN, HEIGHT = 4.7, 3.4
DECISIVE_BIC = 10.0
NO_MODEL_CHI_SQUARE = 10.0


@house_style
def model_figure(
    element: str,
    outside: Float64Array,
    measured: tuple[Float64Array, Float64Array],
    models: Models,
    *,
    of: str,
) -> Figure:
    """Show a profile with the fitted models.

    Parameters
    ----------
    outside : (n_bin,) percent of the area or volume outside the middle of each bin
    measured : valence of each bin, and its standard error
    models : as in the JSON file; their profiles have the same bins
    of : area or volume
    """
    figure = new_figure(WIDTH_IN, HEIGHT)
    axes = figure.add_subplot()
    axes.errorbar(outside, *measured, fmt="o", ms=3.5, capsize=2, color=SOFT_INK, label="measured")
    best = min(models, key=lambda model: float(model["bic"]))
    for number, model in enumerate(models):
        curve = np.array([np.nan if v is None else v for v in model["profile"]], np.float64)
        lead = float(model["bic"]) - float(best["bic"])
        axes.plot(
            outside,
            curve[: len(outside)],
            color=SERIES_COLORS[number],
            lw=2.0 if model is best else 1.0,
            ls="-" if model is best else (0, (4, 3)),
            label=f"{MODEL_NAMES[str(model['name'])]}, ΔBIC {lead:.1f}",
        )
    axes.set_xlabel(f"{of} from the rim (0) to the centre (100 %)")
    axes.set_ylabel(f"{element} valence")
    axes.legend(loc="best")
    return figure


def model_table(by_element: Sequence[tuple[str, Models]], definition: str) -> Table:
    """Return all models of all elements with their parameters and criteria."""
    return Table(
        "Models of the profile",
        ("element", "model", "parameters", "χ²", "AIC", "BIC"),
        [_row(element, model) for element, models in by_element for model in models],
        frozenset({3, 4, 5}),
        "The smaller BIC explains the profile better; a difference of 10 is decisive. D·t is in nm².",
        {"parameters": definition},
    )


def model_verdict(element: str, models: Models) -> str:
    """Say which model explains the profile of an element, or that none does."""
    ranked = sorted(models, key=lambda model: float(model["bic"]))
    best, second = ranked[0], ranked[1]
    lead = float(second["bic"]) - float(best["bic"])
    name = MODEL_NAMES[str(best["name"])]
    misfit = float(best["reduced_chi_square"])
    if misfit > NO_MODEL_CHI_SQUARE:
        return (
            f"{element}: no model describes the profile. The nearest is {name}, and it leaves {misfit:.0f} times the "
            "variance of the noise: do not read its parameters as measured."
        )
    sure = "decisively" if lead > DECISIVE_BIC else "not decisively"
    return (
        f"{element}: the profile is best explained by {name}, {sure} "
        f"(ΔBIC {lead:.1f} to {MODEL_NAMES[str(second['name'])]})."
    )


def _row(element: str, model: Mapping[str, Any]) -> tuple[str, ...]:
    parameters = "; ".join(
        f"{PARAMETER_NAMES[key]} {plus_minus(value, model['standard_errors'].get(key))}"
        for key, value in model["parameters"].items()
    )
    criteria = (f"{model[key]:.1f}" for key in ("chi_square", "aic", "bic"))
    return (element, MODEL_NAMES[str(model["name"])], parameters, *criteria)


def number_text(value: Any, decimals: int = 3) -> str:
    """Return a number with fixed decimals, ``unknown`` if there is none."""
    number = float_of(value)
    return f"{number:.{decimals}f}".replace("-", "−") if np.isfinite(number) else "unknown"


def plus_minus(value: Any, error: Any) -> str:
    """Return a value with its error, both rounded to the second digit of the error."""
    number, spread = float_of(value), float_of(error)
    if not np.isfinite(number):
        return "unknown"
    if not (np.isfinite(spread) and spread > 0):
        return f"{number:.4g}".replace("-", "−")
    if not 1e-4 <= abs(number) < 1e6:
        return f"({number:.2e} ± {spread:.1e})".replace("-", "−")
    decimals = max(0, 1 - int(np.floor(np.log10(spread))))
    return f"{number:.{decimals}f} ± {spread:.{decimals}f}".replace("-", "−")
