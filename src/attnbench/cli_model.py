"""`attnbench model`: mechanisms and networks of a user's own."""

from __future__ import annotations

from typing import Annotated

import typer

model_app = typer.Typer(help="Check a mechanism or a network of your own.", no_args_is_help=True)


@model_app.callback()
def _group() -> None:
    """Keep `check` a command of its own: typer would merge a single one into its group."""


@model_app.command("check")
def check(
    mechanism: Annotated[
        str,
        typer.Argument(
            metavar="MECHANISM", help="./my_attention.py:MyGate, my_package.MyGate, or a name."
        ),
    ],
    ndim: Annotated[
        list[int] | None,
        typer.Option("--ndim", min=2, max=3, help="2 or 3; may be repeated (default: declared)."),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="As in a study; may be repeated."),
    ] = None,
) -> None:
    """Try a mechanism on everything that it promises (docs/your-model.md); status 1 if one fails.

    Nothing is trained and no data are read.
    """
    from attnbench.models.contract import check_mechanism
    from attnbench.models.findings import about, lines_of, summary
    from attnbench.models.registry import get_mechanism

    findings = []
    typer.echo(about(get_mechanism(mechanism)))
    for finding in check_mechanism(mechanism, tuple(ndim or ()), _options(option or [])):
        findings.append(finding)
        typer.echo("\n".join(lines_of(finding)))
    typer.echo(summary(get_mechanism(mechanism), findings))
    if any(finding.verdict == "fails" for finding in findings):
        raise typer.Exit(1)


def _options(given: list[str]) -> dict[str, object]:
    """Options as a study would have them: `width=16` is a number, `layout=parallel` a word."""
    apart = [text.partition("=") for text in given]
    for key, equals, _ in apart:
        if not key or not equals:
            raise typer.BadParameter(f"found {key!r}; expected KEY=VALUE, as width=16")
    return {key: _value(text) for key, _, text in apart}


def _value(text: str) -> object:
    import json

    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
