"""Alignment of all series of a particle: one solution for every raw frame.

Energies are aligned with each other, and tilts with each other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from oxytomo.align.binning import Binning
from oxytomo.align.energies import EnergyRegistration, FixedFrames, mirrored_tilts, register_energies
from oxytomo.align.local import FEWEST_PX
from oxytomo.align.parallel import frame_groups
from oxytomo.align.register import fill_invalid
from oxytomo.align.resample import resample, turned, turned_shifts
from oxytomo.align.tilts import AlignOptions, Driver, Progress, TiltSolution, align_tilts
from oxytomo.arrays import BoolArray, Float64Array, FloatArray, IntArray
from oxytomo.errors import InputError
from oxytomo.slabs import Field, mapped

ENERGY_SMOOTHING_PX = 1.5
"""Gaussian smoothing before energies are compared: wider than the noise, narrower than the edge."""
UNRELATED = 0.85
"""Above this median residual of a registration two energies do not show the same object; 1 means no
relation."""
WORSE = 1.02
"""An alignment has failed when its misfit exceeds that of the recorded frames by this factor."""
DRIVER_PIXELS, DRIVER_VOXELS = 48_000_000, 192_000_000
"""Largest number of pixels in all frames, and of voxels in the volume, for the alignment of the
tilts. Larger series are binned."""


@dataclass(frozen=True)
class Solution:
    """Position of the content of every raw frame.

    The output pixel p, from the middle of the frame, is read at ``R(axis_tilt) p · magnification +
    (dy, dx)`` of the raw frame, also from its middle.

    Attributes
    ----------
    dy_px, dx_px : (n_series, n_tilt) float64, raw pixels
    magnification : (n_series,) raw pixels per output pixel
    axis_tilt_deg : in-plane angle of the tilt axis, degrees, positive towards +x for increasing row
    """

    dy_px: Float64Array
    dx_px: Float64Array
    magnification: Float64Array
    axis_tilt_deg: float


def shifted(solution: Solution, shift_px: Float64Array, used: BoolArray) -> Solution:
    """Return the solution with a residual shift of the aligned content removed.

    Parameters
    ----------
    shift_px : (n_series, n_used, 2) rows and columns, aligned pixels, of the tilts in use
    used : (n_tilt,) bool
    """
    raw = turned_shifts(shift_px, solution.axis_tilt_deg) * solution.magnification[:, None, None]
    dy_px, dx_px = solution.dy_px.copy(), solution.dx_px.copy()
    dy_px[:, used] += raw[:, :, 0]
    dx_px[:, used] += raw[:, :, 1]
    return Solution(dy_px, dx_px, solution.magnification, solution.axis_tilt_deg)


@dataclass(frozen=True)
class Alignment:
    """Result of :func:`align_series`.

    Attributes
    ----------
    solution : position of the content of every raw frame
    reference : index of the series that the others were registered to
    energies : registration of each series; None for the reference or where nothing was registered
    tilts : the alignment between the tilts
    driver : the frames that the tilts were aligned by
    """

    solution: Solution
    reference: int
    energies: Sequence[EnergyRegistration | None]
    tilts: TiltSolution
    driver: Driver


def align_series(
    names: Sequence[str],
    values: Sequence[Field],
    signal_to_noise: Float64Array,
    *,
    tilt_deg: Float64Array,
    acquisition_order: IntArray,
    magnification: Float64Array,
    options: AlignOptions,
    progress: Progress,
) -> Alignment:
    """Find the position of the content of every raw frame.

    Parameters
    ----------
    names : names of the series
    values : per series (n_tilt, n_y, n_x) float32, air at 0, NaN where invalid; read in groups of
        frames
    signal_to_noise : (n_series,) contrast of a series over its noise: the best series is the
        reference, and each series has this weight
    tilt_deg : (n_tilt,) degrees, ascending, the same for all; with one angle only the energies are
        registered
    acquisition_order : (n_tilt,) when each frame was recorded
    magnification : (n_series,) recorded raw pixels per output pixel
    progress : gives a reporter for a named task
    """
    reference = int(signal_to_noise.argmax())
    n_rows = values[reference].shape[1]
    values = [_tall(value) for value in values]
    registrations: list[EnergyRegistration | None] = [None] * len(values)
    magnification = magnification.copy()
    n_tilt = tilt_deg.size
    looks = _Looks(values)
    if options.energies:
        fixed = FixedFrames(looks.of(reference, magnification[reference]), ENERGY_SMOOTHING_PX)
        report = progress("register energies")
        others = [e for e in range(len(values)) if e != reference]
        for before, e in enumerate(others):
            registrations[e], magnification[e] = _register_at(
                lambda m, e=e: looks.of(e, m),  # type: ignore[misc]
                fixed,
                float(magnification[e]),
                tilt_deg,
                options,
                names=(names[e], names[reference]),
                on_frames=lambda n, before=before: report(before * n_tilt + n, len(others) * n_tilt),  # type: ignore[misc]
            )
    energy_shifts = np.stack([np.zeros((n_tilt, 2)) if r is None else r.shifts for r in registrations])
    seen = [looks.of(e, float(m)) for e, m in enumerate(magnification)]
    driver = mean_of_series(seen, energy_shifts, signal_to_noise)
    tilts = align_tilts(driver, tilt_deg, acquisition_order, options, progress)
    solution = compose(energy_shifts, tilts.alignment.shifts, tilts.applied_axis_tilt_deg, magnification)
    if n_rows < FEWEST_PX:
        # Repeated rows look the same at any vertical shift.
        solution = replace(solution, dy_px=np.zeros_like(solution.dy_px))
    return Alignment(solution, reference, registrations, tilts, driver)


def _tall(frames: Field) -> Field:
    """Repeat the first and last row of frames of fewer than :data:`FEWEST_PX` rows.

    The original rows stay in the middle.
    """
    missing = -(-max(0, FEWEST_PX - frames.shape[1]) // 2)
    if missing == 0:
        return frames
    whole = np.asarray(frames[:])
    return np.asarray(np.pad(whole, ((0, 0), (missing, missing), (0, 0)), mode="edge"))


def require_better(before: Float64Array, after: Float64Array, name: str) -> None:
    """Raise where the aligned frames fit one volume worse than the recorded frames do."""
    was, is_ = float(np.nanmedian(before)), float(np.nanmedian(after))
    if is_ > WORSE * was:
        raise InputError(
            f"{name}: alignment",
            expected="frames that agree better with one volume than as recorded",
            got=f"a misfit of {100 * is_:.1f} % of the contrast, {100 * was:.1f} % without alignment",
            fix="set align.tilts: false, exclude bad frames (align.exclude_frames), or give shifts (align.shifts)",
        )


def compose(
    energy_shifts: Float64Array, tilt_shifts: Float64Array, axis_tilt_deg: float, magnification: Float64Array
) -> Solution:
    """Compose shifts between energies (n_series, n_tilt, 2), then between tilts (n_tilt, 2).

    The axis tilt and the magnification are included.
    """
    shifts = (energy_shifts + turned_shifts(tilt_shifts, axis_tilt_deg)) * magnification[:, None, None]
    return Solution(shifts[..., 0], shifts[..., 1], magnification, axis_tilt_deg)


def look(frames: Field, magnification: float) -> Field:
    """Bring frames to the common pixel size without shifts, for registration only.

    The raw pixels themselves are resampled only once, later.
    """
    if abs(magnification - 1) < 1e-6:
        return frames

    def scaled(part: FloatArray) -> FloatArray:
        still = np.zeros(len(part))
        return resample(
            part,
            np.zeros_like(part),
            dy_px=still,
            dx_px=still,
            magnification=magnification,
            rotation_deg=0.0,
            shape=part.shape[1:],
        )[0]

    return mapped(frames, scaled, np.float32)


class _Looks:
    """:func:`look` of every series, in memory where it is small enough: it is read repeatedly.

    Series that are small together are kept.
    """

    def __init__(self, values: Sequence[Field]) -> None:
        self._values, self._kept = values, dict[int, tuple[float, Field]]()
        self._keeps = sum(int(np.prod(one.shape)) for one in values) <= DRIVER_PIXELS

    def of(self, e: int, magnification: float) -> Field:
        """Return the frames of a series on the common pixel size."""
        if e in self._kept and self._kept[e][0] == magnification:
            return self._kept[e][1]
        seen = look(self._values[e], magnification)
        if np.prod(seen.shape) <= DRIVER_PIXELS:
            seen = np.asarray(seen[:])
        if self._keeps:
            self._kept[e] = magnification, seen
        return seen


def driver_binning(shape: tuple[int, ...]) -> int:
    """Return the binning of series (n_tilt, n_y, n_x) for the alignment of their tilts.

    It is 1, 2, 4 …, so that memory has a bound.
    """
    n_tilt, n_y, n_x = shape
    factor = 1
    while n_tilt * n_y * n_x > factor**2 * DRIVER_PIXELS or n_y * n_x * n_x > factor**3 * DRIVER_VOXELS:
        factor *= 2
    return factor


def mean_of_series(looks: Sequence[Field], shifts: Float64Array, weights: Float64Array) -> Driver:
    """Mean of all series on the reference series, weighted by signal-to-noise ratio.

    Each series is first moved by (n_series, n_tilt, 2) px.
    """
    n_tilt, n_y, n_x = looks[0].shape
    binning = Binning((n_y, n_x), driver_binning(looks[0].shape))
    frames = np.empty((n_tilt, *binning.shape), np.float32)
    for group in frame_groups(looks[0].shape):
        total = np.zeros((), np.float32)
        for series, shift, weight in zip(looks, shifts, weights, strict=True):
            filled = fill_invalid(np.asarray(series[group]))
            moved = turned(filled, 0.0, shift[group]) if np.any(shift) else filled
            total = total + np.float32(weight / weights.sum()) * moved
        frames[group] = binning.of(total)
    return Driver(frames, binning)


def _register_at(
    frames: Callable[[float], Field],
    fixed: FixedFrames,
    magnification: float,
    tilt_deg: Float64Array,
    options: AlignOptions,
    *,
    names: tuple[str, str],
    on_frames: Callable[[int], None],
) -> tuple[EnergyRegistration, float]:
    """Register one energy at the recorded magnification, or at its own estimate.

    ``frames`` gives its frames at a magnification. Returns the magnification, too.
    """
    registered = _register(frames(magnification), fixed, tilt_deg, options, names=names, on_frames=on_frames)
    if options.estimate_magnification and abs(registered.magnification - 1) > 1e-5:
        magnification *= registered.magnification
        registered = _register(
            frames(magnification), fixed, tilt_deg, options, names=names, on_frames=on_frames
        )
    return registered, magnification


def _register(
    frames: Field,
    reference: FixedFrames,
    tilt_deg: Float64Array,
    options: AlignOptions,
    *,
    names: tuple[str, str],
    on_frames: Callable[[int], None],
) -> EnergyRegistration:
    """Register one energy; raise where it shows another object or has other angles."""
    window = {"max_shift_px": options.max_shift_px}
    registered = register_energies(frames, reference, **window, chemistry=True, on_frames=on_frames)
    (name, other), middle = names, float(np.nanmedian(registered.residual))
    if mirrored_tilts(frames, reference, tilt_deg, registered.residual, **window):
        raise InputError(
            name,
            expected=f"tilt angles of the same sign as {other}",
            got="frames that fit the opposite tilts much better than their own",
            fix="reverse the sign of the angles of one of the two",
        )
    if not middle < UNRELATED:
        raise InputError(
            name,
            expected=f"the same particle as {other}",
            got=f"frames that differ from it by {100 * middle:.0f} % of their contrast after registration, at the median",
            fix="check that both files are of one particle and that it is in the field of view",
        )
    return registered
