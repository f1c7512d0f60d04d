"""The losses that a network can be trained by: one file per loss, and a user's own code.

A loss is a function of logits (B, K, *spatial) float32 and masks (B, *spatial), integers in
[0, K), at one resolution; it returns a scalar, or scalars by name that are added. Its file has
its name, and a docstring: the title in the first line, formula, `Source:`, departures.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from attnbench.own import entry_points
from attnbench.study.base import is_own_code

FOLDER = Path(__file__).parent


@cache
def loss_names() -> tuple[str, ...]:
    """Names of this package's own losses, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("[!_]*.py")))


def reference_of(name: str) -> str | None:
    """The reference that a loss's name stands for; None for one of this package's own."""
    if name in loss_names():
        return None
    return name if is_own_code(name) else entry_points("attnbench.losses").get(name)
