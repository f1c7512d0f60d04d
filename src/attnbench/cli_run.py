"""Commands that start a study anywhere, repeat parts of it and free its space."""

from __future__ import annotations

import typer


def add_run(app: typer.Typer) -> None:
    """Add the commands to the command line."""
