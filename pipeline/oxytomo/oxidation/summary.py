"""The numbers of one element and remarks on them: its part of ``oxidation.json``."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from oxytomo.arrays import AreaProfile, BoolArray
from oxytomo.oxidation.judgement import SpectrumFit
from oxytomo.oxidation.oxygen_loss import ModelFit, fit_oxygen_loss
from oxytomo.oxidation.particle_spectra import (
    FittedElement,
    ParticleSpectra,
    left_out,
    valence_per_energy,
)
from oxytomo.oxidation.status import STATUS_NAMES

CM2_PER_NM2 = 1e-14


def loss_models(profile: AreaProfile | None, *, step_nm: float, thin_share: float) -> list[ModelFit]:
    """Fit models of oxygen loss to the profile of one agglomerate; none without a profile.

    Pixels below ``thin_share`` of the thickest part are not in the map. The surface of the sphere
    is outside the edge of the map, where the chord 2 R √(1 − r²) has that share of the diameter.

    Parameters
    ----------
    profile : mean valence by the share of the mapped area
    step_nm : edge of a pixel
    thin_share : see above
    """
    if profile is None:
        return []
    mapped = 1 - thin_share**2
    radius_nm = float(np.sqrt(profile.area_px / (np.pi * mapped))) * step_nm
    shares = profile.inside_share * mapped
    return fit_oxygen_loss(profile.mean, profile.error, shares, radius_nm=radius_nm, dimensions=2)


def oxidation_summary(
    element: FittedElement,
    inside: BoolArray,
    spectra: ParticleSpectra,
    models: Sequence[ModelFit],
    *,
    n_significant: int,
    time_s: float | None,
) -> dict[str, Any]:
    """Return the numbers of one element.

    Parameters
    ----------
    element : what was fitted
    inside : (n_y, n_x) bool, pixels of particles with a valence
    spectra : mean spectra of the particles
    models : models of the profile of the largest particle
    n_significant : number of principal components above noise
    time_s : duration of the reaction, s; None where unknown
    """
    facts, names, n = element.facts, element.names, int(inside.sum())
    valence = element.map.valence[inside]
    return {
        "mean_valence": float(valence.mean()) if n else None,
        "standard_error": element.map.mean_error(inside) if n else None,
        "standard_deviation": float(valence.std()) if n else None,
        "n_pixels": n,
        "pixels": {name: int((element.status == label).sum()) for label, name in STATUS_NAMES.items()},
        "references": dict(zip(names, facts["valences"], strict=True)),
        "condition_number": facts["condition_number"],
        "energy_offset_ev": facts["energy_offset_ev"],
        "energy_offset_error_ev": facts["energy_offset_error_ev"],
        "white_line_ev": facts["white_line_ev"],
        "white_line": facts.get("white_line"),
        "valence_per_0_1_ev": valence_per_energy(element, spectra),
        "median_chi_square": float(np.median(element.chi_square[inside])) if n else None,
        "median_r_factor": float(np.median(element.r_factor[inside])) if n else None,
        "error_scale": facts["error_scale"],
        "spectrum": plain_fit(spectra.whole_fit, names),
        "leave_one_out": [
            {"left_out": name} | ({} if one is None else plain_fit(one, [n for n in names if n != name]))
            for name, one in zip(names, left_out(element, spectra), strict=True)
        ],
        "structured_shells": spectra.structured_shells,
        "significant_components": n_significant,
        "models": [plain_model(model, time_s) for model in models],
        "fractions_sum": facts["fractions_sum"],
        "windows": {name: facts[name] for name in ("window_ev", "pre_edge_ev", "post_edge_ev")},
        "remarks": list(facts["remarks"]),
    }


def plain_fit(fit: SpectrumFit, names: Sequence[str]) -> dict[str, Any]:
    """Return the fit of a spectrum as plain numbers, fractions by the names of the references."""
    return {
        "valence": fit.valence,
        "standard_error": fit.error,
        "fractions": dict(zip(names, (float(f) for f in fit.fractions), strict=True)),
        "chi_square": fit.chi_square,
        "structured_residual": fit.structured_share,
    }


def plain_model(model: ModelFit, time_s: float | None) -> dict[str, Any]:
    """Return a model as plain numbers, with D in cm²/s if the time is known."""
    plain: dict[str, Any] = {
        "name": model.name,
        "parameters": dict(model.parameters),
        "standard_errors": dict(model.errors),
        "chi_square": model.chi_square,
        "reduced_chi_square": model.reduced_chi_square,
        "aic": model.aic,
        "bic": model.bic,
        "profile": model.profile,
    }
    if model.name == "diffusion" and time_s is not None:
        factor = CM2_PER_NM2 / time_s
        plain["parameters"]["d_cm2_per_s"] = model.parameters["dt_nm2"] * factor
        plain["standard_errors"]["d_cm2_per_s"] = model.errors["dt_nm2"] * factor
    return plain
