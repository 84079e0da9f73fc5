"""Reference spectra: reading every format, normalisation, and what can be wrong with a set."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from oxytomo.arrays import Spectrum
from oxytomo.config import ReferenceSource
from oxytomo.config.stage_settings import FitValenceStage
from oxytomo.errors import InputError
from oxytomo.io.references import read_references
from oxytomo.io.spectra import read_spectrum
from oxytomo.oxidation.edges import default_windows
from oxytomo.oxidation.fit_setup import FitOptions, prepared_references
from oxytomo.oxidation.judgement import fit_spectrum
from oxytomo.oxidation.spectra import (
    Reference,
    check_valence_order,
    is_normalized,
    normalization_span,
    normalized_absorption,
    on_grid,
)

ENERGY = np.linspace(630.0, 665.0, 71)
MU = 0.1 + 0.5 * (ENERGY > 640) + np.exp(-((ENERGY - 641) ** 2))


def plain(path: Path) -> Spectrum:
    return read_spectrum(path, group=None, energy_unit=None)


def rows(energy: np.ndarray, mu: np.ndarray, separator: str = " ") -> str:
    return "\n".join(f"{e:.4f}{separator}{y:.8f}" for e, y in zip(energy, mu, strict=True)) + "\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("two.txt", rows(ENERGY, MU)),
        ("tabs.dat", "# measured\n" + rows(ENERGY, MU, "\t")),
        ("names.csv", "\ufeffEnergy (eV),mu\n" + rows(ENERGY, MU, ",")),
        ("kev.csv", "energy_kev;absorption\n" + rows(ENERGY / 1e3, MU, ";").replace("0.6", "0.6")),
        ("guess.txt", rows(ENERGY / 1e3, MU)),
        ("reverse.txt", rows(ENERGY[::-1], MU[::-1])),
        (
            "xdi.xdi",
            "# XDI/1.0\n# Column.1: energy eV\n# Column.2: mutrans\n# ///\n#----\n" + rows(ENERGY, MU),
        ),
    ],
)
def test_every_way_to_write_a_spectrum(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    spectrum = plain(tmp_path / name)
    # keV with four decimals are exact to 0.05 eV; the energies are multiples of 0.5 eV.
    np.testing.assert_allclose(spectrum.energy_ev, ENERGY, atol=0.051)
    np.testing.assert_allclose(spectrum.absorption, MU, atol=1e-6)


def test_intensities_become_absorption(tmp_path: Path) -> None:
    table = np.stack([ENERGY, np.full(71, 1000.0), 1000 * np.exp(-MU), 1000 * MU], axis=1)
    path = tmp_path / "raw.xdi"
    names = "# XDI/1.0\n# Column.1: energy eV\n# Column.2: i0\n# Column.3: itrans\n# Column.4: irefer\n"
    path.write_text(names + "\n".join(" ".join(f"{x:.9g}" for x in row) for row in table))
    np.testing.assert_allclose(plain(path).absorption, MU, rtol=1e-6)
    path.write_text(
        names.replace("itrans", "other").replace("irefer", "ifluor") + path.read_text()[len(names) :]
    )
    np.testing.assert_allclose(plain(path).absorption, MU, rtol=1e-6)


def test_repeated_energies_are_averaged(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(rows(ENERGY, MU) + rows(ENERGY[:5], MU[:5] + 0.2))
    spectrum = plain(tmp_path / "a.txt")
    assert spectrum.energy_ev.size == 71
    np.testing.assert_allclose(spectrum.absorption[:5], MU[:5] + 0.1, atol=1e-6)


def athena(label: str, shift: str = "") -> str:
    listed = [", ".join(f"'{x:.6f}'" for x in column) for column in (ENERGY, MU)]
    moved = f"'bkg_eshift','{shift}'," if shift else ""
    return (
        f"$old_group = '{label}';\n@args = ('datatype','xmu',{moved}'label','{label}','bkg_e0','640');\n"
        f"@x = ({listed[0]});\n@y = ({listed[1]});\n[record]\n\n"
    )


@pytest.mark.parametrize("compressed", [False, True])
def test_groups_of_an_athena_project(tmp_path: Path, compressed: bool) -> None:
    text = "# Athena project file -- Demeter version 0.9.24\n" + athena("MnO") + athena("MnO2")
    path = tmp_path / "standards.prj"
    path.write_bytes(gzip.compress(text.encode()) if compressed else text.encode())
    spectrum = read_spectrum(path, group="MnO2", energy_unit=None)
    np.testing.assert_allclose(spectrum.absorption, MU, atol=1e-5)
    with pytest.raises(InputError, match=r"one group .* got MnO, MnO2"):
        plain(path)
    with pytest.raises(InputError, match="the group 'Mn3O4', got MnO, MnO2"):
        read_spectrum(path, group="Mn3O4", energy_unit=None)


def test_a_calibration_kept_by_athena_moves_the_energies(tmp_path: Path) -> None:
    """Athena stores energies as measured, and beside them the shift that calibrates them: E = x + bkg_eshift."""
    path = tmp_path / "standards.prj"
    text = "# Athena project file -- Demeter version 0.9.24\n"
    path.write_text(text + athena("a") + athena("b", "1.2") + athena("c", "-0.35") + athena("d", "0"))
    for group, shift in (("a", 0.0), ("b", 1.2), ("c", -0.35), ("d", 0.0)):
        spectrum = read_spectrum(path, group=group, energy_unit=None)
        np.testing.assert_allclose(spectrum.energy_ev, ENERGY + shift, atol=1e-9)
        np.testing.assert_allclose(spectrum.absorption, MU, atol=1e-6)
    path.write_text(text + athena("a", "much"))
    with pytest.raises(InputError, match="numbers of 'a' that cannot be read"):
        plain(path)


def test_a_spectrum_says_whether_it_is_normalized(tmp_path: Path) -> None:
    windows = {"edge_ev": 638.7, "pre_edge": (620.0, 637.0), "post_edge": (655.0, 690.0)}
    done = (step(0.0).absorption - 0.3) / 2
    assert is_normalized(Spectrum(ENERGY, done), **windows)
    assert not is_normalized(step(0.0), **windows)
    assert not is_normalized(Spectrum(ENERGY, done + 0.1), **windows)
    assert not is_normalized(Spectrum(ENERGY, 1.2 * done), **windows)
    assert not is_normalized(Spectrum(ENERGY[:40], done[:40]), **windows)
    assert normalization_span(step(0.0), edge_ev=638.7, post_edge=(655.0, 690.0)) == 10.0
    (tmp_path / "norm.csv").write_text("energy,norm\n" + rows(ENERGY, MU, ","))
    (tmp_path / "mu.csv").write_text("energy,mu\n" + rows(ENERGY, MU, ","))
    assert is_normalized(plain(tmp_path / "norm.csv"), **windows)
    assert not is_normalized(plain(tmp_path / "mu.csv"), **windows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no columns of numbers"),
        ("1 2\n", "at least 5 points"),
        ("\n".join(f"{e} x" for e in range(9)), "columns"),
        ("\n".join(f"{e} 1.0" for e in range(600, 609)), "the same absorption everywhere"),
        ("\n".join(f"{e} {e} {e} {e}" for e in range(600, 609)), "4 columns of which none is named"),
        ("\n".join(f"{e} nan" for e in range(600, 609)), "not finite in row 1"),
    ],
)
def test_what_is_no_spectrum_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.txt").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        plain(tmp_path / "x.txt")
    assert "\n" not in str(caught.value)
    assert "x.txt" in str(caught.value)


def test_a_missing_file_and_a_damaged_project(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        plain(tmp_path / "none.csv")
    (tmp_path / "cut.prj").write_bytes(gzip.compress(athena("a").encode())[:200])
    with pytest.raises(InputError, match=r"cut\.prj"):
        plain(tmp_path / "cut.prj")


def step(shift: float, slope: float = 0.0) -> Spectrum:
    """A step of 2 at 640 eV on a background of 0.3, with a white line."""
    mu = 0.3 + slope * (ENERGY - 640) + 2.0 * (ENERGY > 639.5) + 3 * np.exp(-((ENERGY - 641 - shift) ** 2))
    return Spectrum(ENERGY, mu)


def normalized(spectrum: Spectrum) -> np.ndarray:
    return normalized_absorption(
        spectrum, edge_ev=638.7, pre_edge=(620.0, 637.0), post_edge=(655.0, 690.0), name="reference a"
    )


def test_pre_edge_is_zero_and_post_edge_one() -> None:
    mu = normalized(step(0.0))
    np.testing.assert_allclose(mu[ENERGY < 636], 0, atol=1e-4)
    np.testing.assert_allclose(mu[ENERGY > 655], 1, atol=1e-9)
    assert mu.max() == pytest.approx(1 + 1.5, abs=0.01)


def test_lines_are_fitted_where_there_is_room() -> None:
    energy = np.linspace(6400.0, 6800.0, 801)
    mu = 0.4 - 5e-4 * (energy - 6539) + (energy > 6539) * (1.5 - 3e-4 * (energy - 6539))
    windows = default_windows("Mn", energy)
    flat = normalized_absorption(
        Spectrum(energy, mu),
        edge_ev=windows.edge_ev,
        pre_edge=windows.pre_edge,
        post_edge=windows.post_edge,
        name="x",
    )
    assert windows.edge == "K"
    np.testing.assert_allclose(flat[energy < 6538], 0, atol=1e-9)
    np.testing.assert_allclose(flat[energy > 6540], 1, atol=1e-3)


def test_a_falling_edge_and_a_short_reference_are_refused() -> None:
    with pytest.raises(InputError, match="more absorption above the edge"):
        normalized(Spectrum(ENERGY, -step(0.0).absorption))
    short = Spectrum(ENERGY[20:], step(0.0).absorption[20:])
    with pytest.raises(InputError, match=r"energies below the edge, 620 to 637 eV, got 640 to 665 eV"):
        normalized(short)


def test_a_reference_without_continuum_is_refused() -> None:
    """Divided by an edge jump that is noise, its amounts would be small by any factor and valences plausible."""
    peak = 3 * np.exp(-((ENERGY - 641) ** 2)) + 0.02 * (ENERGY > 640)
    with pytest.raises(InputError, match=r"an edge jump, at least 1/30 of the white line, got 1/15\d"):
        normalized(Spectrum(ENERGY, 0.3 + peak))


def test_a_reference_must_cover_the_fit() -> None:
    grid = np.linspace(636.0, 648.0, 30)
    np.testing.assert_allclose(on_grid(ENERGY, step(0.0), MU, name="a"), MU)
    cut = Spectrum(ENERGY[:30], MU[:30])
    with pytest.raises(InputError, match=r"covers the fit from 636 to 648 eV, got 630 to 644.5 eV"):
        on_grid(grid, cut, MU[:30], name="a")
    holes = np.delete(np.arange(71), np.arange(14, 26))
    with pytest.raises(InputError, match="with a gap of"):
        on_grid(grid, Spectrum(ENERGY[holes], MU[holes]), MU[holes], name="a")


def test_swapped_valences_are_refused() -> None:
    window = (ENERGY >= 638) & (ENERGY <= 648)
    curves = np.stack([normalized(step(shift))[window] for shift in (0.0, 1.5)], axis=1)
    low, high = step(0.0), step(1.5)
    right = [Reference("MnO", 2.0, low), Reference("MnO2", 4.0, high)]
    swapped = [Reference("MnO", 4.0, low), Reference("MnO2", 2.0, high)]
    assert check_valence_order(ENERGY[window], curves, right, declared=False) is None
    with pytest.raises(InputError, match="the valences are probably swapped"):
        check_valence_order(ENERGY[window], curves, swapped, declared=False)


@pytest.mark.parametrize(
    ("moved", "low", "declared"), [(0.9, 2.0, True), (0.9, 0.0, False), (3.0, 0.0, True)]
)
def test_a_small_contradiction_is_a_remark_for_metals_and_normalised_references(
    moved: float, low: float, declared: bool
) -> None:
    """A metal has no white line: its mean energy over a window says nothing. Nor does a gap that a normalisation makes."""
    window = (ENERGY >= 638) & (ENERGY <= 648)
    curves = np.stack([np.exp(-((ENERGY[window] - 642 - away) ** 2)) for away in (moved, 0.0)], axis=1)
    references = [Reference("low", low, step(moved)), Reference("oxide", low + 2, step(0.0))]
    remark = check_valence_order(ENERGY[window], curves, references, declared=declared)
    assert remark is not None
    assert "although its valence is higher" in remark


def test_clearly_swapped_references_are_refused_though_they_are_called_normalised() -> None:
    window = (ENERGY >= 638) & (ENERGY <= 648)
    curves = np.stack([np.exp(-((ENERGY[window] - 642 - away) ** 2)) for away in (1.5, 0.0)], axis=1)
    references = [Reference("low", 2.0, step(1.5)), Reference("high", 4.0, step(0.0))]
    with pytest.raises(InputError, match="the valences are probably swapped"):
        check_valence_order(ENERGY[window], curves, references, declared=True)


@pytest.mark.parametrize(("third", "refused"), [(4.0, True), (3.3, False)])
def test_one_reference_out_of_order(third: float, refused: bool) -> None:
    """Two of three swapped are refused like all; valences that hardly differ are only remarked."""
    window = (ENERGY >= 638) & (ENERGY <= 648)
    curves = np.stack([normalized(step(shift))[window] for shift in (0.0, 3.0, 1.0)], axis=1)
    references = [Reference(name, v, step(0.0)) for name, v in (("a", 2.0), ("b", 3.0), ("c", third))]
    if refused:
        with pytest.raises(InputError, match=r"references b \(3\) and c \(4\): .* probably swapped"):
            check_valence_order(ENERGY[window], curves, references, declared=False)
    else:
        remark = check_valence_order(ENERGY[window], curves, references, declared=False)
        assert remark is not None
        assert "c (3.3) lies below that of b (3)" in remark


@pytest.mark.parametrize("energies", [np.array([0.635, 0.665]), np.array([775.0, 800.0])])
def test_energies_must_span_an_edge(energies: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"both sides of an edge of Mn .K at 6539 eV, L3 at 638.7 eV"):
        default_windows("Mn", energies)


@pytest.mark.parametrize(
    ("element", "energies", "window"),
    [
        ("O", (525.0, 555.0), (526.0, 536.0)),
        ("Mn", (635.0, 665.0), (638.0, 648.0)),
        ("Co", (775.0, 805.0), (775.0, 782.0)),
        ("Ni", (848.0, 880.0), (850.0, 860.0)),
    ],
)
def test_default_windows_are_those_of_the_paper(element: str, energies: tuple[float, float], window) -> None:
    assert default_windows(element, np.array(energies)).fit == window


@pytest.mark.data
def test_published_references_are_read(shared_data: Path) -> None:
    for path in sorted((shared_data / "mn_l_references").glob("*.csv")):
        spectrum = plain(path)
        assert 636 < spectrum.energy_ev[0] < 638
        assert 639 < spectrum.energy_ev[spectrum.absorption.argmax()] < 645
    scans = {}
    for name in ("MnO", "Mn2O3", "MnO2"):
        spectrum = plain(shared_data / "mn_k_references" / f"{name}_rt_01.xdi")
        windows = default_windows("Mn", spectrum.energy_ev)
        flat = normalized_absorption(
            spectrum,
            edge_ev=windows.edge_ev,
            pre_edge=windows.pre_edge,
            post_edge=windows.post_edge,
            name=name,
        )
        scans[name] = float(spectrum.energy_ev[np.flatnonzero(flat > 0.5)[0]])
    # The chemical shift of the K edge: higher valence, higher energy.
    assert scans["MnO"] + 2 < scans["Mn2O3"] < scans["MnO2"]


NI_ENERGY = np.arange(8200.0, 8800.0, 1.0)


def ni_edge(valence: int) -> np.ndarray:
    """A normalised K edge with fine structure: metal without, oxide with a white line and a later edge."""
    edge, line, wave = {0: (8333.0, 0.05, 0.06), 2: (8341.0, 0.7, 0.09)}[valence]
    k = np.sqrt(np.maximum(NI_ENERGY - edge, 0))
    mu = 1 / (1 + np.exp(-(NI_ENERGY - edge) / 2)) + line * np.exp(-(((NI_ENERGY - edge - 7) / 4) ** 2))
    return mu + (edge + 12 < NI_ENERGY) * wave * np.sin(0.9 * k + valence) * np.exp(-k / 12)


@pytest.mark.slow
@pytest.mark.parametrize("last_ev", [8430.0, 8500.0, 8799.0])
@pytest.mark.parametrize("scaled", [False, True])
def test_a_mixture_of_a_metal_and_its_oxide(tmp_path: Path, last_ev: float, scaled: bool) -> None:
    """Normalised references that end soon are left alone: over 60 eV of fine structure a mixture of 1.80 became 1.74.

    Raw ones of that length are normalised as well as they can be, and the doubt is said.
    """
    kept = last_ev >= NI_ENERGY
    references = []
    for valence in (0, 2):
        mu = ni_edge(valence)[kept]
        mu = 0.4 + 1.7 * mu if scaled else mu
        (tmp_path / f"{valence}.txt").write_text(rows(NI_ENERGY[kept], mu))
        references.append((float(valence), ReferenceSource(file=str(tmp_path / f"{valence}.txt"))))
    stack_ev = np.arange(8250.0, 8425.0, 1.5)
    settings = FitValenceStage(element="Ni", references=tuple(references))
    setup = prepared_references(stack_ev, read_references(references), settings.options(FitOptions))
    curves = [np.interp(setup.energy_ev, NI_ENERGY, ni_edge(valence)) for valence in (0, 2)]
    fit = fit_spectrum(
        0.02 + 0.7 * (0.1 * curves[0] + 0.9 * curves[1]),
        np.full(setup.energy_ev.size, 1e-3),
        setup.references,
        setup.background,
        setup.valences,
    )
    said = any("normalised over a short range" in remark for remark in setup.remarks)
    assert said == (scaled and last_ev < 8520)
    # A jump that is off by 3 %, the mean of the fine structure, moves a mixture of 10 and 90 % by 0.006.
    assert fit.valence == pytest.approx(1.8, abs=0.02 if scaled or last_ev > 8520 else 1e-3)
