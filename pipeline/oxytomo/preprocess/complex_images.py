"""Complex transmission (ptychography) to optical density, or to phase without ramp.

Ptychography does not determine three quantities: the scale of the image (shared with the probe), a
constant phase, and a phase ramp (shared with the positions of the beam). All three are taken from
the empty region beside the sample, where the transmission is 1 (Guizar-Sicairos et al., Opt.
Express 19, 21345 (2011)).
"""

import numpy as np
from skimage.restoration import unwrap_phase

from oxytomo.arrays import BoolArray, Float64Array, FloatArray
from oxytomo.errors import InputError
from oxytomo.preprocess.energy_stack import FrameDensity, empty_region, without_light
from oxytomo.preprocess.optical_density import pixel_noise

LEAST_AIR_PX = 25
RAMP_ROUNDS = 3
"""Each round fits the remaining plane; the second round changes it by less than its error."""


def intensity(frame: np.ndarray) -> FloatArray:
    """Return the intensity transmission, ``|T|²``, of complex images of any shape, float32."""
    modulus: FloatArray = np.abs(frame).astype(np.float32)
    return modulus * modulus


def air_of(frame: np.ndarray, *, name: str) -> BoolArray:
    """Return the empty region (n_y, n_x) of one complex image.

    Raises :class:`InputError` where there is none.
    """
    transmission = intensity(frame)
    usable = np.isfinite(transmission) & (transmission > 0)
    return empty_region(np.where(usable, transmission, np.nan).astype(np.float32), name=name)


def complex_density(
    frame: np.ndarray, *, air: BoolArray | None, sigma_od: float | None, opaque_transmission: float
) -> FrameDensity:
    """Return the optical density of a complex image, ``−2 ln(|T| / |T|_air)``, with variance.

    Parameters
    ----------
    frame : (n_y, n_x) complex transmission, up to a factor
    air : (n_y, n_x) bool, the empty region, whose median modulus is set to 1; None: the image is
        already scaled
    sigma_od : standard deviation of the optical density without sample; None: measured in the empty
        region
    opaque_transmission : pixels with less ``|T|²`` are invalid

    Notes
    -----
    There are no counts for a variance. The error of the complex image is assumed to be uniform, of
    size s per component. Then ``σ(OD) = 2 s / |T|``, and s follows from the scatter of OD in the
    empty region (1.4826 times the median absolute deviation), including all artefacts of the
    reconstruction. Without an empty region and without ``sigma_od`` it is the pixel-to-pixel noise,
    which is too small if the resolution is coarser than a pixel.
    """
    modulus = np.abs(frame).astype(np.float32)
    finite = np.isfinite(modulus)
    inside = None if air is None else air & finite & (modulus > 0)
    level = 1.0
    if inside is not None:
        if inside.sum() < LEAST_AIR_PX:
            return without_light(frame.shape)
        level = float(np.median(modulus[inside]))
    with np.errstate(divide="ignore", invalid="ignore"):
        modulus = modulus / np.float32(level)
        opaque = finite & (modulus * modulus <= opaque_transmission)
        value = -2 * np.log(modulus)
    bad = ~finite | opaque
    value = np.where(bad, np.nan, value).astype(np.float32)
    if sigma_od is None:
        sigma_od = pixel_noise(value) if inside is None else _scatter(value[inside & ~bad])
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.where(bad, np.inf, np.float32(sigma_od) ** 2 / (modulus * modulus))
    invalid = {"not_finite": int((~finite).sum()), "opaque": int(opaque.sum())}
    return FrameDensity(value, variance.astype(np.float32), invalid, level)


def complex_phase(frame: np.ndarray, *, air: BoolArray, sigma_od: float | None) -> FrameDensity:
    """Return the phase of a complex image in radian, ``arg T`` without constant and ramp.

    It is zero in the empty region.

    Parameters
    ----------
    frame : (n_y, n_x) complex transmission; the sign of the phase is that of the image
    air : (n_y, n_x) bool, the empty region
    sigma_od : as in :func:`complex_density`; the phase has half that standard deviation

    Notes
    -----
    A phase is known up to whole turns. Pixels a whole turn away from the empty region, and pixels
    around which the phase winds once (residues), are invalid and counted as ``wrapped``; their own
    values would be plausible and wrong.
    """
    modulus = np.abs(frame)
    finite = np.isfinite(modulus) & (modulus > 0)
    inside = air & finite
    if inside.sum() < LEAST_AIR_PX:
        return without_light(frame.shape)
    level = float(np.median(modulus[inside]))
    flat = without_ramp(np.where(finite, frame, level), inside)
    wrapped = np.angle(flat)
    turns = np.rint((unwrap_phase(wrapped) - wrapped) / (2 * np.pi))
    turns -= np.rint(np.median(turns[inside]))
    around = (turns != 0) | _residues(wrapped)
    bad = ~finite | around
    if sigma_od is None:
        sigma_od = 2 * _scatter(wrapped[inside & ~bad])
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.where(bad, np.inf, (0.5 * sigma_od * level / modulus) ** 2)
    invalid = {"not_finite": int((~finite).sum()), "wrapped": int((around & finite).sum())}
    value = np.where(bad, np.nan, wrapped)
    return FrameDensity(value.astype(np.float32), variance.astype(np.float32), invalid, level)


def without_ramp(frame: np.ndarray, air: BoolArray) -> np.ndarray:
    """Return a complex image whose phase in the empty region has mean zero and no slope.

    The slope is first that of the mean product of neighbours, ``arg Σ T(x+1) T*(x)``, which phase
    wraps do not affect, and then that of a plane through the remaining phase.

    Parameters
    ----------
    frame : (n_y, n_x) complex, finite
    air : (n_y, n_x) bool, at least :data:`LEAST_AIR_PX` pixels
    """
    grid = np.indices(frame.shape).astype(np.float64)
    y, x = grid[0], grid[1]
    slope_y = _step(frame[1:], frame[:-1], air[1:] & air[:-1])
    slope_x = _step(frame[:, 1:], frame[:, :-1], air[:, 1:] & air[:, :-1])
    flat = np.asarray(frame * np.exp(-1j * (slope_y * y + slope_x * x)), np.complex128)
    planes = np.stack([y[air], x[air], np.ones(int(air.sum()))], axis=1)
    for _ in range(RAMP_ROUNDS):
        flat *= np.exp(-1j * np.angle(flat[air].mean()))
        by, bx, b0 = np.linalg.lstsq(planes, np.angle(flat[air]), rcond=None)[0].tolist()
        flat *= np.exp(-1j * (by * y + bx * x + b0))
    return flat


def _step(later: np.ndarray, earlier: np.ndarray, both: BoolArray) -> float:
    """Return the mean change of phase from pixel to pixel in radian."""
    return float(np.angle((later[both] * np.conj(earlier[both])).sum())) if both.any() else 0.0


def _residues(phase: Float64Array) -> BoolArray:
    """Return the pixels at the corners of the squares around which the phase winds."""
    corners = [phase[:-1, :-1], phase[:-1, 1:], phase[1:, 1:], phase[1:, :-1]]
    turn = sum(
        np.angle(np.exp(1j * (after - before)))
        for before, after in zip(corners, corners[1:] + corners[:1], strict=True)
    )
    at = np.abs(turn) > np.pi
    marked = np.zeros(phase.shape, bool)
    for rows in (slice(None, -1), slice(1, None)):
        for columns in (slice(None, -1), slice(1, None)):
            marked[rows, columns] |= at
    return marked


def _scatter(values: np.ndarray) -> float:
    """Return the standard deviation from the median absolute deviation, at least 1e-6."""
    if values.size == 0:
        return float("inf")
    return max(1.4826 * float(np.median(np.abs(values - np.median(values)))), 1e-6)


def refuse_no_air(name: str) -> InputError:
    """Return the error for a complex image of unknown scale."""
    return InputError(
        name,
        expected="an empty region beside the sample: complex images have no scale and no phase of their own",
        got="none",
        fix="give it as 'normalize: {air: [first_row, last_row, first_column, last_column]}'",
    )
