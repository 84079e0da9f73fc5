"""The packages that reconstruct, against each other and against discs."""

import numpy as np
import pytest
from discs import WEDGE, N, disc_projections, inside

from oxytomo.errors import ConfigError, MissingPackageError
from oxytomo.reconstruct.backends import reconstruct
from oxytomo.reconstruct.fbp import (
    filtered_backprojection,
)
from oxytomo.reconstruct.geometry import TiltGeometry


@pytest.mark.parametrize("n", [64, 65])
@pytest.mark.parametrize("tilt_deg", [np.arange(0.0, 180.0, 1.5), WEDGE], ids=["half turn", "wedge"])
@pytest.mark.parametrize("backend", ["oxytomo", "astra", "tomopy"])
@pytest.mark.parametrize("algorithm", ["fbp", "sirt"])
def test_backends_agree_in_unit_orientation_and_centre(
    algorithm: str, backend: str, tilt_deg: np.ndarray, n: int
) -> None:
    """Three different discs off the centre, none the mirror image of another: (value, radius, x, y) in pixels."""
    if backend != "oxytomo":
        pytest.importorskip(backend, reason=f"{backend} is not installed")
    discs = ((1.0, 9.0, 6.0, -4.0), (2.0, 6.0, -11.0, 7.0), (0.7, 5.0, 13.0, 15.0))
    projections = sum(v * disc_projections(tilt_deg, radius=r, x=x, y=y, n=n) for v, r, x, y in discs)
    volume = reconstruct(
        np.repeat(projections, 3, axis=1) * np.array([1, 2, 0], np.float32)[:, None],
        None,
        TiltGeometry.square(tilt_deg, n),
        algorithm=algorithm,
        backend=backend,
        iterations=60,
        nonnegative=True,
        tv_weight=None,
        threads=1,
    )
    np.testing.assert_allclose(volume[1], 2 * volume[0], atol=2e-3)
    np.testing.assert_allclose(volume[2], 0, atol=1e-4)  # SIRT of TomoPy starts at 1e-6
    found = volume[0]
    yy, xx = np.mgrid[:n, :n] - (n - 1) / 2
    truth = np.zeros((n, n))
    for v, r, x, y in discs:
        truth[(xx - x) ** 2 + (yy - y) ** 2 < r**2] = v
    if tilt_deg is not WEDGE:
        for value, radius, x, y in discs:
            middle = (xx - x) ** 2 + (yy - y) ** 2 < (0.6 * radius) ** 2
            # SIRT has not converged after 60 iterations, and overshoots in small discs.
            expected = pytest.approx(value, rel=0.01 if algorithm == "fbp" else 0.04)
            assert found[middle].mean() == expected
    else:
        # Filtered back-projection of a wedge: the discs' own share of angles and the streaks of the others. Ours is
        # held by the tests above.
        ours = filtered_backprojection(projections, TiltGeometry.square(tilt_deg, n))[0]
        circle = np.hypot(xx, yy) < 0.45 * n
        if algorithm == "fbp":
            slope, level = np.polyfit(ours[circle], found[circle], 1)
            assert slope == pytest.approx(1, abs=0.02)  # the interpolations differ in sharpness
            assert level == pytest.approx(0, abs=0.003)
    np.testing.assert_allclose(shift_px(found, truth), 0, atol=0.05)


def shift_px(image: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Shift in (y, x) that takes an image to its reference, by cross-correlation to 1/50 px."""
    from skimage.registration import phase_cross_correlation

    return phase_cross_correlation(reference, image, upsample_factor=50, normalization=None)[0]


@pytest.mark.parametrize("backend", ["astra", "tomopy"])
def test_backends_that_know_the_middle_only_refuse_another_axis(backend: str) -> None:
    geometry = TiltGeometry.square(WEDGE, N).cropped(slice(3, 90), slice(0, N))
    with pytest.raises(ValueError, match="axis in its middle"):
        reconstruct(
            disc_projections(WEDGE),
            None,
            geometry,
            algorithm="fbp",
            backend=backend,
            iterations=1,
            nonnegative=False,
            tv_weight=None,
            threads=1,
        )


@pytest.mark.parametrize("algorithm", ["fbp", "sirt"])
def test_slabs_of_slices_are_reconstructed_as_the_whole(
    algorithm: str, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    projections = np.repeat(disc_projections(WEDGE), 140, axis=1)
    projections += rng.normal(0, 0.1, projections.shape).astype(np.float32)
    progress: list[tuple[int, int]] = []

    def volume() -> np.ndarray:
        progress.clear()
        return reconstruct(
            projections,
            None,
            TiltGeometry.square(WEDGE, N),
            algorithm=algorithm,
            backend="oxytomo",
            iterations=3,
            nonnegative=True,
            tv_weight=None,
            threads=1,
            on_iteration=lambda done, total: progress.append((done, total)),
        )

    whole = volume()
    slice_bytes = 4 * (2 * N**2 + 3 * WEDGE.size * N)
    monkeypatch.setattr("oxytomo.reconstruct.backends.SLAB_BYTES", 70 * slice_bytes)
    np.testing.assert_array_equal(volume(), whole)
    done = [one for one, _ in progress]
    assert done == sorted(done)
    assert progress[-1][0] == progress[-1][1]


def test_astra_gives_the_same_values_over_a_wedge() -> None:
    pytest.importorskip("astra", reason="astra-toolbox is not installed")
    projections, geometry = disc_projections(WEDGE), TiltGeometry.square(WEDGE, N)
    ours, theirs = (
        reconstruct(
            projections,
            np.ones_like(projections),
            geometry,
            algorithm="fbp",
            backend=backend,
            iterations=1,
            nonnegative=False,
            tv_weight=None,
            threads=1,
        )[0]
        for backend in ("oxytomo", "astra")
    )
    middle = inside(radius=20)
    np.testing.assert_allclose(ours[middle].mean(), theirs[middle].mean(), rtol=0.01)
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.995


def test_tv_on_another_backend_is_refused() -> None:
    projections = disc_projections(WEDGE)
    with pytest.raises(ConfigError, match="expected oxytomo for total variation"):
        reconstruct(
            projections,
            np.ones_like(projections),
            TiltGeometry.square(WEDGE, N),
            algorithm="tv",
            backend="astra",
            iterations=1,
            nonnegative=True,
            tv_weight=None,
            threads=1,
        )


def test_a_missing_backend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "tomopy", None)
    projections = disc_projections(WEDGE)
    with pytest.raises(MissingPackageError, match="conda-forge"):
        reconstruct(
            projections,
            np.ones_like(projections),
            TiltGeometry.square(WEDGE, N),
            algorithm="fbp",
            backend="tomopy",
            iterations=1,
            nonnegative=True,
            tv_weight=None,
            threads=1,
        )
