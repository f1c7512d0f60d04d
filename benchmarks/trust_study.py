"""Simulated studies as the analysis takes them, and its frames of them; for `trust_rows.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd

from attnbench.analysis.across import compute_across
from attnbench.analysis.answer import SIZES, Asked, compute_answer
from attnbench.analysis.best import compute_best, compute_pairs
from attnbench.analysis.blocks import ALL_CLASSES, DatasetScores
from attnbench.analysis.difficulty import compute_difficulty
from attnbench.analysis.effects import compute_effects
from attnbench.analysis.means import compute_means
from attnbench.analysis.rank_tests import compute_rank_tests
from attnbench.analysis.ranks import rankings
from attnbench.study.groups import AnalysisSettings
from benchmarks.unkind import Simulated, World, simulate

SETTINGS = AnalysisSettings(bootstrap=500)
LEVEL = 1 - SETTINGS.confidence
BASELINE, VARIANT = "unet", "cbam"
UNITS = {"dice": "1", "hd95": "mm", "hd95_penalised": "mm"}


@dataclass(frozen=True)
class Design:
    """Groups and trainings of a study; a split into folds is drawn `repeats` times."""

    groups: int
    folds: int
    seeds: int
    repeats: int = 1

    @property
    def trainings(self) -> str:
        """Folds x seeds, and how often the split is repeated."""
        return f"{self.folds} x {self.seeds}" + (
            f", {self.repeats} repeats" if self.repeats > 1 else ""
        )

    def of(self, world: World, external: bool = False) -> World:
        """The world with this design; elsewhere (`external`) every training tests every case."""
        folds, repeats = (1, self.folds * self.repeats) if external else (self.folds, self.repeats)
        return replace(world, groups=self.groups, folds=folds, seeds=self.seeds, repeats=repeats)


def scores(
    study: Simulated, design: Design, metrics: Sequence[str] = ("dice",), external: bool = False
) -> DatasetScores:
    """A simulated study as `arrange` would give it."""
    values = {"dice": study.dice, "hd95": study.distance, "hd95_penalised": study.penalised}
    return DatasetScores(
        dataset=study.name,
        metrics=tuple(metrics),
        units=tuple(UNITS[name] for name in metrics),
        classes=(1,),
        models=study.models,
        cases=tuple(f"{case:05d}" for case in range(len(study.case_group))),
        seeds=tuple(range(study.seeds)),
        groups=tuple(f"{group:03d}" for group in range(design.groups)),
        case_group=study.case_group,
        case_fold=study.case_fold,
        values=np.stack([values[name] for name in metrics])[:, None],
        status=np.stack([study.status] * len(metrics))[:, None],
        outer=design.folds,
        external=external,
    )


class Analysis:
    """The frames of the analysis of some simulated datasets, each computed when it is read."""

    def __init__(
        self,
        worlds: Sequence[World],
        studies: Sequence[Simulated],
        design: Design,
        metrics: Sequence[str],
        external: bool,
    ) -> None:
        self.worlds, self.studies = worlds, studies
        self.blocks = [scores(one, design, metrics, external) for one in studies]
        models = studies[0].models
        self.asked = [
            Asked(
                name,
                {kind: f"{name}-{kind}" for kind in SIZES if f"{name}-{kind}" in models},
            )
            for name in models
            if name != BASELINE and "-" not in name
        ]
        self.controls = [(one.model, name) for one in self.asked for name in one.controls.values()]

    @cached_property
    def effects(self) -> pd.DataFrame:
        """As `effects.csv`, without the single class, which is the mean over classes here."""
        frame = compute_effects(self.blocks, BASELINE, SETTINGS, {}, self.controls)
        return frame[frame["class"] == ALL_CLASSES]

    @cached_property
    def answer(self) -> pd.DataFrame:
        """As `answer.csv`."""
        primary = ("dice", ALL_CLASSES)
        return compute_answer(self.effects, self.blocks, BASELINE, self.asked, SETTINGS, primary)

    @cached_property
    def means(self) -> pd.DataFrame:
        """As `means.csv`, without the single class."""
        frame = compute_means(self.blocks, SETTINGS, {})
        return frame[frame["class"] == ALL_CLASSES]

    @cached_property
    def best(self) -> pd.DataFrame:
        """As `best.csv`."""
        return compute_best(self.blocks, self.means, SETTINGS)

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """As `pairs.csv`."""
        return compute_pairs(self.blocks, SETTINGS)

    @cached_property
    def difficulty(self) -> pd.DataFrame:
        """As `difficulty.csv`, of one measure that is known."""
        known = {
            one.name: pd.DataFrame(
                {"blur": one.difficulty, "voxels_1": 300.0}, index=list(block.cases)
            )
            for one, block in zip(self.studies, self.blocks, strict=True)
        }
        controls = [pair for pair in self.controls if pair[1].endswith("parameters")]
        return compute_difficulty(self.blocks, BASELINE, SETTINGS, known, controls)

    @cached_property
    def across(self) -> pd.DataFrame:
        """As `across.csv`."""
        return compute_across(self.blocks, BASELINE, SETTINGS, "dice")

    @cached_property
    def friedman(self) -> pd.DataFrame:
        """As `rank_tests.csv`, over all classes."""
        frame = compute_rank_tests(rankings(self.blocks), LEVEL)
        return frame[frame["class"] == ALL_CLASSES]

    def first(self, frame: pd.DataFrame, metric: str = "dice") -> pd.DataFrame:
        """The rows of the first variant against the baseline, one per dataset."""
        return frame[
            (frame["metric"] == metric)
            & (frame["model"] == VARIANT)
            & (frame["baseline"] == BASELINE)
        ]


@lru_cache
def true_mean(world: World, groups: int = 40_000) -> float:
    """True mean Dice of the baseline: new groups, each with a training of its own."""
    planted = ("gains", "spread", "interaction", "by_size", "lost_by")
    baseline = replace(world, models=(BASELINE,), **{name: {} for name in planted})
    many = replace(baseline, groups=groups, folds=groups, repeats=1, seeds=1)
    study = simulate(many, np.random.default_rng(2))
    sizes = np.bincount(study.case_group)
    return float((np.bincount(study.case_group, study.dice[0, :, 0]) / sizes).mean())
