"""`receipt.json`: which originals are there, each with its size, digests and where it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attnbench.errors import FetchError
from attnbench.files import hash_of, read_json, write_json

Row = Mapping[str, Any]
_HASH = "receipt_sha256"


def write_receipt(path: Path, dataset: str, source: str, files: Sequence[Row]) -> None:
    """Write the receipt, with a hash of all that it says."""
    content = {"dataset": dataset, "source": source, "files": list(files)}
    write_json(path, content | {_HASH: hash_of(content)})


def read_receipt(path: Path) -> dict[str, Row]:
    """Rows of a receipt by path, each with `path`, `bytes` and digests by algorithm.

    Raises:
        FetchError: it is missing, or not as it was written.
    """
    remedy = "remove it and run the study again: files that are whole are kept"
    try:
        content = read_json(path)
        stated = content.pop(_HASH)
        if hash_of(content) != stated:
            raise ValueError("it has changed since it was written")
        return {row["path"]: row for row in content["files"]}
    except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        found = f"it has no {error}" if isinstance(error, KeyError) else error
        raise FetchError(f"{path}: no receipt of originals ({found}); {remedy}") from error
