"""The frames of a stack on one grid: which are left out, and how the others are moved."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from oxytomo.align.stack import StackShifts, register_stack, shifted_frame, variance_factor
from oxytomo.arrays import BoolArray, Field, Float64Array, FloatArray, IntArray
from oxytomo.errors import InputError

MANY_LOST = 0.05
"""More than this share (and two) of frames that cannot be registered are not an accident."""
MOST_DEAD = 0.5
"""A stack with a larger share of dead frames is refused."""
NAMED = 10
"""Largest number of energies in a message."""


@dataclass(frozen=True)
class RecordedStack:
    """A normalised stack, sorted by energy.

    Attributes
    ----------
    element : symbol
    value, variance : (n_energy, n_y, n_x) float32, NaN and inf where invalid; read frame by frame
    energy_ev : (n_energy,) eV
    acquisition_index : (n_energy,) position of each frame in the order of acquisition
    """

    element: str
    value: Field
    variance: Field
    energy_ev: Float64Array
    acquisition_index: IntArray

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (n_energy, n_y, n_x)."""
        n, n_y, n_x = self.value.shape
        return n, n_y, n_x

    @property
    def order(self) -> IntArray:
        """Frames in the order of acquisition."""
        return np.argsort(self.acquisition_index, kind="stable")


@dataclass(frozen=True)
class StackOptions:
    """Whether and how far frames are moved; see the settings of the same names."""

    enabled: bool
    max_shift_px: float
    min_field: float


@dataclass(frozen=True)
class Placement:
    """Positions of the frames of a stack, and which of them are left out.

    Attributes
    ----------
    found : shifts as estimated
    applied_px : (n_energy, 2) dy, dx that are corrected, 0 where they do not exceed their error
    variance_factor : (n_energy,) variance of single pixels over that before the interpolation
    dead : (n_energy,) bool, without a valid pixel
    lost : (n_energy,) bool, left out: dead, or without a position
    common_field : share of the frame that every moved frame covers
    """

    found: StackShifts
    applied_px: Float64Array
    variance_factor: Float64Array
    dead: BoolArray
    lost: BoolArray
    common_field: float

    @property
    def moved(self) -> bool:
        """Whether any frame is moved."""
        return bool(np.any(self.applied_px))

    def described(self) -> str:
        """Return in words how large the shifts are and how many frames are left out."""
        return (
            f"shifts up to {np.abs(self.found.shift_px).max(initial=0.0):.2f} px"
            + ("" if self.moved else ", none beyond its own error: frames left as they are")
            + f"; {100 * self.common_field:.0f} % of the field is common, {int(self.lost.sum())} frames left out"
        )

    def remarks(self, energy_ev: Float64Array) -> list[str]:
        """Return what a user should know about single frames."""
        found, dead = self.found, self.dead
        held = found.replaced & ~found.lost & ~dead
        groups = (
            (dead, "have no valid pixel and are left out"),
            (found.lost & ~dead, "could not be registered and are left out"),
            (
                held,
                "do not tell their shift (too little contrast) and have that of the frames before and after",
            ),
        )
        return [
            f"the frames at {_listed(energy_ev[which])} eV {what}" for which, what in groups if which.any()
        ]


def _listed(energy_ev: Float64Array) -> str:
    known = ", ".join(f"{ev:g}" for ev in energy_ev[:NAMED])
    return known + (f" and {energy_ev.size - NAMED} more" if energy_ev.size > NAMED else "")


def place_frames(
    stack: RecordedStack,
    options: StackOptions,
    *,
    edge_ev: float | None,
    progress: Callable[[int, int], None],
) -> Placement:
    """Find the positions of the frames; refuse a stack that is mostly dead or drifted too far.

    Parameters
    ----------
    stack : normalised
    options : whether and how far frames are moved
    edge_ev : the sample shows above this energy, eV; None: frames are not registered
    progress : told how many registrations of all are done
    """
    n, *frame = stack.shape
    dead = dead_frames(stack.value)
    _check_dead(stack, dead)
    found = StackShifts.still(n)
    if edge_ev is not None:
        found = register_stack(
            lambda i: np.asarray(stack.value[i]),
            stack.order,
            shows_sample=stack.energy_ev > edge_ev,
            max_shift_px=options.max_shift_px,
            progress=progress,
        )
    _check_lost(stack, found.lost & ~dead, options)
    shifts = found.applied_px()
    field = common_field(shifts, (frame[0], frame[1]))
    _check_field(stack, shifts, field, options)
    factors = np.array([variance_factor(shift) for shift in shifts])
    return Placement(found, shifts, factors, dead, found.lost | dead, field)


def move_frames(stack: RecordedStack, place: Placement, value: FloatArray, variance: FloatArray) -> None:
    """Fill ``value`` and ``variance`` with the frames on one grid; those left out are NaN and inf.

    Parameters
    ----------
    stack : normalised
    place : positions of its frames
    value, variance : (n_energy, n_y, n_x) float32, overwritten
    """
    for i in range(stack.shape[0]):
        frame, noise = np.asarray(stack.value[i]), np.asarray(stack.variance[i])
        if place.lost[i]:
            frame, noise = np.full_like(frame, np.nan), np.full_like(noise, np.inf)
        elif not np.all(place.applied_px[i] == 0):
            frame, noise = shifted_frame(frame, noise, place.applied_px[i])
            noise *= np.float32(place.variance_factor[i])
        value[i], variance[i] = frame, noise


def dead_frames(value: Field) -> BoolArray:
    """Return which frames have no valid pixel: (n,) bool."""
    return np.array([not np.isfinite(np.asarray(value[i])).any() for i in range(value.shape[0])])


def common_field(shift_px: Float64Array, shape: tuple[int, int]) -> float:
    """Return the share of a frame (n_y, n_x) that all frames cover, shifted ones and unshifted."""
    spans = np.ptp(np.concatenate([shift_px, np.zeros((1, 2))]), axis=0)
    return float(np.prod(np.maximum(np.array(shape) - spans, 0) / np.array(shape)))


def _check_dead(stack: RecordedStack, dead: BoolArray) -> None:
    """Refuse a stack in which most frames have no valid pixel."""
    if dead.sum() > MOST_DEAD * dead.size:
        raise InputError(
            f"stack of {stack.element}",
            expected="frames with valid pixels",
            got=f"{int(dead.sum())} of {dead.size} without any, the first at {stack.energy_ev[dead][0]:g} eV",
            fix="look at the raw frames and flats with `oxytomo inspect`, or leave those frames out",
        )


def _check_lost(stack: RecordedStack, lost: BoolArray, options: StackOptions) -> None:
    """Refuse a stack in which several frames cannot be registered; a single one is left out."""
    n_lost = int(lost.sum())
    if n_lost > max(2, MANY_LOST * lost.size):
        first = stack.order[lost[stack.order]][0]
        raise InputError(
            f"stack of {stack.element}",
            expected=f"frames that can be registered within {options.max_shift_px:g} px",
            got=f"{n_lost} of {lost.size} that cannot, the first taken at {stack.energy_ev[first]:g} eV: "
            "the sample drifted further or out of the field",
            fix="raise 'align: {max_shift_px: ...}', leave those frames out, or set 'align: {enabled: false}' for a stack "
            "that is registered already",
        )


def _check_field(stack: RecordedStack, shifts: Float64Array, field: float, options: StackOptions) -> None:
    """Refuse a stack whose frames have too little of the field in common."""
    if field < options.min_field:
        worst = int(np.abs(shifts).max(axis=1).argmax())
        raise InputError(
            f"stack of {stack.element}",
            expected=f"frames that share at least {100 * options.min_field:g} % of the field",
            got=f"{100 * field:.0f} %: the sample drifted by {np.abs(shifts[worst]).max():.0f} px at "
            f"{stack.energy_ev[worst]:g} eV",
            fix="leave out the frames after it drifted away, or lower 'align: {min_field: ...}'",
        )
