# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # First look at a result
# Reads the finished results of one sample and shows classes, and fractions beside those of the null run.
# Set `OXYTOMO_RESULT` to the sample's folder; the default is the result of `make demo`.
# Open it with jupytext, or run it as it is.

# %%
import json
import os
from pathlib import Path

import numpy as np
import zarr
from matplotlib.figure import Figure

result = Path(os.environ.get("OXYTOMO_RESULT", "demo/results/particle"))
image = zarr.open_group(result / "composition.ome.zarr", mode="r")
names = [channel["label"] for channel in image.attrs["ome"]["omero"]["channels"]]
deviation = np.asarray(image["0"][names.index("tm_o_deviation")])
phases = np.asarray(image["labels/phases/0"])

# %% [markdown]
# ## The middle slice: deviation and classes

# %%
middle = deviation.shape[0] // 2
figure = Figure(figsize=(8, 4), layout="constrained")
left, right = figure.subplots(1, 2)
shown = left.imshow(deviation[middle], cmap="RdBu_r", vmin=-0.15, vmax=0.15)
figure.colorbar(shown, ax=left, label="TM/O deviation")
right.imshow(np.where(phases[middle] > 0, phases[middle], np.nan), cmap="Set2", vmin=1, vmax=4)
right.set_title("1 target, 2 oxygen-poor, 3 oxygen-rich")
figure  # noqa: B018

# %% [markdown]
# ## Fractions, and what noise alone would give

# %%
numbers = json.loads((result / "phases.json").read_text(encoding="utf-8"))
fractions = {
    name: (entry["value"], entry["ci95"], (numbers["null"]["fractions"] or {}).get(name, {}).get("value"))
    for name, entry in numbers["fractions"].items()
}
fractions  # noqa: B018
