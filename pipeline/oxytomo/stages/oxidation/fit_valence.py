"""Stage ``fit_valence``: the registered stack of one element → fractions and valence of every pixel."""

from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import BoolArray, FloatArray, LabelArray
from oxytomo.config import FitValenceStage as Settings
from oxytomo.errors import InputError
from oxytomo.io.stores import NamedArray, Store, read_store, write_store
from oxytomo.oxidation.linear_combination import ValenceFit, fit_valence
from oxytomo.oxidation.status import STATUS_NAMES, pixel_status
from oxytomo.stages.context import StageContext
from oxytomo.stages.oxidation.fit_setup import FitSetup, fit_setup

BLOCK_BYTES = 256 * 2**20
"""Rows are fitted in blocks of about this size: value and variance of all energies."""

MAPS = (
    "valence",
    "valence_error",
    "amount",
    "amount_error",
    "chi_square",
    "r_factor",
    "lag_correlation",
    "n_used",
)


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``register``, write ``store``; the reference spectra are named by the settings."""
    registered = read_store(inputs["register"])
    setup = fit_setup(registered, settings)
    for remark in setup.remarks:
        context.log(f"warning: {remark}")
    maps, od = _fit_blocks(registered, setup, settings, context)
    status = _status(maps, od, settings)
    good = status == 0
    if not good.any():
        raise InputError(
            f"stack of {settings.element}",
            expected=f"pixels with an edge jump of {settings.element}",
            got=", ".join(
                f"{int((status == label).sum())} {name}" for label, name in STATUS_NAMES.items() if label
            ),
            fix="check the element and the energies, and the limits thin_sigma, thin_share and thick_od of the fit",
        )
    scale = _error_scale(maps, good, setup, settings)
    for name in ("valence_error", "fraction_errors", "amount_error"):
        maps[name] = maps[name] * np.float32(scale)
    maps["valence"] = np.where(good, maps["valence"], np.nan).astype(np.float32)
    maps["valence_error"] = np.where(good, maps["valence_error"], np.nan).astype(np.float32)
    planes = ("y", "x")
    references = {f"reference_{file.stem}_{i}": file for i, file in enumerate(setup.files)}
    write_store(
        outputs["store"],
        {
            **{name: NamedArray(maps[name], planes, "1") for name in MAPS},
            **{
                name: NamedArray(maps[name], ("reference", *planes), "1")
                for name in ("fractions", "fraction_errors")
            },
            "offsets": NamedArray(maps["offsets"], ("background", *planes), "1"),
            "largest_od": NamedArray(od, planes, "1"),
            "status": NamedArray(status, planes, "1"),
            "energy_ev": NamedArray(setup.energy_ev, ("energy",), "electronvolt"),
            "used": NamedArray(setup.used, ("stack_energy",), "1"),
            "references": NamedArray(setup.references, ("energy", "reference"), "1"),
            "background": NamedArray(setup.background, ("energy", "background"), "1"),
            "all_references": NamedArray(setup.all_references, ("stack_energy", "reference"), "1"),
        },
        provenance=context.provenance({**inputs, **references}),
        attributes={
            "element": settings.element,
            "pixel_nm": registered.attributes["pixel_nm"],
            "names": list(setup.names),
            "valences": setup.valences,
            "fractions_sum": settings.fractions_sum,
            "thin_share": settings.thin_share,
            "error_scale": scale,
            "status": {str(label): name for label, name in STATUS_NAMES.items()},
            "remarks": list(setup.remarks),
            **setup.facts,
        },
    )
    valence = maps["valence"][good]
    context.log(
        f"{settings.element}: {int(good.sum())} pixels with a valence, of median {np.median(valence):.3f} "
        f"(5 to 95 %: {np.percentile(valence, 5):.2f} to {np.percentile(valence, 95):.2f}); the report gives the mean over "
        f"those in particles; "
        f"{setup.energy_ev.size} energies, condition number {setup.facts['condition_number']:.1f}, "
        f"χ² {np.median(maps['chi_square'][good]):.2f}"
    )


def _error_scale(maps: dict[str, FloatArray], good: BoolArray, setup: FitSetup, settings: Settings) -> float:
    """Return what the errors are multiplied by: the root of the median χ² over that of a perfect fit.

    It grows where the references leave more than noise, and corrects a variance that was not known well (averaged
    flats, optical density without counts). The median of χ² with n degrees of freedom is n (1 − 2/(9n))³.
    """
    unknowns = setup.references.shape[1] + setup.background.shape[1] - (settings.fractions_sum == "one")
    freedom = max(setup.energy_ev.size - unknowns, 1)
    return float(np.sqrt(np.median(maps["chi_square"][good]) / (1 - 2 / (9 * freedom)) ** 3))


def _fit_blocks(
    registered: Store, setup: FitSetup, settings: Settings, context: StageContext
) -> tuple[dict[str, FloatArray], FloatArray]:
    """Fit block by block of rows; returns all maps and the largest optical density of each pixel in the fit."""
    value, variance = registered.array("value"), registered.array("variance")
    n_y, n_x = value.shape[1:]
    chosen = np.flatnonzero(setup.used)
    first, last = int(chosen[0]), int(chosen[-1]) + 1
    rows = _block_rows(value, (last - first) * n_x)
    maps: dict[str, FloatArray] = {}
    od = np.empty((n_y, n_x), np.float32)
    progress = context.progress("fit")
    for top in range(0, n_y, rows):
        part = slice(top, min(top + rows, n_y))
        y = np.asarray(value[first:last, part])[chosen - first]
        v = np.asarray(variance[first:last, part])[chosen - first]
        od[part] = np.max(np.where(np.isfinite(y), y, -np.inf), axis=0)
        jump_error = None
        if settings.fractions_sum == "one":
            y, v, jump, jump_error = _normalized(registered, part, y, v, setup)
        fit = fit_valence(
            y,
            v,
            setup.references,
            setup.background,
            setup.valences,
            sum_to_one=jump_error is not None,
            sum_error=jump_error,
        )
        for name, array in _arrays(fit).items():
            if name not in maps:
                maps[name] = np.empty((*array.shape[:-2], n_y, n_x), np.float32)
            maps[name][..., part, :] = array
        if jump_error is not None:
            maps["amount"][part], maps["amount_error"][part] = jump, jump * jump_error
        progress(part.stop, n_y)
    return maps, od


def _block_rows(value: Any, pixels_per_row: int) -> int:
    """Return how many rows to read at once: whole chunks of the store."""
    chunk = value.chunks[1]
    wanted = max(1, BLOCK_BYTES // (8 * pixels_per_row))
    return int(max(1, wanted // chunk) * chunk if wanted >= chunk else wanted)


def _arrays(fit: ValenceFit) -> dict[str, FloatArray]:
    names = (*MAPS, "fractions", "fraction_errors", "offsets")
    return {name: getattr(fit, name) for name in names}


def _normalized(
    registered: Store, part: slice, y: FloatArray, v: FloatArray, setup: FitSetup
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Divide spectra by their edge jump, the mean above all white lines minus what was there below the edge.

    What absorbs below the edge falls as E⁻³ (Victoreen's law) to the energies above: a line through the few energies
    below a soft edge would be blown up by noise.

    Returns
    -------
    value, variance of the divided spectra; the jump and its relative error
    """
    levels, noises = [], []
    for chosen in (setup.below, setup.above):
        at = np.flatnonzero(chosen)
        value = np.asarray(registered.array("value")[int(at[0]) : int(at[-1]) + 1, part])
        noise = np.asarray(registered.array("variance")[int(at[0]) : int(at[-1]) + 1, part])
        valid = np.isfinite(value)
        count = np.maximum(valid.sum(axis=0), 1)
        levels.append(np.where(valid, value, 0).sum(axis=0) / count)
        noises.append(np.where(valid, noise, 0).sum(axis=0) / count**2)
    energy = np.asarray(setup.facts["stack_energy_ev"])
    falling = float((energy[setup.below].mean() / energy[setup.above].mean()) ** 3)
    jump = (levels[1] - falling * levels[0]).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(falling**2 * noises[0] + noises[1]) / jump
        usable = jump > 0
        divided = np.where(usable, y / jump, np.nan).astype(np.float32)
        noise = np.where(usable, v / jump**2, np.inf).astype(np.float32)
    return divided, noise, jump, np.where(usable, error, 0).astype(np.float32)


def _status(maps: dict[str, FloatArray], od: FloatArray, settings: Settings) -> LabelArray:
    """Say of each pixel whether its valence counts, and why not; frames that no pixel has do not count as missing."""
    return pixel_status(
        maps["amount"],
        maps["amount_error"],
        od,
        maps["n_used"],
        n_energies=int(np.max(maps["n_used"])),
        thick_od=settings.thick_od,
        thin_sigma=settings.thin_sigma,
        thin_share=settings.thin_share,
    )
