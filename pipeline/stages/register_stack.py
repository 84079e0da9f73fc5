"""Stage ``register_stack``: the frames of one element's stack on one grid."""

from pathlib import Path

import numpy as np

from pipeline.align.stack import StackShifts, register_stack, shifted_frame, variance_factor
from pipeline.config import RegisterStackStage as Settings
from pipeline.errors import InputError
from pipeline.io.scratch import scratch_arrays
from pipeline.io.stores import NamedArray, Store, read_store, write_store
from pipeline.oxidation.edges import default_windows
from pipeline.stages.context import StageContext

NEGLIGIBLE_PX = 0.05
"""Stacks whose frames all sit within this are left as they are: interpolation would only correlate their noise."""

MANY_LOST = 0.05
"""More frames than this share (and two) that cannot be registered are no accident."""


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``normalize``, write ``store``."""
    normalized = read_store(inputs["normalize"])
    value, variance = normalized.array("value"), normalized.array("variance")
    n, n_y, n_x = value.shape
    element = str(normalized.attributes["element"])
    found = _shifts(normalized, element, settings, context)
    _check_lost(found, normalized, element, settings)
    still = bool(np.abs(found.shift_px).max(initial=0.0) < NEGLIGIBLE_PX)
    shifts = np.zeros_like(found.shift_px) if still else found.shift_px
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
            if found.lost[i]:
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
                "residual": NamedArray(found.residual, ("energy",), "1"),
                "replaced": NamedArray(found.replaced, ("energy",), "1"),
                "lost": NamedArray(found.lost, ("energy",), "1"),
                "variance_factor": NamedArray(factors, ("energy",), "1"),
            },
            provenance=context.provenance(inputs),
            attributes={
                "element": element,
                "pixel_nm": normalized.attributes["pixel_nm"],
                "moved": not still,
                "common_field": field,
                "reference": found.reference,
                "max_shift_px": settings.max_shift_px,
            },
        )
    context.log(
        f"shifts up to {np.abs(found.shift_px).max(initial=0.0):.2f} px"
        + (
            ", left as they are"
            if still
            else f", {int(found.replaced.sum())} of {n} taken from their neighbours"
        )
        + f"; {100 * field:.0f} % of the field is common, {int(found.lost.sum())} frames left out"
    )


def _shifts(normalized: Store, element: str, settings: Settings, context: StageContext) -> StackShifts:
    n = normalized.array("value").shape[0]
    if not settings.enabled:
        return StackShifts(np.zeros((n, 2)), np.zeros(n), np.zeros(n, bool), np.zeros(n, bool), 0)
    value = normalized.array("value")
    order, energy = np.argsort(normalized["acquisition_index"], kind="stable"), normalized["energy_ev"]
    return register_stack(
        lambda i: np.asarray(value[i]),
        order,
        shows_sample=energy > default_windows(element, energy).edge_ev,
        max_shift_px=settings.max_shift_px,
        progress=context.progress("register"),
    )


def _check_lost(found: StackShifts, normalized: Store, element: str, settings: Settings) -> None:
    """Refuse a stack of which several frames have structure and yet no place; a stray frame is left out."""
    n_lost = int(found.lost.sum())
    if n_lost > max(2, MANY_LOST * found.lost.size):
        order = np.argsort(normalized["acquisition_index"], kind="stable")
        first = order[found.lost[order]][0]
        raise InputError(
            f"stack of {element}",
            expected=f"frames that can be registered within {settings.max_shift_px:g} px",
            got=f"{n_lost} of {found.lost.size} that cannot, the first taken at {normalized['energy_ev'][first]:g} eV: "
            "the sample drifted further or out of the field",
            fix="raise 'align: {max_shift_px: ...}', leave those frames out, or set 'align: {enabled: false}' for a stack "
            "that is registered already",
        )


def _common_field(shift_px: np.ndarray, shape: tuple[int, int]) -> float:
    """Return the share of the frame that every shifted frame covers."""
    spans = np.ptp(np.concatenate([shift_px, np.zeros((1, 2))]), axis=0)
    return float(np.prod(np.maximum(np.array(shape) - spans, 0) / np.array(shape)))
