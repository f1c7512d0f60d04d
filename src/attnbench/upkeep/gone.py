"""Files that later stages were made from and that are not there any more; without torch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from attnbench.errors import listed

if TYPE_CHECKING:
    from pathlib import Path

    from attnbench.study.paths import Layout, Run
    from attnbench.study.settings import Study

Kind = Literal["prepared", "weights", "predictions"]
_PREPARED = ("dataset.json", "cases.csv", "images.npy", "masks.npy")
# `analyse` and what follows needs none of these: a finished study stands without them.
_OF_RUN: dict[Kind, tuple[str, ...]] = {
    "weights": ("model.pt", "run.json", "history.csv"),
    "predictions": ("predictions.npz", "calibration.csv", "gates.csv"),
}
_WORDS: dict[Kind, str] = {
    "prepared": "the prepared data or folds of {named}",
    "weights": "the weights, or what belongs to them, of {count} scored run(s) ({named})",
    "predictions": "the predictions, or what belongs to them, of {count} scored run(s) ({named})",
}
_NEEDED: dict[Kind, str] = {
    "prepared": "to train, predict or score anything of it",
    "weights": "to predict, and for attention maps and external test sets",
    "predictions": "to score by another metric, and for the report's pictures",
}


@dataclass(frozen=True)
class Gone:
    """Files of one kind that are gone: those of datasets (`names`) or of runs."""

    kind: Kind
    names: tuple[str, ...]
    runs: tuple[Run, ...]
    files: tuple[Path, ...]

    def __str__(self) -> str:
        what = _WORDS[self.kind].format(count=len(self.runs), named=listed(self.names, 3))
        return f"gone: {what}; needed {_NEEDED[self.kind]}"


def jobs_of(gone: Gone, elsewhere: Collection[str] = ()) -> Iterator[str]:
    """Yield the jobs in words that bring files of one kind back; `elsewhere` are models that were
    predicted elsewhere, whose runs have one stage.
    """
    scored = [run for run in gone.runs if run.model in elsewhere]
    runs = [run for run in gone.runs if run.model not in elsewhere]
    match gone.kind:
        case "prepared":
            yield f"prepare, folds: {listed(gone.names)}"
        case "weights" if runs:
            yield (
                f"train: {_counted(runs)}; predict and score, too, only where the weights do not "
                "come back the same"
            )
        case "predictions" if runs:
            yield f"predict, score: {_counted(runs)}; then what is made from scores"
    if scored:
        yield f"score_external: {_counted(scored)}"


def _counted(runs: Sequence[Run]) -> str:
    return f"{len(runs)} run(s) ({listed(runs, 5)})"


def gone_files(study: Study) -> list[Gone]:
    """Find what was deleted of a study behind what was made from it, by kind.

    Missing tables, frames and scores of runs are not among them: Snakemake makes them again by
    itself. Predictions that `attnbench clean` removed are not either.
    """
    layout = study.layout
    runs = [*study.trainings(), *study.data_efficiency_runs()]
    found = [_gone_data(study, [run for run in runs if (layout.run(run) / "run.json").is_file()])]
    scored = [run for run in runs if (layout.run(run) / "scores.csv").is_file()]
    found += [_gone_of_runs(layout, kind, scored) for kind in _OF_RUN]
    return [one for one in found if one.files]


def _gone_data(study: Study, trained: list[Run]) -> Gone:
    layout = study.layout
    files = {
        name: [path for path in _data_of(layout, name) if not path.is_file()]
        for name in dict.fromkeys(run.dataset for run in trained)
    }
    names = tuple(name for name, missing in files.items() if missing)
    return Gone("prepared", names, (), tuple(path for name in names for path in files[name]))


def _data_of(layout: Layout, dataset: str) -> Iterator[Path]:
    yield from (layout.prepared(dataset) / name for name in _PREPARED)
    yield from (layout.folds(dataset), layout.statistics(dataset))


def _gone_of_runs(layout: Layout, kind: Kind, scored: list[Run]) -> Gone:
    removed = kind == "predictions"
    lacking = {
        run: missing
        for run in scored
        if not (removed and layout.removed(run).is_file())
        and (missing := [path for path in _files(layout, run, kind) if not path.is_file()])
    }
    files = tuple(path for missing in lacking.values() for path in missing)
    return Gone(kind, tuple(map(str, lacking)), tuple(lacking), files)


def _files(layout: Layout, run: Run, kind: Kind) -> Iterator[Path]:
    yield from (layout.run(run) / name for name in _OF_RUN[kind])


def gone_lines(study: Study, source: str) -> list[str]:
    """Return what is gone in words, and the command that brings it back; empty if nothing is."""
    found = gone_files(study)
    remedy = f"`attnbench rerun {source} --missing` makes them again"
    return [*map(str, found), *[remedy][: bool(found)]]
