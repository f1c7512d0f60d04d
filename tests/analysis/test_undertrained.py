"""A run that had not come to rest is found, one that had is not, and noise is told from a rise."""

import math

import numpy as np
import pandas as pd
import pytest

from attnbench.analysis.cost import compute_cost
from attnbench.analysis.frames import of_rows
from attnbench.analysis.undertrained import rise_at_end, with_rise

STEPS = np.arange(50, 1001, 50)
MARGIN = 0.01


def saturated(steps):
    return 0.8 - 0.8 * np.exp(-steps / 60)


def rising(steps):
    return 0.8 * steps / 1000


def runs_of(*histories):
    """The frames `runs` and `learning` of one model's runs, one history per fold."""
    facts = [
        {"dataset": "d", "model": "m", "fold": fold, "seed": 0, "trained": True}
        for fold in range(len(histories))
    ]
    rows = [
        {**facts[fold], "step": step, "validation_dice": value}
        for fold, history in enumerate(histories)
        for step, value in history
    ]
    return of_rows("runs", facts), of_rows("learning", rows)


def test_the_rise_is_the_difference_of_the_quarters_means():
    values = np.arange(20) ** 2.0
    third, last = values[9:15].mean(), values[15:].mean()  # steps 500 to 750, then 800 to 1000
    assert rise_at_end(STEPS, values, 1000) == pytest.approx(last - third)
    assert rise_at_end(STEPS, rising(STEPS), 1000) == pytest.approx(0.8 * (900 - 625) / 1000)
    assert abs(rise_at_end(STEPS, saturated(STEPS), 1000)) < MARGIN / 10


def test_it_cannot_be_told_with_fewer_than_two_validations_in_a_quarter():
    for steps in ([250, 500, 750, 1000], [800, 900, 1000], [1000], []):
        assert math.isnan(rise_at_end(steps, [0.1 * k for k, _ in enumerate(steps)], 1000))
    assert rise_at_end([600, 700, 900, 1000], [0.1, 0.1, 0.3, 0.3], 1000) == pytest.approx(0.2)


def test_noise_around_a_plateau_is_seldom_taken_for_a_rise_and_hides_none():
    random = np.random.default_rng(0)
    noise = random.normal(0, MARGIN, (400, len(STEPS)))
    flat = [rise_at_end(STEPS, 0.8 + row, 1000) > MARGIN for row in noise]
    steep = [rise_at_end(STEPS, rising(STEPS) + row, 1000) > MARGIN for row in noise]
    assert np.mean(flat) < 0.1 and all(steep)


def test_a_model_counts_its_runs_that_still_rose_and_those_that_can_be_told():
    few = [(500, 0.1), (1000, 0.9)]
    runs, learning = runs_of(
        list(zip(STEPS, saturated(STEPS), strict=True)),
        list(zip(STEPS, rising(STEPS), strict=True)),
        few,
        [],
    )
    judged = with_rise(runs, learning, MARGIN)
    assert judged["still_rising"].tolist()[:2] == [False, True]
    assert judged["still_rising"].isna().tolist() == [False, False, True, True]
    cost = compute_cost({("d", "m"): {}}, judged, of_rows("sweep", []), "m").iloc[0]
    assert (cost["runs"], cost["told"], cost["rising"]) == (4, 2, 1)
    assert with_rise(runs, learning, 1.0)["still_rising"].tolist()[:2] == [False, False]


def test_time_and_energy_of_all_trainings_include_the_trials():
    runs, learning = runs_of([], [])
    runs = runs.assign(train_seconds=[10.0, 20.0], energy_j=[1.0, 2.0])
    trials = pd.DataFrame(
        {"dataset": "d", "model": ["m", "m", "other"], "seconds": [3.0, 4.0, 50.0], "energy_j": 0.5}
    )
    cost = compute_cost({("d", "m"): {}}, with_rise(runs, learning, MARGIN), trials, "m").iloc[0]
    assert (cost["trials"], cost["trial_seconds"]) == (2, 7.0)
    assert (cost["all_seconds"], cost["all_energy_j"]) == (37.0, 4.0)
    unmeasured = with_rise(runs.assign(energy_j=[1.0, np.nan]), learning, MARGIN)
    assert np.isnan(compute_cost({("d", "m"): {}}, unmeasured, trials, "m")["all_energy_j"].iloc[0])
