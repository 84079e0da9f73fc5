"""The results of each branch as one record of numbers, arrays and tables (None if missing)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from oxytomo.arrays import Brief, Float64Array, FloatArray, LabelArray
from oxytomo.results.line_records import ElementLineMaps, ElementLines
from oxytomo.slabs import Field

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Alignment(Brief):
    """Corrected shifts and quality of the alignment.

    Attributes
    ----------
    tilt_deg : (n_tilt,) tilt angles
    dy_px, dx_px : (n_series, n_tilt) shifts in pixels of the common grid
    residual, residual_as_recorded : (n_tilt,) rms difference to the re-projection over the frame's
        standard deviation, after and before the alignment, or None
    frames : (n_tilt,) number of each frame in the order of acquisition
    rows : (2, n_tilt, n_x) one detector row at all tilts, as recorded and aligned, or None
    slices : (2, n, n) reconstructed slice of each of these rows, or None
    shown, shown_numbers : frames that are left out or look bad, and their numbers
    series, pixel_nm : names; common pixel size
    max_shift_px : largest shift that was searched, or None
    quality : further numbers
    invalid : series -> reason -> number of invalid pixels
    n_pixels : series -> number of pixels
    """

    tilt_deg: Float64Array
    dy_px: Float64Array
    dx_px: Float64Array
    residual: Float64Array | None
    series: Sequence[str]
    pixel_nm: float
    max_shift_px: float | None = None
    residual_as_recorded: Float64Array | None = None
    frames: Sequence[int] = ()
    rows: FloatArray | None = None
    slices: FloatArray | None = None
    shown: FloatArray | None = None
    shown_numbers: Sequence[int] = ()
    quality: Mapping[str, Any] = field(default_factory=dict)
    invalid: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    n_pixels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class Composition(Brief):
    """Results of the composition branch.

    Attributes
    ----------
    voxel_nm, threshold, reference_tm_o : voxel size, class threshold, reference of the deviation
    method : how the composition was reconstructed
    elements, atoms : names, and atoms per formula unit
    densities : (n_element, n_z, n_y, n_x) relative densities, a field
    deviation : (n_z, n_y, n_x) TM/O deviation, NaN outside the particle, a field as all volumes
    particle : not 0 inside, of the same shape
    sigma, null : standard deviation of the deviation; deviation of one null run
    phases, confident : labels of the same shape
    stripe_effect : relative change of the mean TM/O by the removal of stripes
    negative_rays : per element, number of rays with a negative amount, and of rays with an amount
        above noise
    chi_square : (n_tilt, rows, columns) of the averaged rays, per degree of freedom
    phases_json, shells, domains : content of ``phases.json``, and the tables
        ``composition_shells.csv`` and ``domains.csv``
    """

    voxel_nm: float
    threshold: float
    reference_tm_o: float
    method: str
    elements: Sequence[str]
    atoms: Sequence[float]
    densities: Field
    deviation: Field
    particle: Field
    sigma: Field | None = None
    null: Field | None = None
    phases: Field | None = None
    confident: Field | None = None
    phases_json: Mapping[str, Any] | None = None
    shells: "pd.DataFrame | None" = None
    domains: "pd.DataFrame | None" = None
    stripe_effect: float = 0.0
    negative_rays: Mapping[str, Sequence[int]] = field(default_factory=dict)
    chi_square: FloatArray | None = None
    alignment: Alignment | None = None


@dataclass(frozen=True, repr=False)
class ArealDensity(Brief):
    """Results of the areal-density branch.

    Attributes
    ----------
    pixel_nm : pixel size
    elements : names
    maps, sigma : (n_element, n_y, n_x) areal density and its standard deviation in µm, NaN without
        data
    series, optical_density : names, and (n_series, n_y, n_x) aligned optical densities, or None
    negative_rays : per element, number of pixels with a negative amount, and of pixels with an
        amount above noise
    above_edge_ev : per element, energy of its image on the edge above the edge, in eV
    """

    pixel_nm: float
    elements: Sequence[str]
    maps: FloatArray
    sigma: FloatArray
    series: Sequence[str] = ()
    optical_density: FloatArray | None = None
    negative_rays: Mapping[str, Sequence[int]] = field(default_factory=dict)
    above_edge_ev: Mapping[str, float] = field(default_factory=dict)
    alignment: Alignment | None = None


@dataclass(frozen=True, repr=False)
class Structure(Brief):
    """Results of the structure branch.

    Attributes
    ----------
    voxel_nm : voxel size
    volume : (n_z, n_y, n_x) grey values, a field
    voids, particle : labels, fields of the same shape
    facts : content of ``structure.json``
    pores, cracks : tables ``pores.csv`` and ``cracks.csv``, None if missing
    """

    voxel_nm: float
    volume: Field
    particle: Field
    voids: Field
    facts: Mapping[str, Any]
    pores: "pd.DataFrame | None"
    cracks: "pd.DataFrame | None"


@dataclass(frozen=True, repr=False)
class Mechanics(Brief):
    """Results of the mechanics branch.

    Attributes
    ----------
    voxel_nm : voxel size of the solver
    labels : (n_z, n_y, n_x) 0 outside, 1 solid, 2 void, 3 crack, cropped to the particle; a field
    amplitude_mpa : stress is this times the shape factors
    stress, without_voids : by name, fields of the same shape, in units of the amplitude; the latter
        is empty in time steps
    facts : content of ``mechanics.json``
    voids, fronts, shells, times : tables ``stress_at_voids.csv``, ``crack_fronts.csv``,
        ``stress_shells.csv`` and ``stress_time.csv``
    """

    voxel_nm: float
    labels: Field
    amplitude_mpa: float
    stress: Mapping[str, Field]
    without_voids: Mapping[str, Field]
    facts: Mapping[str, Any]
    voids: "pd.DataFrame"
    fronts: "pd.DataFrame"
    shells: "pd.DataFrame"
    times: "pd.DataFrame"


@dataclass(frozen=True, repr=False)
class Joint(Brief):
    """Composition and structure of one particle, registered to each other.

    Attributes
    ----------
    voxel_nm : voxel size of the composition
    deviation : (n_z, n_y, n_x) TM/O deviation, NaN outside the particle
    particle : not 0 inside, of the same shape; fields, as the voids
    voids : labels of the same shape, empty without a comparison
    facts : content of ``branches.json``
    distances, neighbourhoods : tables ``voids_and_domains.csv`` and ``void_neighbourhoods.csv``
    stress : table ``stress_and_domains.csv``, None or empty without stress
    """

    voxel_nm: float
    deviation: Field
    particle: Field
    voids: Field
    facts: Mapping[str, Any]
    distances: "pd.DataFrame"
    neighbourhoods: "pd.DataFrame"
    stress: "pd.DataFrame | None" = None


@dataclass(frozen=True, repr=False)
class Tomogram(Brief):
    """Results of the tomogram branch.

    Attributes
    ----------
    voxel_nm : voxel size
    volume : (n_z, n_y, n_x) field in ``unit``
    unit, algorithm : unit of the volume, how it was reconstructed
    """

    voxel_nm: float
    volume: Field
    unit: str
    algorithm: str
    alignment: Alignment | None = None


@dataclass(frozen=True, repr=False)
class ElementState(Brief):
    """Chemical state of one element in three dimensions; volumes are fields (n_z, n_y, n_x).

    Attributes
    ----------
    element, voxel_nm : symbol, voxel size
    density : relative density of the element
    valence, sigma : NaN outside the particle; sigma is None before it is known
    particle : not 0 inside
    classes, confident : labels 1 reference, 2 high, 3 low, 4 undecided; None before they are known
    summary : its part of ``chemical_state.json``, None before it is measured
    shells : its rows of ``chemical_state_shells.csv``
    profile : its rows of ``chemical_state_profiles.csv``
    """

    element: str
    voxel_nm: float
    density: Field
    valence: Field
    particle: Field
    sigma: Field | None = None
    classes: Field | None = None
    confident: Field | None = None
    summary: Mapping[str, Any] | None = None
    shells: "pd.DataFrame | None" = None
    profile: "pd.DataFrame | None" = None


@dataclass(frozen=True, repr=False)
class ChemicalStates(Brief):
    """Results of the chemical-state branch: elements with references, and those without."""

    elements: Sequence[ElementState]
    white_lines: Sequence[ElementLines] = ()
    alignment: Alignment | None = None
    aligned_with_composition: bool = False


@dataclass(frozen=True, repr=False)
class ElementValence(Brief):
    """Oxidation state of one element.

    Attributes
    ----------
    element, pixel_nm : symbol, and pixel size (NaN if unknown)
    valence, error, residual : (n_y, n_x) maps, NaN for pixels without a valence
    status, status_names : (n_y, n_x) labels with the reason for a missing valence, and their names
    energy_ev : (n_energy,) of the stack, calibrated
    shell_spectra, shell_errors, shell_models : (n_shell, n_energy); models NaN outside the fit
    shell_jumps : (n_shell,) mean edge jump
    shell_outer, shell_inner : (n_shell,) share of the area outside the limits, percent
    shell_valence, shell_error, spectrum_valence, shell_pixels : (n_shell,)
    window_ev : energy range of the fit
    profiles : by axis: low, high, mean, error
    models : as in ``oxidation.json``
    clusters, cluster_spectra : (n_y, n_x) labels, (n_cluster, n_energy)
    held_ev : energies of the frames whose shift was taken from the frames before and after
    lost_ev : energies of the frames that could not be registered and were left out
    dead_ev : energies of the frames without a valid pixel
    summary : the element's entry in ``oxidation.json``
    """

    element: str
    pixel_nm: float
    valence: FloatArray
    error: FloatArray
    residual: FloatArray
    status: LabelArray
    status_names: Mapping[int, str]
    energy_ev: Float64Array
    shell_spectra: Float64Array
    shell_errors: Float64Array
    shell_models: Float64Array
    shell_jumps: Float64Array
    shell_outer: Float64Array
    shell_inner: Float64Array
    shell_valence: Float64Array
    shell_error: Float64Array
    spectrum_valence: Float64Array
    shell_pixels: Float64Array
    window_ev: tuple[float, float]
    profiles: Mapping[str, Mapping[str, Float64Array]]
    models: Sequence[Mapping[str, Any]]
    clusters: LabelArray
    cluster_spectra: Float64Array
    held_ev: Float64Array
    lost_ev: Float64Array
    dead_ev: Float64Array
    summary: Mapping[str, Any]


@dataclass(frozen=True, repr=False)
class Oxidation(Brief):
    """Results of the oxidation branch: elements with references, and those without."""

    elements: Sequence[ElementValence]
    white_lines: Sequence[ElementLineMaps] = ()


@dataclass(frozen=True)
class ScatteringMap:
    """A map of the scattering branch on its calibrated emission scale.

    Attributes
    ----------
    name, element : of the map
    excitation_ev, emission_ev : (n,) eV
    intensity : (n_excitation, n_emission) photons per mean incident flux
    facts : the map's entry in ``scattering.json``
    """

    name: str
    element: str
    excitation_ev: Float64Array
    emission_ev: Float64Array
    intensity: Float64Array
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class ScatteringPair:
    """Two compared maps: ``facts`` in ``scattering.json``, the difference and its error."""

    facts: Mapping[str, Any]
    excitation_ev: Float64Array
    emission_ev: Float64Array
    difference: Float64Array
    error: Float64Array


@dataclass(frozen=True)
class Scattering:
    """Results of the scattering branch: maps, pairs, and tables of yields, cuts and valences."""

    maps: Sequence[ScatteringMap]
    pairs: Sequence[ScatteringPair]
    yields: "pd.DataFrame"
    cuts: "pd.DataFrame"
    valences: "pd.DataFrame"
