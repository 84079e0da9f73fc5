"""Stage ``register_stack``: the frames of one element's stack on one grid."""

from pathlib import Path

import numpy as np

from oxytomo.align.stack import StackShifts, register_stack, shifted_frame, variance_factor
from oxytomo.arrays import BoolArray, Float64Array
from oxytomo.config import RegisterStackStage as Settings
from oxytomo.errors import InputError
from oxytomo.io.scratch import scratch_arrays
from oxytomo.io.stores import NamedArray, Store, read_store, write_store
from oxytomo.oxidation.edges import default_windows
from oxytomo.stages.context import StageContext

MANY_LOST = 0.05
"""More frames than this share (and two) that cannot be registered are no accident."""
MOST_DEAD = 0.5
"""A stack of which more frames than this share are dead is refused."""


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``normalize``, write ``store``."""
    normalized = read_store(inputs["normalize"])
    value, variance = normalized.array("value"), normalized.array("variance")
    n, n_y, n_x = value.shape
    element = str(normalized.attributes["element"])
    dead = _dead(normalized)
    _check_dead(dead, normalized["energy_ev"], element)
    found = _shifts(normalized, element, settings, context)
    _check_lost(found, dead, normalized, element, settings)
    lost = found.lost | dead
    shifts = found.applied_px()
    moved = bool(np.any(shifts))
    factors = np.array([variance_factor(shift) for shift in shifts])
    field = _common_field(shifts, (n_y, n_x))
    if field < settings.min_field:
        worst = int(np.abs(shifts).max(axis=1).argmax())
        raise InputError(
            f"stack of {element}",
            expected=f"frames that share at least {100 * settings.min_field:g} % of the field",
            got=f"{100 * field:.0f} %: the sample drifted by {np.abs(shifts[worst]).max():.0f} px at "
            f"{normalized['energy_ev'][worst]:g} eV",
            fix="leave out the frames after it drifted away, or lower 'align: {min_field: ...}'",
        )
    shape = (n, n_y, n_x)
    with scratch_arrays(outputs["store"], {"value": shape, "variance": shape}) as arrays:
        for i in range(n):
            frame, noise = np.asarray(value[i]), np.asarray(variance[i])
            if lost[i]:
                frame, noise = np.full_like(frame, np.nan), np.full_like(noise, np.inf)
            elif not np.all(shifts[i] == 0):
                frame, noise = shifted_frame(frame, noise, shifts[i])
                noise *= np.float32(factors[i])
            arrays["value"][i], arrays["variance"][i] = frame, noise
        write_store(
            outputs["store"],
            {
                "value": NamedArray(arrays["value"], ("energy", "y", "x"), "1"),
                "variance": NamedArray(arrays["variance"], ("energy", "y", "x"), "1"),
                "energy_ev": NamedArray(normalized["energy_ev"], ("energy",), "electronvolt"),
                "shift_px": NamedArray(found.shift_px, ("energy", "direction"), "1"),
                "error_px": NamedArray(found.error_px, ("energy", "direction"), "1"),
                "applied_px": NamedArray(shifts, ("energy", "direction"), "1"),
                "residual": NamedArray(found.residual, ("energy",), "1"),
                "replaced": NamedArray(found.replaced, ("energy",), "1"),
                "lost": NamedArray(lost, ("energy",), "1"),
                "dead": NamedArray(dead, ("energy",), "1"),
                "variance_factor": NamedArray(factors, ("energy",), "1"),
            },
            provenance=context.provenance(inputs),
            attributes={
                "element": element,
                "pixel_nm": normalized.attributes["pixel_nm"],
                "moved": moved,
                "common_field": field,
                "reference": found.reference,
                "max_shift_px": settings.max_shift_px,
            },
        )
    for line in _said(found, dead, normalized["energy_ev"]):
        context.log(f"warning: {line}")
    context.log(
        f"shifts up to {np.abs(found.shift_px).max(initial=0.0):.2f} px"
        + ("" if moved else ", none beyond its own error: frames left as they are")
        + f"; {100 * field:.0f} % of the field is common, {int(lost.sum())} frames left out"
    )


def _said(found: StackShifts, dead: BoolArray, energy_ev: Float64Array) -> list[str]:
    """Return what a user should know of single frames."""

    def named(chosen: BoolArray) -> str:
        known = ", ".join(f"{ev:g}" for ev in energy_ev[chosen][:10])
        return known + (f" and {int(chosen.sum()) - 10} more" if chosen.sum() > 10 else "")

    held = found.replaced & ~found.lost & ~dead
    groups = (
        (dead, "have no valid pixel and are left out"),
        (found.lost & ~dead, "could not be registered and are left out"),
        (held, "do not tell their shift (too little contrast) and have that of the frames before and after"),
    )
    return [f"the frames at {named(chosen)} eV {what}" for chosen, what in groups if chosen.any()]


def _dead(normalized: Store) -> BoolArray:
    """Say which frames have no valid pixel: (n,) bool."""
    value = normalized.array("value")
    return np.array([not np.isfinite(np.asarray(value[i])).any() for i in range(value.shape[0])])


def _shifts(normalized: Store, element: str, settings: Settings, context: StageContext) -> StackShifts:
    n = normalized.array("value").shape[0]
    if not settings.enabled:
        return StackShifts.still(n)
    value = normalized.array("value")
    order, energy = np.argsort(normalized["acquisition_index"], kind="stable"), normalized["energy_ev"]
    return register_stack(
        lambda i: np.asarray(value[i]),
        order,
        shows_sample=energy > default_windows(element, energy).edge_ev,
        max_shift_px=settings.max_shift_px,
        progress=context.progress("register"),
    )


def _check_dead(dead: BoolArray, energy_ev: Float64Array, element: str) -> None:
    """Refuse a stack most of whose frames have no valid pixel."""
    if dead.sum() > MOST_DEAD * dead.size:
        raise InputError(
            f"stack of {element}",
            expected="frames with valid pixels",
            got=f"{int(dead.sum())} of {dead.size} without any, the first at {energy_ev[dead][0]:g} eV",
            fix="look at the raw frames and flats with `oxytomo inspect`, or leave those frames out",
        )


def _check_lost(
    found: StackShifts, dead: BoolArray, normalized: Store, element: str, settings: Settings
) -> None:
    """Refuse a stack of which several frames have structure and yet no place; a stray frame is left out."""
    lost = found.lost & ~dead
    n_lost = int(lost.sum())
    if n_lost > max(2, MANY_LOST * found.lost.size):
        order = np.argsort(normalized["acquisition_index"], kind="stable")
        first = order[lost[order]][0]
        raise InputError(
            f"stack of {element}",
            expected=f"frames that can be registered within {settings.max_shift_px:g} px",
            got=f"{n_lost} of {lost.size} that cannot, the first taken at {normalized['energy_ev'][first]:g} eV: "
            "the sample drifted further or out of the field",
            fix="raise 'align: {max_shift_px: ...}', leave those frames out, or set 'align: {enabled: false}' for a stack "
            "that is registered already",
        )


def _common_field(shift_px: np.ndarray, shape: tuple[int, int]) -> float:
    """Return the share of the frame that every shifted frame covers."""
    spans = np.ptp(np.concatenate([shift_px, np.zeros((1, 2))]), axis=0)
    return float(np.prod(np.maximum(np.array(shape) - spans, 0) / np.array(shape)))
