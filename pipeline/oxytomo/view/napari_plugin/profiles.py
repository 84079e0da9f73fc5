"""Profiles along a line through layers and over shells, as plots and tables with units."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage
from matplotlib.figure import Figure

from oxytomo.arrays import Float64Array
from oxytomo.errors import InputError, PipelineError
from oxytomo.io.tables import write_csv
from oxytomo.results.definitions import CLASS_DEFINITIONS
from oxytomo.results.errors import UNFIT
from oxytomo.results.files import Files
from oxytomo.results.names import CLASS_KEYS, CLASS_NAMES
from oxytomo.results.results import Results
from oxytomo.view.style import SERIES_COLORS, SERIES_MARKERS, house_style

LARGEST_BOX = 2**25
"""Voxels that a line may cut through (its box) on one level; a longer one is read on a coarser
level."""

SHELL_AXIS = "share of the volume outside, rim to centre (%)"


@dataclass(frozen=True)
class Series:
    """Values over the positions of a profile.

    ``errors`` are standard errors or standard deviations, as ``errors_are`` says.
    """

    name: str
    values: Float64Array
    errors: Float64Array | None = None
    errors_are: str = ""


@dataclass(frozen=True)
class Profile:
    """Data of a plot: positions, series of one quantity, and axis labels with units."""

    title: str
    along: str
    position: Float64Array
    quantity: str
    series: Sequence[Series]


@dataclass(frozen=True)
class Place:
    """An array at several resolutions (finest first) and its position in nm."""

    arrays: Sequence[Any]
    scale_nm: Sequence[float]
    translate_nm: Sequence[float]


def line_positions(points_nm: Float64Array, step_nm: float) -> tuple[Float64Array, Float64Array]:
    """Return points along a polyline, a step apart, and their distances from its start.

    Parameters
    ----------
    points_nm : (n, n_axes) corners of the line, two or more
    step_nm : distance between points; the last step may be shorter

    Returns
    -------
    points : (m, n_axes), distances : (m,), both in nm
    """
    lengths = np.linalg.norm(np.diff(points_nm, axis=0), axis=1)
    corners = np.concatenate([[0.0], np.cumsum(lengths)])
    if len(points_nm) < 2 or not corners[-1] > 0:
        raise InputError("the line", expected="a line of some length", got="a point", fix="draw it again")
    distances = np.append(np.arange(0.0, corners[-1], step_nm), corners[-1])
    points = np.stack([np.interp(distances, corners, axis) for axis in points_nm.T], axis=1)
    return points, distances


def sample_line(place: Place, points_nm: Float64Array) -> Float64Array:
    """Return the values at points, linear between voxels.

    NaN outside, and next to voxels without a value.

    Only the box around the line is read, on the finest level on which it has at most
    :data:`LARGEST_BOX` voxels.
    """
    full = np.asarray(place.arrays[0].shape)
    for number, array in enumerate(place.arrays):
        spans = 2.0 ** np.round(np.log2(full / np.asarray(array.shape)))
        scale = np.asarray(place.scale_nm) * spans
        origin = np.asarray(place.translate_nm) + (spans - 1) / 2 * np.asarray(place.scale_nm)
        index = (points_nm - origin) / scale
        # A map of one voxel along the beam holds for every place along it.
        index[:, np.asarray(array.shape) == 1] = 0.0
        low = np.clip(np.floor(index.min(axis=0)).astype(int), 0, np.asarray(array.shape) - 1)
        high = np.clip(np.ceil(index.max(axis=0)).astype(int) + 1, low + 1, array.shape)
        if np.prod((high - low).astype(float)) <= LARGEST_BOX or number == len(place.arrays) - 1:
            break
    box = np.asarray(array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))], dtype=np.float64)
    values: Float64Array = scipy.ndimage.map_coordinates(
        box, (index - low).T, order=1, mode="constant", cval=np.nan
    )
    return values


def line_profile(
    points_nm: Float64Array, layers: Mapping[str, Place], *, quantity: str, sigma: Place | None
) -> Profile:
    """Return the values of layers of one quantity along a line.

    Parameters
    ----------
    points_nm : (n, n_axes) corners of the line
    layers : by name
    quantity : name and unit, for the axis of the plot
    sigma : standard deviation of each voxel of the layers, or None
    """
    step = min(min(place.scale_nm) for place in layers.values())
    points, distances = line_positions(points_nm, step)
    errors = None if sigma is None else sample_line(sigma, points)
    series = [
        Series(name, sample_line(place, points), errors, "" if errors is None else "σ of a voxel")
        for name, place in layers.items()
    ]
    if all(not np.isfinite(one.values).any() for one in series):
        raise InputError(
            "the line",
            expected="a line through voxels that have a value",
            got="none on it",
            fix="draw the line through the particle",
        )
    return Profile(
        f"{distances[-1]:.4g} nm line", "distance along the line (nm)", distances, quantity, series
    )


def shell_choices(folder: Path) -> dict[str, Callable[[], Profile]]:
    """Return what can be shown over the shells of a sample, by name; nothing is read yet."""
    files = Results.of_folder(folder).files
    choices: dict[str, tuple[str, Callable[[Files], Profile]]] = {
        "TM/O deviation": ("shells", _deviation_shells),
        "class fractions": ("shells", _class_shells),
        "valence": ("oxidation_shells", _valence_shells),
        "porosity": ("structure_measure", _porosity_shells),
    }
    return {
        name: partial(_checked, files, key, read) for name, (key, read) in choices.items() if key in files
    }


def write_profile(path: Path, profile: Profile) -> None:
    """Write a profile as a table; each column names its unit."""
    columns: dict[str, Sequence[Any]] = {profile.along: list(profile.position)}
    for one in profile.series:
        columns[f"{one.name}: {profile.quantity}"] = list(one.values)
        if one.errors is not None:
            columns[f"{one.name}: {one.errors_are}"] = list(one.errors)
    write_csv(path, columns)


@house_style
def draw_profile(figure: Figure, profile: Profile) -> None:
    """Draw a profile into an empty figure; errors are bands of ± one."""
    axes = figure.add_subplot()
    marked = len(profile.position) <= 30
    for number, one in enumerate(profile.series):
        color = SERIES_COLORS[number % len(SERIES_COLORS)]
        marker = SERIES_MARKERS[number % len(SERIES_MARKERS)] if marked else None
        axes.plot(profile.position, one.values, color=color, marker=marker, markersize=4, label=one.name)
        if one.errors is not None:
            low, high = one.values - one.errors, one.values + one.errors
            axes.fill_between(
                profile.position, low, high, color=color, alpha=0.25, linewidth=0, label=f"± {one.errors_are}"
            )
    axes.set_xlabel(profile.along)
    axes.set_ylabel(profile.quantity)
    axes.set_title(profile.title)
    axes.grid(True)
    axes.legend()


def _checked(files: Files, key: str, read: Callable[[Files], Profile]) -> Profile:
    try:
        return read(files)
    except PipelineError as error:
        fix = "delete it and run the workflow again"
        raise InputError(error.subject, expected=error.expected, got=error.got, fix=fix) from error
    except UNFIT as error:
        raise InputError(
            str(files.paths[key]),
            expected="the table of shells",
            got=f"one that lacks or damages a column ({error})",
            fix="delete it and run the workflow again",
        ) from error


def _table(files: Files, key: str) -> Any:
    return files.table(key)


def _middles(table: Any) -> Float64Array:
    found: Float64Array = ((table["shell_outer"] + table["shell_inner"]) / 2).to_numpy()
    return found


def _deviation_shells(files: Files) -> Profile:
    table = _table(files, "shells")
    replicates = table["standard_error_from"].tolist()[:1] == ["replicates"]
    errors = table["standard_error"].to_numpy() if replicates else None
    values, errors_are = table["mean_deviation"].to_numpy(), "standard error" if replicates else ""
    mean = Series("mean", values, errors, errors_are)
    return Profile("TM/O deviation over shells", SHELL_AXIS, _middles(table), "TM/O deviation (1)", [mean])


def _class_shells(files: Files) -> Profile:
    table = _table(files, "shells")
    names = {key: CLASS_NAMES[CLASS_KEYS[key]] for key in CLASS_DEFINITIONS}
    series = [Series(name, 100 * table[key].to_numpy()) for key, name in names.items()]
    return Profile(
        "Classes over shells", SHELL_AXIS, _middles(table), "share of the shell's voxels (%)", series
    )


def _valence_shells(files: Files) -> Profile:
    table = _table(files, "oxidation_shells")
    own = {name: table[table["element"] == name] for name in dict.fromkeys(table["element"])}
    series = [
        Series(name, rows["mean_valence"].to_numpy(), rows["standard_error"].to_numpy(), "standard error")
        for name, rows in own.items()
    ]
    along = "share of the projected area outside, rim to centre (%)"
    middles = _middles(next(iter(own.values())))
    return Profile("Valence over shells of the projection", along, middles, "mean valence (1)", series)


def _porosity_shells(files: Files) -> Profile:
    rows = (files.json("structure_measure") or {})["shells"]
    middles = np.array([(row["shell_outer"] + row["shell_inner"]) / 2 for row in rows])
    series = [
        Series(key, np.array([100 * row[key] for row in rows])) for key in ("porosity", "pores", "cracks")
    ]
    return Profile("Porosity over shells", SHELL_AXIS, middles, "void volume / volume (%)", series)
