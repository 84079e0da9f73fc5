"""What references of another laboratory do to a valence: published Mn L and Mn K spectra fitted by each other.

    python benchmarks/reference_sources.py DATA_FOLDER

DATA_FOLDER holds ``mn_l_references`` (digitised, two publications, continuum taken off) and ``mn_k_references`` (raw scans of
one beamline). The true valence is that of the compound. *Residual* is what the report calls the structured residual: root
mean square of what the references leave beyond noise, over that of the spectrum.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from oxytomo.arrays import Float64Array, Spectrum
from oxytomo.io.spectra import read_spectrum
from oxytomo.oxidation.edges import default_windows, inside
from oxytomo.oxidation.judgement import fit_spectrum
from oxytomo.oxidation.linear_combination import background_columns, condition_number
from oxytomo.oxidation.spectra import normalized_absorption

VALENCE = {"MnO": 2.0, "Mn3O4": 8 / 3, "Mn2O3": 3.0, "LaMnO3": 3.0, "SrMnO3": 4.0, "MnO2": 4.0}
L_EDGE = (
    ("Data3 LaMnO3", ("Data2 MnO", "Data2 SrMnO3"), "none"),
    ("Data3 LaMnO3", ("Data2 MnO", "Data2 SrMnO3"), "linear"),
    ("Data3 LaMnO3", ("Data2 MnO", "Data2 LaMnO3", "Data2 SrMnO3"), "linear"),
    ("Data2 LaMnO3", ("Data3 MnO", "Data3 LaMnO3", "Data3 MnO2"), "linear"),
    ("Data2 LaMnO3", ("Data3 MnO", "Data3 MnO2"), "linear"),
    ("Data3 LaMnO3", ("Data3 MnO", "Data3 MnO2"), "linear"),
    ("Data2 SrMnO3", ("Data3 MnO", "Data3 LaMnO3", "Data3 MnO2"), "linear"),
    ("Data3 MnO2", ("Data2 MnO", "Data2 LaMnO3", "Data2 SrMnO3"), "linear"),
    ("Data2 MnO", ("Data3 MnO", "Data3 LaMnO3", "Data3 MnO2"), "linear"),
    ("Data3 MnO", ("Data2 MnO", "Data2 LaMnO3", "Data2 SrMnO3"), "linear"),
)
K_EDGE = (
    ("Mn3O4", ("MnO", "Mn2O3", "MnO2"), "none"),
    ("Mn3O4", ("MnO", "MnO2"), "none"),
    ("Mn2O3", ("MnO", "Mn3O4", "MnO2"), "none"),
    ("Mn2O3", ("MnO", "MnO2"), "none"),
    ("MnO", ("Mn3O4", "Mn2O3", "MnO2"), "none"),
    ("MnO2", ("MnO", "Mn3O4", "Mn2O3"), "none"),
)
NOISE = 0.01
"""Standard error of a point over the white line: digitised spectra state none."""


def l_edge(folder: Path) -> dict[str, tuple[Spectrum, Float64Array]]:
    """Return the published spectra, pre-edge at 0 and of one area within the window of the fit (they have no edge jump)."""
    found = {}
    for path in sorted(folder.glob("*.csv")):
        spectrum = read_spectrum(path, group=None, energy_unit=None)
        windows = default_windows("Mn", spectrum.energy_ev)
        below = inside(spectrum.energy_ev, windows.pre_edge)
        mu = spectrum.absorption - spectrum.absorption[below].mean()
        grid = np.arange(*windows.fit, 0.05)
        area = float(np.trapezoid(np.interp(grid, spectrum.energy_ev, mu), grid))
        found[path.stem.replace("_", " ")] = (spectrum, mu / area)
    return found


def k_edge(folder: Path) -> dict[str, tuple[Spectrum, Float64Array]]:
    """Return the first scan of each oxide, normalised as the fit normalises references."""
    found = {}
    for path in sorted(folder.glob("*_rt_01.xdi")):
        spectrum = read_spectrum(path, group=None, energy_unit=None)
        windows = default_windows("Mn", spectrum.energy_ev)
        name = path.stem.split("_")[0]
        found[name] = (
            spectrum,
            normalized_absorption(
                spectrum,
                edge_ev=windows.edge_ev,
                pre_edge=windows.pre_edge,
                post_edge=windows.post_edge,
                name=name,
            ),
        )
    return found


def table(
    spectra: dict[str, tuple[Spectrum, Float64Array]], fits: Sequence[tuple[str, tuple[str, ...], str]]
) -> None:
    print(
        "| spectrum (valence) | fitted by | background | valence found | error | residual | condition number |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, by, background in fits:
        spectrum, mu = spectra[name]
        low = max(spectra[other][0].energy_ev[0] for other in (name, *by))
        window = default_windows("Mn", spectrum.energy_ev).fit
        chosen = inside(spectrum.energy_ev, (max(low, window[0]), window[1]))
        energy = spectrum.energy_ev[chosen]
        curves = np.stack([np.interp(energy, spectra[o][0].energy_ev, spectra[o][1]) for o in by], axis=1)
        columns = background_columns(energy, background=background)
        valences = np.array([VALENCE[other.split()[-1]] for other in by])
        error = np.full(energy.size, NOISE * float(mu[chosen].max()))
        fit = fit_spectrum(mu[chosen], error, curves, columns, valences)
        true = VALENCE[name.split()[-1]]
        shares = ", ".join(f"{o} {100 * f:.0f} %" for o, f in zip(by, fit.fractions, strict=True))
        print(
            f"| {name} ({true:.3g}) | {shares} | {background} | {fit.valence:.2f} | {fit.valence - true:+.2f} "
            f"| {100 * fit.structured_share:.0f} % | {condition_number(curves, columns):.1f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    print("Mn L edge, 638 to 648 eV:\n")
    table(l_edge(data / "mn_l_references"), L_EDGE)
    print("\nMn K edge, 6519 to 6569 eV:\n")
    table(k_edge(data / "mn_k_references"), K_EDGE)


if __name__ == "__main__":
    main()
