"""Names of all mechanisms, read from the file names in `attention/`: no mechanism, and no torch, is imported."""

from __future__ import annotations

from pathlib import Path


def mechanism_names() -> tuple[str, ...]:
    """Every mechanism's name, sorted; `attention/<name>.py` registers the mechanism of that name."""
    files = (Path(__file__).parent / "attention").glob("[!_]*.py")
    return tuple(sorted(file.stem for file in files))
