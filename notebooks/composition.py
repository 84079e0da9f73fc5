# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # Composition: where oxygen or metal is missing
# Reads the finished composition of one sample: classes beside the deviation, fractions beside those of the null run, depth.
# Set `OXYTOMO_RESULT` to the sample's folder; the default is the result of `make demo`.

# %%
import csv
import json
import os
from pathlib import Path

import numpy as np
import zarr
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

result = Path(os.environ.get("OXYTOMO_RESULT", "demo/results/particle"))
image = zarr.open_group(result / "composition.ome.zarr", mode="r")
names = [channel["label"] for channel in image.attrs["ome"]["omero"]["channels"]]
deviation = np.asarray(image["0"][names.index("tm_o_deviation")])
phases = np.asarray(image["labels/phases/0"])
numbers = json.loads((result / "phases.json").read_text(encoding="utf-8"))

# %% [markdown]
# ## The middle slice: deviation and classes (target pale, oxygen-poor red, oxygen-rich blue)

# %%
middle = deviation.shape[0] // 2
figure = Figure(figsize=(8, 4), layout="constrained")
left, right = figure.subplots(1, 2)
shown = left.imshow(deviation[middle], cmap="RdBu_r", vmin=-0.15, vmax=0.15)
figure.colorbar(shown, ax=left, label="TM/O deviation")
right.imshow(phases[middle], cmap=ListedColormap(["white", "#ede6d6", "#b2282e", "#6c8096"]), vmin=0, vmax=3)
right.set_title(f"classes beyond ±{numbers['threshold']:.0%}")
figure  # noqa: B018

# %% [markdown]
# ## Fractions with their 95 % intervals, and what noise alone would give

# %%
null = numbers["null"]["fractions"] or {}
fractions = {
    name: (entry["value"], entry["ci95"], null.get(name, {}).get("value"))
    for name, entry in numbers["fractions"].items()
}
fractions  # noqa: B018

# %% [markdown]
# ## From rim to centre

# %%
with (result / "composition_shells.csv").open(newline="", encoding="utf-8") as file:
    shells = list(csv.DictReader(file))
depth = [(float(row["shell_outer"]) + float(row["shell_inner"])) / 2 for row in shells]
figure = Figure(figsize=(5, 3.5), layout="constrained")
axes = figure.subplots()
for key, color in (("oxygen_poor", "#b2282e"), ("oxygen_rich", "#6c8096")):
    axes.plot(
        depth, [100 * float(row[key]) for row in shells], "o-", color=color, label=key.replace("_", "-")
    )
axes.set(xlabel="rim (0) to centre (100 % of the volume)", ylabel="share of the shell (%)")
axes.legend()
figure  # noqa: B018
