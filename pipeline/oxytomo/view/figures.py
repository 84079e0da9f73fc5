"""All figures of the reports; see ``slices`` for images and ``curves`` for plots."""

from oxytomo.view.curves import (
    alignment_curves,
    deviation_histogram,
    fraction_bars,
    joint_histogram,
    residual_curves,
    shell_profile,
)
from oxytomo.view.slices import (
    areal_density_maps,
    before_and_after,
    class_slices,
    slice_figure,
    thumbnails,
    tomogram_slices,
)
from oxytomo.view.style import to_png

__all__ = [
    "alignment_curves",
    "areal_density_maps",
    "before_and_after",
    "class_slices",
    "deviation_histogram",
    "fraction_bars",
    "joint_histogram",
    "residual_curves",
    "shell_profile",
    "slice_figure",
    "thumbnails",
    "to_png",
    "tomogram_slices",
]
