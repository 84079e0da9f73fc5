"""Stress of a particle with a given stress-free strain: linear elasticity on its voxels."""

from dataclasses import dataclass

import numba
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
    keep_active,
    to_stress,
)
from oxytomo.threads import parallel_kernel


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
    share : (n_z, n_y, n_x) float32, share of solid
    stress_mpa : (6, n_z, n_y, n_x) float32 of the solid in each cell, MPa: xx, yy, zz, xy, xz, yz;
        0 where there is no solid
    iterations, residual : of the solver
    """

    displacement: FloatArray
    share: FloatArray
    stress_mpa: FloatArray
    iterations: int
    residual: float

    @property
    def strain(self) -> FloatArray:
        """Strain in cells, (6, n_z, n_y, n_x); it is calculated at each call."""
        return strain_of(self.displacement, self.share)


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
    force = np.zeros_like(edges)
    eigenstrain = eigenstrain.astype(np.float32, copy=False)
    eigenstrain_forces(eigenstrain, solid.share, force, np.float32(3 * lam + 2 * mu))
    found = conjugate_gradients(
        lambda u, out: apply_stiffness(u, out, solid.share, edges, lame),
        _Green(solid.share, lam, mu, threads),
        force,
        start=None,
        tolerance=tolerance,
        most_iterations=most_iterations,
    )
    del force
    stress = np.zeros((6, *solid.share.shape), np.float32)
    cell_strain(found.solution, edges, solid.share, stress)
    to_stress(stress, eigenstrain, solid.share, np.float32(1e3) * lame)
    return Deformed(found.solution, solid.share, stress, found.iterations, found.residual)


def strain_of(displacement: FloatArray, share: FloatArray) -> FloatArray:
    """Return the strain of a displacement in voxels, (6, n_z, n_y, n_x): xx, yy, zz, xy, xz, yz."""
    strain = np.zeros((6, *share.shape), np.float32)
    cell_strain(displacement, edge_shares(share), share, strain)
    return strain


class _Green:
    """Inverse stiffness of a grid full of solid, restricted to the faces of the particle."""

    def __init__(self, share: FloatArray, lam: float, mu: float, threads: int) -> None:
        self._share, self._threads = share, threads
        self._constants = np.array(((lam + mu) / (lam + 2 * mu), 1 / mu), np.float32)
        n_z, n_y, n_x = share.shape
        along = (np.fft.rfftfreq(n_x), np.fft.fftfreq(n_y), np.fft.fftfreq(n_z))
        self._steps = (np.exp(2j * np.pi * np.concatenate(along)) - 1).astype(np.complex64)

    def __call__(self, right: FloatArray, out: FloatArray) -> None:
        """Write the displacement of a homogeneous grid under the forces ``right`` into ``out``."""
        forces = [scipy.fft.rfftn(one, workers=self._threads) for one in right]
        _homogeneous(*forces, self._steps, self._constants)
        for c in range(3):
            out[c] = scipy.fft.irfftn(forces[c], self._share.shape, workers=self._threads, overwrite_x=True)
        keep_active(self._share, out)


@parallel_kernel(element_ns=3, fastmath=True)
def _homogeneous(
    x: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
    steps: np.ndarray,
    constants: FloatArray,
) -> None:
    """Replace transformed forces by displacements.

    ``steps`` holds exp(2πi f) − 1 of the frequencies along x, y and z; ``constants`` are
    (λ + µ) / (λ + 2 µ) and 1 / µ.
    """
    n_z, n_y, n_x = x.shape
    share, inverse_mu = constants[0], constants[1]
    for k in numba.prange(n_z):
        for j in range(n_y):
            for i in range(n_x):
                a, b, c = steps[i], steps[n_x + j], steps[n_x + n_y + k]
                squared = a.real**2 + a.imag**2 + b.real**2 + b.imag**2 + c.real**2 + c.imag**2
                inverse = np.float32(0.0)
                if squared > 0:
                    inverse = np.float32(1.0) / squared
                along = (a * x[k, j, i] + b * y[k, j, i] + c * z[k, j, i]) * (share * inverse)
                inverse *= inverse_mu
                x[k, j, i] = (x[k, j, i] - np.conj(a) * along) * inverse
                y[k, j, i] = (y[k, j, i] - np.conj(b) * along) * inverse
                z[k, j, i] = (z[k, j, i] - np.conj(c) * along) * inverse
