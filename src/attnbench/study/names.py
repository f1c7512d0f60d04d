"""What a study is checked against: the names that exist, and what is known of a dataset before
any download.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class DatasetFacts:
    """What a study has to know of a dataset to be checked before any download; `classes` has
    names by number.
    """

    ndim: int
    groups: int
    channels: int = 1
    classes: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Known:
    """The names that exist: what a study is checked against; `lacks` has the controls that a
    mechanism cannot have.
    """

    datasets: Mapping[str, DatasetFacts] = field(default_factory=dict)
    mechanisms: Collection[str] = ()
    metrics: Collection[str] = ()
    models: Collection[str] = ()
    lacks: Mapping[str, Collection[str]] = field(default_factory=dict)
