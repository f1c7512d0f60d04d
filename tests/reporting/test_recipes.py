"""Where recipes differ or training was too short, every table, page, terminal and text says so."""

from __future__ import annotations

import pytest

from attnbench.analysis.sweep import compute_sweep
from attnbench.files import write_csv, write_json
from attnbench.models.names import known_models
from attnbench.reporting.contents import tables_of
from attnbench.reporting.exports.methods import compose_methods
from attnbench.reporting.page.answer import answer_study
from attnbench.reporting.results import Results
from attnbench.reporting.status import status_lines
from attnbench.reporting.tables import tabulate
from attnbench.reporting.terminal import show_comparison
from attnbench.study.settings import parse_study
from sealing import seal_study

GRID = [0.001, 0.01, 0.1]
OWN = {"learning_rate": 0.02, "batch": 4}


@pytest.fixture
def study(write_study):
    return write_study(datasets=["phantom2d"], models=["unet", "attention_gate"], cases=8)


def changed(study, own=None, **training):
    content = study.model_dump(mode="json") | {"training": training}
    content["models"] = ["unet", {"name": "attention_gate", "training": own}]
    return as_trained(content)


def as_trained(content):
    """A study whose runs are taken to be trained by its own recipes."""
    study = parse_study(content, known_models())
    seal_study(study)
    return study


def choose(study, scores, chosen):
    for model in ("unet", "attention_gate"):
        for fold in (0, 1):
            trials = [
                {"value": value, "score": score, "failed": None, "seconds": 5.0, "energy_j": None}
                for value, score in zip(GRID, scores, strict=True)
            ]
            content = {"key": "learning_rate", "chosen": chosen, "trials": trials}
            write_json(study.layout.choice("phantom2d", model, fold), content)
    write_csv(study.layout.analysis / "sweep.csv", compute_sweep(study))


def said_everywhere(study, capsys):
    """Notes of every table, limits on the page, and what the terminal prints."""
    results = Results(study)
    tables = {spec.name: " ".join(tabulate(results, spec).notes) for spec in tables_of(study)}
    show_comparison(study)
    printed = " ".join(capsys.readouterr().out.split())
    page = " ".join(answer_study(results).limits)
    return [*tables.values(), page, printed]


def test_one_recipe_for_all_needs_no_words(study, capsys):
    assert not any("Recipes differ" in text for text in said_everywhere(study, capsys))
    assert "All models were trained by one recipe: " in compose_methods(Results(study), [])


def test_a_models_own_keys_are_said_beside_every_table(study, capsys):
    mixed = changed(study, OWN)
    for text in said_everywhere(mixed, capsys):
        assert "Recipes differ" in text and "training patches are not the same" in text
        assert "Attention gate (patches per step 4; largest learning rate 0.02)" in text
    methods = compose_methods(Results(mixed), [])
    assert "but for what models set themselves" in methods
    assert "own training: patches per step 4; largest learning rate 0.02" in methods
    assert "training patches are not" not in " ".join(
        said_everywhere(changed(study, {"learning_rate": 0.02}), capsys)
    )


def test_a_sweep_is_said_beside_every_table_and_in_the_methods(study, capsys):
    swept = changed(study, sweep={"learning_rate": GRID})
    choose(swept, [0.5, 0.7, 0.6], 0.01)
    for text in said_everywhere(swept, capsys):
        assert "every model, controls included, has the learning rate" in text
        assert "0.001, 0.01, 0.1" in text
    methods = compose_methods(Results(swept), [])
    assert "0.001, 0.01 and 0.1 for every model" in methods
    assert "6 trials per dataset" in methods and "test folds were not read" in methods
    assert "edge" not in methods


def table_of(study, name):
    results = Results(study)
    return tabulate(results, next(spec for spec in tables_of(study) if spec.name == name))


def test_the_table_shows_every_value_and_the_edge_of_the_grid(study):
    swept = changed(study, sweep={"learning_rate": GRID})
    choose(swept, [0.5, 0.7, None], 0.01)
    table = table_of(swept, "sweep")
    assert [column.heading for column in table.columns] == ["Model", "Fold", "0.001", "0.01", "0.1"]
    (block,) = table.blocks
    assert [str(cell) for cell in block.rows[0]] == ["U-Net", "0", "0.5000", "0.7000", "–"]
    assert [cell.strong for cell in block.rows[0]] == [False, False, False, True, False]
    assert len(block.rows) == 4 and "widen" not in " ".join(table.notes)
    choose(swept, [0.5, 0.7, 0.8], 0.1)
    table = table_of(swept, "sweep")
    assert str(table.blocks[0].rows[0][4]) == "0.8000‡"
    notes = " ".join(table.notes)
    assert "edge of the grid: widen it" in notes and "U-Net (2), Attention gate (2)" in notes
    assert "edge of the grid in 4 of 4 choices" in compose_methods(Results(swept), [])


def test_runs_that_still_improved_are_said(study, capsys):
    path = study.layout.analysis / "cost.csv"
    cost = Results(study).frame("cost")
    write_csv(path, cost.assign(rising=[3, 0], told=[4, 4], runs=4))
    sentence = "than 0.01): U-Net in 3 of 4 runs; more steps may change the comparison."
    results = Results(study)
    show_comparison(study)
    assert sentence in " ".join(capsys.readouterr().out.split())
    short = "Longer training: 3 of 8 runs on Phantom 2-D still improved at the end (costs)."
    assert short in answer_study(results).limits
    for name in ("answer", "comparison", "cost", "gates"):
        assert sentence in " ".join(table_of(study, name).notes)
    write_csv(path, cost.assign(rising=0, told=3, runs=4))
    notes = " ".join(table_of(study, "cost").notes)
    assert "still improved at the end of training;" in notes and "too few validations" in notes
    write_csv(path, cost.assign(rising=0, told=4, runs=4))
    assert "improved" not in " ".join(table_of(study, "cost").notes)


def test_trials_are_counted_as_training_ahead(study):
    swept = changed(study, sweep={"learning_rate": GRID})
    lines = status_lines(swept)
    assert "sweep: 0 of 12 trials done" in lines
    write_json(swept.layout.trial("phantom2d", "unet", 0, 0), {"seconds": 60.0})
    assert "sweep: 1 of 12 trials done" in status_lines(swept)


def test_another_loss_and_another_start_are_said_beside_every_table(study, capsys):
    content = study.model_dump(mode="json")
    own = {"name": "attention_gate", "training": {"loss": "focal"}, "initial": "weights.pt"}
    mixed = as_trained(content | {"models": ["unet", own]})
    for text in said_everywhere(mixed, capsys):
        assert "Recipes differ in keys of their own: Attention gate (loss focal)" in text
        assert "pretrained weights for Attention gate (weights.pt, " in text
        assert "all others start from random weights" in text
    methods = compose_methods(Results(mixed), [])
    assert "loss: Dice + cross-entropy, equal weights;" in methods
    assert "Loss of Attention gate: Focal, gamma 2.0, alpha None (Lin et al., " in methods
    same = [{"name": name, "initial": "weights.pt"} for name in ("unet", "attention_gate")]
    alike = as_trained(content | {"models": same})
    for text in said_everywhere(alike, capsys):
        assert "Every model starts from pretrained weights: U-Net, Attention gate (" in text
