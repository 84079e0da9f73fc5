"""Open the results of a sample, or of a folder of samples."""

import os
from pathlib import Path

from oxytomo.errors import InputError
from oxytomo.io.plain_files import printable
from oxytomo.results.images import KINDS
from oxytomo.results.places import STORES, TABLES
from oxytomo.results.results import Results, ResultsFolder

FILES_OF_A_SAMPLE = (*(name for name in TABLES.values() if "/" not in name), "report.html")
"""Files in the folder of a sample that can be given instead of the folder."""


def open_results(path: str | os.PathLike[str]) -> Results | ResultsFolder:
    """Open the results of a sample, or of all samples in a folder.

    Parameters
    ----------
    path : ``<results>/<sample>`` or a file in it, or ``<results>``

    Returns
    -------
    results : :class:`Results` of one sample, or a mapping of names to these for a folder of samples

    Raises
    ------
    InputError
        If there are no results at the path.
    StoreError
        If one of the files is a link, which may lead to other results.

    Examples
    --------
    >>> results = open_results("results/particle")  # doctest: +SKIP
    >>> results.numbers["oxygen_poor"]  # doctest: +SKIP
    >>> results.arrays["deviation"].sel(z=1200, method="nearest").plot()  # doctest: +SKIP
    """
    place = Path(path)
    folder = place.parent if place.name in FILES_OF_A_SAMPLE and place.is_file() else place
    if holds_results(folder):
        return Results.of_folder(folder)
    samples = samples_below(folder)
    if samples:
        return ResultsFolder(folder, {sample.name: sample for sample in samples})
    raise InputError(
        printable(place),
        expected="the results of a sample, or a folder of such",
        got="nothing there" if not place.exists() else "no results of oxytomo",
        fix="give <results>/<sample> or <results> of a configuration, or run it first (oxytomo run X.yaml)",
    )


def holds_results(folder: Path) -> bool:
    """Return True if a folder contains results of one sample, finished or not."""
    return folder.is_dir() and (
        any((folder / "stages" / branch).is_dir() for branch in STORES)
        or any(os.path.lexists(folder / name) for name in TABLES.values())
        or any((folder / f"{kind}.ome.zarr").is_dir() for kind in KINDS)
    )


def samples_below(folder: Path) -> list[Path]:
    """Return the folders of samples in a folder, sorted by name, without links."""
    if not folder.is_dir():
        return []
    inside = (one for one in folder.iterdir() if not one.name.startswith(".") and not one.is_symlink())
    return sorted(one for one in inside if holds_results(one))
