"""Standard deviations of a difference, against restricted maximum likelihood."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from attnbench.analysis.blocks import arrange
from attnbench.analysis.spread import Spread, estimate_spread

FOLDS, SEEDS, GROUPS = 6, 3, 48


def differences() -> np.ndarray:
    """(groups, seeds), group g in fold g % FOLDS; every variance is far from 0."""
    random = np.random.default_rng(3)
    fold = np.arange(GROUPS) % FOLDS
    values = random.normal(0, 0.05, (GROUPS, 1)) + random.normal(0, 0.03, (GROUPS, SEEDS))
    luck = random.normal(0, 0.05, (FOLDS, 1)) + random.normal(0, 0.04, (FOLDS, SEEDS))
    return values + luck[fold]


def blocks_of(score_table, values, seeds=SEEDS):
    """The block of a study in which `m1` differs by `values` from `unet`, two cases per group."""
    base = np.random.default_rng(4).uniform(0.5, 0.6, (2 * GROUPS, seeds))
    group = np.repeat(np.arange(GROUPS), 2)
    table = score_table(
        np.stack([base, base + values[group]]), [f"{g:02d}" for g in group], group % FOLDS
    )
    return arrange(table, ["sim"], ["unet", "m1"], ["dice"])[0]


@pytest.mark.filterwarnings("ignore:The MLE may be on the boundary")
def test_estimates_are_those_of_a_mixed_model_on_balanced_data(score_table):
    values = differences()
    group, seed = np.indices(values.shape)
    rows = pd.DataFrame(
        {
            "value": values.ravel(),
            "group": group.ravel(),
            "fold": group.ravel() % FOLDS,
            "seed": seed.ravel(),
        }
    )
    parts = {"group": "0 + C(group)", "run": "0 + C(seed)"}
    fit = smf.mixedlm("value ~ 1", rows, groups="fold", re_formula="1", vc_formula=parts).fit()
    variances = dict(zip(fit.model.exog_vc.names, fit.vcomp, strict=True))
    found = estimate_spread(blocks_of(score_table, values), "dice", "all", ("m1", "unet"))
    expected = [
        variances["group"],
        float(fit.cov_re.iloc[0, 0]),
        variances["run"],
        fit.scale,
    ]
    assert np.square([found.group, found.fold, found.run, found.rest]) == pytest.approx(
        expected, rel=2e-3
    )


def test_with_one_seed_luck_is_in_folds_and_the_rest_in_groups(score_table):
    values = differences()[:, :1]
    table = values[:, 0].reshape(-1, FOLDS)
    found = estimate_spread(blocks_of(score_table, values, 1), "dice", "1", ("m1", "unet"))
    within = table.var(axis=0, ddof=1).mean()
    between = table.mean(axis=0).var(ddof=1) - within / len(table)
    assert (found.run, found.rest) == (0, 0)
    assert (found.group**2, found.fold**2) == pytest.approx((within, between))


def test_a_group_without_every_seed_is_left_out(score_table):
    one, all_seeds = differences(), differences()
    one[5, 1], all_seeds[5] = np.nan, np.nan
    found, expected, full = (
        estimate_spread(blocks_of(score_table, values), "dice", "all", ("m1", "unet"))
        for values in (one, all_seeds, differences())
    )
    assert found == expected != full


def test_one_fold_or_single_groups_give_no_estimate(score_table):
    values, pair = np.array([[0.1], [0.2], [0.3]]), ("m1", "unet")
    scores = np.stack([np.zeros((3, 1)), values])
    for folds in ([0, 0, 0], [0, 1, 2]):
        (block,) = arrange(
            score_table(scores, ["a", "b", "c"], folds), ["sim"], ["unet", "m1"], ["dice"]
        )
        assert estimate_spread(block, "dice", "all", pair) is None


def test_spreads_are_pooled_by_their_variances():
    pooled = Spread(0.1, 0.0, 0.3, 0.2).pooled([Spread(0.7, 0.0, 0.3, 0.2)])
    assert (pooled.group, pooled.fold, pooled.run, pooled.rest) == pytest.approx(
        (0.5, 0.0, 0.3, 0.2)
    )
