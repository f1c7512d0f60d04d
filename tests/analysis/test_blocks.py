import numpy as np
import pandas as pd
import pytest

from attnbench.analysis.blocks import arrange, read_scores
from attnbench.errors import DataError
from attnbench.files import write_csv
from attnbench.study.split import Split


def split_into(folds):
    return {"sim": Split("cross_validation", folds)}


VALUES = np.arange(2 * 3 * 2 * 2, dtype=float).reshape(2, 3, 2, 2)


def test_every_score_lands_in_its_cell_whatever_the_row_order(score_table):
    table = score_table(VALUES, ["b", "a", "b"], folds=[1, 0, 1]).sample(frac=1, random_state=0)
    (block,) = arrange(table, ["sim"], ["unet", "m1"], ["dice"])
    np.testing.assert_array_equal(block.values[0].transpose(1, 2, 3, 0), VALUES)
    assert block.groups == ("a", "b")
    assert [block.groups[g] for g in block.case_group] == ["b", "a", "b"]
    assert block.case_fold.tolist() == [[1], [0], [1]]


def test_repeated_splits_follow_each_other_and_each_has_its_seeds(score_table):
    values = np.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    second = score_table(values[..., 2:], "abc", folds=[3, 2, 3])
    table = pd.concat([second, score_table(values[..., :2], "abc", folds=[0, 1, 1])])
    (block,) = arrange(table, ["sim"], ["unet", "m1"], ["dice"], split_into(2))
    np.testing.assert_array_equal(block.values[0, 0], values)
    assert block.case_fold.tolist() == [[0, 3], [1, 2], [1, 3]] and block.repeats == 2
    np.testing.assert_array_equal(block.group_fold, block.case_fold)


def test_where_every_fold_tests_every_case_a_fold_is_a_repeat(score_table):
    values = np.arange(2 * 3 * 6.0).reshape(2, 3, 6)
    tables = [score_table(values[..., 2 * f : 2 * f + 2], "abc", folds=[f] * 3) for f in range(3)]
    args = (pd.concat(tables), ["sim"], ["unet", "m1"], ["dice"])
    (block,) = arrange(*args, splits=split_into(3), external=True)
    np.testing.assert_array_equal(block.values[0, 0], values)
    assert block.case_fold.tolist() == [[0, 1, 2]] * 3
    with pytest.raises(DataError, match="more than one"):
        arrange(*args, splits=split_into(3))


def test_a_missing_row_is_neither_scored_nor_defined(score_table):
    table = score_table(VALUES, "abc").iloc[1:]
    (block,) = arrange(table, ["sim"], ["unet", "m1"], ["dice"])
    assert block.status[0, 0, 0, 0, 0] == -1
    assert np.isnan(block.values[0, 0, 0, 0, 0])
    assert (block.status == -1).sum() == 1


def test_names_outside_the_study_are_left_out(score_table):
    table = pd.concat([score_table(VALUES, "abc"), score_table(VALUES, "abc", dataset="other")])
    (block,) = arrange(table, ["sim", "absent"], ["m1"], ["dice", "iou"])
    assert (block.dataset, block.models, block.metrics) == ("sim", ("m1",), ("dice",))
    assert arrange(table, ["sim"], ["m1"], ["iou"]) == []


def test_scores_survive_the_file(score_table, tmp_path):
    table = score_table(np.where(VALUES > 3, VALUES, np.nan), ["1", "02", "NA"])
    write_csv(tmp_path / "scores.csv", table)
    (read,) = arrange(read_scores(tmp_path / "scores.csv"), ["sim"], ["unet", "m1"], ["dice"])
    (built,) = arrange(table, ["sim"], ["unet", "m1"], ["dice"])
    np.testing.assert_array_equal(read.values, built.values)
    assert read.groups == built.groups == ("02", "1", "NA")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t: pd.concat([t, t.iloc[[5]]]), "more than one dice"),
        (lambda t: t.assign(value=t["value"].where(t.index != 4, np.inf)), "infinite dice"),
        (lambda t: t.assign(group=t["group"].where(t.index != 4, "other")), "more than one group"),
        (lambda t: t.assign(fold=t["fold"].where(t.index != 4, 9)), "more than one fold"),
    ],
)
def test_contradictions_are_refused_with_their_place(score_table, spoil, words):
    with pytest.raises(DataError, match=rf"sim, case case\d+.*{words}|{words} in sim, case"):
        arrange(spoil(score_table(VALUES, "abc")), ["sim"], ["unet", "m1"], ["dice"])


def test_a_missing_or_foreign_table_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="attnbench gather"):
        read_scores(tmp_path / "scores.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="it needs dataset"):
        read_scores(tmp_path / "other.csv")
