"""Commands that take predictions and models out of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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


def add_results(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(export_model)
    app.command()(model_card)


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
