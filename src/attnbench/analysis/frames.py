"""Frames with exactly the columns that `tables.FRAMES` declares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from attnbench.analysis.tables import FRAMES, TEXTS
from attnbench.errors import DataError


def joined(name: str, parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The frame `name` from its parts, one below the other; without parts no rows."""
    columns = list(FRAMES[name])
    return pd.concat(parts, ignore_index=True)[columns] if parts else of_rows(name, [])


def of_rows(name: str, rows: Sequence[Any]) -> pd.DataFrame:
    """The frame `name` from its rows; a column that no row has is empty."""
    return pd.DataFrame(rows, columns=list(FRAMES[name]))


def read_frame(path: Path, name: str) -> pd.DataFrame:
    """The frame `name` from its file; names are texts, and only an empty field is missing.

    Raises:
        DataError: the file lacks columns.
    """
    texts = dict.fromkeys(TEXTS.intersection(FRAMES[name]), "str")
    # "none" and "NA" may be names.
    frame = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[""])
    lacking = [column for column in FRAMES[name] if column not in frame.columns]
    if lacking:
        raise DataError(
            f"{path}: columns {', '.join(lacking)} are missing, found "
            f"{', '.join(frame.columns)}; write it again with `attnbench analyse`"
        )
    return frame
