"""Predictions made elsewhere beside the models that a study trains."""

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from attnbench.analysis.run import compute_analysis
from attnbench.files import write_csv, write_json
from attnbench.study.paths import Run
from attnbench.study.settings import Study

GROUPS, SEEDS, OUTER = 20, 2, 5
FOLDS = np.arange(GROUPS) % OUTER
OTHER = {
    "name": "other",
    "predictions": {"folder": "other/fold{fold}", "origin": "another tool"},
}
MODELS = ["unet", "m1", "m1-parameters", "m1-flops", "m2"]
RNG = np.random.default_rng(7)
# A variant that is better than the others, and predictions that are better still.
VALUES = np.clip(
    0.6
    + np.array([0.0, 0.05, 0.01, 0.01, 0.0, 0.2])[:, None, None]
    + RNG.normal(0, 0.01, (6, GROUPS, SEEDS)),
    0,
    1,
)


def study_of(folder, models):
    return Study(
        name="small",
        datasets=["sim"],
        models=models,
        seeds=[0, 1],
        folds={"outer": OUTER},
        metrics=["dice"],
        analysis={"bootstrap": 300},
        output=folder,
    )


def analysed(folder, score_table, elsewhere):
    """Every frame of a study, with or without predictions made elsewhere."""
    study = study_of(folder, [*MODELS, *([OTHER] if elsewhere else [])])
    layout = study.layout
    table = score_table(VALUES, range(GROUPS), FOLDS)
    names = dict(zip(["unet", "m1", "m2", "m3", "m4", "m5"], [*MODELS, "other"], strict=True))
    table["model"] = table["model"].map(names)
    # Made once: no second seed.
    of_other = table["model"] == "other"
    table = table[~of_other | ((table["seed"] == 0) & elsewhere)]
    write_csv(layout.scores, table)
    write_json(layout.prepared("sim") / "dataset.json", {"classes": {"1": "organ"}})
    cases = {"case": sorted(set(table["case"])), "voxels_1": 100}
    difficulty = {"difficulty_size": np.linspace(0, 1, GROUPS)}
    (layout.prepared("sim") / "cases.csv").write_text(
        pd.DataFrame(cases | difficulty).to_csv(index=False)
    )
    for run in study.runs():
        of_run = {"data_hash": "a", "folds_hash": "b"}
        if run.model == "other":
            of_run |= {"origin": "another tool", "missing": []}
        else:
            of_run |= {"recipe_hash": "c", "train_seconds": 10.0, "device": "cpu"}
        write_json(layout.run(run) / "run.json", of_run)
        for name in ("predictions.npz", "scores.csv"):
            (layout.run(run) / name).touch()
    return compute_analysis(study)


@pytest.fixture(scope="module")
def frames(tmp_path_factory, score_table):
    return analysed(tmp_path_factory.mktemp("with"), score_table, True)


@pytest.fixture(scope="module")
def without(tmp_path_factory, score_table):
    return analysed(tmp_path_factory.mktemp("without"), score_table, False)


def test_they_change_no_number_and_no_verdict_of_any_other_model(frames, without):
    assert len(frames) == len(without)
    for name, frame in frames.items():
        own = frame
        for column in {"model", "model_a", "model_b", "of_model", "best"} & {*frame.columns}:
            own = own[own[column] != "other"]
        assert_frame_equal(
            own.reset_index(drop=True),
            without[name].reset_index(drop=True),
            check_dtype=False,
            rtol=1e-10,
            obj=name,
        )
    # Where something is decided: a test that would also pass on empty frames says nothing.
    assert len(without["answer"]) and len(without["ranks"]) and len(without["difficulty"])
    assert (without["effects"]["verdict"] == "better").any()


def test_the_one_prediction_of_a_case_is_paired_with_every_training_of_the_baseline(frames):
    effects = frames["effects"]
    row = effects[(effects["model"] == "other") & (effects["class"] == "1")].iloc[0]
    difference = VALUES[5, :, 0] - VALUES[0].mean(axis=1)
    assert row["difference"] == pytest.approx(difference.mean())
    assert (row["groups"], row["seeds"], row["folds"]) == (GROUPS, SEEDS, OUTER)
    mean = frames["means"].query("model == 'other' and `class` == '1'").iloc[0]
    assert mean["mean"] == pytest.approx(VALUES[5, :, 0].mean())
    assert (mean["seeds"], mean["cases"]) == (1, GROUPS)


def test_they_speak_as_trained_only_and_in_a_family_of_their_own(frames):
    effects = frames["effects"]
    rows = effects[effects["model"] == "other"]
    assert set(rows["verdict"]) == {"better"}
    assert set(rows["verdict_retrained"]) == {"made elsewhere"}
    assert not rows["significant_retrained"].any() and not rows["equivalent"].any()
    for name in ("p_retrained", "p_retrained_holm", "retrained_low", "retrained_high", "free",
                 "probability_better", "p_equivalence", "minimum_effect_retrained"):  # fmt: skip
        assert rows[name].isna().all(), name
    assert rows["family"].str.contains("made elsewhere").all() and set(rows["family_size"]) == {1}
    for name in ("answer", "best", "pairs", "ranks", "rank_pairs", "across", "difficulty"):
        columns = {"model", "model_a", "model_b"} & {*frames[name].columns}
        assert not any((frames[name][column] == "other").any() for column in columns), name


def test_they_have_no_training_and_no_cost(frames):
    runs = frames["runs"].query("model == 'other'")
    assert len(runs) == OUTER and not runs["trained"].any() and runs["scored"].all()
    cost = frames["cost"].query("model == 'other'").iloc[0]
    assert cost["runs"] == 0 and np.isnan(cost["train_seconds"]) and cost["parameters"] is pd.NA


def test_a_run_without_scores_says_what_is_to_be_done(tmp_path):
    study = study_of(tmp_path, ["unet", OTHER])
    assert [run for run in study.runs() if run.model == "other"] == [
        Run("sim", "other", fold, 0) for fold in range(OUTER)
    ]
    assert list(study.stages(Run("sim", "other", 0, 0))) == ["score_external"]
    assert not any(run.model == "other" for run in study.trainings())
