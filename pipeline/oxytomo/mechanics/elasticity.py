"""Stress of a particle with a given stress-free strain: linear elasticity on its voxels."""

from dataclasses import dataclass

import numpy as np
import scipy.fft

from oxytomo.arrays import FloatArray
from oxytomo.mechanics.conjugate_gradients import conjugate_gradients
from oxytomo.mechanics.solid import Solid
from oxytomo.mechanics.staggered import (
    apply_stiffness,
    cell_strain,
    edge_shares,
    eigenstrain_forces,
    mark_active,
)


@dataclass(frozen=True)
class Elastic:
    """Isotropic elastic constants.

    Attributes
    ----------
    youngs_gpa : Young's modulus, GPa
    poisson : Poisson's ratio
    """

    youngs_gpa: float
    poisson: float

    @property
    def lame_gpa(self) -> tuple[float, float]:
        """Lamé's constants λ and µ, GPa."""
        mu = self.youngs_gpa / (2 * (1 + self.poisson))
        return self.youngs_gpa * self.poisson / ((1 + self.poisson) * (1 - 2 * self.poisson)), mu


@dataclass(frozen=True)
class Deformed:
    """A particle in equilibrium.

    Attributes
    ----------
    displacement : (3, n_z, n_y, n_x) float32 on faces, along x, y, z; voxels
    strain : (6, n_z, n_y, n_x) float32 in cells: xx, yy, zz, xy, xz, yz
    stress_mpa : (6, n_z, n_y, n_x) float32 of the solid in each cell, MPa; 0 where there is no
        solid
    iterations, residual : of the solver
    """

    displacement: FloatArray
    strain: FloatArray
    stress_mpa: FloatArray
    iterations: int
    residual: float


def deform(
    solid: Solid,
    eigenstrain: FloatArray,
    elastic: Elastic,
    *,
    tolerance: float,
    most_iterations: int,
    threads: int,
) -> Deformed:
    """Return the stress of a free particle with a given stress-free strain.

    Solves ∇·σ = 0 with σ = φ C : (ε − ε₀ 1), with φ the share of solid, free surfaces and small
    strains, by conjugate gradients on a staggered grid. The preconditioner is the inverse of the
    same operator for a grid full of solid, which the discrete Fourier transform diagonalises
    (Moulinec and Suquet 1998; Willot 2015). The number of iterations hardly depends on the size.

    Parameters
    ----------
    solid : the particle
    eigenstrain : (n_z, n_y, n_x) float32, stress-free linear strain of each voxel (one third of the
        volume strain)
    elastic : elastic constants
    tolerance : residual force relative to the driving force at which the iteration ends
    most_iterations : largest number of iterations
    threads : number of threads of the Fourier transform
    """
    lam, mu = elastic.lame_gpa
    lame = np.array((lam, mu), np.float32)
    edges = edge_shares(solid.share)
    active = np.zeros_like(edges)
    mark_active(solid.share, active)
    force = np.zeros_like(edges)
    eigenstrain_forces(
        eigenstrain.astype(np.float32, copy=False), solid.share, force, np.float32(3 * lam + 2 * mu)
    )
    green = _Green(solid.share.shape, lam, mu, active, threads)
    found = conjugate_gradients(
        lambda u, out: apply_stiffness(u, out, solid.share, edges, lame),
        green,
        force,
        start=None,
        tolerance=tolerance,
        most_iterations=most_iterations,
    )
    strain = np.zeros((6, *solid.share.shape), np.float32)
    cell_strain(found.solution, edges, solid.share, strain)
    stress = stress_of(strain, eigenstrain, solid.share, elastic)
    return Deformed(found.solution, strain, stress, found.iterations, found.residual)


def strain_of(displacement: FloatArray, share: FloatArray) -> FloatArray:
    """Return the strain of a displacement in voxels, (6, n_z, n_y, n_x): xx, yy, zz, xy, xz, yz."""
    strain = np.zeros((6, *share.shape), np.float32)
    cell_strain(displacement, edge_shares(share), share, strain)
    return strain


def stress_of(strain: FloatArray, eigenstrain: FloatArray, share: FloatArray, elastic: Elastic) -> FloatArray:
    """Return Hooke's stress of a strain and a stress-free strain: (6, n_z, n_y, n_x), MPa.

    It is 0 where there is no solid.
    """
    lam, mu = elastic.lame_gpa
    stress: FloatArray = strain * np.float32(2e3 * mu)
    pressure = np.float32(1e3 * lam) * strain[:3].sum(0) - np.float32(1e3 * (3 * lam + 2 * mu)) * eigenstrain
    stress[:3] += pressure
    stress *= share > 0
    return stress


class _Green:
    """Inverse stiffness of a grid full of solid, restricted to the faces of the particle."""

    def __init__(
        self, shape: tuple[int, ...], lam: float, mu: float, active: FloatArray, threads: int
    ) -> None:
        self._shape, self._active, self._threads, self._mu = shape, active, threads, np.float32(mu)
        self._share = np.float32((lam + mu) / (lam + 2 * mu))
        n_z, n_y, n_x = shape
        along = [np.fft.rfftfreq(n_x)[None, None, :], np.fft.fftfreq(n_y)[None, :, None]]
        along.append(np.fft.fftfreq(n_z)[:, None, None])
        self._steps = [(np.exp(2j * np.pi * one) - 1).astype(np.complex64) for one in along]
        squared = sum(np.abs(step) ** 2 for step in self._steps).astype(np.float32)
        squared[0, 0, 0] = np.inf
        self._inverse = (1 / squared).astype(np.float32)

    def __call__(self, right: FloatArray, out: FloatArray) -> None:
        """Write the displacement of a homogeneous grid under the forces ``right`` into ``out``."""
        forces = [scipy.fft.rfftn(one, workers=self._threads) for one in right]
        along = sum(step * force for step, force in zip(self._steps, forces, strict=True))
        along *= self._share * self._inverse
        for c, (step, force) in enumerate(zip(self._steps, forces, strict=True)):
            force -= np.conj(step) * along
            force *= self._inverse / self._mu
            out[c] = scipy.fft.irfftn(force, self._shape, workers=self._threads)
        out *= self._active
