"""The Python interface: data in, data out; every function is one that the command line uses too."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.analysis.opened import StudyResults, read_study
from attnbench.catalog import load_entry
from attnbench.check import check_study
from attnbench.check import load_study as load_file
from attnbench.data.opened import Dataset, open_originals, open_prepared
from attnbench.errors import AttnBenchError, DataError, DivergenceError, nearest
from attnbench.locks import exclusive
from attnbench.scoring.case import score_case
from attnbench.scoring.definitions import metric
from attnbench.study.groups import AnalysisSettings
from attnbench.study.paths import STAGES, Run
from attnbench.study.settings import Study

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from attnbench.inference.trained import Trained
    from attnbench.models.build import build_model
    from attnbench.models.registry import mechanism

log = logging.getLogger("attnbench")

__all__ = [
    "Dataset",
    "Predicted",
    "Study",
    "StudyResults",
    "TrainedRun",
    "build_model",
    "compare",
    "load_study",
    "mechanism",
    "metric",
    "open_dataset",
    "open_results",
    "predict",
    "score_case",
    "train",
]


def __getattr__(name: str) -> Any:
    # These rooms import torch, which scoring and comparing do without.
    if name == "build_model":
        from attnbench.models.build import build_model

        return build_model
    if name == "mechanism":
        from attnbench.models.registry import mechanism

        return mechanism
    raise AttributeError(f"module 'attnbench.api' has no attribute {name!r}")


def load_study(source: str | Path | Mapping[str, Any]) -> Study:
    """The study in a YAML file, or in a mapping of the same keys, checked as a whole.

    Raises:
        StudyError: everything that is wrong with it, each with the path of its key.
    """
    if isinstance(source, Mapping):
        return check_study(source)
    return load_file(Path(source))


def open_dataset(
    source: str | Path,
    *,
    study: Study | None = None,
    catalog: Iterable[str | Path] = (),
    downloads: str | Path | None = None,
    accept_licence: bool = False,
) -> Dataset:
    """Cases of a dataset: images (C, *spatial), masks (*spatial), spacings.

    Args:
        source: a dataset's name: its originals, each case on its own grid; or the folder of a case
            store (`data/prepared/<dataset>` of a study): the cases as they are trained on.
        study: with a name, that study's prepared cases in place of the originals.
        catalog: folders with your own datasets, beside those of the package.
        downloads: folder for originals that have to be downloaded; they are verified, and kept.
        accept_licence: you read a licence that is not open, and it allows what you plan.

    Raises:
        CatalogError: no dataset of that name.
        DataError: originals would have to be downloaded and no folder was given; a licence was not
            accepted; the folder holds no case store; or, while cases are read, a broken case.
        FetchError: originals are not to be had, or are not what the catalog says.
    """
    if study is not None:
        return open_prepared(study.layout.prepared(study.dataset(str(source)).name))
    if Path(source).is_dir() and (Path(source) / "dataset.json").is_file():
        return open_prepared(Path(source))
    entry = load_entry(str(source), tuple(Path(folder) for folder in catalog))
    return open_originals(entry, None if downloads is None else Path(downloads), accept_licence)


@dataclass(frozen=True)
class TrainedRun:
    """A finished training: where its files lie, and what its `run.json` says."""

    study: Study
    run: Run
    facts: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.study.layout.run(self.run)

    @property
    def weights(self) -> Path:
        """The file of the weights, `model.pt` (docs/files.md)."""
        return self.folder / "model.pt"

    @property
    def history(self) -> pd.DataFrame:
        """Loss, Dice of the inner validation and learning rate by step: `history.csv`.

        Raises:
            SealError: it is not as the training left it.
        """
        import pandas as pd

        from attnbench.training.sealed import sealed_files

        sealed_files(self.study, self.run, "history.csv")
        return pd.read_csv(self.folder / "history.csv")


def train(
    study: Study, dataset: str, model: str, fold: int = 0, seed: int | None = None
) -> TrainedRun:
    """Train one run of a study into its output folder, as the workflow does, and return it.

    What it needs and is not there yet (originals, prepared cases, folds) is made first. A run that
    is there, by this very recipe, data and folds, is not trained again. `seed`: by default the
    study's first.

    Raises:
        StudyError: the study has no such dataset, model, fold or seed, or sweeps a key.
        FetchError: originals are not to be had.
        DataError: the data break their contract.
        ModelError: the network cannot be built.
        DivergenceError: the loss was not finite; now, or when the run was trained.
    """
    run = _run_of(study, dataset, model, fold, seed)
    if study.training.sweep and not study.layout.choice(dataset, model, fold).is_file():
        raise AttnBenchError(
            f"{run}: the study sweeps {', '.join(study.training.sweep)}, and nothing has been "
            "chosen for this fold yet; run the study (`snakemake` or `attnbench run`), or give the "
            "key one value"
        )
    from attnbench.data.make import make_data
    from attnbench.rerun import decides
    from attnbench.training.finished import why_untrained
    from attnbench.training.run import train_run
    from attnbench.training.stamp import read_facts

    make_data(study, dataset)

    path = study.layout.run(run) / STAGES["train"]
    with exclusive(study.layout.lock_of(run), f"train {run}"):
        if why := why_untrained(study, run):
            if path.is_file():
                log.info("%s: trained again: %s", run, why)
            train_run(study, run, decides(study, "train", run.dataset, run.model))
    facts = read_facts(path)
    if lost := facts.get("diverged"):
        raise DivergenceError(f"{run}: {lost['says']}", lost["step"], lost["after"])
    return TrainedRun(study, run, facts)


@dataclass(frozen=True, eq=False)
class Predicted:
    """Prediction of one image on its own grid.

    `probabilities` (K, *spatial) float32, summing to 1 over the background and the classes;
    `classes`: name by number, from 1. `seen`: cases of the study that show this very image, where
    that was looked for, each with what it was to how many of the runs that predicted: `training`,
    `validation` or `test` case, or `unused`.
    """

    name: str
    probabilities: NDArray[np.float32]
    classes: Mapping[int, str]
    seen: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def mask(self) -> NDArray[np.uint8]:
        """The most probable class (*spatial); 0 is background."""
        mask: NDArray[np.uint8] = self.probabilities.argmax(axis=0).astype("uint8")
        return mask


def predict(
    study: Study,
    dataset: str,
    model: str,
    fold: int | None = 0,
    seed: int | None = None,
    *,
    cases: Iterable[str] | None = None,
    images: Mapping[str, NDArray[Any]] | Iterable[str | Path] | None = None,
    spacing: tuple[float, ...] | None = None,
) -> Iterator[Predicted]:
    """Yield predictions of a trained run, one image after the other.

    Without `images`, of the run's test cases. Images are prepared as the study prepares those of
    `dataset`: channels, working grid, normalisation.

    Args:
        study: with the trained run in its output folder.
        dataset: that the model was trained on.
        model: one of the study.
        fold: outer fold, from 0; None: the mean of all runs of the model, for files alone.
        seed: by default the study's first.
        cases: only these cases of the dataset, whether the run tested them or not.
        images: arrays by name, (C, *spatial) or, of one channel, (*spatial), in the file's own
            intensities; or files and folders of them (docs/predictions.md).
        spacing: of a voxel of `images`, one size per spatial axis in the dataset's unit, where
            arrays or files do not state it.

    Raises:
        StudyError: no such dataset, model, fold or seed.
        CheckpointError: the run is not trained, or by another recipe, other data or other folds.
        DataError: no such case, or images that cannot be predicted.
    """
    if images is not None and cases is not None:
        raise DataError("`cases` are of the dataset and `images` are not; give one of them")
    if images is None or isinstance(images, Mapping):
        if fold is None:
            raise DataError(
                "all runs of a model predict files together, neither its own cases nor arrays; "
                "give a fold, or `images` as files"
            )
        run = _run_of(study, dataset, model, fold, seed)
        if images is None:
            return _of_cases(study, run, None if cases is None else list(cases))
        return _of_arrays(study, run, images, spacing)
    name = f"{study.dataset(dataset).name}/{study.model(model).name}"
    if fold is not None:
        name = str(_run_of(study, dataset, model, fold, seed))
    return _of_files(study, name, [Path(path) for path in images], spacing)


def compare(
    scores: pd.DataFrame | StudyResults,
    baseline: pd.DataFrame | str,
    *,
    metric: str | None = None,
    confidence: float = 0.95,
    margin: float = 0.01,
    seed: int = 0,
) -> pd.DataFrame:
    """Paired differences with intervals, tests and verdicts, by the statistics of a study.

    Pairs are scores of the same case, class, fold and seed; groups weigh equally. One row per
    model, and per class where there are several (and `all`, their mean), with the columns of
    `effects.csv` (docs/files.md): `difference`, `low`, `high`, `p`, `verdict`, ...

    Args:
        scores: a table with `case` and `value`, and where there are any `group` (patient; else
            every case counts as one), `fold`, `seed`, `class`, and `model` for several models; or
            the results of a study.
        baseline: the table of what `scores` are compared with, or the name of a model in them.
        metric: of a table: says unit and direction, by default Dice. Of a study's results: rows of
            this metric alone, their numbers those of the comparison of all metrics, the default.
        confidence: of intervals, between 0.5 and 1; 1 - confidence is the level of tests.
        margin: differences below it are negligible, for metrics without a unit.
        seed: of the resampling.

    Raises:
        DataError: a column is missing or holds what it may not, a case stands there twice, there
            is no such model or metric, or nothing to pair.
    """
    from attnbench.analysis.own_scores import compare_tables, effects_of

    if not 0.5 < confidence < 1 or not margin > 0:
        raise DataError(
            f"confidence is {confidence}, margin {margin}; the first lies between 0.5 and 1, the "
            "second above 0"
        )
    settings = AnalysisSettings(confidence=confidence, margin=margin, seed=seed)
    if isinstance(scores, StudyResults):
        if not isinstance(baseline, str):
            raise DataError("of a study's results, `baseline` is the name of one of its models")
        asked = scores.study.metrics if metric is None else (metric,)
        if metric is not None and metric not in scores.study.metrics:
            raise DataError(f"no scores by {metric!r}; {nearest(metric, scores.study.metrics)}")
        effects = effects_of(scores.blocks(), baseline, settings)
        return effects[effects["metric"].isin(asked)].reset_index(drop=True)
    metric = "dice" if metric is None else metric
    if isinstance(baseline, str):
        if "model" not in scores:
            raise DataError(
                f"no column `model`, by which {baseline!r} would be found; found "
                f"{', '.join(map(str, scores.columns))}"
            )
        tables = {str(name): own for name, own in scores.groupby("model", sort=False)}
        return compare_tables(tables, baseline, metric, settings)
    tables = {"scores": scores, "baseline": baseline}
    return compare_tables(tables, "baseline", metric, settings)


def open_results(source: Study | str | Path) -> StudyResults:
    """Scores and every frame of a study's analysis.

    Args:
        source: a study; its file; or its output folder, wherever that lies now: it is enough.

    Raises:
        StudyError: there is no study.
    """
    if isinstance(source, Study):
        return StudyResults(source)
    path = Path(source)
    return StudyResults(read_study(path) if path.is_dir() else load_file(path))


def _run_of(study: Study, dataset: str, model: str, fold: int, seed: int | None) -> Run:
    """The run of the study; `StudyError` or `DataError` name what there is."""
    study.dataset(dataset), study.model(model)
    folds = study.folds_to_run(dataset)
    if fold not in folds:
        raise DataError(f"{dataset}: the study runs no fold {fold}; it runs {_words(folds)}")
    chosen = study.seeds[0] if seed is None else seed
    if chosen not in study.seeds:
        raise DataError(f"the study has no seed {chosen}; it has {_words(study.seeds)}")
    return Run(dataset, model, fold, chosen)


def _words(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def _of_cases(study: Study, run: Run, cases: list[str] | None) -> Iterator[Predicted]:
    from attnbench.inference.new_images import role_of
    from attnbench.inference.trained import trained_network

    with trained_network(study, run) as trained:
        store = trained.inputs.store
        names = list(trained.inputs.fold.test) if cases is None else cases
        maps = trained.predict(store, [store.index(name) for name in names])
        for name, own in zip(names, maps, strict=True):
            roles = {name: {role_of(trained, name): 1}}
            yield Predicted(name, own.cpu().numpy(), store.info.classes, roles)


def _of_arrays(
    study: Study,
    run: Run,
    images: Mapping[str, NDArray[Any]],
    spacing: tuple[float, ...] | None,
) -> Iterator[Predicted]:
    from attnbench.inference.trained import trained_network

    with trained_network(study, run) as trained:
        info = trained.inputs.store.info
        for name, image in images.items():
            own, shape = _as_trained(study, trained, run.dataset, name, image, spacing)
            (probabilities,) = trained.predict_images([own], [shape])
            yield Predicted(name, probabilities.cpu().numpy(), info.classes)


def _as_trained(
    study: Study,
    trained: Trained,
    dataset: str,
    name: str,
    image: NDArray[Any],
    spacing: tuple[float, ...] | None,
) -> tuple[NDArray[np.float32], tuple[int, ...]]:
    """An array as the network takes it, and the shape of its own grid."""
    import numpy as np

    from attnbench.data.normalise import measure_image, normalise
    from attnbench.data.prepare import working_image

    entry, settings = load_entry(dataset, study.catalog), study.dataset(dataset)
    own = np.asarray(image)
    own = own[None] if own.ndim == entry.ndim and entry.channels == 1 else own
    if own.ndim != entry.ndim + 1 or len(own) != entry.channels:
        raise DataError(
            f"image {name!r} has shape {np.shape(image)}; images of {dataset} are "
            f"({entry.channels}, {', '.join(entry.axes)})"
        )
    if own.dtype.kind not in "uif" or not np.isfinite(own).all():
        raise DataError(f"image {name!r}: intensities are finite numbers; found {own.dtype}")
    if settings.spacing and spacing is None:
        raise DataError(
            f"image {name!r}: the study resamples to {settings.spacing} {entry.spacing_unit}; say "
            "which `spacing` the images have"
        )
    sides = spacing or (1.0,) * entry.ndim
    if len(sides) != entry.ndim or not all(0 < side < float("inf") for side in sides):
        raise DataError(f"spacing is {sides}; it has {entry.ndim} positive numbers")
    working = working_image(own, sides, settings, name)
    numbers = trained.inputs.normalisation.numbers(measure_image(working))
    return normalise(working, numbers), own.shape[1:]


def _of_files(
    study: Study, name: str, paths: list[Path], spacing: tuple[float, ...] | None
) -> Iterator[Predicted]:
    from attnbench.inference.new_images import predict_images

    for one in predict_images(study, name, paths, spacing):
        seen = {seen.case: seen.roles for seen in one.seen}
        yield Predicted(one.name, one.probabilities, one.classes, seen)
