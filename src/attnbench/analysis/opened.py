"""Results of a study for a reader: every frame of the analysis, and the scores behind them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.analysis.blocks import DatasetScores, arrange
from attnbench.analysis.frames import read_frame
from attnbench.analysis.gathered import read_gathered
from attnbench.analysis.tables import FRAMES
from attnbench.errors import DataError, StudyError, nearest
from attnbench.files import read_json
from attnbench.scoring.own import register
from attnbench.seals import refuse_changed
from attnbench.study.reading import read_yaml
from attnbench.study.settings import Study, parse_study
from attnbench.study.split import Split

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class StudyResults:
    """What a study has written into its output folder so far.

    Columns of every frame, with units and what an empty value means: docs/files.md.
    """

    study: Study

    @property
    def folder(self) -> Path:
        """The output folder."""
        return self.study.layout.output

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the frames that there are."""
        folder = self.study.layout.analysis
        return tuple(name for name in FRAMES if (folder / f"{name}.csv").is_file())

    def frame(self, name: str) -> pd.DataFrame:
        """One frame of the analysis, `analysis/<name>.csv`, as it was written.

        Raises:
            DataError: no such frame, with the nearest name; it has not been written yet; or it was
                written by a version with other columns.
            SealError: the file has changed since it was written.
        """
        if name not in FRAMES:
            raise DataError(f"no frame {name!r}; {nearest(name, FRAMES)}")
        path = self.study.layout.analysis / f"{name}.csv"
        if not path.is_file():
            raise DataError(
                f"{path}: no such file; the study has not been analysed yet (it has: "
                f"{', '.join(self.names) or 'nothing'}); run it, or `attnbench analyse`"
            )
        layout = self.study.layout
        # Frames that were computed in a script, and never by `attnbench analyse`, have no seal.
        if layout.seal("analyse").is_file():
            remedy = "analyse again: `attnbench analyse`"
            refuse_changed(layout.seal("analyse"), layout.output, [path], remedy)
        return read_frame(path, name)

    @property
    def scores(self) -> pd.DataFrame:
        """`scores.csv`: one row per dataset, model, fold, seed, case, class and metric.

        Raises:
            DataError: nothing has been scored yet.
            SealError: the table is not as it was gathered.
        """
        return read_gathered(self.study.layout)

    def blocks(self) -> list[DatasetScores]:
        """The scores as arrays, one block per dataset, which all statistics work on.

        Raises:
            DataError: as `scores`.
        """
        study = self.study
        datasets = [dataset.name for dataset in study.trained_datasets]
        splits = {name: split for name in datasets if (split := _split(study, name))}
        models = [model.name for model in study.models]
        return arrange(self.scores, datasets, models, study.metrics, splits)


def read_study(folder: Path) -> Study:
    """The study that a results folder is of, wherever the folder lies now.

    Names are not checked: neither its datasets nor its own code need be there. What its own metrics
    declare is known from the file.

    Raises:
        StudyError: the folder has no `study.yaml`.
    """
    path = folder / "study.yaml"
    if not path.is_file():
        raise StudyError(
            f"{folder}: no results of a study, which have a study.yaml; give the folder that "
            "`output` names in the study, by default results/<name>"
        )
    study = parse_study(read_yaml(path), source=str(path))
    register({name: own for name, own in study.own_metrics.items() if own.declared})
    return study.model_copy(update={"output": folder})


def _split(study: Study, dataset: str) -> Split | None:
    """How a dataset was split: as the study was planned, or as its folds lie there."""
    try:
        return study.split_of(dataset)
    except StudyError:
        # A split of its own is counted with the catalog, which a results folder does without.
        path = study.layout.folds(dataset)
        if not path.is_file():
            return None
        folds = read_json(path)
        crossing = bool(folds.get("crossing"))
        return Split(folds["split"], folds["outer"], folds["repeats"], crossing)
