"""A carbon skin around the particle, identified by its position.

A carbonate skin has the spectrum of carbon and oxygen. Its oxygen cannot be separated from that of
the particle, and it lies at the rim of the particle. Its carbon can be measured, and so can the
position of the carbon. The path of a ray through a thin shell around the outline is known except
for the shell's thickness ``t``,

``n_C = t s + b p + c``

with ``s`` the path through a shell of one voxel, ``p`` the path through the particle (errors of the
elements follow it) and ``c`` a film. If all of that carbon is carbonate, Li2CO3, its oxygen
follows; if it is a carbon coating, it has no oxygen. The spectra do not distinguish the two, so
this oxygen is an uncertainty of the rim.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.ndimage
import xraydb

from oxytomo.arrays import BoolArray, Float64Array, FloatArray
from oxytomo.composition.components import KNOWN
from oxytomo.composition.decomposition import decompose_with_priors
from oxytomo.composition.instrument import Model
from oxytomo.composition.noise import project
from oxytomo.errors import InputError
from oxytomo.reconstruct.fbp import filtered_backprojection
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.segment.particle import particle_mask

COLUMNS = 128
"""Frames are binned until they have at most this many columns: a skin is seen in many rays."""
ASKED_TILTS = 24
LEAST_TILTS = 6
SHELL_BLUR_PX, GRADIENT_PX = 0.7, 0.7
ROBUST = 2.5
"""Rays that deviate by more standard deviations lose weight: a clump is not a skin."""
SIGNIFICANT = 5.0
LEAST_CARBON_NM = 0.5
"""Thinner skins are not reported: their oxygen changes no class."""


@dataclass(frozen=True)
class Skin:
    """Carbon that forms a skin around the particle.

    Attributes
    ----------
    carbon_nm, error_nm : its thickness at the density of carbon, and the standard error
    """

    carbon_nm: float
    error_nm: float

    @property
    def is_there(self) -> bool:
        """Whether it exceeds its error and is thick enough to matter."""
        return self.carbon_nm > max(SIGNIFICANT * self.error_nm, LEAST_CARBON_NM)

    @property
    def carbonate_nm(self) -> float:
        """Thickness of a skin of Li2CO3 with as much carbon, nm."""
        return self.carbon_nm * _mass_of("carbon", "C") / _mass_of("li2co3", "C")

    def record(self, formula: Mapping[str, float], density_g_cm3: float) -> dict[str, float]:
        """Return the record of the skin.

        ``oxygen_nm`` is the oxygen of a carbonate skin, as thickness at the particle's oxygen
        density.
        """
        masses = {s: n * float(xraydb.atomic_mass(s)) for s, n in formula.items()}
        own = density_g_cm3 * masses["O"] / sum(masses.values())
        return {
            "carbon_nm": float(self.carbon_nm),
            "standard_error_nm": float(self.error_nm),
            "carbonate_nm": float(self.carbonate_nm),
            "oxygen_nm": float(self.carbonate_nm * _mass_of("li2co3", "O") / own),
        }


def _mass_of(name: str, symbol: str) -> float:
    """Mass of an element in a known component, g/cm³."""
    one = KNOWN[name]
    masses = {s: n * float(xraydb.atomic_mass(s)) for s, n in one.formula.items()}
    return one.density_g_cm3 * masses[symbol] / sum(masses.values())


def asked_tilts(n_tilt: int) -> list[int]:
    """Return the tilts whose carbon is solved for freely."""
    return sorted({int(t) for t in np.linspace(0, n_tilt - 1, min(n_tilt, ASKED_TILTS)).round()})


def free_carbon(
    density: FloatArray, variance: FloatArray, model: Model, energies_ev: Float64Array
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Solve the rays of some tilts with free carbon in every ray, instead of a model's substances.

    Parameters
    ----------
    density, variance : (n_energy, n_asked, n_z, n_s) float32, as recorded; NaN and inf where
        invalid
    energies_ev : (n_energy,) eV, for the look-up in the tables

    Returns
    -------
    carbon_um, variance : (n_asked, n_z, n_s) float32
    of_blur : (n_asked, n_z, n_s) float32, apparent carbon from a blur of one pixel's variance. The
        logarithm of a mean transmission is not the mean of the logarithms; it differs by
        ``−½|∇OD|²`` at each energy.
    """
    value, error = model.corrected(density, variance, 0)
    spreads = [k for k, term in enumerate(model.random_terms) if term.kind == "spread"]
    valid = np.isfinite(value)
    mean = np.where(valid, value, 0).sum(axis=0) / np.maximum(valid.sum(axis=0), 1)
    widths = model.prior_scale(model.thickness_um(mean))[spreads]
    precision = np.concatenate([1 / np.maximum(widths, 1e-6) ** 2, np.ones((1, *mean.shape))])
    columns = np.column_stack([model.columns[:, spreads], KNOWN["carbon"].attenuation_per_um(energies_ev)])
    priors = np.zeros(precision.shape, np.float32), precision.astype(np.float32)
    solved = decompose_with_priors(value, error, model.matrix, columns, *priors)
    known = np.where(valid, value, 0).astype(np.float32)
    smooth = scipy.ndimage.gaussian_filter(known, (0, 0, GRADIENT_PX, GRADIENT_PX))
    slope = sum(np.gradient(smooth, axis=axis) ** 2 for axis in (2, 3))
    blurred = np.where(valid, -0.5 * slope, np.nan).astype(np.float32)
    pretended = decompose_with_priors(blurred, error, model.matrix, columns, *priors)
    return solved.extra[-1], solved.extra_variance[-1], pretended.extra[-1]


def skin_around(
    total_um: FloatArray,
    tilt_deg: Float64Array,
    carbon_um: FloatArray,
    variance: FloatArray,
    of_blur: FloatArray,
    asked: Sequence[int],
    *,
    pixel_um: float,
) -> Skin | None:
    """Find how much carbon forms a skin around the particle; None where this is not determined.

    Parameters
    ----------
    total_um : (n_tilt, n_z, n_s) float32, path through the particle, NaN where unknown
    tilt_deg : (n_tilt,) degrees
    carbon_um, variance, of_blur : (n_asked, n_z, n_s) float32, of :func:`free_carbon`
    asked : indices of the tilts of the carbon
    pixel_um : edge of a pixel, µm
    """
    if len(asked) < LEAST_TILTS:
        return None
    factor = -(-total_um.shape[-1] // COLUMNS)
    known = np.isfinite(total_um)
    path = _binned(np.where(known, total_um, 0), factor) / (pixel_um * factor)
    try:
        volume = filtered_backprojection(path, TiltGeometry.square(tilt_deg, path.shape[-1]))
        particle = np.asarray(particle_mask(volume))
    except InputError:
        return None
    shell = 0.5 * (_grown(particle).astype(np.float32) - _shrunk(particle))
    shell = scipy.ndimage.gaussian_filter(shell, SHELL_BLUR_PX).astype(np.float32)
    angles = tilt_deg[list(asked)]
    of_shell, of_particle = (np.asarray(project(one, angles)) for one in (shell, particle.astype(np.float32)))
    good = np.isfinite(carbon_um) & np.isfinite(variance) & (variance > 0)
    weight = np.where(good, 1 / np.where(good, variance, 1), 0).astype(np.float32)
    total = _binned(weight, factor)
    blur = _binned(weight * np.where(np.isfinite(of_blur), of_blur, 0), factor) / np.maximum(total, 1e-30)
    carbon = _binned(weight * np.where(good, carbon_um, 0), factor) / np.maximum(total, 1e-30)
    voxel_um = pixel_um * factor
    found = [
        _thickness(
            carbon[k] / voxel_um,
            total[k],
            np.stack([of_shell[k], of_particle[k], blur[k] / voxel_um, np.ones_like(blur[k])]),
        )
        for k in range(len(asked))
    ]
    values = np.array([one for one in found if one is not None])
    if len(values) < LEAST_TILTS:
        return None
    # A skin is on all sides: with clumps the quarters of the outline differ. The error of a median
    # is 1.25 times that of a mean. Neighbouring tilts have the same faults, so half of them count.
    quarters = np.median(values, axis=0)
    middle = float(np.median(quarters))
    of_tilts = 1.25 * _scatter(np.median(values, axis=1)) / np.sqrt(len(values) / 2)
    of_quarters = 1.25 * _scatter(quarters) / np.sqrt(quarters.size)
    return Skin(1000 * voxel_um * middle, 1000 * voxel_um * float(np.hypot(of_tilts, of_quarters)))


def _scatter(values: Float64Array) -> float:
    """Standard deviation from the median absolute deviation."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _binned(stack: FloatArray, factor: int) -> FloatArray:
    """Bin frames (n, n_y, n_x) over squares; remaining rows and columns are dropped."""
    if factor == 1:
        return np.asarray(stack, np.float32)
    n, rows, columns = stack.shape[0], stack.shape[1] // factor, stack.shape[2] // factor
    cut = stack[:, : rows * factor, : columns * factor]
    return np.asarray(cut.reshape(n, rows, factor, columns, factor).mean(axis=(2, 4)), np.float32)


def _grown(mask: BoolArray) -> BoolArray:
    return np.asarray(scipy.ndimage.binary_dilation(mask))


def _shrunk(mask: BoolArray) -> BoolArray:
    return np.asarray(scipy.ndimage.binary_erosion(mask))


def _thickness(carbon: FloatArray, weight: FloatArray, shapes: FloatArray) -> Float64Array | None:
    """Thickness of the skin in the quarters of one frame, voxels, by robust weighted least squares.

    None if there are too few rays.

    ``shapes`` (n, n_z, n_s) are the possible distributions of the carbon. The first is the path
    through the shell, which is divided into quarters about its middle.
    """
    near = scipy.ndimage.binary_dilation(shapes[0] > 0.05, iterations=2) & (weight > 0)
    if np.count_nonzero(near) < 100:
        return None
    y, x = (index - np.average(index, weights=shapes[0]) for index in np.indices(carbon.shape))
    quarters = [shapes[0] * ((y > 0) == up) * ((x > 0) == right) for up in (0, 1) for right in (0, 1)]
    columns = np.concatenate([quarters, shapes[1:]])[:, near].T.astype(np.float64)
    size = np.maximum(np.abs(columns).max(axis=0), 1e-30)
    columns /= size
    target, known = carbon[near].astype(np.float64), weight[near].astype(np.float64)
    robust = np.ones(target.size)
    b = np.zeros(size.size)
    for _ in range(6):
        used = known * robust
        b = np.linalg.pinv((columns * used[:, None]).T @ columns, hermitian=True) @ (
            columns.T @ (used * target)
        )
        left = np.abs(target - columns @ b) * np.sqrt(known)
        scale = max(1.4826 * float(np.median(left)), 1e-12)
        robust = np.minimum(1, ROBUST * scale / np.maximum(left, 1e-12)) ** 2
    return np.asarray(b[:4] / size[:4])
