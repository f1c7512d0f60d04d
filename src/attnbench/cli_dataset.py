"""`attnbench dataset`: a user's own data. Every verb imports its room only when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from attnbench.errors import DataError

dataset_app = typer.Typer(help="Add and check data of your own.", no_args_is_help=True)


@dataset_app.callback()
def _of_several_verbs() -> None:
    """Keep the verb in the command while it is the only one."""


@dataset_app.command("check")
def check(
    name: Annotated[str, typer.Argument(help="The dataset's name in the catalog.")],
    catalog: Annotated[
        list[Path] | None, typer.Option("--catalog", help="A folder with own datasets.")
    ] = None,
    study: Annotated[
        Path | None, typer.Option("--study", help="One that has fetched it; its catalog counts.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder that is written [NAME-check].")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes, at most.")] = 1,
) -> None:
    """Look for copies of images and for what else is odd; status 1 if copies cross groups.

    Writes tables and a picture of the pairs.
    """
    from attnbench.catalog import LocalOrigin, load_entry
    from attnbench.check import load_study
    from attnbench.data.scan.inspect import inspect_dataset
    from attnbench.data.scan.words import in_words

    loaded = load_study(study) if study else None
    entry = load_entry(name, (*(catalog or ()), *(loaded.catalog if loaded else ())))
    if entry.generated:
        raise DataError(f"{name}: its images are generated; none can be a copy of another")
    if not loaded and not isinstance(entry.origin, LocalOrigin):
        raise DataError(
            f"{name}: its images are downloaded by a study; name one that has it and has fetched "
            "it: --study FILE (`attnbench fetch --study FILE --dataset NAME`)"
        )
    folder = to or Path(f"{name}-check")
    raw = loaded.layout.raw(name) if loaded else folder
    inspection = inspect_dataset(entry, raw, folder, workers)
    for line in in_words(inspection):
        typer.echo(line)
    typer.echo(f"tables and a picture of the pairs: {folder}")
    if inspection.leaks:
        raise typer.Exit(1)
