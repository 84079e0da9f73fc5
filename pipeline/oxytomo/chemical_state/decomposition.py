"""Amounts of the chemical components of one element in every ray, with covariance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oxytomo.arrays import Field, Float64Array, FloatArray
from oxytomo.chemical_state.spectra import ComponentSpectra, SpectraOptions, component_spectra
from oxytomo.chemical_state.voxel_fits import equal_weights
from oxytomo.composition.decomposition import Solved, decompose_with_priors, pair_index
from oxytomo.errors import InputError
from oxytomo.oxidation.spectra import Reference
from oxytomo.preprocess.averaged_rays import AveragedRays, averaged_rays
from oxytomo.slabs import new_field
from oxytomo.units import NM_PER_UM

TILTS_AT_ONCE = 8
LOOKED_AT = 9
"""Number of tilts whose averaged rays test the spectra."""
LEAST_RAYS = 20
OFFSETS_EV = np.round(np.arange(-3.0, 3.01, 0.1), 1)
"""Offsets of the energy scale that are tried, from the given one."""
WRONG_SCALE_EV, WRONG_SCALE_GAIN, WRONG_SCALE_MISFIT = 0.3, 4.0, 0.01
"""The energies are on another scale than the references if an offset of at least this many eV fits
better by this factor in χ², and the misfit without it exceeds this share of the optical density."""

UNEXPLAINED = 0.2
"""References that miss the mean spectrum by this share of its optical density are refused: the
report warns of less."""
ENERGY_STEP_EV = 0.1


@dataclass(frozen=True)
class StateSeries:
    """Aligned optical densities of one element.

    Attributes
    ----------
    element : symbol
    value, variance : (n_energy, n_tilt, n_y, n_x) NaN and inf where invalid
    energy_ev : (n_energy,) as recorded
    pixel_nm : edge of a pixel
    """

    element: str
    value: Field
    variance: Field
    energy_ev: Float64Array
    pixel_nm: float


@dataclass(frozen=True)
class StateAmounts:
    """Components in every ray.

    Attributes
    ----------
    areal : (n_component, n_tilt, n_y, n_x) float32, µm at density 1, NaN where not solved
    covariance : (n_pair, n_tilt, n_y, n_x) float32, µm²; it includes the error of a free background
    spectra : spectra of the components
    record : how well they fit, as plain values
    """

    areal: Field
    covariance: Field
    spectra: ComponentSpectra
    record: dict[str, Any]

    def described(self) -> list[str]:
        """Return what was found, in sentences."""
        fit, lines = self.record["chi_square_per_dof"], self.record.get("white_line")
        said = []
        if lines is not None:
            energy = lines["mean_spectrum_white_line_ev"]
            said.append(
                f"no references, so the volume is the energy of its white line, {energy:.2f} eV in the mean spectrum"
            )
        said.append(
            f"{self.spectra.energy_ev.size} energies, condition number {self.record['condition_number']:.1f}, "
            f"background {self.record['background']}, "
            + ("no spare energies" if fit is None else f"χ² per degree of freedom {fit:.2f}")
        )
        return said


def decompose_states(
    series: StateSeries,
    references: Sequence[Reference],
    options: SpectraOptions,
    *,
    method: str,
    energy_offset_ev: float | str,
    progress: Callable[[int, int], None],
) -> StateAmounts:
    """Solve every ray for the components by least squares over all energies.

    Parameters
    ----------
    series : the optical densities
    references : reference spectra by increasing valence
    options : how these become spectra
    method : ``rays``, energies weighted by their inverse variance; ``voxels``, with equal weights,
        which is the same as a fit of every voxel (:mod:`oxytomo.chemical_state.voxel_fits`)
    energy_offset_ev : number to add to the recorded energies, or ``fit`` for the best one

    Raises
    ------
    InputError
        If the energies cannot separate the components, or are on another scale than the references.
    """
    n_tilt = series.value.shape[1]
    tilts = np.unique(np.linspace(0, n_tilt - 1, LOOKED_AT).round().astype(int))
    rays = averaged_rays(series.value, series.variance, tilts)
    rays = rays.some(2000)
    scale = _energy_scale(series, references, options, rays, energy_offset_ev)
    spectra = component_spectra(series.energy_ev + scale["energy_offset_ev"], references, options)
    jump = spectra.jump_per_um or _relative_jump(series, spectra, tilts)
    matrix = spectra.matrix(jump)
    areal, covariance = _amounts(series, matrix, len(spectra.valences), method=method, progress=progress)
    record = {
        **scale,
        **_fit_record(rays, matrix),
        "valence_per_0_1_ev": _valence_per_0_1_ev(series, references, options, rays, spectra),
        **_spectra_record(spectra, jump),
        "method": method,
        "relative_density": spectra.jump_per_um is None,
        "valences": spectra.valences.tolist(),
        "references": list(spectra.names),
        "remarks": list(spectra.remarks),
    }
    return StateAmounts(areal, covariance, spectra, record)


def decompose_own(
    series: StateSeries, spectra: ComponentSpectra, *, progress: Callable[[int, int], None]
) -> StateAmounts:
    """Solve every ray for two spectra that were found in the rays themselves.

    Densities are relative. See :mod:`oxytomo.chemical_state.own_spectra`.
    """
    n_tilt = series.value.shape[1]
    tilts = np.unique(np.linspace(0, n_tilt - 1, LOOKED_AT).round().astype(int))
    rays = averaged_rays(series.value, series.variance, tilts).some(2000)
    jump = _relative_jump(series, spectra, tilts)
    matrix = spectra.matrix(jump)
    areal, covariance = _amounts(series, matrix, len(spectra.valences), method="rays", progress=progress)
    record = {**_fit_record(rays, matrix), **_spectra_record(spectra, jump)}
    return StateAmounts(areal, covariance, spectra, record)


def _spectra_record(spectra: ComponentSpectra, jump: float) -> dict[str, Any]:
    return {
        "condition_number": spectra.condition,
        "background": "free" if spectra.free else "tied",
        "jump_per_um": float(jump),
        "energies_ev": spectra.energy_ev.tolist(),
    }


def _amounts(
    series: StateSeries,
    matrix: Float64Array,
    n: int,
    *,
    method: str,
    progress: Callable[[int, int], None],
) -> tuple[Field, Field]:
    """Return amounts and covariance of the first ``n`` columns of a matrix in every ray."""
    n_tilt = series.value.shape[1]
    areal = new_field((n, *series.value.shape[1:]), np.float32)
    covariance = new_field((n * (n + 1) // 2, *series.value.shape[1:]), np.float32)
    pairs = pair_index(matrix.shape[1])
    own = [row for row, (_, j) in enumerate(pairs) if j < n]
    for start in range(0, n_tilt, TILTS_AT_ONCE):
        part = slice(start, min(start + TILTS_AT_ONCE, n_tilt))
        value, variance = np.asarray(series.value[:, part]), np.asarray(series.variance[:, part])
        if method == "voxels":
            amounts, errors = equal_weights(value, variance, matrix)
        else:
            found = _solved(value, variance, matrix)
            amounts, errors = found.areal, found.covariance
        areal[:, part], covariance[:, part] = amounts[:n], errors[own]
        progress(part.stop, n_tilt)
    return areal, covariance


def unsolved_rays(areal: Field) -> int:
    """Return the number of rays without a solution."""
    return sum(
        int(np.count_nonzero(~np.isfinite(np.asarray(areal[0, tilt])))) for tilt in range(areal.shape[1])
    )


def _solved(value: FloatArray, variance: FloatArray, matrix: Float64Array) -> Solved:
    none = np.zeros((0, *value.shape[1:]), np.float32)
    return decompose_with_priors(value, variance, matrix, np.zeros((matrix.shape[0], 0)), none, none)


def _of_rays(rays: AveragedRays, matrix: Float64Array) -> Solved:
    value, variance = (np.ascontiguousarray(one.T, np.float32) for one in (rays.density, rays.variance))
    return _solved(value, variance, matrix)


def _fit_record(rays: AveragedRays, matrix: Float64Array) -> dict[str, Any]:
    """Return χ² per degree of freedom of averaged rays, and the mean residual of each energy.

    Residuals are relative to the mean optical density. Both are None without spare energies.
    """
    freedom = matrix.shape[0] - matrix.shape[1]
    nothing = {"chi_square_per_dof": None, "residual_by_energy": None, "averaged_rays": len(rays)}
    if freedom < 1 or len(rays) < LEAST_RAYS:
        return nothing
    solved = _of_rays(rays, matrix)
    left = rays.density - solved.areal.T.astype(np.float64) @ matrix.T
    return {
        "chi_square_per_dof": float(np.mean(solved.chi_square, dtype=np.float64)) / freedom,
        "residual_by_energy": (left.mean(axis=0) / rays.density.mean()).tolist(),
        "averaged_rays": len(rays),
    }


def _valence_per_0_1_ev(
    series: StateSeries,
    references: Sequence[Reference],
    options: SpectraOptions,
    rays: AveragedRays,
    spectra: ComponentSpectra,
) -> float | None:
    """Return the change of the mean valence of the averaged rays if the energies move up by 0.1 eV.

    None where this cannot be found: without rays, or at the end of a reference.
    """
    if len(rays) < LEAST_RAYS:
        return None
    means = []
    for step in (0.0, ENERGY_STEP_EV):
        try:
            moved = component_spectra(spectra.energy_ev + step, references, options)
        except InputError:
            return None
        areal = _of_rays(rays, moved.matrix(moved.jump_per_um or 1.0)).areal[: moved.valences.size]
        sums = np.nansum(areal, axis=1, dtype=np.float64)
        means.append(float(moved.valences @ sums / sums.sum()) if sums.sum() > 0 else float("nan"))
    change = means[1] - means[0]
    return change if np.isfinite(change) else None


def _energy_scale(
    series: StateSeries,
    references: Sequence[Reference],
    options: SpectraOptions,
    rays: AveragedRays,
    offset_ev: float | str,
) -> dict[str, Any]:
    """Return the offset that is added to the energies, and the offset that fits best.

    The latter is None where it cannot be found.
    """
    given = 0.0 if isinstance(offset_ev, str) else float(offset_ev)
    best = _best_offset(series, references, options, rays, around=given)
    if isinstance(offset_ev, str):
        if best is None:
            raise InputError(
                f"energy_offset_ev of {series.element}",
                expected="spare energies and a particle of some pixels, to fit an offset",
                got=f"{series.energy_ev.size} energies and {len(rays)} averaged rays",
                fix="give the offset as a number",
            )
        if best[0] in best[2]:
            raise InputError(
                f"energy_offset_ev of {series.element}",
                expected="a best offset within those that are tried "
                f"({best[2][0]:+g} to {best[2][1]:+g} eV; others leave no energy below the edge, or the references)",
                got=f"{best[0]:+g} eV, the end of them",
                fix="check the energies of the series and of the references, or give the offset as a number",
            )
        given = best[0]
    elif best is not None and abs(best[0] - given) >= WRONG_SCALE_EV:
        at = _misfit(series, references, options, rays, given)
        if at is not None and at[0] > WRONG_SCALE_GAIN * best[1] and at[1] > WRONG_SCALE_MISFIT:
            raise InputError(
                f"energies of {series.element}",
                expected="the energy scale of the references",
                got=f"spectra that fit {at[0] / best[1]:.0f} times better (χ²) with {best[0]:+.1f} eV added, "
                f"and miss by {100 * at[1]:.1f} % of the optical density without",
                fix="check the energies of the series and of the references: no larger offset can be tried"
                if best[0] in best[2]
                else f"set 'energy_offset_ev: {best[0]:g}' (or 'fit'), or 'energy_shift_ev' of the references",
            )
    _require_explained(series, references, options, rays, given)
    return {"energy_offset_ev": given, "best_energy_offset_ev": None if best is None else best[0]}


def _require_explained(
    series: StateSeries,
    references: Sequence[Reference],
    options: SpectraOptions,
    rays: AveragedRays,
    offset_ev: float,
) -> None:
    """Raise if the references do not resemble the spectra at all."""
    at = _misfit(series, references, options, rays, offset_ev) if len(rays) >= LEAST_RAYS else None
    if at is not None and at[1] > UNEXPLAINED:
        raise InputError(
            f"references of {series.element}",
            expected=f"spectra of the sample, within {100 * UNEXPLAINED:.0f} % of the optical density",
            got=f"a misfit of {100 * at[1]:.0f} % at one energy",
            fix="check the element, and the energy scales of the series and of the references",
        )


def _best_offset(
    series: StateSeries,
    references: Sequence[Reference],
    options: SpectraOptions,
    rays: AveragedRays,
    *,
    around: float,
) -> tuple[float, float, tuple[float, float]] | None:
    """Return the offset with the smallest χ², this χ², and the ends of the possible offsets.

    None without two spare energies.
    """
    if len(rays) < LEAST_RAYS or series.energy_ev.size < len(references) + 3:
        return None
    some = rays.some(200)
    offsets = np.round(around + OFFSETS_EV, 6).tolist()
    tried = [(one, _misfit(series, references, options, some, one)) for one in offsets]
    known = [(offset, found[0]) for offset, found in tried if found is not None]
    if not known:
        return None
    offset = min(known, key=lambda pair: pair[1])[0]
    final = _misfit(series, references, options, rays, offset)
    return None if final is None else (offset, final[0], (known[0][0], known[-1][0]))


def _misfit(
    series: StateSeries,
    references: Sequence[Reference],
    options: SpectraOptions,
    rays: AveragedRays,
    offset_ev: float,
) -> tuple[float, float] | None:
    """Return mean χ² and largest relative residual at an offset; None if that is impossible."""
    try:
        spectra = component_spectra(series.energy_ev + offset_ev, references, options)
    except InputError:
        return None
    matrix = spectra.matrix(spectra.jump_per_um or 1.0)
    solved = _of_rays(rays, matrix)
    left = rays.density - solved.areal.T.astype(np.float64) @ matrix.T
    return (
        float(np.mean(solved.chi_square, dtype=np.float64)),
        float(np.abs(left.mean(axis=0)).max() / rays.density.mean()),
    )


def _relative_jump(series: StateSeries, spectra: ComponentSpectra, tilts: np.ndarray) -> float:
    """Return the edge jump per µm at which the density of the particle is about 1.

    The mean edge jump over the shadow is divided by the mean thickness of a ball with this shadow.
    """
    matrix, n = spectra.matrix(1.0), len(spectra.valences)
    jumps, shadow = [], 0
    for tilt in tilts:
        part = slice(int(tilt), int(tilt) + 1)
        found = _solved(np.asarray(series.value[:, part]), np.asarray(series.variance[:, part]), matrix)
        jump = found.areal[:n].sum(axis=0)
        known = jump[np.isfinite(jump)]
        inside = known[known > 0.2 * np.percentile(known, 99)] if known.size else known
        shadow += inside.size
        jumps.append(inside)
    mean = float(np.concatenate(jumps).mean()) if shadow else 0.0
    if not mean > 0:
        raise InputError(
            series.element,
            expected="an edge jump of the element in the particle",
            got=f"a mean of {mean:.3g}",
            fix="check the element, the energies of the series and the references",
        )
    thickness_um = 4 / 3 * np.sqrt(shadow / len(tilts) / np.pi) * series.pixel_nm / NM_PER_UM
    return float(mean / thickness_um)
