"""Section of a report about oxidation states: warnings, summary, maps, shells, models."""

from collections.abc import Mapping, Sequence
from typing import Any

from oxytomo.measure.definitions import OXIDATION_DEFINITIONS
from oxytomo.results.numbers import float_of
from oxytomo.results.records import ElementValence, Oxidation
from oxytomo.results.warnings import oxidation_warnings
from oxytomo.view.front import oxidation_front
from oxytomo.view.lines_part import line_map_section, line_map_sentence
from oxytomo.view.loss_models import (
    model_figure,
    model_table,
    model_verdict,
    number_text,
    plus_minus,
)
from oxytomo.view.oxidation_figures import (
    cluster_figure,
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


def oxidation_part(result: Oxidation) -> Part:
    """Return the section about oxidation states."""
    elements = result.elements
    sections = []
    if elements:
        sections = [_maps(elements), _shells(elements), _profiles(elements), _judgement(elements)]
    sections += [line_map_section(one) for one in result.white_lines]
    sentences, front = [_sentence(one) for one in elements], oxidation_front(result, None)
    sentences += [line_map_sentence(one) for one in result.white_lines]
    return Part("oxidation", oxidation_warnings(result), CHECKED, sentences, sections, front)


def _sentence(one: ElementValence) -> str:
    s = one.summary
    window = s["windows"]["window_ev"]
    text = (
        f"{one.element}: mean valence {plus_minus(s['mean_valence'], s['standard_error'])} (noise alone) "
        f"over {s['n_pixels']} pixels (standard deviation {number_text(s['standard_deviation'])}), "
        f"fitted from {window[0]:g} to {window[1]:g} eV with "
        f"{', '.join(f'{name} ({valence:g})' for name, valence in s['references'].items())}; "
        f"from rim to centre {number_text(one.shell_valence[0], 3)} to {number_text(one.shell_valence[-1], 3)}. "
        f"If the energies were wrong by 0.1 eV, it would move by {number_text(s['valence_per_0_1_ev'], 3)}."
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
            plus_minus(s["mean_valence"], s["standard_error"]),
            "mean over all pixels, standard error from noise",
        ),
        Quantity(
            f"{e}, per 0.1 eV",
            number_text(s["valence_per_0_1_ev"], 3),
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
            number_text(s["median_chi_square"], 2),
            "median over pixels; 1 where the references explain all but noise",
        ),
        Quantity(
            f"{e}, R-factor",
            number_text(s["median_r_factor"], 4),
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
            number_text(mean, 4),
            number_text(error, 4),
            number_text(spectrum, 4),
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
    pictures, text = [], []
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
                    model_figure(
                        one.element,
                        50 * (one.profiles["area_outside"]["low"] + one.profiles["area_outside"]["high"]),
                        (one.profiles["area_outside"]["mean"], one.profiles["area_outside"]["error"]),
                        one.models,
                        of="area",
                    ),
                    "The largest agglomerate, seen along the beam through a sphere of its area.",
                )
            )
            text.append(model_verdict(one.element, one.models))
    models = [(one.element, one.models) for one in elements if one.models]
    tables = [model_table(models, OXIDATION_DEFINITIONS["models"])] if models else []
    return Section("What the profiles say", text=text, pictures=pictures, tables=tables)


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
        number_text(fit.get("valence"), 3),
        number_text(fit.get("chi_square"), 1),
        percent(float_of(fit.get("structured_residual"))),
    )
