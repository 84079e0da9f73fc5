"""Conversion of a raw stack through an absorption edge to registered optical density."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from oxytomo.align.stack_frames import RecordedStack, StackOptions, move_frames, place_frames
from oxytomo.arrays import AnyArray, BoolArray, Brief, Float64Array, FloatArray, IntArray, Quantity
from oxytomo.config import NormalizeStackSettings, RegisterStackSettings
from oxytomo.config.elements import SYMBOLS
from oxytomo.errors import ConfigError
from oxytomo.library.defaults import checked, options_of, require_made, silent
from oxytomo.oxidation.edges import default_windows
from oxytomo.preprocess.plausible import looked_at, require_plausible
from oxytomo.preprocess.stack_density import DensityOptions, RawStack, stack_density
from oxytomo.simulate.energy_stack import SimulatedStack

NORMALIZE = NormalizeStackSettings()
REGISTER = RegisterStackSettings()


@dataclass(frozen=True, eq=False, repr=False)
class StackImages(Brief):
    """Frames through the edge of one element, by increasing energy.

    Attributes
    ----------
    element : symbol
    value, variance : (n_energy, n_y, n_x) float32, optical density; NaN and inf if invalid
    energy_ev : (n_energy,) as recorded, eV
    acquisition_index : (n_energy,) number of each frame in the raw stack
    pixel_nm : pixel size in the object plane, nm; NaN if unknown
    invalid : number of invalid pixels by reason
    """

    element: str
    value: FloatArray
    variance: FloatArray
    energy_ev: Float64Array
    acquisition_index: IntArray
    pixel_nm: float
    invalid: Mapping[str, int]


@dataclass(frozen=True, eq=False, repr=False)
class RegisteredStack(Brief):
    """Frames of one element on one grid.

    Attributes
    ----------
    element, value, variance, energy_ev, pixel_nm : see :class:`StackImages`
    shift_px : (n_energy, 2) measured shifts, rows and columns, px
    applied_px : (n_energy, 2) corrected shifts, px; 0 if not larger than their error
    lost : (n_energy,) True for frames that are left out
    variance_factor : (n_energy,) ratio of the variance of single pixels after and before
        interpolation
    warnings : warnings about single frames, as sentences
    """

    element: str
    value: FloatArray
    variance: FloatArray
    energy_ev: Float64Array
    pixel_nm: float
    shift_px: Float64Array
    applied_px: Float64Array
    lost: BoolArray
    variance_factor: Float64Array
    warnings: tuple[str, ...]


def normalize_stack(
    stack: RawStack | SimulatedStack,
    element: str,
    *,
    air: tuple[int, int, int, int] | None = NORMALIZE.air,
    air_rescale: bool = NORMALIZE.air_rescale,
    opaque_transmission: float = NORMALIZE.opaque_transmission,
    hot_pixel_sigma: float = NORMALIZE.hot_pixel_sigma,
    saturation_counts: float | None = NORMALIZE.saturation_counts,
    complex_sigma_od: float | None = NORMALIZE.complex_sigma_od,
) -> StackImages:
    """Convert a raw stack to optical density, ``−ln((I − D)/I0)``, sorted by energy.

    Parameters
    ----------
    stack : result of :func:`read_stack` or :func:`simulate_stack`
    element : symbol of the element of the edge
    air : empty region as first row, last row, first and last column; None: found
    air_rescale : take the incident intensity from the empty region of each frame; False uses the
        flats
    opaque_transmission : rays with a lower transmission are invalid
    hot_pixel_sigma : pixels that differ by more standard deviations from their neighbours are
        invalid
    saturation_counts : counts at which the detector saturates; None: the largest of its type
    complex_sigma_od : complex images: standard deviation of the optical density; None: measured

    Returns
    -------
    StackImages

    Raises
    ------
    InputError
        For frames without an empty region if one is needed, and a stack without a valid pixel.
    ConfigError
        For an unknown element, a setting out of range, or missing incident intensity.

    Examples
    --------
    >>> from oxytomo import normalize_stack, simulate_stack
    >>> images = normalize_stack(simulate_stack("Ni", size=32, n_energies=20), "Ni")
    >>> images.value.shape, float(images.energy_ev[0])
    ((20, 32, 32), 848.0)
    """
    settings = checked(
        NormalizeStackSettings,
        "normalize_stack",
        air=air,
        air_rescale=air_rescale,
        opaque_transmission=opaque_transmission,
        hot_pixel_sigma=hot_pixel_sigma,
        saturation_counts=saturation_counts,
        complex_sigma_od=complex_sigma_od,
    )
    raw = _Recorded(stack) if isinstance(stack, SimulatedStack) else stack
    require_plausible(element, [raw.frame(i) for i in looked_at(raw.shape[0])], raw.quantity)
    value, variance = (np.empty(raw.shape, np.float32) for _ in range(2))
    options = options_of(DensityOptions, settings, element=_symbol(element))
    found = stack_density(raw, options, value, variance, progress=silent)
    return StackImages(
        element=element,
        value=value,
        variance=variance,
        energy_ev=np.asarray(raw.energy_ev, np.float64)[found.order],
        acquisition_index=found.order,
        pixel_nm=float(getattr(raw, "pixel_nm", np.nan)),
        invalid=found.invalid,
    )


def register_stack(
    images: StackImages,
    *,
    enabled: bool = REGISTER.enabled,
    max_shift_px: float = REGISTER.max_shift_px,
    min_field: float = REGISTER.min_field,
) -> RegisteredStack:
    """Register the frames of a stack to one grid.

    Shifts and their errors are measured between frames of similar contrast and across the edge.
    Frames with a shift smaller than its error are not changed.

    Parameters
    ----------
    images : result of :func:`normalize_stack`
    enabled : False: the frames are already registered
    max_shift_px : largest shift to search for, px
    min_field : fraction of the frame that all energies must have in common

    Returns
    -------
    RegisteredStack

    Raises
    ------
    InputError
        If most frames of the stack are dead, cannot be registered, or are outside the field.
    ConfigError
        For a setting out of range.

    Examples
    --------
    >>> from oxytomo import normalize_stack, register_stack, simulate_stack
    >>> stack = simulate_stack("Ni", size=32, n_energies=20)
    >>> registered = register_stack(normalize_stack(stack, "Ni"))
    >>> registered.shift_px.shape, bool(registered.lost.any())
    ((20, 2), False)
    """
    require_made(images, StackImages, "images", "normalize_stack")
    settings = checked(
        RegisterStackSettings,
        "register_stack",
        enabled=enabled,
        max_shift_px=max_shift_px,
        min_field=min_field,
    )
    recorded = RecordedStack(
        element=images.element,
        value=images.value,
        variance=images.variance,
        energy_ev=images.energy_ev,
        acquisition_index=images.acquisition_index,
    )
    edge_ev = default_windows(images.element, images.energy_ev).edge_ev if settings.enabled else None
    place = place_frames(recorded, options_of(StackOptions, settings), edge_ev=edge_ev, progress=silent)
    value, variance = (np.empty(images.value.shape, np.float32) for _ in range(2))
    move_frames(recorded, place, value, variance)
    return RegisteredStack(
        element=images.element,
        value=value,
        variance=variance,
        energy_ev=images.energy_ev,
        pixel_nm=images.pixel_nm,
        shift_px=place.found.shift_px,
        applied_px=place.applied_px,
        lost=place.lost,
        variance_factor=place.variance_factor,
        warnings=tuple(place.remarks(images.energy_ev)),
    )


class _Recorded:
    """A simulated stack, frame by frame as from a file."""

    quantity: Quantity = "counts"

    def __init__(self, stack: SimulatedStack) -> None:
        self._stack, self.energy_ev = stack, stack.energy_ev
        self.shape = (len(stack.frames), stack.frames.shape[1], stack.frames.shape[2])
        self.n_flat = 0 if stack.flat is None else len(stack.flat)

    def frame(self, index: int) -> AnyArray:
        """Return one frame, (n_y, n_x)."""
        return self._stack.frames[index]

    def flat(self, index: int) -> FloatArray | None:
        """Return the flat of one frame, (1, n_y, n_x)."""
        return None if self._stack.flat is None else self._stack.flat[index : index + 1]

    def dark(self) -> FloatArray | None:
        """Return the mean dark frame, (n_y, n_x)."""
        dark: FloatArray = self._stack.dark.mean(axis=0, dtype=np.float64).astype(np.float32)
        return dark


def _symbol(element: str) -> str:
    """Refuse an unknown element."""
    if element not in SYMBOLS:
        raise ConfigError("element", expected="an element symbol", got=repr(element), fix="write Mn, Ni, O")
    return element
