"""Profiles of oxygen loss in three dimensions: a known law in a ball is named, with its size."""

import numpy as np
import pytest

from oxytomo.chemical_state.profiles import depth_profile
from oxytomo.oxidation.oxygen_loss import fit_oxygen_loss, vacancy_concentration

RADIUS_PX, VOXEL_NM, NOISE = 20.0, 10.0, 0.01


def ball(law: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a ball and its valence: 3.6 inside, 3.0 at the surface."""
    z, y, x = np.mgrid[:45, :45, :45] - 22.0
    radius = np.sqrt(z**2 + y**2 + x**2) / RADIUS_PX
    share = vacancy_concentration(radius, 0.02) if law == "diffusion" else (radius > 0.8).astype(float)
    share = np.zeros_like(radius) if law == "uniform" else share
    return radius <= 1, (3.6 - 0.6 * share).astype(np.float32)


@pytest.mark.parametrize("law", ["uniform", "diffusion", "core_shell"])
def test_law_of_a_ball(law: str, rng: np.random.Generator) -> None:
    """The law with the smallest BIC is the true one; D·t and the thickness are within 10 %."""
    particle, valence = ball(law)
    noisy = [
        np.where(particle, valence - 3.5 + NOISE * rng.standard_normal(valence.shape), np.nan).astype(
            np.float32
        )
        for _ in range(5)
    ]
    rows, models = depth_profile(
        noisy[0],
        particle,
        noisy[1:],
        voxel_nm=VOXEL_NM,
        reference_valence=3.5,
        bins=20,
        time_s=3600.0,
    )
    best = models[0]
    assert best["name"] == law
    assert rows["n_voxels"].sum() == particle.sum()
    assert rows["volume_outside"].iloc[0] == 0
    assert rows["volume_outside_end"].iloc[-1] == pytest.approx(100)
    assert (np.diff(rows["depth_mean_nm"]) > 0).all()
    radius_nm = RADIUS_PX * VOXEL_NM
    if law == "diffusion":
        assert best["parameters"]["dt_nm2"] == pytest.approx(0.02 * radius_nm**2, rel=0.1)
        d = best["parameters"]["dt_nm2"] * 1e-14 / 3600
        assert best["parameters"]["d_cm2_per_s"] == pytest.approx(d)
    if law == "core_shell":
        # Layers of voxels of one depth are 5 % of the radius thick.
        assert best["parameters"]["shell_nm"] == pytest.approx(0.2 * radius_nm, rel=0.1)
    if law != "uniform":
        assert best["parameters"]["core_valence"] == pytest.approx(3.6, abs=0.02)
        assert best["parameters"]["surface_valence"] == pytest.approx(3.0, abs=0.05)


def test_shells_of_a_volume_by_hand() -> None:
    """A reacted shell outside half of the volume: bins outside are the surface, those inside the core."""
    share = np.linspace(1, 0, 11)
    truth = np.where(np.arange(10) < 5, 3.0, 3.6)
    fits = fit_oxygen_loss(truth, np.full(10, 0.01), share, radius_nm=100.0, dimensions=3)
    assert fits[0].name == "core_shell"
    assert fits[0].parameters["shell_nm"] == pytest.approx(100 * (1 - 0.5 ** (1 / 3)), rel=0.01)
    assert np.allclose(fits[0].profile, truth, atol=0.01)


def test_few_voxels_have_no_models() -> None:
    """A small particle has a profile and no model."""
    particle = np.zeros((9, 9, 9), bool)
    particle[2:7, 2:7, 2:7] = True
    deviation = np.where(particle, np.float32(0), np.float32(np.nan))
    rows, models = depth_profile(
        deviation, particle, [], voxel_nm=1.0, reference_valence=3.0, bins=20, time_s=None
    )
    assert models == []
    assert len(rows) == 3
    assert np.isnan(rows["diffusion"]).all()
