"""Paths of every file under a study's output folder; no other module knows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

STAGES: Mapping[str, str] = {
    "train": "run.json",
    "predict": "predictions.npz",
    "score": "scores.csv",
}
"""Stages of a run in their order, each with the last file that it leaves in the run's folder."""

STUDY_OF_JOB = "study: "
"""What the first line of a job's log begins with; the path of the job's study follows."""


@dataclass(frozen=True)
class Run:
    """One training, on `percent` of the fold's training groups: scheduled, stored and scored."""

    dataset: str
    model: str
    fold: int
    seed: int
    percent: int = 100

    def __str__(self) -> str:
        share = "" if self.percent == 100 else f"-groups{self.percent}"
        return f"{self.dataset}/{self.model}/fold{self.fold}-seed{self.seed}{share}"


@dataclass(frozen=True)
class Layout:
    """Paths under a study's output folder; `downloads` may be shared between studies."""

    output: Path
    downloads: Path

    @property
    def study(self) -> Path:
        """The study as it was resolved for this output folder."""
        return self.output / "study.yaml"

    def planned(self, digest: str) -> Path:
        """A study as it was planned, by the hash of its text: what jobs read, and never changes."""
        return self.output / "studies" / f"{digest[:16]}.yaml"

    @property
    def lock(self) -> Path:
        """Held by the Snakemake that works here, and by who writes here without it."""
        return self.output / ".lock"

    def raw(self, dataset: str) -> Path:
        """Verified originals of a dataset and their `receipt.json`."""
        return self.downloads / dataset

    def inspected(self, dataset: str) -> Path:
        """Copies among the originals of a dataset, and what else is odd about them."""
        return self.output / "data" / "inspected" / dataset

    def prepared(self, dataset: str) -> Path:
        """The case store: arrays, `cases.csv` and `dataset.json`."""
        return self.output / "data" / "prepared" / dataset

    def folds(self, dataset: str) -> Path:
        """Outer and inner folds of a dataset."""
        return self.output / "data" / "folds" / f"{dataset}.json"

    def statistics(self, dataset: str) -> Path:
        """Intensities of the training cases of a dataset's folds."""
        return self.output / "data" / "folds" / f"{dataset}.statistics.json"

    def second_rater(self, dataset: str) -> Path:
        """Scores of a dataset's second rater."""
        return self.output / "data" / "second_rater" / f"{dataset}.csv"

    def model(self, dataset: str, model: str) -> Path:
        """Size and cost of one network on one dataset."""
        return self.output / "models" / dataset / f"{model}.json"

    def measured(self, dataset: str, model: str) -> Path:
        """Seconds and memory of one network on one dataset."""
        return self.output / "measured" / dataset / f"{model}.json"

    def run(self, run: Run) -> Path:
        """Folder of one run."""
        return self.output / "runs" / str(run)

    def stages(self, run: Run) -> dict[str, Path]:
        """Stages of a run in their order, each with the last file that it leaves."""
        return {stage: self.run(run) / file for stage, file in STAGES.items()}

    def lock_of(self, run: Run) -> Path:
        """Held by who writes into the folder of a run."""
        return self.run(run) / ".lock"

    def progress(self, run: Run) -> Path:
        """History so far of a run that trains now, or was killed; gone once it is trained."""
        return self.run(run) / "progress.csv"

    def checkpoint(self, run: Run) -> Path:
        """Where a training of a run was last; gone once the run is predicted."""
        return self.run(run) / "checkpoint.pt"

    def removed(self, run: Run) -> Path:
        """Says that a run's predictions were removed to free space; gone once they are back."""
        return self.run(run) / "predictions.removed"

    def trial(self, dataset: str, model: str, fold: int | str, number: int | str) -> Path:
        """What value `number` of a swept key scored on the inner validation of a fold."""
        return self.output / "sweep" / dataset / model / f"fold{fold}" / f"{number}.json"

    def trial_checkpoint(self, dataset: str, model: str, fold: int, number: int) -> Path:
        """Where the training of a trial was last; gone once a value is chosen."""
        return self.trial(dataset, model, fold, number).with_suffix(".checkpoint.pt")

    def choice(self, dataset: str, model: str, fold: int | str) -> Path:
        """The value of a swept key that all runs of a model on a fold have."""
        return self.output / "sweep" / dataset / model / f"fold{fold}.json"

    @property
    def scores(self) -> Path:
        """Every score of the study in one tidy table."""
        return self.output / "scores.csv"

    def shift(self, kind: str) -> Path:
        """Every score of one kind of shift; only if the study asks for it."""
        return self.output / f"{kind}.csv"

    def ensemble(self, dataset: str, model: str) -> Path:
        """Scores, on external test sets, of the ensemble of a model's runs on one dataset."""
        return self.output / "ensembles" / dataset / f"{model}.csv"

    @property
    def parquet(self) -> Path:
        """The same table as Parquet."""
        return self.output / "scores.parquet"

    @property
    def analysis(self) -> Path:
        """Folder of the analysis' data frames."""
        return self.output / "analysis"

    def attention(self, dataset: str, model: str) -> Path:
        """Attention maps of one model on the cases that figures show of one dataset."""
        return self.output / "attention" / dataset / f"{model}.npz"

    @property
    def tables(self) -> Path:
        """Folder of the tables for a paper."""
        return self.output / "tables"

    @property
    def challenger(self) -> Path:
        """Scores as challengeR reads them."""
        return self.tables / "challenger.csv"

    def claims_reloaded(self, dataset: str) -> Path:
        """Scores of one dataset as Claims Reloaded reads them."""
        return self.tables / f"claims_reloaded_{dataset}.csv"

    @property
    def figures(self) -> Path:
        """Folder of the figures for a paper."""
        return self.output / "figures"

    @property
    def methods(self) -> Path:
        """The methods of the study in words."""
        return self.output / "methods.md"

    @property
    def references(self) -> Path:
        """BibTeX of the datasets and mechanisms used."""
        return self.output / "references.bib"

    @property
    def cards(self) -> Path:
        """Folder of the model cards."""
        return self.output / "cards"

    def card(self, dataset: str, model: str) -> Path:
        """The model card of one model on one dataset."""
        return self.cards / dataset / f"{model}.md"

    @property
    def report(self) -> Path:
        """The report to read first."""
        return self.output / "report.html"

    @property
    def provenance(self) -> Path:
        """Snakemake's own report: which job made what, from what, and how long it took."""
        return self.output / "provenance.html"

    def log(self, job: str) -> Path:
        """Log file of a job, e.g. `prepare/phantom2d`."""
        return self.output / "logs" / f"{job}.log"

    def seal(self, job: str) -> Path:
        """What a finished job left, by hash, e.g. `prepare/phantom2d`."""
        return self.output / "seals" / f"{job}.json"

    def benchmark(self, job: str) -> Path:
        """Seconds and memory of a job, measured by Snakemake."""
        return self.output / "benchmarks" / f"{job}.tsv"
