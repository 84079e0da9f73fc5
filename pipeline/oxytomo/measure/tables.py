"""Tables of measurements as data frames; pandas is imported with the first one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def table(columns: Mapping[str, Any]) -> pd.DataFrame:
    """Return columns of equal length as a data frame; each keeps the type of its array."""
    import pandas as pd

    return pd.DataFrame(dict(columns))
