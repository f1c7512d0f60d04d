"""Predictions of finished runs as files that other programs read."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from attnbench.catalog import load_entry
from attnbench.data.mask_files import mask_file, write_mask, write_probabilities
from attnbench.data.store import CaseStore
from attnbench.data.targets import Target, targets_of
from attnbench.errors import DataError, listed
from attnbench.files import temporary_folder, write_json
from attnbench.inference.new_images import (
    PROBABILITIES,
    SUMMARY,
    description,
    facts_of,
    refuse_present,
)
from attnbench.inference.trained import as_mask, trained_network
from attnbench.scoring.predictions import open_predictions
from attnbench.scoring.run import refuse_other_cases
from attnbench.study.chosen import chosen
from attnbench.study.paths import STAGES, Run
from attnbench.study.settings import Study
from attnbench.training.diverged import divergence_of
from attnbench.training.run import RunInputs, load_inputs
from attnbench.training.sealed import facts_of_run, remedy_of, sealed_files
from attnbench.training.stamp import stamp_of

_log = logging.getLogger("attnbench")


def export_predictions(
    study: Study, runs: Sequence[Run], folder: Path, probabilities: bool = False
) -> None:
    """Write the predictions of runs to `<folder>/<dataset>/<model>/fold<k>-seed<s>/`.

    Each such folder is whole or not there: a mask per test case with the name and the grid of its
    original (`write_mask`, `targets_of`), then `predictions.json`, which says which study, run and
    weights, and the case of every file. With `probabilities`, which are not kept, the run
    predicts again from its weights, and the folder `probabilities` has a file per case and class.
    Runs that diverged have no predictions and no folder; the log names them.

    Raises:
        DataError: runs are not predicted (all are named), a folder is there already, or originals
            are gone; then no folder is written of the dataset that it concerns.
        SealError: files of a run are not as they were left, or of other data or another recipe.
        CheckpointError: `probabilities` of a run whose weights are missing.
    """
    runs = _with_predictions(study, runs)
    refuse_present(folder / str(run) for run in runs)
    _refuse_unfinished(study, runs, probabilities)
    for dataset in dict.fromkeys(run.dataset for run in runs):
        own = [run for run in runs if run.dataset == dataset]
        inputs = {run: _checked_inputs(study, run) for run in own}
        store = next(iter(inputs.values())).store
        cases = dict.fromkeys(case for one in inputs.values() for case in one.fold.test)
        entry = load_entry(dataset, study.catalog)
        targets = targets_of(entry, study.layout.raw(dataset), store, cases)
        for run in own:
            of_run = {case: targets[case] for case in inputs[run].fold.test}
            _export_run(study, run, inputs[run], of_run, folder / str(run), probabilities)


def _with_predictions(study: Study, runs: Sequence[Run]) -> Sequence[Run]:
    """The runs but those that diverged; `DataError` where that is none."""
    lost = [run for run in runs if divergence_of(study.layout, run)]
    if lost and len(lost) == len(runs):
        raise DataError(
            f"{listed(lost)}: diverged in training and predicted nothing; `attnbench rerun` trains "
            "again"
        )
    if lost:
        _log.warning("without %d run(s) that diverged: %s", len(lost), listed(lost))
    return [run for run in runs if run not in lost]


def chosen_runs(
    study: Study,
    dataset: str | None = None,
    model: str | None = None,
    fold: int | None = None,
    seed: int | None = None,
) -> list[Run]:
    """The study's runs of a dataset, model, fold and seed; None: of all.

    Raises:
        StudyError: the study has no such dataset, model, fold or seed, or no run with all of them.
    """
    return chosen(study.trainings(), dataset=dataset, model=model, fold=fold, seed=seed)


def _refuse_unfinished(study: Study, runs: Sequence[Run], probabilities: bool) -> None:
    needed = [STAGES["train"], STAGES["predict"], *["model.pt"][: int(probabilities)]]
    missing = [
        f"{run} ({', '.join(absent)})"
        for run in runs
        if (absent := [name for name in needed if not (study.layout.run(run) / name).is_file()])
    ]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(runs)} run(s) are not finished, or files of theirs were "
            f"removed: {listed(missing, len(missing))}; run the study first (what was deleted "
            "comes back by `attnbench rerun STUDY --missing`, after `attnbench clean` by "
            "`attnbench rerun STUDY --from predict --model M`), or choose with --dataset, "
            "--model, --fold and --seed"
        )


def _checked_inputs(study: Study, run: Run) -> RunInputs:
    """What a run is made from now; `SealError` unless its files were made from it."""
    inputs = load_inputs(study, run)
    expected = stamp_of(run, inputs.hashes, {})
    sealed_files(study, run, STAGES["train"], expected=expected)
    weights = {"weights_sha256": facts_of_run(study, run)["weights_sha256"]}
    sealed_files(study, run, STAGES["predict"], expected={**expected, **weights})
    return inputs


def _export_run(
    study: Study,
    run: Run,
    inputs: RunInputs,
    targets: Mapping[str, Target],
    folder: Path,
    probabilities: bool,
) -> None:
    store = inputs.store
    facts = facts_of_run(study, run)
    says = description(str(run), [facts["weights_sha256"]])
    with temporary_folder(folder) as temporary:
        made = temporary / folder.name
        made.mkdir()
        written: dict[str, dict[str, Any]] = {}
        for case, mask in _masks(study, run, store, targets):
            write_mask(made, targets[case], mask, says)
            written[case] = _facts_of_case(store, case, targets[case])
        if probabilities:
            for case, differ in _again(study, run, store, targets, made / PROBABILITIES, says):
                written[case]["voxels_predicted_otherwise_now"] = differ
        summary = {
            "study": study.name,
            **{name: getattr(run, name) for name in ("dataset", "model", "fold", "seed")},
            "weights_sha256": facts["weights_sha256"],
            **{f"{name}_hash": value for name, value in inputs.hashes.items()},
            **facts_of(store),
            "images": {mask_file(targets[case]): own for case, own in written.items()},
        }
        write_json(made / SUMMARY, summary)
        made.rename(folder)
    _log.info("%s: %d predictions -> %s", run, len(written), folder)


def _masks(
    study: Study, run: Run, store: CaseStore, targets: Mapping[str, Target]
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """The masks in `predictions.npz`, one at a time."""
    path = study.layout.run(run) / STAGES["predict"]
    remedy = remedy_of(run, "predict")
    with open_predictions(path, store.info.classes, remedy) as predictions:
        refuse_other_cases(path, predictions.cases, targets, remedy)
        for case in targets:
            mask = predictions.mask(case)
            if mask.shape != store.original_shape(store.index(case)):
                raise DataError(
                    f"{path}: case {case!r} has a mask {mask.shape}, its reference "
                    f"{store.original_shape(store.index(case))}; {remedy}"
                )
            yield case, mask


def _facts_of_case(store: CaseStore, case: str, target: Target) -> dict[str, Any]:
    return {"case": case, "group": store.groups[case], "original": target.original or None,
            "spacing": target.spacing}  # fmt: skip


def _again(
    study: Study,
    run: Run,
    store: CaseStore,
    targets: Mapping[str, Target],
    folder: Path,
    says: str,
) -> Iterator[tuple[str, int]]:
    """Write probabilities of every case; yield the voxels in which the mask would be another."""
    with trained_network(study, run) as trained:
        predicted = trained.predict(store, [store.index(case) for case in targets])
        masks = _masks(study, run, store, targets)
        for (case, mask), own in zip(masks, predicted, strict=True):
            write_probabilities(folder, targets[case], _numpy(own), says)
            yield case, int(np.count_nonzero(as_mask(own) != mask))


def _numpy(probabilities: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = probabilities.cpu().numpy()
    return array
