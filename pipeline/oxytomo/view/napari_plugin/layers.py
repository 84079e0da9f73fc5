"""Results as napari layers: names, positions in nm, colours, ranges, initial visibility."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np

from oxytomo.errors import InputError
from oxytomo.palette import (
    CONFIDENT_COLORS,
    EXCLUDED_COLORS,
    PARTICLE_COLORS,
    PHASE_COLORS,
    VOID_COLORS,
    Rgba,
)
from oxytomo.results.images import KINDS, ImageChannel, Levels, OpenedImage
from oxytomo.view.napari_plugin.overlays import Drawn, Registered, Scale, Scaled
from oxytomo.view.napari_plugin.placing import energy_ticks, over_energies, placed
from oxytomo.view.napari_plugin.results import Sample
from oxytomo.view.style import DIVERGING, SEQUENTIAL

LayerTuple = tuple[Any, dict[str, Any], str]
"""Data, arguments and type of a layer, as napari's readers return them."""

INFO = "oxytomo"
"""Key of the metadata of a layer: content and provenance (see :func:`_info`)."""

LABEL_COLORS: Mapping[str, Mapping[int, Rgba]] = {
    "phases": PHASE_COLORS,
    "phases_confident": CONFIDENT_COLORS,
    "particle": PARTICLE_COLORS,
    "voids": VOID_COLORS,
    "excluded": EXCLUDED_COLORS,
}
LABEL_NAMES = {
    "phases": "classes",
    "phases_confident": "certain classes",
    "voids": "pores and cracks",
    "void_instances": "single voids",
    "excluded": "excluded pixels",
    "parts": "solid, voids and cracks",
}
STATE_NAMES = {
    "density": "relative density",
    "valence_sigma": "valence σ",
    "white_line_ev": "white line (eV)",
    "white_line_error_ev": "white line σ (eV)",
    "edge_ev": "edge (eV)",
    "edge_error_ev": "edge σ (eV)",
}
STATE_LABELS: Mapping[str, tuple[str, Mapping[int, Rgba]]] = {
    "classes": ("valence classes", PHASE_COLORS),
    "confident": ("certain valence classes", CONFIDENT_COLORS),
    "particle": ("particle", PARTICLE_COLORS),
}
"""Names and colours of the labels of an element in the image of chemical states."""
STRESS_NAMES = {
    "lithium": "lithium content",
    "first_principal": "first principal stress (MPa)",
    "von_mises": "von Mises stress (MPa)",
    "hydrostatic": "hydrostatic stress (MPa)",
    "hoop": "hoop stress (MPa)",
    "shape_factor": "shape factor of the first principal stress",
}
FIRST_STRESS = "first_principal"
"""The stress that is visible at first."""
STRESSES = ("first_principal", "von_mises", "hydrostatic", "hoop")
"""Channels in MPa, which can be scaled to other constants."""
DETAIL = "_fraction_"
"""Maps of which only the oxidation image itself, opened alone, shows all: the fraction of each
reference."""

SHOWN_LABELS = ("phases", "voids")
VOID_LABELS, OWN_GRID = ("voids", "void_instances"), " (own grid, not registered)"
LABEL_OPACITY = 0.75
DEVIATION_PARTS = ("tm_o_deviation", "null_run")
DEVIATION_COLORS = "TM/O deviation"
MOST_OPAQUE = 0.3
"""Opacity of a voxel of the deviation at the end of its colours, in 3D."""
KIND_NAMES = {kind: kind.replace("_", " ") for kind in KINDS}


def sample_layers(samples: Sequence[Sample]) -> list[LayerTuple]:
    """Return the layers of samples: all images at the bottom, all labels above.

    One sample is visible at first.
    """
    layers = [
        layer
        for number, sample in enumerate(samples)
        for layer in _layers_of(
            sample, prefix=f"{sample.name}: " if len(samples) > 1 else "", shown=number == 0
        )
    ]
    if not layers:
        raise InputError(
            "results", expected="at least one image", got="none", fix="run the workflow to its end"
        )
    return layers


def grid_note(samples: Sequence[Sample]) -> str:
    """Return lines about branches of a sample beside each other and their grids.

    Empty if each has one branch.
    """
    notes = []
    for sample in samples:
        if len(sample.images) > 1:
            branches = "voids are drawn where the registration puts them; other branches are not registered"
            alone = "branches are not registered to each other"
            notes.append(f"{sample.name}: {branches if sample.registered else alone}")
            notes += [f"{KIND_NAMES[image.kind]}: {_grid_words(image.grid)}" for image in sample.images]
    return "\n".join(notes)


def mixes_maps_and_volumes(samples: Sequence[Sample]) -> bool:
    """Return True for 2-D maps next to volumes; then z and x, the detector axes, are shown."""
    return len({len(image.grid.scale_nm) for sample in samples for image in sample.images}) > 1


def deviation_limit(threshold: float, sigma: float) -> float:
    """Return the limit of the colours of the deviation: three thresholds, or 3σ if larger.

    Parameters
    ----------
    threshold : of the classes, a fraction
    sigma : median σ of the deviation; NaN if unknown
    """
    return 3 * max(threshold, sigma if np.isfinite(sigma) else 0.0)


def diverging_colors() -> np.ndarray:
    """Return the colours of the deviation, (257, 4) in 0 to 1; the middle one stands for 0."""
    return np.asarray(matplotlib.colormaps[DIVERGING](np.linspace(0, 1, 257)), dtype=np.float32)


def see_through_colors() -> np.ndarray:
    """Return the colours of the deviation for 3D: as opaque as the deviation is large, none at 0."""
    colors = diverging_colors()
    away = np.abs(np.linspace(-1.0, 1.0, len(colors)))
    # On target there is nothing to see; a third of the range (the threshold) begins to show.
    colors[:, 3] = MOST_OPAQUE * np.clip((away - 1 / 3) * 1.5, 0.0, 1.0)
    return colors


def label_colors(colors: Mapping[int, Rgba]) -> dict[int | None, tuple[float, ...]]:
    """Return colours in 0 to 1 by label; labels that are not listed are transparent."""
    scaled: dict[int | None, tuple[float, ...]] = {None: (0.0, 0.0, 0.0, 0.0)}
    scaled.update({label: tuple(part / 255 for part in color) for label, color in colors.items()})
    return scaled


def _layers_of(sample: Sample, *, prefix: str, shown: bool) -> list[LayerTuple]:
    """Return images, then labels, of all branches of a sample."""
    volumes = [image.grid.extent_nm for image in sample.images if len(image.grid.scale_nm) == 3]
    beam = (min(e[1][0] for e in volumes), max(e[1][1] for e in volumes)) if volumes else None
    covered = any(image.kind == "composition" for image in sample.images)
    images: list[LayerTuple] = []
    labels: list[LayerTuple] = []
    for image in sample.images:
        for channel in image.channels:
            if beam is not None and DETAIL in channel.name and image.kind == "oxidation":
                continue
            visible = shown and _channel_visible(image, channel.name, covered=covered, alone=beam is None)
            images.append(_image_layer(image, channel, beam, prefix=prefix, visible=visible))
        moved = image.kind == "structure" and sample.registered is not None
        for name, levels in image.labels.items():
            own = OWN_GRID if moved and name in VOID_LABELS else ""
            labels.append(
                _label_layer(image, name, levels, beam, prefix=prefix, shown=shown and not own, suffix=own)
            )
        if image.kind == "scattering":
            data, arguments, kind = energy_ticks(image)
            labels.append((data, arguments | {"name": prefix + arguments["name"], "visible": shown}, kind))
        if image.kind == "composition":
            images += _null_layer(image, sample.null, prefix=prefix)
            labels += _registered_layers(image, sample.registered, prefix=prefix, shown=shown)
    return [*images, *labels]


def _null_layer(image: OpenedImage, null: Levels | None, *, prefix: str) -> list[LayerTuple]:
    """Return the null run as a hidden layer in the colours of the deviation."""
    if null is None:
        return []
    arguments = {
        "name": f"{prefix}null run (noise alone)",
        "visible": False,
        **_deviation_display(image),
        **placed(null, None),
        "metadata": {INFO: _info(image, "null_run", "1")},
    }
    return [(_drawn(arguments.pop("data")), arguments, "image")]


def _registered_layers(
    image: OpenedImage, registered: Registered | None, *, prefix: str, shown: bool
) -> list[LayerTuple]:
    """Return the voids of the structure on the grid of the composition."""
    if registered is None:
        return []
    return [
        _label_layer(image, name, levels, None, prefix=prefix, shown=shown)
        for name, levels in (("voids", registered.voids), ("void_instances", registered.instances))
    ]


def _channel_visible(image: OpenedImage, name: str, *, covered: bool, alone: bool) -> bool:
    """Show the deviation; without a composition one volume of a branch; without any volume the first map."""
    if image.kind == "composition":
        return name == "tm_o_deviation"
    names = [channel.name for channel in image.channels]
    first = FIRST_STRESS if FIRST_STRESS in names else names[0]
    return name == first and (not covered if len(image.grid.scale_nm) == 3 else alone)


def _image_layer(
    image: OpenedImage,
    channel: ImageChannel,
    beam: tuple[float, float] | None,
    *,
    prefix: str,
    visible: bool,
) -> LayerTuple:
    arguments = {
        "name": prefix + channel_name(image.kind, channel.name),
        "visible": visible,
        **_display(image, channel),
        **placed(channel.levels, beam),
        "metadata": {INFO: _info(image, channel.name, channel.unit)},
    }
    if image.kind == "scattering":
        arguments |= over_energies(image, channel.levels)
    data = arguments.pop("data")
    if image.kind == "mechanics" and channel.name in STRESSES:
        scale = Scale()
        data = [Scaled(one, scale) for one in data] if isinstance(data, list) else Scaled(data, scale)
    elif channel.name == "tm_o_deviation":
        data = _drawn(data)
    elif _is_valence(image, channel.name):
        data = _drawn(data, _reference_valence(image, channel.name))
    return data, arguments, "image"


def _drawn(data: Any, nothing: float = 0.0) -> Any:
    """Return levels as they are drawn, with the value of a place where there is nothing to see."""
    many = isinstance(data, list)
    return [Drawn(level, nothing) for level in data] if many else Drawn(data, nothing)


def _is_valence(image: OpenedImage, channel: str) -> bool:
    return image.kind == "chemical_state" and channel.endswith("_valence")


def _reference_valence(image: OpenedImage, channel: str) -> float:
    return float(image.record["reference_valence"][channel.partition("_")[0]])


def _label_layer(
    image: OpenedImage,
    name: str,
    levels: Levels,
    beam: tuple[float, float] | None,
    *,
    prefix: str,
    shown: bool,
    suffix: str = "",
) -> LayerTuple:
    said, colors = LABEL_NAMES.get(name, f"{name} ({KIND_NAMES[image.kind]})"), LABEL_COLORS.get(name)
    if image.kind == "chemical_state":
        element, _, part = name.partition("_")
        said, colors = f"{element} {STATE_LABELS[part][0]}", STATE_LABELS[part][1]
    arguments = {
        "name": prefix + said + suffix,
        "visible": shown and name in SHOWN_LABELS,
        "opacity": LABEL_OPACITY,
        **placed(levels, beam),
        "metadata": {INFO: _info(image, name, "1")},
    }
    if colors is not None:
        arguments["colormap"] = label_colors(colors)
    data = arguments.pop("data")
    return data, arguments, "labels"


def channel_name(kind: str, channel: str) -> str:
    """Return the name that a person reads for a channel of a branch."""
    if kind == "composition":
        names = {"tm_o_deviation": "TM/O deviation", "tm_o_deviation_sigma": "TM/O deviation σ"}
        return names.get(channel, channel)
    if kind == "mechanics":
        return STRESS_NAMES.get(channel, channel.replace("_", " "))
    if kind == "scattering":
        return channel.replace("_standard_error", ", standard error")
    if kind in ("structure", "tomogram"):
        return f"{KIND_NAMES[kind]} {channel}"
    element, _, quantity = channel.partition("_")
    if kind == "chemical_state":
        component = f"density of {quantity.removeprefix('density_')}"
        return f"{element} {STATE_NAMES.get(quantity, quantity if quantity == 'valence' else component)}"
    if kind == "areal_density":
        names = {"": "areal density", "sigma": "areal density σ"}
        return f"{element} {names.get(quantity, f'{quantity} optical density')}"
    if quantity.startswith("fraction_"):
        return f"{element} fraction of {quantity.removeprefix('fraction_').replace('_', ' ')}"
    names = {"": "valence", "residual": "valence residual", "standard_error": "valence standard error"}
    names["valence_sigma"] = "valence σ"
    return f"{element} {names.get(quantity, quantity.replace('_', ' '))}"


def _display(image: OpenedImage, channel: ImageChannel) -> dict[str, Any]:
    """Return colours, range and blending of a channel."""
    if image.kind == "composition" and channel.name == "tm_o_deviation":
        return _deviation_display(image)
    if _is_valence(image, channel.name):
        base, reach = _reference_valence(image, channel.name), 3 * float(image.record["threshold"])
        shades = {"colors": diverging_colors(), "name": "valence"}
        return {
            "colormap": shades,
            "blending": "translucent",
            "contrast_limits": (base - reach, base + reach),
        }
    limits = {"contrast_limits": channel.window}
    if image.kind in ("composition", "areal_density", "chemical_state") and channel.color != "FFFFFF":
        return {"colormap": f"#{channel.color}", "blending": "additive", **limits}
    if image.kind == "mechanics" and channel.window[0] == -channel.window[1]:
        colors = {"colors": diverging_colors(), "name": "stress"}
        return {"colormap": colors, "blending": "translucent", **limits}
    if image.kind == "scattering" and " − " in channel.name and "error" not in channel.name:
        reach = max(abs(limit) for limit in channel.window)
        colors = {"colors": diverging_colors(), "name": "difference"}
        return {"colormap": colors, "blending": "translucent", "contrast_limits": (-reach, reach)}
    volume = image.kind in ("structure", "tomogram")
    return {"colormap": "gray" if volume else SEQUENTIAL, "blending": "translucent", **limits}


def _deviation_display(image: OpenedImage) -> dict[str, Any]:
    """Return colours and range of a deviation. In 3D it is integrated: a maximum would hide one sign."""
    limit = deviation_limit(float(image.record["threshold"]), _median_sigma(image))
    colors = {"colors": diverging_colors(), "name": DEVIATION_COLORS}
    return {
        "colormap": colors,
        "contrast_limits": (-limit, limit),
        "blending": "translucent",
        "rendering": "translucent",
    }


def _median_sigma(image: OpenedImage) -> float:
    """Return the median σ of the deviation on the coarsest level, an average of the finer ones."""
    for channel in image.channels:
        if channel.name == "tm_o_deviation_sigma":
            sigma = np.asarray(channel.levels.arrays[-1])
            known = sigma[np.isfinite(sigma) & (sigma > 0)]
            return float(np.median(known)) if known.size else float("nan")
    return float("nan")


def _info(image: OpenedImage, part: str, unit: str) -> dict[str, Any]:
    """Return what widgets need to know of a layer."""
    return {
        "path": str(image.path),
        "sample": image.sample,
        "kind": image.kind,
        "part": part,
        "unit": unit,
        "record": dict(image.record),
    }


def _grid_words(grid: Levels) -> str:
    sides = " × ".join(str(size) for size in grid.arrays[0].shape)
    return f"{sides} at {grid.scale_nm[-1]:.4g} nm"
