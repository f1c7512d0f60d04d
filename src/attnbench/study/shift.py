"""Shift in a study: external test sets, corrupted images, and training on fewer groups."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Literal, get_args

from pydantic import Field

from attnbench.errors import nearest
from attnbench.study.base import NUMBER, Bool, Name, Settings
from attnbench.study.names import DatasetFacts

Corruption = Literal["noise", "blur", "contrast", "bias_field", "resolution", "ghosting"]
CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)
LEVELS = (1, 2, 3, 4, 5)
"""Levels of severity of every corruption."""
Percent = Annotated[int, Field(ge=1, le=99), NUMBER]


class TransferSettings(Settings):
    """Models trained on one dataset of the study, with another one as external test set."""

    train: Name = Field(description="The dataset of the study whose models are taken.")
    test: Name = Field(description="The dataset of the study that they are scored on.")
    classes: dict[Annotated[int, Field(gt=0), NUMBER], Annotated[int, Field(gt=0), NUMBER]] = Field(
        default_factory=dict,
        description="Class of the test set: class of the training set; default: classes of equal "
        "names.",
    )
    ensemble: Bool = Field(
        False,
        description="Also score the mean of the class probabilities of all trainings (folds and "
        "seeds) of each model.",
    )

    def mapped(self, train: Mapping[int, str], test: Mapping[int, str]) -> dict[int, int]:
        """Return training classes by test class, both numbers; given are names by number."""
        numbers = {name: number for number, name in train.items()}
        return self.classes or {
            number: numbers[name] for number, name in test.items() if name in numbers
        }


def transfer_problems(
    transfers: Sequence[TransferSettings],
    datasets: Collection[str],
    facts: Mapping[str, DatasetFacts],
) -> Iterator[str]:
    """Yield problems of transfers between the study's `datasets`; `facts` may be empty: unknown."""
    pairs = [(transfer.train, transfer.test) for transfer in transfers]
    for number, transfer in enumerate(transfers):
        path, (train, test) = f"transfer[{number}]", pairs[number]
        strangers = {
            key: name for key, name in (("train", train), ("test", test)) if name not in datasets
        }
        for key, name in strangers.items():
            yield (
                f"{path}.{key}: {name!r} is not among the datasets of the study; "
                f"{nearest(name, datasets)}"
            )
        if train == test:
            yield (
                f"{path}: train and test are both {train!r}; on its own dataset a model is scored "
                "by the folds"
            )
        elif (train, test) in pairs[:number]:
            yield f"{path}: {train} to {test} stands there more than once; keep one"
        elif not strangers and facts:
            yield from (f"{path}{text}" for text in _misfits(transfer, facts[train], facts[test]))


def _misfits(
    transfer: TransferSettings, trained: DatasetFacts, tested: DatasetFacts
) -> Iterator[str]:
    train, test = transfer.train, transfer.test
    in_train, in_test = (_listed(facts.classes) for facts in (trained, tested))
    for key, what in (("ndim", "axes"), ("channels", "channels")):
        has, needed = getattr(tested, key), getattr(trained, key)
        if has != needed:
            yield f": {test} has {has} {what}, {train} {needed}; a model takes only what it knows"
    for number, training_class in transfer.classes.items():
        if number not in tested.classes:
            yield f".classes: {test} has no class {number}; it has {in_test}"
        if training_class not in trained.classes:
            yield f".classes: {train} has no class {training_class}; it has {in_train}"
    mapped = transfer.mapped(trained.classes, tested.classes)
    if not mapped:
        yield (
            f": no class of {test} ({in_test}) has the name of one of {train} ({in_train}); say "
            f"which is which: classes: {{{min(tested.classes)}: {min(trained.classes)}}}"
        )
    if len(set(mapped.values())) < len(mapped):
        yield (f".classes: two classes of {test} are one class of {train}; a voxel has one class")


def data_efficiency_problems(percents: Sequence[int], dataset: str, groups: int) -> Iterator[str]:
    """Yield problems of shares below half of one of a fold's `groups` training groups."""
    for number, percent in enumerate(percents):
        # A share is rounded to whole groups: below a half, none would be left.
        if percent * groups < 50:
            yield (
                f"data_efficiency[{number}]: {percent} % of the {groups} training groups of a "
                f"fold of {dataset} are less than one; at least {math.ceil(50 / groups)}"
            )


def _listed(classes: Mapping[int, str]) -> str:
    return ", ".join(f"{number} {name}" for number, name in classes.items())
