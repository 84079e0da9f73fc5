"""Fractions, valence and status of every pixel of a stack, fitted block by block of rows."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np

from oxytomo.arrays import BoolArray, FloatArray, LabelArray
from oxytomo.errors import InputError
from oxytomo.oxidation.fit_setup import FitSetup
from oxytomo.oxidation.linear_combination import ValenceFit, fit_valence
from oxytomo.oxidation.stack import EnergyStack
from oxytomo.oxidation.status import STATUS_NAMES, pixel_status

BLOCK_BYTES = 256 * 2**20
"""Size of the blocks of rows that are fitted together: value and variance of all energies."""


@dataclass(frozen=True)
class MapOptions:
    """Divisor of the pixels, and which of them count; see the settings of the same names."""

    element: str
    fractions_sum: str
    thick_od: float
    thin_sigma: float
    thin_share: float


@dataclass(frozen=True)
class ValenceMaps:
    """The fit of a whole stack.

    Attributes
    ----------
    fit : maps (…, n_y, n_x) with scaled errors; the valence is NaN where it does not count
    largest_od : (n_y, n_x) float32, at the energies of the fit, −inf where none is valid
    status : (n_y, n_x) uint8, see :data:`oxytomo.oxidation.status.STATUS_NAMES`
    error_scale : factor that the errors were multiplied by
    """

    fit: ValenceFit
    largest_od: FloatArray
    status: LabelArray
    error_scale: float

    @property
    def good(self) -> BoolArray:
        """Pixels whose valence counts."""
        return self.status == 0

    def described(self) -> str:
        """Return number and distribution of the valences in words."""
        valence = self.fit.valence[self.good]
        return (
            f"{int(self.good.sum())} pixels with a valence, of median {np.median(valence):.3f} "
            f"(5 to 95 %: {np.percentile(valence, 5):.2f} to {np.percentile(valence, 95):.2f})"
        )

    def median_chi_square(self) -> float:
        """Return the median of χ² over its degrees of freedom, of the pixels that count."""
        return float(np.median(self.fit.chi_square[self.good]))


def valence_maps(
    stack: EnergyStack,
    setup: FitSetup,
    options: MapOptions,
    *,
    progress: Callable[[int, int], None],
) -> ValenceMaps:
    """Fit every pixel, classify it, and scale the errors by the misfit of the references.

    Parameters
    ----------
    stack : registered
    setup : energies, references and background of the fit
    options : whether pixels are divided by their edge jump, and the limits for valid pixels
    progress : told how many rows are done

    Raises
    ------
    InputError
        When no pixel has a valence.
    """
    fit, od = _fit_blocks(stack, setup, by_jump=options.fractions_sum == "one", progress=progress)
    status = pixel_status(
        fit.amount,
        fit.amount_error,
        od,
        fit.n_used,
        # Frames that are missing in all pixels do not count as missing.
        n_energies=int(np.max(fit.n_used)),
        thick_od=options.thick_od,
        thin_sigma=options.thin_sigma,
        thin_share=options.thin_share,
    )
    good: BoolArray = status == 0
    if not good.any():
        counts = (f"{int((status == i).sum())} {name}" for i, name in STATUS_NAMES.items() if i)
        raise InputError(
            f"stack of {options.element}",
            expected=f"pixels with an edge jump of {options.element}",
            got=", ".join(counts),
            fix="check the element and the energies, and the limits thin_sigma, thin_share and thick_od of the fit",
        )
    unknowns = setup.references.shape[1] + setup.background.shape[1] - (options.fractions_sum == "one")
    freedom = max(setup.energy_ev.size - unknowns, 1)
    scale = error_scale(fit.chi_square[good], freedom=freedom)
    return ValenceMaps(_scaled(fit, good, np.float32(scale)), od, status, scale)


def error_scale(chi_square: FloatArray, *, freedom: int) -> float:
    """Return the factor for the errors: the root of the median χ² over that of a perfect fit.

    It grows if the references leave more than noise, and corrects a poorly known variance (averaged
    flats, optical density without counts). The median of χ² with n degrees of freedom is n (1 −
    2/(9n))³ (Wilson and Hilferty, PNAS 17, 684 (1931)).

    Parameters
    ----------
    chi_square : of the pixels that count, over the degrees of freedom
    freedom : degrees of freedom
    """
    return float(np.sqrt(np.median(chi_square) / (1 - 2 / (9 * freedom)) ** 3))


def _scaled(fit: ValenceFit, good: BoolArray, scale: np.float32) -> ValenceFit:
    """Return a fit with scaled errors and valences only where they count."""
    return replace(
        fit,
        fraction_errors=fit.fraction_errors * scale,
        amount_error=fit.amount_error * scale,
        valence=np.where(good, fit.valence, np.nan).astype(np.float32),
        valence_error=np.where(good, fit.valence_error * scale, np.nan).astype(np.float32),
    )


def _fit_blocks(
    stack: EnergyStack, setup: FitSetup, *, by_jump: bool, progress: Callable[[int, int], None]
) -> tuple[ValenceFit, FloatArray]:
    """Return the fit of all pixels, and their largest optical density at its energies."""
    _, n_y, n_x = stack.value.shape
    chosen = np.flatnonzero(setup.used)
    first, last = int(chosen[0]), int(chosen[-1]) + 1
    rows = block_rows(stack.rows_at_once, (last - first) * n_x)
    maps: dict[str, FloatArray] = {}
    od = np.empty((n_y, n_x), np.float32)
    for top in range(0, n_y, rows):
        part = slice(top, min(top + rows, n_y))
        y = np.asarray(stack.value[first:last, part])[chosen - first]
        v = np.asarray(stack.variance[first:last, part])[chosen - first]
        od[part] = np.max(np.where(np.isfinite(y), y, -np.inf), axis=0)
        fit = _fit_by_jump(stack, setup, part, y, v) if by_jump else _fit(setup, y, v, None)
        for field in fields(fit):
            array = getattr(fit, field.name)
            if field.name not in maps:
                maps[field.name] = np.empty((*array.shape[:-2], n_y, n_x), np.float32)
            maps[field.name][..., part, :] = array
        progress(part.stop, n_y)
    return ValenceFit(**maps), od


def _fit(setup: FitSetup, value: FloatArray, variance: FloatArray, error: FloatArray | None) -> ValenceFit:
    """Fit a block; with the relative error of the divisor, fractions add up to 1."""
    return fit_valence(
        value,
        variance,
        setup.references,
        setup.background,
        setup.valences,
        sum_to_one=error is not None,
        sum_error=error,
    )


def _fit_by_jump(
    stack: EnergyStack, setup: FitSetup, part: slice, y: FloatArray, v: FloatArray
) -> ValenceFit:
    """Fit a block divided by its edge jump, which is its amount."""
    jump, error = edge_jump(stack, setup, part)
    with np.errstate(divide="ignore", invalid="ignore"):
        usable = jump > 0
        divided = np.where(usable, y / jump, np.nan).astype(np.float32)
        noise = np.where(usable, v / jump**2, np.inf).astype(np.float32)
    return replace(_fit(setup, divided, noise, error), amount=jump, amount_error=jump * error)


def edge_jump(stack: EnergyStack, setup: FitSetup, part: slice) -> tuple[FloatArray, FloatArray]:
    """Return the edge jump of each pixel of some rows.

    It is the mean above all white lines minus the absorption from below the edge. The latter falls
    as E⁻³ (Victoreen's law) towards higher energies; a line through the few energies below a soft
    edge would amplify the noise.

    Returns
    -------
    jump : (n, n_x) float32, optical density
    error : (n, n_x) float32, its standard error relative to it; 0 where there is no jump
    """
    levels, noises = [], []
    for chosen in (setup.below, setup.above):
        at = np.flatnonzero(chosen)
        value = np.asarray(stack.value[int(at[0]) : int(at[-1]) + 1, part])
        noise = np.asarray(stack.variance[int(at[0]) : int(at[-1]) + 1, part])
        valid = np.isfinite(value)
        count = np.maximum(valid.sum(axis=0), 1)
        levels.append(np.where(valid, value, 0).sum(axis=0) / count)
        noises.append(np.where(valid, noise, 0).sum(axis=0) / count**2)
    energy = np.asarray(setup.facts["stack_energy_ev"])
    falling = float((energy[setup.below].mean() / energy[setup.above].mean()) ** 3)
    jump = (levels[1] - falling * levels[0]).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(falling**2 * noises[0] + noises[1]) / jump
    return jump, np.where(jump > 0, error, 0).astype(np.float32)


def block_rows(rows_at_once: int, pixels_per_row: int) -> int:
    """Return how many rows to read at once: whole chunks of the file if these fit."""
    wanted = max(1, BLOCK_BYTES // (8 * pixels_per_row))
    return int(max(1, wanted // rows_at_once) * rows_at_once if wanted >= rows_at_once else wanted)
