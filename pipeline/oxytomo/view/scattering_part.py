"""Section of a report about maps of resonant inelastic scattering."""

from collections.abc import Mapping
from typing import Any

from oxytomo.results.records import Scattering
from oxytomo.results.scattering_warnings import scattering_warnings
from oxytomo.scattering.definitions import SCATTERING_DEFINITIONS as SAID
from oxytomo.view.report import Part, Picture, Quantity, Section, Table
from oxytomo.view.scattering_figures import (
    cut_figure,
    difference_figure,
    map_figure,
    yield_figure,
)

CHECKED = (
    "elastic line and emission scale",
    "incident flux and invalid points of the maps",
    "resolution of compared maps",
    "differences outside the feature",
    "fit of the yields",
)


def scattering_part(result: Scattering) -> Part:
    """Return the section about maps, yields, cuts and differences."""
    sections = [_maps(result), _yields(result)]
    if len(result.valences):
        sections.append(_valences(result))
    sections += [_pair(result, number) for number in range(len(result.pairs))]
    summary = [_sentence(pair.facts) for pair in result.pairs if pair.facts["feature"] is not None]
    if not summary:
        names = ", ".join(one.name for one in result.maps)
        summary = [f"Maps over excitation and emission energy: {names}."]
    return Part("scattering", scattering_warnings(result), CHECKED, summary, sections)


def _sentence(facts: Mapping[str, Any]) -> str:
    feature = facts["feature"]
    (left, right), (low, high) = feature["excitation_ev"], feature["emission_ev"]
    error = feature["standard_error"]
    text = (
        f"From {facts['first']} to {facts['second']} the feature (excitation {left:g} to {right:g} eV, emission {low:g} to "
        f"{high:g} eV) changes by {100 * feature['change']:+.2f} ± {100 * error:.2f} %"
    )
    p_value = feature["p_value"]
    if p_value is None:
        return _minus(text) + "; there is no permutation test."
    least = 1 / (1 + feature["permutations"])
    counted = feature["test"] != "scans, Welch"
    shown = f"p ≤ {least:.2g}" if counted and p_value <= least * 1.001 else f"p = {p_value:.2g}"
    compared = "larger than" if feature["detected"] else "no larger than"
    noise = "what noise makes" if feature["test"] == "photons" else "the scatter of scans"
    return _minus(text) + f" ({shown}): {compared} {noise}, at the level of {feature['level']:g}."


def _minus(text: str) -> str:
    return text.replace("by -", "by −")


def _maps(result: Scattering) -> Section:
    quantities = []
    for one in result.maps:
        facts = one.facts
        quantities.append(
            Quantity(f"{one.name}, photons", f"{facts['photons']:.3g}", "detected photons in the whole map")
        )
        if facts["elastic"]:
            offset = f"{facts['emission_offset_ev']:+.3f} ± {facts['emission_offset_error_ev']:.3f} eV"
            quantities += [
                Quantity(
                    f"{one.name}, emission offset", offset.replace("-", "−"), SAID["emission_offset_ev"]
                ),
                Quantity(
                    f"{one.name}, resolution",
                    f"{facts['fwhm_ev']:.3f} ± {facts['fwhm_error_ev']:.3f} eV",
                    SAID["fwhm_ev"],
                ),
            ]
    features = {
        name: pair.facts["feature"]
        for pair in result.pairs
        if pair.facts["feature"] is not None
        for name in (pair.facts["first"], pair.facts["second"])
    }
    caption = (
        "Emission against excitation on the calibrated scale. Dashed: emission windows of the yields. Dotted: the elastic "
        "line. Red: the feature that is compared. Colours end at the 99.7th percentile."
    )
    picture = Picture("Emission maps", map_figure(result.maps, features), caption, wide=True)
    return Section("Maps of resonant inelastic scattering", quantities=quantities, pictures=[picture])


def _yields(result: Scattering) -> Section:
    pictures = []
    elements = list(dict.fromkeys(one.element for one in result.maps))
    for element in elements:
        pictures.append(
            Picture(
                f"{element} yields",
                yield_figure(result, element),
                "Each curve over its largest value; bands are ± one standard error. "
                "Fluorescence comes from the bulk, electrons from the surface.",
                wide=True,
            )
        )
        if (result.cuts["element"] == element).any():
            pictures.append(
                Picture(
                    f"{element} emission cuts",
                    cut_figure(result, element),
                    "Emission at the chosen excitations, each over its largest value; bands are ± one standard error.",
                    wide=True,
                )
            )
    names = list(dict.fromkeys(result.yields["yield"]))
    rows = [
        (name, SAID.get(name, "measured with the map, at the surface or in the bulk as given"))
        for name in names
    ]
    table = Table("Yields", ("yield", "definition"), rows)
    return Section("Yields", pictures=pictures, tables=[table])


def _valences(result: Scattering) -> Section:
    rows = [
        (
            str(row["map"]),
            str(row["yield"]),
            str(row["depth"]),
            f"{row['mean_valence']:.3f}".replace("-", "−"),
            f"{row['standard_error']:.3f}",
            f"{row['chi_square']:.2f}",
        )
        for _, row in result.valences.iterrows()
    ]
    columns = ("map", "yield", "depth", "mean valence", "standard error", "χ²")
    table = Table(
        "Valences from yields",
        columns,
        rows,
        frozenset({3, 4, 5}),
        "Linear combination of the reference spectra, as in the oxidation branch. The errors hold noise, not the energy "
        "scale or the choice of references.",
        {"mean valence": SAID["mean_valence"], "depth": SAID["depth"]},
    )
    return Section("Valences from yields", tables=[table])


def _of_scans(feature: Mapping[str, Any]) -> list[Quantity]:
    """Return what repeated scans say of a change."""
    first, second = feature["scans"]
    found = [Quantity("test", f"{feature['test']} ({first} and {second} scans)", SAID["test"])]
    if feature["scan_error"] is not None:
        scatter = f"{100 * feature['scan_error']:.2f} %"
        found.insert(0, Quantity("error from scans", scatter, SAID["scan_error"]))
    return found


def _pair(result: Scattering, number: int) -> Section:
    pair = result.pairs[number]
    facts, feature = pair.facts, pair.facts["feature"]
    name = f"{facts['second']} − {facts['first']}"
    quantities = [
        Quantity("factor", f"{facts['factor']:.4g}", SAID["difference"]),
    ]
    if feature is not None:
        p_value = feature["p_value"]
        quantities += [
            Quantity(
                "change of the feature", f"{100 * feature['change']:+.2f} %".replace("-", "−"), SAID["change"]
            ),
            Quantity("counting error", f"{100 * feature['counting_error']:.2f} %", SAID["counting_error"]),
            Quantity(
                "calibration error", f"{100 * feature['calibration_error']:.2f} %", SAID["calibration_error"]
            ),
            *_of_scans(feature),
            Quantity("change / error", f"{feature['sigma']:+.1f}".replace("-", "−"), SAID["sigma"]),
            Quantity("p-value", "unknown" if p_value is None else f"{p_value:.2g}", SAID["p_value"]),
        ]
        if feature["elsewhere"] is not None:
            said = f"{SAID['elsewhere']}; {feature['elsewhere_n']} windows"
            quantities.append(Quantity("elsewhere", f"{feature['elsewhere']:.2f}", said))
    caption = (
        "Left: difference after both maps were brought to the same emission outside the feature. Right: in units of its "
        "counting error. The box is the feature."
        if facts["scale"] == "rest"
        else "Left: difference per incident flux. Right: in units of its counting error. The box is the feature."
    )
    picture = Picture(f"Difference {name}", difference_figure(pair), caption, wide=True)
    return Section(f"Difference {name}", quantities=quantities, pictures=[picture])
