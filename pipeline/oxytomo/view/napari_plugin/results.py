"""Displayable results at a path: one image, a sample, or a folder of samples.

And what is not finished.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from oxytomo.errors import InputError
from oxytomo.results.images import Levels, OpenedImage, image_record, open_image
from oxytomo.results.opening import FILES_OF_A_SAMPLE, holds_results, samples_below
from oxytomo.results.results import Results
from oxytomo.view.napari_plugin.overlays import Registered, null_run, registered_voids


@dataclass(frozen=True)
class Sample:
    """One sample.

    Attributes
    ----------
    name : of the sample
    images : its images, the first at the bottom
    unfinished : its branches that are not finished
    aside : its images that are not shown beside the others, because their axes are energies
    null : deviation in a uniform particle, on the grid of the composition
    registered : voids on the grid of the composition, if both branches show the same particle
    """

    name: str
    images: Sequence[OpenedImage]
    unfinished: Sequence[str]
    aside: Sequence[Path] = ()
    null: Levels | None = None
    registered: Registered | None = None


def find_samples(path: Path) -> list[Sample]:
    """Open an image, the folder of a sample or a file in it, or a folder of samples.

    Raises
    ------
    InputError
        When there is nothing to show; the message says whether results are unfinished or of another
        program.
    """
    folder = path.parent if path.is_file() and path.name in FILES_OF_A_SAMPLE else path
    if image_record(folder) is not None or _is_zarr(folder):
        image = open_image(folder)
        return [Sample(image.sample, [image], [])]
    folders = [folder] if holds_results(folder) else samples_below(folder)
    whole = [_sample(Results.of_folder(one)) for one in folders]
    # Maps over energies have no place beside images of the sample: they are shown if all are maps
    samples = [_in_space(sample) for sample in whole]
    shown = [sample for sample in samples if sample.images] or [one for one in whole if one.images]
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


def _in_space(sample: Sample) -> Sample:
    """Return a sample without images whose axes are energies."""
    images = [image for image in sample.images if image.kind != "scattering"]
    aside = [image.path for image in sample.images if image.kind == "scattering"]
    return replace(sample, images=images, aside=aside)


def is_ours(path: Path) -> bool:
    """Return True if a path contains results of this package.

    Reads at most a few small files.
    """
    if path.is_file():
        return path.name in FILES_OF_A_SAMPLE and holds_results(path.parent)
    return image_record(path) is not None or holds_results(path) or bool(samples_below(path))


def _is_zarr(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("zarr.json", ".zattrs", ".zgroup"))


def _sample(results: Results) -> Sample:
    images, files = list(results.images.values()), results.files
    return Sample(
        results.name,
        images,
        results.unfinished,
        null=null_run(files, images),
        registered=registered_voids(files, images),
    )
