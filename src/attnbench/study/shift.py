"""The part of a study about shift: models on other data, on corrupted images, and trained on
fewer groups.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Literal, get_args

from pydantic import Field

from attnbench.errors import nearest
from attnbench.study.models import Part, Word
from attnbench.study.names import DatasetFacts

Corruption = Literal["noise", "blur", "contrast", "bias_field", "resolution", "ghosting"]
CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)
Percent = Annotated[int, Field(ge=1, le=99)]


class TransferSettings(Part):
    """Models trained on one dataset of the study, scored on every case of another one."""

    train: Word = Field(description="The dataset of the study whose models are taken.")
    test: Word = Field(description="The dataset of the study that they are scored on.")
    classes: dict[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]] = Field(
        default_factory=dict,
        description="Class of the test set: class of the training set; default: classes of equal "
        "names.",
    )

    def mapped(self, train: Mapping[int, str], test: Mapping[int, str]) -> dict[int, int]:
        """Class of the test set: class of the training set, given both sets' class names by
        number.
        """
        numbers = {name: number for number, name in train.items()}
        return self.classes or {
            number: numbers[name] for number, name in test.items() if name in numbers
        }


def transfer_problems(
    transfers: Sequence[TransferSettings],
    datasets: Collection[str],
    facts: Mapping[str, DatasetFacts],
) -> Iterator[str]:
    """What cannot be done with the study's `datasets`; `facts` is empty where nothing is known
    of them.
    """
    for number, part in enumerate(transfers):
        path = f"transfer[{number}]"
        strangers = [key for key in ("train", "test") if getattr(part, key) not in datasets]
        for key in strangers:
            name = getattr(part, key)
            yield f"{path}.{key}: {name!r} is not among the datasets of the study; {nearest(name, datasets)}"
        if part.train == part.test:
            yield f"{path}: train and test are both {part.train!r}; on its own dataset a model is scored by the folds"
        elif any(
            (part.train, part.test) == (other.train, other.test) for other in transfers[:number]
        ):
            yield f"{path}: {part.train} to {part.test} stands there more than once; keep one"
        elif not strangers and facts:
            yield from _misfits(path, part, facts[part.train], facts[part.test])


def _misfits(
    path: str, part: TransferSettings, train: DatasetFacts, test: DatasetFacts
) -> Iterator[str]:
    for key, word in (("ndim", "axes"), ("channels", "channels")):
        found, needed = getattr(test, key), getattr(train, key)
        if found != needed:
            yield f"{path}: {part.test} has {found} {word}, {part.train} {needed}; a model takes only what it knows"
    for number, trained in part.classes.items():
        if number not in test.classes:
            yield f"{path}.classes: {part.test} has no class {number}; it has {_listed(test.classes)}"
        if trained not in train.classes:
            yield f"{path}.classes: {part.train} has no class {trained}; it has {_listed(train.classes)}"
    mapped = part.mapped(train.classes, test.classes)
    if not mapped:
        yield (
            f"{path}: no class of {part.test} ({_listed(test.classes)}) has the name of one of "
            f"{part.train} "
            f"({_listed(train.classes)}); say which is which: classes: "
            f"{{{min(test.classes)}: {min(train.classes)}}}"
        )
    if len(set(mapped.values())) < len(mapped):
        yield f"{path}.classes: two classes of {part.test} are one class of {part.train}; a voxel has one class"


def data_efficiency_problems(percents: Sequence[int], dataset: str, groups: int) -> Iterator[str]:
    """Shares of the `groups` training groups of a fold of `dataset` that are less than half a
    group.
    """
    for number, percent in enumerate(percents):
        if percent * groups < 50:
            yield (
                f"data_efficiency[{number}]: {percent} % of the {groups} training groups of a "
                f"fold of {dataset} are less "
                f"than one; at least {math.ceil(50 / groups)}"
            )


def _listed(classes: Mapping[int, str]) -> str:
    return ", ".join(f"{number} {name}" for number, name in classes.items())
