"""`attnbench model`: mechanisms and networks of a user's own."""

from __future__ import annotations

import typer

model_app = typer.Typer(help="Check a mechanism or a network of your own.", no_args_is_help=True)
