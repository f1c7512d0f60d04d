"""Intervals and tests of the analysis on simulated studies whose truth is known.

Every study has groups of unequally many correlated cases, models that share the difficulty of
the cases and the errors of the baseline, and two seeds. The table says what was promised, what
was found and whether that is acceptable; a row that ends with `shown` is a shortfall that the
docs state, not one that passes. Ends with status 1 if any row fails.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from time import process_time

import numpy as np
import pandas as pd
from scipy import stats

from attnbench.analysis.across import compute_across
from attnbench.analysis.blocks import DatasetScores, arrange
from attnbench.analysis.difficulty import compute_difficulty
from attnbench.analysis.effect_size import minimum_effect
from attnbench.analysis.effects import compute_effects
from attnbench.analysis.rank_tests import compute_rank_tests
from attnbench.analysis.ranks import rankings
from attnbench.catalog import load_entry
from attnbench.data.phantom import generate
from attnbench.scoring.case import score_masks
from attnbench.study.groups import AnalysisSettings

PART = AnalysisSettings(bootstrap=1000)
STUDIES, INTERVALS = 2000, 4000
GROUP_SD, CASE_SD, SEED_SD = 0.03, 0.02, 0.01
Row = tuple[str, str, str, bool | None]


def simulate(
    random,
    groups,
    models=3,
    effect=0.0,
    alone=False,
    skewed=False,
    folds=5,
    run_sd=0.0,
    name="simulated",
):
    """Scores of a baseline and of models on one dataset, with a known difference.

    Args:
        random: source of all numbers.
        groups: number of groups, of 1 to 4 cases each.
        models: number of models beside the baseline.
        effect: true difference of a model's mean from the baseline's.
        alone: the baseline is constant and nothing is shared: models are independent replicates.
        skewed: exponential noise instead of normal.
        folds: number of test folds.
        run_sd: luck of one training that all cases of its fold and seed share.
        name: that of the dataset.
    """
    case_group = np.repeat(np.arange(groups), random.integers(1, 5, groups))
    case_fold, seeds = case_group % folds, 2
    shape = (models + 1, len(case_group), seeds)

    def noise(sd, *size):
        return sd * (random.exponential(size=size) - 1 if skewed else random.normal(size=size))

    values = noise(GROUP_SD, models + 1, groups)[:, case_group, None] + noise(
        CASE_SD, *shape[:2], 1
    )
    values = values + noise(SEED_SD, *shape) + noise(run_sd, models + 1, folds, seeds)[:, case_fold]
    values[0] *= not alone
    values += 0 if alone else random.normal(0, 0.1, groups)[case_group][:, None]
    values[1:] += effect
    return DatasetScores(
        dataset=name,
        metrics=("dice",),
        units=("1",),
        classes=(1,),
        models=("unet", *(f"m{i}" for i in range(models))),
        cases=tuple(map(str, range(len(case_group)))),
        seeds=tuple(range(seeds)),
        groups=tuple(map(str, range(groups))),
        case_group=case_group,
        case_fold=case_fold,
        values=values[None, None],
        status=np.zeros((1, 1, *shape), np.int8),
    )


def effects_of(block):
    frame = compute_effects([block], "unet", PART, {})
    return frame[frame["class"] == "all"]


def at_most(count, level, trials):
    """True where `count` of `trials` is no more than chance gives at the rate `level`."""
    return bool(count <= stats.binom.ppf(0.975, trials, level))


def percent(rate):
    return f"{100 * rate:.1f} %"


def false_positives() -> Iterator[Row]:
    """Studies of three models in which no model differs from any other."""
    for groups in (8, 20):
        random = np.random.default_rng(groups)
        counts: dict[str, int] = {}
        for _ in range(STUDIES):
            block = simulate(random, groups)
            frame = effects_of(block)
            one = frame.iloc[0]
            for name, wrong in {
                "Wilcoxon": one["p"] <= 0.05,
                "permutation": one["p_permutation"] <= 0.05,
                "interval without 0": not one["low"] <= 0 <= one["high"],
                "verdict (Holm), any of 3 models": frame["verdict"].isin(["better", "worse"]).any(),
                "Friedman": compute_rank_tests(rankings([block])[-1:], 0.05)["p_f"].iloc[0] <= 0.05,
            }.items():
                counts[name] = counts.get(name, 0) + bool(wrong)
        for name, count in counts.items():
            judged = None if "interval" in name else at_most(count, 0.05, STUDIES)
            yield (
                f"false positives, {groups} groups: {name}",
                "<= 5 %",
                percent(count / STUDIES),
                judged,
            )


def coverage() -> Iterator[Row]:
    """Intervals that hold the planted difference of 0.01."""
    for skewed in (False, True):
        for groups in (5, 8, 10, 14, 20, 40):
            random = np.random.default_rng(groups)
            blocks = (
                simulate(random, groups, 100, 0.01, alone=True, skewed=skewed)
                for _ in range(INTERVALS // 100)
            )
            frame = pd.concat([effects_of(block) for block in blocks])
            rate = ((frame["low"] <= 0.01) & (frame["high"] >= 0.01)).mean()
            judged = bool(0.93 <= rate <= 0.97) if groups >= 20 else None
            yield (
                f"coverage, {groups} groups: {'skewed' if skewed else 'normal'} differences",
                "95 %",
                percent(rate),
                judged,
            )


def power() -> Iterator[Row]:
    """Effects of the promised minimum size, found in 80 % of studies."""
    for groups in (8, 10, 20, 40):
        random = np.random.default_rng(groups)
        null = pd.concat([effects_of(simulate(random, groups, 100, alone=True)) for _ in range(20)])
        sd = float(np.sqrt((null["group_sd"] ** 2).mean()))
        promised = minimum_effect(np.array([sd]), np.array([groups]), np.array([0.05]))[0]
        detected = pd.concat(
            [effects_of(simulate(random, groups, 100, promised, alone=True)) for _ in range(20)]
        )
        rate = (detected["p"] <= 0.05).mean()
        yield (
            f"power, {groups} groups: effect of minimum_effect",
            "80 %",
            percent(rate),
            bool(0.75 <= rate <= 0.87),
        )
        typical = null["minimum_effect"].median() / promised
        yield (
            f"minimum_effect, {groups} groups: median of studies / truth",
            "1",
            f"{typical:.2f}",
            bool(0.8 < typical < 1.1),
        )


def equivalence() -> Iterator[Row]:
    """Studies that say `equivalent` when the truth is the margin itself, and when it is nothing."""
    for groups, effect, promise in (
        (20, PART.margin, "<= 5 %"),
        (40, PART.margin, "<= 5 %"),
        (200, 0.0, "often"),
    ):
        random = np.random.default_rng(groups)
        frame = pd.concat(
            [
                effects_of(simulate(random, groups, 100, effect, alone=True))
                for _ in range(STUDIES // 100)
            ]
        )
        count = int((frame["p_equivalence"] <= 0.05).sum())
        judged = at_most(count, 0.05, STUDIES) if effect else bool(count > 0.8 * STUDIES)
        yield (
            f"TOST, {groups} groups: true difference {effect:g}",
            promise,
            percent(count / STUDIES),
            judged,
        )


def retraining() -> Iterator[Row]:
    """False positives when every training has luck (sd 0.02) that its test cases share."""
    random = np.random.default_rng(1)
    shape = {"groups": 20, "alone": True, "run_sd": 0.02}
    many = pd.concat(
        [effects_of(simulate(random, models=100, **shape)) for _ in range(STUDIES // 100)]
    )
    blocks = [simulate(random, models=42, name=f"d{i}", **shape) for i in range(6)]
    rows = compute_across(blocks, "unet", PART)
    whole = rows["dataset"] == "all"
    for name, p in {
        "Wilcoxon over groups": many["p"],
        "p_retrained": many["p_retrained"],
        "mixed model, one dataset": rows.loc[~whole, "p"],
        "mixed model, six datasets": rows.loc[whole & (rows["method"] == "mixed"), "p"],
        "t over six datasets": rows.loc[whole & (rows["method"] == "datasets"), "p"],
    }.items():
        count, fitted = int((p <= 0.05).sum()), int(p.notna().sum())
        judged = None if name.startswith("Wilcoxon") else at_most(count, 0.05, fitted)
        yield (
            f"false positives, lucky trainings: {name}",
            "<= 5 %",
            f"{percent(count / fitted)} of {fitted}",
            judged,
        )


def difficulty() -> Iterator[Row]:
    """Slopes on a measure that is alike within groups: none planted, then 0.02 per sd."""
    for groups in (8, 20):
        random = np.random.default_rng(groups)
        tests, wrong, covered, detected = 0, 0, 0, 0
        for _ in range(STUDIES // 100):
            block = simulate(random, groups, 100, alone=True)
            measure = random.normal(size=groups)[block.case_group] + random.normal(
                size=len(block.cases)
            )
            known = {block.dataset: pd.DataFrame({"blur": measure}, index=list(block.cases))}
            values = block.values.copy()
            values[:, :, 1:] += 0.02 * ((measure - measure.mean()) / measure.std())[:, None]
            null = compute_difficulty([block], "unet", PART, known)
            planted = compute_difficulty([replace(block, values=values)], "unet", PART, known)
            tests, wrong = tests + len(null), wrong + int((null["p"] <= 0.05).sum())
            covered += int(((planted["low"] <= 0.02) & (planted["high"] >= 0.02)).sum())
            detected += int(((planted["p"] <= 0.05) & (planted["slope"] > 0)).sum())
        name, rate = f"slope on difficulty, {groups} groups", covered / tests
        yield (
            f"{name}: false positives",
            "<= 5 %",
            percent(wrong / tests),
            at_most(wrong, 0.05, tests),
        )
        yield (
            f"{name}: coverage",
            "95 %",
            percent(rate),
            bool(0.93 <= rate <= 0.97) if groups >= 20 else None,
        )
        yield (
            f"{name}: planted slope found",
            "often",
            percent(detected / tests),
            bool(detected > 0.8 * tests) if groups >= 20 else None,
        )


def phantoms() -> Iterator[Row]:
    """An oracle that degrades with the phantoms' blur, beside a steady one and its own twin."""
    for name in ("phantom2d", "phantom3d"):
        random, cases = np.random.default_rng(0), list(generate(load_entry(name)))
        blur = np.array([case.facts["blur"] for case in cases])
        degrading = 0.05 + 0.2 * blur / blur.max()
        errors = {"unet": degrading, "steady": np.full(len(cases), 0.15), "twin": degrading}
        rows = [
            {
                "dataset": name,
                "model": model,
                "fold": 0,
                "seed": 0,
                "case": case.case,
                "group": case.group,
                **row,
            }
            for model, rates in errors.items()
            for case, rate in zip(cases, rates, strict=True)
            for row in score_masks(
                oracle(random, case.mask, rate), case.mask, case.spacing, "px", (1, 2, 3), ["dice"]
            )
        ]
        blocks = arrange(pd.DataFrame(rows), [name], list(errors), ["dice"])
        known = {name: pd.DataFrame({"blur": blur}, index=[case.case for case in cases])}
        for row in compute_difficulty(blocks, "unet", PART, known).itertuples():
            planted, seen = row.model == "steady", row.p_holm <= 0.05
            judged = seen and row.low > 0 if planted else not seen and row.low <= 0 <= row.high
            what = f"{name}: slope on known blur, {'planted' if planted else 'none planted'}"
            yield (
                what,
                "> 0" if planted else "0",
                f"{row.slope:.4f}, p {row.p_holm:.2g}",
                bool(judged),
            )


def oracle(random, mask, rate):
    """A prediction that misses a share `rate` of the reference's voxels."""
    return np.where(random.uniform(size=mask.shape) < rate, 0, mask)


def main() -> int:
    failed = 0
    print(f"{'what':72} {'promised':>9} {'found':>14}")
    for check in (false_positives, coverage, power, equivalence, retraining, difficulty, phantoms):
        start = process_time()
        for what, promised, seen, judged in check():
            failed += judged is False
            print(
                f"{what:72} {promised:>9} {seen:>14}  "
                f"{'shown' if judged is None else 'ok' if judged else 'FAILED'}",
                flush=True,
            )
        print(f"  ({process_time() - start:.0f} s) {check.__doc__}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
