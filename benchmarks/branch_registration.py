"""How well two volumes of one particle are registered, with exact truth: a table of docs/benchmarks/branches.md.

``python benchmarks/branch_registration.py [--seeds 6] [--first 700]``. The particle is drawn with 12 nm voxels turned at random
(the structure) and with 25 nm voxels (the composition), each blurred by a voxel and with noise. ``tilts to 65°``: the composition
is reconstructed by non-negative SIRT from 66 tilts of the particle instead of drawn.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from oxytomo.align.coarse import Solid
from oxytomo.align.rigid import RigidFit, register_rigid
from oxytomo.reconstruct.blocks import projections_from_blocks, to_blocks
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.reconstruct.projector import forward
from oxytomo.reconstruct.sirt import sirt
from oxytomo.segment.components import filled_bodies
from oxytomo.simulate.void_objects import random_skin
from oxytomo.simulate.voids import Scene, random_scene, turned

FINE_NM, COARSE_NM, FINE, COARSE = 12.0, 25.0, 104, 54
CASES = {
    "nearly spherical, cracks and pores": {"roughness": 0.04},
    "rough, cracks and pores": {"roughness": 0.2},
    "rough, no voids": {"roughness": 0.2, "voids": False},
    "nearly spherical, tilts to 65°": {"roughness": 0.04, "wedge": True},
    "rough, tilts to 65°": {"roughness": 0.2, "wedge": True},
    "mirror image, nearly spherical": {"roughness": 0.04, "mirror": True},
    "another particle, nearly spherical": {"roughness": 0.04, "other": True},
    "another particle, rough": {"roughness": 0.2, "other": True},
}


def particle(seed: int, roughness: float, voids: bool) -> Scene:
    """Return a particle of 1 µm with flat cracks and pores."""
    rng = np.random.default_rng(seed)
    apertures, radii = ((2.0, 3.0), (3.0, 4.0, 5.0, 6.0, 7.0)) if voids else ((), ())
    scene = random_scene(FINE, apertures_px=apertures, pore_radii_px=radii, rng=rng)
    flat = tuple(replace(crack, bend=0.0) for crack in scene.cracks)
    return replace(scene, skin=random_skin(0.41 * FINE, roughness, rng), cracks=flat)


def tilted(density: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the reconstruction from 66 noisy projections within 65°."""
    n = density.shape[1]
    middle = (n - 1) / 2
    geometry = TiltGeometry(np.linspace(-65, 65, 66), n, middle, n, n, middle, middle)
    frames = projections_from_blocks(forward(to_blocks(density), geometry), density.shape[0])
    frames += 0.2 * rng.standard_normal(frames.shape).astype(np.float32)
    return sirt(frames, geometry, iterations=60, nonnegative=True)


def photographed(
    scene: Scene, voxel_nm: float, rng: np.random.Generator, *, wedge: bool, mirror: bool
) -> Solid:
    """Return the solid of a particle as a microscope shows it."""
    drawn = scene.rows(slice(0, scene.shape[0]))
    density = gaussian_filter(drawn.envelope - drawn.void, 1.0)
    density = tilted(density, rng) if wedge else density + 0.2 * rng.standard_normal(density.shape)
    density = density[::-1] if mirror else density
    inside = filled_bodies(gaussian_filter(density, 1.5) > 0.5)
    lines = [np.flatnonzero(inside.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    z, y, x = (slice(int(line[0]), int(line[-1]) + 1) for line in lines)
    values = np.where(inside, density, 0).astype(np.float32)
    return Solid(lambda rows: values[rows], (z, y, x), voxel_nm)


def trial(
    seed: int,
    *,
    roughness: float,
    voids: bool = True,
    wedge: bool = False,
    mirror: bool = False,
    other: bool = False,
) -> tuple[RigidFit, float, float, float]:
    """Return the fit, errors in degrees and nm, and seconds."""
    rng = np.random.default_rng([seed, 1])
    rotation = Rotation.random(random_state=seed).as_matrix()
    scene = particle(seed, roughness, voids)
    shown = particle(seed + 100_000, roughness, voids) if other else scene
    small = turned(scene, np.eye(3), scale=FINE_NM / COARSE_NM, size=COARSE)
    fixed = photographed(small, COARSE_NM, rng, wedge=wedge, mirror=False)
    moving = photographed(
        turned(shown, rotation, scale=1.0, size=FINE), FINE_NM, rng, wedge=False, mirror=mirror
    )
    started = time.process_time()
    fit = register_rigid(fixed, moving)
    seconds = time.process_time() - started
    middle, wanted = (np.full(3, (n - 1) / 2 * nm) for n, nm in ((COARSE, COARSE_NM), (FINE, FINE_NM)))
    off = float(np.linalg.norm(fit.rotation @ middle + fit.translation_nm - wanted))
    angle = float(np.rad2deg(Rotation.from_matrix(fit.rotation @ rotation.T).magnitude()))
    return fit, angle, off, seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first", type=int, default=700)
    given = parser.parse_args()
    print(
        "| case | verdicts | rotation error (°) | stated | translation error (voxels of 25 nm) | stated | margin | CPU s |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, options in CASES.items():
        found = [trial(seed, **options) for seed in range(given.first, given.first + given.seeds)]
        fits = [fit for fit, *_ in found]
        counts = {
            verdict: sum(fit.verdict == verdict for fit in fits) for verdict in {f.verdict for f in fits}
        }
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
        margins = f"{min(f.margin for f in fits):.2f} to {max(f.margin for f in fits):.2f}"
        errors = "– | – | – | –"
        if not ({"other", "mirror"} & set(options)):
            turns, shifts = ([row[i] for row in found] for i in (1, 2))
            stated_turn = np.mean([f.rotation_error_deg for f in fits])
            stated_shift = np.mean([f.translation_error_nm for f in fits]) / COARSE_NM
            errors = (
                f"{np.sqrt(np.mean(np.square(turns))):.2f} rms, {max(turns):.2f} most | {stated_turn:.2f} | "
                f"{np.sqrt(np.mean(np.square(shifts))) / COARSE_NM:.3f} rms, {max(shifts) / COARSE_NM:.3f} most | "
                f"{stated_shift:.3f}"
            )
        print(
            f"| {name} | {verdicts} | {errors} | {margins} | {np.mean([row[3] for row in found]):.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
