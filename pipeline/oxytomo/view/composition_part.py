"""Section of a report about a composition: warnings, summary, figures, numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from oxytomo.arrays import FloatArray
from oxytomo.results.definitions import CLASS_DEFINITIONS
from oxytomo.results.fractions import Fraction, fractions_of, undecided_of
from oxytomo.results.records import Composition
from oxytomo.results.warnings import composition_warnings
from oxytomo.slabs import count_set, plane, sampled
from oxytomo.view.alignment_part import alignment_section
from oxytomo.view.association_table import association_tables_of
from oxytomo.view.composition_maps import maps_section, telling_picture
from oxytomo.view.composition_tables import (
    domain_tables_of,
    interval_text,
    shell_table_of,
)
from oxytomo.view.curves import (
    DIRECTIONS,
    deviation_histogram,
    fraction_bars,
    joint_histogram,
    resolution_curves,
    shell_profile,
)
from oxytomo.view.explorer import composition_explorer
from oxytomo.view.front import composition_front
from oxytomo.view.model_part import model_section
from oxytomo.view.readings_part import readings_table
from oxytomo.view.report import Part, Picture, Quantity, Section
from oxytomo.view.slices import class_slices, robust_range, slice_figure
from oxytomo.view.style import SEQUENTIAL, percent, percent_setting
from oxytomo.view.whole_part import damage_section, formula_line, whole_quantities

CHECKED = (
    "particle against the reference as a whole",
    "spectra of all energies against the model",
    "classes that hang on one term of the model",
    "composition and size against dose",
    "class fractions against the null run",
    "noise per voxel against the threshold",
    "number and range of tilts",
    "alignment residuals and limits",
    "invalid pixels and rays",
    "negative amounts",
    "particle within the volume",
)
RESOLUTION = (
    "smallest detail that two independent halves of the data agree on: full period where the Fourier shell correlation of "
    "odd and even tilts crosses the half-bit curve"
)
METHODS = {
    "deviation": "The difference of the transition metals and oxygen was reconstructed as one "
    "unknown, with total "
    "variation and sparsity; the deviation is that difference divided by oxygen.",
    "ratio": "Each element was reconstructed by itself with the same operator; the deviation is their ratio.",
}


def composition_part(result: Composition) -> Part:
    """Return the section about a composition."""
    fractions = fractions_of(result.phases_json)
    undecided = undecided_of(result.phases_json)
    content = result.phases_json or {}
    sections = [_classes(result, fractions, undecided), maps_section(result), _where(result)]
    model = model_section(content.get("model"), content.get("error_budget"), result.chi_square)
    damage = damage_section(content.get("damage"), result.threshold)
    sections += [*(one for one in (model, damage) if one is not None), _volumes(result)]
    if result.alignment is not None:
        sections.append(alignment_section(result.alignment))
    summary = _summary(result, fractions, undecided)
    basis = formula_line(content.get("whole_particle"), content.get("error_budget"))
    front = composition_front(fractions, undecided, result.threshold, telling_picture(result), basis)
    return Part(
        "composition",
        composition_warnings(result),
        CHECKED,
        summary,
        sections,
        front,
        composition_explorer(result),
    )


def _summary(result: Composition, fractions: list[Fraction], undecided: float | None) -> list[str]:
    n_voxels = count_set(result.particle)
    volume_um3 = n_voxels * (result.voxel_nm / 1000) ** 3
    sentences = [
        f"The solid particle has a volume of {volume_um3:.3g} µm³ ({n_voxels} voxels of "
        f"{result.voxel_nm:.4g} nm). "
        "Classes are drawn where TM/O departs from the reference by more than "
        f"{percent_setting(result.threshold)}."
    ]
    parts = []
    for fraction in fractions:
        notes = [f"95 % interval {interval_text(fraction)}"] if fraction.interval else []
        if fraction.null is not None:
            notes.append(f"null run {percent(fraction.null)}")
        parts.append(
            f"{percent(fraction.value)} is {fraction.name}" + (f" ({'; '.join(notes)})" if notes else "")
        )
    if parts:
        sentences.append("Of its volume, " + ", ".join(parts) + ".")
    if undecided is not None:
        confidence = (result.phases_json or {}).get("confident", {}).get("confidence")
        sure = "" if confidence is None else f" with {percent_setting(confidence)} confidence"
        decided = [
            f"{percent(fraction.confident)} is {fraction.name}"
            for fraction in fractions
            if fraction.confident is not None
        ]
        rest = f" For the rest it is small enough: {', '.join(decided)}{sure}." if decided else ""
        sentences.append(f"For {percent(undecided)} of the volume the noise is too large to decide.{rest}")
    return sentences


def _classes(result: Composition, fractions: list[Fraction], undecided: float | None) -> Section:
    inside = sampled(result.deviation, result.particle)
    content = result.phases_json or {}
    whole = whole_quantities(content.get("whole_particle"), content.get("error_budget"))
    quantities = [*whole, *_shares(result, fractions, undecided), *_spread(result, inside)]
    pictures = _class_pictures(result, fractions, inside)
    readings = readings_table(content)
    tables = [] if readings is None else [readings]
    return Section("Composition", quantities=quantities, pictures=pictures, tables=tables)


def _shares(result: Composition, fractions: list[Fraction], undecided: float | None) -> list[Quantity]:
    """Return the fractions of the classes, and the undecided fraction."""
    threshold = percent_setting(result.threshold)
    quantities = [
        Quantity(
            f"{fraction.name} fraction",
            percent(fraction.value),
            f"voxels with {CLASS_DEFINITIONS[fraction.key]} ({threshold}) / voxels of the solid particle",
            interval_text(fraction),
            "" if fraction.null is None else percent(fraction.null),
        )
        for fraction in fractions
    ]
    if undecided is not None:
        quantities.append(
            Quantity(
                "undecided fraction",
                percent(undecided),
                "voxels whose deviation is within noise of the threshold / voxels of the solid particle",
            )
        )
    return quantities


def _spread(result: Composition, inside: FloatArray) -> list[Quantity]:
    """Return deviation, noise and resolution; ``inside`` are the voxels of the particle."""
    quantities = []
    finite = inside[np.isfinite(inside)]
    if finite.size:
        quantities.append(
            Quantity(
                "median deviation", percent(float(np.median(finite))), "(TM/O) / reference − 1, all voxels"
            )
        )
    if result.sigma is not None:
        sigma = sampled(result.sigma, result.particle)
        sigma = sigma[np.isfinite(sigma)]
        if sigma.size:
            quantities.append(
                Quantity(
                    "noise per voxel",
                    percent(float(np.median(sigma))),
                    "median over the particle of the standard deviation of the TM/O deviation, "
                    "from reconstructions with resampled noise",
                )
            )
    resolution = (result.phases_json or {}).get("resolution") or {}
    if resolution:
        quantities.append(
            Quantity(
                "resolution",
                ", ".join(f"{resolution_text(resolution[key])} {name}" for key, name in DIRECTIONS.items()),
                RESOLUTION,
            )
        )
    quantities.append(
        Quantity(
            "reference TM/O",
            f"{result.reference_tm_o:.4f}",
            "TM/O that deviations are relative to, in units of the nominal composition",
        )
    )
    return quantities


def _class_pictures(result: Composition, fractions: list[Fraction], inside: FloatArray) -> list[Picture]:
    null = None if result.null is None else sampled(result.null, result.particle).astype(np.float32)
    threshold = percent_setting(result.threshold)
    resolution = (result.phases_json or {}).get("resolution") or {}
    pictures = []
    if fractions:
        pictures.append(
            Picture(
                "Class fractions",
                fraction_bars(fractions),
                "Filled: the sample with 95 % intervals from noise replicates. Hatched: the null "
                "run, a uniform "
                "particle of the same shape with the same noise, processed alike.",
            )
        )
    pictures.append(
        Picture(
            "Distribution of the deviation",
            deviation_histogram(inside, null, threshold=result.threshold),
            f"Filled: the sample. Line: the null run. Dashed: the threshold of {threshold}. The axis of the shares is "
            "logarithmic. Where the line is as high as the filled curve, noise alone explains it.",
        )
    )
    if resolution:
        pictures.append(
            Picture(
                "Fourier shell correlation",
                resolution_curves(resolution),
                "How far two independent halves of the data (odd and even tilts) agree on detail of each size, in cones of "
                "25°. Detail is measured where a curve is above the half-bit line; the deviation, which is regularised, "
                "can only be coarser.",
            )
        )
    return pictures


def resolution_text(curve: Mapping[str, Any]) -> str:
    """Return the resolution of a curve as text; null in JSON means no resolution."""
    value = curve["resolution_nm"]
    return "none" if value is None or not np.isfinite(value) else f"{value:.3g} nm"


def _where(result: Composition) -> Section:
    pictures = []
    for title, labels, caption in (
        ("Classes", result.phases, "Every voxel of the particle by its most likely side of the threshold."),
        (
            "Classes that noise leaves certain",
            result.confident,
            "Voxels within noise of the threshold are undecided.",
        ),
    ):
        if labels is not None:
            figure = class_slices(labels, result.particle, voxel_nm=result.voxel_nm)
            pictures.append(Picture(title, figure, caption, wide=True))
    if result.shells is not None and len(result.shells):
        pictures.append(
            Picture(
                "From rim to centre",
                shell_profile(result.shells),
                "Shells of equal volume by distance to the outer surface. Bars across: the extent "
                "of the shell; "
                "bars up: standard error from the noise replicates.",
            )
        )
    found = (shell_table_of(result), *domain_tables_of(result), *association_tables_of(result))
    tables = [table for table in found if table is not None]
    return Section("Where the classes are", pictures=pictures, tables=tables)


def _volumes(result: Composition) -> Section:
    pictures = []
    elements = list(result.elements)
    inside = [sampled(plane(result.densities, k), result.particle) for k in range(len(elements))]
    for k, name in enumerate(elements):
        window = (0.0, max(0.1, robust_range(inside[k])[1])) if inside[k].size else (0.0, 1.0)
        figure = slice_figure(
            plane(result.densities, k),
            result.particle,
            voxel_nm=result.voxel_nm,
            window=window,
            colors=SEQUENTIAL,
            label=f"{name}, relative density",
        )
        caption = "1 is the density of the element in the reference composition."
        pictures.append(Picture(f"{name} density", figure, caption, wide=True))
    metals = [place for place, name in enumerate(elements) if name != "O"]
    if "O" in elements and metals and inside[0].size:
        weights = np.array([result.atoms[place] for place in metals], np.float32)
        tm = np.tensordot(weights / weights.sum(), np.stack([inside[place] for place in metals]), axes=1)
        figure = joint_histogram(
            tm.astype(np.float32),
            inside[elements.index("O")],
            reference_tm_o=result.reference_tm_o,
            threshold=result.threshold,
        )
        caption = (
            "Every voxel of the particle. Line: the reference TM/O; dashed: "
            f"±{percent_setting(result.threshold)}. TM is the "
            "mean of the transition metals, each weighed by its atoms in the formula."
        )
        pictures.append(Picture("Transition metals against oxygen", figure, caption))
    text = [METHODS[result.method]] if result.method in METHODS else []
    return Section("Element densities", text=text, pictures=pictures)
