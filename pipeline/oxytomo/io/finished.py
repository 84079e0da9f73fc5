"""Content of a results folder after a run: records of its products, and their list."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from oxytomo.io.plain_files import read_json_object, walk

MARKER = "oxytomo.json"
"""File in a results folder that lists the raw files of each sample and the finished products."""
RECORD_END = ".record.json"


def is_sample(folder: Path) -> bool:
    """Return whether a folder holds the results of one sample."""
    stages = folder / "stages"
    return stages.is_dir() and not stages.is_symlink() and not (stages / "stages").is_dir()


def finished_products(root: Path) -> Mapping[str, Sequence[str]]:
    """Return the finished products in a results folder, by sample; empty without a list."""
    try:
        finished = read_json_object(root / MARKER).get("finished", {})
        return {
            str(sample): [
                str(name) for name in names if ".." not in Path(str(name)).parts and "\0" not in str(name)
            ]
            for sample, names in finished.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def products_of(root: Path, sample: str) -> list[str]:
    """Return the products of a sample that have a record, relative to the results folder.

    With an empty name, those of all samples together.
    """
    folder = root / sample
    records = records_of(folder) if sample else records_in(folder)
    return sorted(
        str(product_of(record).relative_to(root)) for record in records if product_of(record).exists()
    )


def records_of(sample: Path) -> list[Path]:
    """Return the records of the outputs of a sample; images and meshes contain none."""
    below = walk(sample / "stages", into=".zarr") if (sample / "stages").is_dir() else ()
    return [*records_in(sample), *sorted(Path(e.path) for e in below if _is_record(e.name))]


def records_in(folder: Path) -> list[Path]:
    """Return the records of outputs directly in a folder."""
    return sorted(path for path in folder.iterdir() if _is_record(path.name))


def _is_record(name: str) -> bool:
    return name.startswith(".") and name.endswith(RECORD_END) and len(name) > len(RECORD_END) + 1


def product_of(record: Path) -> Path:
    """Return the output that a record belongs to."""
    return record.with_name(record.name[1:].removesuffix(RECORD_END))
