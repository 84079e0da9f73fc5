"""Section of a report about chemical states in three dimensions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oxytomo.chemical_state.measures import DEFINITIONS
from oxytomo.results.records import ChemicalStates, ElementState
from oxytomo.results.warnings import chemical_state_warnings
from oxytomo.slabs import sampled
from oxytomo.view.alignment_part import alignment_section
from oxytomo.view.lines_part import line_section, line_sentence
from oxytomo.view.loss_models import model_figure, model_table, model_verdict
from oxytomo.view.report import Part, Picture, Quantity, Section, Table
from oxytomo.view.slices import class_slices, robust_range, slice_figure
from oxytomo.view.style import DIVERGING, SEQUENTIAL, percent

CHECKED = (
    "fit of the references to the spectra",
    "energy scale of the references",
    "mean valence of the volume against the sums of all rays",
    "alignment residuals and limits",
    "invalid pixels",
)
ALIGNED_WITH_COMPOSITION = (
    "The amounts come from the solution of the composition: its section shows the alignment."
)
SMALL_ERROR = 0.001
LEAST_REACH = 0.2
"""Smallest half width of the colour scale of a valence."""


def chemical_state_part(result: ChemicalStates) -> Part:
    """Return the section about chemical states."""
    sections = [section for one in result.elements for section in _sections(one)]
    sections += [line_section(one) for one in result.white_lines]
    if result.aligned_with_composition:
        sections.append(Section("Alignment and data quality", text=[ALIGNED_WITH_COMPOSITION]))
    elif result.alignment is not None:
        sections.append(alignment_section(result.alignment))
    sentences = [_sentence(one) for one in result.elements]
    sentences += [line_sentence(one) for one in result.white_lines]
    return Part("chemical state", chemical_state_warnings(result), CHECKED, sentences, sections)


def _sentence(one: ElementState) -> str:
    if one.summary is None:
        return f"{one.element}: the valence was reconstructed, but not measured yet."
    s, high, low = one.summary, one.summary["fractions"]["high"], one.summary["fractions"]["low"]
    text = (
        f"{one.element}: mean valence {_pm(s['mean_valence'], s['standard_error'])} (noise alone) over the voxels "
        f"(standard deviation {s['standard_deviation']:.2f}; noise of a voxel "
        f"{'unknown' if s['noise'] is None else format(s['noise'], '.3f')}). {percent(high['value'])} of the volume lie more "
        f"than {s['threshold']:g} above the reference of {s['reference_valence']:.2f}, {percent(low['value'])} below it."
    )
    per = s["model"]["valence_per_0_1_ev"]
    if per is not None:
        text += f" If the energies were wrong by 0.1 eV, the mean would move by {abs(per):.3f}."
    if model_is_plain(s):
        text += (
            " The valences come from fits of every voxel (method: voxels), the common way: they are kept for comparison "
            "and are noisier than those of rays."
        )
    return text.replace("-", "−")


def model_is_plain(summary: Mapping[str, Any]) -> bool:
    """Return whether every voxel was fitted, the way that is kept for comparison."""
    return summary["model"].get("method") == "voxels"


def _pm(value: float, error: float | None) -> str:
    """Return a value with its error; a small error keeps a digit that is not 0."""
    if error is None:
        return f"{value:.3f}"
    places = 3 if error >= SMALL_ERROR else 4
    return f"{value:.{places}f} ± {max(error, 1e-4):.{places}f}"


def _sections(one: ElementState) -> list[Section]:
    base = float(np.nanmedian(sampled(one.valence, one.particle)))
    if one.summary is not None:
        base = float(one.summary["reference_valence"])
    pictures = [
        Picture(
            f"Valence of {one.element}",
            _valence_slices(one, base),
            "Cuts through the centre of the particle. The middle of the colour scale is the reference valence.",
            wide=True,
        )
    ]
    if one.classes is not None and one.confident is not None:
        shown = one.confident if one.sigma is not None else one.classes
        pictures.append(
            Picture(
                f"Classes of {one.element}",
                class_slices(shown, one.particle, voxel_nm=one.voxel_nm, names=_NAMES),
                "Voxels whose valence is certainly within the threshold of the reference, above it or below it, in spite of "
                "noise; the others are undecided.",
                wide=True,
            )
        )
    window = robust_range(sampled(one.density))
    figure = slice_figure(
        one.density,
        one.particle,
        voxel_nm=one.voxel_nm,
        window=(0.0, window[1]),
        colors=SEQUENTIAL,
        label=f"relative density of {one.element}",
    )
    caption = "Density of the element on the same cuts; 1 is the reference material, or about the particle's own density."
    pictures.append(Picture(f"Density of {one.element}", figure, caption, wide=True))
    tables = [] if one.shells is None else [_shells(one)]
    title = f"Chemical state of {one.element}"
    found = [Section(title, quantities=_quantities(one), pictures=pictures, tables=tables)]
    return [*found, *_profile(one)]


def _profile(one: ElementState) -> list[Section]:
    """Return the valence against depth with the models of oxygen loss; none without models."""
    models = [] if one.summary is None else one.summary.get("models", [])
    if not models or one.profile is None:
        return []
    rows = one.profile
    figure = model_figure(
        one.element,
        np.asarray(rows["volume_outside"] + rows["volume_outside_end"], np.float64) / 2,
        (np.asarray(rows["mean_valence"], np.float64), np.asarray(rows["standard_error"], np.float64)),
        [{**model, "profile": rows[model["name"]]} for model in models],
        of="volume",
    )
    picture = Picture(
        f"{one.element} from the surface",
        figure,
        "Mean valence in thin shells by depth, and models of oxygen loss in a sphere of the particle's volume.",
    )
    return [
        Section(
            f"{one.element} from surface to centre",
            text=[model_verdict(one.element, models)],
            pictures=[picture],
            tables=[model_table([(one.element, models)], DEFINITIONS["models"])],
        )
    ]


_NAMES = {1: "reference", 2: "high", 3: "low", 4: "undecided"}


def _valence_slices(one: ElementState, base: float) -> Figure:
    values = sampled(one.valence, one.particle)
    known = np.abs(values[np.isfinite(values)] - base)
    reach = max(LEAST_REACH, float(np.percentile(known, 99))) if known.size else LEAST_REACH
    figure: Figure = slice_figure(
        one.valence,
        one.particle,
        voxel_nm=one.voxel_nm,
        window=(base - reach, base + reach),
        colors=DIVERGING,
        label=f"valence of {one.element}",
    )
    return figure


def _quantities(one: ElementState) -> list[Quantity]:
    s = one.summary
    if s is None:
        return []
    e, model = one.element, s["model"]
    null = s["null"]["fractions"]
    found = [
        Quantity(
            f"{e}, mean valence",
            _pm(s["mean_valence"], s["standard_error"]),
            DEFINITIONS["mean_valence"],
            _interval(s["ci95"]),
        ),
        Quantity(f"{e}, from sums", f"{s['valence_of_sums']:.3f}", DEFINITIONS["valence_of_sums"]),
        Quantity(f"{e}, reference", f"{s['reference_valence']:.3f}", DEFINITIONS["reference_valence"]),
    ]
    for name in ("high", "low"):
        entry, of_null = s["fractions"][name], null[name]["value"]
        limits = entry["ci95"]
        shown = "" if not limits else f"{percent(limits[0])} to {percent(limits[1])}"
        nothing = "" if of_null is None or of_null != of_null else percent(of_null)
        found.append(Quantity(f"{e}, {name}", percent(entry["value"]), DEFINITIONS[name], shown, nothing))
    fit, per = model["chi_square_per_dof"], model["valence_per_0_1_ev"]
    found += [
        Quantity(
            f"{e}, per 0.1 eV",
            "unknown" if per is None else f"{per:+.3f}".replace("-", "−"),
            DEFINITIONS["valence_per_0_1_ev"],
        ),
        Quantity(
            f"{e}, χ² per degree of freedom",
            "not tested" if fit is None else f"{fit:.2f}",
            DEFINITIONS["chi_square_per_dof"],
        ),
        Quantity(
            f"{e}, condition number", f"{model['condition_number']:.1f}", DEFINITIONS["condition_number"]
        ),
    ]
    return found


def _interval(limits: Sequence[float] | None) -> str:
    return "" if limits is None else f"{limits[0]:.3f} to {limits[1]:.3f}"


def _shells(one: ElementState) -> Table:
    assert one.shells is not None
    columns = ("shell", "depth (nm)", "valence", "standard error", "high", "low")
    rows = [
        (
            f"{row.shell}",
            f"{row.depth_mean_nm:.0f}",
            f"{row.mean_valence:.3f}",
            "unknown" if not np.isfinite(row.standard_error) else f"{row.standard_error:.4f}",
            percent(row.high),
            percent(row.low),
        )
        for row in one.shells.itertuples()
    ]
    note = "Shells of equal volume from the rim (1) to the centre."
    return Table(f"Shells of {one.element}", columns, rows, frozenset(range(6)), note)
