"""Frames with exactly the columns that `tables.FRAMES` declares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from attnbench.analysis.tables import FRAMES


def joined(name: str, parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The frame `name` from its parts, one below the other; without parts no rows."""
    columns = list(FRAMES[name])
    return pd.concat(parts, ignore_index=True)[columns] if parts else of_rows(name, [])


def of_rows(name: str, rows: Sequence[Any]) -> pd.DataFrame:
    """The frame `name` from its rows; a column that no row has is empty."""
    return pd.DataFrame(rows, columns=list(FRAMES[name]))
