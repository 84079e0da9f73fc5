"""Valence maps from a registered stack."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from oxytomo.arrays import Brief, FloatArray, LabelArray, Spectrum
from oxytomo.config import FitValenceSettings
from oxytomo.library.defaults import checked, options_of, require_made, silent
from oxytomo.library.stacks import RegisteredStack
from oxytomo.oxidation.fit_setup import FitOptions, fit_setup
from oxytomo.oxidation.spectra import Reference
from oxytomo.oxidation.stack import EnergyStack
from oxytomo.oxidation.valence_maps import MapOptions, valence_maps

FIT = FitValenceSettings()
Window = tuple[float, float]
"""Lowest and highest energy, eV."""


@dataclass(frozen=True, eq=False, repr=False)
class Valences(Brief):
    """The fit of every pixel.

    Attributes
    ----------
    element : symbol
    valence, valence_error : (n_y, n_x) float32 and its standard error; NaN for excluded pixels
    fractions, fraction_errors : (n_reference, n_y, n_x) float32; the sum of fractions is 1
    edge_jump, edge_jump_error : (n_y, n_x) float32, optical density
    chi_square : (n_y, n_x) float32, per degree of freedom
    status : (n_y, n_x) uint8: 0 fitted, 1 too thin, 2 too thick, 3 without data
    energy_offset_ev : offset that was added to the energies of the stack, eV
    condition_number : condition number of the references together with the background
    pixel_nm : pixel in the object plane, nm
    warnings : warnings about energies and references, as sentences
    """

    element: str
    valence: FloatArray
    valence_error: FloatArray
    fractions: FloatArray
    fraction_errors: FloatArray
    edge_jump: FloatArray
    edge_jump_error: FloatArray
    chi_square: FloatArray
    status: LabelArray
    energy_offset_ev: float
    condition_number: float
    pixel_nm: float
    warnings: tuple[str, ...]


def fit_valence(
    registered: RegisteredStack,
    references: Mapping[float, Spectrum],
    *,
    window_ev: Window | None = FIT.window_ev,
    pre_edge_ev: Window | None = FIT.pre_edge_ev,
    post_edge_ev: Window | None = FIT.post_edge_ev,
    fractions_sum: Literal["free", "one"] = FIT.fractions_sum,
    background: Literal["none", "constant", "linear"] = FIT.background,
    energy_offset_ev: float | Literal["fit"] = FIT.energy_offset_ev,
    white_line_ev: float | None = FIT.white_line_ev,
    references_normalized: bool = FIT.references_normalized,
    max_condition: float = FIT.max_condition,
    thick_od: float = FIT.thick_od,
    thin_sigma: float = FIT.thin_sigma,
    thin_share: float = FIT.thin_share,
) -> Valences:
    """Fit every pixel with non-negative amounts of reference spectra and a free background.

    ``valence = Σ fᵢ vᵢ / Σ fᵢ``. The weighted least-squares minimum is exact: all sets of
    references are tried (Lawson and Hanson, Solving Least Squares Problems, 1974). Default windows
    for O, Mn, Co and Ni are those of Liu et al. (2024).

    Parameters
    ----------
    registered : result of :func:`register_stack`
    references : two to five spectra by valence
    window_ev : energy range of the fit, eV; None: the default of the element
    pre_edge_ev, post_edge_ev : energies below the edge, and above all white lines, eV; None: from
        the tabulated edges
    fractions_sum : "free" fits amounts in optical density; "one" divides pixels by their edge jump
    background : "none", "constant" or "linear" background under each spectrum
    energy_offset_ev : number added to the energies of the stack, eV, or "fit"
    white_line_ev : known energy of the strongest peak of the sample, eV, for energy calibration
    references_normalized : the references have a pre-edge of 0 and an edge jump of 1 already
    max_condition : largest condition number of references and background together
    thick_od : pixels above this optical density are excluded
    thin_sigma, thin_share : pixels whose edge jump is smaller than this many standard errors, or
        than this fraction of the largest edge jump, are excluded

    Returns
    -------
    Valences

    Raises
    ------
    InputError
        For references that cannot be told apart, too few energies in the window, and a stack
        without a usable pixel.
    ConfigError
        For a setting out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from oxytomo import fit_valence, normalize_stack, register_stack, simulate_stack
    >>> stack = simulate_stack("Ni", law="uniform", size=32, n_energies=60, jitter_px=0)
    >>> found = fit_valence(register_stack(normalize_stack(stack, "Ni")), stack.references)
    >>> bool(abs(np.nanmedian(found.valence) - np.nanmedian(stack.valence)) < 0.05)
    True
    """
    require_made(registered, RegisteredStack, "registered", "register_stack")
    settings = checked(
        FitValenceSettings,
        "fit_valence",
        window_ev=window_ev,
        pre_edge_ev=pre_edge_ev,
        post_edge_ev=post_edge_ev,
        fractions_sum=fractions_sum,
        background=background,
        energy_offset_ev=energy_offset_ev,
        white_line_ev=white_line_ev,
        references_normalized=references_normalized,
        max_condition=max_condition,
        thick_od=thick_od,
        thin_sigma=thin_sigma,
        thin_share=thin_share,
    )
    element = registered.element
    stack = _energy_stack(registered)
    spectra = [Reference(f"{v:g}", float(v), one) for v, one in sorted(references.items())]
    setup = fit_setup(stack, spectra, options_of(FitOptions, settings, element=element))
    maps = valence_maps(stack, setup, options_of(MapOptions, settings, element=element), progress=silent)
    return Valences(
        element=element,
        valence=maps.fit.valence,
        valence_error=maps.fit.valence_error,
        fractions=maps.fit.fractions,
        fraction_errors=maps.fit.fraction_errors,
        edge_jump=maps.fit.amount,
        edge_jump_error=maps.fit.amount_error,
        chi_square=maps.fit.chi_square,
        status=maps.status,
        energy_offset_ev=float(setup.facts["energy_offset_ev"]),
        condition_number=float(setup.facts["condition_number"]),
        pixel_nm=registered.pixel_nm,
        warnings=tuple(setup.remarks),
    )


def _energy_stack(registered: RegisteredStack) -> EnergyStack:
    """Return a registered stack in the form that the fit needs."""
    return EnergyStack(
        value=registered.value,
        variance=registered.variance,
        energy_ev=registered.energy_ev,
        lost=registered.lost,
        variance_factor=registered.variance_factor,
        pixel_nm=registered.pixel_nm,
        rows_at_once=registered.value.shape[1],
    )
