"""Whole runs on small data: repeatable to the bit, fair between models, refusing what does not
belong together.
"""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from attnbench.analysis.runs import RUN_COLUMNS, compute_learning, compute_runs
from attnbench.analysis.undertrained import with_rise
from attnbench.data.folds import write_folds
from attnbench.data.store import CaseStore
from attnbench.errors import AttnBenchError, SealError
from attnbench.inference.predict import predict_run
from attnbench.inference.trained import trained_network
from attnbench.models.names import known_models
from attnbench.scoring.calibration import CALIBRATION_COLUMNS
from attnbench.study.groups import FoldsSettings, InferenceSettings, NnunetAugmentation
from attnbench.study.paths import Run
from attnbench.study.settings import parse_study
from attnbench.training.loop import HISTORY, train
from attnbench.training.optimiser import make_optimiser
from attnbench.training.run import load_inputs, network_for, train_run


@pytest.fixture
def study(store, tmp_path):
    name = store.info.name
    study = parse_study(
        {
            "name": "small",
            "output": str(tmp_path),
            "datasets": [{"name": name, "patch": [16] * store.info.ndim}],
            "models": ["unet", "self_attention", "attention_gate"],
            "backbone": {"widths": [4, 8, 12], "blocks_per_level": 1},
            "folds": {"outer": 3, "inner": 2},
            "training": {"steps": 6, "batch": 2, "validate_every": 3},
            "compute": {"device": "cpu"},
        },
        known_models(),
    )
    store.folder.rename(tmp_path / "moved")
    target = study.layout.prepared(name)
    target.parent.mkdir(parents=True)
    (tmp_path / "moved").rename(target)
    write_folds(target, FoldsSettings(outer=3, inner=2), study.layout.folds(name))
    return study


def run_of(study, model="self_attention", fold=0, seed=0):
    return Run(study.datasets[0].name, model, fold, seed)


def test_same_run_twice_gives_identical_weights_and_another_seed_does_not(study):
    run = run_of(study)
    train_run(study, run)
    facts = json.loads((study.layout.run(run) / "run.json").read_text())
    first = torch.load(study.layout.run(run) / "model.pt", weights_only=True)["weights"]
    study.layout.checkpoint(run).unlink()  # from which the same weights would come untrained
    train_run(study, run)
    again = torch.load(study.layout.run(run) / "model.pt", weights_only=True)["weights"]
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    train_run(study, run_of(study, seed=1))
    other = json.loads((study.layout.run(run_of(study, seed=1)) / "run.json").read_text())
    assert other["weights_sha256"] != facts["weights_sha256"]


def test_initial_weights_are_those_of_dataset_fold_and_seed_whatever_the_model(study):
    (own,) = study.datasets
    other = own.model_copy(update={"name": "other"})
    study = study.model_copy(update={"datasets": (own, other)})
    store = CaseStore.open(study.layout.prepared(own.name))

    def initial(**change):
        return network_for(study, replace(run_of(study, "unet"), **change), store).state_dict()

    plain = initial()
    kernels = [name for name in plain if plain[name].dim() > 1]
    assert kernels
    for same in ({}, {"model": "self_attention"}, {"model": "attention_gate"}, {"percent": 50}):
        weights = initial(**same)
        assert all(torch.equal(plain[name], weights[name]) for name in plain), same
    for change in ({"fold": 1}, {"seed": 1}, {"dataset": "other"}):
        weights = initial(**change)
        assert not any(torch.equal(plain[name], weights[name]) for name in kernels), change


def test_a_finished_run_says_so_in_one_line(study, caplog):
    with caplog.at_level("INFO", logger="attnbench"):
        train_run(study, run_of(study, fold=1))
        train_run(study, run_of(study, fold=2))
    said = [record.getMessage() for record in caplog.records if record.name == "attnbench"]
    name = study.datasets[0].name
    assert [line.split("  ")[:2] for line in said] == [
        [f"trained {count}/9", f"{name}/self_attention/fold{count}-seed0"] for count in (1, 2)
    ]
    history = pd.read_csv(study.layout.run(run_of(study, fold=2)) / "history.csv")
    assert (
        f"validation Dice {history['validation_dice'].iloc[-1]:.3f}  " in said[-1]
        and "images/s" in said[-1]
    )


def test_history_and_predictions_keep_their_contract(study):
    run = run_of(study, "unet")
    train_run(study, run)
    predict_run(study, run)
    history = pd.read_csv(study.layout.run(run) / "history.csv")
    assert tuple(history) == HISTORY
    assert history["step"].is_monotonic_increasing
    assert history["step"].iloc[-1] == 6
    assert history["validation_dice"].notna().sum() == 2
    # A tenth of six steps is one: it rises from half the rate, and five are left to decay over.
    rates = 1e-2 * np.array([0.5, *(1 - np.arange(5) / 5) ** 0.9])
    np.testing.assert_allclose(history["learning_rate"], rates)
    inputs = load_inputs(study, run)
    with np.load(study.layout.run(run) / "predictions.npz") as predictions:
        assert set(predictions) == set(inputs.fold.test)
        for case in predictions:
            assert predictions[case].shape == inputs.store.original_shape(inputs.store.index(case))
            assert predictions[case].max() <= 2


def test_calibration_accounts_for_every_voxel_and_every_reference_voxel_of_the_tested_cases(study):
    run = run_of(study, "unet")
    train_run(study, run)
    predict_run(study, run)
    bins = pd.read_csv(study.layout.run(run) / "calibration.csv", dtype={"case": str})
    assert tuple(bins) == CALIBRATION_COLUMNS
    inputs = load_inputs(study, run)
    assert set(bins["case"]) == set(inputs.fold.test)
    for (case, number), rows in bins.groupby(["case", "class"]):
        index = inputs.store.index(case)
        fov = inputs.store.fov(index)
        reference = inputs.store.reference(index)
        inside = np.ones(reference.shape, bool) if fov is None else np.array(fov, bool)
        assert rows["voxels"].sum() == inside.sum()
        assert (rows["voxels"] * rows["observed"]).sum() == pytest.approx(
            (reference[inside] == number).sum()
        )
        assert (
            (rows["bin"] / 15 - 1e-6 <= rows["probability"])
            & (rows["probability"] <= (rows["bin"] + 1) / 15 + 1e-6)
        ).all()


def test_checkpoint_of_another_recipe_is_refused(study):
    run = run_of(study, "unet")
    train_run(study, run)
    training = study.training.model_copy(update={"learning_rate": 0.5})
    with pytest.raises(SealError, match="another recipe"):
        predict_run(study.model_copy(update={"training": training}), run)


def test_fewer_groups_change_the_training_cases_and_nothing_else(study):
    few, every = Run(study.datasets[0].name, "unet", 0, 0, 50), run_of(study, "unet")
    assert study.layout.run(few) == study.layout.run(every).with_name("fold0-seed0-groups50")
    small, full = load_inputs(study, few), load_inputs(study, every)
    assert set(small.fold.train) < set(full.fold.train)
    assert (small.fold.validation, small.fold.test) == (full.fold.validation, full.fold.test)
    assert (small.hashes["data"], small.hashes["folds"]) == (
        full.hashes["data"],
        full.hashes["folds"],
    )
    for model in ("self_attention", "attention_gate"):
        assert load_inputs(study, replace(few, model=model)).fold == small.fold
    for run in (few, every):
        train_run(study, run)
    facts = {
        run: json.loads((study.layout.run(run) / "run.json").read_text()) for run in (few, every)
    }
    for run, inputs in ((few, small), (every, full)):
        groups = inputs.store.cases.set_index("case")["group"]
        assert facts[run]["training_groups"] == len({groups[case] for case in inputs.fold.train})
        assert facts[run]["percent"] == run.percent
    assert facts[few]["steps"] == facts[every]["steps"]
    assert facts[few]["weights_sha256"] != facts[every]["weights_sha256"]


def test_a_checkpoint_trained_on_fewer_groups_is_refused_as_one_of_all(study):
    few, every = Run(study.datasets[0].name, "unet", 0, 0, 50), run_of(study, "unet")
    train_run(study, few)
    study.layout.run(few).rename(study.layout.run(every))
    with pytest.raises(SealError, match="no such seal"):
        predict_run(study, every)
    study.layout.seal(f"train/{few}").rename(study.layout.seal(f"train/{every}"))
    with pytest.raises(SealError, match=r"model\.pt: is not among the files of"):
        predict_run(study, every)


def test_mirroring_at_test_time_takes_the_axes_of_training_and_the_weights_as_they_are(study):
    (own,) = study.datasets
    dataset = own.model_copy(update={"mirror_axes": (0,)})
    training = study.training.model_copy(update={"augmentation": NnunetAugmentation(set="nnunet")})
    study = study.model_copy(update={"datasets": (dataset,), "training": training})
    run = run_of(study, "unet")
    train_run(study, run)
    folder = study.layout.run(run)
    weights = (folder / "model.pt").read_bytes()
    predict_run(study, run)
    plain = pd.read_csv(folder / "calibration.csv")
    mirrored = study.model_copy(update={"inference": InferenceSettings(mirroring=True)})
    predict_run(mirrored, run)
    assert not plain.equals(pd.read_csv(folder / "calibration.csv"))
    assert (folder / "model.pt").read_bytes() == weights
    store = load_inputs(study, run).store
    with trained_network(study, run) as trained:
        image = trained.image(store, 0)
        seen = [image, np.flip(image, 1).copy()]  # axis 0 of an image (C, *spatial)
        one, other = trained.predict(store, [0, 0], seen)
    with trained_network(mirrored, run) as trained:
        (mean,) = trained.predict(store, [0], [image])
    torch.testing.assert_close(mean, (one + other.flip(1)) / 2, atol=1e-5, rtol=0)


def test_damaged_checkpoint_is_refused_by_name(study):
    run = run_of(study, "unet")
    train_run(study, run)
    path = study.layout.run(run) / "model.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(SealError, match=r"model\.pt: has 1000 bytes, its job left \d+; make it "):
        predict_run(study, run)


def test_training_learns_a_separable_task():
    torch.manual_seed(0)
    masks = (torch.rand(4, 16, 16) > 0.5).long()
    images = masks.unsqueeze(1) + 0.1 * torch.randn(4, 1, 16, 16)
    study = parse_study(
        {
            "name": "s",
            "datasets": ["d"],
            "models": ["unet"],
            "training": {"validate_every": 20, "learning_rate": 0.01},
        },
        known_models(),
    )
    network = torch.nn.Conv2d(1, 2, 1)
    batches = [(images, masks)] * 200
    rows = list(
        train(network, batches, batches[:1], study.training, 200, torch.device("cpu"), None)
    )
    assert rows[-1]["validation_dice"] > 0.99
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert math.isnan(rows[0]["validation_dice"])


def test_loss_that_is_not_finite_stops_with_the_step():
    study = parse_study({"name": "s", "datasets": ["d"], "models": ["unet"]}, known_models())
    network = torch.nn.Conv2d(1, 2, 1)
    batch = (torch.full((1, 1, 4, 4), math.nan), torch.zeros(1, 4, 4, dtype=torch.long))
    with pytest.raises(AttnBenchError, match="not finite at step 1"):
        list(train(network, [batch], [batch], study.training, 1, torch.device("cpu"), None))


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_only_kernels_decay(name):
    study = parse_study(
        {"name": "s", "datasets": ["d"], "models": ["unet"], "training": {"optimiser": name}},
        known_models(),
    )
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    groups = make_optimiser(network, study.training, torch.device("cpu")).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for parameter in network.parameters():
        assert decay[id(parameter)] == (0.01 if parameter.dim() > 1 else 0)


def test_a_real_runs_rise_is_that_of_its_history(study):
    """By the file itself: steps 5 and 6 of 6 against steps 3 and 4."""
    often = study.training.model_copy(update={"validate_every": 1})
    study = study.model_copy(update={"training": often, "models": study.models[:1]})
    run = run_of(study, "unet")
    train_run(study, run)
    runs = compute_runs(study.layout, [run], pd.DataFrame(columns=RUN_COLUMNS))
    judged = with_rise(runs, compute_learning(study.layout, runs), study.analysis.margin)
    dice = pd.read_csv(study.layout.run(run) / "history.csv").set_index("step")["validation_dice"]
    rise = dice[[5, 6]].mean() - dice[[3, 4]].mean()
    assert judged["rise"].tolist() == pytest.approx([rise])
    assert judged["still_rising"].tolist() == [rise > study.analysis.margin]
