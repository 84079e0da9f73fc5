"""Delete intermediate results: stage stores with their records, and files of killed processes."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from oxytomo.errors import InputError, StoreError
from oxytomo.io.atomic import record_file, remove
from oxytomo.io.finished import MARKER, is_sample
from oxytomo.io.plain_files import check_no_links, printable, walk
from oxytomo.io.ways_out import refuse_links_below
from oxytomo.run.lock import run_lock
from oxytomo.run.results_folder import forget_products

_LEFT_OVER = re.compile(r"\..+\.(partial|replaced)-\d+")
LEFT_OVER = "left over"
"""Name for the files of killed processes, used like the name of a stage."""
LOST = {
    "normalize": "the optical densities; a changed setting begins with the raw files again",
    "normalize_stack": "the optical densities; a changed setting begins with the raw files again",
    "align": "shifts and aligned frames; alignment.csv stays",
    "register": "shifts of the frames",
    "decompose": "the projected maps of the elements",
    "reconstruct": "the volumes as the solver left them; the exported image stays",
    "uncertainty": "intervals and null run at other thresholds in napari",
    "replicate": "single replicates; their summary in uncertainty stays",
    "classify": "the classes; the exported image stays",
    "fit": "maps of the fit; the exported image stays",
    "retrieve_phase": "the phase maps",
    "segment_voids": "labels; the exported image stays",
    "measure_voids": "what the tables were made from; the tables stay",
    "register_branches": "the structure on the grid of the composition",
    LEFT_OVER: "nothing",
}
"""What is lost with the store of each stage; other stores cost only the time to make them again."""
_TIME_ONLY = "only time; a run makes it again if a changed setting needs it"


@dataclass(frozen=True)
class Cleanable:
    """A store or file that may be deleted: its path, its stage, its size."""

    path: Path
    sample: str
    stage: str
    size_bytes: int

    @property
    def lost(self) -> str:
        """What is lost if it is deleted, as text."""
        return LOST.get(self.stage, _TIME_ONLY)


def find_cleanable(folder: Path, stages: Collection[str] = ()) -> tuple[Path, list[Cleanable]]:
    """Return the results folder and the files in it that may be deleted.

    Parameters
    ----------
    folder : a results folder, or that of one sample
    stages : only these stages; empty for all

    Raises
    ------
    InputError, StoreError
        If this is not a results folder, if links lead out of it, or if it does not contain a stage.
    """
    root, samples = _samples(folder)
    found: list[Cleanable] = []
    for sample in samples:
        refuse_links_below(sample / "stages")
        found += list(_below(sample))
    known = sorted({one.stage for one in found})
    unknown = [stage for stage in stages if stage not in known]
    if unknown:
        raise InputError(
            "--stage", expected=f"one of {', '.join(known) or 'none'}", got=unknown[0], fix="correct the name"
        )
    return root, [one for one in found if not stages or one.stage in stages]


def delete(root: Path, chosen: Sequence[Cleanable]) -> int:
    """Delete stores with their records while no run is active; return the number of freed bytes.

    Parameters
    ----------
    root : the results folder
    chosen : result of :func:`find_cleanable`
    """
    freed = 0
    with run_lock(root):
        for one in chosen:
            check_no_links(root, one.path)
            remove(one.path)
            if one.path.exists():
                raise StoreError(
                    printable(one.path),
                    expected="to delete it",
                    got="what stays",
                    fix="correct its permissions",
                )
            remove(record_file(one.path))
            freed += one.size_bytes
        forget_products(root, [str(one.path.relative_to(root)) for one in chosen])
    return freed


def _samples(folder: Path) -> tuple[Path, list[Path]]:
    """Return the results folder and the samples of a folder; links are refused."""
    if folder.is_symlink() or not folder.is_dir():
        got = "a link" if folder.is_symlink() else "no folder"
        raise InputError(printable(folder), expected="a folder of results", got=got, fix="correct the path")
    place = folder.resolve()
    if is_sample(place) and (place.parent / MARKER).is_file():
        return place.parent, [place]
    inside = sorted(one for one in place.iterdir() if not one.is_symlink() and is_sample(one))
    if not (place / MARKER).is_file() or not inside:
        got = f"one without {MARKER}" if not (place / MARKER).is_file() else "one without samples"
        fix = "give the folder that 'results' names, or that of a sample in it"
        raise InputError(printable(folder), expected="a folder of results of oxytomo", got=got, fix=fix)
    return place, inside


def _below(sample: Path) -> Iterable[Cleanable]:
    """Yield the stores of a sample and the files of killed processes."""
    for entry in walk(sample / "stages", into=".zarr"):
        path = Path(entry.path)
        if _LEFT_OVER.fullmatch(entry.name):
            yield Cleanable(path, sample.name, LEFT_OVER, _size(path))
        elif entry.name.endswith(".zarr") and entry.is_dir(follow_symlinks=False):
            if any(_LEFT_OVER.fullmatch(part) for part in path.relative_to(sample).parts):
                continue
            parts = path.relative_to(sample / "stages").parts
            yield Cleanable(path, sample.name, parts[1].removesuffix(".zarr"), _size(path))


def _size(path: Path) -> int:
    """Return the bytes of a file or of all files in a folder; links are not followed."""
    own = path.lstat().st_size
    if path.is_symlink() or not path.is_dir():
        return own
    return sum(
        entry.stat(follow_symlinks=False).st_size
        for entry in walk(path)
        if not entry.is_dir(follow_symlinks=False)
    )
