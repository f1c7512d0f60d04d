"""Pretrained weights: what fits is loaded, what does not is said, what has seen tests refused."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import replace

import pytest
import torch
from torch import nn

from attnbench.check import check_study
from attnbench.data.folds import write_folds
from attnbench.data.store import CaseStore
from attnbench.errors import CheckpointError, ModelError, StudyError
from attnbench.models.build import build_model, build_network
from attnbench.models.initial import fit_of, initial_notes, load_fit, read_weights
from attnbench.models.names import known_models
from attnbench.models.spec import NetworkSpec
from attnbench.study.groups import FoldsSettings
from attnbench.study.models import BackboneSettings, InitialSettings, ModelSettings
from attnbench.study.paths import Run
from attnbench.study.settings import parse_study
from attnbench.training.initial import start_from_file
from attnbench.training.run import load_inputs, network_for, train_run

WIDTHS = (4, 8)


def network(name="unet", classes=3, seed=0):
    torch.manual_seed(seed)
    return build_model(name, 2, 1, classes, widths=WIDTHS)


def saved(path, content):
    torch.save(content, path)
    return read_weights(InitialSettings(file=str(path)))


def same(first, second, names):
    return all(torch.equal(first.state_dict()[name], second.state_dict()[name]) for name in names)


FORMS = {
    "state dict": lambda tensors: tensors,
    "ours": lambda tensors: {"weights": tensors, "hashes": {"data": "x"}},
    "lightning": lambda tensors: {
        "epoch": 3,
        "state_dict": {f"model.net.{name}": value for name, value in tensors.items()},
    },
    "parallel": lambda tensors: {f"module.{name}": value for name, value in tensors.items()},
    "half": lambda tensors: {name: value.half() for name, value in tensors.items()},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_file_is_loaded_whole(form, tmp_path):
    theirs, ours = network(seed=1), network(seed=2)
    weights = saved(tmp_path / "w.pt", FORMS[form](theirs.state_dict()))
    fit = fit_of(ours, weights)
    assert fit.complete and not fit.unused
    load_fit(ours, fit)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, atol=2e-4, rtol=1e-3)
    assert {value.dtype for value in ours.parameters()} == {torch.float32}


def test_a_plain_unet_starts_a_variant_and_what_differs_keeps_its_start(tmp_path):
    theirs = network("unet", classes=5, seed=1)
    ours, before = network("attention_gate", seed=2), network("attention_gate", seed=2)
    theirs.state_dict()["head.bias"].fill_(7)
    weights = saved(tmp_path / "w.pt", {**theirs.state_dict(), "extra": torch.zeros(2)})
    fit = fit_of(ours, weights)
    load_fit(ours, fit)
    slots = {name for name in ours.state_dict() if name.startswith("slots.")}
    assert set(fit.missing) == slots and fit.unused == ("extra",)
    assert fit.other_shape == ("head.weight", "head.bias")
    assert same(ours, before, [*slots, "head.weight", "head.bias"])
    assert same(ours, theirs, fit.tensors) and len(fit.tensors) == len(theirs.state_dict()) - 2
    said = fit.in_words()
    assert said.startswith(f"{len(fit.tensors)} of {len(ours.state_dict())} tensors; ")
    assert "2 of another shape (head.weight, head.bias)" in said
    assert "1 of the file not used (extra)" in said


def test_an_external_network_takes_the_weights_of_its_own_library(tmp_path):
    arguments = {"in_channels": "{in_channels}", "out_channels": "{classes}", "kernel_size": 3}
    model = ModelSettings(
        name="theirs", network="torch.nn.Conv2d", arguments={**arguments, "padding": 1}
    )
    ours = build_network(model, BackboneSettings(), NetworkSpec(2, 1, 3, (8, 8)))
    theirs = nn.Conv2d(1, 3, 3)
    fit = fit_of(ours, saved(tmp_path / "w.pth", theirs.state_dict()))
    assert fit.complete and set(fit.tensors) == {"network.weight", "network.bias"}


@pytest.mark.parametrize("control", ["random", "gamma0", "conv1x1"])
def test_a_control_takes_the_backbone_and_leaves_its_slots_as_drawn(control, tmp_path):
    variant = "self_attention" if control == "gamma0" else "attention_gate"
    theirs = network(variant, seed=1)
    with torch.no_grad():
        for value in theirs.parameters():
            value.add_(1)
    ours, before = (network(f"{variant}-{control}", seed=2) for _ in range(2))
    fit = fit_of(ours, saved(tmp_path / "w.pt", theirs.state_dict()), control=True)
    load_fit(ours, fit)
    slots = [name for name in ours.state_dict() if name.startswith("slots.")]
    assert slots and same(ours, before, slots)
    assert same(ours, theirs, [name for name in ours.state_dict() if name not in slots])


class Spy:
    """Unpickling it would run code."""

    def __reduce__(self):
        return (print, ("ran",))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"epoch": 3}, "a file of weights is a mapping of names to tensors"),
        ([torch.zeros(2)], "found list"),
        ({"ema": {"a": torch.zeros(1)}, "net": {"a": torch.zeros(1)}}, "2 of them: ema, net"),
        ({"a": torch.tensor([0.0, float("nan")])}, "not finite in a"),
        ({"a": Spy()}, "could run code"),
        (OrderedDict(), "found OrderedDict"),
    ],
)
def test_what_is_no_state_dict_is_refused(content, said, tmp_path, capsys):
    with pytest.raises(ModelError, match=said):
        saved(tmp_path / "w.pt", content)
    assert capsys.readouterr().out == ""


def test_damaged_absent_changed_and_strange_files_are_refused(tmp_path):
    path = tmp_path / "w.pt"
    with pytest.raises(ModelError, match="no file"):
        read_weights(InitialSettings(file=str(path)))
    path.write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(ModelError, match="no weights that can be read"):
        read_weights(InitialSettings(file=str(path)))
    torch.save(network().state_dict(), path)
    with pytest.raises(ModelError, match="has changed since this study was planned"):
        read_weights(InitialSettings(file=str(path), source="0" * 64))
    strange = saved(path, {"layers.0.weight": torch.zeros(3, 3)})
    with pytest.raises(ModelError, match=r"in the file: layers\.0\.weight; in the network: enc"):
        fit_of(network(), strange)


CONTENT = {
    "name": "x",
    "datasets": ["phantom2d"],
    "backbone": {"widths": WIDTHS},
    "models": ["unet", {"name": "attention_gate", "initial": "w.pt"}],
    "controls": ["random", "conv1x1", "parameters"],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(network(seed=1).state_dict(), "w.pt")
    return tmp_path


def test_recipes_know_the_content_of_the_file_and_not_its_place(folder):
    def recipes(**changes):
        study = check_study(CONTENT | changes)
        return {model.name: study.recipe("phantom2d", model.name) for model in study.models}

    before = recipes()
    (folder / "elsewhere").mkdir()
    (folder / "w.pt").rename("elsewhere/moved.pth")
    moved = ["unet", {"name": "attention_gate", "initial": "elsewhere/moved.pth"}]
    assert recipes(models=moved) == before
    torch.save(network(seed=3).state_dict(), "elsewhere/moved.pth")
    after = recipes(models=moved)
    # Controls of the variant's widths start from the file, too; the matched one from scratch.
    assert {name for name in before if before[name] != after[name]} == {
        "attention_gate",
        "attention_gate-random",
        "attention_gate-conv1x1",
    }
    with pytest.raises(StudyError, match=r"attention_gate\.initial: no file .*w\.pt"):
        check_study(CONTENT)


def test_what_was_written_when_planned_needs_no_file_to_be_read(folder):
    written = check_study(CONTENT).model_dump(mode="json")
    (folder / "w.pt").unlink()
    assert check_study(written).recipe("phantom2d", "unet")


def test_study_check_says_what_is_not_loaded_and_refuses_what_fits_nowhere(folder):
    notes = initial_notes(check_study(CONTENT), "x.yaml")
    assert len(notes) == 3 and all("starts from w.pt: " in note for note in notes)
    assert "missing in the file (slots.chains.skip0.0.theta.weight" in notes[0]
    torch.save({"a": torch.zeros(1)}, "w.pt")
    with pytest.raises(StudyError, match=r"attention_gate\.initial: w\.pt: no tensor has name and"):
        initial_notes(check_study(CONTENT), "x.yaml")


@pytest.mark.parametrize("file", ["w.safetensors", "w.onnx", "w"])
def test_other_formats_are_refused_with_what_to_do(file):
    model = {"name": "unet", "initial": file}
    with pytest.raises(StudyError, match=r"a \.pt or \.pth file of tensors"):
        parse_study(CONTENT | {"models": [model]}, known_models())


@pytest.fixture
def study(store, tmp_path):
    name = store.info.name
    content = {
        "name": "small",
        "output": str(tmp_path / "out"),
        "datasets": [{"name": name, "patch": [8] * store.info.ndim}],
        "models": ["unet", "attention_gate"],
        "backbone": {"widths": [2, 4], "blocks_per_level": 1},
        "folds": {"outer": 3, "inner": 2},
        "training": {"steps": 2, "batch": 2, "validate_every": 2},
        "compute": {"device": "cpu"},
    }
    study = parse_study(content, known_models())
    target = study.layout.prepared(name)
    target.parent.mkdir(parents=True)
    store.folder.rename(target)
    write_folds(target, FoldsSettings(outer=3, inner=2), study.layout.folds(name))
    return study


def starting_from(study, path):
    models = tuple(
        model.model_copy(update={"initial": InitialSettings(file=str(path))})
        if model.name == "attention_gate"
        else model
        for model in study.models
    )
    return study.model_copy(update={"models": models})


def test_a_run_starts_from_the_file_and_says_so(study, tmp_path):
    name = study.datasets[0].name
    first = Run(name, "unet", 0, 0)
    train_run(study, first)
    assert json.loads((study.layout.run(first) / "run.json").read_text())["initial"] is None
    path = study.layout.run(first) / "model.pt"
    second = starting_from(study, path)
    run = Run(name, "attention_gate", 0, 0)
    inputs = load_inputs(second, run)
    begun = network_for(second, run, inputs.store)
    start = start_from_file(second, run, inputs.store, inputs.fold, begun)
    theirs = torch.load(path, weights_only=True)["weights"]
    assert all(torch.equal(begun.state_dict()[name], value) for name, value in theirs.items())
    train_run(second, run)
    facts = json.loads((second.layout.run(run) / "run.json").read_text())["initial"]
    assert facts == start.facts and facts["loaded"] == len(theirs)
    assert facts["missing"] and not facts["unused"] and not facts["other_shape"]


def test_weights_that_have_seen_test_cases_are_refused_also_at_second_hand(study, tmp_path):
    name = study.datasets[0].name
    for fold in (0, 1):
        train_run(study, Run(name, "unet", fold, 0))
    weights = [study.layout.run(Run(name, "unet", fold, 0)) / "model.pt" for fold in (0, 1)]
    run = Run(name, "attention_gate", 0, 0)
    with pytest.raises(CheckpointError, match="was trained on 2 of the 2 cases that this run is"):
        train_run(starting_from(study, weights[1]), run)
    # The same fold has seen none; what starts from the other fold passes on what that has seen.
    train_run(starting_from(study, weights[0]), run)
    other = replace(run, fold=1)
    train_run(starting_from(study, weights[1]), other)
    chained = study.layout.run(other) / "model.pt"
    content = torch.load(chained, weights_only=True)
    assert [one["dataset"] for one in content["trained_on"]] == [name, name]
    content["trained_on"][0]["cases"] = []
    torch.save(content, tmp_path / "chained.pt")
    with pytest.raises(CheckpointError, match="their scores would say nothing"):
        train_run(starting_from(study, tmp_path / "chained.pt"), run)


def test_the_same_data_by_name_or_by_content_count(study, tmp_path):
    store = CaseStore.open(study.layout.prepared(study.datasets[0].name))
    name = study.datasets[0].name
    run = Run(name, "attention_gate", 0, 0)
    inputs = load_inputs(study, run)
    tested = inputs.fold.test[0]
    untested = inputs.fold.train[0]
    tensors = network_for(study, run, store).state_dict()
    stated = [
        ({"dataset": name, "data_hash": "other", "cases": [tested]}, True),
        ({"dataset": "other", "data_hash": store.info.content_hash, "cases": [tested]}, True),
        ({"dataset": name, "data_hash": store.info.content_hash, "cases": [untested]}, False),
        ({"dataset": "other", "data_hash": "other", "cases": [tested]}, False),
        ({"dataset": name, "data_hash": "other", "cases": ["no such case"]}, False),
    ]
    for number, (trained_on, refused) in enumerate(stated):
        path = tmp_path / f"{number}.pt"
        torch.save({"weights": tensors, "hashes": {}, "trained_on": [trained_on]}, path)
        asked = starting_from(study, path)
        begun = network_for(asked, run, store)
        if refused:
            with pytest.raises(CheckpointError):
                start_from_file(asked, run, store, inputs.fold, begun)
        else:
            start_from_file(asked, run, store, inputs.fold, begun)
