"""What a study does about copies in different groups: merge the groups, stop, or keep them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from attnbench.data.case import PreparedCase
from attnbench.data.scan.tables import Pair, read_pairs
from attnbench.errors import DataError

SHOWN = 10
_LONGEST = 60


def merged_groups(
    dataset: str, duplicates: Literal["merge", "stop", "keep"], folder: Path | None
) -> dict[str, str]:
    """Return the new name of every group that is merged with another; empty if none is.

    Args:
        dataset: its name, for the message.
        duplicates: the study's key.
        folder: of the dataset's inspection, with its `pairs.csv`; None without one.

    Raises:
        DataError: the key is `stop`, and a copy of an image lies in another group.
    """
    if folder is None or duplicates == "keep":
        return {}
    pairs = [pair for pair in read_pairs(folder) if pair.across_groups]
    if pairs and duplicates == "stop":
        raise DataError(_refusal(dataset, pairs, folder))
    return join_groups(pairs) if duplicates == "merge" else {}


def join_groups(pairs: Iterable[Pair]) -> dict[str, str]:
    """Return the new name of every group in `pairs`; groups that pairs connect have one name.

    It names them all in order, or the first of them and how many more there are.
    """
    together: dict[str, set[str]] = {}
    for pair in pairs:
        joined = together.get(pair.group_a, {pair.group_a})
        joined |= together.get(pair.group_b, {pair.group_b})
        together.update(dict.fromkeys(joined, joined))
    return {group: _name(sorted(groups)) for group, groups in sorted(together.items())}


def regrouped(cases: Iterable[PreparedCase], merged: Mapping[str, str]) -> Iterator[PreparedCase]:
    """Yield the cases, those of a merged group under its new name."""
    for case in cases:
        yield replace(case, group=merged[case.group]) if case.group in merged else case


def members(merged: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the groups that each new name stands for, in order."""
    return {
        name: sorted(group for group, new in merged.items() if new == name)
        for name in sorted(set(merged.values()))
    }


def _name(groups: Sequence[str]) -> str:
    whole = "+".join(groups)
    return whole if len(whole) <= _LONGEST else f"{groups[0]}+{len(groups) - 1} more"


def _refusal(dataset: str, pairs: Sequence[Pair], folder: Path) -> str:
    lines = [f"  {pair}" for pair in pairs[:SHOWN]]
    if len(pairs) > SHOWN:
        lines.append(f"  and {len(pairs) - SHOWN} more")
    return "\n".join(
        [
            f"{dataset}: {len(pairs)} pair(s) of images in different groups are copies of each "
            "other; folds by group would let a model be tested on what it was trained on:",
            *lines,
            f"look at them ({folder / 'pairs.png'}), then say so in the study's `datasets`: "
            "`duplicates: merge` makes one group of the groups of a pair, `duplicates: keep` "
            "leaves them as they are",
        ]
    )
