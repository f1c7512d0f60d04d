"""The study: which datasets, models, folds and seeds are compared, and how."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from attnbench.errors import StudyError, nearest
from attnbench.study.base import Name, Seed, Settings, each_once, name_as_mapping
from attnbench.study.groups import (
    SWEEP_RULE,
    AnalysisSettings,
    ComputeSettings,
    DatasetSettings,
    DataSettings,
    FiguresSettings,
    FoldsSettings,
    InferenceSettings,
    Scheme,
    ScoringSettings,
    SweptKey,
    TrainingSettings,
)
from attnbench.study.limits import too_long, too_many_runs
from attnbench.study.loss import DEFAULT_LOSS
from attnbench.study.messages import in_lines, problems_of
from attnbench.study.metrics import MetricName, OwnMetrics, with_own_metrics
from attnbench.study.models import (
    BackboneSettings,
    ModelName,
    ModelSettings,
    OfferedControl,
    resolve_models,
)
from attnbench.study.names import DatasetFacts, Known
from attnbench.study.paths import STAGES, Layout, Run
from attnbench.study.places import PlainPath, ResultsPath
from attnbench.study.shift import (
    Corruption,
    Percent,
    TransferSettings,
    data_efficiency_problems,
    transfer_problems,
)
from attnbench.study.split import SPLIT_KEYS, Split, fold_problems, run_problems

_DEFAULT_METRICS = (
    "dice",
    "iou",
    "precision",
    "recall",
    "hd",
    "hd95",
    "hd95_penalised",
    "assd",
)


class Study(Settings):
    """One study file."""

    name: Name = Field(description="The study's name; its output goes to `results/<name>`.")
    catalog: tuple[PlainPath, ...] = Field(
        (),
        description="Folders with own datasets (`attnbench dataset add`), beside the catalog that "
        "comes with the package.",
    )
    datasets: tuple[
        Annotated[
            DatasetSettings,
            BeforeValidator(name_as_mapping, json_schema_input_type=str | DatasetSettings),
        ],
        ...,
    ] = Field(min_length=1, description="Datasets: a catalog name, or a mapping with settings.")
    accept_licences: tuple[Name, ...] = Field(
        (),
        description="Datasets (or families of sizes) with a non-commercial or unclear licence that "
        "you may use nevertheless; without it nothing of them is downloaded.",
    )
    # Before `models`: its depth decides the levels that their mechanisms sit at.
    backbone: BackboneSettings = Field(
        default_factory=BackboneSettings,
        description="The one backbone that all models share; a model may have its own.",
    )
    controls: Annotated[tuple[OfferedControl, ...], AfterValidator(each_once)] = Field(
        (),
        description="Controls added for every variant, as models `<variant>-<control>`; "
        "inapplicable ones are skipped.",
    )
    models: tuple[
        Annotated[
            ModelSettings,
            BeforeValidator(name_as_mapping, json_schema_input_type=str | ModelSettings),
        ],
        ...,
    ] = Field(
        min_length=1,
        description="Models: a name (`attnbench models`), `<variant>-<control>`, or a mapping "
        "that composes one.",
    )
    baseline: ModelName = Field("unet", description="The model every other one is compared with.")
    folds: FoldsSettings = Field(default_factory=FoldsSettings)
    seeds: tuple[Seed, ...] = Field(
        (0,),
        min_length=1,
        description="Seeds: each fixes initial weights, batches and augmentation of every dataset "
        "and fold.",
    )
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    inference: InferenceSettings = Field(default_factory=InferenceSettings)
    # Before `metrics`, which may name them.
    own_metrics: OwnMetrics = Field(
        default_factory=dict,
        description="Metrics that are own code, by name; a reference among `metrics` is written "
        "here when the study is planned (docs/your-metric.md).",
    )
    metrics: tuple[MetricName, ...] = Field(
        _DEFAULT_METRICS,
        min_length=1,
        description="Scores per case and class: names, or own code, "
        "`./my_metrics.py:my_metric` or `my_package.my_metric`.",
    )
    scoring: ScoringSettings = Field(default_factory=ScoringSettings)
    transfer: tuple[TransferSettings, ...] = Field(
        (), description="Models of one dataset scored on another."
    )
    corruptions: tuple[Corruption, ...] = Field(
        (),
        description="Test corrupted images, in five levels each, after the models were trained.",
    )
    data_efficiency: tuple[Percent, ...] = Field(
        (), description="Percent of the training groups: every run again with only so many of them."
    )
    analysis: AnalysisSettings = Field(default_factory=AnalysisSettings)
    figures: FiguresSettings = Field(default_factory=FiguresSettings)
    compute: ComputeSettings = Field(default_factory=ComputeSettings)
    data: DataSettings = Field(default_factory=DataSettings)
    output: ResultsPath | None = Field(
        None, description="Output folder; default: `results/<name>`."
    )
    _given_splits: dict[str, Split] = PrivateAttr(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _name_own_metrics(cls, content: Any, info: ValidationInfo) -> Any:
        return with_own_metrics(content, info.context.own_metrics if info.context else {})

    @field_validator("models", mode="after")
    @classmethod
    def _resolve(
        cls, models: tuple[ModelSettings, ...], info: ValidationInfo
    ) -> tuple[ModelSettings, ...]:
        # Keys with a problem are absent from `data`: without them nothing can be resolved.
        known, given = info.context, info.data
        if not (known and known.mechanisms) or not {"controls", "backbone"} <= given.keys():
            return models
        return resolve_models(models, given["controls"], given["backbone"], known)

    @model_validator(mode="after")
    def _settings_fit(self, info: ValidationInfo) -> Self:
        facts = info.context.datasets if info.context else {}
        datasets = [dataset.name for dataset in self.datasets]
        models = [model.name for model in self.models]
        # Without given splits, which are counted later.
        if problems := [*too_many_runs(self.count_runs())]:
            raise ValueError("\n".join(problems))
        problems = [
            *self._repeated(),
            *transfer_problems(self.transfer, datasets, self._as_taken(facts)),
            *self._swept_and_set(),
            *self._used_wrongly(),
        ]
        if not any(map(_is_given, self.trained_datasets)):
            problems += run_problems(self.folds.run, self.splits)
        problems += [
            f"own_metrics: {name!r} is not among the metrics; add it there, or remove it here"
            for name in self.own_metrics
            if name not in self.metrics
        ]
        if self.primary[0] not in self.metrics:
            problems.append(
                f"analysis.primary.metric: {self.primary[0]!r} is not among the metrics; "
                f"{nearest(self.primary[0], self.metrics)}"
            )
        if self.baseline not in models:
            problems.append(
                f"baseline: {self.baseline!r} is not among the models; "
                f"{nearest(self.baseline, models)}"
            )
        problems += self._elsewhere_wrongly()
        problems += self._accumulated_wrongly()
        for dataset in self.datasets if facts else ():
            problems += self._impossible(dataset, facts[dataset.name])
            classes = facts[dataset.name].classes
            if self.primary[1] not in ("all", *map(str, classes)):
                problems.append(
                    f"analysis.primary.class: {dataset.name} has no class {self.primary[1]}; "
                    f"allowed: all, {', '.join(map(str, classes))}"
                )
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _as_taken(self, facts: Mapping[str, DatasetFacts]) -> dict[str, DatasetFacts]:
        """The facts of the study's datasets, with the channels that it takes; empty if unknown."""
        return {
            dataset.name: replace(own, channels=dataset.count_channels(own.channels))
            for dataset in self.datasets
            if (own := facts.get(dataset.name))
        }

    def _repeated(self) -> Iterator[str]:
        for key in ("datasets", "models", "seeds", "metrics", "corruptions", "data_efficiency"):
            names = Counter(str(getattr(item, "name", item)) for item in getattr(self, key))
            for name in sorted(name for name, count in names.items() if count > 1):
                yield f"{key}: {name!r} stands there more than once; every entry needs its own name"

    def _swept_and_set(self) -> Iterator[str]:
        for model in self.models:
            given = model.training.model_fields_set if model.training else set()
            for key in given.intersection(self.training.sweep or {}):
                yield (
                    f"models: {model.name!r} sets training.{key}, which `training.sweep` chooses "
                    "for every model; remove one of them"
                )

    def _used_wrongly(self) -> Iterator[str]:
        """Yield datasets that are only tested and would be trained on, or would not be tested."""
        if not self.trained_datasets:
            yield "datasets: every one is `test_only`; models are trained on one at least"
        for dataset in self.datasets:
            name = dataset.name
            if dataset.test_only and not any(one.test == name for one in self.transfer):
                yield (
                    f"datasets: {name} is `test_only`, and no transfer tests on it; add "
                    f"`transfer: [{{train: ..., test: {name}}}]`"
                )
            if dataset.test_only and any(one.train == name for one in self.transfer):
                yield f"transfer: {name} is `test_only`; no model is trained on it"

    def _elsewhere_wrongly(self) -> Iterator[str]:
        """Yield what predictions made elsewhere cannot be, and datasets that there are none of."""
        if self.baseline in self.elsewhere:
            yield (
                f"baseline: {self.baseline!r} was predicted elsewhere; every model is compared "
                "with one that was trained by this study's recipe"
            )
        trained = [dataset.name for dataset in self.trained_datasets]
        for model in self.models:
            for name in (model.predictions and model.predictions.datasets) or ():
                if name not in trained:
                    yield (
                        f"models: {model.name!r}: predictions.datasets: no model is trained on "
                        f"{name!r}; {nearest(name, trained)}"
                    )

    def _accumulated_wrongly(self) -> Iterator[str]:
        """Yield models whose batch has fewer patches than parts, or norms that parts change."""
        for model in self.trained_models:
            most = 1
            for dataset in self.trained_datasets:
                recipe = self.training_of(dataset.name, model.name)
                most = max(most, recipe.accumulate)
                if recipe.accumulate > recipe.batch:
                    yield (
                        f"models: {model.name!r} on {dataset.name}: `accumulate` is "
                        f"{recipe.accumulate}, and a step has {recipe.batch} patch(es); allowed: 1 "
                        f"to {recipe.batch}"
                    )
            norm = self.backbone_of(model.name).norm
            if most > 1 and norm == "batch" and not model.is_external:
                yield (
                    f"models: {model.name!r}: `accumulate` is {most}, and its norm is "
                    "batch: a part would be normalised by its own patches, which is another "
                    "training; set `accumulate: 1`, or `backbone.norm: instance` or `group`"
                )

    def _impossible(self, dataset: DatasetSettings, facts: DatasetFacts) -> Iterator[str]:
        """Yield problems of a dataset's settings, and of its folds, that its facts rule out."""
        name, ndim = dataset.name, facts.ndim
        for key in ("spacing", "size", "patch"):
            value = getattr(dataset, key)
            if value and len(value) != ndim:
                yield (
                    f"datasets: {name}.{key} has {len(value)} values; the dataset has {ndim} axes"
                )
        yield from _unknown_channels(dataset, facts.channels)
        if wrong := [axis for axis in self.mirror_axes(name, ndim) if axis >= ndim]:
            key = "mirror_axes" if dataset.mirror_axes else "training.augmentation.flip"
            yield (
                f"datasets: {name} has no axis {wrong[0]}, which `{key}` names; axes are 0 to "
                f"{ndim - 1}"
            )
        patch = self.patch(name, ndim)
        depth = max(len((model.backbone or self.backbone).widths) for model in self.trained_models)
        divisor = 2 ** (depth - 1)  # every level but the first halves the sides
        if any(side % divisor for side in patch):
            near = [max(divisor, round(side / divisor) * divisor) for side in patch]
            yield (
                f"datasets: {name} has patch {list(patch)}; with {depth} levels every side is a "
                f"multiple of {divisor}, nearest: {near}"
            )
        if not (dataset.test_only or _is_given(dataset)):
            yield from self.drawn_fold_problems(name, facts.groups, self.folds.outer)

    def drawn_fold_problems(self, dataset: str, groups: int, outer: int) -> Iterator[str]:
        """Yield problems of drawing `outer` folds from the groups of a dataset."""
        problems = list(fold_problems(self.folds, dataset, groups, outer))
        yield from problems
        if not problems:
            # The largest test fold leaves the fewest groups, and so does the largest validation.
            left = groups - math.ceil(groups / outer)
            training = left - math.ceil(left / min(self.folds.inner, left))
            yield from data_efficiency_problems(self.data_efficiency, dataset, training)

    def dataset(self, name: str) -> DatasetSettings:
        """Return the settings of one dataset; `StudyError` names the others."""
        return _named(self.datasets, name, "dataset")

    def model(self, name: str) -> ModelSettings:
        """Return the settings of one model; `StudyError` names the others."""
        return _named(self.models, name, "model")

    @property
    def primary(self) -> tuple[str, str]:
        """Metric and class (`all`: the mean over classes) of the primary comparison."""
        chosen = self.analysis.primary
        return chosen.metric or self.metrics[0], str(chosen.class_)

    @property
    def control_pairs(self) -> tuple[tuple[str, str], ...]:
        """Every variant with each of its controls, by name; not those of the baseline."""
        return tuple(
            (variant.name, control.name)
            for variant in self.models
            for control in self.models
            if control.control_of == variant.name
            and self.baseline not in (variant.name, control.name)
        )

    def backbone_of(self, model: str) -> BackboneSettings:
        """Return the backbone of one model: its own, else the study's."""
        return self.model(model).backbone or self.backbone

    def training_of(self, dataset: str, model: str) -> TrainingSettings:
        """Return the recipe of a model on a dataset: the study's `training`, in place of its keys
        those of the dataset (`steps`, `batch`), in place of these the model's own.

        A swept key has the study's own value: only a run knows the one chosen for its fold.
        """
        of_dataset = self.dataset(dataset).model_dump(include={"steps", "batch"}, exclude_none=True)
        training = self.training.model_copy(update=of_dataset)
        own = self.model(model).training
        return training.overridden_by(own) if own else training

    def with_value(self, key: SweptKey, value: float) -> Study:
        """Return the study in which the swept key has one value, the same for every model."""
        training = self.training.model_copy(update={"sweep": None, key: value})
        return self.model_copy(update={"training": training})

    def patch(self, dataset: str, ndim: int) -> tuple[int, ...]:
        """Return the pixels per axis of a training patch of `dataset`."""
        return self.dataset(dataset).patch or (
            self.training.patch_2d if ndim == 2 else self.training.patch_3d
        )

    def mirror_axes(self, dataset: str, ndim: int, model: str = "") -> tuple[int, ...]:
        """Return the axes that images of `dataset` are mirrored along; all where none is said.

        A `model` may have axes of its own.
        """
        own, flip = self.dataset(dataset).mirror_axes, self.training.augmentation.flip
        training = self.model(model).training if model else None
        if training and training.augmentation.flip is not None:
            own, flip = None, training.augmentation.flip
        if own is not None:
            return own
        if flip is None or isinstance(flip, bool):
            return () if flip is False else tuple(range(ndim))
        return flip

    @property
    def trained_datasets(self) -> tuple[DatasetSettings, ...]:
        """Datasets that models are trained on: all but those that are only tested on."""
        return tuple(dataset for dataset in self.datasets if not dataset.test_only)

    @property
    def splits(self) -> dict[str, Split]:
        """The split of every dataset that models are trained on."""
        return {dataset.name: self.split_of(dataset.name) for dataset in self.trained_datasets}

    @property
    def held_out(self) -> tuple[str, ...]:
        """Datasets with a test set beside their folds."""
        return tuple(one.name for one in self.trained_datasets if one.held_out is not None)

    def split_of(self, dataset: str) -> Split:
        """Return how a dataset is split; `StudyError` where its own split was not counted yet."""
        if not _is_given(self.dataset(dataset)):
            return Split("cross_validation", self.folds.outer, self.folds.repeats)
        if dataset not in self._given_splits:
            raise StudyError(
                f"{dataset}: its own split is counted when the study is checked with the catalog"
            )
        return self._given_splits[dataset]

    def with_splits(self, splits: Mapping[str, Split]) -> Study:
        """Return the study with the counted splits of the datasets that have one of their own."""
        study = self.model_copy()
        study._given_splits = {**self._given_splits, **splits}
        return study

    def folds_to_run(self, dataset: str) -> tuple[int, ...]:
        """Return the outer folds of a dataset that this study trains, of all repeats.

        `folds.run` names them by number; of a dataset with fewer folds those that it has.
        """
        folds = range(self.split_of(dataset).count)
        return tuple(
            folds if self.folds.run is None else filter(folds.__contains__, self.folds.run)
        )

    def normalisation(self, dataset: str) -> Scheme:
        """Return how intensities of `dataset` are normalised; z_score where none is said."""
        return self.dataset(dataset).normalisation or "z_score"

    @property
    def trained_models(self) -> tuple[ModelSettings, ...]:
        """Models that this study trains: all but those whose predictions were made elsewhere."""
        return tuple(model for model in self.models if model.predictions is None)

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """Names of the models whose predictions were made elsewhere."""
        return tuple(model.name for model in self.models if model.predictions is not None)

    def runs(self) -> Iterator[Run]:
        """Yield every run of the study, in a fixed order; those made elsewhere included."""
        for dataset in self.trained_datasets:
            for model in self.models:
                yield from self.runs_of(dataset.name, model.name)

    def trainings(self) -> Iterator[Run]:
        """Yield every run that this study trains, in the same order."""
        elsewhere = self.elsewhere
        return (run for run in self.runs() if run.model not in elsewhere)

    def count_runs(self) -> int:
        """Return how many runs there are at most, nothing expanded.

        A dataset with a split of its own counts with one fold until its split is counted.
        """
        drawn, folds = self.folds.outer * self.folds.repeats, 0
        for dataset in self.trained_datasets:
            given = self._given_splits.get(dataset.name)
            count = given.count if given else 1 if _is_given(dataset) else drawn
            folds += count if self.folds.run is None else min(count, len(self.folds.run))
        return folds * len(self.models) * len(self.seeds) * (1 + len(self.data_efficiency))

    def runs_of(self, dataset: str, model: str) -> Iterator[Run]:
        """Yield every run of one model on one dataset, in a fixed order.

        Predictions made elsewhere have one run per fold, with the first seed, unless every seed has
        predictions of its own; none on a dataset that they do not cover.
        """
        elsewhere, seeds = self.model(model).predictions, self.seeds
        if elsewhere:
            seeds = seeds if elsewhere.by_seed else seeds[:1]
            if elsewhere.datasets is not None and dataset not in elsewhere.datasets:
                return
        for fold in self.folds_to_run(dataset):
            for seed in seeds:
                yield Run(dataset, model, fold, seed)

    def data_efficiency_runs(self) -> Iterator[Run]:
        """Yield every training again for each share of the training groups that is asked for."""
        return (
            replace(run, percent=percent)
            for percent in self.data_efficiency
            for run in self.trainings()
        )

    def stages(self, run: Run) -> dict[str, Path]:
        """Return the verbs that lead to a run's scores, each with the last file that it leaves."""
        if run.model in self.elsewhere:
            return {"score_external": self.layout.run(run) / STAGES["score"]}
        return self.layout.stages(run)

    def transfers_of(self, dataset: str) -> tuple[TransferSettings, ...]:
        """Return the transfers of the models that are trained on `dataset`."""
        return tuple(transfer for transfer in self.transfer if transfer.train == dataset)

    def ensembles_of(self, dataset: str) -> tuple[TransferSettings, ...]:
        """Return those transfers of the models trained on `dataset` that ask for ensembles."""
        return tuple(transfer for transfer in self.transfers_of(dataset) if transfer.ensemble)

    @property
    def layout(self) -> Layout:
        """Paths of this study's files."""
        output = self.output or Path("results") / self.name
        return Layout(output, self.data.downloads or output / "data" / "raw")

    def recipe(self, dataset: str, model: str) -> dict[str, Any]:
        """Return as data what decides the weights of (dataset, model), but for fold and seed.

        Of a swept key it has grid and rule; which value is chosen depends on the fold.
        """
        # Absent where nothing is swept or set: such recipes are those of before these keys came.
        own = self.model(model).training
        # Of pretrained weights the content counts, not where it lies.
        apart: dict[str, Any] = {"initial": {"file"}, **({} if own else {"training": True})}
        sweep = {"sweep": {"grid": self.training.sweep, "rule": SWEEP_RULE}}
        silent = {"sweep"}
        if self.training.loss == DEFAULT_LOSS or (own and "loss" in own.model_fields_set):
            silent.add("loss")
        if self.training.accumulate == 1 or (own and "accumulate" in own.model_fields_set):
            silent.add("accumulate")
        return {
            # What decides the folds is in the hash of their file, what is done about copies in that
            # of the data.
            "dataset": self.dataset(dataset).model_dump(
                mode="json", exclude={"duplicates", *SPLIT_KEYS}
            ),
            # Keys without a value are left out: a new one changes no recipe that does without.
            "model": self.model(model).model_dump(mode="json", exclude=apart, exclude_none=True),
            "backbone": self.backbone_of(model).model_dump(mode="json"),
            "training": self.training.model_dump(mode="json", exclude=silent),
            "precision": self.compute.precision,
            **(sweep if self.training.sweep else {}),
        }

    def to_yaml(self) -> str:
        """Return the study as YAML with every default written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def _is_given(dataset: DatasetSettings) -> bool:
    """True where the catalog or a file decides which folds a dataset has."""
    return dataset.split is not None or dataset.held_out is not None


def _unknown_channels(dataset: DatasetSettings, channels: int) -> Iterator[str]:
    chosen, has = dataset.channels, f"the dataset has {channels}"
    if chosen == "grey":
        if channels != 3:
            yield (
                f"datasets: {dataset.name}.channels: grey is made of red, green and blue; {has} "
                f"channel{'' if channels == 1 else 's'}"
            )
    elif chosen and max(chosen) >= channels:
        yield (
            f"datasets: {dataset.name}.channels: there is no channel {max(chosen)}; {has}, 0 to "
            f"{channels - 1}"
        )


def _named(settings: tuple[Any, ...], name: str, kind: str) -> Any:
    for item in settings:
        if item.name == name:
            return item
    names = [item.name for item in settings]
    raise StudyError(f"the study has no {kind} {name!r}; {nearest(name, names)}")


def parse_study(content: Any, known: Known | None = None, source: str = "study") -> Study:
    """Return the study in `content`, a mapping of keys.

    Without `known`, names are not checked, and models stay as they are written: such a study
    describes runs, but its networks cannot be built.

    Raises:
        StudyError: every problem, each with its key's path; `source` names the file.
    """
    if not isinstance(content, Mapping):
        found = "nothing" if content is None else f"a value of type {type(content).__name__}"
        raise StudyError(f"{source}: a study is a mapping of keys; found {found}")
    if problems := list(too_long(content)):
        raise StudyError(f"{source}: {in_lines(problems)}")
    try:
        return Study.model_validate(dict(content), context=known)
    except ValidationError as error:
        raise StudyError(f"{source}: {in_lines(problems_of(error, Study))}") from None


def schema() -> dict[str, Any]:
    """Return the JSON schema of a study file, for editors."""
    return Study.model_json_schema()
