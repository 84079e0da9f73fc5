"""Spectra of an element from its own rays, where no references are given.

The spectra of a particle of two states lie in a plane, whatever the two states are: each ray is
``m (s + u t) + b B`` with the mean spectrum s, the direction of variation t and a background B. s
and t are the first two principal components of averaged rays, weighted by the noise (as in Lerotic
et al., Ultramicroscopy 2004). Two spectra of this plane take the place of references. So the rays
are decomposed before the reconstruction, as with references, and a voxel has a position u in the
plane with its error. The white line and the edge of each voxel are those of the spectrum at u.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array, FloatArray
from oxytomo.chemical_state.decomposition import StateSeries
from oxytomo.chemical_state.spectra import FALL, Background, ComponentSpectra
from oxytomo.errors import InputError
from oxytomo.oxidation.edges import Window, Windows, default_windows, inside
from oxytomo.oxidation.linear_combination import condition_number
from oxytomo.oxidation.white_line import FLATTENED, FOUND, STATUS_NAMES, WhiteLine, flattening, white_line
from oxytomo.oxidation.white_line_maps import usual_half_width_ev
from oxytomo.preprocess.averaged_rays import AveragedRays, averaged_rays

LOOKED_AT: Final = 31
MOST_RAYS: Final = 4000
LEAST_RAYS: Final = 20
SIGNIFICANT: Final = 1.1
"""A direction of variation is real if its singular value exceeds that of noise by this factor."""
SPREAD: Final = 1.5
"""The two spectra lie this many times as far from the mean as the outermost rays: a ray is the mean
of its voxels."""
SHIFT_EV: Final = 1.0
"""Without a variation beyond noise they are the mean spectrum, moved by this much either way."""
REACH, STEPS = 6.0, 241
"""The positions are listed to this multiple of the distance of the two spectra from the mean."""
THICK_OD: Final = 2.5
MANY_THICK: Final = 0.1
WIDE_GAP_EV: Final = 1.0
WIDEST_EV: Final = 8.5
"""The white line of an L3 edge is searched up to this far above the edge; the spectrum is flat between
there and L2."""


@dataclass(frozen=True)
class OwnOptions:
    """How spectra are found; see the settings of the same names."""

    element: str
    background: Background
    pre_edge_ev: Window | None
    post_edge_ev: Window | None
    white_line_half_width_ev: float | None
    white_line_order: int


@dataclass(frozen=True)
class OwnSpectra:
    """Two spectra of the plane, at −1 and 1, and what the spectra between them look like.

    Attributes
    ----------
    spectra : in the place of references; its ``valences`` are −1 and 1
    place : (n,) increasing places on the line through both
    white_line_ev, edge_ev : (n,) energies of the maximum and of the half step there, NaN where none
    facts : for the record, as plain values
    remarks : what a reader should know
    """

    spectra: ComponentSpectra
    place: Float64Array
    white_line_ev: Float64Array
    edge_ev: Float64Array
    facts: dict[str, Any]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Edge:
    """Energies and windows; the order is that of the series."""

    ev: Float64Array
    windows: Windows
    below: BoolArray
    above: BoolArray
    background: Float64Array
    free: bool

    def without_background(self, spectra: Float64Array) -> Float64Array:
        """Subtract the background that fits below the edge from (…, n_energy)."""
        if not self.free:
            return spectra
        own = self.background[self.below]
        share = spectra[..., self.below] @ own / (own @ own)
        return np.asarray(spectra - share[..., None] * self.background)

    def jump(self, spectra: Float64Array) -> Float64Array:
        """Return the edge jump of (…, n_energy): the mean above the edge, or over all of it."""
        where = self.above if self.above.any() else ~self.below
        return np.asarray(spectra[..., where].mean(axis=-1))


def require_energies(energy_ev: Float64Array, options: OwnOptions) -> None:
    """Raise if no window of a white line holds enough energies for its polynomial."""
    edge = _edge_of(energy_ev, options)
    low, high = _search(edge)
    half, wanted = _half_width(edge, options), options.white_line_order + 2
    near = [int((np.abs(energy_ev - one) < half).sum()) for one in energy_ev if low <= one <= high]
    if max(near, default=0) < wanted:
        raise InputError(
            f"energies of {options.element} without references",
            expected=f"{wanted} or more of them within {half:g} eV of a white line between {low:g} and {high:g} eV",
            got=f"at most {max(near, default=0)}",
            fix="record more energies around it, set 'white_line_order: 2', or give references",
        )


def own_spectra(series: StateSeries, options: OwnOptions) -> OwnSpectra:
    """Find the plane of the spectra of a particle, and the white lines in it.

    Raises
    ------
    InputError
        If the rays are too few, or the white line is not within the energies.
    """
    require_energies(series.energy_ev, options)
    edge = _edge_of(series.energy_ev, options)
    tilts = np.unique(np.linspace(0, series.value.shape[1] - 1, LOOKED_AT).round().astype(int))
    rays = averaged_rays(series.value, series.variance, tilts).some(MOST_RAYS)
    if len(rays) < LEAST_RAYS:
        raise InputError(
            f"series of {options.element} without references",
            expected=f"{LEAST_RAYS} or more blocks of pixels in the shadow of the particle, for its mean spectrum",
            got=str(len(rays)),
            fix="give references, or check the series",
        )
    mean, direction, varies = _plane(rays, edge, options)
    middle, half = _places(rays, edge, mean, direction) if varies else (0.0, SHIFT_EV)
    place = np.linspace(-REACH, REACH, STEPS)
    lines = _lines(edge, mean + (middle + half * place)[:, None] * direction, options)
    _require_white_line(lines, edge, options)
    if _falls(place, lines.position_ev):
        half, lines = -half, _lines(edge, mean + (middle - half * place)[:, None] * direction, options)
    ends = np.stack([mean + (middle + sign * half) * direction for sign in (-1, 1)], axis=1)
    columns = edge.background[:, None] if edge.free else np.zeros((edge.ev.size, 0))
    spectra = ComponentSpectra(
        edge.ev,
        ends,
        edge.background,
        edge.free,
        None,
        np.array([-1.0, 1.0]),
        ("low", "high"),
        condition_number(ends, columns),
        edge.below,
        (),
    )
    at = int(np.argmin(np.abs(place)))
    facts = {
        "varies": varies,
        "mean_spectrum": edge.without_background(ends.mean(axis=1)).tolist(),
        "mean_spectrum_white_line_ev": float(lines.position_ev[at]),
        "mean_spectrum_error_ev": _error_of_mean(rays, edge, ends.mean(axis=1), options),
        "half_width_ev": _half_width(edge, options),
        "order": options.white_line_order,
        "with_edge": bool(np.isfinite(lines.edge_ev[at])),
    }
    remarks = tuple(_remarks(rays, edge, options, varies=varies, rise_ev=float(lines.edge_ev[at])))
    positions = np.asarray(lines.position_ev, np.float64), np.asarray(lines.edge_ev, np.float64)
    return OwnSpectra(spectra, place, *positions, facts, remarks)


def energies_at(places: FloatArray, table: tuple[Sequence[float], Sequence[float]]) -> FloatArray:
    """Return the energies of voxels from their places in the plane; NaN beyond the table.

    Parameters
    ----------
    places : any shape
    table : places and energies of :class:`OwnSpectra`; NaN where there is no energy
    """
    known = np.array([np.nan if one is None else one for one in table[1]], np.float64)
    found = np.interp(places, np.asarray(table[0], np.float64), known, left=np.nan, right=np.nan)
    return np.where(np.isfinite(places), found, np.nan).astype(np.float32)


def energy_errors(
    places: FloatArray, sigma: FloatArray, table: tuple[Sequence[float], Sequence[float]]
) -> FloatArray:
    """Return half of the change of the energy between ``place − σ`` and ``place + σ``."""
    up, down = (energies_at(places + sign * sigma, table) for sign in (1, -1))
    here = energies_at(places, table)
    # At the end of the table one side is enough.
    both = np.stack([np.abs(up - down) / 2, np.abs(up - here), np.abs(down - here)])
    known = np.isfinite(both)
    largest = np.where(known, both, -1).max(axis=0)
    return np.where(known[0], both[0], np.where(largest >= 0, largest, np.nan)).astype(np.float32)


def _edge_of(energy: Float64Array, options: OwnOptions) -> _Edge:
    found = default_windows(options.element, energy)
    pre, post = options.pre_edge_ev or found.pre_edge, options.post_edge_ev or found.post_edge
    if found.edge == "L3" and options.post_edge_ev is None and not (energy >= post[0]).any():
        post = (found.edge_ev + WIDEST_EV, post[0])  # the series end before L2
    below, above = inside(energy, (-np.inf, pre[1])), inside(energy, (post[0], np.inf))
    free = options.background != "tied" and bool(below.any())
    if options.background == "free" and not free:
        raise InputError(
            f"energies of {options.element}",
            expected="an energy below the edge for a free background",
            got=f"{energy.min():g} to {energy.max():g} eV",
            fix="add one, or leave 'background' out",
        )
    background = (found.edge_ev / energy) ** FALL if free else np.zeros(energy.size)
    windows = Windows(found.edge, found.edge_ev, pre, found.fit, post)
    return _Edge(energy, windows, below, above, background, free)


def _plane(rays: AveragedRays, edge: _Edge, options: OwnOptions) -> tuple[Float64Array, Float64Array, bool]:
    """Return mean spectrum of edge jump 1, direction of variation of jump 0, and if it is real."""
    log = 0.5 * np.log(rays.variance)
    of_energy = np.exp(log.mean(axis=0) - log.mean())
    whitened = rays.density / np.exp(log.mean(axis=1))[:, None] / of_energy
    if edge.free:
        flat = edge.background / of_energy
        flat /= np.linalg.norm(flat)
        whitened = whitened - np.outer(whitened @ flat, flat)
    _, values, right = np.linalg.svd(whitened, full_matrices=False)
    mean, direction = (edge.without_background(right[k] * of_energy) for k in (0, 1))
    jump = float(edge.jump(mean))
    if not abs(jump) > 1e-3 * np.abs(mean).max():
        raise InputError(
            options.element,
            expected="an edge jump of the element in the particle",
            got="none",
            fix="check the element and the energies of the series",
        )
    mean = mean / jump
    noise = np.sqrt(len(rays)) + np.sqrt(whitened.shape[1])
    varies = bool(values[1] > SIGNIFICANT * noise)
    if not varies:
        order = np.argsort(edge.ev)
        direction = np.empty_like(mean)
        direction[order] = -np.gradient(mean[order], edge.ev[order])
        direction = edge.without_background(direction)
    return mean, direction - float(edge.jump(direction)) * mean, varies


def _places(
    rays: AveragedRays, edge: _Edge, mean: Float64Array, direction: Float64Array
) -> tuple[float, float]:
    """Return median and reach of the places of the rays along the direction."""
    columns = [mean, direction, *([edge.background] if edge.free else [])]
    matrix = np.stack(columns, axis=1)
    scaled = matrix[None] / np.sqrt(rays.variance)[:, :, None]
    amounts = np.linalg.pinv(scaled) @ (rays.density / np.sqrt(rays.variance))[:, :, None]
    good = amounts[:, 0, 0] > 0
    place = amounts[good, 1, 0] / amounts[good, 0, 0]
    low, middle, high = np.percentile(place, [0.5, 50, 99.5])
    return float(middle), float(SPREAD * max(high - low, 1e-6) / 2)


def _half_width(edge: _Edge, options: OwnOptions) -> float:
    return options.white_line_half_width_ev or usual_half_width_ev(edge.ev, _search(edge))


def _search(edge: _Edge) -> Window:
    low, high = edge.windows.fit
    return low, max(high, edge.windows.edge_ev + WIDEST_EV) if edge.windows.edge == "L3" else high


def _lines(
    edge: _Edge, spectra: Float64Array, options: OwnOptions, variance: Float64Array | None = None
) -> WhiteLine:
    """Return the white lines of spectra, (n, n_energy)."""
    order = np.argsort(edge.ev)
    value = edge.without_background(spectra)[:, order].T.astype(np.float32)
    noise = np.full(value.shape, 1e-6) if variance is None else variance[order, None] * np.ones(value.shape)
    return white_line(
        value,
        noise.astype(np.float32),
        edge.ev[order],
        search=_search(edge),
        pre_edge=(-np.inf, edge.windows.pre_edge[1]),
        post_edge=(edge.windows.post_edge[0], np.inf),
        half_width_ev=_half_width(edge, options),
        order=options.white_line_order,
        weak_sigma=0.0,
        thick_od=np.inf,
    )


def _require_white_line(lines: WhiteLine, edge: _Edge, options: OwnOptions) -> None:
    """Refuse energies that do not hold the maximum of the mean spectrum."""
    status = int(lines.status[STEPS // 2])
    if status == FOUND:
        return
    low, high = _search(edge)
    half = _half_width(edge, options)
    raise InputError(
        f"white line of {options.element}",
        expected=f"a maximum of the mean spectrum between {low:g} and {high:g} eV",
        got=f"{STATUS_NAMES[status]} in {edge.ev.size} energies from {edge.ev.min():g} to {edge.ev.max():g} eV",
        fix=f"check the energies and the element, set 'white_line_half_width_ev' (now {half:g}), or give references",
    )


def _falls(place: Float64Array, energy: FloatArray) -> bool:
    """Return whether the energy falls along the line."""
    known = np.isfinite(energy)
    return bool(known.sum() > 1 and np.polyfit(place[known], energy[known], 1)[0] < 0)


def _error_of_mean(rays: AveragedRays, edge: _Edge, mean: Float64Array, options: OwnOptions) -> float | None:
    """Return the standard error of the white line of the mean spectrum from the noise of the rays."""
    own = edge.without_background(rays.density)
    amount = edge.jump(own)
    variance = 1 / np.sum(np.maximum(amount, 0)[:, None] ** 2 / rays.variance, axis=0)
    error = float(_lines(edge, mean[None], options, variance).error_ev[0])
    return error if np.isfinite(error) else None


def _remarks(
    rays: AveragedRays, edge: _Edge, options: OwnOptions, *, varies: bool, rise_ev: float
) -> list[str]:
    """Report thick rays, a flattened white line, a gap at the edge, and spectra that do not vary."""
    found, name = [], options.element
    lower, upper = edge.ev[edge.ev <= rise_ev], edge.ev[edge.ev > rise_ev]
    if lower.size and upper.size and upper.min() - lower.max() > WIDE_GAP_EV:
        found.append(
            f"{name}: there are no energies between {lower.max():g} and {upper.min():g} eV, where the edge rises: its "
            "position is interpolated between them and can be off by a good part of that."
        )
    if not varies:
        found.append(
            f"{name}: the spectra do not vary beyond noise; only shifts of the mean spectrum are seen."
        )
    thick = float((rays.density.max(axis=1) > THICK_OD).mean())
    if thick > MANY_THICK:
        found.append(
            f"{name}: {100 * thick:.0f} % of the rays have an optical density above {THICK_OD:g}: stray light and "
            "other orders flatten their white line and move it."
        )
    ratio = flattening(edge.without_background(rays.density), edge.above)
    if ratio is not None and ratio < FLATTENED:
        found.append(
            f"{name}: the white line per edge jump is {100 * (1 - ratio):.0f} % smaller in thick rays than in thin ones: "
            "self-absorption (in yield), stray light or other orders flatten it; its position is uncertain."
        )
    return found
