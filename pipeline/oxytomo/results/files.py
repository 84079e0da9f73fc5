"""Files of a sample; each is checked against its record and opened once."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oxytomo.io.integrity import check_unaltered
from oxytomo.io.plain_files import MOST_TABLE_BYTES, read_json_object
from oxytomo.io.stores import Store, read_store
from oxytomo.results.columns import TABLE_TYPES
from oxytomo.results.tables import read_table

if TYPE_CHECKING:
    import pandas as pd


class Files:
    """The files of a sample, by the keys of :func:`oxytomo.results.places.find_results`.

    Parameters
    ----------
    paths : key -> store or table
    """

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self.paths = dict(paths)
        self._read: dict[str, Any] = {}
        self._checked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self.paths

    def check(self, key: str) -> None:
        """Refuse a file or a store that was changed after its stage wrote it."""
        if key not in self._checked:
            check_unaltered(self.paths[key])
            self._checked.add(key)

    def check_all(self) -> None:
        """Refuse the sample if any of its files or stores was changed."""
        for key in self.paths:
            self.check(key)

    def store(self, key: str) -> Store | None:
        """Return a stage store, None if it is missing."""
        return self._once(key, read_store)

    def json(self, key: str) -> dict[str, Any] | None:
        """Return the content of a JSON table, None if it is missing."""
        return self._once(key, lambda path: read_json_object(path, MOST_TABLE_BYTES))

    def table(self, key: str) -> "pd.DataFrame | None":
        """Return a table, None if it is missing."""
        return self._once(key, lambda path: read_table(path, TABLE_TYPES[key]))

    def _once(self, key: str, read: Any) -> Any:
        if key not in self.paths:
            return None
        if key not in self._read:
            self.check(key)
            self._read[key] = read(self.paths[key])
        return self._read[key]
