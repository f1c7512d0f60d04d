"""Masks of one folder that may say the same in different values: 0 and 1 here, 0 and 255 there."""

from __future__ import annotations

from collections.abc import Mapping

from attnbench.data.readers.legend import NEARLY_GREY, name_of
from attnbench.intake.found import Problem

MOST_VALUES = 16  # more are no classes, which is said elsewhere
REPAIR = (
    "--threshold 0 if all that is not 0 is marked (no JPEG is so); or repair these masks (they may "
    "hold 1 where others hold 255)"
)


def under_threshold(
    tops: Mapping[str, float], ground: float, threshold: float
) -> tuple[Problem, ...]:
    """Refuse masks that are marked, and that a threshold would empty.

    Args:
        tops: the largest value of each mask, by path.
        ground: the value of the background; masks that hold no more are empty by themselves.
        threshold: masks are marked above it.
    """
    files = tuple(
        f"{path}: at most {top:g}" for path, top in tops.items() if ground < top <= threshold
    )
    text = f"masks are not empty, but lie wholly under --threshold {threshold:g}"
    return (Problem(text, files, REPAIR),) if files else ()


def never_together(
    held: Mapping[str, frozenset[float]], coloured: bool, one: bool
) -> tuple[Problem, ...]:
    """Refuse masks of one value each, where that value is not the same in all of them.

    Values 1, 2, 3, ... are classes, and so are colours; 1 and 255 may be one class that was saved
    in two ways.

    Args:
        held: values of each mask by path, without the background.
        coloured: values are codes 0xRRGGBB.
        one: the masks are of one class, so that only a threshold is left to say.
    """
    values = sorted(frozenset().union(*held.values()))
    alone = all(len(own) < 2 for own in held.values())
    ladder = not coloured and values == list(range(1, len(values) + 1))
    plain = all(_is_grey(value) if coloured else float(value).is_integer() for value in values)
    if not 2 <= len(values) <= MOST_VALUES or not alone or ladder or not plain:
        return ()
    by_value = {value: [path for path, own in held.items() if value in own] for value in values}
    counts = [f"{len(own)} hold only {name_of(v, coloured)}" for v, own in by_value.items()]
    quote = "'" if coloured else ""
    flags = [f"--class {quote}{name_of(value, coloured)}=NAME{quote}" for value in values]
    flag = f"{' '.join(flags)}: one NAME if they mean the same, different ones if not"
    if one and not coloured:
        flag = "--threshold 0 (all that is not 0 is marked)"
    fewest = min(by_value.values(), key=len)
    text = f"no mask holds two values: {' and '.join(counts)}, such as"
    return (Problem(text, tuple(fewest), flag),)


def _is_grey(code: float) -> bool:
    channels = (int(code) >> 16, int(code) >> 8 & 0xFF, int(code) & 0xFF)
    return max(channels) - min(channels) <= NEARLY_GREY
