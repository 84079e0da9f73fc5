"""Series whose incident intensity comes from the empty region of each frame.

These are scans without flat frames, and complex images.
"""

from collections.abc import Callable

import numpy as np

from oxytomo.arrays import BoolArray, TiltSeries
from oxytomo.errors import InputError
from oxytomo.preprocess.complex_images import air_of, complex_density, complex_phase, refuse_no_air
from oxytomo.preprocess.energy_stack import FrameDensity, empty_region, frame_density
from oxytomo.preprocess.flat_field import mean_dark
from oxytomo.preprocess.optical_density import Normalized
from oxytomo.slabs import new_field


def density_from_air(
    series: TiltSeries,
    *,
    name: str,
    air: BoolArray | None,
    opaque_transmission: float,
    hot_pixel_sigma: float,
    saturation_counts: float,
) -> Normalized:
    """Convert counts to optical density, ``−ln((I − D)/I0)``.

    I0 is the mean of the empty region of each frame.

    This is for beams that are uniform over the frame (a scanned beam), or for frames that are
    mostly empty.

    Parameters
    ----------
    series : counts, (n_frame, n_y, n_x)
    name : subject of error messages
    air : (n_y, n_x) bool, the empty region; None: found in each frame
    opaque_transmission, hot_pixel_sigma, saturation_counts : see
        :func:`oxytomo.preprocess.energy_stack.frame_density`
    """
    n_y, n_x = series.frames.shape[1:]
    dark = None if series.dark is None else mean_dark(series.dark, (n_y, n_x))

    def one(raw: np.ndarray) -> FrameDensity:
        counts = raw.astype(np.float32) - (0 if dark is None else dark)
        return frame_density(
            raw,
            dark=dark,
            flat=None,
            air=empty_region(counts, name=name) if air is None else air,
            opaque_transmission=opaque_transmission,
            hot_pixel_sigma=hot_pixel_sigma,
            saturation_counts=saturation_counts,
        )

    return _of_frames(series, one)


def density_of_complex(
    series: TiltSeries,
    *,
    name: str,
    phase: bool,
    air: BoolArray | None,
    air_rescale: bool,
    sigma_od: float | None,
    opaque_transmission: float,
) -> Normalized:
    """Convert complex images to optical density, or to phase in radian.

    Parameters
    ----------
    series : complex transmission, (n_frame, n_y, n_x)
    name : subject of error messages
    phase : return the phase instead of the optical density
    air : (n_y, n_x) bool, the empty region; None: found in each frame
    air_rescale : take scale (and phase) from the empty region; False: the images are already scaled
        (optical density only)
    sigma_od, opaque_transmission : see :func:`oxytomo.preprocess.complex_images.complex_density`
    """
    if phase and not air_rescale and air is None:
        raise refuse_no_air(name)

    def one(raw: np.ndarray) -> FrameDensity:
        region = air
        if region is None and air_rescale:
            try:
                region = air_of(raw, name=name)
            except InputError as error:
                raise refuse_no_air(name) from error
        if phase and region is not None:
            return complex_phase(raw, air=region, sigma_od=sigma_od)
        return complex_density(raw, air=region, sigma_od=sigma_od, opaque_transmission=opaque_transmission)

    return _of_frames(series, one)


def _of_frames(series: TiltSeries, one: Callable[[np.ndarray], FrameDensity]) -> Normalized:
    """Convert frame by frame; ``one`` converts a raw frame."""
    value, variance = (new_field(series.frames.shape, np.float32) for _ in range(2))
    invalid: dict[str, int] = {}
    light = np.empty(series.n_frames)
    for i in range(series.n_frames):
        frame = one(np.asarray(series.frames[i]))
        value[i], variance[i], light[i] = frame.value, frame.variance, frame.light
        for reason, count in frame.invalid.items():
            invalid[reason] = invalid.get(reason, 0) + count
    return Normalized(value, variance, invalid, light)
