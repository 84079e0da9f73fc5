"""``oxytomo gitt``: diffusivity of lithium from the file of a battery cycler."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oxytomo.errors import ConfigError, InputError, errors_about

if TYPE_CHECKING:
    from oxytomo.electrochemistry.gitt import Electrode, Titrated

DESCRIPTION = """\
Find the pulses and rests of a GITT measurement (galvanostatic intermittent titration), and give the diffusivity of
lithium over the lithium content: from the slope of the pulse (eq. 1), from the change of the potential (eq. 2), both
without the ohmic drop, and from a fit of spheres to pulse and rest. Steps that had not come to rest are flagged. The
command writes <name>_gitt.csv (all steps), <name>_diffusivity.csv (for the setting diffusivity_m2_s of mechanics)
and <name>_gitt.png."""
EXAMPLES = """\
examples:
  oxytomo gitt cell.csv --formula Li1.2Mn0.56Ni0.16Co0.08O2 --mass-mg 5.2 --radius-um 0.1
  oxytomo gitt cell.mpr --formula LiNi0.8Mn0.1Co0.1O2 --mass-mg 8 --surface-m2-g 0.4 --density-g-cm3 4.7

the file: a table with columns of time, potential and current whose names hold the units (time/s, Ewe/V, I/mA), or
  .mpt of EC-Lab; BioLogic .mpr, Neware .nda and .ndax with pip install 'oxytomo[cycler]'. The current is positive on charge."""
LIMITS = {
    "mass_mg": (1e-9, 1e9),
    "radius_um": (1e-4, 1e4),
    "surface_m2_g": (1e-4, 1e4),
    "density_g_cm3": (0.1, 30.0),
    "lithium_start": (0.0, 20.0),
    "size_error": (0.0, 1.0),
    "skip_s": (0.0, 1e7),
}
"""Smallest and largest value of each option with a number."""
COLUMNS = (
    "start_s",
    "pulse_s",
    "rest_s",
    "current_a",
    "lithium_before",
    "lithium_after",
    "voltage_before_v",
    "voltage_after_v",
    "steady_v",
    "transient_v",
    "ohmic_v",
    "slope_v_per_sqrt_s",
    "d_slope_m2_s",
    "slope_log_error",
    "d_steady_m2_s",
    "steady_log_error",
    "d_sphere_m2_s",
    "sphere_log_error",
    "tau_d_r2",
    "rest_left",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    parser.add_argument("file", type=Path, metavar="FILE", help="file of the cycler")
    parser.add_argument("--formula", required=True, help="formula unit, e.g. Li1.2Mn0.56Ni0.16Co0.08O2")
    parser.add_argument("--mass-mg", type=float, required=True, help="mass of the active material in mg")
    parser.add_argument(
        "--lithium-start",
        type=float,
        help="lithium per formula unit at the first record; default: that of the formula",
    )
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--radius-um", type=float, help="radius in µm of the spheres that lithium diffuses in")
    size.add_argument(
        "--surface-m2-g", type=float, help="specific surface (BET) in m²/g; with --density-g-cm3"
    )
    parser.add_argument("--density-g-cm3", type=float, help="density of the active material in g/cm³")
    parser.add_argument(
        "--size-error",
        type=float,
        default=0.0,
        help="standard error of radius or surface as a share of it; D goes with its square (default: 0)",
    )
    parser.add_argument(
        "--skip-s",
        type=float,
        default=0.0,
        help="seconds to leave out after each switching of the current, while double layers charge (default: 0)",
    )
    parser.add_argument(
        "--direction",
        choices=("both", "charge", "discharge"),
        default="both",
        help="pulses of <name>_diffusivity.csv (default: both)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="folder to write to (default: the working folder)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Read, analyse, write, and print the result."""
    electrode = _electrode(arguments)
    from oxytomo.electrochemistry.gitt import analyse
    from oxytomo.electrochemistry.steps import find_titrations
    from oxytomo.io.cycler import read_cycler

    paths = _paths(arguments)
    records = read_cycler(arguments.file)
    with errors_about(str(arguments.file)):
        steps = find_titrations(records.time_s, records.current_a)
        found = analyse(records, steps.titrations, electrode)
    _write(arguments, records, found, paths)
    for line in (*_summary(found, steps.left_out, electrode), *map(str, paths)):
        sys.stdout.write(f"{line}\n")
    return 0


def _electrode(arguments: argparse.Namespace) -> "Electrode":
    """Return what the options say of the electrode."""
    from oxytomo.electrochemistry.charge import molar_mass
    from oxytomo.electrochemistry.gitt import Electrode

    atoms = _formula(arguments.formula)
    for name in LIMITS:
        _require(name, getattr(arguments, name))
    if (arguments.surface_m2_g is None) != (arguments.density_g_cm3 is None):
        missing = "--density-g-cm3" if arguments.density_g_cm3 is None else "--surface-m2-g"
        raise ConfigError(
            missing,
            expected="specific surface and density together: R = 3 / (density × surface)",
            got="only one of them",
            fix=f"add {missing}, or give --radius-um alone",
        )
    if arguments.radius_um is None:
        radius_m = 3e-6 / (arguments.density_g_cm3 * arguments.surface_m2_g)
    else:
        radius_m = 1e-6 * arguments.radius_um
    import xraydb

    start = atoms.get("Li", 0.0) if arguments.lithium_start is None else arguments.lithium_start
    return Electrode(
        radius_m=radius_m,
        radius_error=arguments.size_error,
        mass_g=1e-3 * arguments.mass_mg,
        molar_mass_g=molar_mass(atoms, {e: float(xraydb.atomic_mass(e)) for e in atoms}),
        lithium_start=start,
        skip_s=arguments.skip_s,
    )


def _formula(text: str) -> dict[str, float]:
    from oxytomo.config.elements import EXAMPLE, parse_formula

    atoms = parse_formula(text)
    if atoms is None or "Li" not in atoms:
        raise ConfigError(
            "--formula",
            expected="a formula with lithium",
            got=f"'{text[:80]}'",
            fix=f"write e.g. {EXAMPLE.partition(',')[0]}",
        )
    return atoms


def _require(name: str, value: float | None) -> None:
    """Refuse numbers outside their limits; None is not checked."""
    low, high = LIMITS[name]
    if value is not None and not low <= value <= high:
        option = f"--{name.replace('_', '-')}"
        raise ConfigError(
            option, expected=f"a number from {low:g} to {high:g}", got=f"{value:g}", fix="correct it"
        )


def _paths(arguments: argparse.Namespace) -> list[Path]:
    """Return the paths of both tables and the figure; other files of these names are kept."""
    from oxytomo.io.ways_out import require_own

    stem = arguments.output / arguments.file.stem
    paths = [stem.with_name(f"{stem.name}{end}") for end in ("_gitt.csv", "_diffusivity.csv", "_gitt.png")]
    for path, start in zip(paths, (b"start_s,pulse_s,", b"lithium_content,", b"\x89PNG"), strict=True):
        require_own(path, (start,), what="result of this command", option="--output")
    return paths


def _write(
    arguments: argparse.Namespace, records: Any, found: Sequence["Titrated"], paths: Sequence[Path]
) -> None:
    """Write both tables and the figure."""
    import numpy as np

    from oxytomo.electrochemistry.gitt import over_lithium
    from oxytomo.io.atomic import complete_or_absent
    from oxytomo.io.tables import write_csv
    from oxytomo.view.gitt_figure import gitt_figure
    from oxytomo.view.style import to_png

    columns: dict[str, Any] = {name: [getattr(one, name) for one in found] for name in COLUMNS}
    write_csv(paths[0], columns | {"flags": ["; ".join(one.flags) for one in found]})
    kept = _kept(found, arguments.direction)
    if not kept and _kept(found, "both"):
        raise ConfigError(
            f"--direction {arguments.direction}",
            expected=f"a pulse of {arguments.direction} whose diffusivity is determined",
            got=f"none; those in the other direction are in {paths[0]}",
            fix="leave out --direction",
        )
    if not kept:
        raise InputError(
            str(arguments.file),
            expected="a step whose diffusivity is determined (see the flags in the table)",
            got=f"none of {len(found)} steps ({_counted(found)}); {paths[0]} is written",
            fix="record the pulses more densely, rest longer, or leave out double layers with --skip-s",
        )
    lithium, diffusivity, log_error = over_lithium(kept)
    columns = {"lithium_content": lithium, "diffusivity_m2_s": diffusivity}
    columns["error_m2_s"] = diffusivity * log_error
    columns |= {"low_95_m2_s": diffusivity * np.exp(-1.96 * log_error)}
    columns |= {"high_95_m2_s": diffusivity * np.exp(1.96 * log_error)}
    write_csv(paths[1], columns)
    with complete_or_absent(paths[2]) as partial:
        partial.write_bytes(to_png(gitt_figure(records, found)))


def _kept(found: Sequence["Titrated"], direction: str) -> list["Titrated"]:
    """Return the steps for mechanics."""
    sign = {"both": 0, "charge": 1, "discharge": -1}[direction]
    return [one for one in found if one.determined and (sign == 0 or one.current_a * sign > 0)]


def _counted(found: Sequence["Titrated"]) -> str:
    counts = Counter(flag for one in found for flag in one.flags)
    return ", ".join(f"{number} {flag}" for flag, number in counts.most_common()) or "no flags"


def _summary(found: Sequence["Titrated"], left_out: dict[str, int], electrode: "Electrode") -> list[str]:
    """Return the result as lines."""
    kept = _kept(found, "both")
    lithium = [one.lithium for one in found]
    values = sorted(one.d_sphere_m2_s for one in kept)
    lines = [
        f"{len(found)} pulses with rests, {min(lithium):.3f} to {max(lithium):.3f} Li per formula unit; spheres of "
        f"{electrode.radius_m * 1e6:.3g} µm radius",
        f"D {values[len(values) // 2]:.3g} m²/s (median of {len(kept)}; {values[0]:.2g} to {values[-1]:.2g}), sphere model",
        f"flags: {_counted(found)}",
    ]
    lines += [f"left out: {number} steps with current, {reason}" for reason, number in left_out.items()]
    return lines
