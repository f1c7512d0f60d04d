"""Simulated studies of an unkind world, whose truth is known, for `benchmarks/trust.py`.

Dice is normal on the logit scale and then squeezed: models share the difficulty of groups and of
cases, trainings have luck that their test cases share, cases get lost and references lack the
class. Knows nothing of the analysis that it is used to judge: numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
ByModel = Mapping[str, float]

# In the order of `attnbench.analysis.blocks.STATUSES`.
OK, BOTH_EMPTY, PREDICTION_EMPTY, REFERENCE_EMPTY = range(4)
DIAGONAL = 100.0
"""Distance in mm that the penalised distance has where one of the masks is empty."""

_TRUTH_GROUPS, _TRUTH_CHUNK = 200_000, 20_000


@dataclass(frozen=True)
class World:
    """What makes the scores; every `sd` and gain is on the logit scale of Dice.

    Attributes:
        groups: number of groups of a study.
        cases: least and most cases of a group, log-uniform between: few groups are large.
        folds, repeats, seeds: test folds of a split, splits, and trainings of a fold.
        models: the baseline first.
        level: logit of a typical Dice; 1.4 is 0.8 and 2.2 is 0.9, where ceilings begin.
        gains: constant gain of a model, of a control alone if need be.
        group_sd, case_sd: difficulty, shared by all models.
        response_sd: how a model does in a group, independent between models.
        tail: degrees of freedom of Student's t for that response, scaled to the same sd.
        spread: factor on the variance of a model's response.
        noise_sd: of one model, case and training.
        fold_luck: of the trainings of a model, split and fold, shared by their seeds.
        run_luck: of one training of a model.
        correlation: of `fold_luck` between folds, those of other splits too.
        slope_luck: of one training's gain per sd of difficulty.
        validity: correlation of the difficulty measure with what makes cases hard.
        interaction: planted gain of a model per sd of the difficulty measure.
        by_size: planted gain of a model per sd of the logarithm of its group's size.
        lost: probability that a case is lost (empty prediction, Dice 0), higher in hard cases.
        lost_by: added to that probability for a model.
        steep: log of the factor on that probability per sd of difficulty.
        absent: share of cases whose reference lacks the class.
        alarm: probability of a false alarm in those (Dice 0 instead of 1).
    """

    groups: int = 20
    cases: tuple[int, int] = (1, 30)
    folds: int = 5
    repeats: int = 1
    seeds: int = 1
    models: tuple[str, ...] = ("unet", "cbam", "cbam-parameters", "cbam-flops")
    level: float = 1.4
    gains: ByModel = field(default_factory=dict)
    group_sd: float = 0.6
    case_sd: float = 0.5
    response_sd: float = 0.15
    tail: float = np.inf
    spread: ByModel = field(default_factory=dict)
    noise_sd: float = 0.2
    fold_luck: float = 0.07
    run_luck: float = 0.1
    correlation: float = 0.0
    slope_luck: float = 0.0
    validity: float = 0.7
    interaction: ByModel = field(default_factory=dict)
    by_size: ByModel = field(default_factory=dict)
    lost: float = 0.02
    lost_by: ByModel = field(default_factory=dict)
    steep: float = 1.0
    absent: float = 0.0
    alarm: float = 0.2

    def __post_init__(self) -> None:
        # A misspelt model would make a planted effect a null without a word.
        for planted in self._planted():
            if unknown := set(planted) - set(self.models):
                raise ValueError(f"no such models in this world: {', '.join(sorted(unknown))}")
        if not self.tail > 2:
            raise ValueError(f"tail {self.tail}: Student's t has an sd above 2 degrees of freedom")

    def __hash__(self) -> int:
        """Of mappings by their content, so that `truth` can be cached."""
        values = (getattr(self, each.name) for each in fields(self))
        return hash(tuple(frozenset(v.items()) if isinstance(v, Mapping) else v for v in values))

    def _planted(self) -> tuple[ByModel, ...]:
        return (self.gains, self.spread, self.interaction, self.by_size, self.lost_by)

    def alike(self, first: str, second: str) -> bool:
        """Whether nothing tells two models apart but chance."""
        return all(
            planted.get(first, neutral) == planted.get(second, neutral)
            for planted, neutral in zip(self._planted(), (0, 1, 0, 0, 0), strict=True)
        )


@dataclass(frozen=True)
class Simulated:
    """One study; its trainings are repeats x seeds, repeat-major.

    Attributes:
        name: that of the dataset.
        models: as in the world.
        dice: (models, cases, trainings).
        status: int8 of the same shape, an index into the analysis' `STATUSES`.
        distance: like HD95, in mm, same shape: NaN where one mask is empty, 0 where both are.
        penalised: `distance` with `DIAGONAL` for NaN.
        case_group: (cases,), from 0 to groups - 1 in order.
        case_fold: (cases, repeats), `repeat * folds + fold`.
        difficulty: (cases,) the measure, standardised over the world and not over this study.
        repeats, seeds: of the trainings.
    """

    name: str
    models: tuple[str, ...]
    dice: Floats
    status: NDArray[np.int8]
    distance: Floats
    penalised: Floats
    case_group: Integers
    case_fold: Integers
    difficulty: Floats
    repeats: int
    seeds: int


def simulate(world: World, random: np.random.Generator, name: str = "simulated") -> Simulated:
    """Draw one study of a world."""
    sizes = _sizes(world, random, world.groups)
    case_group = np.repeat(np.arange(world.groups), sizes)
    dealt = np.arange(world.groups) % world.folds
    case_fold = np.stack(
        [r * world.folds + random.permutation(dealt)[case_group] for r in range(world.repeats)],
        axis=1,
    )
    trainings = (len(world.models), world.repeats * world.folds, world.seeds)
    # Training sets of any two folds overlap, so the common part reaches over repeats as well.
    folds = np.sqrt(world.correlation) * random.normal(size=(trainings[0], 1))
    folds = folds + np.sqrt(1 - world.correlation) * random.normal(size=trainings[:2])
    luck = world.fold_luck * folds[..., None] + world.run_luck * random.normal(size=trainings)
    slope = world.slope_luck * random.normal(size=trainings)
    shape = (len(world.models), len(case_group), world.repeats * world.seeds)
    dice, status, difficulty = _scores(
        world,
        random,
        world.models,
        sizes,
        luck[:, case_fold].reshape(shape),
        slope[:, case_fold].reshape(shape),
    )
    distance = np.minimum(DIAGONAL, 30 * (1 - dice) * np.exp(0.4 * random.normal(size=shape)))
    distance[(status == PREDICTION_EMPTY) | (status == REFERENCE_EMPTY)] = np.nan
    distance[status == BOTH_EMPTY] = 0
    return Simulated(
        name=name,
        models=world.models,
        dice=dice,
        status=status,
        distance=distance,
        penalised=np.where(np.isnan(distance), DIAGONAL, distance),
        case_group=case_group,
        case_fold=case_fold,
        difficulty=difficulty,
        repeats=world.repeats,
        seeds=world.seeds,
    )


def truth(world: World, pair: tuple[str, str]) -> float:
    """True mean Dice of the second model minus the first: new groups, newly trained models.

    Groups weigh equally, whatever their size. From 200,000 groups with a fixed seed, each with
    trainings of its own (standard error about 0.0001); exactly 0 if the models are alike.
    """
    if world.alike(*pair):
        return 0.0
    # The design is no part of the truth, so studies of any size share one draw.
    plain = replace(world, groups=1, folds=1, repeats=1, seeds=1, correlation=0.0)
    return _truth(plain, pair)


@lru_cache(maxsize=256)
def _truth(world: World, pair: tuple[str, str], seed: int = 1) -> float:
    """Mean over the same draws with the models in both orders: their own noise cancels."""
    total = 0.0
    for chunk in range(_TRUTH_GROUPS // _TRUTH_CHUNK):
        for sign, models in ((1, pair), (-1, pair[::-1])):
            random = np.random.default_rng((seed, chunk))
            sizes = _sizes(world, random, _TRUTH_CHUNK)
            case_group = np.repeat(np.arange(_TRUTH_CHUNK), sizes)
            shape = (2, _TRUTH_CHUNK, 1)
            luck = np.hypot(world.fold_luck, world.run_luck) * random.normal(size=shape)
            slope = world.slope_luck * random.normal(size=shape)
            dice, _, _ = _scores(
                world, random, models, sizes, luck[:, case_group], slope[:, case_group]
            )
            difference = dice[1, :, 0] - dice[0, :, 0]
            total += sign * float((np.bincount(case_group, difference) / sizes).sum())
    return total / (2 * _TRUTH_GROUPS)


def balanced(world: World, model: str, difference: float = 0.0) -> World:
    """The world whose gain of `model` makes its true difference from the baseline `difference`.

    A model that varies more has the lower mean Dice at no gain, because of the squeeze.
    """
    pair = (world.models[0], model)
    gain = world.gains.get(model, 0.0)
    for _ in range(4):
        world = replace(world, gains={**world.gains, model: gain})
        missed = difference - truth(world, pair)
        # The slope of the squeeze at the level; four rounds of its steps go below 0.0001.
        gain += missed * (2 + 2 * np.cosh(world.level))
    return replace(world, gains={**world.gains, model: float(gain)})


def _sizes(world: World, random: np.random.Generator, groups: int) -> Integers:
    low, high = np.log(world.cases[0]), np.log(world.cases[1] + 1)
    drawn = np.exp(random.uniform(low, high, groups)).astype(np.int64)
    return np.clip(drawn, *world.cases)


def _log_size(world: World, sizes: Integers) -> Floats:
    """Logarithm of sizes, standardised over the groups of the world."""
    each = np.arange(world.cases[0], world.cases[1] + 1)
    share = np.diff(np.log([*each, each[-1] + 1]))
    share /= share.sum()
    mean = share @ np.log(each)
    sd = np.sqrt(share @ (np.log(each) - mean) ** 2)
    return (np.log(sizes) - mean) / (sd or 1.0)


def _scores(
    world: World,
    random: np.random.Generator,
    models: tuple[str, ...],
    sizes: Integers,
    luck: Floats,
    slope: Floats,
) -> tuple[Floats, NDArray[np.int8], Floats]:
    """Dice and status (models, cases, trainings) and the difficulty measure (cases,).

    Args:
        world: what makes the scores.
        random: source of all numbers.
        models: names of the models wanted.
        sizes: cases of every group.
        luck: of the training that tests a case, (models, cases, trainings).
        slope: its gain per sd of difficulty, same shape.
    """
    case_group = np.repeat(np.arange(len(sizes)), sizes)
    cases, shape = len(case_group), luck.shape

    def per_model(values: ByModel, neutral: float = 0.0) -> Floats:
        return np.array([values.get(name, neutral) for name in models])[:, None]

    shared_sd = np.hypot(world.group_sd, world.case_sd)
    weights = np.array([world.group_sd, world.case_sd]) / shared_sd if shared_sd else (0, 1)

    def clustered() -> Floats:
        """Standard normal of cases, as alike within groups as their difficulty is."""
        of_groups = random.normal(size=len(sizes))[case_group]
        return weights[0] * of_groups + weights[1] * random.normal(size=cases)

    hard, other = clustered(), clustered()
    measure = world.validity * hard + np.sqrt(1 - world.validity**2) * other
    if np.isinf(world.tail):
        response = random.normal(size=(len(models), len(sizes)))
    else:
        scale = np.sqrt(world.tail / (world.tail - 2))
        response = random.standard_t(world.tail, (len(models), len(sizes))) / scale
    of_group = (
        per_model(world.gains)
        + world.response_sd * np.sqrt(per_model(world.spread, 1.0)) * response
        + per_model(world.by_size) * _log_size(world, sizes)
    )
    of_case = world.level - shared_sd * hard + per_model(world.interaction) * measure
    logit = (of_group[:, case_group] + of_case)[..., None]
    logit = logit + luck + slope * measure[:, None] + world.noise_sd * random.normal(size=shape)
    dice = 1 / (1 + np.exp(-logit))
    # The factor has mean 1 over normal difficulty: the rate of the world is that of its studies.
    factor = np.exp(world.steep * hard - world.steep**2 / 2)
    rate = (world.lost + per_model(world.lost_by)) * factor
    lost = random.uniform(size=shape) < rate[..., None]
    absent = np.broadcast_to((random.uniform(size=cases) < world.absent)[:, None], shape)
    alarm = random.uniform(size=shape) < world.alarm
    status = np.where(lost, PREDICTION_EMPTY, OK)
    status = np.where(absent, np.where(alarm, REFERENCE_EMPTY, BOTH_EMPTY), status)
    dice = np.select([status == OK, status == BOTH_EMPTY], [dice, 1.0], 0.0)
    return dice, status.astype(np.int8), measure


KIND = World(cases=(1, 4), fold_luck=0.0, run_luck=0.0, lost=0.0)
"""The world that the first `trust.py` had: few correlated cases, no luck, nothing lost."""
ORDINARY = World()
LUCKY_RUNS = World(seeds=2, fold_luck=0.0, run_luck=0.2)
LUCKY_FOLDS = World(seeds=2, fold_luck=0.15, run_luck=0.2)
LUCKY_CORRELATED = replace(LUCKY_FOLDS, correlation=0.5)
CEILING = World(level=2.5)
FAILING = World(lost=0.05, absent=0.1)
HEAVY = World(response_sd=0.3, tail=2.5)
# In these two the gain is that of `balanced`: the true difference in mean Dice is 0 within 0.0001.
UNEQUAL = World(response_sd=0.3, spread={"cbam": 3.0}, gains={"cbam": 0.0398})
SIZES = World(by_size={"cbam": 0.25}, gains={"cbam": 0.014})
WORLDS: dict[str, World] = {
    "kind": KIND,
    "ordinary": ORDINARY,
    "lucky runs": LUCKY_RUNS,
    "lucky folds": LUCKY_FOLDS,
    "lucky folds, correlated": LUCKY_CORRELATED,
    "ceiling": CEILING,
    "failing": FAILING,
    "heavy tails": HEAVY,
    "unequal variance": UNEQUAL,
    "effect by size": SIZES,
}
