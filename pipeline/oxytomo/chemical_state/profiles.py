"""Valence against depth below the surface in three dimensions, with models of oxygen loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from oxytomo.measure.shells import depth_below_surface, mean_deviations, shell_labels
from oxytomo.measure.tables import table
from oxytomo.measure.valence_particles import MIN_MODEL_PIXELS
from oxytomo.oxidation.oxygen_loss import ModelFit, fit_oxygen_loss
from oxytomo.oxidation.summary import plain_model
from oxytomo.slabs import Field, in_parts

if TYPE_CHECKING:
    import pandas as pd

MODELS: Final = ("uniform", "diffusion", "core_shell")


def depth_profile(
    deviation: Field,
    particle: Field,
    replicates: Sequence[Field],
    *,
    voxel_nm: float,
    reference_valence: float,
    bins: int,
    time_s: float | None,
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Measure the valence in thin shells by depth, and fit models of oxygen loss to it.

    The shells have equal volume, as equal as layers of voxels of one depth allow. Errors come from
    the replicates, so the models need at least two of them, and a particle of 500 voxels.

    Parameters
    ----------
    deviation : (n_z, n_y, n_x) V − V₀, NaN where unknown
    particle : bool
    replicates : deviations of noise replicates
    voxel_nm : edge of a voxel, nm
    reference_valence : V₀
    bins : number of shells
    time_s : duration of the reaction, for D; None if unknown

    Returns
    -------
    A row per shell that holds voxels, with the fitted valence of each model (NaN without a fit),
    and the models as plain values, the smallest BIC first
    """
    depth = depth_below_surface(particle, voxel_nm=voxel_nm)
    layers = shell_labels(depth, n_shells=bins)
    counts = np.zeros(bins + 1, np.int64)
    for (part,) in in_parts(layers):
        counts += np.bincount(part.ravel(), minlength=bins + 1)
    n_voxels = counts[1:]
    inside = 1 - np.concatenate([[0.0], np.cumsum(n_voxels) / max(int(n_voxels.sum()), 1)])
    mean, error = mean_deviations(deviation, layers, replicates, n=bins)
    mean_depth = mean_deviations(depth, layers, (), n=bins)[0]
    models: list[ModelFit] = []
    if n_voxels.sum() >= MIN_MODEL_PIXELS:
        radius_nm = float(np.cbrt(0.75 * n_voxels.sum() / np.pi)) * voxel_nm
        models = fit_oxygen_loss(
            reference_valence + mean, error, np.maximum(inside, 0), radius_nm=radius_nm, dimensions=3
        )
    fitted = {model.name: model.profile for model in models}
    there = n_voxels > 0
    columns = {
        "volume_outside": 100 * (1 - inside[:-1]),
        "volume_outside_end": 100 * (1 - inside[1:]),
        "depth_mean_nm": mean_depth,
        "n_voxels": n_voxels,
        "mean_valence": reference_valence + mean,
        "standard_error": error,
        **{name: fitted.get(name, np.full(bins, np.nan)) for name in MODELS},
    }
    rows = table({name: values[there] for name, values in columns.items()})
    return rows, [plain_model(model, time_s) for model in models]
