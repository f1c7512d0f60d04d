"""`dataset.json`: what holds for all cases of a prepared dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class DatasetInfo:
    """The fields of `dataset.json`; the last three are known once the store is written.

    classes: name by number. spacing and size: the study's working grid (None: every case's own);
    resampled: whether there is one. content_hash: SHA-256 of arrays, `cases.csv` and what
    identifies the preparation. merged_groups: the groups that became one, by its name, because an
    image of one is a copy of another's.
    """

    name: str
    title: str
    task: str
    modality: str
    ndim: int
    channels: int
    classes: dict[int, str]
    spacing_unit: str
    spacing: tuple[float, ...] | None
    size: tuple[int, ...] | None
    resampled: bool
    has_fov: bool
    has_second_rater: bool
    groups_inferred: bool
    licence: str
    citation: str
    groups_unknown: bool = False
    merged_groups: Mapping[str, list[str]] = field(default_factory=dict)
    cases: int = 0
    groups: int = 0
    content_hash: str = ""

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> DatasetInfo:
        """Read the content of `dataset.json`; `TypeError` if a field is missing or unknown."""
        lists = {
            key: tuple(content[key]) if content[key] is not None else None
            for key in ("spacing", "size")
        }
        classes = {int(value): name for value, name in content["classes"].items()}
        return cls(**{**content, **lists, "classes": classes})

    @property
    def original_arrays(self) -> tuple[str, ...]:
        """Names of the store's arrays that lie on the cases' own grids."""
        present = {
            "references": self.resampled,
            "fov": self.has_fov,
            "second_rater": self.has_second_rater,
        }
        return tuple(name for name, there in present.items() if there)
