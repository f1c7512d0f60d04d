"""What is gone of a study is named; what was freed is remembered; what comes back is compared."""

import json

import pytest

from attnbench.check import check_study
from attnbench.errors import StudyError
from attnbench.study.paths import Run
from attnbench.upkeep.again import runs_again, words_for
from attnbench.upkeep.clean import clean_predictions, removed_line, removed_runs
from attnbench.upkeep.gone import gone_files, gone_lines, jobs_of

FILES = ("model.pt", "run.json", "history.csv", "predictions.npz", "calibration.csv", "gates.csv")


@pytest.fixture
def study(tmp_path):
    return check_study(
        {
            "name": "x",
            "datasets": ["phantom2d"],
            "models": ["unet", "attention_gate"],
            "folds": {"outer": 2},
            "seeds": [0, 1],
            "output": str(tmp_path / "out"),
        }
    )


@pytest.fixture
def finished(study):
    """The files of a finished study, as far as it matters that they are there."""
    for run in study.runs():
        folder = study.layout.run(run)
        folder.mkdir(parents=True)
        for name in (*FILES, "scores.csv"):
            (folder / name).write_text(name)
    prepared = study.layout.prepared("phantom2d")
    prepared.mkdir(parents=True)
    for name in ("dataset.json", "cases.csv", "images.npy", "masks.npy"):
        (prepared / name).write_text(name)
    for path in (study.layout.folds("phantom2d"), study.layout.statistics("phantom2d")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    return study


def test_a_whole_study_and_one_that_was_not_begun_miss_nothing(study, finished):
    assert gone_lines(finished, "my.yaml") == []


def test_nothing_is_gone_of_runs_that_are_still_to_come(study):
    assert gone_lines(study, "my.yaml") == []


@pytest.mark.parametrize("name", FILES)
def test_every_file_behind_a_score_is_missed(finished, name):
    run = Run("phantom2d", "unet", 1, 0)
    path = finished.layout.run(run) / name
    path.unlink()
    (gone,) = gone_files(finished)
    assert (gone.runs, gone.files) == ((run,), (path,))
    said, remedy = gone_lines(finished, "my.yaml")
    assert str(run) in said and "attnbench rerun my.yaml --missing" in remedy


@pytest.mark.parametrize(
    ("name", "jobs"),
    [("model.pt", "train: 1 run(s) (phantom2d/unet/fold1-seed0)"), ("gates.csv", "predict, score")],
)
def test_the_jobs_that_bring_a_file_back_are_named(finished, name, jobs):
    (finished.layout.run(Run("phantom2d", "unet", 1, 0)) / name).unlink()
    (gone,) = gone_files(finished)
    (said,) = jobs_of(gone)
    assert jobs in said and "phantom2d/unet/fold1-seed0" in said
    assert [*jobs_of(gone, ["unet"])] == ["score_external: 1 run(s) (phantom2d/unet/fold1-seed0)"]


@pytest.mark.parametrize("name", ["dataset.json", "cases.csv", "images.npy", "masks.npy"])
def test_prepared_data_behind_a_training_are_missed(finished, name):
    (finished.layout.prepared("phantom2d") / name).unlink()
    (gone,) = gone_files(finished)
    assert (gone.kind, gone.names) == ("prepared", ("phantom2d",))


def test_cleaning_frees_exactly_the_predictions_that_can_come_back(finished):
    layout, runs = finished.layout, list(finished.runs())
    (layout.run(runs[0]) / "model.pt").unlink()
    (layout.run(runs[1]) / "scores.csv").unlink()
    before = {path for path in layout.output.rglob("*") if path.is_file()}
    freed = clean_predictions(finished)
    after = {path for path in layout.output.rglob("*") if path.is_file()}
    gone = {layout.run(run) / "predictions.npz" for run in runs[2:]}
    assert before - after == gone and set(freed.runs) == set(runs[2:])
    assert after - before == {layout.removed(run) for run in runs[2:]}
    assert freed.bytes == len("predictions.npz") * len(gone)
    assert {run for run, _ in freed.kept} == set(runs[:2])
    assert set(removed_runs(finished)) == set(runs[2:])
    assert "6 run(s)" in removed_line(finished, "my.yaml")[0]
    # Only the weights that were deleted by hand are missed, not what was cleaned.
    assert [one.kind for one in gone_files(finished)] == ["weights"]


def test_cleaning_where_nothing_was_predicted_says_so(study):
    with pytest.raises(StudyError, match="no run has predictions"):
        clean_predictions(study)


def test_runs_are_chosen_by_all_that_is_given(finished):
    chosen = runs_again(finished, model="unet", fold=1)
    assert chosen == [Run("phantom2d", "unet", 1, seed) for seed in (0, 1)]
    words = words_for(finished, chosen[:1], "predict")
    assert words == ["--forcerun", str(finished.layout.run(chosen[0]) / "predictions.npz")]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({}, "which runs"),
        ({"model": "unte"}, "did you mean 'unet'"),
        ({"fold": 7}, "allowed: 0, 1"),
    ],
)
def test_a_choice_of_no_run_is_refused(finished, choice, said):
    with pytest.raises(StudyError, match=said):
        runs_again(finished, **choice)


def test_the_marker_states_what_was_there(finished):
    clean_predictions(finished)
    run = next(finished.runs())
    stated = json.loads(finished.layout.removed(run).read_text())
    assert stated["bytes"] == len("predictions.npz")
