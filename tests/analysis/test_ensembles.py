"""Ensembles beside single models: every column against a slow calculation, group by group."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from attnbench.analysis.blocks import read_scores
from attnbench.analysis.ensembles import compute_ensembles
from attnbench.analysis.shift import compute_missing_shift, read_shift_scores
from attnbench.analysis.tables import FRAMES
from attnbench.files import write_csv
from attnbench.shift.kinds import KINDS
from attnbench.study.settings import Study

GROUP = np.repeat(np.arange(8), 2)
FOLDS, CASES, SEEDS = 2, 16, 2


@pytest.fixture
def random():
    return np.random.default_rng(11)


def study_of(output, ensemble=True):
    return Study(
        name="s",
        datasets=["sim", "other"],
        models=["unet", {"name": "m1", "slots": {}}],
        seeds=[0, 1],
        folds={"outer": FOLDS},
        metrics=["dice"],
        transfer=[{"train": "sim", "test": "other", "ensemble": ensemble}],
        analysis={"bootstrap": 300},
        output=output,
    )


def tables(score_table, single, together):
    """Score tables of (models, folds, cases, seeds, classes) and (models, cases, classes)."""
    folds = [score_table(single[:, f], GROUP, np.full(CASES, f), "sim") for f in range(FOLDS)]
    ensembles = score_table(together[:, :, None], GROUP, dataset="sim")
    ensembles = ensembles.drop(columns=["fold", "seed"]).assign(test="other", members=4)
    return pd.concat(folds, ignore_index=True).assign(test="other"), ensembles


@pytest.fixture
def values(random):
    return random.uniform(size=(2, FOLDS, CASES, SEEDS, 2)), random.uniform(size=(2, CASES, 2))


def row(frame, model, class_):
    (found,) = frame[(frame["model"] == model) & (frame["class"] == class_)].to_dict("records")
    return found


def by_group(per_case):
    return np.array([per_case[group == GROUP].mean() for group in range(8)])


def student(groups):
    half = stats.t.ppf(0.975, len(groups) - 1) * stats.sem(groups)
    return [groups.mean() - half, groups.mean() + half]


def test_every_column_is_the_slow_calculations(score_table, values):
    single, together = values
    frame = compute_ensembles(study_of(None), *tables(score_table, single, together))
    assert list(frame) == list(FRAMES["ensembles"])
    assert (
        len(frame) == 2 * 3 and set(frame["train"]) == {"sim"} and set(frame["test"]) == {"other"}
    )
    for class_, chosen in (("1", [0]), ("2", [1]), ("all", [0, 1])):
        alone = single[..., chosen].mean(axis=(1, 3, 4))
        ours = together[..., chosen].mean(axis=2)
        for index, model in enumerate(("unet", "m1")):
            found = row(frame, model, class_)
            assert found["mean"] == pytest.approx(by_group(ours[index]).mean())
            assert found["single"] == pytest.approx(by_group(alone[index]).mean())
            gains = by_group(ours[index] - alone[index])
            assert found["gain"] == pytest.approx(gains.mean())
            assert [found["gain_low"], found["gain_high"]] == pytest.approx(student(gains))
            assert [found[k] for k in ("members", "cases", "groups", "failures")] == [4, 16, 8, 0]
        found, differences = row(frame, "m1", class_), by_group(ours[1] - ours[0])
        assert found["difference"] == pytest.approx(differences.mean())
        limits = [found["difference_low"], found["difference_high"]]
        assert limits == pytest.approx(student(differences))
        assert np.isnan(row(frame, "unet", class_)["difference"])


def test_what_one_of_two_has_no_score_for_is_left_out_of_the_gain(score_table, values):
    single, together = values
    single[1, 0, 3, 0, 0] = np.nan  # one training on one case
    together[1, 7, 0] = np.nan  # the ensemble on another
    frame = compute_ensembles(study_of(None), *tables(score_table, single, together))
    found = row(frame, "m1", "1")
    both = np.where(np.isnan(together[1, None, :, None, 0]), np.nan, single[1, ..., 0])
    kept = np.arange(CASES) != 7
    alone = np.full(CASES, np.nan)
    alone[kept] = np.nanmean(both.transpose(1, 0, 2).reshape(CASES, -1)[kept], axis=1)
    groups = [np.nanmean(alone[group == GROUP]) for group in range(8)]
    assert found["single"] == pytest.approx(np.mean(groups))
    gains = [np.nanmean((together[1, :, 0] - alone)[group == GROUP]) for group in range(8)]
    assert found["gain"] == pytest.approx(np.mean(gains))
    assert found["failures_differ"] and not row(frame, "m1", "2")["failures_differ"]
    assert found["cases"] == 15


def test_without_scores_of_single_models_the_gain_is_empty(score_table, values):
    single, ensembles = tables(score_table, *values)
    frame = compute_ensembles(study_of(None), single[:0], ensembles)
    assert frame["mean"].notna().all()
    assert frame[["single", "gain", "gain_low", "gain_high"]].isna().all(axis=None)


def test_without_ensembles_there_are_no_rows(score_table, values):
    single, ensembles = tables(score_table, *values)
    frame = compute_ensembles(study_of(None, ensemble=False), single, ensembles[:0])
    assert frame.empty and list(frame) == list(FRAMES["ensembles"])


def test_tables_are_read_from_the_studys_files(tmp_path, score_table, values):
    study = study_of(tmp_path)
    single, ensembles = tables(score_table, *values)
    for name, table in (("transfer", single), ("ensembles", ensembles)):
        write_csv(study.layout.shift(name), table)
    read = read_shift_scores(study)
    pd.testing.assert_frame_equal(
        compute_ensembles(study, read["transfer"], read["ensembles"]),
        compute_ensembles(study, single, ensembles),
        check_dtype=False,
    )
    assert "members" in read_scores(
        study.layout.shift("ensembles"), KINDS["ensembles"].table_columns
    )


def test_the_runs_of_a_missing_ensemble_are_named_with_the_step_they_lack(
    tmp_path, score_table, values
):
    study = study_of(tmp_path)
    _, ensembles = tables(score_table, *values)
    layout, table = study.layout, ensembles[ensembles["model"] == "unet"]
    write_csv(layout.shift("ensembles"), table)
    trained, *others = study.runs_of("sim", "m1")
    write_csv(layout.run(trained) / "run.json", table[:0])

    def lacking():
        frames = compute_missing_shift(study, read_shift_scores(study))
        (frame,) = (f for f in frames if set(f["table"]) == {"ensembles"})
        keys = frame[["dataset", "model", "fold", "seed"]]
        assert keys.to_numpy().tolist() == [
            [r.dataset, r.model, r.fold, r.seed] for r in (trained, *others)
        ]
        return frame["next_step"].tolist()

    assert lacking() == ["score_ensemble", "train", "train", "train"]
    write_csv(layout.ensemble("sim", "m1"), table[:0])
    for run in others:
        write_csv(layout.run(run) / "run.json", table[:0])
    assert lacking() == ["gather"] * 4
