"""Paths that a study names: such as every file system, command and rule of the workflow takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

_LONGEST_PART = 200
_LONGEST = 1000


def plain_path(text: object) -> object:
    """Return a path as it was written, unless it means something else to others than it says.

    Raises:
        ValueError: empty, with control characters, `~` for a home folder or `-` in front, or longer
            than files may be called.
    """
    if not isinstance(text, str | Path):
        return text
    path = str(text)
    if not path.strip():
        raise ValueError("an empty path; name a folder or a file, or leave the key out")
    if not path.isprintable():
        raise ValueError("a path with control characters or line breaks; write one without")
    if path.startswith("~"):
        raise ValueError("`~` stands for nothing here; write the path in full")
    if path.startswith("-"):
        raise ValueError("commands would take it for an option; write ./ before it")
    if len(path) > _LONGEST or any(len(part.encode()) > _LONGEST_PART for part in path.split("/")):
        raise ValueError(
            f"longer than files may be called; at most {_LONGEST} characters, and {_LONGEST_PART} "
            "bytes between two slashes"
        )
    return text


def _of_results(path: Path) -> Path:
    if "{" in str(path) or "}" in str(path):
        raise ValueError("the workflow takes braces for wildcards; write a path without")
    if path == Path(path.anchor):
        raise ValueError("results lie in a folder of their own; name one below it")
    return path


PlainPath = Annotated[Path, BeforeValidator(plain_path)]
ResultsPath = Annotated[Path, BeforeValidator(plain_path), AfterValidator(_of_results)]
"""A folder that the workflow writes to."""
