"""Figure of a GITT measurement: records, one pulse with its fit, diffusivity over lithium."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from oxytomo.arrays import Float64Array
from oxytomo.electrochemistry.curves import Records
from oxytomo.electrochemistry.gitt import Titrated
from oxytomo.view.style import SERIES_COLORS, house_style, new_figure

MOST_POINTS = 4000
METHODS = (
    ("d_sphere_m2_s", "sphere_log_error", "sphere model", "o"),
    ("d_steady_m2_s", "steady_log_error", "eq. 2, ΔE_s / ΔE_τ", "s"),
    ("d_slope_m2_s", "slope_log_error", "eq. 1, slope", "^"),
)


@house_style
def gitt_figure(records: Records, found: Sequence[Titrated]) -> Figure:
    """Draw the potential over time, the pulse of median misfit with its fit, and D over lithium."""
    figure = new_figure(9.4, 6.4)
    grid = figure.add_gridspec(2, 2)
    top, left, right = (figure.add_subplot(place) for place in (grid[0, :], grid[1, 0], grid[1, 1]))
    step = max(1, records.time_s.size // MOST_POINTS)
    top.plot(records.time_s[::step] / 3600, records.voltage_v[::step], color=SERIES_COLORS[0], lw=0.8)
    top.set_xlabel("time (h)")
    top.set_ylabel("potential (V)")
    _one_pulse(left, found)
    _diffusivities(right, found)
    return figure


def _one_pulse(axes: Axes, found: Sequence[Titrated]) -> None:
    """Draw the pulse whose residual is the median one."""
    misfit = [float(np.sqrt(np.mean((one.points[1] - one.points[2]) ** 2))) for one in found]
    known = [place for place in np.argsort(misfit) if np.isfinite(misfit[place])]
    one = found[int(known[len(known) // 2]) if known else 0]
    time, voltage, model = one.points
    axes.plot(time / 60, voltage, ".", ms=3, color=SERIES_COLORS[0], label="records")
    axes.plot(time / 60, model, color=SERIES_COLORS[5], lw=1.1, label="sphere model")
    axes.set_title(f"pulse at {one.lithium:.3f} Li")
    axes.set_xlabel("time from the start of the pulse (min)")
    axes.set_ylabel("potential (V)")
    axes.legend()


def _diffusivities(axes: Axes, found: Sequence[Titrated]) -> None:
    """Draw D over lithium; open symbols: flagged."""
    lithium = np.array([one.lithium for one in found])
    for place, (key, error, label, marker) in enumerate(METHODS):
        values = np.array([getattr(one, key) for one in found])
        spread = 1.96 * np.array([getattr(one, error) for one in found])
        flagged = np.array([_is_doubtful(one, key) for one in found])
        color = SERIES_COLORS[(5, 0, 2)[place]]
        for chosen, face in ((~flagged, color), (flagged, "none")):
            _points(
                axes, lithium[chosen], values[chosen], spread[chosen], color=color, face=face, marker=marker
            )
        axes.plot([], [], marker=marker, color=color, ls="", ms=5, label=label)
    axes.set_yscale("log")
    shown = np.array([getattr(one, key) for one in found for key, *_ in METHODS])
    shown = shown[np.isfinite(shown) & (shown > 0)]
    if shown.size:
        axes.set_ylim(float(shown.min()) / 4, float(shown.max()) * 4)
    axes.set_xlabel("lithium per formula unit")
    axes.set_ylabel("D (m²/s)")
    axes.set_title("filled: no remark; open: flagged")
    axes.legend()


def _is_doubtful(one: Titrated, key: str) -> bool:
    """Return whether a diffusivity is flagged: what an unrested step or a long pulse spoils."""
    return not one.determined if key == "d_sphere_m2_s" else bool(one.flags)


def _points(
    axes: Axes,
    lithium: Float64Array,
    values: Float64Array,
    spread: Float64Array,
    *,
    color: str,
    face: str,
    marker: str,
) -> None:
    """Draw points with 95 % intervals; an interval beyond a factor of ten is cut."""
    factor = np.exp(np.minimum(np.nan_to_num(spread, nan=0.0, posinf=np.log(10)), np.log(10)))
    reach = np.stack([values - values / factor, values * factor - values])
    axes.errorbar(
        lithium, values, reach, fmt=marker, ms=5, color=color, markerfacecolor=face, capsize=2, lw=0.9
    )
