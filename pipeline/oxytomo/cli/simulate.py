"""``oxytomo simulate``: write a simulated acquisition, its ground truth and a configuration."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from oxytomo.arrays import TiltSeries
from oxytomo.cli.simulate_folder import make_folder, writable
from oxytomo.cli.simulate_instrument import add_arguments as add_effects
from oxytomo.cli.simulate_instrument import effects_help, instrument_settings, real_instrument
from oxytomo.errors import ConfigError, StoreError
from oxytomo.simulate import demonstration as demo
from oxytomo.simulate.demonstration import DENSITY_G_CM3, EDGES, FORMULA, TILT_LIMIT_DEG

DESCRIPTION = """\
Write a simulated acquisition of a cathode particle: raw files (raw/), the ground truth (truth.npz), and a
configuration that is ready to run (config.yaml). The kinds and their ground truth:
'tilts': dual-energy tilt series (densities, deviation, shifts);
'chemical-state': tilt series at many energies of an edge (valence, shifts);
'joint': dual-energy tilt series, with more energies at the edge of one metal (deviation, valence, shifts);
'xanes': stack of images through the edge of each element (valence, edge jump, shifts);
'holotomography': holograms at four distances (volume, shifts);
'volume': phase-contrast volume with pores and cracks (voids and their sizes);
'scattering': two maps of resonant inelastic scattering (feature, yields, emission offset);
'stress': labels of a sphere with a central void and pores (hoop and von Mises stress at the void)."""
EXAMPLES = f"""\
examples:
  oxytomo simulate demo
  oxytomo simulate holo --kind holotomography --size 128 --tilts 180 --pixel-nm 80
  oxytomo simulate null --uniform               a particle without deviation: every domain found in it is false
  oxytomo simulate xanes --kind xanes --elements Mn Ni --size 128
  oxytomo simulate both --kind joint            TM/O and the valence of one metal from one solution
  oxytomo simulate voids --kind volume          a volume with pores and cracks, for the structure branch
  oxytomo simulate ideal --kind stress          a sphere with voids, for the branch mechanics
  oxytomo simulate rixs --kind scattering       maps over excitation and emission energy, before and after
  oxytomo simulate quick --size 48 --tilts 33 --photons 1e5 --elements O Ni
  oxytomo simulate real --effect stray=0.015 --effect post_edge.O=1.05

{effects_help()}"""

KINDS = ("tilts", "chemical-state", "joint", "xanes", "holotomography", "volume", "stress", "scattering")
LARGEST_TRUTH = 320
"""Up to this edge the ground truth of a volume includes the label of every voxel."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    add = parser.add_argument
    add("folder", type=Path, metavar="OUT_DIR", help="output folder for raw/, truth.npz and config.yaml")
    add(
        "--kind",
        choices=KINDS,
        default="tilts",
        help="tilt series at two or many energies, stacks through edges, holograms, a volume, the idealised "
        "particle of stress calculations, or maps of resonant inelastic scattering (default: %(default)s)",
    )
    add(
        "--elements",
        nargs="+",
        default=None,
        metavar="EL",
        help="edges: O, Mn, Co, Ni (xanes: not O; chemical-state: one, default Ni; joint: the first metal has "
        "valences); default: all",
    )
    add("--size", type=int, default=demo.SIZE, help="pixels or voxels on a side (default: %(default)s)")
    add(
        "--tilts",
        type=int,
        default=demo.TILTS,
        help=f"tilts from -{TILT_LIMIT_DEG:g} to +{TILT_LIMIT_DEG:g}°, for holograms over 180° (default: %(default)s)",
    )
    add(
        "--photons",
        type=float,
        default=demo.PHOTONS,
        help="counts per pixel without a sample; scattering: per excitation (default: %(default)g)",
    )
    add("--pixel-nm", type=float, default=demo.PIXEL_NM, help="pixel size in nm (default: %(default)g)")
    add(
        "--diameter-nm",
        type=float,
        default=None,
        help="diameter of the particle in nm; default: 0.7 of the field of view (joint: at most 350 nm)",
    )
    add(
        "--jitter-px",
        type=float,
        default=demo.JITTER_PX,
        help="standard deviation of the random shift of each frame in pixels (default: %(default)g)",
    )
    add("--seed", type=int, default=0, help="seed of the random numbers (default: %(default)s)")
    add("--uniform", action="store_true", help="no domains, no rim; stress: no pores; scattering: equal maps")
    add(
        "--energies",
        type=int,
        default=None,
        help=f"energies of xanes (default: {demo.ENERGIES}) or chemical-state (default: {demo.STATE_ENERGIES}); "
        f"joint: energies beside the pair of the edge (default: {demo.JOINT_ENERGIES})",
    )
    add_effects(parser)
    add(
        "--law",
        choices=("diffusion", "core_shell"),
        default="diffusion",
        help="decrease of the valence towards the surface of a xanes particle (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Simulate and write; return the exit code."""
    if (arguments.effect or arguments.instrument) and arguments.kind != "tilts":
        raise ConfigError(
            "--effect and --instrument",
            expected="--kind tilts",
            got=f"--kind {arguments.kind}",
            fix="leave them out, or simulate a dual-energy tilt series",
        )
    writer = _writer(arguments)
    return _tilt_series(arguments) if writer is None else writer(arguments)


def _writer(arguments: argparse.Namespace) -> Callable[[argparse.Namespace], int] | None:
    """Complete and check the options of a kind; return what writes it, None for tilt series."""
    kind = arguments.kind
    if kind == "xanes":
        from oxytomo.cli.simulate_stack import write_stacks

        arguments.energies = arguments.energies or demo.ENERGIES
        return write_stacks
    if kind == "chemical-state":
        from oxytomo.cli.simulate_states import write_states

        arguments.energies = arguments.energies or demo.STATE_ENERGIES
        check_sizes(arguments)
        return write_states
    if kind == "scattering":
        from oxytomo.cli.simulate_scattering import write_maps

        return write_maps
    arguments.elements = arguments.elements or list(EDGES)
    _check(arguments)
    if kind == "joint":
        from oxytomo.cli.simulate_joint import write_joint

        arguments.energies = arguments.energies or demo.JOINT_ENERGIES
        return write_joint
    if kind == "stress":
        from oxytomo.cli.simulate_stress import write_stress

        return write_stress
    return _structure if kind == "volume" else None


def _tilt_series(arguments: argparse.Namespace) -> int:
    """Write dual-energy or holotomographic series with their truth."""
    from oxytomo.cli import simulate_holotomography as holotomography
    from oxytomo.io.readers.data_exchange import write_data_exchange

    rng = np.random.default_rng(arguments.seed)
    folder: Path = arguments.folder
    if arguments.kind == "holotomography":
        series, truth = holotomography.simulate(arguments, FORMULA, DENSITY_G_CM3, rng)
        name_of, text = (
            holotomography.raw_name,
            holotomography.configuration(arguments, FORMULA, DENSITY_G_CM3),
        )
    else:
        series, truth = _dual_energy(arguments, rng)
        name_of, text = raw_name, configuration(arguments.elements)
    with writable(folder):
        make_folder(folder, text, ("raw",))
        for name, recorded in series.items():
            write_data_exchange(folder / "raw" / name_of(name), recorded)
        np.savez_compressed(folder / "truth.npz", allow_pickle=False, **truth)
        if arguments.effect or arguments.instrument:
            used = instrument_settings(arguments).model_dump(mode="json", exclude_defaults=True)
            (folder / "instrument.yaml").write_text(yaml.safe_dump(used, sort_keys=False), encoding="utf-8")
    sys.stdout.write(f"{len(series)} tilt series in {folder / 'raw'}, truth in {folder / 'truth.npz'}\n")
    sys.stdout.write(f"next: oxytomo run {folder / 'config.yaml'}\n")
    return 0


def _dual_energy(
    arguments: argparse.Namespace, rng: np.random.Generator
) -> tuple[dict[str, TiltSeries], dict[str, np.ndarray]]:
    """Return the raw series of a dual-energy acquisition by name, and the truth."""
    from oxytomo.simulate.acquisition import simulate_acquisition, truth_arrays

    series, truth = simulate_acquisition(
        demo.particle(
            rng,
            diameter_nm=arguments.diameter_nm or 0.7 * arguments.size * arguments.pixel_nm,
            uniform=arguments.uniform,
        ),
        demo.acquisition(
            arguments.elements,
            size=arguments.size,
            n_tilts=arguments.tilts,
            photons=arguments.photons,
            pixel_nm=arguments.pixel_nm,
            jitter_px=arguments.jitter_px,
        ),
        formula=FORMULA,
        density_g_cm3=DENSITY_G_CM3,
        rng=rng,
        instrument=real_instrument(instrument_settings(arguments)),
    )
    return series, truth_arrays(truth)


def _structure(arguments: argparse.Namespace) -> int:
    """Write a volume with pores and cracks, its ground truth and a configuration."""
    import tifffile

    from oxytomo.simulate.voids import photographed_rows, random_scene

    rng = np.random.default_rng(arguments.seed)
    scene = random_scene(
        arguments.size,
        apertures_px=() if arguments.uniform else demo.APERTURES_PX,
        pore_radii_px=demo.PORE_RADII_PX,
        rng=rng,
    )
    rows = photographed_rows(
        scene,
        blur_px=demo.BLUR_PX,
        contrast_to_noise=demo.CONTRAST_TO_NOISE,
        shading=demo.SHADING,
        rng=rng,
    )
    folder: Path = arguments.folder
    config = {"structure": {"volume": "raw/volume.tif", "voxel_nm": arguments.pixel_nm}}
    text = yaml.safe_dump({"results": "results", "samples": {"particle": config}}, sort_keys=False)
    try:
        make_folder(folder, f"# Simulated volume; the truth is in truth.npz.\n{text}", ("raw",))
        path = folder / "raw" / "volume.tif"
        whole = tifffile.memmap(path, shape=scene.shape, dtype=np.float32, bigtiff=arguments.size > 1000)
        start = whole.offset
        del whole
        for part, values in rows:
            # The file is opened for each part, because mapped pages would count as memory.
            np.memmap(path, np.float32, "r+", offset=start, shape=scene.shape)[part] = values
        truth = {
            "crack_aperture_px": np.array([crack.aperture_px for crack in scene.cracks]),
            "pore_volume_px": np.array([pore.volume_px for pore in scene.pores]),
        }
        if arguments.size <= LARGEST_TRUTH:
            drawn = scene.rows(slice(0, arguments.size))
            names = ("envelope", "void", "crack_index", "pore_index")
            truth |= {name: getattr(drawn, name) for name in names}
        np.savez_compressed(folder / "truth.npz", allow_pickle=False, **truth)
    except OSError as error:
        raise StoreError(
            str(folder),
            expected="a folder that may be written",
            got=error.strerror or str(error),
            fix="choose another",
        ) from error
    sys.stdout.write(f"volume in {folder / 'raw'}, truth in {folder / 'truth.npz'}\n")
    sys.stdout.write(f"next: oxytomo run {folder / 'config.yaml'}\n")
    return 0


def raw_name(series: str) -> str:
    """Return the file name of a series: ``Mn_pre`` is in ``Mn_L_pre.h5``."""
    element, side = series.split("_")
    return f"{element}_{EDGES[element][0]}_{side}.h5"


def configuration(elements: list[str]) -> str:
    """Return a configuration for the simulated files."""
    edges = {
        element: {side: f"raw/{raw_name(f'{element}_{side}')}" for side in ("pre", "post")}
        for element in elements
    }
    composition = {"edges": edges, "formula": FORMULA, "density_g_cm3": DENSITY_G_CM3}
    text = yaml.safe_dump({"samples": {"particle": {"composition": composition}}}, sort_keys=False)
    return f"# Simulated acquisition; the truth is in truth.npz.\nresults: results\n{text}"


def _check(arguments: argparse.Namespace) -> None:
    """Refuse sizes and numbers that give no valid acquisition."""
    unknown = [element for element in arguments.elements if element not in EDGES]
    if unknown or "O" not in arguments.elements or len(set(arguments.elements)) < 2:
        raise ConfigError(
            "--elements",
            expected=f"O and at least one more of {', '.join(EDGES)}",
            got=" ".join(arguments.elements),
            fix="give e.g. --elements O Mn Ni",
        )
    check_sizes(arguments)


def check_sizes(arguments: argparse.Namespace) -> None:
    """Refuse sizes and numbers out of range."""
    limits = {
        "--size": (arguments.size, 16, 4096),
        "--tilts": (arguments.tilts, 3, 2000),
        "--photons": (arguments.photons, 1, 1e9),
        "--pixel-nm": (arguments.pixel_nm, 0.01, 1e5),
        "--jitter-px": (arguments.jitter_px, 0, arguments.size / 8),
        "--seed": (arguments.seed, 0, 2**32),
    }
    field_nm = arguments.size * arguments.pixel_nm
    if arguments.diameter_nm is not None:
        limits["--diameter-nm"] = (arguments.diameter_nm, 0.05 * field_nm, 0.95 * field_nm)
    for name, (value, low, high) in limits.items():
        if not low <= value <= high:
            raise ConfigError(
                name, expected=f"{low:g} to {high:g}", got=f"{value:g}", fix="correct the option"
            )
