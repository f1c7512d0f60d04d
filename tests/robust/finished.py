"""A small study run to its end in this process, verb by verb, as its rules would."""

from __future__ import annotations

from pathlib import Path

from attnbench import cli
from attnbench.check import load_study
from attnbench.models.names import has_map
from attnbench.reporting.contents import figure_names
from attnbench.study.settings import Study

STUDY = """
name: tiny
datasets: [{name: nuclei_mini, size: [16, 16]}]
models: [unet, attention_gate]
backbone: {widths: [2, 4], blocks_per_level: 1}
folds: {outer: 2, inner: 2}
training: {steps: 2, batch: 2, patch_2d: [16, 16], validate_every: 2}
metrics: [dice]
analysis: {bootstrap: 200}
"""


def finished(folder: Path, text: str = STUDY) -> tuple[Study, Path]:
    """Run a study to its end below `folder`; return it and its file."""
    file = folder / "study.yaml"
    file.write_text(f"{text}output: {folder / 'results'}\n")
    study = load_study(file)
    for dataset in (one.name for one in study.datasets):
        cli.fetch(dataset, file)
        cli.inspect(dataset, 1, file)
        cli.prepare(dataset, 1, file)
        cli.folds(dataset, file)
        for model in (one.name for one in study.models):
            cli.describe(dataset, model, file)
            cli.measure(dataset, model, file)
    for run in study.runs():
        about = (run.dataset, run.model, run.fold, run.seed)
        cli.train(*about, study=file)
        cli.predict(*about, study=file)
        cli.score(*about, study=file)
    cli.gather(file)
    cli.analyse(file)
    for dataset in study.datasets:
        for model in (one for one in study.models if has_map(one)):
            cli.attend(dataset.name, model.name, file)
    cli.tables(file)
    for name in figure_names(study):
        cli.figure(name, file)
    cli.export(file)
    cli.report(file)
    return study, file
