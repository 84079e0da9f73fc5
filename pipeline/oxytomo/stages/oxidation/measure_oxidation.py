"""Stage ``measure_oxidation``: valence maps of all elements → shells, particles, profiles, models, and judgement."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import Float64Array, IntArray
from oxytomo.config import MeasureOxidationStage as Settings
from oxytomo.errors import InputError
from oxytomo.io.stores import NamedArray, Store, read_store, write_store
from oxytomo.io.tables import write_csv, write_json
from oxytomo.measure.definitions import OXIDATION_DEFINITIONS
from oxytomo.measure.particles import agglomerates, binned_means, particle_shells, split_particles
from oxytomo.oxidation.exploration import explore
from oxytomo.oxidation.judgement import ChiSquare, SpectrumFit, fit_spectrum, leave_one_out
from oxytomo.oxidation.oxygen_loss import ModelFit, fit_oxygen_loss
from oxytomo.oxidation.status import FITTED, STATUS_NAMES, THICK
from oxytomo.stages.context import StageContext

SENSITIVITY_EV = 0.1
EXPLORED_PIXELS = 50_000
MIN_MODEL_PIXELS = 500
"""A profile model needs a particle of at least this many pixels."""
CM2_PER_NM2 = 1e-14


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``fit_<El>`` and ``register_<El>``; write ``store``, ``shells``, ``particles``, ``profiles``, ``summary``."""
    arrays: dict[str, NamedArray] = {}
    shells: list[dict[str, Any]] = []
    particles: list[dict[str, Any]] = []
    profiles: list[dict[str, Any]] = []
    summary: dict[str, Any] = {}
    for element in settings.elements:
        fit, registered = read_store(inputs[f"fit_{element}"]), read_store(inputs[f"register_{element}"])
        one = _Element(element, fit, registered, settings)
        shells += one.shell_rows()
        particles += one.particle_rows()
        profiles += one.profile_rows()
        arrays |= one.arrays()
        summary[element] = one.summary()
        mean, n, outside = summary[element]["mean_valence"], summary[element]["n_pixels"], one.n_outside()
        context.log(
            f"{element}: {one.count} particles in {int(one.clumps.max(initial=0))} agglomerates"
            + (f"; mean valence {mean:.3f} of their {n} pixels" if n else "")
            + (f", without {outside} pixels in parts that are too small to be particles" if outside else "")
        )
    write_csv(outputs["shells"], _columns(shells))
    write_csv(outputs["particles"], _columns(particles))
    write_csv(outputs["profiles"], _columns(profiles))
    write_json(outputs["summary"], {"elements": summary, "definitions": OXIDATION_DEFINITIONS})
    write_store(
        outputs["store"],
        arrays,
        provenance=context.provenance(inputs),
        attributes={"elements": list(settings.elements), "summary": summary},
    )


class _Element:
    """Everything that is measured of one element; computed once, asked for in parts."""

    def __init__(self, element: str, fit: Store, registered: Store, settings: Settings) -> None:
        self.element, self.settings, self.fit, self.registered = element, settings, fit, registered
        self.pixel_nm = float(fit.attributes["pixel_nm"])
        step = self.pixel_nm if np.isfinite(self.pixel_nm) else 1.0
        self.status = fit["status"]
        self.valence, self.error, self.jump = fit["valence"], fit["valence_error"], fit["amount"]
        # Interpolation shares noise among neighbours: means over many pixels keep the noise of the raw ones.
        self.shared_noise = float(1 / np.sqrt(np.mean(registered["variance_factor"])))
        solid = (self.status == FITTED) | (self.status == THICK)
        self.clumps = agglomerates(solid, min_pixels=settings.min_particle_pixels)
        if not self.clumps.any():
            raise InputError(
                f"particles of {element}",
                expected=f"connected pixels with a valence, at least {settings.min_particle_pixels}",
                got=f"{int(solid.sum())} pixels in smaller parts",
                fix="lower 'measure: {min_particle_pixels: ...}', or the limits thin_sigma and thin_share of the fit",
            )
        self.parts: IntArray = (
            split_particles(self.clumps, min_pixels=settings.min_particle_pixels)
            if settings.split_touching
            else self.clumps
        )
        self.count = int(self.parts.max(initial=0))
        self.shells, self.depth_nm, self.inside_share = particle_shells(
            self.clumps, n_shells=settings.shells, pixel_nm=step
        )
        self.columns = (
            fit["references"],
            fit["background"],
            np.asarray(fit.attributes["valences"], np.float64),
        )
        used = fit["used"].astype(bool)
        self.spectra, self.spectrum_errors = self._mean_spectra(
            np.where(np.isfinite(self.valence), self.shells, 0)
        )
        self.shell_fits = [
            fit_spectrum(spectrum[used], error[used], *self.columns)
            if np.isfinite(spectrum[used]).any()
            else None
            for spectrum, error in zip(self.spectra, self.spectrum_errors, strict=True)
        ]
        self.whole, self.whole_error = self._mean_spectra(
            (np.isfinite(self.valence) & (self.clumps > 0)).astype(np.uint8), n=1
        )
        self.whole_fit = fit_spectrum(self.whole[0][used], self.whole_error[0][used], *self.columns)
        self.models = self._models()

    def _mean_spectra(self, labels: np.ndarray, n: int | None = None) -> tuple[Float64Array, Float64Array]:
        """Return mean optical density of each label at every energy and its error, (n, n_stack)."""
        n = n or self.settings.shells
        value, variance = self.registered.array("value"), self.registered.array("variance")
        flat = labels.ravel()
        mean, error = np.full((n, value.shape[0]), np.nan), np.full((n, value.shape[0]), np.nan)
        for i in range(value.shape[0]):
            y, v = np.asarray(value[i]).ravel(), np.asarray(variance[i]).ravel()
            where = np.where(np.isfinite(y) & np.isfinite(v), flat, 0)
            count = np.bincount(where, minlength=n + 1)[1:]
            with np.errstate(invalid="ignore", divide="ignore"):
                mean[:, i] = (
                    np.bincount(where, weights=np.where(where > 0, y, 0), minlength=n + 1)[1:] / count
                )
                noise = np.bincount(where, weights=np.where(where > 0, v, 0), minlength=n + 1)[1:]
                error[:, i] = np.sqrt(noise) / count * self.shared_noise
        return mean, error

    def n_outside(self) -> int:
        """Return the number of pixels that have a valence and lie in no particle."""
        return int((np.isfinite(self.valence) & (self.clumps == 0)).sum())

    def shell_rows(self) -> list[dict[str, Any]]:
        """Return a row per shell, from rim to centre."""
        n = self.settings.shells
        edges = np.arange(0.5, n + 1.5)
        by = np.where(self.shells > 0, self.shells, np.nan)
        mean, error, count = binned_means(self.valence, self.error, by, edges)
        rows = []
        for i in range(n):
            inside = self.valence[(self.shells == i + 1) & np.isfinite(self.valence)]
            spectrum = self.shell_fits[i]
            rows.append(
                {
                    "element": self.element,
                    "shell_inner": 100.0 * (i + 1) / n,
                    "shell_outer": 100.0 * i / n,
                    "mean_valence": mean[i],
                    "standard_error": error[i] * self.shared_noise,
                    "n_pixels": int(count[i]),
                    "standard_deviation": float(inside.std(ddof=1)) if inside.size > 1 else float("nan"),
                    "spectrum_valence": float("nan") if spectrum is None else spectrum.valence,
                    "spectrum_error": float("nan") if spectrum is None else spectrum.error,
                    "structured_residual": float("nan") if spectrum is None else spectrum.structured_share,
                }
            )
        return rows

    def particle_rows(self) -> list[dict[str, Any]]:
        """Return a row per agglomerate and per particle."""
        rows = []
        for kind, labels in (("agglomerate", self.clumps), ("particle", self.parts)):
            for label in range(1, int(labels.max(initial=0)) + 1):
                inside = labels == label
                known = inside & np.isfinite(self.valence)
                values, weights = self.valence[known], self.jump[known]
                y, x = np.nonzero(inside)
                n = int(known.sum())
                rows.append(
                    {
                        "element": self.element,
                        "kind": kind,
                        "label": label,
                        "agglomerate": int(np.bincount(self.clumps[inside]).argmax()),
                        "n_pixels": n,
                        "equivalent_diameter_nm": 2 * np.sqrt(inside.sum() / np.pi) * self.pixel_nm,
                        "centroid_y_nm": y.mean() * self.pixel_nm,
                        "centroid_x_nm": x.mean() * self.pixel_nm,
                        "mean_valence": float(values.mean()) if n else float("nan"),
                        "standard_error": self._mean_error(known),
                        "standard_deviation": float(values.std(ddof=1)) if n > 1 else float("nan"),
                        "weighted_valence": float(np.average(values, weights=weights)) if n else float("nan"),
                        "mean_edge_jump": float(weights.mean()) if n else float("nan"),
                    }
                )
        return rows

    def _mean_error(self, known: np.ndarray) -> float:
        """Return the standard error of the mean of some pixels."""
        n = int(known.sum())
        return float(np.sqrt(np.sum(self.error[known] ** 2)) / n * self.shared_noise) if n else float("nan")

    def profile_rows(self) -> list[dict[str, Any]]:
        """Return valence against the distance from the edge, against the edge jump, and against the area outside."""
        rows: list[dict[str, Any]] = []
        bins = self.settings.profile_bins
        inside = self.clumps > 0
        for axis, by in (("depth_nm", self.depth_nm), ("edge_jump", np.where(inside, self.jump, np.nan))):
            known = by[np.isfinite(by) & np.isfinite(self.valence)]
            if known.size < bins:
                continue
            edges = np.linspace(float(known.min()), float(known.max()), bins + 1)
            rows += self._profile(axis, by, edges)
        rows += self._profile("area_outside", 1 - self.inside_share, np.linspace(0, 1, bins + 1))
        return rows

    def _profile(self, axis: str, by: np.ndarray, edges: Float64Array) -> list[dict[str, Any]]:
        mean, error, count = binned_means(self.valence, self.error, by, edges)
        return [
            {
                "element": self.element,
                "axis": axis,
                "low": edges[i],
                "high": edges[i + 1],
                "mean_valence": mean[i],
                "standard_error": error[i] * self.shared_noise,
                "n_pixels": int(count[i]),
            }
            for i in range(edges.size - 1)
        ]

    def _models(self) -> list[ModelFit]:
        """Fit models of oxygen loss to the profile of the largest agglomerate.

        Pixels of less than ``thin_share`` of the thickest place are not in the map: the surface of the sphere lies beyond
        its edge, where the chord 2 R √(1 − r²) has that share of the diameter.
        """
        largest = self.clumps == 1
        if int((largest & np.isfinite(self.valence)).sum()) < MIN_MODEL_PIXELS:
            return []
        outside = np.where(largest, 1 - self.inside_share, np.nan)
        edges = np.linspace(0, 1, self.settings.profile_bins + 1)
        mean, error, _ = binned_means(self.valence, self.error, outside, edges)
        step = self.pixel_nm if np.isfinite(self.pixel_nm) else 1.0
        mapped = 1 - float(self.fit.attributes["thin_share"]) ** 2
        radius_nm = float(np.sqrt(largest.sum() / (np.pi * mapped))) * step
        return fit_oxygen_loss(mean, error * self.shared_noise, (1 - edges) * mapped, radius_nm=radius_nm)

    def arrays(self) -> dict[str, NamedArray]:
        """Return what the report shows."""
        e, planes = self.element, ("y", "x")
        used = self.fit["used"].astype(bool)
        models = np.full((len(self.shell_fits), self.spectra.shape[1]), np.nan)
        for i, one in enumerate(self.shell_fits):
            if one is not None:
                models[i, used] = one.model
        explored = self._explored()
        return {
            f"{e}_agglomerates": NamedArray(self.clumps.astype(np.uint16), planes, "1"),
            f"{e}_particles": NamedArray(self.parts.astype(np.uint16), planes, "1"),
            f"{e}_shells": NamedArray(self.shells, planes, "1"),
            f"{e}_depth_nm": NamedArray(self.depth_nm, planes, "nanometer"),
            f"{e}_energy_ev": NamedArray(
                np.asarray(self.fit.attributes["stack_energy_ev"], np.float64), ("energy",), "electronvolt"
            ),
            f"{e}_shell_spectra": NamedArray(self.spectra, ("shell", "energy"), "1"),
            f"{e}_shell_errors": NamedArray(self.spectrum_errors, ("shell", "energy"), "1"),
            f"{e}_shell_models": NamedArray(models, ("shell", "energy"), "1"),
            f"{e}_clusters": NamedArray(explored[0], planes, "1"),
            f"{e}_cluster_spectra": NamedArray(explored[1], ("cluster", "energy"), "1"),
            f"{e}_component_variances": NamedArray(explored[2], ("component",), "1"),
        }

    def _explored(self) -> tuple[np.ndarray, Float64Array, Float64Array]:
        """Return cluster map, spectra of the clusters and variances of the principal components."""
        rng = np.random.default_rng(0)
        value, variance = self.registered.array("value"), self.registered.array("variance")
        places = np.flatnonzero((self.clumps > 0) & np.isfinite(self.valence))
        if places.size > EXPLORED_PIXELS:
            places = np.sort(rng.choice(places, EXPLORED_PIXELS, replace=False))
        kept = np.flatnonzero(~self.registered["lost"].astype(bool))
        spectra, errors = np.empty((kept.size, places.size)), np.empty(kept.size)
        for i, at in enumerate(kept):
            spectra[i] = np.asarray(value[int(at)]).ravel()[places]
            noise = np.asarray(variance[int(at)]).ravel()[places]
            errors[i] = np.sqrt(np.mean(noise[np.isfinite(noise)])) if np.isfinite(noise).any() else 1.0
        energy = np.asarray(self.fit.attributes["stack_energy_ev"])
        low = energy[kept] <= self.fit.attributes["pre_edge_ev"][1]
        if np.any(low):
            spectra -= spectra[low].mean(axis=0)
        found = explore(spectra, errors, n_components=8, n_clusters=self.settings.clusters, rng=rng)
        labels = np.zeros(self.status.size, np.uint8)
        labels[places] = found.cluster
        self.n_significant = found.n_significant
        curves = np.full((len(found.cluster_spectra), energy.size), np.nan)
        curves[:, kept] = found.cluster_spectra
        return labels.reshape(self.status.shape), curves, found.variances

    def summary(self) -> dict[str, Any]:
        """Return the numbers and what is to be said of them."""
        facts = self.fit.attributes
        inside = (self.clumps > 0) & np.isfinite(self.valence)
        names = [str(name) for name in facts["names"]]
        n = int(inside.sum())
        moved = self._moved_valence()
        return {
            "mean_valence": float(self.valence[inside].mean()) if n else None,
            "standard_error": self._mean_error(inside) if n else None,
            "standard_deviation": float(self.valence[inside].std()) if n else None,
            "n_pixels": n,
            "pixels": {name: int((self.status == label).sum()) for label, name in STATUS_NAMES.items()},
            "references": dict(zip(names, facts["valences"], strict=True)),
            "condition_number": facts["condition_number"],
            "energy_offset_ev": facts["energy_offset_ev"],
            "energy_offset_error_ev": facts["energy_offset_error_ev"],
            "white_line_ev": facts["white_line_ev"],
            "valence_per_0_1_ev": moved,
            "median_chi_square": float(np.median(self.fit["chi_square"][inside])) if n else None,
            "median_r_factor": float(np.median(self.fit["r_factor"][inside])) if n else None,
            "error_scale": facts["error_scale"],
            "spectrum": _plain_fit(self.whole_fit, names),
            "leave_one_out": self._left_out(names),
            "structured_shells": [
                i + 1 for i, one in enumerate(self.shell_fits) if one is not None and one.is_structured
            ],
            "significant_components": self.n_significant,
            "models": [_plain_model(model, self.settings.time_s) for model in self.models],
            "fractions_sum": facts["fractions_sum"],
            "windows": {name: facts[name] for name in ("window_ev", "pre_edge_ev", "post_edge_ev")},
            "remarks": list(facts["remarks"]),
        }

    def _left_out(self, names: list[str]) -> list[dict[str, Any]]:
        used = self.fit["used"].astype(bool)
        fits = leave_one_out(self.whole[0][used], self.whole_error[0][used], *self.columns)
        return [
            {"left_out": name} | ({} if one is None else _plain_fit(one, [n for n in names if n != name]))
            for name, one in zip(names, fits, strict=True)
        ]

    def _moved_valence(self) -> float:
        """Return the change of the mean valence when the stack's energies move up by 0.1 eV."""
        used = self.fit["used"].astype(bool)
        energy = np.asarray(self.fit.attributes["stack_energy_ev"], np.float64)
        everywhere = self.fit["all_references"]
        curves = []
        order = np.argsort(energy, kind="stable")
        for column in everywhere.T:
            known = np.isfinite(column[order])
            curves.append((energy[order][known], column[order][known]))
        chi = ChiSquare(
            energy[used],
            self.whole[0][used],
            self.whole_error[0][used],
            curves,
            self.columns[1],
            self.columns[2],
        )
        return chi.fit(SENSITIVITY_EV / 2).valence - chi.fit(-SENSITIVITY_EV / 2).valence


def _plain_fit(fit: SpectrumFit, names: list[str]) -> dict[str, Any]:
    return {
        "valence": fit.valence,
        "standard_error": fit.error,
        "fractions": dict(zip(names, (float(f) for f in fit.fractions), strict=True)),
        "chi_square": fit.chi_square,
        "structured_residual": fit.structured_share,
    }


def _plain_model(model: ModelFit, time_s: float | None) -> dict[str, Any]:
    """Return a model for JSON, with D where the time is known."""
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


def _columns(rows: list[dict[str, Any]]) -> Mapping[str, list[Any]]:
    """Return rows as columns."""
    return {name: [row[name] for row in rows] for name in rows[0]}
