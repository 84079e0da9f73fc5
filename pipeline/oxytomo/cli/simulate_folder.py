"""The folder that ``oxytomo simulate`` writes into."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oxytomo.errors import ConfigError, StoreError

FIRST_WORDS = "# Simulated"
"""How a configuration begins that `oxytomo simulate` wrote."""
RECORD = ".oxytomo.simulated"
"""File beside it with the digest of the configuration as it was written."""


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Turn a refusal of the system to write below a folder into one line."""
    try:
        yield
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(
            str(folder),
            expected="a folder that may be written",
            got=error.strerror or str(error),
            fix="choose another",
        ) from error


def make_folder(folder: Path, configuration: str, subfolders: tuple[str, ...]) -> None:
    """Make the folders of an acquisition, and write its configuration first.

    An earlier simulation is replaced, also one that was interrupted: the configuration says whose
    files these are.

    Parameters
    ----------
    folder : the folder of the acquisition
    configuration : text of its ``config.yaml``; begins with :data:`FIRST_WORDS`
    subfolders : those that will hold files

    Raises
    ------
    ConfigError
        Where files of the same names lie that no simulation wrote, or a configuration that was
        edited. Nothing is touched then.
    """
    place = folder / "config.yaml"
    names = [folder / name for name in ("config.yaml", "truth.npz", "instrument.yaml")]
    inside = [path for name in subfolders if (folder / name).is_dir() for path in (folder / name).iterdir()]
    there = [path for path in [*names, *inside] if path.exists() and not path.name.startswith(".")]
    if there and not _is_ours(place):
        raise ConfigError(
            str(folder),
            expected="a new folder, or that of an earlier simulation",
            got=f"{min(there).relative_to(folder)}, which simulate did not write",
            fix="choose another folder",
        )
    if place.is_file() and _is_edited(place, configuration):
        raise ConfigError(
            str(place),
            expected="the configuration as simulate wrote it",
            got="one that was edited",
            fix="choose another folder, or delete or rename this file",
        )
    for name in subfolders:
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / RECORD).write_text(f"{_digest(configuration.encode())}\n", encoding="utf-8")
    place.write_text(configuration, encoding="utf-8")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _is_edited(place: Path, new: str) -> bool:
    """Return whether a configuration differs from what was written; old ones have no record."""
    record = place.parent / RECORD
    there = _digest(place.read_bytes())
    if not record.is_file() or there == _digest(new.encode()):
        return False
    return record.read_text(encoding="utf-8", errors="replace").strip() != there


def _is_ours(configuration: Path) -> bool:
    """Return whether a configuration is one that simulate wrote."""
    if not configuration.is_file():
        return False
    with configuration.open(encoding="utf-8", errors="replace") as file:
        return file.read(len(FIRST_WORDS)) == FIRST_WORDS
