"""What a path holds that can be shown: one image, a sample, a folder of samples; and what is not finished."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oxytomo.errors import InputError
from oxytomo.view.napari_plugin.images import KINDS, OpenedImage, image_record, open_image

NEIGHBOURS = (
    "report.html",
    "phases.json",
    "structure.json",
    "oxidation.json",
    "domains.csv",
    "pores.csv",
    "cracks.csv",
)
"""Files of a sample's folder that stand for the sample."""

STAGES = "stages"


@dataclass(frozen=True)
class Sample:
    """The images of one sample, in the order of :data:`KINDS`, and its branches that are not finished."""

    name: str
    images: Sequence[OpenedImage]
    unfinished: Sequence[str]


def find_samples(path: Path) -> list[Sample]:
    """Open what is at a path: an image, a sample's folder or a file in it, or a folder of samples.

    Raises
    ------
    InputError
        When there is nothing to show; the message says whether results are unfinished or of another program.
    """
    folder = path.parent if path.is_file() and path.name in NEIGHBOURS else path
    if image_record(folder) is not None or _is_zarr(folder):
        image = open_image(folder)
        return [Sample(image.sample, [image], [])]
    folders = [folder] if _is_sample(folder) else _samples_below(folder)
    samples = [_open_sample(one) for one in folders]
    shown = [sample for sample in samples if sample.images]
    if shown:
        return shown
    unfinished = [branch for sample in samples for branch in sample.unfinished]
    raise InputError(
        str(path),
        expected="the results of a sample",
        got=f"results of which {', '.join(unfinished)} is not finished"
        if unfinished
        else ("nothing there" if not path.exists() else "no results of oxytomo"),
        fix="run the workflow to its end with `oxytomo run CONFIG`"
        if unfinished
        else "give <results>/<sample>, or one of its folders *.ome.zarr",
    )


def is_ours(path: Path) -> bool:
    """Say quickly whether there is something of this package at a path; reads at most a few small files."""
    if path.is_file():
        return path.name in NEIGHBOURS and _is_sample(path.parent)
    return image_record(path) is not None or _is_sample(path) or bool(_samples_below(path))


def _is_zarr(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("zarr.json", ".zattrs", ".zgroup"))


def _is_sample(folder: Path) -> bool:
    return _images(folder) != [] or any((folder / STAGES / kind).is_dir() for kind in KINDS)


def _samples_below(folder: Path) -> list[Path]:
    return sorted(one for one in folder.glob("*") if _is_sample(one)) if folder.is_dir() else []


def _images(folder: Path) -> list[Path]:
    paths = [folder / f"{kind}.ome.zarr" for kind in KINDS]
    return [path for path in paths if image_record(path) is not None]


def _open_sample(folder: Path) -> Sample:
    images = [open_image(path) for path in _images(folder)]
    begun = [kind for kind in KINDS if (folder / STAGES / kind).is_dir()]
    unfinished = [kind for kind in begun if not (folder / f"{kind}.ome.zarr").is_dir()]
    return Sample(folder.resolve().name, images, unfinished)
