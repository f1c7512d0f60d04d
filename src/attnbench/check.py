"""A study joined with what exists: catalog, mechanisms, metrics; without torch and medpy."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from attnbench.catalog import EmbeddedOrigin, Entry, catalog_names, load_entry
from attnbench.catalog.suitable import refuse_unsuitable, same_images
from attnbench.data.splits import Cases, count_split, label_problems
from attnbench.errors import CatalogError, ModelError, OwnCodeError, StudyError, listed
from attnbench.files import sha256_of
from attnbench.models.names import known_models
from attnbench.models.own_names import reference_of
from attnbench.own import entry_points, fingerprint
from attnbench.scoring.definitions import METRICS
from attnbench.scoring.own import planned, register
from attnbench.study.base import is_own_code, is_reference
from attnbench.study.groups import DatasetSettings, TrainingSettings
from attnbench.study.limits import too_long, too_many_runs
from attnbench.study.messages import in_lines
from attnbench.study.models import InitialSettings, ModelSettings
from attnbench.study.names import DatasetFacts, Known
from attnbench.study.reading import read_study
from attnbench.study.settings import Study, parse_study
from attnbench.study.split import Split, run_problems
from attnbench.training.budget import short_budgets
from attnbench.training.loss_names import known_losses, option_problems
from attnbench.training.losses import reference_of as reference_of_loss


def check_study(content: Any, source: str = "study") -> Study:
    """The study in `content`, checked, models and catalog's defaults resolved; or `StudyError`."""
    # Before its names are looked up: so many would take hours.
    if isinstance(content, Mapping) and (problems := list(too_long(content))):
        raise StudyError(f"{source}: {in_lines(problems)}")
    try:
        known = _known(content)
    except (CatalogError, ModelError, OwnCodeError) as error:
        raise StudyError(f"{source}: {error}") from error
    study = parse_study(content, known, source)
    refuse_unsuitable(study, source)
    _refuse_unknown_options(study, source)
    return _with_sources(_with_catalog(_with_splits(study, source)), source)


def load_study(path: Path) -> Study:
    """The study in a YAML file, checked; raises `StudyError` with every problem found."""
    return check_study(read_study(path), str(path))


def warnings_of(study: Study) -> list[str]:
    """Lines on what a checked study may do, but against the catalog or what was measured."""
    return [
        *_against_the_catalog(study),
        *same_images(study),
        *_mirrored_by_nothing(study),
        *_too_short(study),
        *_nowhere(study),
    ]


def _nowhere(study: Study) -> Iterator[str]:
    """Yield models whose predictions were made elsewhere, as long as their folders are not there.

    Only a warning: nnU-Net, say, gets its folds from this very study before it predicts.
    """
    for model in study.models:
        if model.predictions is None:
            continue
        runs = (
            run for data in study.trained_datasets for run in study.runs_of(data.name, model.name)
        )
        folders = dict.fromkeys(map(model.predictions.folder_of, runs))
        if absent := [str(folder) for folder in folders if not folder.is_dir()]:
            yield (
                f"{model.name}: {len(absent)} folder(s) of predictions made elsewhere are not "
                f"there yet: {listed(absent)}; its jobs fail until they are "
                "(predictions.datasets names the datasets that there are predictions of)"
            )


def _against_the_catalog(study: Study) -> Iterator[str]:
    for entry in (load_entry(one.name, study.catalog) for one in study.trained_datasets):
        of_models = (
            study.mirror_axes(entry.name, entry.ndim, model.name) for model in study.trained_models
        )
        axes = set().union(*of_models) - set(entry.mirror.axes)
        if axes:
            named = ", ".join(f"{entry.axes[axis]} (axis {axis})" for axis in sorted(axes))
            yield (
                f"{entry.name} is mirrored along {named}, which the catalog advises against: "
                f"{entry.mirror.reason}"
            )


def _too_short(study: Study) -> Iterator[str]:
    for budget in short_budgets(study):
        every = len(budget.models) == len(study.trained_models)
        of = "" if every else f" of {', '.join(budget.models)}"
        named = " and ".join(f"{rate:g}" for rate in budget.rates)
        yield (
            f"{budget.dataset}: {budget.steps} steps{of} are few for a learning rate of {named}: "
            "models will hardly be trained by it; "
            f"{max(budget.rates):g} takes {budget.enough} steps or more "
            "(docs/decisions/default-recipe.md)"
        )


def _mirrored_by_nothing(study: Study) -> Iterator[str]:
    """Yield datasets that are to be mirrored at test time and have no axis for it."""
    for dataset in study.trained_datasets if study.inference.mirroring else ():
        if not any(
            study.mirror_axes(dataset.name, _ndim(study, dataset.name), model.name)
            for model in study.trained_models
        ):
            yield (
                f"{dataset.name}: `inference.mirroring` averages over the axes that patches are "
                "mirrored along in training, and there is none"
            )


def _with_splits(study: Study, source: str) -> Study:
    """Count the folds of every dataset with a split of its own: so its runs can be planned.

    Raises:
        StudyError: everything that is wrong with them, as far as it shows before any data is there.
    """
    given: dict[str, Split] = {}
    problems: list[str] = []
    for dataset in study.trained_datasets:
        entry = load_entry(dataset.name, study.catalog)
        cases, found = _cases(entry), list[str]()
        if dataset.split is not None or dataset.held_out is not None:
            split, found = count_split(
                dataset, study.folds, cases, entry.count_groups(), entry.groups_known
            )
            if cases is None and isinstance(entry.origin, EmbeddedOrigin):
                found += _official_of_nothing(dataset)
            given[dataset.name] = split
        if dataset.stratify and cases:
            found += label_problems(dataset, cases)
        problems += [f"datasets: {dataset.name}: {text}" for text in found]
    study = study.with_splits(given)
    if given and not problems:
        problems += run_problems(study.folds.run, study.splits)
        problems += too_many_runs(study.count_runs())
    if problems:
        raise StudyError(f"{source}: {in_lines(problems)}")
    return study


def _cases(entry: Entry) -> Cases | None:
    """The cases that the catalog lists; None where only the prepared data tell."""
    labels = entry.labels()
    groups = {row.case: row.group for row in entry.files() if row.case}
    if not entry.groups_known:
        # Each case is a unit of its own.
        groups = {case: case for case in groups or labels}
    return Cases(entry.name, groups, labels, entry.groups_known) if groups else None


def _official_of_nothing(dataset: DatasetSettings) -> Iterator[str]:
    if "official" in (dataset.split, dataset.held_out):
        yield "generated cases have no official split; let folds be drawn, or give a file"


def _with_catalog(study: Study) -> Study:
    """Write into every dataset what the catalog says of it, so that it is part of its recipe.

    That are the axes it is mirrored along, and how its intensities are normalised.
    """
    augmentation = study.training.augmentation
    datasets = []
    for dataset in study.datasets:
        entry = load_entry(dataset.name, study.catalog)
        unsaid = dataset.mirror_axes is None and augmentation.flip is None
        axes = entry.mirror.axes if unsaid else study.mirror_axes(entry.name, entry.ndim)
        scheme = dataset.normalisation or entry.normalisation
        datasets.append(dataset.model_copy(update={"mirror_axes": axes, "normalisation": scheme}))
    # Said once: a recipe with `flip` beside the axes would differ where the training does not.
    augmentation = augmentation.model_copy(update={"flip": None})
    training = study.training.model_copy(update={"augmentation": augmentation})
    return study.model_copy(update={"datasets": tuple(datasets), "training": training})


def _with_sources(study: Study, source: str) -> Study:
    """Write the fingerprints of own code and weights beside them, so that they are in recipes.

    A study that was written when it was planned has them: it keeps them, and what has changed since
    is refused when it is loaded.

    Raises:
        StudyError: own code or a file of weights that is not there, or code that is no Python.
    """
    try:
        models = tuple(map(_fingerprinted, study.models))
        training = _with_source_of_loss(study.training)
        metrics = {name: planned(name, own) for name, own in study.own_metrics.items()}
        register(metrics)
    except (ModelError, OwnCodeError) as error:
        raise StudyError(f"{source}: {error}") from error
    update = {"models": models, "training": training, "own_metrics": metrics}
    return study.model_copy(update=update)


def _with_source_of_loss(training: TrainingSettings) -> TrainingSettings:
    """The settings with the fingerprint of a loss that is own code; all others unchanged."""
    loss, reference = training.loss, reference_of_loss(training.loss.name)
    if "loss" not in training.model_fields_set or loss.source or reference is None:
        return training
    loss = loss.model_copy(update={"source": fingerprint(reference)})
    return training.model_copy(update={"loss": loss})


def _with_hash(initial: InitialSettings, model: str) -> InitialSettings:
    """The settings with the hash of the file, which a study that was written already has."""
    if initial.source:
        return initial
    path = Path(initial.file)
    if not path.is_file():
        raise ModelError(
            f"models: {model}.initial: no file {path.resolve()}; paths of pretrained weights count "
            "from the folder that the command is run in"
        )
    return initial.model_copy(update={"source": sha256_of(path)})


def _refuse_unknown_options(study: Study, source: str) -> None:
    """Refuse losses that are not there or have no such options; names every one.

    Raises:
        StudyError: with all of them.
    """
    given = [("training", study.training)]
    own = ((one.name, one.training) for one in study.models if one.training)
    given += [(f"models: {name}: training", training) for name, training in own]
    problems: list[str] = []
    for where, training in given:
        # A study that was written when it was planned has been through this.
        if "loss" in training.model_fields_set and training.loss.source is None:
            try:
                found = list(option_problems(training.loss))
            except OwnCodeError as error:
                found = [str(error)]
            problems += [f"{where}.loss: {text}" for text in found]
    if problems:
        raise StudyError(f"{source}: {in_lines(problems)}")


def _fingerprinted(model: ModelSettings) -> ModelSettings:
    update: dict[str, Any] = {}
    if model.initial:
        update["initial"] = _with_hash(model.initial, model.name)
    if model.training:
        update["training"] = _with_source_of_loss(model.training)
    if model.network:
        update["source"] = model.source or fingerprint(model.network)
    update["slots"] = {
        slot: tuple(
            placement.model_copy(update={"source": placement.source or fingerprint(reference)})
            if (reference := reference_of(placement.name))
            else placement
            for placement in placements
        )
        for slot, placements in model.slots.items()
    }
    return model.model_copy(update=update)


def _known(content: Any) -> Known:
    """All names; facts of the datasets, and of the own code, that the study uses."""
    used = content.get("datasets") if isinstance(content, Mapping) else None
    names = {
        str(item.get("name") if isinstance(item, Mapping) else item)
        for item in (used if isinstance(used, list | tuple) else ())
    }
    folders = _folders(content)
    # Only entries in use are read; of the others the names are enough to suggest them.
    datasets = {
        name: _facts(name, folders) if name in names else DatasetFacts(0, 0)
        for name in catalog_names(folders)
    }
    known = known_models(_mechanisms(content))
    metrics = tuple(name for name, metric in METRICS.items() if metric.code is None)
    brought = entry_points("attnbench.metrics")
    return replace(
        known,
        datasets=datasets,
        metrics=metrics,
        # A package cannot change what a metric of ours means.
        own_metrics={name: brought[name] for name in brought if name not in metrics},
        losses=(*known_losses(), *_own_losses(content)),
    )


def _mechanisms(content: Any) -> Iterator[str]:
    """What may name a mechanism: models and what is in their slots; the rest is refused later."""
    models = content.get("models") if isinstance(content, Mapping) else None
    for model in models if isinstance(models, list | tuple) else ():
        slots = model.get("slots") if isinstance(model, Mapping) else None
        named: list[Any] = [] if slots else [model]
        for placed in slots.values() if isinstance(slots, Mapping) else ():
            named += placed if isinstance(placed, list | tuple) else [placed]
        for item in named:
            name = item.get("name") if isinstance(item, Mapping) else item
            if isinstance(name, str):
                # A bare name may be that of a control, `<variant>-<control>`.
                if is_reference(name):
                    yield name
                elif not is_own_code(name):
                    yield name.partition("-")[0]


def _own_losses(content: Any) -> Iterator[str]:
    """References to own code among the losses; what has another form is refused later."""
    models = content.get("models") if isinstance(content, Mapping) else None
    for holder in (content, *(models if isinstance(models, list | tuple) else ())):
        training = holder.get("training") if isinstance(holder, Mapping) else None
        loss = training.get("loss") if isinstance(training, Mapping) else None
        name = loss.get("name") if isinstance(loss, Mapping) else loss
        if isinstance(name, str) and is_reference(name):
            yield name


def _folders(content: Any) -> tuple[Path, ...]:
    """The study's own catalog folders; what is no list of paths is refused with the other keys."""
    given = content.get("catalog") if isinstance(content, Mapping) else None
    paths = given if isinstance(given, list | tuple) else ()
    return tuple(Path(path) for path in paths if isinstance(path, str | Path))


def _ndim(study: Study, dataset: str) -> int:
    return load_entry(dataset, study.catalog).ndim


def _facts(dataset: str, folders: tuple[Path, ...]) -> DatasetFacts:
    entry = load_entry(dataset, folders)
    return DatasetFacts(entry.ndim, entry.count_groups(), entry.channels, entry.classes)


def refuse_output(study: Study) -> None:
    """Refuse an output folder that nothing can be written to, or that is one of the downloads.

    Only before something is to be run: results that nobody may change can still be read.

    Raises:
        StudyError: a file lies where the folder is to be, it may not be written to, or the
            downloads, which may be shared, lie where results do.
    """
    layout = study.layout
    for key, folder in (("output", layout.output), ("data.downloads", layout.downloads)):
        found = next(path for path in (folder, *folder.absolute().parents) if _is_there(path))
        if not found.is_dir():
            raise StudyError(f"{key}: {found} is no folder; name another one, or move it away")
        # Downloads that are shared may be complete, and kept from being changed.
        if key == "output" and not os.access(found, os.W_OK | os.X_OK):
            raise StudyError(
                f"{key}: {folder} cannot be written to: {found} may be read only; name another "
                "folder, or have its owner allow it"
            )
    output, downloads = layout.output.resolve(), layout.downloads.resolve()
    if output == downloads or downloads in output.parents:
        raise StudyError(
            f"output: {layout.output} lies in {layout.downloads}, where datasets are downloaded "
            "to (data.downloads); name a folder beside it"
        )


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError:
        # A file in place of a folder on the way, or a folder that may not be entered.
        return False
    return True
