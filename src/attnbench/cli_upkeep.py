"""Commands on a study that was run: parts of it again, and its space."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attnbench.cli_options import StudyArgument, start, study_file, with_study
from attnbench.errors import StudyError, WorkflowError, listed
from attnbench.locks import exclusive

if TYPE_CHECKING:
    from attnbench.study.settings import Study


class Stage(StrEnum):
    """The first stage that is made again."""

    train = "train"
    predict = "predict"
    score = "score"


Words = Annotated[
    list[str] | None, typer.Argument(metavar="-- WORDS", help="Words for Snakemake, after `--`.")
]
Cores = Annotated[str | None, typer.Option("--cores", metavar="N", help="As of `attnbench run`.")]


def add_upkeep(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(rerun)
    app.command()(clean)
    app.command()(verify)


def rerun(
    study: StudyArgument = None,
    further: Words = None,
    dataset: Annotated[str | None, typer.Option(help="Runs of this dataset only.")] = None,
    model: Annotated[str | None, typer.Option(help="Runs of this model only.")] = None,
    fold: Annotated[int | None, typer.Option(help="Runs of this outer fold only.")] = None,
    seed: Annotated[int | None, typer.Option(help="Runs of this seed only.")] = None,
    stage: Annotated[Stage, typer.Option("--from", help="Made again from here on.")] = Stage.train,
    missing: Annotated[
        bool, typer.Option("--missing", help="What was deleted behind finished results.")
    ] = False,
    cores: Cores = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only say it.")] = False,
) -> None:
    """Make chosen runs again with all that follows from them, or files that were deleted.

    Prepared data and weights that come back the same (their hashes are compared) leave everything
    made from them as it is.
    """
    from attnbench.upkeep.again import forget_checkpoints, runs_again, words_for

    file = study_file(study)
    loaded = start(file, None)
    asked = {"dataset": dataset, "model": model, "fold": fold, "seed": seed}
    if missing and any(value is not None for value in asked.values()):
        raise StudyError("--missing stands alone: it finds what is gone of all runs")
    if missing:
        _restore(loaded, file, cores, dry_run, further or [])
        return
    runs = runs_again(loaded, **asked)
    if not dry_run:
        # Refused while a Snakemake is at work: its trainings may need their checkpoints.
        with exclusive(loaded.layout.lock, f"attnbench rerun {file}", wait=False):
            if stage is Stage.train:
                forget_checkpoints(loaded, runs)
    typer.echo(f"{len(runs)} run(s) again, from {stage.value} on: {listed(runs, 5)}")
    _snakemake(file, cores, dry_run, [*words_for(loaded, runs, stage.value), *(further or [])])


def verify(study: StudyArgument = None) -> None:
    """Hash every file of a study again, and say which are not as their jobs left them, what rests
    on those, and what to type.

    Ends with status 1 where there are any. Nothing is made again.
    """
    from attnbench.upkeep.verify import verify_study

    found = verify_study(start(study_file(study), None), lambda line: typer.echo(line, err=True))
    for line in found.lines():
        typer.echo(with_study(line))
    if not found.well:
        raise typer.Exit(1)


def clean(
    study: StudyArgument = None,
    predictions: Annotated[
        bool, typer.Option("--predictions", help="The masks that scored runs predicted.")
    ] = False,
) -> None:
    """Free the space of what a finished study can do without; the next run does not refill it."""
    from attnbench.upkeep.clean import clean_predictions

    if not predictions:
        raise StudyError("say what may go: --predictions (all else is needed, or small)")
    file = study_file(study)
    freed = clean_predictions(start(file, None))
    typer.echo(f"{freed.bytes / 1e6:,.1f} MB freed: predictions of {len(freed.runs)} run(s)")
    for run, reason in freed.kept[:10]:
        typer.echo(f"kept: {run}: {reason}")
    if len(freed.kept) > 10:
        typer.echo(f"kept: {len(freed.kept) - 10} more")
    typer.echo(
        f"Scores, tables and figures stay. `attnbench rerun {file} --from predict --model M` "
        "predicts again; so does a new metric, for every run."
    )


def _restore(
    study: Study, file: Path, cores: str | None, dry_run: bool, further: Sequence[str]
) -> None:
    from attnbench.upkeep.again import restore_data, settle_weights, targets_of, weights_of
    from attnbench.upkeep.gone import gone_files, jobs_of

    gone = gone_files(study)
    for one in gone:
        typer.echo(str(one))
    if not gone:
        typer.echo("nothing is gone that Snakemake does not make by itself")
    if dry_run:
        for one in gone:
            for jobs in jobs_of(one, study.elsewhere):
                typer.echo(f"would {jobs}")
        return
    for name in (name for one in gone if one.kind == "prepared" for name in one.names):
        with exclusive(study.layout.lock, f"prepare {name} again", wait=False):
            restore_data(study, name)
    runs = [run for one in gone if one.kind == "weights" for run in one.runs]
    if runs:
        before = weights_of(study, runs)
        _snakemake(file, cores, False, [*targets_of(gone, "weights"), *further])
        others = settle_weights(study, before)
        if others:
            typer.echo(f"other weights than before: {listed(others, 5)}; scored again")
    _snakemake(file, cores, False, ["all", *targets_of(gone, "predictions"), *further])


def _snakemake(study: Path, cores: str | None, dry_run: bool, words: Sequence[str]) -> None:
    """Run Snakemake on a study; its failure is this command's."""
    from attnbench.workflow import command, environment

    ran = subprocess.run(command(study, cores, dry_run, words), env=environment(os.environ))
    if ran.returncode:
        raise WorkflowError(f"Snakemake ended with status {ran.returncode}")
