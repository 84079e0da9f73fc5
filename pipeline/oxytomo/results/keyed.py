"""Named results that are read on demand."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Generic, TypeVar

from oxytomo.results.errors import no_such

Item = TypeVar("Item")


def _itself(item: Item) -> Item:
    return item


class Keyed(Mapping[str, Item], Generic[Item]):
    """A mapping of ``<branch>/<name>`` to results; a unique name needs no branch.

    Each result is read on first use, and only once.

    Parameters
    ----------
    what : kind of the results, in the plural
    readers : key -> function that reads the result
    """

    def __init__(self, what: str, readers: Mapping[str, Callable[[], Item]]) -> None:
        self._what, self._readers = what, dict(readers)
        self._read: dict[str, Item] = {}

    @classmethod
    def of(cls, what: str, items: Mapping[str, Item]) -> "Keyed[Item]":
        """Return results that are read already."""
        return cls(what, {key: partial(_itself, item) for key, item in items.items()})

    def _full(self, name: object) -> str:
        text = str(name)
        if text in self._readers:
            return text
        ends = [key for key in self._readers if key.partition("/")[2] == text]
        if len(ends) == 1:
            return ends[0]
        raise no_such(name, self._what, ends or list(self._readers))

    def __getitem__(self, name: str) -> Item:
        key = self._full(name)
        if key not in self._read:
            self._read[key] = self._readers[key]()
        return self._read[key]

    def __contains__(self, name: object) -> bool:
        try:
            self._full(name)
        except KeyError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    def __repr__(self) -> str:
        return f"{self._what}: {', '.join(self._readers) or 'none'}"
