"""Alignment of all series of a particle to one pixel grid and one tilt axis."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from oxytomo.align.applied import JudgedAlignment, Resampled, align_inputs, resample_inputs
from oxytomo.align.inputs import NormalizedSeries, common_tilts
from oxytomo.align.tilts import AlignOptions
from oxytomo.arrays import Brief, Float64Array, FloatArray, IntArray
from oxytomo.config import AlignSettings
from oxytomo.errors import ConfigError, InputError
from oxytomo.library.defaults import checked, require_made, silent
from oxytomo.library.projections import Projections

DEFAULT = AlignSettings()
EVERYTHING = 2**62
"""Limit of the frames in memory: none."""


@dataclass(frozen=True, eq=False, repr=False)
class Aligned(Brief):
    """Series on one pixel grid, the tilt axis vertical and in the middle of the columns.

    Attributes
    ----------
    value : (n_series, n_tilt, n_y, n_x) float32, optical density or signal; NaN where invalid
    variance : (n_series, n_tilt, n_y, n_x) float32; inf where invalid
    tilt_deg : (n_tilt,) tilt angles of the frames in use, ascending, degrees
    series : names, in the order of the first axis
    energies_ev : (n_series,) photon energies, eV; NaN if unknown
    pixel_nm : pixel size of all frames, nm
    quantity : "optical_density" or "signal"
    dy_px, dx_px : (n_series, n_tilt) shifts of the raw frames, raw pixels
    magnification : (n_series,) raw pixels per pixel of the result
    axis_tilt_deg : angle of the tilt axis in the detector plane, degrees
    frame : (n_tilt,) number of the frame in the first raw series
    warnings : warnings about the frames, as sentences
    remarks : series that were shifted to make the spectra agree, and subtracted air levels
    verdict : one sentence on whether to trust the alignment
    """

    value: FloatArray
    variance: FloatArray
    tilt_deg: Float64Array
    series: tuple[str, ...]
    energies_ev: Float64Array
    pixel_nm: float
    quantity: Literal["optical_density", "signal"]
    dy_px: Float64Array
    dx_px: Float64Array
    magnification: Float64Array
    axis_tilt_deg: float
    frame: IntArray
    warnings: tuple[str, ...]
    remarks: tuple[str, ...]
    verdict: str


def align_series(
    series: Mapping[str, Projections] | Projections,
    *,
    tilts: bool = DEFAULT.tilts,
    energies: bool | None = DEFAULT.energies,
    exclude_frames: Sequence[int] = DEFAULT.exclude_frames,
    exclude_tilts_deg: Sequence[float] = DEFAULT.exclude_tilts_deg,
    bad_frames: Literal["exclude", "keep"] = DEFAULT.bad_frames,
    max_shift_px: float = DEFAULT.max_shift_px,
    iterations: int = DEFAULT.iterations,
    axis_px: float | None = DEFAULT.axis_column,
    axis_tilt_deg: float | None = DEFAULT.axis_tilt_deg,
    magnification: Literal["recorded", "estimated", "none"] = DEFAULT.magnification,
) -> Aligned:
    """Align the tilts with one common volume and the energies with each other, and resample once.

    Tilts are aligned by projection matching (Dengler, Ultramicroscopy 30, 337, 1989; Gürsoy et al.,
    Sci. Rep. 7, 11818, 2017) from the best of several starts; energies by registration of frames of
    the same tilt. All shifts, scales and the turn of the axis are composed before the one
    resampling. A nonzero optical density of the air is subtracted.

    Parameters
    ----------
    series : normalised series by name, such as ``Mn_pre``, of the same tilts; or a single one
    tilts : align the tilts with each other
    energies : register the energies; None: yes for optical density, no for simultaneous signals
    exclude_frames : numbers of frames to leave out, in the order of acquisition of the first series
    exclude_tilts_deg : tilts to leave out, degrees
    bad_frames : "exclude" leaves out frames with a much larger misfit than their neighbours; "keep"
        keeps them
    max_shift_px : largest shift to search for, px
    iterations : largest number of matching rounds
    axis_px : detector column of the tilt axis, px; None: found from the data
    axis_tilt_deg : angle of the axis in the detector plane, degrees; None: found from the data
    magnification : scale by the "recorded" pixel sizes, also by an "estimated" correction, or
        "none"

    Returns
    -------
    Aligned

    Raises
    ------
    InputError
        For series of different tilts, fewer than three tilts, frames without structure or without
        a pixel size, or if the alignment increases the misfit of the frames.
    ShapeError
        For frames of different size.
    ConfigError
        For a setting out of range.

    Examples
    --------
    >>> from oxytomo import align_series, normalize, simulate_tilt_series
    >>> raw = simulate_tilt_series(elements=["O"], size=32, n_tilts=15).series
    >>> aligned = align_series({name: normalize(one) for name, one in raw.items()})
    >>> aligned.value.shape, aligned.series
    ((2, 15, 32, 32), ('O_pre', 'O_post'))
    """
    settings = checked(
        AlignSettings,
        "align_series",
        tilts=tilts,
        energies=energies,
        exclude_frames=tuple(exclude_frames),
        exclude_tilts_deg=tuple(exclude_tilts_deg),
        bad_frames=bad_frames,
        max_shift_px=max_shift_px,
        iterations=iterations,
        axis_column=axis_px,
        axis_tilt_deg=axis_tilt_deg,
        magnification=magnification,
    )
    named = dict(series) if isinstance(series, Mapping) else {"series": series}
    for name, one in named.items():
        require_made(one, Projections, name, "normalize")
    quantity = _one_quantity(named)
    judged = _judged(named, settings, energies=quantity != "signal")
    judged, resampled = resample_inputs(
        judged,
        by_spectra=quantity == "optical_density" and settings.energies is not False,
        one_air=quantity == "optical_density" and _air_was_levelled(named),
        progress=_silent,
    )
    return _aligned(judged, resampled, named, quantity)


def _air_was_levelled(series: Mapping[str, Projections]) -> bool:
    """Return True if there are several series, and the air level of each was corrected."""
    return len(series) > 1 and all(bool((one.air_level != 1).any()) for one in series.values())


def _judged(series: Mapping[str, Projections], settings: AlignSettings, *, energies: bool) -> JudgedAlignment:
    """Find the alignment and evaluate its frames; ``energies`` replaces None."""
    pixel_nm = np.array([_pixel_nm(name, one) for name, one in series.items()])
    recorded = np.ones(len(series)) if settings.magnification == "none" else pixel_nm.mean() / pixel_nm
    inputs = common_tilts(
        [
            NormalizedSeries(name, one.value, one.variance, one.tilt_deg, one.acquisition_index)
            for name, one in series.items()
        ],
        exclude_frames=settings.exclude_frames,
        exclude_tilts_deg=settings.exclude_tilts_deg,
        in_memory_bytes=EVERYTHING,
    )
    return align_inputs(
        inputs,
        recorded,
        None,
        options=AlignOptions(
            tilts=settings.tilts,
            energies=energies if settings.energies is None else settings.energies,
            max_shift_px=settings.max_shift_px,
            iterations=settings.iterations,
            axis_column=settings.axis_column,
            axis_tilt_deg=settings.axis_tilt_deg,
            estimate_magnification=settings.magnification == "estimated",
        ),
        exclude_misfits=settings.bad_frames == "exclude",
        name="align_series",
        progress=_silent,
    )


def _aligned(
    judged: JudgedAlignment,
    resampled: Resampled,
    series: Mapping[str, Projections],
    quantity: Literal["optical_density", "signal"],
) -> Aligned:
    """Return the alignment as a named result."""
    inputs, solution, used = judged.inputs, judged.of_used, judged.frames.used
    scale = solution.magnification[:, None]
    return Aligned(
        value=np.asarray(resampled.value),
        variance=np.asarray(resampled.variance),
        tilt_deg=inputs.tilt_deg[used],
        series=tuple(inputs.names),
        energies_ev=np.array([float(np.mean(one.energy_ev)) for one in series.values()]),
        pixel_nm=float(np.mean([_pixel_nm(name, one) for name, one in series.items()])),
        quantity=quantity,
        dy_px=solution.dy_px / scale,
        dx_px=solution.dx_px / scale,
        magnification=solution.magnification,
        axis_tilt_deg=solution.axis_tilt_deg,
        frame=inputs.acquisition_order[used],
        warnings=tuple(judged.warnings),
        remarks=_remarks(resampled),
        verdict=judged.verdict,
    )


def _remarks(resampled: Resampled) -> tuple[str, ...]:
    """Return remarks on changes of the frames other than resampling."""
    done = {
        "moved so that the spectra agree, px rms over the tilts": resampled.moved,
        "air that all energies see, taken off, optical density rms": resampled.levelled,
    }
    return tuple(f"{what}: {how}" for what, how in done.items() if how)


def _one_quantity(series: Mapping[str, Projections]) -> Literal["optical_density", "signal"]:
    found = {one.quantity for one in series.values()}
    if len(found) != 1:
        raise ConfigError(
            "series",
            expected="series of one quantity, optical density or signal",
            got=" and ".join(sorted(found)) or "no series",
            fix="align what was measured alike",
        )
    return found.pop()


def _pixel_nm(name: str, series: Projections) -> float:
    if not np.isfinite(series.pixel_nm).all():
        raise InputError(
            name,
            expected="a pixel size",
            got="none in the file",
            fix="give pixel_nm (object-plane pixel in nm) to read_series",
        )
    return float(series.pixel_nm.mean())


def _silent(label: str) -> Callable[[int, int], None]:
    """Return a progress function that shows nothing."""
    return silent
