"""Section of a report about oxidation states: warnings, summary, maps, shells, models."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from oxytomo.measure.definitions import OXIDATION_DEFINITIONS
from oxytomo.results.numbers import float_of
from oxytomo.results.records import ElementValence, Oxidation
from oxytomo.results.warnings import oxidation_warnings
from oxytomo.view.front import oxidation_front
from oxytomo.view.oxidation_figures import (
    MODEL_NAMES,
    cluster_figure,
    oxygen_loss_models,
    shell_spectra,
    valence_maps,
    valence_profiles,
    valence_shells,
)
from oxytomo.view.report import Part, Picture, Quantity, Section, Table
from oxytomo.view.style import percent

CHECKED = (
    "structured residuals of the shells",
    "pixels too thick",
    "shifts of the frames",
    "a reference that the others contradict",
    "energies and references",
)
DECISIVE_BIC = 10.0
NO_MODEL_CHI_SQUARE = 10.0
"""If the reduced χ² of the best model exceeds this, no model explains the profile."""


def oxidation_part(result: Oxidation) -> Part:
    """Return the section about oxidation states."""
    elements = result.elements
    sections = [_maps(elements), _shells(elements), _profiles(elements), _judgement(elements)]
    sentences, front = [_sentence(one) for one in elements], oxidation_front(result, None)
    return Part("oxidation", oxidation_warnings(result), CHECKED, sentences, sections, front)


def _sentence(one: ElementValence) -> str:
    s = one.summary
    window = s["windows"]["window_ev"]
    text = (
        f"{one.element}: mean valence {_pm(s['mean_valence'], s['standard_error'])} (noise alone) over {s['n_pixels']} pixels "
        f"(standard deviation {_number(s['standard_deviation'])}), fitted from {window[0]:g} to {window[1]:g} eV with "
        f"{', '.join(f'{name} ({valence:g})' for name, valence in s['references'].items())}; "
        f"from rim to centre {_number(one.shell_valence[0], 3)} to {_number(one.shell_valence[-1], 3)}. "
        f"If the energies were wrong by 0.1 eV, it would move by {_number(s['valence_per_0_1_ev'], 3)}."
    )
    return text.replace("-", "−") if "-" in text and "e-" not in text else text


def _maps(elements: Sequence[ElementValence]) -> Section:
    caption = (
        "Valence is Σ fraction × valence of the reference. Grey: no valence; the last panel says why. The standard error "
        "holds photon noise (scaled by √χ² where the fit leaves more), not the energy scale or the choice of references."
    )
    quantities = [quantity for one in elements for quantity in _quantities(one)]
    picture = Picture("Valence maps", valence_maps(elements), caption, wide=True)
    return Section("Oxidation states", quantities=quantities, pictures=[picture])


def _quantities(one: ElementValence) -> list[Quantity]:
    s, e = one.summary, one.element
    return [
        Quantity(
            f"{e}, mean valence",
            _pm(s["mean_valence"], s["standard_error"]),
            "mean over all pixels, standard error from noise",
        ),
        Quantity(
            f"{e}, per 0.1 eV",
            _number(s["valence_per_0_1_ev"], 3),
            "change of the mean valence when the stack's energies move up by 0.1 eV: the energy scale must be that good",
        ),
        Quantity(
            f"{e}, white line",
            f"{s['white_line_ev']:.2f} eV",
            "highest point of the sample's mean spectrum within the window, after an offset of "
            f"{s['energy_offset_ev']:+.3f} eV",
        ),
        *_line_quantities(one),
        Quantity(
            f"{e}, condition number",
            f"{s['condition_number']:.1f}",
            "how many times relative errors can grow from spectra to fractions; 1 is best",
        ),
        Quantity(
            f"{e}, χ² per degree of freedom",
            _number(s["median_chi_square"], 2),
            "median over pixels; 1 where the references explain all but noise",
        ),
        Quantity(
            f"{e}, R-factor",
            _number(s["median_r_factor"], 4),
            "median over pixels of Σ residual² / Σ (spectrum − background)²",
        ),
    ]


def _line_quantities(one: ElementValence) -> list[Quantity]:
    """Return the white line of the pixels, which needs no references."""
    line = one.summary.get("white_line")
    if not line or line["median_ev"] is None:
        return []
    edge = line["edge_median_ev"]
    found = [
        Quantity(
            f"{one.element}, white line of pixels",
            f"{line['median_ev']:.2f} eV, spread {line['standard_deviation_ev']:.2f} eV",
            "median over pixels of the maximum of a polynomial fitted around the highest point; its standard error in a pixel is "
            f"{line['median_error_ev']:.2f} eV (median)",
        )
    ]
    if edge is not None:
        text = "median over pixels of the energy of the rising side at half of the edge step"
        found.append(Quantity(f"{one.element}, edge of pixels", f"{edge:.2f} eV", text))
    return found


def _shells(elements: Sequence[ElementValence]) -> Section:
    pictures = [
        Picture(
            "Valence from rim to centre",
            valence_shells(elements),
            "Shells of equal area in each agglomerate. Bars: standard error from noise. Dashes: the fit of the shell's mean "
            "spectrum, which the constraint to positive fractions hardly biases.",
            wide=len(elements) > 1,
        )
    ]
    pictures += [
        Picture(
            f"{one.element} spectra of the shells",
            shell_spectra(one),
            "Mean spectra from the rim (bottom) to the centre (top), the fit (line), and what it leaves. The window of the "
            "fit is shaded; the grey band is ± the standard error of the mean.",
        )
        for one in elements
    ]
    rows = [
        (
            one.element,
            f"{outer:.0f}–{inner:.0f} %",
            _number(mean, 4),
            _number(error, 4),
            _number(spectrum, 4),
            f"{n:.0f}",
        )
        for one in elements
        for outer, inner, mean, error, spectrum, n in zip(
            one.shell_outer,
            one.shell_inner,
            one.shell_valence,
            one.shell_error,
            one.spectrum_valence,
            one.shell_pixels,
            strict=True,
        )
    ]
    table = Table(
        "Shells",
        ("element", "area from the rim", "mean valence", "standard error", "of the mean spectrum", "pixels"),
        rows,
        frozenset({2, 3, 4, 5}),
        hints={
            "area from the rim": OXIDATION_DEFINITIONS["shells"],
            "mean valence": OXIDATION_DEFINITIONS["mean_valence"],
            "standard error": OXIDATION_DEFINITIONS["standard_error"],
            "of the mean spectrum": OXIDATION_DEFINITIONS["spectrum_valence"],
            "pixels": "of the shell that have a valence",
        },
    )
    return Section("Shells", pictures=pictures, tables=[table])


def _profiles(elements: Sequence[ElementValence]) -> Section:
    pictures, rows, text = [], [], []
    for one in elements:
        if one.profiles:
            pictures.append(
                Picture(
                    f"{one.element} against depth and thickness",
                    valence_profiles(one),
                    "Mean of pixels in equal steps. A valence that follows the edge jump alone can be an artefact of thickness.",
                    wide=True,
                )
            )
        if one.models:
            pictures.append(
                Picture(
                    f"{one.element} models of oxygen loss",
                    oxygen_loss_models(one),
                    "The largest agglomerate, seen along the beam through a sphere of its area.",
                )
            )
            text.append(_verdict(one))
            rows += [_model_row(one.element, model) for model in one.models]
    tables = (
        [
            Table(
                "Models of the profile",
                ("element", "model", "parameters", "χ²", "AIC", "BIC"),
                rows,
                frozenset({3, 4, 5}),
                "The smaller BIC explains the profile better; a difference of 10 is decisive. D·t is in nm².",
                {"parameters": OXIDATION_DEFINITIONS["models"]},
            )
        ]
        if rows
        else []
    )
    return Section("What the profiles say", text=text, pictures=pictures, tables=tables)


def _verdict(one: ElementValence) -> str:
    ranked = sorted(one.models, key=lambda model: float(model["bic"]))
    best, second = ranked[0], ranked[1]
    lead = float(second["bic"]) - float(best["bic"])
    name = MODEL_NAMES[str(best["name"])]
    misfit = float(best["reduced_chi_square"])
    if misfit > NO_MODEL_CHI_SQUARE:
        return (
            f"{one.element}: no model describes the profile. The nearest is {name}, and it leaves {misfit:.0f} times the "
            "variance of the noise: do not read its parameters as measured."
        )
    sure = "decisively" if lead > DECISIVE_BIC else "not decisively"
    return (
        f"{one.element}: the profile is best explained by {name}, {sure} "
        f"(ΔBIC {lead:.1f} to {MODEL_NAMES[str(second['name'])]})."
    )


PARAMETER_NAMES = {
    "core_valence": "core",
    "surface_valence": "surface",
    "dt_nm2": "D·t",
    "shell_nm": "shell (nm)",
    "d_cm2_per_s": "D (cm²/s)",
}


def _model_row(element: str, model: Mapping[str, Any]) -> tuple[str, ...]:
    parameters = "; ".join(
        f"{PARAMETER_NAMES[key]} {_pm(value, model['standard_errors'].get(key))}"
        for key, value in model["parameters"].items()
    )
    criteria = (f"{model[key]:.1f}" for key in ("chi_square", "aic", "bic"))
    return (element, MODEL_NAMES[str(model["name"])], parameters, *criteria)


def _judgement(elements: Sequence[ElementValence]) -> Section:
    pictures = [
        Picture(
            f"{one.element} clusters of spectra",
            cluster_figure(one),
            f"k-means on the significant principal components ({one.summary['significant_components']} stand out of the noise), "
            "by shape of the spectra; no reference was used.",
            wide=True,
        )
        for one in elements
    ]
    rows = []
    for one in elements:
        rows.append(_left_out_row(one.element, "none", one.summary["spectrum"]))
        rows += [
            _left_out_row(one.element, str(left["left_out"]), left) for left in one.summary["leave_one_out"]
        ]
    table = Table(
        "Leaving one reference out",
        ("element", "left out", "valence", "χ² of the mean spectrum", "structured residual"),
        rows,
        frozenset({2, 3, 4}),
        "Fits of the mean spectrum of all pixels. If a fit without a reference is as good, the data do not need it.",
        {"structured residual": OXIDATION_DEFINITIONS["structured_residual"]},
    )
    return Section("Is the model right?", pictures=pictures, tables=[table])


def _left_out_row(element: str, left_out: str, fit: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        element,
        left_out,
        _number(fit.get("valence"), 3),
        _number(fit.get("chi_square"), 1),
        percent(float_of(fit.get("structured_residual"))),
    )


def _number(value: Any, decimals: int = 3) -> str:
    """Return a number with fixed decimals, ``unknown`` if there is none."""
    number = float_of(value)
    return f"{number:.{decimals}f}".replace("-", "−") if np.isfinite(number) else "unknown"


def _pm(value: Any, error: Any) -> str:
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
