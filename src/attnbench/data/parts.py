"""One file's case cut into several: the pages of a stack, or blocks of one large image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from attnbench.catalog import Blocks, Entry
from attnbench.data.case import RawCase, case_error

SHORTEST = 16  # pixels: less is no image to learn from, and most likely a slip


def parts_of(entry: Entry, case: RawCase) -> Iterator[RawCase]:
    """Yield the cases that a case as read stands for; most stand for themselves.

    Pages that are cases stay in the group of their file. Blocks are groups: they are apart by
    a gap so that neighbours share nothing.

    Raises:
        DataError: blocks that do not fit into the image.
    """
    if entry.reader.settings.get("pages") == "cases":
        for number in range(case.mask.shape[0]):
            yield from _blocks(entry, _cut(case, 0, number, f"p{number + 1:03d}"))
    else:
        yield from _blocks(entry, case)


def block_edges(length: int, blocks: Blocks) -> list[tuple[int, int]]:
    """First pixel and end of every block along an axis; all are as long, or one pixel longer."""
    usable = length - blocks.gap * (blocks.count - 1)
    edges = [usable * number // blocks.count for number in range(blocks.count + 1)]
    return [
        (start + number * blocks.gap, end + number * blocks.gap)
        for number, (start, end) in enumerate(pairwise(edges))
    ]


def _blocks(entry: Entry, case: RawCase) -> Iterator[RawCase]:
    blocks = entry.reader.blocks
    if blocks is None:
        yield case
        return
    shape = case.image.shape[1:]
    axis = max(range(len(shape)), key=lambda axis: shape[axis])
    edges = block_edges(shape[axis], blocks)
    if min(end - start for start, end in edges) < SHORTEST:
        raise case_error(
            entry.name,
            case.case,
            f"{blocks.count} blocks with gaps of {blocks.gap} do not fit into {shape[axis]} "
            f"pixels; each needs {SHORTEST}: ask for fewer blocks or a smaller gap",
        )
    for number, (start, end) in enumerate(edges, start=1):
        part = _cut(case, axis, slice(start, end), f"b{number:02d}")
        yield replace(part, group=part.case)


def _cut(case: RawCase, axis: int, part: slice | int, suffix: str) -> RawCase:
    """The case's part along an axis, which is lost where the part is one index."""
    where = (slice(None),) * axis + (part,)
    return replace(
        case,
        case=f"{case.case}-{suffix}",
        image=case.image[(slice(None), *where)],
        mask=case.mask[where],
        fov=None if case.fov is None else case.fov[where],
        second_rater=None if case.second_rater is None else case.second_rater[where],
    )
