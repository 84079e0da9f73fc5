"""Every figure of the reports; see ``slices`` for images and ``curves`` for numbers."""

from pipeline.view.curves import (
    Fraction,
    alignment_curves,
    deviation_histogram,
    fraction_bars,
    joint_histogram,
    shell_profile,
)
from pipeline.view.slices import (
    areal_density_maps,
    class_slices,
    sinogram_figure,
    slice_figure,
    tomogram_slices,
)
from pipeline.view.style import to_png

__all__ = [
    "Fraction",
    "alignment_curves",
    "areal_density_maps",
    "class_slices",
    "deviation_histogram",
    "fraction_bars",
    "joint_histogram",
    "shell_profile",
    "sinogram_figure",
    "slice_figure",
    "to_png",
    "tomogram_slices",
]
