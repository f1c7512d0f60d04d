"""The choice of a swept key: from trials on the inner validation of a fold to all runs of it."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnbench.data.folds import Folds, load_folds
from attnbench.data.sealed import open_store
from attnbench.data.store import CaseStore
from attnbench.errors import DataError, listed
from attnbench.files import hash_of, read_json, write_json
from attnbench.study.settings import Study

log = logging.getLogger("attnbench")


def choose_value(study: Study, dataset: str, model: str, fold: int) -> None:
    """Choose the value of the study's swept key that all runs of a model on a fold have.

    Of the trials, the highest score; of equals the first. A trial that diverged has no score and
    loses; where every one did, the first is chosen, whose runs will say that they diverged. Writes
    the `key` and its `chosen` value, every trial, their seconds in all, and the cases that the
    choice has seen.

    Raises:
        DataError: a trial is of another recipe, data or folds, scored other cases than exactly
            the inner validation of the fold.
    """
    store = open_store(study.layout, dataset)
    folds = load_folds(study.layout.folds(dataset), store)
    place = _Place(study, dataset, model, fold, store, folds)
    tries = study.training.trials()
    trials = [_read_trial(place, number) for number in range(len(tries))]
    key = tries[0][0]
    scored = [trial for trial in trials if trial["score"] is not None]
    if not scored:
        log.warning(
            "%s/%s/fold%d: training.sweep.%s: the training diverged with every value; first: %s",
            *(dataset, model, fold, key, trials[0]["failed"]),
        )
    # the first of equals
    best = max(scored, key=lambda trial: float(trial["score"]), default=trials[0])
    kept = ("value", "score", "failed", "seconds", "energy_j")
    content = {
        **{"dataset": dataset, "model": model, "fold": fold, "key": key, "chosen": best["value"]},
        "trials": [{name: trial[name] for name in kept} for trial in trials],
        "seconds": sum(trial["seconds"] for trial in trials),
        "cases": sorted(best["cases"]),
        **place.hashes(study),
    }
    write_json(study.layout.choice(dataset, model, fold), content)
    for number in range(len(tries)):
        study.layout.trial_checkpoint(dataset, model, fold, number).unlink(missing_ok=True)
    log.info("%s/%s/fold%d  %s %g", dataset, model, fold, key.replace("_", " "), best["value"])


def read_choice(
    study: Study, dataset: str, model: str, fold: int, store: CaseStore, folds: Folds
) -> dict[str, float]:
    """Return the swept key with the value chosen for a model on a fold.

    Raises:
        DataError: there is no choice, or one of another recipe, data, folds or cases.
    """
    place = _Place(study, dataset, model, fold, store, folds)
    content = place.read(study.layout.choice(dataset, model, fold), place.hashes(study))
    return {content["key"]: float(content["chosen"])}


@dataclass(frozen=True)
class _Place:
    """A model on a fold, and the only cases that a choice for it may see."""

    study: Study
    dataset: str
    model: str
    fold: int
    store: CaseStore
    folds: Folds

    def hashes(self, study: Study) -> dict[str, Any]:
        """What a trial or choice of `study` belongs to, as its file states it."""
        return {
            "recipe_hash": hash_of(study.recipe(self.dataset, self.model)),
            "data_hash": self.store.info.content_hash,
            "folds_hash": self.folds.hash,
        }

    def read(self, path: Path, expected: dict[str, Any]) -> Any:
        """Read a trial or choice; refuse one of other facts than `expected`, or other cases."""
        remedy = "delete it and run the study again"
        try:
            content = read_json(path)
            stated, cases = {name: content[name] for name in expected}, content["cases"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: no file of a sweep: {error!r}; {remedy}") from error
        for name, value in expected.items():
            if stated[name] != value:
                raise DataError(
                    f"{path}: made with another {name} (found {stated[name]}, now {value}); "
                    f"{remedy}"
                )
        if problem := self._other_cases(cases):
            raise DataError(f"{path}: {problem}; {remedy}")
        return content

    def _other_cases(self, cases: Collection[str]) -> str:
        fold = self.folds.fold(self.fold)
        tested = sorted(set(cases) & set(fold.test))
        extra = sorted(set(cases) - set(fold.validation))
        absent = sorted(set(fold.validation) - set(cases))
        if not extra and not absent:
            return ""
        return (
            f"not scored on the inner validation of fold {self.fold}, which alone may choose: "
            f"{len(extra)} other cases ({listed(extra)}), {len(tested)} of them tested "
            f"({listed(tested)}), {len(absent)} missing ({listed(absent)})"
        )


def _read_trial(place: _Place, number: int) -> Any:
    study = place.study
    tried = study.with_value(*study.training.trials()[number])
    path = study.layout.trial(place.dataset, place.model, place.fold, number)
    return place.read(path, {"seed": study.seeds[0], **place.hashes(tried)})
