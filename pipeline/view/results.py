"""What the reports are made of: the numbers and arrays of each branch, missing ones None."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.arrays import BoolArray, Float64Array, FloatArray, LabelArray


@dataclass(frozen=True)
class Alignment:
    """Corrected shifts and what the alignment says of itself.

    Attributes
    ----------
    tilt_deg : (n_tilt,) tilt angles
    dy_px, dx_px : (n_series, n_tilt) shifts in pixels of the common grid
    residual : (n_tilt,) rms difference to the re-projection over the frame's standard deviation, or None
    series : names
    pixel_nm : common pixel size
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
    quality: Mapping[str, Any] = field(default_factory=dict)
    invalid: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    n_pixels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Sinogram:
    """One detector row at all tilts.

    Attributes
    ----------
    image : (n_tilt, n_x) array, NaN where there is no data
    tilt_deg : (n_tilt,) tilt angles
    pixel_nm : pixel size
    label : quantity and unit
    """

    image: FloatArray
    tilt_deg: Float64Array
    pixel_nm: float
    label: str


@dataclass(frozen=True)
class Composition:
    """Results of the composition branch.

    Attributes
    ----------
    voxel_nm, threshold, reference_tm_o : voxel size, class threshold, reference of the deviation
    method : how the composition was reconstructed
    elements, atoms : names, and atoms per formula unit
    densities : (n_element, n_z, n_y, n_x) relative densities
    deviation : (n_z, n_y, n_x) TM/O deviation, NaN outside the particle
    particle : bool array of the same shape
    sigma, null : standard deviation of the deviation; deviation of one null run
    phases, confident : label arrays of the same shape
    phases_json, shells, domains : contents of ``phases.json``, ``composition_shells.csv``, ``domains.csv``
    """

    voxel_nm: float
    threshold: float
    reference_tm_o: float
    method: str
    elements: Sequence[str]
    atoms: Sequence[float]
    densities: FloatArray
    deviation: FloatArray
    particle: BoolArray
    sigma: FloatArray | None = None
    null: FloatArray | None = None
    phases: LabelArray | None = None
    confident: LabelArray | None = None
    phases_json: Mapping[str, Any] | None = None
    shells: Mapping[str, Sequence[Any]] | None = None
    domains: Mapping[str, Sequence[Any]] | None = None
    alignment: Alignment | None = None
    sinogram: Sinogram | None = None


@dataclass(frozen=True)
class ArealDensity:
    """Results of the areal-density branch.

    Attributes
    ----------
    pixel_nm : pixel size
    elements : names
    maps, sigma : (n_element, n_y, n_x) areal density and its standard deviation in µm, NaN without data
    series, optical_density : names, and (n_series, n_y, n_x) aligned optical densities, or None
    """

    pixel_nm: float
    elements: Sequence[str]
    maps: FloatArray
    sigma: FloatArray
    series: Sequence[str] = ()
    optical_density: FloatArray | None = None
    alignment: Alignment | None = None


@dataclass(frozen=True)
class Structure:
    """Results of the structure branch.

    Attributes
    ----------
    voxel_nm : voxel size
    volume : (n_z, n_y, n_x) grey values
    voids, particle : label arrays of the same shape
    facts : content of ``structure.json``
    pores, cracks : columns of ``pores.csv`` and ``cracks.csv``
    """

    voxel_nm: float
    volume: FloatArray
    particle: LabelArray
    voids: LabelArray
    facts: Mapping[str, Any]
    pores: Mapping[str, Sequence[Any]]
    cracks: Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Tomogram:
    """Results of the tomogram branch.

    Attributes
    ----------
    voxel_nm : voxel size
    volume : (n_z, n_y, n_x) array in ``unit``
    unit, algorithm : unit of the volume, how it was reconstructed
    """

    voxel_nm: float
    volume: FloatArray
    unit: str
    algorithm: str
    alignment: Alignment | None = None
    sinogram: Sinogram | None = None
