"""The metadata of an OME-Zarr image, formats 0.4 and 0.5."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oxytomo.palette import Rgba
from oxytomo.slabs import Field


@dataclass(frozen=True)
class Channel:
    """One channel of an image.

    Attributes
    ----------
    name : its name, as it appears in viewers
    data : (n_z, n_y, n_x) or (n_y, n_x) float32 array or field; NaN where there is no value
    color : six hexadecimal digits
    window : lowest and highest value shown
    active : whether viewers show it initially
    """

    name: str
    data: Field
    color: str
    window: tuple[float, float]
    active: bool = True


@dataclass(frozen=True)
class Label:
    """One label image.

    Attributes
    ----------
    name : its name, as it appears in viewers
    data : (n_z, n_y, n_x) or (n_y, n_x) integers, array or field; 0 is background
    colors, names : per label value; both list the same values
    """

    name: str
    data: Field
    colors: Mapping[int, Rgba]
    names: Mapping[int, str]


def image_metadata(
    channels: Sequence[Channel],
    *,
    name: str,
    axes: tuple[str, ...],
    voxel_nm: float,
    factors: Sequence[tuple[int, ...]],
    ngff: str,
    ranges: Sequence[tuple[float, float]],
) -> dict[str, Any]:
    """Return the root attributes of an image: levels with positions, channels with colours.

    Parameters
    ----------
    factors : per level and spatial axis, size of a voxel in voxels of the finest level
    ranges : per channel, the smallest and largest value
    """
    depth = channels[0].data.shape[0] if "z" in axes else 1
    omero: dict[str, Any] = {
        "channels": [
            {
                "label": channel.name,
                "color": channel.color,
                "window": {
                    "min": min(lowest, channel.window[0]),
                    "max": max(highest, channel.window[1]),
                    "start": channel.window[0],
                    "end": channel.window[1],
                },
                "active": channel.active,
                "coefficient": 1,
                "family": "linear",
                "inverted": False,
            }
            for channel, (lowest, highest) in zip(channels, ranges, strict=True)
        ],
        "rdefs": {"defaultT": 0, "defaultZ": depth // 2, "model": "color"},
    }
    if ngff == "0.4":
        omero = {"id": 1, "name": name, "version": "0.4", **omero}
    scales = multiscales(name=name, axes=axes, voxel_nm=voxel_nm, factors=factors, ngff=ngff, method="mean")
    return _versioned({"multiscales": scales, "omero": omero}, ngff)


def label_metadata(
    label: Label, *, axes: tuple[str, ...], voxel_nm: float, factors: Sequence[tuple[int, ...]], ngff: str
) -> dict[str, Any]:
    """Return the root attributes of a label image: levels with positions, colours and names."""
    described: dict[str, Any] = {
        "colors": [
            {"label-value": value, "rgba": list(color)} for value, color in sorted(label.colors.items())
        ],
        "properties": [{"label-value": value, "name": label.names[value]} for value in sorted(label.colors)],
        "source": {"image": "../../"},
    }
    if ngff == "0.4":
        described["version"] = "0.4"
    scales = multiscales(
        name=label.name, axes=axes, voxel_nm=voxel_nm, factors=factors, ngff=ngff, method="mode"
    )
    return _versioned({"multiscales": scales, "image-label": described}, ngff)


def labels_metadata(names: Sequence[str], *, ngff: str) -> dict[str, Any]:
    """Return the attributes of the group that holds the label images."""
    return _versioned({"labels": list(names)}, ngff)


def multiscales(
    *,
    name: str,
    axes: tuple[str, ...],
    voxel_nm: float,
    factors: Sequence[tuple[int, ...]],
    ngff: str,
    method: str,
) -> list[dict[str, Any]]:
    """Return the resolution levels with voxel size and position of the first voxel in nanometres.

    The centre of the first voxel of the finest level is the origin. A voxel that spans ``f`` fine
    voxels has its centre ``(f − 1)/2`` fine voxels further.
    """
    lead = [1.0] * (len(axes) - len(factors[0]))
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {"type": "scale", "scale": lead + [factor * voxel_nm for factor in spans]},
                {
                    "type": "translation",
                    "translation": [0.0 for _ in lead] + [(factor - 1) / 2 * voxel_nm for factor in spans],
                },
            ],
        }
        for level, spans in enumerate(factors)
    ]
    described = [
        {"name": axis, "type": "channel"}
        if axis == "c"
        else {"name": axis, "type": "space", "unit": "nanometer"}
        for axis in axes
    ]
    scales: dict[str, Any] = {
        "name": name,
        "axes": described,
        "datasets": datasets,
        "type": method,
        "metadata": {
            "description": f"Blocks of 2 voxels along every axis, {method}.",
            "method": "oxytomo.export.pyramid",
        },
    }
    return [{"version": "0.4", **scales} if ngff == "0.4" else scales]


def _versioned(content: dict[str, Any], ngff: str) -> dict[str, Any]:
    return content if ngff == "0.4" else {"ome": {"version": ngff, **content}}
