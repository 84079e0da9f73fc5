"""White lines and edges in a report, of volumes and maps: elements without references."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from oxytomo.chemical_state.line_measures import DEFINITIONS
from oxytomo.results.records import ElementLineMaps, ElementLines
from oxytomo.slabs import sampled
from oxytomo.view.oxidation_figures import line_maps
from oxytomo.view.report import Picture, Quantity, Section, Table
from oxytomo.view.slices import robust_range, slice_figure
from oxytomo.view.style import SEQUENTIAL

NAMES = {"white_line": "white line", "edge": "edge at half step"}


def line_sentence(one: ElementLines) -> str:
    """Return the most important numbers of an element in one sentence."""
    line = None if one.summary is None else one.summary["white_line"]
    if line is None:
        return f"{one.element}: no white line was measured."
    error = line["median_error_ev"]
    return (
        f"{one.element}: no references were given, so the volume is the energy of the white line, "
        f"{_energy(line)} in the mean (standard deviation {line['standard_deviation_ev']:.2f} eV; error of a voxel "
        f"{'unknown' if error is None else format(error, '.3f') + ' eV'}), on the energy scale of the series."
    )


def line_section(one: ElementLines) -> Section:
    """Return slices, numbers and shells of an element without references."""
    pictures = []
    for name, volume in (("white_line", one.white_line_ev), ("edge", one.edge_ev)):
        values = sampled(volume, one.particle)
        if not np.isfinite(values).any():
            continue
        figure = slice_figure(
            volume,
            one.particle,
            voxel_nm=one.voxel_nm,
            window=robust_range(values),
            colors=SEQUENTIAL,
            label=f"{NAMES[name]} of {one.element} (eV)",
        )
        caption = f"Cuts through the centre of the particle: {DEFINITIONS[name]}."
        pictures.append(Picture(f"{NAMES[name].capitalize()} of {one.element}", figure, caption, wide=True))
    quantities = [] if one.summary is None else _quantities(one.element, one.summary)
    tables = [] if one.shells is None else [_shells(one)]
    title = f"White line of {one.element}"
    return Section(title, quantities=quantities, pictures=pictures, tables=tables)


def line_map_sentence(one: ElementLineMaps) -> str:
    """Return the most important numbers of a map in one sentence."""
    line = one.summary["white_line"]
    if line is None:
        return f"{one.element}: no pixel has a white line."
    return (
        f"{one.element}: no references were given, so the map is the energy of the white line, {_energy(line)} in the mean "
        f"of {line['pixels']} pixels (standard deviation {line['standard_deviation_ev']:.2f} eV; error of a pixel "
        f"{line['median_error_ev']:.3f} eV), on the energy scale of the stack."
    )


def line_map_section(one: ElementLineMaps) -> Section:
    """Return maps, numbers and shells of an element without references."""
    found = []
    for name, text in NAMES.items():
        line = one.summary[name]
        shown = "none" if line is None else _energy(line)
        found.append(Quantity(f"{one.element}, {text}", shown, _MAP_DEFINITIONS[name]))
    caption = (
        "Energy of the maximum of a polynomial around the highest point, and of the rising side at half of the edge step, with "
        "their standard errors from photon noise. Grey: none, or too thick."
    )
    pictures = [Picture(f"White line of {one.element}", line_maps(one), caption, wide=True)]
    note = "Shells of equal area from the rim to the centre; errors from noise."
    rows = [
        (
            f"{row.shell_outer:.0f}–{row.shell_inner:.0f} %",
            *_energies(row),
            f"{row.n_pixels}",
        )
        for row in one.shells.itertuples()
    ]
    columns = ("area from the rim", *_ENERGY_COLUMNS, "pixels")
    table = Table(f"Shells of {one.element}", columns, rows, frozenset(range(1, 6)), note)
    return Section(f"White line of {one.element}", quantities=found, pictures=pictures, tables=[table])


_MAP_DEFINITIONS = {
    "white_line": "mean over the pixels of particles of the maximum of a polynomial around the highest point",
    "edge": "mean over the pixels of particles of the energy of the rising side at half of the edge step",
}
_ENERGY_COLUMNS = ("white line (eV)", "± (eV)", "edge (eV)", "± (eV) ")


def _energies(row: Any) -> list[str]:
    values = (row.white_line_ev, row.white_line_error_ev, row.edge_ev, row.edge_error_ev)
    return ["none" if not np.isfinite(value) else f"{value:.3f}" for value in values]


def _quantities(element: str, summary: Mapping[str, Any]) -> list[Quantity]:
    found = []
    for name, text in NAMES.items():
        line = summary[name]
        shown = "none" if line is None else _energy(line)
        found.append(Quantity(f"{element}, {text}", shown, f"{DEFINITIONS[name]}; {DEFINITIONS['mean_ev']}"))
    fit = summary["model"]["chi_square_per_dof"]
    text = "of two spectra in each ray, on rays averaged over 4 x 4 pixels: 1 where they explain the data down to noise"
    shown = "not tested" if fit is None else f"{fit:.2f}"
    return [*found, Quantity(f"{element}, χ² per degree of freedom", shown, text)]


def _energy(line: Mapping[str, Any]) -> str:
    error = line["standard_error_ev"]
    return (
        f"{line['mean_ev']:.3f} eV" if error is None else f"{line['mean_ev']:.3f} ± {max(error, 1e-3):.3f} eV"
    )


def _shells(one: ElementLines) -> Table:
    assert one.shells is not None
    rows = [
        (
            f"{row.shell}",
            f"{row.depth_mean_nm:.0f}",
            *_energies(row),
        )
        for row in one.shells.itertuples()
    ]
    columns = ("shell", "depth (nm)", *_ENERGY_COLUMNS)
    note = "Shells of equal volume from the rim (1) to the centre; errors from noise."
    return Table(f"Shells of {one.element}", columns, rows, frozenset(range(6)), note)
