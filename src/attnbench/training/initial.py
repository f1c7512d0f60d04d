"""The start of a run from pretrained weights, which must never have seen what it is tested on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from attnbench.data.folds import Fold, load_folds
from attnbench.data.store import CaseStore
from attnbench.errors import CheckpointError, listed
from attnbench.models.initial import Weights, fit_of, load_fit, read_weights
from attnbench.study.paths import Run
from attnbench.study.settings import Study

log = logging.getLogger("attnbench")


class Start(NamedTuple):
    """How a run starts.

    `facts` are what `run.json` keeps: the file and its SHA-256, the number of tensors loaded, and
    the names of all others; None for a model without pretrained weights. `trained_on` is what
    these were trained on, as far as they say so.
    """

    facts: dict[str, Any] | None
    trained_on: tuple[Mapping[str, Any], ...]


def start_from_file(
    study: Study, run: Run, store: CaseStore, fold: Fold, network: nn.Module
) -> Start:
    """Load the pretrained weights of a run's model into its network, and say what was not loaded.

    Raises:
        ModelError: the file cannot be read, has changed, or nothing of it fits.
        CheckpointError: it is a `model.pt` that has seen cases that the run is tested on, or others
            of their groups.
    """
    model = study.model(run.model)
    if model.initial is None:
        return Start(None, ())
    weights = read_weights(model.initial)
    _refuse_seen(study, run, store, fold, weights)
    fit = fit_of(network, weights, control=model.control is not None)
    load_fit(network, fit)
    log.info("%s  starts from %s: %s", run, weights.path, fit.in_words())
    facts = {"file": model.initial.file, "sha256": model.initial.source, **fit.facts()}
    return Start(facts, weights.trained_on)


def _refuse_seen(study: Study, run: Run, store: CaseStore, fold: Fold, weights: Weights) -> None:
    external = [transfer.test for transfer in study.transfers_of(run.dataset)]
    held_out = load_folds(study.layout.folds(run.dataset), store).held_out
    tested = (*fold.test, *held_out)
    for one in weights.trained_on:
        if one["dataset"] in external:
            raise CheckpointError(
                f"{run}: {weights.path} was trained on {one['dataset']}, the external test set of "
                "these models; start from weights of other data"
            )
        if one["dataset"] != run.dataset and one["data_hash"] != store.info.content_hash:
            continue
        groups = {store.groups[case] for case in one["cases"] if case in store.groups}
        if seen := [case for case in tested if store.groups[case] in groups]:
            raise CheckpointError(
                f"{run}: {weights.path} was trained on {len(seen)} of the {len(tested)} cases that "
                f"this run is tested on, or on others of their groups ({listed(seen, 5)}): their "
                "scores would say nothing; start from weights of other data, or of a run on the "
                "same fold"
            )
