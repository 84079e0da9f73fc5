# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # Oxidation: valence maps and their gradient
# Reads the finished oxidation branch of one sample: a valence map per element, means with errors, valence from rim to centre.
# Set `OXYTOMO_RESULT` to the sample's folder; the default is the result of `make demo`.

# %%
import csv
import json
import os
from pathlib import Path

import numpy as np
import zarr
from matplotlib.figure import Figure

result = Path(os.environ.get("OXYTOMO_RESULT", "demo/results/particle"))
image = zarr.open_group(result / "oxidation.ome.zarr", mode="r")
channels = [channel["label"] for channel in image.attrs["ome"]["omero"]["channels"]]
maps = np.asarray(image["0"])
numbers = json.loads((result / "oxidation.json").read_text(encoding="utf-8"))["elements"]

# %% [markdown]
# ## Valence maps (each element's map comes before its residual)

# %%
figure = Figure(figsize=(4 * len(numbers), 3.6), layout="constrained")
for place, (axes, element) in enumerate(
    zip(np.atleast_1d(figure.subplots(1, len(numbers))), numbers, strict=True)
):
    shown = axes.imshow(maps[2 * place], cmap="plasma")
    axes.set_title(channels[2 * place])
    axes.set_axis_off()
    figure.colorbar(shown, ax=axes, label=f"{element} valence")
figure  # noqa: B018

# %% [markdown]
# ## Means: the error from noise, and what an energy scale that is wrong by 0.1 eV would do

# %%
means = {
    element: (facts["mean_valence"], facts["standard_error"], facts["valence_per_0_1_ev"])
    for element, facts in numbers.items()
}
means  # noqa: B018

# %% [markdown]
# ## From rim to centre

# %%
with (result / "oxidation_shells.csv").open(newline="", encoding="utf-8") as file:
    rows = list(csv.DictReader(file))
figure = Figure(figsize=(5, 3.5), layout="constrained")
axes = figure.subplots()
for element, marker in zip(numbers, "os^Dv", strict=False):
    own = [row for row in rows if row["element"] == element]
    middle = [(float(row["shell_outer"]) + float(row["shell_inner"])) / 2 for row in own]
    value, error = ([float(row[key]) for row in own] for key in ("mean_valence", "standard_error"))
    axes.errorbar(middle, value, [1.96 * one for one in error], marker=marker, label=element, capsize=2)
axes.set(xlabel="rim (0) to centre (100 % of the area)", ylabel="valence")
axes.legend()
figure  # noqa: B018
