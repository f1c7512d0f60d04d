"""The study's answer: what helps, and what is not told from a larger network."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from attnbench.analysis.answer import Asked, asked, compute_answer
from attnbench.analysis.blocks import arrange
from attnbench.analysis.effects import compute_effects
from attnbench.analysis.tables import FRAMES
from attnbench.study.groups import AnalysisSettings
from attnbench.study.settings import Study

PART = AnalysisSettings(bootstrap=2000)
GROUPS = 40
CONTROLS = {"parameters": "cbam-parameters", "flops": "cbam-flops"}
CBAM = Asked("cbam", CONTROLS)
GAIN = 0.05


def study(random, gains, groups=GROUPS):
    """Scores by model: a patient's own, and the gain of each model with some noise."""
    own = random.normal(0.7, 0.05, groups)
    return {
        name: own + gain + random.normal(0, 0.005, groups) * (name != "unet")
        for name, gain in gains.items()
    }


@pytest.fixture
def answer(score_table):
    """A function: scores by model, or by dataset and model, to the rows of the answer."""

    def build(values, variants=(CBAM,), folds=5, metric="dice", baseline="unet"):
        by_dataset = values if isinstance(next(iter(values.values())), dict) else {"sim": values}
        names = list(next(iter(by_dataset.values())))
        tables = []
        for dataset, models in by_dataset.items():
            scores = np.stack(list(models.values()))[..., None]
            number = scores.shape[1]
            fold = np.arange(number) % folds
            table = score_table(scores, range(number), fold, dataset, metric)
            standing = ["unet", *(f"m{i}" for i in range(1, len(models)))]
            tables.append(table.replace({"model": dict(zip(standing, models, strict=True))}))
        blocks = arrange(pd.concat(tables), list(by_dataset), names, [metric])
        pairs = [(one.model, name) for one in variants for name in one.controls.values()]
        effects = compute_effects(blocks, baseline, PART, {}, pairs)
        frame = compute_answer(effects, blocks, baseline, variants, PART, (metric, "all"))
        assert list(frame.columns) == list(FRAMES["answer"])
        return frame

    return build


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        # A gain of the variant over everything, of a control alone, of size, of nothing.
        ({"unet": 0, "cbam": GAIN, "cbam-parameters": 0, "cbam-flops": 0}, "helps"),
        ({"unet": 0, "cbam": 0, "cbam-parameters": GAIN, "cbam-flops": 0}, "equivalent"),
        (
            {"unet": 0, "cbam": GAIN, "cbam-parameters": GAIN, "cbam-flops": GAIN},
            "not separated from size",
        ),
        (
            {"unet": 0, "cbam": GAIN, "cbam-parameters": 0, "cbam-flops": GAIN},
            "not separated from size",
        ),
        (
            {"unet": 0, "cbam": GAIN, "cbam-parameters": 2 * GAIN, "cbam-flops": 0},
            "not separated from size",
        ),
        ({"unet": 0, "cbam": -GAIN, "cbam-parameters": -2 * GAIN, "cbam-flops": 0}, "worse"),
        ({"unet": 0, "cbam": 0, "cbam-parameters": 0, "cbam-flops": 0}, "equivalent"),
    ],
)
def test_a_variant_helps_only_where_it_beats_the_baseline_and_every_control(answer, gains, verdict):
    (row,) = answer(study(np.random.default_rng(1), gains)).to_dict("records")
    assert row["verdict"] == verdict
    assert (row["model"], row["rivals"]) == ("cbam", "cbam-parameters + cbam-flops")
    assert row["lacking"] == row["same_as_baseline"] == ""


def test_an_effect_that_is_neither_clear_nor_negligible_is_undecided(answer):
    values = study(np.random.default_rng(2), {"unet": 0, "cbam": 0.0, **_nothing()})
    values["cbam"] = values["unet"] + np.random.default_rng(3).normal(0.005, 0.2, GROUPS)
    assert answer(values)["verdict"].tolist() == ["undecided"]


def _nothing():
    return dict.fromkeys(CONTROLS.values(), 0.0)


@pytest.mark.parametrize(
    ("controls", "lacking"),
    [
        ({}, "parameters + flops"),
        ({"parameters": "cbam-parameters"}, "flops"),
        ({"flops": "cbam-flops"}, "parameters"),
    ],
)
def test_without_a_control_a_gain_is_not_separated_from_size(answer, controls, lacking):
    gains = {"unet": 0, "cbam": GAIN, **dict.fromkeys(controls.values(), 0)}
    (row,) = answer(study(np.random.default_rng(4), gains), [Asked("cbam", controls)]).to_dict(
        "records"
    )
    assert (row["verdict"], row["lacking"]) == ("not separated from size", lacking)


def test_a_control_that_is_not_scored_yet_rules_out_nothing(answer):
    gains = {"unet": 0, "cbam": GAIN, "cbam-parameters": 0}
    (row,) = answer(study(np.random.default_rng(5), gains)).to_dict("records")
    assert (row["verdict"], row["lacking"]) == ("not separated from size", "flops")
    assert row["rivals"] == "cbam-parameters"


def test_a_control_that_is_the_baseline_itself_counts_once(answer):
    """Nothing larger was needed for as many operations: the search found the baseline."""
    values = study(np.random.default_rng(6), {"unet": 0, "cbam": GAIN, **_nothing()})
    values["cbam-flops"] = values["unet"]
    (row,) = answer(values).to_dict("records")
    assert row["verdict"] == "helps" and row["lacking"] == ""
    assert (row["rivals"], row["same_as_baseline"]) == ("cbam-parameters", "cbam-flops")


def test_the_largest_p_of_all_rivals_counts(answer):
    values = study(np.random.default_rng(7), {"unet": 0, "cbam": 0.0, **_nothing()}, 12)
    for number, name in enumerate(("unet", *CONTROLS.values())):
        noise = np.random.default_rng(number).normal(0, 0.02, 12)
        values[name] = values["cbam"] - 0.01 * (number + 1) + noise
    (row,) = answer(values).to_dict("records")
    p, retrained = {}, {}
    for name in ("unet", *CONTROLS.values()):
        gain = values["cbam"] - values[name]
        p[name] = stats.permutation_test(
            (gain,), np.mean, permutation_type="samples", n_resamples=np.inf
        ).pvalue
        fold = np.arange(12) % 5
        means = np.array([gain[fold == f].mean() for f in range(5)])
        weights = np.bincount(fold) / 12
        spread = np.sum(weights * (means - gain.mean()) ** 2) * 5 / 4
        error = np.sqrt(spread * (np.sum(weights**2) + 1 / 4))
        retrained[name] = 2 * stats.t.sf(abs(gain.mean()) / error, 4)
        assert gain.mean() > 0
    assert row["p"] == pytest.approx(p["unet"])
    assert row["p_all"] == pytest.approx(max(p.values()))
    assert row["p_all_retrained"] == pytest.approx(max(retrained.values()))
    assert row["weakest"] == max(retrained, key=retrained.__getitem__)
    gain = values["cbam"] - values[row["weakest"]]
    assert row["weakest_benefit"] == pytest.approx(gain.mean())


def variants(number):
    return [
        Asked(f"v{i}", {"parameters": f"v{i}-parameters", "flops": f"v{i}-flops"})
        for i in range(number)
    ]


def test_holm_runs_over_variants_and_datasets(answer):
    random, asking = np.random.default_rng(9), variants(3)
    gains = {"unet": 0.0}
    for number, one in enumerate(asking):
        gains |= {one.model: 0.001 * (number + 1), **dict.fromkeys(one.controls.values(), 0.0)}
    frame = answer({name: study(random, gains) for name in ("first", "second")}, asking)
    assert len(frame) == 6 and set(frame["family_size"]) == {6}
    for name in ("p", "p_retrained", "p_all", "p_all_retrained", "p_equivalence"):
        expected = multipletests(frame[name], method="holm")[1]
        np.testing.assert_allclose(frame[f"{name}_holm"], expected)


def test_intervals_that_hold_at_once_are_those_at_bonferronis_level(answer):
    random, asking = np.random.default_rng(10), variants(2)
    names = [name for one in asking for name in (one.model, *one.controls.values())]
    values = study(random, {"unet": 0.0, **dict.fromkeys(names, 0.01)})
    frame = answer(values, asking).set_index("model")
    for one in asking:
        gain, row = values[one.model] - values["unet"], frame.loc[one.model]
        interval = stats.t.interval(1 - 0.05 / 2, GROUPS - 1, gain.mean(), stats.sem(gain))
        found = row["simultaneous_low"], row["simultaneous_high"]
        assert found == pytest.approx(interval)
        means = [gain[np.arange(GROUPS) % 5 == f].mean() for f in range(5)]
        error = np.std(means, ddof=1) * np.sqrt(1 / 5 + 1 / 4)
        interval = stats.t.interval(1 - 0.05 / 2, 4, gain.mean(), error)
        found = row["simultaneous_retrained_low"], row["simultaneous_retrained_high"]
        assert found == pytest.approx(interval)


@pytest.mark.parametrize(
    ("groups", "number", "verdict"),
    [(5, 1, "too few groups"), (6, 1, "helps"), (6, 2, "too few groups"), (7, 2, "helps")],
)
def test_groups_are_counted_against_the_answers_own_family(answer, groups, number, verdict):
    """2^(1 - n) times the variants; that the controls are compared as well costs nothing here."""
    asking, own = variants(number), np.linspace(0.3, 0.5, groups)
    values = {"unet": own}
    for one in asking:
        values[one.model] = own + 0.2 + 0.01 * np.arange(groups) / groups
        values |= {name: own + 0.001 * np.arange(groups) for name in one.controls.values()}
    frame = answer(values, asking)
    assert set(frame["verdict"]) == {verdict}


def test_four_folds_answer_nothing_about_a_mechanism(answer):
    gains = {"unet": 0, "cbam": GAIN, **_nothing()}
    frame = answer(study(np.random.default_rng(11), gains), folds=4)
    assert frame["verdict"].tolist() == ["too few trainings"]
    assert frame[["p_all_retrained", "p_retrained", "p_equivalence"]].isna().all(axis=None)


def test_luck_of_the_folds_is_no_help(answer):
    values = study(np.random.default_rng(12), {"unet": 0, "cbam": 0.03, **_nothing()})
    swing = np.array([0.12, -0.08, 0.1, -0.06, -0.02])
    values["cbam"] = values["cbam"] + swing[np.arange(GROUPS) % 5]
    (row,) = answer(values).to_dict("records")
    assert row["p_all_holm"] < 0.05 < row["p_all_retrained_holm"]
    assert row["verdict"] == "undecided"


def test_luck_of_the_folds_against_a_control_does_not_rule_out_size(answer):
    values = study(np.random.default_rng(17), {"unet": 0, "cbam": 0.1, **_nothing()})
    swing = np.array([0.12, -0.08, 0.1, -0.06, -0.02])
    values["cbam-flops"] = values["cbam-flops"] + 0.06 + swing[np.arange(GROUPS) % 5]
    (row,) = answer(values).to_dict("records")
    assert row["p_all_holm"] < 0.05 < row["p_all_retrained_holm"]
    assert (row["verdict"], row["weakest"]) == ("not separated from size", "cbam-flops")


def test_distances_of_a_variant_that_failed_elsewhere_are_no_answer(answer):
    gains = {"unet": 0, "cbam": -GAIN, **_nothing()}
    values = study(np.random.default_rng(13), gains)
    values["cbam"][:2] = np.nan
    assert answer(values, metric="hd95")["verdict"].tolist() == ["failures differ"]


def test_distances_of_a_control_that_failed_elsewhere_rule_out_nothing(answer):
    values = study(np.random.default_rng(14), {"unet": 0, "cbam": -GAIN, **_nothing()})
    values["cbam-flops"][:2] = np.nan
    (row,) = answer(values, metric="hd95").to_dict("records")
    assert row["verdict"] == "not separated from size" and np.isnan(row["p_all"])


def test_a_variant_or_a_baseline_without_scores_has_no_row(answer):
    gains = {"unet": 0, **_nothing()}
    assert answer(study(np.random.default_rng(15), gains)).empty
    assert answer(study(np.random.default_rng(15), gains | {"cbam": 1}), baseline="none").empty


def test_a_study_asks_about_its_variants_and_no_control():
    names = ["unet", "cbam", "cbam-parameters", "cbam-flops", "cbam-random", "se"]
    asking = Study(name="s", datasets=["sim"], models=names)
    found = {one.model: dict(one.controls) for one in asked(asking)}
    assert found == {"cbam": CONTROLS, "se": {}}


def test_of_studies_without_any_effect_few_answer_that_it_helps(answer):
    """Luck that the trainings of a fold share, one variant, two controls: 100 datasets apart."""
    random, helped = np.random.default_rng(16), 0
    for _ in range(100):
        values = study(random, {"unet": 0, "cbam": 0, **_nothing()}, 20)
        for name in ("cbam", *CONTROLS.values()):
            values[name] = values[name] + random.normal(0, 0.02, 5)[np.arange(20) % 5]
        helped += answer(values)["verdict"].isin(["helps", "not separated from size"]).sum()
    assert helped <= stats.binom.ppf(0.999, 100, 0.05)
