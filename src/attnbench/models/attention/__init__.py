"""Mechanisms, one per file: a file without a leading underscore registers the one of its name."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def mechanism_names() -> tuple[str, ...]:
    """Every mechanism's name, sorted; imports none of them."""
    return tuple(sorted(path.stem for path in FOLDER.glob("[!_]*.py")))
