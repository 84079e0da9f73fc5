"""Pores and cracks of phantoms with exact truth, found through the whole segmentation."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import edt
import numpy as np
import pytest

from oxytomo.arrays import FloatArray
from oxytomo.errors import InputError
from oxytomo.io.scratch import scratch_fields
from oxytomo.measure.cracks import crack_table
from oxytomo.measure.pores import pore_table
from oxytomo.measure.structure import void_shells
from oxytomo.measure.topology import euler_sweep, tortuosity
from oxytomo.measure.totals import particle_totals, void_totals
from oxytomo.segment.regions import contacts
from oxytomo.segment.rims import Ridges, fitted_rims
from oxytomo.segment.sheets import mass_threshold
from oxytomo.segment.void_noise import NoiseSpread, Trial, noise_spread
from oxytomo.segment.voids import TYPES, Voids, segment_voids
from oxytomo.simulate.voids import Crack, Pore, VoidPhantom, draw, photograph

SIZE = 80
APERTURE_PX, PORE_RADIUS_PX = 0.75, 5.0
CHOICES = {
    "blur_px": None,
    "bridge_px": 6.0,
    "false_cracks": 0.02,
    "false_discovery": 0.01,
    "smallest_share": 0.05,
    "separate": False,
}


def segment(volume: FloatArray, mask: np.ndarray | None = None, **changes: object) -> Voids:
    return segment_voids(volume, mask, **(CHOICES | changes))


@cache
def phantom() -> VoidPhantom:
    """A ball of radius 32 with an open crack thinner than a voxel, a closed one of two voxels, and two pores."""
    middle = np.full(3, (SIZE - 1) / 2)
    cracks = (
        Crack(middle + np.array([0, 0, 22]), np.array([0.6, 0.8, 0.0]), 15.0, APERTURE_PX),
        Crack(middle + np.array([0, 0, -14]), np.array([0.0, 0.28, 0.96]), 11.0, 2.0),
    )
    pores = (
        Pore(middle + np.array([18, -9, 0]), np.full(3, PORE_RADIUS_PX), np.eye(3)),
        Pore(middle + np.array([-16, -14, 4]), np.array([4.0, 3.0, 3.5]), np.eye(3)),
    )
    rng = np.random.default_rng(3)
    return draw((SIZE,) * 3, radius_px=32.0, roughness=0.0, pores=pores, cracks=cracks, rng=rng)


@cache
def found(contrast_to_noise: float) -> Voids:
    rng = np.random.default_rng(4)
    volume = photograph(
        phantom(), blur_px=1.0, contrast_to_noise=contrast_to_noise, shading=0.05, structure=0.0, rng=rng
    )
    return segment(volume)


def porosity(voids: Voids) -> float:
    return float(voids.void[voids.zone > 0].sum() / (voids.particle > 0).sum())


@pytest.mark.parametrize("contrast_to_noise", [5.0, 50.0, np.inf])
def test_everything_is_found_and_nothing_else(contrast_to_noise: float) -> None:
    voids = found(contrast_to_noise)
    assert voids.n_pores == 2
    assert voids.sheets.count == 2
    # Bounds of the benchmark: what 5 % shading, noise and the blurred skin leave of porosity and aperture.
    assert porosity(voids) == pytest.approx(phantom().porosity, rel=0.06)
    assert voids.blur_px == pytest.approx(1.0, abs=0.1)
    at = tuple(voids.sheets.index.T)
    for number, crack in enumerate(phantom().cracks, start=1):
        own = phantom().crack_index == number
        near = edt.edt(~own)[at] <= 1.5
        rows = near & voids.sheets.inner
        assert np.median(voids.sheets.aperture_px[rows]) == pytest.approx(crack.aperture_px, abs=0.1)
        # 98 % of its area has a ridge within 2.5 voxels, and its area comes out right to a tenth of the rim.
        ridge = np.ones(own.shape, bool)
        ridge[at] = False
        assert (edt.edt(ridge)[own] <= 2.5).mean() > 0.98
        assert voids.sheets.area_px[near].sum() == pytest.approx(own.sum(), rel=0.15)


def test_pore_volumes_are_sums_not_counts() -> None:
    voids = found(5.0)
    for pore in phantom().pores:
        label = voids.instances[tuple(np.round(pore.centre_px).astype(int))]
        assert 0 < label <= voids.n_pores
        volume = voids.void[voids.zone == label].sum()
        # Noise 0.2 per voxel over a zone of about 1500 voxels is 8 voxels; 3 % is what the issue asks for on average.
        assert volume == pytest.approx(pore.volume_px, abs=25 + 0.03 * pore.volume_px)


def test_noise_alone_makes_no_crack() -> None:
    rng = np.random.default_rng(11)
    bare = draw((64, 64, 64), radius_px=26.0, roughness=0.04, pores=(), cracks=(), rng=rng)
    for contrast_to_noise in (3.0, 8.0):
        volume = photograph(
            bare, blur_px=1.0, contrast_to_noise=contrast_to_noise, shading=0.05, structure=0.0, rng=rng
        )
        voids = segment(volume)
        assert voids.sheets.count == 0
        assert voids.n_pores == 0
        assert porosity(voids) == 0


def test_the_smallest_aperture_grows_with_the_noise() -> None:
    quiet, noisy = found(50.0).sheets, found(5.0).sheets
    assert quiet.smallest_aperture_px < 0.3 * noisy.smallest_aperture_px
    assert noisy.smallest_aperture_px < APERTURE_PX


def test_intervals_hold_the_noise() -> None:
    voids = found(5.0)

    def numbers(trial: Trial) -> tuple[dict[str, float], dict[str, float]]:
        pore = (trial.zone > 0) & (trial.zone <= trial.n_pores)
        return {"pores": float(trial.void[pore].sum())}, {"pore level": float(trial.void[pore].mean())}

    def spread(replicates: int) -> NoiseSpread | None:
        rng = np.random.default_rng(1)
        return noise_spread(
            voids, numbers, replicates=replicates, rng=rng, false_cracks=0.02, false_discovery=0.01
        )

    got = spread(3)
    assert got is not None
    # Noise of a sum over independent voxels: σ √n; searching again adds what enters or leaves.
    pore_zone = ((voids.zone > 0) & (voids.zone <= voids.n_pores)).sum()
    assert 0.2 < got.spread["pores"] / (voids.noise * np.sqrt(pore_zone)) < 5
    assert got.spread["pore level"] < 0.05
    assert got.share == 1
    assert spread(1) is None


def two_balls(gap: int) -> FloatArray:
    z, y, x = np.mgrid[:40, :40, :80].astype(np.float32)
    volume = np.zeros(z.shape, np.float32)
    for centre, radius in ((20.0, 14.0), (20.0 + 14 + 12 + gap, 12.0)):
        distance = np.sqrt((z - 20) ** 2 + (y - 20) ** 2 + (x - centre) ** 2)
        volume += np.clip(radius - distance + 0.5, 0, 1)
        volume -= np.clip(4.5 - np.sqrt((z - 20) ** 2 + (y - 20) ** 2 + (x - centre) ** 2), 0, 1)
    return volume + 0.05 * np.random.default_rng(0).standard_normal(volume.shape).astype(np.float32)


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize(("gap", "separate", "wanted"), [(8, False, 2), (-1, False, 1), (-1, True, 2)])
def test_particles_are_told_apart(
    gap: int, separate: bool, wanted: int, coarse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if coarse:
        # As in a large volume: necks are sought on every second voxel.
        monkeypatch.setattr("oxytomo.segment.envelope.DIVIDED_VOXELS", 40 * 40 * 80 / 8)
    voids = segment(two_balls(gap), bridge_px=2.0, separate=separate)
    assert voids.particle.max() == wanted
    assert voids.n_pores == 2
    if wanted == 2:
        assert voids.particle[20, 20, 20] == 1  # the larger one is the first
        sizes = np.bincount(voids.particle.ravel())[1:]
        np.testing.assert_allclose(sizes, [4 / 3 * np.pi * 14**3, 4 / 3 * np.pi * 12**3], rtol=0.06)


def test_the_users_mask_decides() -> None:
    volume = two_balls(8)
    mask = np.zeros(volume.shape, np.uint8)
    mask[:, :, 40:] = volume[:, :, 40:] > 0.5
    mask[16:25, 16:25, 50:59] = 1
    voids = segment(volume, mask)
    np.testing.assert_array_equal(voids.particle, mask)
    assert voids.n_pores == 1


def test_a_cut_particle_is_named() -> None:
    volume = two_balls(8)[:, :, 12:]
    assert segment(volume).cut == (1,)


@pytest.mark.parametrize(
    ("volume", "mask", "message"),
    [
        (lambda v: 1 - v, None, "invert the contrast"),
        (lambda v: np.random.default_rng(0).standard_normal(v.shape).astype(np.float32), None, "one kind"),
        (np.zeros_like, None, "one kind"),
        (lambda v: v, lambda v: np.zeros(v.shape, np.uint8), "mark the particle with 1"),
        (lambda v: v, lambda v: np.ones((3, 3, 3), np.uint8), "resample the mask"),
        (lambda v: v, lambda v: (np.indices(v.shape)[2] > 75).astype(np.uint8), "nothing but void"),
    ],
)
def test_what_holds_no_particle_is_one_line(volume, mask, message: str) -> None:
    plain = two_balls(8)
    with pytest.raises(InputError, match=message):
        segment(volume(plain), None if mask is None else mask(plain))


def test_a_slice_is_measured_as_a_slice() -> None:
    flat = two_balls(8)[20:21]
    voids = segment(flat, bridge_px=2.0)
    assert voids.particle.shape == flat.shape
    assert voids.n_pores == 2
    assert voids.sheets.count == 0


def test_values_that_are_no_numbers_are_air() -> None:
    volume = two_balls(8)
    volume[:, :3] = np.nan
    assert segment(volume, bridge_px=2.0).n_pores == 2


def test_nothing_but_the_skin_bounds_an_inner_crack(monkeypatch: pytest.MonkeyPatch) -> None:
    # The same volume moved by whole voxels gives the same numbers: no place is special.
    voids = found(5.0)
    rng = np.random.default_rng(4)
    volume = photograph(phantom(), blur_px=1.0, contrast_to_noise=5.0, shading=0.05, structure=0.0, rng=rng)
    moved = segment(np.pad(volume, ((4, 0), (0, 8), (0, 0)), mode="edge"))
    assert porosity(moved) == pytest.approx(porosity(voids), rel=0.02)
    assert moved.sheets.area_px.sum() == pytest.approx(voids.sheets.area_px.sum(), rel=0.03)


def test_the_mass_threshold_follows_the_null() -> None:
    rng = np.random.default_rng(0)
    null = rng.exponential(1.0, 4000) ** 1.5
    limit = mass_threshold(np.array([1e3]), null, 1.0, 0.02, 0.5)
    # 4000 exp(−x) = 0.02 at x = 12.2; the tail's slope is known to 1/√40.
    assert limit ** (2 / 3) == pytest.approx(np.log(4000 / 0.02), rel=0.25)
    assert mass_threshold(np.array([1e3]), null, 100.0, 0.02, 0.5) > limit
    assert mass_threshold(np.ones(1), np.zeros(0), 1.0, 0.02, 0.5) == 0


def test_slabs_and_the_whole_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = found(5.0)
    rng = np.random.default_rng(4)
    volume = photograph(phantom(), blur_px=1.0, contrast_to_noise=5.0, shading=0.05, structure=0.0, rng=rng)
    monkeypatch.setattr("oxytomo.slabs.SLAB_VOXELS", 1)
    monkeypatch.setattr("oxytomo.slabs.FEWEST_ROWS", 12)
    monkeypatch.setattr("oxytomo.io.scratch.FIELD_BYTES", 0)
    with scratch_fields(tmp_path / "voids.zarr"):
        parts = segment_voids(volume, None, **CHOICES)
        # Bit by bit: every filter has the halo that it needs, and sums go row by row in either case.
        for name in TYPES:
            np.testing.assert_array_equal(getattr(parts, name)[0:SIZE], getattr(whole, name), err_msg=name)
        for name in ("index", "normal", "sheet", "area_px", "aperture_px", "inner"):
            np.testing.assert_array_equal(
                getattr(parts.sheets, name), getattr(whole.sheets, name), err_msg=name
            )
        facts = [
            (v.noise, v.blur_px, v.void_level, v.solid_level, v.pore_level, v.sheets.mass_level)
            for v in (parts, whole)
        ]
        assert facts[0] == facts[1]


def measured(voids: Voids) -> dict[str, object]:
    void, instances, zone = voids.void, voids.instances, voids.zone
    particle, depth = voids.particle, voids.depth_px
    sheets = voids.sheets
    totals = particle_totals(particle)
    return {
        "pores": pore_table(voids, voxel_nm=1.0),
        "cracks": crack_table(sheets, particle, depth, voxel_nm=1.0),
        "contacts": contacts(instances, 2),
        "totals": (totals.volume_px, totals.centre),
        "sums": void_totals(void, zone, particle, n_voids=voids.n_pores + sheets.count),
        "euler": euler_sweep(void, zone, (0.3, 0.5)),
        "tortuosity": tortuosity(instances, depth, surface_px=2.0, deep_px=5.0),
        "shells": void_shells(void, zone, particle, depth, n_pores=voids.n_pores, n_shells=5),
    }


def test_measures_in_slabs_and_of_the_whole_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    voids = found(5.0)
    whole = measured(voids)
    monkeypatch.setattr("oxytomo.slabs.SLAB_VOXELS", 1)
    monkeypatch.setattr("oxytomo.slabs.FEWEST_ROWS", 12)
    monkeypatch.setattr("oxytomo.measure.pore_surface.PIECE_VOXELS", 1)
    monkeypatch.setattr("oxytomo.measure.pore_surface.FEWEST_ROWS", 4)
    parts = measured(voids)
    assert parts["euler"] == whole["euler"]
    for name in ("contacts", "totals", "sums"):
        np.testing.assert_equal(parts[name], whole[name])
    # Meshes of pieces, ways and shells are added up in another order; nothing is rounded below float32.
    for name in ("pores", "cracks"):
        for column in whole[name]:
            np.testing.assert_allclose(parts[name][column], whole[name][column], rtol=1e-6, err_msg=column)
    assert parts["tortuosity"] == pytest.approx(whole["tortuosity"], rel=1e-9)
    for one, other in zip(parts["shells"], whole["shells"], strict=True):
        assert one == pytest.approx(other, rel=1e-9)


def everywhere(index: np.ndarray) -> np.ndarray:
    return np.ones(len(index), bool)


def test_ridges_beyond_the_rim_go_and_gaps_close() -> None:
    void = np.zeros((21, 60, 60), np.float32)
    void[10, 10:50, 10:50] = 0.3
    y, x = (axis.ravel() for axis in np.mgrid[6:54, 6:54])
    gap = (abs(y - 30) < 3) & (abs(x - 30) < 20)
    index = np.stack([np.full(y.size, 10), y, x], axis=1)[~gap]
    normal = np.tile(np.array([1, 0, 0, 0], np.float32), (len(index), 1))
    sheets = Ridges(index, normal, np.ones(len(index), np.int64))
    fitted = fitted_rims(void, sheets, everywhere)
    # A disc of radius 2 sees half of the crack one voxel beyond its straight edges at the most.
    inside = np.zeros(void.shape, bool)
    inside[10, 9:51, 9:51] = True
    assert inside[tuple(fitted.index.T)].all()
    assert fitted.area_px.sum() == pytest.approx(40 * 40, rel=0.1)
    covered = np.zeros(void.shape, bool)
    covered[tuple(fitted.index.T)] = True
    assert covered[10, 12:48, 12:48].all()
    empty = Ridges(index[:0], normal[:0], sheets.sheet[:0])
    assert fitted_rims(void, empty, everywhere).index.size == 0
    assert replace(sheets, sheet=sheets.sheet).only(~np.zeros(len(index), bool)).sheet.max() == 1
