"""What external networks return: the entry that has the logits, and whether its shape is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from attnbench.errors import ModelError, nearest


def logits_of(found: Any, output: int | str | None) -> Tensor:
    """The tensor of logits in what a network returned.

    Args:
        found: a tensor, which is taken as it is, or a list, tuple or mapping of them.
        output: number or key of the entry that has the logits; a named tuple's fields are keys.

    Raises:
        ModelError: `found` is no tensor and has none there.
    """
    if isinstance(found, Tensor):
        return found
    entries = _entries(found)
    if not entries:
        raise ModelError(
            f"returns {_described(found)}; expected a tensor of logits, or a list, tuple or "
            "mapping with `output` naming the entry that has them"
        )
    held = f"returns a {type(found).__name__} with {_listed(entries)}"
    if output is None:
        first = next(iter(entries))
        raise ModelError(
            f"{held}; name the entry that has the logits, before any softmax, as in "
            f"`output: {first}`"
        )
    if output not in entries:
        close = nearest(str(output), map(str, _said(entries)))
        raise ModelError(f"{held}; there is no `output: {output}`; {close}")
    chosen = entries[output]
    if not isinstance(chosen, Tensor):
        raise ModelError(
            f"{held}; `output: {output}` is no tensor; wrap the network (docs/your-model.md)"
        )
    return chosen


def wrong_shape(found: Sequence[int], expected: Sequence[int]) -> str:
    """What is wrong with logits of shape `found`, (B, classes, *spatial) being `expected`.

    Empty where nothing is.
    """
    if tuple(found) == tuple(expected):
        return ""
    advice = _advice(tuple(found), tuple(expected))
    return (
        f"found output {tuple(found)}; expected {tuple(expected)}: logits of every class, "
        f"background included, at the input's resolution{f'; {advice}' if advice else ''}"
    )


def _advice(found: tuple[int, ...], expected: tuple[int, ...]) -> str:
    (batch, classes, *size), axes = expected, len(expected)
    if found == (batch, *size):
        return "without an axis of classes it is a mask, not logits: leave out its argmax"
    if found == (batch, *size, classes):
        return "its classes come last: wrap it (docs/your-model.md) and `movedim(-1, 1)`"
    if len(found) == axes + 1:
        return (
            "one axis too many: where heads of deep supervision are stacked turn them off by an "
            "argument, or wrap the network (docs/your-model.md)"
        )
    if len(found) != axes:
        return f"it has {len(found)} axes, not {axes}"
    if found[1] != classes:
        background = found[1] == classes - 1
        missing = "background is a class, too: " if background else ""
        channels = f"{found[1]} channel{'' if found[1] == 1 else 's'}"
        return f"{channels} for {classes} classes: {missing}give it '{{classes}}'"
    return "other sides: wrap the network (docs/your-model.md) and interpolate its logits"


def _entries(found: Any) -> dict[int | str, Any]:
    """Entries of a list, tuple or mapping by number and key; empty for anything else."""
    if isinstance(found, Mapping):
        return dict(found)
    if not isinstance(found, list | tuple):
        return {}
    # A named tuple has both: its fields are said, its numbers are understood.
    fields = dict(zip(getattr(found, "_fields", ()), found, strict=False))
    numbers: dict[int | str, Any] = dict(enumerate(found))
    from_the_end = {number - len(found): item for number, item in enumerate(found)}
    return {**fields, **numbers, **from_the_end}


def _listed(entries: Mapping[int | str, Any]) -> str:
    shown = _said(entries)
    entry = f"{len(shown)} entr{'y' if len(shown) == 1 else 'ies'}"
    return f"{entry} ({', '.join(f'{key}: {_described(item)}' for key, item in shown.items())})"


def _said(entries: Mapping[int | str, Any]) -> dict[int | str, Any]:
    """The keys that a reader would use: names where there are any, else numbers from 0."""
    named: dict[int | str, Any]
    named = {key: item for key, item in entries.items() if not isinstance(key, int)}
    return named or {key: item for key, item in entries.items() if int(key) >= 0}


def _described(item: Any) -> str:
    return str(tuple(item.shape)) if isinstance(item, Tensor) else type(item).__name__
