"""Mixed models of fixed differences against R's lme4 and statsmodels, and what they refuse."""

import os
import shutil
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from attnbench.analysis.mixed import fit_mixed

HERE = Path(__file__).parent
FILES = {path.stem: path for path in sorted((HERE / "differences").glob("*.csv"))}
"""Differences by group and training: balanced, unbalanced, of several datasets; and `boundary`,
where neither fold nor run has any luck.
"""
RANDOM = np.random.default_rng(41)


@pytest.fixture(scope="session")
def lme4():
    """What R's lme4 says of each file: a function of its name."""
    ready = (
        shutil.which("Rscript")
        and not subprocess.run(["Rscript", "-e", "library(lme4)"], capture_output=True).returncode
    )
    if not ready and "CI" not in os.environ:
        pytest.skip("needs R with lme4 (apt-get install r-base-core r-cran-lme4)")
    command = ["Rscript", str(HERE / "lme4.R"), *map(str, FILES.values())]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    answers = {}
    for line in said.splitlines():
        file, term, value = line.split(",")
        answers.setdefault(file.removesuffix(".csv"), {})[term] = float(value)
    return answers.__getitem__


def fit(name):
    return fit_mixed(pd.read_csv(FILES[name]), 0.95)


@pytest.mark.parametrize("name", FILES)
def test_mean_error_and_every_spread_are_lme4s(lme4, name):
    ours, theirs = fit(name), lme4(name)
    assert ours["converged"] and ours["note"] == ""
    # A spread of 0 is found to the optimiser's precision, which is the square root of a variance's.
    for level in ("fold", "run", "group", *(["dataset"] if name == "datasets" else [])):
        assert ours[f"sd_{level}"] == pytest.approx(theirs[f"sd_{level}"], rel=1e-3, abs=1e-5)
    assert ours["sd_rest"] == pytest.approx(theirs["sd_Residual"], rel=1e-4)
    assert ours["difference"] == pytest.approx(theirs["difference"], rel=1e-4)
    half = stats.t.ppf(0.975, ours["free"]) * theirs["error"]
    interval = theirs["difference"] - half, theirs["difference"] + half
    assert (ours["low"], ours["high"]) == pytest.approx(interval, rel=1e-3)
    t = abs(theirs["difference"]) / theirs["error"]
    assert ours["p"] == pytest.approx(2 * stats.t.sf(t, ours["free"]), rel=1e-3)


@pytest.mark.parametrize("name", ["balanced", "unbalanced"])
def test_statsmodels_finds_the_same_variances(name):
    rows = pd.read_csv(FILES[name])
    # In units of their sd: statsmodels' optimiser stops early on small variances.
    scale = rows["value"].std()
    parts = {level: f"0 + C({level})" for level in ("fold", "run", "group")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = MixedLM.from_formula(
            "value ~ 1", rows.assign(value=rows["value"] / scale, one=1), groups="one",
            vc_formula=parts,
        ).fit(reml=True)  # fmt: skip
    ours = fit(name)
    names = theirs.model.exog_vc.names
    for level, variance in zip(names, theirs.vcomp, strict=True):
        assert ours[f"sd_{level}"] == pytest.approx(np.sqrt(variance) * scale, rel=0.02)
    assert ours["difference"] == pytest.approx(theirs.fe_params.iloc[0] * scale, rel=0.01)


def test_a_variance_of_zero_is_kept_in_the_result(lme4):
    ours = fit("boundary")
    assert ours["converged"] and lme4("boundary")["sd_fold"] == pytest.approx(0, abs=1e-5)
    assert ours["sd_fold"] == pytest.approx(0, abs=1e-5)
    assert {"sd_fold", "sd_run", "sd_group", "sd_rest"} <= set(ours)


@pytest.mark.parametrize("name", FILES)
def test_folds_limit_the_degrees_of_freedom(name):
    rows = pd.read_csv(FILES[name])
    units = "dataset" if name == "datasets" else "fold"
    assert 0 < fit(name)["free"] <= rows[units].nunique() - 1


def crossed(groups, folds, seeds, fold_sd, group_sd=0.02, rest_sd=0.01, mean=0.02, datasets=1):
    """Differences of every group, which one fold tests, in every run of that fold."""
    dataset, group, seed = np.indices((datasets, groups, seeds)).reshape(3, -1)
    fold, group = group % folds + 100 * dataset, group + 100 * dataset
    luck, own = RANDOM.normal(0, fold_sd, 1000), RANDOM.normal(0, group_sd, 1000)
    value = mean + luck[fold] + own[group] + RANDOM.normal(0, rest_sd, fold.size)
    run = fold * 10 + seed
    return pd.DataFrame(
        {"dataset": dataset, "fold": fold, "run": run, "group": group, "value": value}
    )


def test_luck_of_folds_widens_the_interval():
    calm, lucky = (fit_mixed(crossed(30, 5, 3, sd), 0.95) for sd in (0.0, 0.1))
    assert lucky["high"] - lucky["low"] > 3 * (calm["high"] - calm["low"])
    assert lucky["sd_fold"] > 0.03 > calm["sd_fold"]


ONE_VALUE = crossed(8, 5, 2, 0, 0, 0)


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        (ONE_VALUE, "every difference is the same"),
        (crossed(12, 4, 3, 0.1), "4 folds cannot tell the luck of training"),
        (crossed(12, 2, 9, 0.1), "2 folds cannot tell the luck of training"),
        (crossed(20, 5, 2, 0.1, datasets=2), "the spread of datasets takes 3"),
        (crossed(460, 5, 10, 0.1), "515 folds, trainings and groups are too many"),
        (crossed(9, 9, 1, 0.1), "no fold, run or group repeats"),
    ],
)
def test_what_cannot_be_fitted_says_why(rows, note):
    result = fit_mixed(rows, 0.95)
    assert not result["converged"] and note in result["note"] and "p" not in result
