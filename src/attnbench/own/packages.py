"""What is installed: packages, their versions and what they bring for a study."""

from __future__ import annotations

import importlib.metadata
import sysconfig
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

Group = Literal["attnbench.mechanisms", "attnbench.metrics", "attnbench.losses"]


@dataclass(frozen=True)
class Brought:
    """What an installed package brings: its reference, `package.module.Name`, and the package."""

    reference: str
    package: str


@cache
def brought(group: Group) -> dict[str, tuple[Brought, ...]]:
    """What installed packages bring, by its name; of several where packages share a name."""
    found: dict[str, list[Brought]] = defaultdict(list)
    for point in sorted(importlib.metadata.entry_points(group=group)):
        package = point.dist.name if point.dist else "a package"
        found[point.name].append(Brought(point.value.replace(":", "."), package))
    return {name: tuple(items) for name, items in found.items()}


def entry_points(group: Group) -> dict[str, str]:
    """References, `package.module.Name`, that installed packages bring, by their names.

    Where two packages share a name it is the first one's; `brought` has both.
    """
    return {name: items[0].reference for name, items in brought(group).items()}


def is_installed(path: Path) -> bool:
    """True for a file of the standard library or of an installed package, none of the user's."""
    return any(path.is_relative_to(folder) for folder in _folders())


def version_of(package: str) -> str:
    """`name==version` of the distribution that an importable package belongs to."""
    try:
        return f"{package}=={importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        pass
    names = _distributions().get(package)
    return f"{names[0]}=={importlib.metadata.version(names[0])}" if names else package


@cache
def _distributions() -> dict[str, list[str]]:
    # Reads the lists of files of everything that is installed: only where the names differ.
    return {name: sorted(of) for name, of in importlib.metadata.packages_distributions().items()}


@cache
def _folders() -> tuple[Path, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple({Path(sysconfig.get_path(name)).resolve() for name in names})
