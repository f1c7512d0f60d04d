"""Names and references of a user's own mechanisms; without torch."""

from __future__ import annotations

import re

from attnbench.models.attention import mechanism_names
from attnbench.own import brought
from attnbench.own.packages import Brought
from attnbench.study.base import is_own_code


def installed_mechanisms() -> dict[str, tuple[Brought, ...]]:
    """The mechanisms that installed packages bring, by their names."""
    return brought("attnbench.mechanisms")


def reference_of(name: str) -> str | None:
    """The reference that a mechanism's name stands for; None for one of this package's own."""
    if is_own_code(name) or name in mechanism_names():
        return name if is_own_code(name) else None
    found = installed_mechanisms().get(name)
    return found[0].reference if found else None


def words_of_class(name: str) -> str:
    """Name of a class in words.

    >>> words_of_class("MyGate"), words_of_class("CBAMPlus")
    ('My gate', 'CBAM plus')
    """
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*|[a-z0-9]+", name)
    words = [part if part.isupper() and len(part) > 1 else part.lower() for part in parts]
    text = " ".join(words)
    return text[:1].upper() + text[1:]
