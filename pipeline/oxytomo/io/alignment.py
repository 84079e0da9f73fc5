"""``alignment.csv``: the shifts of every raw frame, to write, edit by hand, and read back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from oxytomo.align.applied import Given, JudgedAlignment
from oxytomo.align.inputs import AlignInputs
from oxytomo.align.series import Solution
from oxytomo.arrays import Float64Array, IntArray
from oxytomo.errors import InputError
from oxytomo.io.aligned_store import SeriesFacts
from oxytomo.io.tables import read_csv, write_csv

SAME_TILT_DEG, SAME_ENERGY_EV = 0.01, 0.5
COLUMNS = ("energy_ev", "tilt_deg", "dy_px", "dx_px")


@dataclass(frozen=True)
class ShiftRows:
    """Meaning of the rows of a table of shifts.

    Attributes
    ----------
    names, energies_ev : (n_series,) names and energies (eV)
    tilt_deg, frames, misfit : (n_tilt,) tilts, numbers and misfits of the frames in use
    """

    names: Sequence[str]
    energies_ev: Float64Array
    tilt_deg: Float64Array
    frames: IntArray
    misfit: Float64Array


def write_alignment(path: Path, judged: JudgedAlignment, facts: SeriesFacts) -> None:
    """Write one row per raw frame; a frame that was left out has ``used`` 0 and no shift."""
    used = judged.frames.used
    rows = ShiftRows(
        judged.inputs.names,
        facts.energies_ev,
        judged.inputs.tilt_deg[used],
        judged.inputs.acquisition_order[used],
        judged.found.tilts.misfit_after[used],
    )
    write_shifts(path, rows, judged.of_used, judged.frames.left_out)


def write_shifts(
    path: Path, rows: ShiftRows, solution: Solution, left_out: Sequence[tuple[int, float, str]]
) -> None:
    """Write the shifts of used frames, and below them the frames left out of each series."""
    names, energies_ev, tilt_deg, frames, misfit = (
        rows.names,
        rows.energies_ev,
        rows.tilt_deg,
        rows.frames,
        rows.misfit,
    )
    columns: dict[str, list[object]] = {
        key: []
        for key in (*COLUMNS, "series", "frame", "magnification", "axis_tilt_deg", "misfit", "used", "note")
    }

    def row(e: int, tilt: float, frame: int, **cells: object) -> None:
        own = {
            "energy_ev": round(float(energies_ev[e]), 3),
            "tilt_deg": round(tilt, 4),
            "series": names[e],
            "frame": frame,
            "magnification": round(float(solution.magnification[e]), 7),
            "axis_tilt_deg": round(solution.axis_tilt_deg, 4),
        }
        for name, value in (own | cells).items():
            columns[name].append(value)

    for e in range(len(names)):
        for t, tilt in enumerate(tilt_deg):
            dy, dx = (round(float(s[e, t]), 4) for s in (solution.dy_px, solution.dx_px))
            found = {"dy_px": dy, "dx_px": dx, "misfit": round(float(misfit[t]), 5)}
            row(e, float(tilt), int(frames[t]), **found, used=1, note="")
        for frame, tilt, reason in left_out:
            row(e, tilt, frame, dy_px="", dx_px="", misfit="", used=0, note=reason)
    write_csv(path, columns)


def read_alignment(path: Path, inputs: AlignInputs, facts: SeriesFacts) -> Given:
    """Read shifts for the given series and tilts.

    Rows are matched by energy and tilt, so the table of another sample with the same scan can be
    used. Columns beyond the four required ones may be missing: the magnification is then the
    recorded one and the axis is not tilted. Shifts are 0 for tilts that are left out: their rows
    have ``used`` 0 for any series.
    """
    names, tilt_deg, energies_ev, magnification = (
        inputs.names,
        inputs.tilt_deg,
        facts.energies_ev,
        facts.magnification,
    )
    table = require_table(path)
    used = _numbers(path, table, "used", 1.0)
    column = {name: _numbers(path, table, name, np.nan) for name in COLUMNS}
    scale, lean = _numbers(path, table, "magnification", np.nan), _numbers(path, table, "axis_tilt_deg", 0.0)
    shifts = np.zeros((2, len(names), tilt_deg.size))
    keep, magnification = np.ones(tilt_deg.size, bool), magnification.copy()
    for e, name in enumerate(names):
        energy = (
            np.isnan(column["energy_ev"])
            if np.isnan(energies_ev[e])
            else np.abs(column["energy_ev"] - energies_ev[e]) < SAME_ENERGY_EV
        )
        if "series" in table and np.isnan(energies_ev[e]):
            energy &= np.array(table["series"]) == name
        for t, tilt in enumerate(tilt_deg):
            rows = np.flatnonzero(energy & (np.abs(column["tilt_deg"] - tilt) < SAME_TILT_DEG))
            if rows.size != 1:
                raise InputError(
                    str(path),
                    expected=f"one row for {name} ({energies_ev[e]:g} eV) at {tilt:g}°",
                    got=f"{rows.size}",
                    fix="give a table of the same energies and tilts, or align this sample by itself",
                )
            at = int(rows[0])
            if used[at] == 0:
                keep[t] = False
                continue
            shifts[:, e, t] = column["dy_px"][at], column["dx_px"][at]
            if not np.isfinite(shifts[:, e, t]).all():
                raise InputError(
                    str(path),
                    expected=f"numbers in dy_px and dx_px for {name} at {tilt:g}°",
                    got="an empty cell",
                    fix="fill them in, or set used to 0 for this tilt",
                )
            if np.isfinite(scale[at]):
                magnification[e] = scale[at]
    leans = np.unique(lean[np.isfinite(lean)])
    if leans.size > 1:
        raise InputError(
            str(path),
            expected="one axis_tilt_deg for all rows",
            got=f"{leans.size} different ones",
            fix="give every row the same",
        )
    axis_tilt_deg = float(leans[0]) if leans.size else 0.0
    return Given(Solution(shifts[0], shifts[1], magnification, axis_tilt_deg), keep)


def require_table(path: Path) -> dict[str, list[str]]:
    """Return the columns of a table of shifts as text; raise if it is not such a table."""
    if not path.is_file():
        raise InputError(
            "align.shifts",
            expected="an existing file",
            got=str(path),
            fix="correct the path; it is relative to the configuration",
        )
    table = read_csv(path)
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise InputError(
            str(path),
            expected=f"columns {', '.join(COLUMNS)}",
            got=f"no {', '.join(missing)}",
            fix="start from the alignment.csv of a finished run",
        )
    return table


def _numbers(path: Path, table: dict[str, list[str]], name: str, absent: float) -> Float64Array:
    """A column as numbers.

    ``absent`` if the table has no such column, NaN for an empty cell.
    """
    length = len(next(iter(table.values())))
    try:
        return (
            np.array([float(cell) if cell else np.nan for cell in table[name]])
            if name in table
            else np.full(length, absent)
        )
    except ValueError as error:
        raise InputError(
            str(path), expected=f"numbers in {name}", got=str(error), fix="correct the cell"
        ) from None
