"""Checkpoints of a training: what they belong to, what becomes of them, what they leave out."""

import logging
import re

import numpy as np
import pytest
import torch

from attnbench.data.folds import write_folds
from attnbench.data.normalise import Normalisation
from attnbench.errors import Stopped
from attnbench.files import read_json
from attnbench.inference.predict import predict_run
from attnbench.models.names import known_models
from attnbench.study.groups import (
    AugmentationSettings,
    FoldsSettings,
    NnunetAugmentation,
    TrainingSettings,
)
from attnbench.study.paths import Run
from attnbench.study.settings import parse_study
from attnbench.training import keeper as keepers
from attnbench.training import loop, sampler
from attnbench.training.keeper import Keeper
from attnbench.training.optimiser import make_optimiser
from attnbench.training.plan import Planner
from attnbench.training.run import train_run

CPU = torch.device("cpu")
RUN = Run("made2d", "self_attention", 0, 0)


@pytest.fixture
def study(made_store, tmp_path):
    store = made_store(2)
    study = parse_study(
        {
            "name": "small",
            "output": str(tmp_path),
            "datasets": [{"name": "made2d", "patch": [16, 16]}],
            "models": ["unet", "self_attention"],
            "backbone": {"widths": [4, 8], "blocks_per_level": 1},
            "folds": {"outer": 3, "inner": 2},
            "training": {"steps": 6, "batch": 2, "validate_every": 3},
            "compute": {"device": "cpu"},
        },
        known_models(),
    )
    prepared = study.layout.prepared("made2d")
    prepared.parent.mkdir(parents=True)
    prepared.symlink_to(store.folder)
    write_folds(prepared, FoldsSettings(outer=3, inner=2), study.layout.folds("made2d"))
    return study


@pytest.fixture
def interrupt(monkeypatch):
    """Ends a training behind a step, with a checkpoint of it, as a stop does."""

    def by(study, step, **others):
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            after = Keeper.after

            def stopped(self, now, *rest):
                self.seconds = -1.0 if now == step else 1e9
                after(self, now, *rest)
                if now == step:
                    raise Stopped

            patch.setattr(Keeper, "after", stopped)
            train_run(study, RUN, **others)
        assert study.layout.checkpoint(RUN).exists()

    return by


def weights(study):
    return read_json(study.layout.run(RUN) / "run.json")["weights_sha256"]


def longer(study, steps):
    return study.model_copy(update={"training": study.training.model_copy(update={"steps": steps})})


def test_a_checkpoint_of_another_owner_is_named_and_dropped(study, interrupt, tmp_path, caplog):
    interrupt(study, 4, code="a")
    with caplog.at_level(logging.INFO, "attnbench"):
        train_run(study, RUN, "b")
    assert "checkpoint.pt is of a training with another code (found a, now b); it is dropped" in (
        caplog.text
    )
    assert "goes on" not in caplog.text
    whole = weights(study)
    # More steps are another schedule from the first step on: that is said, and nothing is kept.
    interrupt(longer(study, 8), 4)
    interrupt(longer(study, 9), 2)
    assert re.search(r"another recipe_hash \(.*\), steps \(found 8, now 9\)", caplog.text)
    train_run(study, RUN)
    assert weights(study) == whole
    # Of a finished training nothing is left but its seal, once Snakemake has deleted the files.
    predict_run(study, RUN)
    caplog.clear()
    with caplog.at_level(logging.INFO, "attnbench"):
        train_run(longer(study, 9), RUN)
    assert re.search(
        r"was trained with another recipe_hash .*, steps \(found 6, now 9\): from the "
        "first step again",
        caplog.text,
    )
    assert weights(study) != whole


def test_a_finished_run_whose_files_snakemake_deletes_comes_back_without_a_step(
    study, monkeypatch, caplog
):
    train_run(study, RUN)
    folder = study.layout.run(RUN)
    facts, history = read_json(folder / "run.json"), (folder / "history.csv").read_bytes()
    for name in ("model.pt", "history.csv", "run.json"):
        (folder / name).unlink()
    with monkeypatch.context() as patch, caplog.at_level(logging.INFO, "attnbench"):
        patch.setattr(loop, "take_step", None)
        train_run(study, RUN)
    assert "has all its steps already of 6" in caplog.text
    again = read_json(folder / "run.json")
    assert (folder / "history.csv").read_bytes() == history
    assert again["weights_sha256"] == facts["weights_sha256"]
    assert again["train_seconds"] == pytest.approx(facts["train_seconds"], abs=0.5)
    predict_run(study, RUN)
    assert not study.layout.checkpoint(RUN).exists()


def test_seconds_and_peak_memory_are_those_of_all_processes(study, interrupt):
    interrupt(study, 4)
    path = study.layout.checkpoint(RUN)
    content = torch.load(path, weights_only=True)
    content["spent"] = (1000.0, None, 2**60)
    keepers._save(content, path)
    train_run(study, RUN)
    facts = read_json(study.layout.run(RUN) / "run.json")
    assert 1000 < facts["train_seconds"] < 1100
    assert facts["images_per_second"] == pytest.approx(6 * 2 / facts["train_seconds"])
    assert facts["peak_memory_bytes"] == 2**60 and facts["energy_j"] is None


def test_a_checkpoint_that_cannot_be_written_is_said_and_costs_no_training(
    study, tmp_path, caplog, monkeypatch
):
    train_run(study, RUN)
    whole = weights(study)
    study.layout.checkpoint(RUN).unlink()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keepers, "_save", full)
    train_run(study, RUN)
    assert "checkpoint.pt was not written, training goes on: the disk is full" in caplog.text
    assert weights(study) == whole and not study.layout.checkpoint(RUN).exists()


def test_state_that_no_checkpoint_of_weights_has_is_kept_too(tmp_path):
    """Buffers outside the weights and torch's random state, which dropout draws from."""

    class Counting(torch.nn.Linear):
        def __init__(self):
            super().__init__(2, 2)
            self.register_buffer("calls", torch.zeros(()), persistent=False)

    kept = Counting()
    keeper = _kept(tmp_path / "one.pt", kept)
    kept.calls += 7
    torch.manual_seed(5)
    keeper.after(3, torch.ones(2), 1, 0.0)
    drawn = torch.rand(3)
    torch.manual_seed(6)
    new = Counting()
    sums, since, _ = _resumed(_opened(tmp_path / "one.pt"), new)
    assert new.calls == 7 and torch.equal(torch.rand(3), drawn)
    assert torch.equal(sums, torch.ones(2)) and since == 1
    assert torch.equal(new.weight, kept.weight)


def test_extra_state_that_is_no_plain_data_starts_anew_without_a_traceback(tmp_path, caplog):
    class Odd(torch.nn.Linear):
        def get_extra_state(self):
            return re.compile("x")

        def set_extra_state(self, state):
            raise AssertionError("never loaded")

    _kept(tmp_path / "one.pt", Odd(2, 2)).after(3, torch.ones(2), 1, 0.0)
    assert _opened(tmp_path / "one.pt").course.step == 0
    assert "has a state that is no plain data; it is dropped" in caplog.text


class _NoMeter:
    def read(self):
        return 1.0, None, 2


def _opened(path):
    return Keeper(path, {"run": 1}, -1.0)


def _kept(path, network):
    keeper = _opened(path)
    _resumed(keeper, network)
    return keeper


def _resumed(keeper, network):
    optimiser = make_optimiser(network, TrainingSettings(), CPU)
    keeper.watch(_NoMeter(), torch.Generator(), 10, "linear")
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1.0)
    return keeper.resume(network, optimiser, schedule)


@pytest.mark.parametrize("augmentation", [AugmentationSettings(), NnunetAugmentation(set="nnunet")])
def test_batches_behind_those_left_out_are_the_same(store, augmentation, monkeypatch):
    monkeypatch.setattr(sampler, "_STEPS_PER_BLOCK", 4)
    patch = (8,) * store.info.ndim
    pool = sampler.CasePool(store, range(len(store)), CPU, Normalisation("none"))

    def drawn(noise, done):
        rng = np.random.default_rng(1)
        planner = Planner(store, range(len(store)), patch, 0.5, rng, augmentation, (0,))
        return sampler.batches(pool, planner, 10, 2, CPU, noise, done)

    noise = torch.Generator().manual_seed(3)
    whole = [(noise.get_state(), *batch) for batch in _with_state(drawn(noise, 0), noise)]
    for done in range(11):
        state = torch.Generator().manual_seed(3).get_state() if done == 0 else whole[done - 1][1]
        rest = list(drawn(torch.Generator().set_state(state), done))
        assert len(rest) == 10 - done
        for (images, masks), (_, _, expected, reference) in zip(rest, whole[done:], strict=True):
            assert torch.equal(images, expected) and torch.equal(masks, reference)


def _with_state(batches, noise):
    for images, masks in batches:
        yield noise.get_state(), images, masks


def test_between_checkpoints_nothing_is_written_and_nothing_read_of_the_device(tmp_path):
    class Untouchable:
        def __getattribute__(self, name):
            raise AssertionError(f"{name} of what is on the device was asked for")

    keeper = Keeper(tmp_path / "one.pt", {"run": 1}, 10)
    _resumed(keeper, torch.nn.Linear(2, 2))
    keeper.trained = keeper.meter = keeper.noise = Untouchable()
    for step in range(1, 10):
        keeper.after(step, Untouchable(), 1, 0.0)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(AssertionError, match="state_dict of what is on the device"):
        keeper.trained = (Untouchable(), None, None)
        keeper.after(10, Untouchable(), 1, 0.0)
