"""The models that are not told apart from the best, against scipy's test of the groups' means."""

import numpy as np
import pytest
from scipy.stats import wilcoxon

from attnbench.analysis.best import compute_best
from attnbench.analysis.blocks import arrange
from attnbench.analysis.means import compute_means
from attnbench.analysis.tables import FRAMES
from attnbench.study.groups import AnalysisSettings

MODELS = ["unet", "m1", "m2", "m3"]
PART = AnalysisSettings(bootstrap=200)


def table_of(scores, metric="dice"):
    blocks = arrange(scores, ["sim"], MODELS, [metric])
    return compute_best(blocks, compute_means(blocks, PART, {}), 0.05)


@pytest.mark.parametrize("metric", ["dice", "hd95"])
def test_every_model_is_tested_against_the_best_mean(score_table, metric):
    random = np.random.default_rng(3)
    quality = np.array([0.0, 0.05, 0.04, -0.1])[:, None, None]
    values = 0.5 + quality + 0.02 * random.normal(size=(4, 24, 2))
    groups = np.arange(24) // 2
    sign = -1 if metric == "hd95" else 1
    table = table_of(score_table(sign * values + 1, groups, metric=metric), metric).query(
        "`class` == 'all'"
    )
    assert set(table["best"]) == {"m1"}
    found = table.set_index("model")
    raw = {}
    for number, model in enumerate(MODELS):
        difference = sign * (values[number] - values[1]).mean(axis=1)
        assert found["difference"][model] == pytest.approx(difference.mean())
        assert found["groups"][model] == 12
        if model != "m1":
            raw[model] = wilcoxon(difference.reshape(12, 2).mean(axis=1)).pvalue
            assert found["p"][model] == pytest.approx(raw[model])
    worst_first = sorted(raw, key=raw.__getitem__)
    running = 0.0
    for place, model in enumerate(worst_first):
        running = max(running, min(1.0, raw[model] * (3 - place)))
        assert found["p_holm"][model] == pytest.approx(running)
        assert found["as_good"][model] == (running > 0.05)
    assert found["as_good"]["m1"] and np.isnan(found["p"]["m1"])
    assert not found["as_good"]["m3"]


def test_classes_are_paired_before_they_are_averaged(score_table):
    """A class that one of the two models lacks counts for neither."""
    values = np.array(
        [[[[0.9, 0.1]], [[0.8, np.nan]]], [[[0.7, 0.5]], [[0.6, 0.6]]]]
    )  # models, cases, seeds, classes
    table = table_of(score_table(values, groups="xy")).set_index(["class", "model"])
    assert table["best"]["all", "unet"] == "unet"
    assert table["difference"]["all", "m1"] == pytest.approx(np.mean([np.mean([-0.2, 0.4]), -0.2]))
    assert table["best"]["2", "unet"] == "m1"


@pytest.mark.parametrize(("groups", "told"), [(6, False), (7, True)])
def test_so_few_groups_that_nothing_can_be_told_leave_it_open(score_table, groups, told):
    """Six groups have no p below 2^-5, and the smallest of three must be below a third of 0.05."""
    better = np.arange(groups) / 100
    values = np.stack([0.1 + 0 * better, 0.3 + better, 0.5 + better, 0.2 + better])[..., None]
    table = (
        table_of(score_table(values, range(groups))).query("`class` == 'all'").set_index("model")
    )
    assert table["as_good"]["m2"]
    others = table["as_good"].drop("m2")
    assert not others.any() if told else others.isna().all()


def test_a_model_alone_has_no_rows(score_table):
    empty = table_of(score_table(np.full((1, 3, 1), 0.5), groups="xyz"))
    assert empty.empty and list(empty.columns) == list(FRAMES["best"])
