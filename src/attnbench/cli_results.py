"""Commands that take predictions and models out of a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attnbench.cli_options import (
    DEFAULT_STUDY,
    Dataset,
    Fold,
    Log,
    Model,
    Seed,
    StudyFile,
    start,
)

if TYPE_CHECKING:
    from attnbench.study.paths import Run
    from attnbench.study.settings import Study

Probabilities = Annotated[
    bool,
    typer.Option("--probabilities", help="Also write the probability of every class."),
]


def add_results(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(export_predictions)
    app.command()(predict_images)
    app.command()(export_model)
    app.command()(model_card)


def export_predictions(
    out: Annotated[Path, typer.Argument(metavar="OUT_FOLDER", help="To write into.")],
    dataset: Annotated[str | None, typer.Option(help="Only this dataset.")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    fold: Annotated[int | None, typer.Option(help="Only this outer fold, from 0.")] = None,
    seed: Annotated[int | None, typer.Option(help="Only this seed.")] = None,
    probabilities: Probabilities = False,
    study: StudyFile = DEFAULT_STUDY,
) -> None:
    """Write predicted masks as NIfTI or PNG files on the grid of the originals."""
    loaded = start(study, None)
    from attnbench.inference import export

    runs = export.chosen_runs(loaded, dataset, model, fold, seed)
    export.export_predictions(loaded, runs, out, probabilities)


def predict_images(
    study: Annotated[Path, typer.Argument(help="The study file.")],
    run: Annotated[
        str,
        typer.Argument(
            help="DATASET/MODEL/fold0-seed0, or DATASET/MODEL: the mean of all its runs."
        ),
    ],
    images: Annotated[
        list[Path], typer.Argument(metavar="FILES...", help="Images, or folders of them.")
    ],
    out: Annotated[Path, typer.Option("--to", help="Folder to write into.")] = Path("predicted"),
    spacing: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Of a pixel where files state none: 0.5,0.5."),
    ] = None,
    fov: Annotated[
        Path | None,
        typer.Option(help="Folder with a field of view of the name of each image."),
    ] = None,
    probabilities: Probabilities = False,
) -> None:
    """Apply a trained model, or the ensemble of all its runs, to new images."""
    loaded = start(study, None)
    from attnbench.inference.new_images import write_predictions

    sides = None if spacing is None else _sides(spacing)
    write_predictions(loaded, run, images, out, sides, fov, probabilities)


def export_model(
    dataset: Dataset,
    model: Model,
    fold: Fold,
    seed: Seed,
    form: Annotated[str, typer.Option("--format", help="onnx or torch (torch.export).")],
    path: Annotated[Path, typer.Argument(metavar="OUT", help="To write: .onnx or .pt2.")],
    study: StudyFile = DEFAULT_STUDY,
    log: Log = None,
) -> None:
    """Write a trained network as a file for other programs, checked against the network."""
    loaded = start(study, log)
    from attnbench.inference.model_export import export_model as export_run
    from attnbench.inference.model_export import format_of
    from attnbench.study.paths import Run

    content = export_run(loaded, Run(dataset, model, fold, seed), format_of(form), path)
    shape, check = content["input"]["shape"], content["check"]
    typer.echo(
        f"{path}: input {' x '.join(map(str, shape))}; its logits differ by "
        f"{check['largest_difference']:.2g} at most, the largest being {check['largest_logit']:.3g}"
    )


def model_card(
    dataset: Dataset, model: Model, study: StudyFile = DEFAULT_STUDY, log: Log = None
) -> None:
    """Print the model card of a model on a dataset (Markdown with Hugging Face's fields)."""
    loaded = start(study, log)
    from attnbench.reporting.exports.card import Shared, compose_card
    from attnbench.reporting.results import Results

    typer.echo(compose_card(Shared.of(Results(loaded)), dataset, model), nl=False)


def _sides(text: str) -> tuple[float, ...]:
    try:
        sides = tuple(float(part) for part in text.split(","))
    except ValueError:
        sides = ()
    if not sides or not all(0 < side < float("inf") for side in sides):
        raise typer.BadParameter(f"{text!r} is no list of positive numbers, as 0.5,0.5")
    return sides


def show_fold(study: Study, run: Run) -> None:
    """Print what was scored of a fold that was predicted elsewhere.

    Here, not in the verb: what is printed decides nothing of what a job writes.
    """
    from attnbench.reporting.external import show_fold as show

    show(study, run)
