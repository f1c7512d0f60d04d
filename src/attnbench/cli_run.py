"""Commands that start a study anywhere, repeat parts of it and free its space."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli_options import StudyArgument, study_file


def add_run(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(run)
    app.command()(init)


def run(
    study: StudyArgument = None,
    further: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- WORDS", help="Words for Snakemake, after `--`."),
    ] = None,
    cores: Annotated[
        str | None, typer.Option("--cores", metavar="N", help="Or `all`, which is the default.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only say what would be done.")
    ] = False,
    where: Annotated[
        bool, typer.Option("--where", help="Print the path of the Snakefile, and stop.")
    ] = False,
) -> None:
    """Run a study, or what is missing of it; results go to `results/<name>` of this folder.

    It is Snakemake with the workflow of this package: all its options can follow after `--`, as in
    `attnbench run my.yaml -- --workflow-profile slurm`. Its exit status is passed on.
    """
    from attnbench.study.reading import read_study
    from attnbench.workflow import command, environment, snakefile

    if where:
        typer.echo(snakefile())
        return
    words = further or []
    if study is not None and str(study).startswith("-"):
        # Without a study, the first of Snakemake's own words stands in its place.
        study, words = None, [str(study), *words]
    file = study_file(study)
    # Before Snakemake reads it, which has no bounds and runs code in some files.
    read_study(file)
    start = command(file, cores, dry_run, words)
    sys.stdout.flush()
    # In place of this process: Ctrl-C, signals of a scheduler and exit status are Snakemake's.
    os.execve(start[0], start, environment(os.environ))


def init(
    folder: Annotated[Path, typer.Argument(help="To write; made if it is not there.")],
    mechanism: Annotated[
        bool,
        typer.Option("--mechanism", help="With a mechanism of your own to begin with."),
    ] = False,
) -> None:
    """Write a first study with a comment on every choice, and a README of what to type.

    Asks nothing, and refuses a folder that has one of the files already.
    """
    from attnbench.intake.project import write_project

    text = None
    if mechanism:
        from attnbench.models.skeleton import mechanism_skeleton

        text = mechanism_skeleton()
    typer.echo(write_project(folder, text))
