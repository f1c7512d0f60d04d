"""Trainings stopped, killed and gone on with, against the same trainings undisturbed: every bit of
weights, history and predictions. A share of all; `make robust` does the rest.
"""

import io
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch

from attnbench import stops
from attnbench.check import check_study
from attnbench.data.folds import write_folds
from attnbench.errors import Stopped
from attnbench.inference.predict import predict_run
from attnbench.study.groups import FoldsSettings, TrainingSettings
from attnbench.study.paths import Run
from attnbench.training import loop
from attnbench.training.keeper import Keeper
from attnbench.training.optimiser import make_optimiser
from attnbench.training.run import train_run

OUT = "{classes}"
IN = "{in_channels}"
DIM = "{ndim}"
MODELS = {
    "unet": "unet",
    "self_attention": "self_attention",
    "attention_gate": "attention_gate",
    "deformable": "deformable_large_kernel",
    "scan": "selective_state_space",
    "cbam": "cbam",  # batch norm inside
    "dropout": {
        "name": "dropout",
        "network": "monai.networks.nets.UNet",
        "arguments": {
            "spatial_dims": DIM, "in_channels": IN, "out_channels": OUT, "channels": [4, 8],
            "strides": [2], "norm": "BATCH", "dropout": 0.3,
        },
        "divisor": 2,
    },
    "deep": {
        "name": "deep",
        "network": "monai.networks.nets.BasicUNetPlusPlus",
        "arguments": {
            "spatial_dims": DIM, "in_channels": IN, "out_channels": OUT, "dropout": 0.2,
            "features": [4, 4, 4, 4, 4, 4], "deep_supervision": True, "norm": "batch",
        },
        "divisor": 16, "output": 0,
    },
}  # fmt: skip
LOSSES = {"adamw": "dice_ce", "sgd": "focal_tversky"}
STEPS, ROW = 10, 2  # a row every two steps, a validation every ten: the last step has both
STOPS = (1, 4, 7, 9)  # the first step, behind a row, amid one, before the last
AUGMENTED = ("unet", "dropout")  # by nnU-Net's set, whose noise and blur concern some patches only
SHARE = {("dropout", 2, "adamw", 7), ("attention_gate", 3, "sgd", 4), ("deep", 2, "sgd", 1)}


def study_of(store, output, model, optimiser="adamw", steps=STEPS):
    ndim = store.info.ndim
    patch = [16, 16] if ndim == 2 else [8, 8, 8]
    study = check_study(
        {
            "name": "small",
            "output": str(output),
            "datasets": [{"name": "phantom2d" if ndim == 2 else "phantom3d", "patch": patch}],
            "models": ["unet"] + ([MODELS[model]] if model != "unet" else []),
            "backbone": {"widths": [4, 8], "blocks_per_level": 1},
            "folds": {"outer": 3, "inner": 2},
            "training": {
                "steps": steps, "batch": 2, "validate_every": 5 * ROW, "optimiser": optimiser,
                "learning_rate": 1e-3, "loss": LOSSES[optimiser],
                **({"augmentation": "nnunet"} if model in AUGMENTED else {}),
            },
            "compute": {"device": "cpu"},
        },
        "test",
    )  # fmt: skip
    dataset = study.datasets[0].name
    prepared = study.layout.prepared(dataset)
    if not prepared.exists():
        prepared.parent.mkdir(parents=True)
        prepared.symlink_to(store.folder)
        write_folds(prepared, FoldsSettings(outer=3, inner=2), study.layout.folds(dataset))
    return study, Run(dataset, study.models[-1].name, 0, 0)


def outcome(study, run):
    """What a run leaves that does not depend on the clock."""
    folder = study.layout.run(run)
    predict_run(study, run)
    history = pd.read_csv(folder / "history.csv").drop(columns="images_per_second")
    with np.load(folder / "predictions.npz") as masks:
        predicted = {case: masks[case].tobytes() for case in masks}
    facts = json.loads((folder / "run.json").read_text())
    return facts["weights_sha256"], history.to_csv(), predicted


def stop_at(monkeypatch, *steps):
    """Have this process asked to stop, by a signal, while a step is taken; return the way back."""
    monkeypatch.setattr(stops._State, "asked", None)
    monkeypatch.setattr(stops._State, "deferred", False)
    before = {one: signal.getsignal(one) for one in stops._SIGNALS}
    for one in before:  # one that is ignored, as in the background, stays so
        signal.signal(one, signal.SIG_DFL)
    stops.catch_stops()
    after, left = Keeper.after, list(steps)

    def watched(keeper, step, *others):
        if left and step == left[0]:
            left.pop()
            signal.raise_signal(signal.SIGTERM if step % 2 else signal.SIGINT)
        after(keeper, step, *others)

    monkeypatch.setattr(Keeper, "after", watched)
    return lambda: [signal.signal(one, handler) for one, handler in before.items()]


PRODUCT = [
    pytest.param(
        model, ndim, optimiser, step,
        marks=[] if (model, ndim, optimiser, step) in SHARE else [pytest.mark.robust],
    )
    for model in MODELS
    for ndim in (2, 3)
    for optimiser in LOSSES
    for step in STOPS
]  # fmt: skip
_undisturbed = {}


@pytest.mark.parametrize(("model", "ndim", "optimiser", "step"), PRODUCT)
def test_a_stopped_training_ends_as_if_it_had_not_been(
    model, ndim, optimiser, step, made_store, tmp_path, monkeypatch
):
    store = made_store(ndim)
    key = model, ndim, optimiser
    if key not in _undisturbed:
        study, run = study_of(store, tmp_path / "whole", model, optimiser)
        train_run(study, run)
        _undisturbed[key] = outcome(study, run)
    study, run = study_of(store, tmp_path / "stopped", model, optimiser)
    restore = stop_at(monkeypatch, step)
    try:
        with pytest.raises(Stopped, match=f"after step {step} of {STEPS}"):
            train_run(study, run)
    finally:
        restore()
    monkeypatch.setattr(stops._State, "asked", None)
    assert not (study.layout.run(run) / "run.json").exists()
    torch.manual_seed(99)  # another process has another random state
    train_run(study, run)
    assert outcome(study, run) == _undisturbed[key]
    assert not study.layout.checkpoint(run).exists()


def test_a_stop_amid_validation_waits_for_its_row(made_store, tmp_path, monkeypatch):
    study, run = study_of(made_store(2), tmp_path / "whole", "dropout", steps=20)
    train_run(study, run)
    expected = outcome(study, run)
    study, run = study_of(made_store(2), tmp_path / "stopped", "dropout", steps=20)
    restore = stop_at(monkeypatch)
    validate = loop.validation_dice

    def stopped(*arguments):
        signal.raise_signal(signal.SIGUSR1)
        return validate(*arguments)

    try:
        with monkeypatch.context() as patched, pytest.raises(Stopped, match="SIGUSR1 after step 1"):
            patched.setattr(loop, "validation_dice", stopped)
            train_run(study, run)
    finally:
        restore()
    monkeypatch.setattr(stops._State, "asked", None)
    # The curve goes on where it was: no row twice, none lost.
    assert len(study.layout.progress(run).read_text().splitlines()) == 1 + 10 // ROW
    train_run(study, run)
    assert outcome(study, run) == expected


def command(study_file, run):
    words = "from attnbench.cli import main; main()"
    return [
        sys.executable, "-c", words, "train", "--study", str(study_file), "--dataset", run.dataset,
        "--model", run.model, "--fold", "0", "--seed", "0", "--log", str(study_file) + ".log",
    ]  # fmt: skip


@pytest.mark.robust
@pytest.mark.parametrize("seed", range(6))
def test_killed_twice_and_stopped_once_at_random_moments(made_store, tmp_path, seed):
    """Real processes: SIGKILL behind a checkpoint, twice, and SIGTERM anywhere, start included."""
    draw = random.Random(seed)
    model = draw.choice(["self_attention", "dropout", "deep"])
    study, run = study_of(made_store(2), tmp_path / "whole", model, steps=400)
    train_run(study, run)
    expected = outcome(study, run)
    study, run = study_of(made_store(2), tmp_path / "killed", model, steps=400)
    often = study.model_copy(
        update={"compute": study.compute.model_copy(update={"checkpoint_minutes": 1e-5})}
    )
    file = tmp_path / "study.yaml"
    file.write_text(often.to_yaml())
    statuses, environment = [], {**os.environ, "OMP_NUM_THREADS": "1"}
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        process = subprocess.Popen(command(file, run), env=environment, stderr=subprocess.PIPE)
        began, mark = time.monotonic(), _written(study, run)
        while number == signal.SIGKILL and _written(study, run) == mark and process.poll() is None:
            time.sleep(0.01)
            assert time.monotonic() - began < 120
        time.sleep(draw.uniform(0, 0.3 if number == signal.SIGKILL else 4))
        process.send_signal(number)
        process.communicate()
        statuses.append(process.returncode)
    # A signal can come before Python has its handlers, or behind the last step.
    assert statuses[0] in (-signal.SIGKILL, 0) and statuses[1] in (75, -signal.SIGTERM, 0)
    subprocess.run(command(file, run), env=environment, check=True, capture_output=True)
    assert outcome(study, run) == expected


def _written(study, run):
    path = study.layout.checkpoint(run)
    return path.stat().st_mtime_ns if path.exists() else 0


def test_flipped_bits_are_found_and_never_loaded(tmp_path, caplog):
    """In a checkpoint from the middle: what is damaged is named, dropped, and training is anew."""
    path = tmp_path / "checkpoint.pt"
    network = torch.nn.Linear(3, 2)
    _keep_linear(path, network)
    content, draw = path.read_bytes(), random.Random(0)
    for _ in range(60):
        position = draw.randrange(8 * len(content))
        flipped = bytearray(content)
        flipped[position // 8] ^= 1 << position % 8
        path.write_bytes(flipped)
        caplog.clear()
        assert Keeper(path, {"run": 1}, 1).course.step == 0
        assert "is damaged; it is dropped" in caplog.text and not path.exists()
    for length in (0, 10, 31, 32, 33, len(content) - 1):
        path.write_bytes(content[:length])
        assert Keeper(path, {"run": 1}, 1).course.step == 0
    path.write_bytes(content)
    assert Keeper(path, {"run": 1}, 1).course.step == 3


class _NoMeter:
    def read(self):
        return 1.0, None, 2


def _keep_linear(path, network, owner=None):
    optimiser = make_optimiser(network, TrainingSettings(), torch.device("cpu"))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1.0)
    keeper = Keeper(path, owner or {"run": 1}, 1e-9)
    keeper.watch(_NoMeter(), torch.Generator(), 10, "linear")
    keeper.resume(network, optimiser, schedule)
    time.sleep(0.001)
    keeper.after(3, torch.ones(2), 1, time.perf_counter())
    return io.BytesIO(path.read_bytes())
