"""Ensembles: the mean probabilities of all trainings of a model, on external test sets alone."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from typing import Any

from torch import Tensor

from attnbench.data.known_images import image_hash
from attnbench.data.sealed import open_store
from attnbench.data.store import CaseStore
from attnbench.errors import DataError, StudyError
from attnbench.files import write_rows
from attnbench.inference.trained import Trained, load_trained, lost_run
from attnbench.shift.kinds import KINDS
from attnbench.shift.scores import score_images
from attnbench.shift.sealed import seal_ensemble
from attnbench.study.settings import Study
from attnbench.study.shift import TransferSettings
from attnbench.training.device import claim_device

log = logging.getLogger(__name__)


def score_ensemble(study: Study, dataset: str, model: str) -> None:
    """Score the ensemble of a model's trainings; write `ensembles/<dataset>/<model>.csv`.

    Its members are all runs of the model on the dataset (folds and seeds) that did not diverge, its
    probabilities the mean of theirs; without any, rows have no value. It is scored as
    `score_transfer` scores a run, on the external test sets whose transfer asks for ensembles;
    columns are those of scores without fold and seed, with `test` and `members`, the number of
    trainings.

    Raises:
        DataError: a test set has a case of `dataset`, of which members were trained on.
        StudyError: the study asks for no ensemble of models of `dataset`.
        CheckpointError: a member is not trained, or by another recipe.
    """
    transfers = study.ensembles_of(dataset)
    if not transfers:
        raise StudyError(
            f"the study asks for no ensemble of models of {dataset}; say `ensemble: true` in one "
            "of its transfers"
        )
    own = open_store(study.layout, dataset)
    # Before any member is loaded: a case that one of them has seen ends the job at once.
    tests = [open_store(study.layout, transfer.test) for transfer in transfers]
    for test in tests:
        refuse_seen_cases(own, test)
    runs = tuple(study.runs_of(dataset, model))
    # Once for all members: where a GPU has one seat, a second claim would wait for the first.
    with claim_device(study.compute) as device:
        runs_of_model = [lost_run(study, run) or load_trained(study, run, device) for run in runs]
        members = [one for one in runs_of_model if isinstance(one, Trained)]
        rows = (
            row
            for transfer, test in zip(transfers, tests, strict=True)
            for row in _scored(study, model, own, members, transfer, test)
        )
        write_rows(study.layout.ensemble(dataset, model), KINDS["ensembles"].columns, rows)
        stamps = [one.stamp for one in runs_of_model]
        seal_ensemble(study, KINDS["ensembles"], list(runs), stamps)


def _scored(
    study: Study,
    model: str,
    own: CaseStore,
    members: Sequence[Trained],
    transfer: TransferSettings,
    test: CaseStore,
) -> Iterator[dict[str, Any]]:
    indices = range(len(test))
    classes = transfer.mapped(own.info.classes, test.info.classes)
    origin = {
        "dataset": transfer.train,
        "test": transfer.test,
        "model": model,
        "members": len(members),
    }
    predicted: Iterable[Tensor | None] = (
        mean_probabilities(members, test, indices) if members else (None for _ in indices)
    )
    for rows in score_images(predicted, test, indices, classes, study):
        yield from (origin | row for row in rows)
    log.info(
        "%s of %s: ensemble of %d scored on %d cases of %s",
        model,
        transfer.train,
        len(members),
        len(test),
        transfer.test,
    )


def mean_probabilities(
    members: Sequence[Trained], store: CaseStore, indices: Iterable[int]
) -> Iterator[Tensor]:
    """Yield class probabilities (K, *original_shape), summing to 1: the mean of the members'.

    Cases are outermost: beside the members' weights, two maps of one case are in memory, however
    many cases and members there are.

    Args:
        members: at least one, all on one device.
        store: the dataset that is predicted.
        indices: positions of the cases in `store`.
    """
    for index in indices:
        maps = (next(member.predict(store, [index])) for member in members)
        yield reduce(Tensor.add_, maps) / len(members)


def refuse_seen_cases(own: CaseStore, test: CaseStore) -> None:
    """Refuse a test set with a case of the dataset that the members were trained on.

    A case is known by its prepared image, z-scored, whatever its name, its dataset's and the type
    that its intensities are stored in. Images of one value are left out: they show nothing that
    could be known again.

    Raises:
        DataError: the two are one dataset, or have an image in common.
    """
    name, trained = test.info.name, own.info.name
    remedy = "an ensemble is scored only on cases that none of its members was trained on"
    if name == trained or test.info.content_hash == own.info.content_hash:
        raise DataError(
            f"{name}: the ensemble's members were trained on this dataset itself; {remedy}"
        )
    # Only images of one shape can be equal: others need not be read.
    shapes = {test.shape(index) for index in range(len(test))}
    alike = (index for index in range(len(own)) if own.shape(index) in shapes)
    seen = dict(_images(own, alike))
    shared = [(case, seen[key]) for key, case in _images(test, range(len(test))) if key in seen]
    if shared:
        theirs, ours = shared[0]
        raise DataError(
            f"{name}: {len(shared)} of its {len(test)} cases are in {trained} too, which the "
            f"ensemble's members were trained on; the first, {theirs!r}, is {ours!r} there; "
            f"{remedy}"
        )


def _images(store: CaseStore, indices: Iterable[int]) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Yield what identifies each prepared image, with the name of its case."""
    for index in indices:
        digest = image_hash(store.image(index), store.statistics[index])
        if digest is not None:
            yield (store.shape(index), digest), store.columns["case"][index]
