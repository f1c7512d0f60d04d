"""The worlds and designs in which `trust.py` counts the claims of the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from attnbench.analysis.answer import BIGGER, HELPS
from benchmarks.trust_claims import (
    PAIR,
    Cell,
    Claim,
    answer,
    bold,
    contradicted,
    dagger,
    false_claim,
    family_misses,
    friedman,
    mean_misses,
    misses,
    over_datasets,
    slope_misses,
    small,
    verdict,
    verdict_in,
)
from benchmarks.trust_study import BASELINE, LEVEL, SETTINGS, VARIANT, Design
from benchmarks.unkind import (
    CEILING,
    FAILING,
    HEAVY,
    KIND,
    LUCKY_CORRELATED,
    LUCKY_FOLDS,
    LUCKY_RUNS,
    ORDINARY,
    SIZES,
    UNEQUAL,
    World,
    balanced,
)

GROUPS, THIN = (6, 10, 20, 40), (10, 40)
FEW, ONE, SEEDS, REPEATED = (2, 1, 1), (5, 1, 1), (5, 3, 1), (5, 3, 3)
EVERY = (FEW, ONE, SEEDS, REPEATED)
ENOUGH = (ONE, SEEDS, REPEATED)
MANY = tuple(
    name
    for variant in ("cbam", "se", "eca")
    for name in (variant, f"{variant}-parameters", f"{variant}-flops")
)
"""Three variants with their controls: with the baseline ten models."""


def luckless(world: World) -> World:
    """All trainings of a model are alike: claims about models as trained have no other excuse."""
    return replace(world, fold_luck=0.0, run_luck=0.0, slope_luck=0.0)


def cells(
    name: str,
    world: World,
    claims: Sequence[Claim],
    trainings: Sequence[tuple[int, int, int]] = (SEEDS,),
    groups: Sequence[int] = GROUPS,
    thin: bool = False,
    **others,
) -> list[Cell]:
    """A cell for each number of groups and kind of training; if `thin`, some only in full runs."""
    return [
        Cell(
            name,
            lambda _: world,
            Design(number, *kind),
            tuple(claims),
            extra=thin and number not in THIN,
            **others,
        )
        for number, kind in product(groups, trainings)
    ]


def excused(claims: Sequence[Claim], note: str) -> tuple[Claim, ...]:
    """The same without a promise."""
    return tuple(replace(claim, promise=None, note=note) for claim in claims)


LUCK = Claim("as trained: a single p", small("p"), None, "luck: why it says “as trained”")
AGAIN = (
    Claim("trained again: a single p", small("p_retrained")),
    Claim("intervals: difference trained again", misses("retrained_low", "retrained_high", 0.0)),
)
POSTERIOR = (
    Claim(
        "trained again: posterior of better or worse > 0.95, nothing differs",
        lambda analysis: [
            bool(max(one.probability_better, one.probability_worse) > 0.95)
            for one in analysis.first(analysis.effects).itertuples()
        ],
        None,
    ),
    Claim("trained again: equivalence, nothing differs", small("p_equivalence"), None),
)
NULL_ANSWERS = (
    Claim("answer: “helps”, nothing differs", answer(HELPS)),
    Claim("answer: any positive word, nothing differs", answer(HELPS, BIGGER)),
    Claim("answer: “worse”, nothing differs", answer("worse")),
    Claim("answer: “equivalent”, nothing differs", answer("equivalent"), None),
    Claim("trained again: any verdict of 5, Holm", verdict("verdict_retrained")),
    Claim("as trained: any verdict of 5, Holm", verdict(), None, "luck: why it says “as trained”"),
)


def make_cells() -> list[Cell]:
    """All cells; some worlds take seconds to balance."""
    return [
        *_answers(),
        *_as_trained(),
        *_trained_again(),
        *_distances(),
        *_rankings(),
        *_datasets(),
        *_difficulty(),
        *_elsewhere(),
    ]


def _answers() -> Iterator[Cell]:
    claims = (*NULL_ANSWERS, LUCK, *AGAIN, *POSTERIOR)
    yield from cells("lucky folds", LUCKY_FOLDS, claims, ENOUGH)
    yield from cells("lucky folds", LUCKY_FOLDS, claims, [FEW], share=0.4)
    shared = excused(NULL_ANSWERS, "luck common to all folds")
    yield from cells("lucky, correlated", LUCKY_CORRELATED, shared, thin=True, share=0.4)
    control = replace(LUCKY_FOLDS, gains={"cbam-parameters": 0.4})
    helps = Claim("answer: “helps”, a control alone gains", answer(HELPS))
    yield from cells("lucky folds, control + 0.4", control, [helps], thin=True, share=0.5)
    bigger = replace(LUCKY_FOLDS, gains=dict.fromkeys(LUCKY_FOLDS.models[1:], 0.5))
    size = (
        Claim("answer: “helps”, size alone gains", answer(HELPS)),
        Claim("answer: “not separated from size”, size alone gains", answer(BIGGER), None),
    )
    yield from cells("lucky folds, variant = controls + 0.5", bigger, size, thin=True)
    for gain in (0.01, 0.02, 0.05):
        claims = [Claim(f"power: “helps”, true gain {gain:g} Dice", answer(HELPS), None)]
        if gain == SETTINGS.margin:
            claims.append(
                Claim("answer: “equivalent”, true gain is the margin", answer("equivalent"))
            )
        world = balanced(LUCKY_FOLDS, VARIANT, gain)
        yield from cells(f"lucky folds, + {gain:g} Dice", world, claims, ENOUGH, share=0.2)


def _as_trained() -> Iterator[Cell]:
    worlds = {
        "kind": KIND,
        "ordinary": luckless(ORDINARY),
        "ceiling": luckless(CEILING),
        "failing": luckless(FAILING),
        "heavy tails": luckless(HEAVY),
        "unequal variance": balanced(luckless(UNEQUAL), VARIANT),
        "effect by size": balanced(luckless(SIZES), VARIANT),
    }
    single = (
        Claim("as trained: a single p", small("p")),
        Claim("intervals: difference as trained", misses("low", "high", 0.0)),
    )
    family = (
        Claim("as trained: any verdict of 5, Holm", verdict()),
        Claim("difficulty: as trained, any verdict of 4, Holm", verdict(frame="difficulty")),
    )
    for name, world in worlds.items():
        means = Claim("intervals: mean of a model", mean_misses(world), 0.1)
        claims, fast = (*single, means), {"together": 25}
        if name == "ordinary":
            claims, fast = (*claims, *family), {}
        thin = name not in ("ordinary", "failing", "heavy tails")
        yield from cells(f"{name}, no luck", world, claims, [ONE], thin=thin, **fast)
    gain = balanced(luckless(ORDINARY), VARIANT, 0.05)
    covers = Claim("intervals: difference as trained", misses("low", "high", 0.05))
    yield from cells("ordinary, no luck, + 0.05 Dice", gain, [covers], [ONE], together=25)
    signs = (family[0], Claim("signs: verdict against the means", contradicted, 0.0))
    # In the last two the variant differs in single groups, and not in the mean.
    for name in ("failing", "heavy tails", "unequal variance", "effect by size"):
        yield from cells(f"{name}, no luck", worlds[name], signs, [ONE], [20])


def _trained_again() -> Iterator[Cell]:
    claims = (LUCK, *AGAIN, *POSTERIOR)
    yield from cells("lucky runs", LUCKY_RUNS, claims, EVERY, thin=True, together=25)
    shared = (LUCK, *excused(AGAIN, "luck common to all folds"))
    kinds = (SEEDS, REPEATED)
    yield from cells("lucky, correlated", LUCKY_CORRELATED, shared, kinds, together=25, share=0.5)
    for name, world in {
        "ordinary": ORDINARY,
        "ceiling": CEILING,
        "failing": FAILING,
        "heavy tails": HEAVY,
        "unequal variance": UNEQUAL,
        "effect by size": SIZES,
    }.items():
        yield from cells(name, world, AGAIN, [ONE], thin=True, together=25)
    margin = balanced(LUCKY_FOLDS, VARIANT, SETTINGS.margin)
    at_margin = (
        Claim("trained again: equivalence, true gain is the margin", small("p_equivalence")),
        Claim(
            "intervals: difference trained again",
            misses("retrained_low", "retrained_high", SETTINGS.margin),
        ),
    )
    yield from cells("lucky folds, + 0.01 Dice", margin, at_margin, [SEEDS, REPEATED], together=25)


def _distances() -> Iterator[Cell]:
    three = ("dice", "hd95", "hd95_penalised")
    losing = replace(luckless(ORDINARY), lost_by={VARIANT: 0.05})
    claims = (
        Claim("distances: better in HD95 by losing more", verdict_in("hd95", "better")),
        Claim("distances: bold in HD95 by losing more", bold),
        Claim(
            "distances: worse in penalised HD95 by losing more",
            verdict_in("hd95_penalised", "worse"),
            None,
        ),
    )
    yield from cells("loses 5 % more, no luck", losing, claims, thin=True, metrics=three, share=0.5)
    equal = Claim("distances: penalised HD95, a single p", small("p", metric="hd95_penalised"))
    failing = luckless(FAILING)
    yield from cells("failing, no luck", failing, [equal], [ONE], together=25, metrics=three[2:])


def _rankings() -> Iterator[Cell]:
    ten = replace(LUCKY_FOLDS, models=(BASELINE, *MANY))
    plain = replace(luckless(ORDINARY), models=ten.models)
    of_ten = (
        Claim("ranking: any of 10 equal models loses its dagger in Dice", dagger("dice")),
        Claim(
            "ranking: any of 10 equal models loses its dagger in penalised HD95",
            dagger("hd95_penalised"),
        ),
        Claim("ranking: Friedman's test of 10 equal models", friedman),
    )
    metrics = ("dice", "hd95_penalised")
    yield from cells("ten models, no luck", plain, of_ten, [ONE], metrics=metrics)
    luck = "luck: why it says “as trained”"
    shown = excused(of_ten, luck)
    yield from cells("ten models, lucky folds", ten, shown, groups=[20], metrics=metrics)
    three = (
        Claim("answer: “helps” of any of 3 variants, nothing differs", answer(HELPS)),
        Claim("answer: any positive word for any of 3, nothing differs", answer(HELPS, BIGGER)),
        Claim(
            "intervals: 3 at once, trained again",
            family_misses("simultaneous_retrained_low", "simultaneous_retrained_high"),
        ),
    )
    yield from cells("ten models, lucky folds", ten, three, share=0.4)
    at_once = Claim(
        "intervals: 3 at once, as trained", family_misses("simultaneous_low", "simultaneous_high")
    )
    yield from cells("ten models, no luck", plain, [at_once], [ONE], share=0.4)
    two = replace(LUCKY_FOLDS, models=PAIR)

    def drawn(world: World) -> Callable[[np.random.Generator], World]:
        return lambda random: replace(world, gains={VARIANT: float(random.normal(0, 0.1))})

    for name, world, column in (
        ("true gains of sd 0.1 logit, no luck", luckless(two), "probability_false"),
        ("true gains of sd 0.1 logit, lucky folds", two, "probability_false_retrained"),
    ):
        which = "trained again" if column.endswith("retrained") else "as trained"
        claims = (
            Claim(
                f"ranking: the better of two is not, {which}: observed",
                false_claim(column, lambda false, _: false),
                None,
            ),
            Claim(
                f"ranking: the better of two is not, {which}: as shown",
                false_claim(column, lambda _, p: p),
                None,
            ),
            Claim(
                f"ranking: the better of two is not, {which}: observed where ≤ 5 % is shown",
                false_claim(column, lambda false, p: false if p <= LEVEL else None),
                None,
            ),
        )
        for number in GROUPS:
            yield Cell(name, drawn(world), Design(number, *SEEDS), claims, together=25)


def _datasets() -> Iterator[Cell]:
    two = replace(LUCKY_FOLDS, models=PAIR)
    mixed = Claim("datasets: mixed model, one dataset", over_datasets("mixed"))
    yield from cells("lucky folds", two, [mixed], ENOUGH, [10, 20])
    yield from cells("lucky folds", two, [mixed], [SEEDS], [6, 40])
    six = (
        Claim("datasets: mixed model, six datasets", over_datasets("mixed")),
        Claim("datasets: t over six datasets", over_datasets("datasets")),
        Claim(
            "datasets: signed rank, posterior > 0.95, six datasets",
            over_datasets("signed_rank", "probability"),
            None,
        ),
    )
    yield from cells("lucky folds", two, six, [ONE], [10, 20], share=0.4, datasets=6)


def _difficulty() -> Iterator[Cell]:
    two = replace(luckless(ORDINARY), models=PAIR)
    claimed = Claim(
        "difficulty: as trained, interaction of one comparison", small("p_both", "difficulty")
    )
    dice = Claim(
        "difficulty: as trained, slope of Dice alone",
        small("p", "difficulty"),
        None,
        "why both scales are asked",
    )
    both = (claimed, dice)
    for name, world in {
        "equal": two,
        "gain 0.2, level 1.4": replace(two, gains={VARIANT: 0.2}),
        "gain 0.4, level 1.4": replace(two, gains={VARIANT: 0.4}),
        "gain 0.2, level 2.35": replace(two, level=2.35, gains={VARIANT: 0.2}),
        "gain 0.4, level 2.35": replace(two, level=2.35, gains={VARIANT: 0.4}),
        "uniformly worse by 0.4": replace(two, gains={VARIANT: -0.4}),
    }.items():
        claims = both
        if name == "equal":
            claims = (*both, Claim("intervals: slope of Dice, as trained", slope_misses(0, "")))
        thin = name != "equal"
        yield from cells(f"{name}, no luck", world, claims, [ONE], thin=thin, together=25)
    lucky = replace(LUCKY_FOLDS, models=PAIR, slope_luck=0.1)
    again = Claim(
        "difficulty: trained again, interaction of one comparison",
        small("p_both_retrained", "difficulty"),
    )
    luck = replace(claimed, promise=None, note="luck: why it says “as trained”")
    equal = (
        again,
        luck,
        Claim("intervals: slope of Dice, trained again", slope_misses(0, "", "retrained_")),
    )
    yield from cells("equal, lucky slopes", lucky, equal, ENOUGH, together=25)
    gain = replace(lucky, gains={VARIANT: 0.4})
    yield from cells("gain 0.4, lucky slopes", gain, [again], together=25)
    for interaction in (0.15, 0.3):
        planted = {VARIANT: interaction}
        found = f"found, {interaction:g} logit per sd planted"
        power = Claim(f"power: interaction as trained {found}", claimed.read, None)
        clean = replace(two, lost=0.0, interaction=planted)
        covers = Claim("intervals: slope of logit Dice, as trained", slope_misses(interaction))
        yield from cells(
            f"interaction {interaction:g}, no luck, nothing lost",
            clean,
            [power, covers],
            [ONE],
            together=25,
        )
        power = Claim(f"power: interaction trained again {found}", again.read, None)
        yield from cells(
            f"interaction {interaction:g}, lucky slopes",
            replace(lucky, interaction=planted),
            [power],
            together=25,
        )


def _elsewhere() -> Iterator[Cell]:
    """Transfer to other data; slopes over corruptions go through the same calls as the scores."""
    claims = (
        Claim("elsewhere: trained again, a single p", small("p_retrained")),
        Claim("elsewhere: as trained, a single p", small("p"), None, "luck"),
        Claim("elsewhere: interval trained again", misses("retrained_low", "retrained_high", 0)),
    )
    fast = {"together": 25, "external": True}
    yield from cells("lucky runs", LUCKY_RUNS, claims, [ONE], **fast)
    yield from cells("lucky folds", LUCKY_FOLDS, claims, [SEEDS, REPEATED], thin=True, **fast)
