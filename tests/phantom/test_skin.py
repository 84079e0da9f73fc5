"""Carbon around a particle: found as a skin where it is one, and not where it is none; what its oxygen may do."""

import numpy as np
import pytest

from oxytomo.composition.components import KNOWN
from oxytomo.composition.cross_sections import attenuation_per_um
from oxytomo.composition.decomposition import tie_background
from oxytomo.composition.instrument import Model
from oxytomo.composition.noise import project
from oxytomo.composition.skin import Skin, asked_tilts, free_carbon, skin_around
from oxytomo.measure.systematic import share_of_skin, with_skin, without_skin

FORMULA = {"Li": 1.2, "Mn": 0.56, "Ni": 0.16, "Co": 0.08, "O": 2.0}
ELEMENTS = ["O", "Mn", "Co", "Ni"]
ENERGIES = np.array([525.0, 540.0, 636.0, 645.0, 772.0, 788.0, 846.0, 866.0])
ATOMS = np.array([FORMULA[e] for e in ELEMENTS])
OWN = attenuation_per_um(FORMULA, density_g_cm3=4.2, energies_ev=ENERGIES, elements=ELEMENTS)
LITHIUM = attenuation_per_um(FORMULA, density_g_cm3=4.2, energies_ev=ENERGIES, elements=["Li"]).sum(axis=1)
MODEL = Model(tie_background(OWN, LITHIUM, ATOMS))
TILT_DEG = np.linspace(-65, 65, 27)
PIXEL_UM = 0.016
N = 40


def measured(rng, *, carbonate_nm: float, clump: bool = False):  # type: ignore[no-untyped-def]
    """Optical densities (8, 27, 40, 40) of a ball of 12 voxels' radius with a skin, and its path (27, 40, 40) in µm."""
    z, y, x = np.indices((N, N, N)) - (N - 1) / 2
    radius = np.sqrt(z**2 + y**2 + x**2)
    ball = np.clip(12.5 - radius, 0, 1).astype(np.float32)
    thick = carbonate_nm / 1000 / PIXEL_UM
    coat = np.clip(12.5 + thick - radius, 0, 1).astype(np.float32) - ball if thick else np.zeros_like(ball)
    lump = (np.sqrt(z**2 + y**2 + (x - 16) ** 2) < 4).astype(np.float32) * clump
    paths = [PIXEL_UM * np.asarray(project(one, TILT_DEG)) for one in (ball, coat, lump)]
    spectra = [
        MODEL.matrix.sum(axis=1),
        KNOWN["li2co3"].attenuation_per_um(ENERGIES),
        KNOWN["carbon"].attenuation_per_um(ENERGIES),
    ]
    density = sum(s[:, None, None, None] * p for s, p in zip(spectra, paths, strict=True))
    counts = rng.poisson(2e4 * np.exp(-density))
    return (-np.log(counts / 2e4)).astype(np.float32), (1 / counts).astype(np.float32), paths[0]


def skin_of(measurement) -> Skin:  # type: ignore[no-untyped-def]
    value, variance, path = measurement
    asked = asked_tilts(len(TILT_DEG))
    carbon = free_carbon(value[:, asked], variance[:, asked], MODEL, ENERGIES)
    return skin_around(path, TILT_DEG, *carbon, asked, pixel_um=PIXEL_UM)


def test_a_skin_of_carbonate_is_found_by_its_carbon(rng):
    skin = skin_of(measured(rng, carbonate_nm=10.0))
    assert skin.is_there
    # The shell of the mask is a voxel thick and lies up to half a voxel off: a fifth of the path at the rim
    assert skin.carbonate_nm == pytest.approx(10.0, rel=0.35)
    record = skin.record(FORMULA, 4.2)
    # 2.11 g/cm³ with 65.0 % of oxygen against 4.2 g/cm³ with 37.6 %
    assert record["oxygen_nm"] == pytest.approx(0.869 * record["carbonate_nm"], rel=0.01)


def test_a_particle_without_a_skin_and_one_with_a_clump_have_none(rng):
    assert not skin_of(measured(rng, carbonate_nm=0.0)).is_there
    assert not skin_of(measured(rng, carbonate_nm=0.0, clump=True)).is_there


@pytest.mark.slow
def test_few_tilts_tell_no_skin(rng):
    value, variance, path = measured(rng, carbonate_nm=10.0)
    carbon = free_carbon(value[:, :3], variance[:, :3], MODEL, ENERGIES)
    assert skin_around(path, TILT_DEG, *carbon, [0, 1, 2], pixel_um=PIXEL_UM) is None


def test_half_of_the_oxygen_of_a_skin_is_in_the_rim():
    share = share_of_skin(np.arange(0.5, 12), 0.4).astype(float)
    # share/(1 − share) is the excess over the particle's own oxygen: 0.2 voxels of it lie inside
    assert (share / (1 - share)).sum() == pytest.approx(0.2, rel=1e-4)
    assert (np.diff(share) < 0).all()


def test_the_other_reading_takes_the_oxygen_off_and_sigma_holds_it():
    depth = np.full((1, 1, 2), [[[0.5, 20.0]]], np.float32)
    share = float(share_of_skin(np.array([0.5]), 0.4)[0])
    deviation = np.full((1, 1, 2), -share, np.float32)  # on target but for the skin's oxygen
    other = without_skin(deviation, depth, 0.4)
    np.testing.assert_allclose(np.asarray(other[0, 0]), [0.0, -share], atol=1e-6)
    sigma = with_skin(np.full((1, 1, 2), 0.02, np.float32), depth, 0.4)
    np.testing.assert_allclose(np.asarray(sigma[0, 0]), [np.hypot(0.02, share), 0.02], rtol=1e-5)
    same = np.ones((1, 1, 2), np.float32)
    assert with_skin(same, depth, 0.0) is same
