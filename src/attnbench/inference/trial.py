"""A trial of a swept key: one training with one value, scored on the inner validation alone."""

from __future__ import annotations

import logging
from collections import defaultdict
from functools import partial
from statistics import fmean

from attnbench import stops
from attnbench.data.store import CaseStore
from attnbench.errors import AttnBenchError
from attnbench.files import write_json
from attnbench.inference.trained import Trained, as_mask
from attnbench.scoring.run import case_scores
from attnbench.study.paths import Run
from attnbench.study.settings import Study
from attnbench.training.device import autocast_type, claim_device
from attnbench.training.memory import naming_memory
from attnbench.training.provenance import provenance
from attnbench.training.run import advice_on_memory, fit, keep, load_inputs
from attnbench.training.spent import Meter, Spent

log = logging.getLogger("attnbench")


def run_trial(
    study: Study, dataset: str, model: str, fold: int, number: int, code: str = ""
) -> None:
    """Try value `number` of the study's swept key on a fold: train, score, write both down.

    The training is that of the first seed at full budget. `cases` of the file has the Dice of
    every whole case of the fold's inner validation, by sliding window, mean over classes; `score`
    is their mean over the cases of a group, then groups. Both are null where the training
    diverged, and `failed` says how.

    It goes on from a checkpoint as `train_run` does, and leaves one until a value is chosen.

    Raises:
        AttnBenchError: the sweep has no such value.
        Stopped: the process was asked to stop; the next one goes on.
    """
    tries = study.training.trials()
    if not 0 <= number < len(tries):
        raise AttnBenchError(
            f"training.sweep has no value {number}; its {len(tries)} values are counted from 0"
        )
    key, value = tries[number]
    tried = study.with_value(key, value).model_copy(update={"metrics": ("dice",)})
    run = Run(dataset, model, fold, study.seeds[0])
    inputs = load_inputs(tried, run)
    cases: dict[str, float] = {}
    failed = None
    path = study.layout.trial_checkpoint(dataset, model, fold, number)
    with claim_device(study.compute) as device:
        autocast = autocast_type(study.compute.precision, device)
        keeper = keep(tried, run, inputs, device, path, code)
        # As in training: other runs on the GPU would be counted with this one.
        meter = Meter(device, study.compute.runs_per_gpu == 1, Spent(*keeper.spent))
        advice = partial(advice_on_memory, tried, run, inputs, device)
        with naming_memory(f"trial {number} of {run}", device, advice):
            fitted = fit(tried, run, inputs, device, lambda row: None, keeper)
        stops.allow()
        if fitted.diverged:
            failed = str(fitted.diverged)
        else:
            network, mirror = fitted.network.eval(), inputs.mirror * study.inference.mirroring
            cases = _validate(tried, Trained(inputs, network, device, autocast, mirror))
        spent = meter.read()
        facts = provenance(study.compute, device)
    score = None if failed else _mean_over_groups(cases, inputs.store)
    content = {
        **{"dataset": dataset, "model": model, "fold": fold, "seed": run.seed},
        **{"key": key, "value": value, "score": score, "failed": failed},
        "cases": dict.fromkeys(inputs.fold.validation) if failed else cases,
        **{"steps": inputs.training.steps, "seconds": spent.seconds, "energy_j": spent.joules},
        **{f"{name}_hash": text for name, text in inputs.hashes.items()},
        **facts,
    }
    write_json(study.layout.trial(dataset, model, fold, number), content)
    shown = f"lost: {failed}" if failed else f"validation Dice {score:.4f}"
    log.info("%s  %s %g  %s  %.0f s", run, key.replace("_", " "), value, shown, spent.seconds)


def _validate(study: Study, trained: Trained) -> dict[str, float]:
    """Dice of every case of the inner validation, mean over classes."""
    store = trained.inputs.store
    indices = {case: store.index(case) for case in trained.inputs.fold.validation}
    predicted = trained.predict(store, list(indices.values()))
    scores: dict[str, float] = {}
    for (case, index), own in zip(indices.items(), predicted, strict=True):
        rows = case_scores(store, index, as_mask(own), study, None)
        scores[case] = fmean(row["value"] for row in rows)
    return scores


def _mean_over_groups(cases: dict[str, float], store: CaseStore) -> float:
    of_group: defaultdict[str, list[float]] = defaultdict(list)
    for case, value in cases.items():
        of_group[store.groups[case]].append(value)
    return fmean(map(fmean, of_group.values()))
