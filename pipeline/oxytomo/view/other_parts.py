"""Sections of a report about maps of areal density and about tomograms."""

import numpy as np

from oxytomo.measure.thickest import thickest_part
from oxytomo.results.records import ArealDensity, Tomogram
from oxytomo.results.warnings import areal_density_warnings, tomogram_warnings
from oxytomo.slabs import sampled
from oxytomo.view.alignment_part import alignment_section
from oxytomo.view.report import Part, Picture, Quantity, Section
from oxytomo.view.slices import areal_density_maps, tomogram_slices
from oxytomo.view.style import GREYS

UNIT_NAMES = {
    "1/micrometer": "attenuation (1/µm)",
    "signal/micrometer": "signal per length (1/µm)",
}
ALGORITHMS = {"fbp": "filtered back-projection", "sirt": "SIRT", "tv": "total variation"}


def areal_density_part(result: ArealDensity) -> Part:
    """Return the section about maps of areal density."""
    quantities, sentences = [], []
    for name, areal, sigma in zip(result.elements, result.maps, result.sigma, strict=True):
        thick = thickest_part(areal)
        if np.isnan(thick):
            continue
        noise = float(np.median(sigma[np.isfinite(sigma)])) if np.isfinite(sigma).any() else float("nan")
        quantities += [
            Quantity(
                f"{name}, thickest part",
                f"{thick:.3g} µm",
                "largest median of the areal density over 5 × 5 pixels, as a path length through the reference composition; "
                "air around the sample does not enter",
            ),
            Quantity(
                f"{name}, noise per pixel",
                f"{noise:.2g} µm",
                "median standard deviation of the areal density, from counting statistics",
            ),
        ]
        sentences.append(
            f"{name} reaches {thick:.3g} µm of the reference composition, with a standard "
            f"deviation of {noise:.2g} µm "
            "per pixel."
        )
    maps = areal_density_maps(
        result.maps, result.elements, pixel_nm=result.pixel_nm, label="areal density (µm)"
    )
    pictures = [
        Picture(
            "Areal density",
            maps,
            "Path length through the reference composition that holds as much of the element. Grey: no data.",
            wide=True,
        )
    ]
    if result.optical_density is not None:
        figure = areal_density_maps(
            result.optical_density,
            result.series,
            pixel_nm=result.pixel_nm,
            label="optical density",
            colors=GREYS,
        )
        caption = "The aligned images that the maps were made from, natural logarithm."
        pictures.append(Picture("Optical density", figure, caption, wide=True))
    sections = [Section("Areal density", quantities=quantities, pictures=pictures)]
    if result.alignment is not None:
        sections.append(alignment_section(result.alignment))
    checked = ("invalid pixels", "negative amounts", "limits of the registration")
    return Part("areal density", areal_density_warnings(result), checked, sentences, sections)


def tomogram_part(result: Tomogram) -> Part:
    """Return the section about a tomogram."""
    label = UNIT_NAMES.get(result.unit, result.unit)
    shape = " × ".join(str(side) for side in result.volume.shape)
    values = sampled(result.volume)
    known = values[np.isfinite(values)]
    low, middle, high = np.percentile(known, [1, 50, 99]) if known.size else [np.nan] * 3
    quantities = [
        Quantity("size", f"{shape} voxels", "z, y, x"),
        Quantity("voxel size", f"{result.voxel_nm:.4g} nm", "in every direction"),
        Quantity(
            "values",
            f"{low:.3g}, {middle:.3g}, {high:.3g}".replace("-", "−"),
            f"1st, 50th and 99th percentile of all voxels, {label}",
        ),
    ]
    picture = Picture(
        "Volume",
        tomogram_slices(result.volume, voxel_nm=result.voxel_nm, label=label),
        "Cuts through the centre of the volume.",
        wide=True,
    )
    sections = [Section("Tomogram", quantities=quantities, pictures=[picture])]
    tilts = ""
    if result.alignment is not None:
        angles = result.alignment.tilt_deg
        tilts = f" from {angles.size} tilts between {angles.min():g}° and {angles.max():g}°".replace("-", "−")
        sections.append(alignment_section(result.alignment))
    summary = [
        f"A volume of {shape} voxels of {result.voxel_nm:.4g} nm was reconstructed with "
        f"{ALGORITHMS.get(result.algorithm, result.algorithm)}{tilts}."
    ]
    checked = ("number and range of tilts", "alignment residuals and limits", "invalid pixels")
    return Part("tomogram", tomogram_warnings(result), checked, summary, sections)
