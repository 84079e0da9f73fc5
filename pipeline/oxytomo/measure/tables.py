"""Tables of measurements as data frames; pandas is imported with the first one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def table(columns: Mapping[str, Any]) -> pd.DataFrame:
    """Return columns of equal length as a data frame; each keeps the type of its array."""
    import pandas as pd

    return pd.DataFrame(dict(columns))


def stacked(parts: Mapping[str, pd.DataFrame], key: str, columns: Sequence[str]) -> pd.DataFrame:
    """Return tables one below the other, the name of each in a first column ``key``.

    Without tables it has these columns and no rows.
    """
    import pandas as pd

    if not parts:
        return pd.DataFrame(columns=[*columns])
    named = [part.assign(**{key: name})[[key, *part.columns]] for name, part in parts.items()]
    return pd.concat(named, ignore_index=True)
