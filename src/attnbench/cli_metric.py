"""`attnbench metric`: metrics of a user's own. Every verb imports its room only when called."""

from __future__ import annotations

from typing import Annotated

import typer

metric_app = typer.Typer(help="Check a metric of your own.", no_args_is_help=True)


@metric_app.callback()
def _several() -> None:
    """Check a metric of your own."""


@metric_app.command("check")
def check(
    reference: Annotated[
        str, typer.Argument(metavar="CODE", help="./my_metrics.py:my_metric or package.my_metric.")
    ],
) -> None:
    """Try a metric of your own on made masks: does it do what it declares?"""
    from attnbench.errors import OwnCodeError
    from attnbench.scoring.own_check import check_metric
    from attnbench.study.base import is_reference

    if not is_reference(reference):
        raise OwnCodeError(
            f"{reference}: own code is named by a file and a name, ./my_metrics.py:my_metric, or a "
            "dotted path, my_package.my_metric"
        )
    failed = 0
    for finding in check_metric(reference):
        failed += finding.kind == "FAIL"
        typer.echo(f"{finding.kind:5}{finding.text}")
    if failed:
        typer.echo(f"{failed} check{'s' if failed > 1 else ''} failed")
        raise typer.Exit(1)
    typer.echo(f"ready: metrics: [dice, {reference}]")
