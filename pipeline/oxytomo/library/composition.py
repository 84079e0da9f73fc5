"""Decomposition of aligned series into elements, and the deviation of their ratio."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from oxytomo.arrays import Brief, Float64Array, FloatArray
from oxytomo.composition import amounts
from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.composition.result import Composition
from oxytomo.composition.solving import reconstruct_composition, solver_of
from oxytomo.config import DecomposeSettings, DeviationSettings
from oxytomo.config.elements import SYMBOLS
from oxytomo.errors import ConfigError
from oxytomo.io.spectra import read_spectrum
from oxytomo.library.alignment import Aligned
from oxytomo.library.defaults import checked, require_made, silent
from oxytomo.units import NM_PER_UM

DECOMPOSE = DecomposeSettings()
DEVIATION = DeviationSettings()


@dataclass(frozen=True, eq=False, repr=False)
class Decomposed(Brief):
    """Amounts of the elements in every ray.

    Attributes
    ----------
    areal : (n_element, n_tilt, n_y, n_x) float32, path length in the reference compound, µm; NaN
        without a solution
    covariance : (n_pair, n_tilt, n_y, n_x) float32, µm², upper triangle row by row; inf without a
        solution
    elements : oxygen first, then by atomic number
    atoms : (n_element,) atoms per formula unit
    tilt_deg : (n_tilt,) degrees
    pixel_nm : detector pixel size, nm
    model : fitted terms of instrument and chemistry, χ² with and without them
    """

    areal: FloatArray
    covariance: FloatArray
    elements: tuple[str, ...]
    atoms: Float64Array
    tilt_deg: Float64Array
    pixel_nm: float
    model: Mapping[str, Any]


def decompose(
    aligned: Aligned,
    *,
    formula: Mapping[str, float] | None = None,
    density_g_cm3: float | None = None,
    method: Literal["weighted", "subtraction"] = DECOMPOSE.method,
    instrument: Any = DECOMPOSE.instrument,
    components: Any = DECOMPOSE.components,
) -> Decomposed:
    """Solve every ray for the amounts of the elements by weighted least squares over all energies.

    Attenuation follows the tables of Chantler (J. Phys. Chem. Ref. Data 29, 597, 2000); elements of
    the formula without an edge in the data are proportional to the others. With more energies than
    elements the data test the model, and determine its terms: stray light, near-edge factors, a
    carbon film.

    Parameters
    ----------
    aligned : series ``<El>_pre`` and ``<El>_post`` of optical density, or ``<El>`` of signals
    formula : atoms per formula unit of the reference compound; may be None for signals only
    density_g_cm3 : mass density of the compound, g/cm³; needed for optical density
    method : "weighted", or "subtraction" of the image below each edge from that on it
    instrument : "auto", "none", or a choice for ``stray``, ``near_edge`` and ``near_edge_spread``
    components : other substances in the beam: "auto", or names and formulas; () for none

    Returns
    -------
    Decomposed

    Raises
    ------
    ConfigError
        For series that are not pairs below and on an edge, a compound that is not given, energies
        that cannot tell the elements apart, and settings out of range.

    Examples
    --------
    >>> from oxytomo import align_series, decompose, normalize, simulate_tilt_series
    >>> recorded = simulate_tilt_series(elements=["O", "Ni"], size=32, n_tilts=15)
    >>> aligned = align_series({name: normalize(one) for name, one in recorded.series.items()})
    >>> found = decompose(aligned, formula=recorded.formula, density_g_cm3=4.2)
    >>> found.elements, found.areal.shape
    (('O', 'Ni'), (2, 15, 32, 32))
    """
    require_made(aligned, Aligned, "aligned", "align_series")
    settings = checked(
        DecomposeSettings, "decompose", method=method, instrument=instrument, components=components
    )
    edges = aligned.quantity == "optical_density"
    elements = _elements(aligned.series, edges=edges)
    atoms = _formula(formula, elements, needed=edges)
    if edges and not (density_g_cm3 is not None and density_g_cm3 > 0):
        raise ConfigError(
            "density_g_cm3",
            expected="the mass density of the formula in g/cm³",
            got=f"{density_g_cm3}",
            fix="give it, for example 4.2",
        )
    order = list(range(len(aligned.series)))
    if not edges:
        order = [aligned.series.index(element) for element in elements]
    series = amounts.AlignedSeries(
        names=[aligned.series[i] for i in order],
        value=aligned.value[order],
        variance=aligned.variance[order],
        energies_ev=aligned.energies_ev[order],
        pixel_nm=aligned.pixel_nm,
        tilt_deg=aligned.tilt_deg,
        stripe_change=np.zeros(len(order)),
    )
    material = amounts.Material(elements, atoms, density_g_cm3 or 1.0)
    if edges:
        plain = settings.model_dump(include={"instrument", "components"})
        named = () if isinstance(settings.components, str) else settings.components
        spectra = {
            one.name: read_spectrum(Path(one.spectrum), group=None, energy_unit=None)
            for one in named
            if one.spectrum is not None
        }
        subtract = settings.method == "subtraction"
        choice = None if subtract else amounts.allowed_terms(**plain, spectra=spectra, measured={})
        found = amounts.amounts_from_edges(series, material, choice, progress=silent)
    else:
        found = amounts.amounts_from_signals(series, material)
    return Decomposed(
        areal=np.asarray(found.areal),
        covariance=np.asarray(found.covariance),
        elements=tuple(elements),
        atoms=found.atoms,
        tilt_deg=aligned.tilt_deg,
        pixel_nm=aligned.pixel_nm,
        model=found.record,
    )


def reconstruct_deviation(
    decomposed: Decomposed,
    *,
    reference: Literal["nominal", "mode"] | float = "nominal",
    iterations: int = DEVIATION.iterations,
    tv_weight: float | None = DEVIATION.tv_weight,
    l1_weight: float | None = DEVIATION.l1_weight,
    element_iterations: int = DEVIATION.element_iterations,
    element_tv_weight: float | None = DEVIATION.element_tv_weight,
    psf_px: float = DEVIATION.psf_px,
) -> Composition:
    """Reconstruct ``(TM/O)/reference − 1`` itself, with total variation and sparsity.

    ``TM − reference · O`` has zero projections where the composition is on target: the shape of the
    particle and most artefacts of the missing wedge are then absent from the unknown. A sparse,
    piecewise constant difference is reconstructed from it and divided by the density of oxygen. TM
    is the mean relative density of the transition metals, weighted by their atoms.

    Parameters
    ----------
    decomposed : amounts in every ray, of oxygen and at least one metal
    reference : "nominal" (the formula), "mode" (the particle's own most frequent ratio), or the
        TM/O of the reference over that of the formula
    iterations : largest number of iterations for the deviation
    tv_weight, l1_weight : weights of total variation and sparsity; None: chosen from the noise
    element_iterations : largest number of iterations for each element
    element_tv_weight : weight of the total variation of the elements; None: from the noise
    psf_px : standard deviation of the point spread function, px; 0: not included

    Returns
    -------
    Composition with ``deviation`` (NaN outside the particle), ``elements``, ``total`` and
    ``particle``, volumes (n_z, n_y, n_x) of relative density, and ``reference_tm_o``

    Raises
    ------
    InputError
        For sinograms without a particle, or without oxygen in it.
    ConfigError
        For a single element, and for settings out of range.

    Examples
    --------
    >>> import oxytomo as ox
    >>> recorded = ox.simulate_tilt_series(elements=["O", "Ni"], size=32, n_tilts=15, jitter_px=0)
    >>> aligned = ox.align_series({n: ox.normalize(s) for n, s in recorded.series.items()})
    >>> amounts = ox.decompose(aligned, formula=recorded.formula, density_g_cm3=4.2)
    >>> found = ox.reconstruct_deviation(amounts, iterations=10, element_iterations=10)
    >>> found.deviation.shape, bool(found.particle.any())
    ((32, 32, 32), True)
    """
    require_made(decomposed, Decomposed, "decomposed", "decompose")
    settings = checked(
        DeviationSettings,
        "reconstruct_deviation",
        iterations=iterations,
        tv_weight=tv_weight,
        l1_weight=l1_weight,
        element_iterations=element_iterations,
        element_tv_weight=element_tv_weight,
        psf_px=psf_px,
    )
    if len(decomposed.elements) < 2 or decomposed.elements[0] != "O":
        raise ConfigError(
            "decomposed",
            expected="oxygen and at least one metal",
            got=", ".join(decomposed.elements),
            fix="decompose series of O and of a transition metal",
        )
    data = ColumnDensities(
        areal=decomposed.areal,
        covariance=decomposed.covariance,
        tilt_deg=decomposed.tilt_deg,
        atoms=np.asarray(decomposed.atoms, np.float64),
        pixel_um=decomposed.pixel_nm / NM_PER_UM,
    )
    return reconstruct_composition(
        data,
        solver=solver_of(**settings.model_dump()),
        reference_tm_o=_reference(reference),
        start=None,
        with_metals=True,
        threads=1,
        on_progress=silent,
    )


def _reference(reference: str | float) -> float | None:
    """Return the reference TM/O of the deviations; None for the mode of the particle."""
    if reference == "mode":
        return None
    value = 1.0 if reference == "nominal" else reference
    if isinstance(value, str) or not (np.isfinite(value) and value > 0):
        raise ConfigError(
            "reference",
            expected="nominal, mode, or TM/O over that of the formula, above 0",
            got=f"{reference}",
            fix="correct it",
        )
    return float(value)


def _elements(series: Sequence[str], *, edges: bool) -> list[str]:
    """Return the elements of the series, oxygen first, then by atomic number."""
    wanted = "series <El>_pre and <El>_post of each element" if edges else "one series <El> of each element"
    sides = ("_pre", "_post") if edges else ("",)
    names = {name.removesuffix("_pre").removesuffix("_post") if edges else name for name in series}
    wrong = [
        name for name in names if name not in SYMBOLS or any(f"{name}{side}" not in series for side in sides)
    ]
    if wrong or len(names) * len(sides) != len(series) or not names:
        raise ConfigError(
            "aligned.series",
            expected=wanted,
            got=", ".join(series),
            fix="name the series when you align them, for example {'Mn_pre': …, 'Mn_post': …}",
        )
    return sorted(names, key=lambda name: (name != "O", SYMBOLS.index(name)))


def _formula(
    formula: Mapping[str, float] | None, elements: Sequence[str], *, needed: bool
) -> dict[str, float] | None:
    """Return the formula after checking that it contains the elements."""
    if formula is None and not needed:
        return None
    missing = [element for element in elements if element not in (formula or {})]
    if missing:
        raise ConfigError(
            "formula",
            expected=f"atoms per formula unit of {', '.join(elements)}",
            got=f"{dict(formula or {})}",
            fix=f"add {', '.join(missing)}",
        )
    return dict(formula or {})
