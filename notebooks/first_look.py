# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # First look at a result
# What a sample's folder holds, its warnings, and the pictures and numbers that say most.
# Set `OXYTOMO_RESULT` to the sample's folder; the default is the result of `make demo`. Open it with jupytext or run it.

# %%
import json
import os
from html import unescape
from pathlib import Path
from re import DOTALL, findall, search, sub

import numpy as np
import zarr
from matplotlib.figure import Figure

result = Path(os.environ.get("OXYTOMO_RESULT", "demo/results/particle"))
sorted(path.name for path in result.iterdir())

# %% [markdown]
# ## What the report warns of, before any number

# %%
page = (result / "report.html").read_text(encoding="utf-8")
notice = search(r'id="warnings">(.*?)</section>', page, DOTALL)
warnings = [
    unescape(sub(r"<[^>]+>", "", text)) for text in findall(r"<li>(.*?)</li>", notice[1] if notice else "")
]
warnings  # noqa: B018

# %% [markdown]
# ## The middle slice of every image that is there, its first channel

# %%
images = sorted(result.glob("*.ome.zarr"))
figure = Figure(figsize=(4 * len(images), 4), layout="constrained")
for axes, path in zip(np.atleast_1d(figure.subplots(1, len(images))), images, strict=True):
    array = zarr.open_group(path, mode="r")["0"]
    ome = zarr.open_group(path, mode="r").attrs["ome"]
    first = array[0] if ome["multiscales"][0]["axes"][0]["name"] == "c" else array[...]
    axes.imshow(first if first.ndim == 2 else first[first.shape[0] // 2], cmap="viridis")
    channel = ome["omero"]["channels"][0]["label"] if "omero" in ome else ""
    axes.set_title(f"{path.name.removesuffix('.ome.zarr')}: {channel}")
    axes.set_axis_off()
figure  # noqa: B018

# %% [markdown]
# ## The numbers in one place; every file has its definitions under `definitions`

# %%
tables = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(result.glob("*.json"))}
{name: list(content) for name, content in tables.items()}
