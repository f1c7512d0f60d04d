"""A swept key: tried on inner validation, chosen by its score, read by every run of the fold."""

import json
from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest
import torch

from attnbench.data.folds import load_folds, write_folds
from attnbench.data.store import CaseStore
from attnbench.errors import AttnBenchError, DataError, SealError
from attnbench.files import read_json, write_json
from attnbench.inference.predict import predict_run
from attnbench.inference.trained import trained_network
from attnbench.inference.trial import run_trial
from attnbench.models.names import known_models
from attnbench.study.groups import FoldsSettings
from attnbench.study.paths import Run
from attnbench.study.settings import parse_study
from attnbench.training.run import load_inputs, train_run
from attnbench.training.sweep import choose_value

RATES = [0.001, 0.1]


def study_of(store, folder, **training):
    return parse_study(
        {
            "name": "small",
            "output": str(folder),
            "datasets": [{"name": store.info.name, "patch": [16] * store.info.ndim}],
            "models": ["unet", "attention_gate"],
            "backbone": {"widths": [2, 4], "blocks_per_level": 1},
            "folds": {"outer": 2, "inner": 2},
            "training": {"steps": 6, "batch": 2, "validate_every": 3, **training},
            "compute": {"device": "cpu"},
        },
        known_models(),
    )


@pytest.fixture
def study(store, tmp_path):
    study = study_of(store, tmp_path, sweep={"learning_rate": RATES})
    target = study.layout.prepared(store.info.name)
    target.parent.mkdir(parents=True)
    store.folder.rename(target)
    write_folds(target, FoldsSettings(outer=2, inner=2), study.layout.folds(store.info.name))
    return study


def fold_of(study, number=0):
    name = study.datasets[0].name
    store = CaseStore.open(study.layout.prepared(name))
    return store, load_folds(study.layout.folds(name), store).fold(number)


def trials(study, fold=0, model="unet"):
    name = study.datasets[0].name
    for number in range(len(study.training.trials())):
        run_trial(study, name, model, fold, number)
    return [study.layout.trial(name, model, fold, number) for number in range(2)]


def choose(study, fold=0, model="unet"):
    choose_value(study, study.datasets[0].name, model, fold)
    return read_json(study.layout.choice(study.datasets[0].name, model, fold))


def planted(path, **facts):
    write_json(path, read_json(path) | facts)


def test_a_trial_scores_the_whole_cases_of_the_inner_validation(study):
    """Against the ordinary run of a study that has the value for itself, scored by counting."""
    name = study.datasets[0].name
    path = trials(study)[1]
    store, fold = fold_of(study)
    fixed = study.with_value("learning_rate", RATES[1])
    run = Run(name, "unet", 0, 0)
    train_run(fixed, run)
    expected = {}
    with trained_network(fixed, run) as trained:
        indices = [store.index(case) for case in fold.validation]
        for index, own in zip(indices, trained.predict(store, indices), strict=True):
            mask, reference = own.argmax(0).numpy(), np.asarray(store.reference(index))
            dice = []
            for number in store.info.classes:
                sizes = (mask == number).sum() + (reference == number).sum()
                shared = ((mask == number) & (reference == number)).sum()
                dice.append(2 * shared / sizes if sizes else 1.0)
            expected[store.cases["case"].iloc[index]] = fmean(dice)
    trial = read_json(path)
    assert trial["cases"] == pytest.approx(expected)
    assert trial["score"] == pytest.approx(fmean(expected.values()))  # a group has one case here
    assert not set(trial["cases"]) & set(fold.test)


def test_the_highest_score_is_chosen_and_of_equals_the_first(study):
    first, second = trials(study)
    for scores, chosen in (((0.4, 0.6), RATES[1]), ((0.6, 0.4), RATES[0]), ((0.5, 0.5), RATES[0])):
        for path, score in zip((first, second), scores, strict=True):
            planted(path, score=score)
        assert choose(study)["chosen"] == chosen


def test_a_run_trains_with_the_choice_of_its_fold_and_no_other_checkpoint_fits_it(study):
    name = study.datasets[0].name
    first, second = trials(study)
    planted(first, score=0.4)
    planted(second, score=0.6)
    choose(study)
    run = Run(name, "unet", 0, 0)
    train_run(study, run)
    facts = read_json(study.layout.run(run) / "run.json")
    assert facts["chosen"] == {"learning_rate": RATES[1]}
    weights = torch.load(study.layout.run(run) / "model.pt", weights_only=True)["weights"]
    fixed = study.with_value("learning_rate", RATES[1])
    fixed = fixed.model_copy(update={"output": study.output / "fixed"})
    (study.output / "fixed").mkdir()
    (study.output / "fixed" / "data").symlink_to(study.layout.output / "data")
    train_run(fixed, run)
    same = torch.load(fixed.layout.run(run) / "model.pt", weights_only=True)["weights"]
    assert all(torch.equal(weights[key], same[key]) for key in weights)
    few = load_inputs(study, replace(run, percent=50))
    assert few.training.learning_rate == RATES[1]
    planted(first, score=0.9)
    choose(study)
    with pytest.raises(SealError, match="another choice"):
        predict_run(study, run)


def test_a_trial_that_saw_a_tested_case_chooses_nothing(study):
    first, _ = trials(study)
    _, fold = fold_of(study)
    honest = read_json(first)["cases"]
    planted(first, cases={**honest, fold.test[0]: 1.0})
    with pytest.raises(DataError, match=rf"1 of them tested \({fold.test[0]}\)"):
        choose(study)
    planted(first, cases=dict.fromkeys(fold.test, 1.0))
    with pytest.raises(DataError, match="which alone may choose"):
        choose(study)
    planted(first, cases=dict(list(honest.items())[1:]))
    with pytest.raises(DataError, match="1 missing"):
        choose(study)


def test_a_run_refuses_a_choice_that_saw_a_tested_case_or_belongs_elsewhere(study):
    trials(study)
    content = choose(study)
    store, fold = fold_of(study)
    run = Run(study.datasets[0].name, "unet", 0, 0)
    path = study.layout.choice(run.dataset, "unet", 0)
    planted(path, cases=[*content["cases"], fold.test[0]])
    with pytest.raises(DataError, match="1 of them tested"):
        train_run(study, run)
    planted(path, cases=content["cases"], folds_hash="another")
    with pytest.raises(DataError, match="another folds_hash"):
        train_run(study, run)
    path.unlink()
    with pytest.raises(DataError, match=r"fold0\.json"):
        train_run(study, run)
    write_json(path, content)
    wider = study_of(store, study.output, sweep={"learning_rate": [*RATES, 0.2]})
    with pytest.raises(DataError, match="another recipe_hash"):
        train_run(wider, run)


def test_a_diverged_trial_loses_and_says_why(store, study):
    # Every step multiplies weights by a hundred thousand, until they are no numbers any more.
    rates = {"learning_rate": [1000, 0.0001]}
    wild = study_of(store, study.output, sweep=rates, weight_decay=100, steps=12)
    first, second = trials(wild)
    lost = json.loads(first.read_text())
    assert lost["score"] is None and "not finite" in lost["failed"] and lost["seconds"] > 0
    assert choose(wild)["chosen"] == 0.0001
    planted(second, score=None, failed="the loss is not finite at step 2")
    # Its runs will say that they diverged: a choice is no reason to stop the study.
    assert choose(wild)["chosen"] == 1000


def test_a_number_without_a_value_is_refused(study):
    with pytest.raises(AttnBenchError, match="no value 2; its 2 values"):
        run_trial(study, study.datasets[0].name, "unet", 0, 2)


def test_a_model_trains_with_its_own_keys_and_the_others_without_them(store, study):
    own = {"steps": 4, "weight_decay": 0.5, "augmentation": {"flip": False}}
    content = study.model_dump(mode="json") | {"training": {"steps": 6, "batch": 2}}
    content["models"] = ["unet", {"name": "attention_gate", "training": own}]
    mixed = parse_study(content, known_models())
    taught = {
        model: load_inputs(mixed, Run(store.info.name, model, 0, 0)).training
        for model in ("unet", "attention_gate")
    }
    assert (taught["unet"].steps, taught["attention_gate"].steps) == (6, 4)
    assert taught["attention_gate"].weight_decay == 0.5
    assert taught["attention_gate"].augmentation == taught["unet"].augmentation.model_copy(
        update={"flip": False}
    )
    for model, steps in (("unet", 6), ("attention_gate", 4)):
        run = Run(store.info.name, model, 0, 0)
        train_run(mixed, run)
        assert read_json(mixed.layout.run(run) / "run.json")["steps"] == steps
