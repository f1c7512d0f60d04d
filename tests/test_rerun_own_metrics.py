"""An own metric makes exactly scores, and what follows from them, again."""

import pytest

from attnbench import rerun
from attnbench.check import check_study

FILE = """
from attnbench.scoring.definitions import metric
from beside import smaller

@metric(higher_is_better=True, both_empty=1, prediction_empty=0, reference_empty=0, rule="A rule.")
def ratio(prediction, reference, spacing):
    return smaller(prediction.sum(), reference.sum())
"""
VERBS = ("prepare", "folds", "describe", "measure", "train", "choose", "predict", "score")
VERBS += ("score_ensemble", "score_second_rater", "analyse", "tables", "figure", "export", "report")
SCORED = {"score", "score_ensemble", "score_second_rater", "transfer", "corrupted", "held_out"}
FOLLOWING = SCORED | {"analyse", "tables", "figure", "export", "report"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_metrics.py").write_text(FILE)
    (tmp_path / "beside.py").write_text("def smaller(a, b):\n    return min(a, b) / max(a, b)\n")
    return tmp_path


def decided(*metrics: str) -> dict[str, str]:
    study = check_study(
        {"name": "x", "datasets": ["phantom2d"], "models": ["unet"], "metrics": list(metrics)}
    )
    of_kinds = {
        kind: rerun.decides(study, "score_shift", "phantom2d", "unet", kind)
        for kind in ("transfer", "corrupted", "held_out")
    }
    return of_kinds | {verb: rerun.decides(study, verb, "phantom2d", "unet") for verb in VERBS}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {verb for verb in before if before[verb] != after[verb]}


def test_a_new_own_metric_trains_and_predicts_nothing():
    assert changed(decided("dice"), decided("dice", "./my_metrics.py:ratio")) == FOLLOWING


@pytest.mark.parametrize(
    ("file", "old", "new", "again"),
    [
        ("my_metrics.py", "prediction.sum(), ", "2 * prediction.sum(), ", FOLLOWING),
        ("my_metrics.py", "higher_is_better=True", "higher_is_better=False", FOLLOWING),
        ("beside.py", "min(a, b)", "max(a, b)", FOLLOWING),
        ("my_metrics.py", "\n@metric", "\n# The direction is the usual one.\n@metric", set()),
        ("beside.py", "(a, b):", '(a, b):\n    """The ratio."""', set()),
    ],
)
def test_what_a_metric_means_decides_and_nothing_else(folder, file, old, new, again):
    metrics = "dice", "./my_metrics.py:ratio"
    before = decided(*metrics)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))
    assert changed(before, decided(*metrics)) == again


def test_modules_of_this_package_that_a_metric_imports_are_followed(folder):
    before = decided("dice", "./my_metrics.py:ratio")
    (folder / "beside.py").write_text(
        "from attnbench.data.difficulty import *\n" + (folder / "beside.py").read_text()
    )
    study = check_study(
        {
            "name": "x", "datasets": ["phantom2d"], "models": ["unet"],
            "metrics": ["dice", "./my_metrics.py:ratio"],
        }
    )  # fmt: skip
    assert rerun.decides(study, "score", "phantom2d", "unet") != before["score"]
    assert rerun._of_metrics(study) == {
        "attnbench.data.difficulty", "attnbench.scoring.definitions"
    }  # fmt: skip
