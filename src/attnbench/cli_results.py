"""Commands that take predictions and models out of a study."""

from __future__ import annotations

import typer


def add_results(app: typer.Typer) -> None:
    """Add the commands to the command line."""
