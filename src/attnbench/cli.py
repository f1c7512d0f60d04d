"""The command line: one verb per rule. Every verb imports its room only when it is called."""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from attnbench import __version__
from attnbench.cli_dataset import dataset_app
from attnbench.cli_metric import metric_app
from attnbench.cli_model import model_app
from attnbench.cli_options import (
    DEFAULT_STUDY,
    Dataset,
    Deviation,
    Fold,
    Log,
    Model,
    Numbers,
    Percent,
    Seed,
    StudyArgument,
    StudyFile,
    StudyOption,
    Workers,
    at_work,
    end_job,
    start,
    study_file,
    with_study,
)
from attnbench.cli_results import add_results, show_fold
from attnbench.cli_run import add_run
from attnbench.cli_upkeep import add_upkeep
from attnbench.encoding import print_in_any_encoding
from attnbench.errors import AttnBenchError, Stopped
from attnbench.full_disk import said_of
from attnbench.stops import STATUS, asked, catch_stops


class _Commands(TyperGroup):
    """Commands whose errors come through: Click takes the end of any file for that of its input,
    says "Aborted." and leaves the log empty.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except EOFError as error:
            raise RuntimeError(f"a file ends too early: {error or 'it is empty'}") from error


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
study_app = typer.Typer(help="Check and plan studies.", no_args_is_help=True)
app.add_typer(study_app, name="study")
app.add_typer(dataset_app, name="dataset")
app.add_typer(model_app, name="model")
app.add_typer(metric_app, name="metric")
add_run(app)
add_results(app)
add_upkeep(app)


def main() -> None:
    """Run the command line; an `AttnBenchError` is printed as one message, what nobody foresaw
    after its traceback.

    Both stand in the job's log and end with status 1; a job that was asked to stop ends with 75.
    """
    log = logging.getLogger("attnbench")
    print_in_any_encoding()
    try:
        app()
    except Stopped as stop:
        log.warning("%s", stop)
        sys.exit(STATUS)
    except AttnBenchError as error:
        log.error("error: %s", with_study(str(error)))
        sys.exit(1)
    except Exception as error:
        # Raised amid an import, as by a signal, `Stopped` can come out as another exception.
        if signalled := asked():
            log.warning("stopped by %s", signalled.name)
            sys.exit(STATUS)
        if full := said_of(error):
            log.error("error: %s", full)
            sys.exit(1)
        log.error("%serror: %s: %s", traceback.format_exc(), type(error).__name__, error)
        sys.exit(1)
    except BaseException as error:  # an end that was asked for, or own code that exits
        from attnbench.own import line_of

        place = line_of(error)
        if not place or isinstance(error, KeyboardInterrupt):
            raise
        log.error("error: own code of the study ended the program%s: %r", place, error)
        sys.exit(1)
    finally:
        end_job()


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"attnbench {__version__}")
        raise typer.Exit


@app.callback()
def attnbench(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_say_version, help="Print the version."),
    ] = False,
) -> None:
    """Does attention make a U-Net segment medical images better, by how much, at what cost, and
    where?
    """


@study_app.command("check")
def check(
    argument: StudyArgument = None,
    option: StudyOption = None,
    light: Annotated[bool, typer.Option("--light", help="Do not build the models.")] = False,
) -> None:
    """Check a study file, build its models without computing anything, and say what it would
    run.
    """
    from attnbench.analysis.answer import never_helps
    from attnbench.check import load_study, refuse_output, warnings_of
    from attnbench.disk.room import room_lines
    from attnbench.reporting.splits import splits_of

    file = study_file(argument, option)
    study, notes = load_study(file), list[str]()
    refuse_output(study)
    if not light:
        from attnbench.models.buildable import check_models
        from attnbench.models.initial import initial_notes
        from attnbench.scoring.own import import_metrics
        from attnbench.training.loss_check import check_losses

        check_models(study, str(file))
        check_losses(study, str(file))
        import_metrics(study.own_metrics)
        notes = initial_notes(study, str(file))
    runs, few = sum(1 for _ in study.runs()), sum(1 for _ in study.data_efficiency_runs())
    shift = f", {few} on fewer groups" if few else ""
    folds = sum(len(study.folds_to_run(one.name)) for one in study.trained_datasets)
    tries = folds * len(study.trained_models) * len(study.training.trials())
    swept = f", {tries} trials of the sweep" if tries else ""
    typer.echo(
        f"{file}: valid; {len(study.datasets)} datasets x {len(study.models)} models, {runs} "
        f"runs{shift}{swept}"
    )
    for line in splits_of(study):
        typer.echo(line)
    for line in room_lines(study):
        typer.echo(line)
    for warning in (*warnings_of(study), *notes):
        typer.echo(f"warning: {warning}")
    if reasons := never_helps(study):
        typer.echo(f"note: it cannot say that a variant helps: {'; '.join(reasons)}")


@study_app.command("new")
def new(
    dataset: Annotated[str, typer.Option("--dataset", help="Of the catalog, or your own.")],
    catalog: Annotated[
        Path | None,
        typer.Option("--catalog", help="Folder of your own datasets (default: my_sets)."),
    ] = None,
) -> None:
    """Print a first study of a dataset, sized to its cases, with a comment on every choice."""
    from attnbench.intake.add import DEFAULT_CATALOG
    from attnbench.intake.study_text import first_study

    default = (DEFAULT_CATALOG,) if DEFAULT_CATALOG.is_dir() else ()
    typer.echo(first_study(dataset, default if catalog is None else (catalog,)), nl=False)


@study_app.command("schema")
def schema() -> None:
    """Print the JSON schema of a study file."""
    import json

    from attnbench.study.settings import schema as study_schema

    typer.echo(json.dumps(study_schema(), indent=2))


@study_app.command("plan")
def plan(
    argument: StudyArgument = None,
    option: StudyOption = None,
    effect: Annotated[
        float | None, typer.Option(min=0, help="Wanted difference in the primary metric.")
    ] = None,
    groups: Annotated[int | None, typer.Option(min=2, help="Groups of every dataset.")] = None,
    folds: Numbers = None,
    seeds: Numbers = None,
    repeats: Numbers = None,
    sd_group: Deviation = None,
    sd_fold: Deviation = None,
    sd_run: Deviation = None,
    sd_rest: Deviation = None,
    minutes_per_run: Annotated[
        float | None, typer.Option(min=0, help="Of one training; default: of those done.")
    ] = None,
) -> None:
    """Say which folds, seeds, repeats and groups would find a difference, and in which time.

    Standard deviations of a difference are estimated from the study's scores where there are any,
    else assumed; docs/planning.md says how. With an answer, say what would decide it.
    """
    loaded = start(study_file(argument, option), None)
    from attnbench.analysis.planning import Question, numbers
    from attnbench.check import warnings_of
    from attnbench.reporting.plan import show_plan

    for warning in warnings_of(loaded):
        typer.echo(f"warning: {warning}")
    given = {"group": sd_group, "fold": sd_fold, "run": sd_run, "rest": sd_rest}
    show_plan(
        loaded,
        Question(
            effect=effect,
            groups=groups,
            folds=numbers("--folds", folds, 2),
            seeds=numbers("--seeds", seeds),
            repeats=numbers("--repeats", repeats),
            spread=tuple((name, sd) for name, sd in given.items() if sd is not None),
            seconds=None if minutes_per_run is None else 60 * minutes_per_run,
        ),
    )


@app.command()
def datasets(
    dataset: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Say everything about this one.")
    ] = None,
    modality: Annotated[str | None, typer.Option(help="A word of it, as ultrasound.")] = None,
    task: Annotated[str | None, typer.Option(help="A word of task or class, as polyp.")] = None,
    ndim: Annotated[int | None, typer.Option("--ndim", min=2, max=3, help="2 or 3.")] = None,
    licence: Annotated[
        str | None, typer.Option(help="open, non_commercial or unclear.", metavar="TERMS")
    ] = None,
    name: Annotated[str | None, typer.Option(help="A part of the name.")] = None,
    catalog: Annotated[
        list[Path] | None,
        typer.Option(help="A folder with own datasets; may be repeated (default: my_sets)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    as_page: Annotated[bool, typer.Option("--markdown", help="The page docs/datasets.md.")] = False,
) -> None:
    """List the datasets of the catalog, or say everything about one."""
    from attnbench.catalog import listing

    if as_page:
        typer.echo(listing.as_markdown(), nl=False)
        return
    from attnbench.intake.add import DEFAULT_CATALOG

    folders = tuple(catalog or (DEFAULT_CATALOG,) * DEFAULT_CATALOG.is_dir())
    if dataset is not None:
        typer.echo(listing.describe_dataset(dataset, folders, as_json))
        return
    filters = listing.Filters(modality, task, ndim, licence, name)
    families = listing.list_families(folders, filters)
    typer.echo(listing.as_json(families) if as_json else listing.as_table(families))


@app.command()
def models(
    ndim: Annotated[
        int | None, typer.Option("--ndim", min=2, max=3, help="Only 2-D or only 3-D.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    as_page: Annotated[bool, typer.Option("--markdown", help="The page docs/models.md.")] = False,
) -> None:
    """List every model: where it comes from, its slots, its size and what it costs."""
    from attnbench.models import listing

    if as_page:
        typer.echo(listing.as_markdown(), nl=False)
        return
    brought, lines = listing.brought_by_packages()
    rows = list(listing.list_models((2, 3) if ndim is None else (ndim,), brought))
    typer.echo(listing.as_json(rows) if as_json else listing.as_table(rows))
    for line in lines:
        typer.echo(line, err=True)


@app.command()
def fetch(dataset: Dataset, study: StudyFile = DEFAULT_STUDY, log: Log = None) -> None:
    """Download and verify the originals of a dataset."""
    loaded = start(study, log)
    from attnbench.catalog import load_entry
    from attnbench.data.download.fetch import fetch_dataset

    fetch_dataset(
        load_entry(dataset, loaded.catalog),
        loaded.layout.raw(dataset),
        loaded.data.mirror,
        loaded.data.offline,
        loaded.data.mirrors,
    )


@app.command()
def inspect(
    dataset: Dataset, workers: Workers = 1, study: StudyFile = DEFAULT_STUDY, log: Log = None
) -> None:
    """Look for copies among the originals of a dataset, and for what else is odd about them."""
    loaded = start(study, log)
    from attnbench.catalog import load_entry
    from attnbench.data.scan.inspect import inspect_dataset
    from attnbench.data.sealed import seal_inspection

    layout = loaded.layout
    inspect_dataset(
        load_entry(dataset, loaded.catalog),
        layout.raw(dataset),
        layout.inspected(dataset),
        workers,
        loaded.compute.memory_mb,
    )
    seal_inspection(layout, dataset)


@app.command()
def prepare(
    dataset: Dataset,
    workers: Workers = 1,
    study: StudyFile = DEFAULT_STUDY,
    log: Log = None,
) -> None:
    """Read, check and resample the cases of a dataset into the case store."""
    loaded = start(study, log)
    from attnbench.catalog import load_entry
    from attnbench.data.prepare import prepare_dataset
    from attnbench.data.scan.merge import merged_groups
    from attnbench.data.sealed import refuse_changed_pairs, seal_prepared

    layout, entry, settings = (
        loaded.layout,
        load_entry(dataset, loaded.catalog),
        loaded.dataset(dataset),
    )
    inspected = None if entry.generated else layout.inspected(dataset)
    refuse_changed_pairs(layout, dataset, settings.duplicates, inspected)
    prepare_dataset(
        entry,
        settings,
        layout.raw(dataset),
        layout.prepared(dataset),
        workers,
        loaded.compute.memory_mb,
        merged=merged_groups(dataset, settings.duplicates, inspected),
    )
    seal_prepared(layout, dataset)


@app.command()
def folds(dataset: Dataset, study: StudyFile = DEFAULT_STUDY, log: Log = None) -> None:
    """Split a dataset into folds, and measure the intensities of their training cases."""
    loaded = start(study, log)
    from attnbench.data.folds import write_folds
    from attnbench.data.intensities import write_statistics
    from attnbench.data.sealed import seal_folds

    layout = loaded.layout
    prepared, split = layout.prepared(dataset), layout.folds(dataset)
    write_folds(
        prepared, loaded.folds, split, loaded.dataset(dataset), loaded.split_of(dataset).count
    )
    write_statistics(prepared, split, loaded.normalisation(dataset), layout.statistics(dataset))
    seal_folds(layout, dataset)


@app.command()
def export_nnunet(
    dataset: Dataset,
    folder: Annotated[
        Path, typer.Argument(metavar="OUT", help="To write, such as raw/Dataset001_Nuclei.")
    ],
    study: StudyFile = DEFAULT_STUDY,
    log: Log = None,
) -> None:
    """Write a prepared dataset and its folds as a raw dataset of nnU-Net v2."""
    loaded = start(study, log)
    from attnbench.catalog import load_entry
    from attnbench.data.nnunet import export_nnunet as export_dataset

    layout = loaded.layout
    export_dataset(
        load_entry(dataset, loaded.catalog),
        loaded.dataset(dataset),
        layout.raw(dataset),
        layout.prepared(dataset),
        layout.folds(dataset),
        folder,
    )


@app.command()
def describe(
    dataset: Dataset, model: Model, study: StudyFile = DEFAULT_STUDY, log: Log = None
) -> None:
    """Build a model for a dataset and write its size and cost."""
    loaded = start(study, log)
    from attnbench.models.describe import describe_model
    from attnbench.sealing import sealed_job

    with sealed_job(loaded, "describe", dataset, model):
        describe_model(loaded, dataset, model)


@app.command()
def measure(
    dataset: Dataset, model: Model, study: StudyFile = DEFAULT_STUDY, log: Log = None
) -> None:
    """Time inference and a training step of a model on a dataset."""
    loaded = start(study, log)
    from attnbench.sealing import sealed_job
    from attnbench.training.measure import measure_model

    with sealed_job(loaded, "measure", dataset, model):
        measure_model(loaded, dataset, model)


@app.command()
def train(
    dataset: Dataset,
    model: Model,
    fold: Fold,
    seed: Seed,
    percent: Percent = 100,
    study: StudyFile = DEFAULT_STUDY,
    log: Log = None,
) -> None:
    """Train one run, or what a former process left of it; asked to stop, end with status 75."""
    catch_stops()
    loaded = start(study, log)
    from attnbench.rerun import decides
    from attnbench.study.paths import Run
    from attnbench.training.finished import why_untrained
    from attnbench.training.run import train_run

    run = Run(dataset, model, fold, seed, percent)
    # Taken before a device: who waits for the run takes no GPU from others.
    with at_work(loaded, run, "train") as waited:
        if waited and not why_untrained(loaded, run):
            logging.getLogger("attnbench").info("%s: trained by the process waited for", run)
        else:
            train_run(loaded, run, decides(loaded, "train", dataset, model))


@app.command()
def trial(
    dataset: Dataset,
    model: Model,
    fold: Fold,
    number: Annotated[int, typer.Option("--number", min=0, help="Which value, from 0.")],
    study: StudyFile = DEFAULT_STUDY,
    log: Log = None,
) -> None:
    """Try one value of a swept key on the inner validation of a fold; stops as `train` does."""
    catch_stops()
    loaded = start(study, log)
    from attnbench.inference.trial import run_trial
    from attnbench.rerun import decides
    from attnbench.sealing import sealed_job

    code = decides(loaded, "trial", dataset, model, artefact=str(number))
    with sealed_job(loaded, "trial", dataset, model, fold, str(number)):
        run_trial(loaded, dataset, model, fold, number, code)


@app.command()
def choose(
    dataset: Dataset, model: Model, fold: Fold, study: StudyFile = DEFAULT_STUDY, log: Log = None
) -> None:
    """Choose the value of a swept key for the runs of a model on a fold, from its trials."""
    loaded = start(study, log)
    from attnbench.sealing import sealed_job
    from attnbench.training.sweep import choose_value

    with sealed_job(loaded, "choose", dataset, model, fold):
        choose_value(loaded, dataset, model, fold)


@app.command()
def predict(
    dataset: Dataset,
    model: Model,
    fold: Fold,
    seed: Seed,
    percent: Percent = 100,
    study: StudyFile = DEFAULT_STUDY,
    log: Log = None,
) -> None:
    """Predict the test cases of one run."""
    loaded = start(study, log)
    from attnbench.inference.predict import predict_run
    from attnbench.study.paths import Run

    run = Run(dataset, model, fold, seed, percent)
    with at_work(loaded, run, "predict"):
        predict_run(loaded, run)


@app.command()
def score(
    dataset: Dataset,
    model: Model,
    fold: Fold,
    seed: Seed,
    percent: Percent = 100,
    study: StudyFile = DEFAULT_STUDY,
    log: Log = None,
) -> None:
    """Score the predictions of one run."""
    loaded = start(study, log)
    from attnbench.scoring.run import score_run
    from attnbench.study.paths import Run

    run = Run(dataset, model, fold, seed, percent)
    with at_work(loaded, run, "score"):
        score_run(loaded, run)


@app.command()
def score_shift(
    kind: Annotated[str, typer.Argument(help="transfer or corrupted.")],
    dataset: Dataset,
    model: Model,
    fold: Fold,
    seed: Seed,
    study: StudyFile = DEFAULT_STUDY,
    log: Log = None,
) -> None:
    """Score one trained run on external test sets or on corrupted images."""
    loaded = start(study, log)
    from attnbench.shift.score import score_shift as score_kind
    from attnbench.study.paths import Run

    run = Run(dataset, model, fold, seed)
    with at_work(loaded, run, f"score {kind} of"):
        score_kind(loaded, kind, run)


@app.command()
def score_ensemble(
    dataset: Dataset, model: Model, study: StudyFile = DEFAULT_STUDY, log: Log = None
) -> None:
    """Score the ensemble of all trainings of a model on external test sets."""
    loaded = start(study, log)
    from attnbench.shift.ensemble import score_ensemble as score_members

    score_members(loaded, dataset, model)


@app.command()
def score_second_rater(dataset: Dataset, study: StudyFile = DEFAULT_STUDY, log: Log = None) -> None:
    """Score the masks of a dataset's second rater."""
    loaded = start(study, log)
    from attnbench.scoring.second_rater import score_second_rater as score_raters
    from attnbench.sealing import sealed_job

    with sealed_job(loaded, "score_second_rater", dataset):
        score_raters(loaded, dataset)


@app.command()
def score_external(
    dataset: Dataset,
    model: Model,
    fold: Fold,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Where every seed has predictions of its own.")
    ] = None,
    study: StudyFile = DEFAULT_STUDY,
    log: Log = None,
) -> None:
    """Score predictions of a fold that were made elsewhere; without --log also print them."""
    loaded = start(study, log)
    from attnbench.scoring.external import external_run
    from attnbench.scoring.external import score_external as score_folder

    run = external_run(loaded, dataset, model, fold, seed)
    with at_work(loaded, run, "score"):
        score_folder(loaded, run)
    if log is None:
        show_fold(loaded, run)


@app.command()
def gather(study: StudyFile = DEFAULT_STUDY, log: Log = None) -> None:
    """Join the scores of all finished runs into one table."""
    loaded = start(study, log)
    from attnbench.scoring.gather import gather_scores

    gather_scores(loaded)


@app.command()
def gather_shift(
    table: Annotated[str, typer.Argument(help="A table of the study, as transfer or ensembles.")],
    study: StudyFile = DEFAULT_STUDY,
    log: Log = None,
) -> None:
    """Join the scores of all runs of one kind of shift."""
    loaded = start(study, log)
    from attnbench.shift.gather import gather_shift as gather_table

    gather_table(loaded, table)


@app.command()
def analyse(study: StudyFile = DEFAULT_STUDY, log: Log = None) -> None:
    """Turn scores into means, effects and cost, each with its interval."""
    loaded = start(study, log)
    from attnbench.analysis.run import analyse_study
    from attnbench.sealing import sealed_job

    with sealed_job(loaded, "analyse"):
        analyse_study(loaded)


@app.command()
def attend(
    dataset: Dataset, model: Model, study: StudyFile = DEFAULT_STUDY, log: Log = None
) -> None:
    """Write where the mechanisms of a model look in the cases that figures show."""
    loaded = start(study, log)
    from attnbench.inference.attention import attend_model
    from attnbench.sealing import sealed_job

    with sealed_job(loaded, "attend", dataset, model):
        attend_model(loaded, dataset, model)


@app.command()
def tables(study: StudyFile = DEFAULT_STUDY, log: Log = None) -> None:
    """Write the tables as CSV, Markdown and LaTeX."""
    loaded = start(study, log)
    from attnbench.reporting.tables import write_tables
    from attnbench.sealing import sealed_job

    with sealed_job(loaded, "tables"):
        write_tables(loaded)


@app.command()
def figure(
    name: Annotated[str, typer.Argument(help="Which figure.")],
    study: StudyFile = DEFAULT_STUDY,
    log: Log = None,
) -> None:
    """Draw one figure as PDF and PNG, with the CSV it was drawn from."""
    loaded = start(study, log)
    from attnbench.reporting.figures import draw_figure
    from attnbench.sealing import sealed_job

    with sealed_job(loaded, "figure", name=name):
        draw_figure(loaded, name)


@app.command()
def export(study: StudyFile = DEFAULT_STUDY, log: Log = None) -> None:
    """Write Parquet, challengeR's CSV, the methods in words and BibTeX."""
    loaded = start(study, log)
    from attnbench.reporting.exports import write_exports
    from attnbench.sealing import sealed_job

    with sealed_job(loaded, "export"):
        write_exports(loaded)


@app.command()
def report(study: StudyFile = DEFAULT_STUDY, log: Log = None) -> None:
    """Write the report: one HTML file, from the answer down to the single case."""
    loaded = start(study, log)
    from attnbench.reporting.page import write_report
    from attnbench.sealing import sealed_job

    with sealed_job(loaded, "report"):
        write_report(loaded)


@app.command()
def status(argument: StudyArgument = None, option: StudyOption = None) -> None:
    """Print which runs are done, running, failed (why) or left, and how long training will take."""
    file = study_file(argument, option)
    loaded = start(file, None)
    from attnbench.reporting.status import show_status
    from attnbench.upkeep.clean import removed_line
    from attnbench.upkeep.gone import gone_lines

    show_status(loaded)
    for line in [*removed_line(loaded, str(file)), *gone_lines(loaded, str(file))]:
        typer.echo(line)


@app.command()
def show(argument: StudyArgument = None, option: StudyOption = None) -> None:
    """Print the comparison and where tables, figures and report lie."""
    loaded = start(study_file(argument, option), None)
    from attnbench.reporting.terminal import show_comparison
    from attnbench.sealing import analysed, refuse_changed_files

    refuse_changed_files(loaded, analysed(loaded))
    show_comparison(loaded)


if __name__ == "__main__":
    main()
