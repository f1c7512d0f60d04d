"""Plans against simulated studies: what formulas expect is what the analysis computes."""

from dataclasses import replace
from math import inf, sqrt

import numpy as np
import pytest
from scipy import stats

from attnbench.analysis.blocks import DatasetScores
from attnbench.analysis.planning import Decision, decide, numbers
from attnbench.analysis.power import (
    Design,
    detectable_effect,
    group_variance,
    groups_needed,
    retrained_error,
)
from attnbench.analysis.retraining import retrained
from attnbench.analysis.spread import Spread, spread_of
from attnbench.errors import StudyError

SPREAD = Spread(group=0.05, fold=0.02, run=0.03, rest=0.04)
DESIGNS = (Design(20, 5), Design(20, 5, seeds=3), Design(24, 4, 2, 3), Design(40, 10, 2, 2))


def block_of(design: Design) -> DatasetScores:
    """A balanced study of one case per group, without scores; splits are drawn at random."""
    random = np.random.default_rng(7)
    base = np.arange(design.groups) % design.folds
    splits = [random.permutation(base) + r * design.folds for r in range(design.repeats)]
    names = tuple(f"{i:02d}" for i in range(design.groups))
    shape = (1, 1, 1, design.groups, design.repeats * design.seeds)
    return DatasetScores(
        dataset="sim",
        metrics=("dice",),
        units=("1",),
        classes=(1,),
        models=("unet",),
        cases=names,
        seeds=tuple(range(design.seeds)),
        groups=names,
        case_group=np.arange(design.groups),
        case_fold=np.stack(splits, axis=1),
        values=np.full(shape, np.nan),
        status=np.zeros(shape, np.int8),
        outer=design.folds,
    )


def simulate(
    block: DatasetScores, design: Design, spread: Spread, studies: int, effect: float = 0.0
) -> np.ndarray:
    """Differences (studies, groups, trainings) of many studies, term by term."""
    random = np.random.default_rng(11)
    values = effect + random.normal(0, spread.group, (studies, design.groups, 1, 1))
    values = np.tile(values, (1, 1, design.repeats, design.seeds))
    for fold in range(design.folds * design.repeats):
        group, repeat = np.nonzero(block.case_fold == fold)
        luck = random.normal(0, spread.fold, (studies, 1, 1))
        luck = luck + random.normal(0, spread.run, (studies, 1, design.seeds))
        values[:, group, repeat] += luck
    values += random.normal(0, spread.rest, values.shape)
    return values.reshape(studies, design.groups, -1)


def near(sample: np.ndarray, expected: float) -> bool:
    """Within four standard errors of the simulation."""
    return bool(abs(sample.mean() - expected) <= 4 * sample.std(ddof=1) / sqrt(len(sample)))


@pytest.mark.parametrize("design", DESIGNS, ids=str)
def test_expected_variances_are_those_of_simulated_studies(design):
    block = block_of(design)
    values = simulate(block, design, SPREAD, 4000)
    assert near(retrained(block, values).error ** 2, retrained_error(SPREAD, design) ** 2)
    assert near(values.mean(axis=2).var(axis=1, ddof=1), group_variance(SPREAD, design))


@pytest.mark.parametrize("design", DESIGNS, ids=str)
@pytest.mark.parametrize("spread", [SPREAD, Spread(0.05, 0.0, 0.0, 0.02)], ids=["luck", "none"])
def test_a_detectable_effect_is_found_in_four_of_five_simulated_studies(design, spread):
    level, studies = 0.01, 2000
    block = block_of(design)
    effect = detectable_effect(spread, design, level)
    values = simulate(block, design, spread, studies, effect)
    as_trained = stats.ttest_1samp(values.mean(axis=2), 0, axis=1).pvalue
    found = (as_trained <= level) & (retrained(block, values).p() <= level)
    assert found.mean() >= 0.8 - 4 * sqrt(0.8 * 0.2 / studies)


def test_without_luck_the_error_is_that_of_groups_and_the_correction():
    spread, design = Spread(0.06, 0.0, 0.0, 0.0), Design(30, 5)
    assert group_variance(spread, design) == pytest.approx(0.06**2)
    assert retrained_error(spread, design) ** 2 == pytest.approx(0.06**2 / 6 * (1 / 5 + 1 / 4))


def test_luck_of_a_fold_stays_however_many_seeds_and_groups_there_are():
    spread = Spread(group=0.05, fold=0.02, run=0.03, rest=0.0)
    many = retrained_error(spread, Design(10**7, 5, seeds=10**6))
    assert many == pytest.approx(0.02 * sqrt(1 / 5 + 1 / 4), rel=1e-3)
    assert groups_needed(spread, Design(20, 5), 0.05, 0.01) is None


def test_few_trainings_or_groups_find_nothing():
    assert detectable_effect(SPREAD, Design(40, 2, seeds=9), 0.05) == inf
    assert detectable_effect(SPREAD, Design(5, 5), 0.05) == inf  # smallest p 1/16
    assert detectable_effect(SPREAD, Design(4, 5), 0.05) == inf
    assert detectable_effect(SPREAD, Design(6, 5), 0.05) < inf


def test_more_of_anything_finds_smaller_differences():
    one = Design(20, 5)
    for more in ({"groups": 40}, {"seeds": 2}, {"repeats": 2}):
        assert detectable_effect(SPREAD, replace(one, **more), 0.05) < detectable_effect(
            SPREAD, one, 0.05
        )


def test_the_groups_needed_are_the_fewest_that_find_it():
    design = Design(20, 10, seeds=3, repeats=2)
    spread = replace(SPREAD, fold=0.0)
    needed = groups_needed(spread, design, 0.05, 0.03)
    found = [
        detectable_effect(spread, replace(design, groups=groups), 0.05)
        for groups in (needed - 1, needed)
    ]
    assert found[0] > 0.03 >= found[1]


COMPARISON = Decision("cbam", "unet", 0.03, "undecided", decided=False)


def test_seeds_decide_where_luck_of_single_runs_is_all_there_is():
    spread, design = Spread(group=0.01, fold=0.0, run=0.05, rest=0.0), Design(40, 5)
    found = decide(COMPARISON, spread, design, 0.05)
    assert found.seeds and found.groups is None
    enough = replace(design, seeds=1 + found.seeds)
    one_less = replace(design, seeds=found.seeds)
    assert detectable_effect(spread, enough, 0.05) <= 0.03
    assert detectable_effect(spread, one_less, 0.05) > 0.03
    assert decide(COMPARISON, spread, design, 0.05, told=False).seeds is None


def test_only_groups_decide_where_patients_differ():
    found = decide(COMPARISON, Spread(0.2, 0.0, 0.0, 0.0), Design(20, 5), 0.05)
    assert found.seeds is None and found.repeats is None and found.groups > 20


def test_nothing_decides_a_difference_of_zero():
    found = decide(replace(COMPARISON, difference=0.0), SPREAD, Design(20, 5), 0.05)
    assert (found.seeds, found.repeats, found.groups) == (None, None, None)


@pytest.mark.parametrize("design", [Design(40, 10, 2, 2), Design(36, 12, 3)], ids=str)
def test_estimates_are_right_on_average(design):
    block = block_of(design)
    spread = Spread(0.05, 0.04, 0.04, 0.03)
    found = [spread_of(block, values) for values in simulate(block, design, spread, 400)]
    for name in ("group", "fold", "run", "rest"):
        sample = np.array([getattr(one, name) ** 2 for one in found])
        assert near(sample, getattr(spread, name) ** 2), name


@pytest.mark.parametrize(
    ("text", "expected"), [(None, None), ("5", (5,)), ("1-3,5", (1, 2, 3, 5)), ("2, 2", (2,))]
)
def test_lists_of_numbers(text, expected):
    assert numbers("--seeds", text) == expected


@pytest.mark.parametrize("text", ["", "two", "0", "3-1", "1-", "-3", "1,,2", "101", "1.5"])
def test_other_lists_are_refused(text):
    with pytest.raises(StudyError, match="--seeds"):
        numbers("--seeds", text)
