"""One run from files to files: prepared data and folds in; weights, history and provenance out."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from attnbench import stops
from attnbench.data.folds import Fold, fewer_groups, load_folds
from attnbench.data.intensities import load_normalisation
from attnbench.data.normalise import Normalisation
from attnbench.data.sealed import open_store
from attnbench.data.store import CaseStore
from attnbench.errors import DivergenceError, SealError
from attnbench.files import hash_of, write_json, write_rows
from attnbench.models.batch_norm import refuse_batch_norm
from attnbench.models.build import build_network
from attnbench.models.cost import count_parameters
from attnbench.models.spec import NetworkSpec
from attnbench.seals import read_seal
from attnbench.study.groups import TrainingSettings
from attnbench.study.paths import STAGES, Run
from attnbench.study.settings import Study
from attnbench.training.checkpoint import hash_of_weights, save_checkpoint, save_diverged
from attnbench.training.device import autocast_type, claim_device, memory_format
from attnbench.training.diverged import facts_of_divergence
from attnbench.training.fits import advice_on_training
from attnbench.training.initial import Start, start_from_file
from attnbench.training.keeper import Keeper, differences
from attnbench.training.loop import HISTORY, Batch, train
from attnbench.training.memory import naming_memory
from attnbench.training.plan import Planner
from attnbench.training.progress import record_progress
from attnbench.training.provenance import machine_of, provenance
from attnbench.training.sampler import CasePool, batches
from attnbench.training.sealed import seal_run
from attnbench.training.spent import Meter, Spent
from attnbench.training.stamp import recipe_hash, stamp_of
from attnbench.training.sweep import read_choice

_VALIDATION_BATCHES = 4
log = logging.getLogger("attnbench")


@dataclass(frozen=True)
class RunInputs:
    """Data, fold, patch and recipe that a run is made from, and the hashes that identify it.

    `normalisation` makes the network's input of any store's images. `mirror` are the axes that
    images are mirrored along. `chosen` is the swept key with its value,
    empty where the study sweeps none; `training` has it.
    """

    store: CaseStore
    fold: Fold
    normalisation: Normalisation
    patch: tuple[int, ...]
    mirror: tuple[int, ...]
    training: TrainingSettings
    chosen: dict[str, float]
    hashes: dict[str, str]

    @property
    def training_groups(self) -> int:
        """Number of groups that the run is trained on."""
        return len({self.store.groups[case] for case in self.fold.train})


def load_inputs(study: Study, run: Run) -> RunInputs:
    """Read the prepared data, the fold and, if the study sweeps a key, the chosen value of a run.

    The fold keeps the run's share of the training groups alone. Refuses folds that are not of the
    data, statistics of other folds, and choices of another recipe or of other cases than the fold's
    inner validation.
    """
    store = open_store(study.layout, run.dataset)
    folds = load_folds(study.layout.folds(run.dataset), store)
    fold = fewer_groups(folds.fold(run.fold), store.groups, run.percent, _seeds(run).groups)
    hashes = {
        "recipe": recipe_hash(study, run),
        "data": store.info.content_hash,
        "folds": folds.hash,
    }
    scheme = study.normalisation(run.dataset)
    normalisation = load_normalisation(
        study.layout.statistics(run.dataset), scheme, store, folds, run.fold, fold
    )
    if normalisation.of_fold is not None:
        hashes["statistics"] = hash_of(normalisation.of_fold.tolist())
    training, chosen = study.training_of(run.dataset, run.model), {}
    if training.sweep:
        chosen = read_choice(study, run.dataset, run.model, run.fold, store, folds)
        training = training.model_copy(update=chosen)
        hashes["choice"] = hash_of(chosen)
    patch = study.patch(run.dataset, store.info.ndim)
    mirror = study.mirror_axes(run.dataset, store.info.ndim, run.model)
    return RunInputs(store, fold, normalisation, patch, mirror, training, chosen, hashes)


def network_for(study: Study, run: Run, store: CaseStore) -> nn.Module:
    """The untrained network of a run; its initial weights depend on dataset, fold and seed.

    The backbone is created first: it starts the same in all models and on every share of groups.
    """
    torch.manual_seed(_seeds(run).weights)
    spec = NetworkSpec.of(store.info, study.patch(run.dataset, store.info.ndim))
    return build_network(study.model(run.model), study.backbone, spec)


def train_run(study: Study, run: Run, code: str = "") -> None:
    """Train one run and write `model.pt`, `history.csv` and `run.json`, then their seal.

    `progress.csv` grows with every row of the history, until `history.csv` has them all. Of a
    training that diverged `run.json` says so, `history.csv` has the rows before, and `model.pt` no
    weights. Where a former process left a checkpoint of this very run, training goes on from there.
    It stays behind the last step until the run is predicted: Snakemake deletes a finished run's
    files where it was interrupted itself, and then they are written again without training.

    Args:
        study: that the run is of.
        run: to train.
        code: fingerprint of the code that trains; a checkpoint of other code is dropped.

    Raises:
        Stopped: the process was asked to stop; the next one goes on.
    """
    inputs = load_inputs(study, run)
    steps = inputs.training.steps
    folder, progress = study.layout.run(run), study.layout.progress(run)
    with claim_device(study.compute) as device:
        keeper = keep(study, run, inputs, device, study.layout.checkpoint(run), code)
        _say_anew(study, run, keeper.owner)
        advice = partial(advice_on_memory, study, run, inputs, device)
        with (
            record_progress(progress, keeper.course.rows) as record,
            naming_memory(f"training {run}", device, advice),
        ):
            fitted = fit(study, run, inputs, device, record, keeper)
        network, rows, spent, start, diverged = fitted
        trained_on = [_trained_on(run, inputs), *start.trained_on]
        stamp = stamp_of(run, inputs.hashes, machine_of(study.compute, device))
        lost = facts_of_divergence(diverged) if diverged else None
        if lost:
            save_diverged(folder / "model.pt", stamp, lost)
        else:
            save_checkpoint(folder / "model.pt", network, stamp, trained_on)
        write_rows(folder / "history.csv", HISTORY, rows)
        facts = provenance(study.compute, device) | {
            "chosen": inputs.chosen,
            "initial": start.facts,
            "training_groups": inputs.training_groups,
            "steps": steps,
            "train_seconds": spent.seconds,
            "images_per_second": (lost["step"] if lost else steps)
            * inputs.training.batch
            / spent.seconds,
            "peak_memory_bytes": spent.peak_bytes,
            "energy_j": spent.joules,
            "parameters": count_parameters(network),
            "weights_sha256": None if lost else hash_of_weights(network),
            **({"diverged": lost} if lost else {}),
        }
    progress.unlink()
    # `run.json` marks a finished run, and the seal a whole one.
    write_json(folder / STAGES["train"], {**stamp, **facts})
    sealed = {**stamp, "weights_sha256": facts["weights_sha256"], "steps": steps}
    seal_run(study, run, "train", sealed)
    if lost:
        log.warning("%s  %s diverged: %s", _trained(study), run, lost["says"])
    else:
        log.info("%s  %s", _trained(study), _summary(run, rows[-1], facts))


def advice_on_memory(study: Study, run: Run, inputs: RunInputs, device: torch.device) -> list[str]:
    """Sentences on a run that memory did not suffice for, as `advice_on_training`."""
    spec = NetworkSpec.of(inputs.store.info, inputs.patch)
    return advice_on_training(study, run.model, spec, inputs.training, device)


class Fitted(NamedTuple):
    """A trained network, its history, and what the training took.

    `diverged`: why the network is of no use; None where the training came to its end.
    """

    network: nn.Module
    rows: list[dict[str, float]]
    spent: Spent
    start: Start
    diverged: DivergenceError | None = None


def _trained_on(run: Run, inputs: RunInputs) -> dict[str, Any]:
    """The cases that weights have seen: by training, or by a choice on the inner validation."""
    return {
        "dataset": run.dataset,
        "data_hash": inputs.hashes["data"],
        "cases": sorted({*inputs.fold.train, *inputs.fold.validation}),
    }


def keep(
    study: Study, run: Run, inputs: RunInputs, device: torch.device, path: Path, code: str
) -> Keeper:
    """What keeps the state of a run's training at `path`, with what a former process left there."""
    stamp = stamp_of(run, inputs.hashes, machine_of(study.compute, device))
    own = {"steps": inputs.training.steps, "threads": study.compute.threads, "code": code}
    return Keeper(path, {**stamp, **own}, study.compute.checkpoint_minutes)


def _say_anew(study: Study, run: Run, owner: Mapping[str, Any]) -> None:
    """Say why a run that was trained is trained from its first step: its files may be gone."""
    try:
        stamp = read_seal(study.layout.seal(f"train/{run}")).stamp
    except SealError:
        return
    known = {key: value for key, value in owner.items() if key in stamp}
    if others := differences({key: stamp[key] for key in known}, known):
        log.info("%s  was trained with another %s: from the first step again", run, others)


def fit(
    study: Study,
    run: Run,
    inputs: RunInputs,
    device: torch.device,
    record: Callable[[dict[str, float]], None],
    keeper: Keeper,
) -> Fitted:
    """Train the network of a run on a claimed device; `record` is given every row of its history.

    From the first step on, being asked to stop is left to `keeper`.

    Raises:
        Stopped: the process was asked to stop before the last step.
        ModelError: pretrained weights cannot be read, have changed, or do not fit.
        CheckpointError: pretrained weights have seen what the run is tested on.
    """
    settings, steps = inputs.training, inputs.training.steps
    autocast = autocast_type(study.compute.precision, device)
    network = network_for(study, run, inputs.store)
    refuse_batch_norm(network, settings.accumulate)
    start = start_from_file(study, run, inputs.store, inputs.fold, network)
    network.to(device).to(memory_format=memory_format(inputs.store.info.ndim, device))  # type: ignore[call-overload]
    noise, training, validation = _data(run, inputs, device, keeper.course.step)
    # The counter is the GPU's: with other runs on it, the energies cannot be separated.
    meter = Meter(device, study.compute.runs_per_gpu == 1, Spent(*keeper.spent))
    keeper.watch(meter, noise, steps, str(run))
    rows, diverged = keeper.course.rows, None
    stops.defer()
    try:
        for row in train(network, training, validation, settings, steps, device, autocast, keeper):
            rows.append(row)
            record(row)
            if not math.isnan(row["validation_dice"]):
                log.debug("%s  %s", run, _line(row, steps))
    except DivergenceError as error:
        diverged = error.with_traceback(None)  # whose frames hold the batches
    return Fitted(network, rows, meter.read(), start, diverged)


def _data(
    run: Run, inputs: RunInputs, device: torch.device, done: int
) -> tuple[torch.Generator, Iterator[Batch], list[Batch]]:
    """Generator of the noise, training batches in random order behind those of the steps `done`,
    and fixed validation batches without augmentation.

    Both depend on dataset, fold and seed, never on the model unless it has a recipe of its own.
    """
    store, training = inputs.store, inputs.training
    seeds = _seeds(run)
    sets, noises = [], []
    changes = (training.augmentation, inputs.mirror)
    for cases, changed, seed, length, first in (
        (inputs.fold.train, changes, seeds.training, training.steps, done),
        (inputs.fold.validation, (), seeds.validation, _VALIDATION_BATCHES, 0),
    ):
        indices = [store.index(case) for case in cases]
        rng = np.random.default_rng(seed)
        planner = Planner(store, indices, inputs.patch, training.foreground, rng, *changed)
        pool = CasePool(store, indices, device, inputs.normalisation)
        noise = torch.Generator(pool.device).manual_seed(seed)
        sets.append(batches(pool, planner, length, training.batch, device, noise, first))
        noises.append(noise)
    # A list, so that every validation of the run sees the same patches.
    return noises[0], sets[0], list(sets[1])


class _Seeds(NamedTuple):
    """Seeds of training patches, validation patches, the order of groups and initial weights."""

    training: int
    validation: int
    groups: int
    weights: int


def _seeds(run: Run) -> _Seeds:
    """Seeds of a run by dataset, fold and seed, alike for every model and share of the groups."""
    # Not `hash()`, which differs from one process to the next.
    digest = hashlib.sha256(f"{run.dataset} {run.fold} {run.seed}".encode()).digest()
    return _Seeds(*(int.from_bytes(digest[start : start + 4]) for start in (0, 4, 8, 12)))


def _line(row: dict[str, float], steps: int) -> str:
    return (
        f"step {row['step']:.0f}/{steps}  loss {row['loss']:.3f}  validation Dice "
        f"{row['validation_dice']:.3f}  "
        f"{row['images_per_second']:.0f} images/s"
    )


def _summary(run: Run, last: dict[str, float], facts: dict[str, Any]) -> str:
    return (
        f"{run}  validation Dice {last['validation_dice']:.3f}  {facts['train_seconds']:.0f} s  "
        f"{facts['images_per_second']:.0f} images/s"
    )


def _trained(study: Study) -> str:
    """Count of the runs that are trained, of all runs of the study, in words."""
    runs = [*study.trainings(), *study.data_efficiency_runs()]
    done = sum((study.layout.run(run) / STAGES["train"]).exists() for run in runs)
    return f"trained {done:>{len(str(len(runs)))}}/{len(runs)}"
