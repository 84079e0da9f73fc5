# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # Structure: pores and cracks
# Reads the finished structure of one sample: a slice with its voids, porosity with intervals, sizes, depth.
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
image = zarr.open_group(result / "structure.ome.zarr", mode="r")
volume, voids = np.asarray(image["0"]), np.asarray(image["labels/voids/0"])
numbers = json.loads((result / "structure.json").read_text(encoding="utf-8"))

# %% [markdown]
# ## The slice with most voids: pores blue, cracks orange

# %%
most = int((voids > 0).sum(axis=(1, 2)).argmax())
figure = Figure(figsize=(8, 4), layout="constrained")
left, right = figure.subplots(1, 2)
for axes in (left, right):
    axes.imshow(volume[most], cmap="gray")
    axes.set_axis_off()
colors = ListedColormap(["#0072B2", "#E69F00"])
right.imshow(np.ma.masked_equal(voids[most], 0), cmap=colors, vmin=1, vmax=2, alpha=0.8)
figure  # noqa: B018

# %% [markdown]
# ## Porosity with its 95 % interval from noise, and the thinnest crack that can be claimed

# %%
porosity = {name: (entry["value"], entry["ci95"]) for name, entry in numbers["porosity"].items()}
smallest_aperture_nm = numbers["calibration"]["smallest_aperture_nm"]
porosity, smallest_aperture_nm  # noqa: B018

# %% [markdown]
# ## Sizes of the pores, and porosity from rim to centre

# %%
with (result / "pores.csv").open(newline="", encoding="utf-8") as file:
    diameters_nm = [float(row["equivalent_diameter_nm"]) for row in csv.DictReader(file)]
depth = [(shell["shell_outer"] + shell["shell_inner"]) / 2 for shell in numbers["shells"]]
figure = Figure(figsize=(8, 3.5), layout="constrained")
left, right = figure.subplots(1, 2)
left.hist(diameters_nm, bins=12, color="#0072B2")
left.set(xlabel="equivalent diameter (nm)", ylabel="pores")
for kind, color in (("pores", "#0072B2"), ("cracks", "#E69F00")):
    right.plot(depth, [100 * shell[kind] for shell in numbers["shells"]], "o-", color=color, label=kind)
right.set(xlabel="rim (0) to centre (100 % of the volume)", ylabel="porosity (%)")
right.legend()
figure  # noqa: B018
