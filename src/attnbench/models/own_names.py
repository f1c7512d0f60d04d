"""Names and references of a user's own mechanisms; without torch."""

from __future__ import annotations

import re

from attnbench.own import entry_points
from attnbench.study.base import is_own_code


def own_mechanisms() -> dict[str, str]:
    """References of the mechanisms that installed packages bring, by their names."""
    return entry_points("attnbench.mechanisms")


def reference_of(name: str) -> str | None:
    """The reference that a mechanism's name stands for; None for one of this package's own."""
    return name if is_own_code(name) else own_mechanisms().get(name)


def words_of_class(name: str) -> str:
    """Name of a class in words.

    >>> words_of_class("MyGate"), words_of_class("CBAMPlus")
    ('My gate', 'CBAM plus')
    """
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*|[a-z0-9]+", name)
    words = [part if part.isupper() and len(part) > 1 else part.lower() for part in parts]
    text = " ".join(words)
    return text[:1].upper() + text[1:]
