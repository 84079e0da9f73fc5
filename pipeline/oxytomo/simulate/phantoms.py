"""Phantoms as sums of ellipsoids: exact line integrals, voxel means and the true deviation.

The amounts of overlapping ellipsoids add up. A pore inside a uniform region is an ellipsoid that
subtracts exactly the amount there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
import xraydb

from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.errors import ConfigError, ShapeError
from oxytomo.simulate.chords import add_chords, add_fractions

Kind = Literal[
    "particle", "core", "void", "pore", "crack", "oxygen_poor", "oxygen_rich", "neighbour", "outside"
]
"""What an ellipsoid stands for. ``particle`` is the outline; ``core`` fills it up to the
oxygen-poor rim; ``neighbour`` is another particle; ``outside`` is no cathode material."""

TRANSITION_METALS: Final = frozenset((*range(21, 31), *range(39, 49), *range(71, 81)))
"""Atomic numbers."""


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """One ellipsoid and the amounts that it adds.

    Attributes
    ----------
    centre_nm : (z, y, x) from the middle of the volume
    semi_axes_nm : three half lengths
    rotation : (3, 3) orthogonal matrix; its columns are the directions of the semi-axes in (z, y,
        x)
    amount : amount added to each element, relative to the reference density; other elements are
        unchanged
    kind : meaning of the ellipsoid
    """

    centre_nm: tuple[float, float, float]
    semi_axes_nm: tuple[float, float, float]
    rotation: Float64Array
    amount: Mapping[str, float]
    kind: Kind

    def __post_init__(self) -> None:
        rotation = np.asarray(self.rotation)
        if rotation.shape != (3, 3) or not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-9):
            raise ShapeError(
                "rotation of an ellipsoid",
                expected="an orthogonal 3 × 3 matrix",
                got=f"shape {rotation.shape}",
                fix="give the directions of the semi-axes as unit columns at right angles",
            )
        if not min(self.semi_axes_nm) > 0:
            raise ConfigError(
                "semi_axes_nm",
                expected="three lengths above 0",
                got=str(self.semi_axes_nm),
                fix="correct the lengths",
            )
        if self.kind not in get_args(Kind):
            raise ConfigError(
                "kind", expected=" | ".join(get_args(Kind)), got=repr(self.kind), fix="use one of these"
            )

    @property
    def shape_matrix(self) -> Float64Array:
        """``R diag(a², b², c²) Rᵀ`` in nm².

        The ellipsoid reaches ``sqrt(nᵀ C n)`` in the direction n.
        """
        rotation = np.asarray(self.rotation, np.float64)
        return (rotation * np.square(self.semi_axes_nm)) @ rotation.T

    @property
    def volume_nm3(self) -> float:
        """Its volume."""
        return float(4 / 3 * np.pi * np.prod(self.semi_axes_nm))


@dataclass(frozen=True, eq=False)
class Phantom:
    """A sum of ellipsoids; ``elements`` is the order of every element axis made from it."""

    ellipsoids: tuple[Ellipsoid, ...]
    elements: tuple[str, ...]

    def __post_init__(self) -> None:
        extra = {name for e in self.ellipsoids for name in e.amount} - set(self.elements)
        if extra:
            raise ConfigError(
                "phantom",
                expected=f"amounts of {', '.join(self.elements)}",
                got=", ".join(sorted(extra)),
                fix="list every element of the ellipsoids",
            )

    @property
    def amounts(self) -> Float64Array:
        """Amounts that each ellipsoid adds, (n_ellipsoid, n_element)."""
        rows = [[e.amount.get(name, 0.0) for name in self.elements] for e in self.ellipsoids]
        return np.asarray(rows, np.float64).reshape(len(self.ellipsoids), len(self.elements))

    def selected(self, *kinds: Kind) -> Float64Array:
        """1 for the ellipsoids of these kinds and 0 for the others, (n_ellipsoid,)."""
        return np.asarray([float(e.kind in kinds) for e in self.ellipsoids], np.float64)


def line_integrals(
    phantom: Phantom, *, tilt_deg: Float64Array, z_nm: Float64Array, s_nm: Float64Array
) -> FloatArray:
    """Exact parallel-beam line integrals of every element.

    The ray through the detector position (z, s) holds the points with ``s = x cosθ + y sinθ``.

    Parameters
    ----------
    phantom : the object
    tilt_deg : (n_tilt,) degrees
    z_nm, s_nm : (n_z,) and (n_s,), or (n_tilt, n_z) and (n_tilt, n_s); ascending detector positions
        in the object plane, from the middle

    Returns
    -------
    (n_element, n_tilt, n_z, n_s) float32, µm at the reference density
    """
    return projected(phantom, phantom.amounts, tilt_deg=tilt_deg, z_nm=z_nm, s_nm=s_nm)


def projected(
    phantom: Phantom,
    amounts: Float64Array,
    *,
    tilt_deg: Float64Array,
    z_nm: Float64Array,
    s_nm: Float64Array,
    axis_tilt_deg: float = 0.0,
) -> FloatArray:
    """Line integrals of given amounts of the ellipsoids, for example attenuation at one energy.

    Parameters
    ----------
    phantom : the object; its own amounts are not used
    amounts : (n_ellipsoid, n_channel) amount that each ellipsoid adds
    tilt_deg, z_nm, s_nm : as in :func:`line_integrals`
    axis_tilt_deg : in-plane tilt of the rotation axis, degrees, positive towards +s for increasing
        z

    Returns
    -------
    (n_channel, n_tilt, n_z, n_s) float32, µm times the unit of the amounts
    """
    tilt_rad = np.deg2rad(np.asarray(tilt_deg, np.float64))
    z, s = _per_tilt(z_nm, tilt_rad.size, "z_nm"), _per_tilt(s_nm, tilt_rad.size, "s_nm")
    out = np.zeros((amounts.shape[1], tilt_rad.size, z.shape[1], s.shape[1]), np.float32)
    add_chords(
        tilt_rad,
        float(np.deg2rad(axis_tilt_deg)),
        z,
        s,
        *geometry(phantom),
        np.ascontiguousarray(amounts),
        out,
    )
    return out


def voxel_means(
    phantom: Phantom, *, pixel_nm: float, shape: tuple[int, int, int], subsamples: int
) -> FloatArray:
    """Mean of every element over each voxel, relative to the reference density.

    Parameters
    ----------
    phantom : the object
    pixel_nm : voxel size, nm
    shape : (n_z, n_y, n_x); the volume's middle, index (n − 1)/2, is the phantom's origin
    subsamples : points per voxel edge at surfaces

    Returns
    -------
    (n_element, n_z, n_y, n_x) float32
    """
    return _filled(phantom, phantom.amounts, pixel_nm, shape, subsamples)


def class_fractions(
    phantom: Phantom, *, pixel_nm: float, shape: tuple[int, int, int], subsamples: int
) -> dict[str, FloatArray]:
    """Share of each voxel that is solid, rim, void, pore, crack, oxygen-poor or oxygen-rich domain.

    Parameters
    ----------
    phantom, pixel_nm, shape, subsamples : as in :func:`voxel_means`

    Returns
    -------
    dict of (n_z, n_y, n_x) float32, between 0 and 1
    """
    outline, hollow = phantom.selected("particle"), phantom.selected("void", "pore", "crack")
    neighbour = phantom.selected("neighbour")
    core = phantom.selected("core")
    columns: dict[str, Float64Array] = {
        "solid": outline + neighbour - hollow,
        "rim": outline - core if core.any() else 0 * core,
        "void": phantom.selected("void"),
        "pore": phantom.selected("pore"),
        "crack": phantom.selected("crack"),
        "oxygen_poor": phantom.selected("oxygen_poor"),
        "oxygen_rich": phantom.selected("oxygen_rich"),
    }
    volumes = _filled(phantom, np.stack(list(columns.values()), axis=1), pixel_nm, shape, subsamples)
    return dict(zip(columns, volumes, strict=True))


def true_deviation(
    densities: FloatArray, solid: FloatArray, *, elements: tuple[str, ...], formula: Mapping[str, float]
) -> FloatArray:
    """Deviation of TM/O from the reference, NaN where less than half of a voxel is solid.

    ``deviation = TM / O − 1`` with ``TM = Σ c_k ρ_k / Σ c_k`` over the transition metals, all ρ
    relative.

    Parameters
    ----------
    densities : (n_element, n_z, n_y, n_x) relative densities
    solid : (n_z, n_y, n_x) solid share of each voxel
    elements : order of the element axis
    formula : atoms per formula unit

    Returns
    -------
    (n_z, n_y, n_x) float32
    """
    metals = [name for name in elements if is_transition_metal(name)]
    weights = np.asarray([formula[name] for name in metals], np.float64)
    metal = np.tensordot(weights / weights.sum(), densities[[elements.index(name) for name in metals]], 1)
    oxygen = densities[elements.index("O")]
    known = (solid >= 0.5) & (oxygen > 0)
    deviation = np.full(oxygen.shape, np.nan, np.float32)
    deviation[known] = metal[known] / oxygen[known] - 1
    return deviation


def is_transition_metal(symbol: str) -> bool:
    """Return whether an element counts in TM."""
    return int(xraydb.atomic_number(symbol)) in TRANSITION_METALS


def geometry(phantom: Phantom) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Centres (n, 3), shape matrices and their inverses (n, 3, 3)."""
    n = len(phantom.ellipsoids)
    centres = np.asarray([e.centre_nm for e in phantom.ellipsoids], np.float64).reshape(n, 3)
    shapes = np.asarray([e.shape_matrix for e in phantom.ellipsoids], np.float64).reshape(n, 3, 3)
    return centres, shapes, np.linalg.inv(shapes).astype(np.float64, copy=False)


def _filled(
    phantom: Phantom, amounts: Float64Array, pixel_nm: float, shape: tuple[int, int, int], subsamples: int
) -> FloatArray:
    out = np.zeros((amounts.shape[1], *shape), np.float32)
    add_fractions(float(pixel_nm), int(subsamples), *geometry(phantom), np.ascontiguousarray(amounts), out)
    return out


def _per_tilt(positions_nm: Float64Array, n_tilt: int, name: str) -> Float64Array:
    positions = np.asarray(positions_nm, np.float64)
    if positions.ndim == 1:
        positions = np.broadcast_to(positions, (n_tilt, positions.size))
    if positions.ndim != 2 or positions.shape[0] != n_tilt or (np.diff(positions, axis=1) <= 0).any():
        raise ShapeError(
            name,
            expected=f"ascending positions, one list or one for each of {n_tilt} tilts",
            got=f"shape {positions.shape}",
            fix="give the detector positions from low to high",
        )
    return np.ascontiguousarray(positions)
